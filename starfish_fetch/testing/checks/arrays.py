"""Whether the arrays that are returned are the caller's own."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from starfish_fetch.axes import TileKey
from starfish_fetch.testing.checks._registry import Finding, NotChecked, check

if TYPE_CHECKING:
    from starfish_fetch.testing._subject import Session, Subject

__all__ = ["check_arrays_are_private"]


@check(
    "C11", "fail", "Whoever corrects a tile in place corrects every copy that is handed out later."
)
def check_arrays_are_private(subject: Subject) -> Iterator[Finding]:
    """A returned array stays as it is, and writing into it changes nothing that comes later.

    A plane of a cached volume is a view of the cache. Who subtracts the background from it in
    place subtracts it from the cache as well, and from every tile that is taken from there later:
    the second load of the same notebook is darker than the first. One buffer for all tiles does it
    at once.

    Arrays of a few tiles are kept while the others are read, and must not change. Then each is
    overwritten and put back, and tiles are read again. Arrays that are read-only cannot be damaged
    and pass; so do maps of files, unless writing into one would change the file or what is read
    later.

    Wrong::

        @functools.lru_cache(maxsize=1)
        def volume(path):
            return tifffile.imread(path)

        def tile_data(self):
            return volume(self.path)[self.z]

    Right::

        @functools.lru_cache(maxsize=1)
        def volume(path):
            return tifffile.imread(path)

        def tile_data(self):
            return volume(self.path)[self.z].copy()
    """
    subject.require_repeatable()
    session = subject.fresh()
    few = subject.few
    kept = {}
    for key in few:
        array = session.read(key)
        kept[key] = array, array.copy()
    for key, (array, copy) in kept.items():
        if not np.array_equal(array, copy, equal_nan=copy.dtype.kind == "f"):
            yield Finding(
                f"The array of {subject.named(key)} changed when other tiles were read.",
                "Return a new array each time, or a copy of the one that is used again.",
                (key,),
            )
            return
    for key in few:
        # Read just now, it is what a cache still holds.
        array = session.read(key)
        if subject.changed(key, array) or subject.changed(key, session.read(key)):
            raise NotChecked("the pixels change when they are read again; see tiles_repeat")
        tile = session.tile(key)
        array = session.data(tile, key)
        if not array.flags.writeable:
            continue
        base = _mapped(array)
        if base is not None:
            if getattr(base, "mode", None) == "r+":
                yield Finding(
                    f"{subject.named(key)} is a view of the file itself that can be written to: "
                    "whoever writes into it changes the data on disk.",
                    "Open the map with mode='r', or return a copy.",
                    (key,),
                )
                return
            if not isinstance(base, np.memmap):
                continue
        if _written_to_comes_back(subject, session, tile, key, array, few):
            yield Finding(
                f"Writing into the array of {subject.named(key)} changed what the fetcher returns "
                "later.",
                "Return a copy, or a view that is read-only (array.flags.writeable = False).",
                (key,),
            )
            return


def _mapped(array: Any) -> Any:
    """Return the memory map that an array is a view of: writing would write to somebody's file."""
    base = array
    while base is not None:
        if isinstance(base, np.memmap | mmap.mmap):
            return base
        base = base.obj if isinstance(base, memoryview) else getattr(base, "base", None)
    return None


def _written_to_comes_back(
    subject: Subject, session: Session, tile: Any, key: TileKey, array: Any, few: list[TileKey]
) -> bool:
    before = array.copy()
    try:
        array[...] = ~before if before.dtype.kind in "biu" else 1 - before / 2
        return subject.changed(key, session.data(tile, key)) or any(
            subject.changed(other, session.read(other))
            for other in dict.fromkeys([key, few[0], few[-1]])
        )
    finally:
        # The array may be the only one that a fetcher over memory has.
        array[...] = before
