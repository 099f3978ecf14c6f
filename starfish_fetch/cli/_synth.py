"""``starfish-fetch synth``: write a known dataset, verify one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from starfish_fetch.cli._errors import Group, asked
from starfish_fetch.cli._options import (
    INNER,
    LABELS,
    LABELS_SYNTAX,
    NAMED_LAYOUTS,
    SIZE,
    compression_from,
    image_options,
    json_option,
    layout_from,
    spec_from,
)
from starfish_fetch.cli._output import echo_json, in_units, wants_progress
from starfish_fetch.cli._spots import spots_from, spots_options
from starfish_fetch.units import of_seconds, short

if TYPE_CHECKING:
    from synth import Dataset, Estimate, Problem

__all__ = ["open_dataset", "synth"]

_BYTE_ORDERS = {"little": "<", "big": ">", "<": "<", ">": ">"}


@click.group(
    cls=Group,
    invoke_without_command=True,
    epilog="\b\nExample:\n  starfish-fetch synth write --help",
)
@click.pass_context
def synth(ctx: click.Context) -> None:
    """Write 5-D images of which every pixel is known, and verify them."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@synth.command(
    epilog="\b\nExamples:\n"
    "  starfish-fetch synth write data --rounds 4 --chs 3 --zplanes 5 \\\n"
    "      --size 120x30 --layout per-round\n"
    "  starfish-fetch synth write data --rounds 1-4 --chs 0,2 --zplanes=-3..5 \\\n"
    "      --size 64 --layout 'r{r}_c{c}.tiff' --inner z\n"
    "  starfish-fetch synth write data --content spots --size 256 --molecules 300\n\n"
    + LABELS_SYNTAX
)
@click.argument("root", type=click.Path(file_okay=False, path_type=Path))
@image_options({"rounds": "4", "chs": "3", "zplanes": "5", "size": "120x30"})
@click.option(
    "--fovs", type=LABELS, default="1", show_default=True, help="Labels of the fields of view."
)
@click.option(
    "--layout",
    default="per-round-ch",
    show_default=True,
    metavar="NAME|TEMPLATE",
    help=f"How the image is cut into files: {', '.join(NAMED_LAYOUTS)}, or a template of paths "
    "with the fields {fov}, {r}, {c}, {z}.",
)
@click.option("--inner", type=INNER, help="Axes inside each file of a template, slowest first.")
@click.option("--bigtiff", is_flag=True, help="Write BigTIFF, which files of 4 GiB need.")
@click.option(
    "--byteorder",
    type=click.Choice(list(_BYTE_ORDERS)),
    default="little",
    show_default=True,
    help="Of the files.",
)
@spots_options
@click.option("--no-ome", is_flag=True, help="Leave the OME-XML description out of the files.")
@click.option(
    "--format",
    type=click.Choice(["tiff", "imagej", "npy"]),
    default="tiff",
    show_default=True,
    help="Of the files; imagej: hyperstacks, in which c runs fastest and r slowest.",
)
@click.option(
    "--tiff-tile", type=SIZE, metavar="YxX", help="Cut planes into TIFF tiles of this size."
)
@click.option(
    "--rows-per-strip", type=click.IntRange(min=1), help="Cut planes into strips of so many rows."
)
@click.option("--predictor", is_flag=True, help="Compress the differences between neighbours.")
@click.option(
    "--linked",
    is_flag=True,
    help="Let the OME-XML of each file name all files of its field of view, as one image.",
)
@click.option(
    "--damage",
    type=INNER,
    metavar="KINDS",
    default="",
    help="Known-bad data: missing, truncated, swapped, with commas between them, each as often as "
    "it is to be done; dataset.json says to which files.",
)
@click.option(
    "--overwrite",
    is_flag=True,
    help="Delete another dataset that ROOT holds: its files, and none that are of no dataset.",
)
@click.option("--workers", type=click.IntRange(min=1), help="Files written at the same time.")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Leave ROOT untouched; say how many files and bytes it would be, how long it would "
    "take, and whether it would be refused.",
)
@json_option
@click.pass_context
def write(
    ctx: click.Context,
    /,
    root: Path,
    layout: str,
    inner: tuple[str, ...] | None,
    compression: str,
    bigtiff: bool,
    byteorder: str,
    no_ome: bool,
    format: str,
    tiff_tile: tuple[int, int] | None,
    rows_per_strip: int | None,
    predictor: bool,
    linked: bool,
    damage: tuple[str, ...],
    overwrite: bool,
    workers: int | None,
    dry_run: bool,
    as_json: bool,
    content: str,
    molecules: int | None,
    targets: str | None,
    overlap: float | None,
    others: str | None,
    **image: Any,
) -> None:
    """Write a 5-D image into the folder ROOT, as TIFF files in any layout.

    Files appear whole or not at all; after an interruption, the same command writes what is
    missing. Another dataset in ROOT is left alone without --overwrite. Content spots comes with
    its truth: codebook.json, and the molecules of each field of view in truth_fov0.csv and so on.
    """
    import synth

    spots = spots_from(
        content, molecules=molecules, targets=targets, overlap=overlap, others=others
    )
    spec, cut = (
        spec_from(content=content, spots=spots, **image),
        layout_from(layout, inner, ".npy" if format == "npy" else ".tiff"),
    )
    options: dict[str, Any] = {
        "compression": compression_from(compression),
        "bigtiff": bigtiff,
        "byteorder": _BYTE_ORDERS[byteorder],
        "ome": not no_ome,
        "format": format,
        "tiff_tile": tiff_tile,
        "rows_per_strip": rows_per_strip,
        "predictor": predictor,
        "linked": linked,
    }
    if dry_run:
        with asked():
            expected = synth.estimate(
                spec,
                cut,
                root,
                options=synth.Options(**options),
                damage=damage,
                overwrite=overwrite,
                workers=workers,
            )
        _report_estimate(root, expected, as_json)
        ctx.exit(0 if expected.fits else 1)
    with asked():
        paths = [path for path, _, _ in cut.files(spec.extent(spec.fovs[0]), spec.fovs)]
    before = {path: _changed(root / path) for path in paths}
    start = time.perf_counter()
    with asked():
        dataset = synth.write(
            spec,
            cut,
            root,
            **options,
            damage=damage,
            overwrite=overwrite,
            workers=workers,
            progress=wants_progress(),
        )
    there = sum(when is not None and when == _changed(root / path) for path, when in before.items())
    _report_write(dataset, there, time.perf_counter() - start, as_json)


