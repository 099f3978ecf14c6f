"""Whether threads that are promised the right pixels get them."""

from __future__ import annotations

import random
import sys
import sysconfig
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, partial
from pathlib import Path
from time import perf_counter
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any

from starfish_fetch.axes import TileKey
from starfish_fetch.testing._guard import Abandoned, Broken
from starfish_fetch.testing.checks._registry import Finding, NotChecked, check

if TYPE_CHECKING:
    from starfish_fetch.testing._subject import Session, Subject

__all__ = ["check_threads_agree"]

_Step = tuple[CodeType, int | None, int]
"""A line of code, and an instruction."""
_Stop = tuple[_Step, int]
"""A step, and the how manieth time that it is come to."""

_THREADS = 4
_PASSES = 4
_STRESS_SECONDS = 0.15
_LEAST_ROUNDS = 4
_MOST_ROUNDS = 10
_STOPS_SECONDS = 0.25
_MOST_LINES = 100
_PATIENCE = 0.05
_MOST_WAITS = 5
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

    Only a fetcher that declares ``thread_safe`` is tested: a thread is stopped at one step after
    the other of the fetcher's own code while a second thread reads a tile; then four read at once.
    A finding is a certainty. A pass is none: races that take more than one stop, or that lie in a
    library's code, need luck to show.

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
    problem = (
        _in_turns(subject, few, first_read=True)
        or _in_turns(subject, few, first_read=False)
        or _at_once(subject, few)
    )
    if problem:
        yield Finding(problem, remedy, tuple(few))


def _in_turns(subject: Subject, few: list[TileKey], *, first_read: bool) -> str:
    """Stop one thread at each of its steps while another reads; say what went wrong, if anything.

    Such a race shows in every run, where threads that are left to themselves need luck to meet.
    """
    session = subject.fresh()
    if not first_read:
        session.read(few[-1])
    steps: list[_Step] = []
    started = perf_counter()
    _run(partial(_traced, partial(session.read, few[0]), steps.append))
    patience = _PATIENCE + 4 * (perf_counter() - started)
    lines, rest = _worth_a_stop(steps)
    end, waits = perf_counter() + _STOPS_SECONDS, 0
    for number, at in enumerate([*lines, *rest]):
        if waits >= _MOST_WAITS or (
            number >= min(len(lines), _MOST_LINES) and perf_counter() > end
        ):
            break
        stopped, other = (few[n % len(few)] for n in (number, number + len(few) // 2))
        # The same tile too: what is noted for it before it is read is then taken as read.
        for key in (other, stopped):
            if first_read:
                session = subject.fresh()
            problem, waited = _meet(subject, session, stopped, at, key, patience)
            waits += waited
            if problem:
                when = "its first read" if first_read else "a read"
                return (
                    f"Stopped in {when} of {subject.named(stopped)} while another thread read "
                    f"{subject.named(key)}: {problem}"
                )
    return ""


def _worth_a_stop(steps: list[_Step]) -> tuple[list[_Stop], list[_Stop]]:
    """Return the first stop in each line, and all others; both mixed, the same in each run."""
    seen: Counter[_Step] = Counter()
    lines: dict[tuple[CodeType, int | None], _Stop] = {}
    rest: list[_Stop] = []
    for step in steps:
        seen[step] += 1
        stop = step, seen[step]
        if lines.setdefault(step[:2], stop) is not stop:
            rest.append(stop)
    rng = random.Random(len(steps))
    return rng.sample([*lines.values()], len(lines)), rng.sample(rest, len(rest))


def _meet(
    subject: Subject,
    session: Session,
    stopped: TileKey,
    at: _Stop,
    key: TileKey,
    patience: float,
) -> tuple[str, bool]:
    """Have a read of one tile stopped at a step until a thread has read another.

    Returns what went wrong, and whether the other thread had to be left behind: it may wait for a
    lock that the one that was stopped holds.
    """
    problems: list[str] = []
    go, begun, gone = threading.Event(), threading.Event(), threading.Event()
    times, waited = 0, False

    def at_step(step: _Step) -> None:
        nonlocal times, waited
        times += step == at[0]
        if (step, times) == at and not go.is_set():
            go.set()
            begun.wait()
            waited = not gone.wait(patience)

    def first() -> None:
        try:
            _traced(partial(_read, subject, session, stopped, problems), at_step)
        finally:
            go.set()

    def second() -> None:
        go.wait()
        begun.set()
        try:
            _read(subject, session, key, problems)
        finally:
            gone.set()

    _run(first, second)
    # What they have left behind may be wrong as well.
    for each in (key, stopped):
        if not problems:
            _read(subject, session, each, problems)
    return (problems[0] if problems else ""), waited


def _at_once(subject: Subject, few: list[TileKey]) -> str:
    """Have all threads read at once, as often as there is time; say what went wrong."""
    session = subject.fresh()
    started = perf_counter()
    for number in range(_MOST_ROUNDS):
        if number >= _LEAST_ROUNDS and perf_counter() - started > _STRESS_SECONDS:
            break
        first_read = number % 2 == 0
        if first_read:
            session = subject.fresh()
        problem = _stress(subject, session, few)
        if problem:
            when = " at the first read" if first_read else ""
            return f"Read by {_THREADS} threads at once{when}: {problem}"
    return ""


def _stress(subject: Subject, session: Session, few: list[TileKey]) -> str:
    problems: list[str] = []
    barrier = threading.Barrier(_THREADS)

    def work(number: int) -> None:
        try:
            barrier.wait()
            for key in (few[number % len(few) :] + few[: number % len(few)]) * _PASSES:
                if problems:
                    return
                _read(subject, session, key, problems)
        except threading.BrokenBarrierError:
            pass
        finally:
            # If this one has not come as far, the others need not wait.
            barrier.abort()

    with subject.held(_often_switched()):
        _run(*(partial(work, number) for number in range(_THREADS)))
    return problems[0] if problems else ""


def _read(subject: Subject, session: Session, key: TileKey, problems: list[str]) -> None:
    try:
        if subject.changed(key, session.read(key)):
            problems.append(f"{subject.named(key)} gave other pixels than by itself.")
    except Broken as error:
        problems.append(f"{error}.")


def _run(*functions: Callable[[], None]) -> None:
    """Run each in a thread of its own, until all have ended or were given up."""

    def until_given_up(function: Callable[[], None]) -> None:
        with suppress(Abandoned):
            function()

    threads = [
        threading.Thread(target=until_given_up, args=(function,), daemon=True)
        for function in functions
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _traced(function: Callable[[], object], at_step: Callable[[_Step], None]) -> None:
    """Call a function in this thread, and another at each step of code that is no library's.

    Libraries have more steps than there is time for.
    """

    def trace(frame: FrameType, event: str, value: Any) -> Any:
        if _is_of_a_library(frame.f_code.co_filename):
            return None
        # Within a line as well: a seek and a read may stand side by side.
        frame.f_trace_opcodes = True
        at_step((frame.f_code, frame.f_lineno, frame.f_lasti))
        return trace

    # It raises where another thread is just about to trace, a debugger's for one.
    with suppress(RuntimeError):
        sys.settrace(trace)
    try:
        function()
    finally:
        with suppress(RuntimeError):
            sys.settrace(None)


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
