"""Right fetchers of which the tiles, or the names of sources, are out of the ordinary."""

from pathlib import Path

import numpy as np
import tifffile

from .._bases import Files, Memory, Stacks, Tile
from .._entry import right
from .._images import image

FLAT = image()
STACK = image(layout="fov{fov}_r{r}_c{c}.tiff", inner="z")


class RegionalTile(Tile):
    def tile_region(self, rows, columns):
        return self.tile_data()[rows][:, columns]


@right(FLAT, STACK)
class ReadsRegions(Files):
    tile = RegionalTile

    def pixels_of(self, fov, key):
        path = self.path(fov, *key)
        if Path(path).exists():
            return tifffile.imread(path, key=0)
        stack = f"{self.root}/fov{fov}_r{key.round}_c{key.ch}.tiff"
        return tifffile.imread(stack, key=self.extent.zplanes.index(key.zplane))


class TileWithExtras(Tile):
    @property
    def extras(self):
        return {"exposure": 10 * self.key.ch, "wheel": ("cy3", "cy5", "dapi")[self.key.ch]}


@right(FLAT)
class HasExtras(Files):
    tile = TileWithExtras


@right(FLAT)
class ZIsANumber(Files):
    def coordinates_of(self, fov, key):
        return {**super().coordinates_of(fov, key), "zc": key.zplane + 0.5}


@right(FLAT)
class ZIsNone(Files):
    def coordinates_of(self, fov, key):
        return {**super().coordinates_of(fov, key), "zc": None}


@right(FLAT)
class SaysNothingOfZ(Memory):
    def coordinates_of(self, fov, key):
        right = super().coordinates_of(fov, key)
        return {"xc": right["xc"], "yc": right["yc"]}


@right(FLAT)
class CoordinatesAreNumpyNumbers(Files):
    def coordinates_of(self, fov, key):
        right = super().coordinates_of(fov, key)
        return {name: tuple(np.asarray(pair, np.float32)) for name, pair in right.items()}


@right(FLAT, image(2, 3, 2, layout="r{r}/c{c}_z{z}.tiff"))
class NamesItsFiles(Files):
    def __init__(self, image):
        super().__init__(image)
        self.layout = image.layout

    def path(self, fov, r, c, z):
        if fov != self.extent.fov:
            raise KeyError(f"no field of view {fov}")
        return str(Path(self.root, self.layout.path(fov, r, c, z)))

    def source(self, fov, r, c, z):
        return self.path(fov, r, c, z)


@right(STACK)
class NamesItsFilesAsPaths(Stacks):
    def source(self, fov, r, c, z):
        return Path(self.path(fov, r, c))


@right(STACK)
class NamesItsSourcesOpaquely(Stacks):
    def source(self, fov, r, c, z):
        return "stack", fov, r, c
