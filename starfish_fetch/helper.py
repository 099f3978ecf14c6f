"""A second thread for a fetcher that is called from one."""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from numpy.typing import NDArray

from starfish_fetch.threads import Worker

__all__ = ["Helper"]

Convert = Callable[[NDArray[Any], NDArray[Any]], object]


_PIECE = 1 << 21


class Helper:
    """Converts one half of each large tile while the caller converts the other.

    Both halves are done before the caller goes on, and calls the fetcher again: a fetcher may use
    its memory anew as soon as it is called.
    """

    def __init__(self) -> None:
        self._work: SimpleQueue[tuple[Convert, NDArray[Any], NDArray[Any]] | None] = SimpleQueue()
        self._done: SimpleQueue[Exception | None] = SimpleQueue()
        self._worker: Worker | None = None

    def halving(self, convert: Convert) -> Convert:
        """Return a conversion that does the same on two threads, if the system gives another."""
        if self._worker is None:
            self._worker = Worker(self._run, "starfish_fetch-helper")
            if not self._worker.start():
                self._worker = None
                return convert

        def convert_halves(pixels: NDArray[Any], out: NDArray[Any]) -> None:
            if len(out) < 2:
                convert(pixels, out)
                return
            half = _half(out)
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
        if self._worker is not None:
            self._work.put(None)
            self._worker.join()
            self._worker = None


def _half(out: NDArray[Any]) -> int:
    """Return the row at which to halve an array.

    Memory that is new is provided in pieces of up to 2 MiB when it is first written to. Two
    threads that write to one piece at a time both have it cleared, so each is given pieces of its
    own.
    """
    row_bytes = abs(out.strides[0]) or 1
    start: int = out.__array_interface__["data"][0]
    middle = start + len(out) // 2 * row_bytes
    boundary = round(middle / _PIECE) * _PIECE
    half = -(-(boundary - start) // row_bytes)
    return half if 0 < half < len(out) else len(out) // 2
