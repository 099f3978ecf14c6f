"""SpaceTxTileFetcher: tiles out of an experiment in SpaceTx format, starfish's own."""

from __future__ import annotations

import hashlib
import operator
import os
import stat
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starfish_fetch.axes import Axes, Coordinates, CoordinateValue, Extent, TileKey
from starfish_fetch.contract import FetchedTile, TileFetcher
from starfish_fetch.errors import SourceError, note_tile
from starfish_fetch.interop._spacetx_json import (
    Folder,
    TileRecord,
    fov_tiles,
    image_fovs,
    images_of,
)
from starfish_fetch.interop._spacetx_tiles import decode
from starfish_fetch.open_file import read_whole

__all__ = ["SpaceTxTileFetcher"]

# What a tile file may hold beside 16 bytes for each pixel: a header, a description.
_LARGEST_HEADER = 1 << 20
_LARGEST_TILE = 1 << 34


class SpaceTxTile(FetchedTile):
    """One tile file of an experiment."""

    __slots__ = ("_fetcher", "_fov", "_key", "_record")

    def __init__(
        self, fetcher: SpaceTxTileFetcher, fov: int, key: TileKey, record: TileRecord
    ) -> None:
        self._fetcher = fetcher
        self._fov = fov
        self._key = key
        self._record = record

    @property
    def shape(self) -> Mapping[Axes, int]:
        """Rows and columns, as the document says; where it does not, the file is read."""
        rows, columns = self._record.shape or self.tile_data().shape
        return {Axes.Y: rows, Axes.X: columns}

    @property
    def coordinates(self) -> Mapping[Coordinates, CoordinateValue]:
        """Physical position, as the document says."""
        return dict(self._record.coordinates)

    @property
    def extras(self) -> Mapping[str, Any]:
        """What else the document says of the tile."""
        return dict(self._record.extras)

    def tile_data(self) -> NDArray[Any]:
        """Read the file, and compare it with its digest.

        Raises
        ------
        SourceError
            If it is another file than was written, or no tile.
        """
        try:
            return self._fetcher._read(self._record)
        except Exception as error:
            note_tile(error, self._fov, self._key, self._record.path)
            raise


