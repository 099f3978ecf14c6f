"""Which tiles of an image to look at."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import product
from math import prod

from starfish_fetch.axes import Extent, TileKey

__all__ = ["sample", "spread"]


def sample(extent: Extent, most: int, rng: random.Random) -> tuple[TileKey, ...]:
    """Choose tiles that tell the most about how labels are used, in the order r, c, z.

    All if there are no more than ``most``. Else lines along each axis, which show an axis that is
    ignored, swapped, shifted or clamped; the corners; and others by chance.
    """
    axes = extent.rounds, extent.chs, extent.zplanes
    count = prod(map(len, axes))
    if count <= most:
        return tuple(TileKey(*labels) for labels in product(*axes))
    corners = list(product(*(sorted({axis[0], axis[-1]}) for axis in axes)))
    share = max(2, (most - len(corners)) // 4)
    lines = [
        (*base[:number], label, *base[number + 1 :])
        for number, axis in enumerate(axes)
        for base in [tuple(rng.choice(other) for other in axes)]
        for label in spread(axis, share)
    ]
    chosen = dict.fromkeys([*corners, *lines][:most])
    while len(chosen) < most:
        chosen[tuple(rng.choice(axis) for axis in axes)] = None
    return tuple(TileKey(*labels) for labels in sorted(chosen))


def spread(items: Sequence[int], most: int) -> list[int]:
    """Return the first two, the last two, and others evenly between them.

    Examples
    --------
    >>> spread(range(100), 6)
    [0, 1, 33, 66, 98, 99]
    """
    if len(items) <= most:
        return list(items)
    if most < 4:
        return sorted([items[0], items[-1], items[len(items) // 2]][:most])
    inner = items[1:-1]
    last = len(inner) - 1
    picked = [inner[round(number * last / (most - 3))] for number in range(most - 2)]
    return [items[0], *picked, items[-1]]
