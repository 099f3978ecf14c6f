"""Pictures of what loads cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from starfish_fetch.errors import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Subplot
    from matplotlib.figure import Figure

    from starfish_fetch.profile import LoadProfile

__all__ = ["OrderPanel", "plot_orders", "plot_profile", "require_matplotlib"]

# Of the palette by Okabe and Ito, told apart with any kind of colour vision and in grey.
_COLOURS = ("#E69F00", "#0072B2", "#009E73", "#CC79A7")
_TEXT = "#222222"
_INCHES = (16, 9)
# Beside the longest bar there is room for its number.
_ROOM = 1.22


@dataclass(frozen=True)
class OrderPanel:
    """What one layout costs in every order.

    Parameters
    ----------
    title : str
        Of the panel.
    orders : tuple of str
        Names of the orders.
    opens : dict
        File opens of each order, by fetcher.
    seconds : dict
        Seconds of each order, by fetcher.
    """

    title: str
    orders: tuple[str, ...]
    opens: dict[str, list[int]] = field(default_factory=dict)
    seconds: dict[str, list[float]] = field(default_factory=dict)


def require_matplotlib(purpose: str) -> None:
    """Find out whether there is a matplotlib.

    Raises
    ------
    MissingExtraError
        If there is none.
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        raise require("matplotlib", "plot", purpose) from None


def plot_orders(
    panels: Sequence[OrderPanel], fetchers: Mapping[str, str], *, title: str, caption: str = ""
) -> Figure:
    """Draw file opens and load time by load order, one column for each layout.

    Parameters
    ----------
    panels : sequence of OrderPanel
        All with the same orders.
    fetchers : mapping of str to str
        What the legend calls each fetcher.
    title, caption : str
        Above and below everything.

    Returns
    -------
    matplotlib.figure.Figure
        1600 by 900 pixels at its resolution.

    Raises
    ------
    MissingExtraError
        Without matplotlib.
    """
    require_matplotlib("a plot of load orders")
    from matplotlib.figure import Figure

    figure = Figure(figsize=_INCHES, dpi=100, layout="constrained", facecolor="white")
    header, body = figure.subfigures(2, 1, squeeze=False, height_ratios=(1.15, 8))[:, 0]
    header.text(0.01, 0.74, title, fontsize=24, weight="bold", color=_TEXT, va="center")
    opens, times = body.subplots(2, len(panels), sharey=True, squeeze=False)
    for panel, above, below in zip(panels, opens, times, strict=True):
        milliseconds = {
            name: [1000 * one for one in seconds] for name, seconds in panel.seconds.items()
        }
        most = _most(one.opens for one in panels)
        handles = _bars(above, panel.orders, panel.opens, "{:d}", _ROOM * most)
        longest = 1000 * _most(one.seconds for one in panels)
        form = "{:.1f}" if longest < 100 else "{:.0f}"
        _bars(below, panel.orders, milliseconds, form, _ROOM * longest)
        above.set_title(panel.title, fontsize=18, color=_TEXT, pad=10)
        above.set_xlabel("file opens per load", fontsize=16, color=_TEXT)
        below.set_xlabel("milliseconds per load", fontsize=16, color=_TEXT)
    for subplot in (opens[0], times[0]):
        subplot.set_ylabel("load order (group_by)", fontsize=16, color=_TEXT)
    header.legend(
        handles,
        [fetchers.get(name, name) for name in panels[0].opens],
        loc="lower left",
        bbox_to_anchor=(0.003, -0.1),
        ncols=len(handles),
        fontsize=17,
        frameon=False,
        labelcolor=_TEXT,
    )
    if caption:
        figure.supxlabel(caption, fontsize=14, color="#444444", x=0.01, ha="left")
    return figure


def _most(panels: Iterable[Mapping[str, Sequence[float]]]) -> float:
    return max(max(values) for panel in panels for values in panel.values())


def _bars(
    subplot: Subplot,
    orders: Sequence[str],
    values: Mapping[str, Sequence[float]],
    form: str,
    limit: float,
) -> list[Any]:
    height = 0.84 / len(values)
    drawn: list[Any] = []
    for number, lengths in enumerate(values.values()):
        shift = (number - (len(values) - 1) / 2) * height
        places = [place + shift for place in range(len(orders))]
        bars = subplot.barh(places, lengths, height, color=_COLOURS[number % len(_COLOURS)])
        labels = [form.format(length) for length in lengths]
        subplot.bar_label(bars, labels, padding=3, fontsize=12.5, color=_TEXT)
        drawn.append(bars)
    subplot.set_yticks(range(len(orders)), orders)
    subplot.set_ylim(len(orders) - 0.5, -0.5)
    subplot.set_xlim(0, limit)
    subplot.tick_params(labelsize=15, colors=_TEXT, length=0)
    subplot.spines[["top", "right", "left"]].set_visible(False)
    subplot.grid(axis="x", color="#dddddd", linewidth=0.8)
    subplot.set_axisbelow(True)
    return drawn


def plot_profile(profile: LoadProfile) -> Figure:
    """Draw one line for each load order: its tiles, coloured by source, and what they cost.

    Parameters
    ----------
    profile : LoadProfile
        What :func:`starfish_fetch.profile.profile_orders` returned.

    Returns
    -------
    matplotlib.figure.Figure
        1600 pixels wide at its resolution.

    Raises
    ------
    MissingExtraError
        Without matplotlib.
    """
    require_matplotlib("a plot of a profile")
    from starfish_fetch.profile_plot import draw_profile

    return draw_profile(profile)
