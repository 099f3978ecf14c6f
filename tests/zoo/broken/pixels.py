"""Tiles that are no 2-D arrays of the file's own intensities."""

import numpy as np
import tifffile
from PIL import Image as PillowImage

from .._bases import Files, Memory, Stacks, Tile
from .._entry import sin
from .._images import Pixels, graded, image

FLAT = image()
SQUARE = image(2, 2, 2, (20, 20))
SMALL = image(2, 2, 2)
STACK = image(2, 2, 3, layout="fov{fov}_r{r}_c{c}.tiff", inner="z")

ARRAY = "pixels_are_a_2d_array"
SHAPES = "shapes_agree"
REGIONS = "regions_agree"
DTYPES = "dtypes_agree"
TURNED = "orientation_is_kept"
RANGE = "intensities_are_in_range"
UNTOUCHED = "intensities_are_untouched"
EXPECTED = "pixels_are_as_expected"
TAKEN = "labels_are_honoured"


@sin(ARRAY, of=SMALL)
class ReturnsLists(Files):
    def pixels_of(self, fov, key):
        return super().pixels_of(fov, key).tolist()


@sin(ARRAY, of=SMALL)
class ReturnsMemoryviews(Memory):
    def pixels_of(self, fov, key):
        return memoryview(super().pixels_of(fov, key))


@sin(ARRAY, of=SMALL)
class ReturnsMatrices(Memory):
    def pixels_of(self, fov, key):
        return np.asmatrix(super().pixels_of(fov, key))


@sin(ARRAY, of=SMALL)
class ReturnsMaskedArrays(Files):
    def pixels_of(self, fov, key):
        return np.ma.masked_greater(super().pixels_of(fov, key), 60000)


@sin(ARRAY, of=SMALL)
class ReturnsObjects(Memory):
    def pixels_of(self, fov, key):
        return super().pixels_of(fov, key).astype(object)


@sin(ARRAY, of=SMALL)
class ReturnsPillowImages(Files):
    def pixels_of(self, fov, key):
        with PillowImage.open(self.path(fov, *key)) as opened:
            return opened.copy()


@sin(ARRAY, of=STACK, also=[SHAPES])
class KeepsALeadingAxis(Stacks):
    def pixels_of(self, fov, key):
        page = self.page(key.zplane)
        return tifffile.imread(self.path(fov, key.round, key.ch))[page : page + 1]


@sin(ARRAY, of=SMALL, also=[SHAPES])
class ReturnsColours(Memory):
    def pixels_of(self, fov, key):
        return np.stack([super().pixels_of(fov, key)] * 3, axis=-1)


@sin(ARRAY, of=SMALL, also=[SHAPES])
class ReturnsFlatPixels(Files):
    def pixels_of(self, fov, key):
        return np.fromfile(self.path(fov, *key), np.uint16)[-24 * 20 :]


@sin(ARRAY, of=SMALL)
class ReturnsComplexNumbers(Memory):
    def pixels_of(self, fov, key):
        spectrum = np.fft.fft2(super().pixels_of(fov, key) / 65535)
        return np.fft.ifft2(spectrum)


@sin(ARRAY, of=SMALL, also=["every_tile_can_be_had"])
class ForgetsToReturn(Memory):
    def pixels_of(self, fov, key):
        super().pixels_of(fov, key)


@sin(SHAPES, of=SMALL)
class SwapsTheShape(Files):
    def shape_of(self, key):
        return {"y": 20, "x": 24}


@sin(SHAPES, of=SMALL, also=[TURNED, "every_tile_can_be_had"])
class TransposesOblongTiles(Memory):
    def pixels_of(self, fov, key):
        return super().pixels_of(fov, key).T.copy()


@sin(SHAPES, of=SMALL, also=[EXPECTED])
class CropsTheLastTile(Memory):
    def pixels_of(self, fov, key):
        pixels = super().pixels_of(fov, key)
        return pixels[:-4] if key == (1, 1, 1) else pixels


@sin(SHAPES, of=SMALL, also=["every_tile_can_be_had"])
class ShapeIsATuple(Files):
    def shape_of(self, key):
        return 24, 20


