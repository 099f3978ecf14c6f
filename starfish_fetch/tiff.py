"""TiffTileFetcher: tiles out of TIFF files in any layout."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from starfish_fetch.axes import (
    PLANES,
    Axes,
    Coordinates,
    CoordinateValue,
    Extent,
    TileKey,
    tile_shape_of,
)
from starfish_fetch.contract import FetchedTile, RowReader, TileFetcher
from starfish_fetch.errors import note_tile
from starfish_fetch.layout import Layout
from starfish_fetch.tiff_file import TiffFiles

__all__ = ["TiffTileFetcher"]

_MAX_PATHS = 1 << 12

CoordinatesOfPlane = Callable[[int, int], Mapping[Coordinates, CoordinateValue]]


class TiffTile(FetchedTile):
    """One plane of a TIFF file."""

    __slots__ = ("_fetcher", "_fov", "_key", "_page", "_path")

    def __init__(
        self, fetcher: TiffTileFetcher, path: str, page: int, fov: int, key: TileKey
    ) -> None:
        self._fetcher = fetcher
        self._path = path
        self._page = page
        self._fov = fov
        self._key = key

    @property
    def shape(self) -> Mapping[Axes, int]:
        """Rows and columns, as the extent says; the file is compared with it when read."""
        return self._fetcher._shape.copy()

    @property
    def coordinates(self) -> Mapping[Coordinates, CoordinateValue]:
        """Physical position; see :class:`TiffTileFetcher`."""
        return self._fetcher._coordinates_of(self._fov, self._key.zplane)

    def tile_data(self) -> NDArray[Any]:
        """Read the plane, in the file's own dtype and byte order."""
        return self._read(slice(0, self._fetcher._tile_shape[0]))

    def tile_region(self, rows: slice, columns: slice) -> NDArray[Any]:
        """Read some rows of the plane, and keep some columns of them."""
        start, stop, _ = rows.indices(self._fetcher._tile_shape[0])
        return self._read(slice(start, max(start, stop)))[:: rows.step or 1, columns]

    def row_reader(self, rows: slice) -> RowReader | None:
        """Return a reader of some rows, if the file holds them uncompressed and in one piece."""
        try:
            return self._fetcher._files.row_reader(self._path, self._page, rows)
        except Exception as error:
            note_tile(error, self._fov, self._key, self._path)
            raise

    def _read(self, rows: slice) -> NDArray[Any]:
        try:
            return self._fetcher._files.read(self._path, self._page, rows)
        except Exception as error:
            note_tile(error, self._fov, self._key, self._path)
            raise


