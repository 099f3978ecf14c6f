"""Whether threads that are promised the right pixels get them."""

from __future__ import annotations

import random
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from time import perf_counter
from types import FrameType
from typing import TYPE_CHECKING, Any

from starfish_fetch.axes import TileKey
from starfish_fetch.testing._guard import Abandoned, Broken
from starfish_fetch.testing.checks._registry import Finding, NotChecked, check

if TYPE_CHECKING:
    from starfish_fetch.testing._subject import Session, Subject

__all__ = ["check_threads_agree"]

_THREADS = 4
_STRESS_SECONDS = 0.15
_LEAST_ROUNDS = 6
_MOST_ROUNDS = 12
_YIELDS = 0.1
_A_MOMENT = 5e-5
_LARGE = 1 << 20
# Looked up before threads do: it is not made for them.
_STDLIB = sysconfig.get_path("stdlib")


@check(
    "C7", "fail", "Threads that disturb each other give wrong tiles now and then: the worst kind."
)
def check_threads_agree(subject: Subject) -> Iterator[Finding]:
    """A fetcher that declares ``thread_safe`` gives every thread the right pixels.

    ``thread_safe`` is set because it is faster, and the cache of one file that served a single
    thread so well is now everybody's: between putting a volume there and taking a plane from it,
    another thread has put another one. A position in a shared file does the same. One tile of some
    thousand is wrong, a different one in each run, and no test that reads tile by tile finds it.

    Only a fetcher that declares ``thread_safe`` is tested: four threads read a few tiles, some
    from the first read on, some through pauses put between the lines of the fetcher's own code. A
    finding is a certainty. A pass is none: races that need more luck, or that lie in a library's
    code, may not show.

    Wrong::

        class MyFetcher(TileFetcher):
            thread_safe = True
            path_read = volume = None

            def pixels(self, fov, r, c, z):
                path = self.path(fov, r, c)
                if self.path_read != path:
                    self.volume, self.path_read = tifffile.imread(path), path
                return self.volume[z].copy()

    Right::

        class MyFetcher(TileFetcher):
            thread_safe = True

            @staticmethod
            @functools.lru_cache(maxsize=4)  # may be called by any thread
            def volume(path):
                return tifffile.imread(path)

            def pixels(self, fov, r, c, z):
                return self.volume(self.path(fov, r, c))[z].copy()
    """
    session = subject.fresh()
    if not getattr(session.fetcher, "thread_safe", False):
        raise NotChecked("it does not declare thread_safe")
    few = subject.few
    if subject.reference(few[0]).nbytes > _LARGE:
        few = few[:: max(1, len(few) // 2)]
    subject.require_repeatable()
    remedy = (
        "Guard what is shared with a lock, give each thread its own handle (or use os.pread), or "
        "leave thread_safe False."
    )
    started = perf_counter()
    number = 0
    while number < _LEAST_ROUNDS or (
        number < _MOST_ROUNDS and perf_counter() - started < _STRESS_SECONDS
    ):
        first_read = number % 2 == 0
        if first_read:
            session = subject.fresh()
        passes = 2 if number < 2 else 4
        problem = _stress(subject, session, few, passes, slowly=number < 2)
        if problem:
            when = " at the first read" if first_read else ""
            yield Finding(
                f"Read by {_THREADS} threads at once{when}: {problem}", remedy, tuple(few)
            )
            return
        number += 1


def _stress(
    subject: Subject, session: Session, few: list[TileKey], passes: int, *, slowly: bool
) -> str:
    problems: list[str] = []
    barrier, lock = threading.Barrier(_THREADS), threading.Lock()

    def work(number: int) -> None:
        order = (few[number % len(few) :] + few[: number % len(few)]) * passes
        try:
            if slowly:
                # Two threads cannot begin to trace at once, and others may be at it.
                with lock, suppress(RuntimeError):
                    sys.settrace(_yielding(random.Random(number)))
            barrier.wait()
            for key in order:
                if problems:
                    return
                if subject.changed(key, session.read(key)):
                    problems.append(f"{subject.named(key)} gave other pixels than by itself.")
        except Broken as error:
            problems.append(f"{error}.")
        except (Abandoned, threading.BrokenBarrierError):
            pass
        finally:
            # If this one has not come as far, the others need not wait.
            barrier.abort()
            with lock, suppress(RuntimeError):
                sys.settrace(None)

    threads = [
        threading.Thread(target=work, args=(number,), daemon=True) for number in range(_THREADS)
    ]
    with subject.held(_often_switched()):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return problems[0] if problems else ""


def _yielding(rng: random.Random) -> Callable[[FrameType, str, Any], Any]:
    """Return a trace function that now and then lets others go first, between any two steps.

    Of the fetcher's own code only: libraries have more lines than there is time for.
    """

    def at_step(frame: FrameType, event: str, value: Any) -> Any:
        if rng.random() < _YIELDS:
            time.sleep(_A_MOMENT)
        return at_step

    def at_call(frame: FrameType, event: str, value: Any) -> Any:
        if _is_of_a_library(frame.f_code.co_filename):
            return None
        # Within a line as well: a seek and a read may stand side by side.
        frame.f_trace_opcodes = True
        return at_step

    return at_call


@cache
def _is_of_a_library(path: str) -> bool:
    parts = Path(path).parts
    return (
        "site-packages" in parts
        or path.startswith(("<frozen", _STDLIB))
        or Path(__file__).parent.parent in Path(path).parents
    )


@contextmanager
def _often_switched() -> Iterator[None]:
    """Let threads take turns as often as can be, which is when races show."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
