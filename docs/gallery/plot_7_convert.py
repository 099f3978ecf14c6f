"""
To convert or not to convert
============================

An image can be loaded from the files that the microscope wrote, or be converted once and loaded
from there ever after. Converting costs a whole load, a whole write and a second copy on the disk.
Whether it pays depends on what a load costs before and after, and on how many loads there will be.

Here one image is loaded directly, converted to SpaceTx format and to OME-Zarr, and loaded from
both; :func:`~starfish_fetch.breakeven` says after how many loads the conversion has paid.
"""

# %%
# A layout in which it matters
# ----------------------------
# Each round is one file, and its pixels are deflated: to get one tile, a fetcher that reads whole
# files, as most do, inflates nine.

import math
import tempfile
from functools import lru_cache
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import tifffile

import synth
from starfish_fetch import (
    ImageStack,
    Layout,
    OmeZarrTileFetcher,
    SpaceTxTileFetcher,
    TileFetcher,
    breakeven,
    to_float32,
    to_ome_zarr,
    to_spacetx,
    trace,
)

temporary = tempfile.TemporaryDirectory()
folder = Path(temporary.name)
spec = synth.Spec(rounds=3, chs=3, zplanes=3, tile_shape=(256, 256), content="spots")
data = synth.write(spec, Layout.per_round(), folder / "data", compression="deflate")
extent = data.extent()


class Tile:
    shape = extent.tile_shape

    def __init__(self, planes, page, zplane):
        self.planes, self.page = planes, page
        self.coordinates = spec.coordinates(fov=0, zplane=zplane)

    def tile_data(self):
        return self.planes()[self.page].copy()


class KeepsOneFile(TileFetcher):
    def __init__(self):
        self.read = lru_cache(maxsize=1)(self.inflate)

    def inflate(self, path):
        return tifffile.imread(path).reshape(-1, *spec.tile_shape)

    def source(self, *labels):
        return str(data.root / data.layout.path(*labels))

    def get_tile(self, fov, r, c, z):
        path = self.source(fov, r, c, z)
        return Tile(lambda: self.read(path), data.layout.page(extent, (r, c, z)), z)


# %%
# Directly, in a good order and in a bad one
# ------------------------------------------
# With the rounds slowest, each file is inflated once; with the rounds fastest, once for each tile.
# ``None`` is the loader's own order.

orders = ["rcz", "zcr", None]
for order in orders:
    stack = ImageStack.from_tilefetcher(KeepsOneFile(), **vars(extent), group_by=order)
    with trace(data.root) as seen:
        stack.load()
    print(f"{order or 'none':5} {seen.opens:3} opens")

# %%
# Convert, and load that
# ----------------------
# In both formats each tile is a file of its own, so that no order is bad. :doc:`/convert` says what
# the formats are, and how a conversion that was interrupted goes on.

for done in (
    to_spacetx(KeepsOneFile(), extent, folder / "experiment"),
    to_ome_zarr(KeepsOneFile(), extent, folder / "image.zarr"),
):
    print(f"{done.format}: {done.files} files, {done.bytes / 1e6:.1f} MB")

stacks = {}
for reader, name in (
    (SpaceTxTileFetcher, "experiment"),
    (OmeZarrTileFetcher, "image.zarr"),
):
    fetcher = reader(folder / name)
    stacks[name] = ImageStack.from_tilefetcher(fetcher, **vars(fetcher.extent))
    print(stacks[name])

# %%
# After how many loads has it paid?
# ---------------------------------
# ``breakeven`` does it all with a clock: it loads directly in each order, converts, and loads what
# was converted in the same orders. All times are of this machine, when this page was built.

found = {
    target: breakeven(KeepsOneFile, extent, target, orders=orders, repeat=3)
    for target in ("spacetx", "ome-zarr")
}
print(found["spacetx"])

# %%
# The sentence compares with the order that is the *fastest* directly, for nobody has to load in a
# bad one. Then come the price, in seconds and in bytes, and a line for each order: what one load
# takes before and after, and the number of loads from which on converting and loading that has
# taken less time than loading directly. From OME-Zarr:

print(found["ome-zarr"])

# %%
# Drawn: the seconds that have gone by after one load, two, and so on. Converting starts late; where
# the lines cross, it has paid, and where they do not, it never will. A ring marks the first load
# after which it has. Loading directly was measured twice, once for each format, hence the breadth
# of that line. In the bad order on the left converting pays at once; but there, to name another
# order costs nothing at all.

# sphinx_gallery_thumbnail_number = 1
styles = {"spacetx": ("#0072B2", "SpaceTx"), "ome-zarr": ("#E69F00", "OME-Zarr")}