class SpaceTxTileFetcher(TileFetcher):
    """Fetches tiles from an experiment in SpaceTx format, by whomever it was written.

    Experiments of versions 4 and 5 are read, from files. Every tile file is compared with its
    SHA-256 whenever it is read.

    Parameters
    ----------
    experiment : path
        The ``experiment.json``, or the folder that holds one.
    image : str, optional
        Which image: "primary", "nuclei", ... Default: "primary".
    verify : bool, optional
        Compare files with their digests. Default: True.
    allow_outside : bool, optional
        Read files outside of the experiment's folder if its documents name them. Default: False.

    Attributes
    ----------
    extent : Extent
        Labels and tile shape of the first field of view.
    fovs : tuple of int
        Labels of the fields of view: the numbers at the end of their names, or where names have
        none, their places in the order of names.
    fov_names : dict of int to str
        What the experiment calls them.

    Raises
    ------
    OSError
        If a document is not there.
    ValueError
        If a document is not what it should be; the message names it and the field.

    Examples
    --------
    >>> import tempfile
    >>> import starfish_fetch as sf
    >>> import synth
    >>> spec = synth.Spec(rounds=2, chs=3, zplanes=1, tile_shape=(8, 6))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     data = synth.write(spec, sf.Layout.per_round(), f"{folder}/tiffs")
    ...     _ = sf.to_spacetx(data.fetcher(), data.extent(), f"{folder}/experiment")
    ...     fetcher = sf.SpaceTxTileFetcher(f"{folder}/experiment")
    ...     pixels = fetcher.get_tile(0, 1, 2, 0).tile_data()
    >>> (pixels == data.tile(1, 2, 0)).all()
    np.True_
    """

    thread_safe = True
    shares_sources = True

    def __init__(
        self,
        experiment: str | os.PathLike[str],
        image: str = "primary",
        *,
        verify: bool = True,
        allow_outside: bool = False,
    ) -> None:
        path = os.path.abspath(os.fspath(experiment))
        if stat.S_ISDIR(os.stat(path).st_mode):
            path = os.path.join(path, "experiment.json")
        self.path = path
        self.image = image
        self.verify = verify
        self._folder = Folder(os.path.dirname(path), allow_outside=allow_outside)
        images = images_of(self._folder, path)
        if image not in images:
            raise ValueError(f"{path} has no image {image!r}; it has {', '.join(images):.500}")
        self._documents = image_fovs(self._folder, images[image])
        self._tiles: dict[int, dict[TileKey, TileRecord]] = {}
        self.fovs = tuple(self._documents)
        self.fov_names = {fov: name for fov, (name, _) in self._documents.items()}
        self.extent = self.extent_of(self.fovs[0])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.path!r}, {self.image!r})"

    def extent_of(self, fov: int) -> Extent:
        """Return the labels and the tile shape of a field of view.

        Labels are all that some tile has; an experiment need not have a tile for each three of
        them.
        """
        tiles = self._tiles_of(fov)
        first = min(tiles)
        shape = SpaceTxTile(self, fov, first, tiles[first]).shape
        rounds, chs, zplanes = (tuple({*labels}) for labels in zip(*tiles, strict=True))
        return Extent(shape, fov, rounds, chs, zplanes)

    def get_tile(
        self, fov_id: int, round_label: int, ch_label: int, zplane_label: int
    ) -> SpaceTxTile:
        """Return the tile with these labels; opens nothing but the document of its field of view.

        Raises
        ------
        ValueError
            If the experiment has no such tile.
        """
        fov, key, record = self._find(fov_id, round_label, ch_label, zplane_label)
        return SpaceTxTile(self, fov, key, record)

    def source(self, fov_id: int, round_label: int, ch_label: int, zplane_label: int) -> str:
        """Return the path of the tile's file."""
        return self._find(fov_id, round_label, ch_label, zplane_label)[2].path

    def _find(self, *labels: int) -> tuple[int, TileKey, TileRecord]:
        fov, *rest = map(operator.index, labels)
        tiles = self._tiles_of(fov)
        key = TileKey(*rest)
        record = tiles.get(key)
        if record is None:
            raise ValueError(
                f"{self._documents[fov][1]} has no tile (fov={fov}, round={key.round}, "
                f"ch={key.ch}, zplane={key.zplane})"
            )
        return fov, key, record

    def _tiles_of(self, fov: int) -> dict[TileKey, TileRecord]:
        tiles = self._tiles.get(fov)
        if tiles is None:
            if fov not in self._documents:
                raise ValueError(f"{self.path} has no field of view {fov}; it has {self.fovs}")
            document = self._documents[fov][1]
            tiles = self._tiles[fov] = fov_tiles(self._folder, document, verify=self.verify)
        return tiles

    def _read(self, record: TileRecord) -> NDArray[Any]:
        path = record.path
        with self._folder.open(path) as file:
            size = os.fstat(file.fileno()).st_size
            most = _LARGEST_TILE
            if record.shape is not None:
                most = min(most, 16 * record.shape[0] * record.shape[1] + _LARGEST_HEADER)
            if size > most:
                raise SourceError(f"{path} has {size} bytes; its tile has at most {most}")
            data = read_whole(file, size)
        if len(data) < size:
            raise SourceError(
                f"{path} ends after {len(data)} of {size} bytes: it was cut while read"
            )
        if self.verify:
            found = hashlib.sha256(data).hexdigest()
            if found != record.sha256:
                raise SourceError(
                    f"{path} has the SHA-256 {found}, and the experiment says {record.sha256}: it "
                    "was changed or damaged since. Copy it again, or pass verify=False to read it "
                    "as it is"
                )
        try:
            pixels = decode(data, record.format, record.shape)
        except ValueError as error:
            raise SourceError(f"{path} is not the {record.format} of a tile: {error}") from error
        if record.shape not in (None, pixels.shape):
            raise SourceError(
                f"{path} holds the shape {pixels.shape}; the experiment says {record.shape} "
                "(rows, columns)"
            )
        return np.asarray(pixels)
