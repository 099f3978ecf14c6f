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

from benchmarks.figures import FIGURES

__all__ = ["LimitsTable", "PeersTable", "setup"]


def _row(*cells: str) -> str:
    return "   * - " + "\n     - ".join(cells)


class PeersTable(SphinxDirective):
    """Of each library and layout, how many times as long as the limit a load takes."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the table, which is made again when the file that it is made of changes."""
        relative, path = self.env.relfn2path(self.arguments[0])
        self.env.note_dependency(relative)
        text = Path(path).read_text(encoding="utf-8")
        return self.parse_text_to_nodes("\n".join(self._lines(text)))

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


class LimitsTable(SphinxDirective):
    """What each figure may be, and what it was in the run that a file of JSON holds."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the table, which is made again when the file changes."""
        relative, path = self.env.relfn2path(self.arguments[0])
        self.env.note_dependency(relative)
        run = json.loads(Path(path).read_text(encoding="utf-8"))
        return self.parse_text_to_nodes("\n".join(self._lines(run)))

    def _lines(self, run: dict[str, Any]) -> Iterator[str]:
        by_name = {one["name"]: one for one in run["figures"]}
        yield ".. list-table::\n   :header-rows: 1\n   :class: numbers\n"
        yield _row("subject", "reference", "bound", "measured", "range", "holds")
        for figure in FIGURES:
            sign = "at least" if figure.at_least else "at most"
            bound = f"{sign} {figure.bound:g} {figure.unit or 'times'}"
            seen = by_name[figure.name]["measured"]
            holds = "yes" if by_name[figure.name]["holds"] else "no"
            value, low, high = (f"{seen[name]:.3g}" for name in ("value", "low", "high"))
            subject = figure.subject + (f" ({seen['remark']})" if seen["remark"] else "")
            yield _row(subject, figure.reference, bound, value, f"{low} to {high}", holds)
        machine = run["machine"]
        programs = {"Python": machine["python"], **machine["versions"]}
        listed = ", ".join(f"{name} {version}" for name, version in programs.items())
        yield f"\nMeasured on {machine['cpus']} CPUs of an {machine['processor']}: {listed}."


def setup(app: Sphinx) -> None:
    """Add the directives."""
    app.add_directive("peers-table", PeersTable)
    app.add_directive("limits-table", LimitsTable)
