"""The auxiliary image of content "spots": nuclei, as a dye of DNA shows them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from synth._camera import bands, levels_as, read_out
from synth._exact import Floats, Stream, uniforms, words
from synth._sample import parameters
from synth.spec import Spec

__all__ = ["nuclei"]

_WORDS_EACH = 9
_RADIUS = 5.0  # micrometres, and how much smaller or larger they are
_SPREAD = 0.3
_PHOTONS = 200.0
_BACKGROUND = 15.0
_EDGE = 4.0  # how steeply the light falls at the edge


def nuclei(spec: Spec, zplane: int, fov: int | None = None) -> npt.NDArray[Any]:
    """Return the nuclei that a field of view shows in a z-plane, as a channel of its own.

    Ellipsoids at random places, as many as ``spec.spots.nuclei``; molecules do not know of them.
    They are imaged once, without drift, and shared by fields of view that overlap.

    Parameters
    ----------
    spec : Spec
        An image with content "spots".
    zplane : int
        Label of the z-plane.
    fov : int, optional
        Label of the field of view; default: the first.

    Returns
    -------
    ndarray
        (y, x), in the dtype of the spec.

    Raises
    ------
    ValueError
        If the image has another content or no such label.

    Examples
    --------
    >>> from synth import Spec, Spots
    >>> spec = Spec(4, 3, 5, tile_shape=(64, 48), content="spots", spots=Spots(nuclei=5))
    >>> nuclei(spec, zplane=2).shape
    (64, 48)
    """
    spots = parameters(spec)
    labels = spec.check_labels(
        spec.fovs[0] if fov is None else fov, spec.rounds[0], spec.chs[0], zplane
    )
    gain = spots.gain[0] if isinstance(spots.gain, tuple) else spots.gain
    first = spec.fovs.index(labels[0])
    made = []
    for rows in bands(spec):
        light = np.zeros((len(rows), spec.tile_shape[1]))
        for cell in range(first - 1, first + 2):
            _add_nuclei(light, rows, spec, cell, first, labels[3])
        light *= _PHOTONS
        light += _BACKGROUND
        levels = read_out(light, rows, spec, Stream.NUCLEI_NOISE, labels, gain)
        made.append(levels_as(levels, spec.dtype))
    return np.concatenate(made)


def _add_nuclei(light: Floats, band: range, spec: Spec, cell: int, first: int, zplane: int) -> None:
    rows, columns = spec.tile_shape
    count = int(parameters(spec).nuclei * spec.pitch / columns + 0.5)
    random = words(count * _WORDS_EACH, spec.seed, Stream.NUCLEI, 0, cell)
    for number in random.reshape(count, _WORDS_EACH):
        down, across, depth, *sizes, turn, bright = uniforms(number[1:]).tolist()
        centre_z = spec.zplanes[int(number[0]) % len(spec.zplanes)] + depth - 0.5
        centre = (down * rows - 0.5, (across + cell - first) * spec.pitch - 0.5)
        radii = [_RADIUS * (1 + _SPREAD * (2 * size - 1)) for size in sizes]
        away = (zplane - centre_z) * spec.voxel_size[0] / radii[0]
        if away * away < 1:
            shape = _ellipse(spec, band, centre, (radii[1], radii[-1]), 2 * turn - 1)
            if shape is not None:
                box, squares = shape
                inside = np.clip((1 - away * away - squares) * _EDGE, 0, 1) * (0.6 + 0.4 * bright)
                np.maximum(light[box], inside, out=light[box])


def _ellipse(
    spec: Spec, band: range, centre: tuple[float, float], radii: tuple[float, float], turn: float
) -> tuple[tuple[slice, slice], Floats] | None:
    """Return a part of a band of rows, and how far from the centre each pixel of it is, squared."""
    far = max(radii)
    spans, along = [], []
    window = (band, range(spec.tile_shape[1]))
    for at, size, seen, step in zip(
        centre, spec.tile_shape, window, spec.voxel_size[1:], strict=True
    ):
        begin = max(seen.start, int(max(at - far / step, 0)))
        end = min(seen.stop, int(min(max(at + far / step + 1, 0), size)))
        if begin >= end:
            return None
        spans.append(slice(begin - seen.start, end - seen.start))
        along.append((np.arange(begin, end) - at) * step)
    # A rational point of the circle, for cosines are not the same on every machine.
    cosine, sine = (1 - turn * turn) / (1 + turn * turn), 2 * turn / (1 + turn * turn)
    y, x = along[0][:, np.newaxis], along[1]
    one, other = (x * cosine + y * sine) / radii[0], (y * cosine - x * sine) / radii[1]
    return (spans[0], spans[1]), one * one + other * other
