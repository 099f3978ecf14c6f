"""What the files themselves hold, where nobody says which pixels to expect."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from starfish_fetch.testing._pixels import affine, intensity, orientation, same

__all__ = ["InFile", "find_in", "pages_of"]

Pixels = NDArray[Any]

_MOST_BYTES = 1 << 26
_MOST_PAGES = 256
_MOST_EXPLAINED = 16


@dataclass(frozen=True)
class InFile:
    """Where in a file the pixels of a tile are, and what was done to them."""

    path: str
    page: int
    kind: Literal["same", "orientation", "intensity"]
    text: str = ""
    scale: tuple[float, float] | None = None
    """Factor and offset, if intensities were scaled."""


def pages_of(path: str) -> list[Pixels]:
    """Return the planes of a TIFF or .npy file, or none if it is another, too large, or damaged."""
    try:
        if os.path.getsize(path) > _MOST_BYTES:
            return []
        if path.endswith(".npy"):
            array = np.load(path)
            return list(array.reshape(-1, *array.shape[-2:])) if array.ndim >= 2 else []
        from tifffile import TiffFile

        # A file is looked at by itself, also where its OME-XML speaks of others.
        with TiffFile(path, is_ome=False) as file:
            if len(file.pages) > _MOST_PAGES:
                return []
            return [page.asarray() for page in file.pages]
    except Exception:
        return []


def find_in(path: str, pages: Sequence[Pixels], seen: Pixels) -> InFile | None:
    """Return which plane of a file some pixels are, perhaps changed."""
    for number, page in enumerate(pages):
        if same(seen, page):
            return InFile(path, number, "same")
    for number, page in enumerate(pages[:_MOST_EXPLAINED]):
        if page.ndim != 2 or page.size != seen.size:
            continue
        text = orientation(seen, page)
        if text is not None:
            return InFile(path, number, "orientation", text)
        text = intensity(seen, page) if page.shape == seen.shape else None
        if text is not None:
            return InFile(path, number, "intensity", text, affine(seen, page))
    return None
