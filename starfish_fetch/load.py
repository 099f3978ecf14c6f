"""Runs a plan: asks the fetcher for each tile once, verifies it, and puts it in its place.

This is the only module that asks a fetcher for pixels.
"""

from __future__ import annotations

import operator
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from copy import copy
from dataclasses import replace
from math import prod
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from starfish_fetch.axes import Axes, Extent, TileKey, tile_shape_of
from starfish_fetch.contract import RowReader, own_region
from starfish_fetch.cpus import available_cpus
from starfish_fetch.crop import Window
from starfish_fetch.errors import DataFormatWarning, note_tile, without_frames
from starfish_fetch.helper import Helper
from starfish_fetch.place import Placer, StackArray, WiderDtypeError
from starfish_fetch.plan import LoadPlan
from starfish_fetch.sources import sources_of
from starfish_fetch.threads import Stop, run_batches
from starfish_fetch.tracing import watched
from starfish_fetch.verify import PhysicalCoordinates, TileVerifier, as_array

__all__ = ["Loader", "OnError"]

OnError = Literal["raise", "fill"]
Positions = NDArray[np.intp]
Labels = tuple[int, int, int]
Advance = Callable[[int], object]

_CHUNK = 1 << 12
_BATCH_TILES = 64
_BATCH_BYTES = 1 << 22


class _Run(NamedTuple):
    """What one thread needs for one run of a load."""

    placer: Placer
    stop: Stop
    fill: bool
    advance: Advance | None


