"""What a check sees of the fetcher under test."""

from __future__ import annotations

import gc
import math
import os
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from time import perf_counter
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from starfish_fetch.axes import Extent, TileKey, tile_shape_of
from starfish_fetch.testing._file_pages import InFile, find_in, pages_of
from starfish_fetch.testing._guard import Abandoned, Broken, Calls, open_handles
from starfish_fetch.testing._oracle import Oracle
from starfish_fetch.testing._pixels import Difference, Look, explain, look, same
from starfish_fetch.testing._sample import sample
from starfish_fetch.testing.checks._registry import NotChecked
from starfish_fetch.tracing import trace
from synth import Decoded, decode

__all__ = ["Seen", "Session", "Subject"]

Pixels = NDArray[Any]
_T = TypeVar("_T")

_MOST_TILES = 64
_MOST_BYTES = 1 << 28
_FEW = 7
_MOST_EXPLAINED = 24
_MOST_HANGING = 2
_DECODED = 256

_Cached = type(lru_cache(len))


@dataclass
class Seen:
    """What was seen of a tile when all were read in the order r, c, z."""

    key: TileKey
    problem: str = ""
    """Why its pixels are not here."""
    unusual: str = ""
    """Why its pixels are no array that a loader could take."""
    shape: Any = None
    coordinates: Any = None
    extras: Any = None
    array_shape: tuple[int, ...] = ()
    dtype: np.dtype[Any] | None = None
    look: Look | None = None
    pixels: Pixels | None = None
    """A copy; of a few tiles only."""
    difference: Difference | None = None
    differs: bool = False


