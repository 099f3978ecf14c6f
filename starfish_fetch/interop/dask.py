"""The image of a fetcher as a lazy dask array, or as many of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
from numpy.typing import DTypeLike

from starfish_fetch.axes import Axes, Extent
from starfish_fetch.crop import CropParameters
from starfish_fetch.errors import require
from starfish_fetch.interop._chunks import chunks_of
from starfish_fetch.interop._lazy import LazyImage
from starfish_fetch.interop._shared import SharedFetcher
from starfish_fetch.interop.xarray import with_coordinates

if TYPE_CHECKING:
    import dask.array as da
    import xarray as xr

__all__ = ["load_experiment", "to_dask"]

GroupBy = Iterable[Axes | str] | None


@overload
def to_dask(
    fetcher: Any,
    extent: Extent,
    group_by: GroupBy = ...,
    crop_parameters: CropParameters | None = ...,
    *,
    dtype: DTypeLike | None = ...,
    xarray: Literal[False] = ...,
    name: str | None = ...,
) -> da.Array: ...
@overload
def to_dask(
    fetcher: Any,
    extent: Extent,
    group_by: GroupBy = ...,
    crop_parameters: CropParameters | None = ...,
    *,
    dtype: DTypeLike | None = ...,
    xarray: Literal[True],
    name: str | None = ...,
) -> xr.DataArray: ...
def to_dask(
    fetcher: Any,
    extent: Extent,
    group_by: GroupBy = None,
    crop_parameters: CropParameters | None = None,
    *,
    dtype: DTypeLike | None = np.float32,
    xarray: bool = False,
    name: str | None = None,
) -> Any:
    """Return an image as a lazy dask array (r, c, z, y, x), each of whose tasks is a small load.

    No pixel is fetched until it is computed; one tile of each z-plane is asked for its
    coordinates. What a slice leaves out is not fetched. It runs on threads, on processes and on
    ``dask.distributed``: a fetcher that is not ``thread_safe`` is called by one task at a time in
    each process, and a process has it once. For processes it must be possible to pickle it.

    Chunks are held to what :meth:`ImageStack.load` holds tiles to. With dtype float32, before
    anything is sent to another process, one pixel of the first tile is fetched, which says of
    what kind all tiles have to be.

    Parameters
    ----------
    fetcher : TileFetcher
        Anything with its ``get_tile``.
    extent : Extent
        Labels and tile shape.
    group_by : iterable of Axes or str, optional
        The axes along which each label has chunks of its own; the others are whole. Default: the
        smallest chunks for which no source lies in two, so that no two tasks open the same file;
        where the fetcher names no sources, a chunk for each tile.
    crop_parameters : CropParameters, optional
        What to keep. Default: everything.
    dtype : dtype or None, optional
        ``numpy.float32``: intensities, as in :meth:`ImageStack.from_tilefetcher`. Any other is the
        tiles' own, or what of their kind can hold all of them; tiles that it cannot hold are
        refused. None is that of the first tile, which is fetched to know it. Default: float32.
    xarray : bool, optional
        Return a :class:`xarray.DataArray` with labels and physical coordinates, as
        :attr:`ImageStack.xarray` has them. Default: False.
    name : str, optional
        Of the dask array. Default: the same in every process for fetchers of the same state and
        arguments that are equal. Give another when files have changed and old results are kept.

    Returns
    -------
    dask.array.Array or xarray.DataArray

    Raises
    ------
    MissingExtraError
        Without dask, or without xarray if it is asked for.
    ValueError
        As :meth:`ImageStack.from_tilefetcher` does. In a task, as its load does; "Tiles must be
        aligned" also if x and y differ from those of the image's first tile.
    TypeError
        If the fetcher has to be pickled and cannot be. In a task, as a load does, also if tiles of
        other chunks are of another kind.

    Examples
    --------
    >>> import numpy as np
    >>> import starfish_fetch as sf
    >>> pixels = np.arange(2 * 3 * 4 * 6 * 5, dtype=np.uint16).reshape(2, 3, 4, 6, 5)
    >>> fetcher = sf.as_fetcher(pixels)
    >>> image = sf.to_dask(fetcher, fetcher.extent, group_by=("r", "c"), dtype=np.uint16)
    >>> image.chunksize
    (1, 1, 4, 6, 5)
    >>> bool((image.max(axis=2).compute() == pixels.max(axis=2)).all())
    True
    """
    tokenize = _require_dask("to_dask").base.tokenize
    shared = SharedFetcher(fetcher, tokenize(fetcher))
    return _lazy(shared, extent, group_by, crop_parameters, dtype, xarray, name)


def load_experiment(
    fetcher: Any,
    extents: Iterable[Extent],
    group_by: GroupBy = None,
    crop_parameters: CropParameters | None = None,
    *,
    dtype: DTypeLike | None = np.float32,
    xarray: bool = False,
) -> dict[int, Any]:
    """Return many fields of view as lazy arrays that share one fetcher.

    They may differ in labels and tile shape. ``dask.compute(images)`` computes all in one go;
    where they agree, ``dask.array.stack(list(images.values()))`` is one array.

    Parameters
    ----------
    fetcher, group_by, crop_parameters, dtype, xarray
        See :func:`to_dask`.
    extents : iterable of Extent
        One for each field of view.

    Returns
    -------
    dict of int to dask.array.Array or xarray.DataArray
        By the label of the field of view, in the order given.

    Raises
    ------
    ValueError
        If a field of view is named twice; else as :func:`to_dask`.

    Examples
    --------
    >>> import dask, numpy as np
    >>> import starfish_fetch as sf
    >>> pixels = np.random.default_rng(0).random((3, 2, 1, 1, 6, 5), np.float32)
    >>> fetcher = sf.as_fetcher(pixels, axes=("fov", "r", "c", "z", "y", "x"))
    >>> images = sf.load_experiment(fetcher, fetcher.extents)
    >>> (brightest,) = dask.compute({fov: image.max() for fov, image in images.items()})
    >>> bool(brightest[2] == pixels[2].max())
    True
    """
    tokenize = _require_dask("load_experiment").base.tokenize
    shared = SharedFetcher(fetcher, tokenize(fetcher))
    images: dict[int, Any] = {}
    for extent in extents:
        if extent.fov in images:
            raise ValueError(f"extents name the field of view {extent.fov} more than once")
        images[extent.fov] = _lazy(shared, extent, group_by, crop_parameters, dtype, xarray, None)
    return images


def _require_dask(purpose: str) -> Any:
    try:
        import dask.array
    except ImportError:
        raise require("dask", "dask", purpose) from None
    return dask


def _lazy(
    shared: SharedFetcher,
    extent: Extent,
    group_by: GroupBy,
    crop_parameters: CropParameters | None,
    dtype: DTypeLike | None,
    xarray: bool,
    name: str | None,
) -> Any:
    import dask.array as da
    from dask.base import tokenize

    image = LazyImage(shared, extent, group_by, crop_parameters, dtype)
    if name is None:
        identity = shared.token, image.extent, image.window, image.group_by, image.dtype
        name = f"starfish_fetch-{tokenize(*identity)}"
    array = da.from_array(  # type: ignore[no-untyped-call]
        image,
        chunks=(*chunks_of(image.plan), *((size,) for size in image.window.shape)),
        name=name,
        meta=np.empty((0,) * image.ndim, image.dtype),
    )
    return with_coordinates(array, image.extent, image.physical) if xarray else array
