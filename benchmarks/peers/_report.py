"""What a run found, as a table and as JSON."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.peers._image import Shape
from benchmarks.peers._limit import Limit
from benchmarks.peers._measure import Result
from benchmarks.peers._ours import Ours

__all__ = ["WORDS", "Run", "print_run", "size_name", "to_json"]

WORDS = {
    "per-round": "one 4-D file per round",
    "per-round-ch": "one 3-D file per round and channel",
    "per-tile": "one file per tile",
}
_UNWRAPPED = 10_000


@dataclass(frozen=True)
class Run:
    """Every peer on one image in one layout.

    Parameters
    ----------
    layout : str
        Name of the layout.
    shape : tuple of int
        Rounds, channels, z-planes, rows, columns.
    files : int
        How many.
    results : list of Result
        Of all peers.
    """

    layout: str
    shape: Shape
    files: int
    results: list[Result]

    def ratio(self, result: Result, to: str) -> float | None:
        """Return how many times as long as another a peer takes, if both can be compared."""
        other = next((one for one in self.results if one.name == to), None)
        if other is None or not (other.ok and result.ok):
            return None
        return result.median / other.median

    @property
    def ranked(self) -> list[Result]:
        """The results: those with figures first, the fastest foremost."""
        return sorted(self.results, key=lambda one: one.median if one.ok else float("inf"))

    @property
    def title(self) -> str:
        """Layout and size in words."""
        files = "file" if self.files == 1 else "files"
        return f"{WORDS[self.layout]} ({self.files} {files}), {size_name(self.shape)}"


def size_name(shape: Shape) -> str:
    """Return the size of an image in words.

    Examples
    --------
    >>> size_name((4, 3, 8, 1024, 1024))
    '4 x 3 x 8 tiles of 1024 x 1024 pixels: 201 MB of uint16 to 403 MB of float32'
    """
    rounds, chs, zplanes, rows, columns = shape
    pixels = rounds * chs * zplanes * rows * columns
    tiles = f"{rounds} x {chs} x {zplanes} tiles of {rows} x {columns} pixels"
    return f"{tiles}: {_bytes(2 * pixels)} of uint16 to {_bytes(4 * pixels)} of float32"


def _bytes(count: int) -> str:
    return f"{count / 1e6:.0f} MB" if count >= 10_000_000 else f"{count / 1e3:.0f} kB"


def print_run(run: Run) -> None:
    """Print a table on stdout, and below it what it has no room for."""
    wide = None if sys.stdout.isatty() else _UNWRAPPED
    console = Console(width=wide, highlight=False, markup=False, emoji=False)
    console.print(f"\n{run.title}\n", style="bold")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("peer")
    table.add_column("version")
    for name in ("seconds", "min-max", "x limit", "x ours", "opens", "lines"):
        table.add_column(name, justify="right")
    for one in run.ranked:
        table.add_row(one.name, next(iter(one.versions.values()), "-"), *_figures(run, one))
    console.print(table)
    for one in run.ranked:
        if one.detail:
            console.print(f"{one.status.upper()}: {one.name}: {one.detail}")
        elif one.name == "zarr, converted before":
            console.print(f"zarr: converting the files took {one.prepared:.2f} s, once, before.")


def _figures(run: Run, one: Result) -> Sequence[str]:
    if not one.ok:
        return [one.status, "-", "-", "-", "-", str(one.lines)]
    return [
        f"{one.median:.3f}",
        f"{min(one.seconds):.3f}-{max(one.seconds):.3f}",
        _times(run.ratio(one, Limit.name)),
        _times(run.ratio(one, Ours.name)),
        "?" if one.opens is None else str(one.opens),
        str(one.lines),
    ]


def _times(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.2f}"


def to_json(runs: Sequence[Run], *, machine: dict[str, str | int], repeat: int) -> dict[str, Any]:
    """Return everything as what ``json.dumps`` takes."""
    return {
        "machine": machine,
        "repeat": repeat,
        "runs": [
            {
                "layout": run.layout,
                "words": WORDS[run.layout],
                "shape": run.shape,
                "files": run.files,
                "peers": [_peer_json(run, one) for one in run.results],
            }
            for run in runs
        ],
    }


def _peer_json(run: Run, one: Result) -> dict[str, Any]:
    return {
        "peer": one.name,
        "status": one.status,
        "detail": one.detail,
        "versions": one.versions,
        "seconds": one.seconds if one.ok else [],
        "median": one.median if one.ok else None,
        "ratio_to_limit": run.ratio(one, Limit.name),
        "ratio_to_ours": run.ratio(one, Ours.name),
        "opens": one.opens,
        "lines": one.lines,
        "prepared_seconds": one.prepared,
    }
