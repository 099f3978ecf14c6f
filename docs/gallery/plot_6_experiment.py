"""
A synthetic experiment
======================

Before the real data has come, a pipeline can be tried on an experiment of which everything is
known: molecules that shine in one channel in each round, as a codebook says, seen through the
optics and the noise of a microscope. :doc:`/spots` says what is modelled, in which units, and what
is not.

Here is what the parameters do, then one field of view, and then a decoder in a few lines of numpy,
scored against the truth.
"""

# %%
# What the parameters do
# ----------------------
# A tile is a function of its spec and its labels; :func:`synth.tile` returns it without a file.
# Each picture below has one parameter of :class:`synth.Spots` changed. All show the same place,
# and the same molecules where there are as many: the seed is the same.

# sphinx_gallery_thumbnail_number = 3
import tempfile

import matplotlib.pyplot as plt
import numpy as np

import synth
from starfish_fetch import Axes, ImageStack, Layout


def spec_with(**parameters):
    spots = synth.Spots(**parameters)
    return synth.Spec(4, 3, 5, tile_shape=(256, 256), content="spots", spots=spots)


variants = [
    {},
    {"brightness": 100},
    {"background": 120, "texture": 1},
    {"psf": (1.5, 1.3, 1.3)},
    {"molecules": 1500},
    {"crosstalk": 0.5},
    {"read_noise": 25},
    {"hot_pixels": 0.005},
]
figure, panels = plt.subplots(2, 4, figsize=(11, 6.3), layout="constrained")
for panel, parameters in zip(panels.flat, variants, strict=True):
    pixels = synth.tile(spec_with(**parameters), 0, 0, 1, 2)[100:196, 100:196]
    panel.imshow(pixels, cmap="gray", vmin=1000, vmax=9000, interpolation="nearest")
    words = [f"{name}={value}" for name, value in parameters.items()]
    panel.set_title("\n".join(words) or "Spots()", fontsize=13)
    panel.set(xticks=[], yticks=[])

# %%
# One field of view
# -----------------
# Written as a microscope would, with a file for each round and channel, and loaded through a
# fetcher. Four rounds from left to right, three channels from top to bottom, the brightest of the
# five z-planes for each pixel. Each round leaves 93 % of the light of the one before.

spec = spec_with()
folder = tempfile.TemporaryDirectory()
data = synth.write(spec, Layout.per_round_ch(), folder.name)
stack = ImageStack.from_tilefetcher(data.fetcher(), **vars(data.extent()))
flat = stack.to_numpy().max(axis=2)  # r, c, y, x

colours = np.array([[1, 0.3, 0.3], [0.3, 1, 0.3], [0.4, 0.6, 1]])  # of the channels
names = ("red", "lime", "deepskyblue")
figure, panels = plt.subplots(3, 4, figsize=(10, 7.8), layout="constrained")
for (c, r), panel in np.ndenumerate(panels):
    panel.imshow(flat[r, c], cmap="gray", vmin=0.01, vmax=0.15, interpolation="nearest")
    panel.set(xticks=[], yticks=[])
    if c == 0:
        panel.set_title(f"round {r}", fontsize=14)
    if r == 0:
        panel.set_ylabel(f"channel {c}", color=tuple(0.75 * colours[c]), fontsize=14)

# %%
# The truth, drawn over
# ---------------------
# :func:`synth.molecules` lists the molecules of a field of view, and :func:`synth.codebook` says in
# which channel each target shines in each round. Below, the three channels are the three colours,
# and each circle is a molecule in the colour that its code has in that round. The stage drifts
# from round to round, and so do the circles.

truth = synth.molecules(spec)
codebook = synth.codebook(spec)  # target, round, channel
target_names = np.array(synth.target_names(spec))
targets = np.searchsorted(target_names, truth["target"])
shifts = synth.drift(spec) / spec.voxel_size[1:]  # in pixels, for each round

