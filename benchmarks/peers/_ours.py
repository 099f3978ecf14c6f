"""starfish_fetch, with the fetcher that most people write, and with its own."""

from __future__ import annotations

from benchmarks.peers._fetchers import OneFileFetcher, OneFileTile
from benchmarks.peers._image import Image, Intensities
from benchmarks.peers._peer import Peer

__all__ = ["Ours", "OursOneFile"]


class Ours(Peer):
    """:class:`starfish_fetch.TiffTileFetcher`, in the order that the loader chooses."""

    name = "starfish_fetch, TiffTileFetcher"
    distributions = ("starfish-fetch", "tifffile")

    def load(self, image: Image) -> Intensities:
        """Load a stack."""
        from starfish_fetch import ImageStack, TiffTileFetcher

        with TiffTileFetcher(image.dataset.root, image.layout, image.extent) as fetcher:
            stack = ImageStack.from_tilefetcher(fetcher, **vars(image.extent))
            return stack.to_numpy()


class OursOneFile(Peer):
    """A fetcher in the manner of starfish's tutorial, in its good order: file after file."""

    name = "starfish_fetch, tutorial fetcher"
    distributions = ("starfish-fetch", "tifffile")
    code = (OneFileTile, OneFileFetcher)

    def load(self, image: Image) -> Intensities:
        """Load a stack."""
        from starfish_fetch import ImageStack

        return ImageStack.from_tilefetcher(
            OneFileFetcher(image), **vars(image.extent), group_by=image.layout.outer
        ).to_numpy()
