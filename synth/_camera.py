"""What the microscope and its camera make of the sample: one tile of content "spots"."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from synth._exact import Floats, Stream, exp, normals, uniforms, words
from synth._sample import codes, decays, drifts, molecules_near, parameters, texture
from synth.spec import Spec
from synth.spots import Spots

__all__ = ["levels_as", "read_out", "spots_tile"]

_REACH = 4.0  # standard deviations; farther away less than 1/2000 of the light is left
_DIMMEST = 0.05  # photons: what adds less than that to its brightest pixel is not drawn
_AT_ONCE = 1024


def spots_tile(spec: Spec, fov: int, round: int, ch: int, zplane: int) -> npt.NDArray[Any]:
    """Return the pixels of one tile, in the dtype of the spec."""
    spots = parameters(spec)
    r, c = spec.rounds.index(round), spec.chs.index(ch)
    light = texture(spec, fov)
    light *= spots.texture
    light += 1
    light *= _of_channel(spots.background, c) * decays(spec)[r]
    _add_molecules(light, spec, fov, r, c, zplane)
    levels = read_out(
        light, spec, Stream.NOISE, (fov, round, ch, zplane), _of_channel(spots.gain, c)
    )
    return levels_as(levels, spec.dtype)


def _add_molecules(light: Floats, spec: Spec, fov: int, r: int, c: int, zplane: int) -> None:
    rows, columns = spec.tile_shape
    seen = molecules_near(spec, fov)
    sigmas = [
        sigma / size for sigma, size in zip(parameters(spec).psf, spec.voxel_size, strict=True)
    ]
    peaks = seen.photons * (_weights(spec, r, c) * decays(spec)[r])[seen.target]
    near = np.flatnonzero((np.abs(seen.z - zplane) <= _REACH * sigmas[0]) & (peaks >= _DIMMEST))
    peaks = peaks[near] * _bell(seen.z[near] - zplane, sigmas[0])
    near, peaks = near[peaks >= _DIMMEST], peaks[peaks >= _DIMMEST]
    shift_y, shift_x = drifts(spec, fov)[r]
    y, x = seen.row[near] + shift_y, seen.column[near] + shift_x
    high, wide = (
        min(size, 2 * int(min(_REACH * sigma, size)) + 2)
        for size, sigma in zip((rows, columns), sigmas[1:], strict=True)
    )
    reached = (np.abs(y - (rows - 1) / 2) <= rows / 2 + _REACH * sigmas[1]) & (
        np.abs(x - (columns - 1) / 2) <= columns / 2 + _REACH * sigmas[2]
    )
    y, x, peaks = y[reached], x[reached], peaks[reached]
    for begin in range(0, len(y), _AT_ONCE):
        part = slice(begin, begin + _AT_ONCE)
        tops, down = _profiles(y[part], high, rows, sigmas[1])
        lefts, across = _profiles(x[part], wide, columns, sigmas[2])
        down *= peaks[part, np.newaxis]
        for top, left, by_row, by_column in zip(
            tops.tolist(), lefts.tolist(), down[:, :, np.newaxis], across, strict=True
        ):
            light[top : top + high, left : left + wide] += by_row * by_column


def _weights(spec: Spec, r: int, c: int) -> Floats:
    """Return the light that a channel receives from each target in a round."""
    code = codes(spec)[:, r]
    received = np.zeros(len(code))
    for other in range(len(spec.chs)):
        received += code[:, other] * _crosstalk(parameters(spec), c, other)
    return received


def _crosstalk(spots: Spots, to: int, origin: int) -> float:
    if isinstance(spots.crosstalk, tuple):
        return spots.crosstalk[to][origin]
    return {0: 1.0, 1: spots.crosstalk}.get(abs(to - origin), 0.0)


def _profiles(
    centres: Floats, width: int, size: int, sigma: float
) -> tuple[npt.NDArray[np.int64], Floats]:
    """Return for each centre the first of some pixels around it, and the light that they have."""
    starts = np.clip(np.floor(centres) - (width // 2 - 1), 0, size - width).astype(np.int64)
    places = starts[:, np.newaxis] + np.arange(width)
    return starts, _bell(places - centres[:, np.newaxis], sigma)


def _bell(distances: Floats, sigma: float) -> Floats:
    scaled = np.clip(distances / sigma, -40.0, 40.0)
    return exp(scaled * scaled * -0.5)


def read_out(
    light: Floats,
    spec: Spec,
    stream: Stream,
    labels: tuple[int, int, int, int],
    gain: float,
) -> npt.NDArray[np.uint16]:
    """Return the levels of a camera that expects so much light, an array that is used up."""
    spots = parameters(spec)
    count = light.size
    bits = words(-(-count // 2), spec.seed, stream, *labels).astype("<u8", copy=False)
    shot, read = bits.view("<u2").astype(np.uint16, copy=False)[: 2 * count].reshape(2, -1)
    if spots.shot_noise:
        # The square has the mean of the light and, but for 1/8, its variance, as Poisson has.
        light -= 0.25
        np.sqrt(np.maximum(light, 0.0, out=light), out=light)
        light += 0.5 * normals(shot).reshape(light.shape)
        np.maximum(light, 0.0, out=light)
        light *= light
    light += spots.read_noise * normals(read).reshape(light.shape)
    light *= gain
    light += spots.offset
    np.rint(light, out=light)
    hot = int(count * spots.hot_pixels + 0.5)
    where, how = words(2 * hot, spec.seed, Stream.HOT_PIXELS).reshape(2, -1)
    places = (where % np.uint64(count)).astype(np.int64)
    flat = light.reshape(-1)
    flat[places] = np.maximum(flat[places], np.rint((0.2 + 0.8 * uniforms(how)) * spots.saturation))
    np.clip(light, 0, np.floor(spots.saturation), out=light)
    return light.astype(np.uint16)


def levels_as(levels: npt.NDArray[np.uint16], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return levels of 16 bits in a dtype, of which they use the whole range.

    Examples
    --------
    >>> levels = np.array([0, 65535], np.uint16)
    >>> [levels_as(levels, dtype).tolist() for dtype in ("uint8", "int16", "float32")]
    [[0, 255], [0, 32767], [0.0, 1.0]]
    """
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        scaled: npt.NDArray[Any] = (levels.astype(np.float64) / 65535.0).astype(dtype)
        return scaled
    bits = 8 * dtype.itemsize - (dtype.kind == "i")
    if bits <= 16:
        return (levels >> np.uint16(16 - bits)).astype(dtype)
    if dtype.kind == "u":
        return levels.astype(dtype) * dtype.type((2**bits - 1) // 65535)
    shifted: npt.NDArray[Any] = levels.astype(dtype) << dtype.type(bits - 16)
    return shifted


def _of_channel(given: float | tuple[float, ...], c: int) -> float:
    return given[c % len(given)] if isinstance(given, tuple) else given
