"""Whether pixels depend on what else was asked for, when, how often, by whom."""

from __future__ import annotations

import mmap
import pickle
import random
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, partial
from pathlib import Path
from time import perf_counter
from types import FrameType
from typing import TYPE_CHECKING, Any

import numpy as np

from starfish_fetch.axes import TileKey
from starfish_fetch.testing._coordinates import alike
from starfish_fetch.testing._guard import Abandoned, Broken
from starfish_fetch.testing.checks._registry import Finding, NotChecked, check

if TYPE_CHECKING:
    from starfish_fetch.testing._subject import Session, Subject

__all__ = [
    "check_arrays_are_private",
    "check_errors_leave_nothing_behind",
    "check_order_does_not_matter",
    "check_pickling_keeps_pixels",
    "check_threads_agree",
    "check_tiles_do_not_share_state",
    "check_tiles_repeat",
]

_THREADS = 4
_STRESS_SECONDS = 0.1
_LEAST_ROUNDS = 4
_MOST_ROUNDS = 12
_YIELDS = 0.3
_A_MOMENT = 1e-5
_LARGE = 1 << 20


@check("C5", "fail", "Data that change when they are read again cannot be analysed twice.")
def check_tiles_repeat(subject: Subject) -> Iterator[Finding]:
    """The same tile asked for again has the same pixels.

    A file is opened when the tile is made and read from where it stands, so a second read begins
    where the first ended. Or pixels are corrected in place, a little more each time, or noise is
    added without a seed. The first look is right. What is computed after the second cannot be had
    again, not by a reviewer, and not by its author.

    Of a few tiles, ``tile_data()`` is called twice, the tile is asked for twice, and two fresh
    fetchers are compared. What changes only from one process or day to the next is not seen.

    Wrong::

        class MyTile(FetchedTile):
            def __init__(self, fetcher, fov, r, c, z):
                super().__init__(fetcher, fov, r, c, z)
                self.file = open(self.path, "rb")
                self.file.seek(z * 24 * 20 * 2)

            def tile_data(self):
                return np.fromfile(self.file, np.uint16, 24 * 20).reshape(24, 20)

    Right::

        class MyTile(FetchedTile):
            def tile_data(self):
                with open(self.path, "rb") as file:
                    file.seek(self.z * 24 * 20 * 2)
                    pixels = np.fromfile(file, np.uint16, 24 * 20)
                return pixels.reshape(24, 20)
    """
    session = subject.fresh()
    remedy = "Read from the labels alone: keep no position, counter or chance in the fetcher."
    for key in subject.few:
        tile = session.tile(key)
        first = _copied(session.data(tile, key))
        problem = ""
        if not _equal(first, session.data(tile, key)):
            problem = "tile_data() called twice on one tile"
        elif not _equal(first, session.read(key)):
            problem = "the tile asked for twice"
        if problem:
            yield Finding(f"{subject.named(key)}: {problem} gave different pixels.", remedy, (key,))
            return
    if not subject.repeatable:
        yield Finding(
            "Two fresh fetchers, asked for the same tiles in one order, gave different pixels.",
            remedy,
            tuple(subject.few),
        )


def _copied(data: Any) -> Any:
    return np.array(data) if isinstance(data, np.ndarray) else data


def _equal(one: Any, other: Any) -> bool:
    if np.shape(one) != np.shape(other):
        return False
    kind = getattr(getattr(one, "dtype", None), "kind", "")
    return bool(np.array_equal(one, other, equal_nan=kind == "f"))


