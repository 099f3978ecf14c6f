"""Reading content "index": where pixels come from, and what was done to them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from synth._decoded import Decoded
from synth._orientation import AS_WRITTEN, ORIENTATIONS, Orientation
from synth.index import BLOCK, NBYTES, SYNC, TOP, crc32, level_values, step, whiten
from synth.spec import DTYPES

__all__ = ["decode"]

# A window that holds a whole block at any phase has 15 pixels a side; more of it, more chances.
_WINDOW = 23
_WINDOWS = 5
_SYNC_HIGH = SYNC == TOP


def decode(pixels: npt.ArrayLike) -> Decoded:
    """Say which tile pixels of content "index" come from, and what was done to them.

    Works for any crop that holds a whole block (so for any 15 by 15 pixels), in any dtype, after
    conversion to another (to float32 in [0, 1], for one), after any flip, transposition and
    rotation by 90 degrees, and after ``scale * pixels + bias``.

    Parameters
    ----------
    pixels : array
        (y, x).

    Returns
    -------
    Decoded
        With ``found=False`` and a ``reason`` for whatever else it is given, of any shape.

    Examples
    --------
    >>> import synth
    >>> spec = synth.Spec(rounds=2, chs=3, zplanes=2, tile_shape=(64, 48), content="index")
    >>> pixels = synth.tile(spec, fov=0, round=0, ch=2, zplane=1)
    >>> print(synth.decode(pixels[:, ::-1] / 256))
    round 0, channel 2, z-plane 1 of field of view 0, flipped left-right, rescaled to 0..255.9375
    """
    image = np.asarray(pixels)
    reason = _unreadable(image)
    if reason:
        return Decoded(found=False, reason=reason)
    reading = _search(image)
    if reading is not None:
        return _conclude(image, reading, bytes_swapped=False)
    if image.dtype.itemsize > 1:
        swapped = image.view(image.dtype.newbyteorder())
        reading = _search(swapped)
        if reading is not None:
            return _conclude(swapped, reading, bytes_swapped=True)
    return Decoded(found=False, reason="no block of content 'index' was recognised in the pixels")


class _Blocks(NamedTuple):
    """Blocks that were read: what each holds, and where it stood among those looked at."""

    indices: npt.NDArray[np.intp]
    held: npt.NDArray[np.uint8]
    low: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]


class _Reading(NamedTuple):
    orientation: Orientation
    phase: tuple[int, int]
    grid: tuple[int, int]
    blocks: _Blocks


def _unreadable(image: npt.NDArray[Any]) -> str:
    if image.dtype.kind not in "uif":
        return f"pixels must be integers or floats; got {image.dtype}"
    if image.ndim != 2:
        return f"pixels must have two dimensions, rows and columns; got the shape {image.shape}"
    if min(image.shape) < BLOCK:
        return f"a whole block has {BLOCK} rows and columns; got the shape {image.shape}"
    return ""


def _parse(candidates: npt.NDArray[Any]) -> _Blocks:
    """Read those of (n, 8, 8) pixels that are a block."""
    with np.errstate(all="ignore"):  # whatever a float may hold is no reason to warn
        first = candidates[:, 0, :].astype(np.float64)
        high, low = first[:, _SYNC_HIGH].mean(axis=1), first[:, ~_SYNC_HIGH].mean(axis=1)
        span = (high - low)[:, np.newaxis]
        off = np.abs((first - low[:, np.newaxis]) / span * TOP - SYNC).max(axis=1)
    likely = np.flatnonzero(off < 0.5)  # False for NaN, and so for a constant image
    low, high, span = low[likely], high[likely], span[likely]
    with np.errstate(all="ignore"):
        body = candidates[likely, 1:, :].reshape(len(likely), 2 * NBYTES).astype(np.float64)
        levels = np.rint((body - low[:, np.newaxis]) / span * TOP)
        within = ((levels >= 0) & (levels <= TOP)).all(axis=1)
    nibbles = levels[within].astype(np.uint8)
    held = whiten((nibbles[:, ::2] << 4) | nibbles[:, 1::2])
    stated = held[:, NBYTES - 4 :].copy().view(">u4")[:, 0]
    right = crc32(held[:, : NBYTES - 4]) == stated
    return _Blocks(likely[within][right], held[right], low[within][right], high[within][right])


def _search(image: npt.NDArray[Any]) -> _Reading | None:
    reading = _read(image, AS_WRITTEN, (0, 0))
    if 2 * len(reading.blocks.indices) >= math.prod(reading.grid):
        return reading
    votes: Counter[tuple[Orientation, int, int]] = Counter()
    for top, left, window in _windows(image):
        for orientation in ORIENTATIONS:
            found = _anywhere(orientation.undo(window))
            if not len(found):
                continue
            # Where the window's first pixel stands, in the frame of the undone image.
            corner = _undone_corner(orientation, image.shape, window.shape, (top, left))
            rows, columns = ((found + corner) % BLOCK).T
            votes.update((orientation, *phase) for phase in zip(rows, columns, strict=True))
    readings = [
        _read(image, orientation, phase) for (orientation, *phase), _ in votes.most_common(3)
    ]
    best = max([reading, *readings], key=lambda one: len(one.blocks.indices))
    return best if len(best.blocks.indices) else None


def _read(image: npt.NDArray[Any], orientation: Orientation, phase: Any) -> _Reading:
    """Read all whole blocks of an image, given how it lies."""
    row, column = map(int, phase)
    whole = orientation.undo(image)[row:, column:]
    grid = whole.shape[0] // BLOCK, whole.shape[1] // BLOCK
    whole = whole[: grid[0] * BLOCK, : grid[1] * BLOCK]
    blocks = whole.reshape(grid[0], BLOCK, grid[1], BLOCK).swapaxes(1, 2)
    return _Reading(orientation, (row, column), grid, _parse(blocks.reshape(-1, BLOCK, BLOCK)))


def _anywhere(window: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """Return the (row, column) of each block in a window, at whatever phase."""
    views = np.lib.stride_tricks.sliding_window_view(window, (BLOCK, BLOCK))
    places = _parse(views.reshape(-1, BLOCK, BLOCK)).indices
    return np.stack(np.unravel_index(places, views.shape[:2]), axis=-1)


def _windows(image: npt.NDArray[Any]) -> Iterator[tuple[int, int, npt.NDArray[Any]]]:
    """Yield small parts of an image, from edge to edge, with the place of their first pixel."""
    starts = [
        sorted({int(at) for at in np.linspace(0, max(size - _WINDOW, 0), _WINDOWS)})
        for size in image.shape
    ]
    for top in starts[0]:
        for left in starts[1]:
            yield top, left, image[top : top + _WINDOW, left : left + _WINDOW]


def _undone_corner(
    orientation: Orientation,
    shape: tuple[int, ...],
    window: tuple[int, ...],
    corner: tuple[int, int],
) -> tuple[int, int]:
    row, column = corner
    if orientation.rows_reversed:
        row = shape[0] - window[0] - row
    if orientation.columns_reversed:
        column = shape[1] - window[1] - column
    return (column, row) if orientation.transposed else (row, column)


def _conclude(image: npt.NDArray[Any], reading: _Reading, *, bytes_swapped: bool) -> Decoded:
    blocks = reading.blocks
    labels = blocks.held[:, :16].copy().view(">i4").astype(int)
    fields = blocks.held[:, 16:24].copy().view(">u2").astype(int)
    rows, columns = np.unravel_index(blocks.indices, reading.grid)
    tiles = [tuple(row) for row in labels.tolist()]
    sources = Counter(tiles)
    main = sources.most_common(1)[0][0]
    mine = np.array([one == main for one in tiles])
    # Where each block was written, less where it stands: the same for all unless they were moved.
    moved = fields[:, :2] * BLOCK - (np.stack([rows, columns], axis=-1) * BLOCK + reading.phase)
    offset, shape = Counter(
        ((int(y), int(x)), (int(height), int(width)))
        for (y, x), (height, width) in zip(moved[mine], fields[mine, 2:], strict=True)
    ).most_common(1)[0][0]
    low, high = float(np.median(blocks.low[mine])), float(np.median(blocks.high[mine]))
    # The levels of unsigned integers stay evenly spaced when their bytes are swapped.
    swapped = image.dtype.kind == "u" and _as_expected(low, high, image.dtype, swapped=True)
    return Decoded(
        found=True,
        fov=main[0],
        round=main[1],
        ch=main[2],
        zplane=main[3],
        tile_shape=shape,
        shape=reading.orientation.undo(image).shape,
        orientation=reading.orientation.name,
        offset=offset,
        low=low,
        high=high,
        rescaled=not (swapped or _as_expected(low, high, image.dtype)),
        bytes_swapped=bytes_swapped or swapped,
        blocks=len(blocks.indices),
        total=math.prod(reading.grid),
        sources=dict(sources.most_common()),
    )


def _as_expected(low: float, high: float, dtype: np.dtype[Any], *, swapped: bool = False) -> bool:
    if dtype.kind != "f":
        top = level_values(dtype)[TOP:]
        return (low, high) == (0, float((top.byteswap() if swapped else top)[0])) and (
            not swapped or dtype.itemsize > 1
        )
    # Of any dtype, the pixels may have been of float32 before.
    tolerance = max(1e-6, 4 * float(np.finfo(dtype).eps))
    tops = (1.0, *(TOP * step(name) / np.iinfo(name).max for name in DTYPES if "int" in name))
    return abs(low) <= tolerance and any(abs(high - top) <= tolerance for top in tops)
