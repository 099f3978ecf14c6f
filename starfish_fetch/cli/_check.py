"""``starfish-fetch check``."""

from __future__ import annotations

import json
import math
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from starfish_fetch.cli._errors import asked, others_code
from starfish_fetch.cli._options import LABELS_SYNTAX, OUTPUT, fetched_image_options, json_option
from starfish_fetch.cli._output import echo_json, saving, wants_progress
from starfish_fetch.progress import progress_bar

if TYPE_CHECKING:
    from starfish_fetch.testing.report import Report

__all__ = ["Process", "check"]


@dataclass
class Process:
    """The process that runs one command.

    Parameters
    ----------
    patience : float, optional
        Seconds that threads may take to end after the command has. Default: all that they want,
        as in any Python program.
    """

    patience: float | None = None

    def end(self, status: int) -> None:
        """See to it that the process ends with a status once patience is over."""
        if self.patience is None:
            return

        def give_up() -> None:
            for stream in (sys.stdout, sys.stderr):
                with suppress(Exception):
                    stream.flush()
            os._exit(status)

        timer = threading.Timer(self.patience, give_up)
        timer.daemon = True
        timer.start()


@click.command(
    epilog="\b\nExamples:\n"
    "  starfish-fetch check my_fetcher.py:make --like data\n"
    "  starfish-fetch check my_fetcher.py:make --rounds 4 --chs 3 --zplanes 5 \\\n"
    "      --size 2048 --junit check.xml\n"
    "  starfish-fetch check my_fetcher.py:make --like data --only tiles_repeat \\\n"
    "      --expect-failure 'tiles_repeat=the detector adds noise'\n"
    "  starfish-fetch check --explain labels_are_honoured\n\n" + LABELS_SYNTAX
)
@click.argument("fetcher", required=False)
@fetched_image_options(
    like="A synth dataset that holds the same image: it gives the labels, and every pixel to "
    "expect. Without it less is found.",
)
@click.option(
    "--deadline",
    type=click.FloatRange(min=0, min_open=True),
    metavar="S",
    help="Seconds after which it ends, whatever the fetcher does.  [default: 60]",
)
@click.option("--exhaustive", is_flag=True, help="Read every tile, of a large image too.")
@click.option(
    "--only", multiple=True, metavar="CHECK", help="Run this check; can be given several times."
)
@click.option(
    "--expect-failure",
    "expected_failures",
    multiple=True,
    metavar="CHECK=REASON",
    help="This check is known to fail: let it, and fail when it no longer does; can be given "
    "several times.",
)
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Of the choice of tiles and orders."
)
@click.option("--strict", is_flag=True, help="Exit status 1 if there is a warning, too.")
@click.option("--junit", type=OUTPUT, metavar="FILE", help="Write what build servers read.")
@click.option("--explain", metavar="CHECK", help="Tell the story of one check, and end.")
@click.option("--list", "as_list", is_flag=True, help="List all checks, and end.")
@json_option
@click.pass_context
def check(
    ctx: click.Context,
    /,
    fetcher: str | None,
    like: Path | None,
    fov: int | None,
    only: Sequence[str],
    expected_failures: Sequence[str],
    strict: bool,
    junit: Path | None,
    explain: str | None,
    as_list: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Say what is wrong with FETCHER, by name, and what to change.

    FETCHER is path/to/file.py:factory or package.module:factory, where calling factory() returns
    a fresh fetcher, or the folder of a synth dataset, of an experiment in SpaceTx format or of
    OME-Zarr. The image's labels and tile shape come with the folder, from --like, from --rounds,
    --chs, --zplanes and --size, or from an attribute 'extent' of the fetcher.

    Exit status 1 if a check fails: data would be wrong, or could not be loaded at all. A warning
    is about what is slow, fragile, or suspicious.
    """
    from starfish_fetch.cli._check_report import print_list, print_report, print_story
    from starfish_fetch.testing._names import known
    from starfish_fetch.testing.checks import CHECKS

    if as_list:
        print_list(CHECKS.values(), as_json=as_json)
        return
    if explain is not None:
        with asked("--explain"):
            known([explain], CHECKS)
        print_story(CHECKS[explain], as_json=as_json)
        return
    if fetcher is None:
        raise click.UsageError("Missing argument 'FETCHER'.")
    with asked("--only"):
        names = known(only, CHECKS) or tuple(CHECKS)
    reasons = _reasons(expected_failures, names)
    if ctx.obj is not None:
        # Nobody's thread that hangs, of a pool say, is to keep a check from ending.
        ctx.obj.patience = 1.0
    if options["deadline"] is not None and not math.isfinite(options["deadline"]):
        raise click.UsageError(f"--deadline: {options['deadline']} is no number of seconds")
    if junit is not None and not junit.absolute().parent.is_dir():
        raise click.UsageError(f"--junit: there is no folder {str(junit.absolute().parent)!r}")
    report = _run(fetcher, like, fov, names, **options).expecting(reasons)
    ok = report.ok and not (strict and report.of("warn"))
    if junit is not None:
        with saving(junit) as temporary:
            temporary.write_text(report.to_junit(fetcher, strict=strict), encoding="utf-8")
    if as_json:
        told = {"command": "check", "fetcher": fetcher, "like": None if like is None else str(like)}
        echo_json({**told, **json.loads(report.to_json()), "ok": ok})
    else:
        print_report(report, ok=ok)
        if junit is not None:
            click.echo(f"junit in {junit}")
    ctx.exit(0 if ok else 1)


def _reasons(given: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    from starfish_fetch.testing._names import expectations

    reasons: dict[str, str] = {}
    for item in given:
        name, equals, reason = item.partition("=")
        if not equals:
            raise click.UsageError(f"--expect-failure: {item!r} is no CHECK=REASON")
        if name in reasons:
            raise click.UsageError(f"--expect-failure: {name} is given more than once")
        reasons[name.strip()] = reason.strip()
    with asked("--expect-failure"):
        return expectations(reasons, names)


def _run(
    reference: str,
    like: Path | None,
    fov: int | None,
    names: Sequence[str],
    *,
    deadline: float | None,
    exhaustive: bool,
    seed: int,
    **labels: Any,
) -> Report:
    from starfish_fetch.cli._fetchers import Labels, find
    from starfish_fetch.testing.check import check_fetcher

    subject = find(reference, like, Labels(**labels, fov=fov), unmade=True)
    with _progress(len(names)) as progress, others_code():
        return check_fetcher(
            subject.make,
            subject.extent,
            subject.dataset,
            deadline=deadline,
            exhaustive=exhaustive,
            checks=names,
            seed=seed,
            progress=progress,
        )


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int, int, str], None]]:
    shown = 0

    with progress_bar(wants_progress(), "checks", total) as advance:

        def progress(done: int, total: int, name: str) -> None:
            nonlocal shown
            advance(done - shown)
            shown = done

        yield progress
