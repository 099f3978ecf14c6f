"""Numbers with units that people read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import quantiles

__all__ = ["in_units", "middle_half", "of_bytes", "of_seconds", "short"]


def of_seconds(seconds: Iterable[float]) -> tuple[str, float]:
    """Return the unit in which all of some durations read well, and how many make a second.

    Examples
    --------
    >>> of_seconds([0.012, 0.3]), of_seconds([0.3, 4.0])
    (('ms', 1000.0), ('s', 1.0))
    """
    longest = max(seconds, default=0.0)
    return ("s", 1.0) if longest >= 1 else ("ms", 1e3) if longest >= 1e-3 else ("µs", 1e6)


def of_bytes(counts: Iterable[int]) -> tuple[str, float]:
    """Return the unit in which all of some sizes read well, and how many bytes it is.

    Examples
    --------
    >>> of_bytes([12_000_000, 900]), of_bytes([12])
    (('MB', 1000000.0), ('bytes', 1.0))
    """
    largest = max(counts, default=0)
    units = (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3))
    return next((unit for unit in units if largest >= unit[1]), ("bytes", 1.0))


def in_units(count: int) -> str:
    """Return a number of bytes in words.

    Examples
    --------
    >>> in_units(999), in_units(15_728_640)
    ('999 bytes', '15.7 MB')
    """
    unit, size = of_bytes([count])
    return f"{count} bytes" if size == 1 else f"{count / size:.1f} {unit}"


def short(value: float) -> str:
    """Return a number with about three digits.

    Examples
    --------
    >>> short(1234.5), short(56.78), short(0.126), short(0)
    ('1,234', '56.8', '0.13', '0')
    """
    digits = 0 if value >= 100 or not value else 1 if value >= 10 else 2
    return f"{value:,.{digits}f}"


def middle_half(values: Sequence[float]) -> tuple[float, float]:
    """Return between which two values half of all lie: one stray value does not move them.

    Examples
    --------
    >>> middle_half([1.0, 2.0, 3.0, 4.0, 90.0]), middle_half([5.0])
    ((2.0, 4.0), (5.0, 5.0))
    """
    if len(values) == 1:
        return values[0], values[0]
    low, _, high = quantiles(values, n=4, method="inclusive")
    return low, high
