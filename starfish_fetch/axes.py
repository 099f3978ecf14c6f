"""The names of a 5-D image: its axes, its physical coordinates, its labels."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Any, NamedTuple, SupportsIndex

__all__ = [
    "PLANES",
    "Axes",
    "CoordinateValue",
    "Coordinates",
    "Extent",
    "Number",
    "TileKey",
    "labels_of",
    "tile_shape_of",
]

Number = int | float
CoordinateValue = Number | tuple[Number, Number]


class Axes(StrEnum):
    """An axis of a 5-D image.

    Members compare and hash equal to their strings, and so to starfish's own ``Axes``: a mapping
    keyed by one is read by the other.

    Examples
    --------
    >>> Axes.ROUND == "r", {Axes.Y: 120}["y"]
    (True, 120)
    """

    ROUND = "r"
    CH = "c"
    ZPLANE = "z"
    Y = "y"
    X = "x"


PLANES = (Axes.ROUND, Axes.CH, Axes.ZPLANE)
"""The axes whose labels select a plane, in the order in which starfish keeps them."""


class Coordinates(StrEnum):
    """A physical coordinate of a tile.

    Examples
    --------
    >>> Coordinates.X == "xc"
    True
    """

    Z = "zc"
    Y = "yc"
    X = "xc"


class TileKey(NamedTuple):
    """The labels that select one 2-D tile of one field of view.

    Examples
    --------
    >>> TileKey(round=0, ch=2, zplane=1)
    TileKey(round=0, ch=2, zplane=1)
    """

    round: int
    ch: int
    zplane: int


def labels_of(name: str, values: Iterable[SupportsIndex]) -> tuple[int, ...]:
    """Return the labels of an axis as sorted ints.

    Parameters
    ----------
    name : str
        What the labels are labels of, for the message.
    values : iterable of int
        The labels, in any order.

    Returns
    -------
    tuple of int
        The labels, ascending.

    Raises
    ------
    TypeError
        If a label is not an integer.
    ValueError
        If there are none, or one of them twice, or one does not fit in 64 bits.

    Examples
    --------
    >>> labels_of("rounds", [4, 1, -2])
    (-2, 1, 4)
    """
    try:
        given = list(values)
        labels = sorted(map(operator.index, given))
    except TypeError as error:
        raise TypeError(f"{name} must be an iterable of ints; got {values!r}") from error
    if bool in map(type, given):  # of a mask, maybe, which would be read as the labels 0 and 1
        raise TypeError(f"{name} must be an iterable of ints; got {given!r}")
    if not labels:
        raise ValueError(f"{name} is empty; name at least one label")
    if labels[0] < -(2**63) or labels[-1] >= 2**63:
        raise ValueError(f"{name} must fit in 64 bits; got {labels}")
    for first, second in pairwise(labels):
        if first == second:
            raise ValueError(f"{name} names the label {first} more than once: {labels}")
    return tuple(labels)


def tile_shape_of(mapping: Mapping[Any, SupportsIndex]) -> tuple[int, int]:
    """Return a tile shape given as a mapping as (rows, columns).

    Raises
    ------
    TypeError
        If it is not a mapping, or a size is not an integer.
    ValueError
        If y or x is missing or below 1.

    Examples
    --------
    >>> tile_shape_of({Axes.Y: 120, Axes.X: 30})
    (120, 30)
    """
    try:
        rows, columns = operator.index(mapping[Axes.Y]), operator.index(mapping[Axes.X])
    except KeyError:
        raise ValueError(f"a tile shape needs the axes 'y' and 'x'; got {mapping!r}") from None
    except (TypeError, IndexError) as error:
        raise TypeError(f"a tile shape maps 'y' and 'x' to ints; got {mapping!r}") from error
    if rows < 1 or columns < 1:
        raise ValueError(f"a tile has at least one row and one column; got {mapping!r}")
    return rows, columns


@dataclass(frozen=True)
class Extent:
    """The labels and the tile shape of one image.

    The fields are named as the parameters of :meth:`ImageStack.from_tilefetcher`, which so takes
    ``**vars(extent)``. Labels are kept sorted.

    Parameters
    ----------
    tile_shape : mapping of Axes to int
        Rows (y) and columns (x) of every tile, in pixels.
    fov : int
        Label of the field of view.
    rounds, chs, zplanes : iterable of int
        Labels, in any order.

    Raises
    ------
    TypeError, ValueError
        If labels are empty, repeated or not ints, or the shape lacks an axis.

    Examples
    --------
    >>> extent = Extent({Axes.Y: 120, Axes.X: 30}, fov=0, rounds=[3, 1], chs=[0], zplanes=[0])
    >>> extent.rounds
    (1, 3)
    """

    tile_shape: Mapping[Axes, int]
    fov: int
    rounds: tuple[int, ...]
    chs: tuple[int, ...]
    zplanes: tuple[int, ...]

    def __post_init__(self) -> None:
        rows, columns = tile_shape_of(self.tile_shape)
        object.__setattr__(self, "tile_shape", {Axes.Y: rows, Axes.X: columns})
        for name in ("rounds", "chs", "zplanes"):
            object.__setattr__(self, name, labels_of(name, getattr(self, name)))

    def __hash__(self) -> int:
        return hash((*self.tile_shape.values(), self.fov, self.rounds, self.chs, self.zplanes))

    def of(self, rounds: Iterable[int], chs: Iterable[int], zplanes: Iterable[int]) -> Extent:
        """Return the same image with other labels."""
        return Extent(self.tile_shape, self.fov, tuple(rounds), tuple(chs), tuple(zplanes))

    def labels(self, axis: Axes | str) -> tuple[int, ...]:
        """Return the labels of the round, channel or z-plane axis, ascending."""
        return (self.rounds, self.chs, self.zplanes)[PLANES.index(Axes(axis))]
