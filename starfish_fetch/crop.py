"""Less than the whole image: which labels, which rows, which columns."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any, NamedTuple

from starfish_fetch.axes import Axes, labels_of
from starfish_fetch.errors import OutsideTileError

__all__ = ["CropParameters", "Window"]


class Window(NamedTuple):
    """The rows and columns kept of each tile, as half-open ranges with known ends."""

    rows: slice
    columns: slice

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns that are kept."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start

    def within(self, rows: slice, columns: slice) -> Window:
        """Return the window that these ranges of this window are in the tile."""
        top, left = self.rows.start, self.columns.start
        return Window(
            slice(top + rows.start, top + rows.stop),
            slice(left + columns.start, left + columns.stop),
        )


class CropParameters:
    """What to keep of an image when it is loaded; what is left out is not fetched.

    Parameters
    ----------
    permitted_rounds, permitted_chs, permitted_zplanes : iterable of int, optional
        Labels to keep. Default: all. Labels that the image does not have are ignored.
    x_slice, y_slice : slice or int, optional
        Columns and rows to keep, by position within the tile, half-open; an int keeps one. Ends
        may be negative, counting from the far edge. Default: all.

    Raises
    ------
    TypeError
        If labels or positions are not ints.
    ValueError
        If a list of labels is empty or repeats one, or a slice has a step.

    Examples
    --------
    >>> crop = CropParameters(permitted_rounds=[1], y_slice=slice(10, -10))
    >>> crop.window((120, 30))
    Window(rows=slice(10, 110, None), columns=slice(0, 30, None))
    """

    def __init__(
        self,
        *,
        permitted_rounds: Iterable[int] | None = None,
        permitted_chs: Iterable[int] | None = None,
        permitted_zplanes: Iterable[int] | None = None,
        x_slice: int | slice | None = None,
        y_slice: int | slice | None = None,
    ) -> None:
        self._permitted: dict[Axes, frozenset[int]] = {}
        for axis, name, labels in (
            (Axes.ROUND, "permitted_rounds", permitted_rounds),
            (Axes.CH, "permitted_chs", permitted_chs),
            (Axes.ZPLANE, "permitted_zplanes", permitted_zplanes),
        ):
            if labels is not None:
                self._permitted[axis] = frozenset(labels_of(name, labels))
        self._x_slice = _checked("x_slice", x_slice)
        self._y_slice = _checked("y_slice", y_slice)

    def __repr__(self) -> str:
        kept = [f"{axis}: {sorted(labels)}" for axis, labels in self._permitted.items()]
        return f"CropParameters({', '.join([*kept, f'y: {self._y_slice}', f'x: {self._x_slice}'])})"

    def labels(self, axis: Axes, labels: tuple[int, ...]) -> tuple[int, ...]:
        """Return which of an axis's labels are kept.

        Raises
        ------
        ValueError
            If none is.
        """
        permitted = self._permitted.get(axis)
        if permitted is None:
            return labels
        kept = tuple(label for label in labels if label in permitted)
        if not kept:
            raise ValueError(
                f"the crop keeps nothing of axis {str(axis)!r}: permitted are {sorted(permitted)}, "
                f"the image has {list(labels)}"
            )
        return kept

    def window(self, tile_shape: tuple[int, int]) -> Window:
        """Return the rows and columns to keep of tiles with this shape (rows, columns).

        Raises
        ------
        OutsideTileError
            If the crop reaches beyond the tile or keeps nothing of it.
        """
        return Window(
            _range_within("y_slice", self._y_slice, tile_shape[0]),
            _range_within("x_slice", self._x_slice, tile_shape[1]),
        )


def _checked(name: str, crop: int | slice | None) -> slice | int | None:
    if crop is None:
        return None
    if not isinstance(crop, slice):
        try:
            return operator.index(crop)
        except TypeError:
            raise TypeError(f"{name} must be a slice, an int or None; got {crop!r}") from None
    if crop.step not in (None, 1):
        raise ValueError(f"{name} has the step {crop.step}; a crop keeps every pixel of a range")
    ends: list[Any] = []
    for end in (crop.start, crop.stop):
        try:
            ends.append(None if end is None else operator.index(end))
        except TypeError:
            raise TypeError(f"{name} must have ints for its ends; got {crop!r}") from None
    return slice(*ends)


def _range_within(name: str, crop: slice | int | None, size: int) -> slice:
    if crop is None:
        return slice(0, size)
    if isinstance(crop, int):
        start, stop = crop, crop + 1
    else:
        start = 0 if crop.start is None else crop.start + size * (crop.start < 0)
        stop = size if crop.stop is None else crop.stop + size * (crop.stop < 0)
    if not 0 <= start < stop <= size:
        raise OutsideTileError(f"{name}={crop} does not lie within the tile's 0..{size}")
    return slice(start, stop)
