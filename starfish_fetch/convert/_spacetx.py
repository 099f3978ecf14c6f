"""To SpaceTx format, starfish's own."""

from __future__ import annotations

import hashlib
import json
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
from starfish_fetch.errors import naming
from starfish_fetch.extent_json import extent_fields
from starfish_fetch.interop._spacetx_tiles import ENDINGS, encode
from starfish_fetch.json_fields import read_json
from starfish_fetch.plan import parse_group_by

__all__ = ["SPACETX", "spacetx_job", "to_spacetx"]

_IMAGES = ("primary", "nuclei", "dots")
_RECORD = "conversion.json"
_OWN = re.compile(
    r"(experiment|codebook|conversion|[a-z]+|[a-z]+-fov_\d+)\.json"
    r"|[a-z]+-fov_\d+-c\d+-r\d+-z\d+\.(npy|tiff)"
)
_DIMENSIONS = ("xc", "yc", "zc", "r", "c", "z", "y", "x")
_PLACEHOLDER = {
    "version": "0.0.0",
    "mappings": [{"codeword": [{"r": 0, "c": 0, "v": 1.0}], "target": "PLEASE_REPLACE_ME"}],
}


def to_spacetx(
    fetcher: Any,
    extents: Extent | Iterable[Extent],
    root: str | os.PathLike[str],
    *,
    image: str = "primary",
    others: Mapping[str, tuple[Any, Extent | Iterable[Extent]]] | None = None,
    tile_format: Literal["NUMPY", "TIFF"] = "NUMPY",
    codebook: str | os.PathLike[str] | None = None,
    group_by: Iterable[Axes | str] | None = None,
    overwrite: bool = False,
    workers: int | None = None,
    progress: bool = False,
) -> Conversion:
    """Write tiles as an experiment in SpaceTx format, which ``starfish.Experiment`` opens.

    Every tile becomes a file, with the pixels and the dtype that the fetcher gives, in the byte
    order of the machine. starfish itself is not needed.

    The folder appears whole or not at all: until it is finished it has another name beside it
    (``.NAME.partial``). After an interruption the same call writes what is missing. On a finished
    conversion it does nothing.

    Parameters
    ----------
    fetcher : TileFetcher
        Anything with its ``get_tile``.
    extents : Extent or iterable of Extent
        Labels and tile shape of each field of view. The format knows no negative labels.
    root : path
        The folder, which is not there yet, or empty.
    image : {"primary", "nuclei", "dots"}, optional
        What the experiment calls the image. Default: "primary".
    others : mapping of str to (TileFetcher, extents), optional
        The other images of the experiment, by their names.
    tile_format : {"NUMPY", "TIFF"}, optional
        Of the tile files. Default: "NUMPY".
    codebook : path, optional
        A ``codebook.json`` to copy. Default: one with a single target to be replaced, as
        starfish writes it.
    group_by : iterable of Axes or str, optional
        The load order; see :meth:`ImageStack.from_tilefetcher`.
    overwrite : bool, optional
        Replace a finished conversion that the folder holds. It is deleted only when the new one
        is finished, and not at all if there are files in it that no conversion writes.
    workers : int, optional
        Threads that fetch, for a fetcher that is ``thread_safe``.
    progress : bool, optional
        Show a progress bar on stderr, if that is a terminal.

    Returns
    -------
    Conversion

    Raises
    ------
    FileExistsError
        If something else is in the folder, or another unfinished conversion beside it.
    ValueError
        If labels are negative, tiles do not lie where the others do, or an option is not allowed.
    TypeError
        If tiles differ in dtype, or their extras are not what JSON takes.
    OSError
        If a file cannot be written; what is finished is kept.

    Examples
    --------
    >>> import tempfile
    >>> import starfish_fetch as sf
    >>> import synth
    >>> spec = synth.Spec(rounds=2, chs=3, zplanes=1, tile_shape=(8, 6))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     data = synth.write(spec, sf.Layout.per_round(), f"{folder}/tiffs")
    ...     done = sf.to_spacetx(data.fetcher(), data.extent(), f"{folder}/experiment")
    >>> done.tiles, done.files
    (6, 11)
    """
    job = spacetx_job(
        fetcher,
        extents,
        root,
        image=image,
        others=others,
        tile_format=tile_format,
        codebook=codebook,
        group_by=group_by,
        overwrite=overwrite,
        workers=workers,
    )
    return job.run(progress=progress)


def spacetx_job(
    fetcher: Any,
    extents: Extent | Iterable[Extent],
    root: str | os.PathLike[str],
    *,
    image: str = "primary",
    others: Mapping[str, tuple[Any, Extent | Iterable[Extent]]] | None = None,
    tile_format: str = "NUMPY",
    codebook: str | os.PathLike[str] | None = None,
    group_by: Iterable[Axes | str] | None = None,
    overwrite: bool = False,
    workers: int | None = None,
) -> Job:
    """Check the arguments of :func:`to_spacetx`, and what is in the folder."""
    if tile_format not in ENDINGS:
        raise ValueError(f"tile_format must be 'NUMPY' or 'TIFF'; got {tile_format!r}")
    order = parse_group_by(group_by)
    given = {image: (fetcher, extents), **(others or {})}
    if len(given) < 1 + len(others or {}):
        raise ValueError(f"the image {image!r} is among the others, too")
    images = {}
    for name, (provider, which) in given.items():
        if name not in _IMAGES:
            raise ValueError(f"an image is called {', '.join(_IMAGES)}; got {name!r}")
        images[name] = Image(provider, _checked(extents_from(which), name), order, workers)
    if "primary" not in images:
        raise ValueError("the format wants a primary image: name one of the images 'primary'")
    text = _codebook_text(codebook)
    request = {
        "images": {
            name: [extent_fields(extent) for extent in one.extents] for name, one in images.items()
        },
        "tile_format": tile_format,
        "codebook": hashlib.sha256(text).hexdigest(),
    }
    folder = Folder(Path(root), SPACETX, request, overwrite=overwrite)
    writer = _SpaceTxWriter(images, tile_format, text, request)
    return Job(images, folder, writer)


