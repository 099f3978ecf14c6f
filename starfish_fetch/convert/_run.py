"""The work of a conversion: every tile loaded once, written, noted."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from starfish_fetch.axes import Extent, TileKey
from starfish_fetch.convert._folder import Folder, Note, TileName, resumable
from starfish_fetch.convert._images import Image, Tile
from starfish_fetch.convert._result import Conversion
from starfish_fetch.cpus import available_cpus
from starfish_fetch.progress import progress_bar

__all__ = ["Job", "Writer"]


class Writer(Protocol):
    """What a format does with tiles. All but ``write`` is called from one thread."""

    def begin(self, folder: Path, image: str, extent: Extent, dtype: np.dtype[np.generic]) -> None:
        """Prepare a field of view whose dtype is known; what is there already stays."""

    def digest(self, tile: Tile) -> str:
        """Return what tells a tile's pixels from others."""

    def write(self, folder: Path, image: str, tile: Tile) -> Note:
        """Write the files of a tile."""

    def finish(self, folder: Path, notes: Mapping[TileName, Note]) -> None:
        """Write all that is no tile."""


@dataclass(frozen=True)
class Job:
    """A conversion that was asked for rightly, with nothing fetched or written yet."""

    images: Mapping[str, Image]
    folder: Folder
    writer: Writer

    def run(self, *, progress: bool) -> Conversion:
        """Write what is missing, and give the folder its name."""
        start = time.perf_counter()
        images, folder = self.images, self.folder
        total, there = sum(map(len, images.values())), 0
        with progress_bar(progress, "tiles", total) as advance:
            if folder.complete:
                there = total
                advance(total)
            else:
                with resumable(folder.root), folder:
                    there = _write(images, folder, self.writer, advance)
                    self.writer.finish(folder.partial, folder.notes)
                    folder.finish()
        files = [path for path in folder.root.rglob("*") if path.is_file()]
        fovs = {extent.fov for image in images.values() for extent in image.extents}
        return Conversion(
            str(folder.root),
            folder.format.name,
            len(fovs),
            total,
            there,
            len(files),
            sum(path.stat().st_size for path in files),
            time.perf_counter() - start,
        )


def _write(
    images: Mapping[str, Image],
    folder: Folder,
    writer: Writer,
    advance: Callable[[int], None],
) -> int:
    there = 0
    with ThreadPoolExecutor(available_cpus()) as pool:
        for name, image in images.items():
            _check_pixels(name, image, folder, writer)
            for extent in image.extents:
                begun = False
                for block in image.blocks(extent):
                    names = {key: TileName(name, extent.fov, key) for key in block}
                    if all(map(folder.has, names.values())):
                        for key in block:
                            note = folder.notes[names[key]]
                            image.align(extent, key, note.coordinates)
                        there += len(block)
                        advance(len(block))
                        continue
                    tiles = [*image.load(extent, block)]
                    if not begun:
                        assert image.dtype is not None
                        writer.begin(folder.partial, name, extent, image.dtype)
                        begun = True
                    write = _of(writer, folder.partial, name)
                    for tile, note in zip(tiles, pool.map(write, tiles), strict=True):
                        folder.note(names[tile.key], note)
                        advance(1)
    return there


def _of(writer: Writer, folder: Path, image: str) -> Callable[[Tile], Note]:
    return lambda tile: writer.write(folder, image, tile)


def _check_pixels(name: str, image: Image, folder: Folder, writer: Writer) -> None:
    """Refuse to go on where the finished tiles are of other pixels: one of them tells."""
    extents = {extent.fov: extent for extent in image.extents}
    for done, note in folder.notes.items():
        if done.image != name or not folder.has(done):
            continue
        [tile] = image.load(extents[done.fov], (TileKey(*done.key),))
        if writer.digest(tile) != note.digest:
            raise FileExistsError(
                f"{os.fspath(folder.partial)!r} holds an unfinished conversion of other pixels: "
                f"tile (fov={done.fov}, round={done.key.round}, ch={done.key.ch}, "
                f"zplane={done.key.zplane}) was another. Delete it to begin anew"
            )
        return
