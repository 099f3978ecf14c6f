"""Conversion of pixels to float32 intensities, by dtype."""

from __future__ import annotations

import numpy as np

from benchmarks import common
from starfish_fetch import to_float32

DTYPES = ("uint8", "uint16", ">u2", "int16", "uint32", "float16", "float32", "float64")


class Convert:
    """One tile into an array that is there already."""

    param_names = ("dtype", "rows_and_columns")
    params = (DTYPES, common.sized((128, 1024), (32,)))
    version = "1"
    repeat = (3, 20, 1.0)

    def setup(self, dtype: str, rows_and_columns: int) -> None:
        """Make the pixels, and the place for the intensities."""
        image = common.random_image(1, 1, 1, rows_and_columns, rows_and_columns, dtype)
        self.pixels = image[0, 0, 0]
        self.out = np.empty(self.pixels.shape, np.float32)

    @common.labelled(pretty_name="Conversion to float32")
    def time_to_float32(self, dtype: str, rows_and_columns: int) -> None:
        """Convert."""
        to_float32(self.pixels, self.out)

    @common.labelled(unit="MB/s of float32", pretty_name="Conversion to float32: speed")
    def track_megabytes_per_second(self, dtype: str, rows_and_columns: int) -> float:
        """Return how much output is written in a second."""
        seconds = min(common.seconds_of(lambda: to_float32(self.pixels, self.out)) for _ in "12345")
        return self.out.nbytes / 1e6 / seconds
