"""The coordinates of a tile, as numbers, or what is wrong with them."""

from __future__ import annotations

import math
import numbers
from typing import Any, NamedTuple

import numpy as np

from starfish_fetch.axes import Coordinates

__all__ = ["Place", "alike", "place_of"]

Pair = tuple[float, float]


class Place(NamedTuple):
    """Where a tile lies."""

    x: Pair
    y: Pair
    z: Pair | None


def place_of(coordinates: Any) -> Place:
    """Return coordinates as pairs of floats.

    Raises
    ------
    ValueError
        That says what is wrong with them.
    """
    if not hasattr(coordinates, "__getitem__") or not hasattr(coordinates, "keys"):
        raise ValueError(f"is {_short(coordinates)}, not a mapping")
    values: dict[str, Any] = {}
    for name in Coordinates:
        try:
            values[name] = coordinates[name]
        except KeyError:
            values[name] = None
    for name in (Coordinates.X, Coordinates.Y):
        if values[name] is None:
            raise ValueError(f"has no {str(name)!r}")
        if not _is_pair(values[name]):
            raise ValueError(f"has {_short(values[name])} for {str(name)!r}, not a pair of numbers")
    x, y = (_pair(str(name), values[name]) for name in (Coordinates.X, Coordinates.Y))
    z = values[Coordinates.Z]
    if z is None:
        return Place(x, y, None)
    return Place(x, y, _pair("zc", z if _is_pair(z) else (z, z)))


def _is_pair(value: Any) -> bool:
    return isinstance(value, tuple | list | np.ndarray) and np.shape(value) == (2,)


def _pair(name: str, value: Any) -> Pair:
    for number in value:
        if isinstance(number, bool) or not isinstance(number, numbers.Real | np.number):
            raise ValueError(f"has {_short(value)} for {name!r}; expected numbers")  # noqa: TRY004
        if not math.isfinite(number) and not (name == "zc" and math.isnan(number)):
            raise ValueError(f"has {_short(value)} for {name!r}; expected finite numbers")
    first, last = value
    return float(first), float(last)


def alike(one: Any, other: Any) -> bool:
    """Return whether two mappings of coordinates say the same; if one says nothing, yes."""
    try:
        return bool(np.array_equal(_flat(place_of(one)), _flat(place_of(other)), equal_nan=True))
    except ValueError:
        return True


def _flat(place: Place) -> list[float]:
    return [*place.x, *place.y, *(place.z or (math.nan, math.nan))]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
