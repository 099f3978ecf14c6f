"""What a check sees of the fetcher under test."""

from __future__ import annotations

import math
import os
import random
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path
from time import perf_counter
from types import ModuleType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from starfish_fetch.axes import Extent, TileKey, tile_shape_of
from starfish_fetch.testing._guard import Abandoned, Broken, Calls
from starfish_fetch.testing._oracle import Oracle
from starfish_fetch.testing._pixels import Difference, Look, explain, look, same
from starfish_fetch.testing._sample import sample
from starfish_fetch.testing.checks._registry import NotChecked
from starfish_fetch.tracing import trace

__all__ = ["Seen", "Session", "Subject"]

Pixels = NDArray[Any]
_T = TypeVar("_T")

_MOST_TILES = 64
_MOST_BYTES = 1 << 28
_FEW = 6
_MOST_EXPLAINED = 24
_MOST_HANGING = 2


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
        self._exhaustive = exhaustive
        self._seconds = seconds
        self._caches: list[Callable[[], object]] = []
        self._now: TileKey | None = None
        self._hanging = 0
        self._surveyed = False
        self.seen: dict[TileKey, Seen] = {}
        self.fetcher_error: Broken | None = None
        self.opened_by_tile: dict[TileKey, frozenset[str]] = {}

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
        """Return a fresh fetcher; what functions of its module had cached is forgotten."""
        for clear in self._caches:
            with suppress(Exception):
                clear()
        try:
            fetcher = self.call("make_fetcher()", self._make_fetcher)
        except Broken as error:
            self.fetcher_error = error
            raise
        self._remember_caches(fetcher)
        return fetcher

    def _remember_caches(self, thing: Any) -> None:
        if self._caches:
            return
        module = sys.modules.get(type(thing).__module__)
        spaces: list[Mapping[str, Any]] = [vars(cls) for cls in type(thing).__mro__[:-1]]
        if isinstance(module, ModuleType) and not _is_library(module):
            spaces.append(vars(module))
        for space in spaces:
            for value in list(space.values()):
                clear = getattr(getattr(value, "__func__", value), "cache_clear", None)
                if callable(clear):
                    self._caches.append(clear)

    def fresh(self) -> Session:
        """Return a fresh fetcher.

        Raises
        ------
        NotChecked
            If none can be made, which another check says.
        """
        try:
            return Session(self)
        except Broken:
            raise NotChecked("no fetcher could be made") from None

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
        except Exception as error:
            seen.unusual = f"an array that cannot be read: {type(error).__name__}: {error}"
            return seen
        seen.look = look(pixels)
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
        if sum(other.difference is not None for other in self.seen.values()) < _MOST_EXPLAINED:
            seen.difference = explain(pixels, expected, self.oracle.find, self.oracle.some)

    @cached_property
    def _few_keys(self) -> frozenset[TileKey]:
        keys = self.keys
        if len(keys) <= _FEW:
            return frozenset(keys)
        # The corners differ in every label; the others are by chance.
        rest = self.rng.sample(keys[1:-1], _FEW - 2)
        return frozenset([keys[0], keys[-1], *rest])

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
        before = self.seen[key].look
        if type(data) is not np.ndarray or data.shape != self.shape or before is None:
            return True
        return look(np.array(data, order="C")).digest != before.digest

    @cached_property
    def repeatable(self) -> bool:
        """Whether a fresh fetcher asked for a few tiles in the same order gives the same pixels."""
        for _ in range(2):
            session = self.fresh()
            for key in self.few:
                try:
                    if self.changed(key, session.read(key)):
                        return False
                except Broken:
                    return False
        return True

    def require_repeatable(self) -> None:
        """Raise NotChecked if pixels change by themselves: a check of what changes them is moot."""
        if not self.repeatable:
            raise NotChecked("the pixels change from one fetcher to the next; see tiles_repeat")

    # -- Labels that do not exist --------------------------------------------------------------

    @property
    def strangers_base(self) -> TileKey:
        """The tile whose labels, but for one, the labels outside of the extent are."""
        looks = self.looks
        return next((key for key in reversed(self.few) if looks[key].telling), self.few[-1])

    @cached_property
    def strangers(self) -> dict[str, dict[str, TileKey]]:
        """Labels outside the extent for each axis: ``next``, ``gap``, ``far`` and ``before``."""
        found: dict[str, dict[str, TileKey]] = {}
        base = self.strangers_base._asdict()
        names = ("round", "ch", "zplane")
        axes = self.extent.rounds, self.extent.chs, self.extent.zplanes
        for name, labels in zip(names, axes, strict=True):
            inside = set(labels)
            wanted = {"next": labels[-1] + 1, "far": _far(labels), "before": labels[0] - 1}
            gap = next((label for label in count(labels[0]) if label not in inside), None)
            if gap is not None and gap < labels[-1]:
                wanted["gap"] = gap
            found[name] = {
                which: TileKey(**{**base, name: label}) for which, label in wanted.items()
            }
        return found

    @cached_property
    def answers(self) -> dict[TileKey, Broken | Pixels]:
        """What asking for each label outside of the extent gave: an error, or an array."""
        answers: dict[TileKey, Broken | Pixels] = {}
        session = self.fresh()
        for by_kind in self.strangers.values():
            for key in by_kind.values():
                try:
                    data = session.read(key)
                except Broken as error:
                    answers[key] = error
                    continue
                answers[key] = np.array(data) if np.shape(data) == self.shape else np.empty((0, 0))
        return answers

    # -- Files -----------------------------------------------------------------------------------

    def opened(self, key: TileKey) -> frozenset[str]:
        """Return the files, still there, that a fresh fetcher opens for one tile.

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


def _files(paths: Mapping[str, int]) -> frozenset[str]:
    return frozenset(
        path
        for path in paths
        if os.path.isfile(path) and not path.startswith(("/proc/", "/sys/", "/dev/", "/etc/"))
    )


def _is_library(module: ModuleType) -> bool:
    path = getattr(module, "__file__", None) or ""
    return "site-packages" in Path(path).parts


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
