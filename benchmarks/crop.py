"""Loads of some rows of every tile: what is not wanted should not be read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

import synth
from benchmarks import common
from starfish_fetch import CropParameters, Extent
from starfish_fetch.testing.asv import LoadSuite

SPEC = synth.Spec(
    rounds=2, chs=2, zplanes=common.sized(5, 2), tile_shape=common.sized((512, 512), (40, 32))
)


class Crops(LoadSuite):
    """The upper part of every tile, out of one file for each round."""

    param_names = ("rows_percent", "storage")
    params = ((10, 50, 100), tuple(common.COMPRESSIONS))
    repeat = (2, 5, 1.0)
    benchmarks = ("time_load", "track_bytes_read")

    @common.labelled(timeout=300)
    def setup_cache(self) -> None:
        """Write the image."""
        for storage in common.COMPRESSIONS:
            common.write_image(SPEC, "per_round", storage, storage)

    @property
    def extent(self) -> Extent:
        """The image."""
        return SPEC.extent(0)

    @property
    def options(self) -> Mapping[str, Any]:
        """The crop."""
        rows = SPEC.tile_shape[0] * self.case["rows_percent"] // 100
        return {"crop_parameters": CropParameters(y_slice=slice(0, rows))}

    def make_fetcher(self) -> Any:
        """Return a fetcher of the case's files."""
        return common.dataset_at(self.case["storage"]).fetcher()

    @common.labelled(
        version="1",
        unit="bytes read per byte wanted",
        pretty_name="Crops: bytes read over bytes wanted",
    )
    def track_read_over_wanted(self, *values: Any) -> float:
        """Return the bytes read over those that the stack was made from."""
        read = self.track_bytes_read(*values)
        assert self.stack is not None
        pixels = math.prod(self.stack.raw_shape)
        return float(read) / (pixels * np.dtype(SPEC.dtype).itemsize)
