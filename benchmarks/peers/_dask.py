"""dask-image, and what its documentation recommends in its place."""

from __future__ import annotations

import warnings

import numpy as np

from benchmarks.peers._image import SCALE, Image, Intensities
from benchmarks.peers._peer import Peer

__all__ = ["DaskArrayImage", "DaskImage"]


class DaskImage(Peer):
    """``dask_image.imread`` of each file, whole; stored block after block.

    A pattern that matches several files is taken for one plane per file, so it serves the
    layout with a file per tile alone.
    """

    name = "dask-image"
    distributions = ("dask-image", "dask", "pims")

    def prepare(self, image: Image) -> None:
        """Import it; it warns of what it uses itself."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import dask_image.imread  # noqa: F401

    def load(self, image: Image) -> Intensities:
        """Stack the files, scale, and store into memory that is there."""
        import dask.array as da
        from dask_image.imread import imread

        files = da.stack([imread(path, nframes=-1) for path in image.paths])
        out = np.empty(image.by_file, np.float32)
        da.store(files * SCALE, out, lock=False)
        return out.reshape(image.shape)


class DaskArrayImage(Peer):
    """``dask.array.image.imread`` with tifffile as reader; stored block after block."""

    name = "dask.array.image, tifffile"
    distributions = ("dask", "tifffile")

    def load(self, image: Image) -> Intensities:
        """Read by a pattern, scale, and store into memory that is there."""
        import dask.array as da
        import tifffile
        from dask.array.image import imread

        files = imread(f"{image.dataset.root}/*.tiff", imread=tifffile.imread)
        out = np.empty(files.shape, np.float32)
        da.store(files * SCALE, out, lock=False)
        return out.reshape(image.shape)
