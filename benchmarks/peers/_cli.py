"""The command."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from benchmarks.peers._image import LAYOUTS, Image, Shape
from benchmarks.peers._limit import Limit
from benchmarks.peers._machine import machine
from benchmarks.peers._measure import measure
from benchmarks.peers._ours import Ours, OursOneFile
from benchmarks.peers._peers import PEERS
from benchmarks.peers._report import Run, print_run, to_json
from starfish_fetch.plots import require_matplotlib
from starfish_fetch.progress import progress_bar

__all__ = ["main"]

_FULL: Shape = (4, 3, 8, 1024, 1024)
_QUICK: Shape = (2, 2, 2, 256, 256)


if TYPE_CHECKING:
    _ParamType = click.ParamType[Shape]
else:
    _ParamType = click.ParamType


class _Size(_ParamType):
    name = "RxCxZxYxX"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Shape:
        try:
            rounds, chs, zplanes, rows, columns = map(int, str(value).lower().split("x"))
        except ValueError:
            rounds = chs = zplanes = rows = columns = 0
        if min(rounds, chs, zplanes, rows, columns) < 1:
            self.fail(f"{value!r} is not five numbers from 1, like 4x3x8x1024x1024", param, ctx)
        return rounds, chs, zplanes, rows, columns


@click.command()
@click.option("--quick", is_flag=True, help="A small image and few turns: does everything work?")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
@click.option(
    "--plot", type=click.Path(dir_okay=False, path_type=Path), help="Write a bar chart here."
)
@click.option(
    "--size",
    type=_Size(),
    help="Rounds, channels, z-planes, rows, columns. Default: 4x3x8x1024x1024.",
)
@click.option(
    "--layout",
    "layouts",
    type=click.Choice(list(LAYOUTS)),
    multiple=True,
    default=["per-round"],
    show_default=True,
    help="How the image is cut into files; can be given several times.",
)
@click.option("--repeat", type=click.IntRange(1), help="How many turns. Default: 7, quick 3.")
def main(
    quick: bool,
    as_json: bool,
    plot: Path | None,
    size: Shape | None,
    layouts: tuple[str, ...],
    repeat: int | None,
) -> None:
    """Bring one image into memory by every library that can, in turns.

    Exit status 1 if starfish_fetch, or the limit, brought a wrong pixel or none.
    """
    if plot is not None:
        require_matplotlib("--plot")
    shape = size or (_QUICK if quick else _FULL)
    turns = repeat or (3 if quick else 7)
    runs = [_run(shape, layout, turns) for layout in dict.fromkeys(layouts)]
    described = machine()
    if as_json:
        click.echo(json.dumps(to_json(runs, machine=described, repeat=turns), indent=1))
    else:
        for run in runs:
            print_run(run)
        click.echo(f"\nMedians of {turns} turns. {_in_words(described)}.")
    if plot is not None:
        from benchmarks.peers._plot import plot as draw

        caption = f"Medians of {turns} turns on {described['cpus']} CPUs."
        draw(runs, caption=caption).savefig(plot)
    own = {Limit.name, Ours.name, OursOneFile.name}
    if any(one.name in own and not one.ok for run in runs for one in run.results):
        raise SystemExit(1)


def _run(shape: Shape, layout: str, repeat: int) -> Run:
    with TemporaryDirectory(prefix="peers-") as folder:
        image = Image.write(shape, LAYOUTS[layout], Path(folder))
        with progress_bar(True, layout, repeat * len(PEERS)) as advance:
            results = measure(image, PEERS, repeat=repeat, advance=advance)
        return Run(layout, shape, len(image.paths), results)


def _in_words(described: dict[str, str | int]) -> str:
    return (
        f"{described['processor']}, {described['cpus']} CPUs to use, "
        f"{int(described['memory_bytes']) / 1e9:.0f} GB, {described['system']}, "
        f"Python {described['python']}, numpy {described['numpy']}"
    )
