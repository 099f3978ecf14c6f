"""Runs what somebody else wrote: it may raise, exit, hang, or ask for more memory than there is."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import perf_counter
from typing import TypeVar
from weakref import WeakSet

__all__ = [
    "Abandoned",
    "Broken",
    "Calls",
    "Outcome",
    "memory_limited",
    "open_handles",
    "run_watched",
]

_T = TypeVar("_T")
_SLICE = 0.02


class Abandoned(BaseException):
    """Raised inside a thread that nobody waits for any longer."""


class Broken(Exception):  # noqa: N818
    """The code under test raised something where it should not have, or should."""

    def __init__(self, what: str, error: BaseException) -> None:
        super().__init__(what)
        self.what = what
        self.error = error

    def __str__(self) -> str:
        try:
            text = " ".join(str(self.error).split())
        except Exception:
            text = ""
        name = type(self.error).__name__
        return f"{self.what} raised {name}" + (f": {text:.200}" if text else "")


class Calls:
    """Which calls into the code under test are going on, in which thread, since when."""

    def __init__(self) -> None:
        self._now: dict[int, tuple[float, str]] = {}
        self._given_up: WeakSet[threading.Thread] = WeakSet()

    def run(self, what: str, function: Callable[[], _T]) -> _T:
        """Call a function, noting what is being done meanwhile."""
        me = threading.get_ident()
        self.go_on()
        self._now[me] = perf_counter(), what
        try:
            return function()
        finally:
            self._now.pop(me, None)
            self.go_on()

    def go_on(self) -> None:
        """Raise Abandoned in a thread that was given up: what it does now, nobody ends."""
        if threading.current_thread() in self._given_up:
            raise Abandoned

    def longest(self) -> tuple[float, str] | None:
        """Return for how long the oldest call has been going on, and what it is."""
        now = list(self._now.values())
        if not now:
            return None
        start, what = min(now)
        return perf_counter() - start, what

    def abandon(self, thread: threading.Thread) -> None:
        """Give up a thread and every call that is going on; end them if that can be done.

        A thread that waits in C is not reached; it ends with the process.
        """
        calling = list(self._now)
        self._given_up.update(
            other for other in threading.enumerate() if other is thread or other.ident in calling
        )
        for ident in calling:
            _raise_in(ident, Abandoned)
        thread.join(_SLICE)
        for ident in calling:
            if ident in self._now:
                _raise_in(ident, None)
                _settle()
        self._now.clear()


def _raise_in(thread: int, exception: type[BaseException] | None) -> None:
    """Have a thread raise an exception at its next step in Python; None takes that back."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread), None if exception is None else ctypes.py_object(exception)
    )


def _settle() -> None:
    """Have no exception waiting for any thread.

    Before Python 3.13, one that was taken back keeps all threads looking for it, and one that is
    profiled looks for ever; it is over when any thread gets one.
    """
    end = perf_counter() + _SLICE
    try:
        _raise_in(threading.get_ident(), Abandoned)
        while perf_counter() < end:
            pass
    except Abandoned:
        pass


class Outcome:
    """How a watched run ended."""

    def __init__(self) -> None:
        self.hanging: str | None = None
        """The call that did not return, if one did not."""
        self.late = False
        """Whether the time was over before the end."""
        self.error: BaseException | None = None


def run_watched(
    function: Callable[[], None], calls: Calls, *, patience: float, until: float
) -> Outcome:
    """Run a function in a thread of its own until it ends, a call hangs, or the time is over.

    Parameters
    ----------
    function : callable
        Makes its calls into the code under test through ``calls``.
    calls : Calls
        What is watched.
    patience : float
        Seconds that one call may take.
    until : float
        When the time is over, by ``time.perf_counter``.
    """
    outcome = Outcome()
    ended = threading.Event()

    def work() -> None:
        try:
            function()
        except BaseException as error:  # told to the thread that waits
            outcome.error = error
        finally:
            ended.set()

    # A thread that never returns must not keep the process from ending.
    thread = threading.Thread(target=work, name="starfish_fetch-check", daemon=True)
    thread.start()
    while not ended.wait(max(0.0, min(_SLICE, until - perf_counter()))):
        longest = calls.longest()
        if longest is not None and longest[0] > patience:
            outcome.hanging = longest[1]
        elif perf_counter() > until:
            outcome.late = True
        else:
            continue
        calls.abandon(thread)
        outcome.error = None
        break
    return outcome


@contextmanager
def memory_limited() -> Iterator[None]:
    """Turn a request for more memory than is free into a MemoryError.

    Without a limit, the system would end the process instead. Where the system has no such limit,
    nothing is done.
    """
    try:
        import resource

        # Files that are mapped to be read are not counted, however large.
        limits = resource.getrlimit(resource.RLIMIT_DATA)
        most = _used_memory() + _free_memory()
    except (ImportError, OSError, ValueError, StopIteration):
        yield
        return
    if limits[0] != resource.RLIM_INFINITY:
        most = min(most, limits[0])
    resource.setrlimit(resource.RLIMIT_DATA, (most, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, limits)


def _used_memory() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[5])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _free_memory() -> int:
    with open("/proc/meminfo") as lines:
        free = next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvail"))
    group = Path("/sys/fs/cgroup")
    try:
        allowed = int((group / "memory.max").read_text())
        free = min(free, allowed - int((group / "memory.current").read_text()))
    except (OSError, ValueError):
        pass
    # Others need some as well; and stacks and arenas of threads reserve what they never use.
    return max(free * 4 // 5, 1 << 29)


def open_handles() -> int | None:
    """Return how many files this process has open, where the system says."""
    for folder in ("/proc/self/fd", "/dev/fd"):
        with suppress(OSError):
            return len(os.listdir(folder))
    return None
