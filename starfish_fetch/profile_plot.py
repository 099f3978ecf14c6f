"""The picture of a profile: for each load order its tiles, coloured by source, and what they cost.

With matplotlib; :mod:`starfish_fetch.plots` finds out first whether that is there.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont
from matplotlib.ft2font import FT2Font
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from starfish_fetch.names import shown_names, visible
from starfish_fetch.strips import AGAIN, FEW, UNKNOWN, columns_for, marks, pieces, source_colours
from starfish_fetch.units import middle_half, of_bytes, of_seconds, short

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes as Subplot

    from starfish_fetch.profile import LoadProfile, OrderProfile

__all__ = ["draw_profile"]

_TEXT, _FAINT, _BAR = "#222222", "#555555", "#5B6B7B"
_WIDTH = 16.0
# Beside the longest bar there is room for its number.
_ROOM = 1.34
# Of a bar, in inches.
_THICK = 0.27
# Parts of the height of one line of tiles: the cells, and below them the marks of opens.
_CELL, _MARK_TOP, _MARK_END = 0.62, 0.68, 0.86
# Parts of the width of a tile that stay empty where the source changes.
_GAP = 0.14


def draw_profile(profile: LoadProfile) -> Figure:
    """Return the picture, 1600 pixels wide."""
    shown = max((len(row.tile_sources) for row in profile.rows), default=0)
    columns = columns_for(shown)
    lines = max(1, -(-shown // columns))
    height = min(0.62 + 0.11 * (lines - 1), 2.6)
    header, footer = 1.05, 2.15
    inches = (header, 0.4 + height * len(profile.rows), footer)
    figure = Figure(figsize=(_WIDTH, sum(inches)), dpi=100, layout="constrained", facecolor="white")
    above, body, below = figure.subfigures(3, 1, squeeze=False, height_ratios=inches)[:, 0]
    sentence = _plain(textwrap.fill(profile.sentence, 88))
    above.text(0.012, 0.5, sentence, fontsize=21, weight="bold", color=_TEXT, va="center")
    grid = body.subplots(len(profile.rows), 4, squeeze=False, width_ratios=(4.6, 1, 1, 1))
    colours = source_colours(len(profile.source_names))
    for number, (row, (strip, *bars)) in enumerate(zip(profile.rows, grid, strict=True)):
        best = number == 0 and len(profile.rows) > 1
        _strip(strip, row, columns, lines, colours)
        strip.set_ylabel(
            f"{row.order}\n(fastest)" if best else row.order,
            fontsize=17,
            color=_TEXT,
            rotation=0,
            ha="right",
            va="center",
            labelpad=8,
            weight="bold" if best else "normal",
        )
        _costs(bars, row, profile)
        for subplot in bars:
            subplot.set_ylim(height / 2, -height / 2)  # in inches
    which = "" if shown >= profile.tiles else f": the first {shown:,} of {profile.tiles:,}"
    titles = (f"tiles in load order{which}", *_titles(profile))
    for subplot, title in zip(grid[0], titles, strict=True):
        subplot.set_title(title, fontsize=17, color=_TEXT, loc="left", pad=8)
    for handles, place, count in (
        (_sources(profile, colours), 0.0, 2 if 3 < len(colours) <= FEW else 1),
        (_signs(), 0.48, 1),
    ):
        below.legend(
            handles=handles,
            loc="upper left",
            bbox_to_anchor=(place, 1.0),
            ncols=count,
            fontsize=15,
            frameon=False,
            labelcolor=_TEXT,
            handlelength=1.4,
        )
    below.text(0.012, 0.02, _caption(profile), fontsize=14, color=_FAINT, va="bottom")
    return figure


def _strip(
    subplot: Subplot, row: OrderProfile, columns: int, lines: int, colours: Sequence[str]
) -> None:
    cells = [*pieces(row.tile_sources, columns)]
    _rectangles(
        subplot,
        [(one.column, one.column + one.tiles - _GAP, one.row, one.row + _CELL) for one in cells],
        [UNKNOWN if one.source is None else colours[one.source] for one in cells],
    )
    opened = [
        (place, mark) for place, mark in enumerate(marks(row.tile_sources, row.tile_opens)) if mark
    ]
    _rectangles(
        subplot,
        [
            (column, column + 0.6, line + _MARK_TOP, line + _MARK_END)
            for line, column in (divmod(place, columns) for place, _ in opened)
        ],
        [AGAIN if mark == "again" else _TEXT for _, mark in opened],
    )
    if not cells:
        subplot.text(0, lines / 2, "no tile was traced", fontsize=14, color=_FAINT, va="center")
    subplot.set(xlim=(0, columns), ylim=(lines, 0), xticks=[], yticks=[])
    subplot.spines[:].set_visible(False)


def _rectangles(
    subplot: Subplot, places: Sequence[tuple[float, float, float, float]], colours: Sequence[str]
) -> None:
    corners = [
        [(left, top), (right, top), (right, end), (left, end)] for left, right, top, end in places
    ]
    subplot.add_collection(PolyCollection(corners, facecolors=colours, edgecolors="none"))


def _costs(bars: Sequence[Subplot], row: OrderProfile, profile: LoadProfile) -> None:
    opens, read, times = bars
    first = row.opens - row.reopens
    opens.barh([0], [first], _THICK, color=_BAR)
    opens.barh([0], [row.reopens], _THICK, left=[first], color=AGAIN)
    most = max(one.opens for one in profile.rows)
    _finish(opens, row.opens, most, f"{row.opens:,}")

    _, size = _bytes_unit(profile)
    known = [one.bytes_read for one in profile.rows if one.bytes_read is not None]
    if row.bytes_read is None:
        _finish(read, 0, 1, "not known")
    else:
        read.barh([0], [row.bytes_read], _THICK, color=_BAR)
        _finish(read, row.bytes_read, max(known), short(row.bytes_read / size))

    _, scale = _seconds_unit(profile)
    times.barh([0], [row.median_seconds], _THICK, color=_BAR)
    ends = middle_half(row.seconds)
    times.plot(ends, (0.21, 0.21), color=_TEXT, linewidth=2.5, solid_capstyle="butt")
    longest = max(middle_half(one.seconds)[1] for one in profile.rows)
    _finish(times, row.median_seconds, longest, short(row.median_seconds * scale))


def _finish(subplot: Subplot, length: float, longest: float, number: str) -> None:
    longest = longest or 1
    subplot.text(
        length + longest * 0.04, 0, number, fontsize=15, color=_TEXT, va="center", ha="left"
    )
    subplot.set(xlim=(0, longest * _ROOM), xticks=[], yticks=[])
    subplot.spines[["top", "right", "bottom"]].set_visible(False)
    subplot.spines["left"].set_color("#BBBBBB")


def _bytes_unit(profile: LoadProfile) -> tuple[str, float]:
    return of_bytes(row.bytes_read for row in profile.rows if row.bytes_read is not None)


def _seconds_unit(profile: LoadProfile) -> tuple[str, float]:
    return of_seconds(row.median_seconds for row in profile.rows)


def _titles(profile: LoadProfile) -> tuple[str, str, str]:
    unit = _bytes_unit(profile)[0]
    read = "bytes read" if unit == "bytes" else f"read ({unit})"
    return "file opens", read, f"time ({_seconds_unit(profile)[0]})"


def _sources(profile: LoadProfile, colours: Sequence[str]) -> list[Artist]:
    names = profile.source_names
    handles: list[Artist] = []
    if len(names) <= FEW:
        for name, colour in zip(shown_names(names, 32), colours, strict=True):
            handles.append(Patch(color=colour, label=_label(name)))
    else:
        ends = shown_names([names[0], names[-1]], 32)
        handles.append(Patch(color=colours[0], label=_label(f"{ends[0]}, the first source")))
        middle = f"... {len(names) - 2:,} more, in between ..."
        handles.append(Patch(color=colours[len(names) // 2], label=middle))
        handles.append(Patch(color=colours[-1], label=_label(f"{ends[1]}, the last")))
    if any(None in row.tile_sources for row in profile.rows):
        handles.append(Patch(color=UNKNOWN, label="source not known"))
    return handles


def _signs() -> list[Artist]:
    return [
        _mark("a file is opened for the tile above it", _TEXT),
        _mark("a file that was open before is opened again", AGAIN),
        Patch(color=_BAR, label="opened the first time; read; median time"),
        Line2D([], [], color=_TEXT, linewidth=2.5, label="half of all loads took between its ends"),
    ]


def _mark(label: str, colour: str) -> Artist:
    return Line2D([], [], color=colour, marker="s", markersize=8, linestyle="none", label=label)


def _caption(profile: LoadProfile) -> str:
    (fetcher,) = shown_names([profile.fetcher], 32)
    loads = "one load" if profile.repeat == 1 else f"{profile.repeat} loads"
    files = "dropped from the page cache before" if profile.cold else "in the page cache"
    return _plain(
        "Each cell is a tile; cells that touch have the same source. Order: the axis named first "
        "(r round, c channel, z z-plane) changes slowest;\nnone is the loader's own order. "
        f"{fetcher}, {profile.tiles:,} tiles, {loads} in each order, files {files}."
    )


def _plain(text: str) -> str:
    """Return a text without anything that matplotlib's font or its formulas stumble over."""
    known = FT2Font(findfont(FontProperties())).get_charmap()
    shown = "\n".join(map(visible, text.split("\n")))
    return "".join(
        char if char == "\n" or ord(char) in known else char.encode("unicode_escape").decode()
        for char in shown
    ).replace("$", r"\$")


def _label(text: str) -> str:
    # A legend leaves out what begins with a line.
    return _plain(f" {text}" if text.startswith("_") else text)
