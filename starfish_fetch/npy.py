"""NpyTileFetcher: tiles out of ``.npy`` files in any layout."""

from __future__ import annotations

from io import BytesIO
from math import prod
from typing import Any

import numpy as np

from starfish_fetch.errors import SourceError
from starfish_fetch.open_file import OpenFile
from starfish_fetch.tiff import TiffTileFetcher
from starfish_fetch.tiff_file import Header, TiffFiles

__all__ = ["NpyTileFetcher"]

_LARGEST_HEADER = 1 << 16
_MOST_AXES = 32  # of an array of numpy 1, which newer ones allow more
_MOST_PLANES = 1 << 63
"""More may be a number that is longer than its file."""


class NpyFiles(TiffFiles):
    """Reads planes of ``.npy`` files that are all alike. Safe from several threads."""

    def _parse(self, file: OpenFile, path: str, identity: tuple[int, int, int]) -> Header:
        try:
            stream = BytesIO(file.read_at(0, min(_LARGEST_HEADER, identity[1])))
        except OSError as error:
            error.filename = path
            raise
        try:
            version = np.lib.format.read_magic(stream)
            if version not in ((1, 0), (2, 0)):
                raise ValueError(f"its format is {version}")  # noqa: TRY301
            read = np.lib.format.read_array_header_1_0
            if version == (2, 0):
                read = np.lib.format.read_array_header_2_0
            shape, columns_first, dtype = read(stream)
        except Exception as error:
            raise SourceError(f"{path} is not a readable .npy file: {error!s:.500}") from error
        self._check_array(shape, columns_first, dtype, path)
        plane_bytes = prod(self._shape) * dtype.itemsize
        starts = (stream.tell() + number * plane_bytes for number in range(self._count))
        return Header(identity, dtype, tuple(starts))

    def _check_array(
        self, shape: tuple[int, ...], columns_first: bool, dtype: np.dtype[Any], path: str
    ) -> None:
        """Raise SourceError unless an array is what every array should be."""
        if dtype.kind not in "uif":
            raise SourceError(f"{path} holds {dtype!s:.100}; pixels are integers or floats")
        if columns_first:
            raise SourceError(f"{path} is in Fortran order: save numpy.ascontiguousarray of it")
        if len(shape) > _MOST_AXES:
            raise SourceError(
                f"{path} holds an array of {len(shape)} axes; at most {_MOST_AXES} are read"
            )
        whole = all(type(size) is int and size >= 0 for size in shape)
        if shape[-2:] != self._shape or not whole:
            raise SourceError(
                f"{path} holds an array of the shape {shape!s:.200}; expected {self._shape} "
                "(rows, columns) at its end"
            )
        planes = prod(shape[:-2])
        if planes != self._count:
            found = planes if planes < _MOST_PLANES else f"at least {_MOST_PLANES}"
            raise SourceError(
                f"{path}: {found} planes found; the layout and the extent expect {self._count}"
            )
        if self._dtype is not None and dtype.newbyteorder("=") != self._dtype.newbyteorder("="):
            raise SourceError(f"{path} holds {dtype}; expected {self._dtype.name}")


class NpyTileFetcher(TiffTileFetcher):
    """Fetches tiles from ``.npy`` files cut by any :class:`Layout`.

    An array has the axes inside its file, slowest first as the layout has them, then rows and
    columns; several axes may as well be one. All else is as of :class:`TiffTileFetcher`.

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> import starfish_fetch as sf
    >>> extent = sf.Extent({"y": 4, "x": 6}, fov=0, rounds=[0, 1], chs=[0, 1], zplanes=[0])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for r in range(2):
    ...         np.save(f"{folder}/r{r}.npy", np.full((2, 1, 4, 6), r, np.uint8))
    ...     with sf.NpyTileFetcher(folder, sf.Layout("r{r}.npy", inner="cz"), extent) as fetcher:
    ...         print(fetcher.get_tile(0, 1, 0, 0).tile_data().mean())
    1.0
    """

    _kind_of_files = NpyFiles
