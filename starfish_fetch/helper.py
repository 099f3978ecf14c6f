"""A second thread for a fetcher that is called from one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from numpy.typing import NDArray

__all__ = ["Helper"]

Convert = Callable[[NDArray[Any], NDArray[Any]], object]


class Helper:
    """Converts one half of each large tile while the caller converts the other.

    Both halves are done before the caller goes on, and calls the fetcher again: a fetcher may use
    its memory anew as soon as it is called.
    """

    def __init__(self) -> None:
        self._work: SimpleQueue[tuple[Convert, NDArray[Any], NDArray[Any]] | None] = SimpleQueue()
        self._done: SimpleQueue[Exception | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def halving(self, convert: Convert) -> Convert:
        """Return a conversion that does the same on two threads."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="starfish_fetch-helper")
            self._thread.start()

        def convert_halves(pixels: NDArray[Any], out: NDArray[Any]) -> None:
            half = len(out) // 2
            self._work.put((convert, pixels[half:], out[half:]))
            try:
                convert(pixels[:half], out[:half])
            finally:
                error = self._done.get()
            if error is not None:
                raise error

        return convert_halves

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            try:
                work[0](*work[1:])
            except Exception as error:  # raised again by the thread that waits
                self._done.put(error)
            else:
                self._done.put(None)

    def close(self) -> None:
        """End the thread."""
        if self._thread is not None:
            self._work.put(None)
            self._thread.join()
            self._thread = None
