"""The figures that loading has to reach, each measured against its reference in one process.

Subject and reference take turns, and which goes first alternates, so that what slows the machine
down for a while slows both; the figure is the ratio of the medians. Pixels are compared before
anything is timed. Files are in the page cache: the disk is not the subject.
"""

from __future__ import annotations

import gc
import math
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

import synth
from benchmarks import common, references
from starfish_fetch import CropParameters, ImageStack, Layout, trace
from starfish_fetch.testing.asv import ORDERS, bytes_read, group_by_of

__all__ = [
    "FIGURES",
    "Figure",
    "Image",
    "Measured",
    "Sizes",
    "compare",
    "ratio",
    "take_turns",
    "usual_sizes",
]

Action = Callable[[], object]


@dataclass(frozen=True)
class Sizes:
    """How large everything is, and how often it is measured."""

    planes: tuple[int, int, int] = (4, 3, 5)
    tile_rows_and_columns: int = 1024
    small_planes: tuple[int, int, int] = (20, 25, 10)
    small_planes_for_starfish: tuple[int, int, int] = (10, 10, 10)
    plan_labels: int = 100
    runs: int = 9

    @property
    def few(self) -> int:
        """Runs of what takes long."""
        return min(7, self.runs)


def usual_sizes(*, quick: bool = False, runs: int | None = None) -> Sizes:
    """Return the sizes that the figures are about, or smaller ones that only show that it runs.

    Parameters
    ----------
    quick : bool, optional
        Smaller tiles, fewer runs.
    runs : int, optional
        How often everything is measured. Default: 9, or 3 if quick.
    """
    if common.TINY:
        return Sizes((2, 2, 2), 32, (2, 2, 2), (2, 2, 2), 10, runs or 1)
    if quick:
        return Sizes(tile_rows_and_columns=512, small_planes=(10, 10, 10), runs=runs or 3)
    return Sizes(runs=runs or 9)


class Image:
    """One image in several layouts, written when it is first asked for.

    Parameters
    ----------
    root : path
        Where to write it.
    sizes : Sizes
        How large it is.
    """

    def __init__(self, root: Path, sizes: Sizes) -> None:
        self._root = root
        self.sizes = sizes
        side = sizes.tile_rows_and_columns
        rounds, chs, zplanes = sizes.planes
        self.spec = synth.Spec(rounds, chs, zplanes, tile_shape=(side, side))
        self.extent = self.spec.extent(0)
        self.shape = (*sizes.planes, side, side)
        self.dtype = str(self.spec.dtype)

    def dataset(self, layout: str) -> synth.Dataset:
        """Return the image in a layout."""
        return common.write_image(self.spec, layout, str(self._root / layout))

    @cached_property
    def small(self) -> NDArray[Any]:
        """Tiles of 120 by 30 pixels in memory."""
        return common.random_image(*self.sizes.small_planes, 120, 30)

    @cached_property
    def small_for_starfish(self) -> NDArray[Any]:
        """The same, fewer."""
        return common.random_image(*self.sizes.small_planes_for_starfish, 120, 30)


@dataclass(frozen=True)
class Measured:
    """A figure, and the range in which the single runs were."""

    value: float
    low: float
    high: float
    runs: int
    subject_seconds: float = math.nan
    reference_seconds: float = math.nan
    remark: str = ""


@dataclass(frozen=True)
class Figure:
    """One row: what is measured against what, and how far it may go."""

    name: str
    subject: str
    reference: str
    bound: float
    measure: Callable[[Image], Measured]
    at_least: bool = False
    unit: str = ""
    needs_starfish: bool = False
    ours: bool = False
    """Whether the bound is one that this project sets itself, beyond the figures asked of it."""

    @property
    def missing(self) -> str | None:
        """Why it cannot be measured here, or None."""
        if self.needs_starfish and find_spec("starfish") is None:
            return "starfish is not installed: pip install 'starfish-fetch[starfish]'"
        return None

    def holds(self, measured: Measured) -> bool:
        """Return whether what was measured is within the bound."""
        if self.at_least:
            return measured.value >= self.bound
        return measured.value <= self.bound


