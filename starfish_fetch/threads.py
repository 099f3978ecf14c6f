"""Batches of work, done by one thread or by several."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

__all__ = ["Worker", "run_batches"]

Batch = TypeVar("Batch")

_LONGEST_START = 5.0


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
        self._begun, self._ended = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name=name)
        self._started = False

    def _run(self) -> None:
        self._begun.set()
        try:
            self._work()
        finally:
            self._ended.set()

    def start(self) -> bool:
        """Start the thread; return whether the system has given one."""
        self._started = True
        try:
            self._thread.start()
        except RuntimeError:
            self._started = False
        return self._started

    def join(self) -> None:
        """Wait until the thread has ended, if it was started."""
        # An interrupt in the midst of its start does not tell whether there is a thread; if so, it
        # begins at once.
        if self._started and self._begun.wait(_LONGEST_START):
            # Thread.join, once interrupted, takes a thread that still runs for one that has ended.
            self._ended.wait()
            self._thread.join()


def run_batches(
    batches: Iterator[Batch],
    make_work: Callable[[threading.Event], Callable[[Batch], None]],
    threads: int,
) -> list[BaseException]:
    """Work batches off, one after another in each thread; the calling thread is one of them.

    Parameters
    ----------
    batches : iterator
        Each is given to the first thread that is free.
    make_work : callable
        Called once in each thread, with an event that is set as soon as the work should stop;
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
    stop = threading.Event()
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
