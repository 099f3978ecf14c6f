"""Public names: each has a page, and is found under the name that a docstring gives it."""

from __future__ import annotations

import sys
from enum import Enum
from importlib import import_module
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

__all__ = ["PUBLIC", "setup"]

PUBLIC = (
    "starfish_fetch",
    "starfish_fetch.testing",
    "starfish_fetch.testing.asv",
    "starfish_fetch.testing.faults",
    "starfish_fetch.testing.strategies",
    "synth",
)
"""Modules whose every name must be documented."""

logger = logging.getLogger(__name__)


def _resolve(
    app: Sphinx, env: BuildEnvironment, node: nodes.Element, contnode: nodes.TextElement
) -> nodes.reference | None:
    """Find what a docstring calls by another path, or by part of one.

    A class is documented where it is public, and its docstring was written where it lives.
    """
    if node.get("refdomain") != "py":
        return None
    domain = env.domains.python_domain
    parts = node["reftarget"].split(".")
    for start in range(len(parts)):
        ending = "." + ".".join(parts[start:])
        found = [
            name
            for name, entry in domain.objects.items()
            if name.endswith(ending) and not entry.aliased
        ]
        if not found and ending[1:] in _fields(node.get("py:module"), node.get("py:class")):
            # A field that the docstring of its class tells of, among the parameters.
            found = [f"{node['py:module']}.{node['py:class']}"]
        if len(found) == 1:
            return domain.resolve_xref(
                env, node["refdoc"], app.builder, "obj", found[0], node, contnode
            )
    return None


def _fields(module: str | None, cls: str | None) -> dict[str, str]:
    holder = getattr(sys.modules.get(module or ""), cls or "", None)
    return getattr(holder, "__annotations__", {})


def _say_types_of_fields(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Put the annotation of a field before what its docstring says."""
    owner, _, field = name.rpartition(".")
    module, _, cls = owner.rpartition(".")
    annotation = _fields(module, cls).get(field)
    if what == "attribute" and annotation and lines:
        lines[0] = f"``{annotation}``: {lines[0]}"


def _choose_members(
    app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any
) -> bool | None:
    """Show the members of enums, and no fields of which only their number is told."""
    if isinstance(obj, Enum):
        return False
    if (getattr(obj, "__doc__", None) or "").startswith("Alias for field number"):
        return True
    return None


def _check_complete(app: Sphinx, env: BuildEnvironment) -> None:
    documented = env.domains.python_domain.objects
    for module in PUBLIC:
        for name in import_module(module).__all__:
            if f"{module}.{name}" not in documented:
                logger.warning("%s.%s is public, and no page documents it", module, name)


def setup(app: Sphinx) -> None:
    """Connect to Sphinx's events."""
    app.connect("missing-reference", _resolve)
    # After numpydoc, which parses what is there and writes it anew.
    app.connect("autodoc-process-docstring", _say_types_of_fields, priority=900)
    app.connect("autodoc-skip-member", _choose_members)
    app.connect("env-check-consistency", _check_complete)
