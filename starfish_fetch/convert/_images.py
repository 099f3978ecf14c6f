"""What is to be converted, and its tiles, loaded a block at a time."""

from __future__ import annotations

import json
import operator
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starfish_fetch.axes import PLANES, Axes, Coordinates, Extent, TileKey, tile_shape_of
from starfish_fetch.convert._blocks import blocks_of
from starfish_fetch.crop import Window
from starfish_fetch.errors import note_tile
from starfish_fetch.load import Loader
from starfish_fetch.plan import LoadPlan
from starfish_fetch.sources import sources_of
from starfish_fetch.verify import TileVerifier

__all__ = ["Image", "Tile", "extents_from"]

_BLOCK_PIXELS = 1 << 24


@dataclass(frozen=True)
class Tile:
    """A tile, with all that a format keeps of it."""

    fov: int
    key: TileKey
    pixels: NDArray[Any]
    coordinates: dict[str, Any]
    extras: dict[str, Any]


class Image:
    """An image of one or more fields of view, and the fetcher that provides it.

    Parameters
    ----------
    fetcher : TileFetcher
        Or anything with its ``get_tile``.
    extents : tuple of Extent
        Labels and tile shape of each field of view.
    group_by : tuple of Axes, optional
        The load order.
    workers : int, optional
        Threads that fetch.
    """

    def __init__(
        self,
        fetcher: Any,
        extents: tuple[Extent, ...],
        group_by: tuple[Axes, ...] | None,
        workers: int | None,
    ) -> None:
        self.extents = extents
        self.dtype: np.dtype[Any] | None = None
        self._fetcher = _Keeper(fetcher)
        self._group_by = group_by
        self._workers = workers
        self._verifiers = {extent.fov: _verifier(extent) for extent in extents}

    def __len__(self) -> int:
        return sum(prod(_planes(extent)) for extent in self.extents)

    def blocks(self, extent: Extent) -> Iterator[tuple[TileKey, ...]]:
        """Yield the tiles of a field of view in load order, in blocks that memory holds."""
        labels = extent.rounds, extent.chs, extent.zplanes
        plan = LoadPlan(*labels, group_by=(), fov=extent.fov)
        sources = sources_of(self._fetcher, plan) if self._group_by is None else None
        plan = LoadPlan(*labels, group_by=self._group_by, sources=sources, fov=extent.fov)
        return blocks_of(plan, max(1, _BLOCK_PIXELS // prod(extent.tile_shape.values())))

    def load(self, extent: Extent, keys: tuple[TileKey, ...]) -> Iterator[Tile]:
        """Load every combination of some labels; yield the tiles in their order.

        Raises
        ------
        ValueError
            "Tiles must be aligned", as of any load; of tiles in other blocks, too.
        TypeError
            If a tile has another dtype than those before it.
        """
        rounds, chs, zplanes = (tuple(sorted({*axis})) for axis in zip(*keys, strict=True))
        rows, columns = tile_shape_of(extent.tile_shape)
        loader = Loader(
            self._fetcher,
            extent.of(rounds, chs, zplanes),
            Window(slice(0, rows), slice(0, columns)),
            group_by=self._group_by,
            dtype=None,
            workers=self._workers,
        )
        self._fetcher.kept.clear()
        array = loader.run(stacklevel=4)
        self._same_dtype(loader.dtypes, extent.fov)
        for key in keys:
            place = rounds.index(key.round), chs.index(key.ch), zplanes.index(key.zplane)
            tile = self._fetcher.kept.pop(key)
            try:
                coordinates = _plain(tile.coordinates)
                self.align(extent, key, coordinates)
                extras = _jsonable(getattr(tile, "extras", None) or {})
            except Exception as error:
                note_tile(error, extent.fov, key)
                raise
            yield Tile(extent.fov, key, array[place], coordinates, extras)

    def align(self, extent: Extent, key: TileKey, coordinates: Mapping[Any, Any]) -> None:
        """Raise ValueError unless a tile lies where the others of its field of view do."""
        labels = (extent.labels(axis) for axis in PLANES)
        place = tuple(axis.index(label) for axis, label in zip(labels, key, strict=True))
        position = int(np.ravel_multi_index(place, _planes(extent)))
        self._verifiers[extent.fov].coordinates(coordinates, position, key)

    def _same_dtype(self, dtypes: Mapping[np.dtype[Any], TileKey], fov: int) -> None:
        for dtype, key in dtypes.items():
            # Of the two dtypes that are a C long, Zarr knows one; tifffile gives the other.
            native = np.dtype(dtype.newbyteorder("=").str)
            if self.dtype is None:
                self.dtype = native
            if native != self.dtype:
                error = TypeError(
                    f"the tile is {native}, and those before it are {self.dtype} (C4); a "
                    "conversion keeps one dtype: make the fetcher return it for all tiles"
                )
                note_tile(error, fov, key)
                raise error


class _Keeper:
    """A fetcher that keeps the tiles it returned, which so are asked for once."""

    def __init__(self, fetcher: Any) -> None:
        self._get_tile = fetcher.get_tile
        self.thread_safe = getattr(fetcher, "thread_safe", False)
        self.shares_sources = getattr(fetcher, "shares_sources", False)
        self.source = getattr(fetcher, "source", None)
        self.kept: dict[tuple[int, int, int], Any] = {}

    def get_tile(self, fov: int, *key: int) -> Any:
        tile = self._get_tile(fov, *key)
        self.kept[key[0], key[1], key[2]] = tile
        return tile


def extents_from(extents: Extent | Iterable[Extent]) -> tuple[Extent, ...]:
    """Return one extent, or several of different fields of view, as a tuple.

    Raises
    ------
    TypeError, ValueError
        If there is none, or a field of view is named twice.
    """
    found = (extents,) if isinstance(extents, Extent) else tuple(extents)
    fovs = [operator.index(extent.fov) for extent in found]
    if not fovs or len({*fovs}) < len(fovs):
        raise ValueError(f"name one extent, or several of different fields of view; got {fovs}")
    return found


def _verifier(extent: Extent) -> TileVerifier:
    rows, columns = tile_shape_of(extent.tile_shape)
    window = Window(slice(0, rows), slice(0, columns))
    return TileVerifier((rows, columns), window, _planes(extent))


def _planes(extent: Extent) -> tuple[int, int, int]:
    return len(extent.rounds), len(extent.chs), len(extent.zplanes)


def _plain(coordinates: Mapping[Any, Any]) -> dict[str, Any]:
    """Return verified coordinates as what ``json.dumps`` takes, every one a pair or a number."""
    found = {}
    for name in Coordinates:
        value = coordinates.get(name)
        if value is not None and not np.any(np.isnan(value)):
            pair = isinstance(value, tuple | list | np.ndarray) and np.ndim(value)
            found[str(name)] = [*map(_number, value)] if pair else _number(value)
    return found


def _number(value: Any) -> int | float:
    return value if type(value) in (int, float) else float(value)


def _jsonable(extras: Mapping[str, Any]) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(json.dumps(dict(extras), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise type(error)(f"the tile's extras cannot be written as JSON: {error}") from error
    return found
