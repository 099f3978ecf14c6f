"""A small, exact, fast loader for starfish TileFetchers.

Everything public is here; what is not used is not imported.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from starfish_fetch.advice import Advice, OrderPrediction, WorkersPrediction
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
    from starfish_fetch.npy import NpyTileFetcher
    from starfish_fetch.plan import LoadPlan
    from starfish_fetch.profile import (
        Comparison,
        LoadProfile,
        OrderComparison,
        OrderProfile,
        compare,
        profile_orders,
    )
    from starfish_fetch.stack import ImageStack
    from starfish_fetch.tiff import TiffTileFetcher
    from starfish_fetch.tracing import trace

_HOME = {
    "Advice": "advice",
    "Axes": "axes",
    "Comparison": "profile",
    "CoordinateValue": "axes",
    "Coordinates": "axes",
    "CropParameters": "crop",
    "DataFormatWarning": "errors",
    "Extent": "axes",
    "FetchedTile": "contract",
    "ImageStack": "stack",
    "Layout": "layout",
    "LoadPlan": "plan",
    "LoadProfile": "profile",
    "MissingExtraError": "errors",
    "NpyTileFetcher": "npy",
    "Number": "axes",
    "OrderComparison": "profile",
    "OrderPrediction": "advice",
    "OrderProfile": "profile",
    "OutsideTileError": "errors",
    "SourceError": "errors",
    "TiffTileFetcher": "tiff",
    "TileFetcher": "contract",
    "TileKey": "axes",
    "WorkersPrediction": "advice",
    "compare": "profile",
    "profile_orders": "profile",
    "to_float32": "intensity",
    "trace": "tracing",
}

__all__ = [
    "Advice",
    "Axes",
    "Comparison",
    "CoordinateValue",
    "Coordinates",
    "CropParameters",
    "DataFormatWarning",
    "Extent",
    "FetchedTile",
    "ImageStack",
    "Layout",
    "LoadPlan",
    "LoadProfile",
    "MissingExtraError",
    "NpyTileFetcher",
    "Number",
    "OrderComparison",
    "OrderPrediction",
    "OrderProfile",
    "OutsideTileError",
    "SourceError",
    "TiffTileFetcher",
    "TileFetcher",
    "TileKey",
    "WorkersPrediction",
    "__version__",
    "compare",
    "profile_orders",
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
