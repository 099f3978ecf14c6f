"""The planes of a TIFF file, in the order of its pages, and where the pixels of each are."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from starfish_fetch.encoded import check_encoded
from starfish_fetch.errors import SourceError
from starfish_fetch.tiff_parts import Part, check_cut

__all__ = ["Found", "PageReader", "Parts", "Plane", "check_page"]

# What decides how the pixels of a page are stored; a page that has all of it in common with the
# first is read like the first.
_STORAGE_TAGS = frozenset({
    256, 257, 258, 259, 262, 266, 277, 278, 284, 292, 293, 317, 322, 323, 338, 339, 347, 530,
    32997, 32998,
})  # fmt: skip
_SUBFILE_TYPE, _STRIP_OFFSETS, _STRIP_SIZES, _TILE_OFFSETS, _TILE_SIZES = 254, 273, 279, 324, 325
_NUMBER_TAGS = {_SUBFILE_TYPE, _STRIP_OFFSETS, _STRIP_SIZES, _TILE_OFFSETS, _TILE_SIZES}
_REDUCED = 1
# What no writer comes near, and what a damaged or a hostile file may say: tags of a page; tags of
# all pages, beside some for each plane; bytes of values.
_MOST_TAGS = 1 << 12
_TAGS_IN_ALL, _TAGS_EACH, _TAGS_LEAST = 1 << 17, 1 << 9, 1 << 4
_DESCRIPTION, _DESCRIPTION_EACH = 1 << 24, 1 << 12
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 6: 1, 7: 1, 8: 2, 9: 4, 11: 4, 13: 4}
_NARROW = 8
"""Bytes of a value of any other type, at most."""
_NUMBERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_JPEG = {6, 7, 33007, 34892}

ReadAt = Callable[[int, int], bytes]
Storage = tuple[tuple[Any, ...], ...]


@dataclass(frozen=True, slots=True)
class Parts:
    """A plane that has to be put together from strips or tiles."""

    offsets: tuple[int, ...]
    sizes: tuple[int, ...]
    part: Part
    parts_across: int
    decode: Callable[..., Any]
    jpegtables: bytes | None
    jpegheader: bytes | None
    first: int
    """Number, among the parts of its page, of the plane's first."""

    def stored(self, number: int) -> int:
        """Return how many bytes of the file are wanted of a part."""
        size = self.sizes[number]
        return min(size, self.part.nbytes) if self.part.compression == 1 else size


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
    offsets: _Numbers | None
    sizes: _Numbers | None


