"""Right fetchers of images that look as if something were wrong."""

import numpy as np

from .._bases import Memory
from .._entry import right
from .._images import Pixels, graded, random


def _drawn(round, ch, zplane):
    rows, columns = np.mgrid[:24, :20]
    return np.uint16((rows * (3 + round) + columns * (5 + ch) + 1000 * zplane) % 4096)


def _generated():
    return np.array([[[_drawn(r, c, z) for z in range(2)] for c in range(3)] for r in range(3)])


@right(Pixels(_generated))
class ComputesItsPixels(Memory):
    def __init__(self, image):
        super().__init__(image)
        del self.array

    def pixels_of(self, fov, key):
        self.index(fov, key)
        return _drawn(*key)


def _blank():
    array = graded()
    array[1, 2] = array[0, :, 1] = 0
    return array


def _all_blank():
    return np.zeros((2, 2, 2, 8, 8), np.uint8)


def _all_alike():
    return np.broadcast_to(graded()[1, 1, 1], (3, 3, 2, 24, 20)).copy()


def _two_alike():
    array = graded()
    array[:, :, 1] = array[:, :, 0]
    return array


def _channels_alike():
    array = graded()
    array[:, 2] = array[:, 1]
    array[2] = array[1]
    return array


def _saturated():
    array = np.minimum(graded().astype(np.uint32) * 90, 65535).astype(np.uint16)
    array[:, :, :, 4:12, 3:15] = 65535
    return array


def _reaches_the_top():
    array = graded()
    array[..., 5, 5] = 65535
    array[..., 0, 0] = 0
    return array


def _exactly_to_one():
    array = np.random.default_rng(2).random((2, 3, 2, 24, 20), np.float32)
    array[..., 0, 0], array[..., 1, 1] = 0, 1
    return array


def _mirrored():
    half = graded()[..., :10]
    return np.concatenate([half, half[..., ::-1]], axis=-1)


def _squares_of_their_transpose():
    array = graded()[..., :20, :20]
    return array // 2 + array.swapaxes(-1, -2) // 2


def _tiny_masks():
    return np.random.default_rng(4).random((3, 3, 2, 2, 2)) > 0.5


def _pixels():
    return np.arange(1, 19, dtype=np.uint16).reshape(3, 3, 2, 1, 1) * 3000


@right(
    Pixels(_blank),
    Pixels(_all_blank),
    Pixels(_all_alike),
    Pixels(_two_alike),
    Pixels(_channels_alike),
    Pixels(_saturated),
    Pixels(_reaches_the_top),
    Pixels(_exactly_to_one),
    Pixels(_mirrored),
    Pixels(_squares_of_their_transpose),
    Pixels(_tiny_masks),
    Pixels(_pixels),
    Pixels(random((2, 2, 3, 1, 30), "uint16")),
    Pixels(random((2, 2, 3, 30, 1), "uint8")),
    Pixels(random((2, 2, 2, 12, 10), ">u2")),
    Pixels(random((2, 2, 2, 12, 10), "float16")),
    Pixels(random((2, 2, 2, 12, 10), ">f4")),
    Pixels(random((2, 2, 2, 12, 10), "int64")),
    Pixels(random((2, 1, 2, 12, 10), "int16"), ((3, 9), (4,), (-5, 5))),
    Pixels(random((1, 1, 1, 12, 10), "uint8"), ((7,), (7,), (7,)), fov=7),
)
class UnusualPixels(Memory):
    """Some tiles look alike; but only the labels that there are have any."""
