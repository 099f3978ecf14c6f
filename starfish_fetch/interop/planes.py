"""Anything that yields planes, as a fetcher."""

from __future__ import annotations

import operator
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starfish_fetch.axes import PLANES, Axes, Coordinates, CoordinateValue, Extent, tile_shape_of
from starfish_fetch.contract import FetchedTile, TileFetcher
from starfish_fetch.errors import note_tile
from starfish_fetch.interop._axis_names import FOV
from starfish_fetch.interop._plane_files import reader_of
from starfish_fetch.interop._plane_readers import FunctionReader, PlaneReader

__all__ = ["PlaneFetcher", "as_fetcher"]

CoordinatesOfPlane = Callable[[int, int], Mapping[Coordinates, CoordinateValue]]
SourceOfTile = Callable[[int, int, int, int], Hashable]
Position = tuple[int, int, int, int]


class PlaneTile(FetchedTile):
    """One plane of what was given to :func:`as_fetcher`."""

    __slots__ = ("_fetcher", "_labels", "_position")

    def __init__(self, fetcher: PlaneFetcher, labels: Position, position: Position) -> None:
        self._fetcher = fetcher
        self._labels = labels
        self._position = position

    @property
    def shape(self) -> Mapping[Axes, int]:
        """Rows and columns, as the extent says."""
        return dict(self._fetcher.extent.tile_shape)

    @property
    def coordinates(self) -> Mapping[Coordinates, CoordinateValue]:
        """Physical position; see :func:`as_fetcher`."""
        return self._fetcher._coordinates_of(self._labels[0], self._labels[3])

    def tile_data(self) -> NDArray[Any]:
        """Return a copy of the plane."""
        rows, columns = tile_shape_of(self._fetcher.extent.tile_shape)
        return self.tile_region(slice(0, rows), slice(0, columns))

    def tile_region(self, rows: slice, columns: slice) -> NDArray[Any]:
        """Return a copy of part of the plane, reading no more where that is possible."""
        fetcher = self._fetcher
        try:
            plane = fetcher._reader.read(self._position, rows, columns)
            # Always a copy: of what is read, nobody knows who else holds it.
            return np.array(plane, order="C", subok=False)
        except Exception as error:
            fov, *key = self._labels
            note_tile(error, fov, tuple(key), fetcher.source(*self._labels))  # type: ignore[arg-type]
            raise


class PlaneFetcher(TileFetcher):
    """The planes of an array, a function or a reader; made by :func:`as_fetcher`.

    Attributes
    ----------
    extent : Extent
        Labels and tile shape of the first field of view.
    extents : tuple of Extent
        Of every field of view.
    axes : tuple of str
        Which of fov, r, c, z, y, x each dimension of the array was taken for; empty for a
        function.
    """

    def __init__(
        self,
        reader: PlaneReader,
        extents: tuple[Extent, ...],
        *,
        coordinates: Mapping[Coordinates, CoordinateValue] | CoordinatesOfPlane | None,
        source: SourceOfTile | None,
        thread_safe: bool | None,
    ) -> None:
        self.extents = extents
        self.extent = extents[0]
        self.axes = reader.axes
        self.thread_safe = reader.thread_safe if thread_safe is None else thread_safe
        self._reader = reader
        self._given_coordinates = coordinates
        self._given_source = source
        # Positions go by the labels as they were given, which need not ascend.
        self._positions = tuple(
            {label: number for number, label in enumerate(labels)} for labels in reader.labels
        )

    def __repr__(self) -> str:
        return f"<PlaneFetcher ({self._reader.kind}): {self.extent}>"

    def get_tile(
        self, fov_id: int, round_label: int, ch_label: int, zplane_label: int
    ) -> PlaneTile:
        """Return the tile with these labels, without reading its pixels.

        Raises
        ------
        ValueError
            If there is no such label.
        """
        labels = _as_ints(fov_id, round_label, ch_label, zplane_label)
        return PlaneTile(self, labels, self._position(labels))

    def source(
        self, fov_id: int, round_label: int, ch_label: int, zplane_label: int
    ) -> Hashable | None:
        """Name what the tile is read from: by the function given for it, or its file if known."""
        labels = _as_ints(fov_id, round_label, ch_label, zplane_label)
        if self._given_source is not None:
            return self._given_source(*labels)
        return self._reader.source(self._position(labels))

    def _position(self, labels: Position) -> Position:
        fov, r, c, z = self._positions
        try:
            return fov[labels[0]], r[labels[1]], c[labels[2]], z[labels[3]]
        except KeyError:
            raise ValueError(
                "there is no tile (fov={}, round={}, ch={}, zplane={}): ".format(*labels)
                + "there are fov={}, rounds={}, chs={}, zplanes={}".format(
                    *map(list, self._positions)
                )
            ) from None

    def _coordinates_of(self, fov: int, zplane: int) -> Mapping[Coordinates, CoordinateValue]:
        given = self._given_coordinates
        if given is not None:
            return dict(given(fov, zplane) if callable(given) else given)
        rows, columns = tile_shape_of(self.extent.tile_shape)
        derived: dict[Coordinates, CoordinateValue] = {
            Coordinates.X: (0.0, float(max(columns - 1, 1))),
            Coordinates.Y: (0.0, float(max(rows - 1, 1))),
            Coordinates.Z: float(zplane),
        }
        derived.update(self._reader.coordinates(self._positions[3][zplane]))
        return derived


