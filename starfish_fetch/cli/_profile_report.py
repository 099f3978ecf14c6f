"""What a profile of load orders, and a comparison of two, say to a person at a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

from starfish_fetch.cli._output import console, print_table
from starfish_fetch.names import visible
from starfish_fetch.units import in_units, middle_half, of_seconds, short

if TYPE_CHECKING:
    from starfish_fetch.profile import Comparison, LoadProfile, OrderComparison, OrderProfile

__all__ = ["print_comparison", "print_profile"]

_UNKNOWN = "-"


def print_profile(profile: LoadProfile) -> None:
    """Print which order to use, what each costs, and where that is not as predicted."""
    out = console()
    out.print(visible(profile.sentence), style="bold")
    if profile.advice is not None:
        named = "As the sources have it" if profile.sources_are == "named" else "As files are seen"
        out.print(f"{named}: {visible(profile.advice.sentence)}")
    out.print()
    print_table(out, _orders(profile))
    out.print(_how(profile), style="dim")
    for title, lines in (
        ("Not as predicted:", profile.disagreements),
        ("To be known:", profile.notes),
    ):
        if lines:
            out.print()
            out.print(title, style="bold")
            for line in lines:
                out.print(f"- {visible(line)}")


def _orders(profile: LoadProfile) -> Table:
    table = _table()
    unit, scale = of_seconds(row.median_seconds for row in profile.rows)
    table.add_column("order", no_wrap=True)
    # At a terminal of 80 columns there is no room for more.
    of_load = ("requests", "bytes\nreceived") if profile.is_remote else ("sources", "bytes\nread")
    names = (unit, "middle\nhalf", "opens", "re-opens", *of_load, "peak\nmemory",
             "opens\npredicted")  # fmt: skip
    for name in names:
        table.add_column(name, justify="right")
    for number, row in enumerate(profile.rows):
        as_predicted = row.predicted_opens is None or row.opens == row.predicted_opens.get(1)
        table.add_row(
            Text(row.order, "bold green" if number == 0 else ""),
            short(row.median_seconds * scale),
            " - ".join(short(end * scale) for end in middle_half(row.seconds)),
            f"{row.opens:,}",
            Text(f"{row.reopens:,}", "yellow" if row.reopens else ""),
            _count(row.requests if profile.is_remote else row.sources),
            _size(row.bytes_received if profile.is_remote else row.bytes_read),
            in_units(row.peak_bytes),
            Text(_predicted(row), "" if as_predicted else "yellow"),
        )
    return table


def _predicted(row: OrderProfile) -> str:
    return _count(None if row.predicted_opens is None else row.predicted_opens.get(1))


def _count(count: int | None) -> str:
    return _UNKNOWN if count is None else f"{count:,}"


def _size(count: int | None) -> str:
    return _UNKNOWN if count is None else in_units(count)


def _how(profile: LoadProfile) -> str:
    loads = "one load" if profile.repeat == 1 else f"the median of {profile.repeat} loads"
    files = "after dropping the files from the page cache" if profile.cold else "with files cached"
    workers = "" if profile.workers is None else f", --workers {profile.workers}"
    return (
        f"{visible(profile.fetcher)}, {profile.tiles:,} tiles; times are {loads} by fresh "
        f"fetchers, {files}{workers}. Predicted for a fetcher that keeps one source; none is the "
        "loader's own order."
    )


def print_comparison(comparison: Comparison) -> None:
    """Print what became of every order."""
    out = console()
    table = _table()
    for name in ("order", "verdict", "what changed"):
        table.add_column(name, overflow="fold")
    for row in comparison.rows:
        table.add_row(row.order, Text(", ".join(row.verdicts), _style(row)), visible(row.message))
    print_table(out, table)
    for note in comparison.notes:
        out.print(f"- {visible(note)}")
    worse = [row.order for row in comparison.rows if not row.ok]
    if worse:
        orders = "1 order is" if len(worse) == 1 else f"{len(worse)} orders are"
        out.print(f"{orders} worse than before: {'; '.join(worse)}", style="bold red")
    else:
        out.print("No order is worse than before.", style="green")


def _style(row: OrderComparison) -> str:
    if not row.ok:
        return "bold red"
    return (
        "green" if row.verdict in ("fewer opens", "fewer requests", "fewer bytes", "faster") else ""
    )


def _table() -> Table:
    return Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1))