@check("C6", "fail", "Load order is chosen for speed; a fetcher that minds it gives wrong data.")
def check_order_does_not_matter(subject: Subject) -> Iterator[Finding]:
    """Any order of requests gives the same pixels.

    What was read last is kept, and read again when some of the labels change, but not all that it
    depends on. In the order r, c, z the cache below is right, as the channel changes whenever the
    round does. With ``group_by=(Axes.CH,)``, which was chosen for speed, the channel stays, and
    all rounds are the first one.

    A few tiles are asked of fresh fetchers backwards, shuffled, and beginning with the second, and
    compared with what they were when all were read in the order r, c, z. An order that disturbs
    none of these few passes. Where pixels change by themselves, the check is skipped; see
    ``tiles_repeat``.

    Wrong::

        class MyFetcher(TileFetcher):
            channel = volume = None

            def pixels(self, fov, r, c, z):
                if self.channel != c:
                    self.volume = tifffile.imread(self.path(fov, r, c))
                    self.channel = c
                return self.volume[z].copy()

    Right::

        class MyFetcher(TileFetcher):
            path_read = volume = None

            def pixels(self, fov, r, c, z):
                path = self.path(fov, r, c)
                if self.path_read != path:
                    self.volume = tifffile.imread(path)
                    self.path_read = path
                return self.volume[z].copy()
    """
    few = subject.few
    if len(few) < 2:
        raise NotChecked("there is only one tile")
    subject.require_repeatable(in_any_order=False)
    if not subject.orderly:
        yield Finding(
            f"{subject.named(few[-1])} or another gave other pixels when {len(few)} tiles were "
            "asked for than when all were, in the order r, c, z both times.",
            "Read from the labels alone, whatever was read before.",
            tuple(few),
        )
        return
    shuffled = subject.rng.sample(few, len(few))
    for order in (few[::-1], shuffled, few[1:] + few[:1]):
        session = subject.fresh()
        before = "first of all"
        for key in order:
            if subject.changed(key, session.read(key)):
                yield Finding(
                    f"{subject.named(key)} gave other pixels when it was asked for {before} than "
                    "in the order r, c, z.",
                    "Read from the labels alone, whatever was read before.",
                    (key,),
                )
                return
            before = f"after {subject.named(key)}"


@check(
    "C6", "fail", "Tiles are often made first and read later, by dask or by a loop of one's own."
)
def check_tiles_do_not_share_state(subject: Subject) -> Iterator[Finding]:
    """A tile keeps its labels and pixels when others are asked for before it is read.

    The fetcher notes which tile was asked for last, and each tile looks there when it is read. A
    load reads every tile before it asks for the next, so nothing is wrong. Then dask, or a list
    comprehension, makes all tiles first and reads them later: each is the last one, and a stack of
    one image repeated looks sharp and plausible.

    A few tiles are made, then read in reverse. Their pixels and coordinates are compared with what
    they were when each was read at once. Skipped where pixels change by themselves or with the
    order.

    Wrong::

        def get_tile(self, fov, r, c, z):
            self.current = fov, r, c, z
            return MyTile(self, fov, r, c, z)

        def tile_data(self):
            return self.fetcher.pixels(*self.fetcher.current)

    Right::

        def get_tile(self, fov, r, c, z):
            return MyTile(self, fov, r, c, z)

        def tile_data(self):
            return self.fetcher.pixels(self.fov, self.r, self.c, self.z)
    """
    few = subject.few
    if len(few) < 2:
        raise NotChecked("there is only one tile")
    subject.require_repeatable()
    session = subject.fresh()
    tiles = {key: session.tile(key) for key in few}
    for key in reversed(few):
        wrong = subject.changed(key, session.data(tiles[key], key))
        what = "pixels"
        if not wrong:
            coordinates = session.attribute(tiles[key], "coordinates", key)
            wrong = not alike(coordinates, subject.seen[key].coordinates)
            what = "coordinates"
        if wrong:
            yield Finding(
                f"{subject.named(key)} has other {what} when further tiles are made before it is "
                "read than when it is read at once.",
                "Keep the labels in the tile, not in the fetcher or in a variable that they share.",
                (key,),
            )
            return


