"""A small, exact, fast loader for starfish TileFetchers.

Everything public is here; what is not used is not imported.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from starfish_fetch.axes import (
        Axes,
        Coordinates,
        CoordinateValue,
        Extent,
        Number,
        TileKey,
    )
    from starfish_fetch.contract import FetchedTile, TileFetcher
    from starfish_fetch.crop import CropParameters
    from starfish_fetch.errors import (
        DataFormatWarning,
        MissingExtraError,
        OutsideTileError,
        SourceError,
    )
    from starfish_fetch.intensity import to_float32
    from starfish_fetch.layout import Layout
    from starfish_fetch.plan import Advice, LoadPlan, OrderPrediction
    from starfish_fetch.stack import ImageStack
    from starfish_fetch.tiff import TiffTileFetcher
    from starfish_fetch.tracing import trace

_HOME = {
    "Advice": "plan",
    "Axes": "axes",
    "CoordinateValue": "axes",
    "Coordinates": "axes",
    "CropParameters": "crop",
    "DataFormatWarning": "errors",
    "Extent": "axes",
    "FetchedTile": "contract",
    "ImageStack": "stack",
    "Layout": "layout",
    "LoadPlan": "plan",
    "MissingExtraError": "errors",
    "Number": "axes",
    "OrderPrediction": "plan",
    "OutsideTileError": "errors",
    "SourceError": "errors",
    "TiffTileFetcher": "tiff",
    "TileFetcher": "contract",
    "TileKey": "axes",
    "to_float32": "intensity",
    "trace": "tracing",
}

__all__ = [
    "Advice",
    "Axes",
    "CoordinateValue",
    "Coordinates",
    "CropParameters",
    "DataFormatWarning",
    "Extent",
    "FetchedTile",
    "ImageStack",
    "Layout",
    "LoadPlan",
    "MissingExtraError",
    "Number",
    "OrderPrediction",
    "OutsideTileError",
    "SourceError",
    "TiffTileFetcher",
    "TileFetcher",
    "TileKey",
    "__version__",
    "to_float32",
    "trace",
]


def __getattr__(name: str) -> Any:
    try:
        home = _HOME[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
