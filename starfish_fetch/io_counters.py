"""How many bytes this process, or this thread of it, has read: the operating system's own count."""

from __future__ import annotations

import os

__all__ = ["PATHS", "IoCounter"]

_OF_PROCESS = "/proc/self/io"
_OF_THREAD = "/proc/thread-self/io"

PATHS = frozenset((_OF_PROCESS, _OF_THREAD))
"""What is opened to have them."""

_FIRST = b"rchar: "


class IoCounter:
    """The bytes that ``read``, ``pread`` and their kin have returned: what Linux calls ``rchar``.

    From files, pipes and terminals, out of the page cache or not. What is read through a memory
    map, or by another process, is not in it. Looking at the counter is itself counted, once it is
    over, and subtracted here.

    Parameters
    ----------
    of_thread : bool, optional
        Whether to count the calling thread alone; it must then be the only one that looks.
        Default: False, all threads, those included that have ended.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryFile() as file:
    ...     _ = file.write(bytes(1000)), file.flush()
    ...     counter = IoCounter()
    ...     before = counter.read()
    ...     _ = os.pread(file.fileno(), 1000, 0)
    ...     after = counter.read()
    >>> before is None or after - before == 1000
    True
    """

    def __init__(self, *, of_thread: bool = False) -> None:
        self._path = _OF_THREAD if of_thread else _OF_PROCESS
        self.overhead = 0
        """Bytes that looking has added to the counter so far."""

    def read(self) -> int | None:
        """Return the bytes read so far; None where the operating system does not count."""
        try:
            # Opened anew: the process may have been forked since, or the thread be another.
            descriptor = os.open(self._path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        except OSError:
            return None
        try:
            content = os.read(descriptor, 4096)
        except OSError:
            return None
        finally:
            os.close(descriptor)
        if not content.startswith(_FIRST):
            return None
        count = int(content.split(maxsplit=2)[1]) - self.overhead
        self.overhead += len(content)
        return count
