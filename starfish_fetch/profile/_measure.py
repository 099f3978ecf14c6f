"""Loads an image in every order, and measures what that costs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from starfish_fetch.axes import Axes, Extent
from starfish_fetch.profile._values import LoadProfile

__all__ = ["profile_orders"]


def profile_orders(
    make_fetcher: Callable[[], Any],
    extent: Extent,
    orders: Iterable[Iterable[Axes | str] | None] | None = None,
    *,
    repeat: int = 5,
    cold: bool = False,
    workers: int | None = None,
    progress: bool = False,
) -> LoadProfile:
    """Load an image in several orders, each from fresh fetchers, and measure what that costs."""
    raise NotImplementedError
