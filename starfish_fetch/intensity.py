"""Pixels of any dtype to float32 intensities."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["converter", "copy_into", "intensity_range", "to_float32"]

Pixels = NDArray[Any]

_ONE_AS_BITS = int(np.float32(1).view(np.uint32))


@cache
def converter(dtype: np.dtype[Any]) -> Callable[[Pixels, Pixels], object]:
    """Return the function ``(pixels, out)`` that converts one dtype into a float32 array.

    Parameters
    ----------
    dtype : numpy.dtype
        Of the pixels: bool, any integer, or a float of 16, 32 or 64 bits; any byte order.

    Raises
    ------
    TypeError
        If no conversion is defined for the dtype.
    """
    if dtype.kind == "b" or (dtype.kind == "f" and dtype.itemsize <= 8):
        return copy_into
    if dtype.kind not in "ui":
        raise TypeError(
            f"pixels of dtype {dtype} have no intensity; expected bool, an integer, or a float of "
            "16, 32 or 64 bits"
        )
    scale = 1.0 / int(np.iinfo(dtype).max)
    # The quotient of a 64-bit integer is rounded to float64 first: skimage computes it so.
    computed_in = np.float32 if dtype.itemsize <= 4 else np.float64

    def scale_unsigned(pixels: Pixels, out: Pixels) -> None:
        np.multiply(pixels, scale, out=out, dtype=computed_in)

    def scale_signed(pixels: Pixels, out: Pixels) -> None:
        scale_unsigned(pixels, out)
        # Two's complement reaches one further down than up.
        np.maximum(out, -1.0, out=out)

    return scale_unsigned if dtype.kind == "u" else scale_signed


def copy_into(pixels: Pixels, out: Pixels) -> None:
    """Write pixels, as they are, into an array of the same kind of dtype."""
    out[...] = pixels


def to_float32(pixels: Pixels, out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    """Convert pixels to float32: integers are divided by their type's maximum, floats are kept.

    Bit for bit what :func:`skimage.util.img_as_float32` gives, without its intermediate arrays.

    Parameters
    ----------
    pixels : ndarray
        Bool, any integer, or float of 16, 32 or 64 bits, any shape.
    out : ndarray of float32, optional
        Where to write; of the same shape. Default: a new array.

    Returns
    -------
    ndarray of float32
        ``out``, or the new array.

    Raises
    ------
    TypeError
        If no conversion is defined for the dtype.

    Examples
    --------
    >>> import numpy as np
    >>> to_float32(np.array([0, 85, 255], dtype=np.uint8))
    array([0.        , 0.33333334, 1.        ], dtype=float32)
    """
    convert = converter(pixels.dtype)
    if out is None:
        out = np.empty(pixels.shape, np.float32)
    convert(pixels, out)
    return out


def intensity_range(pixels: Pixels) -> tuple[float, float, bool] | None:
    """Return (lowest, highest, has NaN) of float pixels, or None if all are within [0, 1].

    Parameters
    ----------
    pixels : ndarray of float
        At least one pixel.

    Examples
    --------
    >>> import numpy as np
    >>> intensity_range(np.array([0.0, 1.0], np.float32)) is None
    True
    >>> intensity_range(np.array([-0.5, np.nan], np.float32))
    (-0.5, -0.5, True)
    """
    # As unsigned integers, the floats from 0 to 1 are the smallest; one pass finds the rest.
    if pixels.dtype == np.float32 and (
        int(np.maximum.reduce(pixels.view(np.uint32), axis=None)) <= _ONE_AS_BITS
    ):
        return None
    lowest = float(np.fmin.reduce(pixels, axis=None))
    highest = float(np.fmax.reduce(pixels, axis=None))
    has_nan = bool(np.isnan(np.min(pixels)))
    if not has_nan and lowest >= 0 and highest <= 1:
        return None
    return lowest, highest, has_nan
