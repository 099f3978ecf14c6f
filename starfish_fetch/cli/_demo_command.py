"""``starfish-fetch demo``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

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
from starfish_fetch.cli._output import console, echo_json, in_units, replacing, wants_progress
from starfish_fetch.progress import progress_bar

if TYPE_CHECKING:
    from starfish_fetch.cli._demo import Series
    from starfish_fetch.layout import Layout
    from synth import Spec

__all__ = ["demo"]

_TITLES = {
    "OneFileFetcher": "a fetcher that keeps the file it read last, like the tutorial's",
    "TiffTileFetcher": "TiffTileFetcher",
}


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
    if plot is not None:
        _draw(results, spec, repeat, plot)
    if as_json:
        echo_json(_report(results, spec, repeat))
    else:
        _print(results, spec, repeat)
        for name, path in (("files", keep), ("plot", plot)):
            if path is not None:
                click.echo(f"\n{name} in {path}")
    ctx.exit(0 if all(series.ok for series in results) else 1)


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


def _draw(results: Sequence[Series], spec: Spec, repeat: int, path: Path) -> None:
    from starfish_fetch.cli._demo import files_per, order_name
    from starfish_fetch.plots import OrderPanel, plot_orders

    panels: dict[str, OrderPanel] = {}
    for series in results:
        files = "1 file" if series.files == 1 else f"{series.files} files"
        panel = panels.setdefault(
            series.name,
            OrderPanel(
                f"{files_per(series.layout)}\n({files})",
                tuple(order_name(row.order) for row in series.rows),
            ),
        )
        panel.opens[series.fetcher] = [row.opens for row in series.rows]
        panel.seconds[series.fetcher] = [row.seconds for row in series.rows]
    figure = plot_orders(
        list(panels.values()),
        {
            "OneFileFetcher": "reads whole files, keeps the last one (as in the tutorial)",
            "TiffTileFetcher": "TiffTileFetcher: reads planes, keeps the headers",
        },
        title=_headline(results),
        caption=f"{_image_words(spec)}. Fastest of {repeat} loads in each order. "
        "Order: the axis named first is held longest; None leaves it to the loader.",
    )
    with replacing(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:].lower(), facecolor="white")


def _headline(results: Sequence[Series]) -> str:
    most = max(series.worst.opens / max(1, series.fewest_opens) for series in results)
    if most == 1:
        return "File opens and load time, by load order"
    return f"Same image, same fetcher: the load order alone makes {most:.3g} times the file opens"


def _image_words(spec: Spec) -> str:
    rows, columns = spec.tile_shape
    return (
        f"{len(spec.rounds)} rounds x {len(spec.chs)} channels x {len(spec.zplanes)} z-planes of "
        f"{rows} x {columns} pixels, {spec.dtype}"
    )


def _nbytes(spec: Spec) -> int:
    import numpy as np

    rows, columns = spec.tile_shape
    tiles = len(spec.rounds) * len(spec.chs) * len(spec.zplanes)
    return tiles * rows * columns * np.dtype(spec.dtype).itemsize


def _print(results: Sequence[Series], spec: Spec, repeat: int) -> None:
    from starfish_fetch.cli._demo import files_per

    out = console()
    out.print(
        f"One image, {_image_words(spec)} ({in_units(_nbytes(spec))}), is written in several "
        "layouts. Each is loaded in every order, slowest axis first, by two fetchers; every pixel "
        f"is compared with what was written. Seconds are the fastest of {repeat} loads.",
        soft_wrap=False,
    )
    for series in results:
        files = "1 file" if series.files == 1 else f"{series.files} files"
        out.print()
        out.print(
            f"{series.name}: {files_per(series.layout)} ({files}, {series.layout.template}), "
            f"fetched by {_TITLES[series.fetcher]}",
            style="bold",
        )
        _print_table(out, series)
    for series in results:
        for row in series.rows:
            for problem in row.compared.problems:
                order = ",".join(row.order or ("None",))
                out.print(f"WRONG: {series.name}, {series.fetcher}, {order}: {problem}")
    out.print()
    for sentence in _meaning(results):
        out.print(sentence)


def _print_table(out: Console, series: Series) -> None:
    from rich import box
    from rich.table import Table

    from starfish_fetch.cli._demo import order_name

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("order")
    for name in ("seconds", "file opens", "ratio to best", "pixels verified"):
        table.add_column(name, justify="right")
    for row in series.rows:
        compared = row.compared
        verified = f"{compared.right:,}"
        if not compared.ok:
            verified += f" of {compared.pixels:,}"
        table.add_row(
            order_name(row.order),
            f"{row.seconds:.4f}",
            str(row.opens),
            f"{series.ratio(row):.1f}",
            verified,
        )
    out.print(table)


def _meaning(results: Sequence[Series]) -> list[str]:
    """Say in words what was measured."""
    from starfish_fetch.cli._demo import files_per, order_name

    kept = [series for series in results if series.fetcher == "OneFileFetcher"]
    shown = max(kept, key=lambda series: series.worst.opens / max(1, series.fewest_opens))
    worst, fewest = shown.worst, shown.fewest_opens
    ours = [series for series in results if series.fetcher == "TiffTileFetcher"]
    twin = next(series for series in ours if series.name == shown.name)
    least, most = twin.fewest_opens, twin.worst.opens
    if worst.opens == fewest:
        sentences = [f"With {files_per(shown.layout)}, every order opened {_times(fewest)}."]
    else:
        sentences = [
            f"With {files_per(shown.layout)}, the order {order_name(worst.order)} made the fetcher "
            f"that keeps one file open files {worst.opens} times instead of {fewest}, and took "
            f"{shown.ratio(worst):.1f} times as long as {order_name(shown.best.order)}: hold "
            f"longest what the files are split by (group_by={_group_by(shown.layout)}).",
        ]
    opens = _times(least) if least == most else f"files {least} to {most} times"
    slowest = max(twin.ratio(row) for row in twin.rows)
    sentences.append(
        f"TiffTileFetcher opened {opens} there whatever the order, and its slowest order took "
        f"{slowest:.1f} times as long as its fastest; it names its sources, so with None the "
        "loader finishes one file before it begins the next."
    )
    return sentences


def _times(opens: int) -> str:
    return "one file once" if opens == 1 else f"files {opens} times"


def _group_by(layout: Layout) -> str:
    axes = ", ".join(repr(str(axis)) for axis in layout.outer)
    return f"({axes},)" if len(layout.outer) == 1 else f"({axes})"


def _report(results: Sequence[Series], spec: Spec, repeat: int) -> Mapping[str, Any]:
    from starfish_fetch.cli._demo import files_per

    return {
        "command": "demo",
        "ok": all(series.ok for series in results),
        "image": spec.to_json(),
        "repeat": repeat,
        "results": [
            {
                "layout": series.name,
                "words": files_per(series.layout),
                "template": series.layout.template,
                "inner": [str(axis) for axis in series.layout.inner],
                "files": series.files,
                "fetcher": series.fetcher,
                "orders": [
                    {
                        "group_by": row.order,
                        "seconds": row.seconds,
                        "opens": row.opens,
                        "ratio_to_best": series.ratio(row),
                        "pixels": row.compared.pixels,
                        "pixels_right": row.compared.right,
                        "problems": row.compared.problems,
                    }
                    for row in series.rows
                ],
            }
            for series in results
        ],
        "meaning": " ".join(_meaning(results)),
    }
