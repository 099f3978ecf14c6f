"""The fetcher that most people write; starfish and starfish_fetch take the same."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from numpy.typing import NDArray

from benchmarks.peers._image import Image
from starfish_fetch import Axes, Coordinates, FetchedTile, TileFetcher, TileKey

__all__ = ["OneFileFetcher", "OneFileTile"]


class OneFileTile(FetchedTile):
    """One plane of a file that is read whole."""

    def __init__(self, fetcher: OneFileFetcher, path: str, page: int, zplane: int) -> None:
        self.fetcher = fetcher
        self.path = path
        self.page = page
        self.zplane = zplane

    @property
    def shape(self) -> Mapping[Axes, int]:
        """Rows and columns."""
        return self.fetcher.image.extent.tile_shape

    @property
    def coordinates(self) -> Mapping[Coordinates, Any]:
        """Where the tile lies."""
        return {Coordinates.X: (0, 1), Coordinates.Y: (0, 1), Coordinates.Z: self.zplane}

    def tile_data(self) -> NDArray[Any]:
        """Read the file, unless it is the one read last, and pick the plane."""
        volume = self.fetcher.read(self.path)
        plane: NDArray[Any] = volume.reshape(-1, *volume.shape[-2:])[self.page]
        return plane


class OneFileFetcher(TileFetcher):
    """Reads a file whole and keeps the one it read last, as starfish's tutorial does."""

    def __init__(self, image: Image) -> None:
        import tifffile

        self.image = image
        self.read = lru_cache(maxsize=1)(tifffile.imread)

    def get_tile(
        self, fov_id: int, round_label: int, ch_label: int, zplane_label: int
    ) -> OneFileTile:
        """Return the tile with these labels, without reading its pixels."""
        key = TileKey(round_label, ch_label, zplane_label)
        path = self.image.dataset.root / self.image.layout.path(fov_id, *key)
        page = self.image.layout.page(self.image.extent, key)
        return OneFileTile(self, str(path), page, zplane_label)
