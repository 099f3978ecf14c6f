"""Right fetchers that read TIFF files, in as many ways as people write them."""

from functools import lru_cache
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import tifffile

import synth
from starfish_fetch import Axes, Coordinates, FetchedTile, Layout, TiffTileFetcher, TileFetcher
from starfish_fetch.axes import Extent

from .._bases import Fetcher, Files, Stacks
from .._entry import right
from .._images import Image, Pixels, image, keys, random, scratch

FLAT = image()
STACK = image(layout="fov{fov}_r{r}_c{c}.tiff", inner="z")
ROUNDS = image(2, 3, 2, layout="fov{fov}_r{r}.tiff", inner="cz")
FOVS = image(2, 3, 2, fovs=(0, 2, 5), fov=2)
INDEX = image(3, 2, 2, content="index")


@right(
    FLAT,
    STACK,
    ROUNDS,
    image(2, 3, 2, layout="fov{fov}.tiff", inner="rcz"),
    image(2, 3, 2, layout="c{c}/z{z:03d}.tif", inner="r"),
    image((1, 4), (0, 2, 5), (3, 7), layout="hyb{r}/{z}.tiff", inner="c", byteorder=">"),
    image(2, 2, 3, compression="deflate", layout="fov{fov}_r{r}_c{c}.tiff", inner="z"),
    image(2, 2, 2, bigtiff=True, ome=False),
    INDEX,
    FOVS,
    image(1, 1, 1),
)
def TiffTiles(image):
    return image.dataset.fetcher(image.fov)


@right(*(image(2, 2, 2, dtype=d) for d in ("uint8", "int16", "uint32", "float32", "float64")))
def TiffTilesOfDtype(image):
    return image.dataset.fetcher()


@right(FLAT, INDEX, image((-2, 0, 3), (1, 2), (-1, 10)), image(2, 12, 1))
class OneFilePerTile(Files):
    pass


@right(STACK, image(2, (5, 3), (4, 9), layout="fov{fov}_r{r}_c{c}.tiff", inner="z", ome=False))
class OneStackPerChannel(Stacks):
    pass


@right(STACK)
def AsInTheTutorial(image):
    folder, extent = Path(image.root), image.extent

    class DemoTile(FetchedTile):
        def __init__(self, path, z):
            self.path, self.z = path, z

        @property
        def shape(self):
            return {Axes.Y: 24, Axes.X: 20}

        @property
        def coordinates(self):
            return {
                Coordinates.X: (0.0, 9.5),
                Coordinates.Y: (0.0, 11.5),
                Coordinates.Z: (float(self.z), self.z + 1.0),
            }

        def tile_data(self):
            return iio.imread(self.path)[extent.zplanes.index(self.z)]

    class DemoFetcher(TileFetcher):
        def get_tile(self, fov_id, round_label, ch_label, zplane_label):
            name = f"fov{fov_id}_r{round_label}_c{ch_label}.tiff"
            return DemoTile(folder / name, zplane_label)

    return DemoFetcher()


class PlainTile:
    """Of no class of ours, and with plain strings for names."""

    def __init__(self, path):
        self.path, z = path, int(path[-6])
        self.shape = {"y": 24, "x": 20}
        self.coordinates = {"xc": (0, 9.5), "yc": (0, 11.5), "zc": (z, z + 1)}

    def tile_data(self):
        return tifffile.imread(self.path, key=0)


@right(FLAT)
class PlainFetcher:
    def __init__(self, image):
        self.root = image.root

    def get_tile(self, f, r, c, z, /):
        return PlainTile(f"{self.root}/fov{f}_r{r}_c{c}_z{z}.tiff")


@lru_cache(maxsize=1)
def _volume(path):
    return tifffile.imread(path)


@right(STACK)
class CachesOneVolumeAndCopies(Stacks):
    def pixels_of(self, fov, key):
        return _volume(self.path(fov, key.round, key.ch))[self.page(key.zplane)].copy()


@lru_cache(maxsize=2)
def _frozen(path):
    pixels = tifffile.imread(path)
    pixels.flags.writeable = False
    return pixels


@right(STACK)
class CachesVolumesThatNobodyCanWrite(Stacks):
    def pixels_of(self, fov, key):
        return _frozen(self.path(fov, key.round, key.ch))[self.page(key.zplane)]


