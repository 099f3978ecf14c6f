"""What a load did: files opened, bytes read, calls into the fetcher."""

from __future__ import annotations

import os
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.machinery import all_suffixes
from time import perf_counter
from typing import Any, Literal

from starfish_fetch import io_counters
from starfish_fetch.axes import TileKey
from starfish_fetch.contract import own_region

__all__ = [
    "Phase",
    "PhaseName",
    "Trace",
    "is_data",
    "opened",
    "place_of",
    "received",
    "requested",
    "trace",
    "watched",
]

PhaseName = Literal["metadata", "pixels", "other"]


@dataclass
class Phase:
    """What was done in one phase of a load, in all threads.

    Parameters
    ----------
    opens : int
        Files opened.
    bytes_read : int or None
        None where the operating system does not count.
    seconds : float
        Spent in calls into the fetcher; of threads that call at the same time, the sum.
    """

    opens: int = 0
    bytes_read: int | None = None
    seconds: float = 0.0


class Trace:
    """What this process did while a trace was on: what :func:`trace` yields.

    Attributes
    ----------
    by_source : Counter of str
        Opens by absolute path, or by URL.
    by_phase : dict
        :class:`Phase` by name. ``"metadata"``: while ``source``, ``get_tile``, ``shape``,
        ``coordinates`` or ``extras`` was asked for; ``"pixels"``: during ``tile_data``,
        ``tile_region``, or a row reader; ``"other"``: everything else, such as the making of the
        fetcher, and the fetcher's own threads.
    calls : Counter of str
        The loader's calls into the fetcher and its tiles, by name.
    tiles : int
        How many tiles gave their pixels.
    requests_by_source : Counter of str
        How often a server was asked for something, answered or not, by URL.
    received_by_source : Counter of str
        The bytes of its answers, by URL: bodies that came to their end, without headers.
    opens_by_tile : dict
        The paths opened for each tile, by :class:`~starfish_fetch.TileKey`, in the order of their
        first opens. Tiles for which nothing was opened are not in it.
    """

    def __init__(self, under: str | None) -> None:
        self.by_source: Counter[str] = Counter()
        self.by_phase: dict[PhaseName, Phase] = {
            "metadata": Phase(),
            "pixels": Phase(),
            "other": Phase(),
        }
        self.calls: Counter[str] = Counter()
        self.tiles = 0
        self.requests_by_source: Counter[str] = Counter()
        self.received_by_source: Counter[str] = Counter()
        self.opens_by_tile: dict[TileKey, list[str]] = {}
        self._under = under
        self._begun = io_counters.read_by_process()
        self._received = 0
        self._ended: int | None = None
        if self._begun is not None:
            for phase in self.by_phase.values():
                phase.bytes_read = 0

    @property
    def opens(self) -> int:
        """How many times a file was opened."""
        return self.by_source.total()

    @property
    def reopens(self) -> int:
        """How many of the opens were of a file that had been opened before."""
        return self.opens - len(self.by_source)

    @property
    def requests(self) -> int:
        """How often servers were asked for something."""
        return self.requests_by_source.total()

    @property
    def bytes_received(self) -> int:
        """How many bytes servers have answered; they are in the bytes read, too."""
        return self.received_by_source.total()

    @property
    def bytes_read(self) -> int | None:
        """How many bytes were read, files and answers of servers, up to now while the trace is on.

        None where the operating system does not count.
        """
        if self._begun is None:
            return None
        now = io_counters.read_by_process() if self._ended is None else self._ended
        return None if now is None else now - self._begun + self._received

    def _opened(self, path: str, phase: PhaseName, tile: TileKey | None) -> None:
        if self._is_wanted(path):
            self.by_source[path] += 1
            self.by_phase[phase].opens += 1
            if tile is not None:
                self.opens_by_tile.setdefault(tile, []).append(path)

    def _requested(self, url: str) -> None:
        if self._is_wanted(url):
            self.requests_by_source[url] += 1

    def _answered(self, url: str, count: int, phase: PhaseName) -> None:
        if self._is_wanted(url):
            self.received_by_source[url] += count
        self._received += count
        spent = self.by_phase[phase]
        if spent.bytes_read is not None:
            spent.bytes_read += count

    def _is_wanted(self, name: str) -> bool:
        return self._under is None or name.startswith(self._under)

    def _called(self, name: str, phase: PhaseName, seconds: float, count: int | None) -> None:
        if name:
            self.calls[name] += 1
        spent = self.by_phase[phase]
        spent.seconds += seconds
        if count is not None and spent.bytes_read is not None:
            spent.bytes_read += count

    def _end(self) -> None:
        total = self.bytes_read
        if total is not None and self._begun is not None:
            self._ended = self._begun + total - self._received
            inside = (self.by_phase[name].bytes_read or 0 for name in ("metadata", "pixels"))
            self.by_phase["other"].bytes_read = max(0, total - sum(inside))


