"""Selectors of labels and positions, turned into positions along an axis."""

from __future__ import annotations

import operator
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from starfish_fetch.axes import PLANES, Axes

__all__ = ["AXES", "Picked", "axis_of", "nearest", "pick", "put", "take"]

AXES = (*PLANES, Axes.Y, Axes.X)


class Picked(NamedTuple):
    """What a selector picks of one axis."""

    positions: slice | NDArray[np.intp]
    """A slice with known ends, or an array where they have no common step."""
    scalar: bool
    """Whether one label or position was given, not a range or a list."""

    @property
    def window(self) -> slice | None:
        """The positions as a slice without a step, if they are one."""
        if isinstance(self.positions, slice) and self.positions.step in (None, 1):
            return self.positions
        return None


def axis_of(name: Any) -> Axes:
    """Return the axis that a string, or anything equal to one, names.

    Raises
    ------
    ValueError
        If there is no such axis.
    """
    try:
        return Axes(name)
    except ValueError:
        allowed = ", ".join(repr(str(axis)) for axis in AXES)
        raise ValueError(f"unknown axis {name!r}; expected one of {allowed}") from None


def pick(
    selectors: Mapping[Any, Any], labels: Mapping[Axes, Sequence[int]], *, by_position: bool
) -> dict[Axes, Picked]:
    """Resolve selectors against the axes of an image.

    Parameters
    ----------
    selectors : mapping of Axes to int, slice, tuple or list
        A tuple is a slice. A label range includes both ends; a position range is half-open.
    labels : mapping of Axes to sequence of int
        The labels of r, c and z, ascending; for y and x, anything of the right length.
    by_position : bool
        Whether r, c and z too are selected by position. Rows and columns always are.

    Returns
    -------
    dict of Axes to Picked
        For the axes that the selectors name.

    Raises
    ------
    KeyError
        If a label does not exist.
    IndexError
        If a position does not exist.
    ValueError
        If an axis is unknown, or nothing is left of one.
    """
    picked = {}
    for name, selector in selectors.items():
        axis = axis_of(name)
        positional = by_position or axis in (Axes.Y, Axes.X)
        if isinstance(selector, tuple):
            selector = slice(*selector)
        if isinstance(selector, slice):
            index = _range(axis, selector, labels[axis], positional)
            picked[axis] = Picked(index, scalar=False)
        elif np.ndim(selector) == 0:
            position = _position(axis, selector, labels[axis], positional)
            picked[axis] = Picked(slice(position, position + 1), scalar=True)
        else:
            positions = [_position(axis, one, labels[axis], positional) for one in selector]
            if any(b <= a for a, b in pairwise(positions)):
                raise ValueError(
                    f"a list for axis {str(axis)!r} must ascend without repeats, as labels do in "
                    f"a stack; got {list(selector)}"
                )
            picked[axis] = Picked(np.array(positions, np.intp), scalar=False)
        if len(np.arange(len(labels[axis]))[picked[axis].positions]) == 0:
            raise ValueError(
                f"{selector!r} selects nothing of axis {str(axis)!r}, which has "
                + (
                    f"{len(labels[axis])} positions"
                    if positional
                    else f"the labels {list(labels[axis])}"
                )
            )
    return picked


def _position(axis: Axes, value: Any, labels: Sequence[int], positional: bool) -> int:
    number = operator.index(value.item() if isinstance(value, np.ndarray) else value)
    if positional:
        size = len(labels)
        if not -size <= number < size:
            raise IndexError(
                f"position {number} is outside axis {str(axis)!r}, which has {size} positions"
            )
        return number % size
    try:
        return labels.index(number)
    except ValueError:
        raise KeyError(f"axis {str(axis)!r} has no label {number}; it has {list(labels)}") from None


def _range(axis: Axes, selector: slice, labels: Sequence[int], positional: bool) -> slice:
    step = 1 if selector.step is None else operator.index(selector.step)
    if step < 1:
        raise ValueError(f"the range {selector!r} for axis {str(axis)!r} must run forwards")
    if positional:
        return slice(*selector.indices(len(labels)))
    first = 0 if selector.start is None else bisect_left(labels, selector.start)
    last = len(labels) if selector.stop is None else bisect_right(labels, selector.stop)
    return slice(first, max(first, last), step)


def take(array: NDArray[Any], picked: Mapping[Axes, Picked]) -> NDArray[Any]:
    """Return the selected part of a 5-D array: a view wherever ranges alone are selected."""
    indices = [picked[axis].positions if axis in picked else slice(None) for axis in AXES]
    array = array[tuple(index if isinstance(index, slice) else slice(None) for index in indices)]
    for number, index in enumerate(indices):
        if not isinstance(index, slice):
            array = np.take(array, index, axis=number)
    return array


def put(
    array: NDArray[Any],
    picked: Mapping[Axes, Picked],
    data: NDArray[Any],
    axes: Sequence[Axes],
) -> None:
    """Write into the selected part of a 5-D array.

    Parameters
    ----------
    array : ndarray
        (r, c, z, y, x).
    picked : mapping of Axes to Picked
        Where to; an axis picked by a scalar is not an axis of the data.
    data : ndarray
        Its last axes are y and x.
    axes : sequence of Axes
        The axes of the data before y and x, in its order.

    Raises
    ------
    ValueError
        If the axes or the shape do not fit.
    """
    dropped = [axis for axis in AXES if axis in picked and picked[axis].scalar]
    kept = [axis for axis in AXES if axis not in dropped]
    given = [*axes, *(axis for axis in (Axes.Y, Axes.X) if axis not in dropped)]
    if len(given) != data.ndim or set(given) != set(kept):
        raise ValueError(
            f"the selector leaves the axes {[str(axis) for axis in kept]}; the data has the shape "
            f"{data.shape} and the axes {[str(axis) for axis in given]}: name those before y, x "
            "in 'axes'"
        )
    ordered = data.transpose([given.index(axis) for axis in kept])
    full = np.expand_dims(ordered, [AXES.index(axis) for axis in dropped])
    places = [
        np.arange(size)[picked[axis].positions] if axis in picked else np.arange(size)
        for axis, size in zip(AXES, array.shape, strict=True)
    ]
    shape = tuple(len(place) for place in places)
    if full.shape != shape:
        expected = tuple(
            size for axis, size in zip(AXES, shape, strict=True) if axis not in dropped
        )
        raise ValueError(
            f"the selector leaves the shape {expected}; the data, in that order, has "
            f"{ordered.shape}"
        )
    if all(isinstance(one.positions, slice) for one in picked.values()):
        take(array, picked)[...] = full
    else:
        array[np.ix_(*places)] = full


def nearest(name: str, coordinates: NDArray[np.float64], value: Any) -> int | tuple[int, int]:
    """Return the position whose coordinate is nearest to a value, or those nearest to a pair.

    Ties go to the first position.

    Raises
    ------
    ValueError
        If the image has no such coordinate.
    """
    if np.isnan(coordinates).any():
        raise ValueError(f"the tiles give no {name!r} coordinate to select by")
    if isinstance(value, tuple | list):
        first, last = value
        return _nearest(coordinates, first), _nearest(coordinates, last)
    return _nearest(coordinates, value)


def _nearest(coordinates: NDArray[np.float64], value: float) -> int:
    return int(np.abs(coordinates - value).argmin())
