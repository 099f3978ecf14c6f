"""Pixels that depend on what was asked before, or at the same time."""

import glob
import os
import threading

import numpy as np
import tifffile

from starfish_fetch import TileKey

from .._bases import Fetcher, Files, Memory, Stacks, Tile
from .._entry import sin
from .._images import Pixels, graded, image, keys

FLAT = image()
STACK = image(layout="fov{fov}_r{r}_c{c}.tiff", inner="z")
LARGE = image(2, 3, 4, (64, 48))

SHARED = "tiles_do_not_share_state"
ORDER = "order_does_not_matter"
REPEAT = "tiles_repeat"
THREADS = "threads_agree"
PICKLE = "pickling_keeps_pixels"
AFTER = "errors_leave_nothing_behind"
TAKEN = "labels_are_honoured"
UNTOUCHED = "intensities_are_untouched"


@sin(SHARED, of=FLAT, also=[ORDER, REPEAT, TAKEN, THREADS, AFTER])
class RemembersCurrentLabels(Files):
    current = None

    def get_tile(self, fov, r, c, z):
        self.current = fov, TileKey(r, c, z)
        return self.tile(self, fov, TileKey(r, c, z))

    def pixels_of(self, fov, key):
        fov, key = self.current
        return super().pixels_of(fov, key)


@sin(SHARED, of=STACK, also=[ORDER, REPEAT, TAKEN, AFTER, "z_follows_the_zplane"])
class IsItsOwnTile:
    def __init__(self, image):
        self.root, self.shape = image.root, image.extent.tile_shape

    def get_tile(self, fov, r, c, z):
        self.path, self.z = f"{self.root}/fov{fov}_r{r}_c{c}.tiff", z
        return self

    @property
    def coordinates(self):
        return {"xc": (0.0, 9.5), "yc": (0.0, 11.5), "zc": (self.z, self.z + 1.0)}

    def tile_data(self):
        return tifffile.imread(self.path, key=self.z)


@sin(SHARED, of=FLAT, also=[ORDER, REPEAT, TAKEN, AFTER, "z_follows_the_zplane"])
def KeepsLabelsOnTheClass(image):
    class ClassTile(Tile):
        def __init__(self, fetcher, fov, key):
            ClassTile.fetcher, ClassTile.fov, ClassTile.key = fetcher, fov, key

    class Fetcher(Files):
        tile = ClassTile

    return Fetcher(image)


@sin(SHARED, of=FLAT, also=[ORDER, REPEAT, TAKEN, AFTER, "z_follows_the_zplane"])
class HandsOutOneTileObject(Files):
    def __init__(self, image):
        super().__init__(image)
        self.only = Tile(self, image.fov, TileKey(0, 0, 0))

    def get_tile(self, fov, r, c, z):
        self.only.fov, self.only.key = fov, TileKey(r, c, z)
        return self.only


@sin(REPEAT, of=FLAT, also=[UNTOUCHED, "pixels_are_as_expected", ORDER, SHARED, AFTER])
class SubtractsTheDarkFrameInPlace(Memory):
    # Each time that a tile is asked for it gets darker.
    def pixels_of(self, fov, key):
        pixels = self.array[self.index(fov, key)]
        pixels -= np.minimum(pixels, 100)
        return pixels.copy()


@sin(REPEAT, of=FLAT, also=[UNTOUCHED, "pixels_are_as_expected", ORDER, SHARED, AFTER, PICKLE])
class DithersAtRandom(Files):
    def pixels_of(self, fov, key):
        pixels = super().pixels_of(fov, key)
        return pixels ^ np.random.default_rng().integers(0, 2, pixels.shape, pixels.dtype)


@sin(
    REPEAT,
    of=FLAT,
    also=["failures_are_not_pixels", "pixels_are_as_expected", ORDER, SHARED, AFTER],
)
class ReadsAStreamToItsEnd(Memory):
    # A file object stands at its end after the first read; what cannot be read stays black.
    def __init__(self, image):
        super().__init__(image)
        self.left = {
            key: iter([self.array[self.index(self.fov, key)]]) for key in keys(self.extent)
        }

    def pixels_of(self, fov, key):
        self.index(fov, key)
        return next(self.left[key], np.zeros((24, 20), np.uint16)).copy()


