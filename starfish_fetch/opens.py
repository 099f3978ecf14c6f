"""How often sources are opened when they are asked for in some sequence.

Sources are numbers here. Whoever reads them keeps the last few, the least recently used being
dropped first, and opens what it does not have.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["in_step", "in_turn", "opens_of", "smallest_cache"]

Codes = NDArray[np.int32]


def opens_of(codes: Codes, cache_sizes: Sequence[int | None]) -> list[int]:
    """Count the opens with caches of several sizes; None keeps everything.

    The caches are followed place by place, each for the whole sequence at once: a place takes
    over what the place above it held one request earlier whenever that place, and so all above
    it, did not hold what was asked for.

    Examples
    --------
    >>> opens_of(np.array([0, 1, 2, 0, 1, 1], np.int32), [1, 2, 3, None])
    [5, 5, 3, 3]
    """
    asked = _changes(codes)
    counts: dict[int | None, int] = {None: _distinct(asked), 1: len(asked)}
    wanted = max((size for size in cache_sizes if size is not None), default=1)
    position = np.arange(len(asked), dtype=np.int32)
    missed = np.ones(len(asked), bool)
    held = asked
    for size in range(2, wanted + 1):
        if counts[size - 1] == counts[None]:
            counts[size] = counts[None]
            continue
        taken_over = np.maximum.accumulate(np.where(missed, position, 0))
        held = _one_earlier(held)[taken_over]
        missed &= asked != _one_earlier(held)
        counts[size] = int(np.count_nonzero(missed))
    return [counts[size] for size in cache_sizes]


def smallest_cache(codes: Codes) -> int:
    """Return how many sources have to be kept for each to be opened once.

    Examples
    --------
    >>> smallest_cache(np.array([0, 0, 1, 1], np.int32))
    1
    >>> smallest_cache(np.array([0, 1, 2, 0, 1, 1], np.int32))
    3
    """
    asked = _changes(codes)
    by_source = np.argsort(asked, kind="stable")
    again = asked[by_source[1:]] == asked[by_source[:-1]]
    first, then = by_source[:-1][again], by_source[1:][again]
    if not len(first):
        return 1
    # Between two requests for a source, as many have to be kept as there are different ones. In
    # any regular order the longest interval has the most, and there cannot be more anywhere.
    longest = int(np.argmax(then - first))
    most = min(int(then[longest] - first[longest]), _distinct(asked))
    if _distinct(asked[first[longest] : then[longest]]) == most:
        return most
    before = np.full(len(asked), -1, np.int32)
    before[then] = first
    # Different in between are those asked for there whose request before lies further back.
    further_back = then - 1 - first - _greater_before(before)[then]
    return 1 + int(further_back.max())


def _greater_before(values: Codes) -> Codes:
    """Count the values before each one that are greater, going by their ranks bit by bit.

    Of equal values the earlier counts as greater.
    """
    count = len(values)
    rank = np.empty(count, np.int32)
    position = np.arange(count, dtype=np.int32)
    rank[np.argsort(-values, kind="stable")] = position
    greater, index = np.zeros(count, np.int32), position.copy()
    for bit in reversed(range(count.bit_length())):
        # Those that agree in all higher bits stand together, as they stood in the beginning.
        block = rank >> (bit + 1) << (bit + 1)
        high = rank >> bit & 1 == 1
        lows = np.cumsum(~high, dtype=np.int32)
        lows -= np.concatenate([np.zeros(1, np.int32), lows])[block]
        greater[index[high]] += lows[high]
        place = np.where(high, position + (1 << bit) - lows, block + lows - 1)
        rank[place], index[place] = rank.copy(), index.copy()
    return greater


def in_step(codes: Codes, starts: NDArray[np.intp], workers: int) -> Codes:
    """Return the sequence in which workers ask that take whole groups and keep in step.

    Parameters
    ----------
    codes : ndarray of int
        In load order.
    starts : ndarray of int
        Where each group begins; the groups are dealt to the workers in turn.
    workers : int
        How many.

    Examples
    --------
    >>> in_step(np.array([0, 0, 0, 1, 2, 2], np.int32), np.array([0, 3, 4]), 2).tolist()
    [0, 1, 0, 0, 2, 2]
    """
    worker, turn = _dealt(len(codes), starts, workers)
    asked: Codes = codes[np.lexsort((worker, turn))]
    return asked


def in_turn(codes: Codes, starts: NDArray[np.intp], workers: int) -> Codes:
    """Return what each of these workers asks for, one worker after another, each with its own.

    Nothing is shared, so that a source that two workers ask for is two different numbers.

    Examples
    --------
    >>> in_turn(np.array([0, 0, 1, 0], np.int32), np.array([0, 2, 3]), 2).tolist()
    [0, 0, 0, 3]
    """
    worker, turn = _dealt(len(codes), starts, workers)
    order = np.lexsort((turn, worker))
    own: Codes = codes + worker.astype(np.int32) * np.int32(codes.max() + 1)
    return own[order]


def _dealt(
    count: int, starts: NDArray[np.intp], workers: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return which worker has each tile, and how many tiles it has had before."""
    lengths = np.diff(starts, append=count)
    owner = np.arange(len(starts)) % workers
    before = np.empty(len(starts), np.intp)
    for worker in range(workers):
        own = lengths[worker::workers]
        before[worker::workers] = np.cumsum(own) - own
    within = np.arange(count) - np.repeat(starts, lengths)
    return np.repeat(owner, lengths), within + np.repeat(before, lengths)


def _changes(codes: Codes) -> Codes:
    changes: Codes = codes[np.concatenate([[True], codes[1:] != codes[:-1]])]
    return changes


def _distinct(codes: Codes) -> int:
    return int(np.count_nonzero(np.bincount(codes)))


def _one_earlier(held: Codes) -> Codes:
    return np.concatenate([np.array([-1], held.dtype), held[:-1]])
