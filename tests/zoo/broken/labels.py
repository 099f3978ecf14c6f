"""A tile that is another one's."""

import glob
import os
from dataclasses import replace
from itertools import count

import tifffile

from starfish_fetch import FetchedTile, TileFetcher, TileKey

from .._bases import Files, Memory, Stacks
from .._entry import sin
from .._images import image, keys

FLAT = image()
CUBE = image(3, 3, 3)
STACK = image(3, 3, 3, layout="fov{fov}_r{r}_c{c}.tiff", inner="z")
ROUNDS = image(3, 2, 3, layout="fov{fov}_r{r}.tiff", inner="cz")
MANY = image(2, 12, 1)
GAPS = image((1, 2, 4), (0, 2), (1, 2, 3), layout="fov{fov}_r{r}_c{c}.tiff", inner="z")
FOVS = image(2, 2, 2, fovs=2, fov=1)

TAKEN = "labels_are_honoured"
ORDER = "order_does_not_matter"
REPEAT = "tiles_repeat"
UNKNOWN = "unknown_labels_are_refused"
NAMES = "file_names_agree_with_labels"


@sin(TAKEN, of=STACK, also=[UNKNOWN], blind=[NAMES])
def LeaksLoopVariable(image):
    # As published: the loops wrote the files, and get_tile reads with what they left behind.
    for r in image.extent.rounds:
        for c in image.extent.chs:
            path = f"fov{image.fov}_r{r}_c{c}.tiff"
            assert os.path.exists(os.path.join(image.root, path))

    class DemoTile(FetchedTile):
        def __init__(self, z):
            self.z = z

        @property
        def shape(self):
            return image.extent.tile_shape

        @property
        def coordinates(self):
            return {"xc": (0.0, 9.5), "yc": (0.0, 11.5), "zc": (self.z, self.z + 1.0)}

        def tile_data(self):
            return tifffile.imread(os.path.join(image.root, path), key=self.z)

    class DemoFetcher(TileFetcher):
        def get_tile(self, fov, r, c, z):
            return DemoTile(z)

    return DemoFetcher()


@sin(TAKEN, of=FLAT, blind=[NAMES])
class SwapsRoundAndChannel(Files):
    def get_tile(self, fov, c, r, z):
        return self.tile(self, fov, TileKey(r, c, z))


@sin(TAKEN, of=CUBE, blind=[NAMES])
class SwapsChannelAndZplane(Files):
    def pixels_of(self, fov, key):
        return tifffile.imread(self.path(fov, key.round, key.zplane, key.ch), key=0)


@sin(TAKEN, of=CUBE, unseen=True)
class SwapsRoundAndZplane(Memory):
    def index(self, fov, key):
        return super().index(fov, key)[::-1]


@sin(TAKEN, of=FLAT, blind=[NAMES, UNKNOWN])
class IgnoresRound(Files):
    def path(self, fov, r, c, z):
        return super().path(fov, self.extent.rounds[0], c, z)


@sin(TAKEN, of=FLAT, also=[UNKNOWN])
class IgnoresChannel(Memory):
    def index(self, fov, key):
        return super().index(fov, key._replace(ch=0))


@sin(TAKEN, of=STACK, also=[UNKNOWN])
class IgnoresZplane(Stacks):
    def pixels_of(self, fov, key):
        return tifffile.imread(self.path(fov, key.round, key.ch))[0]


@sin(TAKEN, of=FOVS, also=[UNKNOWN], blind=[NAMES])
class IgnoresFov(Files):
    def path(self, fov, r, c, z):
        return super().path(0, r, c, z)


@sin(TAKEN, of=STACK, also=[UNKNOWN])
class TakesZplaneFromADefault(Stacks):
    # get_tile forgets to pass it on.
    def get_tile(self, fov, r, c, z):
        return self.of(fov, r, c)

    def of(self, fov, r, c, z=1):
        return self.tile(self, fov, TileKey(r, c, z))


@sin(TAKEN, of=STACK, blind=[UNKNOWN])
class CountsPlanesFromOne(Stacks):
    def pixels_of(self, fov, key):
        # Page -1 is the last one.
        return tifffile.imread(self.path(fov, key.round, key.ch))[key.zplane - 1]


@sin(TAKEN, of=FLAT, also=[UNKNOWN])
class StopsOneShortOfTheEnd(Memory):
    def index(self, fov, key):
        r, c, z = key
        return min(r, len(self.extent.rounds) - 2), self.extent.chs.index(c), z


