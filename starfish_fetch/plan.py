"""The order in which tiles are loaded, decided before any is touched."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice, permutations, starmap
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starfish_fetch.axes import PLANES, Axes, TileKey, labels_of

__all__ = ["Advice", "LoadPlan", "OrderPrediction", "parse_group_by"]

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
class OrderPrediction:
    """How often an order opens sources, as far as the sources alone tell.

    Parameters
    ----------
    group_by : tuple of Axes or None
        The order; None is the loader's own.
    opens : dict
        Opens by the number of sources that the fetcher keeps; None stands for all of them.
    """

    group_by: tuple[Axes, ...] | None
    opens: dict[int | None, int]


@dataclass(frozen=True)
class Advice:
    """What the sources say about every order.

    Parameters
    ----------
    predictions : tuple of OrderPrediction
        The six orders of r, c, z and the loader's own, the fewest opens first.
    """

    predictions: tuple[OrderPrediction, ...]

    @property
    def best(self) -> OrderPrediction:
        """The prediction with the fewest opens; the order r, c, z where several are equal."""
        return self.predictions[0]


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
        if self.group_by is not None:
            return self._order(self.group_by)
        if self.sources is not None:
            return np.argsort(self._codes, kind="stable")
        return np.arange(len(self))

    def _order(self, group_by: Sequence[Axes]) -> NDArray[np.intp]:
        axes = [PLANES.index(axis) for axis in group_by]
        axes += [number for number in range(3) if number not in axes]
        return np.arange(len(self)).reshape(self.shape).transpose(axes).ravel()

    @cached_property
    def _codes(self) -> NDArray[np.intp]:
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
        return np.fromiter(numbered, np.intp, len(self))

    def positions_by_group(self) -> Iterator[NDArray[np.intp]]:
        """Yield, group after group, the positions of the tiles (see :attr:`order`)."""
        order = self.order
        if self.group_by is not None:
            lengths = dict(zip(PLANES, self.shape, strict=True))
            size = len(self) // prod(lengths[axis] for axis in self.group_by)
            return (order[start : start + size] for start in range(0, len(order), size))
        if self.sources is None:
            return (order[start : start + 1] for start in range(len(order)))
        codes = self._codes[order]
        return iter(np.split(order, np.flatnonzero(np.diff(codes)) + 1))

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
        if cache_size is not None and cache_size < 1:
            raise ValueError(f"cache_size must be at least 1, or None for all; got {cache_size}")
        return _misses(self._codes[self.order], [cache_size])[0]

    def advise(self, cache_sizes: Sequence[int | None] = (1, 2, 4, None)) -> Advice:
        """Predict the opens of every order from the sources alone.

        Parameters
        ----------
        cache_sizes : sequence of int or None, optional
            See :meth:`predicted_opens`; orders are compared by the first. Default: 1, 2, 4 and
            all.

        Raises
        ------
        ValueError
            If no source is known.
        """
        codes = self._codes
        orders: list[tuple[tuple[Axes, ...] | None, NDArray[np.intp]]] = [
            (axes, self._order(axes)) for axes in permutations(PLANES)
        ]
        orders.append((None, np.argsort(codes, kind="stable")))
        predictions = [
            OrderPrediction(
                axes, dict(zip(cache_sizes, _misses(codes[order], cache_sizes), strict=True))
            )
            for axes, order in orders
        ]
        return Advice(tuple(sorted(predictions, key=lambda one: tuple(one.opens.values()))))


def _misses(codes: NDArray[np.intp], cache_sizes: Sequence[int | None]) -> list[int]:
    """Count what least-recently-used caches of several sizes miss of a sequence of sources.

    The caches are followed place by place, each for the whole sequence at once: a place takes
    over what the place above it held one request earlier whenever that place, and so all above
    it, did not hold what was asked for.
    """
    asked = codes[np.concatenate([[True], codes[1:] != codes[:-1]])]
    # Sources are numbered from 0 without gaps.
    counts: dict[int | None, int] = {None: int(codes.max()) + 1, 1: len(asked)}
    wanted = max((size for size in cache_sizes if size is not None), default=1)
    position = np.arange(len(asked))
    missed = np.ones(len(asked), bool)
    held = asked
    for size in range(2, wanted + 1):
        if counts[size - 1] == counts[None]:
            counts[size] = counts[None]
            continue
        taken_over = np.maximum.accumulate(np.where(missed, position, 0))
        held = _one_earlier(held)[taken_over]
        missed &= asked != _one_earlier(held)
        counts[size] = int(np.count_nonzero(missed))
    return [counts[size] for size in cache_sizes]


def _one_earlier(held: NDArray[np.intp]) -> NDArray[np.intp]:
    return np.concatenate([[-1], held[:-1]])
