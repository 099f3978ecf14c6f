"""tifffile: a sequence of files as one array."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.peers._image import SCALE, Image, Intensities
from benchmarks.peers._peer import Peer

__all__ = ["Tifffile", "TifffileConverting"]


def file_shape(image: Image) -> tuple[int, ...]:
    """Return the shape of what a file holds."""
    return (*image.layout.inner_shape(image.extent), *image.tile_shape)


class Tifffile(Peer):
    """``imread`` of the sequence in threads, then the conversion of everything."""

    name = "tifffile, imread then convert"
    distributions = ("tifffile",)

    def load(self, image: Image) -> Intensities:
        """Say shape and dtype, lest the first file is read twice to find them."""
        import tifffile

        pixels = tifffile.imread(
            image.paths,
            ioworkers=image.workers,
            maxworkers=1,
            chunkshape=file_shape(image),
            chunkdtype=np.uint16,
        )
        out = np.empty(image.shape, np.float32)
        np.multiply(pixels.reshape(image.shape), SCALE, out=out)
        return out


class TifffileConverting(Peer):
    """``imread`` of the sequence with a function of one's own, which converts in the threads."""

    name = "tifffile, convert while reading"
    distributions = ("tifffile",)

    def load(self, image: Image) -> Intensities:
        """Give ``imread`` the function that reads one file."""
        import tifffile

        def read(path: str, **options: Any) -> Intensities:
            intensities: Intensities = tifffile.imread(path, maxworkers=1) * SCALE
            return intensities

        pixels: Intensities = tifffile.imread(
            image.paths,
            imread=read,
            ioworkers=image.workers,
            chunkshape=file_shape(image),
            chunkdtype=np.float32,
        )
        return pixels.reshape(image.shape)
