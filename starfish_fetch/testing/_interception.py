"""What stands between a process and its files while a fault is on."""

from __future__ import annotations

import builtins
import functools
import io
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

__all__ = ["Fault", "active", "is_path"]


class Fault:
    """Something that goes wrong with files, and how often it did.

    Attributes
    ----------
    opens : int
        Opens that were made to fail, to wait, or to lead to another file.
    looks : int
        Answers that were falsified without an open: sizes, and whether a file is there.
    """

    changes_answers = True
    """Whether it does more than to look on, wait or raise when a file is opened."""

    def __init__(self) -> None:
        self.opens = 0
        self.looks = 0
        self._lock = threading.Lock()

    @property
    def met(self) -> bool:
        """Whether anything came across it: by an open, or by a look before one."""
        return bool(self.opens or self.looks)

    def on_open(self, path: Any) -> None:
        """Look on as a file is opened; what this raises, the open raises."""

    def instead_of(self, path: Any) -> str | None:
        """Return the file to open instead, if there is one."""

    def on_stat(self, path: Any, real: os.stat_result, status: os.stat_result) -> os.stat_result:
        """Return what is to be known of a file, from what is, and what others make of it."""
        return status

    def forbids(self, path: Any, mode: int) -> bool:
        """Return whether ``os.access`` says no."""
        return False

    def hides(self, entry: os.DirEntry[Any]) -> bool:
        """Return whether a folder's listing lacks an entry."""
        return False

    def _opened(self) -> None:
        with self._lock:
            self.opens += 1

    def _looked(self) -> None:
        with self._lock:
            self.looks += 1


def is_path(value: Any) -> bool:
    """Return whether an open of this is by name; a descriptor was opened before."""
    return isinstance(value, str | bytes | os.PathLike)


_active: tuple[Fault, ...] = ()
_lock = threading.Lock()
_patches: tuple[_Patch, ...] = ()
_hooked = False
_ours = threading.local()  # whether this thread opens a copy that a fault has made


@contextmanager
def active(fault: Fault) -> Iterator[Fault]:
    """Let a fault be on, for the whole process."""
    global _active, _hooked, _patches
    with _lock:
        if not _hooked:
            # It cannot be removed; one is enough, and it is idle without a fault.
            sys.addaudithook(_hook)
            _hooked = True
        _active = (*_active, fault)
        if fault.changes_answers and not _patches:
            _patches = tuple(_Patch(*what) for what in _REPLACED)
    try:
        yield fault
    finally:
        with _lock:
            _active = tuple(other for other in _active if other is not fault)
            if _patches and not any(other.changes_answers for other in _active):
                for patch in reversed(_patches):
                    patch.remove()
                _patches = ()


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "open" or not _active or getattr(_ours, "opening", False):
        return
    if is_path(arguments[0]):
        for fault in _active:
            fault.on_open(arguments[0])


Faults = Callable[[], tuple[Fault, ...]]


class _Patch:
    """One function of a module, replaced until it is put back."""

    def __init__(
        self, module: ModuleType, name: str, make: Callable[[Any, Faults], Callable[..., Any]]
    ) -> None:
        self._module = module
        self._name = name
        self._live = True
        self._original = getattr(module, name)
        self._replacement = functools.wraps(self._original)(make(self._original, self._faults))
        for supported in _CAPABILITIES:
            if self._original in supported:
                supported.add(self._replacement)
        setattr(module, name, self._replacement)

    def _faults(self) -> tuple[Fault, ...]:
        # Whoever holds on to it after its time has the original.
        return _active if self._live else ()

    def remove(self) -> None:
        """Put the original back, unless somebody else has replaced this in turn."""
        self._live = False
        for supported in _CAPABILITIES:
            supported.discard(self._replacement)
        if getattr(self._module, self._name) is self._replacement:
            setattr(self._module, self._name, self._original)


