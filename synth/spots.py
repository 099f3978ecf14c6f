"""Content "spots": what an in-situ experiment is made of, as numbers with units."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

__all__ = ["DEFAULT_TARGETS", "LATER", "Spots"]

DEFAULT_TARGETS = 20
_MOST_TARGETS = 100_000
_LARGEST_CODEBOOK = 10**8
_LARGEST_LEVEL = 2**16 - 1

Numbers = tuple[float, ...]

_BY_CHANNEL: dict[str, Numbers] = {
    "background": (60.0, 40.0, 75.0, 50.0),
    "gain": (40.0, 46.0, 34.0, 42.0),
}
"""The defaults of parameters of channels. They alone may be of more channels than an image has, and
datasets have them stored: if one is ever changed, the old one is still to be allowed.
"""

LATER: dict[str, tuple[int, Any]] = {}
"""Parameters that came after version 2 of ``dataset.json``: the version that knows them, and what
is meant where nothing is said, in JSON. That is part of the format and never changes; it need not
be the default. A parameter is written only if it says something else, so that what an older
version can read has that older version's number, and the rest is refused there.
"""


@dataclass(frozen=True)
class Spots:
    """The parameters of an image with content "spots".

    Molecules lie at random in the sample. In each round the codebook says in which channels a
    molecule of its target shines. Light is counted in photons; a camera turns it into levels of 16
    bits, which other dtypes of a :class:`synth.Spec` hold scaled. A point is seen as a Gaussian in
    x, y and z, which is what B. Zhang, J. Zerubia and J.-C. Olivo-Marin (Applied Optics 46, 2007,
    1819) find for fluorescence microscopes near the focus.

    Parameters of channels are a number that holds for all, or a sequence, in the order of the
    channel labels, that is repeated if there are more channels. More numbers than channels are
    refused, but for the defaults.

    Parameters
    ----------
    molecules : int, optional
        Molecules in a field of view; default: one for each 256 pixels of a tile. With an overlap
        each has so many on average, and :func:`synth.molecules` lists those that two of them share
        for both.
    density : float, optional
        The same, as molecules per square micrometre of the field of view (over all z-planes).
    targets : int or iterable of str, optional
        How many targets there are, or their names; default: 20, or as many as there can be codes.
    codebook : nested sequence of float, optional
        How brightly each target shines: (targets, rounds, channels), 1 for full and 0 for dark.
        Default: one channel in each round, and any two targets differ in two rounds if there are
        codes enough.
    psf : (float, float, float), optional
        Standard deviation of the point spread function along z, y and x, in micrometres.
    brightness : float, optional
        Photons in the brightest pixel of a molecule in focus: the mean over molecules, in the
        first round.
    spread : float, optional
        Standard deviation of the brightness over molecules (log-normal), as a fraction of its mean.
    decay : float, optional
        What each round leaves of the light of the round before, background included.
    background : float or sequence of float, optional
        Mean photons in a pixel without molecules, for each channel.
    texture : float, optional
        How far the background goes up and down over the sample, as a fraction of its mean.
    crosstalk : float or nested sequence of float, optional
        The fraction of a channel's light that its neighbours receive too; or, for all pairs, a
        matrix of which row i says what channel i receives from each channel.
    drift : float, optional
        Standard deviation of the stage's shift along y and x in each round after the first, in
        micrometres.
    offset : float, optional
        Level of the camera without light.
    gain : float or sequence of float, optional
        Levels for each photon, for each channel.
    read_noise : float, optional
        Standard deviation of the camera's own noise, in photons.
    shot_noise : bool, optional
        Whether the number of photons varies as a Poisson variable does (drawn by the square-root
        transformation of F. J. Anscombe, Biometrika 35, 1948, 246).
    saturation : float, optional
        The highest level of the camera.
    hot_pixels : float, optional
        Fraction of the pixels that are always bright, the same ones in every tile.
    overlap : float, optional
        Fraction of its width that a field of view shares with the next; at most a half.
    nuclei : int, optional
        Nuclei in a field of view, of which :func:`synth.nuclei` is the image; at most 10,000.

    Raises
    ------
    TypeError, ValueError
        If a parameter is not of this kind; the message names it and what is allowed.

    Examples
    --------
    >>> from synth import Spec
    >>> spec = Spec(4, 3, 5, tile_shape=(256, 256), content="spots")
    >>> spec.spots.psf
    (1.5, 0.65, 0.65)
    >>> dim = Spots(brightness=100, background=(30, 60, 40))
    >>> Spec(4, 3, 5, tile_shape=(256, 256), content="spots", spots=dim).spots.background
    (30.0, 60.0, 40.0)
    """

    molecules: int | None = None
    density: float | None = None
    targets: int | tuple[str, ...] | None = None
    codebook: tuple[tuple[Numbers, ...], ...] | None = None
    psf: tuple[float, float, float] = (1.5, 0.65, 0.65)
    brightness: float = 250.0
    spread: float = 0.3
    decay: float = 0.93
    background: float | Numbers = _BY_CHANNEL["background"]
    texture: float = 0.4
    crosstalk: float | tuple[Numbers, ...] = 0.06
    drift: float = 0.1
    offset: float = 400.0
    gain: float | Numbers = _BY_CHANNEL["gain"]
    read_noise: float = 2.0
    shot_noise: bool = True
    saturation: float = float(_LARGEST_LEVEL)
    hot_pixels: float = 2e-5
    overlap: float = 0.0
    nuclei: int = 0

    def __post_init__(self) -> None:
        for name, low, high in _RANGES:
            self._set(name, _number(name, getattr(self, name), low, high))
        for name in _BY_CHANNEL:
            self._set(name, _per_channel(name, getattr(self, name)))
        if self.molecules is not None and self.density is not None:
            raise ValueError("give molecules or density, not both")
        if self.molecules is not None:
            self._set("molecules", _count("molecules", self.molecules, 0, 2**32))
        self._set("nuclei", _count("nuclei", self.nuclei, 0, 10_000))
        if self.density is not None:
            self._set("density", _number("density", self.density, 0, math.inf))
        if not isinstance(self.shot_noise, bool):
            raise TypeError(f"shot_noise must be True or False; got {self.shot_noise!r}")
        self._set("targets", _targets(self.targets))
        self._set("psf", _psf(self.psf))
        if self.codebook is not None:
            self._set("codebook", _codebook(self.codebook))
        if isinstance(self.crosstalk, Iterable):
            rows = tuple(_row("crosstalk", row) for row in self.crosstalk)
            self._set("crosstalk", rows)
        else:
            self._set("crosstalk", _number("crosstalk", self.crosstalk, 0, 1))

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def check(self, rounds: int, chs: int, pixels: int, area: float) -> None:
        """Check that an image can be made of this.

        Parameters
        ----------
        rounds, chs, pixels : int
            How many rounds and channels the image has, and a tile pixels.
        area : float
            Of a field of view, in square micrometres.

        Raises
        ------
        ValueError
            If the codebook or the matrix has another size, there are fewer codes than targets,
            more molecules than pixels, or more numbers by channel than channels.
        """
        if (count := self.count(pixels, area)) > pixels:
            raise ValueError(f"{count} molecules are more than a tile has pixels ({pixels})")
        wanted = len(self.targets) if isinstance(self.targets, tuple) else self.targets
        if self.codebook is not None:
            shape = len(self.codebook), len(self.codebook[0]), len(self.codebook[0][0])
            if shape[1:] != (rounds, chs):
                raise ValueError(
                    f"the codebook is for {shape[1]} rounds and {shape[2]} channels; the image has "
                    f"{rounds} and {chs}"
                )
            if wanted is not None and wanted != shape[0]:
                raise ValueError(f"the codebook has {shape[0]} targets, not {wanted}")
        elif wanted is not None and wanted > (available := chs ** min(rounds, 64)):
            raise ValueError(
                f"{wanted} targets need more codes than the {available} that {rounds} rounds of "
                f"{chs} channels have"
            )
        wanted = wanted or (len(self.codebook) if self.codebook else DEFAULT_TARGETS)
        if wanted * rounds * chs > _LARGEST_CODEBOOK:
            raise ValueError(
                f"a codebook of {wanted} targets, {rounds} rounds and {chs} channels is too large"
            )
        for name, default in _BY_CHANNEL.items():
            given = getattr(self, name)
            if isinstance(given, tuple) and len(given) > chs and given != default:
                raise ValueError(
                    f"{name} has {len(given)} numbers, and the image {chs} channels: give one for "
                    "each, or fewer, which are repeated"
                )
        if isinstance(self.crosstalk, tuple) and any(
            len(row) != chs for row in (self.crosstalk, *self.crosstalk)
        ):
            raise ValueError(f"crosstalk must have a row and a column for each of {chs} channels")

    def count(self, pixels: int, area: float) -> int:
        """Return how many molecules a field of view has, given its pixels and its area in µm²."""
        if self.density is not None:
            return int(min(self.density * area, 2.0**62) + 0.5)
        return -(-pixels // 256) if self.molecules is None else self.molecules

    def to_json(self) -> dict[str, Any]:
        """Return the parameters as what ``json.dumps`` takes; what came later, only if used."""
        described = {name: _as_lists(value) for name, value in asdict(self).items()}
        return {
            name: value
            for name, value in described.items()
            if name not in LATER or value != LATER[name][1]
        }

    @classmethod
    def from_json(cls, given: Any) -> Spots:
        """Build what :meth:`to_json` described.

        Raises
        ------
        ValueError
            If a parameter is missing, unknown or not of its kind.
        """
        names = [field.name for field in fields(cls)]
        if not isinstance(given, Mapping) or set(given) | set(LATER) != set(names) | set(LATER):
            seen = sorted(map(str, given)) if isinstance(given, Mapping) else given
            raise ValueError(f"spots have the fields {', '.join(names)}; got {seen!r:.200}")
        for name, value in given.items():
            if isinstance(value, Mapping):  # whose names would be taken for what is listed
                message = f"not spots: {name} cannot be an object; got {value!r:.80}"
                raise ValueError(message)  # noqa: TRY004
        meant = {name: value for name, (_, value) in LATER.items()}
        try:
            return cls(**{**meant, **given})
        except (TypeError, ValueError) as error:
            raise ValueError(f"not spots: {error}") from error


_RANGES = (
    ("brightness", 0, 1e9),
    ("spread", 0, 2),
    ("decay", 0, 1),
    ("texture", 0, 1),
    ("drift", 0, 1e9),
    ("offset", 0, _LARGEST_LEVEL),
    ("read_noise", 0, 1e6),
    ("saturation", 1, _LARGEST_LEVEL),
    ("hot_pixels", 0, 0.1),
    ("overlap", 0, 0.5),
)


def _number(name: str, given: Any, low: float, high: float) -> float:
    message = f"{name} must be a number from {low:g} to {high:g}; got {given!r:.80}"
    if isinstance(given, (str, bytes, bool)):
        raise TypeError(message)
    try:
        number = float(given)
    except (TypeError, ValueError, OverflowError) as error:
        raise TypeError(message) from error
    if not (low <= number <= high and math.isfinite(number)):
        raise ValueError(message)
    return number


def _count(name: str, given: Any, low: int, high: int) -> int:
    message = f"{name} must be a whole number from {low} to {high}; got {given!r:.80}"
    try:
        number = operator.index(given)
    except TypeError as error:
        raise TypeError(message) from error
    if isinstance(given, bool) or not low <= number <= high:
        raise ValueError(message)
    return number


def _row(name: str, given: Any, high: float = 1.0) -> Numbers:
    if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        raise TypeError(f"{name} must hold rows of numbers; got {given!r:.80}")
    return tuple(_number(name, one, 0, high) for one in given)


def _per_channel(name: str, given: Any) -> float | Numbers:
    if not isinstance(given, Iterable):
        return _number(name, given, 0, 1e6)
    row = _row(name, given, 1e6)
    if not row:
        raise ValueError(f"{name} is empty; give a number, or one for each channel")
    return row


def _psf(given: Any) -> Numbers:
    message = f"psf must be three positive numbers (z, y, x), in micrometres; got {given!r:.80}"
    try:
        sigmas = _row("psf", given, 1e9)
    except (TypeError, ValueError) as error:
        raise type(error)(message) from error
    if len(sigmas) != 3 or min(sigmas) <= 0:
        raise ValueError(message)
    return sigmas


def _targets(given: Any) -> int | tuple[str, ...] | None:
    if given is None:
        return None
    if not isinstance(given, Iterable):
        return _count("targets", given, 1, _MOST_TARGETS)
    names = tuple(given)
    if isinstance(given, (str, bytes)) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"targets must be a number or an iterable of names; got {given!r:.80}")
    # A name is a cell of a table and a word of a codebook.
    if not names or not all(name and name.isprintable() for name in names):
        raise ValueError(f"targets must have printable names; got {names!r:.80}")
    if len(set(names)) < len(names) or len(names) > _MOST_TARGETS:
        raise ValueError(f"targets must have at most {_MOST_TARGETS} names, all different")
    return names


def _codebook(given: Any) -> tuple[tuple[Numbers, ...], ...]:
    kind = "a codebook must be nested sequences of numbers: targets, rounds, channels"
    if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        raise TypeError(f"{kind}; got {given!r:.80}")
    words = []
    for word in given:
        if isinstance(word, (str, bytes)) or not isinstance(word, Iterable):
            raise TypeError(f"{kind}; got the target {word!r:.80}")
        words.append(tuple(_row("codebook", row) for row in word))
    shapes = {tuple(map(len, word)) for word in words}
    if len(shapes) != 1 or len(set(next(iter(shapes)))) != 1 or not words[0][0]:
        raise ValueError(f"{kind}, as many rounds and channels for each target")
    if len(words) > _MOST_TARGETS:
        raise ValueError(f"a codebook has at most {_MOST_TARGETS} targets; got {len(words)}")
    return tuple(words)


def _as_lists(value: Any) -> Any:
    return [_as_lists(one) for one in value] if isinstance(value, tuple) else value
