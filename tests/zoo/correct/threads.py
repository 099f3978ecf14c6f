"""Right fetchers that several threads may ask at once."""

import threading

import numpy as np
import tifffile

from .._bases import Memory, Stacks
from .._entry import right
from .._images import image, keys

FLAT = image()
STACK = image(layout="fov{fov}_r{r}_c{c}.tiff", inner="z")


@right(FLAT)
class ThreadsTakeTurns(Memory):
    thread_safe = True

    def __init__(self, image):
        super().__init__(image)
        self.file = image.raw
        self.shape = self.array.shape[:3]
        del self.array
        self.handle = open(self.file, "rb")  # noqa: SIM115
        self.lock = threading.Lock()

    def __del__(self):
        if hasattr(self, "handle"):
            self.handle.close()

    def __getstate__(self):
        return {name: value for name, value in vars(self).items() if name not in ("lock", "handle")}

    def __setstate__(self, state):
        vars(self).update(state, lock=threading.Lock())
        self.handle = open(self.file, "rb")  # noqa: SIM115

    def pixels_of(self, fov, key):
        number = np.ravel_multi_index(self.index(fov, key), self.shape)
        with self.lock:
            self.handle.seek(int(number) * 960)
            data = self.handle.read(960)
        return np.frombuffer(data, np.uint16).reshape(24, 20)


@right(STACK)
class EachThreadHasItsOwnFile(Stacks):
    thread_safe = True

    def __init__(self, image):
        super().__init__(image)
        self.local = threading.local()

    def __getstate__(self):
        return {name: value for name, value in vars(self).items() if name != "local"}

    def __setstate__(self, state):
        vars(self).update(state, local=threading.local())

    def pixels_of(self, fov, key):
        path = self.path(fov, key.round, key.ch)
        if getattr(self.local, "path", None) != path:
            if hasattr(self.local, "file"):
                self.local.file.close()
                del self.local.file, self.local.path
            self.local.file = tifffile.TiffFile(path)
            self.local.path = path
        return self.local.file.pages[self.page(key.zplane)].asarray()


@right(FLAT)
class InitialisesLazilyUnderALock(Memory):
    thread_safe = True
    planes = None

    def __init__(self, image):
        super().__init__(image)
        self.lock = threading.Lock()

    def __getstate__(self):
        return {name: value for name, value in vars(self).items() if name != "lock"}

    def __setstate__(self, state):
        vars(self).update(state, lock=threading.Lock())

    def pixels_of(self, fov, key):
        with self.lock:
            if self.planes is None:
                self.planes = {k: self.array[self.index(self.fov, k)] for k in keys(self.extent)}
        self.index(fov, key)
        return self.planes[key].copy()
