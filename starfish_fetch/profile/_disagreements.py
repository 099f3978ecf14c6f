"""Where what was measured is not what the sources predict, and what that means."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence

import numpy as np

from starfish_fetch.advice import order_name
from starfish_fetch.axes import Axes, TileKey
from starfish_fetch.plan import LoadPlan
from starfish_fetch.profile._sources import name_of
from starfish_fetch.tracing import Trace, place_of

__all__ = ["disagreements"]

GroupBy = tuple[Axes, ...] | None
Sources = Mapping[TileKey, Hashable | None]
Opened = Mapping[TileKey, Collection[str]]

# Sizes of caches that are tried as an explanation, and how often a file is opened each time.
_MOST_KEPT = 64
_MOST_TIMES = 4


def disagreements(
    plans: Mapping[GroupBy, LoadPlan], traces: Mapping[GroupBy, Trace], first: Trace
) -> Iterator[str]:
    """Explain in words how loads differ from what their sources predict.

    Parameters
    ----------
    plans : mapping
        For each order, with sources.
    traces : mapping
        For each order, of a load by a fresh fetcher from one thread.
    first : Trace
        Of the first load of this process.
    """
    plan = next(iter(plans.values()))
    keys = [TileKey(*labels) for labels in plan.labels(np.arange(len(plan)))]
    sources = dict(zip(keys, plan.sources or (), strict=True))
    paths = {
        key: place_of(name_of(source)) for key, source in sources.items() if source is not None
    }
    by_path = {*paths.values()}.intersection(
        path for seen in (first, *traces.values()) for path in seen.by_source
    )
    opened: dict[TileKey, dict[str, None]] = {}
    for seen in traces.values():
        for key, names in seen.opens_by_tile.items():
            opened.setdefault(key, {}).update(dict.fromkeys(names))
    lies = [*(_lies(paths, opened) if by_path else _mixed(sources, opened))]
    yield from lies
    yield from _in_metadata(traces)
    if lies or not any(seen.opens for seen in (first, *traces.values())):
        return
    if by_path:
        yield from _unexplained(by_path, traces)
    opens = {order: _opens_of(seen, by_path) for order, seen in traces.items()}
    yield from _of_cache(plans, opens, _opens_of(first, by_path))


def _opens_of(seen: Trace, paths: Collection[str]) -> int:
    """Count the opens of sources, or all where no source is the path of a file opened."""
    return sum(seen.by_source[path] for path in paths) if paths else seen.opens


def _files_of_sources(sources: Sources, opened: Opened) -> dict[Hashable, set[str]]:
    files: dict[Hashable, set[str]] = {}
    for key, names in opened.items():
        if sources.get(key) is not None:
            files.setdefault(sources[key], set()).update(names)
    return files


def _lies(paths: Mapping[TileKey, str], opened: Opened) -> Iterator[str]:
    """Find tiles for which other files are opened than their source says."""
    files = _files_of_sources(paths, opened)
    owners = Counter(path for names in files.values() for path in names)
    of_others = {*paths.values()}
    # What is opened for tiles of several sources may be an index; what is opened for those of one
    # is read instead of it.
    alone = {path for path, count in owners.items() if count == 1} if len(of_others) > 1 else set()
    wrong = {}
    for key, names in opened.items():
        if key in paths and paths[key] not in names:
            instead = [name for name in names if name in of_others or name in alone]
            if instead:
                wrong[key] = instead[0]
    if wrong:
        key = min(wrong)
        yield (
            f"'source' does not tell the truth (C14): it names {paths[key]!r} for {_tile(key)}, "
            f"but {wrong[key]!r} is opened; so for {len(wrong):,} tiles. The predictions and the "
            "loader's own order rest on it: make it name the file that is read."
        )


def _mixed(sources: Sources, opened: Opened) -> Iterator[str]:
    """Find sources that are not one file each, where they are not named by their paths."""
    files = _files_of_sources(sources, opened)
    owners = Counter(path for names in files.values() for path in names)
    several = {}
    for source, names in files.items():
        own = sorted(path for path in names if owners[path] == 1)
        if len(own) > 1:
            several[source] = own
    if several and 2 * len(several) >= len(files):
        source, own = next(iter(several.items()))
        yield (
            f"'source' does not tell files apart (C14): tiles of which it says "
            f"{name_of(source)!r} open {len(own):,} different files, such as {own[0]!r}. The "
            "predictions count them as one."
        )
    elif len(files) > len(owners) and all(count > 1 for count in owners.values()):
        yield (
            f"'source' tells apart what is one file (C14): {len(files):,} sources were read from "
            f"{len(owners):,} files, such as {min(owners)!r}. The predictions count each source."
        )


def _unexplained(by_path: Collection[str], traces: Mapping[GroupBy, Trace]) -> Iterator[str]:
    """Name the files that are opened and are no tile's source."""
    others: Counter[str] = Counter()
    for seen in traces.values():
        for path, count in seen.by_source.items():
            if path not in by_path:
                others[path] = max(others[path], count)
    if others:
        shown = ", ".join(repr(path) for path in sorted(others)[:3])
        yield (
            f"{len(others):,} {'file that is' if len(others) == 1 else 'files that are'} no tile's "
            f"source, up to {others.total():,} opens in a load: {shown}. Metadata or an index, "
            "perhaps; predictions leave them out."
        )


