"""HTML out of elements: what is no markup is escaped where it is put in."""

from __future__ import annotations

from html import escape

from starfish_fetch.names import visible

__all__ = ["Markup", "element", "joined"]

_VOID = ("meta", "rect", "path", "br")


class Markup(str):
    """Text that is HTML already; any other string is text."""

    __slots__ = ()


def element(name: str, /, *children: str | None, **attributes: str | float | None) -> Markup:
    """Return an element.

    Parameters
    ----------
    name : str
        Of the element.
    *children : str or None
        Markup as it is, other text escaped, None left out.
    **attributes : str, number or None
        Their values are escaped; None is left out. ``_`` stands for ``-``, and one at the end for
        nothing.

    Examples
    --------
    >>> print(element("p", "1 < 2", element("b", "yes"), class_="plain", data_to='"'))
    <p class="plain" data-to="&quot;">1 &lt; 2<b>yes</b></p>
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(visible(f"{value}"))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Markup(f"<{name}{given}/>")
    return Markup(f"<{name}{given}>{joined(*children)}</{name}>")


def joined(*children: str | None) -> Markup:
    """Return one after another: markup as it is, other text escaped."""
    return Markup(
        "".join(
            child if isinstance(child, Markup) else escape(visible(child))
            for child in children
            if child is not None
        )
    )
