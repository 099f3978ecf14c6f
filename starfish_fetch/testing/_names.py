"""Names of checks as somebody writes them, and what to say of those that do not exist."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches

__all__ = ["expectations", "known"]


def known(names: Iterable[str], allowed: Collection[str]) -> tuple[str, ...]:
    """Return the names, each once.

    Raises
    ------
    ValueError
        If one is not allowed; the message has those that look like it.

    Examples
    --------
    >>> known(["labels_are_honored"], ["labels_are_honoured", "tiles_repeat"])
    Traceback (most recent call last):
    ...
    ValueError: there is no check 'labels_are_honored'; did you mean labels_are_honoured?
    """
    if isinstance(names, str):
        raise TypeError(
            f"names of checks are an iterable of strings; got {names!r}: use [{names!r}]"
        )
    unique = tuple(dict.fromkeys(names))
    for name in unique:
        if name not in allowed:
            close = get_close_matches(str(name), allowed)
            hint = (
                f"did you mean {' or '.join(close)}?"
                if close
                else f"there are {', '.join(allowed)}"
            )
            raise ValueError(f"there is no check {name!r}; {hint}")
    return unique


def expectations(reasons: Mapping[str, str] | None, allowed: Collection[str]) -> dict[str, str]:
    """Return the reasons why checks are expected to fail.

    Raises
    ------
    TypeError
        If they are no mapping.
    ValueError
        If a check is not allowed, or a reason says nothing.

    Examples
    --------
    >>> expectations({"tiles_repeat": ""}, ["tiles_repeat"])
    Traceback (most recent call last):
    ...
    ValueError: the failure of tiles_repeat is expected for the reason ''; say why, in words
    """
    if reasons is None:
        return {}
    if not isinstance(reasons, Mapping):
        raise TypeError(
            f"expected failures map the name of a check to the reason; got {reasons!r}: write "
            "{'name_of_the_check': 'why it fails'}"
        )
    known(reasons, allowed)
    for name, reason in reasons.items():
        if not isinstance(reason, str) or not reason.strip():
            raise ValueError(
                f"the failure of {name} is expected for the reason {reason!r}; say why, in words"
            )
    return dict(reasons)
