"""The list of checks."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from starfish_fetch.axes import TileKey
    from starfish_fetch.testing._subject import Subject

__all__ = ["CHECKS", "Check", "Finding", "NotChecked", "check"]

Severity = Literal["fail", "warn"]


class NotChecked(Exception):  # noqa: N818
    """A check has nothing to look at; the message says why."""


@dataclass(frozen=True)
class Finding:
    """Something that a check found wrong."""

    message: str
    """Which tiles, what was seen, and what was expected."""
    remedy: str
    """What to change."""
    tiles: tuple[TileKey, ...] = ()
    status: Severity | None = None
    """Default: the check's severity."""
    certain: bool = True
    """Whether correct data could not look the same."""


Function = Callable[["Subject"], Iterator[Finding]]


@dataclass(frozen=True)
class Check:
    """One rule, and the function that holds a fetcher to it."""

    name: str
    rule: str
    severity: Severity
    why: str
    """Why it matters to a scientist, in one line."""
    function: Function

    @property
    def summary(self) -> str:
        """What it requires, in one line."""
        return self.story.splitlines()[0]

    @property
    def story(self) -> str:
        """What it requires, how people break it, and a wrong and a right way to write it."""
        return inspect.getdoc(self.function) or ""


CHECKS: dict[str, Check] = {}
"""Every check by name, in the order in which they run."""


def check(rule: str, severity: Severity, why: str) -> Callable[[Function], Function]:
    """Add a function ``check_<name>`` to the checks."""

    def add(function: Function) -> Function:
        name = function.__name__.removeprefix("check_")
        CHECKS[name] = Check(name, rule, severity, why, function)
        return function

    return add
