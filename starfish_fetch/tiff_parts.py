"""Strips and tiles of a TIFF page: what one may take of memory, and what it has to hold.

A few bytes that are compressed may say that they are gigabytes. What a codec will make of them is
known before, either because it is told how much to make, or from the header that its data have.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from starfish_fetch.errors import SourceError, require

__all__ = ["Part", "check_cut", "decode_part"]

_UNCOMPRESSED = 1
_DEFLATE = frozenset({8, 32946, 50013})
_PACKBITS, _LZMA = 32773, 34925
_JPEG = frozenset({6, 7, 33007, 34892})
_JPEG2000 = frozenset({33003, 33004, 33005, 34712})
_PNG = 34933
# Their codecs are told how much to make: CCITT, LZW, Zstandard, Jetraw, EER.
_TOLD = frozenset({2, 3, 4, 5, 34926, 48124, 50000, 65000, 65001, 65002})
_READ = _DEFLATE | _JPEG | _JPEG2000 | _TOLD | {_UNCOMPRESSED, _PACKBITS, _LZMA, _PNG}

# Tiles are padded, of small planes by much; data that cannot be compressed grow, and have headers.
_PADDING = 1 << 24
_GROWTH, _HEADERS = 2, 1 << 16


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
    if part.compression not in _READ:
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
        What the file holds.
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
    try:
        _check_encoded(part, encoded)
        decoded, (_, _, top, left, _), shape = plane.decode(encoded, number, **plane.arguments)
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


def _check_encoded(part: Part, encoded: bytearray) -> None:
    """Raise ValueError if a codec would make of it more, or something else, than the part."""
    compression = part.compression
    if compression in _JPEG or compression in _JPEG2000 or compression == _PNG:
        if compression in _JPEG:
            said = _jpeg_size(encoded)
        else:
            said = _png_size(encoded) if compression == _PNG else _jpeg2000_size(encoded)
        if said is None:
            raise ValueError("its header is damaged")
        rows, columns, samples = said
        if samples != 1 or columns > part.columns or rows > part.rows:
            raise ValueError(
                f"it says that it has {rows} rows, {columns} columns and {samples} samples; "
                f"expected are {part.rows} rows and {part.columns} columns"
            )
    elif find_spec("imagecodecs") is None:  # what tifffile has instead takes whatever comes
        made = _made(compression, encoded, part.nbytes + 1)
        if made > part.nbytes:
            raise ValueError(f"it makes more than {part.nbytes} bytes")


def _made(compression: int, encoded: bytearray, most: int) -> int:
    """Return how many bytes Python's own codecs make, as far as that can be too many."""
    if compression in _DEFLATE:
        import zlib

        return len(zlib.decompressobj().decompress(encoded, most))
    if compression == _LZMA:
        import lzma

        return len(lzma.LZMADecompressor().decompress(encoded, most))
    if compression == _PACKBITS:
        place = made = 0
        while place < len(encoded) and made < most:
            head = encoded[place]
            made += head + 1 if head < 128 else 257 - head if head > 128 else 0
            place += head + 2 if head < 128 else 2 if head > 128 else 1
        return made
    return 0


def _jpeg_size(data: bytearray) -> tuple[int, int, int] | None:
    """Return rows, columns and samples of a JPEG that is whole."""
    # What is missing at the end is made up by the codec, and so it is behind a second beginning.
    if not data.rstrip(b"\0").endswith(b"\xff\xd9"):
        raise ValueError("it ends before its end is marked")
    sizes = list(_jpeg_frames(data))
    return sizes[0] if len(sizes) == 1 else None


def _jpeg_frames(data: bytearray) -> Iterator[tuple[int, int, int]]:
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == 0xFF:  # filled up
            place += 1
            continue
        if marker == 0xDA:  # what follows are pixels
            return
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            if place + 10 > len(data):
                return
            yield struct.unpack_from(">HHB", data, place + 5)
        place += 2
        if not 0xD0 <= marker <= 0xD8 and marker != 0x01:
            place += struct.unpack_from(">H", data, place)[0]


def _png_size(data: bytearray) -> tuple[int, int, int] | None:
    if data[:8] != b"\x89PNG\r\n\x1a\n" or data[12:16] != b"IHDR" or len(data) < 26:
        return None
    columns, rows, _, colour = struct.unpack_from(">IIBB", data, 16)
    return rows, columns, 1 if colour == 0 else 3


def _jpeg2000_size(data: bytearray) -> tuple[int, int, int] | None:
    """Return rows, columns and samples of a codestream, perhaps in boxes."""
    start = 0
    if data[:4] != b"\xff\x4f\xff\x51":
        start = _codestream(data)
    if data[start : start + 4] != b"\xff\x4f\xff\x51" or len(data) < start + 42:
        return None
    right, bottom, left, top = struct.unpack_from(">4I", data, start + 8)
    (samples,) = struct.unpack_from(">H", data, start + 40)
    return bottom - top, right - left, samples


def _codestream(data: bytearray) -> int:
    place = 0
    while place + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        head = 8
        if length == 1 and place + 16 <= len(data):
            (length,) = struct.unpack_from(">Q", data, place + 8)
            head = 16
        if kind == b"jp2c":
            return place + head
        if length < head:
            break
        place += length
    return len(data)
