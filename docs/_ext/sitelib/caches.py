"""What two threads do to a fetcher that keeps one file: fetchers, and how often they read."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import lru_cache
from tempfile import TemporaryDirectory
from typing import Any

import tifffile

import synth
from starfish_fetch import FetchedTile, ImageStack, Layout, TileFetcher, trace

__all__ = ["KeepsOneFile", "KeepsOneFileForEachThread", "opens_by_workers"]

WORKERS = (1, 2, 4)


class Tile(FetchedTile):
    """A plane of a file that its fetcher keeps."""

    def __init__(self, fetcher: KeepsOneFile, path: str, page: int, zplane: int) -> None:
        self.fetcher, self.path, self.page, self.zplane = fetcher, path, page, zplane

    @property
    def shape(self) -> Any:
        """As the dataset says."""
        return self.fetcher.extent.tile_shape

    @property
    def coordinates(self) -> Any:
        """As the dataset says."""
        return self.fetcher.data.spec.coordinates(fov=0, zplane=self.zplane)

    def tile_data(self) -> Any:
        """Return a copy of the plane."""
        return self.fetcher.planes(self.path)[self.page].copy()


class KeepsOneFile(TileFetcher):
    """One cache of one file, for all threads."""

    thread_safe = True  # the pixels are right, however the threads meet

    def __init__(self, data: synth.Dataset, maxsize: int = 1) -> None:
        self.data, self.extent = data, data.extent()
        self.planes = lru_cache(maxsize)(self.read)

    def read(self, path: str) -> Any:
        """Return every plane of a file."""
        return tifffile.imread(path).reshape(-1, *self.data.spec.tile_shape)

    def source(self, *labels: int) -> str:
        """Name the file."""
        return str(self.data.root / self.data.layout.path(*labels))

    def get_tile(self, fov: int, r: int, c: int, z: int) -> Tile:
        """Return a tile."""
        page = self.data.layout.page(self.extent, (r, c, z))
        return Tile(self, self.source(fov, r, c, z), page, z)


class KeepsOneFileForEachThread(KeepsOneFile):
    """A cache of one file for each thread."""

    def __init__(self, data: synth.Dataset) -> None:
        super().__init__(data)
        self.kept = threading.local()
        self.planes = self.planes_of_this_thread  # type: ignore[assignment]

    def planes_of_this_thread(self, path: str) -> Any:
        """Return every plane of a file, read if this thread did not read it last."""
        if getattr(self.kept, "path", None) != path:
            self.kept.planes, self.kept.path = self.read(path), path
        return self.kept.planes


def opens_by_workers() -> Iterator[tuple[str, ...]]:
    """Load an image of four files with several workers; count the opens of each fetcher."""
    fetchers = {
        "``lru_cache(maxsize=1)`` for all threads": KeepsOneFile,
        "``lru_cache(maxsize=4)`` for all threads": lambda data: KeepsOneFile(data, 4),
        "one file for each thread": KeepsOneFileForEachThread,
        ":class:`~starfish_fetch.TiffTileFetcher`": synth.Dataset.fetcher,
    }
    spec = synth.Spec(rounds=4, chs=2, zplanes=5, tile_shape=(1024, 1024))
    yield ("opens", *(f"{workers} worker{'s' * (workers > 1)}" for workers in WORKERS))
    with TemporaryDirectory() as folder:
        data = synth.write(spec, Layout.per_round(), folder)
        plan = _stack(KeepsOneFile(data), data).plan
        in_step = (plan.advise(workers=workers).workers.shared[1] for workers in WORKERS)
        yield ("one kept for all, if workers keep in step (predicted)", *map(str, in_step))
        for name, make in fetchers.items():
            yield (name, *(f"{_opens(make(data), data, workers)}" for workers in WORKERS))


def _opens(fetcher: Any, data: synth.Dataset, workers: int) -> int:
    stack = _stack(fetcher, data, workers)
    with trace(data.root) as seen:
        stack.load()
    return seen.opens


def _stack(fetcher: Any, data: synth.Dataset, workers: int = 1) -> ImageStack:
    return ImageStack.from_tilefetcher(fetcher, **vars(data.extent()), workers=workers)
