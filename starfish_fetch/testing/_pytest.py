"""The checks as test cases of pytest."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from starfish_fetch.axes import Extent
from starfish_fetch.errors import require
from starfish_fetch.testing._names import expectations, known
from starfish_fetch.testing.check import check_fetcher
from starfish_fetch.testing.checks import CHECKS
from starfish_fetch.testing.report import FetcherWarning, Result, printable

if TYPE_CHECKING:
    from synth import Dataset

__all__ = ["fetcher_checks"]

Test = TypeVar("Test", bound=Callable[..., object])


def fetcher_checks(
    make_fetcher: Callable[[], Any],
    extent: Extent | Callable[[], Extent],
    expected: Callable[..., Any] | Dataset | None = None,
    *,
    expected_failures: Mapping[str, str] | None = None,
    deadline: float | None = None,
    checks: Iterable[str] | None = None,
    seed: int = 0,
    exhaustive: bool = False,
) -> Callable[[Test], Test]:
    """Turn a test function that calls its argument ``check`` into one test case for each check.

    A case is named as its check is, and runs that check alone, from fresh fetchers: ``pytest -k
    labels_are_honoured`` takes no longer than it must. A check that fails raises AssertionError
    with what was found and what to change; one that has nothing to look at skips.

    One that warns emits a :class:`FetcherWarning`, which pytest lists at its end. Turning all
    warnings into errors does not make it one, because it is about the fetcher and not about a
    call; ``-W error::starfish_fetch.testing.report.FetcherWarning`` does.

    Parameters
    ----------
    make_fetcher : callable
        Takes no arguments and returns a fresh fetcher.
    extent : Extent or callable
        Labels and tile shape of its image; or a function without parameters that returns them,
        which is called when a case runs and not when the module is imported.
    expected : callable or Dataset, optional
        What is known of the pixels, as :func:`check_fetcher` takes it; or a function without
        parameters that returns that.
    expected_failures : mapping of str to str, optional
        Checks that are known to fail or to warn, and why: their cases are ``xfail``, and fail
        when nothing is found any more.
    deadline : float, optional
        Seconds that one case may take.
    checks : iterable of str, optional
        Names of the checks. Default: all.
    seed : int, optional
        Of what is chosen by chance: tiles and orders.
    exhaustive : bool, optional
        Whether to read every tile of a large image. Default: some tens of them.

    Returns
    -------
    callable
        A decorator of a test function.

    Raises
    ------
    TypeError, ValueError
        If there is no such check, an expected failure has no reason, or the fetcher or its extent
        cannot be one.
    MissingExtraError
        Without pytest.

    Examples
    --------
    >>> from functools import cache
    >>> from tempfile import mkdtemp
    >>> import synth
    >>> from starfish_fetch import Layout
    >>> @cache
    ... def dataset():  # 2 rounds, 2 channels, 3 z-planes of 16 x 12 pixels
    ...     return synth.write(synth.Spec(2, 2, 3, (16, 12)), Layout.per_round(), mkdtemp())
    >>> @fetcher_checks(
    ...     make_fetcher=lambda: dataset().fetcher(),
    ...     extent=lambda: dataset().extent(),
    ...     expected=dataset,
    ... )
    ... def test_my_fetcher(check):
    ...     check()
    """
    try:
        import pytest
    except ImportError:
        raise require("pytest", "testing", "fetcher_checks") from None
    if not callable(make_fetcher):
        raise TypeError(
            f"make_fetcher must be a function without parameters that returns a fresh fetcher; "
            f"got {make_fetcher!r:.80}"
        )
    if not isinstance(extent, Extent) and not callable(extent):
        raise TypeError(
            f"extent must be an Extent, or a function that returns one; got {extent!r:.80}"
        )
    names = tuple(CHECKS) if checks is None else known(checks, CHECKS)
    reasons = expectations(expected_failures, names)

    def run(name: str) -> Result:
        __tracebackhide__ = True
        report = check_fetcher(
            make_fetcher,
            extent if isinstance(extent, Extent) else extent(),
            _now(expected),
            deadline=deadline,
            exhaustive=exhaustive,
            checks=[name],
            seed=seed,
        )
        return report.expecting({name: reasons[name]} if name in reasons else {})[name]

    cases = [_Case(name, run) for name in names]
    return pytest.mark.parametrize("check", cases, ids=names)


@dataclass(frozen=True)
class _Case:
    """What a test function is given, and calls."""

    name: str
    run: Callable[[str], Result] = field(repr=False)

    def __call__(self) -> None:
        __tracebackhide__ = True
        import pytest

        result = self.run(self.name)
        text = printable(
            "\n".join(filter(None, [f"{result.title}: {result.message}", result.remedy]))
        )
        if result.status == "fail":
            raise AssertionError(f"{text}\n(starfish-fetch check --explain {self.name})")
        if result.status == "warn":
            _warn(text)
        elif result.status == "xfail":
            pytest.xfail(printable(result.message))
        elif result.status == "skip":
            pytest.skip(printable(result.message))


def _now(expected: Any) -> Any:
    """Return what is expected, called if it takes nothing and so can be no oracle itself."""
    if not callable(expected):
        return expected
    try:
        late = not inspect.signature(expected).parameters
    except (TypeError, ValueError):  # of some functions in C it is not known
        return expected
    return expected() if late else expected


def _warn(text: str) -> None:
    __tracebackhide__ = True
    at_the_test = 3
    try:
        warnings.warn(text, FetcherWarning, stacklevel=at_the_test)
    except FetcherWarning:
        if any(category is FetcherWarning for _, _, category, *_ in warnings.filters):
            raise
        with warnings.catch_warnings():
            warnings.simplefilter("always", FetcherWarning)
            warnings.warn(text, FetcherWarning, stacklevel=at_the_test)
