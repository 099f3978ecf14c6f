"""What the suites share: sizes, data on disk, and fetchers as people write them."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Mapping
from functools import lru_cache
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

import synth
from starfish_fetch import Axes, Coordinates, Extent, FetchedTile, Layout, TileFetcher, TileKey

TINY = os.environ.get("STARFISH_FETCH_BENCH") == "tiny"
"""Whether everything is as small as it can be: to see that it runs, not how fast."""

LAYOUTS = {
    "per_round": Layout.per_round(),
    "per_round_ch": Layout.per_round_ch(),
    "per_tile": Layout.per_tile(),
    "single_file": Layout.single_file(),
}

COMPRESSIONS = {"plain": None, "deflate": "deflate"}

Reader = Callable[[str], Any]
_T = TypeVar("_T")


def sized(usual: _T, tiny: _T) -> _T:
    """Return what is usual, unless everything is to be tiny."""
    return tiny if TINY else usual


def labelled(**attributes: object) -> Callable[[_T], _T]:
    """Give a function the attributes that asv reads from functions alone: its name, its unit."""

    def mark(function: _T) -> _T:
        vars(function).update(attributes)
        return function

    return mark


def seconds_of(action: Callable[[], object]) -> float:
    """Return how long something takes; what it returns is dropped after the clock stops."""
    start = perf_counter()
    result = action()
    seconds = perf_counter() - start
    del result
    return seconds


def write_image(spec: synth.Spec, layout: str, root: str, storage: str = "plain") -> synth.Dataset:
    """Write an image in one of the layouts above, or open what an earlier call wrote."""
    return synth.write(spec, LAYOUTS[layout], root, compression=COMPRESSIONS[storage], ome=False)


def read_tiff(path: str) -> NDArray[Any]:
    """Read a file whole with tifffile."""
    from tifffile import imread

    pixels: NDArray[Any] = imread(path)
    return pixels


def read_with_imageio(path: str) -> NDArray[Any]:
    """Read a file whole as starfish's tutorial does."""
    from imageio.v2 import volread

    return np.asarray(volread(path, format="tiff"))


class VolumeTile(FetchedTile):
    """A plane of a file that is read whole."""

    def __init__(self, fetcher: VolumeFetcher, key: TileKey) -> None:
        self._fetcher = fetcher
        self._key = key

    @property
    def shape(self) -> Mapping[Axes, int]:
        """Rows and columns."""
        return self._fetcher.extent.tile_shape

    @property
    def coordinates(self) -> Mapping[Coordinates, Any]:
        """Where the tile lies."""
        return {Coordinates.X: (0.0, 1.0), Coordinates.Y: (0.0, 1.0), Coordinates.Z: self._key[2]}

    def tile_data(self) -> NDArray[Any]:
        """Read the file, unless it is kept, and pick the plane."""
        fetcher = self._fetcher
        volume = fetcher.read(fetcher.path(self._key))
        planes = volume.reshape(-1, *volume.shape[-2:])
        plane: NDArray[Any] = planes[fetcher.dataset.layout.page(fetcher.extent, self._key)]
        return plane


class VolumeFetcher(TileFetcher):
    """Reads whole files, as starfish's tutorial does, and keeps the last, or none.

    Parameters
    ----------
    dataset : Dataset
        What to fetch from.
    keep : int, optional
        How many files are kept. Default: 1.
    read : callable, optional
        Reads a file whole. Default: :func:`read_tiff`.
    """

    def __init__(self, dataset: synth.Dataset, keep: int = 1, read: Reader = read_tiff) -> None:
        self.dataset = dataset
        self.extent = dataset.extent()
        self.read: Reader = lru_cache(maxsize=keep)(read) if keep else read

    def path(self, key: TileKey) -> str:
        """Return the file that holds a tile."""
        return str(self.dataset.root / self.dataset.layout.path(self.extent.fov, *key))

    def get_tile(
        self, fov_id: int, round_label: int, ch_label: int, zplane_label: int
    ) -> VolumeTile:
        """Return the tile with these labels."""
        return VolumeTile(self, TileKey(round_label, ch_label, zplane_label))


class NamedVolumeFetcher(VolumeFetcher):
    """The same, and names its sources."""

    def source(
        self, fov_id: int, round_label: int, ch_label: int, zplane_label: int
    ) -> Hashable | None:
        """Return the path of the file."""
        return self.path(TileKey(round_label, ch_label, zplane_label))


class MemoryTile:
    """A plane of an array, with nothing computed that need not be; no base class is needed."""

    __slots__ = ("_pixels", "coordinates", "extras", "shape")

    def __init__(self, shape: Any, coordinates: Any, pixels: NDArray[Any]) -> None:
        self.shape = shape
        self.coordinates = coordinates
        self.extras: dict[str, Any] = {}
        self._pixels = pixels

    def tile_data(self) -> NDArray[Any]:
        """Return the plane."""
        return self._pixels


class MemoryFetcher(TileFetcher):
    """Tiles of a 5-D array.

    Parameters
    ----------
    image : ndarray
        r, c, z, y, x.
    """

    def __init__(self, image: NDArray[Any]) -> None:
        self.image = image
        rounds, chs, zplanes, rows, columns = image.shape
        self.extent = Extent(
            {Axes.Y: rows, Axes.X: columns},
            fov=0,
            rounds=tuple(range(rounds)),
            chs=tuple(range(chs)),
            zplanes=tuple(range(zplanes)),
        )
        self._coordinates = [
            {Coordinates.X: (0.0, 1.0), Coordinates.Y: (0.0, 1.0), Coordinates.Z: float(z)}
            for z in range(zplanes)
        ]

    def get_tile(self, fov_id: int, round_label: int, ch_label: int, zplane_label: int) -> Any:
        """Return the tile with these labels."""
        return MemoryTile(
            self.extent.tile_shape,
            self._coordinates[zplane_label],
            self.image[round_label, ch_label, zplane_label],
        )


def random_image(
    rounds: int, chs: int, zplanes: int, rows: int, columns: int, dtype: str = "uint16"
) -> NDArray[Any]:
    """Return an image of random pixels."""
    shape = rounds, chs, zplanes, rows, columns
    generator = np.random.default_rng(0)
    if np.dtype(dtype).kind == "f":
        return generator.random(shape).astype(dtype)
    native = np.dtype(dtype).newbyteorder("=")
    pixels = generator.integers(0, np.iinfo(native).max, shape, dtype=native, endpoint=True)
    return pixels.astype(dtype, copy=False)


def random_tiles(tiles: int, rows: int, columns: int) -> NDArray[Any]:
    """Return an image of so many tiles, in rounds and channels of ten where it has as many."""
    planes = {1: (1, 1, 1), 10: (1, 1, 10)}.get(tiles, (tiles // 100, 10, 10))
    return random_image(*planes, rows, columns)


def dataset_at(*parts: str) -> synth.Dataset:
    """Open what a suite's ``setup_cache`` wrote below the working directory."""
    return synth.Dataset.open(Path(*parts))


def touch_memory(count: int) -> None:
    """Have free memory that has just been used.

    A virtual machine's first touch of a page that its host took back costs many times as much as
    any other, and would fall to whoever happens to be next.
    """
    np.empty(count, np.uint8).fill(1)
