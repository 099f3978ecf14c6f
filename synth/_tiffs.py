"""One TIFF file of a dataset."""

from __future__ import annotations

import hashlib
import io
import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from starfish_fetch.axes import Axes, Coordinates, TileKey
from starfish_fetch.layout import Layout
from synth._manifest import FileRecord, Options
from synth.pixels import tile
from synth.spec import Spec

__all__ = ["LARGEST_CLASSIC", "digest", "write_tiff"]

# Offsets have 32 bits; the rest is left for what is not pixels.
LARGEST_CLASSIC = 2**32 - 2**25
_SOFTWARE = "starfish_fetch synth"
_NAMESPACE = uuid.UUID("2f3b8d1e-6f0a-4b5e-9c1d-7a4e5d90c6b2")
_OME_DTYPES = ("uint8", "uint16", "uint32", "int8", "int16", "int32", "float32", "float64")
_OME_LETTERS = {Axes.ROUND: "T", Axes.CH: "C", Axes.ZPLANE: "Z"}
_TAG_NAMES = {None: None, "deflate": "zlib", "lzw": "lzw", "zstd": "zstd"}


def write_tiff(
    target: Path,
    path: str,
    spec: Spec,
    layout: Layout,
    options: Options,
    fov: int,
    keys: tuple[TileKey, ...],
    each_plane: Callable[[int], None],
) -> None:
    """Write the planes of one file, one in memory at a time.

    Parameters
    ----------
    target : Path
        The file to write.
    path : str
        The path that the layout gives it, from which its OME identifier is made.
    spec, layout, options
        Of the dataset.
    fov : int
        Field of view of all its tiles.
    keys : tuple of TileKey
        Its tiles, in page order.
    each_plane : callable
        Called with the bytes of each plane before it is made; may raise to end the write.
    """
    import tifffile

    dtype = np.dtype(spec.dtype).newbyteorder(options.byteorder)

    def planes() -> Iterator[npt.NDArray[Any]]:
        for key in keys:
            each_plane(dtype.itemsize * spec.tile_shape[0] * spec.tile_shape[1])
            yield tile(spec, fov, *key).astype(dtype, copy=False)

    ome = options.ome and spec.dtype in _OME_DTYPES
    letters = [_OME_LETTERS[axis] if ome else str(axis).upper() for axis in layout.inner]
    metadata: dict[str, Any] = {"axes": "".join(letters) + "YX"}
    if ome:
        metadata |= _ome_metadata(path, spec, layout, options, fov, keys)
    with (
        _PlainFile(io.FileIO(target, "w+")) as file,
        tifffile.TiffWriter(
            file, bigtiff=options.bigtiff, byteorder=options.byteorder, ome=ome, shaped=not ome
        ) as tiff,
    ):
        tiff.write(
            planes(),
            shape=(*layout.inner_shape(spec.extent(fov)), *spec.tile_shape),
            dtype=dtype,
            photometric="minisblack",
            # Else tifffile takes tiles of one column for samples of the axis before.
            planarconfig="contig",
            extrasamples=(),
            compression=_TAG_NAMES[options.compression],
            maxworkers=1,
            software=_SOFTWARE,
            metadata=metadata,
        )


def digest(path: Path) -> FileRecord:
    """Return the SHA-256 and the size of a file."""
    with path.open("rb") as file:
        return FileRecord(hashlib.file_digest(file, "sha256").hexdigest(), file.tell())


class _PlainFile(io.BufferedRandom):
    """A file without a descriptor.

    numpy writes into a descriptor past Python, and then reports a full disk without its errno.
    """

    def fileno(self) -> int:
        raise io.UnsupportedOperation("fileno")


def _ome_metadata(
    path: str,
    spec: Spec,
    layout: Layout,
    options: Options,
    fov: int,
    keys: tuple[TileKey, ...],
) -> dict[str, Any]:
    size_z, size_y, size_x = spec.voxel_size
    where = [spec.coordinates(fov, key.zplane) for key in keys]
    identity = json.dumps([spec.to_json(), layout.template, layout.inner, vars(options), path])
    metadata: dict[str, Any] = {
        "UUID": f"urn:uuid:{uuid.uuid5(_NAMESPACE, identity)}",
        "Creator": _SOFTWARE,
        "Name": path,
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
