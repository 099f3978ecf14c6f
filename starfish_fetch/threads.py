"""Batches of work, done by one thread or by several."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

__all__ = ["Stop", "Worker", "run_batches"]

Batch = TypeVar("Batch")

_LONGEST_START = 5.0


class Stop:
    """Says whether threads should stop; no Event, whose lock an interrupt may leave taken."""

    def __init__(self) -> None:
        self._is_set = False

    def set(self) -> None:
        """Tell them to."""
        self._is_set = True

    def is_set(self) -> bool:
        """Return whether they should."""
        return self._is_set


class Worker:
    """A thread that can be joined whatever interrupted its start.

    Parameters
    ----------
    work : callable
        What it does.
    name : str
        Of the thread.
    """

    def __init__(self, work: Callable[[], object], name: str) -> None:
        self._work = work
        self._thread = threading.Thread(target=self._run, name=name)
        self._tried = self._started = False
        self._claims: dict[str, str] = {}
        # Not an Event: an interrupt of its wait may come out as a RuntimeError about its lock.
        self._running = threading.Lock()
        self._running.acquire()

    def _claim(self, claimant: str) -> bool:
        """Decide, once and for all, whether the work is done or given up before it was begun."""
        return self._claims.setdefault("first", claimant) == claimant

    def _run(self) -> None:
        try:
            if self._claim("thread"):
                self._work()
        finally:
            self._running.release()

    def start(self) -> bool:
        """Start the thread; return whether the system has given one."""
        self._tried = True
        before = sys.exception()
        try:
            self._thread.start()
        except RuntimeError as error:
            if error.__context__ is not None and error.__context__ is not before:
                # An interrupt, which the lock that a start waits for has made this of; the thread
                # may be there.
                raise error.__context__ from None
            self._tried = False
            return False
        self._started = True
        return True

    def join(self) -> None:
        """Wait until the thread has ended, if it was started; what it has not begun it will not."""
        if not self._tried:
            return
        if self._claim("joined") and not self._started:
            # An interrupt in the midst of its start does not tell whether there is a thread. If
            # so, it ends at once.
            if not self._running.acquire(timeout=_LONGEST_START):
                return
            self._running.release()
        else:
            # Thread.join, once interrupted, takes a thread that still runs for one that has ended.
            with self._running:
                pass
        self._thread.join()


def run_batches(
    batches: Iterator[Batch],
    make_work: Callable[[Stop], Callable[[Batch], None]],
    threads: int,
) -> list[BaseException]:
    """Work batches off, one after another in each thread; the calling thread is one of them.

    Parameters
    ----------
    batches : iterator
        Each is given to the first thread that is free.
    make_work : callable
        Called once in each thread, with what says as soon as the work should stop;
        returns what to call with each batch.
    threads : int
        How many.

    Returns
    -------
    list of BaseException
        What was raised, in the order of the batches; the first ends the work of all. An interrupt
        goes before all else. No thread is left behind. Where the system gives fewer threads, these
        do all.
    """
    numbered = enumerate(batches)
    turn = threading.Lock()
    stop = Stop()
    errors: dict[int, BaseException] = {}

    def work() -> None:
        number = -1
        try:
            do = make_work(stop)
            while not stop.is_set():
                with turn:
                    number, batch = next(numbered, (number, None))
                if batch is None:
                    return
                do(batch)
        except BaseException as error:  # returned to the calling thread
            errors[number] = error
            stop.set()

    others: list[Worker] = []
    try:
        for number in range(1, threads):
            others.append(Worker(work, f"starfish_fetch-{number}"))
            if not others[-1].start():
                break
        work()
        for other in others:
            other.join()
    finally:
        # After an interrupt, wherever it came, no thread goes on by itself.
        stop.set()
        for other in others:
            other.join()
    # No frame keeps them: one that an error knows of would keep it, and the files that it read.
    return sorted(
        (errors.pop(number) for number in sorted(errors)),
        key=lambda error: isinstance(error, Exception),
    )
