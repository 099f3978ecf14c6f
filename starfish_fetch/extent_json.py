"""An extent as JSON has it, written and read."""

from __future__ import annotations

from typing import Any

from starfish_fetch.axes import Axes, Extent
from starfish_fetch.json_fields import JsonFields

__all__ = ["extent_fields", "extent_from"]


def extent_fields(extent: Extent) -> dict[str, Any]:
    """Return an extent as what ``json.dumps`` takes.

    Examples
    --------
    >>> extent_fields(Extent({Axes.Y: 120, Axes.X: 30}, fov=0, rounds=[1, 4], chs=[0], zplanes=[0]))
    {'tile_shape': {'y': 120, 'x': 30}, 'fov': 0, 'rounds': [1, 4], 'chs': [0], 'zplanes': [0]}
    """
    return {
        "tile_shape": {str(axis): size for axis, size in extent.tile_shape.items()},
        "fov": int(extent.fov),
        "rounds": list(extent.rounds),
        "chs": list(extent.chs),
        "zplanes": list(extent.zplanes),
    }


def extent_from(fields: JsonFields) -> Extent:
    """Return the extent that was written.

    Raises
    ------
    TypeError, ValueError
        If it is none.
    """
    shape = fields.object("tile_shape")
    return Extent(
        {Axes.Y: shape.integer("y"), Axes.X: shape.integer("x")},
        fields.integer("fov"),
        fields.labels("rounds"),
        fields.labels("chs"),
        fields.labels("zplanes"),
    )