class _Numbers(NamedTuple):
    """Whole numbers of a tag, not yet read."""

    kind: int
    length: int
    value: bytes
    form: Any
    path: str
    read_at: ReadAt

    def read(self) -> tuple[int, ...]:
        letter = _NUMBERS.get(self.kind)
        if letter is None or not self.length:
            raise SourceError(
                f"{self.path} is damaged: offsets of its pixels are not whole numbers; write it "
                "again"
            )
        layout = f"{self.form.byteorder}{self.length}{letter}"
        size = struct.calcsize(layout)
        value = self.value
        if size > len(value):
            (place,) = struct.unpack(self.form.offsetformat, value)
            value = self.read_at(place, size)
            if len(value) < size:
                raise SourceError(
                    f"{self.path} is truncated: offsets of its pixels are missing; copy it again"
                )
        return struct.unpack_from(layout, value)


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
        first, pages = None, 0
        for directory in _directories(form, offset, path, read_at, size, self._expected):
            pages += 1
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
        if pages == 1 and _has_room_for_more(first, planes, size):
            return None
        return Found(first.dtype.newbyteorder(form.byteorder), tuple(planes))

    def planes_of(
        self,
        open_tiff: Callable[[], Any],
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
        open_tiff : callable
            Returns the open tifffile.TiffFile, which parses the first page. What tifffile parses
            is looked at before, since it takes whatever it is told.
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
        _look_at_first(path, read_at, size, self._expected)
        tiff = open_tiff()
        form = tiff.tiff
        pages: dict[Storage, Any] = {}
        known: set[Storage] = set()
        planes: list[Plane] = []
        first, number = None, -1
        offset = tiff.pages.first.offset
        chain = _directories(form, offset, path, read_at, size, self._expected)
        for number, directory in enumerate(chain):
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
            # A value that stands elsewhere in the file is not compared, so it may differ.
            if directory.inline:
                known.add(directory.storage)
        if first is None:
            raise SourceError(f"{path} has nothing but copies of reduced size")
        if number == 0 and _has_room_for_more(first, planes, size):
            planes = _planes_behind_one_page(tiff, path, self._expected) or planes
        if len(planes) != self._expected:
            raise _miscounted(path, len(planes), self._expected)
        magic = read_at(0, 4)
        self._formats[magic] = form
        for storage in known:
            self._known[magic, storage] = pages[storage]
        return Found(first.dtype.newbyteorder(form.byteorder), tuple(planes))


def _miscounted(path: str, found: int, expected: int) -> SourceError:
    return SourceError(f"{path}: {found} planes found; the layout and the extent expect {expected}")


def _planes_of_page(page: Any, directory: _Directory, path: str, expected: int) -> Iterator[Plane]:
    samples, depth, rows, columns, _ = page.shaped
    if samples * depth > expected:
        raise _miscounted(path, samples * depth, expected)
    if not all(page.shaped):
        raise SourceError(f"{path} has a page without pixels, of the shape {page.shape}")
    part, parts = _parts_of(page, samples, path)
    _check_counts(directory, max(samples * parts, samples * depth * rows), path)
    offsets = directory.offsets.read() if directory.offsets else ()
    sizes = directory.sizes.read() if directory.sizes else ()
    if not offsets or 0 in offsets or 0 in sizes:
        raise SourceError(
            f"{path} has a plane whose pixels were never written; write the file again"
        )
    plane_bytes = rows * columns * page.dtype.itemsize
    page_bytes = samples * depth * plane_bytes
    in_one_piece = len(offsets) == 1 or (
        len(sizes) == len(offsets)
        and sum(sizes) == page_bytes
        and all(
            start + size == following
            for start, size, following in zip(offsets, sizes, offsets[1:], strict=False)
        )
    )
    if page.is_final and in_one_piece:
        if sizes and sum(sizes) < page_bytes:
            raise SourceError(
                f"{path} is damaged: a page says that it holds {sum(sizes)} bytes of pixels; "
                f"{page_bytes} are expected of {page.dtype} in the shape {page.shape}. Write it "
                "again"
            )
        for number in range(samples * depth):
            yield offsets[0] + number * plane_bytes
        return
    _check_depth(page, path)
    if not len(offsets) == len(sizes) == samples * parts:
        raise SourceError(
            f"{path} is damaged: a page has {len(offsets)} offsets and {len(sizes)} sizes for "
            f"{samples * parts} parts; write it again"
        )
    check_cut(part, rows * columns * page.dtype.itemsize, offsets, sizes, path)
    tables = header = None
    if page.compression in _JPEG:
        tables, header = page.jpegtables, page.jpegheader
    across = -(-columns // part.columns)
    for number in range(samples):
        yield Parts(offsets, sizes, part, across, page.decode, tables, header, number * parts)


def _check_depth(page: Any, path: str) -> None:
    if page.shaped[1] != 1:
        raise SourceError(f"{path} has compressed volumes; each plane must be a page")
    if page.is_tiled and page.tiledepth != 1:
        raise SourceError(
            f"{path} is damaged: a plane is cut into tiles of {page.tiledepth} planes; write it "
            "again"
        )


def check_page(page: Any, data: bytearray, name: str) -> None:
    """Raise unless tifffile can be told to decode a page: see :mod:`starfish_fetch.encoded`.

    Parameters
    ----------
    page : tifffile.TiffPage
        The page, of one plane.
    data : bytearray
        The file.
    name : str
        What it is called in errors.

    Raises
    ------
    SourceError, ValueError
        If its parts are none that a writer would make, or a codec would make something else of one.
    """
    samples, _, rows, columns, _ = page.shaped
    part, _ = _parts_of(page, samples, name)
    _check_depth(page, name)
    check_cut(
        part, rows * columns * page.dtype.itemsize, page.dataoffsets, page.databytecounts, name
    )
    if part.compression == 1:
        return
    for offset, size in zip(page.dataoffsets, page.databytecounts, strict=True):
        encoded = data[offset : offset + size]
        check_encoded(encoded, part.compression, part.rows, part.columns, part.nbytes)


def _parts_of(page: Any, samples: int, path: str) -> tuple[Part, int]:
    """Return what a part of a page is, and how many make a plane."""
    _, _, rows, columns, _ = page.shaped
    high, wide = page.rowsperstrip, columns
    if page.is_tiled:
        high, wide = page.tilelength, page.tilewidth
    if not (type(high) is type(wide) is int and high > 0 and wide > 0):
        raise SourceError(
            f"{path} is damaged: a page is cut into parts of {high} rows and {wide} columns; write "
            "it again"
        )
    if not page.is_tiled:
        high = min(high, rows)
    parts = -(-rows // high) * -(-columns // wide)
    # Tiles are at least 16 columns wide, by the specification.
    if parts > rows * (columns // 16 + 1):
        raise SourceError(
            f"{path} is damaged: a plane of {rows} rows and {columns} columns is cut into {parts} "
            "parts; write it again"
        )
    return Part(high, wide, page.dtype, int(page.compression)), parts


def _check_counts(directory: _Directory, most: int, path: str) -> None:
    for numbers, what in ((directory.offsets, "offsets"), (directory.sizes, "sizes")):
        if numbers is not None and numbers.length > most:
            raise SourceError(
                f"{path} is damaged: a page has {numbers.length} {what} of pixels; at most {most} "
                "are expected of its shape. Write it again"
            )


def _has_room_for_more(page: Any, planes: list[Plane], size: int) -> bool:
    """Return whether other planes may lie behind those that a file's only page describes."""
    plane_bytes = page.imagelength * page.imagewidth * page.dtype.itemsize
    starts = [plane for plane in planes if isinstance(plane, int)]
    return bool(starts) and size - max(starts) >= 2 * plane_bytes


def _planes_behind_one_page(tiff: Any, path: str, expected: int) -> list[Plane] | None:
    """Return the planes of a file that describes all of them in its only page, as ImageJ does."""
    if "<!ENTITY" in str(tiff.pages.first.description):  # no writer's, and it may grow
        return None
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


def _look_at_first(path: str, read_at: ReadAt, size: int, expected: int) -> None:
    """Raise SourceError if what describes the first page is not fit to be parsed by tifffile."""
    from tifffile import TIFF

    head = read_at(0, 16)
    if len(head) < 16 or head[:2] not in (b"II", b"MM"):
        return
    little = head[:2] == b"II"
    (version,) = struct.unpack_from("<H" if little else ">H", head, 2)
    if version == 43:
        form = TIFF.BIG_LE if little else TIFF.BIG_BE
    else:
        form = TIFF.CLASSIC_LE if little else TIFF.CLASSIC_BE
    (offset,) = struct.unpack_from(form.offsetformat, head, form.offsetsize)
    for _ in _directories(form, offset, path, read_at, size, expected):
        return
    raise SourceError(f"{path} is damaged: it has no page; write it again")


def _directories(
    form: Any, offset: int, path: str, read_at: ReadAt, size: int, expected: int
) -> Iterator[_Directory]:
    """Yield the image file directories of a file.

    tifffile parses every tag of a page, or none but the offsets; to know that a page is stored
    like the first, without the cost of the former, its entries are compared as they are.
    """
    seen: set[int] = set()
    tags = 0
    while offset:
        if offset in seen:
            raise SourceError(
                f"{path} is damaged: its pages lead back to each other; write it again"
            )
        seen.add(offset)
        head = read_at(offset, 512)
        if len(head) < form.tagnosize:
            raise _truncated(path, len(seen))
        (count,) = struct.unpack_from(form.tagnoformat, head)
        tags += _TAGS_LEAST + count
        if count > _MOST_TAGS or tags > _TAGS_IN_ALL + _TAGS_EACH * expected:
            raise SourceError(
                f"{path} is damaged: page {len(seen) - 1} has {count} tags, and {len(seen)} pages "
                f"have {tags - _TAGS_LEAST * len(seen)}, where {expected} planes are expected. "
                "Write it again"
            )
        length = form.tagnosize + count * form.tagsize + form.offsetsize
        if len(head) < length:
            head = read_at(offset, length)
        if len(head) < length:
            raise _truncated(path, len(seen))
        entries = head[form.tagnosize : length - form.offsetsize]
        yield _directory(entries, form, path, read_at, size, expected, len(seen) - 1)
        (offset,) = struct.unpack_from(form.offsetformat, head, length - form.offsetsize)


def _directory(
    entries: bytes,
    form: Any,
    path: str,
    read_at: ReadAt,
    size: int,
    expected: int,
    number: int,
) -> _Directory:
    storage = []
    inline = True
    values: dict[int, _Numbers] = {}
    described = 0
    for entry in struct.iter_unpack(form.tagformat1 + form.tagformat2[1:], entries):
        code, kind, count, value = entry
        length = count * _SIZES.get(kind, _NARROW)
        if length > len(value) == form.offsetsize:
            (place,) = struct.unpack(form.offsetformat, value)
            described += length if place + length <= size else 0  # else it is left out
        if code in _STORAGE_TAGS:
            storage.append(entry)
            inline = inline and length <= len(value)
        elif code in _NUMBER_TAGS:
            # Of two, everybody else takes the first.
            values.setdefault(code, _Numbers(kind, count, value, form, path, read_at))
    most = min(size, _DESCRIPTION + _DESCRIPTION_EACH * expected)
    if described > most:  # as of values that overlap, which would be read again and again
        raise SourceError(
            f"{path} is damaged: {described} bytes describe page {number}; at most {most} are "
            f"expected of a file of {size} bytes and {expected} planes. Write it again"
        )
    tiled = _TILE_OFFSETS in values
    return _Directory(
        storage=tuple(storage),
        inline=inline,
        reduced=_is_reduced(values.get(_SUBFILE_TYPE)),
        offsets=values.get(_TILE_OFFSETS if tiled else _STRIP_OFFSETS),
        sizes=values.get(_TILE_SIZES if tiled else _STRIP_SIZES),
    )


def _is_reduced(kind: _Numbers | None) -> bool:
    return kind is not None and bool(kind._replace(length=1).read()[0] & _REDUCED)


def _truncated(path: str, page: int) -> SourceError:
    return SourceError(
        f"{path} is truncated: what describes page {page - 1} is missing; copy it again"
    )
