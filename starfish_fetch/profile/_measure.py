"""Loads an image in every order, and measures what that costs."""

from __future__ import annotations

import gc
import operator
import tracemalloc
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import permutations
from os import PathLike
from time import perf_counter
from typing import Any

from starfish_fetch.advice import Advice, order_name
from starfish_fetch.axes import PLANES, Axes, Extent, TileKey
from starfish_fetch.cpus import available_cpus
from starfish_fetch.plan import LoadPlan, parse_group_by
from starfish_fetch.profile._cold import drop_from_cache, files_of
from starfish_fetch.profile._disagreements import disagreements
from starfish_fetch.profile._machine import this_machine
from starfish_fetch.profile._sources import named, sources_seen
from starfish_fetch.profile._values import SHOWN_TILES, LoadProfile, OrderProfile
from starfish_fetch.progress import progress_bar
from starfish_fetch.stack import ImageStack
from starfish_fetch.tracing import Trace, trace

__all__ = ["CACHE_SIZES", "profile_orders"]

GroupBy = tuple[Axes, ...] | None

CACHE_SIZES: tuple[int | None, ...] = (1, 2, 4, None)
"""For how many sources kept the opens of each order are predicted."""

# Loads that are not timed: one that is traced, one whose memory is measured.
_UNTIMED = 2


def profile_orders(
    make_fetcher: Callable[[], Any],
    extent: Extent,
    orders: Iterable[Iterable[Axes | str] | None] | None = None,
    *,
    repeat: int = 5,
    cold: bool = False,
    workers: int | None = None,
    under: str | PathLike[str] | None = None,
    progress: bool = False,
) -> LoadProfile:
    """Load an image in several orders, each time by a fresh fetcher, and measure what that costs.

    Seconds are those of :meth:`ImageStack.from_tilefetcher` and :meth:`ImageStack.load`, without
    the making of the fetcher. Each order is loaded once in each round, and each round begins with
    another order, so that what slows the machine down for a while slows all orders alike. Before
    the first round everything has been loaded at least once: imports are done, and files are in
    the page cache as far as they fit.

    What is counted, and how long metadata and pixels take by themselves, comes from another load
    in each order, under :func:`trace`; peak memory from one more, under :mod:`tracemalloc`, which
    sees what Python and numpy allocate, the stack included, and not what a library allocates in C.

    Parameters
    ----------
    make_fetcher : callable
        Returns a fresh fetcher, with nothing cached and nothing open. What it returns is closed
        after its load, if it has a ``close``.
    extent : Extent
        What to load.
    orders : iterable of group_by, optional
        Each a sequence of axes, slowest first, or None for the loader's own order. A string may
        have commas between the axes; ``"none"`` is None. Default: the six orders of r, c and z,
        and None.
    repeat : int, optional
        How many loads to time in each order. Default: 5; with fewer than 4, :func:`compare`
        cannot tell whether times have changed.
    cold : bool, optional
        Whether to drop the files that a load opens from the page cache before each timed load.
        Default: False.
    workers : int, optional
        As for :meth:`ImageStack.from_tilefetcher`.
    under : path, optional
        Count only opens and requests below this folder or URL, where other threads of the process
        open files, too. Default: all.
    progress : bool, optional
        Show a progress bar on stderr. Default: False.

    Returns
    -------
    LoadProfile

    Raises
    ------
    ValueError
        If an order is not one, or is given twice; if repeat or workers is below 1.
    NotImplementedError
        If ``cold`` is asked for and the operating system drops no file.
    Exception
        Whatever the fetcher raises.

    Examples
    --------
    >>> import tempfile, synth
    >>> from starfish_fetch import Layout
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     data = synth.write(synth.Spec(2, 2, 3, (6, 5)), Layout.per_round(), folder)
    ...     profile = profile_orders(data.fetcher, data.extent(), ["r,c,z", None], repeat=1)
    >>> [(row.opens, row.reopens, row.calls["get_tile"]) for row in profile.rows]
    [(2, 0, 12), (2, 0, 12)]
    >>> profile.advice.best.order, profile.advice.worst.order
    ('r,c,z', 'z,c,r')
    """
    if isinstance(repeat, bool) or operator.index(repeat) < 1:
        raise ValueError(f"repeat must be an int of at least 1; got {repeat}")
    wanted = _parsed(orders)
    loads = _Loads(make_fetcher, extent, workers, under)
    if cold:
        drop_from_cache(())
    with progress_bar(progress, "loads", 1 + len(wanted) * (_UNTIMED + repeat)) as advance:
        first = loads.traced(None)
        advance(1)
        seen = {}
        for order in wanted:
            seen[order] = loads.traced(order)
            advance(1)
        peaks = {}
        # What is garbage of earlier loads is not to be cleared away in the middle of another.
        gc.collect()
        for order in wanted:
            peaks[order] = loads.peak_bytes(order)
            advance(1)
        files = files_of(one.seen for one in (first, *seen.values()))
        notes = list(_notes(loads, seen.values()))
        if cold:
            notes += drop_from_cache(files)
        seconds: dict[GroupBy, list[float]] = {order: [] for order in wanted}
        for turn in range(repeat):
            start = turn % len(wanted)
            gc.collect()
            for order in wanted[start:] + wanted[:start]:
                if cold:
                    drop_from_cache(files)
                seconds[order].append(loads.seconds(order))
                advance(1)
    return _profile(loads, first, seen, peaks, seconds, cold, notes)


