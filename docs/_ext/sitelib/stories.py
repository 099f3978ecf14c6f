"""The page of all checks, made of the checks."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from textwrap import dedent, indent

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from starfish_fetch import contract
from starfish_fetch.testing import CHECKS
from starfish_fetch.testing.checks import Check

__all__ = ["CheckStories", "setup"]

_RULE = re.compile(r"^(C\d+)\n((?:    .+\n)+)", re.MULTILINE)
_SNIPPET = re.compile(r"^(Wrong|Right)::\n\n((?: {4}.*\n|\n)+)", re.MULTILINE)


def rules() -> dict[str, str]:
    """Return the rules of the contract by number, as the module tells them."""
    text = inspect.cleandoc(contract.__doc__ or "") + "\n"
    return {number: " ".join(words.split()) for number, words in _RULE.findall(text)}


class CheckStories(SphinxDirective):
    """A table of the checks, and then rule by rule the story of each."""

    def run(self) -> list[nodes.Node]:
        """Return the table and the sections."""
        return self.parse_text_to_nodes("\n".join(self._lines()), allow_section_headings=True)

    def _lines(self) -> Iterator[str]:
        by_rule = {
            rule: [check for check in CHECKS.values() if check.rule == rule] for rule in rules()
        }
        yield ".. list-table::\n   :header-rows: 1\n   :class: checks\n"
        yield "   * - rule\n     -\n     - check\n     - what has to hold"
        for rule, checks in by_rule.items():
            for check in checks:
                yield f"   * - {rule}\n     - {_badge(check)}"
                yield f"     - :ref:`{check.name} <check-{check.name}>`\n     - {check.summary}"
        for rule, checks in by_rule.items():
            yield f"\n.. _rule-{rule}:\n\n{rule}\n---\n\n{rules()[rule]}\n"
            for check in checks:
                yield from _story(check)


def _badge(check: Check) -> str:
    return f":bdg-{'danger' if check.severity == 'fail' else 'warning'}:`{check.severity}`"


def _story(check: Check) -> Iterator[str]:
    summary, _, rest = (check.story + "\n").partition("\n\n")
    prose = rest[: rest.index("Wrong::")]
    yield f".. _check-{check.name}:\n\n{check.name}\n{'~' * len(check.name)}\n"
    yield f"{_badge(check)} {summary}\n\n*{check.why}*\n\n{prose}"
    for word, code in _SNIPPET.findall(rest):
        yield f".. code-block:: python\n   :caption: {word}\n   :class: {word.lower()}\n"
        yield indent(dedent(code).rstrip(), "   ") + "\n"


def setup(app: Sphinx) -> None:
    """Add the directive."""
    app.add_directive("check-stories", CheckStories)
