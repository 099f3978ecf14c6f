"""Right fetchers of what is in memory or in an array file."""

import numpy as np

from .._bases import Memory
from .._entry import right
from .._images import image, keys

FLAT = image()
FOVS = image(2, 3, 2, fovs=(0, 2, 5), fov=2)


@right(FLAT, image((10**12, -(10**9)), (7, 70), (1, 3)), image(2, 3, 2, fovs=2, fov=1))
class ArrayInMemory(Memory):
    pass


@right(FLAT)
class ReadOnlyViews(Memory):
    def __init__(self, image):
        super().__init__(image)
        self.array.flags.writeable = False

    def pixels_of(self, fov, key):
        return self.array[self.index(fov, key)]


@right(FLAT, image(2, 2, 2, dtype="float32"))
class FortranOrder(Memory):
    def pixels_of(self, fov, key):
        return np.asfortranarray(self.array[self.index(fov, key)])


@right(FLAT)
class EveryOtherPixelOfALargerArray(Memory):
    def pixels_of(self, fov, key):
        pixels = np.repeat(np.repeat(super().pixels_of(fov, key), 2, axis=0), 2, axis=1)
        return pixels[::2, ::2]


class _Npy(Memory):
    def __init__(self, image):
        super().__init__(image)
        self.file = image.npy
        del self.array


@right(FLAT)
class MapsAFileReadOnly(_Npy):
    def pixels_of(self, fov, key):
        return np.load(self.file, mmap_mode="r")[self.index(fov, key)]


@right(FLAT)
class HoldsAMemmap(_Npy):
    def __init__(self, image):
        super().__init__(image)
        self.array = np.load(self.file, mmap_mode="r")

    def pixels_of(self, fov, key):
        return np.array(self.array[self.index(fov, key)])


def _divided():
    return lambda *key: (FLAT.tile(*key) / np.float32(65535)).astype(np.float32)


@right(FLAT, oracle=_divided)
class DividesByOneNumberForAll(Memory):
    def pixels_of(self, fov, key):
        return (super().pixels_of(fov, key) / np.float32(65535)).astype(np.float32)


class SlottedTile:
    __slots__ = ("pixels", "z")

    shape = {"y": 24, "x": 20}  # noqa: RUF012

    def __init__(self, pixels, z):
        self.pixels, self.z = pixels, z

    @property
    def coordinates(self):
        return {"xc": (0.0, 9.5), "yc": (0.0, 11.5), "zc": (self.z * 1.0, self.z + 1.0)}

    def tile_data(self):
        return self.pixels.copy()


@right(FLAT)
class DictionaryOfTiles:
    def __init__(self, image):
        self.tiles = {key: SlottedTile(image.tile(*key), key.zplane) for key in keys(image.extent)}

    def get_tile(self, fov, *labels):
        if fov != 0:
            raise KeyError(fov)
        return self.tiles[labels]