@sin(ORDER, of=Pixels(graded), also=[UNTOUCHED, "pixels_are_as_expected", SHARED, AFTER])
class ScalesByTheFirstTile(Memory):
    highest = None

    def pixels_of(self, fov, key):
        pixels = super().pixels_of(fov, key).astype(np.float32)
        if self.highest is None:
            self.highest = pixels.max()
        return np.minimum(pixels / self.highest, 1)


@sin(
    ORDER,
    REPEAT,
    of=FLAT,
    also=[
        TAKEN,
        UNTOUCHED,
        "pixels_are_as_expected",
        SHARED,
        AFTER,
        "failures_are_not_pixels",
    ],
)
class SubtractsTheTileBefore(Memory):
    before = None

    def pixels_of(self, fov, key):
        pixels = self.array[self.index(fov, key)]
        result = pixels if self.before is None else pixels - np.minimum(pixels, self.before)
        self.before = pixels
        return result.copy()


@sin(
    ORDER,
    of=STACK,
    also=["unknown_labels_are_refused", TAKEN, REPEAT, SHARED, AFTER, "every_tile_can_be_had"],
)
class ReloadsOnlyWhenTheChannelChanges(Stacks):
    channel = volume = None

    def pixels_of(self, fov, key):
        if key.ch != self.channel:
            self.volume = tifffile.imread(self.path(fov, key.round, key.ch))
            self.channel = key.ch
        return self.volume[self.page(key.zplane)].copy()


@sin(AFTER, of=FLAT, also=[TAKEN, ORDER, REPEAT, "every_tile_can_be_had"])
class RefusesAllAfterAnError(Files):
    failed = False

    def pixels_of(self, fov, key):
        if self.failed:
            raise RuntimeError("the reader is in an error state")
        try:
            return super().pixels_of(fov, key)
        except OSError:
            self.failed = True
            raise


@sin(AFTER, of=FLAT, also=[TAKEN, ORDER, REPEAT, "unknown_labels_are_refused"])
class MisalignsItsCacheAfterAnError(Files):
    def __init__(self, image):
        super().__init__(image)
        self.known, self.planes = [], []

    def pixels_of(self, fov, key):
        if (fov, key) not in self.known:
            self.known.append((fov, key))
            self.planes.append(super().pixels_of(fov, key))
        return self.planes[self.known.index((fov, key))].copy()


@sin(AFTER, "unknown_labels_are_refused", "missing_files_are_errors", of=STACK)
class AnswersARefusedLabelWhenAskedAgain(Stacks):
    # The path is noted before the file is read; if that fails, the volume stays another one's.
    path_read = volume = None

    def pixels_of(self, fov, key):
        path = self.path(fov, key.round, key.ch)
        if path != self.path_read:
            self.path_read = path
            self.volume = tifffile.imread(path)
        return self.volume[self.page(key.zplane)].copy()


class _Raw(Fetcher):
    """All planes in one file without a header."""

    def __init__(self, image):
        super().__init__(image)
        self.number = {key: n for n, key in enumerate(keys(image.extent))}
        self.file = image.raw
        self.count = image.array[0, 0, 0].nbytes

    def __getstate__(self):
        return {name: value for name, value in vars(self).items() if name not in ("handle", "lock")}

    def plane(self, data):
        rows, columns = self.extent.tile_shape.values()
        return np.frombuffer(bytes(data), np.uint16).reshape(rows, columns)


@sin(THREADS, of=LARGE)
class ThreadsShareOneFilePosition(_Raw):
    thread_safe = True

    def __init__(self, image):
        super().__init__(image)
        self.__setstate__({})

    def __setstate__(self, state):
        vars(self).update(state)
        self.handle = open(self.file, "rb", buffering=0)  # noqa: SIM115

    def pixels_of(self, fov, key):
        if fov != 0:
            raise KeyError(fov)
        self.handle.seek(self.number[key] * self.count)
        return self.plane(self.handle.read(self.count))


