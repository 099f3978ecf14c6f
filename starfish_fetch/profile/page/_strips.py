"""Strips of tiles in load order, as pictures in a page."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from starfish_fetch.names import shown_names
from starfish_fetch.profile._values import LoadProfile, OrderProfile
from starfish_fetch.profile.page._markup import Markup, element
from starfish_fetch.strips import FEW, UNKNOWN, columns_for, marks, pieces, source_colours

__all__ = ["Strips"]

# So many tiles are drawn of a profile that holds more.
_MOST_TILES = 5000
# Of a strip with more sources the pictures would be larger than all else if each told its name.
_MOST_TITLES = 300
# In hundredths of a tile: its width, the gap before another source, the height of a line and in it
# that of cells and marks.
_TILE, _GAP = 100, 14
_MARK_WIDTH = 60


class Strips:
    """The strips of all orders of a profile."""

    def __init__(self, profile: LoadProfile):
        self._profile = profile
        self._names = shown_names(profile.source_names)
        self._colours = source_colours(len(self._names))
        longest = max((len(row.tile_sources) for row in profile.rows), default=0)
        self._shown = min(longest, _MOST_TILES)
        self._columns = columns_for(self._shown)
        # Few cells stand upright, so that the strip is no hairline; many are about square.
        several = self._shown > self._columns
        self._cell = 120 if several else max(90, 30 * self._columns // 7)
        self._mark = 36 if several else max(26, self._cell // 7)
        self._line = self._cell + 2 * self._mark + 20

    @property
    def title(self) -> str:
        """What stands above the strips."""
        return "tiles in load order"

    def explanation(self) -> list[str]:
        """Say how a strip is read, and how much of the load it shows."""
        words = (
            "Each cell is a tile, from left to right in the order in which they are loaded"
            + (", line after line" if self._shown > self._columns else "")
            + ". Tiles that touch come from the same source: long bars are good, confetti is "
            "thrashing. "
        )
        if self._shown < self._profile.tiles:
            words += (
                f"Shown are the first {self._shown:,} of {self._profile.tiles:,} tiles of each "
                "order; the numbers are of all. "
            )
        return [
            words,
            "In the name of an order, the axis that changes slowest comes first: ",
            element("b", "r"), " round, ", element("b", "c"), " channel, ", element("b", "z"),
            " z-plane; ", element("b", "none"), " is the loader's own order.",
        ]  # fmt: skip

    def picture(self, row: OrderProfile) -> Markup:
        """Draw the strip of one order."""
        sources = row.tile_sources[: self._shown]
        opens = row.tile_opens[: self._shown]
        if not sources and not opens:
            return element("p", "No tile was traced.")
        lines = -(-max(len(sources), len(opens)) // self._columns)
        return element(
            "svg",
            *self._cells(sources),
            *self._marks(sources, opens),
            viewBox=f"0 0 {self._columns * _TILE} {lines * self._line}",
            preserveAspectRatio="none",
            style=f"min-height:{2.2 if lines == 1 else 0.4 * lines:.1f}rem",
            role="img",
            aria_label=self._in_words(row),
        )

    def _in_words(self, row: OrderProfile) -> str:
        sources = row.tile_sources[: self._shown]
        changes = sum(one != other for one, other in pairwise(sources))
        found = marks(sources, row.tile_opens[: self._shown])
        return (
            f"Order {row.order}: over {len(sources):,} tiles the source changes {changes:,} times; "
            f"{found.count('first'):,} tiles open a file for the first time, "
            f"{found.count('again'):,} open one again."
        )

    def _cells(self, sources: Sequence[int | None]) -> list[Markup]:
        paths: dict[int | None, list[str]] = {}
        for piece in pieces(sources, self._columns):
            left, top = piece.column * _TILE, piece.row * self._line
            width = piece.tiles * _TILE - _GAP
            paths.setdefault(piece.source, []).append(
                f"M{left} {top}h{width}v{self._cell}h-{width}z"
            )
        titled = len(paths) <= _MOST_TITLES
        return [
            element(
                "g",
                element("title", self._name(source)) if titled else None,
                element("path", d="".join(drawn)),
                fill=UNKNOWN if source is None else self._colours[source],
            )
            for source, drawn in paths.items()
        ]

    def _marks(self, sources: Sequence[int | None], opens: Sequence[int]) -> list[Markup]:
        paths: dict[str, list[str]] = {"first": [], "again": []}
        for place, mark in enumerate(marks(sources, opens)):
            if mark:
                line, column = divmod(place, self._columns)
                left = column * _TILE + (_TILE - _GAP - _MARK_WIDTH) // 2
                top = line * self._line + self._cell + self._mark // 2
                paths[mark].append(f"M{left} {top}h{_MARK_WIDTH}v{self._mark}h-{_MARK_WIDTH}z")
        return [
            element("path", d="".join(drawn), class_=mark) for mark, drawn in paths.items() if drawn
        ]

    def _name(self, source: int | None) -> str:
        return "source not known" if source is None else self._names[source]

    def legend(self) -> Markup:
        """Say which colour is which source, and what the marks are."""
        entries = []
        if len(self._names) <= FEW:
            for name, colour in zip(self._names, self._colours, strict=True):
                entries.append(_entry(colour, element("bdi", name)))
        else:
            between = f", and {len(self._names) - 2:,} between them"
            ramp = f"background:linear-gradient(90deg,{','.join(source_colours(FEW + 1))})"
            entries.append(
                element(
                    "li",
                    element("span", class_="ramp", style=ramp),
                    element(
                        "span",
                        element("bdi", self._names[0]),
                        " to ",
                        element("bdi", self._names[-1]),
                        between,
                    ),
                )
            )
        if not self._names or any(None in row.tile_sources for row in self._profile.rows):
            entries.append(_entry(UNKNOWN, "source not known"))
        return element("ul", *entries, class_="legend", aria_label="Colours of sources")


def _entry(colour: str, words: str) -> Markup:
    return element("li", element("span", class_="swatch", style=f"background:{colour}"), words)
