"""The page of a profile: what it holds, and what a browser makes of it."""

from __future__ import annotations

import json
import os
import re
import time
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from chromium import opened_chromium
from profiles import made

from starfish_fetch import Axes
from starfish_fetch.profile import Breakeven, LoadProfile, OrderBreakeven
from starfish_fetch.profile.page import page_of
from starfish_fetch.strips import AGAIN, source_colours
from starfish_fetch.units import in_units, middle_half

HOSTILE = (
    "<script>window.hacked = 1</script>",
    "</script></style></title><img src=x onerror='window.hacked = 2'>",
    '" onmouseover="window.hacked = 3" x="',
    "' & &lt;b&gt; ]]> --> <!--",
    "javascript:window.hacked = 4",
    "\u202egnp.exe \u2066 אבג.tiff",
    "nul\x00 escape\x1b line\nbreak \udcff",
    "漢字 🦠 {0} %s $\\alpha$",
)
SPREAD = made((3, 2, 4), (0,), "data/round_{0[0]}.tiff".format)
"""Of three files, four tiles of two channels in each."""
PAYS = Breakeven(
    "spacetx",
    5.1,
    4000,
    2_000_000,
    5,
    tuple(OrderBreakeven(row.order, 2.0, 1.5, 12_345) for row in SPREAD.rows),
)
DARK = [{"name": "prefers-color-scheme", "value": "dark"}]


def hostile() -> LoadProfile:
    names = iter(HOSTILE)
    profile = made((len(HOSTILE), 1, 2), (0,), lambda _: next(names))
    rows = tuple(
        replace(row, calls={HOSTILE[number % len(HOSTILE)]: 3, **row.calls})
        for number, row in enumerate(profile.rows)
    )
    machine = replace(profile.machine, processor=HOSTILE[1], packages={HOSTILE[0]: HOSTILE[2]})
    return replace(
        profile,
        rows=rows,
        fetcher=HOSTILE[0] + HOSTILE[2],
        machine=machine,
        disagreements=HOSTILE,
        notes=HOSTILE,
    )


def parsed(page: str) -> ElementTree.Element:
    """Return a page's elements; it is written so that a parser of XML understands it, too."""
    assert page.startswith("<!DOCTYPE html>\n")
    page.encode("utf-8")
    return ElementTree.fromstring(page.partition("\n")[2])


def saved_in(page: str) -> str:
    (link,) = re.findall(r'href="data:application/json;base64,([^"]+)"', page)
    return b64decode(link).decode()


PROFILES = {
    "few": SPREAD,
    "many": made(),
    "thousands": made((16, 8, 40), shown=5000),
    "cut": made((4, 2, 1024), (2,), "z{0[2]}".format, shown=4096),
    "hostile": hostile(),
    "remote": made(requests=7),
    "converted": replace(SPREAD, breakevens=(PAYS, replace(PAYS, format="ome-zarr"))),
    "one tile": made((1, 1, 1)),
    "one order": replace(SPREAD, rows=SPREAD.rows[:1]),
    "unknown": replace(
        SPREAD,
        rows=tuple(
            replace(row, tile_sources=(None,) * 24, predicted_opens=None, bytes_read=None)
            for row in SPREAD.rows
        ),
        advice=None,
        source_names=(),
        sources_are="unknown",
    ),
    "nothing": replace(
        SPREAD,
        rows=tuple(
            replace(
                row, seconds=(0.0,), opens=0, reopens=0, sources=0, bytes_read=0, tile_sources=(),
                tile_opens=(), calls={},
            )
            for row in SPREAD.rows
        ),
        repeat=1,
        source_names=(),
    ),
}  # fmt: skip


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_it_is_whole_and_needs_nothing(profile):
    page = page_of(profile)
    elements = [*parsed(page).iter()]
    assert not {one.tag for one in elements} & {"script", "img", "link", "iframe", "object", "base"}
    for one in elements:
        for name, value in one.attrib.items():
            assert not name.startswith("on")
            assert name != "src"
            if name == "href":
                assert value.startswith(("#", "data:application/json;base64,"))
    # Not every browser lets the keyboard reach what scrolls by itself.
    (table,) = (one for one in elements if one.get("class") == "scroll")
    assert table.get("tabindex") == "0"
    (style,) = (one.text for one in elements if one.tag == "style")
    assert not re.search(r"url\(|@import", style)
    (policy,) = (one for one in elements if one.get("http-equiv") == "Content-Security-Policy")
    assert policy.get("content") == "default-src 'none'; style-src 'unsafe-inline'"


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_it_holds_the_profile(profile):
    assert LoadProfile.from_json(saved_in(page_of(profile))) == profile


