"""Whether a fetcher gives back what it takes, and names what it reads."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Hashable, Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from starfish_fetch.axes import TileKey
from starfish_fetch.contract import TileFetcher
from starfish_fetch.testing._guard import Broken, open_handles
from starfish_fetch.testing.checks._registry import Finding, NotChecked, check
from starfish_fetch.tracing import trace

if TYPE_CHECKING:
    from starfish_fetch.testing._subject import Session, Subject

__all__ = [
    "check_file_handles_are_returned",
    "check_sources_are_truthful",
    "check_threads_and_files_are_returned",
]

_PASSES = 3
_WAIT = 0.3


def _handles() -> int:
    count = open_handles()
    if count is None:
        raise NotChecked("this system does not say what is open")
    return count


def _let_go(subject: Subject, session: Session) -> None:
    """Drop a fetcher as a careful user would."""
    close = getattr(session.fetcher, "close", None)
    # One that make_fetcher() returns again and again is not ours to close.
    if callable(close) and subject.fresh().fetcher is not session.fetcher:
        with suppress(Exception):
            close()
    session.fetcher = None


@check(
    "C13", "fail", "After about a thousand handles, the system gives out no more: the load fails."
)
def check_file_handles_are_returned(subject: Subject) -> Iterator[Finding]:
    """Reading leaves no more files open than are being read, and none in the end.

    A file is opened for each tile and kept, in a list or by the tile itself. With the test image
    that is a dozen. A process may have about a thousand open; then the next tile raises "Too many
    open files", hours into the load, at a file that is perfectly in order.

    What the process has open is counted while the same few tiles are read three times. More each
    time, or more than there are files, is a failure. What is still open after the fetcher was
    closed, if it has ``close``, and dropped is a warning. One handle for each file passes, though
    there may be ten thousand of them. Skipped where the system does not say what is open.

    Wrong::

        class MyFetcher(TileFetcher):
            def __init__(self, root):
                self.root, self.files = root, []

            def pixels(self, fov, r, c, z):
                self.files.append(open(self.path(fov, r, c), "rb"))
                return tifffile.imread(self.files[-1], key=z)

    Right::

        class MyFetcher(TileFetcher):
            def pixels(self, fov, r, c, z):
                with open(self.path(fov, r, c), "rb") as file:
                    return tifffile.imread(file, key=z)
    """
    few = subject.few
    # The old generation is large in a large process, and what was just dropped is young.
    gc.collect(1)
    before = _handles()
    session = subject.fresh()
    counts: list[int] = []
    with trace() as seen:
        for _ in range(_PASSES):
            for key in few:
                session.read(key)
            # What only waits for the collector is not lost.
            counts.append(_settled(before + (counts[-1] if counts else 0)) - before)
    remedy = "Open files in a with statement, or close them when the tile is read."
    if all(earlier < later for earlier, later in pairwise(counts)):
        yield Finding(
            f"Reading the same {len(few)} tiles {_PASSES} times left {', '.join(map(str, counts))} "
            "files open: more each time.",
            remedy,
            tuple(few),
        )
        return
    if counts[-1] >= len(few) > 1 and counts[-1] > len(seen.by_source) > 0:
        yield Finding(
            f"After {len(few)} tiles were read, {counts[-1]} files are open, of "
            f"{len(seen.by_source)} that there are.",
            remedy,
            tuple(few),
        )
        return
    _let_go(subject, session)
    # A fetcher before this one may have left them open for all.
    before = min(before, subject.handles or before)
    left = _settled(before) - before
    if left > 0:
        yield Finding(
            f"{left} files are still open after the fetcher is gone.",
            remedy,
            tuple(few),
            status="warn",
        )


def _settled(most: int) -> int:
    """Return how many handles are open; if more than expected, once the collector has been."""
    count = _handles()
    if count > most:
        gc.collect()
        count = _handles()
    return count


@check("C13", "warn", "What each load leaves behind fills the disk, or the machine, in the end.")
def check_threads_and_files_are_returned(subject: Subject) -> Iterator[Finding]:
    """No thread and no temporary file outlives the fetcher.

    Each file is copied to a temporary place first, because the server is slow, and the copy stays.
    A night's work is a full disk, often that of a machine which others work on too. A pool of
    threads for each tile, never shut down, does the same to memory.

    After a few tiles were read and the fetcher was dropped, threads that were started and still
    run are told, and files that were made and are still there. Seen are files that are opened
    through Python; a cache on disk that is kept on purpose looks the same as one forgotten.

    Wrong::

        def tile_data(self):
            with tempfile.NamedTemporaryFile(delete=False) as copy:
                shutil.copy(self.path, copy.name)
            return tifffile.imread(copy.name, key=self.z)

    Right::

        def tile_data(self):
            with tempfile.TemporaryDirectory() as folder:
                copy = shutil.copy(self.path, folder)
                return tifffile.imread(copy, key=self.z)
    """
    before, children = set(threading.enumerate()), _children()
    # Clocks of file systems are coarse.
    started = time.time() - 0.02
    with trace() as seen:
        session = subject.fresh()
        for key in subject.few:
            session.read(key)
    _let_go(subject, session)
    end = perf_counter() + _WAIT
    while (threads := set(threading.enumerate()) - before) and perf_counter() < end:
        gc.collect()
        time.sleep(0.01)
    if threads:
        names = ", ".join(sorted(thread.name for thread in threads))
        yield Finding(
            f"{len(threads)} threads are still running after the fetcher is gone: {names}.",
            "Join threads when they are done; use an executor in a with statement.",
        )
    processes = _children() - children
    if processes:
        yield Finding(
            f"{len(processes)} processes are still there after the fetcher is gone.",
            "Wait for processes that were started, as subprocess.run does.",
        )
    left = [path for path in seen.by_source if _made_since(path, started)]
    if left:
        gc.collect()
        left = [path for path in left if _made_since(path, started)]
    if left:
        yield Finding(
            f"{len(left)} files were made and are still there after the fetcher is gone: "
            f"{', '.join(repr(path) for path in left[:3])}.",
            "Use tempfile.TemporaryDirectory in a with statement, or read into memory.",
        )


def _children() -> set[str]:
    """Return the processes that this one has started, where the system tells."""
    found = set()
    for path in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):
            found.update(path.read_text().split())
    return found


def _made_since(path: str, started: float) -> bool:
    try:
        return Path(path).is_file() and Path(path).stat().st_ctime >= started
    except OSError:
        return False


@check("C14", "warn", "Plans, predictions and the default order rest on what source() says.")
def check_sources_are_truthful(subject: Subject) -> Iterator[Finding]:
    """``source`` names the file that is really opened, without opening it.

    ``source`` builds a path of its own, and when the file names change, only the one in
    ``tile_data()`` is corrected. Pixels stay right. But the default order finishes one source
    before the next, and predictions count sources: from then on each file is opened again and
    again, and the advice on how to load faster makes it slower.

    Of a few tiles, what ``source`` says is compared with the files that are opened. A path must be
    one of them, or a folder that they are in; of another name, it must stand for the same files
    each time. An exception, and a name that cannot be hashed, are failures; all else is a warning.
    Where no file is seen to be opened, as in C, the check is skipped.

    Wrong::

        def source(self, fov, r, c, z):
            return f"{self.root}/fov{fov}_r{r}.tiff"  # one per round, once

    Right::

        def source(self, fov, r, c, z):
            return self.path(fov, r, c)
    """
    session = subject.fresh()
    source = getattr(session.fetcher, "source", None)
    if source is not None and not callable(source):
        yield Finding(
            f"source is {source!r:.80}; expected a method.",
            "Define source(fov_id, round_label, ch_label, zplane_label), which returns a path.",
        )
        return
    if source is None or getattr(source, "__func__", None) is TileFetcher.source:
        raise NotChecked("it names no sources")
    named: dict[TileKey, Hashable] = {}
    for key in subject.few:
        what = f"source of {subject.named(key)}"
        name: Any = None
        try:
            name = subject.call(what, lambda key=key: source(subject.extent.fov, *key))  # type: ignore[misc]
            hash(name)
        except (Broken, TypeError) as error:
            text = str(error) if isinstance(error, Broken) else f"{what} is {name!r:.80}"
            yield Finding(
                f"{text}; expected something that can be hashed, such as a path, or None.",
                "Return str(path), or None where it is not known.",
                (key,),
                status="fail",
            )
            return
        again = subject.call(what, lambda key=key: source(subject.extent.fov, *key))  # type: ignore[misc]
        if name != again:
            yield Finding(
                f"{what} is {name!r:.80}, and {again!r:.80} when it is asked for again.",
                "Return something that is equal for one file: its path.",
                (key,),
            )
            return
        if name is not None:
            named[key] = name
    files = subject.main_files(named)
    if not files:
        raise NotChecked("no file is seen to be opened")
    yield from _untrue(subject, named, files)


def _untrue(
    subject: Subject, named: dict[TileKey, Hashable], files: dict[TileKey, str]
) -> Iterator[Finding]:
    remedy = "Build the path in one place, and let source() and tile_data() both use it."
    file_of: dict[Hashable, str] = {}
    name_of: dict[str, Hashable] = {}
    for key, name in named.items():
        file, problem, certain = files[key], "", True
        if isinstance(name, str | os.PathLike) and _looks_like_a_path(name):
            if not _is_same(os.fspath(name), file):
                problem = f", but what is opened is {file!r}"
        elif file_of.setdefault(name, file) != file:
            problem = ", as of others that are read from another file"
        elif name_of.setdefault(file, name) != name:
            problem, certain = f", of others in the same file {name_of[file]!r:.80}", False
        if problem:
            yield Finding(
                f"source of {subject.named(key)} is {str(name)!r:.200}{problem}.",
                remedy,
                (key,),
                certain=certain,
            )
            return


def _looks_like_a_path(name: Any) -> bool:
    text = os.fspath(name)
    return isinstance(text, str) and (os.path.exists(text) or os.sep in text or "." in text)


def _is_same(name: Any, file: str) -> bool:
    """Return whether a file is what a source names: itself, in that folder, or so below another.

    Of what a URL names it may be a copy.
    """
    if "://" in os.fsdecode(name):
        return file.endswith(os.fsdecode(name).rpartition("/")[2])
    path = os.path.abspath(os.fsdecode(name))
    suffix = os.sep + os.fsdecode(name).lstrip("./")
    return (
        file == path
        or os.path.realpath(file) == os.path.realpath(path)
        or file.startswith(path + os.sep)
        or file.endswith(suffix)
    )
