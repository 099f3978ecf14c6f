"""One writer at a time in a folder, for as long as the writer's process lives."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path

from synth._manifest import MANIFEST_NAME

__all__ = ["locked"]


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Keep other writers, of this process too, out of a folder.

    The system ends the lock with the process, however that ends. Where the file system knows no
    locks, nobody is kept out.

    Raises
    ------
    BlockingIOError
        If another writer is at it.
    """
    with _file_locked(root) if sys.platform == "win32" else _folder_locked(root):
        yield


@contextmanager
def _folder_locked(root: Path) -> Iterator[None]:
    import fcntl

    descriptor = os.open(root, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _busy(root) from None
        except OSError:
            pass  # NFS, for one, locks no folders
        yield
    finally:
        with suppress(OSError):  # or the lock would be held by a child that was forked meanwhile
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


@contextmanager
def _file_locked(root: Path) -> Iterator[None]:
    """Do the same on Windows, which locks files only."""
    msvcrt = import_module("msvcrt")
    path = root / f"{MANIFEST_NAME}.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    except PermissionError:
        os.close(descriptor)
        raise _busy(root) from None
    except OSError:
        pass
    try:
        yield
    finally:
        os.close(descriptor)
        with suppress(OSError):  # Windows keeps a file that another writer has opened since
            path.unlink()


def _busy(root: Path) -> BlockingIOError:
    return BlockingIOError(
        errno.EAGAIN,
        "another synth.write is writing into this folder: wait until it has ended, or choose "
        "another folder",
        str(root),
    )
