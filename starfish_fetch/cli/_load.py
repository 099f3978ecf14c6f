"""``starfish-fetch load``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from starfish_fetch.cli._options import (
    LABELS_SYNTAX,
    ORDER,
    OUTPUT,
    RANGE,
    SELECTION,
    fetched_image_options,
    json_option,
)
from starfish_fetch.cli._output import echo_json, in_units, wants_progress

if TYPE_CHECKING:
    from starfish_fetch.cli._run import Outcome, Request

__all__ = ["load"]


@click.command(
    epilog="\b\nExamples:\n"
    "  starfish-fetch load data --verify\n"
    "  starfish-fetch load my_fetcher.py:make --rounds 4 --chs 3 --zplanes 5 \\\n"
    "      --size 2048 --group-by c,r --out stack.npy\n"
    "  starfish-fetch load my_fetcher.py:make --like data --verify\n\n" + LABELS_SYNTAX
)
@click.argument("fetcher")
@fetched_image_options(
    like="A synth dataset that holds the same image: it gives the labels, and what to verify by.",
)
@click.option(
    "--group-by",
    type=ORDER,
    help="Load order, slowest axis first (r,c).  [default: none, which leaves it to the loader]",
)
@click.option("--crop-y", type=RANGE, help="Rows to keep; both ends may be left out or negative.")
@click.option("--crop-x", type=RANGE, help="Columns to keep.")
@click.option("--select-rounds", type=SELECTION, help="Rounds to keep; a number is a label here.")
@click.option("--select-chs", type=SELECTION, help="Channels to keep.")
@click.option("--select-zplanes", type=SELECTION, help="Z-planes to keep.")
@click.option(
    "--dtype",
    type=click.Choice(["float32", "own"]),
    default="float32",
    show_default=True,
    help="Of the stack: float32 from 0 to 1, or the tiles' own.",
)
@click.option(
    "--workers", type=click.IntRange(min=1), help="Threads, for a fetcher that is thread-safe."
)
@click.option(
    "--on-error",
    type=click.Choice(["raise", "fill"]),
    default="raise",
    show_default=True,
    help="Stop at a tile that cannot be had, or fill it with 0 and go on.",
)
@click.option("--out", type=OUTPUT, help="Save the stack in this .npy file.")
@click.option(
    "--verify", is_flag=True, help="Compare every pixel with what the dataset should hold."
)
@json_option
@click.pass_context
def load(
    ctx: click.Context,
    /,
    fetcher: str,
    like: Path | None,
    fov: int | None,
    out: Path | None,
    verify: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Load the image that FETCHER provides, and say what that took.

    FETCHER is path/to/file.py:factory or package.module:factory, where calling factory() returns
    a fetcher, or the folder of a synth dataset, of an experiment in SpaceTx format or of
    OME-Zarr. The image's labels and tile shape come with the folder, from --like, from --rounds,
    --chs, --zplanes and --size, or from an attribute 'extent' of the fetcher.

    With --verify, exit status 1 if a pixel is wrong; then nothing is saved.
    """
    from starfish_fetch.cli._fetchers import Labels, find
    from starfish_fetch.cli._run import Request, run

    if out is not None and not out.absolute().parent.is_dir():
        raise click.UsageError(f"--out: there is no folder {str(out.absolute().parent)!r}")
    sizes = {name: options.pop(name) for name in ("rounds", "chs", "zplanes", "size")}
    subject = find(fetcher, like, Labels(**sizes, fov=fov))
    if verify and subject.dataset is None:
        raise click.UsageError("--verify needs to know the pixels: give --like with a dataset")
    request = Request.of(subject, verify=verify, progress=wants_progress(), **options)
    outcome = run(request, out)
    saved = out if outcome.ok else None
    if as_json:
        echo_json(_as_json(fetcher, request, outcome, saved))
    else:
        _print(request, outcome, saved)
    ctx.exit(0 if outcome.ok else 1)


def _print(request: Request, outcome: Outcome, saved: Path | None) -> None:
    shape = ", ".join(f"{axis}: {size}" for axis, size in outcome.stack.shape.items())
    files = "1 file" if outcome.files == 1 else f"{outcome.files} files"
    lines = {
        "shape": shape,
        "dtype": f"{outcome.array.dtype} ({in_units(outcome.array.nbytes)})",
        "order": _order_words(request, outcome),
        "seconds": f"{outcome.seconds:.4f}",
        "file opens": f"{outcome.opens} ({files})",
    }
    missing = [f"round {key.round}, ch {key.ch}, zplane {key.zplane}" for key in outcome.missing]
    if missing:
        lines["missing"] = f"{len(missing)} tiles: {'; '.join(missing)}"
    if outcome.compared is not None:
        compared = outcome.compared
        lines["verified"] = f"{compared.right:,} of {compared.pixels:,} pixels are right"
    if saved is not None:
        lines["saved in"] = str(saved)
    elif not outcome.ok:
        lines["saved in"] = "nothing: what was loaded is wrong"
    for name, text in lines.items():
        click.echo(f"{name + ':':<12}{text}")
    for problem in outcome.problems:
        click.echo(f"WRONG: {problem}")


def _order_words(request: Request, outcome: Outcome) -> str:
    if request.group_by is not None:
        return ",".join(request.group_by)
    known = outcome.stack.plan.sources is not None
    return f"None ({'one source after another' if known else 'r,c,z: no source is known'})"


def _as_json(
    reference: str, request: Request, outcome: Outcome, saved: Path | None
) -> dict[str, Any]:
    compared = outcome.compared
    group_by = request.group_by
    return {
        "command": "load",
        "ok": outcome.ok,
        "fetcher": reference,
        "fov": request.subject.extent.fov,
        "shape": {str(axis): size for axis, size in outcome.stack.shape.items()},
        "labels": {axis: outcome.stack.axis_labels(axis) for axis in ("r", "c", "z")},
        "dtype": outcome.array.dtype.name,
        "bytes": outcome.array.nbytes,
        "group_by": None if group_by is None else [str(axis) for axis in group_by],
        "seconds": outcome.seconds,
        "opens": outcome.opens,
        "files": outcome.files,
        "missing": [key._asdict() for key in outcome.missing],
        "pixels_verified": None if compared is None else compared.pixels,
        "pixels_right": None if compared is None else compared.right,
        "problems": list(outcome.problems),
        "out": None if saved is None else str(saved),
    }