def as_fetcher(
    planes: Any,
    *,
    axes: Iterable[Any] | Mapping[Any, Any] | None = None,
    labels: Mapping[Any, Iterable[int]] | None = None,
    extent: Extent | None = None,
    coordinates: Mapping[Coordinates, CoordinateValue] | CoordinatesOfPlane | None = None,
    source: SourceOfTile | None = None,
    thread_safe: bool | None = None,
) -> PlaneFetcher:
    """Return a fetcher of anything that yields planes, to load, check and profile it.

    Parameters
    ----------
    planes : callable, array or reader
        A function ``(fov, round, ch, zplane)`` that returns a plane; a numpy, dask, zarr or xarray
        array, or anything indexed like them; a ``tifffile.TiffFile``, one of its series, what its
        ``aszarr`` returns, or a ``tifffile.TiffSequence``; a ``pims.FramesSequenceND``. Files are
        closed by whoever opened them.
    axes : str, sequence of str or mapping, optional
        A name for each dimension in their order, such as ``"tczyx"``; or a mapping that renames
        some, as in ``{"hyb": "r"}``. Names are r, c, z, y, x, fov and what these are usually
        called: t and round for r, channel for c. Default: the array's own names; without names,
        5 dimensions are r, c, z, y, x, and 2 are y, x. For a sequence of files: those of the
        sequence, then those within each file.
    labels : mapping of axis to iterable of int, optional
        Labels along fov, r, c and z, one for each position; one label for an axis that the array
        does not have. Default: its integer coordinates, else 0 to n - 1.
    extent : Extent, optional
        Labels and tile shape of a function's planes, which cannot tell them; needed there only.
    coordinates : mapping or callable, optional
        Physical coordinates of every tile, or a function ``(fov, zplane)`` that returns them.
        Default: xc, yc and zc of an xarray; else pixels for x and y, the label for z.
    source : callable, optional
        Called with fov, round, ch and zplane, names what that tile is read from. Default: the file
        of a ``TiffSequence``, else unknown.
    thread_safe : bool, optional
        Whether planes may be read from several threads at once. Default: what is known; True for
        numpy, dask and zarr, and for an xarray in memory or of dask.

    Returns
    -------
    PlaneFetcher
        With its ``extent``, and ``extents`` where there are several fields of view.

    Raises
    ------
    TypeError
        If it is nothing of these, or its pixels are not numbers.
    ValueError
        If a dimension is no known axis, or labels do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> import starfish_fetch as sf
    >>> movie = np.random.default_rng(0).random((4, 3, 120, 30), np.float32)
    >>> fetcher = sf.as_fetcher(movie, axes="tcyx", labels={"c": [405, 488, 561]})
    >>> sf.ImageStack.from_tilefetcher(fetcher, **vars(fetcher.extent)).axis_labels("c")
    [405, 488, 561]

    A function; what it returns is checked like any fetcher's tiles.

    >>> from starfish_fetch.testing import check_fetcher
    >>> extent = sf.Extent({"y": 120, "x": 30}, fov=0, rounds=range(4), chs=range(3), zplanes=[0])
    >>> fetcher = sf.as_fetcher(lambda fov, r, c, z: movie[r, c], extent=extent)
    >>> check_fetcher(lambda: fetcher, extent, lambda r, c, z: movie[r, c]).ok
    True
    """
    if callable(planes) and not hasattr(planes, "shape"):
        if extent is None or axes is not None or labels is not None:
            raise TypeError(
                "a function cannot tell which planes it has: give extent=Extent(...), and neither "
                "axes nor labels"
            )
        reader: PlaneReader = FunctionReader(planes, extent)
    else:
        if extent is not None:
            raise TypeError("extent is for functions alone; name axes and labels instead")
        reader = reader_of(planes, axes, _labels_by_axis(labels))
    rows, columns = reader.tile_shape
    shape = {Axes.Y: rows, Axes.X: columns}
    return PlaneFetcher(
        reader,
        tuple(Extent(shape, fov, *map(tuple, reader.labels[1:])) for fov in reader.labels[0]),
        coordinates=coordinates,
        source=source,
        thread_safe=thread_safe,
    )


def _labels_by_axis(labels: Mapping[Any, Iterable[int]] | None) -> dict[str, list[int]]:
    given = {}
    for name, values in (labels or {}).items():
        axis = next((axis for axis in (FOV, *map(str, PLANES)) if axis == name), None)
        if axis is None:
            raise ValueError(f"labels are given along fov, r, c and z; got {name!r}")
        given[axis] = [operator.index(value) for value in values]
    return given


def _as_ints(*labels: Any) -> Position:
    return tuple(map(operator.index, labels))  # type: ignore[return-value]
