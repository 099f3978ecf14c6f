"""The image that every peer brings into memory, and what it must be there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

import synth
from starfish_fetch.axes import Axes, Extent
from starfish_fetch.cpus import available_cpus
from starfish_fetch.layout import Layout
from starfish_fetch.plan import LoadPlan

__all__ = ["LAYOUTS", "SCALE", "Image", "Intensities", "Shape"]

Intensities = NDArray[np.float32]
Shape = tuple[int, int, int, int, int]

# Numbers are padded: some peers sort file names as text.
LAYOUTS: Mapping[str, Layout] = MappingProxyType(
    {
        "per-round": Layout("r{r:04d}.tiff", inner=(Axes.CH, Axes.ZPLANE)),
        "per-round-ch": Layout("r{r:04d}_c{c:04d}.tiff", inner=(Axes.ZPLANE,)),
        "per-tile": Layout("r{r:04d}_c{c:04d}_z{z:04d}.tiff"),
    }
)

SCALE = np.float32(1 / 65535)
"""What brings 16-bit pixels into [0, 1], as ``skimage.util.img_as_float32`` does."""


@dataclass(frozen=True)
class Image:
    """A 16-bit image on disk, and a folder for what a peer makes of it before.

    Parameters
    ----------
    dataset : synth.Dataset
        What was written; it knows every pixel.
    scratch : path
        An empty folder.
    """

    dataset: synth.Dataset
    scratch: Path

    @classmethod
    def write(cls, shape: Shape, layout: Layout, folder: Path) -> Image:
        """Write an image of (rounds, channels, z-planes, rows, columns) into an empty folder."""
        rounds, chs, zplanes, *tile_shape = shape
        spec = synth.Spec(rounds, chs, zplanes, tile_shape)
        scratch = folder / "scratch"
        scratch.mkdir(parents=True)
        return cls(synth.write(spec, layout, folder / "image", ome=False), scratch)

    @cached_property
    def extent(self) -> Extent:
        """The labels and the shape of a tile."""
        return self.dataset.extent()

    @cached_property
    def planes(self) -> tuple[int, int, int]:
        """How many rounds, channels and z-planes there are."""
        extent = self.extent
        return len(extent.rounds), len(extent.chs), len(extent.zplanes)

    @property
    def tile_shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.dataset.spec.tile_shape

    @property
    def shape(self) -> Shape:
        """Rounds, channels, z-planes, rows, columns."""
        return (*self.planes, *self.tile_shape)

    @property
    def layout(self) -> Layout:
        """How it is cut into files."""
        return self.dataset.layout

    @cached_property
    def paths(self) -> list[str]:
        """The files; one after another they hold the tiles in the order r, c, z."""
        files = self.layout.files(self.extent)
        return [str(self.dataset.root / path) for path, _, _ in files]

    @property
    def by_file(self) -> tuple[int, ...]:
        """The shape of the image with the files as first axis and the planes of each as second."""
        return (len(self.paths), prod(self.planes) // len(self.paths), *self.tile_shape)

    @property
    def workers(self) -> int:
        """How many threads a peer is told to use."""
        return available_cpus()

    @cached_property
    def truth(self) -> NDArray[np.uint16]:
        """What the files must hold, without reading them."""
        truth = np.empty(self.shape, np.uint16)
        for place, key in zip(np.ndindex(self.planes), self._keys(), strict=True):
            truth[place] = self.dataset.tile(*key)
        return truth

    def _keys(self) -> LoadPlan:
        return LoadPlan(self.extent.rounds, self.extent.chs, self.extent.zplanes)

    def problem(self, array: object) -> str | None:
        """Return what is wrong with what a peer brought, or None if every pixel is right."""
        if not isinstance(array, np.ndarray):
            return f"it is a {type(array).__name__}, not an array in memory"
        if array.shape != self.shape or array.dtype != np.float32:
            return f"it is {array.dtype} of shape {array.shape}, not float32 of {self.shape}"
        wrong = []
        for place, key in zip(np.ndindex(self.planes), self._keys(), strict=True):
            count = np.count_nonzero(array[place] != self.truth[place] * SCALE)
            if count:
                wrong.append((place, key, count))
        if not wrong:
            return None
        place, key, count = wrong[0]
        return (
            f"{len(wrong)} of {prod(self.planes)} tiles are wrong; the first is "
            f"{_name(key)}: {count} of {prod(self.tile_shape)} pixels"
            f"{self._whose(array[place])}"
        )

    def _whose(self, tile: Intensities) -> str:
        for place, key in zip(np.ndindex(self.planes), self._keys(), strict=True):
            if np.array_equal(tile, self.truth[place] * SCALE):
                return f"; it holds those of {_name(key)}"
        return ""


def _name(key: tuple[int, int, int]) -> str:
    return "(r={}, c={}, z={})".format(*key)