def test_nothing_of_the_machine_but_what_the_profile_says():
    page = page_of(SPREAD)
    for secret in (os.getcwd(), os.uname().nodename, str(Path.home()) + "/"):
        assert secret not in page


def test_words_and_settings():
    profile = replace(SPREAD, disagreements=("It lies.",), notes=("Mind.",), workers=3, cold=True)
    text = " ".join("".join(parsed(page_of(profile)).itertext()).split())
    assert text.index(profile.sentence) < text.index("Tiles in load order")
    assert profile.advice.sentence in text
    for words in ("Not as predicted", "It lies.", "Mind.", "3 rounds, 2 channels, 4 z-planes: 24 "
                  "tiles of 20 x 30 pixels", "dropped from the page cache", "A Processor, 8 CPUs",
                  "3.11.9; numpy 2.1.0"):  # fmt: skip
        assert words in text
    assert f"group_by={tuple(map(str, profile.best.group_by))!r}" in text


@pytest.mark.parametrize(("shown", "words"), [(5000, 0), (4096, 1)])
def test_tiles_that_are_not_shown_are_said_not_to_be(shown, words):
    page = page_of(made((8, 8, 70), shown=shown))
    assert page.count("Shown are the first 4,096 of 4,480 tiles") == words


def test_more_tiles_than_a_page_can_draw():
    page = page_of(made((8, 8, 90), shown=6000))
    assert "Shown are the first 5,000 of 5,760 tiles" in page


def test_pictures_are_told_in_words():
    pictures = {
        one.get("aria-label") for one in parsed(page_of(SPREAD)).iter("svg") if one.get("role")
    }
    assert (
        "Order r,c,z: over 24 tiles the source changes 2 times; 3 tiles open a file for the first "
        "time, 0 open one again." in pictures
    )
    assert (
        "Order z,c,r: over 24 tiles the source changes 23 times; 3 tiles open a file for the first "
        "time, 21 open one again." in pictures
    )


def test_requests_are_shown_only_if_there_are_any():
    remote = made(requests=7)
    page = parsed(page_of(remote))
    columns = [one.text for one in page.iter("th")]
    assert "requests" in columns
    assert "bytes received" in columns
    costs = [one for one in page.iter("div") if one.get("class") == "cost"]
    shown = ["".join(one.itertext()) for one in costs[1::4]]
    assert shown == [
        f"requests{row.requests:,}{in_units(row.bytes_received)} received" for row in remote.rows
    ]
    assert "requests" not in page_of(made()).partition("</style>")[2]


# In a browser


