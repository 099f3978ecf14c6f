"""How a 5-D image is cut into files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from math import prod
from string import Formatter

from starfish_fetch.axes import PLANES, Axes, Extent, TileKey

__all__ = ["Layout"]

_FIELDS = ("fov", *(str(axis) for axis in PLANES))
_TYPES = "bcdoxX"
_WIDEST = 255


@dataclass(frozen=True)
class Layout:
    """A path template for the axes split into files, and the order of the axes in each file.

    Parameters
    ----------
    template : str
        Path below the root folder, with ``/`` between folders. Its fields are ``{fov}``, ``{r}``,
        ``{c}`` and ``{z}``, each with an optional format specification (``{z:03d}``).
    inner : sequence of Axes, optional
        The axes inside each file, slowest first; pages of the file follow each other in that
        order. Every one of r, c, z stands either in the template or here.

    Raises
    ------
    ValueError
        If an axis is in neither or in both, a field is unknown, or the path leaves its root.

    Examples
    --------
    >>> tutorial = Layout("r{r}_c{c}.tiff", inner=("z",))
    >>> tutorial.path(fov=0, round=3, ch=2, zplane=1)
    'r3_c2.tiff'
    >>> Layout("r{r}.tiff", inner=("z",))
    Traceback (most recent call last):
        ...
    ValueError: layout 'r{r}.tiff' with inner ('z',) leaves out 'c': name it once
    """

    template: str
    inner: tuple[Axes, ...] = ()

    def __post_init__(self) -> None:
        inner = _inner_axes(self.inner)
        object.__setattr__(self, "inner", inner)
        fields = self._parse()
        for axis in PLANES:
            where = (axis in fields) + (axis in inner)
            if where != 1:
                problem = "leaves out" if where == 0 else "has in the path and in the file"
                names = tuple(str(name) for name in inner)
                raise ValueError(
                    f"{self._said} with inner {names} {problem} {str(axis)!r}: name it once"
                )
        self._check_path(self.path(0, 0, 0, 0))

    @property
    def _said(self) -> str:
        """What errors call it; a template may be as long as somebody wants."""
        return f"layout {self.template!r:.500}"

    def _check_path(self, path: str) -> None:
        folders = path.split("/")
        if folders[0] == "" or folders[-1] in ("", ".") or ".." in folders or "\\" in path:
            raise ValueError(
                f"{self._said} must be a path of a file below the root: no leading "
                f"'/', no '..', no '\\'; got {path!r:.500}"
            )

    def _parse(self) -> frozenset[str]:
        fields = set()
        try:
            parts = list(Formatter().parse(self.template))
        except ValueError as error:
            raise ValueError(f"{self._said} is not a template: {error}") from error
        for _, field, specification, conversion in parts:
            if field is None or specification is None:
                continue
            if "/" in specification:
                raise ValueError(f"{self._said}: a field cannot be padded with '/'")
            sizes = (run.lstrip("0") for run in re.findall(r"\d+", specification))
            if any(len(size) > 3 or int(size or 0) > _WIDEST for size in sizes):
                raise ValueError(f"{self._said}: a field is at most {_WIDEST} characters wide")
            if conversion and field in _FIELDS:
                raise ValueError(
                    f"{self._said} converts the field {field!r:.100} by '!{conversion:.10}', "
                    "which is not allowed: leave it out"
                )
            if field not in _FIELDS:
                raise ValueError(
                    f"{self._said} has the unknown field {field!r:.100}; "
                    f"allowed are {', '.join(_FIELDS)}, each with a format like :03d"
                )
            kind = specification[-1:]
            if (kind.isalpha() or kind == "%") and kind not in _TYPES:
                raise ValueError(
                    f"{self._said} formats the field {field!r:.100} as {kind!r}; labels are "
                    f"whole numbers, for which allowed are {', '.join(_TYPES)}"
                )
            try:
                format(0, specification)
            except ValueError as error:
                raise ValueError(f"{self._said}: {error} for the field {field!r:.100}") from error
            fields.add(field)
        return frozenset(fields)

    @classmethod
    def per_round(cls, suffix: str = ".tiff") -> Layout:
        """One 4-D (c, z, y, x) file per round."""
        return cls("fov{fov}_r{r}" + suffix, inner=(Axes.CH, Axes.ZPLANE))

    @classmethod
    def per_ch(cls, suffix: str = ".tiff") -> Layout:
        """One 4-D (r, z, y, x) file per channel."""
        return cls("fov{fov}_c{c}" + suffix, inner=(Axes.ROUND, Axes.ZPLANE))

    @classmethod
    def per_zplane(cls, suffix: str = ".tiff") -> Layout:
        """One 4-D (r, c, y, x) file per z-plane."""
        return cls("fov{fov}_z{z}" + suffix, inner=(Axes.ROUND, Axes.CH))

    @classmethod
    def per_round_ch(cls, suffix: str = ".tiff") -> Layout:
        """One 3-D (z, y, x) file per round and channel."""
        return cls("fov{fov}_r{r}_c{c}" + suffix, inner=(Axes.ZPLANE,))

    @classmethod
    def per_tile(cls, suffix: str = ".tiff") -> Layout:
        """One 2-D file per tile."""
        return cls("fov{fov}_r{r}_c{c}_z{z}" + suffix)

    @classmethod
    def single_file(cls, suffix: str = ".tiff") -> Layout:
        """Everything in one 5-D (r, c, z, y, x) file per field of view."""
        return cls("fov{fov}" + suffix, inner=PLANES)

    @property
    def fields(self) -> frozenset[str]:
        """The fields that the template names: some of fov, r, c, z."""
        return self._parse()

    @property
    def outer(self) -> tuple[Axes, ...]:
        """The axes that are split into files, in the order r, c, z."""
        return tuple(axis for axis in PLANES if axis not in self.inner)

    def path(self, fov: int, round: int, ch: int, zplane: int) -> str:
        """Return the path, below the root, of the file that holds a tile."""
        return self.template.format(fov=fov, r=round, c=ch, z=zplane)

    def inner_shape(self, extent: Extent) -> tuple[int, ...]:
        """Return how many labels each axis in :attr:`inner` has in an image."""
        return tuple(len(extent.labels(axis)) for axis in self.inner)

    def pages(self, extent: Extent) -> int:
        """Return how many planes each file of an image holds."""
        return prod(self.inner_shape(extent))

    def page(self, extent: Extent, key: TileKey) -> int:
        """Return the position of a tile among the planes of its file, from 0.

        Raises
        ------
        ValueError
            If the extent does not have one of the labels.
        """
        index = 0
        for axis in self.inner:
            labels = extent.labels(axis)
            index = index * len(labels) + labels.index(key[PLANES.index(axis)])
        return index

    def files(
        self, extent: Extent, fovs: Iterable[int] | None = None
    ) -> Iterator[tuple[str, int, tuple[TileKey, ...]]]:
        """Yield each file of an image: its path, its field of view, and its tiles in page order.

        Parameters
        ----------
        extent : Extent
            The labels.
        fovs : iterable of int, optional
            Fields of view; default: the extent's own.

        Raises
        ------
        ValueError
            If two files of the image would have one path, or one would not be below the root.

        Examples
        --------
        >>> extent = Extent({"y": 2, "x": 2}, fov=0, rounds=[0, 1], chs=[0], zplanes=[5, 6])
        >>> for path, fov, tiles in Layout("r{r}.tiff", inner=("c", "z")).files(extent):
        ...     print(path, tiles)
        r0.tiff (TileKey(round=0, ch=0, zplane=5), TileKey(round=0, ch=0, zplane=6))
        r1.tiff (TileKey(round=1, ch=0, zplane=5), TileKey(round=1, ch=0, zplane=6))
        """
        for path, fov, labels in self.paths(extent, fovs):
            yield path, fov, tuple(self.tiles(extent, labels))

    def paths(
        self, extent: Extent, fovs: Iterable[int] | None = None
    ) -> list[tuple[str, int, dict[Axes, int]]]:
        """Return each file of an image without its tiles: path, field of view, labels in the path.

        Parameters
        ----------
        extent, fovs
            As of :meth:`files`.

        Raises
        ------
        ValueError
            If two files of the image would have one path, or one would not be below the root.
        """
        owners: dict[str, str] = {}
        files = []
        for fov in [extent.fov] if fovs is None else fovs:
            for outer in product(*(extent.labels(axis) for axis in self.outer)):
                labels = dict(zip(self.outer, outer, strict=True))
                name = ", ".join([f"fov={fov}", *(f"{a}={v}" for a, v in labels.items())])
                key = (labels.get(axis, extent.labels(axis)[0]) for axis in PLANES)
                try:
                    path = self.path(fov, *key)
                except OverflowError as error:  # of {r:c}, which makes a letter of a label
                    raise ValueError(f"{self._said}: {error} ({name})") from error
                self._check_path(path)
                # File systems of two of the three desktop platforms fold case.
                other = owners.setdefault(path.casefold(), name)
                if other is not name:
                    raise ValueError(
                        f"{self._said} maps ({other}) and ({name}) to one place: "
                        f"{path!r:.500}; name every axis that varies, with a separator between "
                        "fields"
                    )
                files.append((path, fov, labels))
        return files

    def tiles(self, extent: Extent, labels: Mapping[Axes, int]) -> Iterator[TileKey]:
        """Yield the tiles of a file in page order, given the labels in its path."""
        for inner in product(*(extent.labels(axis) for axis in self.inner)):
            named = {**labels, **dict(zip(self.inner, inner, strict=True))}
            yield TileKey(*(named[axis] for axis in PLANES))


def _inner_axes(inner: Iterable[Axes | str]) -> tuple[Axes, ...]:
    axes = []
    for name in inner:
        try:
            axis = Axes(name)
        except ValueError:
            axis = None
        if axis not in PLANES or axis in axes:
            raise ValueError(
                f"inner must name some of 'r', 'c', 'z', each once; got {tuple(inner)!r:.200}"
            )
        axes.append(axis)
    return tuple(axes)
