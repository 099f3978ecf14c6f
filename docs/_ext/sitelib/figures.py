"""Pictures of a gallery page that were not drawn with pyplot."""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

from matplotlib.figure import Figure
from sphinx_gallery.scrapers import figure_rst

__all__ = ["figure_scraper"]

_shown: WeakSet[Figure] = WeakSet()


def figure_scraper(block: Any, block_vars: dict[str, Any], gallery_conf: dict[str, Any]) -> str:
    """Show each new figure that a variable of the page names.

    Our own plots are such: they leave pyplot, and with it what is on a user's screen, alone.
    """
    paths = []
    for value in list(block_vars["example_globals"].values()):
        of_pyplot = hasattr(value, "number")
        if isinstance(value, Figure) and not of_pyplot and value not in _shown:
            _shown.add(value)
            path = next(block_vars["image_path_iterator"])
            value.savefig(path, facecolor="white")
            paths.append(path)
    return figure_rst(paths, gallery_conf["src_dir"])
