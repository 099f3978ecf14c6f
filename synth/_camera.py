"""What the microscope and its camera make of the sample: one tile of content "spots"."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from synth._exact import Floats, Stream, exp, normals, uniforms, words
from synth._sample import codes, decays, drifts, molecules_near, parameters, texture
from synth.spec import Spec
from synth.spots import Spots

__all__ = ["bands", "levels_as", "read_out", "spots_bands"]

_REACH = 4.0  # standard deviations; farther away less than 1/2000 of the light is left
_DIMMEST = 0.05  # photons: what adds less than that to its brightest pixel is not drawn
_MOLECULES_AT_ONCE = 1024
_PIXELS_AT_ONCE = 2**17


def bands(spec: Spec) -> Iterator[range]:
    """Yield the rows of a tile, a few at a time, so that what is computed of them is small."""
    rows, columns = spec.tile_shape
    step = max(1, _PIXELS_AT_ONCE // columns)
    yield from (range(top, min(top + step, rows)) for top in range(0, rows, step))


def spots_bands(
    spec: Spec, fov: int, round: int, ch: int, zplane: int
) -> Iterator[npt.NDArray[Any]]:
    """Yield the pixels of one tile, some rows at a time, in the dtype of the spec."""
    spots = parameters(spec)
    r, c = spec.rounds.index(round), spec.chs.index(ch)
    images = _images(spec, fov, r, c, zplane)
    for rows in bands(spec):
        light = texture(spec, fov, rows)
        light *= spots.texture
        light += 1
        light *= _of_channel(spots.background, c) * decays(spec)[r]
        images.add_to(light, rows)
        levels = read_out(
            light, rows, spec, Stream.NOISE, (fov, round, ch, zplane), _of_channel(spots.gain, c)
        )
        yield levels_as(levels, spec.dtype)


class _Images(NamedTuple):
    """The images of the molecules that a tile shows: where they are, and how bright."""

    tile_shape: tuple[int, int]
    shape: tuple[int, int]  # of each image
    sigmas: tuple[float, float]
    y: Floats
    x: Floats
    peaks: Floats

    def add_to(self, light: Floats, rows: range) -> None:
        """Add to the light of some rows what the molecules give to them."""
        high, wide = self.shape
        tops = _starts(self.y, high, self.tile_shape[0])
        (seen,) = np.nonzero((tops < rows.stop) & (tops + high > rows.start))
        for begin in range(0, len(seen), _MOLECULES_AT_ONCE):
            part = seen[begin : begin + _MOLECULES_AT_ONCE]
            lefts = _starts(self.x[part], wide, self.tile_shape[1])
            down = _profiles(self.y[part], tops[part], high, self.sigmas[0])
            across = _profiles(self.x[part], lefts, wide, self.sigmas[1])
            down *= self.peaks[part, np.newaxis]
            for top, left, by_row, by_column in zip(
                (tops[part] - rows.start).tolist(),
                lefts.tolist(),
                down[:, :, np.newaxis],
                across,
                strict=True,
            ):
                begin_row, end_row = max(top, 0), min(top + high, len(rows))
                light[begin_row:end_row, left : left + wide] += (
                    by_row[begin_row - top : end_row - top] * by_column
                )


def _images(spec: Spec, fov: int, r: int, c: int, zplane: int) -> _Images:
    rows, columns = spec.tile_shape
    seen = molecules_near(spec, fov)
    sigma_z, sigma_y, sigma_x = (
        sigma / size for sigma, size in zip(parameters(spec).psf, spec.voxel_size, strict=True)
    )
    peaks = seen.photons * (_weights(spec, r, c) * decays(spec)[r])[seen.target]
    near = np.flatnonzero((np.abs(seen.z - zplane) <= _REACH * sigma_z) & (peaks >= _DIMMEST))
    peaks = peaks[near] * _bell(seen.z[near] - zplane, sigma_z)
    near, peaks = near[peaks >= _DIMMEST], peaks[peaks >= _DIMMEST]
    shift_y, shift_x = drifts(spec, fov)[r]
    y, x = seen.row[near] + shift_y, seen.column[near] + shift_x
    high, wide = (
        min(size, 2 * int(min(_REACH * sigma, size)) + 2)
        for size, sigma in ((rows, sigma_y), (columns, sigma_x))
    )
    reached = (np.abs(y - (rows - 1) / 2) <= rows / 2 + _REACH * sigma_y) & (
        np.abs(x - (columns - 1) / 2) <= columns / 2 + _REACH * sigma_x
    )
    return _Images(
        spec.tile_shape, (high, wide), (sigma_y, sigma_x), y[reached], x[reached], peaks[reached]
    )


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


def _starts(centres: Floats, width: int, size: int) -> npt.NDArray[np.int64]:
    """Return the first of some pixels around each centre."""
    wanted: Floats = np.floor(centres) - (width // 2 - 1)
    starts: npt.NDArray[np.int64] = np.clip(wanted, 0, size - width).astype(np.int64)
    return starts


def _profiles(centres: Floats, starts: npt.NDArray[np.int64], width: int, sigma: float) -> Floats:
    """Return the light that the pixels around each centre have."""
    return _bell(starts[:, np.newaxis] + np.arange(width) - centres[:, np.newaxis], sigma)


def _bell(distances: Floats, sigma: float) -> Floats:
    scaled = np.clip(distances / sigma, -40.0, 40.0)
    return exp(scaled * scaled * -0.5)


def read_out(
    light: Floats,
    rows: range,
    spec: Spec,
    stream: Stream,
    labels: tuple[int, int, int, int],
    gain: float,
) -> npt.NDArray[np.uint16]:
    """Return the levels of a camera that expects so much light, an array that is used up."""
    spots = parameters(spec)
    count = spec.tile_shape[0] * spec.tile_shape[1]
    first, last = (row * spec.tile_shape[1] for row in (rows.start, rows.stop))
    # The shot noise of all pixels comes first, then the read noise of all.
    shot, read = (
        normals(_half_words(start + first, start + last, spec.seed, stream, *labels))
        for start in (0, count)
    )
    if spots.shot_noise:
        # The square has the mean of the light and, but for 1/8, its variance, as Poisson has.
        light -= 0.25
        np.sqrt(np.maximum(light, 0.0, out=light), out=light)
        light += 0.5 * shot.reshape(light.shape)
        np.maximum(light, 0.0, out=light)
        light *= light
    light += spots.read_noise * read.reshape(light.shape)
    light *= gain
    light += spots.offset
    np.rint(light, out=light)
    places, bright = _hot_pixels(spec, count)
    here = (places >= first) & (places < last)
    flat, places = light.reshape(-1), places[here] - first
    flat[places] = np.maximum(flat[places], bright[here])
    np.clip(light, 0, np.floor(spots.saturation), out=light)
    return light.astype(np.uint16)


def _half_words(
    begin: int, end: int, seed: int, stream: Stream, place: int, *labels: int
) -> npt.NDArray[np.uint16]:
    """Return random numbers of 16 bits, four of each word."""
    first = begin // 4
    made = words(-(-end // 4) - first, seed, stream, place, *labels, first=first)
    stored = made.astype("<u8", copy=False).view("<u2")
    return stored.astype(np.uint16, copy=False)[begin - 4 * first : end - 4 * first]


def _hot_pixels(spec: Spec, count: int) -> tuple[npt.NDArray[np.int64], Floats]:
    spots = parameters(spec)
    hot = int(count * spots.hot_pixels + 0.5)
    where, how = words(2 * hot, spec.seed, Stream.HOT_PIXELS).reshape(2, -1)
    places = (where % np.uint64(count)).astype(np.int64)
    return places, np.rint((0.2 + 0.8 * uniforms(how)) * spots.saturation)


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
