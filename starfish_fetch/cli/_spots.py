"""The options of content "spots"."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TypeVar

import click

from starfish_fetch.cli._errors import asked

if TYPE_CHECKING:
    from synth import Spots

__all__ = ["spots_from", "spots_options"]

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def spots_options(function: Decorated) -> Decorated:
    """Add the options of content "spots" to a command."""
    options = (
        click.option(
            "--molecules",
            type=int,
            metavar="N",
            help="Of content spots: molecules in a field of view, on average if they overlap; "
            "else one for each 256 pixels.",
        ),
        click.option(
            "--targets",
            metavar="N|NAMES",
            help="Of content spots: how many targets, or their names with commas between them.",
        ),
        click.option(
            "--overlap",
            type=float,
            metavar="FRACTION",
            help="Of content spots: what a field of view shares with the next, at most 0.5.",
        ),
        click.option(
            "--spots",
            "others",
            metavar="JSON",
            help="Of content spots: any parameters of synth.Spots, "
            """such as '{"brightness": 100, "psf": [2, 0.4, 0.4]}'.""",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


def spots_from(
    content: str,
    *,
    molecules: int | None,
    targets: str | None,
    overlap: float | None,
    others: str | None,
) -> Spots | None:
    """Return what the options say of content "spots"; None for another content."""
    from synth import Spots

    given: dict[str, Any] = {} if others is None else _parameters(others)
    options: dict[str, Any] = {"molecules": molecules, "targets": targets, "overlap": overlap}
    options = {name: value for name, value in options.items() if value is not None}
    if twice := sorted(given.keys() & options.keys()):
        named = ", ".join(f"--{name}" for name in twice)
        raise click.UsageError(
            f"{', '.join(twice)}: given in --spots and as {named}; leave one of the two out"
        )
    if targets is not None:
        names = tuple(name.strip() for name in targets.split(",") if name.strip())
        options["targets"] = int(targets) if targets.strip().isdecimal() else names
    given |= options
    if content != "spots":
        if given:
            raise click.UsageError(
                f"{', '.join(given)}: go with --content spots, not with {content!r}"
            )
        return None
    with asked():
        return Spots(**given)


def _parameters(text: str) -> dict[str, Any]:
    from synth import Spots

    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise click.UsageError(f"--spots: {text!r:.80} is not JSON: {error}") from error
    known = [field.name for field in fields(Spots)]
    if not isinstance(given, dict):
        raise click.UsageError(
            f"--spots: must be an object with some of {', '.join(known)}; got {text!r:.80}"
        )
    for name in given:
        if name not in known:
            alike = " or ".join(map(repr, get_close_matches(name, known)))
            meant = f" (did you mean {alike}?)" if alike else ""
            raise click.UsageError(
                f"--spots: unknown parameter {name!r:.80}{meant}; allowed are {', '.join(known)}"
            )
    return given
