"""The groups, arrays and attributes of OME-Zarr.

Arrays are zarr's, described by ome-zarr: of the libraries that write the format, the one that
stands on zarr-python, reads what others write, and describes arrays that somebody else has filled,
so that they can be filled a tile at a time.
"""

from __future__ import annotations

import errno
import os
import warnings
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starfish_fetch.axes import Extent, tile_shape_of
from starfish_fetch.errors import SourceError, naming, require
from starfish_fetch.json_fields import read_json

__all__ = [
    "KEY",
    "Group",
    "Shape",
    "attributes_of",
    "describe_all",
    "load_writer",
    "load_zarr",
    "read_document",
    "store_of",
]

KEY = "starfish_fetch"
"""The attribute that is ours."""
_AXES = ({"name": "t", "type": "time"}, {"name": "c", "type": "channel"})
_LARGEST_DOCUMENT = 1 << 30
_METADATA = {"zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata"}


def load_zarr() -> Any:
    """Import zarr.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    try:
        return import_module("zarr")
    except ImportError:
        raise require("zarr", "zarr", "OME-Zarr") from None


def store_of(path: Path, *, whole: bool) -> Any:
    """Return a folder as what zarr reads from.

    Parameters
    ----------
    path : Path
        The folder of an array.
    whole : bool
        Whether it has every chunk. zarr takes one that is not there, or empty, for one of nothing
        but the fill value; so such a chunk is an error.
    """
    return _store_class()(path, whole=whole)


@cache
def _store_class() -> Any:
    class Store(import_module("zarr.storage").LocalStore):  # type: ignore[misc]
        def __init__(self, root: Path, *, whole: bool) -> None:
            super().__init__(root, read_only=True)
            self._whole = whole

        async def get(self, key: str, *arguments: Any, **options: Any) -> Any:
            path = self.root / key
            with naming(path):
                found = await super().get(key, *arguments, **options)
            if not self._whole or path.name in _METADATA or (found is not None and len(found)):
                return found
            if found is not None:
                raise SourceError(f"{path} is empty: copy it again")
            error = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
            error.add_note("a chunk of the image is not there: copy it again")
            raise error

    return Store


def load_writer() -> Any:
    """Import what of ome-zarr writes.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of itself
            return import_module("ome_zarr.writer"), import_module("ome_zarr.format")
    except ImportError:
        raise require("ome_zarr", "zarr", "writing OME-Zarr") from None


def read_document(path: Path) -> Any:
    """Read a JSON document.

    Raises
    ------
    OSError
        If it is not there.
    ValueError
        If it is no JSON.
    """
    try:
        with naming(path), path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > _LARGEST_DOCUMENT:
                raise ValueError(f"it has {size} bytes; a document has at most 1 GiB")  # noqa: TRY301
            return read_json(file.read(size))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def attributes_of(group: Path) -> dict[str, Any]:
    """Return the attributes of a group, of Zarr 3 or 2, without zarr.

    Raises
    ------
    OSError
        If it is no group.
    ValueError
        If they are no JSON object.
    """
    path = group / "zarr.json"
    if path.exists():
        fields = read_document(path)
        attributes = fields.get("attributes", {}) if isinstance(fields, dict) else None
    else:
        path = group / ".zattrs"
        attributes = read_document(path)
    if not isinstance(attributes, dict):
        message = f"{path}: the attributes must be an object; got {attributes!r:.80}"
        raise ValueError(message)  # noqa: TRY004
    return attributes


