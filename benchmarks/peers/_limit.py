"""The limit: what the files and the memory allow when everything else is known."""

from __future__ import annotations

import os
import threading

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers._image import SCALE, Image, Intensities
from benchmarks.peers._peer import Peer

__all__ = ["Limit"]

# Small enough that the pixels just read are still in the cache when they are converted.
_BLOCK_PIXELS = 1 << 18


def _read(file: int, pixels: NDArray[np.uint16], start: int) -> None:
    if os.preadv(file, [pixels.data], start) != pixels.nbytes:
        raise OSError("a file ends early")


class Limit(Peer):
    """Threads that read pieces from where they lie, and convert each into its place.

    No library: where each plane begins was found before, nothing is verified, and nothing but
    plain 16-bit pixels can be read.
    """

    name = "the limit: pread and convert"
    distributions = ("numpy",)
    code = (_read,)

    def prepare(self, image: Image) -> None:
        """Find out where the planes begin."""
        import tifffile

        self._starts: list[tuple[int, int]] = []
        for number, path in enumerate(image.paths):
            with tifffile.TiffFile(path) as file:
                self._starts += [(number, page.dataoffsets[0]) for page in file.pages]

    def load(self, image: Image) -> Intensities:
        """Read and convert, block after block, in as many threads as there are CPUs."""
        out = np.empty(image.shape, np.float32)
        files = [os.open(path, os.O_RDONLY) for path in image.paths]
        planes = iter(list(zip(out.reshape(len(self._starts), -1), self._starts, strict=True)))
        errors: list[BaseException] = []

        def work() -> None:
            block = np.empty(_BLOCK_PIXELS, np.uint16)
            try:
                for plane, (number, start) in planes:
                    for first in range(0, plane.size, block.size):
                        into = plane[first : first + block.size]
                        pixels = block[: into.size]
                        _read(files[number], pixels, start + 2 * first)
                        np.multiply(pixels, SCALE, out=into)
            except BaseException as error:  # raised again below, in the calling thread
                errors.append(error)

        threads = [threading.Thread(target=work) for _ in range(image.workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for file in files:
            os.close(file)
        if errors:
            raise errors[0]
        return out
