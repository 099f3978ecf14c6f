"""Whether there is a fetcher, and whether its tiles are what a loader can take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from starfish_fetch.axes import Axes, TileKey
from starfish_fetch.contract import FetchedTile
from starfish_fetch.testing._guard import Broken
from starfish_fetch.testing.checks._registry import Finding, NotChecked, check
from starfish_fetch.testing.checks._words import several

if TYPE_CHECKING:
    from starfish_fetch.testing._subject import Seen, Session, Subject

__all__ = [
    "check_dtypes_agree",
    "check_every_tile_can_be_had",
    "check_fetcher_can_be_made",
    "check_pixels_are_a_2d_array",
    "check_regions_agree",
    "check_shapes_agree",
]


@check("C1", "fail", "Without a fetcher there is nothing to load.")
def check_fetcher_can_be_made(subject: Subject) -> Iterator[Finding]:
    """``make_fetcher()`` returns an object that has ``get_tile``."""
    try:
        fetcher = subject.make()
    except Broken as error:
        yield Finding(f"{error}.", "Make it return a fetcher when it is called without arguments.")
        return
    if not callable(getattr(fetcher, "get_tile", None)):
        yield Finding(
            f"make_fetcher() returned {_short(fetcher)}, which has no method get_tile.",
            "Return an object with get_tile(fov_id, round_label, ch_label, zplane_label).",
        )


@check("C10", "fail", "One tile that cannot be had is a load that fails, perhaps after hours.")
def check_every_tile_can_be_had(subject: Subject) -> Iterator[Finding]:
    """Every label of the extent gives a tile with its shape, coordinates and pixels."""
    subject.survey()
    failed = [seen for seen in subject.seen.values() if seen.problem]
    if failed:
        first = failed[0]
        yield Finding(
            f"{first.problem}. {several(len(failed), len(subject.seen))} could not be had.",
            "Every label of the extent must give a tile: correct the extent or the fetcher.",
            tuple(seen.key for seen in failed),
        )
    for seen in subject.tiles if len(failed) < len(subject.seen) else ():
        problem = _problem_of_extras(seen.extras)
        if problem:
            yield Finding(
                f"extras of {subject.named(seen.key)} {problem}.",
                "Return a mapping from names, other than r, c and z, to values; {} for none.",
                (seen.key,),
            )
            return


def _problem_of_extras(extras: Any) -> str:
    if extras is None:
        return ""
    if not isinstance(extras, Mapping):
        return f"is {_short(extras)}, not a mapping"
    taken = [name for name in extras if name in ("r", "c", "z")]
    return f"has the name {str(taken[0])!r}, which tile_metadata needs for a label" if taken else ""


@check("C2", "fail", "Tiles of another shape do not fit the stack, or fit it in the wrong place.")
def check_shapes_agree(subject: Subject) -> Iterator[Finding]:
    """The declared tile shape, ``shape`` and the shape of ``tile_data()`` are one."""
    wrong = []
    for seen in subject.tiles:
        said = _shape_of(seen.shape)
        parts = []
        if said != subject.shape:
            parts.append(f"shape says {_shape_words(seen.shape)}")
        if seen.array_shape and len(seen.array_shape) == 2 and seen.array_shape != subject.shape:
            parts.append(f"tile_data() returned {_rows(seen.array_shape)}")
        if parts:
            wrong.append((seen, " and ".join(parts)))
    if wrong:
        seen, text = wrong[0]
        yield Finding(
            f"{subject.named(seen.key)}: {text}; expected {_rows(subject.shape)}, as declared. "
            f"{several(len(wrong), len(subject.tiles))} disagree.",
            _remedy_of_shape(seen, subject),
            tuple(seen.key for seen, _ in wrong),
        )


def _remedy_of_shape(seen: Seen, subject: Subject) -> str:
    rows, columns = subject.shape
    if rows != columns and (columns, rows) in (seen.array_shape, _shape_of(seen.shape)):
        return "Rows (y) come first, then columns (x): they seem to be swapped."
    return "Make shape, tile_data() and the declared tile shape say the same."


def _shape_of(shape: Any) -> tuple[Any, Any] | None:
    try:
        return shape[Axes.Y], shape[Axes.X]
    except (KeyError, TypeError, IndexError):
        return None


def _shape_words(shape: Any) -> str:
    pair = _shape_of(shape)
    return _rows(pair) if pair else f"{_short(shape)}, which is no mapping with 'y' and 'x'"


def _rows(shape: tuple[Any, ...]) -> str:
    return f"{shape[0]} rows x {shape[1]} columns"


@check("C2", "fail", "A crop that is read by itself must be the same as a crop of the whole.")
def check_regions_agree(subject: Subject) -> Iterator[Finding]:
    """``tile_region`` and ``row_reader``, where a tile has its own, agree with ``tile_data``."""
    subject.require_repeatable()
    session = subject.fresh()
    key = subject.few[-1]
    tile = session.tile(key)
    own = getattr(type(tile), "tile_region", getattr(tile, "tile_region", None))
    has_region = own is not None and own is not FetchedTile.tile_region
    has_reader = callable(getattr(tile, "row_reader", None))
    if not has_region and not has_reader:
        raise NotChecked("its tiles have neither tile_region nor row_reader of their own")
    expected = subject.reference(key)
    for rows, columns in _windows(*expected.shape):
        if has_region:
            yield from _wrong_region(subject, session, key, rows, columns)
        if has_reader:
            yield from _wrong_rows(subject, session, key, rows)


def _windows(height: int, width: int) -> list[tuple[slice, slice]]:
    return [
        (slice(0, height), slice(0, width)),
        (slice(height // 3, max(height // 3 + 1, height // 2)), slice(0, width)),
        (slice(height - 1, height), slice(width // 2, width)),
        (slice(0, max(1, height // 2)), slice(width // 3, max(width // 3 + 1, width - 1))),
    ]


def _wrong_region(
    subject: Subject, session: Session, key: TileKey, rows: slice, columns: slice
) -> Iterator[Finding]:
    what = f"tile_region of {subject.named(key)}"
    tile = session.tile(key)
    region = subject.call(what, lambda: tile.tile_region(rows, columns))
    if not np.array_equal(region, subject.reference(key)[rows, columns], equal_nan=_float(region)):
        yield Finding(
            f"tile_region of {subject.named(key)} for the rows {rows.start}:{rows.stop} and the "
            f"columns {columns.start}:{columns.stop} is not tile_data() at the same place; it has "
            f"the shape {np.shape(region)}.",
            "Return tile_data()[rows, columns]; the slices are half-open.",
            (key,),
        )


def _wrong_rows(subject: Subject, session: Session, key: TileKey, rows: slice) -> Iterator[Finding]:
    what = f"row_reader of {subject.named(key)}"
    tile = session.tile(key)
    reader = subject.call(what, lambda: tile.row_reader(rows))
    if reader is None:
        return
    expected = subject.reference(key)[rows]
    out = np.empty(expected.shape, reader.dtype)
    subject.call(what, lambda: reader.read(0, out))
    last = np.empty((1, expected.shape[1]), reader.dtype)
    subject.call(what, lambda: reader.read(len(expected) - 1, last))
    if not (np.array_equal(out, expected) and np.array_equal(last[0], expected[-1])):
        yield Finding(
            f"row_reader of {subject.named(key)} for the rows {rows.start}:{rows.stop} does not "
            "read what tile_data() has there.",
            "Count rows from the first of those wanted, and fill all of out.",
            (key,),
        )


def _float(array: Any) -> bool:
    return getattr(getattr(array, "dtype", None), "kind", "") == "f"


@check("C3", "fail", "What is no plain array is computed with differently, or not at all.")
def check_pixels_are_a_2d_array(subject: Subject) -> Iterator[Finding]:
    """``tile_data()`` is a plain 2-D ndarray of numbers."""
    wrong = [seen for seen in subject.tiles if seen.unusual]
    if wrong:
        first = wrong[0]
        yield Finding(
            f"tile_data() of {subject.named(first.key)} returned {first.unusual}; expected a 2-D "
            f"numpy.ndarray of numbers. {several(len(wrong), len(subject.tiles))} did so.",
            "Return numpy.asarray(...) of one plane: rows (y), then columns (x).",
            tuple(seen.key for seen in wrong),
        )


@check("C4", "fail", "Tiles of two dtypes are scaled differently: intensities no longer compare.")
def check_dtypes_agree(subject: Subject) -> Iterator[Finding]:
    """All tiles have one kind and one size of dtype."""
    dtypes = {
        seen.key: seen.dtype.newbyteorder("=") for seen in subject.tiles if seen.dtype is not None
    }
    if not dtypes:
        raise NotChecked("no tile is an array")
    usual, _ = Counter(dtypes.values()).most_common(1)[0]
    others = {key: dtype for key, dtype in dtypes.items() if dtype != usual}
    if others:
        key, dtype = next(iter(others.items()))
        kinds = any(other.kind != usual.kind for other in others.values())
        yield Finding(
            f"{subject.named(key)} is {dtype}, where most tiles are {usual}. "
            f"{several(len(others), len(dtypes))} are not {usual}.",
            f"Return {usual} for every tile, without scaling any by itself.",
            tuple(others),
            status="fail" if kinds else "warn",
        )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
