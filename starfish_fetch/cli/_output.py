"""What a command prints: text and tables for people, JSON for programs."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import click
from rich.console import Console, RenderableType

from starfish_fetch.errors import naming
from starfish_fetch.locks import lock
from starfish_fetch.units import in_units

__all__ = [
    "console",
    "echo_json",
    "echo_warning",
    "in_units",
    "print_table",
    "replacing",
    "saving",
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
    """Yield a path beside another, whose place the file takes if it is there and all went well.

    It is the same for all commands that write the file, of which one does so at a time: the next
    one takes over what a killed one has left.
    """
    path = path.resolve()  # of a link, what it leads to
    if path.exists() and not path.is_file():
        raise OSError(errno.EEXIST, "exists and is not a regular file", str(path))
    temporary = path.with_name(f".{path.name}.partial")
    file = None
    try:
        with naming(path):
            file = _own(temporary, path)
        yield temporary
        if temporary.exists():
            os.replace(temporary, path)
    except OSError as error:
        if error.filename == str(temporary):
            error.filename = str(path)
        raise
    finally:
        if file is not None:
            _leave(file, temporary)


@contextmanager
def saving(path: Path) -> Iterator[Path]:
    """Do what :func:`replacing` does, and name the file in an error of writing it."""
    with naming(path), replacing(path) as temporary:
        yield temporary


def _own(temporary: Path, path: Path) -> IO[bytes]:
    """Open an empty file that no other command writes."""
    busy = "another command is writing it: wait until it has ended, or choose another name"
    file: IO[bytes] | None = None
    try:
        while True:
            file = open(temporary, "ab", opener=_not_through_a_link)  # noqa: SIM115
            lock(file, path, busy)
            if _is_still(file, temporary):
                file.truncate(0)
                if sys.platform == "win32":  # where a file that is open cannot be renamed
                    file.close()
                return file
            file.close()  # meanwhile another command has given it its name
            file = None
    except BaseException:
        with suppress(OSError):
            # An interrupt may have come between the file and its lock.
            file = file or open(temporary, "rb")  # noqa: SIM115
            with file:
                lock(file, path, busy)
                _leave(file, temporary)
        raise


def _leave(file: IO[bytes], temporary: Path) -> None:
    """Close a file of one's own, and delete it if it has its name yet."""
    with file, suppress(OSError):
        if _is_still(file, temporary):  # or it is another command's
            temporary.unlink()


def _is_still(file: IO[bytes], path: Path) -> bool:
    try:
        return file.closed or os.path.samestat(os.lstat(path), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _not_through_a_link(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)
