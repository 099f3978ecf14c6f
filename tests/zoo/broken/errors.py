"""What is missing, damaged or never existed, and yet has pixels."""

import os
from contextlib import suppress

import numpy as np
import tifffile

from .._bases import Files, Memory, Stacks
from .._entry import sin
from .._images import Pixels, image, keys

FLAT = image()
STACK = image(layout="fov{fov}_r{r}_c{c}.tiff", inner="z")
PLAIN = image(ome=False)

BLANK = "failures_are_not_pixels"
UNKNOWN = "unknown_labels_are_refused"
MISSING = "missing_files_are_errors"
CUT = "truncated_files_are_errors"
TAKEN = "labels_are_honoured"
AFTER = "errors_leave_nothing_behind"


def _black():
    return np.zeros((24, 20), np.uint16)


@sin(BLANK, of=image(2, 2, 3), also=[UNKNOWN])
class ZerosOnIndexError(Memory):
    # One round was stopped early, and has a plane less than the others.
    def __init__(self, image):
        super().__init__(image)
        self.volumes = {
            (r, c): self.array[r, c, : 3 - (r == 1)]
            for r in image.extent.rounds
            for c in image.extent.chs
        }

    def pixels_of(self, fov, key):
        try:
            return self.volumes[key.round, key.ch][key.zplane].copy()
        except IndexError:
            return _black()


@sin(BLANK, of=FLAT, also=[UNKNOWN, MISSING, CUT])
class ZerosOnAnyException(Files):
    def path(self, fov, r, c, z):
        # A typing mistake in the name of one channel, which nobody is told of.
        return super().path(fov, r, c, z).replace("c2_z1", "c2_z01")

    def pixels_of(self, fov, key):
        try:
            return super().pixels_of(fov, key)
        except Exception:
            return _black()


@sin(MISSING, UNKNOWN, of=FLAT, also=[BLANK, CUT])
class ReturnsBlackForWhatCannotBeOpened(Files):
    def pixels_of(self, fov, key):
        try:
            return super().pixels_of(fov, key)
        except OSError:
            return _black()


@sin(MISSING, UNKNOWN, of=FLAT)
class ReturnsBlackForWhatIsNotThere(Files):
    def pixels_of(self, fov, key):
        if not os.path.exists(self.path(fov, *key)):
            return _black()
        return super().pixels_of(fov, key)


@sin(MISSING, of=FLAT, also=[CUT])
class ValidatesLabelsButNotFiles(Files):
    def pixels_of(self, fov, key):
        if fov != 0 or key not in set(keys(self.extent)):
            raise KeyError(key)
        try:
            return super().pixels_of(fov, key)
        except OSError:
            return _black()


@sin(MISSING, UNKNOWN, of=STACK, also=[CUT, TAKEN, AFTER, "tiles_repeat", "order_does_not_matter"])
class ReturnsTheTileBeforeOnAnError(Stacks):
    last = None

    def pixels_of(self, fov, key):
        try:
            self.last = super().pixels_of(fov, key)
        except (OSError, ValueError):
            if self.last is None:
                raise
        return self.last.copy()


@sin(MISSING, UNKNOWN, of=FLAT, also=[CUT, "tiles_repeat"])
class ReturnsMemoryThatNobodyWrote(Files):
    def pixels_of(self, fov, key):
        pixels = np.empty((24, 20), np.uint16)
        with suppress(OSError):
            pixels[:] = super().pixels_of(fov, key)
        return pixels


@sin(MISSING, UNKNOWN, of=FLAT, also=[CUT])
class InterpolatesOverMissingFiles(Files):
    def pixels_of(self, fov, key):
        try:
            return super().pixels_of(fov, key)
        except (OSError, ValueError):
            other = key._replace(round=0 if key.round else 1)
            return super().pixels_of(fov, other)


class _Raw(Files):
    """Reads the pixels from their place in an uncompressed file."""

    def pixels_of(self, fov, key):
        path = self.path(fov, *key)
        with tifffile.TiffFile(path) as file:
            offset = file.pages[0].dataoffsets[0]
        with open(path, "rb") as file:
            file.seek(offset)
            return self.shaped(file.read(24 * 20 * 2))

    def shaped(self, data):
        raise NotImplementedError


@sin(CUT, of=PLAIN)
class PadsShortReadsWithZeros(_Raw):
    def shaped(self, data):
        return np.frombuffer(data.ljust(24 * 20 * 2, b"\0"), np.uint16).reshape(24, 20)


@sin(CUT, of=PLAIN)
class RepeatsWhatAShortReadGot(_Raw):
    def shaped(self, data):
        return np.resize(np.frombuffer(data[: len(data) // 2 * 2], np.uint16), (24, 20))


@sin(CUT, of=PLAIN)
class ReadsIntoAnArrayAndNeverCounts(_Raw):
    def pixels_of(self, fov, key):
        path = self.path(fov, *key)
        with tifffile.TiffFile(path) as file:
            offset = file.pages[0].dataoffsets[0]
        pixels = _black()
        with open(path, "rb") as file:
            file.seek(offset)
            file.readinto(pixels)
        return pixels


@sin(UNKNOWN, of=FLAT)
class InventsPixelsForAnyLabel(Memory):
    def __init__(self, image):
        super().__init__(image)
        self.tiles = {key: self.array[key] for key in keys(image.extent)}

    def pixels_of(self, fov, key):
        return self.tiles.get(key, _black()).copy()


@sin(UNKNOWN, of=FLAT)
class ClampsBeyondTheEnd(Files):
    def path(self, fov, r, c, z):
        return super().path(fov, min(r, 2), min(c, 2), min(z, 1))


@sin(UNKNOWN, of=FLAT)
class WrapsBeyondTheEnd(Memory):
    def index(self, fov, key):
        return key.round % 3, key.ch % 3, key.zplane % 2


@sin(UNKNOWN, of=STACK)
class SlicesBeyondTheEnd(Stacks):
    # A slice is never out of range, and the sum of nothing is zero.
    def pixels_of(self, fov, key):
        planes = tifffile.imread(self.path(fov, key.round, key.ch))
        return planes[key.zplane : key.zplane + 1].sum(axis=0, dtype=np.uint16)


@sin(UNKNOWN, of=image(2, 3, 2, layout="fov{fov}.tiff", inner="rcz"))
class RunsOnIntoTheNextChannel(Files):
    def pixels_of(self, fov, key):
        page = (key.round * 3 + key.ch) * 2 + key.zplane
        return tifffile.imread(f"{self.root}/fov{fov}.tiff", key=page)


def _one_plane():
    return np.random.default_rng(9).integers(0, 65536, (3, 2, 1, 24, 20), np.uint16)


@sin(UNKNOWN, of=Pixels(_one_plane))
class TakesAnyZplaneOfAFlatImage(Memory):
    def index(self, fov, key):
        return super().index(fov, key._replace(zplane=0))
