"""What a pixel is, from the seed and the labels alone."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.random.bit_generator import ISeedSequence

from synth._camera import spots_bands
from synth.index import block_levels, level_values
from synth.spec import Spec

__all__ = ["pieces", "tile"]

_WORD = 2**64
_PIECE = 2**19
"""Bytes of random pixels made at a time: a whole number of words, and less than a cache."""


def tile(spec: Spec, fov: int, round: int, ch: int, zplane: int) -> npt.NDArray[Any]:
    """Return the pixels of one tile.

    A pure function: any tile can be had without the others, in any process, on any machine.

    Parameters
    ----------
    spec : Spec
        The image.
    fov, round, ch, zplane : int
        The labels of the tile.

    Returns
    -------
    ndarray
        (y, x), in the dtype of the spec and the byte order of the machine; a new array every time.

    Raises
    ------
    ValueError
        If the image does not have one of the labels.

    Examples
    --------
    >>> spec = Spec(rounds=2, chs=1, zplanes=1, tile_shape=(2, 3), dtype="uint8")
    >>> tile(spec, fov=0, round=1, ch=0, zplane=0)
    array([[...]], dtype=uint8)
    """
    labels = spec.check_labels(fov, round, ch, zplane)
    if spec.content == "index":
        return level_values(spec.dtype)[block_levels(labels, spec.tile_shape)]
    if spec.content == "spots":
        return np.concatenate(list(spots_bands(spec, *labels)))
    (pixels,) = _random(spec, *labels, most=math.inf)
    return pixels.reshape(spec.tile_shape)


def pieces(spec: Spec, fov: int, round: int, ch: int, zplane: int) -> Iterator[npt.NDArray[Any]]:
    """Yield the pixels of one tile, row by row, in 1-D arrays that a processor's cache holds.

    They are made as they are asked for, which is faster than making a whole tile, and takes less
    memory; only content "index" is made whole.
    """
    labels = spec.check_labels(fov, round, ch, zplane)
    if spec.content == "random":
        yield from _random(spec, *labels)
    elif spec.content == "spots":
        yield from (band.reshape(-1) for band in spots_bands(spec, *labels))
    else:
        yield tile(spec, *labels).reshape(-1)


def _random(
    spec: Spec, fov: int, round: int, ch: int, zplane: int, most: float = _PIECE
) -> Iterator[npt.NDArray[Any]]:
    dtype = np.dtype(spec.dtype)
    left = spec.tile_shape[0] * spec.tile_shape[1] * dtype.itemsize
    generator = _generator(spec, fov, round, ch, zplane)
    while left:
        count = int(min(left, most))
        # Raw streams are the only ones that numpy promises never to change.
        words = generator.random_raw(-(-count // 8)).astype("<u8", copy=False)
        yield _values(words.view(f"<u{dtype.itemsize}")[: count // dtype.itemsize], dtype)
        left -= count


def _generator(
    spec: Spec, fov: int, round: int, ch: int, zplane: int
) -> np.random.Philox | np.random.SFC64:
    start = np.random.Philox(
        key=np.array([spec.seed, fov % _WORD], np.uint64),
        counter=np.array([0, round % _WORD, ch % _WORD, zplane % _WORD], np.uint64),
    )
    if spec.generator == "philox":
        return start
    # Small Fast Chaotic (C. Doty-Humphrey, PractRand): twice as fast.
    # numpy takes any ISeedSequence, though its types say otherwise.
    return np.random.SFC64(_Begin(start.random_raw(3)))  # type: ignore[arg-type]


class _Begin(ISeedSequence):
    """Seeds a generator with these words as they are."""

    def __init__(self, words: npt.NDArray[np.uint64]) -> None:
        self._words = words

    def generate_state(
        self, n_words: int, dtype: npt.DTypeLike = np.uint64
    ) -> npt.NDArray[np.uint64]:
        assert (n_words, dtype) == (len(self._words), np.uint64)
        return self._words


def _values(stored: npt.NDArray[Any], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    bits = stored.astype(stored.dtype.newbyteorder("="), copy=False)
    if dtype.kind == "u":
        return bits
    if dtype.kind == "i":
        halved: npt.NDArray[Any] = (bits >> bits.dtype.type(1)).view(dtype)
        return halved
    digits = np.finfo(dtype).nmant + 1
    whole = bits >> bits.dtype.type(8 * dtype.itemsize - digits)
    below_one: npt.NDArray[Any] = whole.astype(dtype) * dtype.type(2.0**-digits)
    return below_one
