"""Puts the pixels of tiles where they belong in a stack."""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starfish_fetch.axes import TileKey
from starfish_fetch.contract import RowReader
from starfish_fetch.helper import Helper
from starfish_fetch.intensity import converter, copy_into, intensity_range
from starfish_fetch.verify import TileVerifier

__all__ = ["Placer", "StackArray", "WiderDtypeError"]

Convert = Callable[[NDArray[Any], NDArray[Any]], object]
Labels = tuple[int, int, int]

# What is read before it is converted. Smaller blocks would stay in a nearer cache, but two threads
# then spend more time on handing each other the interpreter than they gain.
_BLOCK_BYTES = 1 << 22
# What is verified at a time: still in the processor's cache.
_VERIFIED_BYTES = 1 << 19
# Below this, waking another thread takes longer than converting.
_WORTH_HALVING = 1 << 20


class WiderDtypeError(Exception):
    """Tiles that do not fit the array that an earlier tile's dtype made; they come along."""

    def __init__(self, dtype: np.dtype[Any], tiles: dict[int, NDArray[Any]]) -> None:
        super().__init__(dtype)
        self.dtype = dtype
        self.tiles = tiles

    @classmethod
    def of_all(cls, errors: Sequence[Any]) -> WiderDtypeError:
        """Return one for several of them."""
        tiles = {position: data for error in errors for position, data in error.tiles.items()}
        return cls(np.result_type(*(error.dtype for error in errors)), tiles)