@dataclass(frozen=True)
class Shape:
    """How the arrays of an image are cut: a tile is a shard if it has several chunks."""

    planes: tuple[int, int, int]
    tile: tuple[int, int]
    levels: int
    chunk: int

    @classmethod
    def of(cls, extent: Extent, levels: int, chunk: int) -> Shape:
        """Return the shape of a field of view."""
        planes = len(extent.rounds), len(extent.chs), len(extent.zplanes)
        return cls(planes, tile_shape_of(extent.tile_shape), levels, chunk)

    def sides(self, level: int) -> tuple[int, int]:
        """Return the rows and columns of a level."""
        return self.tile[0] >> level, self.tile[1] >> level

    def chunks(self, level: int) -> tuple[int, ...]:
        """Return the shape of a chunk."""
        return (1, 1, 1, *(min(self.chunk, side) for side in self.sides(level)))

    def shards(self, level: int) -> tuple[int, ...] | None:
        """Return the shape of a shard, which is a tile; None where one chunk holds it."""
        sides, chunks = self.sides(level), self.chunks(level)[3:]
        if sides == chunks:
            return None
        # Of whole chunks, as zarr wants it: it may reach beyond the tile.
        return (1, 1, 1, *(-(-side // one) * one for side, one in zip(sides, chunks, strict=True)))


class Group:
    """The group of one image, that is being written.

    Parameters
    ----------
    path : Path
        Its folder.
    shape : Shape
        Of its arrays.
    version : {"0.5", "0.4"}
        Of OME-Zarr.
    """

    def __init__(self, path: Path, shape: Shape, version: str) -> None:
        self._path = path
        self._shape = shape
        self._format = load_writer()[1].format_from_version(version)
        self._zarr_format = 3 if version == "0.5" else 2
        self._arrays: list[Any] = []

    @staticmethod
    def check_installed() -> None:
        """Raise MissingExtraError unless the libraries are there."""
        load_zarr()
        load_writer()

    def _open(self) -> Any:
        zarr = load_zarr()
        try:
            return zarr.open_group(self._path, mode="a", zarr_format=self._zarr_format)
        except zarr.errors.ContainsGroupError:
            # A thread of zarr, which an interrupt does not end, has made it for the call before.
            return zarr.open_group(self._path, mode="r+", zarr_format=self._zarr_format)

    def create_arrays(self, dtype: np.dtype[Any]) -> None:
        """Create an array for each level; those that are there stay."""
        group = self._open()
        three = self._zarr_format == 3
        zarr = load_zarr()
        self._arrays = []
        for level in range(self._shape.levels):
            try:
                array = group.create_array(
                    str(level),
                    shape=(*self._shape.planes, *self._shape.sides(level)),
                    dtype=dtype,
                    chunks=self._shape.chunks(level),
                    shards=self._shape.shards(level) if three else None,
                    chunk_key_encoding={"name": "default" if three else "v2", "separator": "/"},
                    dimension_names=list("tczyx") if three else None,
                    # With a checksum, so that damage is found.
                    compressors=_compressor(three=three),
                    fill_value=0,
                    # So that a file that is missing is known to be lost.
                    config={"write_empty_chunks": True},
                )
            except zarr.errors.ContainsArrayError:
                # What is read back from a file does not know this, and takes it from here alone
                # before zarr 3.1.6.
                with zarr.config.set({"array.write_empty_chunks": True}):
                    array = group[str(level)]
            self._arrays.append(array)

    def write(self, place: tuple[int, int, int], pixels: NDArray[Any]) -> list[Path]:
        """Write a tile into all levels; return the files that hold it."""
        files: list[Path] = []
        for level, array in enumerate(self._arrays):
            if level:
                pixels = _halved(pixels)
            array[place] = pixels
            files += self._files(level, place)
        return files

    def _files(self, level: int, place: tuple[int, int, int]) -> list[Path]:
        cut = self._shape.shards(level) if self._zarr_format == 3 else None
        _, _, _, *steps = cut or self._shape.chunks(level)
        counts = (
            -(-side // step) for side, step in zip(self._shape.sides(level), steps, strict=True)
        )
        folder = self._path / str(level) / ("c" if self._zarr_format == 3 else "")
        folder = folder.joinpath(*map(str, place))
        return [folder / str(row) / str(column) for row, column in np.ndindex(*counts)]

    def describe(
        self, name: str, coordinates: dict[str, Any], own: dict[str, Any], unit: str | None
    ) -> None:
        """Write the attributes that make the group an image."""
        space = {"type": "space"} | ({} if unit is None else {"unit": unit})
        axes = [*_AXES, *({"name": axis, **space} for axis in "zyx")]
        spacing, origin = zip(*self._along(coordinates, own["zc"]), strict=True)
        datasets = []
        for level in range(self._shape.levels):
            factor = 1 << level
            scale = [1.0, 1.0, spacing[0], spacing[1] * factor, spacing[2] * factor]
            # A pixel of a level has its centre amid those that it is the mean of.
            half = (factor - 1) / 2
            start = [origin[0], origin[1] + half * spacing[1], origin[2] + half * spacing[2]]
            datasets.append(
                {
                    "path": str(level),
                    "coordinateTransformations": [
                        {"type": "scale", "scale": scale},
                        {"type": "translation", "translation": [0.0, 0.0, *start]},
                    ],
                }
            )
        writer, _ = load_writer()
        group = self._open()
        group.attrs[KEY] = own
        writer.write_multiscales_metadata(group, datasets, fmt=self._format, axes=axes, name=name)

    def _along(self, coordinates: dict[str, Any], planes: list[Any]) -> list[tuple[float, float]]:
        """Return the spacing and the first position along z, y and x."""
        middles = [
            (one[1] - one[0]) / 2 + one[0] if isinstance(one, list) else one for one in planes
        ]
        known = None not in middles
        ends = [
            (middles[0], middles[-1], len(middles)) if known else (0, 0, 1),
            (*coordinates["yc"], self._shape.tile[0]),
            (*coordinates["xc"], self._shape.tile[1]),
        ]
        return [
            (float((last - first) / max(count - 1, 1)) or 1.0, float(first))
            for first, last, count in ends
        ]


def describe_all(root: Path, names: list[str], version: str, own: dict[str, Any]) -> None:
    """Write the attributes that make a folder a collection of images."""
    writer, formats = load_writer()
    three, layout = version == "0.5", {"bioformats2raw.layout": 3}
    zarr_format, fmt = (3 if three else 2), formats.format_from_version(version)
    group = load_zarr().open_group(root, mode="a", zarr_format=zarr_format)
    writer.add_metadata(group, layout | ({"version": version} if three else {}), fmt)
    group.attrs[KEY] = own
    inner = group.require_group("OME")
    writer.add_metadata(inner, {"series": names} | ({"version": version} if three else {}), fmt)


def _compressor(*, three: bool) -> Any:
    if three:
        return import_module("zarr.codecs").ZstdCodec(level=1, checksum=True)
    return import_module("numcodecs").Zstd(level=1, checksum=True)


def _halved(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return the means of squares of four pixels, rounded for integers."""
    rows, columns = (side // 2 for side in pixels.shape)
    cut = pixels[: 2 * rows, : 2 * columns].reshape(rows, 2, columns, 2)
    mean = cut.mean(axis=(1, 3), dtype=np.float64)
    if pixels.dtype.kind in "iub":
        mean = np.rint(mean)
    halved: NDArray[Any] = mean.astype(pixels.dtype)
    return halved
