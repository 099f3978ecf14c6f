"""Whether loading keeps within its figures: an asv suite, and a table.

``python -m benchmarks.limits`` prints the table; ``--help`` says what else it can do. Its exit
status is 0 if every figure holds, and 1 if one does not.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import common
from benchmarks.figures import FIGURES, Figure, Image, Measured, usual_sizes

_BY_NAME = {figure.name: figure for figure in FIGURES}
Row = tuple[Figure, Measured | None]


def _tracked(name: str) -> Callable[..., Any]:
    """Return a benchmark of asv that measures a figure."""
    figure = _BY_NAME[name]

    @common.labelled(
        version="1",
        unit=figure.unit or "ratio",
        pretty_name=f"{figure.subject} over {figure.reference or 'nothing'}"
        if not figure.unit
        else f"{figure.subject}: {figure.unit}",
    )
    def track(self: _Limits) -> float:
        return figure.measure(self.image).value

    return track


class _Limits:
    """What the suites below share: the image, written once."""

    timeout = 600

    @common.labelled(timeout=600)
    def setup_cache(self) -> None:
        image = Image(Path("image"), usual_sizes(runs=common.sized(5, 1)))
        for layout in common.LAYOUTS:
            image.dataset(layout)

    def setup(self) -> None:
        self.image = Image(Path("image"), usual_sizes(runs=common.sized(5, 1)))


class Limits(_Limits):
    """Figures that need nothing but us."""

    track_ratio_tiff_over_loop = _tracked("tiff_over_loop")
    track_ratio_tutorial_over_loop = _tracked("tutorial_over_loop")
    track_ratio_slowest_over_fastest_order = _tracked("slowest_over_fastest_order")
    track_ratio_memory_over_loop = _tracked("memory_over_loop")
    track_ratio_own_dtype_over_preadv = _tracked("own_dtype_over_preadv")
    track_ratio_peak_memory_over_stack = _tracked("peak_memory_over_stack")
    track_ratio_crop_bytes_over_wanted = _tracked("crop_bytes_over_wanted")
    track_ratio_opens_over_sources = _tracked("opens_over_sources")
    track_ratio_synth_over_tifffile = _tracked("synth_over_tifffile")
    track_ratio_synth_over_loop = _tracked("synth_over_loop")
    track_ratio_import_over_numpy = _tracked("import_over_numpy")
    track_plan_seconds = _tracked("plan_seconds")
    track_plan_megabytes = _tracked("plan_megabytes")


class StarfishLimits(_Limits):
    """Figures against starfish."""

    def setup(self) -> None:
        """Skip where there is no starfish."""
        missing = _BY_NAME["starfish_over_ours"].missing
        if missing is not None:
            raise NotImplementedError(missing)
        super().setup()

    track_ratio_starfish_over_ours = _tracked("starfish_over_ours")
    track_ratio_starfish_over_tiff = _tracked("starfish_over_tiff")
    track_ratio_starfish_over_memory = _tracked("starfish_over_memory")


def measure(figures: Sequence[Figure], image: Image) -> Iterator[Row]:
    """Measure one figure after another; None for those that cannot be measured here."""
    for figure in figures:
        yield figure, None if figure.missing else figure.measure(image)


def as_json(rows: Sequence[Row], image: Image) -> dict[str, Any]:
    """Return what was measured, and where, as what ``json.dumps`` takes."""
    return {
        "machine": {
            "processor": _processor(),
            "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
            "python": platform.python_version(),
            "versions": {name: _version(name) for name in ("numpy", "tifffile", "starfish")},
        },
        "sizes": asdict(image.sizes),
        "figures": [
            {
                "name": figure.name,
                "subject": figure.subject,
                "reference": figure.reference,
                "unit": figure.unit or "ratio",
                "bound": figure.bound,
                "at_least": figure.at_least,
                "skipped": figure.missing,
                "holds": None if measured is None else figure.holds(measured),
                "measured": None if measured is None else asdict(measured),
            }
            for figure, measured in rows
        ],
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


@cache
def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _number(value: float, unit: str) -> str:
    text = f"{value:.0f}" if value >= 100 else f"{value:.2f}"
    return f"{text} {unit}".rstrip()


def _table(rows: Sequence[Row], image: Image) -> Any:
    from rich.table import Table

    side = image.sizes.tile_rows_and_columns
    planes = " x ".join(map(str, image.sizes.planes))
    table = Table(
        title=f"{planes} tiles of {side} x {side} pixels, {image.dtype}; files in the page cache",
        caption="Ratio of medians of runs that take turns; in brackets the single runs' range.\n"
        "* A bound of this project's own.",
    )
    for name in ("subject", "reference"):
        table.add_column(name, overflow="fold")
    for name in ("measured", "range", "bound"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("holds", no_wrap=True)
    for figure, measured in rows:
        sign = ">=" if figure.at_least else "<="
        bound = f"{sign} {figure.bound:g}{' ' if figure.unit else ''}{figure.unit}"
        bound += "*" if figure.ours else ""
        if measured is None:
            table.add_row(figure.subject, figure.reference, "", "", bound, "[dim]skipped[/]")
            continue
        subject = figure.subject + (f" [dim]({measured.remark})[/]" if measured.remark else "")
        table.add_row(
            subject,
            figure.reference,
            _number(measured.value, figure.unit),
            f"{measured.low:.2f}-{measured.high:.2f}",
            bound,
            "[green]yes[/]" if figure.holds(measured) else "[bold red]NO[/]",
        )
    return table


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.limits",
        description="Measure the figures that loading has to reach, and say which of them hold.",
    )
    parser.add_argument("--quick", action="store_true", help="smaller tiles, three runs")
    parser.add_argument("--runs", type=int, help="runs of each (default: 9, quick: 3)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--root", type=Path, help="keep the image here (default: deleted)")
    parser.add_argument(
        "--only",
        nargs="+",
        action="extend",
        choices=_BY_NAME,
        metavar="NAME",
        help=", ".join(_BY_NAME),
    )
    parsed = parser.parse_args(arguments)
    if parsed.runs is not None and parsed.runs < 1:
        parser.error("--runs must be at least 1")
    return parsed


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; return the exit status."""
    from rich.console import Console

    parsed = _parse(arguments)
    figures = [_BY_NAME[name] for name in parsed.only or _BY_NAME]
    progress = Console(stderr=True)
    rows: list[Row] = []
    with TemporaryDirectory(prefix="starfish-fetch-limits-") as temporary:
        image = Image(
            parsed.root or Path(temporary), usual_sizes(quick=parsed.quick, runs=parsed.runs)
        )
        with progress.status("measuring") as status:
            for figure in figures:
                status.update(f"{figure.subject} ({len(rows) + 1} of {len(figures)})")
                rows += measure([figure], image)
    if parsed.json:
        print(json.dumps(as_json(rows, image), indent=2))
    else:
        console = Console()
        if not console.is_terminal:
            console.width = 140
        console.print(_table(rows, image))
        for reason in sorted({figure.missing for figure, _ in rows if figure.missing}):
            console.print(f"skipped: {reason}")
    return int(any(one is not None and not figure.holds(one) for figure, one in rows))


if __name__ == "__main__":
    sys.exit(main())
