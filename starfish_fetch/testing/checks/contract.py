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
    """``make_fetcher()`` returns an object that has ``get_tile``.

    The factory is a few lines that nobody tests: it ends without a ``return``, reads a folder that
    is mounted on another machine only, or leaves when there are no arguments on the command line.
    No data come out wrong, for none come out; but a job that waited all night for its turn ends in
    a second.

    The factory is called once, without arguments. An exception, an exit and a call that does not
    return are told alike, and whatever needs a fetcher is skipped. ``get_tile`` is looked for
    here, and called by other checks.

    Wrong::

        def make():
            MyFetcher("data")

    Right::

        def make():
            return MyFetcher("data")
    """
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
    """Every label of the extent gives a tile with its shape, coordinates and pixels.

    An extent is a full grid of rounds, channels and z-planes; what was acquired often is not. The
    nuclei were imaged in the first round only, one round was stopped early, or, as below, the
    table of files was made from pairs of labels where each was to meet each. A load raises when it
    comes to the first such tile, which may be after hours.

    Every tile is asked for its shape, coordinates, extras and pixels, as a load would ask; of a
    large image, only some tens are. Extras have to be a mapping without the names r, c and z.
    Whether the pixels are the right ones is not judged here.

    Wrong::

        def __init__(self, root):
            self.paths = {}
            for r, c in zip(range(2), range(3)):
                self.paths[0, r, c] = f"{root}/fov0_r{r}_c{c}.tiff"

        def path(self, fov, r, c):
            return self.paths[fov, r, c]

    Right::

        def __init__(self, root):
            self.paths = {}
            for r, c in itertools.product(range(2), range(3)):
                self.paths[0, r, c] = f"{root}/fov0_r{r}_c{c}.tiff"

        def path(self, fov, r, c):
            return self.paths[fov, r, c]
    """
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
    """The declared tile shape, ``shape`` and the shape of ``tile_data()`` are one.

    Headers and image libraries say width and height, in this order; an array has rows first, which
    is the height. With a square camera nobody notices who confused them, until the first
    acquisition with a smaller region of interest. At best the load refuses the tile; a reader that
    reshapes raw bytes gives a sheared picture.

    ``shape`` and the array of every tile that is read are compared with the declared tile shape.
    That a square tile was transposed cannot be seen by its shape; see ``orientation_is_kept``.

    Wrong::

        @property
        def shape(self):
            with PIL.Image.open(self.path) as image:
                return {"y": image.size[0], "x": image.size[1]}

    Right::

        @property
        def shape(self):
            with PIL.Image.open(self.path) as image:
                return {"y": image.size[1], "x": image.size[0]}
    """
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
    """``tile_region`` and ``row_reader``, where a tile has its own, agree with ``tile_data``.

    ``tile_region`` is overridden to read less for a crop. Then the ends of the slices are taken
    for lengths, rows are taken for columns, or the place where the region starts is forgotten. The
    shape of what is returned may still be right. Whole images load as ever, and only who looks at
    one cell closely sees another one.

    Of one tile, four regions are compared with the same part of ``tile_data()``: all of it, a band
    of rows, a corner, and a part off the left edge; ``row_reader`` is held to the same. A tile
    that has neither is skipped.

    Wrong::

        def tile_region(self, rows, columns):
            height = rows.stop - rows.start
            width = columns.stop - columns.start
            return self.tile_data()[:height, :width]

    Right::

        def tile_region(self, rows, columns):
            return self.tile_data()[rows, columns]
    """
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
    """``tile_data()`` is a plain 2-D ndarray of numbers.

    Slicing a stack with ``z : z + 1`` leaves an axis of length one in front, a colour camera adds
    one at the end, and libraries return images, lists or masked arrays of their own. The load
    refuses what has another number of axes. The rest is quieter: of a masked array the mask is
    dropped, and what it hid is measured.

    Of every tile that is read, ``tile_data()`` must be a ``numpy.ndarray`` of two dimensions, of
    booleans, integers or floats. A memory map is one; ``numpy.matrix``, masked arrays, complex
    numbers and objects are not accepted.

    Wrong::

        def tile_data(self):
            stack = tifffile.imread(self.path)
            return stack[self.z : self.z + 1]

    Right::

        def tile_data(self):
            stack = tifffile.imread(self.path)
            return stack[self.z]
    """
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
    """All tiles have one kind and one size of dtype.

    One channel was corrected for its uneven illumination and is float now, or one round was saved
    with 8 bits. Each dtype is taken as a fraction of its own full scale, so 200 becomes 0.78 as
    uint8 and 0.003 as uint16: one round is 250 times brighter than the next, and the decoder
    believes it.

    Compared are the dtypes of all tiles that are read, whatever their byte order; the one that
    most have is taken for the right one. Another kind (float among integers) is a failure, for a
    load refuses it. Another size of the same kind is a warning.

    Wrong::

        def tile_data(self):
            pixels = tifffile.imread(self.path, key=self.z)
            if self.c == 1:  # the lamp was uneven
                pixels = pixels / np.linspace(1, 2, 20)
            return pixels

    Right::

        def tile_data(self):
            return tifffile.imread(self.path, key=self.z)
    """
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
