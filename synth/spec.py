"""What a synthetic image is: its labels, its tiles, where it lies, what its pixels hold."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, SupportsIndex

import numpy as np
import numpy.typing as npt

from starfish_fetch.axes import Axes, Coordinates, Extent, labels_of, tile_shape_of
from synth.spots import Spots

__all__ = ["CONTENTS", "DTYPES", "GENERATORS", "Spec"]

CONTENTS = ("random", "index", "spots")
GENERATORS = ("sfc64", "philox")
"""Of random pixels, the default first."""
_MEANT_GENERATOR = "philox"  # where a file names none
DTYPES = (
    *(f"{sign}int{bits}" for sign in ("u", "") for bits in (8, 16, 32, 64)),
    *(f"float{bits}" for bits in (16, 32, 64)),
)
_INDEX_BLOCK = 8
_INDEX_LARGEST = 2**16 - 1
_MOST_PIXELS = 2**32
_JSON_KINDS = {
    "rounds": list,
    "chs": list,
    "zplanes": list,
    "tile_shape": list,
    "fovs": list,
    "dtype": str,
    "content": str,
    "seed": int,
    "voxel_size": list,
}


@dataclass(frozen=True, init=False)
class Spec:
    """A 5-D image of which every pixel is known before it is written.

    Parameters
    ----------
    rounds, chs, zplanes : int or iterable of int
        Labels, in any order; a number n stands for ``range(n)``.
    tile_shape : (int, int) or mapping of Axes to int
        Rows and columns of every tile, in pixels; at most 2**32 pixels.
    fovs : int or iterable of int, optional
        Labels of the fields of view; a number n stands for ``range(n)``.
    dtype : str or dtype, optional
        Of the pixels: an unsigned or signed integer of 8 to 64 bits, or a float of 16 to 64.
    content : {"random", "index", "spots"}, optional
        ``random``: every value the dtype has is as likely (none negative, floats below 1).
        ``index``: every block of 8 by 8 pixels says where it belongs; :func:`synth.decode` reads
        it. Tiles then have at least 8 and at most 65535 rows and columns.
        ``spots``: an in-situ experiment, of which :func:`synth.molecules` and
        :func:`synth.codebook` are the truth.
    seed : int, optional
        Selects one of 2**64 random images.
    voxel_size : (float, float, float), optional
        Size of a voxel along z, y and x, in micrometres.
    spots : Spots, optional
        What an image with content ``spots`` is made of; default: ``Spots()``.
    generator : {"sfc64", "philox"}, optional
        What content ``random`` is drawn with: ``sfc64``, or the slower ``philox``, with which
        datasets of format version 1 and 2 were written. Other contents have none.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of this kind; the message names it and what is allowed.

    Examples
    --------
    >>> spec = Spec(rounds=4, chs=[2, 0], zplanes=range(3), tile_shape=(120, 30))
    >>> spec.rounds, spec.chs, spec.dtype
    ((0, 1, 2, 3), (0, 2), 'uint16')
    >>> Spec.from_json(spec.to_json()) == spec
    True
    """

    rounds: tuple[int, ...]
    chs: tuple[int, ...]
    zplanes: tuple[int, ...]
    tile_shape: tuple[int, int]
    fovs: tuple[int, ...]
    dtype: str
    content: str
    seed: int
    voxel_size: tuple[float, float, float]
    spots: Spots | None
    generator: str | None

    def __init__(
        self,
        rounds: int | Iterable[SupportsIndex],
        chs: int | Iterable[SupportsIndex],
        zplanes: int | Iterable[SupportsIndex],
        tile_shape: Sequence[SupportsIndex] | Mapping[Any, SupportsIndex],
        fovs: int | Iterable[SupportsIndex] = 1,
        dtype: npt.DTypeLike = "uint16",
        content: str = "random",
        seed: int = 0,
        voxel_size: Iterable[float] = (1.0, 0.5, 0.5),
        spots: Spots | None = None,
        generator: str | None = None,
    ) -> None:
        if content != "random":
            generator = None  # so that a spec can be had with another content by replace()
        elif generator is None:
            generator = GENERATORS[0]
        elif generator not in GENERATORS:
            allowed = ", ".join(GENERATORS)
            raise ValueError(f"unknown generator {generator!r:.80}; allowed are {allowed}")
        fields = {
            "rounds": _labels("rounds", rounds),
            "chs": _labels("chs", chs),
            "zplanes": _labels("zplanes", zplanes),
            "tile_shape": _tile_shape(tile_shape),
            "fovs": _labels("fovs", fovs),
            "dtype": _dtype_name(dtype),
            "content": content,
            "seed": _seed(seed),
            "voxel_size": _voxel_size(voxel_size),
            "spots": Spots() if content == "spots" and spots is None else spots,
            "generator": generator,
        }
        for name, value in fields.items():
            object.__setattr__(self, name, value)
        if content not in CONTENTS:
            raise ValueError(f"unknown content {content!r}; allowed are {', '.join(CONTENTS)}")
        if content == "index":
            self._check_index()
        if self.spots is not None:
            self._check_spots(self.spots)

    def _check_index(self) -> None:
        if not all(_INDEX_BLOCK <= size <= _INDEX_LARGEST for size in self.tile_shape):
            raise ValueError(
                f"content 'index' needs tiles of {_INDEX_BLOCK} to {_INDEX_LARGEST} rows and "
                f"columns; got {self.tile_shape}"
            )
        for name in ("fovs", "rounds", "chs", "zplanes"):
            labels = getattr(self, name)
            if labels[0] < -(2**31) or labels[-1] >= 2**31:
                raise ValueError(f"content 'index' needs labels of 32 bits; {name} has {labels}")

    def _check_spots(self, spots: Spots) -> None:
        if not isinstance(spots, Spots):
            raise TypeError(f"spots must be of the class synth.Spots; got {spots!r:.80}")
        if self.content != "spots":
            raise ValueError(f"spots go with content 'spots', not with {self.content!r}")
        pixels = self.tile_shape[0] * self.tile_shape[1]
        spots.check(len(self.rounds), len(self.chs), pixels, self.area)

    @property
    def area(self) -> float:
        """Of a field of view, in square micrometres."""
        _, size_y, size_x = self.voxel_size
        return self.tile_shape[0] * size_y * self.tile_shape[1] * size_x

    @property
    def tile_bytes(self) -> int:
        """Of the pixels of one tile."""
        return self.tile_shape[0] * self.tile_shape[1] * np.dtype(self.dtype).itemsize

    @property
    def pitch(self) -> int:
        """Columns from one field of view to the next: those of a tile but for the overlap."""
        columns = self.tile_shape[1]
        return columns - (0 if self.spots is None else int(columns * self.spots.overlap))

    def extent(self, fov: int) -> Extent:
        """Return the labels and the tile shape of one field of view.

        Raises
        ------
        ValueError
            If there is no such field of view.
        """
        rows, columns = self.tile_shape
        return Extent(
            tile_shape={Axes.Y: rows, Axes.X: columns},
            fov=_one_of("fov", fov, self.fovs),
            rounds=self.rounds,
            chs=self.chs,
            zplanes=self.zplanes,
        )

    def check_labels(self, fov: int, round: int, ch: int, zplane: int) -> tuple[int, int, int, int]:
        """Return the labels of a tile as ints.

        Raises
        ------
        ValueError
            If the image does not have one of them; the message names those it has.
        """
        return (
            _one_of("fov", fov, self.fovs),
            _one_of("round", round, self.rounds),
            _one_of("ch", ch, self.chs),
            _one_of("zplane", zplane, self.zplanes),
        )

    def coordinates(self, fov: int, zplane: int) -> dict[Coordinates, tuple[float, float]]:
        """Return where a tile lies, in micrometres.

        Fields of view stand side by side along x, in the order of their labels; with content
        ``spots`` they may overlap. The pairs of x and y are the positions of the first and of the
        last pixel; that of z spans the z-plane.

        Parameters
        ----------
        fov, zplane : int
            Labels; position does not depend on round and channel.

        Raises
        ------
        ValueError
            If there is no such field of view or z-plane.

        Examples
        --------
        >>> spec = Spec(1, 1, 2, tile_shape=(120, 30), fovs=[3, 7])
        >>> spec.coordinates(fov=7, zplane=1)[Coordinates.X]
        (15.0, 29.5)
        """
        fov, _, _, zplane = self.check_labels(fov, self.rounds[0], self.chs[0], zplane)
        size_z, size_y, size_x = self.voxel_size
        rows, columns = self.tile_shape
        left = self.fovs.index(fov) * self.pitch * size_x
        return {
            Coordinates.X: (left, left + max(columns - 1, 1) * size_x),
            Coordinates.Y: (0.0, max(rows - 1, 1) * size_y),
            Coordinates.Z: (zplane * size_z, (zplane + 1) * size_z),
        }

    def to_json(self) -> dict[str, Any]:
        """Return the fields as what ``json.dumps`` takes; spots and generator only if needed."""
        known = {name: getattr(self, name) for name in _JSON_KINDS}
        described: dict[str, Any] = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in known.items()
        }
        if self.spots is not None:
            described["spots"] = self.spots.to_json()
        if self.generator not in (None, _MEANT_GENERATOR):
            described["generator"] = self.generator
        return described

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Spec:
        """Build the spec that :meth:`to_json` described.

        Raises
        ------
        ValueError
            If a field is missing, unknown or not of its kind.
        """
        if not isinstance(fields, Mapping) or set(fields) - {"spots", "generator"} != set(
            _JSON_KINDS
        ):
            given = sorted(map(str, fields)) if isinstance(fields, Mapping) else fields
            raise ValueError(f"a spec has the fields {', '.join(_JSON_KINDS)}; got {given!r}")
        for name, kind in _JSON_KINDS.items():
            # A bare number would be read as a range.
            if type(fields[name]) is not kind:
                raise ValueError(
                    f"the field {name!r} of a spec is a {kind.__name__}; got {fields[name]!r:.80}"
                )
            allowed = (int, float) if name == "voxel_size" else (int,)
            if kind is list and any(type(one) not in allowed for one in fields[name]):
                raise ValueError(
                    f"not a spec: {name} must be a list of {allowed[-1].__name__}s; got "
                    f"{fields[name]!r:.80}"
                )
        try:
            # numpy knows more names for a dtype than are written, and reads a language of them.
            if fields["dtype"] not in DTYPES:
                raise _unknown_dtype(fields["dtype"])
            has_spots = "spots" in fields or fields["content"] == "spots"
            spots = Spots.from_json(fields.get("spots")) if has_spots else None
            meant = _MEANT_GENERATOR if fields["content"] == "random" else None
            generator = fields.get("generator", meant)
            if meant is None and "generator" in fields:
                raise ValueError(  # noqa: TRY301
                    f"a generator goes with content 'random', not with {fields['content']!r}"
                )
            return cls(**{**fields, "spots": spots, "generator": generator})
        except (TypeError, ValueError) as error:
            raise ValueError(f"not a spec: {error}") from error


def _labels(name: str, values: int | Iterable[SupportsIndex]) -> tuple[int, ...]:
    if not isinstance(values, Iterable):
        if isinstance(values, bool) or not hasattr(values, "__index__"):
            raise TypeError(f"{name} must be an int or an iterable of ints; got {values!r}")
        count = operator.index(values)
        if count < 1:
            raise ValueError(f"{name} must number at least 1; got {count}")
        values = range(count)
    return labels_of(name, values)


def _tile_shape(given: Sequence[SupportsIndex] | Mapping[Any, SupportsIndex]) -> tuple[int, int]:
    if not isinstance(given, Mapping):
        try:
            rows, columns = given
        except (TypeError, ValueError) as error:
            raise TypeError(f"tile_shape must be (rows, columns); got {given!r}") from error
        given = {Axes.Y: rows, Axes.X: columns}
    shape = tile_shape_of(given)
    if shape[0] * shape[1] > _MOST_PIXELS:
        raise ValueError(f"tile_shape must be of at most {_MOST_PIXELS} pixels; got {shape}")
    return shape


def _dtype_name(given: npt.DTypeLike) -> str:
    if given is None:  # numpy would read it as float64
        raise _unknown_dtype(given)
    try:
        dtype = np.dtype(given)
    except TypeError as error:
        raise _unknown_dtype(given) from error
    if dtype.name not in DTYPES:
        raise _unknown_dtype(given)
    if not dtype.isnative:
        raise ValueError(
            f"dtype {dtype.str!r} has a byte order, which only files have: give {dtype.name!r} "
            f"here, and byteorder={dtype.str[0]!r} to synth.write (--byteorder)"
        )
    return dtype.name


def _unknown_dtype(given: npt.DTypeLike) -> ValueError:
    return ValueError(f"unknown dtype {given!r:.80}; allowed are {', '.join(DTYPES)}")


def _seed(given: int) -> int:
    try:
        seed = operator.index(given)
    except TypeError as error:
        raise TypeError(f"seed must be an int; got {given!r}") from error
    if not 0 <= seed < 2**64:
        raise ValueError(f"seed must be at least 0 and below 2**64; got {seed}")
    return seed


def _voxel_size(given: Iterable[float]) -> tuple[float, float, float]:
    message = f"voxel_size must be three positive finite numbers (z, y, x); got {given!r}"
    try:
        size_z, size_y, size_x = map(float, given)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(message) from error
    if not all(math.isfinite(size) and size > 0 for size in (size_z, size_y, size_x)):
        raise ValueError(message)
    return size_z, size_y, size_x


def _one_of(name: str, label: int, labels: tuple[int, ...]) -> int:
    try:
        index = operator.index(label)
    except TypeError as error:
        raise ValueError(f"{name} must be an int; got {label!r}") from error
    if index not in labels:
        raise ValueError(f"there is no {name} {label!r}; the image has {_shorten(labels)}")
    return index


def _shorten(labels: tuple[int, ...]) -> str:
    if len(labels) <= 12:
        return ", ".join(map(str, labels))
    return f"{', '.join(map(str, labels[:6]))}, ... {labels[-1]} ({len(labels)} labels)"
