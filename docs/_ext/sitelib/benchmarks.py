"""Tables of what was measured, from what the benchmarks wrote."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

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
    """What each figure may be."""

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        return self.parse_text_to_nodes("\n".join(self._lines()))

    def _lines(self) -> Iterator[str]:
        yield ".. list-table::\n   :header-rows: 1\n   :class: numbers\n"
        yield _row("subject", "reference", "bound")
        for figure in FIGURES:
            sign = "at least" if figure.at_least else "at most"
            bound = f"{sign} {figure.bound:g} {figure.unit or 'times'}"
            yield _row(figure.subject, figure.reference, bound)


def setup(app: Sphinx) -> None:
    """Add the directives."""
    app.add_directive("peers-table", PeersTable)
    app.add_directive("limits-table", LimitsTable)
