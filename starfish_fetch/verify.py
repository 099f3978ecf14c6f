"""What every tile of one load must agree on, checked as the tiles come."""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import Mapping
from copy import copy
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from starfish_fetch.axes import Axes, Coordinates, TileKey
from starfish_fetch.crop import Window
from starfish_fetch.errors import DataFormatWarning
from starfish_fetch.intensity import intensity_range

__all__ = ["PhysicalCoordinates", "TileVerifier", "as_array", "spread_of_z", "verify_intensities"]

Pair = tuple[Any, Any]

# Looked up once: members of an enum are slow to reach, and this is done for every tile.
_X, _Y, _Z = Coordinates.X, Coordinates.Y, Coordinates.Z
_UNCHANGING = frozenset({tuple, float, int, type(None)})


class PhysicalCoordinates(NamedTuple):
    """Where the pixels of a stack lie."""

    x: NDArray[np.float64]
    """Of each column."""
    y: NDArray[np.float64]
    """Of each row."""
    z: NDArray[np.float64]
    """Of each z-plane; NaN where no tile says."""


def as_array(data: Any) -> NDArray[Any]:
    """Return what ``tile_data`` returned as a plain ndarray.

    Raises
    ------
    TypeError
        If it is not an array of any kind.
    """
    if not hasattr(data, "__array__") or not hasattr(data, "dtype"):
        raise TypeError(
            f"tile_data() returned a {type(data).__name__}; expected a 2-D numpy.ndarray (C3)"
        )
    return np.asarray(data)


def verify_intensities(pixels: NDArray[Any]) -> bool:
    """Raise ValueError if float intensities leave [0, 1]; return whether some are NaN."""
    found = intensity_range(pixels)
    if found is None:
        return False
    lowest, highest, has_nan = found
    if lowest < 0 or highest > 1:
        raise ValueError(
            f"intensities must lie within [0, 1]; these reach from {lowest!r} to {highest!r}. "
            "Integers must not be negative; floats are to be divided by one number for all tiles"
        )
    return has_nan


def spread_of_z(spread: float) -> str:
    """Return what is to be said where a z-plane's tiles do not agree on its position."""
    return (
        f"z-plane coordinates differ between rounds or channels by up to {spread:g} (C8); "
        "those of the first round and channel are kept"
    )


