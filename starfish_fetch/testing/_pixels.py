"""What pixels tell: whether they could be somebody else's, and what was done to them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from starfish_fetch.axes import TileKey
from starfish_fetch.intensity import to_float32

__all__ = [
    "Difference",
    "Kind",
    "Look",
    "affine",
    "explain",
    "intensity",
    "look",
    "orientation",
    "same",
]

Pixels = NDArray[Any]
Kind = Literal["label", "orientation", "blank", "intensity", "other"]

_ENOUGH_BITS = 64
_LOOKED_AT = 4096


@dataclass(frozen=True)
class Look:
    """What is remembered of a tile's pixels."""

    digest: bytes
    """Equal for equal pixels of one dtype, whatever the byte order."""
    telling: bool
    """Whether two tiles that show the same cannot do so by chance."""
    blank: bool
    """Whether all pixels have one value."""
    first: float
    """The value of the first pixel."""
    lowest: float
    highest: float
    at_highest: int
    """How many pixels have the highest value."""
    halves: tuple[bytes | None, bytes | None]
    """Of the upper and the lower rows alone, where they tell."""
    has_nan: bool


def look(pixels: Pixels) -> Look:
    """Return what is to be remembered of the pixels of a tile."""
    native = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("="))
    with np.errstate(invalid="ignore"):
        low, high = native.min(), native.max()
        blank = bool(low == high) or bool(native.dtype.kind == "f" and np.isnan(native).all())
    return Look(
        digest=_digest(native),
        telling=not blank and _bits(native) >= _ENOUGH_BITS,
        blank=blank,
        first=float(native[0, 0]),
        lowest=float(low),
        highest=float(high),
        at_highest=int(np.count_nonzero(native == high)),
        halves=(_half(native[: len(native) // 2]), _half(native[len(native) // 2 :])),
        has_nan=bool(np.isnan(high)) if native.dtype.kind == "f" else False,
    )


def _digest(pixels: Pixels) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    digest.update(f"{pixels.shape} {pixels.dtype.str}".encode())
    digest.update(pixels.reshape(-1).view(np.uint8).data)
    return digest.digest()


def _half(pixels: Pixels) -> bytes | None:
    return _digest(pixels) if pixels.size and _bits(pixels) >= _ENOUGH_BITS else None


def _bits(pixels: Pixels) -> float:
    """Return about how many bits of information pixels hold, if they are independent."""
    flat = pixels.ravel()
    some = flat[:: max(1, -(-flat.size // _LOOKED_AT))]
    _, counts = np.unique(some, return_counts=True)
    share = counts / some.size
    return float(-(share * np.log2(share)).sum() * flat.size)


def same(seen: Pixels, expected: Pixels) -> bool:
    """Return whether pixels are those expected.

    Of another dtype, they are if a stack of float32 would hold the same.
    """
    if seen.shape != expected.shape:
        return False
    if seen.dtype.newbyteorder("=") == expected.dtype.newbyteorder("="):
        floats = seen.dtype.kind == "f"
        return bool(np.array_equal(seen, expected, equal_nan=floats))
    try:
        return bool(np.array_equal(to_float32(seen), to_float32(expected), equal_nan=True))
    except TypeError:
        return False


@dataclass(frozen=True)
class Difference:
    """What the pixels of a tile are instead of those expected."""

    kind: Kind
    text: str
    found: TileKey | None = None
    """The tile whose pixels they are."""
    fov: int | None = None
    """Its field of view, if that is known."""


def explain(
    seen: Pixels,
    expected: Pixels,
    find: Callable[[Pixels], tuple[int, TileKey] | None],
    others: Callable[[], Iterator[tuple[TileKey, Pixels]]],
    *,
    thorough: bool = True,
) -> Difference | None:
    """Say what pixels are that are not those expected.

    Parameters
    ----------
    seen, expected : ndarray
        2-D, of one shape.
    find : callable
        Returns the field of view and the tile that has pixels, or None.
    others : callable
        Some other tiles, whose pixels these may be after a change.
    thorough : bool, optional
        Whether to go on when they are neither blank nor another tile's: that takes long.
    """
    if (seen == seen[0, 0]).all():
        text = f"are all {seen[0, 0]}, where the data reach from {_range(expected)}"
        return Difference("blank", text)
    found = find(seen)
    if found is not None:
        return Difference("label", "", found[1], found[0])
    if not thorough:
        return None
    changed = orientation(seen, expected)
    if changed is not None:
        return Difference("orientation", changed)
    changed = intensity(seen, expected)
    if changed is not None:
        return Difference("intensity", changed)
    for key, pixels in others():
        changed = orientation(seen, pixels) or intensity(seen, pixels)
        if changed is not None:
            return Difference("label", changed, key)
    return Difference("other", _rest(seen, expected))


def _range(pixels: Pixels) -> str:
    return f"{pixels.min()} to {pixels.max()}"


def orientation(seen: Pixels, expected: Pixels) -> str | None:
    """Say how pixels were turned or flipped, if that is all there is to it."""
    rows, columns = expected.shape
    candidates: dict[str, Callable[[], Pixels]] = {
        "flipped upside down": lambda: expected[::-1],
        "flipped left to right": lambda: expected[:, ::-1],
        "turned by 180 degrees": lambda: expected[::-1, ::-1],
        "transposed": lambda: expected.T,
        "turned by 90 degrees": lambda: np.rot90(expected),
        "turned by 270 degrees": lambda: np.rot90(expected, 3),
        "transposed along the other diagonal": lambda: expected[::-1, ::-1].T,
        "read column by column": lambda: expected.ravel("F").reshape(rows, columns),
        "read row by row where columns were written": lambda: expected.reshape(columns, rows).T,
    }
    for name, make in candidates.items():
        if same(seen, make()):
            return name
    return None


def intensity(seen: Pixels, expected: Pixels) -> str | None:
    """Say what was done to intensities, each by itself, if that is all there is to it."""
    if seen.dtype.kind not in "biuf" or expected.dtype.kind not in "biuf":
        return None
    if expected.itemsize > 1 and same(
        seen, np.ascontiguousarray(expected).byteswap().view(expected.dtype)
    ):
        return "byte-swapped: they were read with the wrong byte order"
    ours, theirs = seen.ravel().astype(np.float64), expected.ravel().astype(np.float64)
    if expected.dtype.kind in "iu" and seen.dtype.kind in "biuf":
        for bits in (8, 12, 16, 32):
            size = float(1 << bits)
            if bits < 8 * expected.itemsize + (expected.dtype.kind == "u"):
                wrapped = np.mod(theirs, size)
                signed = np.where(wrapped >= size / 2, wrapped - size, wrapped)
                for values in (wrapped, signed):
                    if not np.array_equal(ours, values) or np.array_equal(values, theirs):
                        continue
                    if bits == 8 * expected.itemsize:
                        return "read as signed numbers: what is large has become negative"
                    return f"wrapped: only the lowest {bits} bits are left"
    order = np.argsort(theirs, kind="stable")
    ours, theirs = ours[order], theirs[order]
    if not np.isfinite(ours).all() or not np.isfinite(theirs).all():
        return None
    falling = ours[0] > ours[-1]
    steps = np.diff(-ours if falling else ours)
    # So many values in the right order are no chance; equal values must have stayed equal.
    if np.array_equal(ours, theirs):
        return f"of {seen.dtype}, where the data are {expected.dtype}: full scale is another"
    change = np.abs(ours - theirs)
    if change.max() <= 2 and np.ptp(theirs) > 16:
        return None  # noise, not a scale
    distinct = len(np.unique(ours))
    if distinct < 8 or (steps < 0).any() or (steps[np.diff(theirs) == 0] != 0).any():
        return None
    reach = f"they reach from {_range(seen)}, the data from {_range(expected)}"
    if falling:
        return f"inverted: {reach}"
    if np.ptp(ours - theirs) == 0:
        return f"shifted by {ours[0] - theirs[0]:g}: {reach}"
    if np.array_equal(ours, np.clip(theirs, ours[0], ours[-1])):
        return f"clipped: {reach}"
    # Of what was scaled, next to nothing stays what it was.
    return f"rescaled: {reach}" if np.mean(change == 0) < 0.5 else None


def affine(seen: Pixels, expected: Pixels) -> tuple[float, float] | None:
    """Return the factor and offset by which intensities were scaled, if they were."""
    theirs, ours = expected.ravel().astype(np.float64), seen.ravel().astype(np.float64)
    factor, offset = np.polyfit(theirs, ours, 1)
    # Whole numbers were rounded, or cut off.
    allowed = 1.0 if seen.dtype.kind in "iu" else 1e-5 * float(np.abs(ours).max())
    if np.abs(factor * theirs + offset - ours).max() > allowed:
        return None
    return float(factor), float(offset)


def _rest(seen: Pixels, expected: Pixels) -> str:
    for dy in range(-2, 3):
        for dx in range(-2, 3):
            if (dy or dx) and _shifted(seen, expected, dy, dx):
                return f"are shifted by {dy} rows and {dx} columns"
    if seen.dtype.kind == expected.dtype.kind == "f":
        wrong = ~np.isclose(seen, expected, rtol=0, atol=0, equal_nan=True)
    else:
        wrong = seen != expected
    rows = np.flatnonzero(wrong.any(axis=1))
    row, column = (int(index[0]) for index in np.nonzero(wrong))
    return (
        f"differ in {np.count_nonzero(wrong)} of {wrong.size} pixels, in the rows {rows[0]} to "
        f"{rows[-1]}; the first, in row {row}, column {column}, is {seen[row, column]} instead of "
        f"{expected[row, column]}"
    )


def _shifted(seen: Pixels, expected: Pixels, dy: int, dx: int) -> bool:
    rows, columns = expected.shape
    if rows <= 2 * abs(dy) + 1 or columns <= 2 * abs(dx) + 1:
        return False
    here = seen[max(dy, 0) : rows + min(dy, 0), max(dx, 0) : columns + min(dx, 0)]
    there = expected[max(-dy, 0) : rows + min(-dy, 0), max(-dx, 0) : columns + min(-dx, 0)]
    return same(here, there)
