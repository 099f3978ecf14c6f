"""What compressed pixels say of themselves, before a codec is given them.

A few bytes that are compressed may say that they are gigabytes. What a codec will make of them is
known before, either because it is told how much to make, or from the header that its data have.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["SCHEMES", "check_encoded"]

_UNCOMPRESSED = 1
_LZW = 5
_DEFLATE = frozenset({8, 32946, 50013})
_PACKBITS, _LZMA = 32773, 34925
_JPEG = frozenset({6, 7, 33007, 34892})
_JPEG2000 = frozenset({33003, 33004, 33005, 34712})
_PNG = 34933
# Their codecs are told how much to make: CCITT, LZW, Zstandard, Jetraw, EER.
_TOLD = frozenset({2, 3, 4, _LZW, 34926, 48124, 50000, 65000, 65001, 65002})
SCHEMES = _DEFLATE | _JPEG | _JPEG2000 | _TOLD | {_UNCOMPRESSED, _PACKBITS, _LZMA, _PNG}
"""How pixels may be compressed, by the numbers of TIFF."""

# Each scan of a JPEG goes over all of its pixels. Of JPEG 2000, each tile, precinct and code-block
# costs its codec hundreds of bytes, and a header alone may say that there are millions.
_SCANS = 64
_TILE_SIDE, _PRECINCT_BITS, _BLOCK_BITS, _LAYERS = 128, 6, 6, 1 << 8

_CLEAR, _END = 256, 257
_CODES = 5120
"""After so many without a new table, codecs of LZW give up."""


def check_encoded(
    encoded: bytearray, compression: int, part_rows: int, part_columns: int, nbytes: int
) -> None:
    """Raise ValueError if a codec would make of it more, or something else, than a part.

    Parameters
    ----------
    encoded : bytearray
        What the file holds.
    compression : int
        One of the schemes.
    part_rows, part_columns, nbytes : int
        What the part is to have.
    """
    if compression in _JPEG or compression in _JPEG2000 or compression == _PNG:
        if compression in _JPEG:
            said = _jpeg_size(encoded)
        else:
            said = _png_size(encoded) if compression == _PNG else _jpeg2000_size(encoded)
        if said is None:
            raise ValueError("its header is damaged")
        rows, columns, samples = said
        if samples != 1 or columns > part_columns or rows > part_rows:
            raise ValueError(
                f"it says that it has {rows} rows, {columns} columns and {samples} samples; "
                f"expected are {part_rows} rows and {part_columns} columns"
            )
        if compression in _JPEG2000:
            _check_jpeg2000(encoded)
    elif compression == _LZW:
        _check_lzw(encoded)
    elif find_spec("imagecodecs") is None:  # what tifffile has instead takes whatever comes
        made = _made(compression, encoded, nbytes + 1)
        if made > nbytes:
            raise ValueError(f"it makes more than {nbytes} bytes")


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
    scans = data.count(b"\xff\xda")
    if scans > _SCANS:
        raise ValueError(f"it has {scans} scans; at most {_SCANS} are read")
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
    start = _codestream(data)
    if data[start : start + 4] != b"\xff\x4f\xff\x51" or len(data) < start + 42:
        return None
    right, bottom, left, top = struct.unpack_from(">4I", data, start + 8)
    (samples,) = struct.unpack_from(">H", data, start + 40)
    return bottom - top, right - left, samples


def _check_jpeg2000(data: bytearray) -> None:
    """Raise ValueError if there are more pieces in it than it is worth."""
    start = _codestream(data)
    right, bottom, left, top, wide, high = struct.unpack_from(">6I", data, start + 8)
    if wide < min(_TILE_SIDE, right - left) or high < min(_TILE_SIDE, bottom - top):
        raise ValueError(f"it is cut into tiles of {high} rows and {wide} columns")
    for layers, coding in _jpeg2000_styles(data, start + 2):
        levels, across, down = coding[0], coding[1] & 15, coding[2] & 15
        # Each level has half of the rows and columns of the one after it.
        precincts = [
            min(bits & 15, bits >> 4) + levels - level for level, bits in enumerate(coding[5:])
        ]
        smallest = min(precincts, default=15)
        if layers > _LAYERS or across + down < _BLOCK_BITS or smallest < _PRECINCT_BITS:
            raise ValueError(
                f"it is cut into blocks of {4 << down} rows and {4 << across} columns, into "
                f"{layers} layers, and into precincts of down to {1 << smallest} pixels"
            )


def _jpeg2000_styles(data: bytearray, place: int) -> Iterator[tuple[int, bytearray]]:
    """Yield each way of coding that a codestream names: layers, and what begins with levels."""
    tile = 0
    while place + 4 <= len(data):
        marker, length = struct.unpack_from(">HH", data, place)
        if marker == 0xFFD9:  # the end
            return
        end = place + 2 + length
        if marker == 0xFF90:
            tile = place
        elif marker == 0xFF93 and tile:  # what follows are pixels, as far as the tile goes
            (size,) = struct.unpack_from(">I", data, tile + 6)
            if not size:  # the last goes to the end
                return
            end = tile + size
        elif marker == 0xFF52:
            has_precincts, _, layers = struct.unpack_from(">BBH", data, place + 4)
            yield layers, data[place + 9 : end if has_precincts & 1 else place + 14]
        elif marker == 0xFF53:  # of one sample
            yield 1, data[place + 6 : end if data[place + 5] & 1 else place + 11]
        if marker < 0xFF00 or end <= place:
            raise ValueError("its header is damaged")
        place = end


def _codestream(data: bytearray) -> int:
    """Return where the codestream begins, which may stand in a box."""
    place = 0
    if data[:4] == b"\xff\x4f\xff\x51":
        return place
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


def _check_lzw(data: bytearray) -> None:
    """Raise ValueError if a table begins with what was not told before.

    imagecodecs would look for it in memory that is not its own. How wide a code is depends on how
    many came before it since the table was begun, so that none has to be understood.
    """
    lowest_first = data[:1] == b"\0" and bool(data[1:2] and data[1] & 1)  # as before TIFF 5.0
    array = np.frombuffer(data, np.uint8)
    place, bits = 9, 8 * len(data)  # behind the first code, which begins a table
    while place + 9 <= bits:
        table = _table(place % 8, lowest_first)
        piece = np.zeros(int(table.bytes_at[-1]) + 4, np.uint8)
        there = array[place // 8 : place // 8 + len(piece)]
        piece[: len(there)] = there
        words = np.ndarray(len(piece) - 3, "<u4" if lowest_first else ">u4", piece, strides=(1,))
        codes = words[table.bytes_at].astype(np.uint32)
        codes = codes >> table.shifts if lowest_first else codes << table.shifts
        if (int(codes[0]) & 511 if lowest_first else int(codes[0]) >> 23) > _END:
            raise ValueError("a table begins with a code that stands for nothing")
        (stops,) = np.nonzero((codes & table.masks) == table.clear)
        if not len(stops) or place + table.ends[stops[0]] > bits:
            return
        word, wide = int(codes[stops[0]]), int(table.widths[stops[0]])
        if (word if lowest_first else word >> 32 - wide) & 1:  # the end
            return
        place += int(table.ends[stops[0]])
    raise ValueError("it ends where a table begins")


class _Table(NamedTuple):
    """Where the codes of one table are, from a bit within a byte on, and how they are found."""

    widths: NDArray[np.int64]
    ends: NDArray[np.int64]
    """How many bits are behind the place when a code ends."""
    bytes_at: NDArray[np.int64]
    """In which byte each begins; it ends in the third at the latest."""
    shifts: NDArray[np.uint32]
    masks: NDArray[np.uint32]
    """Of all bits of a code but the lowest, by which the two that matter differ."""
    clear: NDArray[np.uint32]


@cache
def _table(bit: int, lowest_first: bool) -> _Table:
    widths = np.repeat([9, 10, 11, 12], [254 + lowest_first, 512, 1024, _CODES - 2048])
    ends = np.cumsum(widths)
    begins = bit + ends - widths
    up = 0 if lowest_first else 32 - widths
    return _Table(
        widths, ends, begins >> 3, (begins & 7).astype(np.uint32),
        ((1 << widths) - 2 << up).astype(np.uint32),
        (np.full_like(widths, _CLEAR) << up).astype(np.uint32),
    )  # fmt: skip
