"""Which axis of an array is which axis of an image."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

__all__ = ["FOV", "axes_by_position"]

FOV = "fov"

_NAMES = {
    FOV: ("fov", "fovs", "position", "positions", "p", "m"),
    "r": ("r", "round", "rounds", "cycle", "cycles", "time", "t"),
    "c": ("c", "ch", "chs", "channel", "channels"),
    "z": ("z", "zplane", "zplanes", "depth", "plane", "planes"),
    "y": ("y", "row", "rows", "height"),
    "x": ("x", "column", "columns", "width"),
}
_AXIS_OF = {name: axis for axis, names in _NAMES.items() for name in names}


def axes_by_position(
    names: Sequence[Hashable] | None,
    axes: Iterable[Any] | Mapping[Any, Any] | None,
    sizes: Sequence[int],
) -> tuple[str, ...]:
    """Return which of fov, r, c, z, y, x each dimension of an array is.

    Parameters
    ----------
    names : sequence of hashable or None
        What the array calls its dimensions, if it has names for them.
    axes : iterable or mapping, optional
        What the caller calls them, in their order; or a mapping that renames some of them.
    sizes : sequence of int
        Of the dimensions.

    Raises
    ------
    ValueError
        If a dimension cannot be told, y or x is missing, or two are the same axis.

    Examples
    --------
    >>> axes_by_position(None, "tyx", (4, 120, 30))
    ('r', 'y', 'x')
    >>> axes_by_position(("hyb", "Channel", "y", "x"), {"hyb": "r"}, (4, 3, 120, 30))
    ('r', 'c', 'y', 'x')
    """
    renamed: Mapping[Any, Any] = {}
    if isinstance(axes, Mapping):
        renamed = axes
        if names is None or (unknown := [name for name in renamed if name not in names]):
            raise ValueError(
                f"axes renames {list(renamed) if names is None else unknown}, but the dimensions "
                + ("have no names" if names is None else f"are {list(names)}")
                + "; give a name for each of them, as axes='rczyx' does"
            )
    elif axes is not None:
        names = tuple(axes)
    if names is None:
        names = {2: "yx", 5: "rczyx"}.get(len(sizes))
    if names is None or len(names) != len(sizes):
        raise ValueError(
            f"{0 if names is None else len(names)} names are known for the {len(sizes)} dimensions "
            f"{tuple(sizes)}; name each in axes=, such as axes='rczyx'"
        )
    found: dict[str, Hashable] = {}
    for name in names:
        axis = _AXIS_OF.get(str(renamed.get(name, name)).lower())
        if axis is None:
            raise ValueError(
                f"the dimension {name!r} is none of fov, r, c, z, y and x; say which it is with "
                f"axes={{{name!r}: ...}}, or select one position of it"
            )
        if axis in found:
            raise ValueError(
                f"the dimensions {found[axis]!r} and {name!r} are both {axis!r}; say which is "
                "which with axes="
            )
        found[axis] = name
    if not {"y", "x"} <= found.keys():
        raise ValueError(f"an image needs the axes y and x; the dimensions are {list(names)}")
    return tuple(found)
