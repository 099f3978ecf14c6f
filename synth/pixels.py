"""What a pixel is, from the seed and the labels alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from synth._camera import spots_tile
from synth.index import block_levels, level_values
from synth.spec import Spec

__all__ = ["tile"]

_WORD = 2**64


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
        return spots_tile(spec, *labels)
    return _random(spec, *labels)


def _random(spec: Spec, fov: int, round: int, ch: int, zplane: int) -> npt.NDArray[Any]:
    dtype = np.dtype(spec.dtype)
    count = spec.tile_shape[0] * spec.tile_shape[1]
    generator = np.random.Philox(
        key=np.array([spec.seed, fov % _WORD], np.uint64),
        counter=np.array([0, round % _WORD, ch % _WORD, zplane % _WORD], np.uint64),
    )
    # Raw streams are the only ones that numpy promises never to change.
    words = generator.random_raw(-(-count * dtype.itemsize // 8)).astype("<u8", copy=False)
    stored = words.view(f"<u{dtype.itemsize}")[:count]
    bits = stored.astype(stored.dtype.newbyteorder("="), copy=False).reshape(spec.tile_shape)
    if dtype.kind == "u":
        return bits
    if dtype.kind == "i":
        halved: npt.NDArray[Any] = (bits >> bits.dtype.type(1)).view(dtype)
        return halved
    digits = np.finfo(dtype).nmant + 1
    whole = bits >> bits.dtype.type(8 * dtype.itemsize - digits)
    below_one: npt.NDArray[Any] = whole.astype(dtype) * dtype.type(2.0**-digits)
    return below_one