class TileVerifier:
    """Compares each tile of a load with what was declared and with the tiles before it.

    Safe from several threads.

    Parameters
    ----------
    tile_shape : (int, int)
        Rows and columns of whole tiles, as declared.
    window : Window
        The rows and columns that are kept.
    planes : (int, int, int)
        How many rounds, channels and z-planes there are.
    """

    def __init__(
        self, tile_shape: tuple[int, int], window: Window, planes: tuple[int, int, int]
    ) -> None:
        self._tile_shape = tile_shape
        self._window = window
        self._planes = planes
        self._z = np.full(prod(planes), np.nan)
        self._seen: dict[int, tuple[tuple[Any, Any, Any], float]] = {}
        self._xy: tuple[Pair, Pair, TileKey] | None = None
        self._dtypes: dict[np.dtype[Any], TileKey] = {}
        self._nan_tiles: list[TileKey] = []
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {name: copy(value) for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=threading.Lock())

    def declared(self, shape: Mapping[Axes, int]) -> None:
        """Raise ValueError unless a tile's shape is that declared for the stack (C2)."""
        try:
            said = shape[Axes.Y], shape[Axes.X]
        except (KeyError, TypeError, IndexError):
            raise ValueError(
                f"the tile's shape is {shape!r}; expected a mapping with the keys 'y' and 'x'"
            ) from None
        if said != self._tile_shape:
            raise ValueError(
                f"the tile's shape is {said} (rows, columns), but {self._tile_shape} was declared "
                "for the stack (C2); correct one of them"
            )

    def pixels(self, data: NDArray[Any], expected: tuple[int, int]) -> None:
        """Raise ValueError unless pixels are 2-D and of the shape expected (C2, C3)."""
        if data.ndim != 2:
            raise ValueError(
                f"the tile returned {data.ndim} dimensions of shape {data.shape}; expected 2, "
                "rows then columns (C3)"
            )
        if data.shape != expected:
            raise ValueError(
                f"the tile returned the shape {data.shape} (rows, columns); expected {expected} "
                "(C2)"
            )

    def coordinates(
        self, coordinates: Mapping[Coordinates, Any], position: int, labels: tuple[int, int, int]
    ) -> None:
        """Note a tile's z, and raise ValueError unless its x and y are those of the others."""
        try:
            given = coordinates[_X], coordinates[_Y], coordinates.get(_Z)
        except (KeyError, TypeError, AttributeError):
            raise ValueError(
                f"the tile's coordinates are {coordinates!r}; expected a mapping with 'xc' and "
                "'yc' (C8)"
            ) from None
        seen = self._seen.get(labels[2])
        try:
            if seen is not None and seen[0] == given:
                self._z[position] = seen[1]
                return
        except ValueError:  # arrays do not compare to one answer
            pass
        key = TileKey(*labels)
        x, y = _pair("xc", given[0]), _pair("yc", given[1])
        z = _z_of(given[2])
        with self._lock:
            if self._xy is None:
                self._xy = x, y, key
        if (x, y) != self._xy[:2]:
            error = ValueError("Tiles must be aligned")
            error.add_note(_misalignment((x, y, key), self._xy))
            raise error
        self._z[position] = z
        # Only what cannot be changed in place later is worth comparing with.
        if type(given[0]) is type(given[1]) is tuple and type(given[2]) in _UNCHANGING:
            self._seen[key.zplane] = given, z

    def dtype(self, dtype: np.dtype[Any], key: TileKey) -> None:
        """Raise TypeError unless a dtype is a number's, of the kind of all before (C3, C4)."""
        if dtype.kind not in "biuf":
            raise TypeError(f"tile_data() returned {dtype}; expected numbers (C3)")
        with self._lock:
            for other, first in self._dtypes.items():
                if other.kind != dtype.kind:
                    raise TypeError(
                        f"All tiles should have the same kind of dtype: {dtype} here, {other} in "
                        f"{_named(first)} (C4)"
                    )
            self._dtypes.setdefault(dtype, key)

    @property
    def dtypes(self) -> Mapping[np.dtype[Any], TileKey]:
        """The dtypes that tiles had so far, each with the first tile that had it."""
        return dict(self._dtypes)

    def precision(self) -> list[str]:
        """Return what is to be said if tiles of one kind differ in size, else nothing."""
        if len({dtype.itemsize for dtype in self._dtypes}) <= 1:
            return []
        tiles = "; ".join(f"{dtype} in {_named(key)}" for dtype, key in self._dtypes.items())
        return [f"Not all tiles have the same precision (C4): {tiles}"]

    def intensities(self, pixels: NDArray[Any], key: TileKey) -> None:
        """Raise ValueError if intensities leave [0, 1]; note the tile if they have NaN."""
        if verify_intensities(pixels):
            with self._lock:
                self._nan_tiles.append(key)

    def physical(self) -> PhysicalCoordinates:
        """Return the coordinates that the tiles seen so far agree on."""
        assert self._xy is not None
        x, y, _ = self._xy
        rows, columns = self._tile_shape
        z = np.full(self._planes[2], np.nan)
        # The first of each z-plane in the order r, c, whatever the order of loading was.
        for number in range(len(z)):
            stated = self._z[number :: len(z)]
            stated = stated[~np.isnan(stated)]
            if len(stated):
                z[number] = stated[0]
        return PhysicalCoordinates(
            np.linspace(*x, columns)[self._window.columns],
            np.linspace(*y, rows)[self._window.rows],
            z,
        )

    def warn(self, stacklevel: int) -> None:
        """Say what the tiles differ in that does not keep them from being loaded."""
        messages = self.precision()
        if self._nan_tiles:
            messages.append(
                f"{len(self._nan_tiles)} tiles have NaN pixels; the first is "
                f"{_named(min(self._nan_tiles))}"
            )
        spread = np.nanmax(np.abs(self._z.reshape(self._planes) - self.physical().z), initial=0)
        if spread > 0:
            messages.append(spread_of_z(spread))
        for message in messages:
            warnings.warn(message, DataFormatWarning, stacklevel=stacklevel + 1)


def _named(key: TileKey) -> str:
    return f"tile (round={key.round}, ch={key.ch}, zplane={key.zplane})"


def _pair(name: str, value: Any) -> Pair:
    try:
        first, last = value
        finite = math.isfinite(first) and math.isfinite(last)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(
            f"the coordinate {name!r} is {value!r}; expected the pair (first, last) (C8)"
        ) from None
    if not finite:
        raise ValueError(f"the coordinate {name!r} is {value!r}; expected finite numbers (C8)")
    # Of the type that was given, which decides how numpy.linspace rounds; but it takes no int of
    # more than 64 bits.
    return (
        float(first) if isinstance(first, int) else first,
        float(last) if isinstance(last, int) else last,
    )


def _z_of(value: Any) -> float:
    """Return the middle of a z range, computed as starfish does, to the bit."""
    if value is None:
        return math.nan
    try:
        if isinstance(value, tuple | list | np.ndarray) and np.ndim(value):
            first, last = value
            value = (last - first) / 2 + first
        z = float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(
            f"the coordinate 'zc' is {value!r}; expected a number or a pair (C8)"
        ) from None
    if math.isinf(z):
        raise ValueError(f"the coordinate 'zc' is {value!r}; expected finite numbers (C8)")
    return z


def _misalignment(here: tuple[Pair, Pair, TileKey], first: tuple[Pair, Pair, TileKey]) -> str:
    differences = [
        f"{name} is {mine} instead of {theirs}, off by "
        f"({mine[0] - theirs[0]:g}, {mine[1] - theirs[1]:g})"
        for name, mine, theirs in zip(("xc", "yc"), here[:2], first[:2], strict=True)
        if mine != theirs
    ]
    return f"{_named(here[2])} against {_named(first[2])}: {'; '.join(differences)}"
