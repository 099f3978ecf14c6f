"""Strips and tiles of a TIFF page: what one may take of memory, and what it has to hold."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from starfish_fetch.encoded import SCHEMES, check_encoded
from starfish_fetch.errors import SourceError, require

__all__ = ["Part", "check_cut", "decode_part"]

_UNCOMPRESSED = 1

# Tiles are padded, of small planes by much; data that cannot be compressed grow, of LZW by half,
# and have headers.
_PADDING = 3 << 20
_GROWTH, _HEADERS = 3 / 2, 1 << 16


class Part(NamedTuple):
    """What the parts of a plane are."""

    rows: int
    columns: int
    dtype: np.dtype[Any]
    compression: int

    @property
    def nbytes(self) -> int:
        """Bytes of its pixels."""
        return self.rows * self.columns * self.dtype.itemsize


def check_cut(
    part: Part, plane_bytes: int, offsets: Sequence[int], sizes: Sequence[int], path: str
) -> None:
    """Raise SourceError if the parts of a plane are none that a writer would make.

    Parameters
    ----------
    part : Part
        What they are.
    plane_bytes : int
        Of the pixels of the whole plane.
    offsets, sizes : sequence of int
        Where they are in the file, encoded.
    path : str
        The file.
    """
    if part.compression not in SCHEMES:
        raise SourceError(
            f"{path} is compressed by the scheme {part.compression}, which is not read; write it "
            "with zlib, LZW or Zstandard"
        )
    if part.nbytes > plane_bytes + _PADDING:
        raise SourceError(
            f"{path} is damaged: a part of a plane has {part.rows} rows and {part.columns} "
            f"columns, {part.nbytes} bytes, and all of the plane {plane_bytes}; write it again"
        )
    if part.compression != _UNCOMPRESSED:
        for number, size in enumerate(sizes):
            if size > _GROWTH * part.nbytes + _HEADERS:
                raise SourceError(
                    f"{path} is damaged: part {number} of a page has {size} bytes compressed, and "
                    f"{part.nbytes} else; write it again"
                )
    spans = list(zip(offsets, sizes, strict=True))
    if any(start + size > after for (start, size), (after, _) in pairwise(spans)):
        # Equal parts may be stored once.
        for (start, size), (after, other) in pairwise(sorted(set(spans))):
            if start + size > after:
                raise SourceError(
                    f"{path} is damaged: of a page, the part at {start} of {size} bytes overlaps "
                    f"the part at {after} of {other} bytes; write it again"
                )


def decode_part(
    plane: Any, number: int, encoded: bytearray, path: str
) -> tuple[NDArray[Any], int, int]:
    """Return the pixels of a part, and the row and the column at which they begin.

    Parameters
    ----------
    plane : Parts
        The plane.
    number : int
        Of the part, in its page.
    encoded : bytearray
        What the file holds; not to be kept by the caller, who has no use for it.
    path : str
        The file.

    Raises
    ------
    SourceError
        If they cannot be decoded, or are not the pixels of the part.
    MissingExtraError
        If they are compressed in a way that needs imagecodecs.
    """
    part = plane.part
    held = [encoded]
    del encoded
    try:
        check_encoded(held[0], part.compression, part.rows, part.columns, part.nbytes)
        # Given away, so that the decoder frees it before it makes anything more of the pixels.
        decoded, (_, _, top, left, _), shape = plane.decode(
            held.pop(), number, jpegtables=plane.jpegtables, jpegheader=plane.jpegheader
        )
    except Exception as error:
        if "imagecodecs" in str(error):
            raise require("imagecodecs", "codecs", f"reading {path}") from error
        raise SourceError(
            f"{path}: part {number} of a plane cannot be decoded: {error}; copy the file again"
        ) from error
    native = part.dtype.newbyteorder("=")
    if decoded.dtype.newbyteorder("=") != native and part.dtype.kind != "b":
        raise SourceError(
            f"{path}: part {number} of a plane holds {decoded.dtype}, its page {native.name}; "
            "write it again"
        )
    if decoded.ndim != 4 or decoded.shape[0] != 1 or decoded.shape[3] != 1:
        raise SourceError(
            f"{path}: part {number} of a plane has the shape {decoded.shape}; expected rows and "
            f"columns, {shape[1:3]}; write it again"
        )
    pixels: NDArray[Any] = decoded[0, :, :, 0]
    return pixels, top, left
