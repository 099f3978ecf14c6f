"""An engine of ``xarray.open_dataset`` for the ``dataset.json`` of a synthetic image."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

import numpy as np
import xarray as xr
from numpy.typing import DTypeLike, NDArray
from xarray.backends import BackendArray, BackendEntrypoint
from xarray.core import indexing

from starfish_fetch.axes import PLANES
from starfish_fetch.interop._chunks import chunks_of
from starfish_fetch.interop._lazy import LazyImage
from starfish_fetch.interop._shared import SharedFetcher
from synth.dataset import Dataset

__all__ = ["DatasetBackend"]

_NAME = "dataset.json"
_DIMENSIONS = ("fov", "r", "c", "z", "y", "x")


class _Images(BackendArray):
    """Fields of view that are alike, as one array; fetches the tiles that an index touches."""

    def __init__(self, images: list[LazyImage]) -> None:
        self.images = images
        self.shape = (len(images), *images[0].shape)
        self.dtype = images[0].dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._read
        )

    def _read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        fovs, *within = key
        wanted = np.arange(len(self.images))[fovs]
        if wanted.ndim == 0:
            return self.images[int(wanted)][tuple(within)]
        if not len(wanted):
            kept = (np.arange(size)[one] for size, one in zip(self.shape[1:], within, strict=True))
            return np.empty([0, *(len(one) for one in kept if one.ndim)], self.dtype)
        return np.stack([self.images[number][tuple(within)] for number in wanted])


class DatasetBackend(BackendEntrypoint):
    """Opens what :func:`synth.write` wrote, lazily: the engine ``starfish-fetch``.

    The dataset has one variable, ``image``, with the dimensions fov, r, c, z, y, x, the labels of
    the first four, and the physical coordinates ``xc`` (fov, x), ``yc`` (fov, y) and ``zc``
    (fov, z). An index fetches the tiles that it touches, and no other. With ``chunks={}`` it is of
    dask, in the smallest chunks for which no file lies in two.

    Examples
    --------
    >>> import tempfile, synth, xarray as xr
    >>> from starfish_fetch import Layout
    >>> spec = synth.Spec(rounds=2, chs=1, zplanes=3, tile_shape=(6, 5), fovs=2)
    >>> with tempfile.TemporaryDirectory() as root:
    ...     _ = synth.write(spec, Layout("fov{fov}_r{r}.tiff", inner="cz"), root)
    ...     with xr.open_dataset(f"{root}/dataset.json", engine="starfish-fetch") as dataset:
    ...         dataset.image.sel(fov=1, z=[0, 2]).mean("z").sizes
    Frozen({'r': 2, 'c': 1, 'y': 6, 'x': 5})
    """

    description = "Opens the dataset.json of a synthetic image of starfish_fetch"
    open_dataset_parameters: ClassVar[tuple[str, ...]] = (
        "filename_or_obj",
        "drop_variables",
        "dtype",
    )

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Return whether it is the path of a ``dataset.json`` that synth wrote."""
        try:
            path = Path(os.fspath(filename_or_obj))
            if path.name != _NAME:
                return False
            Dataset.open(path.parent)
        except (TypeError, ValueError, OSError):
            return False
        return True

    def open_dataset(  # type: ignore[override]
        self,
        filename_or_obj: str | os.PathLike[str],
        *,
        drop_variables: str | Iterable[str] | None = None,
        dtype: DTypeLike | None = np.float32,
    ) -> xr.Dataset:
        """Describe the image; no image file is touched.

        Parameters
        ----------
        filename_or_obj : path
            Of the ``dataset.json``, or of its folder.
        drop_variables : str or iterable of str, optional
            Coordinates, or ``image``, to leave out.
        dtype : dtype or None, optional
            ``numpy.float32``: intensities. None: the dtype of the files. Default: float32.
        """
        path = Path(filename_or_obj)
        dataset = Dataset.open(path.parent if path.name == _NAME else path)
        spec = dataset.spec
        fetcher = dataset.fetcher()
        shared = SharedFetcher(fetcher, uuid4().hex)
        if dtype is None:
            dtype = spec.dtype
        images = [LazyImage(shared, dataset.extent(fov), dtype=dtype) for fov in spec.fovs]
        chunks = (1, *chunks_of(images[0].plan), *images[0].shape[3:])
        image = xr.Variable(
            _DIMENSIONS,
            indexing.LazilyIndexedArray(_Images(images)),
            encoding={"preferred_chunks": dict(zip(_DIMENSIONS, chunks, strict=True))},
        )
        extent = images[0].extent
        coordinates: dict[str, Any] = {"fov": list(spec.fovs)}
        coordinates.update((str(axis), list(extent.labels(axis))) for axis in PLANES)
        for number, axis in enumerate("xyz"):
            values = np.stack([image.physical[number] for image in images])
            coordinates[f"{axis}c"] = (("fov", axis), values)
        dropped = [drop_variables] if isinstance(drop_variables, str) else drop_variables or ()
        opened = xr.Dataset({"image": image}, coordinates).drop_vars(dropped, errors="ignore")
        opened.set_close(fetcher.close)
        return opened