def draw(panel, order, most):
    rows = {
        target: next(row for row in one.rows if row.order == order)
        for target, one in found.items()
    }
    loads = np.arange(most + 1)
    direct = sorted(row.direct_seconds for row in rows.values())
    panel.fill_between(
        loads, loads * direct[0], loads * direct[-1],
        color="#777777", lw=3, label="directly",
    )  # fmt: skip
    said = [f"group_by {order}"]
    for target, row in rows.items():
        colour, label = styles[target]
        seconds = found[target].convert_seconds + loads * row.converted_seconds
        panel.plot(loads, seconds, color=colour, lw=3, label=f"by {label}")
        if row.loads <= most:
            at = int(row.loads)
            panel.plot(at, seconds[at], "o", ms=14, mfc="none", mec=colour, mew=3)
        after = (
            "never pays" if math.isinf(row.loads) else f"pays after {row.loads:,.0f}"
        )
        said.append(f"{label} {after}")
    panel.set_title("\n".join(said), loc="left", fontsize=15)
    panel.set_xlabel("loads", fontsize=15)
    panel.set_xlim(0, most)
    panel.set_ylim(bottom=0)
    panel.set_xticks(loads[:: most // 4])
    panel.tick_params(labelsize=13)
    panel.spines[["top", "right"]].set_visible(False)


figure, panels = plt.subplots(1, 2, figsize=(8.5, 5), layout="constrained")
draw(panels[0], "z,c,r", 4)
draw(panels[1], "r,c,z", 12)
panels[0].set_ylabel("seconds since the start", fontsize=15)
panels[0].legend(frameon=False, fontsize=14)

# %%
# On the disk
# -----------
# Unless the files of the microscope are deleted, what was converted comes on top. SpaceTx format
# holds plain pixels; OME-Zarr is compressed, and zarr has more to do at each load.

sizes = {
    "the files": found["spacetx"].direct_bytes,
    "SpaceTx": found["spacetx"].converted_bytes,
    "OME-Zarr": found["ome-zarr"].converted_bytes,
}
figure, panel = plt.subplots(figsize=(8, 2.4), layout="constrained")
bars = panel.barh(
    list(sizes),
    [size / 1e6 for size in sizes.values()],
    color=["#555555", "#0072B2", "#E69F00"],
)
panel.bar_label(bars, fmt="{:.1f} MB", padding=4, fontsize=14)
panel.invert_yaxis()
panel.tick_params(labelsize=14, length=0)
panel.set_xticks([])
panel.spines[:].set_visible(False)
panel.margins(x=0.2)

# %%
# When it never pays
# ------------------
# A larger image, as plain TIFF, through :class:`~starfish_fetch.TiffTileFetcher`, which reads each
# tile from its place. A load takes about as long as it takes to read the bytes, in every order; no
# format can do much better.

spec_of_plain = synth.Spec(rounds=3, chs=3, zplanes=3, tile_shape=(512, 512))
plain = synth.write(spec_of_plain, Layout.per_round(), folder / "plain")
print(breakeven(plain.fetcher, plain.extent(), "spacetx", orders=orders, repeat=5))

# %%
# So, before converting:
#
# 1. Let :func:`~starfish_fetch.profile_orders` say which order is good, and load in that.
# 2. See whether a fetcher that reads in place will do: of TIFF
#    :class:`~starfish_fetch.TiffTileFetcher`, of ``.npy``
#    :class:`~starfish_fetch.NpyTileFetcher`.
# 3. Convert if ``breakeven`` names fewer loads than there will be; or because other programs are to
#    open the image, whatever it costs. Files far away may be compressed, or large, and give it
#    another answer: ask it where the data lies.
#
# The same on the command line: with the conversion that is wanted anyhow, and, to see first whether
# it is, in the page of a profile::
#
#     starfish-fetch convert my_fetcher.py:make out --like data --to spacetx --breakeven
#     starfish-fetch profile my_fetcher.py:make --like data --breakeven spacetx --html it.html
#
# Nothing is lost on the way
# --------------------------
# Every pixel from either format is that of the dataset. Opens do not depend on the machine: in the
# bad order each tile opens a file, in the good one each file is opened once.

for stack in stacks.values():
    for r, c, z in np.ndindex(3, 3, 3):
        assert np.array_equal(stack.to_numpy()[r, c, z], to_float32(data.tile(r, c, z)))

for order, opens in zip(orders, (3, 27, 3), strict=True):
    stack = ImageStack.from_tilefetcher(KeepsOneFile(), **vars(extent), group_by=order)
    with trace(data.root) as seen:
        assert np.array_equal(stack.to_numpy(), stacks["experiment"].to_numpy())
    assert seen.opens == opens

for one in found.values():
    for row in one.rows:
        assert (row.loads < math.inf) == (row.converted_seconds < row.direct_seconds)

temporary.cleanup()
