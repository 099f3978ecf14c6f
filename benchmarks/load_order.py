"""What the load order costs: every way to cut an image into files, every way to fetch it.

The worst case is among them: ``per_round`` files, the order ``c,z,r`` with the round varying
fastest, and a fetcher that keeps one file. Every tile reads a whole file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import synth
from benchmarks import common
from starfish_fetch import Extent
from starfish_fetch.testing.asv import LoadSuite

SPEC = synth.Spec(
    rounds=common.sized(4, 2),
    chs=common.sized(3, 2),
    zplanes=common.sized(5, 2),
    tile_shape=common.sized((512, 512), (32, 32)),
)
FETCHERS: dict[str, Callable[[synth.Dataset], Any]] = {
    "keeps_one_file": common.VolumeFetcher,
    "keeps_none": lambda dataset: common.VolumeFetcher(dataset, keep=0),
    "TiffTileFetcher": lambda dataset: dataset.fetcher(),
}


def write_all() -> None:
    """Write the image in every layout and storage, below the working directory."""
    for layout in common.LAYOUTS:
        for storage in common.COMPRESSIONS:
            common.write_image(SPEC, layout, f"{layout}-{storage}", storage)


class Loads(LoadSuite):
    """One load of the image: by layout, load order, fetcher and storage."""

    param_names = ("group_by", "layout", "fetcher", "storage")
    params = (
        common.sized(("r,c,z", "c,r,z", "c,z,r", "none"), ("r,c,z", "c,z,r")),
        tuple(common.LAYOUTS),
        tuple(FETCHERS),
        tuple(common.COMPRESSIONS),
    )
    repeat = (2, 5, 1.0)
    benchmarks = ("time_load", "track_opens", "track_bytes_read")

    @common.labelled(timeout=300)
    def setup_cache(self) -> None:
        """Write the image."""
        write_all()

    @property
    def extent(self) -> Extent:
        """The image."""
        return SPEC.extent(0)

    def make_fetcher(self) -> Any:
        """Return a fetcher of the case's kind, of the case's files."""
        dataset = common.dataset_at("{layout}-{storage}".format(**self.case))
        return FETCHERS[self.case["fetcher"]](dataset)


class MemoryAndCalls(LoadSuite):
    """What hardly depends on the order: peak memory, and how many tiles are asked for."""

    param_names = ("group_by", "layout", "fetcher")
    params = (("r,c,z", "c,z,r"), ("per_round", "per_tile"), ("keeps_one_file", "TiffTileFetcher"))
    benchmarks = ("peakmem_load", "peakmem_reference", "track_get_tile_calls")

    @common.labelled(timeout=300)
    def setup_cache(self) -> None:
        """Write the image."""
        for layout in self.params[1]:
            common.write_image(SPEC, layout, layout)

    @property
    def extent(self) -> Extent:
        """The image."""
        return SPEC.extent(0)

    def make_fetcher(self) -> Any:
        """Return a fetcher of the case's kind, of the case's files."""
        return FETCHERS[self.case["fetcher"]](common.dataset_at(self.case["layout"]))
