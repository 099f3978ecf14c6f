"""From tiles to the formats that starfish and others open directly: whole, or resumed later."""

from starfish_fetch.convert._breakeven import breakeven
from starfish_fetch.convert._ome_zarr import to_ome_zarr
from starfish_fetch.convert._result import Conversion
from starfish_fetch.convert._spacetx import to_spacetx

__all__ = ["Conversion", "breakeven", "to_ome_zarr", "to_spacetx"]