@check("C6", "fail", "After a refused tile the next one must be right, or a retry makes it worse.")
def check_errors_leave_nothing_behind(subject: Subject) -> Iterator[Finding]:
    """After an exception, the next tile is as good as ever.

    A cache notes what it is about to read, and then the read fails. Asked once more, it takes the
    note for the truth and returns what it read before: another tile. So the load fails, somebody
    runs the cell again, and now it works. Others remember the failure, and refuse everything from
    then on.

    Labels that do not exist, and were refused, are asked for twice, and have to be refused twice;
    a tile that exists is read after each, and compared. If no label is refused, the check is
    skipped. An error in the middle of a file that exists is not tried.

    Wrong::

        class MyFetcher(TileFetcher):
            key = volume = None

            def pixels(self, fov, r, c, z):
                if self.key != (fov, r, c):
                    self.key = fov, r, c
                    self.volume = tifffile.imread(self.path(fov, r, c))
                return self.volume[z].copy()

    Right::

        class MyFetcher(TileFetcher):
            key = volume = None

            def pixels(self, fov, r, c, z):
                if self.key != (fov, r, c):
                    self.volume = tifffile.imread(self.path(fov, r, c))
                    self.key = fov, r, c  # now that it is true
                return self.volume[z].copy()
    """
    subject.require_repeatable()
    refused = [key for key, answer in subject.answers.items() if isinstance(answer, str)]
    if not refused:
        raise NotChecked("no label is refused")
    few = subject.few
    session = subject.fresh()
    for number, stranger in enumerate(refused[:4]):
        key = few[number % len(few)]
        with suppress(Broken):
            session.read(stranger)
        with suppress(Broken):
            data = session.read(stranger)
            yield Finding(
                f"{subject.named(stranger)} does not exist and was refused; asked for again, it "
                f"gave {np.size(data)} pixels.",
                "Leave the fetcher as it was when something raises: set state last, or none.",
                (stranger,),
            )
            return
        try:
            wrong = "other pixels" if subject.changed(key, session.read(key)) else ""
        except Broken as error:
            wrong = f"an error: {error}"
        if wrong:
            yield Finding(
                f"{subject.named(key)} gave {wrong} after {subject.named(stranger)}, which does "
                "not exist, had raised an exception.",
                "Leave the fetcher as it was when something raises: set state last, or none.",
                (key,),
            )
            return


@check(
    "C11", "fail", "Whoever corrects a tile in place corrects every copy that is handed out later."
)
def check_arrays_are_private(subject: Subject) -> Iterator[Finding]:
    """A returned array stays as it is, and writing into it changes nothing that comes later.

    A plane of a cached volume is a view of the cache. Who subtracts the background from it in
    place subtracts it from the cache as well, and from every tile that is taken from there later:
    the second load of the same notebook is darker than the first. One buffer for all tiles does it
    at once.

    Arrays of a few tiles are kept while the others are read, and must not change. Then each is
    overwritten and put back, and tiles are read again. Arrays that are read-only cannot be damaged
    and pass; so do maps of files, unless writing into one would change the file or what is read
    later.

    Wrong::

        @functools.lru_cache(maxsize=1)
        def volume(path):
            return tifffile.imread(path)

        def tile_data(self):
            return volume(self.path)[self.z]

    Right::

        @functools.lru_cache(maxsize=1)
        def volume(path):
            return tifffile.imread(path)

        def tile_data(self):
            return volume(self.path)[self.z].copy()
    """
    subject.require_repeatable()
    session = subject.fresh()
    few = subject.few
    kept = {key: session.read(key) for key in few}
    for key, array in kept.items():
        if subject.changed(key, array):
            yield Finding(
                f"The array of {subject.named(key)} changed when other tiles were read.",
                "Return a new array each time, or a copy of the one that is used again.",
                (key,),
            )
            return
    for key in few:
        # Read just now, it is what a cache still holds.
        array = session.read(key)
        if subject.changed(key, array) or subject.changed(key, session.read(key)):
            raise NotChecked("the pixels change when they are read again; see tiles_repeat")
        array = session.read(key)
        if not array.flags.writeable:
            continue
        base = _mapped(array)
        if base is not None:
            if getattr(base, "mode", None) == "r+":
                yield Finding(
                    f"{subject.named(key)} is a view of the file itself that can be written to: "
                    "whoever writes into it changes the data on disk.",
                    "Open the map with mode='r', or return a copy.",
                    (key,),
                )
                return
            if not isinstance(base, np.memmap):
                continue
        if _written_to_comes_back(subject, session, key, array, few):
            yield Finding(
                f"Writing into the array of {subject.named(key)} changed what the fetcher returns "
                "later.",
                "Return a copy, or a view that is read-only (array.flags.writeable = False).",
                (key,),
            )
            return