REQUEST = "starfish_fetch.request"
"""The audit event by which a fetcher tells of a request: the URL, and the bytes of its answer."""

_CODE = tuple(all_suffixes())


def is_data(path: str) -> bool:
    """Return whether what is opened there may be data, and not what Python or a trace needs.

    Examples
    --------
    >>> is_data("/data/r0.tiff"), is_data("/venv/tifffile.py")
    (True, False)
    """
    # What is imported on the way is no data; a compiled file is named after a temporary one.
    return not (
        path.endswith(_CODE) or f"{os.sep}__pycache__{os.sep}" in path or path in io_counters.PATHS
    )


class _Here(threading.local):
    """What the fetcher is asked for in this thread."""

    phase: PhaseName = "other"
    tile: TileKey | None = None


_active: tuple[Trace, ...] = ()
# Of the kind that may be taken again: memory may be cleaned up, and a file opened, at any time.
_lock = threading.RLock()
_installed = False
_here = _Here()


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not _active:
        return
    if event == REQUEST:
        url, count = arguments
        requested(url)
        received(url, count)
    if event != "open":
        return
    path = arguments[0]
    if not isinstance(path, str | bytes | os.PathLike):
        return  # A descriptor that is wrapped was opened before.
    name = os.path.abspath(os.fsdecode(path))
    if is_data(name):
        opened(name)


def opened(name: str) -> None:
    """Tell the traces that are on of an open that makes no audit event, such as of a URL."""
    if not _active:
        return
    with _lock:
        for active in _active:
            active._opened(name, _here.phase, _here.tile)


def requested(url: str) -> None:
    """Tell the traces that are on that a server is asked for something."""
    with _lock:
        for active in _active:
            active._requested(url)


def received(url: str, count: int) -> None:
    """Tell the traces that are on of bytes that a server has sent."""
    with _lock:
        for active in _active:
            active._answered(url, count, _here.phase)


def place_of(name: str) -> str:
    """Return what a trace calls the place of a file: its absolute path, or its URL.

    Examples
    --------
    >>> place_of("http://host/r0.tiff"), place_of("/data/../data/r0.tiff")
    ('http://host/r0.tiff', '/data/r0.tiff')
    """
    return name if "://" in name else os.path.abspath(name)


@contextmanager
def trace(under: str | os.PathLike[str] | None = None) -> Iterator[Trace]:
    """Count what this process opens and reads, in any thread, and what a load asks of its fetcher.

    The fetcher need not know of it. A load without a trace pays nothing for its being possible.
    Traces nest, and several at a time, from any threads, each see all that happens while they are
    on; a load that runs already when a trace begins shows its calls from its next batch of tiles
    on.

    What is seen, and what is not:

    - Opens are Python's audit events (PEP 578): ``open``, ``os.open``, ``io.FileIO`` and all that
      is built on them. What a library opens in C, past Python, is not seen; nor is an open that
      fails told from one that does not. Python's own code, opened where something is imported, is
      left out.
    - Bytes are the process's own count of what it reads (``rchar`` of ``/proc/self/io``), where
      the operating system has one, whatever ``under`` is; else None. Reads through a memory map
      are not in it. To it are added the bytes that servers have sent. Which file they were read
      from is not known.
    - Requests, and the bytes that servers send, are those of :class:`RemoteTiffTileFetcher`: over
      http each request that is sent, redirections and repetitions included; elsewhere, each call
      of fsspec's file system, which may make several. What other fetchers ask of servers, be it
      through fsspec, is seen if they tell of it, by an audit event that costs nothing without a
      trace: ``sys.audit("starfish_fetch.request", url, number_of_bytes)``.
    - Calls are those of this library's loader. Opens and bytes in threads that a fetcher starts
      for itself are counted, but as phase ``"other"``.

    Parameters
    ----------
    under : path, optional
        Count only opens and requests below this folder or URL. Default: all.

    Yields
    ------
    Trace
        Complete once the ``with`` block is left.

    Examples
    --------
    >>> import os, tempfile
    >>> with tempfile.TemporaryDirectory() as folder, trace(folder) as seen:
    ...     for _ in range(2):
    ...         open(os.path.join(folder, "a.tiff"), "wb").close()
    >>> seen.opens, seen.reopens, len(seen.by_source)
    (2, 1, 1)

    A fetcher that reads from a server in its own way tells of each request:

    >>> with trace() as seen:
    ...     sys.audit("starfish_fetch.request", "https://host/r0.tiff", 4096)
    >>> seen.requests, seen.bytes_received
    (1, 4096)
    """
    global _active, _installed
    if not _installed:
        # An audit hook cannot be removed; one is enough, and it is idle without a trace.
        sys.addaudithook(_hook)
        _installed = True
    started = Trace(None if under is None else os.path.join(place_of(os.fspath(under)), ""))
    with _lock:
        _active = (*_active, started)
    try:
        yield started
    finally:
        with _lock:
            _active = tuple(other for other in _active if other is not started)
        started._end()


