"""How the cost of a load grows with the number of tiles and with their bytes.

``python -m benchmarks.scaling --plot FILE`` draws both over three decades.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from math import log, prod
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import synth
from benchmarks import common
from starfish_fetch import ImageStack

_COLOUR, _REFERENCE, _TEXT = "#0072B2", "#E69F00", "#222222"
_SMALL = 16
_FEW = 16


@dataclass(frozen=True)
class Series:
    """What loads of growing size cost."""

    title: str
    what: str
    amounts: list[int]
    seconds: list[float]

    @property
    def exponent(self) -> float:
        """Return the power of the amount by which the seconds grow over the larger half."""
        half = (len(self.amounts) - 1) // 2
        growth = log(self.seconds[-1] / self.seconds[half])
        return growth / log(self.amounts[-1] / self.amounts[half])


def _seconds(action: Callable[[], object], runs: int) -> float:
    """Return the median of at least so many runs; of more where they are short."""
    first = common.seconds_of(action)
    runs = max(runs, min(100, int(0.2 / first)))
    return median(common.seconds_of(action) for _ in range(runs))


def _load(fetcher: Any) -> ImageStack:
    return ImageStack.from_tilefetcher(fetcher, **vars(fetcher.extent)).load()


def by_tiles(counts: Sequence[int], runs: int) -> Series:
    """Load small tiles out of memory, more and more of them."""
    seconds = []
    for count in counts:
        fetcher = common.MemoryFetcher(common.random_tiles(count, _SMALL, _SMALL))
        seconds.append(_seconds(lambda fetcher=fetcher: _load(fetcher), runs))  # type: ignore[misc]
    title = f"tiles of {_SMALL} x {_SMALL} pixels, out of memory"
    return Series(title, "tiles", list(counts), seconds)


def by_bytes(sides: Sequence[int], runs: int, root: Path) -> Series:
    """Load a few tiles from a TIFF file, larger and larger."""
    amounts, seconds = [], []
    for side in sides:
        spec = synth.Spec(1, 1, _FEW, tile_shape=(side, side))
        dataset = common.write_image(spec, "single_file", str(root / str(side)))
        with dataset.fetcher() as fetcher:
            seconds.append(_seconds(lambda fetcher=fetcher: _load(fetcher), runs))  # type: ignore[misc]
        amounts.append(_FEW * prod(spec.tile_shape) * 4)
        for path in dataset.files:
            (dataset.root / path).unlink()
    title = f"{_FEW} tiles, 16-bit, from a TIFF file in the page cache"
    return Series(title, "bytes of the stack (float32)", amounts, seconds)


def draw(series: Sequence[Series], path: str) -> None:
    """Draw seconds against amounts, with a straight line through the last point."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(16, 9), dpi=100, layout="constrained", facecolor="white")
    figure.suptitle("A load costs what its tiles and its bytes cost", fontsize=26, weight="bold")
    for one, subplot in zip(series, figure.subplots(1, len(series), squeeze=False)[0], strict=True):
        per_unit = one.seconds[-1] / one.amounts[-1]
        subplot.loglog(
            one.amounts,
            [per_unit * amount for amount in one.amounts],
            "--",
            color=_REFERENCE,
            linewidth=3,
            label=f"linear: {_cost(per_unit, one.what)}",
        )
        subplot.loglog(
            one.amounts, one.seconds, "o-", color=_COLOUR, linewidth=3, markersize=11, label="load"
        )
        subplot.set_title(one.title, fontsize=18, color=_TEXT, pad=12)
        subplot.set_xlabel(one.what, fontsize=18, color=_TEXT)
        subplot.set_ylabel("seconds for one load", fontsize=18, color=_TEXT)
        subplot.tick_params(labelsize=15, colors=_TEXT)
        subplot.grid(which="major", color="#dddddd", linewidth=0.8)
        subplot.spines[["top", "right"]].set_visible(False)
        subplot.legend(fontsize=17, frameon=False, loc="upper left")
        subplot.text(
            0.97,
            0.05,
            f"grows by the power {one.exponent:.2f}\nover the larger half",
            transform=subplot.transAxes,
            ha="right",
            fontsize=17,
            color=_TEXT,
        )
    figure.savefig(path)


def _cost(per_unit: float, what: str) -> str:
    if what == "tiles":
        return f"{1e6 * per_unit:.1f} µs per tile"
    return f"{1e-9 / per_unit:.1f} GB per second"


class Growth:
    """The power by which a load's seconds grow; 1 is linear."""

    version = "1"
    timeout = 300

    @common.labelled(unit="power", pretty_name="Growth of a load with its tiles")
    def track_power_of_tiles(self) -> float:
        """Return it for small tiles out of memory."""
        return by_tiles(common.sized((1_000, 10_000, 100_000), (10, 100, 1000)), 3).exponent

    @common.labelled(unit="power", pretty_name="Growth of a load with its bytes")
    def track_power_of_bytes(self) -> float:
        """Return it for a TIFF file in the page cache."""
        with TemporaryDirectory() as root:
            return by_bytes(common.sized((256, 512, 1024), (16, 32, 64)), 3, Path(root)).exponent


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("--plot", metavar="FILE", help="draw to this file")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--runs", type=int, default=5, help="loads of each size (default: 5)")
    parser.add_argument("--root", help="folder for up to 0.6 GB of files, which are deleted")
    parsed = parser.parse_args(arguments)
    counts = common.sized((100, 1_000, 10_000, 100_000), (10, 100))
    sides = common.sized((128, 256, 512, 1024, 2048, 4096), (16, 32))
    with TemporaryDirectory(prefix="starfish-fetch-scaling-", dir=parsed.root) as root:
        series = by_tiles(counts, parsed.runs), by_bytes(sides, parsed.runs, Path(root))
    if parsed.json:
        print(json.dumps([asdict(one) for one in series], indent=2))
    else:
        for one in series:
            print(f"{one.title}: grows by the power {one.exponent:.2f}")
            for amount, seconds in zip(one.amounts, one.seconds, strict=True):
                print(f"  {amount:>13,} {one.what}: {1000 * seconds:10.2f} ms")
    if parsed.plot:
        draw(series, parsed.plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
