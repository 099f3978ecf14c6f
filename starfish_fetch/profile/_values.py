"""What a profile is: one row for each load order, and what they have in common."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from statistics import median
from typing import TYPE_CHECKING

from starfish_fetch.advice import OWN_ORDER, Advice, OrderPrediction
from starfish_fetch.axes import Axes, Extent
from starfish_fetch.profile._breakeven import Breakeven

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["SCHEMA", "SHOWN_TILES", "LoadProfile", "Machine", "OrderProfile"]

SCHEMA = "starfish-fetch/profile/1"
"""What the JSON of a profile calls itself; another number is another format."""

SHOWN_TILES = 4096
"""Of how many tiles, the first of each order, a profile keeps what was opened for them."""


@dataclass(frozen=True)
class Machine:
    """Where a profile was measured, as far as seconds depend on it. No name of a host is kept."""

    cpus: int
    """How many CPUs the process may use."""
    system: str
    """Operating system and architecture: ``Linux x86_64``."""
    processor: str
    """Model of the processor, or an empty string where the system does not tell."""
    python: str
    """Version of Python."""
    packages: dict[str, str]
    """Versions of this package and of what it reads pixels with, by name."""


@dataclass(frozen=True)
class OrderProfile:
    """What loading in one order costs.

    Seconds and counts come from different loads, each by a fresh fetcher, so that counting does
    not slow down what is timed.
    """

    order: str
    """Its name: axes, slowest first, as ``"r,c,z"``; ``"none"`` is the loader's own."""
    seconds: tuple[float, ...]
    """Wall time of each timed load, in the order in which they ran."""
    opens: int
    """How many times a load opens a file."""
    reopens: int
    """How many of these open a file that the same load has opened before."""
    sources: int
    """How many different files a load opens."""
    bytes_read: int | None
    """Bytes that a load reads; None where the operating system does not count."""
    calls: dict[str, int]
    """Calls into the fetcher and its tiles, by name: ``get_tile``, ``shape``, ``tile_data``."""
    metadata_seconds: float
    """Time of one load spent in get_tile, shape, coordinates and source, over all threads."""
    pixel_seconds: float
    """Time of the same load spent in tile_data, tile_region or a row reader, over all threads."""
    metadata_opens: int
    """How many of the opens were made for metadata."""
    metadata_bytes_read: int | None
    """How many of the bytes were read for metadata; None where the system does not count."""
    peak_bytes: int
    """Most memory that a load had at once, its stack included, as tracemalloc sees it."""
    predicted_opens: dict[int | None, int] | None = None
    """Opens predicted from the sources, by the number of sources kept; None stands for all."""
    tile_sources: tuple[int | None, ...] = ()
    """For each tile in load order, where in :attr:`LoadProfile.source_names` its source is; None
    where that is unknown. The first :data:`SHOWN_TILES` tiles."""
    tile_opens: tuple[int, ...] = ()
    """For each tile in load order, how many files were opened for it. The first
    :data:`SHOWN_TILES` tiles."""
    requests: int | None = None
    """How often a load asks a server for something, as :class:`~starfish_fetch.tracing.Trace`
    sees it; None in profiles of earlier versions, which did not count them."""
    bytes_received: int | None = None
    """How many of the bytes read came as answers of servers; None in profiles of earlier versions.
    """

    @property
    def group_by(self) -> tuple[Axes, ...] | None:
        """The order, as :meth:`starfish_fetch.ImageStack.from_tilefetcher` takes it."""
        return (
            None if self.order == "none" else tuple(map(Axes, filter(None, self.order.split(","))))
        )

    @property
    def median_seconds(self) -> float:
        """The median of the timed loads."""
        return median(self.seconds)


