"""The contract between whoever has the data and the loader: a TileFetcher and its tiles.

Nothing is ever checked with ``isinstance``: any object with the same attributes is a fetcher. A
fetcher may be called positionally only. These are its rules; checks, messages and documents cite
their numbers.

C1
    Each of fov, round, channel and z-plane label selects its own tile, independently of the
    others and of what was asked before.
C2
    ``shape``, the declared tile shape and ``tile_data().shape`` agree.
C3
    ``tile_data()`` is a 2-D numeric ndarray, rows then columns.
C4
    All tiles have one kind and size of dtype.
C5
    The same tile asked for again has the same pixels.
C6
    Any order of requests gives the same pixels; fetched tiles do not share state.
C7
    A fetcher that declares ``thread_safe`` is safe from several threads at once.
C8
    Coordinates: x and y are (first, last) pairs of finite numbers with an extent, the same for
    all tiles of a field of view; z is a number or a pair and depends on the z-plane alone.
C9
    Cheap until asked: ``get_tile``, ``shape``, ``coordinates`` and ``source`` read no pixels.
C10
    A label that does not exist, and a file that is missing or damaged, is an exception, never
    pixels.
C11
    Writing into a returned array changes nothing that is returned later.
C12
    Intensities are the file's own: no rescaling, wrapping or clipping per tile.
C13
    Resources are given back: no file handle, thread or temporary file outlives its use.
C14
    ``source``, if given, names what is really opened.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from starfish_fetch.axes import Axes, Coordinates, CoordinateValue

if TYPE_CHECKING:
    import numpy as np

__all__ = ["FetchedTile", "RowReader", "TileFetcher", "own_region"]


class RowReader(Protocol):
    """Reads rows of a tile whose pixels lie in a file as they are, into memory of the caller's.

    A tile's class may define ``row_reader(rows) -> RowReader | None`` beside ``tile_data``; the
    loader then reads straight into the stack, or in blocks that stay in the processor's cache
    until they are converted. None means that this tile cannot.
    """

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the pixels, with their byte order."""

    def read(self, row: int, out: np.ndarray[Any, Any]) -> None:
        """Fill a C-contiguous array with whole rows, the first being ``row`` of those wanted."""


class FetchedTile:
    """One 2-D tile: what it looks like, where it lies, and on demand its pixels.

    Subclass it, or write any class with the same attributes. The constructor accepts and ignores
    everything, as starfish's does.

    Examples
    --------
    A complete fetcher over an array in memory:

    >>> import numpy as np
    >>> import starfish_fetch as sf
    >>> pixels = np.arange(2 * 3 * 4 * 6 * 5, dtype=np.uint16).reshape(2, 3, 4, 6, 5)
    >>> class ArrayTile(sf.FetchedTile):
    ...     def __init__(self, r, c, z):
    ...         self.key = r, c, z
    ...     @property
    ...     def shape(self):
    ...         return {sf.Axes.Y: 6, sf.Axes.X: 5}
    ...     @property
    ...     def coordinates(self):
    ...         return {sf.Coordinates.X: (0.0, 0.4), sf.Coordinates.Y: (0.0, 0.5),
    ...                 sf.Coordinates.Z: 0.1 * self.key[2]}
    ...     def tile_data(self):
    ...         return pixels[self.key]
    >>> class ArrayFetcher(sf.TileFetcher):
    ...     def get_tile(self, fov_id, round_label, ch_label, zplane_label):
    ...         return ArrayTile(round_label, ch_label, zplane_label)
    >>> sf.ImageStack.from_tilefetcher(
    ...     ArrayFetcher(), {sf.Axes.Y: 6, sf.Axes.X: 5}, fov=0,
    ...     rounds=range(2), chs=range(3), zplanes=range(4))
    <starfish_fetch.ImageStack (r: 2, c: 3, z: 4, y: 6, x: 5)>
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    @property
    def shape(self) -> Mapping[Axes, int]:
        """Rows (y) and columns (x) of the tile, in pixels."""
        raise NotImplementedError(f"{type(self).__name__} must define the property 'shape'")

    @property
    def coordinates(self) -> Mapping[Coordinates, CoordinateValue]:
        """Physical position: x and y as (first, last), z as a number or such a pair."""
        raise NotImplementedError(f"{type(self).__name__} must define the property 'coordinates'")

    @property
    def extras(self) -> Mapping[str, Any]:
        """Anything else worth keeping; appears in the stack's ``tile_metadata``. Default: {}."""
        return {}

    def tile_data(self) -> np.ndarray[Any, Any]:
        """Return the pixels, (y, x), row-major."""
        raise NotImplementedError(f"{type(self).__name__} must define the method 'tile_data'")

    def tile_region(self, rows: slice, columns: slice) -> np.ndarray[Any, Any]:
        """Return part of the pixels; override it where reading less is cheaper.

        Parameters
        ----------
        rows, columns : slice
            Half-open ranges within the tile, with start and stop given and no step.
        """
        return self.tile_data()[rows, columns]


def own_region(tile: Any) -> Callable[[slice, slice], Any] | None:
    """Return a tile's ``tile_region``, or None if it has none but that of :class:`FetchedTile`."""
    region = getattr(tile, "tile_region", None)
    return None if getattr(region, "__func__", None) is FetchedTile.tile_region else region


class TileFetcher:
    """Returns each 2-D tile of an image on demand.

    Only :meth:`get_tile` is required. See :class:`FetchedTile` for a complete example, and this
    module's docstring for the rules.

    Attributes
    ----------
    thread_safe : bool
        Whether tiles may be fetched from several threads at once. Default: False.
    shares_sources : bool
        Whether threads share what is open, so that a source is opened no more often for several
        than for one. A load then splits groups among its workers. Default: False; a worker takes
        whole groups.
    """

    thread_safe: bool = False
    shares_sources: bool = False

    def get_tile(
        self, fov_id: int, round_label: int, ch_label: int, zplane_label: int
    ) -> FetchedTile:
        """Return the tile with these labels, without reading its pixels."""
        raise NotImplementedError(f"{type(self).__name__} must define the method 'get_tile'")

    def source(
        self, fov_id: int, round_label: int, ch_label: int, zplane_label: int
    ) -> Hashable | None:
        """Name what the tile is read from (a path, say), without opening it.

        A load without ``group_by`` finishes one source before it begins the next. Default: None,
        unknown.
        """
        return None
