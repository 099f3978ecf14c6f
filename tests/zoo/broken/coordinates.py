"""Tiles that lie somewhere else."""

from .._bases import Files, Memory
from .._entry import sin
from .._images import image

OBLONG = image(3, 2, 3, (16, 40))

VALID = "coordinates_are_valid"
ALIGNED = "tiles_are_aligned"
Z = "z_follows_the_zplane"
PLAUSIBLE = "coordinates_are_plausible"
HAD = "every_tile_can_be_had"


class _Placed(Memory):
    """Its subclasses change what it says of a tile's place."""

    def coordinates_of(self, fov, key):
        right = super().coordinates_of(fov, key)
        return self.placed(right, key)

    def placed(self, right, key):
        raise NotImplementedError


@sin(PLAUSIBLE, of=OBLONG, warns=True)
class SwapsXAndYCoordinates(_Placed):
    def placed(self, right, key):
        return {"xc": right["yc"], "yc": right["xc"], "zc": right["zc"]}


@sin(VALID, of=OBLONG, also=[HAD])
class ForgetsY(_Placed):
    def placed(self, right, key):
        return {"xc": right["xc"], "zc": right["zc"]}


@sin(VALID, of=OBLONG, also=[HAD])
class NamesCoordinatesAsItsAxes(_Placed):
    def placed(self, right, key):
        return {name[0]: value for name, value in right.items()}


@sin(VALID, of=OBLONG, also=[ALIGNED])
class PlacesTilesAtNaN(_Placed):
    def placed(self, right, key):
        return {**right, "xc": (float("nan"), float("nan"))}


@sin(VALID, of=OBLONG)
class EndsAtInfinity(_Placed):
    def placed(self, right, key):
        return {**right, "yc": (0.0, float("inf"))}


@sin(VALID, of=OBLONG)
class HasNoExtent(_Placed):
    def placed(self, right, key):
        return {**right, "xc": (5.0, 5.0)}


@sin(VALID, of=OBLONG)
class GivesTheStartOnly(_Placed):
    def placed(self, right, key):
        return {**right, "xc": 0.0}


@sin(VALID, of=OBLONG)
class GivesTextFromTheHeader(_Placed):
    def placed(self, right, key):
        return {**right, "yc": ("0.0", "7.5")}


@sin(VALID, of=OBLONG, also=[HAD])
class GivesATripleForX(_Placed):
    def placed(self, right, key):
        return {**right, "xc": (*right["xc"], 0.5)}


@sin(VALID, of=OBLONG, also=[Z, HAD, ALIGNED])
class OneTileHasNone(_Placed):
    def placed(self, right, key):
        return {} if key == (2, 1, 2) else right


@sin(ALIGNED, of=OBLONG)
class DriftsWithTheRound(_Placed):
    def placed(self, right, key):
        first, last = right["xc"]
        return {**right, "xc": (first + 0.1 * key.round, last + 0.1 * key.round)}


@sin(ALIGNED, of=OBLONG)
class IsScaledInOneChannel(Files):
    def coordinates_of(self, fov, key):
        first, last = super().coordinates_of(fov, key)["yc"]
        right = super().coordinates_of(fov, key)
        return {**right, "yc": (first, last * 1.002)} if key.ch == 1 else right


@sin(Z, of=OBLONG)
class FocusesEachChannelElsewhere(_Placed):
    def placed(self, right, key):
        return {**right, "zc": right["zc"][0] + 0.3 * key.ch}


@sin(Z, of=OBLONG)
class TakesZFromTheRound(_Placed):
    def placed(self, right, key):
        return {**right, "zc": (float(key.round), key.round + 1.0)}


@sin(PLAUSIBLE, of=OBLONG, warns=True)
class RunsFromBottomToTop(_Placed):
    def placed(self, right, key):
        return {**right, "yc": right["yc"][::-1]}


@sin(PLAUSIBLE, of=OBLONG, warns=True)
class PutsAllPlanesAtOneHeight(_Placed):
    def placed(self, right, key):
        return {**right, "zc": 0.0}


@sin(PLAUSIBLE, of=OBLONG, warns=True)
class GivesListsForPairs(_Placed):
    def placed(self, right, key):
        return {name: list(value) for name, value in right.items()}


@sin(ALIGNED, of=OBLONG, also=[PLAUSIBLE])
class PassesThemInTheWrongPositions(_Placed):
    def placed(self, right, key):
        return dict(zip(("xc", "yc", "zc"), reversed(right.values()), strict=True))


@sin(PLAUSIBLE, of=image(2, 2, 3, fovs=2, fov=1), warns=True, unseen=True)
class StandsWhereTheFirstFovIs(Files):
    def coordinates_of(self, fov, key):
        return super().coordinates_of(0, key)
