"""What it costs to go on elsewhere: convert and load that, or load through dask.

``python -m benchmarks.elsewhere`` prints the ratios; ``--help`` says what else it can do.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

import synth
from benchmarks import common
from benchmarks.figures import Measured, compare, ratio, take_turns
from starfish_fetch import ImageStack

TARGETS = ("spacetx", "ome-zarr")
SIDE = common.sized(1024, 32)
_PLANES = common.sized((4, 3, 5), (2, 2, 2))


def spec_of(side: int = SIDE) -> synth.Spec:
    """Return an image of tiles with so many rows and columns."""
    return synth.Spec(*_PLANES, tile_shape=(side, side))


def convert(dataset: synth.Dataset, target: str, root: str) -> Any:
    """Convert all of a dataset's image."""
    from starfish_fetch import to_ome_zarr, to_spacetx

    write = to_spacetx if target == "spacetx" else to_ome_zarr
    with dataset.fetcher() as fetcher:
        return write(fetcher, dataset.extent(), root)


def load(fetcher: Any, **options: Any) -> NDArray[Any]:
    """Load what a fetcher names as its extent."""
    extent = getattr(fetcher, "extent", None) or fetcher.extents[0]
    return ImageStack.from_tilefetcher(fetcher, **vars(extent), **options).to_numpy()


def load_directly(dataset: synth.Dataset) -> NDArray[Any]:
    """Load an image through the fetcher of its files."""
    with dataset.fetcher() as fetcher:
        return load(fetcher)


def load_converted(target: str, root: str) -> NDArray[Any]:
    """Load what :func:`convert` wrote."""
    from starfish_fetch import OmeZarrTileFetcher, SpaceTxTileFetcher

    return load((SpaceTxTileFetcher if target == "spacetx" else OmeZarrTileFetcher)(root))


def load_with_dask(dataset: synth.Dataset) -> NDArray[Any]:
    """Load an image in dask's threads, as many as there are CPUs."""
    from starfish_fetch import to_dask

    with dataset.fetcher() as fetcher:
        image: Any = to_dask(fetcher, dataset.extent())
        pixels: NDArray[Any] = image.compute(scheduler="threads")
    return pixels


def chunks_with_dask(dataset: synth.Dataset) -> Any:
    """Compute all chunks of an image in dask's threads, and leave them as they are."""
    import dask

    from starfish_fetch import to_dask

    with dataset.fetcher() as fetcher:
        image: Any = to_dask(fetcher, dataset.extent())
        return dask.compute(image.to_delayed().tolist(), scheduler="threads")[0]  # type: ignore[attr-defined, no-untyped-call]


def skip_without(*packages: str) -> None:
    """Have asv skip what needs a package that is not installed."""
    for package in packages:
        if find_spec(package) is None:
            raise NotImplementedError(f"{package} is not installed")


class _Image:
    """What the next two share: an image of 16-bit pixels, written once."""

    param_names = ("target",)
    params = (TARGETS,)
    version = "1"
    number = 1
    warmup_time = 0
    repeat = (2, 5, 5.0)
    timeout = 300

    @common.labelled(timeout=300)
    def setup_cache(self) -> None:
        """Write the image."""
        common.write_image(spec_of(), "per_round", "image")

    def setup(self, target: str) -> None:
        """Open the image."""
        if target == "ome-zarr":
            skip_without("ome_zarr", "zarr")
        self.dataset = common.dataset_at("image")

    def teardown(self, target: str) -> None:
        """Delete what was converted."""
        shutil.rmtree("converted", ignore_errors=True)


class Conversion(_Image):
    """To where nothing is yet."""

    @common.labelled(pretty_name="Convert an image")
    def time_convert(self, target: str) -> None:
        """Convert it."""
        convert(self.dataset, target, "converted")

    @common.labelled(unit="bytes", pretty_name="Convert an image: bytes written")
    def track_bytes_written(self, target: str) -> int:
        """Return the size of all files."""
        return int(convert(self.dataset, target, "converted").bytes)


