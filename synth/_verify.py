"""Holding the files of a dataset against what they should be, without our own reader."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
import numpy.typing as npt

from starfish_fetch.axes import TileKey
from starfish_fetch.progress import progress_bar
from synth._damage import Damage, placed
from synth._decode import decode
from synth._manifest import FileRecord, Manifest, planned_paths
from synth._place import check_place
from synth._tiffs import check_stored, digest
from synth._truth import truth_problems
from synth.pixels import tile

__all__ = ["Problem", "Verification", "verify"]


@dataclass(frozen=True)
class Problem:
    """Something wrong with a file of a dataset, or with one of the tiles in it.

    Attributes
    ----------
    path : str
        The file, below the root of the dataset.
    tile : TileKey or None
        The tile; None if the whole file is meant.
    fov : int
        Field of view of the file.
    message : str
        What is wrong.
    """

    path: str
    tile: TileKey | None
    fov: int
    message: str

    def __str__(self) -> str:
        where = f"fov={self.fov}"
        if self.tile is not None:
            where += f", r={self.tile.round}, c={self.tile.ch}, z={self.tile.zplane}"
        return f"{self.path} ({where}): {self.message}"


@dataclass(frozen=True)
class Verification:
    """What :meth:`Dataset.verify` found.

    Attributes
    ----------
    files, tiles : int
        How many there should be.
    problems : tuple of Problem
        In the order of the files; nothing that was asked for.
    on_purpose : tuple of Problem
        What is wrong because :func:`synth.write` was asked for it, one for each file.
    """

    files: int
    tiles: int
    problems: tuple[Problem, ...] = ()
    on_purpose: tuple[Problem, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every file and every pixel is what it should be, damage on purpose included."""
        return not self.problems

    def __str__(self) -> str:
        summary = f"{self.files} files, {self.tiles} tiles, {len(self.problems)} problems"
        if self.on_purpose:
            summary += f", {len(self.on_purpose)} files damaged on purpose"
        return "\n".join([summary, *map(str, (*self.problems, *self.on_purpose))])


def verify(root: Path, manifest: Manifest, *, progress: bool) -> Verification:
    """Read every file and compare its digest and every pixel."""
    spec, layout = manifest.spec, manifest.layout
    files = planned_paths(spec, layout)
    extent = spec.extent(spec.fovs[0])
    pages = layout.pages(extent)
    total = sum(record.bytes for record in manifest.files.values())
    by_path = {file[0]: file for file in files}
    damaged = {path: one for one in manifest.damage for path in one.paths}
    # What a path holds; of swapped files, what the other was to hold.
    held = {place: path for path, place in placed(manifest.damage).items()}
    problems: list[Problem] = []
    on_purpose: list[Problem] = []
    with progress_bar(progress, "verifying", total, in_bytes=True) as advance:
        for path, fov, _ in files:
            record = manifest.files[path]
            damage = damaged.get(path)
            if damage is not None and damage.kind != "swapped":
                message, wanted = _damage_on_purpose(root, path, record, damage)
                (on_purpose if wanted else problems).append(Problem(path, None, fov, message))
            else:
                other, its_fov, labels = by_path[held.get(path, path)]
                # One by one, for a description may speak of more tiles than memory holds.
                its_keys = layout.tiles(extent, labels)
                found = _file_problems(
                    root, path, manifest, manifest.files[other], its_fov, its_keys, pages
                )
                before = len(problems)
                problems += [Problem(path, key, its_fov, message) for key, message in found]
                if damage is not None and len(problems) == before:
                    message = f"is what {other!r} should be, on purpose: the two were swapped"
                    on_purpose.append(Problem(path, None, fov, message))
            advance(record.bytes)
    for name, fov, message in truth_problems(manifest.spec, root):
        problems.append(Problem(name, None, fov, message))
    return Verification(len(files), len(files) * pages, tuple(problems), tuple(on_purpose))


def _damage_on_purpose(
    root: Path, path: str, record: FileRecord, damage: Damage
) -> tuple[str, bool]:
    """Say what became of a missing or truncated file, and whether that was asked for."""
    try:
        seen = digest(check_place(root, path))
    except FileNotFoundError:
        wanted = damage.kind == "missing"
        return ("is missing, on purpose" if wanted else "is missing, and not on purpose"), wanted
    except OSError as error:
        return f"cannot be read: {error}", False
    if damage.kind == "missing":
        return "is there, though it was left out on purpose: it is not of this dataset", False
    left = record.bytes // 2
    if seen.bytes != left:
        return f"has {seen.bytes} bytes, and was truncated on purpose to {left}", False
    if damage.sha256 not in (None, seen.sha256):
        return "was changed after it had been truncated on purpose", False
    return f"is truncated, on purpose: {left} of its {record.bytes} bytes are left", True


_Found = tuple[TileKey | None, str]


