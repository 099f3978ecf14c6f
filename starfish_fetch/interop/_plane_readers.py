"""How planes are read out of functions and arrays."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from starfish_fetch.axes import (
    PLANES,
    Coordinates,
    CoordinateValue,
    Extent,
    labels_of,
    tile_shape_of,
)
from starfish_fetch.interop._axis_names import FOV, axes_by_position

__all__ = [
    "ArrayReader",
    "AxesGiven",
    "FunctionReader",
    "PlaneReader",
    "Position",
    "XarrayReader",
]

Position = tuple[int, int, int, int]
AxesGiven = Iterable[Any] | Mapping[Any, Any] | None

_SELECTING = (FOV, *map(str, PLANES))


class PlaneReader:
    """Reads planes by their positions along fov, r, c and z.

    Parameters
    ----------
    names, axes, sizes
        See :func:`axes_by_position`.
    labels : mapping
        What the caller gave, by axis.
    known : mapping, optional
        Labels that come with the array.

    Attributes
    ----------
    labels : tuple of list of int
        Of the positions along fov, r, c and z.
    """

    kind: ClassVar[str]
    thread_safe: bool = False

    def __init__(
        self,
        names: Sequence[Hashable] | None,
        axes: AxesGiven,
        sizes: Sequence[int],
        labels: Mapping[str, list[int]],
        known: Mapping[str, list[int]] | None = None,
    ) -> None:
        self.axes = axes_by_position(names, axes, sizes)
        self.sizes = {**dict.fromkeys(_SELECTING, 1), **dict(zip(self.axes, sizes, strict=True))}
        self.labels = tuple(
            _labels_along(axis, self.sizes[axis], labels.get(axis), (known or {}).get(axis))
            for axis in _SELECTING
        )
        self.tile_shape = self.sizes["y"], self.sizes["x"]

    def read(self, position: Position, rows: slice, columns: slice) -> Any:
        """Return part of a plane, rows then columns; perhaps no copy."""
        raise NotImplementedError

    def source(self, position: Position) -> Hashable | None:
        """Name the file of a plane, if it is known."""
        return None

    def coordinates(self, zplane: int) -> Mapping[Coordinates, CoordinateValue]:
        """Return what is known of where the z-plane at a position lies."""
        return {}

    def _index(self, position: Position, rows: slice, columns: slice) -> tuple[Any, ...]:
        by_axis: dict[str, Any] = dict(zip(_SELECTING, position, strict=True))
        by_axis.update(y=rows, x=columns)
        return tuple(by_axis[axis] for axis in self.axes)

    def _upright(self, plane: Any) -> Any:
        return plane if self.axes.index("y") < self.axes.index("x") else plane.T


class FunctionReader(PlaneReader):
    """Calls a function ``(fov, round, ch, zplane)``."""

    kind = "function"

    def __init__(self, function: Callable[[int, int, int, int], Any], extent: Extent) -> None:
        self.axes = ()
        self.labels = [extent.fov], *(list(extent.labels(axis)) for axis in PLANES)
        self.tile_shape = tile_shape_of(extent.tile_shape)
        self._function = function

    def read(self, position: Position, rows: slice, columns: slice) -> Any:
        """Call the function with the labels of a position."""
        labels = (of[number] for of, number in zip(self.labels, position, strict=True))
        plane = np.asarray(self._function(*labels))
        if plane.shape != self.tile_shape:
            raise ValueError(
                f"the function returned the shape {plane.shape}; expected {self.tile_shape} (rows, "
                "columns), as the extent says (C2)"
            )
        return plane[rows, columns]


class ArrayReader(PlaneReader):
    """Indexes an array: numpy, dask, zarr, or like them."""

    kind = "array"

    def __init__(self, array: Any, axes: AxesGiven, labels: Mapping[str, list[int]]) -> None:
        super().__init__(_dimension_names(array), axes, array.shape, labels)
        self._array = array
        module = type(array).__module__.partition(".")[0]
        self.thread_safe = isinstance(array, np.ndarray) or module in ("dask", "zarr")

    def read(self, position: Position, rows: slice, columns: slice) -> Any:
        """Index the plane, and no more of it than is wanted."""
        return self._upright(_in_memory(self._array[self._index(position, rows, columns)]))


class XarrayReader(PlaneReader):
    """Indexes an xarray.DataArray by the names of its dimensions."""

    kind = "xarray.DataArray"

    def __init__(self, array: Any, axes: AxesGiven, labels: Mapping[str, list[int]]) -> None:
        own_axes = axes_by_position(array.dims, axes, array.shape)
        self._own = dict(zip(own_axes, array.dims, strict=True))
        known = {}
        for axis in _SELECTING:
            coordinate = array.coords.get(self._own.get(axis, axis))
            if coordinate is not None and coordinate.dtype.kind in "iu" and coordinate.ndim <= 1:
                known[axis] = np.atleast_1d(coordinate.values).tolist()
        super().__init__(array.dims, axes, array.shape, labels, known)
        self._array = array.variable
        self.thread_safe = array.chunks is not None or array.variable._in_memory
        self._physical = {
            coordinate: values
            for coordinate, axis in zip(Coordinates, "zyx", strict=True)
            if (values := _values_along(array, str(coordinate), self._own.get(axis))) is not None
        }

    def read(self, position: Position, rows: slice, columns: slice) -> Any:
        """Index the plane, and no more of it than is wanted."""
        return self._upright(_in_memory(self._array[self._index(position, rows, columns)].data))

    def coordinates(self, zplane: int) -> Mapping[Coordinates, CoordinateValue]:
        """Return xc and yc from their ends, and zc of the z-plane."""
        known: dict[Coordinates, CoordinateValue] = {}
        for coordinate, values in self._physical.items():
            if coordinate is Coordinates.Z:
                known[coordinate] = values[zplane]
            elif values[0] != values[-1]:
                known[coordinate] = values[0], values[-1]
        return known


def _in_memory(plane: Any) -> NDArray[Any]:
    if hasattr(plane, "__dask_graph__"):
        from dask.base import get_scheduler

        # By the thread that asks, unless its caller has chosen: a load has threads of its own.
        chosen = get_scheduler()  # type: ignore[no-untyped-call]
        plane = plane.compute(scheduler=chosen or "synchronous")
    return np.asarray(plane)


def _labels_along(
    axis: str, size: int, given: list[int] | None, known: list[int] | None
) -> list[int]:
    labels = given if given is not None else known if known is not None else list(range(size))
    if len(labels) != size:
        raise ValueError(f"{len(labels)} labels were given for the {size} positions along {axis!r}")
    labels_of(f"labels of {axis!r}", labels)
    return labels


def _dimension_names(array: Any) -> Sequence[Hashable] | None:
    """Return the names that a zarr array, of either format, has for its dimensions."""
    names = getattr(getattr(array, "metadata", None), "dimension_names", None)
    if names is None and hasattr(array, "attrs"):
        names = dict(array.attrs).get("_ARRAY_DIMENSIONS")
    return None if names is None or None in names else tuple(names)


def _values_along(array: Any, name: str, dimension: Hashable) -> list[float] | None:
    """Return a physical coordinate along a dimension, by its own name or as its index."""
    for candidate in (name, dimension):
        values = array.coords.get(candidate)
        if values is not None and values.dims == (dimension,) and values.dtype.kind in "iuf":
            return [float(value) for value in values.values]
    return None
