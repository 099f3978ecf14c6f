"""Bars of opens, requests, bytes and seconds, in a page."""

from __future__ import annotations

from starfish_fetch.profile._values import LoadProfile, OrderProfile
from starfish_fetch.profile.page._markup import Markup, element
from starfish_fetch.units import in_units, middle_half, of_bytes, of_seconds, short

__all__ = ["Costs"]


class Costs:
    """The bars of all orders of a profile, of each kind to one scale."""

    def __init__(self, profile: LoadProfile):
        rows = profile.rows
        read = [row.bytes_read for row in rows if row.bytes_read is not None]
        self.remote = profile.is_remote
        self._most_requests = max((row.requests or 0 for row in rows), default=0) or 1
        self._most_opens = max((row.opens for row in rows), default=0) or 1
        self._most_bytes = max(read, default=0) or 1
        self._longest = max(middle_half(row.seconds)[1] for row in rows) or 1
        self._bytes = of_bytes(read)
        self._seconds = of_seconds(row.median_seconds for row in rows)

    def titles(self, strips: str) -> list[Markup]:
        """Return what stands above the columns."""
        read = "bytes read" if self._bytes[1] == 1 else f"{self._bytes[0]} read"
        names = ["order", strips, "file opens", read, f"time, {self._seconds[0]}"]
        if self.remote:
            names.insert(3, "requests")
        return [element("span", name) for name in names]

    def bars(self, row: OrderProfile) -> list[Markup]:
        """Return the bars of one order, each with its number."""
        start, end = middle_half(row.seconds)
        again = f"{row.reopens:,} again" if row.reopens else ""
        median, low, high = (
            short(one * self._seconds[1]) for one in (row.median_seconds, start, end)
        )
        unknown = row.bytes_read is None
        read = row.bytes_read or 0
        return [
            _cost(
                "file opens",
                f"{row.opens:,}",
                again,
                _part("bar", 0, (row.opens - row.reopens) / self._most_opens),
                _part("bar again", (row.opens - row.reopens) / self._most_opens,
                      row.reopens / self._most_opens),
            ),
            *([self._requests(row)] if self.remote else []),
            _cost(
                f"{self._bytes[0]} read" if self._bytes[1] != 1 else "bytes read",
                "not known" if unknown else short(read / self._bytes[1]),
                "",
                _part("bar", 0, read / self._most_bytes),
            ),
            _cost(
                f"time, {self._seconds[0]}",
                median,
                "" if len(row.seconds) == 1 else f"{low} to {high}",
                _part("bar", 0, row.median_seconds / self._longest),
                _part("spread", start / self._longest, (end - start) / self._longest),
            ),
        ]  # fmt: skip

    def _requests(self, row: OrderProfile) -> Markup:
        known = row.requests is not None
        return _cost(
            "requests",
            f"{row.requests:,}" if known else "not known",
            "" if row.bytes_received is None else f"{in_units(row.bytes_received)} received",
            _part("bar", 0, (row.requests or 0) / self._most_requests),
        )

    def legend(self) -> Markup:
        """Say what the marks and the bars are."""
        signs = {
            "mark first": "a file is opened for the tile above",
            "mark again": "a file that was opened before is opened again",
            "line": "half of all loads took between its ends",
        }
        return element(
            "ul",
            *(element("li", element("span", class_=kind), words) for kind, words in signs.items()),
            class_="legend",
            aria_label="Marks",
        )


def _part(kind: str, start: float, length: float) -> Markup | None:
    if not length:
        return None
    return element("span", class_=kind, style=f"left:{start:.2%};width:{length:.2%}")


def _cost(label: str, number: str, more: str, *parts: Markup | None) -> Markup:
    return element(
        "div",
        element("span", label, class_="label"),
        element("span", *parts, class_="track"),
        element("span", number, class_="number"),
        element("small", more) if more else None,
        class_="cost",
    )
