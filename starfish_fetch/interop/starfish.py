"""An ImageStack as starfish's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from starfish_fetch.errors import require
from starfish_fetch.interop.xarray import to_xarray

if TYPE_CHECKING:
    import starfish

    from starfish_fetch.stack import ImageStack

__all__ = ["to_starfish"]


def to_starfish(stack: ImageStack) -> starfish.ImageStack:
    """Return a starfish ImageStack over the same memory."""
    if stack.dtype != np.float32:
        raise TypeError(
            f"a starfish ImageStack holds float32; this stack holds {stack.dtype}: load it with "
            "dtype=numpy.float32"
        )
    try:
        from starfish import ImageStack as StarfishImageStack
    except ImportError:
        raise require("starfish", "starfish", "ImageStack.to_starfish") from None
    converted = StarfishImageStack(to_xarray(stack), None)
    # starfish's own constructors copy every tile into a new array; one that says that it is
    # loaded keeps ours.
    converted._data_loaded = True
    return converted