class Shown:
    """A page in Chromium."""

    def __init__(self, driver: Any):
        self.driver = driver

    def show(self, profile: LoadProfile, folder: Path) -> Shown:
        path = folder / "page.html"
        path.write_text(page_of(profile), encoding="utf-8")
        self.media([])
        self.width(1280)
        self.driver.get_log("performance")
        self.driver.get_log("browser")
        self.driver.get(path.as_uri())
        return self

    def do(self, command: str, **arguments: Any) -> Any:
        return self.driver.execute_cdp_cmd(command, arguments)

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def media(self, features: list[dict[str, str]], medium: str = "") -> None:
        self.do("Emulation.setEmulatedMedia", media=medium, features=features)

    def width(self, pixels: int) -> None:
        self.do(
            "Emulation.setDeviceMetricsOverride",
            width=pixels,
            height=900,
            deviceScaleFactor=1,
            mobile=pixels < 500,
        )

    def press(self, key: str, code: int) -> None:
        text = "\r" if key == "Enter" else ""
        event = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self.do("Input.dispatchKeyEvent", type="keyDown", text=text, **event)
        self.do("Input.dispatchKeyEvent", type="keyUp", **event)

    def requests(self) -> list[str]:
        """Return what was asked of a network or a disk since the page was opened."""
        events = [
            json.loads(one["message"])["message"] for one in self.driver.get_log("performance")
        ]
        return [
            one["params"]["request"]["url"]
            for one in events
            if one["method"] == "Network.requestWillBeSent"
        ]

    def complaints(self) -> list[Any]:
        """Return errors and warnings that the console shows."""
        return self.driver.get_log("browser")


@pytest.fixture(scope="module")
def chromium(tmp_path_factory) -> Iterator[Any]:
    yield from opened_chromium(tmp_path_factory.mktemp("chromium"))


@pytest.fixture
def browser(chromium) -> Shown:
    return Shown(chromium)


@pytest.mark.parametrize("name", PROFILES)
def test_browser_shows_it_without_network_or_complaint(browser, tmp_path, name):
    shown = browser.show(PROFILES[name], tmp_path)
    heading = shown.run("return document.querySelector('h1').innerText")
    assert heading == PROFILES[name].sentence
    heights = shown.run(
        "return [...document.querySelectorAll('svg')].map(s => s.getBoundingClientRect().height)"
    )
    assert all(height >= 20 for height in heights)
    assert len(heights) == (0 if name == "nothing" else len(PROFILES[name].rows))
    assert shown.requests() == [(tmp_path / "page.html").as_uri()]
    assert shown.complaints() == []


def test_browser_would_tell_of_requests_and_complaints(browser, tmp_path):
    """The two listeners above do listen."""
    path = tmp_path / "bad.html"
    path.write_text("<!DOCTYPE html><img src='http://example.invalid/x.png'><script>no()</script>")
    browser.requests(), browser.complaints()
    browser.driver.get(path.as_uri())
    assert "http://example.invalid/x.png" in browser.requests()
    assert any("no is not defined" in one["message"] for one in browser.complaints())


@pytest.mark.parametrize("name", ["few", "many", "hostile"])
def test_browser_shows_the_numbers_of_the_json(browser, tmp_path, name):
    shown = browser.show(PROFILES[name], tmp_path)
    link = shown.run("return document.querySelector('a[download]').href")
    rows = json.loads(b64decode(link.partition(",")[2]))["rows"]
    table = shown.run(
        "return [...document.querySelectorAll('tr')].map(r => [...r.cells].map(c => c.textContent))"
    )
    header, *lines = table
    cells = [dict(zip(header, line, strict=True)) for line in lines]
    assert [one["order"] for one in cells] == [row["order"] for row in rows]
    listed = shown.run(
        "return [...document.querySelectorAll('.orders > li')].map("
        "li => [...li.querySelectorAll('.number, h3')].map(e => e.firstChild.textContent))"
    )
    for one, row, (order, opens, _, _) in zip(cells, rows, listed, strict=True):
        assert order == row["order"]
        assert opens == one["opens"] == f"{row['opens']:,}"
        assert one["re-opens"] == f"{row['reopens']:,}"
        assert one["bytes read"] == f"{row['bytes_read']:,}"
        assert one["peak memory, bytes"] == f"{row['peak_bytes']:,}"
        assert float(one["fastest"]) == pytest.approx(min(row["seconds"]), abs=1e-6)
        assert float(one["slowest"]) == pytest.approx(max(row["seconds"]), abs=1e-6)
        assert one["opens predicted, 1 kept"] == f"{row['predicted_opens']['1']:,}"
        assert one["opens predicted, all kept"] == f"{row['predicted_opens']['all']:,}"
        assert one["calls of get_tile"] == f"{row['calls']['get_tile']:,}"


