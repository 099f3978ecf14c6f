"""A 5-D array as the content of an ImageStack."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starfish_fetch.axes import PLANES, Axes, Coordinates, labels_of
from starfish_fetch.errors import DataFormatWarning
from starfish_fetch.intensity import to_float32
from starfish_fetch.verify import PhysicalCoordinates, verify_intensities

__all__ = ["parse_array"]


def parse_array(
    array: NDArray[Any],
    index_labels: Mapping[Axes, Sequence[int]] | None,
    coordinates: Mapping[Coordinates, Sequence[float]] | None,
    *,
    share: bool = False,
    stacklevel: int,
) -> tuple[NDArray[np.float32], dict[Axes, tuple[int, ...]], PhysicalCoordinates]:
    """Return a copy of the pixels, sorted by label, with labels and coordinates.

    With ``share`` they are the same memory wherever that is possible. See
    :meth:`ImageStack.from_numpy`.
    """
    array = np.asarray(array)
    if array.ndim != 5 or 0 in array.shape:
        raise ValueError(f"expected a 5-D array (r, c, z, y, x); got the shape {array.shape}")
    pixels = array if share and array.dtype == np.float32 else to_float32(array)
    if array.dtype != np.float32:
        warnings.warn(
            f"the array is {array.dtype}; it is converted to float32 intensities",
            DataFormatWarning,
            stacklevel=stacklevel + 1,
        )
    if verify_intensities(pixels):
        warnings.warn("the array has NaN pixels", DataFormatWarning, stacklevel=stacklevel + 1)
    physical = _physical(coordinates, pixels.shape)
    labels = {}
    for number, axis in enumerate(PLANES):
        size = array.shape[number]
        if index_labels is not None and axis not in index_labels:
            raise ValueError(f"index_labels lack the axis {str(axis)!r}; give r, c and z, or none")
        given = range(size) if index_labels is None else list(index_labels[axis])
        labels[axis] = labels_of(f"index_labels[{str(axis)!r}]", given)
        if len(given) != size:
            raise ValueError(
                f"axis {str(axis)!r} has {size} positions, but {len(given)} labels were given"
            )
        if tuple(given) != labels[axis]:
            order = np.argsort(given)
            pixels = np.take(pixels, order, axis=number)
            if axis is Axes.ZPLANE:
                physical = physical._replace(z=physical.z[order])
    return pixels, labels, physical


def _physical(
    coordinates: Mapping[Coordinates, Sequence[float]] | None, shape: tuple[int, ...]
) -> PhysicalCoordinates:
    sizes = {Coordinates.X: shape[4], Coordinates.Y: shape[3], Coordinates.Z: shape[2]}
    if coordinates is None:
        return PhysicalCoordinates(*(np.linspace(0.0, 0.001, size) for size in sizes.values()))
    values = []
    for name, size in sizes.items():
        if name not in coordinates:
            raise ValueError(f"coordinates lack {str(name)!r}; give xc, yc and zc, or none")
        value = np.array(coordinates[name], np.float64)
        if value.shape != (size,):
            raise ValueError(
                f"{size} coordinates {str(name)!r} are needed; got the shape {value.shape}"
            )
        values.append(value)
    return PhysicalCoordinates(*values)
