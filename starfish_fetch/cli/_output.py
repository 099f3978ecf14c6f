"""What a command prints: text and tables for people, JSON for programs."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import click
from rich.console import Console, RenderableType

from starfish_fetch.units import in_units

__all__ = [
    "console",
    "echo_json",
    "echo_warning",
    "in_units",
    "print_table",
    "replacing",
    "wants_progress",
]

_UNWRAPPED = 10_000


def console() -> Console:
    """Return a console on stdout that wraps at a terminal's width, and nowhere else."""
    return Console(
        width=None if sys.stdout.isatty() else _UNWRAPPED,
        highlight=False,
        markup=False,
        emoji=False,
    )


def print_table(out: Console, table: RenderableType) -> None:
    """Print a table; into a file without the spaces that fill its lines."""
    if out.is_terminal:
        out.print(table)
        return
    with out.capture() as captured:
        out.print(table)
    for line in captured.get().splitlines():
        click.echo(line.rstrip())


def echo_json(report: Mapping[str, Any]) -> None:
    """Print one JSON object."""
    click.echo(json.dumps(report, indent=1, allow_nan=False))


def echo_warning(message: str) -> None:
    """Print a warning in one line on stderr."""
    click.echo("warning: " + " ".join(message.split()), err=True)


def wants_progress() -> bool:
    """Return whether somebody watches stderr."""
    return sys.stderr.isatty()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path beside another, whose place the file takes if it is there and all went well."""
    path = path.resolve()  # of a link, what it leads to
    if path.exists() and not path.is_file():
        raise OSError(errno.EEXIST, "exists and is not a regular file", str(path))
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield temporary
        if temporary.exists():
            os.replace(temporary, path)
    finally:
        with suppress(OSError):
            temporary.unlink()