@sin(TAKEN, of=FLAT, blind=[UNKNOWN])
class ReversesRounds(Memory):
    def index(self, fov, key):
        last = len(self.extent.rounds) - 1
        return last - key.round, key.ch, key.zplane


@sin(TAKEN, of=FLAT, blind=[NAMES])
class ListsTheNewestFirst(Files):
    def __init__(self, image):
        super().__init__(image)
        names = [super(ListsTheNewestFirst, self).path(image.fov, *k) for k in keys(image.extent)]
        self.names = dict(zip(keys(image.extent), reversed(names), strict=True))

    def path(self, fov, r, c, z):
        return self.names[TileKey(r, c, z)]


@sin(TAKEN, of=GAPS, also=["every_tile_can_be_had"])
class TakesLabelForIndex(Stacks):
    def pixels_of(self, fov, key):
        return tifffile.imread(self.path(fov, key.round, key.ch))[key.zplane]


@sin(TAKEN, of=GAPS, also=[UNKNOWN])
class TakesLabelForIndexAndClips(Memory):
    def pixels_of(self, fov, key):
        pixels = self.array
        for label in key:
            pixels = pixels.take(label, axis=0, mode="clip")
        return pixels.copy()


@sin(TAKEN, of=image((5, 6, 7), 2, 2), also=[UNKNOWN])
class TakesLabelForIndexAndWraps(Memory):
    def index(self, fov, key):
        return key.round % 3, key.ch, key.zplane


@sin(TAKEN, of=MANY, blind=[NAMES])
class SortsNamesLexicographically(Files):
    def __init__(self, image):
        super().__init__(image)
        self.of_round = {
            (0, r, 0): sorted(glob.glob(f"{self.root}/fov0_r{r}_c*_z0.tiff"))
            for r in image.extent.rounds
        }

    def path(self, fov, r, c, z):
        return self.of_round[fov, r, z][c]


@sin(TAKEN, of=MANY, also=[UNKNOWN], blind=[NAMES])
class MatchesNamesBySubstring(Files):
    def path(self, fov, r, c, z):
        names = sorted(os.listdir(self.root))
        found = [name for name in names if f"r{r}" in name and f"c{c}" in name]
        return os.path.join(self.root, found[0])


@sin(TAKEN, of=image((9, 10, 20), 2, 1), also=["every_tile_can_be_had"], blind=[NAMES])
class KeepsTheLastDigit(Files):
    def __init__(self, image):
        super().__init__(image)
        self.paths = {
            (str(r)[-1], c, z): self.path(image.fov, r, c, z) for r, c, z in keys(image.extent)
        }

    def pixels_of(self, fov, key):
        return tifffile.imread(self.paths[str(key.round)[-1], key.ch, key.zplane], key=0)


@sin(TAKEN, of=FLAT, blind=[NAMES])
def BindsLambdasLate(image):
    readers = {}
    for key in keys(image.extent):
        path = os.path.join(image.root, image.layout.path(image.fov, *key))
        readers[key] = lambda: tifffile.imread(path, key=0)  # noqa: B023

    class Fetcher(Files):
        def get_tile(self, fov, r, c, z):
            if fov != image.fov:
                raise KeyError(fov)
            return self.tile(self, fov, TileKey(r, c, z))

        def pixels_of(self, fov, key):
            return readers[key]()

    return Fetcher(image)


@sin(TAKEN, of=image(2, 3, 3, layout="fov{fov}.tiff", inner="rcz"), unseen=True)
class FoldsAxesInTheWrongOrder(Memory):
    def __init__(self, image):
        super().__init__(image)
        pages = tifffile.imread(f"{image.root}/fov0.tiff").reshape(18, 24, 20)
        # The file runs z fastest.
        self.array = pages.reshape(2, 3, 3, 24, 20).swapaxes(1, 2)


@sin(TAKEN, of=image(2, 3, 2, layout="fov{fov}.tiff", inner="rcz"), blind=[UNKNOWN])
class ComputesThePageWithTheWrongStride(Files):
    def pixels_of(self, fov, key):
        page = key.round * 6 + key.zplane * 3 + key.ch
        return tifffile.imread(f"{self.root}/fov{fov}.tiff", key=page)


