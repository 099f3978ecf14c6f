"""One file of a dataset."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from starfish_fetch.axes import Axes, TileKey
from starfish_fetch.layout import Layout
from synth._manifest import FileRecord, Options
from synth._ome import (
    OME_DTYPES,
    OME_LETTERS,
    SOFTWARE,
    linked_description,
    ome_metadata,
)
from synth.pixels import tile
from synth.spec import Spec

__all__ = ["IMAGEJ_AXES", "IMAGEJ_DTYPES", "LARGEST_CLASSIC", "digest", "write_tiff"]

# Offsets have 32 bits; the rest is left for what is not pixels.
LARGEST_CLASSIC = 2**32 - 2**25
IMAGEJ_DTYPES = ("uint8", "uint16", "float32")
IMAGEJ_AXES = (Axes.ROUND, Axes.ZPLANE, Axes.CH)
_UM_IN_CM = 1e4
_MOST_PER_CM = 2**32 - 1  # as a TIFF tag can say
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
        The file to write, which must not be there.
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
    dtype = np.dtype(spec.dtype).newbyteorder(options.byteorder)

    def planes() -> Iterator[npt.NDArray[Any]]:
        for key in keys:
            each_plane(dtype.itemsize * spec.tile_shape[0] * spec.tile_shape[1])
            plane = tile(spec, fov, *key).astype(dtype, copy=False)
            if options.tiff_tile is None:
                yield plane
            else:  # tifffile takes them one by one, and fills up those at the edges
                yield from _tiles(plane, options.tiff_tile)

    shape = (*layout.inner_shape(spec.extent(fov)), *spec.tile_shape)
    if options.format == "npy":
        _write_npy(target, shape, dtype, planes())
        return
    import tifffile

    imagej = options.format == "imagej"
    ome = options.ome and spec.dtype in OME_DTYPES and not imagej
    letters = [OME_LETTERS[axis] for axis in layout.inner]
    metadata: dict[str, Any] = {"axes": "".join(letters) + "YX"}
    described: dict[str, Any] = {"metadata": metadata}
    size_z, size_y, size_x = spec.voxel_size
    if ome and options.linked:
        ome = False  # for tifffile, which would describe this file alone
        description = linked_description(path, spec, layout, options, fov, keys)
        described = {"metadata": None, "description": description}
    elif ome:
        metadata |= ome_metadata(path, spec, layout, options, fov, keys)
    elif imagej:
        metadata |= {"spacing": size_z, "unit": "um", "Labels": list(map(_label, keys))}
        described["resolution"] = (1 / size_x, 1 / size_y)
    else:
        # Without a resolution Bio-Formats takes pixels for 1 µm wide.
        resolution = [min(_UM_IN_CM / size, _MOST_PER_CM) for size in (size_x, size_y)]
        described |= {"resolution": resolution, "resolutionunit": "CENTIMETER"}
    writer: dict[str, Any] = (
        {"imagej": True} if imagej else {"ome": ome, "shaped": not (ome or options.linked)}
    )
    with (
        _PlainFile(io.FileIO(target, "x+")) as file,
        tifffile.TiffWriter(
            file, bigtiff=options.bigtiff, byteorder=options.byteorder, **writer
        ) as tiff,
    ):
        # Planes that lie in the file as they are need not pass through tifffile, which copies them.
        as_they_are = options.compression is None and options.tiff_tile is None
        place = tiff.write(
            None if as_they_are else planes(),
            returnoffset=as_they_are,
            shape=shape,
            dtype=dtype,
            photometric="minisblack",
            # Else tifffile takes tiles of one column for samples of the axis before.
            planarconfig="contig",
            extrasamples=(),
            compression=_TAG_NAMES[options.compression],
            predictor=options.predictor or None,
            tile=options.tiff_tile,
            rowsperstrip=options.rows_per_strip,
            maxworkers=1,
            software=SOFTWARE,
            **described,
        )
        if as_they_are:
            assert place is not None
            tiff.close()
            file.seek(place[0])
            _write_planes(file, planes())


def _write_npy(
    target: Path,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    planes: Iterator[npt.NDArray[Any]],
) -> None:
    description = np.lib.format.dtype_to_descr(dtype)
    header = {"descr": description, "fortran_order": False, "shape": shape}
    with _PlainFile(io.FileIO(target, "x+")) as file:
        np.lib.format.write_array_header_1_0(file, header)
        _write_planes(file, planes)


def _write_planes(file: io.BufferedRandom, planes: Iterator[npt.NDArray[Any]]) -> None:
    for plane in planes:
        file.write(np.ascontiguousarray(plane).reshape(-1).view(np.uint8).data)


def _tiles(plane: npt.NDArray[Any], shape: tuple[int, int]) -> Iterator[npt.NDArray[Any]]:
    for top in range(0, plane.shape[0], shape[0]):
        for left in range(0, plane.shape[1], shape[1]):
            yield plane[top : top + shape[0], left : left + shape[1]]


def _label(key: TileKey) -> str:
    return f"r={key.round}, c={key.ch}, z={key.zplane}"


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
