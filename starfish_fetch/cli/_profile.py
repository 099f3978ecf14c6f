"""``starfish-fetch profile`` and ``starfish-fetch compare``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from starfish_fetch.axes import Axes
from starfish_fetch.cli._errors import asked, one_line, others_code
from starfish_fetch.cli._options import (
    LABELS_SYNTAX,
    ORDER,
    OUTPUT,
    fetched_image_options,
    json_option,
)
from starfish_fetch.cli._output import echo_json, saving, wants_progress

if TYPE_CHECKING:
    from starfish_fetch.profile import LoadProfile

__all__ = ["compare", "profile"]

_PICTURES = (".png", ".svg")


def _orders(
    ctx: click.Context, param: click.Parameter, given: Sequence[str]
) -> list[tuple[Axes, ...] | None] | None:
    names = [name for item in given for name in item.split()]
    return [ORDER.convert(name, param, ctx) for name in names] or None


@click.command(
    epilog="\b\nExamples:\n"
    "  starfish-fetch profile data\n"
    "  starfish-fetch profile my_fetcher.py:make --like data --html profile.html\n"
    "  starfish-fetch profile my_fetcher.py:make --rounds 4 --chs 3 --zplanes 5 \\\n"
    "      --size 2048 --orders r,c --orders none --cold --out after.json\n"
    "  starfish-fetch profile data --breakeven spacetx --html profile.html\n"
    "  starfish-fetch compare before.json after.json\n\n" + LABELS_SYNTAX
)
@click.argument("fetcher")
@fetched_image_options(
    like="A synth dataset with the same labels and tile shape.",
)
@click.option(
    "--orders",
    multiple=True,
    callback=_orders,
    metavar="AXES|none",
    help="Load in this order, slowest axis first (r,c), or in the loader's own (none); can be "
    "given several times.  [default: all six, and none]",
)
@click.option(
    "--repeat",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="Timed loads in each order; with fewer than 4, times cannot be compared.",
)
@click.option("--cold", is_flag=True, help="Drop the files from the page cache before each load.")
@click.option(
    "--workers", type=click.IntRange(min=1), help="Threads, for a fetcher that is thread-safe."
)
@click.option(
    "--breakeven",
    "targets",
    type=click.Choice(["spacetx", "ome-zarr"]),
    multiple=True,
    help="Also convert into this format in a temporary folder, measure loading that, and say after "
    "how many loads the conversion has paid; can be given several times.",
)
@click.option("--out", type=OUTPUT, help="Save the profile in this .json file, to compare with.")
@click.option("--plot", type=OUTPUT, help="Draw it into this .png or .svg file.")
@click.option("--html", type=OUTPUT, help="Write it as one page for a browser.")
@json_option
def profile(
    *,
    fetcher: str,
    like: Path | None,
    fov: int | None,
    orders: Sequence[tuple[Axes, ...] | None] | None,
    repeat: int,
    cold: bool,
    workers: int | None,
    targets: tuple[str, ...],
    out: Path | None,
    plot: Path | None,
    html: Path | None,
    as_json: bool,
    **labels: Any,
) -> None:
    """Measure what loading through FETCHER costs in every order, and say which to use.

    FETCHER is path/to/file.py:factory or package.module:factory, where calling factory() returns
    a fresh fetcher, or the folder of a synth dataset, of an experiment in SpaceTx format or of
    OME-Zarr. The image's labels and tile shape come with the folder, from --like, from --rounds,
    --chs, --zplanes and --size, or from an attribute 'extent' of the fetcher.

    Counted are opens and bytes, exactly; seconds are the median of several loads, each by a fresh
    fetcher. Beside them stands what the fetcher's 'source' predicts, and where the two differ,
    why.
    """
    from starfish_fetch.cli._fetchers import Labels, find
    from starfish_fetch.cli._profile_report import print_profile
    from starfish_fetch.convert import breakeven
    from starfish_fetch.profile import profile_orders

    _check_places(out=out, plot=plot, html=html)
    if cold:
        _check_cold()
    if orders is not None and len({*orders}) < len(orders):
        raise click.UsageError("--orders: an order is given more than once")
    if "ome-zarr" in targets:
        _check_ome_zarr()
    subject = find(fetcher, like, Labels(**labels, fov=fov), unmade=True)
    with others_code():
        found = profile_orders(
            subject.make,
            subject.extent,
            orders,
            repeat=repeat,
            cold=cold,
            workers=workers,
            progress=wants_progress(),
        )
        converted = [
            breakeven(
                subject.make,
                subject.extent,
                target,  # type: ignore[arg-type]
                direct=found,
                progress=wants_progress(),
            )
            for target in dict.fromkeys(targets)
        ]
    found = replace(found, breakevens=tuple(converted))
    saved = _save(found, out=out, plot=plot, html=html)
    if as_json:
        echo_json({"command": "profile", "ok": True, **json.loads(found.to_json())})
        return
    print_profile(found)
    for one in found.breakevens:
        click.echo(f"\n{one}")
    for name, path in saved.items():
        click.echo(f"{name} in {path}")


def _check_places(**places: Path | None) -> None:
    """Find out before the work whether what is asked for can be written."""
    given = [path.resolve() for path in places.values() if path is not None]
    if len({*given}) < len(given):
        raise click.UsageError("--out, --plot and --html: two of them name the same file")
    for name, path in places.items():
        if path is not None and not path.absolute().parent.is_dir():
            raise click.UsageError(f"--{name}: there is no folder {str(path.absolute().parent)!r}")
    plot = places["plot"]
    if plot is None:
        return
    if plot.suffix.lower() not in _PICTURES:
        raise click.UsageError(f"--plot: {str(plot)!r} ends neither in .png nor in .svg")
    from starfish_fetch.plots import require_matplotlib

    require_matplotlib("--plot")


def _check_cold() -> None:
    from starfish_fetch.profile._cold import drop_from_cache

    try:
        drop_from_cache(())
    except NotImplementedError as error:
        raise click.UsageError(f"--cold: {error}") from error


def _check_ome_zarr() -> None:
    from starfish_fetch.interop._ome_zarr_group import load_writer, load_zarr

    load_zarr()
    load_writer()


def _save(
    found: LoadProfile, *, out: Path | None, plot: Path | None, html: Path | None
) -> dict[str, Path]:
    saved = {}
    if out is not None:
        saved["profile"] = out
        with saving(out) as temporary:
            temporary.write_text(found.to_json() + "\n", encoding="utf-8")
    if plot is not None:
        saved["plot"] = plot
        figure = found.plot()
        with saving(plot) as temporary:
            figure.savefig(temporary, format=plot.suffix[1:].lower())
    if html is not None:
        saved["page"] = html
        page = found.to_html()
        with saving(html) as temporary:
            temporary.write_text(page, encoding="utf-8")
    return saved


@click.command(
    epilog="\b\nExample:\n"
    "  starfish-fetch profile my_fetcher.py:make --like data --out before.json\n"
    "  ... change the fetcher ...\n"
    "  starfish-fetch profile my_fetcher.py:make --like data --out after.json\n"
    "  starfish-fetch compare before.json after.json"
)
@click.argument("before", type=click.Path(path_type=Path))
@click.argument("after", type=click.Path(path_type=Path))
@json_option
@click.pass_context
def compare(ctx: click.Context, /, before: Path, after: Path, as_json: bool) -> None:
    """Say for each load order whether it became worse between two profiles.

    BEFORE and AFTER are files that 'profile' wrote with --out, or printed with --json. Counts are
    compared exactly; seconds by the confidence interval of their ratio, on one kind of machine
    only.

    Exit status 1 if any order became worse: more opens, more bytes, or more seconds.
    """
    from starfish_fetch.cli._profile_report import print_comparison
    from starfish_fetch.profile import compare as compare_profiles

    profiles = [_read(path) for path in (before, after)]
    with asked():
        found = compare_profiles(*profiles)
    if as_json:
        files = {"before": str(before), "after": str(after)}
        echo_json({"command": "compare", **files, **json.loads(found.to_json())})
    else:
        print_comparison(found)
    ctx.exit(0 if found.ok else 1)


def _read(path: Path) -> LoadProfile:
    from starfish_fetch.profile import LoadProfile

    try:
        text = path.read_bytes()
    except OSError as error:
        raise click.UsageError(
            f"{one_line(error)}; give a file that 'profile' wrote with --out"
        ) from error
    with asked(str(path)):
        return LoadProfile.from_json(text)