class TiffTileFetcher(TileFetcher):
    """Fetches tiles from TIFF files cut by any :class:`Layout`.

    Strips or tiles, any byte order, compressed or not, classic or BigTIFF; plain, ImageJ and OME
    files. Pages are taken in the order in which the file has them. Each header is parsed once,
    few files are open at a time, and pixels that lie in a file as they are, are read from their
    place, no more rows than asked for.

    Close it, or use it in a ``with`` statement, to close the files at once; otherwise they are
    closed when the fetcher is gone.

    Parameters
    ----------
    root : path
        The folder below which the layout's paths are.
    layout : Layout
        Which file, and which page in it, is which tile.
    extent : Extent
        Labels and tile shape. Labels beyond it are refused; another field of view is welcome if
        the layout's template names it.
    coordinates : mapping or callable, optional
        Physical coordinates of every tile, or a function ``(fov, zplane)`` that returns them.
        Default: pixels for x and y, the label for z.
    dtype : dtype, optional
        The dtype that the files must have. Default: whatever they have.

    Raises
    ------
    ValueError
        If the layout maps two tiles of the extent to one place.

    Examples
    --------
    >>> import numpy as np, tempfile, tifffile
    >>> import starfish_fetch as sf
    >>> extent = sf.Extent({"y": 4, "x": 6}, fov=0, rounds=[0, 1], chs=[0, 1], zplanes=[0])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for r in range(2):
    ...         tifffile.imwrite(f"{folder}/r{r}.tiff", np.full((2, 4, 6), r, np.uint8))
    ...     with sf.TiffTileFetcher(folder, sf.Layout("r{r}.tiff", inner="cz"), extent) as fetcher:
    ...         print(fetcher.get_tile(0, 1, 0, 0).tile_data().mean())
    1.0
    """

    thread_safe = True
    shares_sources = True
    _kind_of_files = TiffFiles

    def __init__(
        self,
        root: str | os.PathLike[str],
        layout: Layout,
        extent: Extent,
        *,
        coordinates: Mapping[Coordinates, CoordinateValue] | CoordinatesOfPlane | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:
        for _ in layout.files(extent):
            pass
        self.root = os.fspath(root)
        self.layout = layout
        self.extent = extent
        self._tile_shape = tile_shape_of(extent.tile_shape)
        self._shape = dict(extent.tile_shape)
        self._given_coordinates = coordinates
        self._known_coordinates: dict[tuple[int, int], dict[Coordinates, CoordinateValue]] = {}
        self._names_fov = "fov" in layout.fields
        self._prefix = os.path.join(self.root, "")
        self._splits = tuple(axis in layout.outer for axis in PLANES)
        self._paths: dict[tuple[int | None, ...], str] = {}
        self._page_of = _page_offsets(layout, extent)
        self._files = self._kind_of_files(
            self._tile_shape,
            layout.pages(extent),
            None if dtype is None else np.dtype(dtype),
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.root!r}, {self.layout!r})"

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        # What it was made of, and not what it has learned since.
        files = self._files.__getstate__()
        return type(self), self.root, self.layout, self.extent, self._given_coordinates, files

    def __enter__(self) -> TiffTileFetcher:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the files. Fetching opens them again."""
        self._files.close()

    def get_tile(self, fov_id: int, round_label: int, ch_label: int, zplane_label: int) -> TiffTile:
        """Return the tile with these labels; opens nothing.

        Raises
        ------
        ValueError
            If the extent does not have one of the labels.
        """
        path = self.source(fov_id, round_label, ch_label, zplane_label)
        of_round, of_ch, of_zplane = self._page_of
        page = of_round[round_label] + of_ch[ch_label] + of_zplane[zplane_label]
        return TiffTile(self, path, page, fov_id, TileKey(round_label, ch_label, zplane_label))

    def source(self, fov_id: int, round_label: int, ch_label: int, zplane_label: int) -> str:
        """Return the path of the file that holds the tile."""
        if not type(fov_id) is type(round_label) is type(ch_label) is type(zplane_label) is int:
            # Equal to a label, but perhaps printed otherwise: 1.0, True.
            labels = fov_id, round_label, ch_label, zplane_label
            fov_id, round_label, ch_label, zplane_label = map(operator.index, labels)
        of_round, of_ch, of_zplane = self._page_of
        if (
            round_label not in of_round
            or ch_label not in of_ch
            or zplane_label not in of_zplane
            or (fov_id != self.extent.fov and not self._names_fov)
        ):
            raise ValueError(
                f"there is no tile (fov={fov_id}, round={round_label}, ch={ch_label}, "
                f"zplane={zplane_label}): the extent has fov={self.extent.fov}, "
                f"rounds={self.extent.rounds}, chs={self.extent.chs}, "
                f"zplanes={self.extent.zplanes}"
            )
        by_round, by_ch, by_zplane = self._splits
        named = (
            fov_id,
            round_label if by_round else None,
            ch_label if by_ch else None,
            zplane_label if by_zplane else None,
        )
        path = self._paths.get(named)
        if path is None:
            if len(self._paths) >= _MAX_PATHS:
                self._paths.clear()
            path = self._prefix + self.layout.path(fov_id, round_label, ch_label, zplane_label)
            self._paths[named] = path
        return path

    def _coordinates_of(self, fov: int, zplane: int) -> dict[Coordinates, CoordinateValue]:
        known = self._known_coordinates.get((fov, zplane))
        if known is None:
            known = dict(self._derive_coordinates(fov, zplane))
            self._known_coordinates[fov, zplane] = known
        return known.copy()

    def _derive_coordinates(self, fov: int, zplane: int) -> Mapping[Coordinates, CoordinateValue]:
        given = self._given_coordinates
        if given is None:
            rows, columns = self._tile_shape
            return {
                Coordinates.X: (0.0, float(max(columns - 1, 1))),
                Coordinates.Y: (0.0, float(max(rows - 1, 1))),
                Coordinates.Z: float(zplane),
            }
        return given(fov, zplane) if callable(given) else given


def _page_offsets(layout: Layout, extent: Extent) -> tuple[dict[int, int], ...]:
    """Return, for r, c and z, what each label adds to the number of a tile's page."""
    strides = dict.fromkeys(PLANES, 0)
    stride = 1
    for axis in reversed(layout.inner):
        strides[axis] = stride
        stride *= len(extent.labels(axis))
    return tuple(
        {label: index * strides[axis] for index, label in enumerate(extent.labels(axis))}
        for axis in strides
    )
