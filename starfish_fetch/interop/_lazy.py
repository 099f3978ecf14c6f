"""A 5-D image that fetches, when it is indexed, the tiles that the index touches."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from starfish_fetch.axes import PLANES, Axes, Extent, TileKey, tile_shape_of
from starfish_fetch.crop import CropParameters, Window
from starfish_fetch.errors import DataFormatWarning, note_tile
from starfish_fetch.interop._shared import SharedFetcher
from starfish_fetch.load import Loader
from starfish_fetch.plan import LoadPlan, parse_group_by
from starfish_fetch.verify import PhysicalCoordinates, TileVerifier, spread_of_z

__all__ = ["LazyImage"]

Positions = NDArray[np.intp]


class LazyImage:
    """An image as an array (r, c, z, y, x) without pixels in memory.

    Indexing is orthogonal: an int, slice, list or mask for each axis. Each index is a load of its
    own, with all that a load verifies; what all tiles have to agree on is verified across loads as
    well. A copy in another process compares with the image's first tile, of which one pixel is
    fetched when intensities are sent before any were computed.

    Parameters
    ----------
    shared : SharedFetcher
        Where the tiles come from.
    extent : Extent
        Labels, and the shape of whole tiles.
    group_by : iterable of Axes or str, optional
        The order of each load.
    crop_parameters : CropParameters, optional
        What to keep. Default: everything.
    dtype : dtype or None, optional
        ``numpy.float32``: intensities. Any other is the tiles' own, or what of their kind can hold
        all of them; tiles that it cannot hold are refused. None is that of the first tile, which
        is fetched to know it. Default: float32.

    Attributes
    ----------
    physical : PhysicalCoordinates
        As the first tile of each z-plane that says so has them.
    """

    ndim = 5

    def __init__(
        self,
        shared: SharedFetcher,
        extent: Extent,
        group_by: Iterable[Axes | str] | None = None,
        crop_parameters: CropParameters | None = None,
        dtype: DTypeLike | None = np.float32,
    ) -> None:
        crop = CropParameters() if crop_parameters is None else crop_parameters
        kept = [crop.labels(axis, extent.labels(axis)) for axis in PLANES]
        self.extent = extent.of(*kept)
        self.group_by = parse_group_by(group_by)
        self.window = crop.window(tile_shape_of(extent.tile_shape))
        self.shape = (*map(len, kept), *self.window.shape)
        self._shared = shared
        self._as_float = dtype is not None and np.dtype(dtype) == np.float32
        planes = len(kept[0]), len(kept[1]), len(kept[2])
        self._across = TileVerifier(tile_shape_of(extent.tile_shape), self.window, planes)
        with shared.turn:
            self.physical = self._coordinates()
        if dtype is None:
            self._note_first()
            (dtype,) = (one.newbyteorder("=") for one in self._across.dtypes)
        self.dtype = np.dtype(dtype)
        if self.dtype.kind not in "biuf":
            raise ValueError(f"dtype must be that of numbers, or None; got {dtype!r}")

    def __getstate__(self) -> dict[str, Any]:
        if self._as_float and not self._across.dtypes:
            # What is wrong with the tile, a task of its own says.
            with suppress(Exception):
                self._note_first()
        return vars(self)

    def _coordinates(self) -> PhysicalCoordinates:
        """Ask one tile of each z-plane, and where it does not say its z, the others."""
        rounds, chs, zplanes = (self.extent.labels(axis) for axis in PLANES)
        one_each = self.extent.of(rounds[:1], chs[:1], zplanes)
        physical = self._loader(one_each, self.window).coordinates()
        unsaid = np.isnan(physical.z)
        if unsaid.any() and len(rounds) * len(chs) > 1:
            others = self.extent.of(rounds, chs, [zplanes[i] for i in np.flatnonzero(unsaid)])
            physical.z[unsaid] = self._loader(others, self.window).coordinates().z
        return physical

    def _note_first(self) -> None:
        """Fetch one pixel of the first tile, to know its dtype."""
        first = self.extent.of(*(self.extent.labels(axis)[:1] for axis in PLANES))
        with self._shared.turn:
            loader = self._loader(first, Window(slice(0, 1), slice(0, 1)))
            loader.run()
        self._note(loader.dtypes)

    def _loader(self, extent: Extent, window: Window) -> Loader:
        return Loader(
            self._shared.fetcher,
            extent,
            window,
            group_by=self.group_by,
            dtype=np.float32 if self._as_float else None,
            workers=1,
        )

    @property
    def plan(self) -> LoadPlan:
        """Of a load of all of it; asks the fetcher to name its sources."""
        with self._shared.turn:
            return self._loader(self.extent, self.window).plan

    def __repr__(self) -> str:
        sizes = ", ".join(f"{axis}: {n}" for axis, n in zip("rczyx", self.shape, strict=True))
        return f"<LazyImage ({sizes}) of {self._shared.fetcher!r}>"

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("the pixels have to be fetched, which makes a copy")
        return self[...].astype(self.dtype if dtype is None else dtype, copy=False)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Fetch the tiles that an orthogonal index touches, and return what it selects."""
        keys = _for_each_axis(key, self.ndim)
        picked = [
            _positions(one, size, axis)
            for axis, (one, size) in enumerate(zip(keys, self.shape, strict=True))
        ]
        dropped = tuple(axis for axis, one in enumerate(keys) if _is_scalar(one))
        if all(map(len, picked)):
            pixels = self._fetch(picked)
        else:
            pixels = np.empty([len(one) for one in picked], self.dtype)
        return pixels.squeeze(axis=dropped)

    def _fetch(self, picked: Sequence[Positions]) -> NDArray[Any]:
        """Fetch each tile wanted once, within the smallest window, and put it in order."""
        wanted = [np.unique(one) for one in picked[:3]]
        labels = [
            [self.extent.labels(axis)[i] for i in positions]
            for axis, positions in zip(PLANES, wanted, strict=True)
        ]
        extent = self.extent.of(*labels)
        starts = [int(one.min()) for one in picked[3:]]
        window = self.window.within(
            *(
                slice(start, int(one.max()) + 1)
                for start, one in zip(starts, picked[3:], strict=True)
            )
        )
        with self._shared.turn:
            loader = self._loader(extent, window)
            pixels = loader.run()
            self._verify(loader, extent, starts)
        pixels = pixels.astype(self.dtype, copy=False)
        places = [np.searchsorted(had, one) for had, one in zip(wanted, picked, strict=False)]
        places += [one - start for start, one in zip(starts, picked[3:], strict=True)]
        for axis, place in enumerate(places):
            if not np.array_equal(place, np.arange(pixels.shape[axis])):
                pixels = np.take(pixels, place, axis=axis)
        return pixels

    def _verify(self, loader: Loader, extent: Extent, starts: Sequence[int]) -> None:
        """Compare a load with what the first tiles, the other loads and the caller have said."""
        rows, columns = loader.window.shape
        found = loader.coordinates()
        top, left = starts
        x, y = self.physical.x[left : left + columns], self.physical.y[top : top + rows]
        if not (np.array_equal(found.x, x) and np.array_equal(found.y, y)):
            error = ValueError("Tiles must be aligned")
            error.add_note(
                f"here x is {found.x[0]:g} to {found.x[-1]:g} and y {found.y[0]:g} to "
                f"{found.y[-1]:g}; in the first tile of the image the same pixels have x "
                f"{x[0]:g} to {x[-1]:g} and y {y[0]:g} to {y[-1]:g}"
            )
            first = TileKey(*(extent.labels(axis)[0] for axis in PLANES))
            note_tile(error, extent.fov, first)
            raise error
        for dtype, key in loader.dtypes.items():
            if not self._as_float and not (
                dtype.kind == self.dtype.kind and np.can_cast(dtype, self.dtype, "safe")
            ):
                wrong = TypeError(
                    f"the tiles are {dtype}, but the image was said to be {self.dtype}; give "
                    "a dtype of their kind that can hold all of them, or numpy.float32 for "
                    "intensities (C4)"
                )
                note_tile(wrong, extent.fov, key)
                raise wrong
        messages = self._note(loader.dtypes)
        kept = self.physical.z[[self.extent.zplanes.index(label) for label in extent.zplanes]]
        spread = np.nanmax(np.abs(found.z - kept), initial=0)
        if spread > 0:
            messages.append(spread_of_z(spread))
        for message in messages:
            warnings.warn(message, DataFormatWarning, stacklevel=2)

    def _note(self, dtypes: Mapping[np.dtype[Any], TileKey]) -> list[str]:
        """Compare dtypes with those of other loads; return what a load of all would warn of."""
        known = {dtype.itemsize for dtype in self._across.dtypes}
        for dtype, key in dtypes.items():
            try:
                self._across.dtype(dtype, key)
            except TypeError as error:
                note_tile(error, self.extent.fov, key)
                raise
        sizes = {dtype.itemsize for dtype in dtypes}
        # Of several sizes in one load, the load itself has warned.
        return self._across.precision() if known and len(sizes) == 1 and not sizes <= known else []


def _is_scalar(key: Any) -> bool:
    return not isinstance(key, slice) and np.ndim(key) == 0


def _for_each_axis(key: Any, ndim: int) -> list[Any]:
    keys = list(key) if isinstance(key, tuple) else [key]
    if (given := sum(one is not Ellipsis for one in keys)) > ndim:
        raise IndexError(f"{given} indices were given for {ndim} axes: r, c, z, y, x")
    ellipsis = next((number for number, one in enumerate(keys) if one is Ellipsis), len(keys))
    keys[ellipsis : ellipsis + 1] = [slice(None)] * (ndim - given)
    if any(one is Ellipsis or one is None for one in keys):
        raise IndexError(f"one '...' and no None may be in an index; got {key!r}")
    return keys


def _positions(key: Any, size: int, axis: int) -> Positions:
    every: Positions = np.arange(size)
    if isinstance(key, slice):
        return every[key]
    try:
        chosen: Positions = every[np.atleast_1d(np.asarray(key, None if np.size(key) else np.intp))]
    except IndexError as error:
        raise IndexError(
            f"{key!r} is no index of axis {'rczyx'[axis]!r}, which has {size} positions"
        ) from error
    return chosen
