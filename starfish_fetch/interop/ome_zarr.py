"""OmeZarrTileFetcher: tiles out of OME-Zarr."""

from __future__ import annotations

import operator
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starfish_fetch.axes import Axes, Coordinates, CoordinateValue, Extent, TileKey
from starfish_fetch.contract import FetchedTile, TileFetcher
from starfish_fetch.errors import SourceError, note_tile
from starfish_fetch.interop._ome_zarr_group import KEY, load_zarr, store_of
from starfish_fetch.interop._ome_zarr_json import ImageRecord, collection_of, image_of

__all__ = ["OmeZarrTileFetcher"]


class OmeZarrTile(FetchedTile):
    """One plane of an OME-Zarr image."""

    __slots__ = ("_fetcher", "_fov", "_key")

    def __init__(self, fetcher: OmeZarrTileFetcher, fov: int, key: TileKey) -> None:
        self._fetcher = fetcher
        self._fov = fov
        self._key = key

    @property
    def shape(self) -> Mapping[Axes, int]:
        """Rows and columns."""
        return dict(self._fetcher._image(self._fov).extent.tile_shape)

    @property
    def coordinates(self) -> Mapping[Coordinates, CoordinateValue]:
        """Physical position: as it was given to :func:`to_ome_zarr`, else by scale and origin."""
        return dict(self._fetcher._image(self._fov).positions[self._key.zplane])

    @property
    def extras(self) -> Mapping[str, Any]:
        """What else was said of the tile."""
        return dict(self._fetcher._image(self._fov).extras.get(self._key, {}))

    def tile_data(self) -> NDArray[Any]:
        """Read the plane.

        Raises
        ------
        SourceError
            If a chunk cannot be decoded, or is not there though :func:`to_ome_zarr` wrote it.
        """
        return self._read(slice(None), slice(None))

    def tile_region(self, rows: slice, columns: slice) -> NDArray[Any]:
        """Read the chunks that hold part of the plane."""
        return self._read(rows, columns)

    def _read(self, rows: slice, columns: slice) -> NDArray[Any]:
        try:
            return self._fetcher._read(self._fov, self._key, rows, columns)
        except Exception as error:
            note_tile(error, self._fov, self._key, self._fetcher.source(self._fov, *self._key))
            raise


class OmeZarrTileFetcher(TileFetcher):
    """Fetches tiles from OME-Zarr 0.4 or 0.5 in a folder, by whomever it was written.

    Rounds are the time axis. What :func:`to_ome_zarr` wrote comes with its labels and
    coordinates; of others, labels count from 0, and coordinates follow from scale and
    translation. The finest resolution is read.

    Parameters
    ----------
    root : path
        The folder of an image, or of a collection (bioformats2raw layout), in which each image is
        a field of view.

    Attributes
    ----------
    extent : Extent
        Labels and tile shape of the first field of view.
    fovs : tuple of int
        Labels of the fields of view.

    Raises
    ------
    MissingExtraError
        Without zarr.
    OSError
        If there is no such image.
    ValueError
        If its attributes are not what they should be; the message names the field.

    Examples
    --------
    >>> import tempfile
    >>> import starfish_fetch as sf
    >>> import synth
    >>> spec = synth.Spec(rounds=2, chs=3, zplanes=1, tile_shape=(8, 6))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     data = synth.write(spec, sf.Layout.per_round(), f"{folder}/tiffs")
    ...     _ = sf.to_ome_zarr(data.fetcher(), data.extent(), f"{folder}/image.zarr")
    ...     fetcher = sf.OmeZarrTileFetcher(f"{folder}/image.zarr")
    ...     pixels = fetcher.get_tile(0, 1, 2, 0).tile_data()
    >>> (pixels == data.tile(1, 2, 0)).all()
    np.True_
    """

    thread_safe = True
    shares_sources = True

    def __init__(self, root: str | os.PathLike[str]) -> None:
        load_zarr()
        self.root = os.path.abspath(os.fspath(root))
        names = collection_of(Path(self.root))
        groups = [Path(self.root)] if names is None else [Path(self.root, name) for name in names]
        images = [image_of(group, number) for number, group in enumerate(groups)]
        self._images = {image.extent.fov: image for image in images}
        if len(self._images) < len(images):
            raise ValueError(f"{self.root}: two images have the field {KEY}.fov in common")
        self._arrays: dict[int, Any] = {}
        self.fovs = tuple(sorted(self._images))
        self.extent = self.extent_of(self.fovs[0])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.root!r})"

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_arrays": {}}

    def extent_of(self, fov: int) -> Extent:
        """Return the labels and the tile shape of a field of view."""
        return self._image(fov).extent

    def get_tile(
        self, fov_id: int, round_label: int, ch_label: int, zplane_label: int
    ) -> OmeZarrTile:
        """Return the tile with these labels; opens nothing.

        Raises
        ------
        ValueError
            If the image does not have one of the labels.
        """
        labels = fov_id, round_label, ch_label, zplane_label
        fov, *key = map(operator.index, labels)
        self._place(fov, TileKey(*key))
        return OmeZarrTile(self, fov, TileKey(*key))

    def source(self, fov_id: int, round_label: int, ch_label: int, zplane_label: int) -> str:
        """Return the path of the file that holds the tile, or of the folder of its chunks."""
        labels = fov_id, round_label, ch_label, zplane_label
        fov, *key = map(operator.index, labels)
        return self._image(fov).source(self._place(fov, TileKey(*key)))

    def _image(self, fov: int) -> ImageRecord:
        try:
            return self._images[fov]
        except KeyError:
            raise ValueError(
                f"{self.root} has no field of view {fov}; it has {self.fovs}"
            ) from None

    def _place(self, fov: int, key: TileKey) -> tuple[int, int, int]:
        image = self._image(fov)
        rounds, chs, zplanes = image.places
        try:
            return rounds[key.round], chs[key.ch], zplanes[key.zplane]
        except KeyError:
            extent = image.extent
            raise ValueError(
                f"there is no tile (fov={fov}, round={key.round}, ch={key.ch}, "
                f"zplane={key.zplane}): the image has rounds={extent.rounds}, chs={extent.chs}, "
                f"zplanes={extent.zplanes}"
            ) from None

    def _read(self, fov: int, key: TileKey, rows: slice, columns: slice) -> NDArray[Any]:
        image = self._image(fov)
        place = self._place(fov, key)
        array = self._arrays.get(fov)
        if array is None:
            array = self._arrays[fov] = self._open(image)
        try:
            pixels = array[(*image.index(place), rows, columns)]
        except (OSError, SourceError):
            raise
        except Exception as error:
            if isinstance(error.__context__, KeyboardInterrupt):
                # It came while zarr waited for its threads, whose lock then fails in its stead.
                raise error.__context__ from None
            raise SourceError(
                f"{image.source(place)} cannot be read: {type(error).__name__}: {error!s:.500}"
            ) from error
        return np.asarray(pixels)

    def _open(self, image: ImageRecord) -> Any:
        path = image.array
        try:
            return load_zarr().open_array(store_of(path, whole=image.own), mode="r")
        except OSError:
            raise
        except Exception as error:
            raise SourceError(
                f"{path} is no array: {type(error).__name__}: {error!s:.500}"
            ) from error