def _parsed(orders: Iterable[Any] | None) -> list[GroupBy]:
    if orders is None:
        return [*permutations(PLANES), None]
    wanted: list[GroupBy] = []
    for order in orders:
        axes = order
        if isinstance(order, str):
            axes = None if order == "none" else order.split(",") if "," in order else order
        parsed = parse_group_by(axes)
        if parsed == ():
            raise ValueError("an order names at least one axis, or is None for the loader's own")
        if parsed in wanted:
            raise ValueError(f"the order {order_name(parsed)!r} is given more than once")
        wanted.append(parsed)
    if not wanted:
        raise ValueError("orders is empty; name at least one, or give None for all of them")
    return wanted


@dataclass(frozen=True)
class TracedLoad:
    """One load, and what a trace saw of it."""

    seen: Trace
    plan: LoadPlan


class _Loads:
    """Loads of one image, each by a fresh fetcher."""

    def __init__(
        self,
        make_fetcher: Callable[[], Any],
        extent: Extent,
        workers: int | None,
        under: str | PathLike[str] | None,
    ) -> None:
        self._make_fetcher = make_fetcher
        self._under = under
        self.extent = extent
        self.workers = workers
        self.fetcher = ""
        self.threads = 1
        """How many call the fetcher."""
        self.shares_sources = False

    @contextmanager
    def _stack(self, group_by: GroupBy) -> Iterator[Callable[[], ImageStack]]:
        fetcher = self._make_fetcher()
        self.fetcher = type(fetcher).__name__
        self.threads = 1
        if getattr(fetcher, "thread_safe", False):
            self.threads = self.workers or available_cpus()
        self.shares_sources = bool(getattr(fetcher, "shares_sources", False))

        def load() -> ImageStack:
            return ImageStack.from_tilefetcher(
                fetcher, **vars(self.extent), group_by=group_by, workers=self.workers
            ).load()

        try:
            yield load
        finally:
            close = getattr(fetcher, "close", None)
            if callable(close):
                close()

    def traced(self, group_by: GroupBy) -> TracedLoad:
        """Load, and count."""
        with self._stack(group_by) as load, trace(self._under) as seen:
            stack = load()
        return TracedLoad(seen, stack.plan)

    def peak_bytes(self, group_by: GroupBy) -> int:
        """Load, and return the most memory that was in use at once, beyond what was before."""
        with self._stack(group_by) as load, _traced_memory():
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            load()
            return max(0, tracemalloc.get_traced_memory()[1] - before)

    def seconds(self, group_by: GroupBy) -> float:
        """Load, and return how long that took."""
        with self._stack(group_by) as load:
            start = perf_counter()
            stack = load()
            seconds = perf_counter() - start
            del stack  # Memory that is given back takes time, too.
        return seconds


@contextmanager
def _traced_memory() -> Iterator[None]:
    if tracemalloc.is_tracing():
        yield
        return
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()


