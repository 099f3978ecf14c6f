"""What OME-XML says of the files of a dataset."""

from __future__ import annotations

import json
import posixpath
import uuid
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

from starfish_fetch.axes import PLANES, Axes, Coordinates, TileKey
from starfish_fetch.layout import Layout
from synth._manifest import Options
from synth.spec import Spec

__all__ = [
    "OME_DTYPES",
    "OME_LETTERS",
    "SOFTWARE",
    "check_linked",
    "linked_description",
    "ome_metadata",
]

SOFTWARE = "starfish_fetch synth"
OME_DTYPES = ("uint8", "uint16", "uint32", "int8", "int16", "int32", "float32", "float64")
OME_LETTERS = {Axes.ROUND: "T", Axes.CH: "C", Axes.ZPLANE: "Z"}
_NAMESPACE = uuid.UUID("2f3b8d1e-6f0a-4b5e-9c1d-7a4e5d90c6b2")
_SCHEMA = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
_OME_TYPES = {"float32": "float", "float64": "double"}
_MOST_LINKED = 1000


def _urn(path: str, spec: Spec, layout: Layout, options: Options) -> str:
    identity = [spec.to_json(), layout.template, layout.inner, options.to_json(), path]
    return f"urn:uuid:{uuid.uuid5(_NAMESPACE, json.dumps(identity))}"


def ome_metadata(
    path: str,
    spec: Spec,
    layout: Layout,
    options: Options,
    fov: int,
    keys: tuple[TileKey, ...],
) -> dict[str, Any]:
    """Return what tifffile is to say of a file that stands alone."""
    size_z, size_y, size_x = spec.voxel_size
    where = [spec.coordinates(fov, key.zplane) for key in keys]
    metadata: dict[str, Any] = {
        "UUID": _urn(path, spec, layout, options),
        "Creator": SOFTWARE,
        "Name": path,
        "Channel": {"Name": [_channel_name(ch) for ch in dict.fromkeys(key.ch for key in keys)]},
        "Plane": {},
    }
    for axis, size in (("X", size_x), ("Y", size_y), ("Z", size_z)):
        metadata |= {f"PhysicalSize{axis}": size, f"PhysicalSize{axis}Unit": "µm"}
        first = [position[Coordinates[axis]][0] for position in where]
        metadata["Plane"] |= {
            f"Position{axis}": first,
            f"Position{axis}Unit": ["µm"] * len(first),
        }
    return metadata


def check_linked(spec: Spec, files: Sequence[tuple[str, int, Any]]) -> None:
    """Refuse an image whose files cannot name each other."""
    if spec.dtype not in OME_DTYPES:
        allowed = ", ".join(OME_DTYPES)
        raise ValueError(
            f"linked=True is about OME-TIFF, which has no dtype {spec.dtype!r}; allowed are "
            f"{allowed}"
        )
    most = len(files) // len(spec.fovs)
    if most > _MOST_LINKED:
        raise ValueError(
            f"linked=True names all files of a field of view in each of them: at most "
            f"{_MOST_LINKED}, and there are {most}; choose a layout with fewer files"
        )


def linked_description(
    path: str,
    spec: Spec,
    layout: Layout,
    options: Options,
    fov: int,
    keys: tuple[TileKey, ...],
) -> bytes:
    """Return the OME-XML of one of several files that are one image."""
    extent = spec.extent(fov)
    # The axes in a file run fastest, so that the planes of a file follow each other in the image.
    slowest_first = (*layout.outer, *layout.inner)
    size_z, size_y, size_x = spec.voxel_size
    root = ElementTree.Element(
        "OME",
        {
            "xmlns": _SCHEMA,
            "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
            "xsi:schemaLocation": f"{_SCHEMA} {_SCHEMA}/ome.xsd",
            "UUID": _urn(path, spec, layout, options),
            "Creator": SOFTWARE,
        },
    )
    image = ElementTree.SubElement(root, "Image", ID="Image:0", Name=f"fov {fov}")
    sizes = {OME_LETTERS[axis]: len(extent.labels(axis)) for axis in PLANES}
    sizes |= {"Y": spec.tile_shape[0], "X": spec.tile_shape[1]}
    pixels = ElementTree.SubElement(
        image,
        "Pixels",
        {
            "ID": "Pixels:0",
            "DimensionOrder": "XY" + "".join(OME_LETTERS[axis] for axis in slowest_first[::-1]),
            "Type": _OME_TYPES.get(spec.dtype, spec.dtype),
            "BigEndian": str(options.byteorder == ">").lower(),
            **{f"Size{letter}": str(size) for letter, size in sizes.items()},
        },
    )
    for axis, size in (("X", size_x), ("Y", size_y), ("Z", size_z)):
        pixels.set(f"PhysicalSize{axis}", repr(size))
        pixels.set(f"PhysicalSize{axis}Unit", "µm")
    for index, ch in enumerate(extent.chs):
        ElementTree.SubElement(
            pixels,
            "Channel",
            ID=f"Channel:0:{index}",
            Name=_channel_name(ch),
            SamplesPerPixel="1",
        )
    for other, _, its_keys in layout.files(extent):
        block = ElementTree.SubElement(
            pixels, "TiffData", _firsts("First", its_keys[0], spec, fov), IFD="0"
        )
        block.set("PlaneCount", str(len(its_keys)))
        name = posixpath.relpath(other, posixpath.dirname(path) or ".")
        ElementTree.SubElement(block, "UUID", FileName=name).text = _urn(
            other, spec, layout, options
        )
    # bioio takes the rounds that there are from the planes that are described.
    of_rounds = [TileKey(round_, extent.chs[0], extent.zplanes[0]) for round_ in extent.rounds]
    for key in dict.fromkeys((*of_rounds, *keys)):
        plane = ElementTree.SubElement(pixels, "Plane", _firsts("The", key, spec, fov))
        where = spec.coordinates(fov, key.zplane)
        for letter in "XYZ":
            first = where[Coordinates[letter]]
            plane.set(f"Position{letter}", repr(first[0] if isinstance(first, tuple) else first))
            plane.set(f"Position{letter}Unit", "µm")
    text: bytes = ElementTree.tostring(root, encoding="UTF-8", xml_declaration=True)
    return text


def _channel_name(ch: int) -> str:
    return f"ch {ch}"


def _firsts(prefix: str, key: TileKey, spec: Spec, fov: int) -> dict[str, str]:
    extent = spec.extent(fov)
    return {
        f"{prefix}{OME_LETTERS[axis]}": str(extent.labels(axis).index(label))
        for axis, label in zip(PLANES, key, strict=True)
    }