@sin(THREADS, of=LARGE)
class ThreadsShareOneBuffer(_Raw):
    thread_safe = True

    def __init__(self, image):
        super().__init__(image)
        self.buffer = bytearray(self.count)

    def pixels_of(self, fov, key):
        if fov != 0:
            raise KeyError(fov)
        with open(self.file, "rb") as file:
            file.seek(self.number[key] * self.count)
            if file.readinto(self.buffer) != self.count:
                raise EOFError(self.file)
        return self.plane(self.buffer)


@sin(THREADS, of=LARGE)
class ThreadsShareCurrentLabels(Files):
    thread_safe = True

    def pixels_of(self, fov, key):
        self.now = self.path(fov, *key)
        if not os.path.exists(self.now):
            raise FileNotFoundError(self.now)
        return tifffile.imread(self.now, key=0)


@sin(THREADS, of=LARGE, also=["errors_leave_nothing_behind", "every_tile_can_be_had"])
class InitialisesLazilyWithoutALock(_Raw):
    thread_safe = True
    volume = None

    def pixels_of(self, fov, key):
        if fov != 0:
            raise KeyError(fov)
        if self.volume is None:
            self.volume = np.zeros((len(self.number), *self.extent.tile_shape.values()), np.uint16)
            with open(self.file, "rb") as file:
                for plane in self.volume:
                    plane[:] = self.plane(file.read(self.count))
        return self.volume[self.number[key]].copy()


@sin(
    THREADS,
    of=LARGE,
    also=[AFTER, "unknown_labels_are_refused", "missing_files_are_errors", "every_tile_can_be_had"],
)
class NotesTheKeyBeforeThePixels(Files):
    thread_safe = True
    key = None
    pixels = np.zeros((64, 48), np.uint16)

    def pixels_of(self, fov, key):
        if self.key != (fov, key):
            self.key = fov, key
            self.pixels = super().pixels_of(fov, key)
        return self.pixels.copy()


@sin(THREADS, of=STACK)
class GuardsTheReadingButNotTheUse(Stacks):
    thread_safe = True

    def __init__(self, image):
        super().__init__(image)
        self.__setstate__(vars(self))

    def __getstate__(self):
        return {name: value for name, value in vars(self).items() if name != "lock"}

    def __setstate__(self, state):
        vars(self).update(state)
        self.path_read = self.volume = None
        self.lock = threading.Lock()

    def pixels_of(self, fov, key):
        path = self.path(fov, key.round, key.ch)
        with self.lock:
            if path != self.path_read:
                self.volume = tifffile.imread(path)
                self.path_read = path
        return self.volume[self.page(key.zplane)].copy()


@sin(PICKLE, of=image(1, 12, 1))
class ListsItsFilesInAnotherOrderWhenUnpickled(Files):
    def __init__(self, image):
        super().__init__(image)
        self.paths = [self.path(image.fov, 0, c, 0) for c in image.extent.chs]

    def __getstate__(self):
        return {"extent": self.extent, "root": self.root}

    def __setstate__(self, state):
        vars(self).update(state)
        self.paths = sorted(glob.glob(f"{self.root}/*.tiff"))

    def pixels_of(self, fov, key):
        if (fov, key.round, key.zplane) != (0, 0, 0):
            raise KeyError(key)
        return tifffile.imread(self.paths[key.ch], key=0)


@sin(PICKLE, of=FLAT)
class ForgetsItsBackgroundWhenPickled(Memory):
    def __init__(self, image):
        super().__init__(image)
        self.invert = True
        self.array = ~self.array

    def __getstate__(self):
        return {name: value for name, value in vars(self).items() if name != "invert"}

    invert = False

    def pixels_of(self, fov, key):
        pixels = super().pixels_of(fov, key)
        return ~pixels if self.invert else pixels


@sin(PICKLE, of=FLAT, warns=True)
class HoldsALock(Memory):
    def __init__(self, image):
        super().__init__(image)
        self.lock = threading.Lock()

    def pixels_of(self, fov, key):
        with self.lock:
            return super().pixels_of(fov, key)