class Loader:
    """One stack's load: what to fetch, and what has been fetched so far.

    A load that failed can be run again; tiles that are in place are not asked for again.

    Parameters
    ----------
    fetcher : TileFetcher
        Or anything with its ``get_tile``.
    extent : Extent
        The labels to load, and the shape of whole tiles.
    window : Window
        The rows and columns to keep of each tile.
    group_by : tuple of Axes, optional
        The order. Default: the loader's own.
    dtype : dtype or None, optional
        ``numpy.float32``, or None to keep the tiles' own.
    out : ndarray, optional
        Where to load to.
    workers : int, optional
        Threads, each taking whole groups; a fetcher that is not ``thread_safe`` is called from
        one. Default: as many as the process may use CPUs.

    Raises
    ------
    ValueError
        If dtype, workers or ``out`` cannot be.
    """

    def __init__(
        self,
        fetcher: Any,
        extent: Extent,
        window: Window,
        *,
        group_by: tuple[Axes, ...] | None = None,
        dtype: DTypeLike | None = np.float32,
        out: NDArray[Any] | None = None,
        workers: int | None = None,
    ) -> None:
        if dtype is not None and np.dtype(dtype) != np.float32:
            raise ValueError(
                f"dtype must be numpy.float32, or None to keep the tiles' own; got {dtype!r}"
            )
        if workers is not None and (operator.index(workers) < 1 or isinstance(workers, bool)):
            raise ValueError(f"workers must be an int of at least 1; got {workers}")
        self.fetcher = fetcher
        self.extent = extent
        self.window = window
        self.group_by = group_by
        self.dtype = None if dtype is None else np.dtype(np.float32)
        self.workers = workers
        self.failures: dict[TileKey, Exception] = {}
        self._planes = len(extent.rounds), len(extent.chs), len(extent.zplanes)
        self.shape = (*self._planes, *window.shape)
        if out is not None:
            self._check_out(out)
        self.out = out
        self._tile_shape = tile_shape_of(extent.tile_shape)
        self._whole_tile = window.shape == self._tile_shape
        self._whole_rows = window.shape[1] == self._tile_shape[1]
        self._start()
        self._plan: LoadPlan | None = None
        self._lock = threading.Lock()

    def _start(self) -> None:
        """Forget everything: what a tile that was refused has told is not to be held to."""
        self._verifier = TileVerifier(self._tile_shape, self.window, self._planes)
        self._stack = StackArray(self.shape, self.dtype, self.out, self._verifier)

    def __getstate__(self) -> dict[str, Any]:
        # Another thread may go on with the load while this is pickled: what is said to be in place
        # now is in the array, and known to the verifier, that are pickled later.
        state = {**vars(self), "_stack": copy(self._stack), "failures": self.failures.copy()}
        del state["_lock"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=threading.Lock())

    def narrowed(self, extent: Extent, window: Window) -> Loader:
        """Return a load of part of this one's image, with nothing fetched yet."""
        return Loader(
            self.fetcher,
            extent,
            window,
            group_by=self.group_by,
            dtype=self.dtype,
            workers=self.workers,
        )

    def _check_out(self, out: NDArray[Any]) -> None:
        if out.shape != self.shape:
            raise ValueError(f"out has the shape {out.shape}; expected {self.shape}: r, c, z, y, x")
        if self.dtype is not None and out.dtype != self.dtype:
            raise ValueError(
                f"out is {out.dtype}, but the stack is {self.dtype}; pass a {self.dtype} array, "
                "or dtype=None to keep the tiles' own dtype"
            )
        if not out.flags.writeable:
            raise ValueError("out is read-only")

    @property
    def plan(self) -> LoadPlan:
        """The order in which tiles are asked for; asks the fetcher to name its sources."""
        if self._plan is None:
            self._plan = self._make_plan(tolerant=False)
        return self._plan

    def _make_plan(self, *, tolerant: bool) -> LoadPlan:
        labels = self.extent.rounds, self.extent.chs, self.extent.zplanes
        unordered = LoadPlan(*labels, group_by=(), fov=self.extent.fov)
        return replace(
            unordered,
            group_by=self.group_by,
            sources=sources_of(self.fetcher, unordered, tolerant=tolerant),
            tile_shape=self.window.shape,
            dtype=self.dtype if self.out is None else self.out.dtype,
        )

    @property
    def done(self) -> bool:
        """Whether every tile is in place, or filled because it could not be had."""
        return self._stack.placed.count(True) + len(self.failures) == len(self._stack.placed)

    @property
    def dtypes(self) -> Mapping[np.dtype[Any], TileKey]:
        """The dtypes that tiles had so far, each with the first tile that had it."""
        return self._verifier.dtypes

    def coordinates(self) -> PhysicalCoordinates:
        """Return where the pixels lie, asking the tiles for their coordinates alone.

        After a load, what the load saw.
        """
        if self.done:
            return self._verifier.physical()
        verifier = TileVerifier(self._tile_shape, self.window, self._planes)
        order = self.plan.order
        get_tile = watched(self.fetcher.get_tile, "get_tile")
        for position, labels in zip(order.tolist(), self.plan.labels(order), strict=True):
            try:
                tile = get_tile(self.extent.fov, *labels)
                verifier.coordinates(tile.coordinates, position, labels)
            except Exception as error:
                self._annotate(error, labels)
                raise
        return verifier.physical()

    def extras(self, key: TileKey) -> Mapping[str, Any]:
        """Return what a tile says of itself beside its pixels."""
        try:
            tile = watched(self.fetcher.get_tile, "get_tile")(self.extent.fov, *key)
            return getattr(tile, "extras", None) or {}
        except Exception as error:
            self._annotate(error, key)
            raise

    def run(
        self,
        *,
        on_error: OnError = "raise",
        fill_value: float = 0,
        advance: Advance | None = None,
        stacklevel: int = 1,
    ) -> NDArray[Any]:
        """Load every tile that is not in place yet.

        Parameters
        ----------
        on_error : {"raise", "fill"}, optional
            Whether an exception out of the fetcher ends the load, or its tile is filled and kept
            in :attr:`failures`.
        fill_value : number, optional
            For tiles that cannot be had. Default: 0.
        advance : callable, optional
            Called, from any thread, with the number of tiles done since the last call.
        stacklevel : int, optional
            Whose line warnings show; 1 is the caller's.

        Returns
        -------
        ndarray
            5-D: r, c, z, y, x.
        """
        if on_error not in ("raise", "fill"):
            raise ValueError(f"on_error must be 'raise' or 'fill'; got {on_error!r}")
        fill = on_error == "fill"
        if fill:
            self._stack.verify_fill_value(fill_value)
            self._plan = self._plan or self._make_plan(tolerant=True)
        if not self._stack.placed.count(True):
            self._start()
        while True:
            self.failures = {}
            try:
                self._run_batches(fill, advance)
            except WiderDtypeError as error:
                wider = error
            else:
                break
            self._widen(wider)
        if self.failures:
            self._fill(fill_value, stacklevel + 1)
        self._verifier.warn(stacklevel + 1)
        assert self._stack.array is not None
        return self._stack.array

    def _batches(self, workers: int) -> Iterator[Positions]:
        """Yield the tiles in load order: for several workers, in whole groups if need be."""
        order = self.plan.order
        if workers == 1:
            for start in range(0, len(order), _CHUNK):
                yield order[start : start + _CHUNK]
            return
        tile_bytes = prod(self.window.shape) * (self.dtype or np.dtype(np.float32)).itemsize
        # So many batches that no worker is left waiting for the last one for long.
        enough = max(1, min(_BATCH_TILES, _BATCH_BYTES // tile_bytes, len(order) // (4 * workers)))
        if getattr(self.fetcher, "shares_sources", False):
            for start in range(0, len(order), enough):
                yield order[start : start + enough]
            return
        start = stop = 0
        for group in self.plan.positions_by_group():
            stop += len(group)
            if stop - start >= enough:
                yield order[start:stop]
                start = stop
        if stop > start:
            yield order[start:stop]

    def _run_batches(self, fill: bool, advance: Advance | None) -> None:
        order = self.plan.order  # made here, where the fetcher's errors belong
        allowed = self.workers or available_cpus()
        workers = 1
        if getattr(self.fetcher, "thread_safe", False):
            workers = min(allowed, len(order))
        helper = Helper() if allowed > 1 and workers == 1 else None

        def make_work(stop: Stop) -> Callable[[Positions], None]:
            run = _Run(Placer(self._stack, self._annotate, helper), stop, fill, advance)
            return lambda batch: self._load(batch, run)

        try:
            errors = run_batches(self._batches(workers), make_work, workers)
        finally:
            if helper is not None:
                helper.close()
        others = [error for error in errors if not isinstance(error, WiderDtypeError)]
        try:
            if others:
                raise others.pop(0)
            if errors:
                raise WiderDtypeError.of_all(errors)
        finally:
            # An error that its own frames hold would keep their files open until a collection.
            others.clear()
            errors.clear()

    def _load(self, batch: Positions, run: _Run) -> None:
        """Load some tiles, one after another."""
        try:
            self._load_each(batch, run)
        except Exception:
            # What is wrong with a tile before goes first; it has not been looked at yet.
            run.placer.flush()
            raise
        run.placer.flush()

    def _load_each(self, batch: Positions, run: _Run) -> None:
        placer, stop, fill, advance = run
        get_tile, fov = watched(self.fetcher.get_tile, "get_tile"), self.extent.fov
        declared, rows, columns = self.extent.tile_shape, *self.window
        verifier, placed, crops = self._verifier, self._stack.placed, not self._whole_tile
        tile_class, make_reader = None, None
        done = 0
        for position, labels in zip(batch.tolist(), self.plan.labels(batch), strict=True):
            if stop.is_set():
                return
            if done == _BATCH_TILES and advance is not None:
                advance(done)
                done = 0
            done += 1
            if placed[position]:
                continue
            reader = region = None
            try:
                tile = get_tile(fov, *labels)
                tile_shape = tile.shape
                coordinates = tile.coordinates
                if type(tile) is not tile_class:
                    tile_class = type(tile)
                    make_reader = self._row_reader(tile_class)
                if make_reader is not None:
                    reader = make_reader(tile, rows)
                if reader is None:
                    region = own_region(tile) if crops else None
                    data = tile.tile_data() if region is None else region(rows, columns)
            except Exception as error:
                if not self._passed_over(error, labels, fill):
                    raise
                continue
            try:
                if reader is not None:
                    verifier.declared(tile_shape)
                    dtype = reader.dtype
                else:
                    if type(data) is not np.ndarray:
                        data = as_array(data)
                    shape = self._tile_shape if region is None else self.window.shape
                    if data.shape != shape or tile_shape != declared:
                        verifier.declared(tile_shape)
                        verifier.pixels(data, shape)
                    if crops and region is None:
                        data = data[rows, columns]
                    dtype = data.dtype
                verifier.coordinates(coordinates, position, labels)
                if dtype is not placer.dtype:
                    placer.accept(dtype, labels)
            except WiderDtypeError as wider:
                if reader is None:
                    wider.tiles[position] = data
                raise
            except Exception as error:
                self._annotate(error, labels)
                raise
            if reader is None:
                placer.place(data, position, labels)
                continue
            try:
                placer.read(reader, position)
            except Exception as error:
                if not self._passed_over(error, labels, fill):
                    raise
            else:
                placer.written(position, labels)
        if advance is not None:
            advance(done)

    def _row_reader(self, tile_class: type) -> Callable[[Any, slice], RowReader | None] | None:
        # Of the very class that has it: one derived from it may have overridden tile_data alone.
        return tile_class.__dict__.get("row_reader") if self._whole_rows else None

    def _passed_over(self, error: Exception, labels: Labels, fill: bool) -> bool:
        """Keep what a fetcher raised if its tile is to be filled; return whether it is."""
        self._annotate(error, labels)
        if not fill:
            return False
        with self._lock:
            without_frames(error)
            self.failures[TileKey(*labels)] = error
        return True

    def _widen(self, wider: WiderDtypeError) -> None:
        self._stack.widen(wider)
        placer = Placer(self._stack, self._annotate)
        positions = np.array(list(wider.tiles), np.intp)
        for labels, (position, data) in zip(
            self.plan.labels(positions), wider.tiles.items(), strict=True
        ):
            placer.accept(data.dtype, labels)
            placer.place(data, position, labels)
        placer.flush()

    def _fill(self, fill_value: float, stacklevel: int) -> None:
        missing = [key for key in self.plan if key in self.failures]
        first = self.failures[missing[0]]
        if self._stack.array is None:
            self.failures = {}
            first.add_note(f"none of the {len(missing)} tiles could be had")
            raise first
        self._stack.fill(fill_value)
        warnings.warn(
            f"{len(missing)} of {len(self.plan)} tiles could not be had and are filled with "
            f"{fill_value}; see ImageStack.missing. The first: {first!r}, "
            + "; ".join(getattr(first, "__notes__", [])),
            DataFormatWarning,
            stacklevel=stacklevel + 1,
        )

    def _annotate(self, error: Exception, labels: Labels) -> None:
        """Add which tile an error is about, as a note, once."""
        try:
            source = self.fetcher.source(self.extent.fov, *labels)
        except Exception:
            source = None
        note_tile(error, self.extent.fov, labels, source)
