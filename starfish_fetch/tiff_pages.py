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
_STORAGE_TAGS = frozenset({
    256, 257, 258, 259, 262, 266, 277, 278, 284, 292, 293, 317, 322, 323, 338, 339, 347, 530,
    32997, 32998,
})  # fmt: skip
_SUBFILE_TYPE, _STRIP_OFFSETS, _STRIP_SIZES, _TILE_OFFSETS, _TILE_SIZES = 254, 273, 279, 324, 325
_NUMBER_TAGS = {_SUBFILE_TYPE, _STRIP_OFFSETS, _STRIP_SIZES, _TILE_OFFSETS, _TILE_SIZES}
_REDUCED = 1
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 6: 1, 7: 1, 8: 2, 9: 4, 11: 4, 13: 4}
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
    inline: bool
    """Whether all of the storage stands in the directory, not elsewhere in the file."""
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

    def planes_like_known(self, path: str, read_at: ReadAt, size: int) -> Found | None:
        """Return the planes of a file, or None if it has to be parsed by tifffile first."""
        head = read_at(0, 16)
        magic = head[:4]
        form = self._formats.get(magic)
        if form is None or len(head) < 16:
            return None
        (offset,) = struct.unpack_from(form.offsetformat, head, form.offsetsize)
        planes: list[Plane] = []
        first = None
        directories = list(_directories(form, offset, path, read_at))
        for directory in directories:
            if directory.reduced:
                continue
            page = self._known.get((magic, directory.storage)) if directory.inline else None
            if page is None:
                return None
            first = page if first is None else first
            if page.shaped != first.shaped or page.dtype != first.dtype:
                return None
            planes += _planes_of_page(page, directory, path, self._expected)
        if first is None or len(planes) != self._expected:
            return None
        if len(directories) == 1 and _has_room_for_more(first, planes, size):
            return None
        return Found(first.dtype.newbyteorder(form.byteorder), tuple(planes))

    def planes_of(
        self,
        tiff: Any,
        path: str,
        read_at: ReadAt,
        size: int,
        check: Callable[[Any, str], None],
    ) -> Found:
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
        size : int
            Of the file, in bytes.
        check : callable
            Called with the first page and the path; raises if it is not what it should be.

        Raises
        ------
        SourceError
            If there are more or fewer than expected, or they are not all of one shape and dtype.
        """
        form = tiff.tiff
        directories = list(_directories(form, tiff.pages.first.offset, path, read_at))
        pages: dict[Storage, Any] = {}
        planes: list[Plane] = []
        first = None
        for number, directory in enumerate(directories):
            if directory.reduced:
                continue
            page = pages.get(directory.storage)
            if page is None:
                page = pages[directory.storage] = tiff.pages[number]
            if first is None:
                first = page
                check(first, path)
            if page.shaped != first.shaped or page.dtype != first.dtype:
                raise SourceError(
                    f"{path}: page {number} is {page.dtype} of the shape {page.shape}, the first "
                    f"is {first.dtype} of the shape {first.shape}"
                )
            planes += _planes_of_page(page, directory, path, self._expected)
        if first is None:
            raise SourceError(f"{path} has nothing but copies of reduced size")
        if len(directories) == 1 and _has_room_for_more(first, planes, size):
            planes = _planes_behind_one_page(tiff, path, self._expected) or planes
        if len(planes) != self._expected:
            raise _miscounted(path, len(planes), self._expected)
        magic = read_at(0, 4)
        self._formats[magic] = form
        for directory in directories:
            # A value that stands elsewhere in the file is not compared, so it may differ.
            if directory.inline and not directory.reduced:
                self._known[magic, directory.storage] = pages[directory.storage]
        return Found(first.dtype.newbyteorder(form.byteorder), tuple(planes))


def _miscounted(path: str, found: int, expected: int) -> SourceError:
    return SourceError(f"{path}: {found} planes found; the layout and the extent expect {expected}")


def _planes_of_page(page: Any, directory: _Directory, path: str, expected: int) -> Iterator[Plane]:
    samples, depth, rows, columns, _ = page.shaped
    if samples * depth > expected:
        raise _miscounted(path, samples * depth, expected)
    offsets, sizes = directory.offsets, directory.sizes
    if not offsets or 0 in offsets:
        raise SourceError(f"{path} has a plane whose pixels were never written")
    plane_bytes = rows * columns * page.dtype.itemsize
    in_one_piece = len(offsets) == 1 or (
        len(sizes) == len(offsets)
        and sum(sizes) == samples * depth * plane_bytes
        and all(
            start + size == following
            for start, size, following in zip(offsets, sizes, offsets[1:], strict=False)
        )
    )
    if page.is_final and in_one_piece:
        for number in range(samples * depth):
            yield offsets[0] + number * plane_bytes
        return
    if depth != 1:
        raise SourceError(f"{path} has compressed volumes; each plane must be a page")
    tiled = page.is_tiled
    rows_per_part = page.tilelength if tiled else min(page.rowsperstrip, rows)
    parts_across = -(-columns // page.tilewidth) if tiled else 1
    parts = -(-rows // rows_per_part) * parts_across
    if not len(offsets) == len(sizes) == samples * parts:
        raise SourceError(
            f"{path} is damaged: a page has {len(offsets)} offsets and {len(sizes)} sizes for "
            f"{samples * parts} parts"
        )
    arguments = {}
    if page.compression in _JPEG:
        arguments = {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader}
    for number in range(samples):
        yield Parts(
            offsets, sizes, rows_per_part, parts_across, page.decode, arguments, number * parts
        )


def _has_room_for_more(page: Any, planes: list[Plane], size: int) -> bool:
    """Return whether other planes may lie behind those that a file's only page describes."""
    plane_bytes = page.imagelength * page.imagewidth * page.dtype.itemsize
    starts = [plane for plane in planes if isinstance(plane, int)]
    return bool(starts) and size - max(starts) >= 2 * plane_bytes


def _planes_behind_one_page(tiff: Any, path: str, expected: int) -> list[Plane] | None:
    """Return the planes of a file that describes all of them in its only page, as ImageJ does."""
    series = tiff.series[0]
    start = series.dataoffset
    if start is None:
        return None
    plane_bytes = tiff.pages.first.imagelength * tiff.pages.first.imagewidth
    plane_bytes *= series.dtype.itemsize
    count = series.nbytes // plane_bytes
    if count > expected:
        raise _miscounted(path, count, expected)
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
    inline = True
    values: dict[int, tuple[int, ...]] = {}
    for entry in struct.iter_unpack(form.tagformat1 + form.tagformat2[1:], entries):
        code, kind, count, value = entry
        if code in _STORAGE_TAGS:
            storage.append(entry)
            inline = inline and count * _SIZES.get(kind, 8) <= len(value)
        elif code in _NUMBER_TAGS:
            values[code] = _numbers(kind, count, value, form, path, read_at)
    tiled = _TILE_OFFSETS in values
    return _Directory(
        storage=tuple(storage),
        inline=inline,
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
