"""Checks a fetcher against the contract, and says by name what is wrong with it."""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Any

from starfish_fetch.axes import Extent
from starfish_fetch.testing._guard import Broken, Outcome, memory_limited, run_watched
from starfish_fetch.testing._oracle import oracle_of
from starfish_fetch.testing._subject import Subject
from starfish_fetch.testing.checks import CHECKS, Check, Finding, NotChecked
from starfish_fetch.testing.report import Report, Result

if TYPE_CHECKING:
    from synth import Dataset

__all__ = ["check_fetcher"]

Progress = Callable[[int, int, str], object]

DEADLINE = 60.0
"""Seconds that a check of a fetcher may take, unless the caller says otherwise."""

_PATIENCE = 1 / 5


def check_fetcher(
    make_fetcher: Callable[[], Any],
    extent: Extent,
    expected: Callable[..., Any] | Dataset | None = None,
    *,
    deadline: float | None = None,
    exhaustive: bool = False,
    checks: Iterable[str] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Report:
    """Check a fetcher: say by name what is wrong with it.

    Each check begins with a fresh fetcher, in a thread of its own. What the fetcher raises, be it
    an exit, is told and not raised; a call that does not return is given up. Nothing is written to
    any file. Of a large image, only some tiles are read.

    Parameters
    ----------
    make_fetcher : callable
        Takes no arguments and returns a fresh fetcher.
    extent : Extent
        Labels and tile shape of its image.
    expected : callable or Dataset, optional
        What is known of the pixels: a function of (round, ch, zplane) that returns them, which is
        given the keyword ``fov`` if it takes it, or a synth dataset with the same image. Without
        it, less can be seen, and much of that is suspicion.
    deadline : float, optional
        Seconds after which the check ends, whatever the fetcher does; a single call may take a
        fifth of it. Default: 60.
    exhaustive : bool, optional
        Whether to read every tile of a large image. Default: some tens of them.
    checks : iterable of str, optional
        Names of the checks to run. Default: all.
    seed : int, optional
        Of what is chosen by chance: tiles and orders.
    progress : callable, optional
        Called with the number of checks done, their number, and the name of the next.

    Returns
    -------
    Report
        One result for each check.

    Raises
    ------
    TypeError, ValueError
        If it was asked wrongly: an unknown check, a deadline that is not positive.
    Exception
        Whatever ``expected`` raises.

    Examples
    --------
    >>> import numpy as np
    >>> import starfish_fetch as sf
    >>> pixels = np.arange(2 * 3 * 4 * 6 * 5, dtype=np.uint16).reshape(2, 3, 4, 6, 5)
    >>> class Tile:
    ...     shape = {"y": 6, "x": 5}
    ...     coordinates = {"xc": (0.0, 0.4), "yc": (0.0, 0.5)}
    ...     def __init__(self, pixels):
    ...         self.tile_data = pixels.copy
    >>> class Fetcher:
    ...     def get_tile(self, fov, r, c, z):
    ...         if min(fov, r, c, z) < 0:
    ...             raise ValueError(f"there is no tile {fov, r, c, z}")
    ...         return Tile(pixels[r, 0, z])  # for every channel the first
    >>> extent = sf.Extent({"y": 6, "x": 5}, fov=0, rounds=range(2), chs=range(3), zplanes=range(4))
    >>> report = check_fetcher(Fetcher, extent, lambda r, c, z: pixels[r, c, z])
    >>> report.ok
    False
    >>> report["labels_are_honoured"].status
    'fail'
    """
    start = perf_counter()
    seconds = DEADLINE if deadline is None else float(deadline)
    if not seconds > 0 or not math.isfinite(seconds):
        raise ValueError(f"deadline must be a positive number of seconds; got {deadline!r}")
    if not callable(make_fetcher):
        raise TypeError(
            f"make_fetcher must be callable without arguments and return a fresh fetcher; got "
            f"{make_fetcher!r:.80}"
        )
    chosen = _chosen(checks)
    oracle = oracle_of(expected, extent)
    subject = Subject(
        make_fetcher, extent, oracle, exhaustive=exhaustive, seed=seed, seconds=seconds
    )
    results = []
    runner = _Runner(subject, patience=_PATIENCE * seconds, until=start + 0.95 * seconds)
    with memory_limited(), _unraisable_ignored(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number, check in enumerate(chosen):
            if progress is not None:
                progress(number, len(chosen), check.name)
            results.append(runner.run(check))
            if oracle is not None and oracle.error is not None:
                break
    if oracle is not None and oracle.error is not None:
        raise oracle.error
    if progress is not None:
        progress(len(chosen), len(chosen), "")
    return Report(
        results=tuple(results),
        extent=extent,
        tiles_read=sum(not seen.problem for seen in subject.seen.values()),
        tiles_in_extent=subject.count,
        has_oracle=oracle is not None,
        seed=seed,
        seconds=perf_counter() - start,
    )


@contextmanager
def _unraisable_ignored() -> Iterator[None]:
    """Keep what fetchers raise while they are deleted from the terminal: they were half made."""
    before = sys.unraisablehook
    sys.unraisablehook = lambda unraisable: None
    try:
        yield
    finally:
        sys.unraisablehook = before


def _chosen(names: Iterable[str] | None) -> list[Check]:
    if names is None:
        return list(CHECKS.values())
    names = [names] if isinstance(names, str) else list(names)
    unknown = [name for name in names if name not in CHECKS]
    if unknown:
        raise ValueError(f"there is no check {unknown[0]!r}; there are {', '.join(CHECKS)}")
    return [check for name, check in CHECKS.items() if name in names]


class _Runner:
    """Runs one check after another, whatever happens in them."""

    def __init__(self, subject: Subject, *, patience: float, until: float) -> None:
        self._subject = subject
        self._patience = patience
        self._until = until

    def run(self, check: Check) -> Result:
        start = perf_counter()
        while True:
            findings: list[Finding] = []
            outcome = Outcome()
            if perf_counter() < self._until:
                outcome = run_watched(
                    lambda findings=findings: findings.extend(check.function(self._subject)),  # type: ignore[misc]
                    self._subject.calls,
                    patience=self._patience,
                    until=self._until,
                )
            else:
                outcome.late = True
            if outcome.hanging is not None or outcome.late:
                self._subject.let_go()
            # The tile that hangs is known now; the survey goes on without it.
            if outcome.hanging is None or not self._subject.hung(outcome.hanging):
                break
        return self._result(check, findings, outcome, perf_counter() - start)

    def _result(
        self, check: Check, findings: list[Finding], outcome: Outcome, seconds: float
    ) -> Result:
        error = outcome.error
        if outcome.hanging is not None:
            findings.append(
                Finding(
                    f"{outcome.hanging} did not return within {self._patience:.3g} s.",
                    "Let it raise an exception when what it waits for does not come.",
                )
            )
        elif isinstance(error, Broken):
            findings.append(
                Finding(f"{error}.", "Every request for a tile of the extent has to succeed.")
            )
        elif error is not None and not isinstance(error, NotChecked):
            if self._subject.oracle is not None and self._subject.oracle.error is not None:
                return Result(check.name, check.rule, "skip", "expected() raised", seconds=seconds)
            # What a fetcher returns may raise wherever it is looked at; ours would be a bug.
            findings.append(
                Finding(
                    f"The check could not be finished: {type(error).__name__}: {error}.",
                    "See what is unusual in what the fetcher returns.",
                    status="warn",
                    certain=False,
                )
            )
        if findings:
            return _of_findings(check, findings, seconds)
        if isinstance(error, NotChecked):
            return Result(check.name, check.rule, "skip", str(error), seconds=seconds)
        if outcome.late:
            text = "not finished: the time was over (a longer deadline may be given)"
            return Result(check.name, check.rule, "skip", text, seconds=seconds)
        return Result(check.name, check.rule, "pass", seconds=seconds)


def _of_findings(check: Check, findings: list[Finding], seconds: float) -> Result:
    ranked = sorted(
        findings, key=lambda found: ((found.status or check.severity) == "warn", not found.certain)
    )
    worst = ranked[0]
    message = " ".join(dict.fromkeys(found.message for found in ranked))
    return Result(
        check.name,
        check.rule,
        worst.status or check.severity,
        message,
        remedy=worst.remedy,
        tiles=worst.tiles,
        certain=worst.certain,
        seconds=seconds,
    )