light = flat - 1.15 * np.median(flat, axis=(2, 3), keepdims=True)
figure, panels = plt.subplots(2, 2, figsize=(9, 9.4), layout="constrained")
for r, panel in enumerate(panels.flat):
    picture = np.einsum("cyx,ck->yxk", light[r] / 0.12, colours)
    panel.imshow(picture.clip(0, 1), interpolation="nearest")
    for c, name in enumerate(names):
        bright = codebook[targets, r, c] == 1
        panel.scatter(
            truth["column"][bright] + shifts[r, 1],
            truth["row"][bright] + shifts[r, 0],
            s=330, facecolors="none", edgecolors=name, linewidths=1.6,
        )  # fmt: skip
    panel.set(xlim=(90, 154), ylim=(184, 120), xticks=[], yticks=[])
    panel.set_title(f"round {r}", fontsize=15)

# %%
# Three molecules by hand
# -----------------------
# At the place of a molecule, the light of each round and channel is a small table, and so is each
# row of the codebook. The target is the row that points in the same direction. Light is measured
# above the background, as a fraction of what the channel has at most.

scale = np.percentile(light, 99.9, axis=(0, 2, 3))[:, None, None]
signal = light / scale


def decode(row, column):
    """Return the number of the target, and how well it fits: 1 is perfect."""
    seen = signal[:, :, row, column]
    likeness = np.einsum("trc,rc->t", codebook, seen)
    likeness /= np.linalg.norm(codebook, axis=(1, 2)) * np.linalg.norm(seen)
    return likeness.argmax(), likeness.max()


bright = truth["photons"].argsort()[-3:]
figure, panels = plt.subplots(2, 3, figsize=(8, 4.9), layout="constrained")
for number, (above, below) in zip(bright, panels.T, strict=True):
    row, column = np.rint([truth["row"][number], truth["column"][number]]).astype(int)
    target, fit = decode(row, column)
    for panel, table, title in (
        (above, signal[:, :, row, column], f"pixel ({row}, {column})"),
        (below, codebook[target], f"{target_names[target]}, fits by {fit:.2f}"),
    ):
        panel.imshow(table.T, cmap="gray", vmin=0)
        panel.set_title(title, fontsize=13)
        panel.set(xticks=range(4), yticks=range(3), xlabel="round", ylabel="channel")
    assert target_names[target] == truth["target"][number]

# %%
# All of them, against the truth
# ------------------------------
# A spot is a pixel that is brighter than the 8 around it and than a threshold, in the brightest
# channel of each round, added over the rounds. What fits its code badly is thrown away.

brightest = signal.max(axis=1).mean(axis=0)  # y, x
around = np.lib.stride_tricks.sliding_window_view(np.pad(brightest, 1), (3, 3))
rows, columns = np.nonzero((brightest == around.max(axis=(2, 3))) & (brightest > 0.2))
decoded, fits = np.transpose(
    [decode(*spot) for spot in zip(rows, columns, strict=True)]
)
good = fits > 0.75
rows, columns, decoded = rows[good], columns[good], decoded[good].astype(int)

apart = np.hypot(truth["row"][:, None] - rows, truth["column"][:, None] - columns)
right = (apart < 1.5) & (targets[:, None] == decoded)
recall, precision = right.any(axis=1).mean(), right.any(axis=0).mean()
print(f"{len(truth)} molecules, {len(rows)} decoded")
print(
    f"{recall:.1%} of the molecules found, {precision:.1%} of what was found is there"
)

# %%
# What was missed, in orange, lies beside a brighter molecule, with which it is one spot.

found = right.any(axis=1)
figure, panel = plt.subplots(figsize=(7, 7), layout="constrained")
panel.imshow(brightest, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
for hit, colour, label in (
    (found, "deepskyblue", "found"),
    (~found, "orange", "missed"),
):
    panel.scatter(
        truth["column"][hit], truth["row"][hit],
        s=60, facecolors="none", edgecolors=colour, linewidths=1.5, label=label,
    )  # fmt: skip
panel.set(xticks=[], yticks=[])
figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=13)

assert recall > 0.85
assert precision > 0.9

# %%
# With starfish
# -------------
# ``stack.to_starfish()`` is the same image for starfish, without a copy, and ``codebook.json``
# beside the files is its codebook. `From Python to starfish and back
# <../spots.html#from-python-to-starfish-and-back>`__ has the whole way, from the files to the
# recall.

assert stack.axis_labels(Axes.ROUND) == [*spec.rounds]
folder.cleanup()
