"""Images that bioio opens, as a fetcher."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starfish_fetch.axes import Axes, Coordinates, CoordinateValue, Extent, TileKey, tile_shape_of
from starfish_fetch.contract import FetchedTile, TileFetcher
from starfish_fetch.errors import SourceError, note_tile, require

__all__ = ["BioImageTileFetcher"]

CoordinatesOfPlane = Callable[[int, int], Mapping[Coordinates, CoordinateValue]]


class BioImageTile(FetchedTile):
    """One plane of an image that bioio has opened."""

    __slots__ = ("_fetcher", "_fov", "_key")

    def __init__(self, fetcher: BioImageTileFetcher, fov: int, key: TileKey) -> None:
        self._fetcher = fetcher
        self._fov = fov
        self._key = key

    @property
    def shape(self) -> Mapping[Axes, int]:
        """Rows and columns."""
        return dict(self._fetcher.extents[self._fov].tile_shape)

    @property
    def coordinates(self) -> Mapping[Coordinates, CoordinateValue]:
        """Physical position; see :class:`BioImageTileFetcher`."""
        return self._fetcher._coordinates_of(self._fov, self._key.zplane)

    @property
    def extras(self) -> Mapping[str, Any]:
        """The name of the channel."""
        return {"channel_name": self._fetcher._scenes[self._fov].channel_names[self._key.ch]}

    def tile_data(self) -> NDArray[Any]:
        """Read the plane, and no more than bioio has to."""
        fov, key = self._fov, self._key
        try:
            return self._fetcher._read(fov, key)
        except Exception as error:
            note_tile(error, fov, key, self._fetcher._path(key.round))
            raise


class _Scene:
    """One field of view, in one file or in one for each round."""

    def __init__(self, images: list[Any], number: int, paths: list[str]) -> None:
        self.arrays: list[Any] = []
        for image, path in zip(images, paths, strict=True):
            if number >= len(image.scenes):
                raise SourceError(
                    f"{path} has {len(image.scenes)} scenes, the first file has more; give files "
                    "of the same scenes"
                )
            image.set_scene(number)
            array = image.dask_data
            if array.ndim != 5:
                raise SourceError(
                    f"{path} has the axes {image.dims.order}; planes of T, C, Z are expected: read "
                    "it by as_fetcher, and say there which axis is which"
                )
            if self.arrays and (
                array.shape != self.arrays[0].shape or array.dtype != self.arrays[0].dtype
            ):
                raise SourceError(
                    f"{path} holds {array.dtype} of the shape {array.shape} (T, C, Z, Y, X); "
                    f"expected {self.arrays[0].dtype} of the shape {self.arrays[0].shape}, as "
                    f"{paths[0]} has"
                )
            self.arrays.append(array)
        first = images[0]
        first.set_scene(number)
        self.channel_names = tuple(map(str, first.channel_names))
        self.sizes = tuple(
            getattr(first.physical_pixel_sizes, axis) or 1.0 for axis in ("Z", "Y", "X")
        )
        self.corner, self.linked = _position(first, number)


class BioImageTileFetcher(TileFetcher):
    """Fetches tiles from images of microscopes, in any format that bioio has a plugin for.

    Time points are rounds, channels and z-planes are themselves, scenes are fields of view; labels
    are positions from 0. Files are opened when the fetcher is made, for what they say of
    themselves; pixels are read a plane at a time, as far as bioio's plugin can. Channel names are
    in the tiles' ``extras``. It is called by one thread at a time, because plugins differ in
    whether they allow more.

    Tested are OME-TIFF, with several scenes and linked files, and CZI of one scene. ND2 and LIF are
    not: nothing that can be had with a package writes them, or comes with a file of them.

    Parameters
    ----------
    images : path or mapping of int to path
        One file, or one with a single time point for each round, by the round's label.
    coordinates : mapping or callable, optional
        Physical coordinates of every tile, or a function ``(fov, zplane)`` that returns them.
        Default: the pixel sizes, from the stage position where OME metadata name it in
        micrometres.
    reader : type, optional
        The plugin's class ``Reader``, for files that several plugins read. Default: bioio's choice.

    Attributes
    ----------
    extent : Extent
        Of the first scene.
    extents : tuple of Extent
        Of every scene, which is its field of view.

    Raises
    ------
    MissingExtraError
        If bioio is not installed.
    SourceError
        If the files differ in their scenes, shape or dtype.

    Examples
    --------
    >>> import starfish_fetch as sf
    >>> fetcher = sf.BioImageTileFetcher({0: "hyb0.nd2", 1: "hyb1.nd2"})  # doctest: +SKIP
    >>> sf.ImageStack.from_tilefetcher(fetcher, **vars(fetcher.extent))  # doctest: +SKIP
    <starfish_fetch.ImageStack (r: 2, c: 3, z: 12, y: 2048, x: 2048)>
    """

    thread_safe = False

    def __init__(
        self,
        images: str | os.PathLike[str] | Mapping[int, str | os.PathLike[str]],
        *,
        coordinates: Mapping[Coordinates, CoordinateValue] | CoordinatesOfPlane | None = None,
        reader: type | None = None,
    ) -> None:
        by_round = isinstance(images, Mapping)
        paths = (
            {int(label): os.fspath(images[label]) for label in sorted(images)}
            if isinstance(images, Mapping)
            else {0: os.fspath(images)}
        )
        if not paths:
            raise ValueError("images is empty: give a path, or one for each round")
        opened = [_open(path, reader) for path in paths.values()]
        names = list(paths.values())
        self._scenes = tuple(_Scene(opened, n, names) for n in range(len(opened[0].scenes)))
        self._paths = paths
        self._by_round = by_round
        self._given_coordinates = coordinates
        extents = []
        for fov, scene in enumerate(self._scenes):
            times, chs, zplanes, rows, columns = scene.arrays[0].shape
            if by_round and times != 1:
                raise SourceError(
                    f"{names[0]} has {times} time points; of one file for each round, each has one"
                )
            rounds = tuple(paths) if by_round else tuple(range(times))
            shape = {Axes.Y: rows, Axes.X: columns}
            extents.append(Extent(shape, fov, rounds, tuple(range(chs)), tuple(range(zplanes))))
        self.extents = tuple(extents)
        self.extent = self.extents[0]
        self._row_of = {label: number for number, label in enumerate(paths)}

    def __repr__(self) -> str:
        return f"BioImageTileFetcher({self._paths if self._by_round else self._paths[0]!r})"

    def get_tile(
        self, fov_id: int, round_label: int, ch_label: int, zplane_label: int
    ) -> BioImageTile:
        """Return the tile with these labels, without reading its pixels.

        Raises
        ------
        ValueError
            If there is no such label.
        """
        extent = self.extents[fov_id] if 0 <= fov_id < len(self.extents) else None
        key = TileKey(round_label, ch_label, zplane_label)
        if extent is None or not (
            key.round in extent.rounds and key.ch in extent.chs and key.zplane in extent.zplanes
        ):
            raise ValueError(
                f"there is no tile (fov={fov_id}, round={key.round}, ch={key.ch}, "
                f"zplane={key.zplane}): fovs are 0 to {len(self.extents) - 1}, of the first "
                f"rounds={self.extent.rounds}, chs={self.extent.chs}, "
                f"zplanes={self.extent.zplanes}"
            )
        return BioImageTile(self, fov_id, key)

    def source(self, fov_id: int, round_label: int, ch_label: int, zplane_label: int) -> str | None:
        """Return the path of the file; None if it leads to others, which bioio does not name."""
        if 0 <= fov_id < len(self._scenes) and self._scenes[fov_id].linked:
            return None
        return self._path(round_label)

    def _path(self, round_label: int) -> str | None:
        return self._paths.get(round_label) if self._by_round else self._paths[0]

    def _read(self, fov: int, key: TileKey) -> NDArray[Any]:
        arrays = self._scenes[fov].arrays
        if self._by_round:
            plane = arrays[self._row_of[key.round]][0, key.ch, key.zplane]
        else:
            plane = arrays[0][key.round, key.ch, key.zplane]
        return np.array(plane.compute(scheduler="synchronous"), order="C")

    def _coordinates_of(self, fov: int, zplane: int) -> Mapping[Coordinates, CoordinateValue]:
        given = self._given_coordinates
        if given is not None:
            return dict(given(fov, zplane) if callable(given) else given)
        scene = self._scenes[fov]
        (depth, height, width), (z, y, x) = scene.sizes, scene.corner
        rows, columns = tile_shape_of(self.extents[fov].tile_shape)
        return {
            Coordinates.X: (x, x + width * max(columns - 1, 1)),
            Coordinates.Y: (y, y + height * max(rows - 1, 1)),
            Coordinates.Z: z + depth * zplane,
        }


def _open(path: str, reader: type | None) -> Any:
    try:
        from bioio import BioImage
    except ImportError:
        raise require("bioio", "bioio", "BioImageTileFetcher") from None
    if not os.path.exists(path) and "://" not in path:
        raise FileNotFoundError(2, os.strerror(2), path)
    try:
        return BioImage(path, reader=reader, chunk_dims=["Y", "X"])
    except TypeError:  # a plugin that has its own chunks
        return BioImage(path, reader=reader)


def _position(image: Any, number: int) -> tuple[tuple[float, float, float], bool]:
    """Return the corner (z, y, x) in micrometres, and whether planes lie in several files."""
    try:
        pixels = image.ome_metadata.images[number].pixels
    except Exception:  # many a plugin has none, each for its own reason
        return (0.0, 0.0, 0.0), False
    files = {block.uuid.file_name for block in pixels.tiff_data_blocks if block.uuid}
    plane = pixels.planes[0] if pixels.planes else None
    z, y, x = (
        float(getattr(plane, f"position_{axis}", None) or 0.0)
        if getattr(getattr(plane, f"position_{axis}_unit", None), "value", None) == "µm"
        else 0.0
        for axis in "zyx"
    )
    return (z, y, x), len(files) > 1