# Where shutil, among others, looks up what a function of os can do.
_CAPABILITIES: tuple[set[Any], ...] = (
    os.supports_dir_fd,
    os.supports_effective_ids,
    os.supports_fd,
    os.supports_follow_symlinks,
)

_os_open = os.open


def _opener_of(copy: str, open_by: Callable[[str, int], int]) -> Callable[[str, int], int]:
    def opener(path: str, flags: int) -> int:
        _ours.opening = True
        try:
            return open_by(copy, flags)
        except OSError as error:
            if error.filename == copy:
                error.filename = path
            raise
        finally:
            _ours.opening = False

    return opener


def _instead_of(path: Any, faults: tuple[Fault, ...]) -> str | None:
    if is_path(path):
        for fault in reversed(faults):
            copy = fault.instead_of(path)
            if copy is not None:
                return copy
    return None


def _open_of(original: Any, faults: Faults) -> Callable[..., Any]:
    def open(
        file: Any,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        closefd: bool = True,
        opener: Callable[[str, int], int] | None = None,
    ) -> Any:
        copy = _instead_of(file, faults())
        if copy is not None:
            # Opened this way, the file keeps the name that it was asked for by.
            opener = _opener_of(copy, opener or functools.partial(_os_open, mode=0o666))
        return original(file, mode, buffering, encoding, errors, newline, closefd, opener)

    return open


def _os_open_of(original: Any, faults: Faults) -> Callable[..., Any]:
    def open(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> Any:
        copy = _instead_of(path, faults()) if dir_fd is None else None
        if copy is None:
            return original(path, flags, mode, dir_fd=dir_fd)
        # Who listens is to hear of the file that was asked for.
        sys.audit("open", path, None, flags)
        return _opener_of(copy, functools.partial(original, mode=mode))(path, flags)

    return open


def _stat_of(original: Any, faults: Faults) -> Callable[..., Any]:
    def stat(path: Any, *, dir_fd: int | None = None, **options: bool) -> Any:
        real = status = original(path, dir_fd=dir_fd, **options)
        if dir_fd is None and is_path(path):
            for fault in faults():
                status = fault.on_stat(path, real, status)
        return status

    return stat


def _access_of(original: Any, faults: Faults) -> Callable[..., Any]:
    def access(path: Any, mode: int, *, dir_fd: int | None = None, **options: bool) -> Any:
        if dir_fd is None and is_path(path) and any(one.forbids(path, mode) for one in faults()):
            return False
        return original(path, mode, dir_fd=dir_fd, **options)

    return access


class _Entries:
    """What ``os.scandir`` returns, without what is hidden."""

    def __init__(self, entries: Any, faults: Faults) -> None:
        self._entries = entries
        self._faults = faults

    def __iter__(self) -> _Entries:
        return self

    def __next__(self) -> os.DirEntry[Any]:
        while True:
            entry: os.DirEntry[Any] = next(self._entries)
            if not any(fault.hides(entry) for fault in self._faults()):
                return entry

    def __enter__(self) -> _Entries:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._entries.close()


def _scandir_of(original: Any, faults: Faults) -> Callable[..., Any]:
    def scandir(path: Any = None) -> Any:
        return _Entries(original(path), faults)

    return scandir


_scandir = os.scandir


def _listdir_of(original: Any, faults: Faults) -> Callable[..., Any]:
    def listdir(path: Any = None) -> Any:
        with _Entries(_scandir(path), faults) as entries:
            return [entry.name for entry in entries]

    return listdir


_REPLACED: tuple[tuple[ModuleType, str, Callable[[Any, Faults], Callable[..., Any]]], ...] = (
    (builtins, "open", _open_of),
    (io, "open", _open_of),
    (os, "open", _os_open_of),
    (os, "stat", _stat_of),
    (os, "lstat", _stat_of),
    (os, "access", _access_of),
    (os, "scandir", _scandir_of),
    (os, "listdir", _listdir_of),
)
