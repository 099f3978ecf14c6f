"""How a load order is drawn: its tiles as cells of a strip, coloured by source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise, zip_longest
from typing import Literal, NamedTuple

__all__ = [
    "AGAIN",
    "FEW",
    "UNKNOWN",
    "Mark",
    "Piece",
    "columns_for",
    "marks",
    "pieces",
    "source_colours",
]

Mark = Literal["", "first", "again"]

# Of the palette by Okabe and Ito, told apart with any kind of colour vision; without black, without
# the yellow that white swallows, and without what stands for opening again.
_FEW_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9")
# Viridis, of even steps with any kind of colour vision, without its darkest and lightest ends.
_MANY_COLOURS = ("#443983", "#31688E", "#21918C", "#35B779", "#90D743", "#E3E418")

FEW = len(_FEW_COLOURS)
"""Up to how many sources have colours with names of their own."""

AGAIN = "#D55E00"
"""The colour of opening again what has been opened before."""

UNKNOWN = "#9A9A9A"
"""The colour of tiles of which the source is not known."""

# Of one row, and of each of several.
_ONE_ROW, _NARROWEST, _WIDEST = 96, 64, 128


class Piece(NamedTuple):
    """Tiles of one source, one after another in one row of a strip."""

    row: int
    column: int
    tiles: int
    source: int | None


def source_colours(sources: int) -> tuple[str, ...]:
    """Return a colour for each source: of few, one that differs from all; of many, from a ramp.

    Examples
    --------
    >>> source_colours(2)
    ('#0072B2', '#E69F00')
    >>> source_colours(11)[::5]
    ('#443983', '#2BA482', '#E3E418')
    """
    if sources <= FEW:
        return _FEW_COLOURS[:sources]
    steps = len(_MANY_COLOURS) - 1
    return tuple(_between(steps * number / (sources - 1)) for number in range(sources))


def _between(place: float) -> str:
    first = min(int(place), len(_MANY_COLOURS) - 2)
    ends = [bytes.fromhex(colour[1:]) for colour in _MANY_COLOURS[first : first + 2]]
    part = place - first
    return "#" + "".join(f"{round(a + (b - a) * part):02X}" for a, b in zip(*ends, strict=True))


def columns_for(tiles: int) -> int:
    """Return how many tiles stand in each row of a strip.

    Few stand in one row; of many, rows are as even as can be.

    Examples
    --------
    >>> columns_for(60), columns_for(240), columns_for(4096), columns_for(0)
    (60, 120, 128, 1)
    """
    if tiles <= _ONE_ROW:
        return max(1, tiles)
    return max(range(_NARROWEST, _WIDEST + 1), key=lambda count: (-(-tiles % count), count))


def pieces(tile_sources: Sequence[int | None], columns: int) -> Iterator[Piece]:
    """Cut a strip where the source changes, and where a row ends.

    Examples
    --------
    >>> for piece in pieces([0, 0, 1, 1, 1], columns=4):
    ...     print(*piece)
    0 0 2 0
    0 2 2 1
    1 0 1 1
    """
    count = len(tile_sources)
    cuts = [
        place
        for place in range(count)
        if place % columns == 0 or tile_sources[place] != tile_sources[place - 1]
    ]
    for start, stop in pairwise([*cuts, count]):
        yield Piece(*divmod(start, columns), stop - start, tile_sources[start])


def marks(tile_sources: Sequence[int | None], tile_opens: Sequence[int]) -> list[Mark]:
    """Say of each tile whether a file was opened for it, and whether that was the first time.

    It was not where an earlier tile of the same source had it opened.

    Examples
    --------
    >>> marks([0, 0, 1, 0], [1, 0, 1, 1])
    ['first', '', 'first', 'again']
    """
    opened: set[int] = set()
    found: list[Mark] = []
    for source, opens in zip_longest(tile_sources[: len(tile_opens)], tile_opens):
        found.append("again" if opens and source in opened else "first" if opens else "")
        if opens and source is not None:
            opened.add(source)
    return found
