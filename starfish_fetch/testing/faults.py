"""Files and tiles that go wrong, for tests and for teaching.

:func:`failing` and :func:`slow_tiles` wrap a fetcher. :func:`missing`, :func:`unreadable`,
:func:`truncated` and :func:`slow_opens` act on the files of a fetcher that knows nothing of it;
the files themselves are never touched.

These reach, in every thread, whatever opens through Python: ``open``, ``io.open``, ``pathlib``,
``os.open``, and what is built on these, such as ``numpy.fromfile``, ``numpy.load``,
``numpy.memmap``, tifffile, imageio and :class:`~starfish_fetch.TiffTileFetcher`. A file is known by
any path that leads to it: relative or absolute, through links, as str, bytes or path.

They do not reach

- what a library opens by itself in C (HDF5, OpenCV, libtiff, memory-mapped indices of databases);
- what is open already, or kept in memory: make the fetcher while the fault is on;
- other processes, unless they are forked while the fault is on;
- an open relative to the descriptor of a folder (``dir_fd``).

:func:`truncated`, and the answers of ``os.stat`` and its like, need the functions of the modules
``builtins``, ``io`` and ``os`` to be called by those names: a module that took ``open`` from there
earlier, or calls ``io.FileIO``, has the whole file. :attr:`Fault.met` says whether a fault was met
at all; who asks first whether a file is there may meet it without an open.
"""

from __future__ import annotations

import errno
import math
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from stat import S_ISDIR, S_ISLNK
from typing import Any

from starfish_fetch.testing._faulty_tiles import FaultyFetcher, failing, slow_tiles
from starfish_fetch.testing._interception import Fault, active
from starfish_fetch.tracing import is_data

__all__ = [
    "Fault",
    "FaultyFetcher",
    "failing",
    "missing",
    "slow_opens",
    "slow_tiles",
    "truncated",
    "unreadable",
]

StrPath = str | bytes | os.PathLike[str] | os.PathLike[bytes]

_Identity = tuple[int, int, int, int]

_COPIED_AT_ONCE = 1 << 20
_stat = os.stat


def _identity(status: os.stat_result) -> _Identity:
    # A file made after this one was deleted may get its number, but not its time as well.
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


class _OfFiles(Fault):
    """A fault of some files."""

    def __init__(self, what: str, paths: tuple[StrPath, ...]) -> None:
        super().__init__()
        if not paths:
            raise ValueError(f"{what}() was given no file; name at least one")
        self._files: dict[_Identity, str] = {}
        self._names: dict[str, _Identity] = {}
        for path in paths:
            if not isinstance(path, str | bytes | os.PathLike):
                raise TypeError(f"{what}() takes paths, each an argument of its own; got {path!r}")
            name = os.path.abspath(os.fsdecode(path))
            status = _stat(name)
            if S_ISDIR(status.st_mode):
                raise IsADirectoryError(
                    errno.EISDIR, f"{what}() takes files, not folders; name the files in it", path
                )
            self._names[name] = _identity(status)
            self._files[_identity(status)] = name
        self._inodes = {identity[1] for identity in self._files}

    def _file(self, path: Any, status: os.stat_result | None = None) -> _Identity | None:
        """Return which of the files a path leads to."""
        try:
            name = os.path.abspath(os.fsdecode(path))
            if name in self._names:
                return self._names[name]
            identity = _identity(_stat(name) if status is None else status)
        except (OSError, ValueError):
            return None
        return identity if identity in self._files else None


class _Refused(_OfFiles):
    """Opening the files is an error."""

    def __init__(self, what: str, paths: tuple[StrPath, ...], number: int) -> None:
        super().__init__(what, paths)
        self._errno = number

    def on_open(self, path: Any) -> None:
        if self._file(path) is not None:
            self._opened()
            raise self._error(path)

    def forbids(self, path: Any, mode: int) -> bool:
        forbidden = self._errno == errno.EACCES and mode & os.R_OK and self._file(path) is not None
        if forbidden:
            self._looked()
        return bool(forbidden)

    def _error(self, path: Any) -> OSError:
        # Built from a number, an OSError is of the class that stands for it.
        return OSError(self._errno, os.strerror(self._errno), os.fspath(path))


class _Missing(_Refused):
    """The files are not there."""

    def __init__(self, paths: tuple[StrPath, ...]) -> None:
        super().__init__("missing", paths, errno.ENOENT)

    def on_stat(self, path: Any, real: os.stat_result, status: os.stat_result) -> os.stat_result:
        if self._file(path, real) is not None:
            self._looked()
            raise self._error(path)
        return status

    def forbids(self, path: Any, mode: int) -> bool:
        forbidden = self._file(path) is not None
        if forbidden:
            self._looked()
        return forbidden

    def hides(self, entry: os.DirEntry[Any]) -> bool:
        hidden = os.path.abspath(os.fsdecode(entry.path)) in self._names or (
            entry.inode() in self._inodes
            and _identity(entry.stat(follow_symlinks=False)) in self._files
        )
        if hidden:
            self._looked()
        return hidden


class _Truncated(_OfFiles):
    """The files end early: what is opened is a copy of their first bytes."""

    def __init__(
        self, paths: tuple[StrPath, ...], keep: float, nbytes: int | None, folder: str
    ) -> None:
        super().__init__("truncated", paths)
        self._copies: dict[_Identity, str] = {}
        self._sizes: dict[_Identity, int] = {}
        for number, (identity, name) in enumerate(self._files.items()):
            size = identity[2]
            kept = min(size, nbytes) if nbytes is not None else math.floor(size * keep)
            copy = os.path.join(folder, str(number))
            _copy_start(name, copy, kept)
            self._copies[identity] = copy
            self._sizes[identity] = kept

    def instead_of(self, path: Any) -> str | None:
        identity = self._file(path)
        if identity is None:
            return None
        self._opened()
        return self._copies[identity]

    def on_stat(self, path: Any, real: os.stat_result, status: os.stat_result) -> os.stat_result:
        identity = self._file(path, real)
        if identity is None or S_ISLNK(real.st_mode):
            return status
        self._looked()
        reduced: Any = status.__reduce__()
        fields, others = reduced[1]
        return os.stat_result((*fields[:6], self._sizes[identity], *fields[7:]), others)


