"""``starfish-fetch demo``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from starfish_fetch.cli._errors import asked
from starfish_fetch.cli._options import (
    INNER,
    LABELS_SYNTAX,
    OUTPUT,
    PRESETS,
    compression_from,
    image_options,
    json_option,
    layout_from,
    spec_from,
)
from starfish_fetch.cli._output import echo_json, saving, wants_progress
from starfish_fetch.progress import progress_bar

if TYPE_CHECKING:
    from starfish_fetch.cli._demo import Series
    from starfish_fetch.layout import Layout
    from synth import Spec

__all__ = ["demo"]


@click.command(
    epilog="\b\nExamples:\n"
    "  starfish-fetch demo\n"
    "  starfish-fetch demo --size 1024 --layout per-round --plot orders.png\n"
    "  starfish-fetch demo --layout 'r{r}/z{z:03d}.tiff' --inner c\n\n" + LABELS_SYNTAX
)
@image_options({"rounds": "4", "chs": "3", "zplanes": "5", "size": "256"})
@click.option(
    "--layout",
    "layouts",
    multiple=True,
    metavar="NAME|TEMPLATE",
    help=f"How the image is cut into files: {', '.join(PRESETS)}, or a template of paths; can be "
    "given several times. Default: those four.",
)
@click.option("--inner", type=INNER, help="Axes inside each file of a template, slowest first.")
@click.option(
    "--repeat",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="Loads in each order; the fastest counts.",
)
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    help="Leave the files in this folder.",
)
@click.option("--plot", type=OUTPUT, help="Draw the result into this .png or .svg file.")
@json_option
@click.pass_context
def demo(
    ctx: click.Context,
    /,
    layouts: Sequence[str],
    inner: tuple[str, ...] | None,
    repeat: int,
    compression: str,
    keep: Path | None,
    plot: Path | None,
    as_json: bool,
    **image: Any,
) -> None:
    """Show what the load order costs, on an image made for it.

    Writes one image in several layouts, loads each in every order through two fetchers, compares
    every pixel with what was written, and reports seconds and file opens. Exit status 1 if a
    pixel was wrong.
    """
    spec = spec_from(**image)
    chosen = _layouts(layouts, inner, spec)
    if plot is not None:
        _check_plot(plot)
    from starfish_fetch.cli._demo import FETCHERS, ORDERS, measure_layout
    from starfish_fetch.cli._demo_report import Report

    results: list[Series] = []
    loads = len(chosen) * len(FETCHERS) * len(ORDERS) * repeat
    with progress_bar(wants_progress(), "loads", loads) as advance:
        for name, layout in chosen.items():
            results += measure_layout(
                spec,
                name,
                layout,
                repeat=repeat,
                compression=compression_from(compression),
                keep=keep,
                advance=advance,
            )
    report = Report(results, spec, repeat)
    if as_json:
        echo_json(report.as_json())
    else:
        report.print()
    if plot is not None:
        with saving(plot) as temporary:
            kind = plot.suffix[1:].lower()
            report.figure().savefig(temporary, format=kind, facecolor="white")
    for name, path in (("files", keep), ("plot", plot)):
        if path is not None and not as_json:
            click.echo(f"{name} in {path}")
    ctx.exit(0 if report.ok else 1)


def _layouts(names: Sequence[str], inner: tuple[str, ...] | None, spec: Spec) -> dict[str, Layout]:
    """Return the layouts by name; a template's name can be that of a folder."""
    layouts: dict[str, Layout] = {}
    templates = [name for name in names if "{" in name]
    if inner is not None and not templates:
        raise click.UsageError("--inner goes with a template for --layout")
    for name in names or PRESETS:
        layout = layout_from(name, inner if name in templates else None)
        with asked("--layout"):
            for _ in layout.files(spec.extent(spec.fovs[0])):
                pass
        folder = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower()
        if layout not in layouts.values():
            layouts[folder if folder not in layouts else f"{folder}-{len(layouts)}"] = layout
    return layouts


def _check_plot(path: Path) -> None:
    """Find out before the work whether there can be a plot."""
    if path.suffix.lower() not in (".png", ".svg"):
        raise click.UsageError(f"--plot: {str(path)!r} ends neither in .png nor in .svg")
    if not path.absolute().parent.is_dir():
        raise click.UsageError(f"--plot: there is no folder {str(path.absolute().parent)!r}")
    from starfish_fetch.plots import require_matplotlib

    require_matplotlib("--plot")