@dataclass(frozen=True)
class LoadProfile:
    """What loading one image costs in several orders: what :func:`profile_orders` returns.

    Examples
    --------
    >>> rows = tuple(
    ...     OrderProfile(order, (seconds, seconds), opens, opens - 2, 2, 640, {"get_tile": 4},
    ...                  0.001, seconds, 0, 0, 4096)
    ...     for order, seconds, opens in (("r,c,z", 0.2, 2), ("c,r,z", 0.5, 4))
    ... )
    >>> extent = Extent({"y": 4, "x": 6}, fov=0, rounds=[0, 1], chs=[0, 1], zplanes=[0])
    >>> machine = Machine(2, "Linux x86_64", "", "3.11.9", {"numpy": "2.1.0"})
    >>> profile = LoadProfile(rows, extent, 2, False, None, "MyFetcher", machine)
    >>> profile.best.order, profile.row("c,r,z").reopens, profile.tiles
    ('r,c,z', 2, 4)
    >>> LoadProfile.from_json(profile.to_json()) == profile
    True
    """

    rows: tuple[OrderProfile, ...]
    """One for each order; the shortest median time first, and of equals the fewest opens."""
    extent: Extent
    """What was loaded."""
    repeat: int
    """How many loads were timed in each order."""
    cold: bool
    """Whether files were dropped from the page cache before each timed load."""
    workers: int | None
    """As it was given; None lets the loader choose."""
    fetcher: str
    """Name of the fetcher's class."""
    machine: Machine
    """Where it was measured."""
    advice: Advice | None = None
    """What the sources predict; None where they are not known."""
    source_names: tuple[str, ...] = ()
    """Of the sources in the rows' ``tile_sources``, in the order r, c, z of their first tiles."""
    sources_are: str = "unknown"
    """Where the sources come from: ``"named"`` by the fetcher, ``"seen"`` to be opened for each
    tile, or ``"unknown"``."""
    disagreements: tuple[str, ...] = ()
    """Where measurement and prediction differ, and what that means, in words."""
    notes: tuple[str, ...] = ()
    """What else a reader of the numbers has to know, in words."""
    exact_counts: bool = True
    """Whether opens and bytes are the same each time; not so if several threads call a fetcher
    that does not share its sources among them."""
    breakevens: tuple[Breakeven, ...] = ()
    """Whether converting pays, for each format that it was measured of by
    :func:`~starfish_fetch.breakeven`."""

    @property
    def best(self) -> OrderProfile:
        """The fastest order."""
        return self.rows[0]

    @property
    def worst(self) -> OrderProfile:
        """The slowest order."""
        return self.rows[-1]

    @property
    def tiles(self) -> int:
        """How many tiles a load has."""
        extent = self.extent
        return len(extent.rounds) * len(extent.chs) * len(extent.zplanes)

    @property
    def sentence(self) -> str:
        """Which order is the fastest and what the slowest costs, as measured, in plain words.

        Seconds are medians. What else might help is :attr:`Advice.sentence`.
        """
        best, worst = self.best, self.worst
        if len(self.rows) == 1:
            return f"Loading in {_in_words(best)}: {best.median_seconds:.3g} s, {_opens(best)}."
        alike = len({(row.opens, row.sources) for row in self.rows}) == 1
        if alike and min(worst.seconds) <= max(best.seconds):
            return (
                f"The order makes no difference that can be told: {_opens(best)} in every "
                f"order, {best.median_seconds:.3g} to {worst.median_seconds:.3g} s."
            )
        return (
            f"Fastest is {_in_words(best)}: {best.median_seconds:.3g} s, {_opens(best)}; slowest "
            f"is {_in_words(worst)}: {worst.median_seconds:.3g} s, {_opens(worst)}."
        )

    @property
    def is_remote(self) -> bool:
        """Whether anything was asked of a server."""
        return any(row.requests for row in self.rows)

    def row(self, order: str) -> OrderProfile:
        """Return what was measured of one order.

        Raises
        ------
        KeyError
            If it was not.
        """
        for row in self.rows:
            if row.order == order:
                return row
        raise KeyError(f"{order!r} was not measured; {', '.join(row.order for row in self.rows)}")

    def prediction(self, order: str) -> OrderPrediction | None:
        """Return what the sources predict of one order, if they are known."""
        predictions = () if self.advice is None else self.advice.predictions
        return next((one for one in predictions if one.order == order), None)

    def to_json(self) -> str:
        """Return all of it as JSON.

        The object has ``"schema": "starfish-fetch/profile/1"`` and every field of the profile
        under its name; the extent and the machine as objects; the rows as a list of objects with
        every field of :class:`OrderProfile`, the fastest first; and the advice as an object with
        ``sentence`` and every field of :class:`Advice`, or null. Opens by the size of a cache are
        an object with the sizes as keys, ``"all"`` for a cache that keeps every source. Seconds
        are in ``seconds`` and ``*_seconds``, bytes in ``*bytes*``. Within this schema fields may
        be added, so a reader passes over those that it does not know.
        """
        from starfish_fetch.profile._json import write

        return write(self)

    @classmethod
    def from_json(cls, text: str | bytes) -> LoadProfile:
        """Return the profile that :meth:`to_json`, or the command with ``--json``, wrote.

        Raises
        ------
        ValueError
            If the text is none such, or of a later version; the message names the field.
        """
        from starfish_fetch.profile._json import read

        return read(text)

    def plot(self, path: str | PathLike[str] | None = None) -> Figure:
        """Draw opens, bytes and seconds of every order, and what each tile opened.

        Parameters
        ----------
        path : path, optional
            Also save it there; the ending says the format: ``.png``, ``.svg``, ``.pdf``.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        MissingExtraError
            Without matplotlib.
        """
        from starfish_fetch.plots import plot_profile

        figure = plot_profile(self)
        if path is not None:
            figure.savefig(path)
        return figure

    def to_html(self) -> str:
        """Return one page for a browser, complete in itself: strips of tiles, bars and numbers."""
        from starfish_fetch.profile.page import page_of

        return page_of(self)


def _in_words(row: OrderProfile) -> str:
    return OWN_ORDER if row.group_by is None else row.order


def _opens(row: OrderProfile) -> str:
    if not row.opens:
        return "no file seen to be opened"
    files = "1 file" if row.sources == 1 else f"{row.sources:,} files"
    if row.reopens:
        return f"{files} opened {row.opens:,} times"
    return f"{files} opened once" + (" each" if row.sources > 1 else "")
