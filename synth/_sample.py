"""What is in the sample, from the seed alone: the code of each target, the molecules, the texture.

The sample is one strip along x, and a field of view sees a window of it. Positions along x are
counted in pixels from the first pixel of the first field of view. The strip is cut into cells as
wide as the way from one field of view to the next, and the molecules of a cell are a function of
its number: so neighbours agree on what they share.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from synth._exact import Floats, Stream, exp, normals, uniforms, words
from synth.spec import Spec
from synth.spots import DEFAULT_TARGETS, Spots

__all__ = ["Molecules", "codes", "decays", "drifts", "molecules_near", "parameters", "texture"]

_WORDS_EACH = 6
_OCTAVES = ((64, 0.6), (16, 0.4))  # pixels from one hill to the next, share of the height


class Molecules(NamedTuple):
    """Columns, one row for each molecule; rows and columns as pixels of the field of view."""

    number: npt.NDArray[np.int64]
    target: npt.NDArray[np.int64]
    z: Floats
    row: Floats
    column: Floats
    photons: Floats


def parameters(spec: Spec) -> Spots:
    """Return the parameters of an image with content "spots".

    Raises
    ------
    ValueError
        If the image has another content.
    """
    if spec.spots is None:
        raise ValueError(f"content {spec.content!r} has no molecules; content 'spots' has")
    return spec.spots


@lru_cache(maxsize=8)
def codes(spec: Spec) -> Floats:
    """Return how brightly each target shines: (targets, rounds, channels)."""
    spots = parameters(spec)
    if spots.codebook is not None:
        table = np.array(spots.codebook, np.float64)
    else:
        table = _one_hot(spec, spots)
    table.flags.writeable = False
    return table


def _one_hot(spec: Spec, spots: Spots) -> Floats:
    rounds, chs = len(spec.rounds), len(spec.chs)
    wanted = len(spots.targets) if isinstance(spots.targets, tuple) else spots.targets
    # With the last round as a check digit, any two words differ in two rounds.
    checked = chs ** (rounds - 1)
    if wanted is None:
        wanted = min(DEFAULT_TARGETS, checked if rounds > 1 and chs > 1 else chs**rounds)
    free = rounds - 1 if wanted <= checked else rounds
    random = words(wanted, spec.seed, Stream.CODEBOOK)
    table = np.zeros((wanted, rounds, chs))
    for target, number in enumerate(_without_repeats(chs**free, random)):
        digits = []
        for _ in range(free):
            number, digit = divmod(number, chs)
            digits.append(digit)
        if free < rounds:
            digits.append(-sum(digits) % chs)
        table[target, range(rounds), digits] = 1
    return table


def _without_repeats(count: int, random: npt.NDArray[np.uint64]) -> list[int]:
    """Return different numbers below count: the beginning of a shuffle of all of them."""
    moved: dict[int, int] = {}
    drawn = []
    for first, word in enumerate(random.tolist()):
        place = first + word % (count - first)
        drawn.append(moved.get(place, place))
        moved[place] = moved.get(first, first)
    return drawn


def decays(spec: Spec) -> list[float]:
    """Return how much light each round has, in the order of the rounds."""
    left = [1.0]
    for _ in spec.rounds[1:]:
        left.append(left[-1] * parameters(spec).decay)
    return left


def drifts(spec: Spec, fov: int) -> Floats:
    """Return the shift of each round along y and x, in pixels: (rounds, 2)."""
    spots = parameters(spec)
    _, size_y, size_x = spec.voxel_size
    shifts = np.zeros((len(spec.rounds), 2))
    for index, label in enumerate(spec.rounds[1:], start=1):
        bits = words(1, spec.seed, Stream.DRIFT, fov, label).astype("<u8").view("<u2")[:2]
        shifts[index] = normals(bits) * spots.drift / np.array([size_y, size_x])
    return shifts


@lru_cache(maxsize=4)
def molecules_near(spec: Spec, fov: int) -> Molecules:
    """Return the molecules of a field of view, and those beside it that shine into it."""
    first = spec.fovs.index(fov)
    cells = [_cell(spec, first + step) for step in (-1, 0, 1)]
    joined = Molecules(*map(np.concatenate, zip(*cells, strict=True)))
    joined = joined._replace(column=joined.column - first * spec.pitch)
    for column in joined:
        column.flags.writeable = False
    return joined


def _cell(spec: Spec, cell: int) -> Molecules:
    spots = parameters(spec)
    rows, columns = spec.tile_shape
    in_tile = spots.count(rows * columns, spec.area)
    count = int(in_tile * spec.pitch / columns + 0.5)
    random = words(count * _WORDS_EACH, spec.seed, Stream.MOLECULES, 0, cell)
    what, plane, depth, down, across, bright = random.reshape(count, _WORDS_EACH).T
    planes = np.array(spec.zplanes, np.float64)
    bits = (bright >> np.uint64(48)).astype(np.uint16)
    # Of a log-normal variable with mean 1; rounded, so that any library's logarithm will do.
    width = round(math.sqrt(math.log1p(spots.spread * spots.spread)) * 2**20) / 2**20
    return Molecules(
        number=np.arange(count) + (cell + 1) * count,
        target=(what % np.uint64(len(codes(spec)))).astype(np.int64),
        z=planes[plane % np.uint64(len(planes))] + uniforms(depth) - 0.5,
        row=uniforms(down) * rows - 0.5,
        column=uniforms(across) * spec.pitch - 0.5 + cell * spec.pitch,
        photons=spots.brightness * exp(normals(bits) * width - width * width / 2),
    )


def texture(spec: Spec, fov: int, rows: range) -> Floats:
    """Return the hills and valleys of the background, from -1 to 1, for each pixel of some rows.

    Random numbers on two grids, one coarse and one fine, and smooth between them (value noise).
    """
    relief = np.zeros((len(rows), spec.tile_shape[1]))
    for grid, (spacing, share) in zip(_grids(spec, fov), _OCTAVES, strict=True):
        smooth = _between(grid, np.arange(rows.start, rows.stop), spacing)
        smooth *= share
        relief += smooth
    return relief


@lru_cache(maxsize=2)
def _grids(spec: Spec, fov: int) -> list[Floats]:
    """Return each grid, which has few rows, with all of the columns."""
    rows, columns = spec.tile_shape
    left = spec.fovs.index(fov) * spec.pitch
    grids = []
    for octave, (spacing, _) in enumerate(_OCTAVES):
        first, last = left // spacing, (left + columns - 1) // spacing + 1
        count = (rows - 1) // spacing + 2
        grid = np.stack(
            [
                2 * uniforms(words(count, spec.seed, Stream.TEXTURE, 0, octave, place)) - 1
                for place in range(first, last + 1)
            ],
            axis=1,
        )
        across = left - first * spacing + np.arange(columns)
        grids.append(np.ascontiguousarray(_between(grid.T, across, spacing).T))
    return grids


def _between(grid: Floats, places: npt.NDArray[np.int64], spacing: int) -> Floats:
    whole, part = np.divmod(places, spacing)
    way = part / spacing
    way = (way * way * (3 - 2 * way))[:, np.newaxis]
    before = grid[whole]
    values: Floats = grid[whole + 1]
    values -= before
    values *= way
    values += before
    return values
