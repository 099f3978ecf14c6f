"""The site, once it has been built: no link is broken, and a telephone can show it.

CONTRIBUTING.md has the command that builds it.
"""

from __future__ import annotations

import json
import os
import re
import time
from html.parser import HTMLParser
from pathlib import Path
from textwrap import dedent
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import pytest
from chromium import opened_chromium

from starfish_fetch.testing import CHECKS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
SITE = DOCS / "_build" / "html"
PAGES = [
    "learn/index",
    *(f"learn/{path.stem}" for path in DOCS.glob("gallery/plot_*.py")),
    *(
        str(path.relative_to(DOCS).with_suffix(""))
        for folder in (DOCS, DOCS / "explanation", DOCS / "reference")
        for path in folder.iterdir()
        if path.suffix in (".md", ".rst")
    ),
    "reference/generated/starfish_fetch.ImageStack",
    "reference/generated/starfish_fetch.LoadProfile",
    "reference/generated/synth.write",
]


@pytest.fixture(scope="module")
def site() -> Path:
    if not (SITE / "index.html").exists():
        if os.environ.get("STARFISH_FETCH_SITE") == "required":
            pytest.fail("the site has not been built")
        pytest.skip("the site has not been built: CONTRIBUTING.md has the command")
    return SITE


class Page(HTMLParser):
    """What a page links to, and what can be linked to in it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.text = ""
        self.links: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value is None:
                continue
            if name == "id" or (tag == "a" and name == "name"):
                self.anchors.add(value)
            elif name in ("href", "src"):
                self.links.append(value)
            elif name == "srcset":
                self.links += [part.split()[0] for part in value.split(",")]


def test_no_link_is_broken(site):
    paths = sorted(path for path in site.rglob("*.html") if "_static" not in path.parts)
    pages = {path: Page(path) for path in paths}
    assert len(pages) > 100
    broken = []
    for path, page in pages.items():
        for link in page.links:
            if urlsplit(link).scheme or link.startswith("//"):
                continue
            target, anchor = urlsplit(link).path, urlsplit(link).fragment
            file = (path.parent / unquote(target)).resolve() if target else path
            if not file.is_file():
                broken.append(f"{path.relative_to(site)}: {link}")
            elif anchor and file in pages and unquote(anchor) not in pages[file].anchors:
                broken.append(f"{path.relative_to(site)}: {link}: no such place in the page")
    assert not broken, "\n".join(broken[:40])


def test_every_gallery_page_has_a_thumbnail_of_its_own(site):
    for source in sorted((DOCS / "gallery").glob("plot_*.py")):
        assert (site / "learn" / source.name).with_suffix(".html").exists()
        picture = site / "_images" / f"sphx_glr_{source.stem}_thumb.png"
        assert picture.stat().st_size > 2000, f"{source.name} has no picture"


def test_the_example_on_the_home_page_runs(tmp_path, monkeypatch):
    import numpy as np

    import synth
    from starfish_fetch import Layout, to_float32

    text = (DOCS / "index.rst").read_text(encoding="utf-8")
    (code,) = re.findall(r"\.\. code-block:: python\n\n((?:   .*\n|\n)+)", text)
    monkeypatch.chdir(tmp_path)
    data = synth.write(
        synth.Spec(4, 3, 5, (512, 512)), Layout("r{r}_c{c}.tiff", inner="z"), "experiment"
    )
    names: dict[str, np.ndarray] = {}
    exec(re.sub("(?m)^   ", "", code), names)
    assert names["pixels"].shape == (4, 3, 5, 512, 512)
    np.testing.assert_array_equal(names["pixels"][3, 2, 1], to_float32(data.tile(3, 2, 1)))


@pytest.mark.parametrize("name", CHECKS)
def test_the_story_of_every_check_is_told(checks_page, name):
    story = CHECKS[name].story
    assert name in checks_page.text
    assert f"check-{name.replace('_', '-')}" in checks_page.anchors
    for snippet in re.split("(?:Wrong|Right)::\n\n", story)[1:]:
        assert dedent(snippet).strip() in checks_page.text


@pytest.fixture(scope="module")
def checks_page(site) -> Page:
    return Page(site / "reference" / "checks.html")


def test_the_schemas_are_those_of_what_is_written(site, tmp_path):
    jsonschema = pytest.importorskip("jsonschema")
    import synth
    from starfish_fetch import Layout, compare, profile_orders
    from starfish_fetch.testing import check_fetcher

    spec = synth.Spec(2, 2, 2, (32, 32), content="spots")
    data = synth.write(
        spec, Layout.per_round_ch(), tmp_path, tiff_tile=(16, 16), damage=["swapped", "truncated"]
    )
    plain = synth.write(synth.Spec(2, 2, 2, (32, 32)), Layout.per_round(), tmp_path / "plain")
    profile = profile_orders(plain.fetcher, plain.extent(), repeat=1)
    documents = {
        "check-1": [
            check_fetcher(one.fetcher, one.extent(), one.tile).to_json() for one in (data, plain)
        ],
        "profile-1": [profile.to_json()],
        "comparison-1": [compare(profile, profile).to_json()],
        "dataset": [(one.root / "dataset.json").read_text("utf-8") for one in (data, plain)],
    }
    assert {path.stem for path in (site / "schemas").iterdir()} == set(documents)
    for name, texts in documents.items():
        schema = json.loads((site / "schemas" / f"{name}.json").read_text("utf-8"))
        jsonschema.Draft202012Validator.check_schema(schema)
        for text in texts:
            written = json.loads(text)
            jsonschema.validate(written, schema)
            assert_no_field_is_missing(written, schema, name)


def assert_no_field_is_missing(written: Any, schema: dict[str, Any], place: str) -> None:
    if isinstance(written, dict) and "properties" in schema:
        for name, value in written.items():
            assert name in schema["properties"], f"{place}.{name}"
            assert_no_field_is_missing(value, schema["properties"][name], f"{place}.{name}")
    elif isinstance(written, list):
        for value in written:
            assert_no_field_is_missing(value, schema.get("items", {}), f"{place}[]")


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    yield from opened_chromium(tmp_path_factory.mktemp("chromium"))


@pytest.mark.parametrize("width", [390, 1400])
@pytest.mark.parametrize("page", sorted(PAGES))
def test_browser_shows_a_page_without_scrolling_sideways(site, chromium, page, width):
    chromium.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500},
    )
    chromium.get((site / f"{page}.html").as_uri())
    # What scrolls by itself, as wide tables and code do, may hold more than is seen.
    wide = chromium.execute_script(
        """
        const scrolls = e => ["auto", "scroll"].includes(getComputedStyle(e).overflowX);
        const inside = e => e.tagName == "ARTICLE" ? false : scrolls(e) || inside(e.parentElement);
        return [...document.querySelectorAll("article *")]
            .filter(e => e.getBoundingClientRect().right > innerWidth + 1 && !inside(e))
            .map(e => e.outerHTML.slice(0, 80))
        """
    )
    assert not wide
    assert chromium.execute_script("return document.documentElement.scrollWidth") <= width
    complaints = [one["message"] for one in chromium.get_log("browser") if one["level"] != "INFO"]
    # The theme says so on a first visit.
    assert not [one for one in complaints if "invalid theme mode" not in one]


@pytest.mark.parametrize(
    ("words", "page"),
    [
        ("ImageStack", "starfish_fetch.ImageStack.html"),
        ("labels_are_honoured", "checks.html"),
        ("predicted opens", "plot_2_order.html"),
    ],
)
def test_browser_finds_what_is_searched(site, chromium, words, page):
    chromium.get(f"{(site / 'search.html').as_uri()}?q={quote(words)}")
    deadline = time.monotonic() + 20
    found = []
    while not any(page in one for one in found):
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
        found = chromium.execute_script(
            "return [...document.querySelectorAll('#search-results li a')].map(e => e.href)"
        )
