"""zarr: the same image, converted before."""

from __future__ import annotations

import numpy as np

from benchmarks.peers._image import SCALE, Image, Intensities
from benchmarks.peers._peer import Peer

__all__ = ["Zarr"]


class Zarr(Peer):
    """An array with a chunk for each tile, not compressed, as the TIFF files are not."""

    name = "zarr, converted before"
    distributions = ("zarr",)

    def prepare(self, image: Image) -> None:
        """Convert the files."""
        import tifffile
        import zarr

        array = zarr.create_array(
            self._store(image),
            shape=image.shape,
            chunks=(1, 1, 1, *image.tile_shape),
            dtype=np.uint16,
            compressors=None,
        )
        per_round = len(image.paths) // image.planes[0]
        for number in range(image.planes[0]):
            paths = image.paths[number * per_round : (number + 1) * per_round]
            pixels = np.stack([tifffile.imread(path) for path in paths])
            array[number] = pixels.reshape(image.shape[1:])

    def load(self, image: Image) -> Intensities:
        """Read and convert round after round: less memory, and faster, than all at once."""
        import zarr

        array = zarr.open_array(self._store(image), mode="r")
        out = np.empty(array.shape, np.float32)
        for number, into in enumerate(out):
            np.multiply(array[number], SCALE, out=into)
        return out

    def _store(self, image: Image) -> str:
        return str(image.scratch / "image.zarr")
