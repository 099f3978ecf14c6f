"""A profile as one page for a browser, with everything in it and nothing to fetch."""

from __future__ import annotations

import json
from base64 import b64encode
from importlib.resources import files

from starfish_fetch.axes import tile_shape_of
from starfish_fetch.profile._values import LoadProfile
from starfish_fetch.profile.page._costs import Costs
from starfish_fetch.profile.page._markup import Markup, element, joined
from starfish_fetch.profile.page._strips import Strips
from starfish_fetch.profile.page._table import breakeven_table, numbers_table

__all__ = ["page_of"]

# No script, no request: whatever a name in the profile holds, nothing of it is run or fetched.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def page_of(profile: LoadProfile) -> str:
    """Return a page that shows a profile.

    It needs no network and runs no script. Names that the fetcher chose, such as those of files,
    are shown as text, whatever they hold.

    Parameters
    ----------
    profile : LoadProfile
        What to show.

    Returns
    -------
    str
        HTML, to be written as UTF-8.
    """
    style = Markup(files(__package__).joinpath("page.css").read_text(encoding="utf-8"))
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", f"Load orders of {profile.fetcher}"),
        element("style", style),
    )
    body = element(
        "body",
        element("a", "To the numbers", href="#numbers", class_="skip"),
        element("header", *_header(profile)),
        element(
            "main", *_orders(profile), *_converting(profile), *_words(profile), *_numbers(profile)
        ),
        element("footer", *_footer(profile)),
    )
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


def _header(profile: LoadProfile) -> list[Markup]:
    found = [
        element("p", f"Load orders of {profile.fetcher}", class_="subject"),
        element("h1", profile.sentence),
    ]
    if len(profile.rows) > 1:
        axes = profile.best.group_by
        code = "None" if axes is None else repr(tuple(map(str, axes)))
        found.append(
            element("p", "To load in the fastest order: ", element("code", f"group_by={code}"))
        )
    if profile.advice is not None:
        what = "the fetcher names" if profile.sources_are == "named" else "were seen to be opened"
        found.append(
            element(
                "p",
                element("strong", f"From the sources that {what}, before any pixel is read: "),
                profile.advice.sentence,
                class_="advice",
            )
        )
    return found


def _orders(profile: LoadProfile) -> list[Markup]:
    strips, costs = Strips(profile), Costs(profile)
    lines = []
    for number, row in enumerate(profile.rows):
        best = number == 0 and len(profile.rows) > 1
        name = element("h3", row.order, element("span", "fastest", class_="best") if best else None)
        lines.append(
            element(
                "li",
                name,
                element("div", strips.picture(row), class_="tiles"),
                *costs.bars(row),
            )
        )
    return [
        element(
            "section",
            element("h2", "Tiles in load order, and what they cost", id="orders"),
            element("p", *strips.explanation(), class_="how"),
            element("div", strips.legend(), costs.legend(), class_="legends"),
            element("div", *costs.titles(strips.title), class_="titles", aria_hidden="true"),
            element("ol", *lines, class_="orders"),
            aria_labelledby="orders",
            class_="remote" if costs.remote else None,
        )
    ]


def _converting(profile: LoadProfile) -> list[Markup]:
    if not profile.breakevens:
        return []
    found = []
    for one in profile.breakevens:
        found += [element("p", f"{one.format}: {one.sentence}"), breakeven_table(one)]
    return [
        element(
            "section",
            element("h2", "Does converting pay?", id="converting"),
            *found,
            aria_labelledby="converting",
        )
    ]


def _words(profile: LoadProfile) -> list[Markup]:
    sections = []
    for key, title, lines in (
        ("differs", "Not as predicted", profile.disagreements),
        ("notes", "To be known", profile.notes),
    ):
        if lines:
            items = [element("li", element("bdi", line)) for line in lines]
            heading = element("h2", title, id=key)
            sections.append(
                element("section", heading, element("ul", *items), aria_labelledby=key, class_=key)
            )
    return sections


def _numbers(profile: LoadProfile) -> list[Markup]:
    # Encoded, so that no name in it can end the attribute or the element.
    fields = json.dumps(json.loads(profile.to_json()), separators=(",", ":"))
    data = b64encode(fields.encode()).decode()
    return [
        element(
            "section",
            element("h2", "All numbers", id="numbers", tabindex="-1"),
            element(
                "div",
                numbers_table(profile),
                class_="scroll",
                role="region",
                aria_labelledby="numbers",
                tabindex="0",
            ),
            element(
                "p",
                element(
                    "a",
                    "Save as JSON",
                    href=f"data:application/json;base64,{data}",
                    download="profile.json",
                ),
                ", to compare with: ",
                element("code", "starfish-fetch compare before.json after.json"),
                class_="save",
            ),
            element(
                "details",
                element("summary", f"Sources ({len(profile.source_names):,})"),
                element("ol", *(element("li", element("bdi", one)) for one in profile.source_names))
                if profile.source_names
                else element("p", "Not known."),
            ),
            aria_labelledby="numbers",
        )
    ]


def _footer(profile: LoadProfile) -> list[Markup]:
    extent, machine = profile.extent, profile.machine
    rows, columns = tile_shape_of(extent.tile_shape)
    packages = ", ".join(f"{name} {version}" for name, version in machine.packages.items())
    facts = {
        "Image": f"{_count(len(extent.rounds), 'round')}, {_count(len(extent.chs), 'channel')}, "
        f"{_count(len(extent.zplanes), 'z-plane')}: {_count(profile.tiles, 'tile')} of {rows:,} x "
        f"{columns:,} pixels, field of view {extent.fov}",
        "Fetcher": profile.fetcher,
        "Timed": f"{_count(profile.repeat, 'load')} in each order, each by a fresh fetcher, files "
        + ("dropped from the page cache before" if profile.cold else "in the page cache"),
        "Workers": "left to the loader" if profile.workers is None else f"{profile.workers}",
        "Machine": f"{machine.processor or 'unknown processor'}, {_count(machine.cpus, 'CPU')}, "
        f"{machine.system}",
        "Python": f"{machine.python}; {packages}",
    }
    described = [
        joined(element("dt", name), element("dd", element("bdi", fact)))
        for name, fact in facts.items()
    ]
    return [
        element("h2", "Machine and settings"),
        element("dl", *described),
        element(
            "p",
            "Written by starfish-fetch profile. Counts can be compared between machines; seconds "
            "cannot.",
        ),
    ]


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
