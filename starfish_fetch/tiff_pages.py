"""The planes of a TIFF file, in the order of its pages, and where the pixels of each are."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from starfish_fetch.errors import SourceError

__all__ = ["Found", "PageReader", "Parts", "Plane"]

# What decides how the pixels of a page are stored; a page that has all of it in common with the
# first is read like the first.
_STORAGE_TAGS = frozenset(
    (256, 257, 258, 259, 262, 266, 277, 278, 284, 317, 322, 323, 338, 339, 347, 530, 32997, 32998)
)
_SUBFILE_TYPE, _STRIP_OFFSETS, _STRIP_SIZES, _TILE_OFFSETS, _TILE_SIZES = 254, 273, 279, 324, 325
_NUMBER_TAGS = {_SUBFILE_TYPE, _STRIP_OFFSETS, _STRIP_SIZES, _TILE_OFFSETS, _TILE_SIZES}
_REDUCED = 1
_NUMBERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_JPEG = {6, 7, 33007, 34892}

ReadAt = Callable[[int, int], bytes]
Storage = tuple[tuple[Any, ...], ...]


@dataclass(frozen=True, slots=True)
class Parts:
    """A plane that has to be put together from strips or tiles."""

    offsets: tuple[int, ...]
    sizes: tuple[int, ...]
    rows_per_part: int
    parts_across: int
    decode: Callable[..., Any]
    arguments: dict[str, Any]
    first: int
    """Number, among the parts of its page, of the plane's first."""


Plane = int | Parts
"""Either the offset at which the pixels lie as they are, or the parts to decode."""


class Found(NamedTuple):
    """The planes of a file."""

    dtype: np.dtype[Any]
    """Of their pixels, with the byte order of the file."""
    planes: tuple[Plane, ...]


class _Directory(NamedTuple):
    storage: Storage
    reduced: bool
    offsets: tuple[int, ...]
    sizes: tuple[int, ...]


class PageReader:
    """Finds the planes of files that are much alike.

    A page that is stored like one that was parsed before, in this file or in another, is not
    parsed again: only where its pixels are is read.

    Parameters
    ----------
    expected : int
        How many planes each file should have.
    """

    def __init__(self, expected: int) -> None:
        self._expected = expected
        self._formats: dict[bytes, Any] = {}
        self._known: dict[tuple[bytes, Storage], Any] = {}

    def planes_like_known(self, path: str, read_at: ReadAt) -> Found | None:
        """Return the planes of a file, or None if it has to be parsed by tifffile first."""
        head = read_at(0, 16)
        magic = head[:4]
        form = self._formats.get(magic)
        if form is None or len(head) < 16:
            return None
        (offset,) = struct.unpack_from(form.offsetformat, head, form.offsetsize)
        planes: list[Plane] = []
        page = None
        for directory in _directories(form, offset, path, read_at):
            if directory.reduced:
                continue
            page = self._known.get((magic, directory.storage))
            if page is None:
                return None
            planes += _planes_of_page(page, directory, path)
        if page is None or len(planes) != self._expected:
            return None
        return Found(page.dtype.newbyteorder(form.byteorder), tuple(planes))

    def planes_of(self, tiff: Any, path: str, read_at: ReadAt) -> Found:
        """Return the planes of a file.

        Pages follow each other as in the file, whatever its metadata say of their order. A stack
        of three or four planes is often written as the samples of one colour page; these are
        planes here. Copies of reduced size are left out.

        Parameters
        ----------
        tiff : tifffile.TiffFile
            The open file.
        path : str
            Its name, for messages.
        read_at : callable
            Reads (offset, size) bytes, or fewer at the end of the file.

        Raises
        ------
        SourceError
            If there are more or fewer than expected, or they are not all of one shape and dtype.
        """
        form, first = tiff.tiff, tiff.pages.first
        directories = list(_directories(form, first.offset, path, read_at))
        pages: dict[Storage, Any] = {directories[0].storage: first}
        planes: list[Plane] = []
        for number, directory in enumerate(directories):
            if directory.reduced:
                continue
            page = pages.get(directory.storage)
            if page is None:
                page = pages[directory.storage] = tiff.pages[number]
            if page.shaped != first.shaped or page.dtype != first.dtype:
                raise SourceError(
                    f"{path}: page {number} is {page.dtype} of the shape {page.shape}, page 0 is "
                    f"{first.dtype} of the shape {first.shape}"
                )
            planes += _planes_of_page(page, directory, path)
        if len(directories) == 1 and len(planes) < self._expected:
            planes = _planes_behind_one_page(tiff) or planes
        if len(planes) != self._expected:
            raise SourceError(
                f"{path}: {len(planes)} planes found; the layout and the extent expect "
                f"{self._expected}"
            )
        magic = read_at(0, 4)
        self._formats[magic] = form
        self._known.update({(magic, storage): page for storage, page in pages.items()})
        return Found(first.dtype.newbyteorder(form.byteorder), tuple(planes))


