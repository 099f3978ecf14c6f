"""What an author of a fetcher tests it with: checks, faults, strategies, benchmarks."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starfish_fetch.testing._pytest import fetcher_checks
    from starfish_fetch.testing.check import check_fetcher
    from starfish_fetch.testing.checks import CHECKS
    from starfish_fetch.testing.report import Report, Result

_HOME = {
    "CHECKS": "checks",
    "Report": "report",
    "Result": "report",
    "check_fetcher": "check",
    "fetcher_checks": "_pytest",
}

__all__ = ["CHECKS", "Report", "Result", "check_fetcher", "fetcher_checks"]


def __getattr__(name: str) -> Any:
    try:
        home = _HOME[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
