"""Holding the files of a dataset against what they should be, without our own reader."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from starfish_fetch.axes import TileKey
from starfish_fetch.progress import progress_bar
from synth._decode import decode
from synth._manifest import FileRecord, Manifest, planned_files
from synth._tiffs import digest
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
        In the order of the files.
    """

    files: int
    tiles: int
    problems: tuple[Problem, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every file and every pixel is what it should be."""
        return not self.problems

    def __str__(self) -> str:
        summary = f"{self.files} files, {self.tiles} tiles, {len(self.problems)} problems"
        return "\n".join([summary, *map(str, self.problems)])


def verify(root: Path, manifest: Manifest, *, progress: bool) -> Verification:
    """Read every file and compare its digest and every pixel."""
    files = planned_files(manifest.spec, manifest.layout)
    total = sum(record.bytes for record in manifest.files.values())
    problems: list[Problem] = []
    with progress_bar(progress, "verifying", total, in_bytes=True) as advance:
        for path, fov, keys in files:
            record = manifest.files[path]
            for key, message in _file_problems(root / path, manifest, record, fov, keys):
                problems.append(Problem(path, key, fov, message))
            advance(record.bytes)
    return Verification(len(files), sum(len(keys) for _, _, keys in files), tuple(problems))


_Found = tuple[TileKey | None, str]


def _file_problems(
    path: Path, manifest: Manifest, record: FileRecord, fov: int, keys: tuple[TileKey, ...]
) -> Iterator[_Found]:
    import tifffile

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
        # Whatever damage makes of the file, tifffile has an exception of some kind for it.
        with tifffile.TiffFile(path) as tiff:
            if len(tiff.pages) != len(keys):
                yield None, f"holds {len(tiff.pages)} pages, not {len(keys)}"
            for index, key in enumerate(keys[: len(tiff.pages)]):
                expected = tile(manifest.spec, fov, *key)
                message = _page_problem(tiff.pages[index].asarray, expected, manifest, fov, key)
                if message:
                    yield key, message
    except Exception as error:
        yield None, f"cannot be read as TIFF: {type(error).__name__}: {error}"


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