def _planes_of_page(page: Any, directory: _Directory, path: str) -> Iterator[Plane]:
    samples, depth, rows, columns, _ = page.shaped
    offsets, sizes = directory.offsets, directory.sizes
    if not offsets or 0 in offsets:
        raise SourceError(f"{path} has a plane whose pixels were never written")
    in_one_piece = all(
        start + size == following
        for start, size, following in zip(offsets, sizes, offsets[1:], strict=False)
    )
    if page.is_final and in_one_piece:
        plane_bytes = rows * columns * page.dtype.itemsize
        for number in range(samples * depth):
            yield offsets[0] + number * plane_bytes
        return
    if depth != 1:
        raise SourceError(f"{path} has compressed volumes; each plane must be a page")
    arguments = {}
    if page.compression in _JPEG:
        arguments = {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader}
    tiled = page.is_tiled
    for number in range(samples):
        yield Parts(
            offsets,
            sizes,
            page.tilelength if tiled else min(page.rowsperstrip, rows),
            -(-columns // page.tilewidth) if tiled else 1,
            page.decode,
            arguments,
            number * (len(offsets) // samples),
        )


def _planes_behind_one_page(tiff: Any) -> list[Plane] | None:
    """Return the planes of a file that describes all of them in its only page, as ImageJ does."""
    series = tiff.series[0]
    start = series.dataoffset
    if start is None:
        return None
    plane_bytes = tiff.pages.first.imagelength * tiff.pages.first.imagewidth
    plane_bytes *= series.dtype.itemsize
    return list(range(start, start + series.nbytes, plane_bytes))


def _directories(form: Any, offset: int, path: str, read_at: ReadAt) -> Iterator[_Directory]:
    """Yield the image file directories of a file.

    tifffile parses every tag of a page, or none but the offsets; to know that a page is stored
    like the first, without the cost of the former, its entries are compared as they are.
    """
    seen: set[int] = set()
    while offset:
        if offset in seen:
            raise SourceError(f"{path} is damaged: its pages lead back to each other")
        seen.add(offset)
        head = read_at(offset, 512)
        if len(head) < form.tagnosize:
            raise _truncated(path, len(seen))
        (count,) = struct.unpack_from(form.tagnoformat, head)
        size = form.tagnosize + count * form.tagsize + form.offsetsize
        if len(head) < size:
            head = read_at(offset, size)
        if len(head) < size:
            raise _truncated(path, len(seen))
        entries = head[form.tagnosize : size - form.offsetsize]
        yield _directory(entries, form, path, read_at)
        (offset,) = struct.unpack_from(form.offsetformat, head, size - form.offsetsize)


def _directory(entries: bytes, form: Any, path: str, read_at: ReadAt) -> _Directory:
    storage = []
    values: dict[int, tuple[int, ...]] = {}
    for entry in struct.iter_unpack(form.tagformat1 + form.tagformat2[1:], entries):
        code, kind, count, value = entry
        if code in _STORAGE_TAGS:
            storage.append(entry)
        elif code in _NUMBER_TAGS:
            values[code] = _numbers(kind, count, value, form, path, read_at)
    tiled = _TILE_OFFSETS in values
    return _Directory(
        storage=tuple(storage),
        reduced=bool(values.get(_SUBFILE_TYPE, (0,))[0] & _REDUCED),
        offsets=values.get(_TILE_OFFSETS if tiled else _STRIP_OFFSETS, ()),
        sizes=values.get(_TILE_SIZES if tiled else _STRIP_SIZES, ()),
    )


def _numbers(
    kind: int, count: int, value: bytes, form: Any, path: str, read_at: ReadAt
) -> tuple[int, ...]:
    letter = _NUMBERS.get(kind)
    if letter is None or not count:
        raise SourceError(f"{path} is damaged: offsets of its pixels are not whole numbers")
    layout = f"{form.byteorder}{count}{letter}"
    size = struct.calcsize(layout)
    if size > len(value):
        (place,) = struct.unpack(form.offsetformat, value)
        value = read_at(place, size)
        if len(value) < size:
            raise SourceError(f"{path} is truncated: offsets of its pixels are missing")
    return struct.unpack_from(layout, value)


def _truncated(path: str, page: int) -> SourceError:
    return SourceError(f"{path} is truncated: what describes page {page - 1} is missing")