def test_browser_puts_requests_beside_opens(browser, tmp_path):
    remote = made(requests=7)
    shown = browser.show(remote, tmp_path)
    places = """return [...document.querySelectorAll('.titles > *, .orders > li:first-child > *')]
        .map(one => one.getBoundingClientRect()).map(box => [box.left, box.right])"""
    found = shown.run(places)
    titles, costs = found[:6], found[6:]
    assert [left for left, _ in titles] == pytest.approx([left for left, _ in costs])
    assert all(before[1] <= after[0] for before, after in pairwise(costs))
    bars = shown.run(
        "return [...document.querySelectorAll('.orders > li')].map(li => "
        "li.querySelectorAll('.track')[1]).map(t => "
        "t.firstChild.getBoundingClientRect().width / (t.getBoundingClientRect().width - 1))"
    )
    most = max(row.requests for row in remote.rows)
    assert bars == pytest.approx([row.requests / most for row in remote.rows], abs=0.01)


def test_browser_draws_bars_in_proportion(browser, tmp_path):
    shown = browser.show(SPREAD, tmp_path)
    widths = shown.run(
        "return [...document.querySelectorAll('.orders > li')].map(li => "
        "[...li.querySelectorAll('.track')].map(t => [...t.querySelectorAll('.bar')].map("
        "b => b.getBoundingClientRect().width / (t.getBoundingClientRect().width - 1))))"
    )
    most = {
        name: max(getattr(row, name) for row in SPREAD.rows) for name in ("opens", "bytes_read")
    }
    longest = max(middle_half(row.seconds)[1] for row in SPREAD.rows)
    for row, (opens, read, times) in zip(SPREAD.rows, widths, strict=True):
        assert sum(opens) == pytest.approx(row.opens / most["opens"], abs=0.01)
        if row.reopens:
            assert opens[1] == pytest.approx(row.reopens / most["opens"], abs=0.01)
        assert read == [pytest.approx(row.bytes_read / most["bytes_read"], abs=0.01)]
        assert times == [pytest.approx(row.median_seconds / longest, abs=0.01)]


@pytest.mark.parametrize("profile", [SPREAD, made((5, 4, 13))], ids=["one line", "lines"])
def test_browser_colours_each_tile_by_its_source(browser, tmp_path, profile):
    """What is drawn at the middle of each tile, and at the mark below it."""
    shown = browser.show(profile, tmp_path)
    shown.run("document.documentElement.style.setProperty('zoom', '1')")
    columns = len(profile.rows[0].tile_sources)
    columns = columns if columns <= 96 else 65 if columns == 260 else 0
    colours = source_colours(len(profile.source_names))
    for number, row in enumerate(profile.rows):
        drawn = shown.run(
            """
            const svg = document.querySelectorAll('svg')[arguments[0]];
            svg.scrollIntoView({block: 'center'});
            const box = svg.getBoundingClientRect(), view = svg.viewBox.baseVal;
            const lines = Math.ceil(arguments[1] / arguments[2]);
            const at = (x, y) => document.elementFromPoint(
                box.left + x * box.width / arguments[2], box.top + y * box.height / lines);
            return [...Array(arguments[1]).keys()].map(place => {
                const line = Math.floor(place / arguments[2]), column = place % arguments[2];
                const cell = at(column + 0.4, line + 0.2);
                let mark = '';
                for (let part = 0.5; part < 1; part += 0.02) {
                    const found = at(column + 0.43, line + part).getAttribute('class');
                    if (found === 'first' || found === 'again') mark = found;
                }
                return [cell.parentNode.getAttribute('fill'),
                        cell.parentNode.querySelector('title').textContent, mark];
            });
            """,
            number,
            len(row.tile_sources),
            columns,
        )
        opened: set[int | None] = set()
        for (fill, title, mark), source, opens in zip(
            drawn, row.tile_sources, row.tile_opens, strict=True
        ):
            assert fill == colours[source]
            assert profile.source_names[source].endswith(title)
            assert mark == ("" if not opens else "again" if source in opened else "first")
            opened.add(source)


