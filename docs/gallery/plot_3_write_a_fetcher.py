"""
Write a fetcher for your files
==============================

From a folder of TIFF files, as a microscope leaves it, to a checked fetcher. Often the pattern of
the names is all that has to be written down. Where it is not, a class of some twenty lines does it.
After each step, the check says what is still wrong.
"""

# %%
# The folder
# ----------
# Three positions of the stage are three fields of view. Each has three rounds, which the microscope
# calls time points, three channels and four z-planes; each tile is a file. Beside them lies a list
# of where the stage stood, in micrometres. The files are synthetic, so that every pixel can be
# compared at the end; until then we only look into the folder.

import csv
import re
import tempfile
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import tifffile

import synth
from starfish_fetch import (
    Axes,
    Coordinates,
    DataFormatWarning,
    Extent,
    FetchedTile,
    ImageStack,
    Layout,
    TiffTileFetcher,
    TileFetcher,
    to_float32,
)
from starfish_fetch.testing import check_fetcher

spec = synth.Spec(
    fovs=[1, 2, 3],
    rounds=[1, 2, 3],
    chs=[1, 2, 3],
    zplanes=[1, 2, 3, 4],
    tile_shape=(200, 120),
    content="spots",
    spots=synth.Spots(overlap=0.1),
)
temporary = tempfile.TemporaryDirectory()
folder = Path(temporary.name)
data = synth.write(
    spec, Layout("Pos{fov:03d}_T{r:02d}_Ch{c}_Z{z:02d}.tif"), folder, ome=False
)
with open(folder / "positions.csv", "w", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(["position", "x", "y"])
    for fov in spec.fovs:
        first = spec.coordinates(fov, zplane=1)
        writer.writerow([fov, first["xc"][0], first["yc"][0]])

names = sorted(path.name for path in folder.glob("*.tif"))
print(f"{len(names)} files: {names[0]} to {names[-1]}\n")
print((folder / "positions.csv").read_text())

# %%
# Which labels?
# -------------
# Those that stand in the names. A label is any int: labels need not begin at 0, and may have gaps.

pattern = re.compile(r"Pos(\d+)_T(\d+)_Ch(\d+)_Z(\d+)\.tif")
numbers = zip(*(pattern.fullmatch(name).groups() for name in names), strict=True)
fovs, rounds, chs, zplanes = (sorted({int(text) for text in one}) for one in numbers)
height, width = tifffile.imread(folder / names[0]).shape
extent = Extent({"y": height, "x": width}, fovs[0], rounds, chs, zplanes)
print(extent)

# %%
# Often a pattern is enough
# -------------------------
# :class:`~starfish_fetch.TiffTileFetcher` reads files whose names are made of labels, and a
# :class:`~starfish_fetch.Layout` says how (:doc:`its syntax </reference/layouts>`). Here, on
# purpose, it has T and Ch the wrong way round. :func:`~starfish_fetch.testing.check_fetcher` takes
# a function that returns a fresh fetcher.


def wrong():
    layout = Layout("Pos{fov:03d}_T{c:02d}_Ch{r}_Z{z:02d}.tif")
    return TiffTileFetcher(folder, layout, extent)


report = check_fetcher(wrong, extent)
for result in report.of("fail", "warn"):
    print(result)

# %%
# The report does not know what is in these files, and so this is a suspicion, from their names;
# :doc:`plot_4_validate` makes certainties of such. Here is the right pattern, and with it what the
# list of positions tells: ``coordinates`` is a function of field of view and z-plane.

with open(folder / "positions.csv", newline="") as file:
    stage = {
        int(row["position"]): (float(row["x"]), float(row["y"]))
        for row in csv.DictReader(file)
    }


def coordinates_of(fov, zplane):
    x, y = stage[fov]
    return {  # of the first and of the last pixel; pixels are 0.5 micrometres wide
        Coordinates.X: (x, x + 0.5 * (width - 1)),
        Coordinates.Y: (y, y + 0.5 * (height - 1)),
        Coordinates.Z: (1.0 * zplane, 1.0 * (zplane + 1)),
    }


def from_pattern():
    layout = Layout("Pos{fov:03d}_T{r:02d}_Ch{c}_Z{z:02d}.tif")
    return TiffTileFetcher(folder, layout, extent, coordinates=coordinates_of)


print(check_fetcher(from_pattern, extent).summary())

# %%
# Nothing failed, and nothing is warned of: for most folders that is all.
#
# When to write a class
# ---------------------
# When a name is not made of labels, when files are of another format, or when a tile has to be put
# together from several. Let the microscope call channels by their dyes:

DYES = {1: "DAPI", 2: "Cy3", 3: "Cy5"}
for path in folder.glob("*.tif"):
    ch = int(pattern.fullmatch(path.name)[3])
    path.rename(folder / path.name.replace(f"Ch{ch}", DYES[ch]))

# %%
# A fetcher must have one method, a tile three members. This is a first attempt; its tile gives
# zeros for a file that cannot be read, so that no long load ends because of one file.


class Tile(FetchedTile):
    def __init__(self, path, fov, zplane):
        self.path, self.fov, self.zplane = path, fov, zplane

    @property
    def shape(self):
        return {Axes.Y: height, Axes.X: width}

    @property
    def coordinates(self):
        return coordinates_of(self.fov, self.zplane)

    def tile_data(self):
        return tifffile.imread(self.path)


class TolerantTile(Tile):
    def tile_data(self):
        try:
            return super().tile_data()
        except OSError:
            return np.zeros((height, width), np.uint16)


class Tolerant(TileFetcher):
    def get_tile(self, fov, r, c, z):
        name = f"Pos{fov:03d}_T{r:02d}_{DYES[c]}_Z{z:02d}.tif"
        return TolerantTile(folder / name, fov, z)


report = check_fetcher(Tolerant, extent)
for result in report.of("fail"):
    print(result, end="\n\n")

# %%
# By :ref:`rule-C10` what is missing is an exception, never pixels: later, nobody could tell zeros
# from a dark sample. So the tile lets the error out. And the fetcher may promise two things.
# ``source`` names the file of a tile without opening it, and a load takes file after file.
# ``thread_safe`` says that several threads may fetch at once; here each call opens its file for
# itself, and shares nothing.


class ByDye(TileFetcher):
    thread_safe = True

    def source(self, fov, r, c, z):
        return str(folder / f"Pos{fov:03d}_T{r:02d}_{DYES[c]}_Z{z:02d}.tif")

    def get_tile(self, fov, r, c, z):
        return Tile(self.source(fov, r, c, z), fov, z)


report = check_fetcher(ByDye, extent)
print(report)
assert not report.of("fail", "warn")

# %%
# The two promises were not believed, but tried:

for name in ["sources_are_truthful", "threads_agree"]:
    print(report[name])

# %%
# A tile is missing
# -----------------
# Here is what happens when the microscope has left one out.

(folder / "Pos002_T01_Cy3_Z02.tif").unlink()


def load(fov):
    labels = {**vars(extent), "fov": fov}
    return ImageStack.from_tilefetcher(ByDye(), **labels)


try:
    load(fov=2).load()
except FileNotFoundError as error:
    print(type(error).__name__, *error.__notes__)

# %%
# Whether to go on without it is not for the fetcher to decide, but for the one who loads. The stack
# lists what is missing.

stacks = {fov: load(fov) for fov in fovs}
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DataFormatWarning)  # that a tile is missing
    for stack in stacks.values():
        stack.load(on_error="fill")
