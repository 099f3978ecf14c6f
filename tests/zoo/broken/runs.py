"""Fetchers that do not come to an end as they should."""

import os
import time

import numpy as np
import tifffile

from .._bases import Files, Memory, Tile
from .._entry import sin
from .._images import image

FLAT = image(2, 2, 2)

MADE = "fetcher_can_be_made"
HAD = "every_tile_can_be_had"
LAST = (1, 1, 1)


@sin(HAD, of=FLAT)
class ExitsOnOneTile(Files):
    def pixels_of(self, fov, key):
        if key == LAST:
            raise SystemExit("no such acquisition")
        return super().pixels_of(fov, key)


@sin(HAD, of=FLAT)
class RecursesForever(Memory):
    def __init__(self, image):
        super().__init__(image)
        self.tile = _EndlessTile


class _EndlessTile(Tile):
    @property
    def shape(self):
        return dict(self.shape)


@sin(HAD, of=FLAT, deadline=2)
class HangsOnOneTile(Files):
    def pixels_of(self, fov, key):
        if key == LAST:
            time.sleep(600)
        return super().pixels_of(fov, key)


# Nor does it ever say that a label, or a file, is not there.
@sin(
    HAD,
    of=FLAT,
    also=["unknown_labels_are_refused", "missing_files_are_errors"],
    deadline=2,
)
class WaitsForAFileToAppear(Files):
    def pixels_of(self, fov, key):
        path = self.path(fov, *key).replace("c1_z1", "c1_z2")
        while not os.path.exists(path):
            time.sleep(0.05)
        return tifffile.imread(path, key=0)


@sin(HAD, of=FLAT)
class AsksForPetabytes(Files):
    def pixels_of(self, fov, key):
        if key == LAST:
            return np.ones((1 << 25, 1 << 25))
        return super().pixels_of(fov, key)


@sin(HAD, of=FLAT)
class RaisesOnOneTile(Memory):
    def pixels_of(self, fov, key):
        if key == LAST:
            raise RuntimeError("corrupted stream")
        return super().pixels_of(fov, key)


@sin(HAD, of=FLAT)
class FindsNoFileForOneTile(Files):
    def path(self, fov, r, c, z):
        names = sorted(os.listdir(self.root))
        end = f"r{r}_c{c}_z{z}.tiff".replace("r1_c1_z1", "R1_C1_Z1")
        return os.path.join(self.root, next(name for name in names if name.endswith(end)))


@sin(HAD, of=FLAT)
class HasNoPixelsForOneRound(Files):
    def path(self, fov, r, c, z):
        return super().path(fov, r, c, z).replace("_r1_", "_r01_")


@sin(HAD, of=FLAT)
class ReturnsNoTile(Files):
    def get_tile(self, fov, r, c, z):
        super().get_tile(fov, r, c, z)


class _Bare:
    def __init__(self, fetcher, fov, key):
        self.fetcher, self.fov, self.key = fetcher, fov, key
        self.shape = fetcher.shape_of(key)

    def tile_data(self):
        return self.fetcher.pixels_of(self.fov, self.key)


@sin(HAD, of=FLAT, also=["coordinates_are_valid"])
class HasTilesWithoutCoordinates(Memory):
    tile = _Bare


class _TileWithExtras(Tile):
    @property
    def extras(self):
        return self.fetcher.extras


@sin(HAD, of=FLAT)
class ListsItsExtras(Memory):
    tile = _TileWithExtras
    extras = ("10 ms", "60x")


@sin(HAD, of=FLAT)
class NamesExtrasAsAxes(Memory):
    tile = _TileWithExtras
    extras = {"r": "hyb 1", "exposure": 10}  # noqa: RUF012


@sin(HAD, of=FLAT)
class WantsKeywordsOnly(Memory):
    def get_tile(self, *, fov_id, round_label, ch_label, zplane_label):
        return super().get_tile(fov_id, round_label, ch_label, zplane_label)


@sin(MADE, of=FLAT)
def FailsWhenMade(image):
    raise FileNotFoundError("/data/experiment.json")


@sin(MADE, of=FLAT)
def ExitsWhenMade(image):
    raise SystemExit("usage: convert FOLDER")


@sin(MADE, of=FLAT, deadline=2)
def HangsWhenMade(image):
    time.sleep(600)
    return Files(image)


@sin(MADE, of=FLAT)
def HasNoGetTile(image):
    return {key: image.tile(*key) for key in [(0, 0, 0), (0, 0, 1)]}


@sin(MADE, of=FLAT)
def ForgetsToReturnTheFetcher(image):
    Files(image)