def watched(call: Callable[..., Any], name: str) -> Callable[..., Any]:
    """Return a method of a fetcher so that the traces that are on see its calls.

    Without a trace that is the method itself.

    Parameters
    ----------
    call : callable
        ``get_tile`` or ``source`` of a fetcher, called with the labels of fov, round, ch, zplane.
    name : str
        Which of the two.

    Examples
    --------
    >>> class Fetcher:
    ...     def source(self, fov, round, ch, zplane):
    ...         return f"r{round}.tiff"
    >>> with trace() as seen:
    ...     name = watched(Fetcher().source, "source")(0, 1, 2, 3)
    >>> name, seen.calls
    ('r1.tiff', Counter({'source': 1}))
    """
    if not _active:
        return call

    counter = io_counters.ThreadCounter()

    def watched_call(fov: int, *labels: int) -> Any:
        watch = _Watch(TileKey(*labels), counter)
        result = watch.call(name, "metadata", call, fov, *labels)
        return _tile_class(type(result))(result, watch) if name == "get_tile" else result

    return watched_call


class _Watch:
    """Watches what is asked of one tile, in one thread."""

    __slots__ = ("_counter", "_key")

    def __init__(self, key: TileKey, counter: io_counters.ThreadCounter) -> None:
        self._key = key
        self._counter = counter

    def call(
        self, name: str, phase: PhaseName, function: Callable[..., Any], *arguments: Any
    ) -> Any:
        """Call something of a fetcher's, and tell the traces what it cost."""
        if not _active:
            return function(*arguments)
        outer = _here.phase, _here.tile
        _here.phase, _here.tile = phase, self._key
        start = perf_counter()
        try:
            result = function(*arguments)
        finally:
            seconds = perf_counter() - start
            _here.phase, _here.tile = outer
            # Between two calls the loader reads nothing.
            count = self._counter.since()
            with _lock:
                for active in _active:
                    active._called(name, phase, seconds, count)
        if name in ("tile_data", "tile_region") or (name == "row_reader" and result is not None):
            with _lock:
                for active in _active:
                    active.tiles += 1
        return result


class _WatchedReader:
    """A row reader that is watched."""

    __slots__ = ("_reader", "_watch")

    def __init__(self, reader: Any, watch: _Watch) -> None:
        self._reader = reader
        self._watch = watch

    @property
    def dtype(self) -> Any:
        return self._reader.dtype

    def read(self, row: int, out: Any) -> None:
        self._watch.call("", "pixels", self._reader.read, row, out)


class _WatchedTile:
    """A tile that is watched: it offers to the loader what the tile does, and nothing else."""

    __slots__ = ("_tile", "_watch")

    def __init__(self, tile: Any, watch: _Watch) -> None:
        self._tile = tile
        self._watch = watch

    @property
    def shape(self) -> Any:
        return self._watch.call("shape", "metadata", getattr, self._tile, "shape")

    @property
    def coordinates(self) -> Any:
        return self._watch.call("coordinates", "metadata", getattr, self._tile, "coordinates")

    @property
    def extras(self) -> Any:
        return self._watch.call("extras", "metadata", getattr, self._tile, "extras")

    def tile_data(self) -> Any:
        return self._watch.call("tile_data", "pixels", self._tile.tile_data)

    @property
    def tile_region(self) -> Callable[[slice, slice], Any]:
        # Whatever lacks it must seem to lack it.
        region = own_region(self._tile)
        if region is None:
            raise AttributeError("tile_region")
        return partial(self._watch.call, "tile_region", "pixels", region)


class _WatchedReaderTile(_WatchedTile):
    """The same for a tile whose very class has a ``row_reader``."""

    __slots__ = ()

    def row_reader(self, rows: slice) -> Any:
        make_reader = type(self._tile).__dict__["row_reader"]
        reader = self._watch.call("row_reader", "pixels", make_reader, self._tile, rows)
        return None if reader is None else _WatchedReader(reader, self._watch)


def _tile_class(tile_class: type) -> type[_WatchedTile]:
    return _WatchedReaderTile if "row_reader" in tile_class.__dict__ else _WatchedTile
