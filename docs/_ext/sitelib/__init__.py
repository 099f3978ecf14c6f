"""What the site needs beyond the extensions that others wrote."""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx

from sitelib import benchmarks, computed, layouts, links, names, schemas, stories

__all__ = ["setup"]


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect everything."""
    benchmarks.setup(app)
    computed.setup(app)
    layouts.setup(app)
    links.setup(app)
    names.setup(app)
    schemas.setup(app)
    stories.setup(app)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
