"""Loading data through a TileFetcher.
=======================================

A ``TileFetcher`` hands out the 2-D tiles of a 5-D image one by one, from whatever files hold
them. The image is loaded without being converted first. Two things decide whether that goes well:
the fetcher has to return the tile that it was asked for, and tiles have to be asked for in an
order that suits the files.

This page writes an image of 4 rounds, 3 channels and 5 z-planes as one 3-D TIFF for each round
and channel, loads it through a fetcher, and shows a mistake that is easily made: the tutorial of
starfish that this page follows has been published with it.
"""

# %%
# An image that we know
# ---------------------
# Float32 pixels between 0 and 1, as starfish wants them.

import functools
import os
import tempfile

import imageio.v2 as imageio
import numpy as np

from starfish_fetch import Axes, Coordinates, FetchedTile, ImageStack, TileFetcher

num_r, num_c, num_z = 4, 3, 5
tile_shape = {Axes.Y: 120, Axes.X: 30}
image = np.random.default_rng(0).random((num_r, num_c, num_z, 120, 30), dtype=np.float32)

# %%
# One file for each round and channel
# -----------------------------------

folder = tempfile.TemporaryDirectory()

for r in range(num_r):
    for c in range(num_c):
        imageio.volwrite(os.path.join(folder.name, f"r{r}_c{c}.tiff"), image[r, c])

# %%
# The fetcher
# -----------
# Each file holds all z-planes, and TIFF readers like to read whole files. So the last file is
# kept: as long as the next tile comes from the same file, nothing is read again.


@functools.lru_cache(maxsize=1)
def read_volume(path):
    return imageio.volread(path, format="tiff")


class VolumeTile(FetchedTile):
    def __init__(self, path, zplane):
        self.path = path
        self.zplane = zplane

    @property
    def shape(self):
        return tile_shape

    @property
    def coordinates(self):
        return {
            Coordinates.X: (0.0, 0.001),
            Coordinates.Y: (0.0, 0.001),
            Coordinates.Z: (0.001 * self.zplane, 0.001 * (self.zplane + 1)),
        }

    def tile_data(self):
        # A copy: whoever writes into the tile must not write into the cache.
        return read_volume(self.path)[self.zplane].copy()


# %%
# Here is the mistake. ``get_tile`` receives the labels of the tile, but the name of the file is
# made of ``r`` and ``c``: these are the variables of the loop that wrote the files. They still
# exist, and still hold the values that they had at its end. Nothing fails.


class MistakenFetcher(TileFetcher):
    def get_tile(self, fov_id, round_label, ch_label, zplane_label):
        return VolumeTile(os.path.join(folder.name, f"r{r}_c{c}.tiff"), zplane_label)


def load(fetcher):
    return ImageStack.from_tilefetcher(
        fetcher,
        tile_shape,
        fov=0,
        rounds=range(num_r),
        chs=range(num_c),
        zplanes=range(num_z),
        group_by=(Axes.ROUND, Axes.CH),
    )


mistaken = load(MistakenFetcher()).to_numpy()
print("a stack of the right shape:", mistaken.shape)
print("the right pixels:", np.array_equal(mistaken, image))
print("every round and channel is the last one:", bool((mistaken == image[-1, -1]).all()))

# %%
# The mend: only the labels decide.


class VolumeFetcher(TileFetcher):
    def get_tile(self, fov_id, round_label, ch_label, zplane_label):
        path = os.path.join(folder.name, f"r{round_label}_c{ch_label}.tiff")
        return VolumeTile(path, zplane_label)


# %%
# Loading
# -------
# ``group_by=(Axes.ROUND, Axes.CH)`` holds a round as long as possible, within it a channel, and
# runs through the z-planes fastest: all tiles of a file follow one another, and each of the 12
# files is read once. With ``group_by=(Axes.ZPLANE,)`` each of the 60 tiles would read a file.

stack = load(VolumeFetcher())
print(stack)
assert np.array_equal(stack.to_numpy(), image)

read_volume.cache_clear()
load(VolumeFetcher()).load()
print("files read, round and channel held:", read_volume.cache_info().misses)
assert read_volume.cache_info().misses == num_r * num_c

# %%
# What was loaded is what was written.

assert np.array_equal(load(VolumeFetcher()).to_numpy(), image)
folder.cleanup()
