"""Planes out of TIFF files: each header parsed once, few files open, rows read from their place."""

from __future__ import annotations

import errno
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starfish_fetch.errors import SourceError, naming
from starfish_fetch.open_file import OpenFile, Readable, read_into
from starfish_fetch.tiff_pages import Found, PageReader, Parts, Plane
from starfish_fetch.tiff_parts import decode_part

__all__ = ["Header", "TiffFiles"]

_MAX_OPEN = 64
_MAX_HEADERS = 1 << 16


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says of its planes."""

    identity: tuple[int, int, int]
    dtype: np.dtype[Any]
    planes: tuple[Plane, ...]


class _Rows:
    """Reads rows of one plane from their place in the file."""

    __slots__ = ("_file", "_identity", "_offset", "_path", "_row_bytes", "dtype")

    def __init__(
        self,
        file: OpenFile,
        path: str,
        header: Header,
        offset: int,
        columns: int,
        first_row: int,
    ) -> None:
        self._file = file
        self._path = path
        self._identity = header.identity
        self.dtype = header.dtype
        self._row_bytes = columns * header.dtype.itemsize
        self._offset = offset + first_row * self._row_bytes

    def read(self, row: int, out: NDArray[Any]) -> None:
        offset = self._offset + row * self._row_bytes
        read_into(self._file, out, offset, self._path)
        _check_unchanged(self._file, self._identity, self._path)


def _most_open() -> int:
    """Return how many files may be kept open, so that most descriptors are left to others."""
    try:
        import resource
    except ImportError:  # not on Windows
        return _MAX_OPEN
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MAX_OPEN if allowed == resource.RLIM_INFINITY else max(1, min(_MAX_OPEN, allowed // 4))


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
        self._count = pages
        self._dtype = dtype
        self._start()

    def _start(self) -> None:
        self._pages = PageReader(self._count)
        self._process = os.getpid()
        self._open: OrderedDict[str, tuple[OpenFile, Header]] = OrderedDict()
        self._headers: OrderedDict[str, Header] = OrderedDict()
        self._lock = threading.Lock()
        self._most_open = _most_open()

    def __getstate__(self) -> tuple[tuple[int, int], int, np.dtype[Any] | None]:
        return self._shape, self._count, self._dtype

    def __setstate__(self, state: tuple[tuple[int, int], int, np.dtype[Any] | None]) -> None:
        self._shape, self._count, self._dtype = state
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
        plane = header.planes[page]
        if isinstance(plane, Parts):
            decoded = self._decode(file, header, plane, path, rows)
            _check_unchanged(file, header.identity, path)
            return decoded
        pixels = np.empty((rows.stop - rows.start, self._shape[1]), header.dtype)
        _Rows(file, path, header, plane, self._shape[1], rows.start).read(0, pixels)
        return pixels

    def row_reader(self, path: str, page: int, rows: slice) -> _Rows | None:
        """Return a reader of some rows of a plane, or None if they have to be decoded.

        Raises
        ------
        OSError, SourceError
            As :meth:`read`.
        """
        file, header = self._file(path)
        plane = header.planes[page]
        if isinstance(plane, Parts):
            return None
        return _Rows(file, path, header, plane, self._shape[1], rows.start)

    def _decode(
        self, file: OpenFile, header: Header, plane: Parts, path: str, rows: slice
    ) -> NDArray[Any]:
        height, width = self._shape
        part = plane.part
        first = rows.start // part.rows * plane.parts_across
        last = -(-min(rows.stop, height) // part.rows) * plane.parts_across
        numbers = range(plane.first + first, plane.first + last)
        for number in numbers:
            offset, size = plane.offsets[number], plane.sizes[number]
            if offset + size > header.identity[1]:
                raise SourceError(
                    f"{path} is truncated: part {number} of a plane lies at {offset} and has "
                    f"{size} bytes, the file has {header.identity[1]}; copy it again"
                )
        spans = [(plane.offsets[number], plane.stored(number)) for number in numbers]
        ahead = file.ahead(spans)
        pixels: NDArray[Any] | None = None
        for number, (offset, size) in zip(numbers, spans, strict=True):
            # Not kept here, so that no more is held at a time than twice the plane.
            decoded, top, left = decode_part(plane, number, _bytes(ahead, offset, size, path), path)
            start, stop = max(top, rows.start), min(top + part.rows, rows.stop)
            wanted = decoded[start - top : stop - top, : width - left]
            needed = stop - start, min(part.columns, width - left)
            if wanted.shape != needed:
                raise SourceError(
                    f"{path}: part {number} of a plane holds the shape {decoded.shape}; expected "
                    f"at least {needed} (rows, columns); write it again"
                )
            if len(numbers) == 1 and wanted.flags.c_contiguous and decoded.flags.writeable:
                return wanted.astype(header.dtype, copy=False)
            if pixels is None:
                pixels = np.empty((rows.stop - rows.start, width), header.dtype)
            pixels[start - rows.start : stop - rows.start, left : left + needed[1]] = wanted
            del decoded, wanted
        return np.empty((0, width), header.dtype) if pixels is None else pixels

    def _file(self, path: str) -> tuple[OpenFile, Header]:
        if self._process != os.getpid():  # a fork may have left the lock taken
            self._start()
        # Opening under the lock keeps two threads from opening one file twice.
        with self._lock:
            return self._kept(path) or self._keep(path, *self._fresh(path))

    def _kept(self, path: str) -> tuple[OpenFile, Header] | None:
        known = self._open.get(path)
        if known is None:
            return None
        file, header = known
        with suppress(OSError):  # a server may no longer know the file that was opened
            if file.is_still(header.identity):
                self._open.move_to_end(path)
                return known
        del self._open[path]
        return None

    def _fresh(self, path: str) -> tuple[OpenFile, Header]:
        file = self._open_file(path)
        with naming(path):
            identity = file.identity()
        header = self._headers.get(path)
        if header is None or header.identity != identity:
            header = self._parse(file, path, identity)
        return file, header

    def _keep(self, path: str, file: OpenFile, header: Header) -> tuple[OpenFile, Header]:
        self._headers[path] = header
        self._headers.move_to_end(path)
        if len(self._headers) > _MAX_HEADERS:
            self._headers.popitem(last=False)
        self._open[path] = file, header
        if len(self._open) > self._most_open:
            self._open.popitem(last=False)
        return file, header

    def _open_file(self, path: str) -> OpenFile:
        try:
            return OpenFile(path)
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE) or not self._open:
                raise
            self._open.clear()
            return OpenFile(path)

    def _parse(self, file: OpenFile, path: str, identity: tuple[int, int, int]) -> Header:
        def read_from(offset: int, size: int) -> bytes:
            # What a damaged file asks for may be more than it has, and than there is memory.
            there = min(size, identity[1] - offset)
            return file.read_at(offset, there) if there > 0 else b""

        try:
            found = self._pages.planes_like_known(path, read_from, identity[1])
            if found is None:
                found = self._found(file, path, read_from, identity[1])
        except SourceError:
            raise
        except OSError as error:
            error.filename = path
            raise
        except Exception as error:
            remedy = ""
            if read_from(0, 6) == b"\x93NUMPY":
                remedy = "; it is a .npy file: read it with NpyTileFetcher"
            raise SourceError(f"{path} is not a readable TIFF file: {error}{remedy}") from error
        return Header(identity, found.dtype, found.planes)

    def _found(
        self, file: OpenFile, path: str, read_at: Callable[[int, int], bytes], size: int
    ) -> Found:
        from tifffile import TiffFile

        with ExitStack() as opened:
            stream = opened.enter_context(file.stream())

            def open_tiff() -> TiffFile:
                # Metadata that name other files have no say.
                tiff = TiffFile(stream, name=os.path.basename(path), _multifile=False)
                return opened.enter_context(tiff)

            return self._pages.planes_of(open_tiff, path, read_at, size, self._check)

    def _check(self, page: Any, path: str) -> None:
        """Raise SourceError unless a page is what every page should be."""
        _, _, rows, columns, colours = page.shaped
        if colours != 1 or (rows, columns) != self._shape:
            raise SourceError(
                f"{path} has planes of the shape {page.shape}; expected {self._shape} "
                "(rows, columns)"
            )
        if page.dtype is None:
            raise SourceError(f"{path} holds pixels of a type that no dtype describes")
        if self._dtype is not None and page.dtype != self._dtype.newbyteorder("="):
            raise SourceError(f"{path} holds {page.dtype}; expected {self._dtype.name}")


def _bytes(file: Readable, offset: int, size: int, path: str) -> bytearray:
    encoded = bytearray(size)
    read_into(file, np.frombuffer(encoded, np.uint8), offset, path)
    return encoded


def _check_unchanged(file: OpenFile, identity: tuple[int, int, int], path: str) -> None:
    """Raise SourceError if a file is no longer the one whose header was parsed."""
    with naming(path):
        unchanged = file.is_still(identity)
    if not unchanged:
        raise SourceError(f"{path} was changed while it was read: load again when it is finished")
