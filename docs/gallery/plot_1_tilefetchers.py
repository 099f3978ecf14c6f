"""
Loading data through TileFetchers
=================================

A microscope writes a 5-D image (round, channel, z-plane, y, x) into many files, each microscope in
its own way. A :class:`~starfish_fetch.TileFetcher` hands out the 2-D tiles of that image one by
one, from whatever files hold them, and so the image is loaded without being converted first. Two
things decide whether that goes well: the fetcher has to return the tile that it was asked for, and
tiles have to be asked for in an order that suits the files.

This page goes all the way, from files to an image with its labels and coordinates. On the way it
makes a mistake, which the tutorial of starfish that it follows has been published with.
"""

# %%
# An image in files
# -----------------
# The image is of 4 rounds, 3 channels and 5 z-planes, and synthetic: ``image`` is the truth, which
# we compare with at the end. Each round and channel goes into a file of its own, as a 3-D volume.

import tempfile
from functools import lru_cache

import imageio.v2 as imageio
import matplotlib.pyplot as plt
import numpy as np

import synth
from starfish_fetch import (
    Axes,
    Coordinates,
    CropParameters,
    Extent,
    FetchedTile,
    ImageStack,
    TileFetcher,
    to_float32,
)
from starfish_fetch.testing import check_fetcher

num_r, num_c, num_z, height, width = 4, 3, 5, 120, 160
spec = synth.Spec(num_r, num_c, num_z, (height, width), content="spots")
image = np.empty((num_r, num_c, num_z, height, width), np.uint16)
for r, c, z in np.ndindex(num_r, num_c, num_z):
    image[r, c, z] = synth.tile(spec, fov=0, round=r, ch=c, zplane=z)

folder = tempfile.TemporaryDirectory()
for r in range(num_r):
    for c in range(num_c):
        imageio.volwrite(f"{folder.name}/r{r}_c{c}.tiff", image[r, c])

# %%
# The tile
# --------
# A tile tells its ``shape`` and its physical ``coordinates``: first and last for x and y, a number
# or a pair for z. It reads its pixels only when ``tile_data`` is called.
#
# Here a file holds five tiles and is read whole. So the last file is kept, and as long as the next
# tile comes from the same file, nothing is read again.


@lru_cache(maxsize=1)
def read_volume(path):
    return imageio.volread(path)


class VolumeTile(FetchedTile):
    def __init__(self, path, zplane):
        self.path, self.zplane = path, zplane

    @property
    def shape(self):
        return {Axes.Y: height, Axes.X: width}

    @property
    def coordinates(self):  # pixels of 0.5 micrometres, z-planes of 1
        return {
            Coordinates.X: (0.0, 79.5),
            Coordinates.Y: (0.0, 59.5),
            Coordinates.Z: (float(self.zplane), float(self.zplane + 1)),
        }

    def tile_data(self):
        # A copy: whoever writes into the tile must not write into the cache.
        return read_volume(self.path)[self.zplane].copy()


# %%
# The fetcher, with a mistake
# ---------------------------
# ``get_tile`` receives the labels of a tile and returns the tile. But this one makes the name of
# the file of ``r`` and ``c``: the variables of the loops that wrote the files. They still exist,
# and hold what they held at the end.


class MistakenFetcher(TileFetcher):
    def get_tile(self, fov_id, round_label, ch_label, zplane_label):
        return VolumeTile(f"{folder.name}/r{r}_c{c}.tiff", zplane_label)


def load(fetcher, **options):
    return ImageStack.from_tilefetcher(
        fetcher,
        tile_shape={Axes.Y: height, Axes.X: width},
        fov=0,
        rounds=range(num_r),
        chs=range(num_c),
        zplanes=range(num_z),
        **options,
    )


mistaken = load(MistakenFetcher()).to_numpy()
print(mistaken.shape, mistaken.dtype)

# %%
# The shape is right, and nothing failed.
#
# Let it be checked
# -----------------
# :func:`~starfish_fetch.testing.check_fetcher` holds a fetcher to :doc:`the rules of the contract
# </reference/contract>`. By the first, :ref:`rule-C1`, each label selects its own tile.

extent = Extent({"y": height, "x": width}, 0, range(num_r), range(num_c), range(num_z))
report = check_fetcher(MistakenFetcher, extent)
print(report["labels_are_honoured"])

# %%
# That was found without knowing a single pixel: tiles that are identical under different labels are
# enough.
#
# The mend
# --------
# Only the labels decide.


class VolumeFetcher(TileFetcher):
    def get_tile(self, fov_id, round_label, ch_label, zplane_label):
        path = f"{folder.name}/r{round_label}_c{ch_label}.tiff"
        return VolumeTile(path, zplane_label)


def truth(round, ch, zplane):
    return image[round, ch, zplane]


report = check_fetcher(VolumeFetcher, extent, truth)
print(report)

# %%
# Given the truth, every pixel was compared. One warning is left. For a round that does not exist
# there is no file, and that is an error by itself; z-plane -1, in Python, is the last one. No load
# asks for it, but somebody's typing error may.