class _SlowOpens(Fault):
    """Opening a file takes time."""

    changes_answers = False

    def __init__(self, seconds: float, under: str | None) -> None:
        super().__init__()
        self._seconds = seconds
        self._under = under

    def on_open(self, path: Any) -> None:
        name = os.path.abspath(os.fsdecode(path))
        if not is_data(name):
            return
        if self._under is None or name.startswith(self._under):
            self._opened()
            time.sleep(self._seconds)


def _copy_start(path: str, copy: str, count: int) -> None:
    with open(path, "rb") as source, open(copy, "wb") as target:
        while count > 0:
            block = source.read(min(count, _COPIED_AT_ONCE))
            if not block:
                break
            target.write(block)
            count -= len(block)


@contextmanager
def missing(*paths: StrPath) -> Iterator[Fault]:
    """Let files be missing.

    Opening one raises FileNotFoundError, for writing too; ``os.path.exists`` says no, and folders
    do not list it.

    Parameters
    ----------
    *paths : path
        Files that exist.

    Yields
    ------
    Fault
        Its ``opens`` says how many opens failed.

    Examples
    --------
    >>> import os, tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     with missing(file.name) as fault:
    ...         try:
    ...             open(file.name)
    ...         except FileNotFoundError:
    ...             print(os.path.exists(file.name), fault.opens)
    ...     os.path.exists(file.name)
    False 1
    True
    """
    with active(_Missing(paths)) as fault:
        yield fault


@contextmanager
def unreadable(*paths: StrPath, error: int = errno.EACCES) -> Iterator[Fault]:
    """Let files be there, and not be opened.

    Parameters
    ----------
    *paths : path
        Files that exist.
    error : int, optional
        An error number of the module ``errno``: EACCES (PermissionError, the default), EIO (a
        failing disk), EMFILE (too many files open).

    Yields
    ------
    Fault
        Its ``opens`` says how many opens failed.

    Examples
    --------
    >>> import errno, tempfile
    >>> with tempfile.NamedTemporaryFile() as file, unreadable(file.name, error=errno.EIO):
    ...     try:
    ...         open(file.name)
    ...     except OSError as error:
    ...         print(error.strerror)
    Input/output error
    """
    if error not in errno.errorcode:
        raise ValueError(f"error must be a number of the module errno, as EIO is; got {error!r}")
    with active(_Refused("unreadable", paths, error)) as fault:
        yield fault


@contextmanager
def truncated(*paths: StrPath, keep: float = 0.5, nbytes: int | None = None) -> Iterator[Fault]:
    """Let files end early.

    What is opened is a copy of the first bytes, made beforehand in a temporary folder and gone
    afterwards; what is written, is written there. ``os.stat`` and ``os.path.getsize`` tell the
    size of the copy. Of truncations within each other, the inner one holds.

    Parameters
    ----------
    *paths : path
        Files that exist.
    keep : float, optional
        The fraction of each file's bytes that is left, from 0 to 1.
    nbytes : int, optional
        How many bytes of each file are left, instead of a fraction.

    Yields
    ------
    Fault
        Its ``opens`` says how many opens led to a copy.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     _ = file.write(b"0123456789"), file.flush()
    ...     with truncated(file.name, keep=0.3) as fault, open(file.name, "rb") as short:
    ...         short.read(), fault.opens
    (b'012', 1)
    """
    if not 0 <= keep <= 1:
        raise ValueError(
            f"keep must be a fraction from 0 to 1; got {keep!r}; for a number of bytes, give nbytes"
        )
    if nbytes is not None and nbytes < 0:
        raise ValueError(f"nbytes must be at least 0; got {nbytes!r}")
    with (
        tempfile.TemporaryDirectory(prefix="starfish_fetch-", ignore_cleanup_errors=True) as folder,
        active(_Truncated(paths, keep, nbytes, folder)) as fault,
    ):
        yield fault


@contextmanager
def slow_opens(seconds: float, *, under: StrPath | None = None) -> Iterator[Fault]:
    """Let each open of a file take longer, as on a server far away.

    A fetcher that keeps its files open pays once for each, one that opens a file for every tile
    pays for every tile. Threads wait side by side, unless the fetcher keeps them from it. Code
    that is imported is not delayed.

    Parameters
    ----------
    seconds : float
        To wait before each open.
    under : path, optional
        Delay only files below this folder. Default: all.

    Yields
    ------
    Fault
        Its ``opens`` says how many opens were delayed.

    Examples
    --------
    >>> import tempfile, synth
    >>> from starfish_fetch import ImageStack, Layout
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     data = synth.write(synth.Spec(2, 2, 3, (6, 5)), Layout.per_round(), folder)
    ...     with data.fetcher() as fetcher, slow_opens(0.001, under=folder) as fault:
    ...         _ = ImageStack.from_tilefetcher(fetcher, **vars(data.extent())).load()
    >>> fault.opens
    2
    """
    if not 0 <= seconds < threading.TIMEOUT_MAX:
        raise ValueError(f"seconds must be a number of at least 0; got {seconds!r}")
    folder = None if under is None else os.path.join(os.path.abspath(os.fsdecode(under)), "")
    with active(_SlowOpens(seconds, folder)) as fault:
        yield fault
