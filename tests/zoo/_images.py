"""The small images that the fetchers of the zoo read, each written once in a process."""

import atexit
import shutil
import tempfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np

import synth
from starfish_fetch import Extent, Layout, TileKey

__all__ = ["Image", "Pixels", "graded", "image", "keys", "random", "scratch", "stacked"]


@cache
def scratch() -> Path:
    """Return a folder that lasts as long as the process."""
    folder = Path(tempfile.mkdtemp(prefix="zoo-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@dataclass(frozen=True)
class Image:
    """A synthetic image in some file layout, written when it is first asked for."""

    spec: synth.Spec
    layout: Layout
    fov: int = 0
    options: tuple[tuple[str, object], ...] = ()

    @property
    def extent(self) -> Extent:
        return self.spec.extent(self.fov)

    @property
    def dataset(self) -> synth.Dataset:
        return _written(self.spec, self.layout, self.options)

    @property
    def root(self) -> str:
        return str(self.dataset.root)

    @property
    def array(self) -> np.ndarray:
        """A new 5-D array of the whole field of view."""
        return stacked(self.extent, self.tile)

    @property
    def oracle(self) -> synth.Dataset:
        return self.dataset

    @property
    def raw(self) -> str:
        """A file of all planes, one after another, without a header."""
        return _stored(self, "raw")

    @property
    def npy(self) -> str:
        """A .npy file of the 5-D array."""
        return _stored(self, "npy")

    def tile(self, round, ch, zplane):
        return synth.tile(self.spec, self.fov, round, ch, zplane)


@dataclass(frozen=True)
class Pixels:
    """An image that is an array, for what no synthetic image holds."""

    array_of: object
    labels: tuple = ()
    fov: int = 0
    made: dict = field(default_factory=dict, compare=False)

    @property
    def array(self) -> np.ndarray:
        """A new 5-D array."""
        return self.array_of()

    @property
    def extent(self) -> Extent:
        *planes, rows, columns = self.array.shape
        labels = self.labels or [range(size) for size in planes]
        return Extent({"y": rows, "x": columns}, self.fov, *map(tuple, labels))

    @property
    def oracle(self):
        return self.tile

    def tile(self, round, ch, zplane):
        extent = self.extent
        return self.array[
            extent.rounds.index(round), extent.chs.index(ch), extent.zplanes.index(zplane)
        ]


@cache
def _stored(image, kind):
    path = Path(tempfile.mkdtemp(dir=scratch()), f"planes.{kind}")
    if kind == "npy":
        np.save(path, image.array)
    else:
        image.array.tofile(path)
    return str(path)


@cache
def _written(spec, layout, options):
    root = tempfile.mkdtemp(dir=scratch())
    return synth.write(spec, layout, root, **dict(options))


def image(
    rounds=3,
    chs=3,
    zplanes=2,
    tile_shape=(24, 20),
    *,
    layout="fov{fov}_r{r}_c{c}_z{z}.tiff",
    inner=(),
    fov=0,
    fovs=1,
    dtype="uint16",
    content="random",
    **options,
):
    """Describe a small synthetic image."""
    spec = synth.Spec(rounds, chs, zplanes, tile_shape, fovs=fovs, dtype=dtype, content=content)
    if not isinstance(layout, Layout):
        layout = Layout(layout, inner=inner)
    return Image(spec, layout, fov, tuple(sorted(options.items())))


def stacked(extent, tile):
    """Return the 5-D array of an image's tiles."""
    return np.array(
        [[[tile(r, c, z) for z in extent.zplanes] for c in extent.chs] for r in extent.rounds]
    )


def keys(extent):
    """Yield the labels of all tiles of an image."""
    for r in extent.rounds:
        for c in extent.chs:
            for z in extent.zplanes:
                yield TileKey(r, c, z)


def graded():
    """Return an array of tiles none of which is as bright as another, and none is bright."""
    generator = np.random.default_rng(3)
    shape = 3, 3, 2
    tiles = [generator.integers(0, 500 + 250 * n, (24, 20)) for n in range(np.prod(shape))]
    return np.array(tiles, np.uint16).reshape(*shape, 24, 20)


def random(shape, dtype):
    """Return a function that makes an array of any value that a dtype has."""

    def array():
        generator = np.random.default_rng(8)
        if np.dtype(dtype).kind == "f":
            return generator.random(shape).astype(dtype)
        top = min(np.iinfo(dtype).max, 2**62)
        return generator.integers(0, top, shape, endpoint=True).astype(dtype)

    return array
