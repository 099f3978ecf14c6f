"""What checking a fetcher found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from starfish_fetch.axes import Extent, TileKey

__all__ = ["Report", "Result", "Status"]

Status = Literal["fail", "warn", "pass", "skip"]


@dataclass(frozen=True)
class Result:
    """What one check found.

    A check that finds several things tells the worst; the others stand in the message.
    """

    check: str
    """Its name: ``labels_are_honoured``."""
    rule: str
    """The rule of the contract that it holds a fetcher to, ``C1`` to ``C14``."""
    status: Status
    """``fail``: wrong data, or no load at all; ``warn``: slow, fragile, or suspicious."""
    message: str = ""
    """Which tiles, what was seen and what was expected; of a skipped check, why."""
    remedy: str = ""
    """What to change."""
    tiles: tuple[TileKey, ...] = ()
    """Those that the message is about, the first few."""
    certain: bool = True
    """Whether it is a certainty, or a suspicion that correct data could also cause."""
    seconds: float = 0.0
    """How long the check took."""

    def __str__(self) -> str:
        line = f"{self.rule} {self.check}: {self.status}"
        if self.message:
            line += f": {self.message}"
        if self.remedy:
            line += f" {self.remedy}"
        return line


@dataclass(frozen=True)
class Report:
    """What all checks of one fetcher found, and how much of the image they looked at."""

    results: tuple[Result, ...]
    """One for each check, in the order in which they ran."""
    extent: Extent
    """The labels that were asked for, and the tile shape that was declared."""
    tiles_read: int
    """How many different tiles were read."""
    tiles_in_extent: int
    """How many there are."""
    has_oracle: bool
    """Whether it was known which pixels to expect."""
    seed: int
    """Of the choice of tiles and orders."""
    seconds: float
    """How long all of it took."""

    @property
    def ok(self) -> bool:
        """Whether no check failed."""
        return not self.of("fail")

    def of(self, *statuses: Status) -> tuple[Result, ...]:
        """Return the results with one of these statuses."""
        return tuple(result for result in self.results if result.status in statuses)

    def __iter__(self) -> Iterator[Result]:
        return iter(self.results)

    def __getitem__(self, check: str) -> Result:
        for result in self.results:
            if result.check == check:
                return result
        raise KeyError(check)