for fov, stack in stacks.items():
    print(fov, stack.missing)

# %%
# The fields of view in their places
# ----------------------------------
# The coordinates of the tiles are those of the stage, and so the tiles lie where they belong, and
# overlap as they should: round 1, channel 2, and the z-plane with the hole.

figure, axes = plt.subplots(figsize=(8, 5.4), layout="constrained")
for fov, stack in stacks.items():
    tile = stack.xarray.sel(r=1, c=2, z=2)
    (left, right), (top, bottom) = tile.xc[[0, -1]], tile.yc[[0, -1]]
    place = {"xy": (left, top), "width": right - left, "height": bottom - top}
    if (1, 2, 2) in stack.missing:
        hole = plt.Rectangle(**place, facecolor="0.35", edgecolor="0.5", hatch="//")
        axes.add_patch(hole).set_zorder(-1)
        axes.text(
            (left + right) / 2, 50, "missing", color="white", fontsize=24, ha="center"
        )
    else:
        edges = left, right, bottom, top
        axes.imshow(tile, extent=edges, cmap="magma", vmin=0.01, vmax=0.08)
    axes.add_patch(plt.Rectangle(**place, fill=False, edgecolor="white", lw=2))
    axes.text(left + 9, top + 10, f"fov {fov}", color="white", fontsize=20)
axes.set(xlim=(0, 168), ylim=(100, 0), aspect="equal")
axes.set_xlabel("x in micrometres", fontsize=14)
axes.set_ylabel("y in micrometres", fontsize=14)
axes.set_title("three fields of view, by their coordinates", fontsize=18)

# %%
# What was loaded is what was written
# -----------------------------------
# Every tile, by its labels, but the one that is missing; and every coordinate.

for fov, stack in stacks.items():
    for r, c, z in np.ndindex(3, 3, 4):
        key = rounds[r], chs[c], zplanes[z]
        if key in stack.missing:
            assert (fov, *key) == (2, 1, 2, 2)
        else:
            truth = to_float32(data.tile(*key, fov=fov))
            assert np.array_equal(stack.to_numpy()[r, c, z], truth)
    for zplane in zplanes:
        assert coordinates_of(fov, zplane) == spec.coordinates(fov, zplane)

temporary.cleanup()
