"""The tile files of SpaceTx format: pixels to bytes, and bytes to pixels."""

from __future__ import annotations

from io import BytesIO
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["ENDINGS", "decode", "encode"]

ENDINGS = {"NUMPY": "npy", "TIFF": "tiff"}
"""How the names of tile files end, by format."""


def encode(pixels: NDArray[Any], tile_format: str) -> bytes:
    """Return what a tile file holds, byte for byte as starfish 0.4 writes it."""
    stream = BytesIO()
    if tile_format == "NUMPY":
        np.save(stream, pixels)
    else:
        import imageio.v2 as imageio

        imageio.imwrite(stream, pixels, format="tiff")
    return stream.getvalue()


def decode(data: bytearray, tile_format: str) -> NDArray[Any]:
    """Return the pixels in a tile file, sharing its memory if it is a ``.npy`` file.

    Raises
    ------
    ValueError
        If it is no such file, or holds no single 2-D image of numbers.
    """
    pixels = _from_npy(data) if tile_format == "NUMPY" else _from_tiff(data)
    if pixels.ndim != 2 or pixels.dtype.kind not in "biuf":
        raise ValueError(
            f"it holds {pixels.dtype} of the shape {pixels.shape}; expected numbers, rows and "
            "columns"
        )
    return pixels


def _from_npy(data: bytearray) -> NDArray[Any]:
    stream = BytesIO(data[: 1 << 16])
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"its version is {version}")
    read = np.lib.format.read_array_header_1_0
    if version == (2, 0):
        read = np.lib.format.read_array_header_2_0
    shape, columns_first, dtype = read(stream)
    # Compared before anything of that size is asked of the system.
    held, expected = len(data) - stream.tell(), prod(shape) * dtype.itemsize
    if held != expected or dtype.hasobject:
        raise ValueError(
            f"it holds {held} bytes of pixels; {expected} are expected of {dtype} in the shape "
            f"{shape}"
        )
    flat = np.frombuffer(data, dtype, prod(shape), stream.tell())
    return flat.reshape(shape, order="F" if columns_first else "C")


def _from_tiff(data: bytearray) -> NDArray[Any]:
    import tifffile

    try:
        with tifffile.TiffFile(BytesIO(data)) as file:
            pages = len(file.pages)
            pixels: NDArray[Any] = file.pages[0].asarray()
    except Exception as error:  # of damaged files, tifffile and its codecs raise whatever they do
        raise ValueError(f"{type(error).__name__}: {error}") from error
    if pages != 1:
        raise ValueError(f"it holds {pages} pages; expected one")
    return pixels