@sin(SHAPES, of=SMALL, also=[EXPECTED, TAKEN])
class BinsTwoByTwo(Memory):
    def shape_of(self, key):
        return {"y": 12, "x": 10}

    def pixels_of(self, fov, key):
        return super().pixels_of(fov, key)[::2, ::2].copy()


def _regional(region):
    """Make a class of tiles with a region of its own."""

    class RegionalTile(Tile):
        def tile_region(self, rows, columns):
            return region(self.tile_data(), rows, columns)

    return RegionalTile


@sin(REGIONS, of=SMALL)
class RegionSwapsRowsAndColumns(Files):
    tile = _regional(lambda pixels, rows, columns: pixels[columns, rows])


@sin(REGIONS, of=SMALL)
class RegionIsTheWholeTile(Memory):
    tile = _regional(lambda pixels, rows, columns: pixels)


@sin(REGIONS, of=SMALL)
class RegionStartsAtTheOrigin(Memory):
    tile = _regional(
        lambda pixels, rows, columns: pixels[
            : rows.stop - rows.start, : columns.stop - columns.start
        ]
    )


@sin(REGIONS, of=SMALL)
class RegionIncludesItsEnd(Files):
    tile = _regional(
        lambda pixels, rows, columns: pixels[
            rows.start : rows.stop + 1, columns.start : columns.stop + 1
        ]
    )


class _RowsFromTheTop:
    def __init__(self, pixels):
        self.pixels, self.dtype = pixels, pixels.dtype

    def read(self, row, out):
        out[...] = self.pixels[row : row + len(out)]


class _TileOfRows(Tile):
    def row_reader(self, rows):
        return _RowsFromTheTop(self.tile_data())


@sin(REGIONS, of=SMALL)
class RowReaderForgetsItsFirstRow(Memory):
    tile = _TileOfRows


@sin(DTYPES, of=SMALL, also=[UNTOUCHED])
class ReturnsFloatsForOneChannel(Files):
    def pixels_of(self, fov, key):
        pixels = super().pixels_of(fov, key)
        return pixels / np.float32(65535) if key.ch == 1 else pixels


@sin(DTYPES, of=SMALL, also=[UNTOUCHED, EXPECTED, RANGE])
class ReturnsSignedNumbersInTheLastTile(Memory):
    def pixels_of(self, fov, key):
        pixels = super().pixels_of(fov, key)
        return (pixels >> 1).astype(np.int16) if key == (1, 1, 1) else pixels


def _dim():
    return np.random.default_rng(5).integers(0, 256, (3, 2, 2, 24, 20), np.uint16)


@sin(DTYPES, of=Pixels(_dim), also=[UNTOUCHED], warns=True)
class SavesMemoryInOneRound(Memory):
    def pixels_of(self, fov, key):
        pixels = super().pixels_of(fov, key)
        return pixels.astype(np.uint8) if key.round == 2 else pixels


def _half_as_deep():
    def tile(round, ch, zplane):
        pixels = _dim()[round, ch, zplane]
        return pixels.astype(np.uint8) if round == 1 else pixels

    return tile


@sin(DTYPES, of=Pixels(_dim), oracle=_half_as_deep, warns=True)
class HasOneRoundOfAnotherCamera(Memory):
    def pixels_of(self, fov, key):
        pixels = super().pixels_of(fov, key)
        return pixels.astype(np.uint8) if key.round == 1 else pixels


@sin(TURNED, of=SQUARE, unseen=True)
class TransposesSquareTiles(Files):
    def pixels_of(self, fov, key):
        return super().pixels_of(fov, key).T.copy()


@sin(TURNED, of=SMALL, unseen=True)
class FlipsVertically(Files):
    def pixels_of(self, fov, key):
        return np.flipud(super().pixels_of(fov, key)).copy()


@sin(TURNED, of=SQUARE, unseen=True)
class RotatesOneRound(Memory):
    def pixels_of(self, fov, key):
        return np.rot90(super().pixels_of(fov, key), key.round).copy()


