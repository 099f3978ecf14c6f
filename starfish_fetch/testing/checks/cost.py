"""Whether a fetcher does no more, and keeps no more, than it was asked for."""

from __future__ import annotations

import gc
import mmap
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from starfish_fetch.axes import TileKey
from starfish_fetch.io_counters import read_by_process
from starfish_fetch.testing._guard import Broken
from starfish_fetch.testing.checks._registry import Finding, NotChecked, check
from starfish_fetch.tracing import trace

if TYPE_CHECKING:
    from starfish_fetch.testing._subject import Session, Subject

__all__ = ["check_memory_is_bounded", "check_metadata_reads_no_pixels"]

_MOST_NOISE = 1 << 14
_MOST_TILES = 24
_ENOUGH_TILES = 4
# Below it, what Python itself keeps of a tile outweighs the pixels.
_SMALL = 1 << 16
_SHARE = 0.8


@check("C9", "warn", "Plans, coordinates and previews ask every tile; each would be a full read.")
def check_metadata_reads_no_pixels(subject: Subject) -> Iterator[Finding]:
    """``get_tile``, ``shape``, ``coordinates`` and ``source`` read no pixels.

    The quickest way to write ``shape`` is to read the tile and ask the array. Every tile is then
    decoded twice, and whoever wants a plan, the coordinates or the size of an experiment waits as
    long as for all of its pixels. Nothing is wrong but the time, so nobody looks for the cause.

    One tile is made and asked for its shape, coordinates and source. Named are those of these
    calls in which a function returned as many pixels as a tile has while a file was opened or
    read, or in which the process read as many bytes as a tile has, if that is more than 16 KiB.
    Pixels that were read before, as the fetcher was made, and small reads by a library in C are
    not seen.

    Wrong::

        @property
        def shape(self):
            rows, columns = self.tile_data().shape
            return {"y": rows, "x": columns}

    Right::

        @property
        def shape(self):
            with tifffile.TiffFile(self.path) as file:
                rows, columns = file.pages.first.shape
            return {"y": rows, "x": columns}
    """
    key = subject.few[-1]
    pixels = int(np.prod(subject.shape))
    nbytes = subject.reference(key).nbytes
    session = subject.fresh()
    guilty = []
    tiles: list[Any] = []
    read_before = 0
    for name, action in _metadata_of(subject, session, key, tiles).items():
        with trace() as seen:
            before = read_by_process() or 0
            arrays = _returns_array(action, pixels)
            read = (read_by_process() or 0) - before
        read_before += read
        decodes = arrays and (seen.opens > 0 or read > 1024)
        # What decodes in C returns its array to nobody that could be seen; but it has read it.
        swallows = nbytes > _MOST_NOISE and read >= nbytes
        # To name a file, none has to be opened.
        if decodes or swallows or (name == "source" and seen.opens > 0):
            guilty.append(name)
    if not guilty and tiles and read_before >= nbytes:
        with trace() as seen:
            before = read_by_process() or 0
            session.data(tiles[0], key)
            read = (read_by_process() or 0) - before
        # A small tile may come along with a header; but not if nothing is left to be read.
        guilty += ["get_tile, shape or coordinates"] if not seen.opens and read < nbytes else []
    if guilty:
        yield Finding(
            f"{', '.join(guilty)} of {subject.named(key)} read pixels, or opened what need not be.",
            "Take the shape from the header or from the extent, and read pixels in tile_data().",
            (key,),
        )


def _metadata_of(
    subject: Subject, session: Session, key: TileKey, tiles: list[Any]
) -> dict[str, Callable[[], object]]:
    actions: dict[str, Callable[[], object]] = {
        "get_tile": lambda: tiles.append(session.tile(key)),
        "shape": lambda: session.attribute(tiles[0], "shape", key),
        "coordinates": lambda: session.attribute(tiles[0], "coordinates", key),
        "extras": lambda: subject.call("extras", lambda: getattr(tiles[0], "extras", None)),
    }
    source = getattr(session.fetcher, "source", None)
    if callable(source):
        fov = subject.extent.fov
        actions["source"] = lambda: subject.call("source", lambda: source(fov, *key))
    return actions


def _returns_array(action: Callable[[], object], pixels: int) -> bool:
    """Return whether any function that is called on the way returns as many pixels as a tile."""
    found = False

    def watch(frame: Any, event: str, value: Any) -> None:
        nonlocal found
        if (
            event == "return"
            and isinstance(value, np.ndarray)
            and value.size >= pixels
            and not _is_mapped(value)
        ):
            found = True

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        action()
    except Broken:
        pass
    finally:
        sys.setprofile(before)
    return found


def _is_mapped(array: Any) -> bool:
    """Return whether an array is a view of a file that nobody has read yet."""
    while isinstance(array, np.ndarray) and not isinstance(array, np.memmap):
        array = array.base
    return isinstance(array, np.memmap | mmap.mmap)


@check("C13", "warn", "What keeps every tile that it read ends with the machine's memory.")
def check_memory_is_bounded(subject: Subject) -> Iterator[Finding]:
    """Tiles that nobody holds any longer are not kept without limit.

    A cache without a limit makes the second look at a tile fast, and the test image fits. An
    experiment of some hundred gigabytes does not: the machine slows down, and the system ends the
    process at one of the last fields of view, often without a message.

    Up to two dozen tiles are read and dropped. It is told if, through the second half of them, the
    fetcher came to hold at least four fifths of the bytes that were read. Seen is what Python and
    numpy allocate; what a library in C keeps is not. A cache that does have a limit, but one
    beyond these tiles, looks like one without.

    Wrong::

        @functools.lru_cache(maxsize=None)
        def volume(path):
            return tifffile.imread(path)

        def tile_data(self):
            return volume(self.path)[self.z].copy()

    Right::

        @functools.lru_cache(maxsize=1)
        def volume(path):
            return tifffile.imread(path)

        def tile_data(self):
            return volume(self.path)[self.z].copy()
    """
    keys = list(subject.looks)[:_MOST_TILES]
    if len(keys) < _ENOUGH_TILES:
        raise NotChecked("too few tiles to tell")
    nbytes = subject.reference(subject.few[0]).nbytes
    if tracemalloc.is_tracing():
        raise NotChecked("memory is traced already")
    with subject.held(_traced_memory()):
        session = subject.fresh()
        half = len(keys) // 2
        for key in keys[:half]:
            session.read(key)
        first = _kept(nbytes)
        for key in keys[half:]:
            session.read(key)
        read = (len(keys) - half) * nbytes
        growth = _kept(nbytes) - first
        if growth >= _SHARE * read:
            gc.collect()
            growth = _kept(nbytes) - first
    if growth >= _SHARE * read:
        yield Finding(
            f"After {len(keys) - half} more tiles of {nbytes} bytes were read and dropped, the "
            f"fetcher held {growth} bytes more.",
            "Give caches a limit: functools.lru_cache(maxsize=1) keeps one file.",
            tuple(keys[half:]),
        )


@contextmanager
def _traced_memory() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()


def _kept(nbytes: int) -> int:
    if nbytes >= _SMALL:
        return tracemalloc.get_traced_memory()[0]
    only = tracemalloc.DomainFilter(inclusive=True, domain=np.lib.tracemalloc_domain)
    snapshot = tracemalloc.take_snapshot().filter_traces([only])
    return sum(each.size for each in snapshot.traces)
