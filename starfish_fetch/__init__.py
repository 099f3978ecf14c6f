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
    from starfish_fetch.convert import (
        Conversion,
        breakeven,
        to_ome_zarr,
        to_spacetx,
    )
    from starfish_fetch.crop import CropParameters
    from starfish_fetch.errors import (
        DataFormatWarning,
        MissingExtraError,
        OutsideTileError,
        SourceError,
    )
    from starfish_fetch.intensity import to_float32
    from starfish_fetch.interop.bioio import BioImageTileFetcher
    from starfish_fetch.interop.dask import load_experiment, to_dask
    from starfish_fetch.interop.ome_zarr import OmeZarrTileFetcher
    from starfish_fetch.interop.planes import PlaneFetcher, as_fetcher
    from starfish_fetch.interop.spacetx import SpaceTxTileFetcher
    from starfish_fetch.layout import Layout
    from starfish_fetch.npy import NpyTileFetcher
    from starfish_fetch.plan import LoadPlan
    from starfish_fetch.profile import (
        Breakeven,
        Comparison,
        LoadProfile,
        OrderBreakeven,
        OrderComparison,
        OrderProfile,
        compare,
        profile_orders,
    )
    from starfish_fetch.remote import RemoteTiffTileFetcher
    from starfish_fetch.stack import ImageStack
    from starfish_fetch.tiff import TiffTileFetcher
    from starfish_fetch.tracing import trace

_HOME = {
    "Advice": "advice",
    "Axes": "axes",
    "BioImageTileFetcher": "interop.bioio",
    "Breakeven": "profile",
    "Comparison": "profile",
    "Conversion": "convert",
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
    "OmeZarrTileFetcher": "interop.ome_zarr",
    "OrderBreakeven": "profile",
    "OrderComparison": "profile",
    "OrderPrediction": "advice",
    "OrderProfile": "profile",
    "OutsideTileError": "errors",
    "PlaneFetcher": "interop.planes",
    "RemoteTiffTileFetcher": "remote",
    "SourceError": "errors",
    "SpaceTxTileFetcher": "interop.spacetx",
    "TiffTileFetcher": "tiff",
    "TileFetcher": "contract",
    "TileKey": "axes",
    "WorkersPrediction": "advice",
    "as_fetcher": "interop.planes",
    "breakeven": "convert",
    "compare": "profile",
    "load_experiment": "interop.dask",
    "profile_orders": "profile",
    "to_dask": "interop.dask",
    "to_float32": "intensity",
    "to_ome_zarr": "convert",
    "to_spacetx": "convert",
    "trace": "tracing",
}

__all__ = [
    "Advice",
    "Axes",
    "BioImageTileFetcher",
    "Breakeven",
    "Comparison",
    "Conversion",
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
    "OmeZarrTileFetcher",
    "OrderBreakeven",
    "OrderComparison",
    "OrderPrediction",
    "OrderProfile",
    "OutsideTileError",
    "PlaneFetcher",
    "RemoteTiffTileFetcher",
    "SourceError",
    "SpaceTxTileFetcher",
    "TiffTileFetcher",
    "TileFetcher",
    "TileKey",
    "WorkersPrediction",
    "__version__",
    "as_fetcher",
    "breakeven",
    "compare",
    "load_experiment",
    "profile_orders",
    "to_dask",
    "to_float32",
    "to_ome_zarr",
    "to_spacetx",
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
