"""The eight ways in which rows and columns can be turned round, and their names."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy.typing as npt

__all__ = ["AS_WRITTEN", "ORIENTATIONS", "Orientation"]


class Orientation(NamedTuple):
    """What was done to an image: transposed first or not, then rows and columns reversed or not."""

    name: str
    transposed: bool
    rows_reversed: bool
    columns_reversed: bool

    def do(self, image: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return a view of the image with this done to it."""
        turned = image.T if self.transposed else image
        return turned[self._steps()]

    def undo(self, image: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return a view of what the image was before this was done to it."""
        turned = image[self._steps()]
        return turned.T if self.transposed else turned

    def _steps(self) -> tuple[slice, slice]:
        return (
            slice(None, None, -1 if self.rows_reversed else 1),
            slice(None, None, -1 if self.columns_reversed else 1),
        )


AS_WRITTEN = Orientation("as written", False, False, False)
ORIENTATIONS = (
    AS_WRITTEN,
    Orientation("flipped left-right", False, False, True),
    Orientation("flipped up-down", False, True, False),
    Orientation("rotated by 180 degrees", False, True, True),
    Orientation("transposed", True, False, False),
    Orientation("rotated by 90 degrees clockwise", True, False, True),
    Orientation("rotated by 90 degrees counterclockwise", True, True, False),
    Orientation("transposed about the other diagonal", True, True, True),
)
