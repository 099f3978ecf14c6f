"""To and from an xarray.DataArray."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from starfish_fetch.axes import PLANES, Axes, Coordinates, Extent
from starfish_fetch.errors import require
from starfish_fetch.interop.numpy import parse_array
from starfish_fetch.verify import PhysicalCoordinates

if TYPE_CHECKING:
    import xarray as xr

    from starfish_fetch.stack import ImageStack

__all__ = ["parse_dataarray", "to_xarray", "with_coordinates"]

_DIMENSIONS = ("r", "c", "z", "y", "x")
_ALONG = {Coordinates.X: "x", Coordinates.Y: "y", Coordinates.Z: "z"}


def to_xarray(stack: ImageStack) -> xr.DataArray:
    """Return the stack's pixels, sharing their memory, with labels and physical coordinates."""
    labels = {axis: stack.axis_labels(axis) for axis in PLANES}
    physical = stack.physical_coordinates()
    return _labelled(stack.to_numpy(), labels, physical, "ImageStack.xarray")


def with_coordinates(array: Any, extent: Extent, physical: PhysicalCoordinates) -> xr.DataArray:
    """Return a 5-D array of any library with labels and physical coordinates."""
    labels = {axis: extent.labels(axis) for axis in PLANES}
    return _labelled(array, labels, physical, "to_dask(..., xarray=True)")


def _labelled(
    array: Any,
    labels: Mapping[Axes, Sequence[int]],
    physical: PhysicalCoordinates,
    purpose: str,
) -> xr.DataArray:
    try:
        import xarray as xr
    except ImportError:
        raise require("xarray", "xarray", purpose) from None
    along = {
        str(coordinate): (axis, values)
        for (coordinate, axis), values in zip(_ALONG.items(), physical, strict=True)
    }
    index = {str(axis): list(values) for axis, values in labels.items()}
    # An array of dask's would give it its own name.
    return xr.DataArray(array, dims=_DIMENSIONS, coords={**index, **along}).rename(None)


def parse_dataarray(
    array: xr.DataArray, *, stacklevel: int
) -> tuple[NDArray[np.float32], dict[Axes, tuple[int, ...]], PhysicalCoordinates]:
    """Return pixels, labels and coordinates; the same memory where nothing has to change.

    See :meth:`ImageStack.from_xarray`.
    """
    for name in array.dims:
        if name not in _DIMENSIONS:
            raise ValueError(
                f"the dimension {name!r} is none of r, c, z, y and x: rename it, as in "
                f"array.rename({{{name!r}: 'r'}}), or select one position of it"
            )
    if not {"y", "x"} <= set(array.dims):
        raise ValueError(f"an image needs the dimensions y and x; this has {list(array.dims)}")
    for axis in map(str, PLANES):
        if axis not in array.dims:
            array = array.expand_dims(axis)
    array = array.transpose(*_DIMENSIONS)
    labels = {
        axis: array.coords[str(axis)].values.tolist() if str(axis) in array.coords else range(size)
        for axis, size in zip(PLANES, array.shape, strict=False)
    }
    coordinates: dict[Coordinates, Any] = {
        name: np.atleast_1d(array.coords[str(name)].values)
        for name in _ALONG
        if str(name) in array.coords
    }
    return parse_array(
        array.to_numpy(), labels, coordinates or None, share=True, stacklevel=stacklevel + 1
    )
