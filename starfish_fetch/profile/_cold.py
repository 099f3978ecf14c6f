"""Drops files from the operating system's page cache."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from stat import S_ISREG

from starfish_fetch.tracing import Trace

__all__ = ["drop_from_cache", "files_of"]


def files_of(traces: Iterable[Trace]) -> tuple[str, ...]:
    """Return the files that traces saw to be opened, and that are there."""
    paths = dict.fromkeys(path for seen in traces for path in seen.by_source)
    return tuple(path for path in paths if _is_file(path))


def _is_file(path: str) -> bool:
    try:
        return S_ISREG(os.stat(path).st_mode)
    except OSError:
        return False


def drop_from_cache(files: Collection[str]) -> list[str]:
    """Have files read from their disk when they are read next.

    Returns
    -------
    list of str
        What is to be known of it: that nothing was dropped, or that the system did not do it.

    Raises
    ------
    NotImplementedError
        If this operating system cannot.
    """
    advise = getattr(os, "posix_fadvise", None)
    if advise is None:
        raise NotImplementedError(
            "cold=True needs os.posix_fadvise, which this operating system does not have; profile "
            "with cold=False"
        )
    kept, refused = 0, 0
    for path in files:
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except OSError:
            refused += 1
            continue
        try:
            # What is not yet written is not dropped.
            os.fsync(descriptor)
            advise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            if _is_cached(descriptor):
                kept += 1
            # Looking may have had it read ahead.
            advise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        except OSError:
            refused += 1
        finally:
            os.close(descriptor)
    notes = []
    if not files:
        notes.append("No load was cold: no file was seen to be opened that could be dropped.")
    if refused:
        notes.append(f"{refused} of {len(files)} files could not be dropped from the page cache.")
    if kept:
        notes.append(
            f"{kept} of {len(files)} files were still in the page cache after they were dropped: "
            "they are in memory only, or another process uses them. Loads may not have been cold."
        )
    return notes


def _is_cached(descriptor: int) -> bool:
    """Return whether the first byte of a file is in memory, as far as can be told."""
    if not hasattr(os, "RWF_NOWAIT"):
        return False
    try:
        return os.preadv(descriptor, [bytearray(1)], 0, os.RWF_NOWAIT) > 0
    except OSError:
        return False
