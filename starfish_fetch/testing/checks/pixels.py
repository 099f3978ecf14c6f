"""Whether pixels are what the files hold."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from starfish_fetch.testing.checks._registry import Finding, NotChecked, check
from starfish_fetch.testing.checks._words import several

if TYPE_CHECKING:
    from starfish_fetch.axes import TileKey
    from starfish_fetch.testing._file_pages import InFile
    from starfish_fetch.testing._pixels import Kind, Look
    from starfish_fetch.testing._subject import Seen, Subject

__all__ = [
    "check_failures_are_not_pixels",
    "check_intensities_are_in_range",
    "check_intensities_are_untouched",
    "check_orientation_is_kept",
    "check_pixels_are_as_expected",
]

_FEW_PIXELS = 3
_ENOUGH_TILES = 4
_CROWD = 0.01


def _of_kind(subject: Subject, kind: Kind) -> list[Seen]:
    """Return the tiles that differ from what is expected in one way."""
    if subject.oracle is None:
        raise NotChecked("it is not known which pixels to expect; give expected=")
    if not subject.looks:
        raise NotChecked("no tile is an array of the declared shape")
    found = [seen for seen in subject.tiles if seen.difference and seen.difference.kind == kind]
    if found:
        subject.require_repeatable(in_any_order=False)
    return found


def _told(subject: Subject, wrong: list[Seen], remedy: str) -> Iterator[Finding]:
    if wrong:
        first = wrong[0]
        assert first.difference is not None
        verb = "" if first.difference.text.startswith(("are", "differ")) else "are "
        yield Finding(
            f"The pixels of {subject.named(first.key)} {verb}{first.difference.text}. "
            f"{several(len(wrong), len(subject.tiles))} are so{_and_more(subject)}.",
            remedy,
            tuple(seen.key for seen in wrong),
        )


def _and_more(subject: Subject) -> str:
    """Say how many tiles differ besides, which took too long to be looked into."""
    more = sum(seen.differs and seen.difference is None for seen in subject.tiles)
    return f", and {more} more differ" if more else ""


@check("C3", "fail", "A mirrored tile puts every molecule where it is not.")
def check_orientation_is_kept(subject: Subject) -> Iterator[Finding]:
    """Rows are y from the top and columns x from the left, as the data have them.

    The plane is flipped so that y goes up as in a plot, transposed because a library counts x
    first, or turned as the camera is mounted. The picture looks as good as before. But positions
    no longer go with the coordinates, with the other channels if it was done to one, or with the
    segmentation that another program made.

    With ``expected``, a tile that differs is compared with what is expected, turned, flipped and
    transposed, and read column by column. Without, a few tiles are looked for in the TIFF or .npy
    files that they are read from; one that lies there turned is a suspicion, as some microscopes
    write it so. An oblong tile that is transposed has the wrong shape; see ``shapes_agree``.

    Wrong::

        def tile_data(self):
            return np.flipud(tifffile.imread(self.path, key=self.z))

    Right::

        def tile_data(self):
            return tifffile.imread(self.path, key=self.z)
    """
    remedy = "Return rows (y), then columns (x), without turning or flipping the plane."
    if subject.oracle is not None:
        yield from _told(subject, _of_kind(subject, "orientation"), remedy)
        return
    for key, decoded in subject.written.items():
        if decoded.orientation != "as written":
            yield Finding(
                f"The pixels of {subject.named(key)} say of themselves that they are "
                f"{decoded.orientation}.",
                remedy,
                (key,),
            )
            return
    places = subject.in_files
    if not places:
        raise NotChecked("it is not known which pixels to expect; give expected=")
    turned = [key for key, place in places.items() if place.kind == "orientation"]
    if turned:
        place = places[turned[0]]
        yield Finding(
            f"{subject.named(turned[0])} is plane {place.page} of {Path(place.path).name!r}, "
            f"{place.text}. {several(len(turned), len(places))} are so.",
            f"{remedy} If the microscope writes it so, check with expected= instead.",
            tuple(turned),
            status="warn",
            certain=False,
        )


@check(
    "C12", "fail", "An intensity outside of [0, 1] is no fraction of full scale: no load takes it."
)
def check_intensities_are_in_range(subject: Subject) -> Iterator[Finding]:
    """Floats lie within [0, 1], integers are not negative, and no pixel is NaN.

    Pixels are turned into floats without being divided, so that they reach 65535 where 1 is full
    scale; or a background is subtracted and the darkest are below zero. The load refuses these,
    when it comes to the first. Pixels that a flat field of 0 made NaN are loaded, with a warning,
    and every mean that has one of them is NaN.

    Told are, of all tiles that are read, floats below 0 or above 1, integers below 0 (a failure),
    and NaN (a warning). That numbers are within the range does not make them right; see
    ``intensities_are_untouched``.

    Wrong::

        def tile_data(self):
            return tifffile.imread(self.path, key=self.z).astype(np.float32)

    Right::

        def tile_data(self):
            return tifffile.imread(self.path, key=self.z)
    """
    outside: list[tuple[Seen, Look]] = []
    undefined: list[Seen] = []
    for seen in subject.tiles:
        if seen.look is None or seen.dtype is None or seen.dtype.kind == "b":
            continue
        highest = 1 if seen.dtype.kind == "f" else np.inf
        look = seen.look
        if look.lowest < 0 or look.highest > highest:
            outside.append((seen, look))
        elif look.has_nan:
            undefined.append(seen)
    if outside:
        seen, look = outside[0]
        yield Finding(
            f"The intensities of {subject.named(seen.key)} reach from {look.lowest:g} to "
            f"{look.highest:g}; expected are floats from 0 to 1, or integers from 0. "
            f"{several(len(outside), len(subject.tiles))} leave that range.",
            "Divide floats by one number for all tiles; of negative integers, a stack of float32 "
            "cannot be made (dtype=None keeps them).",
            tuple(seen.key for seen, _ in outside),
        )
    if undefined:
        yield Finding(
            f"{subject.named(undefined[0].key)} has pixels that are NaN; "
            f"{several(len(undefined), len(subject.tiles))} have.",
            "Leave NaN out: what is computed from such a tile is NaN as well.",
            tuple(seen.key for seen in undefined),
            status="warn",
        )


@check("C12", "fail", "Tiles scaled one by one no longer compare: decoding by intensity fails.")
def check_intensities_are_untouched(subject: Subject) -> Iterator[Finding]:
    """Intensities are the file's own: not rescaled, clipped, wrapped or byte-swapped.

    Each tile is divided by its own maximum, as viewers do, and looks better. A round without
    signal is now as bright as one full of it. Decoding compares rounds and channels with each
    other: noise is read as bits, and genes are found where nothing is. Clipping, casting to 8 bits
    and the wrong byte order do their part more visibly.

    With ``expected``, every tile is told that was rescaled, inverted, clipped, wrapped or
    byte-swapped. Without, a few tiles are looked for in the TIFF or .npy files that they are read
    from: to change them one by one is a failure, while one factor for all leaves them comparable
    and passes. What the pixels alone can tell is a suspicion: that every tile just touches full
    scale, say.

    Wrong::

        def tile_data(self):
            pixels = tifffile.imread(self.path, key=self.z).astype(np.float32)
            return pixels / pixels.max()

    Right::

        def tile_data(self):
            return tifffile.imread(self.path, key=self.z)
    """
    remedy = "Return the file's own numbers; leave scaling to the load, which is the same for all."
    if subject.oracle is not None:
        yield from _told(subject, _of_kind(subject, "intensity"), remedy)
        return
    places = subject.in_files
    yield from _changed_from_file(subject, places, remedy)
    if places and all(place.kind == "same" for place in places.values()):
        return
    tiles = [seen for seen in subject.tiles if seen.look is not None and seen.look.telling]
    if len(tiles) < _ENOUGH_TILES:
        raise NotChecked("too few tiles to tell, without expected=")
    if all(map(_reaches_full_scale, tiles)):
        yield Finding(
            f"In each of {len(tiles)} tiles the highest intensity is exactly the highest there "
            "can be, and next to no pixel has it: as if each were scaled by its own maximum.",
            remedy,
            tuple(seen.key for seen in tiles),
            status="warn",
            certain=False,
        )
    elif (share := _share_cut_off(tiles)) > 0:
        yield Finding(
            f"In each of {len(tiles)} tiles, {share:.0%} of the pixels or more have the one "
            f"highest intensity of all, {tiles[0].look.highest:g}: saturated, or clipped.",  # type: ignore[union-attr]
            remedy,
            tuple(seen.key for seen in tiles),
            status="warn",
            certain=False,
        )


def _share_cut_off(tiles: list[Seen]) -> float:
    """Return which share of the pixels of every tile is cut off at one level below full scale."""
    looks = [(seen.look, seen.dtype, float(np.prod(seen.array_shape))) for seen in tiles]
    shares = [look.at_highest / pixels for look, _, pixels in looks if look is not None]
    levels = {look.highest for look, _, _ in looks if look is not None}
    full = {
        1.0 if dtype.kind in "bf" else float(np.iinfo(dtype).max) for _, dtype, _ in looks if dtype
    }
    return min(shares) if len(levels) == 1 and not levels & full and min(shares) > _CROWD else 0.0


def _changed_from_file(
    subject: Subject, places: dict[TileKey, InFile], remedy: str
) -> Iterator[Finding]:
    """Compare intensities with those of the file, where the tile is found in it."""
    changed = {key: place for key, place in places.items() if place.kind == "intensity"}
    if not changed:
        return
    key, place = next(iter(changed.items()))
    scales = {place.scale for place in changed.values()}
    what = f"{subject.named(key)} is plane {place.page} of {Path(place.path).name!r}, {place.text}."
    lost = place.text.startswith(("wrapped", "byte-swapped"))
    if lost or not _one_scale(scales) or len(changed) < len(places):
        yield Finding(
            f"{what} {several(len(changed), len(places))} are changed"
            + (", each by itself." if not lost and len(changed) > 1 else "."),
            remedy,
            tuple(changed),
        )
    elif None in scales:
        yield Finding(what, remedy, tuple(changed), status="warn", certain=False)


def _one_scale(scales: set[tuple[float, float] | None]) -> bool:
    """Return whether all tiles were scaled alike, which leaves them comparable."""
    known = [scale for scale in scales if scale is not None]
    return all(np.allclose(scale, known[0], rtol=1e-3, atol=1e-3) for scale in known)


def _reaches_full_scale(seen: Seen) -> bool:
    """Return whether a tile touches the end of its range, but in a pixel or two.

    A saturated tile has many such pixels; of evenly distributed ones, there are as many as of any
    other level.
    """
    assert seen.look is not None
    assert seen.dtype is not None
    kind, pixels = seen.dtype.kind, float(np.prod(seen.array_shape))
    if kind == "b":
        return False
    highest = 1.0 if kind == "f" else float(np.iinfo(seen.dtype).max)
    by_chance = 0.0 if kind == "f" else pixels / highest
    return seen.look.highest == highest and seen.look.at_highest <= _FEW_PIXELS and by_chance < 0.5


@check("C12", "fail", "Pixels that are nobody's are measured as if they were data.")
def check_pixels_are_as_expected(subject: Subject) -> Iterator[Finding]:
    """Every pixel is the one expected, where it is known which.

    A registration or a filter has found its way into the fetcher, a header is two bytes longer
    than its author thought, or the last strip of each file is never read. Pixels that come round
    the other edge are molecules at a place where there are none, and whoever registers the rounds
    later starts from what was shifted already.

    This is for tiles that differ from ``expected`` in a way that no other check has a name for.
    The message says by how much they are shifted, or which rows differ. Without ``expected`` there
    is nothing to compare with, and the check is skipped.

    Wrong::

        def tile_data(self):
            pixels = tifffile.imread(self.path, key=self.z)
            return np.roll(pixels, 1, axis=1)  # this camera is off by one

    Right::

        def tile_data(self):
            return tifffile.imread(self.path, key=self.z)
    """
    wrong = _of_kind(subject, "other")
    yield from _told(subject, wrong, "Compare how this tile is read with how it was written.")
    unexplained = [seen for seen in subject.tiles if seen.differs and seen.difference is None]
    known = any(seen.difference for seen in subject.tiles)
    if unexplained and not known:
        yield Finding(
            f"{several(len(unexplained), len(subject.tiles))} differ from what is expected.",
            "Compare how they are read with how they were written.",
            tuple(seen.key for seen in unexplained),
        )


@check("C10", "fail", "A blank tile in place of an error is a round without signal: a wrong gene.")
def check_failures_are_not_pixels(subject: Subject) -> Iterator[Finding]:
    """No tile is blank where the data are not.

    Somewhere an exception is caught, and a block of zeros is returned so that the pipeline goes
    on. It was meant for one bad file; it also catches the typing error in a name, and the plane
    that one position has more than the pilot had. These tiles are black in every run, nobody is
    told, and their molecules are missing, or decoded as others.

    With ``expected``, and only then, tiles are told whose pixels are all of one value where the
    data's are not. A tile that is blank in the data as well is no crime. One that is black in part
    is told by ``pixels_are_as_expected``.

    Wrong::

        def tile_data(self):
            planes = tifffile.imread(self.path, key=range(3))  # as in the pilot
            try:
                return planes[self.z]
            except IndexError:
                return np.zeros((24, 20), np.uint16)

    Right::

        def tile_data(self):
            return tifffile.imread(self.path, key=self.z)
    """
    yield from _told(
        subject,
        _of_kind(subject, "blank"),
        "Let the error out that reading this tile raises, in place of a substitute.",
    )