@sin(TAKEN, of=image(2, 3, 2), also=[UNKNOWN])
class AlternatesTwoCameras(Memory):
    def index(self, fov, key):
        return key.round, key.ch % 2, key.zplane


@sin(TAKEN, of=FLAT, also=[UNKNOWN], blind=[NAMES])
class FallsBackToTheNuclearStain(Files):
    names = {0: "c0", 1: "c1"}  # noqa: RUF012

    def path(self, fov, r, c, z):
        return f"{self.root}/fov{fov}_r{r}_{self.names.get(c, 'c0')}_z{z}.tiff"


@sin(TAKEN, of=image(2, 2, (-1, 0, 1)), also=[UNKNOWN], blind=[NAMES])
class DropsTheSignOfALabel(Files):
    def path(self, fov, r, c, z):
        return super().path(fov, r, c, abs(z))


@sin("every_tile_can_be_had", of=FLAT)
class PairsAxesInsteadOfCrossingThem(Files):
    def __init__(self, image):
        super().__init__(image)
        extent = image.extent
        self.table = set(zip(extent.rounds, extent.chs, strict=True))

    def path(self, fov, r, c, z):
        if (r, c) not in self.table:
            raise KeyError((r, c))
        return super().path(fov, r, c, z)


@sin(
    TAKEN,
    ORDER,
    REPEAT,
    of=FLAT,
    also=[
        UNKNOWN,
        "tiles_do_not_share_state",
        "pickling_keeps_pixels",
        "errors_leave_nothing_behind",
    ],
)
class CursorIgnoresLabels(Files):
    def __init__(self, image):
        super().__init__(image)
        self.cursor = count()
        self.paths = [self.path(image.fov, *key) for key in keys(image.extent)]

    def pixels_of(self, fov, key):
        return tifffile.imread(self.paths[next(self.cursor) % len(self.paths)], key=0)


@sin(
    TAKEN,
    ORDER,
    REPEAT,
    of=FLAT,
    also=["tiles_repeat", "errors_leave_nothing_behind", "z_follows_the_zplane", UNKNOWN],
)
class CountsTilesAsTheyAreAskedFor(Memory):
    # Right for whoever asks in the order r, c, z, from a fresh fetcher, once.
    asked = -1

    def get_tile(self, fov, r, c, z):
        self.asked += 1
        every = list(keys(self.extent))
        return self.tile(self, self.fov, every[self.asked % len(every)])


@sin(
    TAKEN,
    ORDER,
    of=ROUNDS,
    also=[UNKNOWN, "tiles_repeat", "errors_leave_nothing_behind", "tiles_do_not_share_state"],
)
class CacheKeyForgetsTheChannel(Files):
    def __init__(self, image):
        super().__init__(image)
        self.planes = {}

    def pixels_of(self, fov, key):
        found = self.planes.get((fov, key.round, key.zplane))
        if found is None:
            page = self.extent.chs.index(key.ch) * 3 + self.extent.zplanes.index(key.zplane)
            found = tifffile.imread(f"{self.root}/fov{fov}_r{key.round}.tiff", key=page)
            self.planes[fov, key.round, key.zplane] = found
        return found.copy()


@sin(TAKEN, "pixels_are_as_expected", of=STACK, also=[UNKNOWN, "intensities_are_untouched"])
class ProjectsAllPlanes(Stacks):
    def pixels_of(self, fov, key):
        return tifffile.imread(self.path(fov, key.round, key.ch)).max(axis=0)


@sin(TAKEN, "pixels_are_as_expected", of=image(2, 2, 3), unseen=True)
class TakesHalfOfItFromTheNextPlane(Memory):
    def pixels_of(self, fov, key):
        r, c, z = self.index(fov, key)
        pixels = self.array[r, c, z].copy()
        pixels[12:] = self.array[r, c, (z + 1) % 3, 12:]
        return pixels


@sin(TAKEN, of=image(3, 2, 2))
class CopiesTheFirstChannelInOneRound(Memory):
    def __init__(self, image):
        super().__init__(image)
        self.array[2] = self.array[2, :1]


@sin(TAKEN, "pixels_are_as_expected", of=FOVS, oracle=lambda: FOVS.tile, unseen=True)
class HasOnlyTheFirstFovInMemory(Memory):
    def __init__(self, image):
        super().__init__(replace(image, fov=0))
        self.fov = image.fov