def take_turns(
    actions: Mapping[str, Action], runs: int, nbytes: int, before: Action = lambda: None
) -> dict[str, list[float]]:
    """Time some actions that make so many bytes, one after another and again, in turns."""
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    for run in range(runs):
        for name in list(actions)[:: -1 if run % 2 else 1]:
            before()
            gc.collect()
            common.touch_memory(2 * nbytes)
            seconds[name].append(common.seconds_of(actions[name]))
    return seconds


def ratio(subject: Sequence[float], reference: Sequence[float], remark: str = "") -> Measured:
    """Return the ratio of medians, and the range of those of runs that followed each other."""
    each = [one / other for one, other in zip(subject, reference, strict=True)]
    above, below = median(subject), median(reference)
    return Measured(above / below, min(each), max(each), len(each), above, below, remark)


def compare(subject: Action, reference: Action, runs: int) -> Measured:
    """Return how many times as long as the reference the subject takes."""
    result = np.asarray(subject())
    if not np.array_equal(result, np.asarray(reference())):
        raise AssertionError("the subject and its reference do not give the same pixels")
    nbytes = result.nbytes
    del result
    seconds = take_turns({"subject": subject, "reference": reference}, runs, nbytes)
    return ratio(seconds["subject"], seconds["reference"])


def _loads(fetcher: Any, extent: Any, order: str = "none", **options: Any) -> NDArray[Any]:
    group_by = group_by_of(order)
    stack = ImageStack.from_tilefetcher(fetcher, **vars(extent), group_by=group_by, **options)
    return stack.to_numpy()


def _loads_tiff(image: Image, layout: str = "per_round", order: str = "none") -> NDArray[Any]:
    with image.dataset(layout).fetcher() as fetcher:
        return _loads(fetcher, image.extent, order)


