"""What one would write by hand for one image and no other: the limits that we measure against.

None of it verifies anything, and all of it knows beforehand where every plane lies. Pixels are
converted with ``numpy.multiply`` in float32, which is the fastest that numpy alone has.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import synth

__all__ = [
    "convert_tile_by_tile",
    "draw_and_write",
    "files_of",
    "read_and_convert",
    "read_files_and_convert",
    "read_into",
]

Place = tuple[int, ...]
Planes = Sequence[tuple[str, Sequence[tuple[int, Place]]]]
"""Each file: its path, and where in the file and in the image each of its planes lies."""

THREADS = 2
_PIECE = 2**19


def files_of(dataset: synth.Dataset) -> Planes:
    """Look up where the planes of a dataset without compression lie; no part of what is timed."""
    from tifffile import TiffFile

    extent = dataset.extent()
    files = []
    for path, _, keys in dataset.layout.files(extent):
        where = str(dataset.root / path)
        with TiffFile(where, is_ome=False) as tiff:
            start = tiff.series[0].dataoffset
        if start is None:
            raise ValueError(f"the planes of {where} do not follow one another")
        size = int(np.prod(dataset.spec.tile_shape)) * np.dtype(dataset.spec.dtype).itemsize
        places = (
            (
                extent.rounds.index(key.round),
                extent.chs.index(key.ch),
                extent.zplanes.index(key.zplane),
            )
            for key in keys
        )
        files.append((where, [(start + page * size, place) for page, place in enumerate(places)]))
    return files


def read_and_convert(files: Planes, shape: tuple[int, ...], dtype: str) -> NDArray[np.float32]:
    """Two threads, each with one buffer: read a plane from its place, convert it into its own."""
    out = np.empty(shape, np.float32)
    scale = _scale(dtype)

    def work(mine: Planes) -> None:
        buffer = np.empty(shape[3:], dtype)
        view = buffer.data.cast("B")
        for path, planes in mine:
            descriptor = os.open(path, os.O_RDONLY)
            for offset, place in planes:
                if os.preadv(descriptor, [view], offset) != len(view):
                    raise EOFError(path)
                np.multiply(buffer, scale, out=out[place], dtype=np.float32)
            os.close(descriptor)

    _in_threads(work, files)
    return out


def read_into(files: Planes, out: NDArray[Any]) -> NDArray[Any]:
    """Read each plane from its place in the file to its place in the image, one after another."""
    for path, planes in files:
        descriptor = os.open(path, os.O_RDONLY)
        for offset, place in planes:
            view = out[place].data.cast("B")
            if os.preadv(descriptor, [view], offset) != len(view):
                raise EOFError(path)
        os.close(descriptor)
    return out


def read_files_and_convert(
    files: Planes, shape: tuple[int, ...], dtype: str, read: Callable[[str], NDArray[Any]]
) -> NDArray[np.float32]:
    """One file after another: read it whole, and convert it to where it belongs."""
    out = np.empty(shape, np.float32)
    scale = _scale(dtype)
    for path, planes in files:
        # Files of a round, or of a round and channel, are one piece of the image.
        first = planes[0][1]
        piece = out[first[0], first[1]] if len(planes) == shape[2] else out[first[0]]
        np.multiply(read(path), scale, out=piece, dtype=np.float32)
    return out


def convert_tile_by_tile(fetcher: Any) -> NDArray[np.float32]:
    """Three nested loops: fetch a tile, convert it to where it belongs."""
    extent = fetcher.extent
    rounds, chs, zplanes = extent.rounds, extent.chs, extent.zplanes
    shape = len(rounds), len(chs), len(zplanes), *extent.tile_shape.values()
    out = np.empty(shape, np.float32)
    scale = _scale(str(fetcher.image.dtype))
    for r, round_label in enumerate(rounds):
        for c, ch_label in enumerate(chs):
            for z, zplane_label in enumerate(zplanes):
                tile = fetcher.get_tile(extent.fov, round_label, ch_label, zplane_label)
                np.multiply(tile.tile_data(), scale, out=out[r, c, z], dtype=np.float32)
    return out


def draw_and_write(files: Sequence[tuple[Path, int]]) -> None:
    """Fill files with so many random bytes each: without a format, and without a note of it."""

    def work(file: tuple[Path, int]) -> None:
        path, nbytes = file
        draw = np.random.SFC64().random_raw
        with path.open("xb", buffering=0) as target:
            for begin in range(0, nbytes, _PIECE):
                target.write(draw(min(_PIECE, nbytes - begin) // 8).data)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, files))


def _scale(dtype: str) -> np.float32:
    return np.float32(1 / np.iinfo(dtype).max)


def _in_threads(work: Callable[[Planes], None], files: Planes) -> None:
    """Deal the planes out evenly, even where all of them are in one file."""
    halves = [
        [(path, planes[number::THREADS]) for path, planes in files] for number in range(THREADS)
    ]
    threads = [threading.Thread(target=work, args=(half,)) for half in halves]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
