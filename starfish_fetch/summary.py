"""What a notebook shows of a stack."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starfish_fetch.stack import ImageStack

__all__ = ["html_summary"]

_NAMES = {"r": "round", "c": "channel", "z": "z-plane", "y": "y (rows)", "x": "x (columns)"}
_SHOWN = 8


def html_summary(stack: ImageStack) -> str:
    """Return a small HTML table of axes, labels and state. Loads nothing."""
    rows = []
    for axis, size in stack.shape.items():
        labels = [str(label) for label in stack.axis_labels(axis)] if axis in "rcz" else []
        if len(labels) > _SHOWN:
            labels = [*labels[: _SHOWN - 1], "…", labels[-1]]
        rows.append((_NAMES[axis], str(size), ", ".join(labels)))
    cells = "".join(
        f"<tr><th style='text-align:left'>{escape(name)}</th><td>{escape(size)}</td>"
        f"<td style='text-align:left'>{escape(labels)}</td></tr>"
        for name, size, labels in rows
    )
    return (
        "<div><strong>starfish_fetch.ImageStack</strong>"
        "<table><thead><tr><th>axis</th><th>length</th><th>labels</th></tr></thead>"
        f"<tbody>{cells}</tbody></table><p>{escape(stack.state())}</p></div>"
    )
