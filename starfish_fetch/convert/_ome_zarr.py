"""To OME-Zarr, through the libraries of its community."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from starfish_fetch.axes import Axes, Extent, TileKey
from starfish_fetch.convert._folder import Folder, Format, Note, TileName
from starfish_fetch.convert._images import Image, Tile, extents_from
from starfish_fetch.convert._result import Conversion
from starfish_fetch.convert._run import Job
from starfish_fetch.extent_json import extent_fields
from starfish_fetch.interop._ome_zarr_group import KEY, Group, Shape, attributes_of, describe_all
from starfish_fetch.plan import parse_group_by

__all__ = ["OME_ZARR", "ome_zarr_job", "to_ome_zarr"]

_OWN = re.compile(
    r"((fov_-?\d+|OME)/)?(zarr\.json|\.zgroup|\.zattrs)"
    r"|(fov_-?\d+/)?\d+/(zarr\.json|\.zarray|\.zattrs|(c/)?\d+(/\d+)*)"
)


def to_ome_zarr(
    fetcher: Any,
    extents: Extent | Iterable[Extent],
    root: str | os.PathLike[str],
    *,
    version: Literal["0.5", "0.4"] = "0.5",
    levels: int = 1,
    chunk: int = 1024,
    unit: str | None = "micrometer",
    group_by: Iterable[Axes | str] | None = None,
    overwrite: bool = False,
    workers: int | None = None,
    progress: bool = False,
) -> Conversion:
    """Write tiles as OME-Zarr, rounds as its time axis.

    One field of view is one image, in ``root`` itself; of several each is an image in a folder
    ``fov_000`` of a collection (bioformats2raw layout). In version 0.5 a tile that has several
    chunks is one file, a shard. Labels, and the coordinates to the last bit, are kept in the
    attribute ``starfish_fetch`` of the image; :class:`OmeZarrTileFetcher` reads them.

    Memory holds a block of tiles at a time. The folder appears whole or not at all, and an
    interrupted call is resumed by the same call, as of :func:`to_spacetx`.

    Parameters
    ----------
    fetcher : TileFetcher
        Anything with its ``get_tile``.
    extents : Extent or iterable of Extent
        Labels and tile shape of each field of view.
    root : path
        The folder, which is not there yet, or empty.
    version : {"0.5", "0.4"}, optional
        Of OME-Zarr; 0.5 is Zarr 3, 0.4 is Zarr 2. Default: "0.5".
    levels : int, optional
        Resolutions, each of half the rows and columns of the one before; what a viewer of large
        tiles needs. Default: 1, the tiles alone.
    chunk : int, optional
        Most rows and columns of a chunk. Default: 1024.
    unit : str or None, optional
        Of the physical coordinates. Default: "micrometer", which starfish takes them for.
    group_by : iterable of Axes or str, optional
        The load order; see :meth:`ImageStack.from_tilefetcher`.
    overwrite : bool, optional
        Replace a finished conversion that the folder holds; see :func:`to_spacetx`.
    workers : int, optional
        Threads that fetch, for a fetcher that is ``thread_safe``.
    progress : bool, optional
        Show a progress bar on stderr, if that is a terminal.

    Returns
    -------
    Conversion

    Raises
    ------
    MissingExtraError
        Without zarr and ome-zarr.
    FileExistsError
        If something else is in the folder, or another unfinished conversion beside it.
    ValueError
        If tiles do not lie where the others do, or an option is not allowed.
    TypeError
        If tiles differ in dtype, or their extras are not what JSON takes.
    OSError
        If a file cannot be written; what is finished is kept.

    Examples
    --------
    >>> import tempfile
    >>> import starfish_fetch as sf
    >>> import synth
    >>> spec = synth.Spec(rounds=[1, 4], chs=3, zplanes=1, tile_shape=(8, 6))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     data = synth.write(spec, sf.Layout.per_round(), f"{folder}/tiffs")
    ...     done = sf.to_ome_zarr(data.fetcher(), data.extent(), f"{folder}/image.zarr")
    ...     sf.OmeZarrTileFetcher(f"{folder}/image.zarr").extent.rounds
    (1, 4)
    >>> done.tiles
    6
    """
    job = ome_zarr_job(
        fetcher,
        extents,
        root,
        version=version,
        levels=levels,
        chunk=chunk,
        unit=unit,
        group_by=group_by,
        overwrite=overwrite,
        workers=workers,
    )
    return job.run(progress=progress)


def ome_zarr_job(
    fetcher: Any,
    extents: Extent | Iterable[Extent],
    root: str | os.PathLike[str],
    *,
    version: str = "0.5",
    levels: int = 1,
    chunk: int = 1024,
    unit: str | None = "micrometer",
    group_by: Iterable[Axes | str] | None = None,
    overwrite: bool = False,
    workers: int | None = None,
) -> Job:
    """Check the arguments of :func:`to_ome_zarr`, and what is in the folder."""
    if version not in ("0.5", "0.4"):
        raise ValueError(f"version must be '0.5' or '0.4'; got {version!r}")
    if unit is not None and not isinstance(unit, str):
        raise TypeError(f"unit must be a string or None; got {unit!r}")
    found = extents_from(extents)
    for extent in found:
        _check_sizes(extent, levels, chunk)
    image = Image(fetcher, found, parse_group_by(group_by), workers)
    request = {
        "fovs": [extent_fields(extent) for extent in found],
        "version": version,
        "levels": levels,
        "chunk": chunk,
        "unit": unit,
    }
    writer = _OmeZarrWriter(found, request)
    folder = Folder(Path(root), OME_ZARR, request, overwrite=overwrite)
    return Job({"image": image}, folder, writer)


def _check_sizes(extent: Extent, levels: int, chunk: int) -> None:
    for name, value in (("levels", levels), ("chunk", chunk)):
        if type(value) is not int or value < 1:
            raise ValueError(f"{name} must be an int of at least 1; got {value!r}")
    smallest = min(extent.tile_shape.values())
    if levels > smallest.bit_length():
        raise ValueError(
            f"levels must be at most {smallest.bit_length()} for tiles of {smallest} rows or "
            f"columns, which are halved from one to the next; got {levels}"
        )


def _request(root: Path) -> Any:
    try:
        return attributes_of(root)[KEY]["request"]
    except (FileNotFoundError, NotADirectoryError, ValueError, TypeError, KeyError):
        return None


OME_ZARR = Format("ome-zarr", _request, lambda path: _OWN.fullmatch(path) is not None)


class _OmeZarrWriter:
    """Writes an image for each field of view."""

    def __init__(self, extents: tuple[Extent, ...], request: Mapping[str, Any]) -> None:
        self._extents = {extent.fov: extent for extent in extents}
        self._request = dict(request)
        self._groups: dict[int, Group] = {}
        Group.check_installed()

    def _name(self, fov: int) -> str:
        return "" if len(self._extents) == 1 else f"fov_{fov:03}"

    def begin(self, folder: Path, image: str, extent: Extent, dtype: np.dtype[Any]) -> None:
        self._group(folder, extent.fov).create_arrays(dtype)

    def _group(self, folder: Path, fov: int) -> Group:
        if fov not in self._groups:
            shape = Shape.of(self._extents[fov], self._request["levels"], self._request["chunk"])
            place = folder / self._name(fov)
            self._groups[fov] = Group(place, shape, self._request["version"])
        return self._groups[fov]

    def digest(self, tile: Tile) -> str:
        head = f"{tile.pixels.dtype.str} {tile.pixels.shape}".encode()
        return hashlib.sha256(head + np.ascontiguousarray(tile.pixels).tobytes()).hexdigest()

    def write(self, folder: Path, image: str, tile: Tile) -> Note:
        extent = self._extents[tile.fov]
        key = tile.key
        place = (
            extent.rounds.index(key.round),
            extent.chs.index(key.ch),
            extent.zplanes.index(key.zplane),
        )
        files = self._groups[tile.fov].write(place, tile.pixels)
        sizes = {os.fspath(path.relative_to(folder)): path.stat().st_size for path in files}
        return Note(self.digest(tile), sizes, tile.coordinates, tile.extras)

    def finish(self, folder: Path, notes: Mapping[TileName, Note]) -> None:
        several = len(self._extents) > 1
        for fov, extent in self._extents.items():
            group = self._group(folder, fov)
            own = _own_attributes(extent, notes)
            if not several:
                own["request"] = self._request
            name = f"fov_{fov:03}"
            first = next(notes[one] for one in notes if one.fov == fov)
            group.describe(name, first.coordinates, own, self._request["unit"])
        if several:
            names = [self._name(fov) for fov in self._extents]
            describe_all(folder, names, self._request["version"], {"request": self._request})


def _own_attributes(extent: Extent, notes: Mapping[TileName, Note]) -> dict[str, Any]:
    mine = {name.key: note for name, note in notes.items() if name.fov == extent.fov}
    first = mine[TileKey(extent.rounds[0], extent.chs[0], extent.zplanes[0])].coordinates
    keys = [TileKey(extent.rounds[0], extent.chs[0], z) for z in extent.zplanes]
    return {
        "version": 1,
        "fov": extent.fov,
        "rounds": list(extent.rounds),
        "chs": list(extent.chs),
        "zplanes": list(extent.zplanes),
        "xc": first["xc"],
        "yc": first["yc"],
        "zc": [mine[key].coordinates.get("zc") for key in keys],
        "extras": [[*key, note.extras] for key, note in sorted(mine.items()) if note.extras],
    }
