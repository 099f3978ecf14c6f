"""A fetcher that many tasks use, in threads of one process or in several processes."""

from __future__ import annotations

import pickle
import threading
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from weakref import WeakValueDictionary

__all__ = ["SharedFetcher"]


class SharedFetcher:
    """One fetcher for all tasks of a process, called by one at a time unless it is thread-safe.

    It is pickled once, however many tasks it is sent with, and a process that receives it several
    times has it once: what the fetcher keeps open serves the next task too.

    Parameters
    ----------
    fetcher : TileFetcher
        Or anything with its ``get_tile``.
    token : str
        Equal for fetchers that may stand for one another.

    Attributes
    ----------
    turn : context manager
        To be entered by whoever calls the fetcher.
    """

    __slots__ = ("__weakref__", "_pickled", "fetcher", "token", "turn")

    def __init__(self, fetcher: Any, token: str) -> None:
        self.fetcher = fetcher
        self.token = token
        self.turn: AbstractContextManager[Any] = nullcontext()
        if not getattr(fetcher, "thread_safe", False):
            self.turn = _lock_of(token)
        self._pickled: bytes | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        if self._pickled is None:
            self._pickled = _pickled(self.fetcher)
        return _received, (self.token, self._pickled)


# Fetchers that are equal may well share what is not theirs, such as a cache of the module's.
_LOCKS: WeakValueDictionary[str, Any] = WeakValueDictionary()
_RECEIVED: WeakValueDictionary[str, SharedFetcher] = WeakValueDictionary()
_REGISTRY = threading.RLock()


def _lock_of(token: str) -> Any:
    with _REGISTRY:
        lock = _LOCKS.get(token)
        if lock is None:
            lock = _LOCKS[token] = threading.Lock()
        return lock


def _received(token: str, pickled: bytes) -> SharedFetcher:
    with _REGISTRY:
        shared = _RECEIVED.get(token)
        if shared is None:
            shared = _RECEIVED[token] = SharedFetcher(pickle.loads(pickled), token)
        return shared


def _pickled(fetcher: Any) -> bytes:
    try:
        # Which also takes classes of a script or a notebook along; it comes with dask.
        from cloudpickle import dumps
    except ImportError:
        from pickle import dumps
    try:
        return bytes(dumps(fetcher))
    except Exception as error:
        raise TypeError(
            f"{type(fetcher).__name__} cannot be sent to another process: {error}. Give it a "
            "__getstate__ that leaves out what belongs to one process (open files, locks) and a "
            "__setstate__ that makes it anew, or compute with scheduler='threads'"
        ) from error
