"""One writer at a time, as long as the writer's process lives."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import IO, Any

__all__ = ["lock"]


def lock(file: IO[Any], written: Path, busy: str) -> None:
    """Keep all others from locking a file, until it is closed.

    Nobody is kept out where the file system knows no locks, and on Windows, where what has an open
    file in it can be neither renamed nor replaced.

    Parameters
    ----------
    file : file
        What the writers of one thing have in common.
    written : Path
        What is written.
    busy : str
        What to say if another writer is at it.

    Raises
    ------
    BlockingIOError
        If another writer is at it.
    """
    if sys.platform == "win32":
        return
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BlockingIOError(errno.EAGAIN, busy, os.fspath(written)) from None
    except OSError:  # some network file systems
        pass
