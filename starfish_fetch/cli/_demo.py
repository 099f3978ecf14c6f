"""The demo: one image in several layouts, loaded in every order by two fetchers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from starfish_fetch.axes import Axes, Coordinates, CoordinateValue, TileKey
from starfish_fetch.cli._pixels import Comparison, compare
from starfish_fetch.contract import FetchedTile, TileFetcher
from starfish_fetch.intensity import to_float32
from starfish_fetch.stack import ImageStack
from starfish_fetch.tracing import trace

if TYPE_CHECKING:
    from starfish_fetch.layout import Layout
    from synth import Dataset, Spec

__all__ = [
    "FETCHERS",
    "ORDERS",
    "Measurement",
    "OneFileFetcher",
    "Series",
    "files_per",
    "measure_layout",
    "order_name",
]

Order = tuple[str, ...] | None

ORDERS: tuple[Order, ...] = (*permutations(("r", "c", "z")), None)
_AXIS_NAMES = {Axes.ROUND: "round", Axes.CH: "channel", Axes.ZPLANE: "z-plane"}


class OneFileTile(FetchedTile):
    """One plane of a file that is read whole."""

    def __init__(self, fetcher: OneFileFetcher, fov: int, key: TileKey) -> None:
        self._fetcher = fetcher
        self._fov = fov
        self._key = key

    @property
    def shape(self) -> Mapping[Axes, int]:
        """Rows and columns."""
        return self._fetcher.extent.tile_shape

    @property
    def coordinates(self) -> Mapping[Coordinates, CoordinateValue]:
        """Where the tile lies."""
        return self._fetcher.dataset.spec.coordinates(self._fov, self._key.zplane)

    def tile_data(self) -> NDArray[Any]:
        """Read the file, unless it is the one read last, and pick the plane."""
        dataset = self._fetcher.dataset
        volume = self._fetcher.read(dataset.root / dataset.layout.path(self._fov, *self._key))
        planes = volume.reshape(-1, *dataset.spec.tile_shape)
        plane: NDArray[Any] = planes[dataset.layout.page(self._fetcher.extent, self._key)]
        return plane


class OneFileFetcher(TileFetcher):
    """Fetches as most fetchers do: reads a file whole, and keeps the one it read last.

    starfish's published tutorial does the same. It names no sources, so the loader can choose no
    better order for it.

    Parameters
    ----------
    dataset : Dataset
        What to fetch from.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.extent = dataset.extent(dataset.spec.fovs[0])
        self.read = lru_cache(maxsize=1)(_read_volume)

    def get_tile(
        self, fov_id: int, round_label: int, ch_label: int, zplane_label: int
    ) -> OneFileTile:
        """Return the tile with these labels, without reading its pixels."""
        return OneFileTile(self, fov_id, TileKey(round_label, ch_label, zplane_label))


def _read_volume(path: Path) -> NDArray[Any]:
    from imageio.v2 import volread

    return np.asarray(volread(path))


FETCHERS: dict[str, Callable[[Dataset], Any]] = {
    "OneFileFetcher": OneFileFetcher,
    "TiffTileFetcher": lambda dataset: dataset.fetcher(),
}


@dataclass(frozen=True)
class Measurement:
    """One load order of one layout by one fetcher.

    Parameters
    ----------
    order : tuple of str or None
        The ``group_by`` of the loads.
    seconds : float
        The fastest of the loads.
    opens : int
        How often a load opened a file.
    compared : Comparison
        The pixels of all the loads, or of the first that has a wrong one.
    """

    order: Order
    seconds: float
    opens: int
    compared: Comparison


