"""Holding the files of a dataset against what they should be, without our own reader."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from starfish_fetch.axes import TileKey
from starfish_fetch.progress import progress_bar
from synth._damage import Damage, placed
from synth._decode import decode
from synth._manifest import FileRecord, Manifest, planned_files
from synth._tiffs import digest
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
    files = planned_files(manifest.spec, manifest.layout)
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
                message, wanted = _damage_on_purpose(root / path, record, damage)
                (on_purpose if wanted else problems).append(Problem(path, None, fov, message))
            else:
                other, its_fov, its_keys = by_path[held.get(path, path)]
                found = _file_problems(
                    root / path, manifest, manifest.files[other], its_fov, its_keys
                )
                before = len(problems)
                problems += [Problem(path, key, its_fov, message) for key, message in found]
                if damage is not None and len(problems) == before:
                    message = f"is what {other!r} should be, on purpose: the two were swapped"
                    on_purpose.append(Problem(path, None, fov, message))
            advance(record.bytes)
    for name, fov, message in truth_problems(manifest.spec, root):
        problems.append(Problem(name, None, fov, message))
    tiles = sum(len(keys) for _, _, keys in files)
    return Verification(len(files), tiles, tuple(problems), tuple(on_purpose))


def _damage_on_purpose(path: Path, record: FileRecord, damage: Damage) -> tuple[str, bool]:
    """Say what became of a missing or truncated file, and whether that was asked for."""
    try:
        seen = digest(path)
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
    path: Path, manifest: Manifest, record: FileRecord, fov: int, keys: tuple[TileKey, ...]
) -> Iterator[_Found]:
    try:
        seen = digest(path)
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
        yield None, f"was changed: its sha256 is {seen.sha256}, that written was {record.sha256}"
    try:
        # Whatever damage makes of the file, its reader has an exception of some kind for it.
        with _pages(path, manifest) as pages:
            if len(pages) != len(keys):
                yield None, f"holds {len(pages)} pages, not {len(keys)}"
            for index, key in enumerate(keys[: len(pages)]):
                expected = tile(manifest.spec, fov, *key)
                read = partial(_read_page, pages, index)
                message = _page_problem(read, expected, manifest, fov, key)
                if message:
                    yield key, message
    except Exception as error:
        kind = "npy" if manifest.options.format == "npy" else "TIFF"
        yield None, f"cannot be read as {kind}: {type(error).__name__}: {error}"


@contextmanager
def _pages(path: Path, manifest: Manifest) -> Iterator[Any]:
    """Open a file as a sequence of its planes."""
    if manifest.options.format == "npy":
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        yield array.reshape(-1, *array.shape[-2:])
        return
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        yield tiff.pages


def _read_page(pages: Any, index: int) -> npt.NDArray[Any]:
    page = pages[index]
    pixels: npt.NDArray[Any] = np.array(page) if isinstance(pages, np.ndarray) else page.asarray()
    return pixels


def _page_problem(
    read: Callable[[], npt.NDArray[Any]],
    expected: npt.NDArray[Any],
    manifest: Manifest,
    fov: int,
    key: TileKey,
) -> str:
    try:
        pixels = read()
    except Exception as error:
        return f"cannot be read: {type(error).__name__}: {error}"
    if pixels.shape != expected.shape:
        return f"has the shape {pixels.shape}, not {expected.shape}"
    if pixels.dtype.newbyteorder("=") != expected.dtype:
        return f"has the dtype {pixels.dtype}, not {expected.dtype}"
    different = pixels != expected
    count = int(np.count_nonzero(different))
    if not count:
        return ""
    row, column = (int(place) for place in np.argwhere(different)[0])
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