class StackArray:
    """The array of a stack, made when the first tile tells its dtype.

    Parameters
    ----------
    shape : tuple of int
        r, c, z, y, x.
    dtype : numpy.dtype or None
        float32, or None to keep the tiles' own.
    out : ndarray or None
        The array to use.
    verifier : TileVerifier
        What all tiles must agree on.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        dtype: np.dtype[Any] | None,
        out: NDArray[Any] | None,
        verifier: TileVerifier,
    ) -> None:
        self.shape = shape
        self.dtype = dtype
        self.out = out
        self.verifier = verifier
        self.array: NDArray[Any] | None = None
        self.placed = bytearray(prod(shape[:3]))
        """Which tiles are in place, in the order r, c, z."""
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        placed = bytearray(self.placed)  # before the array, in which there may soon be more
        state = {**vars(self), "placed": placed}
        del state["_lock"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=threading.Lock())

    def accept(self, dtype: np.dtype[Any], key: TileKey) -> NDArray[Any]:
        """Return the array, once it is sure that it can take pixels of a dtype."""
        self.verifier.dtype(dtype, key)
        with self._lock:
            if self.array is None:
                self.array = self.out
            if self.array is None:
                native = dtype.newbyteorder("=")
                self.array = np.empty(self.shape, native if self.dtype is None else self.dtype)
            if self.dtype is None and not (
                dtype.kind == self.array.dtype.kind and np.can_cast(dtype, self.array.dtype, "safe")
            ):
                if self.out is not None:
                    raise TypeError(
                        f"out is {self.out.dtype}, but the tiles are {dtype}: give an array of "
                        "their kind that can hold them, or load as float32"
                    )
                raise WiderDtypeError(dtype, {})
            return self.array

    def widen(self, wider: WiderDtypeError) -> None:
        """Make room for tiles of greater precision."""
        assert self.array is not None
        # Where no tile is yet, there may be anything.
        with np.errstate(all="ignore"):
            self.array = self.array.astype(np.result_type(self.array.dtype, wider.dtype))

    def tiles(self) -> Sequence[NDArray[Any]] | NDArray[Any]:
        """Return the place of each tile, in the order r, c, z."""
        assert self.array is not None
        array = np.asarray(self.array)
        by_round, by_ch, by_zplane = array.strides[:3]
        if by_ch == by_zplane * array.shape[2] and by_round == by_ch * array.shape[1]:
            return array.reshape(len(self.placed), *self.shape[3:])
        # The caller's own array has gaps; reshaped, it would be a copy.
        return [array[index] for index in np.ndindex(self.shape[:3])]

    def verify_fill_value(self, fill_value: float) -> None:
        """Raise ValueError unless a stack of this dtype may hold a value.

        Without a dtype to go by yet, everything may pass that is a number.
        """
        dtype = self.dtype if self.array is None else self.array.dtype
        value: float
        try:
            value = operator.index(fill_value)  # type: ignore[arg-type]
        except TypeError:
            try:
                value = float(fill_value)
            except (TypeError, ValueError):
                raise ValueError(f"fill_value must be a number; got {fill_value!r}") from None
        if dtype is None:
            return
        if dtype.kind == "f":
            allowed, fits = "between 0 and 1, or NaN", value != value or 0 <= value <= 1
        else:
            limits = np.iinfo(dtype) if dtype.kind in "iu" else np.iinfo(np.uint8)
            highest = 1 if dtype.kind == "b" else limits.max
            allowed = f"a whole number from {limits.min} to {highest}"
            fits = limits.min <= value <= highest and value == int(value)
        if not fits:
            raise ValueError(f"fill_value={fill_value!r} for {dtype} must be {allowed}")

    def fill(self, fill_value: float) -> None:
        """Write a value wherever no tile is."""
        self.verify_fill_value(fill_value)
        assert self.array is not None
        for tile, there in zip(self.tiles(), self.placed, strict=True):
            if not there:
                tile[...] = fill_value


class Placer:
    """Puts tiles into the array of a stack, for one thread.

    Tiles count as placed once their intensities are verified, which is done for many at a time:
    call :meth:`flush` at the end.

    Parameters
    ----------
    stack : StackArray
        Where to.
    annotate : callable
        Called with an error and the labels of its tile.
    helper : Helper, optional
        A second thread, to convert large tiles with.
    """

    def __init__(
        self,
        stack: StackArray,
        annotate: Callable[[Exception, Labels], None],
        helper: Helper | None = None,
    ) -> None:
        self._stack = stack
        self._placed = stack.placed
        self._annotate = annotate
        self._helper = helper
        self._tiles: Sequence[NDArray[Any]] | NDArray[Any] = ()
        self._convert: Convert = copy_into
        self._verifies = False
        self._pending: dict[int, Labels] = {}
        self._most_pending = 1
        self._block: NDArray[Any] | None = None
        self.dtype: np.dtype[Any] | None = None
        """Of the tile before; :meth:`accept` any other before it is placed."""

    def accept(self, dtype: np.dtype[Any], labels: Labels) -> None:
        """Prepare for tiles of a dtype.

        Raises
        ------
        TypeError
            If it is of another kind than that of the tiles before, or ``out`` cannot hold it.
        """
        self.flush()
        array = self._stack.accept(dtype, TileKey(*labels))
        tile_bytes = prod(array.shape[3:]) * array.itemsize
        keeps_dtype = self._stack.dtype is None
        self._tiles = self._stack.tiles()
        self._convert = copy_into if keeps_dtype else converter(dtype)
        if self._helper is not None and tile_bytes >= _WORTH_HALVING:
            self._convert = self._helper.halving(self._convert)
        self._verifies = dtype.kind in ("f" if keeps_dtype else "fi")
        self._most_pending = max(1, _VERIFIED_BYTES // tile_bytes)
        self.dtype = dtype

    def place(self, data: NDArray[Any], position: int, labels: Labels) -> None:
        """Convert the pixels of a tile into their place."""
        self._convert(data, self._tiles[position])
        if self._verifies:
            self.written(position, labels)
        else:
            self._placed[position] = True

    def read(self, reader: RowReader, position: int) -> None:
        """Read the pixels of a tile into their place, without a copy of the whole tile between."""
        destination = self._tiles[position]
        if reader.dtype == destination.dtype and destination.flags.c_contiguous:
            reader.read(0, destination)
            return
        rows, columns = destination.shape
        block = self._block
        if block is None or block.dtype != reader.dtype:
            height = max(1, min(rows, _BLOCK_BYTES // (columns * reader.dtype.itemsize)))
            block = self._block = np.empty((height, columns), reader.dtype)
        for start in range(0, rows, len(block)):
            part = block[: rows - start]
            reader.read(start, part)
            self._convert(part, destination[start : start + len(part)])

    def written(self, position: int, labels: Labels) -> None:
        """Take note that the pixels of a tile are in their place."""
        if not self._verifies:
            self._placed[position] = True
            return
        self._pending[position] = labels
        if len(self._pending) >= self._most_pending:
            self.flush()

    def flush(self) -> None:
        """Verify the tiles written since the last time.

        Raises
        ------
        ValueError
            If the intensities of one leave [0, 1]; those before it are in place.
        """
        if not self._pending:
            return
        pending, self._pending = self._pending, {}
        positions = sorted(pending)
        first, last = positions[0], positions[-1]
        tiles = self._tiles
        # Neighbours in memory, of which usually all is well, are looked at together.
        if (
            isinstance(tiles, np.ndarray)
            and last - first < len(positions)
            and intensity_range(tiles[first : last + 1]) is None
        ):
            self._placed[first : last + 1] = bytes([True]) * len(positions)
            return
        for position, labels in pending.items():
            try:
                self._stack.verifier.intensities(tiles[position], TileKey(*labels))
            except Exception as error:
                self._annotate(error, labels)
                raise
            self._placed[position] = True