def _in_metadata(traces: Mapping[GroupBy, Trace]) -> Iterator[str]:
    """Say that files are opened to describe a tile."""
    worst = max(traces, key=lambda order: traces[order].by_phase["metadata"].opens)
    opens = traces[worst].by_phase["metadata"].opens
    if opens:
        yield (
            f"In {order_name(worst)}, {opens:,} of {traces[worst].opens:,} opens are made for "
            "metadata: get_tile, shape or coordinates open a file (C9). What they need of it can "
            "be kept."
        )


def _of_cache(
    plans: Mapping[GroupBy, LoadPlan], opens: Mapping[GroupBy, int], first: int
) -> Iterator[str]:
    """Say what the fetcher seems to keep, if that is not one source at a time."""
    sizes: list[int | None] = [*range(1, _MOST_KEPT + 1), None]
    predicted = {order: plan.predicted_of(sizes) for order, plan in plans.items()}
    sources = min(one[-1] for one in predicted.values())
    if all(count == one[0] for count, one in _pairs(opens, predicted)):
        return
    tiles = len(next(iter(plans.values())))
    if all(count < sources for count in opens.values()) and first > max(opens.values()):
        yield (
            f"Fresh fetchers are not fresh: the first load opened sources {first:,} times, later "
            f"ones {max(opens.values()):,} times at most, though there are {sources:,}. Something "
            "is kept beyond the fetcher, in a module or a class; measured opens are too low."
        )
        return
    for times in range(1, _MOST_TIMES + 1):
        often = "" if times == 1 else f", and opens it {_WORDS[times]} each time"
        for number, size in enumerate(sizes):
            if all(count == times * one[number] for count, one in _pairs(opens, predicted)):
                if size == 1:
                    kept = "one source, as predicted"
                elif all(one[number] == one[-1] for one in predicted.values()):
                    kept = f"every source, or at least {size:,}" if size else "every source"
                else:
                    kept = f"{size:,} sources"
                yield (
                    f"The fetcher behaves as one that keeps {kept}{often}"
                    + _example(plans, opens, predicted)
                )
                return
        if all(count == times * tiles for count in opens.values()):
            yield (
                f"The cache does not hold: every tile opens its source{often}, whatever the order, "
                f"as if nothing were kept{_example(plans, opens, predicted)} A cache that is "
                "there may be too small, made anew for each tile, or asked with another key."
            )
            return
    yield (
        "No cache that drops the least recently used source explains the opens"
        + _example(plans, opens, predicted)
    )


_WORDS = ("", "once", "twice", "three times", "four times")


def _pairs(
    opens: Mapping[GroupBy, int], predicted: Mapping[GroupBy, Sequence[int]]
) -> list[tuple[int, Sequence[int]]]:
    return [(count, predicted[order]) for order, count in opens.items()]


def _example(
    plans: Mapping[GroupBy, LoadPlan],
    opens: Mapping[GroupBy, int],
    predicted: Mapping[GroupBy, Sequence[int]],
) -> str:
    order = max(plans, key=lambda one: abs(opens[one] - predicted[one][0]))
    return (
        f": {order_name(order)} makes {opens[order]:,} opens, where {predicted[order][0]:,} are "
        "predicted of a fetcher that keeps one source."
    )


def _tile(key: TileKey) -> str:
    return f"tile (round={key.round}, ch={key.ch}, zplane={key.zplane})"
