"""Arrays that the fetcher still uses after it has returned them."""

from functools import lru_cache

import numpy as np
import tifffile

from .._bases import Files, Memory, Stacks
from .._entry import sin
from .._images import image

FLAT = image()
STACK = image(layout="fov{fov}_r{r}_c{c}.tiff", inner="z")

PRIVATE = "arrays_are_private"
REPEAT = "tiles_repeat"
SHARED = "tiles_do_not_share_state"


@sin(PRIVATE, of=FLAT)
class ReturnsCachedView(Memory):
    def pixels_of(self, fov, key):
        return self.array[self.index(fov, key)]


@sin(PRIVATE, of=STACK)
def CachesVolumesAndReturnsTheirPlanes(image):
    @lru_cache(maxsize=4)
    def volume(path):
        return tifffile.imread(path)

    class Fetcher(Stacks):
        def pixels_of(self, fov, key):
            return volume(self.path(fov, key.round, key.ch))[self.page(key.zplane)]

    return Fetcher(image)


@sin(PRIVATE, of=FLAT)
class KeepsTilesInADictionary(Files):
    def __init__(self, image):
        super().__init__(image)
        self.seen = {}

    def pixels_of(self, fov, key):
        if (fov, key) not in self.seen:
            self.seen[fov, key] = super().pixels_of(fov, key)
        return self.seen[fov, key]


@sin(PRIVATE, of=FLAT, also=[SHARED, REPEAT])
class ReusesOneBuffer(Files):
    def __init__(self, image):
        super().__init__(image)
        self.buffer = np.empty((24, 20), np.uint16)

    def pixels_of(self, fov, key):
        self.buffer[...] = super().pixels_of(fov, key)
        return self.buffer


@sin(PRIVATE, of=FLAT, also=[SHARED, REPEAT])
class ReusesABufferBehindAReadOnlyView(Memory):
    # Whoever keeps the first tile finds the second in it, and could not even write to it.
    buffer = None

    def pixels_of(self, fov, key):
        if self.buffer is None:
            self.buffer = np.empty((24, 20), np.uint16)
        np.copyto(self.buffer, self.array[self.index(fov, key)])
        view = self.buffer.view()
        view.flags.writeable = False
        return view


class _Mapped(Memory):
    """Planes of a .npy file."""

    mode = "r"

    def __init__(self, image):
        super().__init__(image)
        self.file = image.npy
        self.__setstate__(vars(self))

    def __getstate__(self):
        return {name: value for name, value in vars(self).items() if name != "array"}

    def __setstate__(self, state):
        vars(self).update(state)
        self.array = np.load(self.file, mmap_mode=self.mode)

    def pixels_of(self, fov, key):
        return self.array[self.index(fov, key)]


# numpy makes a file that is too short longer, to map it for writing.
@sin(PRIVATE, of=image(2, 3, 2), also=["truncated_files_are_errors"])
class MapsFilesWritable(_Mapped):
    mode = "r+"


@sin(PRIVATE, of=image(2, 2, 3))
class MapsFilesCopyOnWrite(_Mapped):
    mode = "c"


@sin(PRIVATE, of=image(2, 2, 2, dtype="float32"))
class ConvertsWithoutCopying(Memory):
    # np.asarray of what has the dtype already copies nothing.
    def pixels_of(self, fov, key):
        return np.asarray(self.array[self.index(fov, key)], dtype=np.float32)


@sin(PRIVATE, of=FLAT)
class HopesThatContiguousMeansCopied(Memory):
    def pixels_of(self, fov, key):
        return np.ascontiguousarray(self.array[self.index(fov, key)])
