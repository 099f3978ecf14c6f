"""
Why order matters
=================

A 5-D image is loaded tile by tile. The tiles lie in files, and most fetchers read a file whole and
keep the one that they read last. If the next tile comes from the same file, it costs nothing; if
not, a file is read again. So the order of the tiles decides how often files are read, and
``group_by`` decides the order.

Here one image is cut into files in four ways, and each of them is loaded in six orders.
"""

# %%
# One image, four layouts
# -----------------------
# Four rounds, three channels and five z-planes are 60 tiles. :func:`synth.write` writes them; what
# every pixel has to be, the dataset knows without its files.

import itertools
import tempfile
from functools import lru_cache

import matplotlib.pyplot as plt
import numpy as np
import tifffile

import synth
from starfish_fetch import ImageStack, Layout, TileFetcher, profile_orders, to_float32

spec = synth.Spec(rounds=4, chs=3, zplanes=5, tile_shape=(256, 256))
layouts = {
    "one file per round": Layout.per_round(),
    "one file per round and channel": Layout.per_round_ch(),
    "one file per tile": Layout.per_tile(),
    "a single file": Layout.single_file(),
}
folder = tempfile.TemporaryDirectory()
images = {
    name: synth.write(spec, layout, f"{folder.name}/{number}")
    for number, (name, layout) in enumerate(layouts.items())
}

# %%
# A fetcher that keeps one file
# -----------------------------
# That of starfish's tutorial does the same. ``source`` names the file that a tile comes from, and
# opens nothing; from these names the opens of a load can be predicted.


class Tile:
    def __init__(self, fetcher, path, page, zplane):
        self.fetcher, self.path, self.page = fetcher, path, page
        self.shape = fetcher.extent.tile_shape
        self.coordinates = spec.coordinates(fov=0, zplane=zplane)

    def tile_data(self):
        return self.fetcher.planes(self.path)[self.page].copy()


class KeepsOneFile(TileFetcher):
    def __init__(self, image):
        self.image, self.extent = image, image.extent()
        self.planes = lru_cache(maxsize=1)(self.read)

    def read(self, path):
        return tifffile.imread(path).reshape(-1, *spec.tile_shape)

    def source(self, *labels):
        return str(self.image.root / self.image.layout.path(*labels))

    def get_tile(self, fov, r, c, z):
        page = self.image.layout.page(self.extent, (r, c, z))
        return Tile(self, self.source(fov, r, c, z), page, z)


def stack_of(image, order):
    return ImageStack.from_tilefetcher(
        KeepsOneFile(image), **vars(image.extent()), group_by=order
    )


# %%
# Which file does each tile come from?
# ------------------------------------
# A stack's :attr:`~starfish_fetch.ImageStack.plan` is the order of its tiles, before any is
# touched. Below, time runs from left to right, each cell is a tile, and each colour is a file: with
# one file per round, the same 60 tiles come from four files, one after another, or all of them by
# turns.


def files_in_load_order(image, order):
    """Return the number of the file of each tile, in load order."""
    plan = stack_of(image, order).plan
    numbers = {
        source: number for number, source in enumerate(dict.fromkeys(plan.sources))
    }
    return [numbers[plan.sources[position]] for position in plan.order]


def draw(axes, rows):
    axes.imshow(rows, aspect="auto", cmap="turbo", interpolation="nearest", vmin=-0.5)
    axes.set_xticks([])
    axes.spines[:].set_visible(False)
    # Lines between the cells, and wider ones between the orders.
    axes.vlines(
        np.arange(len(rows[0])) - 0.5, -0.5, len(rows) - 0.5, color="white", lw=0.6
    )
    axes.hlines(
        np.arange(1, len(rows)) - 0.5, -0.5, len(rows[0]) - 0.5, color="white", lw=4
    )