def _changed(path: Path) -> int | None:
    """Return when a file was last changed; None if there is none."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None


def _report_estimate(root: Path, expected: Estimate, as_json: bool) -> None:
    if as_json:
        report = {"command": "synth write", "dry_run": True, "ok": expected.fits}
        echo_json({**report, "root": str(root), **vars(expected)})
        return
    click.echo(
        f"{root}: {expected.files} files, {expected.tiles} tiles, about "
        f"{in_units(expected.bytes)}; nothing is written"
    )
    if expected.truth_files:
        truth = in_units(expected.truth_bytes)
        click.echo(f"beside them {expected.truth_files} files of the truth, about {truth}")
    if expected.files_there:
        click.echo(f"{expected.files_there} of the files are there: they are not written again")
    if expected.files_deleted:
        deleted = in_units(expected.bytes_deleted)
        click.echo(
            f"another dataset is there: its {expected.files_deleted} files, {deleted}, "
            "will be deleted first"
        )
    unit, per_second = of_seconds([expected.seconds_to_disk])
    seconds, to_disk = (
        f"{short(value * per_second)} {unit}"
        for value in (expected.seconds, expected.seconds_to_disk)
    )
    click.echo(f"about {seconds}; {to_disk} until all of it is on the disk")
    room = "enough" if expected.fits else "too little"
    click.echo(f"{in_units(expected.free)} are free: {room}")


def _report_write(dataset: Dataset, there: int, seconds: float, as_json: bool) -> None:
    from synth import molecules, target_names

    spec = dataset.spec
    counts = [len(one) for one in (spec.fovs, spec.rounds, spec.chs, spec.zplanes)]
    tiles = counts[0] * counts[1] * counts[2] * counts[3]
    files = len(dataset.files)
    nbytes = sum(record.bytes for record in dataset.files.values())
    if as_json:
        echo_json(
            {
                "command": "synth write",
                "ok": True,
                "root": str(dataset.root),
                "image": spec.to_json(),
                "template": dataset.layout.template,
                "inner": [str(axis) for axis in dataset.layout.inner],
                "files": files,
                "files_already_there": there,
                "tiles": tiles,
                "bytes": nbytes,
                "damage": [one.to_json() for one in dataset.damage],
                "seconds": seconds,
            }
        )
        return
    rows, columns = spec.tile_shape
    before = f" ({there} of them were there, not looked into: see synth verify)" if there else ""
    click.echo(
        f"{dataset.root}: {files} files{before}, {tiles} tiles of {rows} x {columns} pixels, "
        f"{in_units(nbytes)}"
    )
    click.echo(
        f"fovs {_listed(spec.fovs)}; rounds {_listed(spec.rounds)}; chs {_listed(spec.chs)}; "
        f"zplanes {_listed(spec.zplanes)}; {spec.dtype}, {spec.content}, seed {spec.seed}"
    )
    inner = ", ".join(dataset.layout.inner) or "one tile"
    if spec.content == "spots":
        seen = sum(len(molecules(spec, fov)) for fov in spec.fovs)
        click.echo(f"{seen} molecules of {len(target_names(spec))} targets, codebook.json")
    click.echo(f"layout {dataset.layout.template} with {inner} inside; {seconds:.2f} s")
    for one in dataset.damage:
        click.echo(f"damaged on purpose: {one}")


def _listed(labels: Sequence[int]) -> str:
    shown = [str(label) for label in labels]
    return ",".join([*shown[:6], "...", shown[-1]] if len(shown) > 8 else shown)


@synth.command(epilog="\b\nExample:\n  starfish-fetch synth verify data")
@click.argument("root", type=click.Path(path_type=Path))
@json_option
@click.pass_context
def verify(ctx: click.Context, root: Path, as_json: bool) -> None:
    """Compare every file and pixel of the dataset in ROOT with what was written.

    Lists each problem, one line each; exit status 1 if there is any. What --damage asked for is
    listed too, and is no problem.
    """
    result = open_dataset(root).verify(progress=wants_progress())
    if as_json:
        echo_json(
            {
                "command": "synth verify",
                "ok": result.ok,
                "root": str(root),
                "files": result.files,
                "tiles": result.tiles,
                "problems": list(map(_problem, result.problems)),
                "on_purpose": list(map(_problem, result.on_purpose)),
            }
        )
    else:
        for one in (*result.problems, *result.on_purpose):
            click.echo(" ".join(str(one).splitlines()))
        verdict = "every pixel is right" if result.ok else f"{len(result.problems)} problems"
        if result.on_purpose:
            verdict += f", but for {len(result.on_purpose)} files damaged on purpose"
        click.echo(f"{root}: {result.files} files, {result.tiles} tiles: {verdict}")
        if not result.ok:
            click.echo(
                "delete the files that are wrong, and the command that wrote them mends all",
                err=True,
            )
    ctx.exit(0 if result.ok else 1)


def _problem(problem: Problem) -> dict[str, Any]:
    tile = None if problem.tile is None else problem.tile._asdict()
    return {"path": problem.path, "fov": problem.fov, "tile": tile, "message": problem.message}


def open_dataset(root: Path) -> Dataset:
    """Open a dataset; that there is none is the fault of who gave the command."""
    from synth import Dataset

    try:
        return Dataset.open(root)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise click.UsageError(f"{root} holds no dataset: {error.strerror}") from error
