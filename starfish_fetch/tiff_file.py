"""Planes out of TIFF files: each header parsed once, few files open, rows read from their place."""

from __future__ import annotations

import errno
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starfish_fetch.errors import SourceError

__all__ = ["TiffFiles"]

_MAX_OPEN = 64
_MAX_HEADERS = 1 << 16
_JPEG = {6, 7, 33007, 34892}


@dataclass(frozen=True, slots=True)
class _Page:
    """Where the parts of one compressed or scattered plane are."""

    offsets: tuple[int, ...]
    sizes: tuple[int, ...]
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Header:
    """What a file says of its planes."""

    identity: tuple[int, int, int]
    dtype: np.dtype[Any]
    offsets: tuple[int, ...]
    """Of each plane whose pixels lie in the file as they are; else empty."""
    pages: tuple[_Page, ...]
    """All other planes."""
    planes_per_page: int
    rows_per_part: int
    parts_across: int
    decode: Callable[..., Any] | None


class _OpenFile:
    """A file descriptor, closed when nobody reads from it any more."""

    __slots__ = ("descriptor",)

    def __init__(self, path: str) -> None:
        flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
        self.descriptor = os.open(path, flags)

    def __del__(self) -> None:
        if hasattr(self, "descriptor"):
            os.close(self.descriptor)


class _Rows:
    """Reads rows of one plane from their place in the file."""

    __slots__ = ("_file", "_offset", "_path", "_row_bytes", "dtype")

    def __init__(
        self, file: _OpenFile, header: _Header, path: str, page: int, rows: slice, columns: int
    ) -> None:
        self._file = file
        self._path = path
        self.dtype = header.dtype
        self._row_bytes = columns * header.dtype.itemsize
        self._offset = header.offsets[page] + rows.start * self._row_bytes

    def read(self, row: int, out: NDArray[Any]) -> None:
        offset = self._offset + row * self._row_bytes
        _read_into(self._file.descriptor, out, offset, self._path)


