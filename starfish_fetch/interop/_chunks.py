"""Blocks of a regular grid for the engines that want them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from starfish_fetch.axes import PLANES
from starfish_fetch.plan import LoadPlan

__all__ = ["chunks_of"]


def chunks_of(plan: LoadPlan) -> tuple[tuple[int, ...], ...]:
    """Return the lengths of the chunks along r, c and z.

    With ``group_by`` the axes that it names have chunks of one label, the others one chunk.
    Without, they are the smallest for which no source lies in two chunks; a tile whose source is
    unknown is a chunk.

    Parameters
    ----------
    plan : LoadPlan
        Its labels, ``group_by`` and sources.

    Examples
    --------
    >>> plan = LoadPlan([0, 1], [0], [5, 6, 7], sources=["a", "b", "b", "c", "d", "d"])
    >>> chunks_of(plan)
    ((1, 1), (1,), (1, 2))
    """
    if plan.group_by is not None:
        return tuple(
            (1,) * size if axis in plan.group_by else (size,)
            for axis, size in zip(PLANES, plan.shape, strict=True)
        )
    if plan.sources is None:
        return tuple((1,) * size for size in plan.shape)
    source = plan.source_numbers.reshape(plan.shape)
    return tuple(_unsplit(source, axis) for axis in range(3))


def _unsplit(source: NDArray[np.int32], axis: int) -> tuple[int, ...]:
    """Cut an axis wherever no source lies on both sides."""
    size = source.shape[axis]
    position = np.broadcast_to(np.arange(size).reshape(np.roll((size, 1, 1), axis)), source.shape)
    count = int(source.max()) + 1
    first, last = np.full(count, size), np.zeros(count, np.intp)
    np.minimum.at(first, source.ravel(), position.ravel())
    np.maximum.at(last, source.ravel(), position.ravel())
    # How many sources go on from each label to the next.
    across = np.bincount(first, minlength=size)[:size] - np.bincount(last, minlength=size)[:size]
    cuts = np.flatnonzero(np.cumsum(across) == 0) + 1
    return tuple(int(stop - start) for start, stop in pairwise([0, *cuts]))
