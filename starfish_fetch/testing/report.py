"""What checking a fetcher found."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

from starfish_fetch.axes import Extent, TileKey

__all__ = ["SCHEMA", "FetcherWarning", "Report", "Result", "Status", "printable"]

SCHEMA = "starfish-fetch/check/1"
"""What the JSON of a report calls itself; another number is another format."""

Status = Literal["fail", "warn", "xfail", "skip", "pass"]
"""How a check ended, worst first; ``xfail`` is a failure that somebody expected, with a reason."""

_STATUSES: tuple[Status, ...] = get_args(Status)


class FetcherWarning(UserWarning):
    """A check found what makes a fetcher slow or fragile, or looks suspicious."""


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

    @property
    def title(self) -> str:
        """Rule and name, and whether the finding is but a suspicion."""
        return f"{self.rule} {self.check}" + ("" if self.certain else " (a suspicion)")

    def __str__(self) -> str:
        line = f"{self.rule} {self.check}: {self.status}"
        if self.message:
            line += f": {self.message}"
        if self.remedy:
            line += f" {self.remedy}"
        return line


@dataclass(frozen=True)
class Report:
    """What all checks of one fetcher found, and how much of the image they looked at.

    As text it is for a person: what is worst comes first, with its remedy. :meth:`to_json` keeps
    all of it for a program, :meth:`to_junit` what a build server shows.

    Examples
    --------
    >>> extent = Extent({"y": 8, "x": 8}, fov=0, rounds=[0, 1], chs=[0], zplanes=[0])
    >>> refused = Result("unknown_labels_are_refused", "C10", "fail",
    ...                  "round 2, which the image lacks, gave the pixels of round 1.",
    ...                  "Raise a KeyError for a label that is not there.")
    >>> report = Report((Result("tiles_repeat", "C5", "pass"), refused), extent,
    ...                 tiles_read=2, tiles_in_extent=2, has_oracle=True, seed=0, seconds=0.3)
    >>> report.ok
    False
    >>> print(report)
    FAIL  C10 unknown_labels_are_refused
          round 2, which the image lacks, gave the pixels of round 1.
          Raise a KeyError for a label that is not there.
    <BLANKLINE>
    1 failed, 1 passed; 2 of 2 tiles read in 0.3 s; with an oracle
    >>> Report.from_json(report.to_json()) == report
    True
    """

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

    def worst_first(self) -> tuple[Result, ...]:
        """Return the results, failures before warnings before the rest, certainties first."""
        return tuple(sorted(self.results, key=_badness))

    def skipped(self) -> dict[str, tuple[Result, ...]]:
        """Return the checks that had nothing to look at, by the reason."""
        by_reason: dict[str, tuple[Result, ...]] = {}
        for result in self.of("skip"):
            by_reason[result.message] = (*by_reason.get(result.message, ()), result)
        return by_reason

    def expecting(self, reasons: Mapping[str, str]) -> Report:
        """Return the report in the eyes of somebody who expects some checks to fail.

        A failure or a warning that is expected becomes ``xfail``. A check that passes although
        its failure is expected fails, so that no reason outlives what it was given for.

        Parameters
        ----------
        reasons : mapping of str to str
            Why each check is expected to fail, by its name.

        Raises
        ------
        ValueError
            If a check is not among the results, or a reason is empty.

        Examples
        --------
        >>> extent = Extent({"y": 8, "x": 8}, fov=0, rounds=[0], chs=[0], zplanes=[0])
        >>> warned = Result("sources_are_truthful", "C14", "warn", "it reads b.tiff, too")
        >>> report = Report((warned,), extent, 1, 1, has_oracle=False, seed=0, seconds=0.1)
        >>> expected = report.expecting({"sources_are_truthful": "the index is no source"})
        >>> expected["sources_are_truthful"].message
        'expected (the index is no source): it reads b.tiff, too'
        """
        from starfish_fetch.testing._names import expectations

        reasons = expectations(reasons, [result.check for result in self.results])
        return replace(
            self,
            results=tuple(
                _expected(result, reasons[result.check]) if result.check in reasons else result
                for result in self.results
            ),
        )

    def raise_for_failures(self) -> None:
        """Raise if a check failed.

        Raises
        ------
        AssertionError
            With the report as its text.
        """
        __tracebackhide__ = True
        if not self.ok:
            raise AssertionError(str(self))

    def summary(self) -> str:
        """Return in one line how many checks ended how, and what they looked at."""
        counted = Counter(result.status for result in self.results)
        words: dict[Status, str] = {
            "fail": "failed",
            "warn": "warning" if counted["warn"] == 1 else "warnings",
            "xfail": "failed as expected",
            "pass": "passed",
            "skip": "skipped",
        }
        counts = [f"{counted[name]} {word}" for name, word in words.items() if counted[name]]
        seconds = f"{self.seconds:.1f}" if self.seconds >= 0.05 else "less than 0.1"
        return (
            f"{', '.join(counts) or 'nothing was checked'}; {self.tiles_read:,} of "
            f"{self.tiles_in_extent:,} tiles read in {seconds} s; "
            f"{'with' if self.has_oracle else 'without'} an oracle"
        )

    def is_sample(self) -> bool:
        """Return whether some tiles were read, and not all."""
        return 0 < self.tiles_read < self.tiles_in_extent

    def to_json(self) -> str:
        """Return all of it as JSON.

        The object has ``"schema": "starfish-fetch/check/1"``; ``ok``; every field of the report
        under its name; the extent as an object with ``tile_shape`` (``y`` and ``x``), ``fov``,
        ``rounds``, ``chs`` and ``zplanes``; the results as a list of objects with every field of
        :class:`Result`; and each tile as an object with ``round``, ``ch`` and ``zplane``. Within
        this schema fields may be added, so a reader passes over those that it does not know.
        """
        from starfish_fetch.testing._report_json import write

        return write(self)

    @classmethod
    def from_json(cls, text: str | bytes) -> Report:
        """Return the report that :meth:`to_json`, or the command with ``--json``, wrote.

        Raises
        ------
        ValueError
            If the text is none such; the message names the field.
        """
        from starfish_fetch.testing._report_json import read

        return read(text)

    def to_junit(self, name: str = "starfish-fetch check", *, strict: bool = False) -> str:
        """Return the report as the XML that build servers read.

        Parameters
        ----------
        name : str, optional
            Of the test suite; that of the fetcher tells several apart.
        strict : bool, optional
            Whether a warning is a failure. Default: False, it is the output of a passing test.

        Returns
        -------
        str
            A document with one test case for each check, to be stored as UTF-8.
        """
        from starfish_fetch.testing._report_junit import write

        return write(self, name, strict=strict)

    def __str__(self) -> str:
        blocks = [
            _block(result.status, result.title, result.message, result.remedy)
            for result in self.worst_first()
            if result.status in ("fail", "warn", "xfail")
        ]
        skipped = [
            f"skip  {', '.join(result.check for result in results)}: {reason}"
            for reason, results in self.skipped().items()
        ]
        ending = [self.summary()]
        if self.is_sample():
            ending.append(
                "Not every tile was read; exhaustive=True reads all of them, and a longer deadline "
                "leaves it time."
            )
        return printable(
            "\n\n".join(filter(None, [*blocks, "\n".join(skipped), "\n".join(ending)]))
        )

    def __iter__(self) -> Iterator[Result]:
        return iter(self.results)

    def __getitem__(self, check: str) -> Result:
        for result in self.results:
            if result.check == check:
                return result
        raise KeyError(check)


def printable(text: str) -> str:
    r"""Return a text in which characters that steer a terminal, or break XML, are escaped.

    What a check quotes, such as a file's name, may hold any.

    Examples
    --------
    >>> print(printable("r\x1b[2J.tiff"))
    r\x1b[2J.tiff
    """
    if text.isprintable():
        return text
    return "".join(
        repr(char)[1:-1]
        if char not in "\n\t" and unicodedata.category(char) in ("Cc", "Cf", "Cn", "Cs")
        else char
        for char in text
    )


def _badness(result: Result) -> tuple[int, bool, int, str]:
    # Rules are numbered about as they matter: C1 is that a tile is the tile asked for.
    return (
        _STATUSES.index(result.status),
        not result.certain,
        len(result.rule),
        result.rule,
    )


def _expected(result: Result, reason: str) -> Result:
    if result.status in ("fail", "warn"):
        return replace(result, status="xfail", message=f"expected ({reason}): {result.message}")
    if result.status == "pass":
        return replace(
            result,
            status="fail",
            message=f"It no longer fails, which was expected ({reason}).",
            remedy="Remove it from the expected failures.",
        )
    return result


def _block(status: Status, *lines: str) -> str:
    word = status.upper() if status == "fail" else status
    text = "\n".join(filter(None, lines)).replace("\n", "\n" + " " * 6)
    return f"{word:<6}{text}"