@right(FLAT)
class OneBufferButCopies(Files):
    def __init__(self, image):
        super().__init__(image)
        self.buffer = np.empty((24, 20), np.uint16)

    def pixels_of(self, fov, key):
        np.copyto(self.buffer, super().pixels_of(fov, key))
        return self.buffer.copy()


@right(image(2, 2, 2, byteorder=">", ome=False), image(2, 2, 2, (9, 33), ome=False))
class RawBytesOfATiff(Files):
    """Returns what frombuffer does: read-only, and in the file's byte order."""

    def pixels_of(self, fov, key):
        rows, columns = self.extent.tile_shape.values()
        with tifffile.TiffFile(self.path(fov, *key)) as file:
            (offset,), (count,) = file.pages[0].dataoffsets, file.pages[0].databytecounts
            file.filehandle.seek(offset)
            data = file.filehandle.read(count)
            order = file.byteorder
        if len(data) != rows * columns * 2:
            raise EOFError(f"{self.path(fov, *key)} is truncated")
        return np.frombuffer(data, f"{order}u2").reshape(rows, columns)


@right(FOVS, image(2, 3, 2, fovs=(0, 2, 5), fov=5))
class OpensTheExperimentWhenFirstAsked(Fetcher):
    planes = None

    def __init__(self, image):
        super().__init__(image)
        self.folder = image.root

    def pixels_of(self, fov, key):
        if self.planes is None:
            dataset = synth.Dataset.open(self.folder)
            self.planes = {
                (f, *k): str(dataset.root / dataset.layout.path(f, *k))
                for f in dataset.spec.fovs
                for k in keys(self.extent)
            }
        return tifffile.imread(self.planes[fov, *key], key=0)

    def coordinates_of(self, fov, key):
        left = (0, 2, 5).index(fov) * 10.0
        return {**super().coordinates_of(0, key), "xc": (left, left + 9.5)}


def _without_background():
    def tile(round, ch, zplane):
        pixels = FLAT.tile(round, ch, zplane)
        return pixels - np.minimum(pixels, np.uint16(500))

    return tile


@right(FLAT, oracle=_without_background)
class SubtractsABackground(Files):
    def pixels_of(self, fov, key):
        pixels = super().pixels_of(fov, key)
        return pixels - np.minimum(pixels, np.uint16(500))


class _Part(Image):
    @property
    def extent(self):
        whole = super().extent
        return whole.of(whole.rounds[1:], whole.chs[::2], whole.zplanes[:1])


@right(_Part(FLAT.spec, FLAT.layout))
class ReadsAPartOfWhatThereIs(Files):
    pass


@right(_Part(STACK.spec, STACK.layout))
class ReadsAPartOfEachStack(Stacks):
    def page(self, z):
        return range(2).index(z)


@right(STACK)
class ReadsAChannelAhead(Stacks):
    """Keeps the last volume, as real fetchers do, and notes it when it is there."""

    known = None, None

    def pixels_of(self, fov, key):
        path = self.path(fov, key.round, key.ch)
        if self.known[0] != path:
            self.known = path, tifffile.imread(path)
        return self.known[1][self.page(key.zplane)].copy()


@right(FLAT)
class RetriesOnceAndThenRaises(Files):
    def pixels_of(self, fov, key):
        try:
            return super().pixels_of(fov, key)
        except OSError:
            return super().pixels_of(fov, key)


@right(Pixels(random((2, 2, 2, 12, 10), "uint8")))
def MadeWithTheLibrarysReader(image):
    """Files of another program, read by a layout."""
    folder = scratch() / "MadeWithTheLibrarysReader"
    if not folder.exists():
        folder.mkdir()
        for (r, c), planes in zip(np.ndindex(2, 2), image.array.reshape(4, 2, 12, 10), strict=True):
            tifffile.imwrite(folder / f"{c}-{r}.tif", planes, photometric="minisblack")
    extent = Extent({"y": 12, "x": 10}, 0, (0, 1), (0, 1), (0, 1))
    return TiffTileFetcher(folder, Layout("{c}-{r}.tif", inner="z"), extent)