class TiffFiles:
    """Reads planes of TIFF files that are all alike. Safe from several threads.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns of every plane.
    pages : int
        Planes in every file.
    dtype : numpy.dtype, optional
        Of every plane. Default: whatever the files have.
    """

    def __init__(
        self, shape: tuple[int, int], pages: int, dtype: np.dtype[Any] | None = None
    ) -> None:
        self._shape = shape
        self._pages = pages
        self._dtype = dtype
        self._start()

    def _start(self) -> None:
        self._open: OrderedDict[str, _OpenFile] = OrderedDict()
        self._headers: OrderedDict[str, _Header] = OrderedDict()
        self._lock = threading.Lock()

    def __getstate__(self) -> tuple[tuple[int, int], int, np.dtype[Any] | None]:
        return self._shape, self._pages, self._dtype

    def __setstate__(self, state: tuple[tuple[int, int], int, np.dtype[Any] | None]) -> None:
        self._shape, self._pages, self._dtype = state
        self._start()

    def close(self) -> None:
        """Close all files, once nobody reads from them."""
        with self._lock:
            self._open.clear()

    def read(self, path: str, page: int, rows: slice) -> NDArray[Any]:
        """Return some rows of a plane.

        Parameters
        ----------
        path : str
            The file.
        page : int
            The plane's number in it, from 0.
        rows : slice
            With start and stop given, within the plane.

        Raises
        ------
        OSError
            If the file cannot be opened or read.
        SourceError
            If it is no TIFF, or not one of the shape, page count and dtype expected.
        MissingExtraError
            If it is compressed in a way that needs imagecodecs.
        """
        file, header = self._file(path)
        if not header.offsets:
            return self._decode(file, header, path, page, rows)
        pixels = np.empty((rows.stop - rows.start, self._shape[1]), header.dtype)
        _Rows(file, header, path, page, rows, self._shape[1]).read(0, pixels)
        return pixels

    def row_reader(self, path: str, page: int, rows: slice) -> _Rows | None:
        """Return a reader of some rows of a plane, or None if they have to be decoded.

        Raises
        ------
        OSError, SourceError
            As :meth:`read`.
        """
        file, header = self._file(path)
        if not header.offsets:
            return None
        return _Rows(file, header, path, page, rows, self._shape[1])

    def _decode(
        self, file: _OpenFile, header: _Header, path: str, page: int, rows: slice
    ) -> NDArray[Any]:
        number, sample = divmod(page, header.planes_per_page)
        where = header.pages[number]
        pixels = np.empty((rows.stop - rows.start, self._shape[1]), header.dtype)
        # Each sample of a page has its own parts, one sample after another.
        parts = len(where.offsets) // header.planes_per_page
        first = rows.start // header.rows_per_part * header.parts_across
        last = -(-rows.stop // header.rows_per_part) * header.parts_across
        for part in range(sample * parts + first, sample * parts + min(last, parts)):
            size = where.sizes[part]
            encoded = _read_bytes(file.descriptor, size, where.offsets[part], path)
            decoded, (_, _, top, left, _), _ = _decoded(header, path, encoded, part, where)
            start, stop = max(top, rows.start), min(top + decoded.shape[1], rows.stop)
            pixels[start - rows.start : stop - rows.start, left : left + decoded.shape[2]] = (
                decoded[0, start - top : stop - top, : self._shape[1] - left, 0]
            )
        return pixels

    def _file(self, path: str) -> tuple[_OpenFile, _Header]:
        # Opening under the lock keeps two threads from opening one file twice.
        with self._lock:
            file = self._open.get(path)
            if file is not None:
                self._open.move_to_end(path)
                return file, self._headers[path]
            file = self._open_file(path)
            status = os.fstat(file.descriptor)
            identity = status.st_ino, status.st_size, status.st_mtime_ns
            header = self._headers.get(path)
            if header is None or header.identity != identity:
                header = self._parse(file, path, identity)
            self._headers[path] = header
            self._headers.move_to_end(path)
            if len(self._headers) > _MAX_HEADERS:
                self._headers.popitem(last=False)
            self._open[path] = file
            if len(self._open) > _MAX_OPEN:
                self._open.popitem(last=False)
            return file, header

    def _open_file(self, path: str) -> _OpenFile:
        try:
            return _OpenFile(path)
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE) or not self._open:
                raise
            self._open.clear()
            return _OpenFile(path)

    def _parse(self, file: _OpenFile, path: str, identity: tuple[int, int, int]) -> _Header:
        from tifffile import TiffFile

        try:
            with (
                open(file.descriptor, "rb", closefd=False) as stream,
                # As OME, tifffile would follow the names of other files, and reorder pages.
                TiffFile(stream, name=os.path.basename(path), is_ome=False) as tiff,
            ):
                return self._header(tiff, path, identity)
        except SourceError:
            raise
        except OSError as error:
            error.filename = path
            raise
        except Exception as error:
            raise SourceError(f"{path} is not a readable TIFF file: {error}") from error

    def _header(self, tiff: Any, path: str, identity: tuple[int, int, int]) -> _Header:
        series = tiff.series[0]
        keyframe = series.keyframe
        samples, depth, rows, columns, colours = keyframe.shaped
        if colours != 1 or (rows, columns) != self._shape:
            raise SourceError(
                f"{path} has planes of the shape {keyframe.shape}; expected {self._shape} "
                "(rows, columns)"
            )
        count = series.size // (rows * columns)
        if count != self._pages:
            raise SourceError(
                f"{path}: {count} planes found; the layout and the extent expect {self._pages}"
            )
        if keyframe.dtype is None:
            raise SourceError(f"{path} holds pixels of a type that no dtype describes")
        dtype = keyframe.dtype.newbyteorder(tiff.byteorder)
        if self._dtype is not None and dtype.newbyteorder("=") != self._dtype.newbyteorder("="):
            raise SourceError(f"{path} holds {dtype.name}; expected {self._dtype.name}")
        offsets: tuple[int, ...] = ()
        pages: tuple[_Page, ...] = ()
        decode = None
        # A stack of three or four planes is often written as the samples of one colour page.
        per_page = samples * depth
        plane = rows * columns * dtype.itemsize
        start = series.dataoffset
        if start is not None:
            offsets = tuple(range(start, start + count * plane, plane))
        elif len(series) * per_page != count or depth != 1:
            raise SourceError(f"{path} has compressed planes that are not pages")
        elif all(page.is_final for page in series):
            offsets = tuple(
                page.dataoffsets[0] + sample * plane for page in series for sample in range(samples)
            )
        else:
            decode = keyframe.decode
            pages = tuple(map(_page_of, series))
        return _Header(
            identity=identity,
            dtype=dtype,
            offsets=offsets,
            pages=pages,
            planes_per_page=per_page,
            rows_per_part=keyframe.tilelength
            if keyframe.is_tiled
            else min(keyframe.rowsperstrip, rows),
            parts_across=-(-columns // keyframe.tilewidth) if keyframe.is_tiled else 1,
            decode=decode,
        )


def _page_of(page: Any) -> _Page:
    arguments = {}
    if page.keyframe.compression in _JPEG:
        arguments = {"jpegtables": page.jpegtables, "jpegheader": page.keyframe.jpegheader}
    return _Page(tuple(page.dataoffsets), tuple(page.databytecounts), arguments)


def _decoded(header: _Header, path: str, encoded: bytes, part: int, where: _Page) -> Any:
    assert header.decode is not None
    try:
        return header.decode(encoded, part, **where.arguments)
    except Exception as error:
        if "imagecodecs" in str(error):
            from starfish_fetch.errors import require

            raise require("imagecodecs", "codecs", f"reading {path}") from error
        raise SourceError(f"{path}: part {part} of a plane cannot be decoded: {error}") from error


def _read_bytes(descriptor: int, size: int, offset: int, path: str) -> bytes:
    if size == 0:
        raise SourceError(f"{path} has a plane whose pixels were never written")
    buffer = np.empty(size, np.uint8)
    _read_into(descriptor, buffer, offset, path)
    return buffer.tobytes()


def _read_into(descriptor: int, target: NDArray[Any], offset: int, path: str) -> None:
    """Fill an array from a place in a file, whatever the position of the file is."""
    view = target.reshape(-1).view(np.uint8).data
    done = 0
    while done < len(view):
        try:
            count = _read_at(descriptor, view[done:], offset + done)
        except OSError as error:
            error.filename = path
            raise
        if count == 0:
            raise SourceError(
                f"{path} is truncated: {len(view)} bytes were expected at offset {offset}, "
                f"{done} are there"
            )
        done += count


def _preadv(descriptor: int, target: memoryview, offset: int) -> int:
    return os.preadv(descriptor, [target], offset)


_seeking = threading.Lock()


def _seek_and_read(descriptor: int, target: memoryview, offset: int) -> int:
    with _seeking:
        os.lseek(descriptor, offset, os.SEEK_SET)
        found = os.read(descriptor, len(target))
    target[: len(found)] = found
    return len(found)


_read_at = _preadv if hasattr(os, "preadv") else _seek_and_read
