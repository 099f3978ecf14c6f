"""A 5-D image that fetches, when it is indexed, the tiles that the index touches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from starfish_fetch.axes import PLANES, Axes, Extent, tile_shape_of
from starfish_fetch.crop import CropParameters, Window
from starfish_fetch.errors import note_tile
from starfish_fetch.interop._shared import SharedFetcher
from starfish_fetch.load import Loader
from starfish_fetch.plan import LoadPlan, parse_group_by
from starfish_fetch.verify import PhysicalCoordinates

__all__ = ["LazyImage"]

Positions = NDArray[np.intp]


class LazyImage:
    """An image as an array (r, c, z, y, x) without pixels in memory.

    Indexing is orthogonal: an int, slice, list or mask for each axis. Each index is a load of its
    own, with all that a load verifies; that x and y are the same for all tiles is verified across
    loads as well.

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
        ``numpy.float32``: intensities. Any other is the tiles' own, which are refused if it is
        not. None also is the tiles' own; one tile is fetched to know it. Default: float32.

    Attributes
    ----------
    physical : PhysicalCoordinates
        As the first tile of each z-plane has them.
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
        rounds, chs, zplanes = kept
        of_each_z = extent.of(rounds[:1], chs[:1], zplanes)
        with shared.turn:
            self.physical = self._loader(of_each_z, self.window).coordinates()
        if dtype is None:
            first = extent.of(rounds[:1], chs[:1], zplanes[:1])
            with shared.turn:
                dtype = self._loader(first, Window(slice(0, 1), slice(0, 1))).run().dtype
        self.dtype = np.dtype(dtype)
        if self.dtype.kind not in "biuf":
            raise ValueError(f"dtype must be that of numbers, or None; got {dtype!r}")

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
            self._verify(pixels, loader.coordinates(), extent, starts)
        places = [np.searchsorted(had, one) for had, one in zip(wanted, picked, strict=False)]
        places += [one - start for start, one in zip(starts, picked[3:], strict=True)]
        for axis, place in enumerate(places):
            if not np.array_equal(place, np.arange(pixels.shape[axis])):
                pixels = np.take(pixels, place, axis=axis)
        return pixels

    def _verify(
        self,
        pixels: NDArray[Any],
        found: PhysicalCoordinates,
        extent: Extent,
        starts: Sequence[int],
    ) -> None:
        """Compare a load with what the first tiles, and the caller, have said."""
        rows, columns = pixels.shape[3:]
        top, left = starts
        error: Exception | None = None
        x, y = self.physical.x[left : left + columns], self.physical.y[top : top + rows]
        if not (np.array_equal(found.x, x) and np.array_equal(found.y, y)):
            error = ValueError("Tiles must be aligned")
            error.add_note(
                f"here x is {found.x[0]:g} to {found.x[-1]:g} and y {found.y[0]:g} to "
                f"{found.y[-1]:g}; in the first tile of the image the same pixels have x "
                f"{x[0]:g} to {x[-1]:g} and y {y[0]:g} to {y[-1]:g}"
            )
        elif pixels.dtype != self.dtype:
            error = TypeError(
                f"the tiles are {pixels.dtype}, but the image was said to be {self.dtype}; give "
                "their own dtype, or numpy.float32 for intensities (C4)"
            )
        if error is not None:
            first = tuple(extent.labels(axis)[0] for axis in PLANES)
            note_tile(error, extent.fov, first)  # type: ignore[arg-type]
            raise error


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
