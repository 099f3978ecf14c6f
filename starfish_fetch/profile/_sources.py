"""The sources of tiles: named by the fetcher, or seen to be opened."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterable, Sequence
from itertools import combinations

import numpy as np

from starfish_fetch.axes import TileKey
from starfish_fetch.plan import LoadPlan
from starfish_fetch.tracing import Trace

__all__ = ["name_of", "named", "sources_seen"]


def name_of(source: Hashable) -> str:
    """Return a source as text: a path as it is.

    Examples
    --------
    >>> name_of("r0.tiff"), name_of(("r0.tiff", 3))
    ('r0.tiff', "('r0.tiff', 3)")
    """
    return os.fsdecode(source) if isinstance(source, str | bytes | os.PathLike) else repr(source)


def named(plan: LoadPlan, positions: Iterable[int]) -> tuple[tuple[str, ...], dict[int, int]]:
    """Give numbers to the sources of some tiles, in the order r, c, z.

    Returns
    -------
    names : tuple of str
        Of the sources.
    numbers : dict
        The number of the source of each of these tiles of which it is known, by position.
    """
    if plan.sources is None:
        return (), {}
    codes: dict[Hashable, int] = {}
    numbers = {}
    for position in sorted({*positions}):
        source = plan.sources[position]
        if source is not None:
            numbers[position] = codes.setdefault(source, len(codes))
    return tuple(map(name_of, codes)), numbers


def sources_seen(plan: LoadPlan, traces: Sequence[Trace]) -> tuple[str, ...] | None:
    """Return the file of each tile, if opens in several orders tell all of them.

    A fetcher that keeps files opens them for some tiles only. The file is then taken to depend on
    the fewest axes that explain what was opened, and told if that is enough for every tile.

    Returns
    -------
    tuple of str or None
        In the order r, c, z. None if a tile opens several files, or it cannot be told.
    """
    files: dict[TileKey, str] = {}
    for seen in traces:
        for key, paths in seen.opens_by_tile.items():
            if len({*paths, files.get(key, paths[0])}) > 1:
                return None
            files[key] = paths[0]
    keys = [TileKey(*labels) for labels in plan.labels(np.arange(len(plan)))]
    for count in range(4):
        for axes in combinations(range(3), count):
            found = _explained(keys, files, axes)
            if found is not None:
                return found
    return None


def _explained(
    keys: Sequence[TileKey], files: dict[TileKey, str], axes: tuple[int, ...]
) -> tuple[str, ...] | None:
    """Return the file of each tile if it depends on these axes alone."""
    by_labels: dict[tuple[int, ...], str] = {}
    for key, path in files.items():
        if by_labels.setdefault(tuple(key[axis] for axis in axes), path) != path:
            return None
    found = [by_labels.get(tuple(key[axis] for axis in axes)) for key in keys]
    known = tuple(path for path in found if path is not None)
    return known if len(known) == len(keys) else None
