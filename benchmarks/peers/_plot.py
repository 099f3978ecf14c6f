"""A bar for every peer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from benchmarks.peers._limit import Limit
from benchmarks.peers._measure import Result
from benchmarks.peers._ours import Ours
from benchmarks.peers._report import Run, size_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot"]

# Of the palette by Okabe and Ito; the three are told apart in grey, too.
_LIMIT, _OURS, _OTHERS = "#999999", "#0072B2", "#E69F00"
_TEXT = "#222222"
_TITLES = {
    "per-round": "a file per round",
    "per-round-ch": "a file per round, channel",
    "per-tile": "a file per tile",
}


def plot(runs: Sequence[Run], *, caption: str) -> Figure:
    """Draw the seconds of a load by peer, one column for each layout.

    Parameters
    ----------
    runs : sequence of Run
        One for each column.
    caption : str
        Below everything.

    Returns
    -------
    matplotlib.figure.Figure
        1600 pixels wide at its resolution.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    shown = [one.name for one in runs[0].ranked]
    figure = Figure(
        figsize=(16, 2.4 + 0.55 * len(shown)), dpi=100, layout="constrained", facecolor="white"
    )
    ratios = [1.3, 1.0 + 0.55 * len(shown)]
    header, body = figure.subfigures(2, 1, squeeze=False, height_ratios=ratios)[:, 0]
    header.text(
        0.01, 0.7, "From TIFF files to a 5-D float32 array in memory",
        fontsize=26, weight="bold", color=_TEXT, va="center",
    )  # fmt: skip
    header.legend(
        [Patch(color=colour) for colour in (_OURS, _OTHERS, _LIMIT)],
        ["starfish_fetch", "other libraries", "what the machine allows, without any library"],
        loc="lower left", bbox_to_anchor=(0.0, -0.1), ncols=3, fontsize=19, frameon=False,
        labelcolor=_TEXT,
    )  # fmt: skip
    subplots = body.subplots(1, len(runs), sharex=True, sharey=True, squeeze=False)[0]
    longest = max((one.median for run in runs for one in run.results if one.ok), default=1.0)
    for run, subplot in zip(runs, subplots, strict=True):
        _bars(subplot, run, shown, longest)
    below = (
        f"{size_name(runs[0].shape)}, in the page cache. {caption}\n"
        "Lines: from the fastest load to the slowest (arrow: further). Beside the bars: seconds, "
        "and how many times as long as the limit."
    )
    figure.supxlabel(below, fontsize=15, color="#444444", x=0.01, ha="left")
    return figure


def _bars(subplot: Axes, run: Run, shown: Sequence[str], longest: float) -> None:
    by_name = {one.name: one for one in run.results}
    for place, name in enumerate(shown):
        one = by_name[name]
        if not one.ok:
            _write(subplot, 0, place, one.status, longest)
            continue
        subplot.barh(place, one.median, 0.74, color=_colour(one))
        # The whisker of a load that something else disturbed must not squeeze the bars.
        furthest = min(max(one.seconds), 1.15 * longest)
        subplot.plot([min(one.seconds), furthest], [place, place], color=_TEXT, linewidth=1.6)
        if furthest < max(one.seconds):
            subplot.plot(furthest, place, marker=">", color=_TEXT, markersize=7)
        ratio = run.ratio(one, Limit.name)
        text = f"{one.median:.2f}" + ("" if ratio is None else f"   {ratio:.1f}x")
        _write(subplot, max(one.median, furthest), place, text, longest)
    subplot.set_yticks(range(len(shown)), shown)
    subplot.set_ylim(len(shown) - 0.5, -0.5)
    subplot.set_xlim(0, 1.75 * longest)
    subplot.set_title(_TITLES[run.layout], fontsize=20, color=_TEXT, loc="left", pad=8)
    subplot.set_xlabel("seconds per load", fontsize=17, color=_TEXT)
    subplot.tick_params(labelsize=18, colors=_TEXT, length=0)
    subplot.spines[["top", "right", "left"]].set_visible(False)
    subplot.grid(axis="x", color="#dddddd", linewidth=0.8)
    subplot.set_axisbelow(True)


def _write(subplot: Axes, right_of: float, place: int, text: str, longest: float) -> None:
    subplot.text(right_of + 0.012 * longest, place, text, va="center", fontsize=17, color=_TEXT)


def _colour(one: Result) -> str:
    if one.name == Limit.name:
        return _LIMIT
    # starfish through our fetcher is starfish.
    return _OURS if one.name.startswith(Ours.name.partition(",")[0]) else _OTHERS
