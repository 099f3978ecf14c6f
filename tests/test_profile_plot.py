"""The picture of a profile: what is drawn is what was measured, and can be read."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from xml.etree import ElementTree

import pytest
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex
from matplotlib.text import Text
from profiles import made
from test_profile_page import PROFILES

from starfish_fetch.strips import columns_for, marks, pieces, source_colours


def strips_and_bars(figure):
    """Return the four subplots of each order."""
    subplots = figure.get_axes()
    return [subplots[place : place + 4] for place in range(0, len(subplots), 4)]


@pytest.mark.parametrize("counts", [(3, 1, 4), (4, 3, 5), (5, 4, 13)])
def test_strips_show_each_source_in_its_colour(counts):
    profile = made(counts)
    colours = source_colours(len(profile.source_names))
    columns = columns_for(len(profile.rows[0].tile_sources))
    drawn = strips_and_bars(profile.plot())
    assert len(drawn) == 7
    for row, (strip, *_) in zip(profile.rows, drawn, strict=True):
        cells, opened = (one for one in strip.collections if isinstance(one, PolyCollection))
        expected = [*pieces(row.tile_sources, columns)]
        shown = [to_hex(colour).upper() for colour in cells.get_facecolors()]
        assert shown == [colours[piece.source] for piece in expected]
        corners = [path.get_extents() for path in cells.get_paths()]
        assert [round(box.width) for box in corners] == [piece.tiles for piece in expected]
        assert [int(box.y0) * columns + int(box.x0) for box in corners] == [
            piece.row * columns + piece.column for piece in expected
        ]
        marked = [path.get_extents() for path in opened.get_paths()]
        found = marks(row.tile_sources, row.tile_opens)
        assert [int(box.y0) * columns + int(box.x0) for box in marked] == [
            place for place, mark in enumerate(found) if mark
        ]
        again = [to_hex(colour).upper() == "#D55E00" for colour in opened.get_facecolors()]
        assert again == [mark == "again" for mark in found if mark]


def test_bars_are_as_long_as_what_was_measured():
    profile = made()
    drawn = strips_and_bars(profile.plot())
    for row, (_, opens, read, times) in zip(profile.rows, drawn, strict=True):
        first, again = (bar.get_width() for bar in opens.patches)
        assert (first, again) == (row.opens - row.reopens, row.reopens)
        assert [bar.get_width() for bar in read.patches] == [row.bytes_read]
        assert [bar.get_width() for bar in times.patches] == [row.median_seconds]
        (spread,) = times.lines
        fast, middle, other, slow = sorted(row.seconds)
        assert fast < spread.get_xdata()[0] < middle < other < spread.get_xdata()[1] < slow
    for column in range(1, 4):
        limits = {one[column].get_xlim() for one in drawn}
        assert len(limits) == 1


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_no_text_is_cut_or_covered(profile):
    """And no glyph is missing: a warning is an error here."""
    figure = replace(profile, fetcher=profile.fetcher * 5).plot()
    figure.draw_without_rendering()
    texts = [one for one in figure.findobj(Text) if one.get_text().strip() and one.get_visible()]
    boxes = {one: one.get_window_extent() for one in texts}
    for text, box in boxes.items():
        assert box.x0 >= 0, text
        assert box.y0 >= 0, text
        assert box.x1 <= figure.bbox.width, text
        assert box.y1 <= figure.bbox.height, text
    for one, other in combinations(texts, 2):
        assert not boxes[one].padded(-2).overlaps(boxes[other].padded(-2)), (one, other)


@pytest.mark.parametrize("name", ["many", "hostile"])
def test_it_is_saved_in_what_the_ending_says(tmp_path, name):
    PROFILES[name].plot(tmp_path / "p.svg")
    assert ElementTree.parse(tmp_path / "p.svg").getroot().tag.endswith("svg")
    PROFILES[name].plot(tmp_path / "p.png")
    header = (tmp_path / "p.png").read_bytes()[:24]
    assert header.startswith(b"\x89PNG")
    assert int.from_bytes(header[16:20], "big") == 1600