class Converted(_Image):
    """Loads of what was converted."""

    def setup(self, target: str) -> None:
        """Convert the image."""
        super().setup(target)
        convert(self.dataset, target, "converted")

    @common.labelled(pretty_name="Load of a converted image")
    def time_load(self, target: str) -> None:
        """Load it."""
        load_converted(target, "converted")

    @common.labelled(unit="ratio", pretty_name="Load of a converted image over direct load")
    def track_ratio_over_direct(self, target: str) -> float:
        """Return how many times as long as a load from the original it takes."""
        return converted_over_direct(self.dataset, target, "converted", common.sized(5, 1)).value


class Dask:
    """``to_dask(...).compute()`` against a load, threads in both."""

    param_names = ("layout", "rows_and_columns")
    params = (("per_round", "per_round_ch", "per_tile"), common.sized((256, 1024), (32,)))
    version = "1"
    timeout = 300

    def setup(self, layout: str, rows_and_columns: int) -> None:
        """Write the image."""
        skip_without("dask")
        self.dataset = common.write_image(spec_of(rows_and_columns), layout, "image")

    def teardown(self, layout: str, rows_and_columns: int) -> None:
        """Delete the image."""
        shutil.rmtree("image", ignore_errors=True)

    @common.labelled(unit="ratio", pretty_name="dask, chunks only, over load")
    def track_ratio_of_chunks_over_load(self, layout: str, rows_and_columns: int) -> float:
        """Return how many times as long as a load all chunks take that are not joined."""
        return chunks_over_load(self.dataset, common.sized(7, 1)).value

    @common.labelled(unit="ratio", pretty_name="dask over load")
    def track_ratio_over_load(self, layout: str, rows_and_columns: int) -> float:
        """Return how many times as long as a load it takes."""
        return dask_over_load(self.dataset, common.sized(7, 1)).value


