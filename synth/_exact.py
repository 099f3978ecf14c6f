"""Arithmetic and random numbers that are the same to the bit on every machine.

Additions, multiplications, divisions, square roots and roundings are what IEEE 754 says that they
are; exponentials and logarithms are not, and differ from library to library. So everything here,
and all that is made of it, is elementwise arithmetic; sums whose order is left to numpy are not
taken.
"""

from __future__ import annotations

from enum import IntEnum
from functools import cache
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

__all__ = ["Floats", "Stream", "exp", "normals", "uniforms", "words"]

Floats = npt.NDArray[np.float64]

_WORD = 2**64
_WORDS_PER_COUNT = 4  # that Philox makes of each value of its counter
_LOG2_HIGH = float.fromhex("0x1.62e42feep-1")  # few digits: its products with small ints are exact
_LOG2_LOW = float.fromhex("0x1.a39ef35793c76p-33")
_LOWEST = -700.0
_TERMS = 14
_TABLE_BITS = 16


class Stream(IntEnum):
    """What random numbers are for; each purpose has its own."""

    CODEBOOK = 1
    MOLECULES = 2
    DRIFT = 3
    TEXTURE = 4
    NOISE = 5
    HOT_PIXELS = 6
    NUCLEI = 7
    NUCLEI_NOISE = 8


def words(
    count: int, seed: int, stream: Stream, place: int = 0, *labels: int, first: int = 0
) -> npt.NDArray[np.uint64]:
    """Return random words of 64 bits.

    Parameters
    ----------
    count : int
        How many.
    seed, stream, place, *labels
        What they are a function of: the seed of the image, the purpose, one number, and up to
        three labels.
    first : int, optional
        How many to leave out, at no cost.

    Examples
    --------
    >>> words(2, 0, Stream.NOISE, 3, 1)
    array([17392695903541787656,   767288351277405369], dtype=uint64)
    >>> words(1, 0, Stream.NOISE, 3, 1, first=1)
    array([767288351277405369], dtype=uint64)
    """
    begin = (int(stream) << 56) + first // _WORDS_PER_COUNT
    counter = [begin, *(label % _WORD for label in labels), 0, 0, 0][:4]
    generator = np.random.Philox(
        key=np.array([seed, place % _WORD], np.uint64), counter=np.array(counter, np.uint64)
    )
    skipped = first % _WORDS_PER_COUNT
    return generator.random_raw(skipped + count)[skipped:]


def uniforms(random: npt.NDArray[np.uint64]) -> Floats:
    """Return a number from 0 up to, but not including, 1 for each word.

    Examples
    --------
    >>> uniforms(np.array([0, 2**63, 2**64 - 1], np.uint64))
    array([0. , 0.5, 1. ])
    """
    return (random >> np.uint64(11)).astype(np.float64) * 2.0**-53


def normals(random: npt.NDArray[np.uint16]) -> Floats:
    """Return a normal deviate for each 16 random bits: mean 0, variance 1, at most 4.4 from 0.

    Examples
    --------
    >>> normals(np.array([0, 2**15, 2**16 - 1], np.uint16)).round(3)
    array([-4.325,  0.   ,  4.325])
    """
    return _quantiles()[random]


@cache
def _quantiles() -> Floats:
    # Rounded, so that the last digit of the logarithm in inv_cdf makes no difference.
    count, inverse = 2**_TABLE_BITS, NormalDist().inv_cdf
    upper = [round(inverse((i + 0.5) / count) * 2**16) / 2**16 for i in range(count // 2, count)]
    table = np.array([*(-value for value in reversed(upper)), *upper])
    table.flags.writeable = False
    return table


def exp(exponents: Floats) -> Floats:
    """Return e to the power of each number, as accurate as ``numpy.exp`` within some units.

    The argument is reduced by multiples of log 2 and the rest put into the power series, as in
    W. J. Cody and W. Waite, Software Manual for the Elementary Functions (1980), chapter 6.
    Exponents below -700 count as -700.

    Examples
    --------
    >>> exp(np.array([-1.0, 0.0, 1.0]))
    array([0.36787944, 1.        , 2.71828183])
    """
    exponents = np.maximum(exponents, _LOWEST)
    halvings = np.rint(exponents * (1 / (_LOG2_HIGH + _LOG2_LOW)))
    rest = exponents - halvings * _LOG2_HIGH
    rest -= halvings * _LOG2_LOW
    series = np.ones_like(rest)
    for term in range(_TERMS, 0, -1):
        series *= rest
        series /= term
        series += 1.0
    powers: Floats = np.ldexp(series, halvings.astype(np.int32))
    return powers
