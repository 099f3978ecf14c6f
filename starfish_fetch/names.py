"""Names that somebody else chose, of files above all, made fit to be shown."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from os.path import commonprefix

__all__ = ["shown_names", "visible"]

# Control and format characters (which turn the direction of text), surrogates, and what Unicode
# does not know; of separators those that break a line.
_HIDDEN = ("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp")


def visible(text: str) -> str:
    r"""Return a text in which characters that would steer whatever shows it are escaped.

    Examples
    --------
    >>> print(visible("r\x1b[2J\u202efft.tiff"))
    r\x1b[2J\u202efft.tiff
    """
    if text.isprintable():
        return text
    return "".join(
        repr(char)[1:-1] if unicodedata.category(char) in _HIDDEN else char for char in text
    )


def shown_names(names: Sequence[str], most: int = 48) -> list[str]:
    r"""Return names as a legend shows them: without the folder of all, and not too long.

    Of a long name the end stays, which is what tells files apart.

    Parameters
    ----------
    names : sequence of str
        Such as paths.
    most : int, optional
        How many characters a name may have. Default: 48.

    Examples
    --------
    >>> shown_names(["/data/run 7/r0.tiff", "/data/run 7/r1.tiff"])
    ['r0.tiff', 'r1.tiff']
    >>> shown_names(["a_very_long_name.tiff"], most=10)
    ['…name.tiff']
    """
    # Also of names with backslashes, or that are no paths; what is cut ends at a separator.
    prefix = commonprefix(list(names))  # noqa: RUF071
    cut = 1 + max(prefix.rfind("/"), prefix.rfind("\\"))
    short = []
    for name in names:
        text = visible(name[cut:] or name)
        short.append(text if len(text) <= most else "…" + text[1 - most :])
    return short
