"""Links that hold where the files are read as they are, and on the site."""

from __future__ import annotations

import re

from sphinx.application import Sphinx

__all__ = ["setup"]

_PROGRAM = re.compile(r"\]\((?:\.\./)*gallery/(\w+)\.py\)")


def _to_pages(app: Sphinx, docname: str, source: list[str]) -> None:
    """Let a link to a program of the gallery lead to the page that shows what it draws."""
    source[0] = _PROGRAM.sub(r"](/learn/\1.rst)", source[0])


def setup(app: Sphinx) -> None:
    """Connect to Sphinx's events."""
    app.connect("source-read", _to_pages)