def _notes(loads: _Loads, seen: Iterable[TracedLoad]) -> Iterator[str]:
    traces = [one.seen for one in seen]
    if not any(one.opens for one in traces):
        yield (
            "No file was seen to be opened: the fetcher has everything in memory, opened it before "
            "the load, or reads through a library that opens files in C, past Python."
        )
    if any(one.by_phase["other"].opens for one in traces):
        yield (
            "Some files were opened outside of every call into the fetcher, by threads of its own "
            "or by something else in this process: these are in the opens, but of no tile."
        )
    if any(one.bytes_read is None for one in traces):
        yield "This operating system does not count the bytes that a process reads."
    if loads.threads > 1 and not loads.shares_sources:
        yield (
            f"{loads.threads} threads call this fetcher: opens and bytes depend on how they meet. "
            "With workers=1 they are the same each time."
        )


def _of_unnamed(advice: Advice) -> str:
    text = (
        "The fetcher does not name its sources; they are taken to be the files that were seen to "
        "be opened, and the loader's own order is r,c,z."
    )
    by_labels = next(one for one in advice.predictions if one.group_by == PLANES)
    if by_labels.opens[1] > advice.sources:
        text += (
            f" With a method 'source', that order would open {advice.sources:,} files once each, "
            f"and not {by_labels.opens[1]:,} times, in a fetcher that keeps one."
        )
    return text


def _profile(
    loads: _Loads,
    first: TracedLoad,
    seen: dict[GroupBy, TracedLoad],
    peaks: dict[GroupBy, int],
    seconds: dict[GroupBy, list[float]],
    cold: bool,
    notes: Sequence[str],
) -> LoadProfile:
    plan = replace(first.plan, group_by=None)
    sources_are = "unknown" if plan.sources is None else "named"
    if plan.sources is None:
        found = sources_seen(plan, [one.seen for one in (first, *seen.values())])
        if found is not None:
            sources_are, plan = "seen", replace(plan, sources=found)
    # A loader that is told no sources goes by the labels.
    own = PLANES if sources_are == "seen" else None
    plans = {order: replace(plan, group_by=order or own) for order in seen}
    advice: Advice | None = None
    if plan.sources is not None:
        advice = plan.advise(CACHE_SIZES, workers=max(2, loads.workers or available_cpus()))
    shown = {order: one.order[:SHOWN_TILES].tolist() for order, one in plans.items()}
    names, numbers = named(plan, (position for some in shown.values() for position in some))
    rows = [
        _row(order, one.seen, plans[order], shown[order], numbers, seconds[order], peaks[order])
        for order, one in seen.items()
    ]
    exact = loads.threads == 1 or loads.shares_sources
    if advice is not None and sources_are == "seen":
        notes = [*notes, _of_unnamed(advice)]
    return LoadProfile(
        rows=tuple(sorted(rows, key=lambda row: (row.median_seconds, row.opens))),
        extent=loads.extent,
        repeat=len(next(iter(seconds.values()))),
        cold=cold,
        workers=loads.workers,
        fetcher=loads.fetcher,
        machine=this_machine(),
        advice=advice,
        source_names=names,
        sources_are=sources_are,
        disagreements=tuple(
            disagreements(plans, {order: one.seen for order, one in seen.items()}, first.seen)
            if plan.sources is not None and exact
            else ()
        ),
        notes=tuple(notes),
        exact_counts=exact,
    )


def _row(
    group_by: GroupBy,
    seen: Trace,
    plan: LoadPlan,
    shown: Sequence[int],
    numbers: dict[int, int],
    seconds: Sequence[float],
    peak_bytes: int,
) -> OrderProfile:
    metadata = seen.by_phase["metadata"]
    keys = map(TileKey._make, plan.labels(plan.order[:SHOWN_TILES]))
    return OrderProfile(
        order=order_name(group_by),
        seconds=tuple(seconds),
        opens=seen.opens,
        reopens=seen.reopens,
        sources=len(seen.by_source),
        bytes_read=seen.bytes_read,
        calls=dict(sorted(seen.calls.items())),
        metadata_seconds=metadata.seconds,
        pixel_seconds=seen.by_phase["pixels"].seconds,
        metadata_opens=metadata.opens,
        metadata_bytes_read=metadata.bytes_read,
        peak_bytes=peak_bytes,
        predicted_opens=None
        if plan.sources is None
        else dict(zip(CACHE_SIZES, plan.predicted_of(CACHE_SIZES), strict=True)),
        tile_sources=tuple(numbers.get(position) for position in shown),
        tile_opens=tuple(len(seen.opens_by_tile.get(key, [])) for key in keys),
        requests=seen.requests,
        bytes_received=seen.bytes_received,
    )
