"""What a load did to files: how often each was opened."""

from __future__ import annotations

import os
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import all_suffixes
from typing import Any

__all__ = ["Trace", "trace"]


class Trace:
    """What was opened while a trace was on.

    Attributes
    ----------
    by_source : Counter of str
        Opens by absolute path.
    """

    def __init__(self, under: str | None) -> None:
        self.by_source: Counter[str] = Counter()
        self._under = under

    @property
    def opens(self) -> int:
        """How many times a file was opened."""
        return self.by_source.total()

    def _record(self, path: str) -> None:
        if self._under is None or path.startswith(self._under):
            self.by_source[path] += 1


_CODE = tuple(all_suffixes())

_active: tuple[Trace, ...] = ()
_lock = threading.Lock()
_installed = False


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "open" or not _active:
        return
    path = arguments[0]
    if not isinstance(path, str | bytes | os.PathLike):
        return  # A descriptor that is wrapped was opened before.
    name = os.path.abspath(os.fsdecode(path))
    # What is imported on the way is no data; a compiled file is named after a temporary one.
    if name.endswith(_CODE) or f"{os.sep}__pycache__{os.sep}" in name:
        return
    with _lock:
        for active in _active:
            active._record(name)


@contextmanager
def trace(under: str | os.PathLike[str] | None = None) -> Iterator[Trace]:
    """Count the files that this process opens, in any thread, through Python.

    Python's own code, opened where something is imported, is left out. Counts rest on Python's
    audit events (PEP 578): what a library opens in C, unseen by Python, is not counted. Traces
    nest.

    Parameters
    ----------
    under : path, optional
        Count only files below this folder. Default: all.

    Examples
    --------
    >>> import os, tempfile
    >>> with tempfile.TemporaryDirectory() as folder, trace(folder) as seen:
    ...     for _ in range(2):
    ...         open(os.path.join(folder, "a.tiff"), "wb").close()
    >>> seen.opens, len(seen.by_source)
    (2, 1)
    """
    global _active, _installed
    if not _installed:
        # An audit hook cannot be removed; one is enough, and it is idle without a trace.
        sys.addaudithook(_hook)
        _installed = True
    started = Trace(None if under is None else os.path.join(os.path.abspath(under), ""))
    with _lock:
        _active = (*_active, started)
    try:
        yield started
    finally:
        with _lock:
            _active = tuple(other for other in _active if other is not started)
