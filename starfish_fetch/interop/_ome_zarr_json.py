"""The attributes of OME-Zarr, read as what may come from anywhere."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from starfish_fetch.axes import (
    PLANES,
    Axes,
    Coordinates,
    CoordinateValue,
    Extent,
    TileKey,
    labels_of,
)
from starfish_fetch.interop._ome_zarr_group import KEY, attributes_of, read_document
from starfish_fetch.json_fields import JsonFields

__all__ = ["ImageRecord", "collection_of", "image_of"]

_AXES = "tczyx"
_LARGEST_SIZE = 1 << 24
Position = dict[Coordinates, CoordinateValue]


@dataclass(frozen=True)
class Grid:
    """How an array is cut into files: their size in rows and columns, and their names."""

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    prefix: str
    separator: str


@dataclass(frozen=True)
class ImageRecord:
    """What the attributes of an image say.

    Parameters
    ----------
    array : Path
        The folder of the array.
    axes : str
        Those that the array has, of "tczyx".
    grid : Grid
        How it is cut into files.
    extent : Extent
        Labels and tile shape.
    positions : mapping of int to dict
        Physical coordinates by the label of the z-plane.
    extras : mapping of TileKey to dict
        What else is said of tiles.
    own : bool
        Whether it was written by :func:`to_ome_zarr`, which leaves no chunk out.
    """

    array: Path
    axes: str
    grid: Grid
    extent: Extent
    positions: Mapping[int, Position]
    extras: Mapping[TileKey, Mapping[str, Any]]
    own: bool

    @cached_property
    def places(self) -> tuple[dict[int, int], ...]:
        """The positions of labels along r, c and z."""
        return tuple(
            {label: place for place, label in enumerate(self.extent.labels(axis))}
            for axis in PLANES
        )

    def index(self, place: tuple[int, int, int]) -> tuple[int, ...]:
        """Return the index of a plane, of the axes that the array has."""
        return tuple(one for axis, one in zip(_AXES[:3], place, strict=True) if axis in self.axes)

    def files(self, place: tuple[int, int, int], rows: slice, columns: slice) -> list[str]:
        """Return the paths of the files that hold part of a plane."""
        folder = self.grid.prefix + self.grid.separator.join(map(str, self.index(place)))
        spans = []
        for part, side, step in zip(
            (rows, columns), self.grid.shape[-2:], self.grid.chunks[-2:], strict=True
        ):
            start, stop, _ = part.indices(side)
            spans.append(range(start // step, -(-stop // step)))
        return [
            str(
                self.array / self.grid.separator.join(filter(None, [folder, f"{row}", f"{column}"]))
            )
            for row in spans[0]
            for column in spans[1]
        ]

    def source(self, place: tuple[int, int, int]) -> str:
        """Return the path of the file that holds a plane, or of the folder of its files."""
        if not self.own:
            return str(self.array)
        first, *others = self.files(place, slice(None), slice(None))
        return str(Path(first).parents[1]) if others else first


def collection_of(root: Path) -> list[str] | None:
    """Return the images of a collection; None if the folder is itself an image.

    Raises
    ------
    OSError, ValueError
        If it is neither.
    """
    with _in(root):
        fields = _ome(attributes_of(root))
        if not fields.absent("multiscales"):
            return None
        if fields.raw("bioformats2raw.layout") != 3:
            raise ValueError(
                "it has neither 'multiscales' nor 'bioformats2raw.layout' 3: it is neither an "
                "image nor a collection of images"
            )
    if not (root / "OME").is_dir():
        return [str(number) for number in range(_count(root))]
    with _in(root / "OME"):
        names = _ome(attributes_of(root / "OME")).texts("series")
        if not names:
            raise ValueError("'series' is empty: the collection has no image")
        return [_below(name, "series") for name in names]


def _count(root: Path) -> int:
    number = 0
    while (root / str(number)).is_dir():
        number += 1
    if not number:
        raise ValueError(f"{root}: the collection has no image '0'")
    return number


def image_of(group: Path, number: int) -> ImageRecord:
    """Read what describes an image.

    Parameters
    ----------
    group : Path
        Its folder.
    number : int
        The label of its field of view, if it has none.

    Raises
    ------
    OSError
        If there is no such image.
    ValueError
        If it is described wrongly; the message names the folder and the field.
    """
    with _in(group):
        attributes = attributes_of(group)
        images = _ome(attributes).objects("multiscales")
        if not images:
            raise ValueError("'multiscales' is empty")
        image = images[0]
        axes = "".join(axis.text("name") for axis in image.objects("axes"))
        if sorted(axes, key=_AXES.find) != list(axes) or axes[-2:] != "yx" or {*axes} - {*_AXES}:
            raise ValueError(
                f"'multiscales[0].axes' are {axes!r:.80}; expected some of t, c, z, y, x in this "
                "order, y and x among them"
            )
        datasets = image.objects("datasets")
        if not datasets:
            raise ValueError("'multiscales[0].datasets' is empty")
        array = group / _below(datasets[0].text("path"), "multiscales[0].datasets[0].path")
        grid = _grid(array, len(axes))
        scale, start = _transformation([datasets[0], image], len(axes))
        sizes = dict(zip(axes, grid.shape, strict=True))
        shape = {Axes.Y: sizes["y"], Axes.X: sizes["x"]}
        own = attributes.get(KEY)
        if own is not None:
            return _own(JsonFields(own, KEY), array, axes, grid)
        labels = [range(sizes.get(axis, 1)) for axis in _AXES[:3]]
        extent = Extent(shape, number, *labels)  # type: ignore[arg-type]
        along = {
            axis: (start[place], scale[place] * max(sizes[axis] - 1, 1) + start[place])
            for place, axis in enumerate(axes)
        }
        positions: dict[int, Position] = {}
        for z in extent.zplanes:
            positions[z] = {Coordinates.X: along["x"], Coordinates.Y: along["y"]}
            if "z" in axes:
                place = axes.index("z")
                positions[z][Coordinates.Z] = start[place] + z * scale[place]
        return ImageRecord(array, axes, grid, extent, positions, {}, own=False)


def _own(fields: JsonFields, array: Path, axes: str, grid: Grid) -> ImageRecord:
    if fields.integer("version") != 1:
        raise ValueError(
            f"'{KEY}.version' is {fields.integer('version')}, and this installation reads 1: "
            "upgrade starfish-fetch"
        )
    labels = [labels_of(name, fields.labels(name)) for name in ("rounds", "chs", "zplanes")]
    counts = tuple(map(len, labels))
    if axes != _AXES or counts != grid.shape[:3]:
        raise ValueError(
            f"'{KEY}' has labels of {counts} rounds, channels and z-planes; the array has the "
            f"axes {axes!r} and the shape {grid.shape}"
        )
    rows, columns = grid.shape[3:]
    extent = Extent({Axes.Y: rows, Axes.X: columns}, fields.integer("fov"), *labels)
    planes = fields.get("zc", list, "a list, of an item for each z-plane")
    if len(planes) != len(extent.zplanes):
        fields.refuse(planes, f"a list of {len(extent.zplanes)} items", "zc")
    x, y = _pair(fields, "xc", fields.raw("xc")), _pair(fields, "yc", fields.raw("yc"))
    positions: dict[int, Position] = {}
    for zplane, z in zip(extent.zplanes, planes, strict=True):
        positions[zplane] = {Coordinates.X: x, Coordinates.Y: y}
        if z is not None:
            positions[zplane][Coordinates.Z] = z if _finite(z) else _pair(fields, "zc", z)
    extras = {}
    for item in fields.get("extras", list, "a list"):
        if not isinstance(item, list) or len(item) != 4 or not isinstance(item[3], dict):
            fields.refuse(item, "a list of [round, ch, zplane, object]", "extras")
        extras[TileKey(*item[:3])] = item[3]
    return ImageRecord(array, axes, grid, extent, positions, extras, own=True)


@contextmanager
def _in(folder: Path) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from error


def _ome(attributes: dict[str, Any]) -> JsonFields:
    if "ome" in attributes:  # since 0.5
        return JsonFields(attributes["ome"], "ome")
    return JsonFields(attributes)


def _below(path: str, field: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or set(path) & set("\\:\0"):
        raise ValueError(f"{field!r} is {path!r:.80}, no path below the folder")
    return path


def _grid(array: Path, dimensions: int) -> Grid:
    """Read how an array, of Zarr 3 or 2, is cut into files."""
    three = (array / "zarr.json").exists()
    path = array / ("zarr.json" if three else ".zarray")
    fields = JsonFields(read_document(path))
    with _in(path):
        shape = fields.labels("shape")
        if three:
            chunks = fields.object("chunk_grid").object("configuration").labels("chunk_shape")
            encoding = fields.object("chunk_key_encoding")
            default = encoding.text("name") == "default"
            separator = "/" if default else "."
            if not encoding.absent("configuration"):
                named = encoding.object("configuration").raw("separator")
                separator = named if named in ("/", ".") else separator
            prefix = "c" + separator if default else ""
        else:
            chunks, prefix = fields.labels("chunks"), ""
            separator = "/" if fields.raw("dimension_separator") == "/" else "."
        for name, sizes in (("shape", shape), ("chunks", chunks)):
            if len(sizes) != dimensions or not all(0 < size <= _LARGEST_SIZE for size in sizes):
                raise ValueError(
                    f"{name!r} is {sizes!r:.80}; expected {dimensions} sizes, each from 1 to "
                    f"{_LARGEST_SIZE}"
                )
    return Grid(shape, chunks, prefix, separator)


def _transformation(
    described: list[JsonFields], dimensions: int
) -> tuple[list[float], list[float]]:
    """Return scale and translation, of a dataset and then of all of an image's."""
    scale, start = np.ones(dimensions), np.zeros(dimensions)
    for fields in described:
        if fields.absent("coordinateTransformations"):
            continue
        for one in fields.objects("coordinateTransformations"):
            kind = one.text("type")
            if kind not in ("scale", "translation"):
                one.refuse(kind, "'scale' or 'translation'", "type")
            values = one.raw(kind)
            if (
                not isinstance(values, list)
                or len(values) != dimensions
                or not all(map(_finite, values))
            ):
                one.refuse(values, f"a list of {dimensions} finite numbers", kind)
            if kind == "scale":
                scale, start = scale * values, start * values
            else:
                start = start + values
    return scale.tolist(), start.tolist()


def _pair(fields: JsonFields, name: str, value: Any) -> CoordinateValue:
    if not isinstance(value, list) or len(value) != 2 or not all(map(_finite, value)):
        fields.refuse(value, "two finite numbers", name)
    return value[0], value[1]


def _finite(value: Any) -> bool:
    try:
        return type(value) in (int, float) and math.isfinite(value)
    except OverflowError:  # an int beyond any float
        return False
