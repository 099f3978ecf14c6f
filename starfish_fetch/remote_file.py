"""Files on servers, read by ranges."""

from __future__ import annotations

import errno
import os
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from io import RawIOBase
from typing import Any, BinaryIO, cast

from starfish_fetch import tracing
from starfish_fetch.open_file import OpenFile, Readable
from starfish_fetch.remote_server import Server, size_of, version_of

__all__ = ["RemoteFile"]

# What stands in a header is small, and scattered: it is read by blocks, of which a few are kept.
_BLOCK = 1 << 15
_MOST_BLOCKS = 16
# Parts of a plane that lie no further apart come in one answer.
_LARGEST_GAP = 1 << 15


class RemoteFile(OpenFile):
    """A file on a server; what is read from it is asked for by range."""

    __slots__ = ("_blocks", "_identity", "_server", "_size", "_url")

    def __init__(self, server: Server, url: str) -> None:
        self._server = server
        self._url = url
        found = server.describe(url)
        self._size = size_of(found, url)
        self._identity = hash(version_of(found))
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        if found.get("partial") is False:
            raise self._without_ranges()
        tracing.opened(url)

    def identity(self) -> tuple[int, int, int]:
        """Return a hash of its version, and its size."""
        return self._identity, self._size, 0

    def is_still(self, identity: tuple[int, int, int]) -> bool:
        """Return True: of another version, the server refuses ranges."""
        return True

    def read_into(self, target: memoryview, offset: int) -> int:
        """Fill memory by one request, unless it is known from the header."""
        start, stop = offset, min(offset + len(target), self._size)
        if start >= stop:
            return 0
        number = start // _BLOCK
        block = self._blocks.get(number) if stop <= (number + 1) * _BLOCK else None
        if block is None:
            data = self._range(start, stop)
        else:
            data = block[start - number * _BLOCK : stop - number * _BLOCK]
        target[: len(data)] = data
        return len(data)

    def read_at(self, offset: int, size: int) -> bytes:
        """Return bytes from a place, of which what lies beside them will be wanted, too."""
        stop = min(offset + size, self._size)
        if offset >= stop:
            return b""
        numbers = range(offset // _BLOCK, -(-stop // _BLOCK))
        if len(numbers) > _MOST_BLOCKS // 4:
            return self._range(offset, stop)
        data = b"".join(map(self._block, numbers))
        start = numbers.start * _BLOCK
        return data[offset - start : stop - start]

    def stream(self) -> BinaryIO:
        """Return the file as one with a position."""
        return cast("BinaryIO", _Stream(self, self._size))

    def ahead(self, spans: Sequence[tuple[int, int]]) -> Readable:
        """Ask for all of these at once, as far as they are neighbours."""
        merged: list[list[int]] = []
        for offset, size in sorted(spans):
            if merged and offset <= merged[-1][1] + _LARGEST_GAP:
                merged[-1][1] = max(merged[-1][1], offset + size)
            else:
                merged.append([offset, offset + size])
        return _Held([(start, self._range(start, stop)) for start, stop in merged if stop > start])

    def _block(self, number: int) -> bytes:
        block = self._blocks.get(number)
        if block is None:
            block = self._range(number * _BLOCK, min((number + 1) * _BLOCK, self._size))
            self._blocks[number] = block
            if len(self._blocks) > _MOST_BLOCKS:
                self._blocks.popitem(last=False)
        return block

    def _range(self, start: int, stop: int) -> bytes:
        data = self._server.read(self._url, start, stop, self._size)
        if len(data) != stop - start:
            raise self._without_ranges()
        return data

    def _without_ranges(self) -> OSError:
        return OSError(
            errno.EOPNOTSUPP,
            "the server sends whole files only, and each tile would cost one; copy each file once, "
            "by cache=folder",
            self._url,
        )


class _Held:
    """Pieces of a file in memory."""

    def __init__(self, pieces: list[tuple[int, bytes]]) -> None:
        self._pieces = pieces
        self._starts = [start for start, _ in pieces]

    def read_into(self, target: memoryview, offset: int) -> int:
        start, data = self._pieces[bisect_right(self._starts, offset) - 1]
        found = data[offset - start : offset - start + len(target)]
        target[: len(found)] = found
        return len(found)


class _Stream(RawIOBase):
    """A file with a position, for what reads headers."""

    def __init__(self, file: RemoteFile, size: int) -> None:
        self._file = file
        self._size = size
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._place = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._place}.get(whence, self._size)
        return self._place

    def readinto(self, buffer: Any) -> int:
        data = self._file.read_at(self._place, len(buffer))
        buffer[: len(data)] = data
        self._place += len(data)
        return len(data)
