"""Where it is known which pixels to expect."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starfish_fetch.axes import Extent, TileKey, tile_shape_of
from starfish_fetch.intensity import to_float32
from starfish_fetch.testing._pixels import look

__all__ = ["Oracle", "oracle_of"]

Pixels = NDArray[Any]

_MOST_COMPARED = 1 << 16
_MOST_COMPARED_BYTES = 1 << 28
_SECONDS = 2


class Oracle:
    """Knows the pixels of every tile of one image, independently of the fetcher.

    Parameters
    ----------
    expected : callable
        Given (round, ch, zplane), returns pixels; also given ``fov=`` if it takes it.
    extent : Extent
        The image.
    coordinates : callable, optional
        Given a TileKey, returns where the tile lies.
    """

    def __init__(
        self,
        expected: Callable[..., Any],
        extent: Extent,
        coordinates: Callable[[TileKey], Any] | None = None,
    ) -> None:
        self._expected = expected
        self._extent = extent
        self._takes_fov = _takes_fov(expected)
        self._tiles: dict[int, dict[bytes, TileKey]] = {}
        self._fovs: list[int] | None = None
        self.coordinates = coordinates
        self.error: Exception | None = None
        """What the oracle raised, if it did: nobody else's fault."""

    def pixels(self, key: TileKey, fov: int | None = None) -> Pixels:
        """Return the pixels to expect of a tile."""
        options = {"fov": self._extent.fov if fov is None else fov} if self._takes_fov else {}
        try:
            pixels = np.asarray(self._expected(*key, **options))
            self._verify_shape(pixels, key)
        except Exception as error:
            if fov is None and self.error is None:
                self.error = error
            raise
        return pixels

    def _verify_shape(self, pixels: Pixels, key: TileKey) -> None:
        shape = tile_shape_of(self._extent.tile_shape)
        if pixels.shape != shape:
            raise ValueError(
                f"expected({', '.join(map(str, key))}) has the shape {pixels.shape}; the extent "
                f"says {shape}"
            )

    def other_fovs(self) -> list[int]:
        """Return labels of fields of view beside the extent's that the oracle knows."""
        if self._fovs is not None:
            return self._fovs
        known = self._fovs = []
        for step in (1, -1) if self._takes_fov else ():
            try:
                self.pixels(self._first, self._extent.fov + step)
            except Exception:
                continue
            known.append(self._extent.fov + step)
        return known

    @property
    def _first(self) -> TileKey:
        return TileKey(self._extent.rounds[0], self._extent.chs[0], self._extent.zplanes[0])

    def find(self, seen: Pixels) -> tuple[int, TileKey] | None:
        """Return the field of view and tile that have these pixels, unless that may be chance."""
        own = self.pixels(self._first).dtype
        as_float = seen.dtype.newbyteorder("=") != own.newbyteorder("=")
        try:
            digest = look(to_float32(seen) if as_float else seen).digest
        except TypeError:
            return None
        for fov in (self._extent.fov, *self.other_fovs()):
            key = self._tiles_of(fov, as_float=as_float).get(digest)
            if key is not None:
                return fov, key
        return None

    def _tiles_of(self, fov: int, *, as_float: bool) -> dict[bytes, TileKey]:
        """Return the tiles of a field of view that tell, by their digest."""
        tiles = self._tiles.get(fov)
        if tiles is None:
            tiles = self._tiles[fov] = {}
            for key, pixels in self._some(_MOST_COMPARED, fov):
                seen = look(to_float32(pixels) if as_float else pixels)
                if seen.telling:
                    tiles.setdefault(seen.digest, key)
        return tiles

    def _some(self, most: int, fov: int | None = None) -> Iterator[tuple[TileKey, Pixels]]:
        extent = self._extent
        keys = [TileKey(*key) for key in product(extent.rounds, extent.chs, extent.zplanes)]
        rows, columns = extent.tile_shape.values()
        most = min(most, max(16, _MOST_COMPARED_BYTES // (4 * rows * columns)))
        if len(keys) > most:
            keys = sorted(random.Random(0).sample(keys, most))
        end = perf_counter() + _SECONDS
        for key in keys:
            if perf_counter() > end:
                return
            yield key, self.pixels(key, fov)

    def some(self) -> Iterator[tuple[TileKey, Pixels]]:
        """Return a few tiles, for what takes long with each."""
        return self._some(16)


def _takes_fov(expected: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(expected).parameters.values()
    except (TypeError, ValueError):
        return False
    return any(each.name == "fov" for each in parameters)


def oracle_of(expected: Any, extent: Extent) -> Oracle | None:
    """Return the oracle for what a caller gave: nothing, a function, or a synth dataset."""
    if expected is None:
        return None
    tile, fetcher = getattr(expected, "tile", None), getattr(expected, "fetcher", None)
    if callable(tile) and callable(fetcher):
        reader = fetcher(extent.fov)

        def coordinates(key: TileKey) -> Any:
            return reader.get_tile(extent.fov, *key).coordinates

        return Oracle(tile, extent, coordinates)
    if not callable(expected):
        raise TypeError(
            f"expected must be a function of (round, ch, zplane), or a synth Dataset; got "
            f"{expected!r:.80}"
        )
    return Oracle(expected, replace(extent))
