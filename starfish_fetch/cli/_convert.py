"""``starfish-fetch convert``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from starfish_fetch.axes import Axes, Extent
from starfish_fetch.cli._errors import asked, others_code
from starfish_fetch.cli._options import LABELS_SYNTAX, ORDER, fetched_image_options, json_option
from starfish_fetch.cli._output import echo_json, wants_progress

if TYPE_CHECKING:
    from starfish_fetch.cli._fetchers import Subject
    from starfish_fetch.convert import Conversion
    from starfish_fetch.profile import Breakeven

__all__ = ["convert"]

_OF_SPACETX = ("tile_format", "codebook", "also")
_OF_OME_ZARR = ("ome_version", "levels", "chunk", "unit")


def _named(
    ctx: click.Context, param: click.Parameter, given: Sequence[str]
) -> dict[str, str] | None:
    images: dict[str, str] = {}
    for item in given:
        name, equals, reference = item.partition("=")
        if not equals or name in images:
            raise click.BadParameter(f"{item!r}: write NAME=FETCHER, each name once")
        images[name] = reference
    return images or None


@click.command(
    epilog="\b\nExamples:\n"
    "  starfish-fetch convert data experiment --to spacetx\n"
    "  starfish-fetch convert my_fetcher.py:make image.ome.zarr --to ome-zarr --like data\n"
    "  starfish-fetch convert my_fetcher.py:make experiment --to spacetx --fovs 0-11 \\\n"
    "      --rounds 4 --chs 3 --zplanes 5 --size 2048 --codebook codebook.json \\\n"
    "      --also nuclei=my_fetcher.py:make_nuclei\n\n" + LABELS_SYNTAX
)
@click.argument("fetcher")
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--to",
    "target",
    type=click.Choice(["spacetx", "ome-zarr"]),
    required=True,
    help="Into which format.",
)
@fetched_image_options(like="A synth dataset with the same labels and tile shape.", fovs=True)
@click.option(
    "--group-by",
    type=ORDER,
    help="Load order, slowest axis first (r,c).  [default: none, which leaves it to the loader]",
)
@click.option(
    "--tile-format",
    type=click.Choice(["NUMPY", "TIFF"], case_sensitive=False),
    help="Of the tile files of SpaceTx format.  [default: NUMPY]",
)
@click.option(
    "--codebook",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The codebook.json of the experiment.  [default: one to be replaced]",
)
@click.option(
    "--also",
    multiple=True,
    callback=_named,
    metavar="NAME=FETCHER",
    help="Another image of the experiment, nuclei or dots, from a fetcher that has an attribute "
    "'extent', or from a dataset; can be given several times.",
)
@click.option(
    "--ome-version", type=click.Choice(["0.5", "0.4"]), help="Of OME-Zarr.  [default: 0.5]"
)
@click.option(
    "--levels",
    type=click.IntRange(min=1),
    help="Resolutions of OME-Zarr, each half of the one before.  [default: 1]",
)
@click.option(
    "--chunk",
    type=click.IntRange(min=1),
    help="Most rows and columns of a chunk of OME-Zarr.  [default: 1024]",
)
@click.option("--unit", help="Of the physical coordinates, in OME-Zarr.  [default: micrometer]")
@click.option(
    "--workers", type=click.IntRange(min=1), help="Threads, for a fetcher that is thread-safe."
)
@click.option(
    "--breakeven",
    is_flag=True,
    help="Also measure loading in every order, directly and from OUT, and say after how many loads "
    "the conversion has paid.",
)
@click.option("--overwrite", is_flag=True, help="Replace a finished conversion that OUT holds.")
@json_option
def convert(
    *,
    fetcher: str,
    out: Path,
    target: str,
    like: Path | None,
    fovs: tuple[int, ...] | None,
    group_by: tuple[Axes, ...] | None,
    workers: int | None,
    breakeven: bool,
    overwrite: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Write the image that FETCHER provides into the folder OUT, in a format others open.

    FETCHER is path/to/file.py:factory or package.module:factory, where calling factory() returns
    a fetcher, or the folder of a synth dataset, of an experiment in SpaceTx format or of
    OME-Zarr. The image's labels and tile shape come with the folder, from --like, from --rounds,
    --chs, --zplanes and --size, or from an attribute 'extent' of the fetcher.

    OUT appears whole or not at all. After an interruption, the same command writes what is
    missing; what is in OUT already is left alone without --overwrite.
    """
    from starfish_fetch.cli._fetchers import Labels, find

    sizes = {name: options.pop(name) for name in ("rounds", "chs", "zplanes", "size")}
    given = _options_of(target, options)
    subject = find(fetcher, like, Labels(**sizes))
    extents = _extents(subject, fovs)
    also = given.pop("also", None) or {}
    if also:
        others = {name: find(reference, None, Labels()) for name, reference in also.items()}
        given["others"] = {name: (one.fetcher, _extents(one, fovs)) for name, one in others.items()}
    rest = {"group_by": group_by, "workers": workers}
    with asked():
        job = _job(target)(subject.fetcher, extents, out, overwrite=overwrite, **given, **rest)
    if breakeven:
        found = _measured(subject, extents, target, out, given | rest)
        _report(found, fetcher, as_json)
        return
    with others_code():
        done = job.run(progress=wants_progress())
    _report(done, fetcher, as_json)


def _report(found: Conversion | Breakeven, fetcher: str, as_json: bool) -> None:
    if as_json:
        report = {"command": "convert", "ok": True, "fetcher": fetcher}
        echo_json({**report, **json.loads(found.to_json())})
    else:
        click.echo(str(found))


def _measured(
    subject: Subject, extents: tuple[Extent, ...], target: str, out: Path, options: dict[str, Any]
) -> Breakeven:
    from starfish_fetch.convert import breakeven

    if len(extents) > 1:
        raise click.UsageError("--breakeven measures one field of view: name it by --fovs (0,)")
    if out.exists():
        raise click.UsageError(
            f"--breakeven times a conversion from its beginning, and {str(out)!r} is there: name "
            "another folder"
        )
    with others_code():
        return breakeven(
            subject.make,
            extents[0],
            target,  # type: ignore[arg-type]
            out,
            progress=wants_progress(),
            **options,
        )


def _job(target: str) -> Any:
    if target == "spacetx":
        from starfish_fetch.convert._spacetx import spacetx_job

        return spacetx_job
    from starfish_fetch.convert._ome_zarr import ome_zarr_job

    return ome_zarr_job


def _options_of(target: str, options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that were given; refuse those of the other format."""
    given = {name: value for name, value in options.items() if value is not None}
    for name in _OF_OME_ZARR if target == "spacetx" else _OF_SPACETX:
        if name in given:
            raise click.UsageError(f"--{name.replace('_', '-')} is not for --to {target}")
    if "ome_version" in given:
        given["version"] = given.pop("ome_version")
    return given


def _extents(subject: Subject, fovs: tuple[int, ...] | None) -> tuple[Extent, ...]:
    """Return the extent of each field of view that is to be converted."""
    if subject.dataset is not None:
        with asked("--fovs"):
            return tuple(subject.dataset.extent(fov) for fov in fovs or subject.dataset.spec.fovs)
    of_fov = getattr(subject.fetcher, "extent_of", None)
    if of_fov is None:
        return tuple(replace(subject.extent, fov=fov) for fov in fovs or (subject.extent.fov,))
    with asked("--fovs"):
        return tuple(of_fov(fov) for fov in fovs or subject.fetcher.fovs)