@cache
def _starfish_stack() -> Any:
    # Its progress bar cannot be turned off otherwise, and would be held against it.
    os.environ.setdefault("TQDM_DISABLE", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from starfish import ImageStack as StarfishStack
    return StarfishStack


def _loads_with_starfish(fetcher: Any, extent: Any, order: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stack = _starfish_stack().from_tilefetcher(
            fetcher, **vars(extent), group_by=group_by_of(order)
        )
        return stack.xarray.values


def tiff_over_loop(image: Image) -> Measured:
    """TiffTileFetcher against two threads that read and convert, written by hand."""
    dataset = image.dataset("per_round")
    files = references.files_of(dataset)
    return compare(
        lambda: _loads_tiff(image),
        lambda: references.read_and_convert(files, image.shape, image.dtype),
        image.sizes.runs,
    )


def tutorial_over_loop(image: Image) -> Measured:
    """Load whole files, one kept, against a loop over the files."""
    dataset = image.dataset("per_round_ch")
    files = references.files_of(dataset)
    return compare(
        lambda: _loads(common.VolumeFetcher(dataset), image.extent, "r,c"),
        lambda: references.read_files_and_convert(
            files, image.shape, image.dtype, common.read_tiff
        ),
        image.sizes.runs,
    )


def starfish_over_ours(image: Image) -> Measured:
    """Load whole files, one kept, in the good order, by starfish and by us."""
    dataset = image.dataset("per_round_ch")
    return compare(
        lambda: _loads_with_starfish(common.VolumeFetcher(dataset), image.extent, "r,c"),
        lambda: _loads(common.VolumeFetcher(dataset), image.extent, "r,c"),
        image.sizes.few,
    )


def starfish_over_tiff(image: Image) -> Measured:
    """Load the same by starfish, against TiffTileFetcher by us."""
    dataset = image.dataset("per_round_ch")
    return compare(
        lambda: _loads_with_starfish(common.VolumeFetcher(dataset), image.extent, "r,c"),
        lambda: _loads_tiff(image, "per_round_ch"),
        image.sizes.few,
    )


def slowest_over_fastest_order(image: Image) -> Measured:
    """TiffTileFetcher in every order, in the layout where that matters most."""
    worst: Measured | None = None
    for layout in common.LAYOUTS:
        nbytes = _loads_tiff(image, layout).nbytes
        loads = {order: partial(_loads_tiff, image, layout, order) for order in ORDERS}
        seconds = take_turns(loads, image.sizes.few, nbytes)
        medians = {order: median(seconds[order]) for order in ORDERS}
        ranked = sorted(medians, key=medians.__getitem__)
        # The slowest of seven was partly chosen for its bad luck; measured anew, it has none.
        pair = {order: loads[order] for order in (ranked[-1], ranked[0])}
        seconds = take_turns(pair, image.sizes.runs, nbytes)
        remark = f"{layout}: {ranked[-1]} over {ranked[0]}"
        measured = ratio(seconds[ranked[-1]], seconds[ranked[0]], remark)
        if worst is None or measured.value > worst.value:
            worst = measured
    assert worst is not None
    return worst


def memory_over_loop(image: Image) -> Measured:
    """Small tiles out of memory against three nested loops."""
    fetcher = common.MemoryFetcher(image.small)
    return compare(
        lambda: _loads(fetcher, fetcher.extent, "r,c,z"),
        lambda: references.convert_tile_by_tile(fetcher),
        image.sizes.runs,
    )


def starfish_over_memory(image: Image) -> Measured:
    """Small tiles out of memory, by starfish and by us."""
    fetcher = common.MemoryFetcher(image.small_for_starfish)
    return compare(
        lambda: _loads_with_starfish(fetcher, fetcher.extent, "r,c,z"),
        lambda: _loads(fetcher, fetcher.extent, "r,c,z"),
        image.sizes.few,
    )


def own_dtype_over_preadv(image: Image) -> Measured:
    """``dtype=None`` into memory that is there, against bare preadv into the same memory."""
    dataset = image.dataset("per_round")
    files = references.files_of(dataset)
    out = np.zeros(image.shape, image.dtype)

    def ours() -> NDArray[Any]:
        with dataset.fetcher() as fetcher:
            return _loads(fetcher, image.extent, dtype=None, out=out)

    return compare(
        ours,
        lambda: references.read_into(files, out),
        image.sizes.runs,
    )


_RSS = """
def memory(name):
    with open("/proc/self/status") as file:
        return next(1024 * int(line.split()[1]) for line in file if line.startswith(name))
"""
_LOAD_IN_CHILD = f"""
{_RSS}
import sys, synth
from starfish_fetch import ImageStack
with synth.Dataset.open(sys.argv[1]).fetcher() as fetcher:
    labels = vars(fetcher.extent)
    one = dict(labels, rounds=labels["rounds"][:1], chs=labels["chs"][:1], zplanes=labels["zplanes"][:1])
    ImageStack.from_tilefetcher(fetcher, **one).load()
    before = memory("VmRSS")
    pixels = ImageStack.from_tilefetcher(fetcher, **labels).to_numpy()
    print((memory("VmHWM") - before) / pixels.nbytes)
"""  # noqa: E501
_PLAN_IN_CHILD = f"""
{_RSS}
import sys
from collections import deque
from time import perf_counter
from starfish_fetch import ImageStack, TileFetcher
class Fetcher(TileFetcher):
    def source(self, fov, r, c, z):
        return f"r{{r}}_c{{c}}.tiff"
labels = range(int(sys.argv[1]))
stack = ImageStack.from_tilefetcher(Fetcher(), dict(y=8, x=8), 0, labels, labels, labels)
before, start = memory("VmRSS"), perf_counter()
plan = stack.plan
deque(plan, maxlen=0)
plan.advise()
print(perf_counter() - start, (memory("VmHWM") - before) / 1e6)
"""
_IMPORT_IN_CHILD = """
import sys
from time import perf_counter
start = perf_counter()
exec(sys.argv[1])
print(perf_counter() - start)
"""


def _in_child(code: str, *arguments: str) -> tuple[float, ...]:
    """Run code in a fresh interpreter, and return the numbers that it prints."""
    command = [sys.executable, "-c", code, *arguments]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode:
        raise RuntimeError(f"the process that measures failed:\n{finished.stderr}")
    return tuple(map(float, finished.stdout.split()))


def _spread(values: Sequence[float], remark: str = "") -> Measured:
    return Measured(median(values), min(values), max(values), len(values), remark=remark)


def peak_memory_over_stack(image: Image) -> Measured:
    """Peak memory of TiffTileFetcher's load in a fresh process, beyond what was there before."""
    root = str(image.dataset("per_round").root.absolute())
    return _spread([_in_child(_LOAD_IN_CHILD, root)[0] for _ in range(image.sizes.few)])


def crop_bytes_over_wanted(image: Image) -> Measured:
    """Load a tenth of the rows of every tile: what the process reads over what it keeps."""
    rows = max(1, image.shape[3] // 10)
    crop = CropParameters(y_slice=slice(0, rows))
    wanted = math.prod(image.shape[:3]) * rows * image.shape[4] * np.dtype(image.dtype).itemsize
    worst = []
    for layout in ("per_round", "per_round_ch", "single_file"):
        dataset = image.dataset(layout)
        with dataset.fetcher() as fetcher:
            fetcher.get_tile(0, 0, 0, 0).tile_data()  # imports are not the subject
        with dataset.fetcher() as fetcher:
            count = bytes_read(partial(_loads, fetcher, image.extent, crop_parameters=crop))
        worst.append((count / wanted, layout))
    return _spread([max(worst)[0]], f"largest: {max(worst)[1]}")


def opens_over_sources(image: Image) -> Measured:
    """Count the opens in the loader's own order, over the files there are, in every layout."""
    ratios = []
    for layout in common.LAYOUTS:
        dataset = image.dataset(layout)
        for make in (common.NamedVolumeFetcher, synth.Dataset.fetcher):
            fetcher = make(dataset)
            with trace(dataset.root) as seen:
                _loads(fetcher, image.extent)
            if set(seen.by_source) != {
                str(dataset.root.absolute() / path) for path in dataset.files
            }:
                raise AssertionError("files were opened that are no source, or some were not")
            ratios.append(seen.opens / len(dataset.files))
    return Measured(max(ratios), min(ratios), max(ratios), len(ratios))


def synth_over_tifffile(image: Image) -> Measured:
    """Make and write random pixels, against writing the same from memory by tifffile."""
    seconds = _seconds_of_writing(image)
    loop = median(seconds["tifffile"]) / median(seconds["loop"])
    return _speed(seconds["synth"], seconds["tifffile"], f"loop by hand: {loop:.2f}")


def synth_over_loop(image: Image) -> Measured:
    """Make and write random pixels, against two threads that do no more than that."""
    seconds = _seconds_of_writing(image)
    return _speed(seconds["synth"], seconds["loop"])


def _speed(subject: Sequence[float], reference: Sequence[float], remark: str = "") -> Measured:
    # The reference's seconds over ours are our speed over its.
    speed = ratio(reference, subject, remark)
    return replace(
        speed, subject_seconds=speed.reference_seconds, reference_seconds=speed.subject_seconds
    )


@cache
def _seconds_of_writing(image: Image) -> dict[str, list[float]]:
    side = 2 * image.sizes.tile_rows_and_columns  # as of a camera; small files are mostly headers
    layout, spec = Layout.per_round_ch(), synth.Spec(*image.sizes.planes, (side, side))
    held = {
        path: np.stack([synth.tile(spec, fov, *key) for key in keys])
        for path, fov, keys in layout.files(spec.extent(0))
    }
    nbytes = sum(stack.nbytes for stack in held.values())
    with TemporaryDirectory() as folder:
        root = Path(folder, "data")

        def by_tifffile() -> None:
            root.mkdir()
            for path, stack in held.items():
                tifffile.imwrite(root / path, stack, photometric="minisblack")

        def by_loop() -> None:
            root.mkdir()
            references.draw_and_write([(root / path, held[path].nbytes) for path in held])

        def delete() -> None:  # or the disk would have its say
            shutil.rmtree(root, ignore_errors=True)

        actions = {
            "synth": lambda: synth.write(spec, layout, root),
            "tifffile": by_tifffile,
            "loop": by_loop,
        }
        for name in ("synth", "tifffile"):
            actions[name]()
            for path, stack in held.items():
                if not np.array_equal(tifffile.imread(root / path), stack):
                    raise AssertionError(f"{name} does not write the pixels")
            delete()
        return take_turns(actions, image.sizes.runs, nbytes, before=delete)


def plan_seconds(image: Image) -> Measured:
    """Name the sources, build, go through, and predict every order of a million tiles."""
    runs = range(image.sizes.few)
    return _spread([_in_child(_PLAN_IN_CHILD, str(image.sizes.plan_labels))[0] for _ in runs])


def plan_megabytes(image: Image) -> Measured:
    """Measure the memory of the same, with the names of the sources."""
    labels = str(image.sizes.plan_labels)
    measured = [_in_child(_PLAN_IN_CHILD, labels) for _ in range(image.sizes.few)]
    return _spread([one[1] for one in measured])


def _import_over_numpy(statement: str, runs: int) -> Measured:
    statements = {"subject": statement, "reference": "import numpy"}
    seconds: dict[str, list[float]] = {name: [] for name in statements}
    for run in range(-1, runs):
        for name, code in list(statements.items())[:: -1 if run % 2 else 1]:
            (elapsed,) = _in_child(_IMPORT_IN_CHILD, code)
            if run >= 0:
                seconds[name].append(elapsed)
    return ratio(seconds["subject"], seconds["reference"])


def import_over_numpy(image: Image) -> Measured:
    """Import the package in fresh processes."""
    return _import_over_numpy("import starfish_fetch", image.sizes.runs)


FIGURES: tuple[Figure, ...] = (
    Figure(
        "tiff_over_loop",
        "TiffTileFetcher, 16-bit 4-D files, to float32",
        "two threads that read and convert, by hand",
        1.15,
        tiff_over_loop,
    ),
    Figure(
        "tutorial_over_loop",
        "whole files, one kept, in the good order",
        "loop over files: tifffile.imread, np.multiply",
        1.0,
        tutorial_over_loop,
    ),
    Figure(
        "starfish_over_ours",
        "starfish, whole files, one kept",
        "the same fetcher and order by us",
        2,
        starfish_over_ours,
        at_least=True,
        needs_starfish=True,
    ),
    Figure(
        "starfish_over_tiff",
        "starfish, whole files, one kept",
        "TiffTileFetcher by us",
        4,
        starfish_over_tiff,
        at_least=True,
        needs_starfish=True,
    ),
    Figure(
        "slowest_over_fastest_order",
        "TiffTileFetcher, slowest order of any layout",
        "its fastest order",
        1.15,
        slowest_over_fastest_order,
    ),
    Figure(
        "memory_over_loop",
        "120 x 30 tiles out of memory",
        "three bare loops that convert",
        2.0,
        memory_over_loop,
    ),
    Figure(
        "starfish_over_memory",
        "starfish, 120 x 30 tiles out of memory",
        "the same by us",
        40,
        starfish_over_memory,
        at_least=True,
        needs_starfish=True,
    ),
    Figure(
        "own_dtype_over_preadv",
        "TiffTileFetcher, dtype=None, into out=",
        "bare preadv into the same memory, one thread",
        1.15,
        own_dtype_over_preadv,
        ours=True,
    ),
    Figure(
        "peak_memory_over_stack",
        "peak memory of a load by TiffTileFetcher",
        "the stack's own size",
        1.10,
        peak_memory_over_stack,
    ),
    Figure(
        "crop_bytes_over_wanted",
        "bytes read for 10 % of the rows",
        "bytes wanted",
        1.2,
        crop_bytes_over_wanted,
    ),
    Figure(
        "opens_over_sources",
        "opens by fetchers that name their sources",
        "number of sources",
        1,
        opens_over_sources,
    ),
    Figure(
        "synth_over_tifffile",
        "speed of synth.write, random pixels",
        "tifffile.imwrite of the same from memory",
        0.8,
        synth_over_tifffile,
        at_least=True,
    ),
    Figure(
        "synth_over_loop",
        "the same",
        "two threads that draw and write, by hand",
        0.8,
        synth_over_loop,
        at_least=True,
        ours=True,
    ),
    Figure(
        "plan_seconds",
        "plan of a million tiles: build, iterate, predict",
        "",
        2,
        plan_seconds,
        unit="s",
    ),
    Figure("plan_megabytes", "the same", "", 200, plan_megabytes, unit="MB"),
    Figure("import_over_numpy", "import starfish_fetch", "import numpy", 1.4, import_over_numpy),
)
