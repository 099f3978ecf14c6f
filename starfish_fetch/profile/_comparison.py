"""Whether a fetcher became worse: two profiles of the same image, order by order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from starfish_fetch.profile._values import LoadProfile

__all__ = ["COMPARISON_SCHEMA", "Change", "Comparison", "OrderComparison", "Verdict", "compare"]

COMPARISON_SCHEMA = "starfish-fetch/comparison/1"
"""What the JSON of a comparison calls itself; another number is another format."""

Verdict = Literal[
    "more opens",
    "more bytes",
    "more calls",
    "slower",
    "only before",
    "fewer opens",
    "fewer bytes",
    "fewer calls",
    "faster",
    "only after",
    "unclear",
    "same",
]
"""What became of an order, the worst first; the first four are for the worse."""


@dataclass(frozen=True)
class Change:
    """A count before and after."""

    name: str
    """``opens``, ``reopens``, ``sources``, ``bytes_read``, or ``calls of get_tile`` and so on."""
    before: int
    after: int


@dataclass(frozen=True)
class OrderComparison:
    """What became of one order."""

    order: str
    """Its name, as in :class:`OrderProfile`."""
    verdicts: tuple[Verdict, ...]
    """All that hold, the worst first."""
    message: str
    """The same in words, with numbers."""
    changes: tuple[Change, ...] = ()
    """The counts that are not what they were."""
    ratio: float | None = None
    """Seconds after over seconds before; None where times are not compared."""
    low: float | None = None
    """Lower end of the confidence interval of the ratio; None where the repeats are too few."""
    high: float | None = None
    """Upper end."""

    @property
    def verdict(self) -> Verdict:
        """The worst that holds."""
        return self.verdicts[0]

    @property
    def ok(self) -> bool:
        """Whether nothing is worse than before."""
        return self.verdict not in ("more opens", "more bytes", "more calls", "slower")


@dataclass(frozen=True)
class Comparison:
    """What became of every order: what :func:`compare` returns."""

    rows: tuple[OrderComparison, ...]
    """In the order of the profile before; those that are new at the end."""
    confidence: float
    """Of the intervals, from 0 to 1."""
    tolerance: float
    """The relative change of a time that is put down to chance between two runs."""
    times_compared: bool
    """Whether seconds were compared; if not, a note says why."""
    notes: tuple[str, ...] = ()
    """What a reader has to know of the two profiles, in words."""

    @property
    def ok(self) -> bool:
        """Whether no order is worse than before."""
        return all(row.ok for row in self.rows)

    def to_json(self) -> str:
        """Return all of it as JSON, ``"schema": "starfish-fetch/comparison/1"``.

        Every field stands under its name, with ``ok`` beside; each row is an object with
        ``verdict``, ``ok`` and every field of :class:`OrderComparison`. Ratios are of seconds.
        """
        raise NotImplementedError

    def __str__(self) -> str:
        lines = [f"{row.order}: {row.message}" for row in self.rows]
        return "\n".join([*lines, *self.notes])


def compare(
    before: LoadProfile,
    after: LoadProfile,
    *,
    confidence: float = 0.95,
    tolerance: float = 0.05,
) -> Comparison:
    """Say for each order whether it became worse: exactly by counts, statistically by times.

    Parameters
    ----------
    before, after : LoadProfile
        Of the same image.
    confidence : float, optional
        Of the interval of each ratio of times. Default: 0.95.
    tolerance : float, optional
        The relative change of a time that is put down to chance between two runs. Default: 0.05.
    """
    raise NotImplementedError
