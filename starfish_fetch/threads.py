"""Batches of work, done by one thread or by several."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

__all__ = ["run_batches"]

Batch = TypeVar("Batch")


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
        goes before all else. No thread is left behind.
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

    others = [
        threading.Thread(target=work, name=f"starfish_fetch-{number}")
        for number in range(1, threads)
    ]
    started = []
    try:
        for thread in others:
            thread.start()
            started.append(thread)
        work()
        for thread in started:
            thread.join()
    finally:
        # After an interrupt, wherever it came, no thread goes on by itself.
        stop.set()
        for thread in started:
            thread.join()
    in_order = [errors[number] for number in sorted(errors)]
    return sorted(in_order, key=lambda error: isinstance(error, Exception))