def _file_problems(
    root: Path,
    path: str,
    manifest: Manifest,
    record: FileRecord,
    fov: int,
    keys: Iterator[TileKey],
    count: int,
) -> Iterator[_Found]:
    try:
        place = check_place(root, path)
        seen = digest(place, record.pixels_at, manifest.spec.tile_bytes * count)
    except FileNotFoundError:
        yield None, "is missing; the same call of synth.write writes it again"
        return
    except OSError as error:
        yield None, f"cannot be read: {error}"
        return
    if seen.bytes < record.bytes:
        yield None, f"is truncated: it has {seen.bytes} bytes, {record.bytes} were written"
    elif seen.bytes > record.bytes:
        yield None, f"has {seen.bytes} bytes, {record.bytes} were written"
    elif seen.sha256 != record.sha256:
        part = "" if record.pixels_at is None else " around its pixels"
        message = f"its sha256 is {seen.sha256}, that written was {record.sha256}"
        yield None, f"was changed{part}: {message}"
    try:
        # Whatever damage makes of the file, its reader has an exception of some kind for it.
        with _pages(place, manifest) as pages:
            if len(pages) != count:
                yield None, f"holds {len(pages)} pages, not {count}"
            for index, key in enumerate(islice(keys, len(pages))):
                message = _page_problem(pages, index, manifest, fov, key)
                if message:
                    yield key, message
    except Exception as error:
        kind = "npy" if manifest.options.format == "npy" else "TIFF"
        yield None, f"cannot be read as {kind}: {type(error).__name__}: {error!s:.500}"


class _Page(Protocol):
    """A plane that says what it is before it is read."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any] | None: ...

    def asarray(self) -> npt.NDArray[Any]: ...


@contextmanager
def _pages(path: Path, manifest: Manifest) -> Iterator[Any]:
    """Open a file as a sequence of its planes."""
    if manifest.options.format == "npy":
        with path.open("rb") as file:
            yield _NpyPages(file)
        return
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        yield tiff.pages


@dataclass(frozen=True)
class _NpyPage:
    file: BinaryIO
    start: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def asarray(self) -> npt.NDArray[Any]:
        size = prod(self.shape) * self.dtype.itemsize
        self.file.seek(self.start)
        return np.frombuffer(self.file.read(size), self.dtype).reshape(self.shape)


class _NpyPages:
    """The planes of an array, each read when it is wanted; nothing is mapped."""

    def __init__(self, file: BinaryIO) -> None:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            raise ValueError(f"its format is {version}, not (1, 0)")
        shape, columns_first, self._dtype = np.lib.format.read_array_header_1_0(file)
        if columns_first or self._dtype.hasobject:
            raise ValueError("it is in Fortran order, or of Python objects")
        self._file, self._start = file, file.tell()
        self._shape = shape[-2:]
        self._count = prod(shape[:-2])
        there = os.fstat(file.fileno()).st_size - self._start
        if there < prod(shape) * self._dtype.itemsize:
            raise EOFError(f"{there} bytes of its array of the shape {shape} are there")

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> _NpyPage:
        start = self._start + index * prod(self._shape) * self._dtype.itemsize
        return _NpyPage(self._file, start, self._shape, self._dtype)


def _bits(pixels: npt.NDArray[Any], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    # As numbers, -0.0 and 0.0 are the same.
    return np.ascontiguousarray(pixels, dtype).view(f"u{dtype.itemsize}")


def _page_problem(pages: Any, index: int, manifest: Manifest, fov: int, key: TileKey) -> str:
    shape, dtype = manifest.spec.tile_shape, np.dtype(manifest.spec.dtype)
    try:
        page: _Page = pages[index]
        # Before anything is read: a page may say that it is larger than all memory.
        if tuple(page.shape) != shape:
            return f"has the shape {tuple(page.shape)!s:.200}, not {shape}"
        if page.dtype is None or page.dtype.newbyteorder("=") != dtype:
            return f"has the dtype {page.dtype}, not {dtype}"
        if not isinstance(page, _NpyPage):
            check_stored(page, manifest.options.compression, manifest.options.tiff_tile)
        pixels = page.asarray()
    except Exception as error:
        return f"cannot be read: {type(error).__name__}: {error!s:.500}"
    expected = tile(manifest.spec, fov, *key)
    different = _bits(pixels, dtype) != _bits(expected, dtype)
    count = int(np.count_nonzero(different))
    if not count:
        return ""
    row, column = map(int, np.unravel_index(int(different.argmax()), shape))
    message = (
        f"{count} of {expected.size} pixels differ, the first at row {row}, column {column}: "
        f"{pixels[row, column]} instead of {expected[row, column]}"
    )
    if manifest.spec.content == "index":
        origin = decode(pixels)
        itself = (origin.fov, origin.round, origin.ch, origin.zplane) == (fov, *key)
        if origin.found and not (itself and origin.untouched):
            message += f"; holds the pixels of {origin}"
    return message
