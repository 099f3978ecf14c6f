"""Which tiles are loaded at a time: a plan, cut into pieces that fit into memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from starfish_fetch.axes import TileKey

__all__ = ["blocks_of"]


def blocks_of(keys: Iterable[TileKey], most: int) -> Iterator[tuple[TileKey, ...]]:
    """Cut tiles into runs that are every combination of some labels, and at most so many.

    Parameters
    ----------
    keys : iterable of TileKey
        Tiles in load order, none of them twice. Their order is kept.
    most : int
        Tiles in a run; at least 1.

    Examples
    --------
    >>> plan = [TileKey(r, c, z) for r in range(2) for c in range(3) for z in range(2)]
    >>> [len(block) for block in blocks_of(plan, 5)]
    [4, 2, 4, 2]
    """
    waiting = iter(keys)
    held: list[TileKey] = []
    while True:
        labels: tuple[set[int], set[int], set[int]] = set(), set(), set()
        whole = count = 0
        while True:
            if count == len(held):
                key = next(waiting, None)
                if key is None:
                    break
                held.append(key)
            for seen, label in zip(labels, held[count], strict=True):
                seen.add(label)
            count += 1
            combinations = len(labels[0]) * len(labels[1]) * len(labels[2])
            if combinations > most:
                break
            if combinations == count:
                whole = count
        if not held:
            return
        yield tuple(held[:whole])
        del held[:whole]
