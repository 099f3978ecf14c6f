"""Tables of layouts and of the files that they make, computed."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from starfish_fetch import Axes, Extent, Layout
from starfish_fetch.axes import PLANES

__all__ = ["LayoutTable", "setup"]

NAMED = ("per_tile", "per_round_ch", "per_round", "per_ch", "per_zplane", "single_file")


class LayoutTable(SphinxDirective):
    """Each layout with its files, and the tiles in the first of them."""

    has_content = True
    option_spec: ClassVar[dict[str, Any]] = {
        "labels": directives.unchanged_required,
        "named": directives.flag,
    }

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        counts = map(int, self.options["labels"].split())
        extent = Extent({Axes.Y: 1, Axes.X: 1}, 0, *map(tuple, map(range, counts)))
        return self.parse_text_to_nodes("\n".join(self._lines(extent)))

    def _lines(self, extent: Extent) -> Iterator[str]:
        yield ".. list-table::\n   :header-rows: 1\n   :class: layouts\n"
        yield f"   * - {'' if 'named' in self.options else 'arguments of '}``Layout``"
        yield "     - files\n     - pages of the first file"
        layouts = (
            {f".{name}()": getattr(Layout, name)() for name in NAMED}
            if "named" in self.options
            else {line: _layout(line) for line in self.content if line.strip()}
        )
        for code, layout in layouts.items():
            files = [*layout.files(extent)]
            paths = [path for path, _, _ in files]
            shown = [f"``{path}``" for path in paths[:2]] + ["..."] * (len(paths) > 2)
            pages = [" ".join(f"{a}{k}" for a, k in zip(PLANES, key, strict=True))
                     for key in files[0][2]]  # fmt: skip
            told = [f"``{page}``" for page in pages[:3]] + ["..."] * (len(pages) > 3)
            yield f"   * - ``{code}``"
            yield f"     - {len(paths)}: {', '.join(shown)}"
            yield f"     - {len(pages)}: {', '.join(told)}"


def _layout(arguments: str) -> Layout:
    call = ast.parse(f"f({arguments})", mode="eval").body
    assert isinstance(call, ast.Call)
    keywords = {one.arg or "": ast.literal_eval(one.value) for one in call.keywords}
    return Layout(*map(ast.literal_eval, call.args), **keywords)


def setup(app: Sphinx) -> None:
    """Add the directive."""
    app.add_directive("layout-table", LayoutTable)
