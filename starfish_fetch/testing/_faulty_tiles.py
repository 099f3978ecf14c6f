"""Fetchers of which some tiles cannot be had, or take long."""

from __future__ import annotations

import errno
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from starfish_fetch.axes import TileKey

__all__ = ["FaultyFetcher", "failing", "slow_tiles"]

Raisable = BaseException | type[BaseException]
Labels = tuple[int, int, int]
At = Literal["get_tile", "tile_data"]

_MESSAGE = "failed on purpose"


class FaultyFetcher:
    """Passes everything on to a fetcher, except that something happens to its tiles first.

    It has what the fetcher has: ``source``, ``thread_safe`` and the like only if the fetcher has
    them, and so have its tiles. It can be pickled if the fetcher can.

    Attributes
    ----------
    faults : Counter of TileKey
        How often something happened to each tile, of whichever field of view.
    """

    def __init__(self, fetcher: Any, at: At) -> None:
        if at not in ("get_tile", "tile_data"):
            raise ValueError(f"at must be 'get_tile' or 'tile_data'; got {at!r}")
        if not callable(getattr(fetcher, "get_tile", None)):
            raise TypeError(f"a fetcher has the method get_tile; {fetcher!r} has not")
        self._fetcher = fetcher
        self._at = at
        self.faults: Counter[TileKey] = Counter()
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # how to copy the fetcher is not how to copy this
            raise AttributeError(name)
        return getattr(self._fetcher, name)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=threading.Lock())

    def get_tile(self, fov: int, r: int, c: int, z: int, /) -> Any:
        """Return the fetcher's tile, or one to whose pixels something happens."""
        key = TileKey(r, c, z)
        if self._at == "get_tile":
            self._happen(fov, key)
            return self._fetcher.get_tile(fov, r, c, z)
        tile = self._fetcher.get_tile(fov, r, c, z)
        # Loaders look for it in the very class of a tile.
        reads_rows = "row_reader" in vars(type(tile))
        return (_RowTile if reads_rows else _Tile)(tile, lambda: self._happen(fov, key))

    def _happen(self, fov: int, key: TileKey) -> None:
        raise NotImplementedError


class _Tile:
    """Passes everything on to a tile; something happens before its pixels are read."""

    def __init__(self, tile: Any, happen: Callable[[], None]) -> None:
        self._tile = tile
        self._happen = happen

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._tile, name)

    def tile_data(self) -> Any:
        self._happen()
        return self._tile.tile_data()

    @property
    def tile_region(self) -> Any:
        region = self._tile.tile_region

        def tile_region(rows: slice, columns: slice) -> Any:
            self._happen()
            return region(rows, columns)

        return tile_region


class _RowTile(_Tile):
    def row_reader(self, rows: slice) -> Any:
        reader = self._tile.row_reader(rows)
        if reader is not None:  # else tile_data is asked for next
            self._happen()
        return reader


class _SlowTiles(FaultyFetcher):
    def __init__(self, fetcher: Any, seconds: float, at: At) -> None:
        super().__init__(fetcher, at)
        self._seconds = seconds

    def _happen(self, fov: int, key: TileKey) -> None:
        with self._lock:
            self.faults[key] += 1
        time.sleep(self._seconds)


class _Failing(FaultyFetcher):
    def __init__(
        self,
        fetcher: Any,
        at: At,
        errors: Mapping[Labels, Raisable] | None,
        chosen: Callable[[TileKey], bool] | float,
        error: Raisable | None,
        times: int | None,
        seed: int,
    ) -> None:
        super().__init__(fetcher, at)
        self._errors = errors
        self._chosen = chosen
        self._error = error
        self._times = times
        self._seed = seed

    def _happen(self, fov: int, key: TileKey) -> None:
        error = self._error_of(fov, key)
        if error is None:
            return
        with self._lock:
            if self._times is not None and self.faults[key] >= self._times:
                return
            self.faults[key] += 1
        if isinstance(error, type):
            error = error(_MESSAGE)
        raise error.with_traceback(None)

    def _error_of(self, fov: int, key: TileKey) -> Raisable | None:
        if self._errors is not None:
            return self._errors.get(key)
        if callable(self._chosen):
            fails = self._chosen(key)
        else:
            # Of the labels alone, so that no order and no thread makes a difference.
            fails = random.Random(f"{self._seed} {fov} {tuple(key)}").random() < self._chosen
        if not fails:
            return None
        return OSError(errno.EIO, _MESSAGE) if self._error is None else self._error


