"""Puts the pixels of tiles where they belong in a stack."""

from __future__ import annotations

import threading
from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starfish_fetch.axes import TileKey
from starfish_fetch.contract import RowReader
from starfish_fetch.helper import Helper
from starfish_fetch.intensity import converter, copy_into
from starfish_fetch.verify import TileVerifier

__all__ = ["Place", "Placer", "StackArray", "WiderDtypeError"]

Place = tuple[int, ...]
Convert = Callable[[NDArray[Any], NDArray[Any]], object]

# What is read before it is converted. Smaller blocks would stay in a nearer cache, but two threads
# then spend more time on handing each other the interpreter than they gain.
_BLOCK_BYTES = 1 << 22
# Below this, waking another thread takes longer than converting.
_WORTH_HALVING = 1 << 20


class WiderDtypeError(Exception):
    """Tiles that do not fit the array that an earlier tile's dtype made; they come along."""

    def __init__(self, dtype: np.dtype[Any], tiles: dict[Place, NDArray[Any]]) -> None:
        super().__init__(dtype)
        self.dtype = dtype
        self.tiles = tiles


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
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_lock"}

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
            if self.dtype is None and not np.can_cast(dtype, self.array.dtype, "safe"):
                if self.out is not None:
                    raise TypeError(f"out is {self.out.dtype}, which cannot hold {dtype}")
                raise WiderDtypeError(dtype, {})
            return self.array

    def widen(self, wider: WiderDtypeError) -> None:
        """Make room for tiles of greater precision."""
        assert self.array is not None
        self.array = self.array.astype(np.result_type(self.array.dtype, wider.dtype))

    def fill(self, placed: NDArray[np.bool_], fill_value: float) -> None:
        """Write a value wherever no tile is.

        Raises
        ------
        ValueError
            If the dtype does not have it.
        """
        assert self.array is not None
        try:
            with np.errstate(all="raise"):
                value = np.asarray(fill_value).astype(self.array.dtype)
            exact = value == fill_value or fill_value != fill_value
        except (OverflowError, FloatingPointError, TypeError, ValueError):
            exact = False
        if not exact:
            raise ValueError(f"fill_value={fill_value!r} is no {self.array.dtype}")
        for place, there in np.ndenumerate(placed):
            if not there:
                self.array[place] = value


class Placer:
    """Puts tiles into the array of a stack, for one thread.

    Parameters
    ----------
    stack : StackArray
        Where to.
    helper : Helper, optional
        A second thread, to place large tiles with.
    """

    def __init__(self, stack: StackArray, helper: Helper | None = None) -> None:
        self._stack = stack
        self._helper = helper
        self._array: NDArray[Any] | None = None
        self._convert: Convert = copy_into
        self._verify_range = False
        self._block: NDArray[Any] | None = None
        self.dtype: np.dtype[Any] | None = None
        """Of the tile before; :meth:`accept` any other before it is placed."""

    def accept(self, dtype: np.dtype[Any], key: TileKey) -> None:
        """Prepare for tiles of a dtype.

        Raises
        ------
        TypeError
            If it is of another kind than that of the tiles before, or ``out`` cannot hold it.
        """
        array = self._array = self._stack.accept(dtype, key)
        keeps_dtype = self._stack.dtype is None
        self._convert = copy_into if keeps_dtype else converter(dtype)
        if self._helper is not None and prod(array.shape[3:]) * array.itemsize >= _WORTH_HALVING:
            self._convert = self._helper.halving(self._convert)
        self._verify_range = dtype.kind in ("f" if keeps_dtype else "fi")
        self.dtype = dtype

    def place(self, data: NDArray[Any], place: Place, key: TileKey) -> None:
        """Convert the pixels of a tile into their place."""
        assert self._array is not None
        destination = self._array[place]
        self._convert(data, destination)
        if self._verify_range:
            self._stack.verifier.intensities(destination, key)

    def read(self, reader: RowReader, place: Place) -> None:
        """Read the pixels of a tile into their place, without a copy of the whole tile between."""
        assert self._array is not None
        destination = self._array[place]
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

    def verify_range(self, place: Place, key: TileKey) -> None:
        """Raise ValueError if a tile that was read leaves [0, 1]."""
        if self._verify_range:
            assert self._array is not None
            self._stack.verifier.intensities(self._array[place], key)
