"""Content "index": blocks of 8 by 8 pixels that say where they belong.

A pixel takes one of 16 levels, evenly spaced from 0. The first row of a block is :data:`SYNC`, the
lowest and the highest level in a pattern that is neither its own mirror image nor its own negative:
it tells what the levels have become. The other 56 pixels are 28 bytes, the high half of each first,
big-endian: the labels fov, round, channel and z-plane (signed, 4 bytes each), the block's row and
column among the blocks of its tile, the tile's rows and columns (2 bytes each), and the CRC-32 of
all that. They are combined with fixed noise, so that blocks look busy. Blocks at the right and at
the lower edge of a tile are cropped.
"""

from __future__ import annotations

import hashlib
import struct
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "BLOCK",
    "NBYTES",
    "SYNC",
    "TOP",
    "block_levels",
    "crc32",
    "level_values",
    "step",
    "whiten",
]

BLOCK = 8
TOP = 15
NBYTES = 28
SYNC = np.array([TOP, 0, 0, 0, TOP, TOP, 0, TOP], np.uint8)
_NOISE = np.frombuffer(hashlib.sha256(b"synth index block").digest()[:NBYTES], np.uint8)


def _crc_table() -> npt.NDArray[np.uint32]:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = (table >> np.uint32(1)) ^ np.where(table & 1, np.uint32(0xEDB88320), np.uint32(0))
    return table


_CRC_TABLE = _crc_table()


def crc32(rows: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint32]:
    """Return the CRC-32 of each row of bytes, as ``zlib.crc32`` has it."""
    state = np.full(rows.shape[:-1], 0xFFFFFFFF, np.uint32)
    for column in range(rows.shape[-1]):
        state = _CRC_TABLE[(state ^ rows[..., column]) & 0xFF] ^ (state >> np.uint32(8))
    return ~state


def whiten(rows: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Add the fixed noise to rows of :data:`NBYTES` bytes, or take it off again."""
    return rows ^ _NOISE


def step(dtype: npt.DTypeLike) -> float:
    """Return the distance of two neighbouring levels in a dtype.

    For unsigned integers it is one less than would fit: the bytes of the largest that fits,
    0x1111, are the same in either order, and a file read with its bytes swapped would look right.

    Examples
    --------
    >>> step("uint8"), step("uint16"), step("int16")
    (16, 4368, 2184)
    """
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return 1 / TOP
    return int(np.iinfo(dtype).max) // TOP - (dtype.kind == "u")


def level_values(dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return the 16 levels in a dtype, ascending."""
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return (np.arange(TOP + 1) / TOP).astype(dtype)
    return np.array([level * int(step(dtype)) for level in range(TOP + 1)], dtype)


def block_levels(
    labels: tuple[int, int, int, int], tile_shape: tuple[int, int]
) -> npt.NDArray[np.uint8]:
    """Return the level of each pixel of a tile.

    Parameters
    ----------
    labels : tuple of int
        fov, round, channel and z-plane.
    tile_shape : (int, int)
        Rows and columns.
    """
    rows, columns = tile_shape
    grid = -(-rows // BLOCK), -(-columns // BLOCK)
    held = np.empty((*grid, NBYTES), np.uint8)
    held[..., :16] = np.frombuffer(struct.pack(">4i", *labels), np.uint8)
    held[..., 16:20] = _as_bytes(np.moveaxis(np.indices(grid, np.uint16), 0, -1))
    held[..., 20:24] = np.frombuffer(struct.pack(">2H", *tile_shape), np.uint8)
    held[..., 24:] = _as_bytes(crc32(held[..., :24])[..., np.newaxis])
    held = whiten(held)
    levels = np.empty((*grid, BLOCK * BLOCK), np.uint8)
    levels[..., :BLOCK] = SYNC
    levels[..., BLOCK::2] = held >> 4
    levels[..., BLOCK + 1 :: 2] = held & 15
    blocks = levels.reshape(*grid, BLOCK, BLOCK).swapaxes(1, 2)
    return blocks.reshape(grid[0] * BLOCK, grid[1] * BLOCK)[:rows, :columns]


def _as_bytes(numbers: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    big = numbers.astype(numbers.dtype.newbyteorder(">"), order="C")
    return big.view(np.uint8)