class Session:
    """A fresh fetcher, whose every call is watched."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self.fetcher = subject.make()

    def tile(self, key: TileKey, fov: int | None = None) -> Any:
        """Return a tile."""
        fov = self._subject.extent.fov if fov is None else fov
        return self._subject.call(
            f"get_tile of {self._subject.named(key, fov)}",
            lambda: self.fetcher.get_tile(fov, *key),
        )

    def attribute(self, tile: Any, name: str, key: TileKey) -> Any:
        """Return ``shape``, ``coordinates`` or another property of a tile."""
        return self._subject.call(
            f"{name} of {self._subject.named(key)}", lambda: getattr(tile, name)
        )

    def data(self, tile: Any, key: TileKey, fov: int | None = None) -> Any:
        """Return what ``tile_data`` of a tile returns."""
        return self._subject.call(
            f"tile_data of {self._subject.named(key, fov)}", lambda: tile.tile_data()
        )

    def read(self, key: TileKey, fov: int | None = None) -> Any:
        """Return what ``tile_data`` returns of the tile with these labels, as a load would ask."""
        tile = self.tile(key, fov)
        self.attribute(tile, "shape", key)
        self.attribute(tile, "coordinates", key)
        return self.data(tile, key, fov)


class Subject:
    """A fetcher under test: makes fresh ones, and remembers what its tiles look like.

    Parameters
    ----------
    make_fetcher : callable
        Makes a fetcher.
    extent : Extent
        Its image.
    oracle : Oracle or None
        Knows the pixels.
    exhaustive : bool
        Whether to read every tile.
    seed : int
        Of what is chosen by chance.
    seconds : float
        That all of it may take.
    """

    def __init__(
        self,
        make_fetcher: Callable[[], Any],
        extent: Extent,
        oracle: Oracle | None,
        *,
        exhaustive: bool = False,
        seed: int = 0,
        seconds: float = math.inf,
    ) -> None:
        self._make_fetcher = make_fetcher
        self.extent = extent
        self.shape = tile_shape_of(extent.tile_shape)
        self.oracle = oracle
        self.calls = Calls()
        self.rng = random.Random(seed)
        self.count = len(extent.rounds) * len(extent.chs) * len(extent.zplanes)
        most = max(12, min(_MOST_TILES, _MOST_BYTES // (4 * math.prod(self.shape))))
        self.keys = sample(extent, self.count if exhaustive else most, self.rng)
        self._few_keys = self._choose_few()
        self._exhaustive = exhaustive
        self._seconds = seconds
        self._caches: list[Any] | None = None
        self._now: TileKey | None = None
        self._hanging = 0
        self._surveyed = False
        self._repeatable: bool | None = None
        self._orderly: bool | None = None
        self._written: dict[TileKey, Decoded] | None = None
        self._explained = 0
        self._in_files: dict[TileKey, InFile] | None = None
        self.handles = open_handles()
        self._answers: dict[TileKey, str | Pixels | None] = {}
        self.seen: dict[TileKey, Seen] = {}
        self.cannot_make = False
        self._held: list[ExitStack] = []
        self.opened_by_tile: dict[TileKey, tuple[str, ...]] = {}

    # -- Calling what is under test ----------------------------------------------------------

    def named(self, key: TileKey, fov: int | None = None) -> str:
        """Return the labels of a tile, for a message."""
        fov = self.extent.fov if fov is None else fov
        return f"tile (fov={fov}, r={key.round}, c={key.ch}, z={key.zplane})"

    def call(self, what: str, function: Callable[[], _T]) -> _T:
        """Call into the code under test.

        Raises
        ------
        Broken
            With whatever it raised, be it an exit.
        """
        try:
            return self.calls.run(what, function)
        except Abandoned:
            raise
        except BaseException as error:
            raise Broken(what, error) from error

    def make(self) -> Any:
        """Return a fresh fetcher; pixels that functions of its module had cached are forgotten."""
        self._forget_caches()
        self.cannot_make = True  # until it has returned
        try:
            fetcher = self.call("make_fetcher()", self._make_fetcher)
        except Broken:
            self.cannot_make = False
            raise
        self.cannot_make = False
        return fetcher

    def _forget_caches(self) -> None:
        """Empty what functions have cached of pixels, so that a fresh fetcher reads its files."""
        if self._caches is None:
            if not self._surveyed:
                return
            self._caches = [each for each in gc.get_objects() if type(each) is _Cached]
        for cached in self._caches:
            if _holds_pixels(cached):
                cached.cache_clear()

    def fresh(self) -> Session:
        """Return a fresh fetcher.

        Raises
        ------
        NotChecked
            If none can be made, which another check says.
        """
        if self.cannot_make:
            raise NotChecked("no fetcher could be made")
        try:
            session = Session(self)
        except Broken:
            raise NotChecked("no fetcher could be made") from None
        if not callable(getattr(session.fetcher, "get_tile", None)):
            raise NotChecked("what make_fetcher() returned is no fetcher")
        return session

    @contextmanager
    def held(self, context: AbstractContextManager[_T]) -> Iterator[_T]:
        """Enter a context that others would notice, so that it ends even if its thread hangs."""
        self.calls.go_on()
        stack = ExitStack()
        self._held.append(stack)
        try:
            yield stack.enter_context(context)
        finally:
            stack.close()
            if stack in self._held:
                self._held.remove(stack)

    def let_go(self) -> None:
        """End the contexts of a thread that hangs."""
        for stack in reversed(self._held):
            with suppress(Exception):
                stack.pop_all().close()
        if self._held:
            # It was made under a fault, and may be made without.
            self.cannot_make = False
        self._held.clear()

    # -- What all tiles look like ------------------------------------------------------------

    def survey(self) -> None:
        """Read every chosen tile once, in the order r, c, z, from one fetcher.

        Goes on where it was when a call did not return.
        """
        if self._surveyed:
            return
        session = self.fresh()
        start = perf_counter()
        for number, key in enumerate(self.keys):
            if key in self.seen:
                continue
            self._now = key
            seen = self._see(session, key)
            self._now = None
            self.seen[key] = seen
            taken = perf_counter() - start
            if not self._exhaustive and number >= 3 and taken > self._seconds / 4:
                self.keys = tuple(key for key in self.keys if key in self.seen)
                break
        self._surveyed = True

    def hung(self, what: str) -> bool:
        """Note that a call in the survey did not return; return whether to go on with others."""
        if self._now is None or self._surveyed:
            return False
        self.seen[self._now] = Seen(self._now, problem=f"{what} did not return in time")
        self._now = None
        self._hanging += 1
        if self._hanging >= _MOST_HANGING:
            self.keys = tuple(key for key in self.keys if key in self.seen)
        return True

    def _see(self, session: Session, key: TileKey) -> Seen:
        seen = Seen(key)
        try:
            tile = session.tile(key)
            for name in ("shape", "coordinates"):
                setattr(seen, name, session.attribute(tile, name, key))
            if hasattr(type(tile), "extras") or hasattr(tile, "extras"):
                seen.extras = session.attribute(tile, "extras", key)
            data = session.data(tile, key)
        except Broken as error:
            seen.problem = str(error)
            return seen
        try:
            seen.unusual = _unusual(data)
            if seen.unusual:
                return seen
            seen.array_shape, seen.dtype = data.shape, data.dtype
            if data.shape != self.shape:
                return seen
            pixels = np.array(data, order="C")
            seen.look = look(pixels)
        except Exception as error:
            seen.unusual = f"an array that cannot be read: {type(error).__name__}: {error}"
            return seen
        if key in self._few_keys:
            seen.pixels = pixels
        self._compare(seen, pixels)
        return seen

    def _compare(self, seen: Seen, pixels: Pixels) -> None:
        if self.oracle is None:
            return
        expected = self.oracle.pixels(seen.key)
        if same(pixels, expected):
            return
        seen.differs = True
        self._explained += 1
        seen.difference = explain(
            pixels,
            expected,
            self.oracle.find,
            self.oracle.some,
            thorough=self._explained <= _MOST_EXPLAINED,
        )

    def _choose_few(self) -> frozenset[TileKey]:
        """Choose tiles that differ in each label alone, and where one label is not another's."""
        keys = self.keys
        if len(keys) <= _FEW:
            return frozenset(keys)
        axes = self.extent.rounds, self.extent.chs, self.extent.zplanes
        ends = [
            TileKey(*(axis[-bit] for axis, bit in zip(axes, bits, strict=True)))
            for bits in ((0, 0, 0), (1, 1, 1), (0, 1, 0), (1, 0, 1), (0, 0, 1), (1, 1, 0))
        ]
        chosen = set(ends) & set(keys)
        rest = [key for key in keys if key not in chosen]
        return frozenset([*chosen, *self.rng.sample(rest, _FEW - len(chosen))])

    @property
    def tiles(self) -> list[Seen]:
        """What was seen of every tile that could be had."""
        self.survey()
        tiles = [self.seen[key] for key in self.keys if key in self.seen]
        had = [seen for seen in tiles if not seen.problem]
        if not had:
            raise NotChecked("no tile could be had")
        return had

    @property
    def looks(self) -> dict[TileKey, Look]:
        """How every tile looks that is an array of the declared shape."""
        looks = {seen.key: seen.look for seen in self.tiles if seen.look is not None}
        if not looks:
            raise NotChecked("no tile is an array of the declared shape")
        return looks

    @property
    def few(self) -> list[TileKey]:
        """A few tiles for what takes long with each, the corners among them, as r, c, z."""
        looks = self.looks
        return [key for key in sorted(self._few_keys) if key in looks] or list(looks)[:_FEW]

    def reference(self, key: TileKey) -> Pixels:
        """Return what was seen of one of the few."""
        self.survey()
        pixels = self.seen[key].pixels
        if pixels is None:
            raise NotChecked(f"{self.named(key)} was not kept")
        return pixels

    def changed(self, key: TileKey, data: Any) -> bool:
        """Return whether what ``tile_data`` returned is not what it was."""
        before = self.seen[key]
        if _unusual(data) or data.shape != self.shape or before.look is None:
            return True
        if before.pixels is None:
            return look(np.asarray(data)).digest != before.look.digest
        kept = before.pixels
        if data.dtype.newbyteorder("=") != kept.dtype.newbyteorder("="):
            return True
        return not np.array_equal(data, kept, equal_nan=data.dtype.kind == "f")

    @property
    def repeatable(self) -> bool:
        """Whether two fresh fetchers give the same pixels for the same requests in one order."""
        if self._repeatable is None:
            first, second = (self.digests(self.few) for _ in range(2))
            self._repeatable = first == second
        return self._repeatable

    def digests(self, keys: Iterable[TileKey]) -> list[bytes | str]:
        """Return what a fresh fetcher gives for some tiles, one after another."""
        session = self.fresh()
        digests: list[bytes | str] = []
        for key in keys:
            try:
                data = session.read(key)
            except Broken as error:
                digests.append(type(error.error).__name__)
                continue
            digests.append(_unusual(data) or look(data).digest)
        return digests

    @property
    def orderly(self) -> bool:
        """Whether a few tiles, asked for alone, are what they were among all others."""
        if self._orderly is None:
            looks = self.looks
            known: list[bytes | str] = [looks[key].digest for key in self.few]
            self._orderly = self.digests(self.few) == known
        return self._orderly

    def require_repeatable(self, *, in_any_order: bool = True) -> None:
        """Raise NotChecked if pixels change by themselves: a check of what changes them is moot."""
        if not self.repeatable:
            raise NotChecked("the pixels change from one fetcher to the next; see tiles_repeat")
        if in_any_order and not self.orderly:
            raise NotChecked(
                "the pixels depend on what was asked for before; see order_does_not_matter"
            )

    # -- Labels that do not exist --------------------------------------------------------------

    @property
    def strangers_base(self) -> TileKey:
        """The tile whose labels, but for one, the labels outside of the extent are."""
        looks = self.looks
        return next((key for key in reversed(self.few) if looks[key].telling), self.few[-1])

    @property
    def strangers(self) -> dict[str, dict[str, TileKey]]:
        """Labels outside the extent for each axis, by how they lie to those that exist.

        ``next``, ``gap``, ``far`` and ``before`` stand beside the last of the few tiles, ``on``
        just beyond the end beside the first, where the next pixels in a file are another's.
        """
        found: dict[str, dict[str, TileKey]] = {}
        base, first = self.strangers_base._asdict(), self.few[0]._asdict()
        names = ("round", "ch", "zplane")
        axes = self.extent.rounds, self.extent.chs, self.extent.zplanes
        for name, labels in zip(names, axes, strict=True):
            gap = next(label for label in count(labels[0]) if label not in set(labels))
            wanted = {"next": labels[-1] + 1, "far": _far(labels), "before": labels[0] - 1}
            if gap < labels[-1]:
                wanted["gap"] = gap
            found[name] = {
                which: TileKey(**{**base, name: label}) for which, label in wanted.items()
            }
            found[name]["on"] = TileKey(**{**first, name: labels[-1] + 1})
        return found

    @property
    def answers(self) -> dict[TileKey, str | Pixels | None]:
        """What asking for each label outside of the extent gave: an error, an array, nothing."""
        session, hangs = None, False
        for key in (key for by_kind in self.strangers.values() for key in by_kind.values()):
            if key in self._answers:
                # Where one did not return, the next would not either.
                hangs = hangs or self._answers[key] is None
                continue
            if hangs:
                self._answers[key] = None
                continue
            if session is None:
                session = self.fresh()
                # What stands in for an error is, as often as not, the tile before.
                with suppress(Broken):
                    session.read(self.strangers_base)
            self._answers[key] = None
            try:
                data = session.read(key)
            except Broken as error:
                # Of an exception itself, what it saw would live on, open files and all.
                self._answers[key] = str(error)
                continue
            there = np.shape(data) == self.shape
            self._answers[key] = np.array(data) if there else np.empty((0, 0))
        return self._answers

    # -- Files -----------------------------------------------------------------------------------

    def opened(self, key: TileKey) -> tuple[str, ...]:
        """Return the files, still there, that a fresh fetcher opens for one tile, first to last.

        Those that making the fetcher opens count only if the tile opens none.
        """
        known = self.opened_by_tile.get(key)
        if known is None:
            with trace() as at_first:
                session = self.fresh()
            with trace() as then:
                session.read(key)
            known = self.opened_by_tile[key] = _files(then.by_source) or _files(at_first.by_source)
        return known

    @property
    def written(self) -> dict[TileKey, Decoded]:
        """What a few tiles say of themselves, if they are of content "index"."""
        if self._written is None:
            self._written = {}
            for key in self.few if self.oracle is None else ():
                pixels = self.seen[key].pixels
                decoded = None if pixels is None else decode(pixels[:_DECODED, :_DECODED])
                if decoded is None or not decoded.found:
                    break
                self._written[key] = decoded
        return self._written

    def main_files(self, keys: Iterable[TileKey]) -> dict[TileKey, str]:
        """Return, for each of some tiles, the file that its pixels are most likely from.

        Not one that is opened for every tile, if there are others: an index, say. Of a set of
        OME-TIFF files, tifffile opens that asked for, and then all.
        """
        opened = {}
        for key in keys:
            with suppress(Broken):
                opened[key] = self.opened(key)
            if not opened.get(key):
                return {}
        common = set.intersection(*map(set, opened.values())) if len(opened) > 1 else set()
        return {
            key: next((file for file in files if file not in common), files[0])
            for key, files in opened.items()
        }

    @property
    def in_files(self) -> dict[TileKey, InFile]:
        """Where the pixels of a few tiles are in the files that are opened for them."""
        if self._in_files is not None:
            return self._in_files
        found: dict[TileKey, InFile] = {}
        pages: dict[str, list[Pixels]] = {}
        for key, path in self.main_files(self.few).items():
            pixels = self.seen[key].pixels
            if pixels is None or not self.looks[key].telling:
                continue
            if path not in pages:
                pages[path] = pages_of(path)
            place = find_in(path, pages[path], pixels)
            if place is not None:
                found[key] = place
        self._in_files = found
        return found


