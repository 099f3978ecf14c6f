"""Tables of what was measured, from what the benchmarks wrote."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

__all__ = ["LimitsTable", "PeersTable", "setup"]


class _Table(SphinxDirective):
    """A table made of one file beside the pages."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the table, which is made again when the file changes."""
        relative, path = self.env.relfn2path(self.arguments[0])
        self.env.note_dependency(relative)
        text = Path(path).read_text(encoding="utf-8")
        return self.parse_text_to_nodes("\n".join(self._lines(text)))

    def _lines(self, text: str) -> Iterator[str]:
        raise NotImplementedError


def _row(*cells: str) -> str:
    return "   * - " + "\n     - ".join(cells)


class PeersTable(_Table):
    """Of each library and layout, how many times as long as the limit a load takes."""

    def _lines(self, text: str) -> Iterator[str]:
        by_layout: dict[str, dict[str, str]] = {}
        for title, table in re.findall(r"^One (.+?), .+:\n\n((?:\|.+\n)+)", text, re.MULTILINE):
            head, _, *rows = ([cell.strip() for cell in line.split("|")[1:-1]]
                              for line in table.splitlines())  # fmt: skip
            column = head.index("x limit")
            by_layout[title] = {row[0]: row[column] for row in rows}
        yield ".. list-table::\n   :header-rows: 1\n   :class: numbers\n"
        yield _row("times as long as the limit", *by_layout)
        first, *_ = by_layout.values()
        for peer in first:
            yield _row(peer, *(ratios[peer] for ratios in by_layout.values()))


class LimitsTable(_Table):
    """What each figure is, and what it may be, as ``benchmarks.limits --json`` wrote it."""

    def _lines(self, text: str) -> Iterator[str]:
        run: dict[str, Any] = json.loads(text)
        machine, sizes = run["machine"], run["sizes"]
        yield ".. list-table::\n   :header-rows: 1\n   :class: numbers\n"
        yield _row("subject", "reference", "measured", "range", "bound")
        for figure in run["figures"]:
            unit = "" if figure["unit"] == "ratio" else f" {figure['unit']}"
            seen = figure["measured"]
            bound = f"{'>=' if figure['at_least'] else '<='} {figure['bound']:g}{unit}"
            yield _row(
                figure["subject"],
                figure["reference"],
                f"{seen['value']:.3g}{unit}" + ("" if figure["holds"] else " (does not hold)"),
                f"{seen['low']:.3g}-{seen['high']:.3g}",
                bound,
            )
        versions = ", ".join(f"{name} {one}" for name, one in machine["versions"].items() if one)
        planes = " x ".join(map(str, sizes["planes"]))
        side = sizes["tile_rows_and_columns"]
        yield (
            f"\n{planes} tiles of {side} x {side} pixels; medians of up to {sizes['runs']} runs; "
            f"{machine['processor']}, {machine['cpus']} CPUs, Python {machine['python']}, "
            f"{versions}.\n"
        )


def setup(app: Sphinx) -> None:
    """Add the directives."""
    app.add_directive("peers-table", PeersTable)
    app.add_directive("limits-table", LimitsTable)
