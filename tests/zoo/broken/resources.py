"""What is read too early, kept too long, or named wrongly."""

import io
import os
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial

import numpy as np
import tifffile

from .._bases import Files, Memory, Stacks, Tile
from .._entry import sin
from .._images import image

FLAT = image()
SMALL = image(2, 2, 2)
STACK = image(layout="fov{fov}_r{r}_c{c}.tiff", inner="z")
LARGE = image(3, 4, 2, (96, 80))

EARLY = "metadata_reads_no_pixels"
HANDLES = "file_handles_are_returned"
LEFT = "threads_and_files_are_returned"
MEMORY = "memory_is_bounded"
SOURCES = "sources_are_truthful"

_left = []


def give_back():
    """Close, stop and delete what the fetchers of this module have left."""
    _opened.cache_clear()
    while _left:
        _left.pop()()


class _DecodedShape(Tile):
    @property
    def shape(self):
        rows, columns = self.tile_data().shape
        return {"y": rows, "x": columns}


@sin(EARLY, of=FLAT, warns=True)
class ShapeDecodesTheFile(Files):
    tile = _DecodedShape


class _EagerTile(Tile):
    def __init__(self, fetcher, fov, key):
        super().__init__(fetcher, fov, key)
        self.pixels = fetcher.pixels_of(fov, key)

    def tile_data(self):
        return self.pixels.copy()


@sin(EARLY, of=FLAT, warns=True)
class GetTileReadsThePixels(Files):
    tile = _EagerTile


@sin(EARLY, of=STACK, warns=True)
class CoordinatesDecodeTheStack(Stacks):
    def coordinates_of(self, fov, key):
        planes = tifffile.imread(self.path(fov, key.round, key.ch))
        return {"xc": (0.0, 9.5), "yc": (0.0, 11.5), "zc": key.zplane * 2.0 / len(planes)}


@sin(EARLY, of=FLAT, warns=True)
class SourceReadsThePixels(Files):
    def source(self, fov, r, c, z):
        path = self.path(fov, r, c, z)
        tifffile.imread(path, key=0)
        return path


@sin(HANDLES, of=SMALL)
class LeaksFileHandles(Files):
    def __init__(self, image):
        super().__init__(image)
        self.opened = []

    def pixels_of(self, fov, key):
        self.opened.append(open(self.path(fov, *key), "rb"))  # noqa: SIM115
        return tifffile.imread(self.opened[-1], key=0)


@sin(HANDLES, of=SMALL)
class LeaksDescriptors(Files):
    def pixels_of(self, fov, key):
        descriptor = os.open(self.path(fov, *key), os.O_RDONLY)
        _left.append(partial(os.close, descriptor))
        data = os.read(descriptor, os.fstat(descriptor).st_size)
        return tifffile.imread(io.BytesIO(data), key=0)


@sin(HANDLES, of=SMALL)
class OpensAFileForEachTileObject(Files):
    class tile(Tile):
        def __init__(self, fetcher, fov, key):
            super().__init__(fetcher, fov, key)
            self.file = tifffile.TiffFile(fetcher.path(fov, *key))
            _left.append(self.file.close)

        def tile_data(self):
            return self.file.pages[0].asarray()


# Not the fetcher's: they stay open when it is gone.
@lru_cache(maxsize=64)
def _opened(path):
    file = tifffile.TiffFile(path)
    _left.append(file.close)
    return file


@sin(HANDLES, of=STACK, warns=True)
class KeepsFilesOpenForTheProcess(Stacks):
    def pixels_of(self, fov, key):
        file = _opened(self.path(fov, key.round, key.ch))
        return file.pages[self.page(key.zplane)].asarray()


@sin(LEFT, of=FLAT, warns=True)
class LeavesTemporaryFiles(Files):
    def pixels_of(self, fov, key):
        with tempfile.NamedTemporaryFile(suffix=".npy", delete=False) as file:
            _left.append(partial(os.unlink, file.name))
            np.save(file, super().pixels_of(fov, key))
        return np.load(file.name)


@sin(LEFT, of=FLAT, warns=True)
class LeavesAThreadPerFetcher(Files):
    def __init__(self, image):
        super().__init__(image)
        self.wake = threading.Event()
        _left.append(self.wake.set)
        self.prefetcher = threading.Thread(target=self.wake.wait, daemon=True)
        self.prefetcher.start()


@sin(LEFT, of=FLAT, warns=True)
class LeavesAPoolPerTile(Files):
    def pixels_of(self, fov, key):
        pool = ThreadPoolExecutor(1)
        _left.append(pool.shutdown)
        return pool.submit(super().pixels_of, fov, key).result()


@sin(MEMORY, of=LARGE, warns=True)
class KeepsEveryTile(Files):
    def __init__(self, image):
        super().__init__(image)
        self.seen = {}

    def pixels_of(self, fov, key):
        if (fov, key) not in self.seen:
            self.seen[fov, key] = super().pixels_of(fov, key)
        return self.seen[fov, key].copy()


@sin(MEMORY, of=LARGE, warns=True)
class KeepsAHistory(Files):
    def __init__(self, image):
        super().__init__(image)
        self.history = []

    def pixels_of(self, fov, key):
        pixels = super().pixels_of(fov, key)
        self.history.append((key, pixels))
        return pixels.copy()


@sin(SOURCES, of=FLAT, warns=True)
class NamesAnotherFile(Files):
    def source(self, fov, r, c, z):
        return self.path(fov, 0, c, z)


@sin(SOURCES, of=FLAT, warns=True)
class NamesAFileThatIsNotThere(Files):
    def source(self, fov, r, c, z):
        return f"{self.root}/images/fov{fov}_r{r}_c{c}_z{z}.tiff"


@sin(SOURCES, of=FLAT)
class NamesSourcesWithLists(Files):
    def source(self, fov, r, c, z):
        return [self.root, r, c, z]


@sin(SOURCES, of=FLAT)
class HasNoNameForOneSource(Memory):
    def source(self, fov, r, c, z):
        return {0: "dapi", 1: "cy3"}[c]


@sin(SOURCES, of=image(2, 2, 2), warns=True)
class NamesTheProgramThatReads(Files):
    def source(self, fov, r, c, z):
        return __file__