@sin(UNTOUCHED, of=FLAT, also=[EXPECTED])
class StretchesEachTile(Files):
    def pixels_of(self, fov, key):
        pixels = super().pixels_of(fov, key).astype(np.float32)
        return (pixels - pixels.min()) / (pixels.max() - pixels.min())


@sin(UNTOUCHED, of=Pixels(graded), also=[EXPECTED])
class StretchesEachTileToTheWholeRange(Memory):
    def pixels_of(self, fov, key):
        pixels = super().pixels_of(fov, key)
        return (pixels * (65535 / pixels.max())).round().astype(np.uint16)


@sin(UNTOUCHED, of=FLAT, also=[EXPECTED], unseen=True)
class WrapsToEightBits(Files):
    def pixels_of(self, fov, key):
        return super().pixels_of(fov, key).astype(np.uint8)


@sin(UNTOUCHED, of=FLAT, also=[EXPECTED])
class ClipsAtTwelveBits(Memory):
    def pixels_of(self, fov, key):
        return np.clip(super().pixels_of(fov, key), 0, 4095)


@sin(UNTOUCHED, of=image(byteorder=">", ome=False), also=[EXPECTED], unseen=True)
class ReadsBigEndianAsLittle(Files):
    def pixels_of(self, fov, key):
        with tifffile.TiffFile(self.path(fov, *key)) as file:
            offset = file.pages[0].dataoffsets[0]
            with open(file.filehandle.path, "rb") as raw:
                raw.seek(offset)
                data = raw.read(24 * 20 * 2)
        if len(data) != 24 * 20 * 2:
            raise EOFError(file.filename)
        return np.frombuffer(data, "<u2").reshape(24, 20)


@sin(UNTOUCHED, of=FLAT, also=[EXPECTED], unseen=True)
class AdjustsTheContrast(Memory):
    def pixels_of(self, fov, key):
        pixels = super().pixels_of(fov, key) / 65535
        return (pixels**0.8).astype(np.float32)


@sin(RANGE, of=FLAT, also=[UNTOUCHED, EXPECTED])
class ConvertsToFloatWithoutDividing(Files):
    def pixels_of(self, fov, key):
        return super().pixels_of(fov, key).astype(np.float32)


@sin(RANGE, of=FLAT, also=[UNTOUCHED, EXPECTED])
class SubtractsBelowZero(Memory):
    def pixels_of(self, fov, key):
        return super().pixels_of(fov, key).astype(np.int32) - 10000


@sin(RANGE, of=image(dtype="float32"), also=[UNTOUCHED, EXPECTED], warns=True)
class MarksDeadPixelsWithNaN(Memory):
    def pixels_of(self, fov, key):
        pixels = super().pixels_of(fov, key)
        pixels[3, 4] = np.nan
        return pixels


@sin(RANGE, of=image(dtype="float32"), also=[UNTOUCHED, EXPECTED])
class DividesByADarkFlatField(Memory):
    def pixels_of(self, fov, key):
        flat = np.ones((24, 20), np.float32)
        flat[7, 7] = 0
        with np.errstate(divide="ignore", invalid="ignore"):
            return super().pixels_of(fov, key) / flat


@sin(RANGE, of=image(dtype="float64"), also=[UNTOUCHED, EXPECTED])
class OvershootsInOneTile(Memory):
    def pixels_of(self, fov, key):
        pixels = super().pixels_of(fov, key)
        return pixels * 1.5 if key == (2, 2, 1) else pixels


@sin(EXPECTED, of=FLAT, unseen=True)
class ShiftsByOnePixel(Files):
    def pixels_of(self, fov, key):
        return np.roll(super().pixels_of(fov, key), 1, axis=1)


@sin(EXPECTED, of=FLAT, also=["failures_are_not_pixels"], unseen=True)
class LeavesTheLastRowsEmpty(Files):
    def pixels_of(self, fov, key):
        pixels = np.zeros((24, 20), np.uint16)
        pixels[:16] = super().pixels_of(fov, key)[:16]
        return pixels