def slow_tiles(fetcher: Any, seconds: float, *, at: At = "tile_data") -> FaultyFetcher:
    """Return a fetcher whose tiles take longer.

    Parameters
    ----------
    fetcher : TileFetcher
        Any; it is left as it is.
    seconds : float
        To wait before each tile.
    at : {"tile_data", "get_tile"}, optional
        Where to wait: before pixels are read, by whichever method, or before a tile is returned.

    Examples
    --------
    >>> import tempfile, time, synth
    >>> from starfish_fetch import ImageStack, Layout
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     data = synth.write(synth.Spec(1, 2, 3, (6, 5)), Layout.per_round(), folder)
    ...     with data.fetcher() as fetcher:
    ...         slow = slow_tiles(fetcher, seconds=0.001)
    ...         _ = ImageStack.from_tilefetcher(slow, **vars(data.extent())).load()
    >>> slow.faults.total()
    6
    """
    if not 0 <= seconds < threading.TIMEOUT_MAX:
        raise ValueError(f"seconds must be a number of at least 0; got {seconds!r}")
    return _SlowTiles(fetcher, seconds, at)


def failing(
    fetcher: Any,
    tiles: Mapping[Labels, Raisable] | Iterable[Labels] | Callable[[TileKey], bool] | float,
    *,
    error: Raisable | None = None,
    at: At = "tile_data",
    times: int | None = None,
    seed: int = 0,
) -> FaultyFetcher:
    """Return a fetcher of which some tiles are an exception.

    Parameters
    ----------
    fetcher : TileFetcher
        Any; it is left as it is.
    tiles : mapping, iterable, callable or float
        Which: the exception for each tile by its labels (round, ch, zplane); the labels; a
        function that says for a TileKey whether it fails; or how probable it is for each tile.
    error : exception or its class, optional
        What is raised, where ``tiles`` does not say. An exception is raised itself, a class is
        called with a message. Default: an OSError, as for a failing disk.
    at : {"tile_data", "get_tile"}, optional
        Where: when pixels are read, by whichever method, or when a tile is asked for.
    times : int, optional
        So many times each tile fails, and then succeeds. Default: always.
    seed : int, optional
        Selects the tiles, if ``tiles`` is a probability; the same ones in any order.

    Examples
    --------
    >>> import tempfile, synth
    >>> from starfish_fetch import ImageStack, Layout
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     data = synth.write(synth.Spec(1, 2, 3, (6, 5)), Layout.per_round(), folder)
    ...     with data.fetcher() as fetcher:
    ...         once = failing(fetcher, {(0, 1, 2): FileNotFoundError}, times=1)
    ...         stack = ImageStack.from_tilefetcher(once, **vars(data.extent()))
    ...         try:
    ...             stack.load()
    ...         except FileNotFoundError as error:
    ...             print(error)
    ...         stack.load()
    failed on purpose
    <starfish_fetch.ImageStack (r: 1, c: 2, z: 3, y: 6, x: 5)>
    """
    if times is not None and (isinstance(times, bool) or times < 1):
        raise ValueError(f"times must be an int of at least 1; got {times!r}")
    errors: dict[Labels, Raisable] | None = None
    chosen: Callable[[TileKey], bool] | float = 0.0
    if isinstance(tiles, Mapping):
        if error is not None:
            raise ValueError("tiles maps to exceptions already; leave out error, or give labels")
        errors = {_key_of(labels): _raisable(one) for labels, one in tiles.items()}
    elif callable(tiles):
        chosen = tiles
    elif isinstance(tiles, Iterable):
        chosen = frozenset(map(_key_of, tiles)).__contains__
    elif not isinstance(tiles, bool) and 0 <= tiles <= 1:
        chosen = tiles
    else:
        raise ValueError(f"a probability lies between 0 and 1; got {tiles!r}")
    return _Failing(
        fetcher, at, errors, chosen, None if error is None else _raisable(error), times, seed
    )


def _key_of(labels: Any) -> TileKey:
    try:
        return TileKey(*labels)
    except TypeError:
        raise TypeError(f"a tile is (round, ch, zplane); got {labels!r}") from None


def _raisable(error: Any) -> Raisable:
    kind = error if isinstance(error, type) else type(error)
    if not issubclass(kind, BaseException):
        raise TypeError(f"what a tile fails with is an exception or its class; got {error!r}")
    found: Raisable = error
    return found
