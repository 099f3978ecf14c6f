"""The tile files of SpaceTx format: pixels to bytes, and bytes to pixels."""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starfish_fetch.tiff_pages import check_page

__all__ = ["ENDINGS", "decode", "encode"]

ENDINGS = {"NUMPY": "npy", "TIFF": "tiff"}
"""How the names of tile files end, by format."""

_LARGEST_HEADER = 1 << 16


def encode(pixels: NDArray[Any], tile_format: str) -> bytes:
    """Return what a tile file holds, byte for byte as starfish 0.4 writes it."""
    stream = BytesIO()
    if tile_format == "NUMPY":
        np.save(stream, pixels)
    else:
        import imageio.v2 as imageio

        imageio.imwrite(stream, pixels, format="tiff")
    return stream.getvalue()


def decode(data: bytearray, tile_format: str, shape: tuple[int, int] | None = None) -> NDArray[Any]:
    """Return the pixels in a tile file, sharing its memory if it is a ``.npy`` file.

    Parameters
    ----------
    data : bytearray
        The file.
    tile_format : str
        "NUMPY" or "TIFF".
    shape : (int, int), optional
        Rows and columns that it should have. A TIFF of others is not decoded.

    Raises
    ------
    ValueError
        If it is no such file, or holds no single 2-D image of numbers.
    """
    pixels = _from_npy(data) if tile_format == "NUMPY" else _from_tiff(data, shape)
    if pixels.ndim != 2 or pixels.dtype.kind not in "biuf":
        raise ValueError(
            f"it holds {pixels.dtype} of the shape {pixels.shape}; expected numbers, rows and "
            "columns"
        )
    return pixels


def _from_npy(data: bytearray) -> NDArray[Any]:
    width = 2 if data[6:7] == b"\1" else 4  # of the header's length
    start = 8 + width + int.from_bytes(data[8 : 8 + width], "little")
    if start > _LARGEST_HEADER:
        raise ValueError(f"its header has {start} bytes")
    shape, columns_first, dtype = _header(bytes(data[:start]))
    # Compared before anything of that size is asked of the system.
    held, expected = len(data) - start, prod(shape) * dtype.itemsize
    if held != expected or dtype.hasobject:
        raise ValueError(
            f"it holds {held} bytes of pixels; {expected} are expected of {dtype} in the shape "
            f"{shape}"
        )
    flat = np.frombuffer(data, dtype, prod(shape), start)
    return flat.reshape(shape, order="F" if columns_first else "C")


@lru_cache(maxsize=16)  # the tiles of an experiment have all the same
def _header(head: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    stream = BytesIO(head)
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"its version is {version}")
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(stream)
    return np.lib.format.read_array_header_2_0(stream)


def _from_tiff(data: bytearray, shape: tuple[int, int] | None) -> NDArray[Any]:
    import tifffile

    try:
        with tifffile.TiffFile(BytesIO(data)) as file:
            pages, page = len(file.pages), file.pages.first
            # Which tifffile would give as zeros, or take the memory for before it looks.
            if not page.dataoffsets or 0 in page.dataoffsets or 0 in page.databytecounts:
                raise ValueError("its pixels were never written")  # noqa: TRY301
            if shape not in (None, page.shape):
                raise ValueError(f"it holds the shape {page.shape}; expected {shape}")  # noqa: TRY301
            check_page(page, data, "it")
            pixels: NDArray[Any] = page.asarray()
    except Exception as error:  # of damaged files, tifffile and its codecs raise whatever they do
        raise ValueError(f"{type(error).__name__}: {error}") from error
    if pages != 1:
        raise ValueError(f"it holds {pages} pages; expected one")
    return pixels
