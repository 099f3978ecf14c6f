"""The hot paths for pytest-benchmark: a quick before and after on one machine.

``pytest benchmarks --benchmark-only --benchmark-autosave``, then, after a change, the same with
``--benchmark-compare``. Not part of the tests.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np

import synth
from benchmarks import common
from starfish_fetch import CropParameters, ImageStack, LoadPlan, to_float32

SPEC = synth.Spec(4, 3, 5, tile_shape=common.sized((512, 512), (32, 32)))


def _load(fetcher: Any, **arguments: Any) -> ImageStack:
    return ImageStack.from_tilefetcher(fetcher, **vars(fetcher.extent), **arguments).load()


def _tiff(folders: Any, layout: str) -> synth.Dataset:
    return common.write_image(SPEC, layout, str(folders.getbasetemp() / layout))


def _rounds(benchmark: Any, action: Any, make_argument: Any) -> Any:
    """Measure loads by a fresh fetcher each."""
    return benchmark.pedantic(
        action, setup=lambda: ((make_argument(),), {}), rounds=20, warmup_rounds=1
    )


def test_load_whole_files_in_the_good_order(benchmark: Any, tmp_path_factory: Any) -> None:
    """One file per round and channel, one kept, z fastest."""
    dataset = _tiff(tmp_path_factory, "per_round_ch")
    _rounds(
        benchmark,
        lambda fetcher: _load(fetcher, group_by="rc"),
        lambda: common.VolumeFetcher(dataset),
    )


def test_load_tiff_in_its_own_order(benchmark: Any, tmp_path_factory: Any) -> None:
    """TiffTileFetcher, one file per round."""
    _rounds(benchmark, _load, _tiff(tmp_path_factory, "per_round").fetcher)


def test_load_tiff_with_the_round_fastest(benchmark: Any, tmp_path_factory: Any) -> None:
    """The same in the order that suits the files least."""
    dataset = _tiff(tmp_path_factory, "per_round")
    _rounds(benchmark, lambda fetcher: _load(fetcher, group_by="czr"), dataset.fetcher)


def test_load_a_tenth_of_the_rows(benchmark: Any, tmp_path_factory: Any) -> None:
    """The same, cropped."""
    dataset = _tiff(tmp_path_factory, "per_round")
    crop = CropParameters(y_slice=slice(0, SPEC.tile_shape[0] // 10))
    _rounds(benchmark, lambda fetcher: _load(fetcher, crop_parameters=crop), dataset.fetcher)


def test_load_small_tiles_out_of_memory(benchmark: Any) -> None:
    """What the loader itself costs."""
    benchmark(_load, common.MemoryFetcher(common.random_tiles(1000, 16, 16)))


def test_plan_a_hundred_thousand_tiles(benchmark: Any) -> None:
    """Build, go through, predict every order."""
    labels = tuple(range(100)), tuple(range(100)), tuple(range(10))
    sources = tuple(f"r{r}_c{c}.tiff" for r in labels[0] for c in labels[1] for _ in labels[2])

    def plan() -> None:
        built = LoadPlan(*labels, sources=sources)
        deque(built, maxlen=0)
        built.advise()

    benchmark(plan)


def test_convert_16_bit_pixels(benchmark: Any) -> None:
    """One tile into float32 that is there already."""
    pixels = common.random_image(1, 1, 1, *SPEC.tile_shape)[0, 0, 0]
    benchmark(to_float32, pixels, np.empty(pixels.shape, np.float32))
