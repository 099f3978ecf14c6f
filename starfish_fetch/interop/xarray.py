"""An ImageStack as an xarray.DataArray."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starfish_fetch.axes import PLANES
from starfish_fetch.errors import require

if TYPE_CHECKING:
    import xarray as xr

    from starfish_fetch.stack import ImageStack

__all__ = ["to_xarray"]


def to_xarray(stack: ImageStack) -> xr.DataArray:
    """Return the stack's pixels, sharing their memory, with labels and physical coordinates."""
    try:
        import xarray as xr
    except ImportError:
        raise require("xarray", "xarray", "ImageStack.xarray") from None
    x, y, z = stack.physical_coordinates()
    dimensions = [str(axis) for axis in stack.shape]
    labels = {str(axis): stack.axis_labels(axis) for axis in PLANES}
    physical = {"xc": ("x", x), "yc": ("y", y), "zc": ("z", z)}
    return xr.DataArray(stack.to_numpy(), dims=dimensions, coords={**labels, **physical})
