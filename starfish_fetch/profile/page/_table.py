"""The tables of numbers in the page of a profile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isinf

from starfish_fetch.profile._breakeven import Breakeven
from starfish_fetch.profile._values import LoadProfile, OrderProfile
from starfish_fetch.profile.page._markup import Markup, element
from starfish_fetch.units import in_units

__all__ = ["breakeven_table", "numbers_table"]

_UNKNOWN = "not known"


def numbers_table(profile: LoadProfile) -> Markup:
    """Return a table with a row for each order, numbers as they are in the JSON."""
    columns: dict[str, Callable[[OrderProfile], str]] = {
        "median seconds": lambda row: f"{row.median_seconds:.6f}",
        "fastest": lambda row: f"{min(row.seconds):.6f}",
        "slowest": lambda row: f"{max(row.seconds):.6f}",
        "opens": lambda row: _count(row.opens),
        "re-opens": lambda row: _count(row.reopens),
        "sources": lambda row: _count(row.sources),
        "bytes read": lambda row: _count(row.bytes_read),
        "peak memory, bytes": lambda row: _count(row.peak_bytes),
        "metadata seconds": lambda row: f"{row.metadata_seconds:.6f}",
        "pixel seconds": lambda row: f"{row.pixel_seconds:.6f}",
        "metadata opens": lambda row: _count(row.metadata_opens),
        "metadata bytes": lambda row: _count(row.metadata_bytes_read),
    }
    if profile.is_remote:
        columns["requests"] = lambda row: _count(row.requests)
        columns["bytes received"] = lambda row: _count(row.bytes_received)
    sizes = dict.fromkeys(size for row in profile.rows for size in row.predicted_opens or ())
    for size in sizes:
        kept = "all kept" if size is None else f"{size:,} kept"
        columns[f"opens predicted, {kept}"] = _predicted(size)
    for name in dict.fromkeys(name for row in profile.rows for name in row.calls):
        columns[f"calls of {name}"] = _called(name)
    head = element(
        "tr",
        element("th", "order", scope="col"),
        *(element("th", name, scope="col") for name in columns),
    )
    lines = [
        element(
            "tr",
            element("th", row.order, scope="row"),
            *(element("td", cell(row)) for cell in columns.values()),
        )
        for row in profile.rows
    ]
    caption = element("caption", "One line for each load order, the fastest first.")
    return element("table", caption, element("thead", head), element("tbody", *lines))


def breakeven_table(found: Breakeven) -> Markup:
    """Return a table with a row for each order, before and after a conversion."""
    direct = "" if found.direct_bytes is None else f", {in_units(found.direct_bytes)} before"
    caption = (
        f"Converted in {found.convert_seconds:.3g} s: {in_units(found.converted_bytes)}{direct}. "
        f"Seconds are medians of {found.repeat:,}."
    )
    lines = [
        element(
            "tr",
            element("th", row.order, scope="row"),
            element("td", f"{row.direct_seconds:.6f}"),
            element("td", f"{row.converted_seconds:.6f}"),
            element("td", "never" if isinf(row.loads) else f"{row.loads:,.0f} loads"),
        )
        for row in found.rows
    ]
    names = ("order", "seconds directly", "converted", "pays after")
    return element(
        "table",
        element("caption", caption),
        element("thead", element("tr", *(element("th", name, scope="col") for name in names))),
        element("tbody", *lines),
    )


def _count(count: int | None) -> str:
    return _UNKNOWN if count is None else f"{count:,}"


def _predicted(size: int | None) -> Callable[[OrderProfile], str]:
    def cell(row: OrderProfile) -> str:
        opens: Mapping[int | None, int] = row.predicted_opens or {}
        return _count(opens.get(size))

    return cell


def _called(name: str) -> Callable[[OrderProfile], str]:
    return lambda row: _count(row.calls.get(name, 0))
