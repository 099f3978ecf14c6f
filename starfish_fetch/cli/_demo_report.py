"""What the demo found, as tables, words, JSON and a picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from rich import box
from rich.table import Table

from starfish_fetch.cli._demo import Measurement, Series, files_per, order_name
from starfish_fetch.cli._output import console, in_units

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from starfish_fetch.layout import Layout
    from synth import Spec

__all__ = ["Report"]

_WHAT_IT_DOES = {
    "OneFileFetcher": "OneFileFetcher: reads whole files, keeps the last one",
    "TiffTileFetcher": "TiffTileFetcher: reads planes, keeps the headers",
}


@dataclass(frozen=True)
class Report:
    """What the demo found.

    Parameters
    ----------
    results : sequence of Series
        Of each layout, one for each fetcher.
    spec : Spec
        The image.
    repeat : int
        How often it was loaded in each order.
    """

    results: Sequence[Series]
    spec: Spec
    repeat: int

    @property
    def ok(self) -> bool:
        """Whether every pixel of every load was right."""
        return all(series.ok for series in self.results)

    def print(self) -> None:
        """Print tables, and in words what they show."""
        out = console()
        out.print(
            f"One image ({self._image()}, {in_units(self._nbytes())}), the same pixels cut into "
            "files in different ways. Each is loaded in every order (the axis named first is held "
            "longest; None leaves the order to the loader) by two fetchers: OneFileFetcher is "
            "written like the one in starfish's tutorial, TiffTileFetcher is this project's. Every "
            f"pixel is compared with what was written. Seconds: {self._best_of()}."
        )
        for series in self.results:
            out.print()
            files = f"{files_per(series.layout)} ({_count(series.files)})"
            out.print(
                f"{files[0].upper()}{files[1:]}. {_WHAT_IT_DOES[series.fetcher]}", style="bold"
            )
            out.print(_table(series))
        out.print()
        for series, row in self._rows():
            for problem in row.compared.problems:
                place = f"{series.name}, {series.fetcher}, {order_name(row.order)}"
                out.print(f"WRONG: {place}: {problem}")
        for sentence in self.meaning():
            out.print(sentence)

    def _rows(self) -> Iterator[tuple[Series, Measurement]]:
        return ((series, row) for series in self.results for row in series.rows)

    def meaning(self) -> tuple[str, str]:
        """Say what the load order did to the fetcher that keeps one file, and what it should do."""
        shown = self._most_telling()
        worst, best = shown.worst, shown.best
        where = f"With {files_per(shown.layout)}"
        if worst.opens == shown.fewest_opens:
            first = f"{where}, no load order opened more files than another."
        else:
            first = (
                f"{where}, the order {order_name(worst.order)} made OneFileFetcher open"
                f" {_opened(worst.opens)} instead of {shown.fewest_opens}, and took "
                f"{shown.ratio(worst):.1f} times as long as the best order: hold longest the axes "
                f"that the files are split by, group_by={_group_by(shown.layout)}."
            )
        twin = next(
            series
            for series in self.results
            if series.name == shown.name and series.fetcher != shown.fetcher
        )
        same = next(row for row in twin.rows if row.order == worst.order)
        every = ", as in every order" if twin.worst.opens == twin.fewest_opens else ""
        second = (
            f"In that order TiffTileFetcher opened {_opened(same.opens)}{every}, and took "
            f"{same.seconds:.4f} s (the other one {worst.seconds:.4f} s, at best "
            f"{best.seconds:.4f} s). All files were in memory: where opening a file is slower, so "
            "is every needless open."
        )
        return first, second

    def _most_telling(self) -> Series:
        kept = [series for series in self.results if series.fetcher == "OneFileFetcher"]
        return max(kept, key=_excess)

    def as_json(self) -> dict[str, Any]:
        """Return everything, as what ``json.dumps`` takes."""
        return {
            "command": "demo",
            "ok": self.ok,
            "image": self.spec.to_json(),
            "repeat": self.repeat,
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
                for series in self.results
            ],
            "meaning": " ".join(self.meaning()),
        }

    def figure(self) -> Figure:
        """Draw it.

        Raises
        ------
        MissingExtraError
            Without matplotlib.
        """
        from starfish_fetch.plots import OrderPanel, plot_orders

        panels: dict[str, OrderPanel] = {}
        for series in self.results:
            title = f"{files_per(series.layout)}\n({_count(series.files)})"
            orders = tuple(order_name(row.order) for row in series.rows)
            panel = panels.setdefault(series.name, OrderPanel(title, orders))
            panel.opens[series.fetcher] = [row.opens for row in series.rows]
            panel.seconds[series.fetcher] = [row.seconds for row in series.rows]
        excess = _excess(self._most_telling())
        changes = (
            f"Same image, same fetcher: up to {excess:.3g} times the file opens, by load order"
        )
        return plot_orders(
            list(panels.values()),
            _WHAT_IT_DOES,
            title="File opens and load time, by load order" if excess == 1 else changes,
            caption=f"{self._image()}; {self._best_of()}. The axis named first is "
            "held longest; None leaves the order to the loader.",
        )

    def _best_of(self) -> str:
        return "of one load" if self.repeat == 1 else f"the fastest of {self.repeat} loads"

    def _image(self) -> str:
        spec = self.spec
        rows, columns = spec.tile_shape
        counts = len(spec.rounds), len(spec.chs), len(spec.zplanes)
        names = ("rounds", "channels", "z-planes")
        axes = ", ".join(
            f"{count} {name if count != 1 else name[:-1]}"
            for count, name in zip(counts, names, strict=True)
        )
        return f"{axes}, {rows} x {columns} pixels, {spec.dtype}"

    def _nbytes(self) -> int:
        spec = self.spec
        tiles = len(spec.rounds) * len(spec.chs) * len(spec.zplanes)
        return tiles * prod(spec.tile_shape) * np.dtype(spec.dtype).itemsize


def _table(series: Series) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("order")
    for name in ("seconds", "file opens", "ratio to best", "pixels verified"):
        table.add_column(name, justify="right")
    for row in series.rows:
        compared = row.compared
        all_of_them = "" if compared.ok else f" of {compared.pixels:,}"
        table.add_row(
            order_name(row.order),
            f"{row.seconds:.4f}",
            str(row.opens),
            f"{series.ratio(row):.1f}",
            f"{compared.right:,}{all_of_them}",
        )
    return table


def _excess(series: Series) -> float:
    return series.worst.opens / max(1, series.fewest_opens)


def _count(files: int) -> str:
    return "1 file" if files == 1 else f"{files} files"


def _opened(opens: int) -> str:
    return "a file once" if opens == 1 else f"files {opens} times"


def _group_by(layout: Layout) -> str:
    axes = ", ".join(repr(str(axis)) for axis in layout.outer)
    return f"({axes},)" if len(layout.outer) == 1 else f"({axes})"
