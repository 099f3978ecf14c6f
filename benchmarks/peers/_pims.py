"""pims."""

from __future__ import annotations

import warnings

import numpy as np

from benchmarks.peers._image import SCALE, Image, Intensities
from benchmarks.peers._peer import Peer

__all__ = ["Pims"]


class Pims(Peer):
    """``pims.open`` of each file, frame after frame, in one thread."""

    name = "pims"
    distributions = ("pims", "tifffile")

    def prepare(self, image: Image) -> None:
        """Import it; it warns of what it uses itself."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pims  # noqa: F401

    def load(self, image: Image) -> Intensities:
        """Convert each frame into its place."""
        import pims

        out = np.empty(image.by_file, np.float32)
        for path, planes in zip(image.paths, out, strict=True):
            with pims.open(path) as frames:
                for frame, plane in zip(frames, planes, strict=True):
                    np.multiply(frame, SCALE, out=plane)
        return out.reshape(image.shape)