class StrictFetcher(VolumeFetcher):
    def get_tile(self, fov_id, round_label, ch_label, zplane_label):
        if fov_id != 0 or zplane_label not in range(num_z):
            raise ValueError(f"there is no fov {fov_id} with z-plane {zplane_label}")
        return super().get_tile(fov_id, round_label, ch_label, zplane_label)


report = check_fetcher(StrictFetcher, extent, truth)
print(report.summary())
assert not report.of("fail", "warn")

# %%
# What the mistake does to the data: where starfish looks for the code of a gene over rounds and
# channels, there was one picture, twelve times.

stack = load(StrictFetcher())
figure, halves = plt.subplots(1, 2, figsize=(9, 5), layout="constrained")
for axes, pixels, title in zip(
    halves,
    [mistaken, stack.to_numpy()],
    ["the mistake: always the last", "mended"],
    strict=True,
):
    # The left half of each tile, with a white line between tiles.
    tiles = np.full((num_r, num_c, height + 6, width // 2 + 6), np.nan)
    tiles[:, :, :-6, :-6] = pixels[:, :, 2, :, : width // 2]
    montage = np.block([list(tiles[:, c]) for c in range(num_c)])
    axes.imshow(montage, cmap="magma", vmin=0.015, vmax=0.12)
    axes.set_title(title, fontsize=18)
    axes.set_xticks(np.arange(num_r) * 86 + 40, range(num_r), fontsize=13)
    axes.set_yticks(np.arange(num_c) * 126 + 60, range(num_c), fontsize=13)
    axes.set_xlabel("round", fontsize=14)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
halves[0].set_ylabel("channel", fontsize=14)

# %%
# In which order?
# ---------------
# ``group_by`` names the axes, slowest first: ``(Axes.ROUND, Axes.CH)`` holds a round as long as
# possible, within it a channel, and runs through the z-planes fastest. All tiles of a file follow
# one another. ``(Axes.ZPLANE,)`` goes through all rounds and channels for one z-plane, and then
# again for the next.

for group_by in [(Axes.ROUND, Axes.CH), (Axes.ZPLANE,)]:
    read_volume.cache_clear()
    stack = load(StrictFetcher(), group_by=group_by)
    print(*group_by, "begins with", *(tuple(key) for key in list(stack.plan)[:3]))
    stack.load()
    print("  files read:", read_volume.cache_info().misses)

# %%
# 12 files are read once, or five times each. :doc:`plot_2_order` shows where that comes from and
# what it costs, and how a fetcher that names its ``source`` leaves the order to the loader.
#
# Labels and coordinates
# ----------------------
# The stack is loaded once, when pixels are wanted for the first time. :attr:`ImageStack.xarray
# <starfish_fetch.ImageStack.xarray>` is the same memory with its labels, and with the coordinates
# that the tiles told.

stack = load(StrictFetcher(), group_by=(Axes.ROUND, Axes.CH))
array = stack.xarray
print(array.coords)

# %%
# So pixels can be selected by label and by micrometre. Here is a corner of the first round: of its
# five z-planes the brightest pixel, in a colour for each channel.

corner = stack.sel_by_physical_coords(
    {Coordinates.X: (0.0, 40.0), Coordinates.Y: (0.0, 25.0)}
)
brightest = corner.xarray.sel(r=0).max("z").transpose("y", "x", "c")
colours = [[1.0, 0.55, 0.0], [0.1, 0.6, 1.0], [0.9, 0.3, 0.9]]
shades = np.clip((brightest.values - 0.045) / 0.09, 0, 1) @ colours

figure, axes = plt.subplots(figsize=(8, 5.4), layout="constrained")
left, right = brightest.xc[[0, -1]]
top, bottom = brightest.yc[[0, -1]]
axes.imshow(np.clip(shades, 0, 1), extent=(left, right, bottom, top))
axes.set_xlabel("x in micrometres", fontsize=14)
axes.set_ylabel("y in micrometres", fontsize=14)
axes.set_title("round 0: channels 0, 1, 2 in orange, blue, pink", fontsize=16)

# %%
# Less than everything
# --------------------
# What :class:`~starfish_fetch.CropParameters` leave out is not fetched, and neither is what ``sel``
# and ``isel`` leave out before the load: one round here, and so 3 of the 12 files.

read_volume.cache_clear()
crop = CropParameters(
    permitted_rounds=[2], y_slice=slice(20, 100), x_slice=slice(0, 80)
)
part = load(StrictFetcher(), group_by=("r", "c"), crop_parameters=crop)
print(part)
print("from", *part.xarray.yc.values[[0, -1]], "micrometres in y")
print("files read:", read_volume.cache_info().misses)

# %%
# What was loaded is what was written
# -----------------------------------
# :func:`~starfish_fetch.to_float32` converts as the load does: integers are divided by the largest
# value of their type.

assert np.array_equal(stack.to_numpy(), to_float32(image))
assert np.array_equal(part.to_numpy(), to_float32(image[2:3, :, :, 20:100, :80]))
folder.cleanup()
