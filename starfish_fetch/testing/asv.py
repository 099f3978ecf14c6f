"""An asv suite for any fetcher, in five lines."""

from __future__ import annotations

import functools
import math
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from itertools import permutations
from typing import Any, ClassVar

from starfish_fetch.axes import Axes, Extent
from starfish_fetch.io_counters import read_by_process
from starfish_fetch.stack import ImageStack
from starfish_fetch.tracing import trace

__all__ = ["ORDERS", "LoadSuite", "bytes_read", "group_by_of"]

ORDERS: tuple[str, ...] = (*map(",".join, permutations("rcz")), "none")
"""Every ``group_by`` that names all axes, and none, as asv likes its parameters: strings."""

_BENCHMARKS = (
    "time_load",
    "peakmem_load",
    "peakmem_reference",
    "track_opens",
    "track_get_tile_calls",
    "track_bytes_read",
)


def group_by_of(order: str) -> tuple[Axes, ...] | None:
    """Return the ``group_by`` that a string stands for.

    Parameters
    ----------
    order : str
        Axes with commas between them, slowest first, or "none".

    Examples
    --------
    >>> group_by_of("c,r"), group_by_of("none")
    ((<Axes.CH: 'c'>, <Axes.ROUND: 'r'>), None)
    """
    return None if order == "none" else tuple(map(Axes, order.split(",")))


def bytes_read(action: Callable[[], object]) -> float:
    """Return how many bytes this process reads while it does something.

    Counted are the bytes that ``read``, ``pread`` and their kin return to any thread of the
    process, from files, pipes and terminals, out of the page cache or not: what Linux calls
    ``rchar``. Not counted is what is read through a memory map, and what another process reads.

    Parameters
    ----------
    action : callable
        What to do; called once.

    Returns
    -------
    float
        A whole number, or NaN where the operating system does not count.

    Examples
    --------
    >>> import os, tempfile
    >>> with tempfile.TemporaryFile() as file:
    ...     _ = file.write(bytes(1000)), file.flush()
    ...     count = bytes_read(lambda: os.pread(file.fileno(), 1000, 0))
    >>> count == 1000 or math.isnan(count)
    True
    """
    before = read_by_process()
    action()
    after = read_by_process()
    return math.nan if before is None or after is None else float(after - before)


class _CountingFetcher:
    """Passes everything on to a fetcher, and counts the tiles that are asked of it."""

    def __init__(self, fetcher: Any) -> None:
        self._fetcher = fetcher
        self._lock = threading.Lock()
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._fetcher, name)

    def get_tile(self, *labels: int) -> Any:
        with self._lock:
            self.calls += 1
        return self._fetcher.get_tile(*labels)

    def source(self, *labels: int) -> Any:
        name = getattr(self._fetcher, "source", None)
        return None if name is None else name(*labels)


_Benchmark = Callable[..., Any]


def _benchmark(words: str, unit: str, version: str) -> Callable[[_Benchmark], _Benchmark]:
    """Give a benchmark the attributes that asv reads from functions alone."""

    def mark(function: _Benchmark) -> _Benchmark:
        vars(function).update(_words=words, unit=unit, version=version)
        return function

    return mark


