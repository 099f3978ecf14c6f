"""The order in which tiles are loaded, decided before any is touched."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, islice, pairwise, permutations, starmap
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starfish_fetch.advice import Advice, Effect, OrderPrediction, WorkersPrediction
from starfish_fetch.axes import PLANES, Axes, TileKey, labels_of
from starfish_fetch.opens import in_step, in_turn, opens_of, smallest_cache

__all__ = ["LoadPlan", "parse_group_by"]

_CHUNK = 1 << 16


def parse_group_by(group_by: Iterable[Any] | None) -> tuple[Axes, ...] | None:
    """Return the axes of a ``group_by``, slowest first, or None if the loader is to choose.

    Parameters
    ----------
    group_by : iterable of Axes or str, or None
        A sequence keeps its order; a set has none and is taken in the order r, c, z.

    Raises
    ------
    ValueError
        If an axis is y, x, unknown, or named twice.

    Examples
    --------
    >>> parse_group_by({"z", "r"})
    (<Axes.ROUND: 'r'>, <Axes.ZPLANE: 'z'>)
    """
    if group_by is None:
        return None
    axes: list[Axes] = []
    for name in group_by:
        axis = next((axis for axis in PLANES if axis == name), None)
        if axis is None:
            raise ValueError(f"group_by takes the axes 'r', 'c' and 'z'; got {name!r}")
        if axis in axes:
            raise ValueError(f"group_by names the axis {str(axis)!r} more than once")
        axes.append(axis)
    if isinstance(group_by, set | frozenset):
        axes.sort(key=PLANES.index)
    return tuple(axes)


@dataclass(frozen=True)
class LoadPlan:
    """Which tiles are loaded, in which order: a value that needs no fetcher.

    Iterating gives a :class:`TileKey` for each tile in load order.

    Parameters
    ----------
    rounds, chs, zplanes : iterable of int
        Labels; kept ascending.
    group_by : iterable of Axes or str, optional
        Slowest axis first; axes not named follow in the order r, c, z. Default: one source is
        finished before the next is begun, in the order of their first tiles; where no source is
        known, the order r, c, z.
    sources : sequence of hashable, optional
        What each tile is read from, in the order r, c, z with z fastest; None where unknown.
    fov : int, optional
        Label of the field of view. Default: 0.
    tile_shape : (int, int), optional
        Rows and columns that are kept of each tile.
    dtype : numpy.dtype, optional
        Of the stack; None where the first tile will tell.

    Examples
    --------
    >>> plan = LoadPlan([0, 1], [0], [5, 6], group_by=("z",))
    >>> [tuple(key) for key in plan]
    [(0, 0, 5), (1, 0, 5), (0, 0, 6), (1, 0, 6)]

    One file per round, a fetcher that keeps one file, and z held longest: every tile opens.

    >>> plan = LoadPlan([0, 1], [0], [5, 6], group_by=("z",), sources=["r0", "r0", "r1", "r1"])
    >>> plan.predicted_opens(), plan.predicted_opens(cache_size=2), plan.advise().best.opens[1]
    (4, 2, 2)
    """

    rounds: tuple[int, ...]
    chs: tuple[int, ...]
    zplanes: tuple[int, ...]
    group_by: tuple[Axes, ...] | None = None
    sources: tuple[Hashable | None, ...] | None = field(default=None, repr=False)
    fov: int = 0
    tile_shape: tuple[int, int] | None = None
    dtype: np.dtype[Any] | None = None

    def __post_init__(self) -> None:
        for name in ("rounds", "chs", "zplanes"):
            object.__setattr__(self, name, labels_of(name, getattr(self, name)))
        object.__setattr__(self, "group_by", parse_group_by(self.group_by))
        if self.sources is not None:
            sources = tuple(self.sources)
            if len(sources) != len(self):
                raise ValueError(f"{len(sources)} sources were given for {len(self)} tiles")
            known = any(source is not None for source in sources)
            object.__setattr__(self, "sources", sources if known else None)

    def __len__(self) -> int:
        return prod(self.shape)

    @property
    def shape(self) -> tuple[int, int, int]:
        """How many rounds, channels and z-planes there are."""
        return len(self.rounds), len(self.chs), len(self.zplanes)

    @property
    def nbytes(self) -> int | None:
        """Bytes of the stack that the plan fills, or None while its shape or dtype is unknown."""
        if self.tile_shape is None or self.dtype is None:
            return None
        return len(self) * prod(self.tile_shape) * self.dtype.itemsize

    def __iter__(self) -> Iterator[TileKey]:
        order = self.order
        for start in range(0, len(order), _CHUNK):
            yield from starmap(TileKey, self.labels(order[start : start + _CHUNK]))

    def labels(self, positions: NDArray[np.intp]) -> Iterator[tuple[int, int, int]]:
        """Return the labels of the tiles at these positions (see :attr:`order`)."""
        rounds, chs, zplanes = (
            map(labels.__getitem__, index.tolist())
            for labels, index in zip(
                (self.rounds, self.chs, self.zplanes),
                np.unravel_index(positions, self.shape),
                strict=True,
            )
        )
        return zip(rounds, chs, zplanes, strict=True)

    @cached_property
    def order(self) -> NDArray[np.intp]:
        """Positions, in the order r, c, z with z fastest, of the tiles in load order."""
        return self._order_for(self.group_by)

    def _order_for(self, group_by: tuple[Axes, ...] | None) -> NDArray[np.intp]:
        if group_by is None:
            if self.sources is not None:
                return np.argsort(self.source_numbers, kind="stable")
            return np.arange(len(self))
        axes = [PLANES.index(axis) for axis in group_by]
        axes += [number for number in range(3) if number not in axes]
        return np.arange(len(self)).reshape(self.shape).transpose(axes).ravel()

    @cached_property
    def source_numbers(self) -> NDArray[np.int32]:
        """Number the sources by their first tile; each unknown one is a source of its own."""
        if self.sources is None:
            raise ValueError(
                "no source is known for these tiles; define 'source' on the fetcher to have its "
                "opens predicted"
            )
        codes: dict[Hashable, int] = {}
        numbered = (
            codes.setdefault(position if source is None else (source,), len(codes))
            for position, source in enumerate(self.sources)
        )
        return np.fromiter(numbered, np.int32, len(self))

    def _group_starts(self) -> NDArray[np.intp]:
        """Return where in :attr:`order` each group begins."""
        if self.group_by is not None:
            lengths = dict(zip(PLANES, self.shape, strict=True))
            size = len(self) // prod(lengths[axis] for axis in self.group_by)
            return np.arange(0, len(self), size)
        if self.sources is None:
            return np.arange(len(self))
        codes = self.source_numbers[self.order]
        return np.concatenate([[0], np.flatnonzero(np.diff(codes)) + 1])

    def positions_by_group(self) -> Iterator[NDArray[np.intp]]:
        """Yield, group after group, the positions of the tiles (see :attr:`order`)."""
        order = self.order
        bounds = chain(map(int, self._group_starts()), [len(order)])
        return (order[start:stop] for start, stop in pairwise(bounds))

    def groups(self) -> Iterator[tuple[TileKey, ...]]:
        """Yield the groups in load order: the tiles that share a value of every axis named.

        Without ``group_by`` a group is the tiles of one source, or one tile where no source is
        known.
        """
        keys = iter(self)
        return (tuple(islice(keys, len(group))) for group in self.positions_by_group())

    def predicted_opens(self, cache_size: int | None = 1) -> int:
        """Return how often this order opens a source, if the fetcher keeps the last few.

        Parameters
        ----------
        cache_size : int or None, optional
            How many sources the fetcher keeps, the least recently used being dropped first; None
            if it keeps all. Default: 1.

        Raises
        ------
        ValueError
            If no source is known, or the cache size is below 1.
        """
        return self.predicted_of([cache_size])[0]

    def predicted_of(self, cache_sizes: Sequence[int | None]) -> list[int]:
        """Return :meth:`predicted_opens` for several sizes at once."""
        for size in cache_sizes:
            if size is not None and size < 1:
                raise ValueError(f"cache_size must be at least 1, or None for all; got {size}")
        return opens_of(self.source_numbers[self.order], cache_sizes)

    def advise(
        self, cache_sizes: Sequence[int | None] = (1, 2, 4, None), *, workers: int = 4
    ) -> Advice:
        """Predict the opens of every order from the sources alone.

        For several workers the prediction rests on a model of the loader's own order: sources are
        dealt to them in turn, and all go on in step, tile by tile. With a cache for each thread
        the opens do not depend on the step; with one for all threads, which are never quite in
        step, they are of that size and not exact.

        Parameters
        ----------
        cache_sizes : sequence of int or None, optional
            See :meth:`predicted_opens`; orders are compared by the first. Default: 1, 2, 4 and
            all.
        workers : int, optional
            How many to predict the effect of. Default: 4.

        Raises
        ------
        ValueError
            If no source is known, or a number is below 1.
        """
        sizes = tuple(cache_sizes)
        if not sizes or any(size is not None and size < 1 for size in sizes):
            raise ValueError(f"cache_sizes are at least 1, or None for all; got {sizes}")
        if workers < 1:
            raise ValueError(f"workers must be at least 1; got {workers}")
        codes = self.source_numbers

        def predicted(axes: tuple[Axes, ...] | None) -> OrderPrediction:
            asked = codes[self._order_for(axes)]
            opens = dict(zip(sizes, opens_of(asked, sizes), strict=True))
            return OrderPrediction(axes, opens, smallest_cache(asked))

        orders = [*permutations(PLANES), None]
        predictions = {axes: predicted(axes) for axes in orders}
        plan = predictions.get(self.group_by) or predicted(self.group_by)
        sources = int(codes.max()) + 1
        return Advice(
            tuple(sorted(predictions.values(), key=lambda one: tuple(one.opens.values()))),
            plan,
            self._predicted_of_workers(workers, sources, sizes),
            len(self),
            sources,
        )

    def _predicted_of_workers(
        self, workers: int, sources: int, sizes: tuple[int | None, ...]
    ) -> WorkersPrediction:
        asked = np.sort(self.source_numbers)
        starts = np.searchsorted(asked, np.arange(sources))
        shared = in_step(asked, starts, workers)
        # Counted for one source kept, too, whatever was asked for: the verdict goes by it.
        opens = opens_of(shared, [1, *sizes])
        effect: Effect = "help"
        if min(workers, sources) < 2:
            effect = "idle"
        elif opens[0] > sources:
            effect = "thrash"
        return WorkersPrediction(
            workers,
            sources,
            dict(zip(sizes, opens[1:], strict=True)),
            dict(zip(sizes, opens_of(in_turn(asked, starts, workers), sizes), strict=True)),
            smallest_cache(shared),
            effect,
        )
