"""bioio with bioio-tifffile."""

from __future__ import annotations

import numpy as np

from benchmarks.peers._image import SCALE, Image, Intensities
from benchmarks.peers._peer import Peer

__all__ = ["Bioio"]


class Bioio(Peer):
    """``BioImage`` reads one file at a time; it has no way to say that several are one image."""

    name = "bioio, bioio-tifffile"
    distributions = ("bioio", "bioio-tifffile")

    def load(self, image: Image) -> Intensities:
        """Read the planes of each file, with the reader named lest others are tried first."""
        import bioio_tifffile
        from bioio import BioImage

        out = np.empty(image.by_file, np.float32)
        for path, into in zip(image.paths, out, strict=True):
            pixels = BioImage(path, reader=bioio_tifffile.Reader).get_image_data("CZYX", T=0)
            np.multiply(pixels.reshape(into.shape), SCALE, out=into)
        return out.reshape(image.shape)
