"""The group of all commands, and how a command ends."""

from __future__ import annotations

import logging
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TextIO

import click

from starfish_fetch import __version__
from starfish_fetch.cli._check import Process, check
from starfish_fetch.cli._convert import convert
from starfish_fetch.cli._demo_command import demo
from starfish_fetch.cli._errors import Group, TerminatedError
from starfish_fetch.cli._load import load
from starfish_fetch.cli._output import echo_warning
from starfish_fetch.cli._profile import compare, profile
from starfish_fetch.cli._synth import synth
from starfish_fetch.errors import DataFormatWarning

__all__ = ["app", "run"]


@click.group(
    "starfish-fetch",
    cls=Group,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="\b\nBegin with:\n  starfish-fetch demo",
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(__version__, message="%(prog)s %(version)s")
@click.pass_context
def app(ctx: click.Context, debug: bool) -> None:
    """Load 5-D images through TileFetchers: write known data; load, check, profile, convert yours.

    Exit status: 0 if all went well, 1 if something failed or did not hold, 2 if the command was
    not understood, 130 if it was interrupted.
    """
    ctx.with_resource(_quiet())
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


for command in (demo, synth, load, check, profile, compare, convert):
    app.add_command(command)


def run() -> None:
    """Run the command that the process was started with."""

    def terminate(number: int, frame: FrameType | None) -> None:
        raise TerminatedError

    signal.signal(signal.SIGTERM, terminate)
    process = Process()
    try:
        app(prog_name="starfish-fetch", obj=process)
    except SystemExit as end:
        process.end(end.code if isinstance(end.code, int) else 0)
        raise


@contextmanager
def _quiet() -> Iterator[None]:
    """Show warnings in one line each; what tifffile logs comes as an exception or not at all."""
    logger = logging.getLogger("tifffile")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> Any:
        echo_warning(str(message))

    try:
        with warnings.catch_warnings():
            if not sys.warnoptions:
                warnings.simplefilter("always", DataFormatWarning)
            warnings.showwarning = show
            yield
    finally:
        logger.setLevel(level)
