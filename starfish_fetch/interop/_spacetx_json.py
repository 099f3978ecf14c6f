"""The documents of SpaceTx format, read as what may come from anywhere."""

from __future__ import annotations

import math
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from starfish_fetch.axes import Coordinates, CoordinateValue, Number, TileKey
from starfish_fetch.errors import naming
from starfish_fetch.json_fields import JsonFields, read_json
from starfish_fetch.open_file import read_whole

__all__ = ["Folder", "TileRecord", "fov_tiles", "image_fovs", "images_of"]

_LARGEST_DOCUMENT = 1 << 30
_LONGEST_SIDE = 1 << 24
_LARGEST_LABEL = (1 << 63) - 1
_FORMATS = ("NUMPY", "TIFF")
_VERSION = re.compile(r"[0-9]{1,4}\.[0-9]{1,4}\.[0-9]{1,4}")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_UNFIT = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_LONGEST_NAME = 1024


@dataclass(frozen=True, slots=True)
class TileRecord:
    """What a field of view's document says of a tile."""

    path: str
    sha256: str | None
    format: str
    shape: tuple[int, int] | None
    coordinates: Mapping[Coordinates, CoordinateValue]
    extras: Mapping[str, Any]


class Folder:
    """The folder of an experiment, which its documents lead out of only if that is allowed.

    Parameters
    ----------
    path : str
        Its path.
    allow_outside : bool
        Whether files elsewhere may be read.
    """

    def __init__(self, path: str, *, allow_outside: bool) -> None:
        self.path = os.path.abspath(path)
        self.allow_outside = allow_outside
        self._checked: set[str] = set()

    def resolve(self, reference: str, field: str, document: str) -> str:
        """Return the path that a document refers to; nothing is opened.

        References are relative urls, as starfish takes them: ``%20`` is a space.

        Raises
        ------
        ValueError
            If it is the url of no file, or leads out of the folder.
        """
        try:
            url = urlsplit(reference)
        except ValueError as error:
            raise ValueError(f"{field!r} is {reference!r:.120}, no path: {error}") from error
        if url.scheme not in ("", "file") or url.netloc:
            raise ValueError(
                f"{field!r} is the url {reference!r:.120}; only files are read: download the "
                "experiment, and give the folder that holds it"
            )
        name = unquote(url.path)
        unfit = len(reference) > _LONGEST_NAME or _UNFIT.search(reference + name)
        if not name or url.query or url.fragment or unfit:
            raise ValueError(f"{field!r} is {reference!r:.120}, which names no file")
        path = os.path.normpath(os.path.join(os.path.dirname(document), name))
        if not self.allow_outside and not _within(path, self.path):
            raise ValueError(
                f"{field!r} is {reference!r:.120}, which leads out of {self.path!r}; pass "
                "allow_outside=True if you trust the experiment"
            )
        return path

    @contextmanager
    def open(self, path: str) -> Iterator[Any]:
        """Open a plain file for reading, unbuffered.

        Raises
        ------
        OSError
            If there is none.
        ValueError
            If it is no plain file, or a link leads out of the folder.
        """
        mode = os.lstat(path).st_mode
        if stat.S_ISLNK(mode):
            self._check_real(path)
            mode = os.stat(path).st_mode
        elif (folder := os.path.dirname(path)) not in self._checked:
            self._check_real(folder)
            self._checked.add(folder)
        if not stat.S_ISREG(mode):  # a pipe would keep its reader for ever
            raise ValueError(f"{path!r} is no plain file")
        with naming(path), open(path, "rb", buffering=0) as file:
            yield file

    def _check_real(self, path: str) -> None:
        real = os.path.realpath(path, strict=True)
        if not self.allow_outside and not _within(real, os.path.realpath(self.path)):
            raise ValueError(
                f"{path!r} is linked to {real!r}, which leads out of {self.path!r}; pass "
                "allow_outside=True if you trust the experiment"
            )

    @contextmanager
    def document(self, path: str, versions: tuple[str, ...]) -> Iterator[JsonFields]:
        """Read a JSON document; a ValueError within names it.

        Parameters
        ----------
        path : str
            Where it is.
        versions : tuple of str
            The beginnings of those that are read.
        """
        with self.open(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size > _LARGEST_DOCUMENT:
                raise ValueError(f"{path}: {size} bytes; a document has at most 1 GiB")
            text = read_whole(file, size)
        try:
            fields = JsonFields(read_json(text))
            version = fields.text("version")
            if not _VERSION.fullmatch(version) or not version.startswith(versions):
                allowed = " or ".join(f"{one}x" for one in versions)
                raise ValueError(  # noqa: TRY301
                    f"'version' is {version!r:.80}; {allowed} is read here"
                )
            yield fields
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error


def _within(path: str, folder: str) -> bool:
    return os.path.commonpath([path, folder]) == folder


def images_of(folder: Folder, path: str) -> dict[str, str]:
    """Return the manifest of each image of an experiment, by the image's name."""
    with folder.document(path, ("4.", "5.")) as fields:
        if fields.text("version").startswith("4."):
            others = fields.object("auxiliary_images")
            found = {"primary": fields.text("primary_images")}
            found |= {name: others.text(name) for name in others.names()}
            place = "auxiliary_images"
        else:
            images = fields.object("images")
            found = {name: images.text(name) for name in images.names()}
            place = "images"
        return {
            name: folder.resolve(reference, f"{place}.{name:.80}", path)
            for name, reference in found.items()
        }


def image_fovs(folder: Folder, path: str) -> dict[int, tuple[str, str]]:
    """Return the name and the document of each field of view of an image, by its label.

    The label is the number at the end of the name if all names have one, else its place among
    the sorted names.
    """
    with folder.document(path, ("0.0.", "0.1.")) as fields:
        contents = fields.object("contents")
        names = sorted(contents.names())
        if not names:
            raise ValueError("'contents' is empty: the image has no field of view")
        documents = [
            folder.resolve(contents.text(name), f"contents.{name:.80}", path) for name in names
        ]
    ends = [re.search(r"[0-9]{1,18}\Z", name) for name in names]
    numbers = [int(end[0]) for end in ends if end]
    labels = numbers if len({*numbers}) == len(names) else range(len(names))
    return dict(sorted(zip(labels, zip(names, documents, strict=True), strict=True)))


def fov_tiles(folder: Folder, path: str, *, verify: bool) -> dict[TileKey, TileRecord]:
    """Return what the document of a field of view says of each tile."""
    tiles: dict[TileKey, TileRecord] = {}
    with folder.document(path, ("0.0.", "0.1.")) as fields:
        default_format = _format(fields, "default_tile_format", None)
        default_shape = _shape(fields, "default_tile_shape", None)
        for tile in fields.objects("tiles"):
            indices = tile.object("indices")
            key = TileKey(*(_label(indices, axis) for axis in "rcz"))
            if key in tiles:
                tile.refuse(dict(key._asdict()), "labels that no tile before it has", "indices")
            where = f"{tile.place}.file"
            file = folder.resolve(tile.text("file"), where, path)
            tiles[key] = TileRecord(
                file,
                _digest(tile, required=verify),
                _format(tile, "tile_format", default_format) or _by_ending(tile, file),
                _shape(tile, "tile_shape", default_shape),
                _coordinates(tile.object("coordinates")),
                {} if tile.absent("extras") else tile.get("extras", dict, "an object"),
            )
        if not tiles:
            raise ValueError("'tiles' is empty: the field of view has no tile")
    return tiles


def _label(indices: JsonFields, axis: str) -> int:
    if axis != "c" and indices.absent(axis):
        return 0
    label = indices.count(axis)
    return label if label <= _LARGEST_LABEL else indices.refuse(label, "below 2**63", axis)


def _digest(tile: JsonFields, *, required: bool) -> str | None:
    if not required and tile.absent("sha256"):
        return None
    digest = tile.text("sha256")
    if not _SHA256.fullmatch(digest):
        tile.refuse(digest, "64 hexadecimal digits", "sha256")
    return digest.lower()


def _format(fields: JsonFields, name: str, default: str | None) -> str | None:
    if fields.absent(name):
        return default
    given = fields.text(name)
    return given if given in _FORMATS else fields.refuse(given, " or ".join(_FORMATS), name)


def _by_ending(tile: JsonFields, file: str) -> str:
    ending = os.path.splitext(file)[1].lower()
    known = {".npy": "NUMPY", ".tif": "TIFF", ".tiff": "TIFF"}
    return known.get(ending) or tile.refuse(ending, "that of .npy or .tiff files", "file")


def _shape(
    fields: JsonFields, name: str, default: tuple[int, int] | None
) -> tuple[int, int] | None:
    if fields.absent(name):
        return default
    sides = fields.raw(name)  # [y, x], before version 0.1.0
    if isinstance(sides, dict):
        shape = fields.object(name)
        sides = [shape.integer("y"), shape.integer("x")]
    if (
        not isinstance(sides, list)
        or [type(side) for side in sides] != [int, int]
        or not all(0 < side <= _LONGEST_SIDE for side in sides)
    ):
        fields.refuse(sides, f"rows and columns, both from 1 to {_LONGEST_SIDE}", name)
    return sides[0], sides[1]


def _coordinates(fields: JsonFields) -> dict[Coordinates, CoordinateValue]:
    found: dict[Coordinates, CoordinateValue] = {
        Coordinates.X: _pair(fields, "xc"),
        Coordinates.Y: _pair(fields, "yc"),
    }
    z = fields.raw("zc")
    if z is not None:
        found[Coordinates.Z] = z if _finite(z) else _pair(fields, "zc")
    return found


def _pair(fields: JsonFields, name: str) -> tuple[Number, Number]:
    values = fields.raw(name)
    if not isinstance(values, list) or len(values) != 2 or not all(map(_finite, values)):
        fields.refuse(values, "a list of two finite numbers", name)
    return values[0], values[1]


def _finite(value: Any) -> bool:
    try:
        return type(value) in (int, float) and math.isfinite(value)
    except OverflowError:  # an int beyond any float
        return False