def _files(paths: Mapping[str, int]) -> tuple[str, ...]:
    return tuple(
        path
        for path in paths
        if os.path.isfile(path) and not path.startswith(("/proc/", "/sys/", "/dev/", "/etc/"))
    )


def _holds_pixels(cached: Any) -> bool:
    """Return whether a function of ``functools`` keeps arrays; others are none of our business."""
    kept = gc.get_referents(cached)
    # Without a limit, what is kept stands in a dict.
    kept += [value for each in kept if type(each) is dict for value in each.values()]
    return any(isinstance(each, np.ndarray | bytes) for each in kept)


def _far(labels: tuple[int, ...]) -> int:
    return labels[-1] + 100_003


def _unusual(data: Any) -> str:
    """Return what is wrong with the kind of thing that ``tile_data`` returned."""
    if not isinstance(data, np.ndarray):
        article = "an" if type(data).__name__[:1].lower() in "aeiou" else "a"
        return f"{article} {type(data).__name__}"
    if isinstance(data, np.ma.MaskedArray):
        return "a masked array, whose mask a stack cannot keep"
    if isinstance(data, np.matrix):
        return "a numpy.matrix, which computes unlike an array"
    if data.ndim != 2:
        return f"an array of {data.ndim} dimensions, {data.shape}"
    if data.dtype.kind not in "biuf":
        return f"an array of {data.dtype}"
    return ""
