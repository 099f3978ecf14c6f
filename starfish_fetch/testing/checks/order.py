"""Whether pixels depend on what else was asked for, when and how often."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from itertools import permutations, product
from typing import TYPE_CHECKING, Any

import numpy as np

from starfish_fetch.axes import TileKey
from starfish_fetch.testing import faults
from starfish_fetch.testing._coordinates import alike
from starfish_fetch.testing._guard import Broken
from starfish_fetch.testing.checks._registry import Finding, NotChecked, check

if TYPE_CHECKING:
    from starfish_fetch.testing._subject import Session, Subject

__all__ = [
    "check_errors_leave_nothing_behind",
    "check_order_does_not_matter",
    "check_pickling_keeps_pixels",
    "check_tiles_do_not_share_state",
    "check_tiles_repeat",
]


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

    Tiles with the first and the last label of each axis are asked of fresh fetchers in all six
    orders of the axes, backwards and shuffled, and compared with what they are in the order r, c,
    z. What none of these disturbs passes. Where pixels change by themselves, the check is skipped;
    see ``tiles_repeat``.

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
    block = _block(subject)
    known = dict(zip(block, subject.digests(block), strict=True))
    orders = [sorted(block, key=partial(_by, axes)) for axes in permutations(range(3))]
    for order in (*orders, block[::-1], subject.rng.sample(block, len(block))):
        wrong = [
            (number, key)
            for number, (key, digest) in enumerate(zip(order, subject.digests(order), strict=True))
            if digest != known[key]
        ]
        if wrong:
            number, key = wrong[0]
            before = f"after {subject.named(order[number - 1])}" if number else "first of all"
            yield Finding(
                f"{subject.named(key)} gave other pixels when it was asked for {before} than in "
                "the order r, c, z.",
                "Read from the labels alone, whatever was read before.",
                (key,),
            )
            return


def _block(subject: Subject) -> list[TileKey]:
    """Return tiles of which each shares all labels but one with others, in the order r, c, z."""
    extent = subject.extent
    axes = [sorted({axis[0], axis[-1]}) for axis in (extent.rounds, extent.chs, extent.zplanes)]
    looks = subject.looks
    return [key for key in map(TileKey._make, product(*axes)) if key in looks]


def _by(axes: tuple[int, ...], key: TileKey) -> list[int]:
    return [key[axis] for axis in axes]


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
    yield from _after_a_missing_file(subject)
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
        wrong = _wrong_now(subject, session, key)
        if wrong:
            yield Finding(
                f"{subject.named(key)} gave {wrong} after {subject.named(stranger)}, which does "
                "not exist, had raised an exception.",
                "Leave the fetcher as it was when something raises: set state last, or none.",
                (key,),
            )
            return


def _wrong_now(subject: Subject, session: Session, key: TileKey) -> str:
    """Read a tile again, and say what is wrong with it, if anything is."""
    try:
        return "other pixels" if subject.changed(key, session.read(key)) else ""
    except Broken as error:
        return f"an error: {error}"


def _after_a_missing_file(subject: Subject) -> Iterator[Finding]:
    """Read a tile once while its files cannot be found, and then when they are back."""
    key = subject.few[-1]
    files = subject.opened(key)
    if not files:
        return
    session = subject.fresh()
    try:
        with subject.held(faults.missing(*files)):
            session.read(key)
    except Broken:
        pass
    else:
        return  # Another check says what comes of that.
    wrong = _wrong_now(subject, session, key)
    if wrong:
        yield Finding(
            f"{subject.named(key)} gave {wrong} although its files are there again, after they "
            "could not be found once.",
            "Leave the fetcher as it was when something raises: set state last, or none.",
            (key,),
        )


@check("C6", "fail", "A fetcher travels to other processes by pickling, as with dask.")
def check_pickling_keeps_pixels(subject: Subject) -> Iterator[Finding]:
    """A fetcher and its tiles can be pickled, and give the same pixels afterwards.

    A lock, an open file or a class defined within a function cannot be pickled, and that shows on
    the day when the work is to go to many processes. Worse is a ``__getstate__`` that leaves out
    what pixels depend on: the workers then read, without a word, another image than the one at
    home.

    A fetcher that has not read anything, and one tile, are pickled and read again in this process.
    Other pixels are a failure. That something cannot be pickled is a warning, for one process is
    enough for many; of a class that cannot be imported elsewhere, nothing is said. A path that only
    exists here is not seen.

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
        if "<locals>" in type(thing).__qualname__ or type(thing).__module__ == "__main__":
            raise NotChecked(f"{what} is of a class that no other process could import")
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
