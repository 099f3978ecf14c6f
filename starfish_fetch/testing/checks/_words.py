"""Phrases that the messages of several checks have."""

from __future__ import annotations

__all__ = ["several"]


def several(count: int, of: int) -> str:
    """Return how many of how many tiles.

    Examples
    --------
    >>> several(3, 36), several(1, 1)
    ('3 of 36 tiles', 'the only tile')
    """
    return "the only tile" if of == count == 1 else f"{count} of {of} tiles"