def _mapped(array: Any) -> Any:
    """Return the memory map that an array is a view of: writing would write to somebody's file."""
    base = array
    while base is not None:
        if isinstance(base, np.memmap | mmap.mmap):
            return base
        base = base.obj if isinstance(base, memoryview) else getattr(base, "base", None)
    return None


def _written_to_comes_back(
    subject: Subject, session: Session, key: TileKey, array: Any, few: list[TileKey]
) -> bool:
    before = array.copy()
    try:
        array[...] = ~before if before.dtype.kind in "biu" else 1 - before / 2
        return any(
            subject.changed(other, session.read(other))
            for other in dict.fromkeys([key, few[0], few[-1]])
        )
    finally:
        # The array may be the only one that a fetcher over memory has.
        array[...] = before


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
        passes = 1 if first_read else 4
        problem = _stress(subject, session, few, passes, slowly=number % 4 < 2)
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
                # Two threads cannot begin to trace at once.
                with lock:
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
            with lock:
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
    """Return a trace function that now and then lets others go first, between any two lines.

    Of the fetcher's own code only: libraries have more lines than there is time for.
    """

    def at_line(frame: FrameType, event: str, value: Any) -> Any:
        if rng.random() < _YIELDS:
            time.sleep(_A_MOMENT)
        return at_line

    def at_call(frame: FrameType, event: str, value: Any) -> Any:
        return None if _is_of_a_library(frame.f_code.co_filename) else at_line

    return at_call


@cache
def _is_of_a_library(path: str) -> bool:
    parts = Path(path).parts
    return (
        "site-packages" in parts
        or path.startswith(("<frozen", sysconfig.get_path("stdlib")))
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


@check("C6", "fail", "A fetcher travels to other processes by pickling, as with dask.")
def check_pickling_keeps_pixels(subject: Subject) -> Iterator[Finding]:
    """A fetcher and its tiles can be pickled, and give the same pixels afterwards.

    A lock, an open file or a class defined within a function cannot be pickled, and that shows on
    the day when the work is to go to many processes. Worse is a ``__getstate__`` that leaves out
    what pixels depend on: the workers then read, without a word, another image than the one at
    home.

    A fetcher that has not read anything, and one tile, are pickled and read again in this process.
    Other pixels are a failure. That something cannot be pickled is a warning, for one process is
    enough for many. A path that only exists here is not seen.

    Wrong::

        class MyFetcher(TileFetcher):
            def __init__(self, root):
                self.root, self.lock = root, threading.Lock()

    Right::

        class MyFetcher(TileFetcher):
            def __init__(self, root):
                self.root, self.lock = root, threading.Lock()

            def __getstate__(self):
                return {"root": self.root}

            def __setstate__(self, state):
                self.__init__(**state)
    """
    subject.require_repeatable()
    key = subject.few[-1]
    if subject.changed(key, subject.fresh().read(key)):
        raise NotChecked("the pixels depend on what was asked for before")
    session = subject.fresh()
    tile = session.tile(key)

    def read(thing: Any) -> Any:
        return (thing.get_tile(subject.extent.fov, *key) if thing_is_fetcher else thing).tile_data()

    for what, thing in {"the fetcher": session.fetcher, "a tile": tile}.items():
        thing_is_fetcher = thing is session.fetcher
        try:
            again = subject.call("pickling", partial(_pickled, thing))
        except Broken as error:
            yield Finding(
                f"{what.capitalize()} cannot be pickled: {error}.",
                "Keep open files, locks and functions without a name out of it (__getstate__); "
                "without that it is of use in one process alone.",
                status="warn",
            )
            return
        if subject.changed(key, subject.call(f"reading {what}, pickled", partial(read, again))):
            yield Finding(
                f"{subject.named(key)} has other pixels when {what} was pickled before.",
                "Let what is pickled hold all that pixels are read by.",
                (key,),
            )
            return


def _pickled(thing: Any) -> Any:
    return pickle.loads(pickle.dumps(thing))