class DaskGraph:
    """The graph of many tiles, each in a chunk of its own."""

    param_names = ("tiles",)
    params = (common.sized((1_000, 10_000, 100_000), (100, 1_000)),)
    version = "1"
    timeout = 120

    def setup(self, tiles: int) -> None:
        """Make the fetcher; its pixels are one and the same."""
        skip_without("dask")
        image = np.broadcast_to(np.uint16(0), (tiles // 100, 10, 10, 8, 8))
        self.fetcher = common.MemoryFetcher(image)

    def build(self) -> Any:
        """Return the array, and its graph as a scheduler gets it."""
        from starfish_fetch import to_dask

        array = to_dask(self.fetcher, self.fetcher.extent)
        return array, array.__dask_graph__()

    @common.labelled(pretty_name="dask: build the graph")
    def time_build(self, tiles: int) -> None:
        """Build the array, as it is handed to the user."""
        self.build()

    @common.labelled(pretty_name="dask: build the graph and each of its tasks")
    def time_build_and_materialize(self, tiles: int) -> None:
        """Build the array, and what is made of it when all of it is computed."""
        dict(self.build()[1])

    @common.labelled(unit="tasks", pretty_name="dask: tasks of the graph")
    def track_tasks(self, tiles: int) -> int:
        """Return how many tasks there are."""
        return len(dict(self.build()[1]))


class DaskWorkers:
    """Two processes of dask.distributed against one, on tiles that take time to decode."""

    version = "1"
    timeout = 600

    def setup(self) -> None:
        """Write the image."""
        skip_without("distributed", "imagecodecs")
        self.dataset = common.write_image(spec_of(), "per_round_ch", "image", "deflate")

    def teardown(self) -> None:
        """Delete the image."""
        shutil.rmtree("image", ignore_errors=True)

    @common.labelled(unit="ratio", pretty_name="dask: one process over two")
    def track_ratio_of_one_over_two(self) -> float:
        """Return how many times as fast two are."""
        return one_over_two(self.dataset, common.sized(5, 1)).value


def converted_over_direct(dataset: synth.Dataset, target: str, root: str, runs: int) -> Measured:
    """Compare loads of what was converted with loads of the original."""
    return compare(lambda: load_converted(target, root), lambda: load_directly(dataset), runs)


def chunks_over_load(dataset: synth.Dataset, runs: int) -> Measured:
    """Compare dask's threads with ours, without the copy that makes one array of the chunks."""
    expected = load_directly(dataset)
    if not np.array_equal(np.block(chunks_with_dask(dataset)), expected):
        raise AssertionError("chunks and load do not give the same pixels")
    actions = {"dask": partial(chunks_with_dask, dataset), "load": partial(load_directly, dataset)}
    seconds = take_turns(actions, runs, expected.nbytes)
    return ratio(seconds["dask"], seconds["load"])


def dask_over_load(dataset: synth.Dataset, runs: int) -> Measured:
    """Compare dask's threads with ours."""
    return compare(lambda: load_with_dask(dataset), lambda: load_directly(dataset), runs)


def _compute(client: Any, array: Any) -> Any:
    return client.gather(client.compute(array))


def one_over_two(dataset: synth.Dataset, runs: int) -> Measured:
    """Compare one process with two; the largest pixel of each tile is all that is sent back."""
    import distributed

    from starfish_fetch import to_dask

    image: Any = to_dask(dataset.fetcher(), dataset.extent())
    array = image.max(axis=(3, 4))
    with ExitStack() as stack:
        actions: dict[str, Callable[[], object]] = {}
        for workers in (1, 2):
            cluster: Any = distributed.LocalCluster(  # type: ignore[no-untyped-call]
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                dashboard_address=":0",
                memory_limit=0,
            )
            stack.enter_context(cluster)
            client: Any = distributed.Client(cluster, set_as_default=False)  # type: ignore[no-untyped-call]
            stack.enter_context(client)
            actions[str(workers)] = partial(_compute, client, array)
        first, second = (np.asarray(action()) for action in actions.values())
        if not np.array_equal(first, second):
            raise AssertionError("one process and two do not give the same")
        seconds = take_turns(actions, runs, 0)
    return ratio(seconds["1"], seconds["2"])


@dataclass(frozen=True)
class Row:
    """One ratio."""

    subject: str
    reference: str
    measured: Measured


def rows(root: Path, runs: int, only: Sequence[str]) -> Iterator[Row]:
    """Measure everything, one after the other."""
    if "convert" in only:
        dataset = common.write_image(spec_of(), "per_round", str(root / "image"))
        for target in TARGETS:
            converted = str(root / target)
            done = convert(dataset, target, converted)
            what = f"load of {target} (converted in {done.seconds:.2f} s, {done.bytes:,} bytes)"
            measured = converted_over_direct(dataset, target, converted, runs)
            yield Row(what, "load of TIFF, per_round", measured)
            shutil.rmtree(converted)
    for layout in Dask.params[0] if "dask" in only else ():
        for side in Dask.params[1]:
            dataset = common.write_image(spec_of(side), layout, str(root / "dask"))
            what = f"to_dask, {layout}, {side} x {side}"
            yield Row(f"chunks of {what}", "load", chunks_over_load(dataset, runs))
            yield Row(f"{what}, computed to one array", "load", dask_over_load(dataset, runs))
            shutil.rmtree(root / "dask")
    if "workers" in only:
        dataset = common.write_image(spec_of(), "per_round_ch", str(root / "deflate"), "deflate")
        yield Row("one process, deflate", "two processes", one_over_two(dataset, runs))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.elsewhere", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--runs", type=int, default=common.sized(9, 1), help="of each (default: 9)")
    parser.add_argument("--root", help="folder for up to 1 GB of files, which are deleted")
    names = ("convert", "dask", "workers")
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="default: all")
    parsed = parser.parse_args(arguments)
    found = []
    with TemporaryDirectory(prefix="starfish-fetch-elsewhere-", dir=parsed.root) as root:
        for row in rows(Path(root), parsed.runs, parsed.only):
            found.append(row)
            one = row.measured
            if not parsed.json:
                print(
                    f"{one.value:6.2f} ({one.low:.2f}-{one.high:.2f})  {row.subject} "
                    f"{one.subject_seconds:.3f} s, {row.reference} {one.reference_seconds:.3f} s",
                    flush=True,
                )
    if parsed.json:
        print(json.dumps([asdict(row) for row in found], indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
