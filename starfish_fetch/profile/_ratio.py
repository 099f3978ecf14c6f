"""By how much a time has changed, from a few repeats of it before and after.

The estimate is that of Hodges and Lehmann, the median of all ratios of a time after to a time
before; the interval is the one that belongs to it, from the exact distribution of the statistic of
Mann and Whitney (Hollander, Wolfe and Chicken, Nonparametric Statistical Methods, 3rd edition,
2014, sections 4.2 and 4.3). It holds for any number of repeats and any distribution of times, as
long as the change multiplies it: loads have outliers on one side, and a bootstrap of five values
promises more than it holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import comb
from typing import NamedTuple

import numpy as np

__all__ = ["Ratio", "fewest_repeats", "ratio_of"]


class Ratio(NamedTuple):
    """A ratio of times, after over before, and where it lies; None if that cannot be told."""

    value: float
    low: float | None
    high: float | None


def ratio_of(before: Sequence[float], after: Sequence[float], confidence: float) -> Ratio:
    """Return the ratio of times after to times before, with an interval of some confidence.

    Parameters
    ----------
    before, after : sequence of float
        Seconds, at least one each.
    confidence : float
        Of the interval, at least; from 0 to 1.

    Examples
    --------
    >>> ratio_of([1.0, 1.1, 1.2, 1.3], [2.0, 2.2, 2.4, 2.6], 0.95)
    Ratio(value=2.0, low=1.5384615384615383, high=2.6)
    >>> ratio_of([1.0, 1.1], [2.0, 2.2], 0.95)
    Ratio(value=2.0, low=None, high=None)
    """
    # A clock may be too coarse to see a load.
    earlier, later = (np.maximum(times, 1e-9) for times in (before, after))
    ratios = np.sort(np.divide.outer(later, earlier), axis=None)
    rank = _rank(len(before), len(after), confidence)
    value = float(np.median(ratios))
    if rank == 0:
        return Ratio(value, None, None)
    return Ratio(value, float(ratios[rank - 1]), float(ratios[-rank]))


def fewest_repeats(confidence: float) -> int:
    """Return how many repeats, before and after, an interval needs at least.

    Examples
    --------
    >>> fewest_repeats(0.95)
    4
    """
    count = 1
    while not _rank(count, count, confidence):
        count += 1
    return count


def _rank(before: int, after: int, confidence: float) -> int:
    """Return the rank of the ratio that is the lower end of the interval; 0 if none is.

    The interval from that rank to the one that many from the top misses the true ratio with twice
    the probability that the statistic of Mann and Whitney is below the rank.
    """
    allowed = (1 - confidence) / 2 * comb(before + after, after)
    total, rank = 0, 0
    for rank, ways in enumerate(_ways(before, after)):  # noqa: B007
        total += ways
        # One part in a million million is rounding: 0.95 is no binary number.
        if total > allowed * (1 + 1e-12):
            break
    return min(rank, (before * after + 1) // 2)


def _ways(before: int, after: int) -> list[int]:
    """Count the orderings of two samples by how often one of the first is above the second.

    These are the coefficients of the Gaussian binomial, built up factor by factor.
    """
    ways = [1] + [0] * (before * after)
    for factor in range(1, after + 1):
        for power in range(len(ways) - 1, before + factor - 1, -1):
            ways[power] -= ways[power - before - factor]
        for power in range(factor, len(ways)):
            ways[power] += ways[power - factor]
    return ways