class LoadSuite(ABC):
    """Benchmarks of loading through a fetcher, for a benchmark directory of asv.

    Subclass it in a module below asv's ``benchmark_dir``, say what is loaded, and make the
    fetcher; its data may come from a ``setup_cache`` of the subclass. For every load order asv
    then has

    ``time_load``
        seconds of one load by a fresh fetcher;
    ``peakmem_load``, ``peakmem_reference``
        peak memory of a process that loads, and of one that does everything but that;
    ``track_opens``
        how many files are opened, as :func:`starfish_fetch.trace` counts them;
    ``track_get_tile_calls``
        how many tiles are asked for;
    ``track_bytes_read``
        how many bytes the process reads meanwhile, as :func:`bytes_read` counts them: NaN where
        the operating system does not.

    The three counts are exact: the same each time, on every machine with the same libraries. One
    tile is loaded before anything is measured, by a fetcher of its own, so that modules imported
    on first use do not count. (Where a ``thread_safe`` fetcher caches less than its threads use at
    once, opens and bytes depend on how the threads meet; ``options = {"workers": 1}`` settles it.)

    Attributes
    ----------
    extent : Extent
        What is loaded. A subclass must have it; it may be a property.
    params, param_names : sequence
        asv's. A subclass may have others; the one that is named ``group_by`` is the load order,
        and without it the order is the loader's own. Default: :data:`ORDERS`.
    benchmarks : sequence of str
        Which of the above a subclass wants. Default: all.
    options : mapping
        Further arguments of :meth:`starfish_fetch.ImageStack.from_tilefetcher`.
    root : str or None
        The folder whose files are counted. Default: all.
    case : dict
        The parameters of the benchmark that runs, by name.

    Examples
    --------
    >>> import numpy as np
    >>> from starfish_fetch import FetchedTile, TileFetcher
    >>> class BlankTile(FetchedTile):
    ...     shape = {"y": 4, "x": 6}
    ...     coordinates = {"xc": (0, 1), "yc": (0, 1), "zc": 0}
    ...     def tile_data(self):
    ...         return np.zeros((4, 6), np.uint16)
    >>> class BlankFetcher(TileFetcher):
    ...     def get_tile(self, *labels):
    ...         return BlankTile()

    These are the five lines; the rest is asv's to do.

    >>> class BlankLoads(LoadSuite):
    ...     extent = Extent({"y": 4, "x": 6}, fov=0, rounds=range(2), chs=range(3), zplanes=[0])
    ...     def make_fetcher(self):
    ...         return BlankFetcher()
    >>> suite = BlankLoads()
    >>> suite.setup("c,r,z")
    >>> suite.track_get_tile_calls("c,r,z"), suite.track_opens("c,r,z")
    (6, 0)
    """

    params: Sequence[Any] = ORDERS
    param_names: Sequence[str] = ("group_by",)
    benchmarks: Sequence[str] = _BENCHMARKS
    root: str | None = None

    # A second load by the same fetcher would find its cache warm.
    number: ClassVar[int] = 1
    warmup_time: ClassVar[float] = 0
    repeat: ClassVar[Any] = (3, 10, 5.0)
    timeout: ClassVar[float] = 300

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        if unknown := sorted({*cls.benchmarks}.difference(_BENCHMARKS)):
            raise ValueError(f"{cls.__name__}.benchmarks has {unknown}; there are {_BENCHMARKS}")
        for name in _BENCHMARKS:
            wanted = name in cls.benchmarks
            setattr(cls, name, _of_suite(getattr(cls, name), cls.__name__) if wanted else None)

    @property
    @abstractmethod
    def extent(self) -> Extent:
        """What is loaded."""

    @property
    def options(self) -> Mapping[str, Any]:
        """Further arguments of the stack."""
        return {}

    @abstractmethod
    def make_fetcher(self) -> Any:
        """Return a fresh fetcher, with nothing cached and nothing open."""

    def setup(self, *values: Hashable) -> None:
        """Make a fetcher for the benchmark with these parameters."""
        self.case: dict[str, Any] = dict(zip(self.param_names, values, strict=True))
        if getattr(self, "_warm", None) != values:
            self._load_one_tile()
            self._warm = values
        self.fetcher = self.make_fetcher()
        self.stack: ImageStack | None = None

    def teardown(self, *values: Hashable) -> None:
        """Close the fetcher, if it can be closed, and free the stack."""
        self.stack = None
        if hasattr(self, "fetcher"):
            _close(self.fetcher)

    def load(self, fetcher: Any = None) -> ImageStack:
        """Load everything in the order that is measured; keep it until teardown.

        Parameters
        ----------
        fetcher : TileFetcher, optional
            Default: the one that setup made.
        """
        self.stack = ImageStack.from_tilefetcher(
            self.fetcher if fetcher is None else fetcher,
            **vars(self.extent),
            group_by=group_by_of(self.case.get("group_by", "none")),
            **self.options,
        )
        return self.stack.load()

    @_benchmark("one load", unit="seconds", version="1")
    def time_load(self, *values: Hashable) -> None:
        """Load everything."""
        self.load()

    @_benchmark("peak memory of a load", unit="bytes", version="1")
    def peakmem_load(self, *values: Hashable) -> None:
        """Load everything."""
        self.load()

    @_benchmark("peak memory of everything but the load", unit="bytes", version="1")
    def peakmem_reference(self, *values: Hashable) -> None:
        """Load nothing: what asv measures here is there without a load."""
        return

    @_benchmark("files opened by a load", unit="opens", version="1")
    def track_opens(self, *values: Hashable) -> int:
        """Count what is opened during a load."""
        with trace(self.root) as seen:
            self.load()
        return seen.opens

    @_benchmark("tiles asked for by a load", unit="calls", version="1")
    def track_get_tile_calls(self, *values: Hashable) -> int:
        """Count the calls of ``get_tile`` during a load."""
        counting = _CountingFetcher(self.fetcher)
        self.load(counting)
        return counting.calls

    @_benchmark("bytes read by a load", unit="bytes", version="1")
    def track_bytes_read(self, *values: Hashable) -> float:
        """Count what this process reads during a load; see :func:`bytes_read`."""
        return bytes_read(self.load)

    def _load_one_tile(self) -> None:
        fetcher = self.make_fetcher()
        first = dict(vars(self.extent))
        for name in ("rounds", "chs", "zplanes"):
            first[name] = first[name][:1]
        options = {name: value for name, value in self.options.items() if name != "out"}
        try:
            ImageStack.from_tilefetcher(fetcher, **first, **options).load()
        finally:
            _close(fetcher)


def _of_suite(function: _Benchmark, suite: str) -> _Benchmark:
    """Return a benchmark with a name of its own for one suite, as published pages show it."""

    @functools.wraps(function)
    def benchmark(self: LoadSuite, *values: Hashable) -> Any:
        return function(self, *values)

    words = getattr(function, "_words", function.__name__)
    vars(benchmark).update(pretty_name=f"{suite}: {words}")
    return benchmark


def _close(fetcher: Any) -> None:
    close = getattr(fetcher, "close", None)
    if callable(close):
        close()