@dataclass(frozen=True)
class Series:
    """Every load order of one layout by one fetcher.

    Parameters
    ----------
    name : str
        Of the layout.
    layout : Layout
        How the image is cut into files.
    files : int
        How many there are.
    fetcher : str
        Name of the fetcher, of those in :data:`FETCHERS`.
    rows : tuple of Measurement
        In the order of :data:`ORDERS`.
    """

    name: str
    layout: Layout
    files: int
    fetcher: str
    rows: tuple[Measurement, ...]

    @property
    def best(self) -> Measurement:
        """The fastest order."""
        return min(self.rows, key=lambda row: row.seconds)

    @property
    def worst(self) -> Measurement:
        """The order with the most opens, and of those the slowest."""
        return max(self.rows, key=lambda row: (row.opens, row.seconds))

    @property
    def fewest_opens(self) -> int:
        """The opens of the order that needs the fewest."""
        return min(row.opens for row in self.rows)

    def ratio(self, row: Measurement) -> float:
        """Return how many times as long as the best an order takes."""
        return row.seconds / self.best.seconds

    @property
    def ok(self) -> bool:
        """Whether every pixel of every load was right."""
        return all(row.compared.ok for row in self.rows)


def measure_layout(
    spec: Spec,
    name: str,
    layout: Layout,
    *,
    repeat: int,
    compression: str | None = None,
    keep: Path | None = None,
    advance: Callable[[int], object] | None = None,
) -> Iterator[Series]:
    """Write an image in one layout, and load it in every order; one series for each fetcher.

    Parameters
    ----------
    spec : Spec
        The image.
    name : str
        What to call the layout, and its folder.
    layout : Layout
        How to cut the image into files.
    repeat : int
        How often to load in each order.
    compression : str, optional
        Of the files.
    keep : path, optional
        Where to leave the files; default: they are deleted.
    advance : callable, optional
        Called with 1 after each load.
    """
    import synth

    with _folder(keep, name) as root:
        dataset = synth.write(spec, layout, root, compression=compression, ome=False)
        fov = spec.fovs[0]
        truth = {
            (r, c, z): to_float32(dataset.tile(r, c, z, fov))
            for r in spec.rounds
            for c in spec.chs
            for z in spec.zplanes
        }
        loads: dict[tuple[str, Order], list[Measurement]] = {}
        for fetcher in FETCHERS:
            _load(dataset, fetcher, None, truth)  # imports and page cache are not the subject
        # One round after another: what slows the computer down for a while slows all of it.
        for _ in range(repeat):
            for fetcher in FETCHERS:
                for order in ORDERS:
                    measured = _load(dataset, fetcher, order, truth)
                    loads.setdefault((fetcher, order), []).append(measured)
                    if advance is not None:
                        advance(1)
    for fetcher in FETCHERS:
        rows = tuple(_summary(loads[fetcher, order]) for order in ORDERS)
        yield Series(name, layout, len(dataset.files), fetcher, rows)


def _load(
    dataset: Dataset, fetcher: str, order: Order, truth: Mapping[Any, NDArray[Any]]
) -> Measurement:
    extent = dataset.extent(dataset.spec.fovs[0])
    made = FETCHERS[fetcher](dataset)
    with trace(dataset.root) as seen:
        start = time.perf_counter()
        stack = ImageStack.from_tilefetcher(made, **vars(extent), group_by=order).load()
        seconds = time.perf_counter() - start
    if hasattr(made, "close"):
        made.close()
    compared = compare(stack.to_numpy(), extent, truth.__getitem__)
    return Measurement(order, seconds, seen.opens, compared)


def _summary(loads: Sequence[Measurement]) -> Measurement:
    return Measurement(
        loads[0].order,
        min(load.seconds for load in loads),
        max(load.opens for load in loads),
        next((load.compared for load in loads if not load.compared.ok), loads[0].compared),
    )


@contextmanager
def _folder(keep: Path | None, name: str) -> Iterator[Path]:
    if keep is not None:
        yield keep / name
        return
    with TemporaryDirectory(prefix="starfish-fetch-") as folder:
        yield Path(folder)


def order_name(order: Order) -> str:
    """Return the name of a load order.

    Examples
    --------
    >>> order_name(("c", "r", "z")), order_name(None)
    ('c,r,z', 'None')
    """
    return "None" if order is None else ",".join(order)


def files_per(layout: Layout) -> str:
    """Return in words what an image in this layout has one file for.

    Examples
    --------
    >>> from starfish_fetch.layout import Layout
    >>> files_per(Layout.per_round_ch())
    'one file per round and channel'
    """
    if not layout.outer:
        return "a single file"
    if not layout.inner:
        return "one file per tile"
    return "one file per " + " and ".join(_AXIS_NAMES[axis] for axis in layout.outer)
