"""ImageStack: a 5-D image (round, channel, z-plane, y, x), loaded when its pixels are asked for."""

from __future__ import annotations

import threading
import warnings
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any, SupportsIndex

import numpy as np
from numpy.typing import DTypeLike, NDArray

from starfish_fetch.axes import PLANES, Axes, Coordinates, Extent, TileKey, tile_shape_of
from starfish_fetch.crop import CropParameters
from starfish_fetch.errors import DataFormatWarning
from starfish_fetch.load import Loader, OnError
from starfish_fetch.plan import LoadPlan, parse_group_by
from starfish_fetch.progress import progress_bar
from starfish_fetch.selection import AXES, Picked, axis_of, nearest, pick, put, take
from starfish_fetch.verify import PhysicalCoordinates, verify_intensities

if TYPE_CHECKING:
    import pandas as pd
    import starfish
    import xarray as xr

__all__ = ["ImageStack"]

_AXIS_OF_COORDINATE = {
    Coordinates.Z: Axes.ZPLANE,
    Coordinates.Y: Axes.Y,
    Coordinates.X: Axes.X,
}


class ImageStack:
    """A 5-D image: imaging round, channel, z-plane, y, x.

    Made by :meth:`from_tilefetcher`, :meth:`from_numpy` or :meth:`from_xarray`. A stack from a
    fetcher touches no tile until pixels are asked of it, or :meth:`load` is called.
    """

    _array: NDArray[Any] | None
    _loader: Loader | None
    _labels: dict[Axes, tuple[int, ...]]
    _coordinates: PhysicalCoordinates | None
    _missing: tuple[TileKey, ...]
    _progress: bool
    _window_shape: tuple[int, int]
    _lock: threading.RLock

    def __init__(self) -> None:
        raise TypeError("use ImageStack.from_tilefetcher or ImageStack.from_numpy")

    @classmethod
    def _make(
        cls,
        labels: Mapping[Axes, Sequence[int]],
        shape: tuple[int, int],
        *,
        loader: Loader | None = None,
        array: NDArray[Any] | None = None,
        coordinates: PhysicalCoordinates | None = None,
        missing: Iterable[TileKey] = (),
        progress: bool = False,
    ) -> ImageStack:
        stack = object.__new__(cls)
        stack._labels = {axis: tuple(labels[axis]) for axis in PLANES}
        stack._window_shape = shape
        stack._loader = loader
        stack._array = array
        stack._coordinates = coordinates
        stack._missing = tuple(missing)
        stack._progress = progress
        stack._lock = threading.RLock()
        return stack

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=threading.RLock())

    def __copy__(self) -> ImageStack:
        """Share everything, and the lock: it guards the one load that both have."""
        stack = object.__new__(type(self))
        vars(stack).update(vars(self))
        return stack

    def __deepcopy__(self, memo: dict[int, Any]) -> ImageStack:
        """Copy pixels and state; the fetcher, which is not the stack's own, is shared."""
        with self._lock:
            loader, array = self._loader, self._array
            if array is None and loader is not None:
                loader = loader.narrowed(loader.extent, loader.window)
            return self._make(
                self._labels,
                self._window_shape,
                loader=loader,
                array=None if array is None else array.copy(),
                coordinates=self._coordinates,
                missing=self._missing,
                progress=self._progress,
            )

    @classmethod
    def from_tilefetcher(
        cls,
        tilefetcher: Any,
        tile_shape: Mapping[Axes, int],
        fov: int,
        rounds: Iterable[SupportsIndex],
        chs: Iterable[SupportsIndex],
        zplanes: Iterable[SupportsIndex],
        group_by: Iterable[Axes | str] | None = None,
        crop_parameters: CropParameters | None = None,
        *,
        dtype: DTypeLike | None = np.float32,
        workers: int | None = None,
        progress: bool = False,
        out: NDArray[Any] | None = None,
    ) -> ImageStack:
        """Describe an image that a fetcher provides; nothing is fetched yet.

        Parameters
        ----------
        tilefetcher : TileFetcher
            Anything with its ``get_tile``, called as ``get_tile(fov, round, ch, zplane)``.
        tile_shape : mapping of Axes to int
            Rows (y) and columns (x) of every tile.
        fov : int
            The field of view to ask for.
        rounds, chs, zplanes : iterable of int
            Labels, in any order; the stack keeps them ascending.
        group_by : iterable of Axes or str, optional
            The load order, slowest axis first; axes not named follow in the order r, c, z. A set
            is taken in that order too. Default: one source after another if the fetcher names its
            sources, else r, c, z.
        crop_parameters : CropParameters, optional
            What to keep. Default: everything.
        dtype : numpy.float32 or None, optional
            None keeps the tiles' own dtype. Default: float32, integers divided by their type's
            maximum.
        workers : int, optional
            Threads that fetch, for a fetcher that is ``thread_safe``; any other is called from
            one. Default: as many as the process may use CPUs.
        progress : bool, optional
            Show a progress bar on stderr while loading. Default: False.
        out : ndarray, optional
            A 5-D array or memmap of the right shape and dtype to load into. A selection made
            before the load does not use it.

        Returns
        -------
        ImageStack

        Raises
        ------
        ValueError
            If labels are empty or repeated, ``group_by`` is no order of r, c, z, the crop is not
            within the tile, or ``out`` does not fit.
        TypeError
            If labels or sizes are not ints.

        Examples
        --------
        See :class:`FetchedTile` for one that runs.
        """
        extent = Extent(tile_shape, fov, rounds, chs, zplanes)  # type: ignore[arg-type]
        crop = CropParameters() if crop_parameters is None else crop_parameters
        window = crop.window(tile_shape_of(extent.tile_shape))
        labels = {axis: crop.labels(axis, extent.labels(axis)) for axis in PLANES}
        kept = extent.of(*labels.values())
        loader = Loader(
            tilefetcher,
            kept,
            window,
            group_by=parse_group_by(group_by),
            dtype=dtype,
            out=out,
            workers=workers,
        )
        return cls._make(labels, window.shape, loader=loader, progress=progress)

    @classmethod
    def from_numpy(
        cls,
        array: NDArray[Any],
        index_labels: Mapping[Axes, Sequence[int]] | None = None,
        coordinates: Mapping[Coordinates, Sequence[float]] | None = None,
    ) -> ImageStack:
        """Make a stack of a copy of a 5-D array.

        Parameters
        ----------
        array : ndarray
            (r, c, z, y, x). Float32 within [0, 1] is kept; other dtypes are converted, with a
            warning.
        index_labels : mapping of Axes to sequence of int, optional
            Labels of r, c and z, one per position; the stack is sorted by them. Default: 0 to
            n - 1.
        coordinates : mapping of Coordinates to sequence of float, optional
            One value for each column (x), row (y) and z-plane (z). Default: 0 to 0.001 along each.

        Raises
        ------
        ValueError
            If the array is not 5-D or empty, its intensities leave [0, 1], or labels or
            coordinates are not as many as it needs.

        Warns
        -----
        DataFormatWarning
            If the array is not float32, or has NaN.

        Examples
        --------
        >>> import numpy as np
        >>> ImageStack.from_numpy(np.zeros((4, 3, 5, 120, 30), np.float32))
        <starfish_fetch.ImageStack (r: 4, c: 3, z: 5, y: 120, x: 30)>
        """
        from starfish_fetch.interop.numpy import parse_array

        pixels, labels, physical = parse_array(array, index_labels, coordinates, stacklevel=2)
        return cls._make(labels, pixels.shape[3:], array=pixels, coordinates=physical)

    @classmethod
    def from_xarray(cls, array: xr.DataArray) -> ImageStack:
        """Make a stack of a DataArray: the inverse of :attr:`xarray`.

        Parameters
        ----------
        array : xarray.DataArray
            Dimensions r, c, z, y, x in any order; r, c and z may be missing. Labels are the
            coordinates of r, c and z, physical coordinates are xc, yc and zc, with defaults as in
            :meth:`from_numpy`. Float32 within [0, 1] whose labels ascend shares its memory with
            the stack; anything else is copied.

        Raises
        ------
        ValueError
            If a dimension is another, or as :meth:`from_numpy`.
        TypeError
            If labels are not ints.

        Warns
        -----
        DataFormatWarning
            If the array is not float32, or has NaN.

        Examples
        --------
        >>> import numpy as np
        >>> stack = ImageStack.from_numpy(np.zeros((4, 3, 5, 120, 30), np.float32))
        >>> ImageStack.from_xarray(stack.xarray.sel(r=2))
        <starfish_fetch.ImageStack (r: 1, c: 3, z: 5, y: 120, x: 30)>
        """
        from starfish_fetch.interop.xarray import parse_dataarray

        pixels, labels, physical = parse_dataarray(array, stacklevel=2)
        return cls._make(labels, pixels.shape[3:], array=pixels, coordinates=physical)

    def load(
        self, *, on_error: OnError = "raise", fill_value: float = 0, progress: bool | None = None
    ) -> ImageStack:
        """Fetch every tile, if that has not been done; every accessor of pixels calls it.

        Parameters
        ----------
        on_error : {"raise", "fill"}, optional
            "fill" goes on past tiles that the fetcher raises an exception for, fills them with
            ``fill_value`` and lists them in :attr:`missing`. Default: "raise"; the load can be
            called again and does not repeat what it has.
        fill_value : number, optional
            Default: 0.
        progress : bool, optional
            Default: as given to :meth:`from_tilefetcher`.

        Returns
        -------
        ImageStack
            This one.

        Raises
        ------
        ValueError
            "Tiles must be aligned" if x and y differ between tiles; also for a shape other than
            declared, and for float intensities outside [0, 1].
        TypeError
            If dtypes are of different kinds, or a tile is not an array.
        Exception
            Whatever the fetcher raises, with a note that names the tile.

        Warns
        -----
        DataFormatWarning
            If dtypes differ in size, pixels are NaN, z differs within a z-plane, or tiles are
            missing.
        """
        self._load(on_error=on_error, fill_value=fill_value, progress=progress, stacklevel=2)
        return self

    def _load(
        self,
        *,
        on_error: OnError = "raise",
        fill_value: float = 0,
        progress: bool | None = None,
        stacklevel: int = 2,
    ) -> NDArray[Any]:
        with self._lock:
            if self._array is None:
                loader = self._loader
                assert loader is not None
                shown = self._progress if progress is None else progress
                with progress_bar(shown, "tiles", prod(self.raw_shape[:3])) as advance:
                    array = loader.run(
                        on_error=on_error,
                        fill_value=fill_value,
                        advance=advance,
                        stacklevel=stacklevel + 1,
                    )
                self._coordinates = loader.coordinates()
                self._missing = tuple(sorted(loader.failures))
                self._array = array
            return self._array

    @property
    def missing(self) -> tuple[TileKey, ...]:
        """The tiles that a load with ``on_error="fill"`` could not have, in the order r, c, z."""
        return self._missing

    @property
    def plan(self) -> LoadPlan:
        """Which tiles are loaded in which order, with the sources that the fetcher names.

        Raises
        ------
        ValueError
            If the stack does not come from a fetcher.
        """
        if self._loader is None:
            raise ValueError("this stack was not made from a fetcher: there is nothing to load")
        return self._loader.plan

    def __repr__(self) -> str:
        sizes = ", ".join(f"{axis}: {size}" for axis, size in self.shape.items())
        return f"<starfish_fetch.ImageStack ({sizes})>"

    def _repr_html_(self) -> str:
        from starfish_fetch.summary import html_summary

        return html_summary(self)

    def state(self) -> str:
        """Return in words whether the stack is loaded, and its size. Loads nothing.

        Examples
        --------
        >>> import numpy as np
        >>> ImageStack.from_numpy(np.zeros((2, 1, 1, 8, 8), np.float32)).state()
        'float32, 512 bytes, loaded'
        """
        array = self._array
        if array is not None:
            missing = f", {len(self._missing)} tiles missing" if self._missing else ""
            return f"{array.dtype}, {array.nbytes:,} bytes, loaded{missing}"
        assert self._loader is not None
        order = self._loader.group_by
        named = "the loader's own" if order is None else ", ".join(order) or "r, c, z"
        dtype = self._loader.dtype or "the tiles' own dtype"
        return f"{dtype}, not loaded, load order: {named}"

    @property
    def shape(self) -> OrderedDict[Axes, int]:
        """The length of each axis, in the order r, c, z, y, x."""
        return OrderedDict(zip(AXES, self.raw_shape, strict=True))

    @property
    def raw_shape(self) -> tuple[int, int, int, int, int]:
        """The length of each axis, as a tuple."""
        rounds, chs, zplanes = (len(self._labels[axis]) for axis in PLANES)
        return (rounds, chs, zplanes, *self._window_shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the pixels. Loads if only the tiles can tell."""
        if self._array is None and self._loader is not None:
            out = self._loader.out
            known = self._loader.dtype if out is None else out.dtype
            if known is not None:
                return known
        return self._load(stacklevel=3).dtype

    @property
    def num_rounds(self) -> int:
        """How many rounds there are."""
        return self.raw_shape[0]

    @property
    def num_chs(self) -> int:
        """How many channels there are."""
        return self.raw_shape[1]

    @property
    def num_zplanes(self) -> int:
        """How many z-planes there are."""
        return self.raw_shape[2]

    @property
    def tile_shape(self) -> tuple[int, int]:
        """Rows and columns of each tile, after cropping."""
        return self._window_shape

    def axis_labels(self, axis: Axes | str) -> list[int]:
        """Return the labels of an axis, ascending; positions for y and x."""
        return list(self._axis_labels()[axis_of(axis)])

    def _axis_labels(self) -> dict[Axes, Sequence[int]]:
        rows, columns = self._window_shape
        return {**self._labels, Axes.Y: range(rows), Axes.X: range(columns)}

    def to_numpy(self) -> NDArray[Any]:
        """Return the pixels (r, c, z, y, x), loading them if need be. Not a copy."""
        return self._load(stacklevel=3)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        array = self._load(stacklevel=3)
        if dtype is not None and array.dtype != np.dtype(dtype):
            if copy is False:
                raise ValueError(f"{array.dtype} cannot become {np.dtype(dtype)} without a copy")
            return array.astype(dtype)
        return array.copy() if copy else array

    def physical_coordinates(self) -> PhysicalCoordinates:
        """Return x of each column, y of each row and z of each z-plane.

        Before a load this asks every tile for its coordinates, and for nothing else.

        Raises
        ------
        ValueError
            "Tiles must be aligned" if x and y differ between tiles.
        """
        with self._lock:
            if self._coordinates is None:
                assert self._loader is not None
                self._coordinates = self._loader.coordinates()
            return self._coordinates

    @property
    def xarray(self) -> xr.DataArray:
        """The pixels as an :class:`xarray.DataArray` that shares their memory.

        Dimensions and index coordinates r, c, z, y, x; physical coordinates xc, yc, zc.

        Raises
        ------
        MissingExtraError
            Without xarray.
        """
        from starfish_fetch.interop.xarray import to_xarray

        self._load(stacklevel=3)
        return to_xarray(self)

    def to_starfish(self) -> starfish.ImageStack:
        """Return a starfish ImageStack that shares this one's memory.

        Raises
        ------
        MissingExtraError
            Without starfish.
        TypeError
            If the pixels are not float32.
        """
        from starfish_fetch.interop.starfish import to_starfish

        self._load(stacklevel=3)
        return to_starfish(self)

    @property
    def tile_metadata(self) -> pd.DataFrame:
        """A row for each tile: r, c, z, the tile's extras, and its barcode index.

        Asks the tiles for their extras, and for nothing else.

        Raises
        ------
        MissingExtraError
            Without pandas, which comes with xarray.
        ValueError
            If an extra is named r, c or z.
        """
        from starfish_fetch.interop.pandas import tile_metadata

        return tile_metadata(self)

    def tile_extras(self) -> dict[TileKey, Mapping[str, Any]]:
        """Return the extras of each tile, in the order r, c, z; none without a fetcher."""
        keys = LoadPlan(self._labels[Axes.ROUND], self._labels[Axes.CH], self._labels[Axes.ZPLANE])
        with self._lock:  # a fetcher that is not thread-safe is not called beside a load
            return {key: {} if self._loader is None else self._loader.extras(key) for key in keys}

    def sel(self, indexers: Mapping[Axes, Any]) -> ImageStack:
        """Select by label along r, c and z, and by position along y and x.

        Parameters
        ----------
        indexers : mapping of Axes to int, slice, tuple or list
            A tuple is a range like a slice, None leaves an end open. A range of labels includes
            both its ends; one of positions is half-open and may be negative. An int keeps its
            axis, with length 1.

        Returns
        -------
        ImageStack
            Before a load: one that will fetch no more than was selected. After: one that shares
            this one's memory where ranges alone are selected.

        Raises
        ------
        KeyError
            If a label does not exist.
        IndexError
            If a position does not exist.
        ValueError
            If nothing is selected, or an axis is unknown.

        Examples
        --------
        >>> import numpy as np
        >>> stack = ImageStack.from_numpy(np.zeros((4, 3, 5, 120, 30), np.float32))
        >>> stack.sel({Axes.ROUND: (1, None), Axes.CH: 0, Axes.Y: (-20, None)})
        <starfish_fetch.ImageStack (r: 3, c: 1, z: 5, y: 20, x: 30)>
        """
        return self._select(pick(indexers, self._axis_labels(), by_position=False))

    def isel(self, indexers: Mapping[Axes, Any]) -> ImageStack:
        """Select by position along every axis; ranges are half-open. Otherwise as :meth:`sel`.

        Examples
        --------
        >>> import numpy as np
        >>> stack = ImageStack.from_numpy(np.zeros((4, 3, 5, 120, 30), np.float32))
        >>> stack.isel({Axes.ROUND: -1, Axes.ZPLANE: (1, 3)})
        <starfish_fetch.ImageStack (r: 1, c: 3, z: 2, y: 120, x: 30)>
        """
        return self._select(pick(indexers, self._axis_labels(), by_position=True))

    def sel_by_physical_coords(self, indexers: Mapping[Coordinates, Any]) -> ImageStack:
        """Select by physical position: a value takes what lies nearest, a pair a range.

        Parameters
        ----------
        indexers : mapping of Coordinates to float or (float, float)
            The positions nearest to a pair are the ends of a half-open range; of equally near
            ones, the first.

        Raises
        ------
        ValueError
            If nothing is selected, or the tiles give no such coordinate.

        Examples
        --------
        >>> import numpy as np
        >>> stack = ImageStack.from_numpy(np.zeros((1, 1, 1, 11, 11), np.float32))
        >>> stack.sel_by_physical_coords({Coordinates.X: (0.0002, 0.0005), Coordinates.Y: 0.001})
        <starfish_fetch.ImageStack (r: 1, c: 1, z: 1, y: 1, x: 3)>
        """
        physical = self.physical_coordinates()
        values = dict(zip((Coordinates.X, Coordinates.Y, Coordinates.Z), physical, strict=True))
        positions: dict[Axes, Any] = {}
        for name, value in indexers.items():
            try:
                coordinate = Coordinates(name)
            except ValueError:
                raise ValueError(
                    f"unknown coordinate {name!r}; expected one of 'xc', 'yc', 'zc'"
                ) from None
            positions[_AXIS_OF_COORDINATE[coordinate]] = nearest(
                str(coordinate), values[coordinate], value
            )
        return self.isel(positions)

    def _select(self, picked: Mapping[Axes, Picked]) -> ImageStack:
        with self._lock:
            loader = self._loader if self._array is None else None
        all_labels = self._axis_labels()
        kept = {
            axis: np.asarray(labels)[picked[axis].positions].tolist() if axis in picked else labels
            for axis, labels in all_labels.items()
        }
        labels = {axis: kept[axis] for axis in PLANES}
        shape = len(kept[Axes.Y]), len(kept[Axes.X])
        if loader is not None:
            rows, columns = (
                picked[axis].window if axis in picked else slice(0, len(all_labels[axis]))
                for axis in (Axes.Y, Axes.X)
            )
            if rows is not None and columns is not None:
                extent = loader.extent.of(*labels.values())
                narrowed = loader.narrowed(extent, loader.window.within(rows, columns))
                return self._make(labels, shape, loader=narrowed, progress=self._progress)
        array = take(self._load(stacklevel=4), picked)
        x, y, z = self.physical_coordinates()
        along = ((x, Axes.X), (y, Axes.Y), (z, Axes.ZPLANE))
        coordinates = PhysicalCoordinates(
            *(value[picked[axis].positions] if axis in picked else value for value, axis in along)
        )
        selected = {axis: frozenset(labels[axis]) for axis in PLANES}
        missing = [
            key
            for key in self._missing
            if all(label in selected[axis] for label, axis in zip(key, PLANES, strict=True))
        ]
        loader = self._loader
        if loader is not None:
            extent = loader.extent.of(*labels.values())
            loader = loader.narrowed(extent, loader.window)
        return self._make(
            labels, shape, loader=loader, array=array, coordinates=coordinates, missing=missing
        )

    def get_slice(self, selector: Mapping[Axes, Any]) -> tuple[NDArray[Any], list[Axes]]:
        """Return part of the pixels, and the axes that it has before y and x.

        Parameters
        ----------
        selector : mapping of Axes to int, slice, tuple or list
            As for :meth:`sel`, but an int drops its axis.

        Returns
        -------
        ndarray
            Shares the stack's memory where ranges alone are selected.
        list of Axes
            Which of r, c, z it keeps.

        Examples
        --------
        >>> import numpy as np
        >>> stack = ImageStack.from_numpy(np.zeros((4, 3, 5, 120, 30), np.float32))
        >>> pixels, axes = stack.get_slice({Axes.ZPLANE: 4, Axes.CH: slice(1, 2)})
        >>> pixels.shape, axes
        ((4, 2, 120, 30), [<Axes.ROUND: 'r'>, <Axes.CH: 'c'>])
        """
        picked = pick(selector, self._axis_labels(), by_position=False)
        array = take(self._load(stacklevel=3), picked)
        dropped = tuple(
            number for number, axis in enumerate(AXES) if axis in picked and picked[axis].scalar
        )
        axes = [axis for number, axis in enumerate(PLANES) if number not in dropped]
        return array.squeeze(axis=dropped), axes

    def set_slice(
        self,
        selector: Mapping[Axes, Any],
        data: NDArray[Any],
        axes: Sequence[Axes] | None = None,
    ) -> None:
        """Write into part of the pixels.

        Parameters
        ----------
        selector : mapping of Axes to int, slice, tuple or list
            As for :meth:`get_slice`.
        data : ndarray
            Of the stack's dtype, float within [0, 1]; its last axes are y and x.
        axes : sequence of Axes, optional
            The order of the axes of ``data`` before y and x; needed where it has any.

        Raises
        ------
        TypeError
            If the dtype is another.
        ValueError
            If shape or axes do not fit, or intensities leave [0, 1].
        """
        picked = pick(selector, self._axis_labels(), by_position=False)
        array = self._load(stacklevel=3)
        if data.dtype != array.dtype:
            raise TypeError(
                f"the stack holds {array.dtype}, the data is {data.dtype}; convert it first "
                "(starfish_fetch.to_float32)"
            )
        if data.dtype.kind == "f" and data.size and verify_intensities(data):
            warnings.warn("the data has NaN pixels", DataFormatWarning, stacklevel=2)
        put(array, picked, data, [] if axes is None else [axis_of(axis) for axis in axes])
