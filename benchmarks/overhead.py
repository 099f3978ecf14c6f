"""What the loader costs beside the pixels: for each tile, for the plan, for the import."""

from __future__ import annotations

from collections import deque
from time import perf_counter

from benchmarks import common
from starfish_fetch import ImageStack, LoadPlan


class PerTile:
    """Loads of small tiles that are in memory already."""

    param_names = ("tiles",)
    params = (common.sized((100, 1_000, 10_000), (10, 100)),)
    number = 1
    warmup_time = 0
    repeat = (5, 20, 2.0)
    timeout = 120

    def setup(self, tiles: int) -> None:
        """Make an image of tiles of 16 by 16 pixels."""
        self.fetcher = common.MemoryFetcher(common.random_tiles(tiles, 16, 16))

    @common.labelled(version="1", pretty_name="Load of small tiles out of memory")
    def time_load(self, tiles: int) -> None:
        """Load them all."""
        self._load()

    @common.labelled(
        version="1", unit="microseconds", pretty_name="Loader's cost for each small tile"
    )
    def track_microseconds_per_tile(self, tiles: int) -> float:
        """Return the share of one tile in the fastest of some loads."""
        seconds = []
        for _ in range(5):
            start = perf_counter()
            self._load()
            seconds.append(perf_counter() - start)
        return 1e6 * min(seconds) / tiles

    def _load(self) -> None:
        ImageStack.from_tilefetcher(self.fetcher, **vars(self.fetcher.extent)).load()


class Plan:
    """Plans of many tiles, each with one file for each round and channel."""

    param_names = ("tiles",)
    params = (common.sized((1_000, 10_000, 100_000, 1_000_000), (1_000,)),)
    version = "1"
    timeout = 120
    repeat = (2, 10, 2.0)

    def setup(self, tiles: int) -> None:
        """Name the sources, and make a plan."""
        self.labels = tuple(range(tiles // 100)), tuple(range(10)), tuple(range(10))
        self.sources = [
            f"r{r}_c{c}.tiff" for r in self.labels[0] for c in self.labels[1] for _ in range(10)
        ]
        self.plan = self._build()

    def _build(self) -> LoadPlan:
        return LoadPlan(*self.labels, sources=tuple(self.sources))

    @common.labelled(pretty_name="Plan: build")
    def time_build(self, tiles: int) -> None:
        """Make the plan."""
        self._build()

    @common.labelled(pretty_name="Plan: build and iterate")
    def time_iterate(self, tiles: int) -> None:
        """Go through the tiles in load order; the order is computed again each time."""
        deque(self._build(), maxlen=0)

    @common.labelled(pretty_name="Plan: build and predict the opens of every order")
    def time_predict(self, tiles: int) -> None:
        """Predict the opens of every order."""
        self._build().advise()

    @common.labelled(pretty_name="Plan: peak memory")
    def peakmem_all(self, tiles: int) -> None:
        """Make, go through and predict."""
        plan = self._build()
        deque(plan, maxlen=0)
        plan.advise()

    @common.labelled(pretty_name="Plan: peak memory without plan")
    def peakmem_reference(self, tiles: int) -> None:
        """Do none of it."""


class Import:
    """Imports in a fresh interpreter."""

    param_names = ("statement",)
    params = (
        (
            "import numpy",
            "import starfish_fetch",
            "from starfish_fetch import ImageStack",
            "from starfish_fetch import TiffTileFetcher",
        ),
    )
    version = "1"
    number = 1
    repeat = common.sized((5, 10, 5.0), (1, 1, 1.0))

    @common.labelled(pretty_name="Import")
    def timeraw_import(self, statement: str) -> str:
        """Return what is timed."""
        return statement
