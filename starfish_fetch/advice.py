"""What sources alone say about load orders, caches and workers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from starfish_fetch.axes import Axes

__all__ = ["OWN_ORDER", "Advice", "Effect", "OrderPrediction", "WorkersPrediction", "order_name"]

Effect = Literal["help", "thrash", "idle"]
"""What several workers do to a load.

``help``
    They divide the opens among themselves and make no more of them than one thread does, whatever
    is kept.
``thrash``
    They push each other's sources out of a cache of one source that all threads share. They help
    if it has room for more, or each thread has its own.
``idle``
    There are not two groups to divide.
"""

OWN_ORDER = "the loader's own order (group_by=None)"


def order_name(group_by: Sequence[Axes | str] | None) -> str:
    """Return the name of a load order, as tables and JSON have it.

    Parameters
    ----------
    group_by : sequence of Axes or str, or None
        Slowest axis first; without any, the order r, c, z.

    Examples
    --------
    >>> order_name((Axes.CH, Axes.ROUND, Axes.ZPLANE)), order_name(None)
    ('c,r,z', 'none')
    """
    return "none" if group_by is None else ",".join(map(str, group_by)) or "r,c,z"


@dataclass(frozen=True)
class OrderPrediction:
    """How often an order opens sources, as far as the sources alone tell.

    Parameters
    ----------
    group_by : tuple of Axes or None
        The order; None is the loader's own.
    opens : dict
        Opens by the number of sources that the fetcher keeps; None stands for all of them.
    smallest_cache : int
        How many sources a fetcher has to keep, the least recently used being dropped first, to
        open each of them once in this order.
    """

    group_by: tuple[Axes, ...] | None
    opens: dict[int | None, int]
    smallest_cache: int = 1

    @property
    def order(self) -> str:
        """The name of the order: ``"r,c,z"``, or ``"none"``."""
        return order_name(self.group_by)


@dataclass(frozen=True)
class WorkersPrediction:
    """What several workers do to a load, as far as the sources alone tell.

    The load is in the loader's own order (``group_by=None``), in which a worker takes all tiles of
    a source before it takes another source.

    Parameters
    ----------
    workers : int
        How many there are.
    groups : int
        How many groups of tiles, one for each source, there are to divide among them.
    shared : dict
        Opens by the number of sources kept, of a fetcher with one cache for all threads.
    per_thread : dict
        The same, of a fetcher with a cache for each thread.
    smallest_cache : int
        How many sources a cache for all threads has to keep for each source to be opened once.
    effect : {"help", "thrash", "idle"}
        See :data:`Effect`.
    """

    workers: int
    groups: int
    shared: dict[int | None, int]
    per_thread: dict[int | None, int]
    smallest_cache: int
    effect: Effect


@dataclass(frozen=True)
class Advice:
    """What the sources say about every order.

    Parameters
    ----------
    predictions : tuple of OrderPrediction
        The six orders of r, c, z and the loader's own, the fewest opens first.
    plan : OrderPrediction
        The same for the plan that was asked.
    workers : WorkersPrediction
        What workers do.
    tiles : int
        How many tiles there are.
    sources : int
        How many sources there are.
    """

    predictions: tuple[OrderPrediction, ...]
    plan: OrderPrediction
    workers: WorkersPrediction
    tiles: int
    sources: int

    @property
    def best(self) -> OrderPrediction:
        """The prediction with the fewest opens; the order r, c, z where several are equal."""
        return self.predictions[0]

    @property
    def worst(self) -> OrderPrediction:
        """The prediction with the most opens."""
        return self.predictions[-1]

    @property
    def converting_helps(self) -> bool:
        """Whether every tile opens a source in every order: larger files alone would lessen that.

        No cache and no order does.
        """
        return 1 < self.tiles == self.sources

    @property
    def sentence(self) -> str:
        """All of it in two plain sentences: on the order, then on cache, workers and conversion.

        Opens are those of a fetcher that keeps as many sources as the first cache size that was
        asked for.
        """
        if self.tiles == 1:
            return "There is one tile: every order is the same."
        if self.sources == 1:
            return (
                f"All {self.tiles:,} tiles come from one source, which every order opens once. "
                "Several workers have no sources to divide."
            )
        if self.converting_helps:
            return (
                f"Each of the {self.tiles:,} tiles has a source of its own, so that neither order "
                "nor cache lessens the opens; converting the image to fewer, larger files would. "
                "Several workers divide the opens among themselves."
            )
        return f"{self._of_orders()} {self._of_caches_and_workers()}"

    @property
    def _size(self) -> int | None:
        return next(iter(self.best.opens))

    def _opens(self, prediction: OrderPrediction) -> int:
        return prediction.opens[self._size]

    def _of_orders(self) -> str:
        best, worst, plan = (self._opens(one) for one in (self.best, self.worst, self.plan))
        sources = f"{self.sources:,} sources"
        if best == worst:
            return f"Every order opens {sources} {_times(best, self.sources)}."
        text = (
            f"Load in {_in_words(self.best)}, which opens {sources} {_times(best, self.sources)}; "
            f"{_in_words(self.worst)} opens {sources} {worst:,} times instead of {best:,}"
        )
        if best < plan and self.plan.group_by != self.worst.group_by:
            text += f", and {_in_words(self.plan)}, as planned, {plan:,} times"
        return text + "."

    def _of_caches_and_workers(self) -> str:
        kept, text = _number(self._size), ""
        if self._opens(self.worst) > self.sources:
            most = max(one.smallest_cache for one in self.predictions)
            text = f"Keeping {most:,} sources makes every order as good"
            if self._opens(self.plan) > self._opens(self.best) and self.plan.smallest_cache < most:
                text += f" ({self.plan.smallest_cache:,} are enough for {_in_words(self.plan)})"
            text += "; several" if self.workers.workers > 1 else "."
        elif self.workers.workers > 1:
            text = "Several"
        if self.workers.workers > 1:
            text += f" workers ({self.workers.workers:,}) "
            if self.workers.effect == "help":
                return text + "divide the opens among themselves."
            text += (
                f"help if {self.workers.smallest_cache:,} sources are kept for all of them, or "
                f"one for each; with {kept} for all, they open "
                f"about {self.workers.shared[self._size]:,} times."
            )
        return text


def _in_words(prediction: OrderPrediction) -> str:
    return OWN_ORDER if prediction.group_by is None else prediction.order


def _times(opens: int, sources: int) -> str:
    return "once each" if opens == sources else f"{opens:,} times"


def _number(size: int | None) -> str:
    return "all" if size is None else "one" if size == 1 else f"{size:,}"
