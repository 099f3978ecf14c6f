"""A file that is read from any place, by several threads at once."""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Sequence
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from starfish_fetch.errors import SourceError

__all__ = ["OpenFile", "Readable", "read_into", "read_whole"]


class Readable(Protocol):
    """What pixels are read from."""

    def read_into(self, target: memoryview, offset: int) -> int:
        """As :meth:`OpenFile.read_into`."""


class OpenFile:
    """A file descriptor, closed when nobody reads from it any more."""

    __slots__ = ("_file", "descriptor")

    def __init__(self, path: str) -> None:
        # A pipe would keep its reader waiting for ever.
        mode = os.stat(path).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise OSError(errno.EINVAL, "it is a pipe or a device, and should be a file", path)
        # Not by os.open: an interrupt right after it loses the number, and nobody closes the file.
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115
        self.descriptor = self._file.fileno()

    def identity(self) -> tuple[int, int, int]:
        """Return what changes when the file does; its size in bytes is the second."""
        status = os.fstat(self.descriptor)
        return status.st_ino, status.st_size, status.st_mtime_ns

    def is_still(self, identity: tuple[int, int, int]) -> bool:
        """Return whether the file is as it was when it had this identity."""
        status = os.fstat(self.descriptor)
        return status.st_mtime_ns == identity[2] and status.st_size == identity[1]

    def read_into(self, target: memoryview, offset: int) -> int:
        """Fill memory from a place as far as one read does, and return how far; 0 at the end."""
        return _read_at(self.descriptor, target, offset)

    def read_at(self, offset: int, size: int) -> bytes:
        """Return bytes from a place, fewer at the end of the file."""
        buffer = bytearray(size)
        view, done = memoryview(buffer), 0
        while done < size and (count := self.read_into(view[done:], offset + done)):
            done += count
        return bytes(view[:done])

    def stream(self) -> BinaryIO:
        """Return the file as one with a position, to be closed by the caller."""
        return open(self.descriptor, "rb", closefd=False)

    def ahead(self, spans: Sequence[tuple[int, int]]) -> Readable:
        """Return what to read these (offset, size) from, one after another."""
        return self

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()


def read_into(file: Readable, target: NDArray[Any], offset: int, path: str) -> None:
    """Fill an array from a place in a file, whatever the position of the file is."""
    view = target.reshape(-1).view(np.uint8).data
    done = 0
    while done < len(view):
        try:
            count = file.read_into(view[done:], offset + done)
        except OverflowError:
            count = 0  # an offset that no file has
        except OSError as error:
            error.filename = path
            raise
        if count == 0:
            raise SourceError(
                f"{path} is truncated: {len(view)} bytes were expected at offset {offset}, "
                f"{done} are there"
            )
        done += count


def read_whole(file: Any, size: int) -> bytearray:
    """Read so many bytes from an unbuffered file, which may give few at a time; fewer at its end.

    Examples
    --------
    >>> import io
    >>> read_whole(io.BytesIO(b"abc"), 2), read_whole(io.BytesIO(b"abc"), 4)
    (bytearray(b'ab'), bytearray(b'abc'))
    """
    data = bytearray(size)
    done = 0
    while done < size and (count := file.readinto(memoryview(data)[done:])):
        done += count
    del data[done:]
    return data


def _preadv(descriptor: int, target: memoryview, offset: int) -> int:
    return os.preadv(descriptor, [target], offset)


_seeking = threading.Lock()


def _seek_and_read(descriptor: int, target: memoryview, offset: int) -> int:
    with _seeking:
        before = os.lseek(descriptor, 0, os.SEEK_CUR)
        os.lseek(descriptor, offset, os.SEEK_SET)
        found = os.read(descriptor, len(target))
        os.lseek(descriptor, before, os.SEEK_SET)
    target[: len(found)] = found
    return len(found)


_read_at = _preadv if hasattr(os, "preadv") else _seek_and_read
