"""One file of a dataset."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from starfish_fetch.axes import Axes, TileKey
from starfish_fetch.encoded import check_encoded
from starfish_fetch.layout import Layout
from synth._manifest import FileRecord, Options
from synth._ome import (
    OME_DTYPES,
    OME_LETTERS,
    SOFTWARE,
    linked_description,
    ome_metadata,
)
from synth.pixels import pieces, tile
from synth.spec import Spec

__all__ = [
    "IMAGEJ_AXES",
    "IMAGEJ_DTYPES",
    "LARGEST_CLASSIC",
    "check_stored",
    "digest",
    "write_tiff",
]

# Offsets have 32 bits; the rest is left for what is not pixels.
LARGEST_CLASSIC = 2**32 - 2**25
IMAGEJ_DTYPES = ("uint8", "uint16", "float32")
IMAGEJ_AXES = (Axes.ROUND, Axes.ZPLANE, Axes.CH)
_READ_BYTES = 2**18
_UM_IN_CM = 1e4
_MOST_PER_CM = 2**32 - 1  # as a TIFF tag can say
_TAG_NAMES = {None: None, "deflate": "zlib", "lzw": "lzw", "zstd": "zstd"}
_TAG_NUMBERS = {None: 1, "deflate": 8, "lzw": 5, "zstd": 50000}


def write_tiff(
    target: Path,
    path: str,
    spec: Spec,
    layout: Layout,
    options: Options,
    fov: int,
    keys: tuple[TileKey, ...],
    each_plane: Callable[[int], None],
) -> int | None:
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

    Returns
    -------
    int or None
        The offset at which the pixels of all planes begin, if they lie in the file as they are, in
        one piece.
    """
    dtype = np.dtype(spec.dtype).newbyteorder(options.byteorder)

    def each_key() -> Iterator[TileKey]:
        for key in keys:
            each_plane(spec.tile_bytes)
            yield key

    def write_pixels(file: io.BufferedRandom) -> int:
        offset = file.tell()
        for key in each_key():
            for piece in pieces(spec, fov, *key):
                file.write(piece.astype(dtype, copy=False).view(np.uint8).data)
        return offset

    def planes() -> Iterator[npt.NDArray[Any]]:
        for key in each_key():
            # Without an axis of samples tifffile takes a single column for it: a predictor would
            # then go down the column, and readers go along the row.
            plane = tile(spec, fov, *key).astype(dtype, copy=False)[..., np.newaxis]
            if options.tiff_tile is None:
                yield plane
            else:  # tifffile takes them one by one, and fills up those at the edges
                yield from _tiles(plane, options.tiff_tile)

    shape = (*layout.inner_shape(spec.extent(fov)), *spec.tile_shape)
    if options.format == "npy":
        with _PlainFile(io.FileIO(target, "x+")) as file:
            descr = np.lib.format.dtype_to_descr(dtype)
            header = {"descr": descr, "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            return write_pixels(file)
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
        if spec.tile_shape[1] == 1:
            # Of a hyperstack, tifffile drops a last axis of one: let it not be the columns.
            shape, metadata["axes"] = (*shape, 1), metadata["axes"] + "S"
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
        place = tiff.write(
            None if options.as_they_are else planes(),
            returnoffset=options.as_they_are,
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
        if options.as_they_are:
            assert place is not None
            tiff.close()
            file.seek(place[0])
            return write_pixels(file)
    return None


def _tiles(plane: npt.NDArray[Any], shape: tuple[int, int]) -> Iterator[npt.NDArray[Any]]:
    for top in range(0, plane.shape[0], shape[0]):
        for left in range(0, plane.shape[1], shape[1]):
            yield plane[top : top + shape[0], left : left + shape[1]]


def _label(key: TileKey) -> str:
    return f"r={key.round}, c={key.ch}, z={key.zplane}"


def check_stored(page: Any, compression: str | None, tiff_tile: tuple[int, int] | None) -> None:
    """Raise ValueError if a page is stored otherwise than it was written.

    What a codec is then given may take any amount of memory, or end the process.
    """
    scheme, wanted = int(page.compression), _TAG_NUMBERS[compression]
    if scheme != wanted:
        raise ValueError(f"it is compressed by the scheme {scheme}, not {wanted}")
    rows, columns = page.shape
    if page.is_tiled:
        rows, columns = page.tilelength, page.tilewidth
    if (rows, columns) != (tiff_tile or page.shape) or page.tiledepth != 1:
        raise ValueError(
            f"it is cut into tiles of {rows} rows and {columns} columns, not {tiff_tile}"
        )
    if compression is None and not page.is_tiled:
        return
    file, nbytes = page.parent.filehandle, rows * columns * page.dtype.itemsize
    for offset, size in zip(page.dataoffsets, page.databytecounts, strict=True):
        if offset + size > file.size:
            raise ValueError(f"{size} bytes of it at {offset} lie beyond the end")
        file.seek(offset)
        check_encoded(bytearray(file.read(size)), scheme, rows, columns, nbytes)


def digest(path: Path, pixels_at: int | None = None, pixel_bytes: int = 0) -> FileRecord:
    """Return the SHA-256 and the size of a file.

    Parameters
    ----------
    path : Path
        The file.
    pixels_at : int, optional
        Where the pixels begin, which are left out of the SHA-256. Default: nothing is left out.
    pixel_bytes : int, optional
        How many there are.
    """
    sha256 = hashlib.sha256()
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = size if pixels_at is None else pixels_at
        for start, end in ((0, head), (head + pixel_bytes, size)):
            file.seek(start)
            while data := file.read(min(_READ_BYTES, max(0, end - file.tell()))):
                sha256.update(data)
    return FileRecord(sha256.hexdigest(), size, pixels_at)


class _PlainFile(io.BufferedRandom):
    """A file without a descriptor.

    numpy writes into a descriptor past Python, and then reports a full disk without its errno.
    """

    def fileno(self) -> int:
        raise io.UnsupportedOperation("fileno")
