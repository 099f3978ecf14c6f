"""Draw docs/spots.png: the default experiment of content "spots", and its truth.

    python docs/spots.py docs/spots.png

needs the extra "plot".
"""

import sys

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

import synth

SPEC = synth.Spec(4, 3, 5, tile_shape=(256, 256), content="spots")
PLANE = 2
CORNER, SIDE = (120, 92), 64  # of the part that is drawn large: row and column, and its size
DARK, BRIGHT = 800, 9000  # levels drawn as black and as white
COLORS = ("#ff5555", "#55ee55", "#66aaff")


def gray(pixels):
    return np.clip((pixels.astype(float) - DARK) / (BRIGHT - DARK), 0, 1)


def above_background(pixels):
    return np.clip((pixels - 1.15 * np.median(pixels)) / (BRIGHT - DARK), 0, 1)


def projection(r, c):
    """Return the brightest plane of each pixel, in the part that is drawn large."""
    rows, columns = (slice(first, first + SIDE) for first in CORNER)
    return np.max([synth.tile(SPEC, 0, r, c, z)[rows, columns] for z in SPEC.zplanes], axis=0)


def draw_tiles(figure):
    axes = figure.subplots(3, 4, gridspec_kw={"wspace": 0.03, "hspace": 0.03})
    for (c, r), panel in np.ndenumerate(axes):
        pixels = synth.tile(SPEC, 0, r, c, PLANE)
        panel.imshow(gray(pixels), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        panel.set(xticks=[], yticks=[])
        if c == 0:
            panel.set_title(f"round {r}", fontsize=10)
        if r == 0:
            panel.set_ylabel(f"channel {c}", color=COLORS[c], fontsize=10, fontweight="bold")
            first = np.array(CORNER)
            panel.add_patch(
                mpl.patches.Rectangle(first[::-1] - 0.5, SIDE, SIDE, fill=False, color="gold")
            )


def draw_truth(figure):
    truth = synth.molecules(SPEC)
    code = synth.codebook(SPEC).argmax(axis=2)
    names = synth.target_names(SPEC)
    paint = np.array([mpl.colors.to_rgb(color) for color in COLORS])
    panels = figure.subplots(1, 4, gridspec_kw={"wspace": 0.03})
    for r, panel in enumerate(panels):
        light = np.stack([above_background(projection(r, c)) for c in SPEC.chs], axis=-1)
        panel.imshow(
            np.clip(light @ paint, 0, 1),
            extent=(
                CORNER[1] - 0.5,
                CORNER[1] + SIDE - 0.5,
                CORNER[0] + SIDE - 0.5,
                CORNER[0] - 0.5,
            ),
            interpolation="nearest",
        )
        panel.autoscale(False)
        drift = synth.drift(SPEC)[r] / SPEC.voxel_size[1:]
        for one in truth:
            row, column = one["row"] + drift[0], one["column"] + drift[1]
            inside = [
                first - 0.5 < at < first + SIDE - 0.5
                for first, at in zip(CORNER, (row, column), strict=True)
            ]
            if all(inside):
                channel = code[names.index(one["target"]), r]
                panel.plot(
                    column, row, "o", ms=13, mew=1.1, mfc="none", mec=COLORS[channel], alpha=0.9
                )
                if r == 0 and column < CORNER[1] + SIDE - 7:
                    panel.annotate(
                        one["target"].removeprefix("target_"),
                        (column, row),
                        (8, 4),
                        textcoords="offset points",
                        color="white",
                        fontsize=7,
                    )
        panel.set(xticks=[], yticks=[])
        panel.set_title(f"round {r}", fontsize=10)


def main(path):
    figure = Figure(figsize=(9.6, 10.4), dpi=84)
    upper, lower = figure.subfigures(2, 1, height_ratios=(3, 1.16))
    upper.suptitle(f'Spec(4, 3, 5, tile_shape=(256, 256), content="spots"): z-plane {PLANE}')
    draw_tiles(upper)
    lower.suptitle("The marked part, brightest plane: circles are the truth, coloured by the code")
    upper.subplots_adjust(left=0.04, right=0.995, top=0.91, bottom=0.01)
    lower.subplots_adjust(left=0.04, right=0.995, top=0.82, bottom=0.02)
    draw_truth(lower)
    figure.savefig(path, metadata={"Software": None})


if __name__ == "__main__":
    main(*sys.argv[1:])
