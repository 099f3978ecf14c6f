"""starfish, with the same two fetchers."""

from __future__ import annotations

import os
import warnings

from benchmarks.peers._fetchers import OneFileFetcher, OneFileTile
from benchmarks.peers._image import Image, Intensities
from benchmarks.peers._peer import Peer

__all__ = ["Starfish", "StarfishOneFile"]


class _Starfish(Peer):
    distributions = ("starfish", "starfish-fetch", "tifffile")

    def prepare(self, image: Image) -> None:
        """Import it, without its progress bar, which costs time and cannot be turned off."""
        os.environ.setdefault("TQDM_DISABLE", "1")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import starfish  # noqa: F401


class Starfish(_Starfish):
    """:class:`starfish_fetch.TiffTileFetcher`, file after file.

    Without ``group_by`` starfish fetches from a pool of threads, which takes longer: they wait
    for each other to write into the stack.
    """

    name = "starfish, our TiffTileFetcher"

    def load(self, image: Image) -> Intensities:
        """Load a stack."""
        from starfish import ImageStack
        from starfish.types import Axes

        from starfish_fetch import TiffTileFetcher

        group_by = {Axes(str(axis)) for axis in image.layout.outer}
        with TiffTileFetcher(image.dataset.root, image.layout, image.extent) as fetcher:
            stack = ImageStack.from_tilefetcher(fetcher, **vars(image.extent), group_by=group_by)
            pixels: Intensities = stack.xarray.values
            return pixels


class StarfishOneFile(_Starfish):
    """A fetcher in the manner of its tutorial, in its good order: file after file."""

    name = "starfish, tutorial fetcher"
    code = (OneFileTile, OneFileFetcher)

    def load(self, image: Image) -> Intensities:
        """Load a stack."""
        from starfish import ImageStack
        from starfish.types import Axes

        group_by = {Axes(str(axis)) for axis in image.layout.outer}
        stack = ImageStack.from_tilefetcher(
            OneFileFetcher(image), **vars(image.extent), group_by=group_by
        )
        pixels: Intensities = stack.xarray.values
        return pixels
