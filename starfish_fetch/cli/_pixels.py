"""Compares every pixel of a stack with what it should be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starfish_fetch.axes import Extent, TileKey
from starfish_fetch.plan import LoadPlan

__all__ = ["Comparison", "compare"]

_DESCRIBED = 10


@dataclass(frozen=True)
class Comparison:
    """How many pixels are right, and what is wrong.

    Parameters
    ----------
    pixels, right : int
        How many were compared, and how many of them are what they should be.
    wrong_tiles : int
        How many tiles have a pixel that is not.
    problems : tuple of str
        The first of those tiles, one line each.
    """

    pixels: int
    right: int
    wrong_tiles: int
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether every pixel is right."""
        return self.pixels == self.right and not self.problems


def compare(
    array: NDArray[Any], extent: Extent, expected: Callable[[TileKey], NDArray[Any]]
) -> Comparison:
    """Compare a stack with what each of its tiles should be.

    Parameters
    ----------
    array : ndarray
        (r, c, z, y, x).
    extent : Extent
        Labels of the stack.
    expected : callable
        Returns the pixels that a tile should have.
    """
    right, wrong = 0, 0
    problems = []
    labels = extent.rounds, extent.chs, extent.zplanes
    for key in LoadPlan(*labels):
        place = tuple(axis.index(label) for axis, label in zip(labels, key, strict=True))
        pixels, truth = array[place], expected(key)
        same = _same(pixels, truth)
        count = truth.size if same is True else int(np.count_nonzero(same))
        right += count
        if count < truth.size or pixels.dtype != truth.dtype:
            wrong += 1
            if wrong <= _DESCRIBED:
                problems.append(_describe(pixels, truth, same, key, extent.fov))
    if wrong > _DESCRIBED:
        problems.append(f"... and {wrong - _DESCRIBED} more tiles")
    return Comparison(prod(array.shape), right, wrong, tuple(problems))


def _same(pixels: NDArray[Any], truth: NDArray[Any]) -> Any:
    """Return True, or where the pixels are the same."""
    return np.array_equal(pixels, truth) or pixels == truth


def _describe(pixels: NDArray[Any], truth: NDArray[Any], same: Any, key: TileKey, fov: int) -> str:
    tile = f"tile (fov={fov}, round={key.round}, ch={key.ch}, zplane={key.zplane})"
    if same is True:
        return f"{tile} has the dtype {pixels.dtype}, not {truth.dtype}"
    row, column = (int(place) for place in np.argwhere(~same)[0])
    line = (
        f"{tile}: {np.count_nonzero(~same)} of {truth.size} pixels are wrong, the first at row "
        f"{row}, column {column}: {pixels[row, column]} instead of {truth[row, column]}"
    )
    from synth import decode

    source = decode(pixels)
    itself = (source.fov, source.round, source.ch, source.zplane) == (fov, *key)
    return f"{line}; it holds {source}" if source.found and not itself else line