def test_browser_saves_the_profile(browser, tmp_path):
    shown = browser.show(PROFILES["thousands"], tmp_path)
    shown.do("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    shown.run("document.querySelector('a[download]').click()")
    saved = tmp_path / "profile.json"
    end = time.monotonic() + 20
    while not saved.exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert LoadProfile.from_json(saved.read_bytes()) == PROFILES["thousands"]


def test_browser_takes_names_for_text(browser, tmp_path):
    shown = browser.show(hostile(), tmp_path)
    assert shown.run("return window.hacked") is None
    assert shown.run("return document.scripts.length + document.images.length") == 0
    text = shown.run("return document.body.textContent")
    for name in HOSTILE[:5]:
        assert text.count(name) >= 4
    assert r"\u202egnp.exe \u2066 אבג.tiff" in text
    assert r"nul\x00 escape\x1b line\nbreak \udcff" in text
    events = shown.run(
        "return [...document.querySelectorAll('*')].flatMap(e => e.getAttributeNames())"
        ".filter(name => name.startsWith('on'))"
    )
    assert events == []
    isolated = shown.run("return [...document.querySelectorAll('bdi')].map(e => e.textContent)")
    assert any("אבג" in name for name in isolated)


FOCUSED = """
    const e = document.activeElement, s = getComputedStyle(e), box = e.getBoundingClientRect();
    return [e.tagName + (e.className ? '.' + e.className : ''), s.outlineStyle,
            parseFloat(s.outlineWidth), box.top >= 0 && box.left >= 0 && box.top < innerHeight];
"""


def test_browser_is_used_by_keyboard(browser, tmp_path):
    shown = browser.show(made(), tmp_path)
    visited = []
    for _ in range(4):
        shown.press("Tab", 9)
        name, outline, width, visible = shown.run(FOCUSED)
        assert outline == "solid"
        assert width >= 2
        assert visible
        visited.append(name)
    assert visited == ["A.skip", "DIV.scroll", "A", "SUMMARY"]
    assert not shown.run("return document.querySelector('details').open")
    shown.press("Enter", 13)
    assert shown.run("return document.querySelector('details').open")


def test_browser_scrolls_the_table_by_keyboard(browser, tmp_path):
    shown = browser.show(made(), tmp_path)
    shown.width(390)
    shown.run("document.querySelector('.scroll').focus()")
    for _ in range(5):
        shown.press("ArrowRight", 39)
    end = time.monotonic() + 5
    while not (moved := shown.run("return document.querySelector('.scroll').scrollLeft")):
        assert time.monotonic() < end
    assert moved > 0


def test_browser_skips_to_the_numbers(browser, tmp_path):
    shown = browser.show(made(), tmp_path)
    shown.press("Tab", 9)
    shown.press("Enter", 13)
    assert shown.run("return document.activeElement.id") == "numbers"
    shown.press("Tab", 9)
    assert shown.run("return document.activeElement.className") == "scroll"


CONTRAST = """
    const rgb = colour => colour.match(/[\\d.]+/g).map(Number);
    const luminance = colour => {
        const [r, g, b] = rgb(colour).slice(0, 3).map(v => v / 255).map(
            v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = e => {
        for (; e; e = e.parentElement) {
            const colour = getComputedStyle(e).backgroundColor;
            if ((rgb(colour)[3] ?? 1) === 1) return colour;
        }
    };
    const ratio = (one, other) => {
        const [a, b] = [luminance(one), luminance(other)].sort((x, y) => y - x);
        return (a + 0.05) / (b + 0.05);
    };
    const texts = [...document.querySelectorAll('body *')].filter(
        e => !e.closest('svg') && [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()));
    const marks = [...document.querySelectorAll('.bar, .mark, .line, .spread')];
    return {
        ground: luminance(ground(document.body)),
        texts: texts.map(e => [e.tagName, ratio(getComputedStyle(e).color, ground(e))]),
        marks: marks.map(e => [e.className, ratio(ground(e), ground(e.parentElement))]),
        svg: [...document.querySelectorAll('svg > path')].map(
            e => [e.getAttribute('class'), ratio(getComputedStyle(e).fill, ground(document.body))]),
    };
"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_browser_can_be_read(browser, tmp_path, dark, width):
    """Contrasts as WCAG 2 AA asks: 4.5 of text, 3 of what pictures are made of."""
    shown = browser.show(replace(made(), disagreements=("It lies.",)), tmp_path)
    shown.media(DARK if dark else [])
    shown.width(width)
    found = shown.run(CONTRAST)
    assert (found["ground"] < 0.05) is dark
    assert len(found["texts"]) > 100
    assert [one for one in found["texts"] if one[1] < 4.5] == []
    assert {kind for kind, _ in found["svg"]} == {"first", "again"}
    assert [one for one in found["marks"] + found["svg"] if one[1] < 3] == []


def test_browser_marks_what_is_opened_again_in_one_colour(browser, tmp_path):
    shown = browser.show(made(), tmp_path)
    colours = shown.run(
        "return [...document.querySelectorAll('.mark.again, .bar.again')].map("
        "e => getComputedStyle(e).backgroundColor)"
    )
    red, green, blue = bytes.fromhex(AGAIN[1:])
    assert {*colours} == {f"rgb({red}, {green}, {blue})"}


@pytest.mark.parametrize(
    "name", ["few", "many", "thousands", "hostile", "unknown", "remote", "converted"]
)
@pytest.mark.parametrize("width", [1280, 390])
def test_browser_fits_it_to_its_width(browser, tmp_path, width, name):
    profile = PROFILES[name]
    shown = browser.show(profile, tmp_path)
    shown.width(width)
    assert shown.run("return innerWidth") == width
    assert (
        shown.run("const e = document.documentElement; return e.scrollWidth - e.clientWidth") == 0
    )
    beyond = shown.run(
        "const most = document.documentElement.clientWidth + 0.5;"
        "return [...document.querySelectorAll('body *')].filter(e => !e.closest('.scroll') && "
        "!e.matches('.skip') && e.getBoundingClientRect().right > most)"
        ".map(e => e.outerHTML.slice(0, 80))"
    )
    assert beyond == []
    labels, titles = (
        shown.run("return getComputedStyle(document.querySelector(arguments[0])).display", one)
        for one in (".label", ".titles")
    )
    assert (labels, titles) == (("none", "grid") if width == 1280 else ("block", "none"))


def test_browser_prints_it_on_white(browser, tmp_path):
    shown = browser.show(made(), tmp_path)
    shown.media(DARK, "print")
    found = shown.run(CONTRAST)
    assert found["ground"] == 1
    assert [one for one in found["texts"] if one[1] < 4.5] == []
    hidden = shown.run(
        "return ['.skip', '.save', 'details'].map("
        "one => getComputedStyle(document.querySelector(one)).display)"
    )
    assert hidden == ["none"] * 3


def test_browser_tells_those_who_do_not_see(browser, tmp_path):
    """Landmarks, headings, pictures and the table have names."""
    shown = browser.show(made(), tmp_path)
    nodes = shown.do("Accessibility.getFullAXTree")["nodes"]
    named: dict[str, list[str]] = {}
    for node in nodes:
        if not node["ignored"]:
            role = node["role"]["value"]
            named.setdefault(role, []).append(node.get("name", {}).get("value", ""))
    assert {"main", "banner", "contentinfo", "table"} <= {*named}
    pictures = named.get("image", []) + named.get("img", [])
    assert len(pictures) == 7
    assert all("the source changes" in name for name in pictures)
    assert named["region"].count("All numbers") >= 1
    levels = shown.run("return [...document.querySelectorAll('h1,h2,h3')].map(e => +e.tagName[1])")
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert Axes.ROUND in named["rowheader"][0]
