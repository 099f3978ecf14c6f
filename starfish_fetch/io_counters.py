"""How many bytes this process, or one thread of it, has read: the operating system's own count."""

from __future__ import annotations

import os
import threading

__all__ = ["PATHS", "ThreadCounter", "read_by_process"]

_OF_PROCESS = "/proc/self/io"
_OF_THREAD = "/proc/thread-self/io"

PATHS = frozenset((_OF_PROCESS, _OF_THREAD))
"""What is opened to look at the counters: no data."""

_FIRST = b"rchar: "

_looked = 0
_lock = threading.Lock()


def read_by_process() -> int | None:
    """Return the bytes that this process has read so far, in threads that have ended too.

    What ``read``, ``pread`` and their kin have returned, from files, pipes and terminals, out of
    the page cache or not: what Linux calls ``rchar``. What is read through a memory map, or by
    another process, is not in it, nor what this module reads itself. Only differences mean
    anything.

    Returns
    -------
    int or None
        None where the operating system does not count.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryFile() as file:
    ...     _ = file.write(bytes(1000)), file.flush()
    ...     before = read_by_process()
    ...     _ = os.pread(file.fileno(), 1000, 0)
    ...     after = read_by_process()
    >>> before is None or after - before == 1000
    True
    """
    descriptor = _open(_OF_PROCESS)
    if descriptor is None:
        return None
    before = _looked
    try:
        content = _look(descriptor)
    finally:
        os.close(descriptor)
    return None if content is None else _rchar(content) - before


class ThreadCounter:
    """Counts the same in the thread that makes it, which is to use it and to let go of it soon."""

    _descriptor: int | None = None

    def __init__(self) -> None:
        self._descriptor = _open(_OF_THREAD)
        self._before: int | None = None
        self.since()

    def since(self) -> int | None:
        """Return the bytes that the thread has read since the last time; None if nobody counts."""
        content = None if self._descriptor is None else _look(self._descriptor)
        if content is None:
            return None
        now, before = _rchar(content), self._before
        self._before = now + len(content)
        return None if before is None else now - before

    def __del__(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)


def _open(path: str) -> int | None:
    try:
        return os.open(path, os.O_RDONLY)
    except OSError:
        return None


def _look(descriptor: int) -> bytes | None:
    """Return what a file of counters says; looking is itself counted, once it is over."""
    global _looked
    try:
        content = os.pread(descriptor, 4096, 0)
    except OSError:
        return None
    with _lock:
        _looked += len(content)
    return content if content.startswith(_FIRST) else None


def _rchar(content: bytes) -> int:
    return int(content.split(maxsplit=2)[1])