per_round = images["one file per round"]
figure, strips = plt.subplots(2, 1, figsize=(8, 4.2), layout="constrained")
for axes, order in zip(strips, ["rcz", "zcr"], strict=True):
    draw(axes, [files_in_load_order(per_round, order)])
    axes.set_yticks([])
    opens = stack_of(per_round, order).plan.predicted_opens()
    axes.set_title(f"group_by={tuple(order)}: {opens} opens", loc="left", fontsize=17)

# %%
# All six orders of the four layouts, with the opens that the sources predict. The axis that is
# named first changes slowest. Each layout has its own good orders; with one file for each tile, or
# for all, there is nothing to choose.

orders = ["".join(order) for order in itertools.permutations("rcz")]
figure, grid = plt.subplots(2, 2, figsize=(10, 6), layout="constrained")
for axes, (name, image) in zip(grid.flat, images.items(), strict=True):
    draw(axes, [files_in_load_order(image, order) for order in orders])
    axes.set_title(name, loc="left", fontsize=14)
    axes.set_yticks(range(6), [", ".join(order) for order in orders], fontsize=12)
    opens = [stack_of(image, order).plan.predicted_opens() for order in orders]
    for row, count in enumerate(opens):
        axes.text(60.5, row, f"{count}", va="center", fontsize=12)
    axes.tick_params(length=0)
figure.suptitle(
    "tiles in load order, a colour for each file; at the right, the opens", fontsize=15
)

# %%
# What it costs
# -------------
# :func:`~starfish_fetch.profile_orders` loads the image in each order, each time through a fresh
# fetcher, and counts and times. ``None`` is the loader's own order: as the fetcher names its
# sources, one file is finished before the next is begun.

profiles = {
    name: profile_orders(
        lambda image=image: KeepsOneFile(image), image.extent(), repeat=3
    )
    for name, image in images.items()
}
print(profiles["one file per round"].sentence)
figure = profiles["one file per round"].plot()

# %%
# The opens are those that were predicted, in every order of every layout.

for name, profile in profiles.items():
    for row in profile.rows:
        assert row.opens == row.predicted_opens[1], (name, row.order)

# %%
# A fetcher for which no order is bad
# -----------------------------------
# :class:`~starfish_fetch.TiffTileFetcher` keeps files open and reads a tile from the place where it
# lies. ``Dataset.fetcher`` returns one.

figure, (left, right) = plt.subplots(
    1, 2, figsize=(10, 3.6), sharey=True, layout="constrained"
)
for shift, colour, label, measured in (
    (-0.2, "#E69F00", "keeps one file", profiles),
    (
        0.2,
        "#0072B2",
        "TiffTileFetcher",
        {
            name: profile_orders(image.fetcher, image.extent())
            for name, image in images.items()
        },
    ),
):
    places = np.arange(len(layouts)) + shift
    opens = [max(row.opens for row in profile.rows) for profile in measured.values()]
    slowest = [1000 * profile.worst.median_seconds for profile in measured.values()]
    for axes, values in ((left, opens), (right, slowest)):
        bars = axes.barh(places, values, height=0.38, color=colour, label=label)
        axes.bar_label(bars, fmt="{:.3g}", padding=3)
left.set_yticks(range(len(layouts)), layouts, fontsize=12)
left.invert_yaxis()
left.set_title("file opens, worst order", loc="left")
right.set_title("milliseconds, slowest order", loc="left")
right.legend(frameon=False, loc="lower right")
for axes in (left, right):
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.15)

# %%
# Order decides speed, and nothing else
# -------------------------------------
# Every pixel of every load is that of the dataset, whatever the layout and the order.

labels = list(itertools.product(spec.rounds, spec.chs, spec.zplanes))
truth = to_float32(np.stack([per_round.tile(*key) for key in labels]))
for image in images.values():
    for order in [*orders, None]:
        pixels = stack_of(image, order).to_numpy()
        assert np.array_equal(pixels.reshape(truth.shape), truth)

folder.cleanup()