def _checked(extents: tuple[Extent, ...], image: str) -> tuple[Extent, ...]:
    for extent in extents:
        for name in ("fov", "rounds", "chs", "zplanes"):
            labels = getattr(extent, name)
            if np.min(labels) < 0:
                raise ValueError(
                    f"{name} of the image {image!r} are {labels}; SpaceTx format knows no "
                    "negative labels: number them from 0"
                )
    return extents


def _codebook_text(codebook: str | os.PathLike[str] | None) -> bytes:
    if codebook is None:
        return json.dumps(_PLACEHOLDER).encode()
    text = Path(codebook).read_bytes()
    try:
        read_json(text)
    except ValueError as error:
        raise ValueError(f"{os.fspath(codebook)!r} is no codebook: {error}") from error
    return text


def _request(root: Path) -> Any:
    try:
        with naming(root / _RECORD):
            record = read_json((root / _RECORD).read_bytes())
        return record["request"] if record["format"] == SPACETX.name else None
    except (FileNotFoundError, NotADirectoryError, ValueError, TypeError, KeyError):
        return None


SPACETX = Format("spacetx", _request, lambda path: _OWN.fullmatch(path) is not None)


class _SpaceTxWriter:
    """Writes an experiment."""

    def __init__(
        self,
        images: Mapping[str, Image],
        tile_format: str,
        codebook: bytes,
        request: Mapping[str, Any],
    ) -> None:
        self._images = images
        self._tile_format = tile_format
        self._codebook = codebook
        self._request = request

    def begin(self, folder: Path, image: str, extent: Extent, dtype: np.dtype[Any]) -> None:
        pass

    def digest(self, tile: Tile) -> str:
        return hashlib.sha256(encode(tile.pixels, self._tile_format)).hexdigest()

    def write(self, folder: Path, image: str, tile: Tile) -> Note:
        data = encode(tile.pixels, self._tile_format)
        name = self._tile_name(image, tile.fov, tile.key)
        _write(folder / name, data)
        digest = hashlib.sha256(data).hexdigest()
        return Note(digest, {name: len(data)}, tile.coordinates, tile.extras)

    def _tile_name(self, image: str, fov: int, key: TileKey) -> str:
        r, c, z = key
        return f"{image}-fov_{fov:03}-c{c}-r{r}-z{z}.{ENDINGS[self._tile_format]}"

    def finish(self, folder: Path, notes: Mapping[TileName, Note]) -> None:
        for image, one in self._images.items():
            documents = {}
            for extent in one.extents:
                name = f"fov_{extent.fov:03}"
                documents[name] = f"{image}-{name}.json"
                _dump(folder / documents[name], self._fov(image, extent, notes))
            manifest = {"version": "0.1.0", "contents": documents, "extras": None}
            _dump(folder / f"{image}.json", manifest)
        _write(folder / "codebook.json", self._codebook)
        _dump(folder / _RECORD, {"format": SPACETX.name, "request": self._request})
        experiment = {
            "version": "5.0.0",
            "images": {image: f"{image}.json" for image in self._images},
            "extras": {},
            "codebook": "codebook.json",
        }
        _dump(folder / "experiment.json", experiment)

    def _fov(self, image: str, extent: Extent, notes: Mapping[TileName, Note]) -> dict[str, Any]:
        shape = {str(axis): size for axis, size in extent.tile_shape.items()}
        tiles = []
        for z in extent.zplanes:  # in this order starfish lists them
            for r in extent.rounds:
                for c in extent.chs:
                    note = notes[TileName(image, extent.fov, TileKey(r, c, z))]
                    [file] = note.files
                    tile = {
                        "coordinates": {
                            name: value if isinstance(value, list) else [value, value]
                            for name, value in note.coordinates.items()
                        },
                        "indices": {"r": r, "c": c, "z": z},
                        "file": file,
                        "sha256": note.digest,
                        "tile_shape": shape,
                        "tile_format": self._tile_format,
                    }
                    tiles.append(tile | ({"extras": note.extras} if note.extras else {}))
        return {
            "version": "0.1.0",
            "dimensions": list(_DIMENSIONS),
            "shape": {
                "r": len(extent.rounds),
                "c": len(extent.chs),
                "z": len(extent.zplanes),
            },
            "default_tile_shape": shape,
            "default_tile_format": self._tile_format,
            "extras": {},
            "tiles": tiles,
        }


def _dump(path: Path, document: Mapping[str, Any]) -> None:
    _write(path, json.dumps(document, indent=4, sort_keys=True).encode() + b"\n")


def _write(path: Path, data: bytes) -> None:
    with naming(path):
        path.write_bytes(data)
