"""Whether tiles say where they lie, and all agree."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from starfish_fetch.axes import Coordinates, TileKey
from starfish_fetch.testing._coordinates import Place, place_of
from starfish_fetch.testing.checks._registry import Finding, NotChecked, check
from starfish_fetch.testing.checks._words import several

if TYPE_CHECKING:
    from starfish_fetch.testing._subject import Subject

__all__ = [
    "check_coordinates_are_plausible",
    "check_coordinates_are_valid",
    "check_tiles_are_aligned",
    "check_z_follows_the_zplane",
]


_FAR_FROM_SQUARE = 20


def _places(subject: Subject) -> dict[TileKey, Place]:
    """Return where tiles lie that say so rightly."""
    places = {}
    for seen in subject.tiles:
        try:
            places[seen.key] = place_of(seen.coordinates)
        except ValueError:
            continue
    if not places:
        raise NotChecked("no tile has coordinates that could be read")
    return places


@check("C8", "fail", "Without coordinates, no molecule can be placed in the tissue.")
def check_coordinates_are_valid(subject: Subject) -> Iterator[Finding]:
    """X and y are pairs (first, last) of finite numbers with an extent; z is a number or a pair.

    The stage's log has the corner of the image alone, numbers from a header are still text, or a
    position that was not found is NaN. Pixels are loaded all the same, or not at all; in the first
    case, every molecule found in them has the same position, or none, and that comes to light when
    the cells are drawn.

    Of every tile that is read, xc and yc must be pairs of finite numbers, and differ if there is
    more than one pixel between them. zc is a number, a pair, NaN, or absent. Whether the numbers
    are the right ones, and in which unit, cannot be seen.

    Wrong::

        @property
        def coordinates(self):
            return {"xc": 350.0, "yc": 120.0, "zc": 0.5 * self.z}

    Right::

        @property
        def coordinates(self):
            x, y = 350.0, 120.0
            height, width = 0.1 * (24 - 1), 0.1 * (20 - 1)
            return {"xc": (x, x + width), "yc": (y, y + height), "zc": 0.5 * self.z}
    """
    wrong = {}
    for seen in subject.tiles:
        try:
            place = place_of(seen.coordinates)
        except ValueError as error:
            wrong[seen.key] = str(error)
            continue
        for name, (first, last), pixels in (
            ("xc", place.x, subject.shape[1]),
            ("yc", place.y, subject.shape[0]),
        ):
            if first == last and pixels > 1:
                wrong.setdefault(
                    seen.key,
                    f"has ({first:g}, {last:g}) for {name!r}: {pixels} pixels at one place",
                )
    if wrong:
        key, text = next(iter(wrong.items()))
        yield Finding(
            f"The coordinates of {subject.named(key)}: the mapping {text}. "
            f"{several(len(wrong), len(subject.tiles))} are wrong.",
            "Return {'xc': (first, last), 'yc': (first, last), 'zc': z} in physical units.",
            tuple(wrong),
        )


@check("C8", "fail", "Tiles of one field of view that do not lie on each other cannot be stacked.")
def check_tiles_are_aligned(subject: Subject) -> Iterator[Finding]:
    """X and y are the same for all tiles of a field of view.

    Microscopes log where the stage really was, which is a fraction of a micrometre off in each
    round. Who passes that on has tiles that do not lie on each other, and a load raises "Tiles
    must be aligned" after it has read a whole round. Pixel sizes that one channel's header rounds
    otherwise do the same.

    The x and y of every tile that is read are compared with those of the first, to the last bit.
    Tiles whose coordinates are not valid are left out. Pixels are not looked at: a round that is
    shifted in its images, but not in its numbers, passes.

    Wrong::

        @property
        def coordinates(self):
            x = {0: 350.0, 1: 350.2}[self.r]  # as the stage logged it
            return {"xc": (x, x + 1.9), "yc": (0.0, 2.3), "zc": 0.5 * self.z}

    Right::

        @property
        def coordinates(self):
            x = 350.0  # of the field of view; rounds are registered later
            return {"xc": (x, x + 1.9), "yc": (0.0, 2.3), "zc": 0.5 * self.z}
    """
    places = _places(subject)
    first, *others = places.items()
    wrong = {key: place for key, place in others if place[:2] != first[1][:2]}
    if wrong:
        key, place = next(iter(wrong.items()))
        name = "xc" if place.x != first[1].x else "yc"
        here, there = (getattr(p, name[0]) for p in (place, first[1]))
        yield Finding(
            f"{name} of {subject.named(key)} is {here}; of {subject.named(first[0])} it is "
            f"{there}. {several(len(wrong), len(places))} do not lie where the first does.",
            "Give the stage position of the field of view; register rounds after loading.",
            (first[0], *wrong),
        )


@check("C8", "fail", "One z-plane at two depths puts the same molecule in two places.")
def check_z_follows_the_zplane(subject: Subject) -> Iterator[Finding]:
    """Z depends on the z-plane alone.

    Each colour has its focus a little higher or lower, so somebody adds the channel's offset to z;
    or z is the motor's position at the time, which differs by round. A stack has one depth for
    each z-plane: that of the first tile that says one. Molecules of all other channels get it too,
    and nothing tells that their own was another.

    Tiles of one z-plane that are read must have exactly the same zc, as a number or as a pair, or
    all have none. Whether planes lie in order is asked by ``coordinates_are_plausible``.

    Wrong::

        @property
        def coordinates(self):
            z = 0.5 * self.z + 0.3 * self.c  # the colours' focus
            return {"xc": (0.0, 1.9), "yc": (0.0, 2.3), "zc": z}

    Right::

        @property
        def coordinates(self):
            z = 0.5 * self.z
            return {"xc": (0.0, 1.9), "yc": (0.0, 2.3), "zc": z}
    """
    known: dict[int, tuple[TileKey, Place]] = {}
    wrong = []
    for key, place in _places(subject).items():
        first = known.setdefault(key.zplane, (key, place))
        if not np.array_equal(_z(place), _z(first[1]), equal_nan=True):
            wrong.append((key, place, first))
    if wrong:
        key, place, (other, there) = wrong[0]
        yield Finding(
            f"zc of {subject.named(key)} is {_z_words(place)}; of {subject.named(other)}, the same "
            f"z-plane, it is {_z_words(there)}. {several(len(wrong), len(subject.tiles))} differ.",
            "Compute z from the z-plane's label alone.",
            (other, *(key for key, _, _ in wrong)),
        )


def _z(place: Place) -> tuple[float, float]:
    return place.z if place.z is not None else (np.nan, np.nan)


def _z_words(place: Place) -> str:
    if place.z is None:
        return "missing"
    return f"{place.z[0]:g}" if place.z[0] == place.z[1] else f"({place.z[0]:g}, {place.z[1]:g})"


@check("C8", "warn", "Coordinates that are merely possible still put molecules in the wrong place.")
def check_coordinates_are_plausible(subject: Subject) -> Iterator[Finding]:
    """Coordinates rise with pixels and z-planes, and have x and y in their places.

    x and y are swapped, one of them runs backwards, or all planes lie at one depth. All of it can
    be loaded. The molecules are then mirrored within the tissue, and as each field of view is so,
    the picture looks like tissue until somebody lays the histology over it.

    Most findings are suspicions, since real data may look the same: numbers that fall from first
    to last; pixels of an oblong tile that would be square if x and y were swapped; depths that are
    equal or go up and down. Where ``expected`` is a synth dataset, coordinates are compared with
    it. Lists in place of tuples are a certainty: starfish refuses them. In a square tile, a swap
    is seen only by comparing with a dataset.

    Wrong::

        @property
        def coordinates(self):
            height, width = 0.1 * (24 - 1), 0.1 * (20 - 1)
            return {"xc": (0.0, height), "yc": (0.0, width), "zc": 0.5 * self.z}

    Right::

        @property
        def coordinates(self):
            height, width = 0.1 * (24 - 1), 0.1 * (20 - 1)
            return {"xc": (0.0, width), "yc": (0.0, height), "zc": 0.5 * self.z}
    """
    places = _places(subject)
    key, place = next(iter(places.items()))
    rows, columns = subject.shape
    for name, (first, last) in (("xc", place.x), ("yc", place.y)):
        if last < first:
            yield Finding(
                f"{name} of {subject.named(key)} falls, from {first:g} to {last:g}.",
                f"If pixels are not mirrored in {name[0]}, give the smaller number first.",
                (key,),
                certain=False,
            )
    spans = abs(place.x[1] - place.x[0]), abs(place.y[1] - place.y[0])
    if rows != columns and min(rows, columns) > 1 and min(spans) > 0:
        # Both ways to count pixels, with and without the last one's width, are in use.
        fits = [abs(spans[0] / (columns - k) / (spans[1] / (rows - k)) - 1) < 1e-3 for k in (0, 1)]
        swapped = [
            abs(spans[0] / (rows - k) / (spans[1] / (columns - k)) - 1) < 1e-3 for k in (0, 1)
        ]
        if any(swapped) and not any(fits):
            yield Finding(
                f"A tile has {rows} rows and {columns} columns, but lies at xc {place.x} and yc "
                f"{place.y}: pixels would be square if x and y were swapped.",
                "Exchange xc and yc, unless pixels are that far from square.",
                (key,),
                certain=False,
            )
    sizes = sorted((spans[0] / columns, spans[1] / rows))
    if sizes[0] > 0 and sizes[1] / sizes[0] > _FAR_FROM_SQUARE:
        yield Finding(
            f"Pixels of {subject.named(key)} are {sizes[1] / sizes[0]:.0f} times as long one way "
            f"as the other: xc is {place.x}, yc is {place.y}.",
            "Give x and y in the same physical unit.",
            (key,),
            certain=False,
        )
    yield from _depths(subject, places)
    lists = [
        seen.key
        for seen in subject.tiles
        if seen.key in places
        and any(isinstance(seen.coordinates[name], list) for name in ("xc", "yc"))
    ]
    if lists:
        yield Finding(
            f"The coordinates of {subject.named(lists[0])} are lists, which starfish refuses.",
            "Return tuples (first, last).",
            tuple(lists),
        )
    yield from _other_than_expected(subject, places)


def _depths(subject: Subject, places: dict[TileKey, Place]) -> Iterator[Finding]:
    without = [key for key, place in places.items() if place.z is None or np.isnan(place.z).any()]
    named = any("zc" in map(str, seen.coordinates) for seen in subject.tiles if seen.key in places)
    if without and (named or len(without) < len(places)):
        yield Finding(
            f"{subject.named(without[0])} has no number for zc; "
            f"{several(len(without), len(places))} have none.",
            "Return a number or a pair for every z-plane.",
            tuple(without),
        )
    by_label = {key.zplane: place.z for key, place in sorted(places.items()) if place.z is not None}
    depths = [(z[0] + z[1]) / 2 for _, z in sorted(by_label.items())]
    if len(depths) < 2 or not np.isfinite(depths).all():
        return
    steps = np.diff(depths)
    if (steps == 0).any():
        yield Finding(
            f"Z-planes {sorted(by_label)} lie at the depths {depths}: some at the same.",
            "Compute z from the z-plane's label.",
            certain=False,
        )
    elif not ((steps > 0).all() or (steps < 0).all()):
        yield Finding(
            f"Z-planes {sorted(by_label)} lie at the depths {depths}, which go up and down.",
            "Compute z from the z-plane's label, and see whether files are sorted by number.",
            certain=False,
        )


def _other_than_expected(subject: Subject, places: dict[TileKey, Place]) -> Iterator[Finding]:
    oracle = subject.oracle
    if oracle is None or oracle.coordinates is None:
        return
    for key, place in places.items():
        expected = place_of(oracle.coordinates(key))
        for name in Coordinates:
            here, there = (getattr(p, name[0]) for p in (place, expected))
            if here is None or there is None:
                continue
            if name == Coordinates.Z:
                # A number stands for the middle of a range.
                here, there = float(np.mean(here)), float(np.mean(there))
            if not np.allclose(here, there, rtol=1e-6):
                yield Finding(
                    f"{name} of {subject.named(key)} is {here}; the dataset says {there}.",
                    "Correct it, unless the fetcher takes coordinates from elsewhere.",
                    (key,),
                    certain=False,
                )
                return
