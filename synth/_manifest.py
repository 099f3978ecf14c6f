"""What ``dataset.json`` says of a dataset, and how it is read and checked."""

from __future__ import annotations

import json
import operator
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any, Literal, NamedTuple

from starfish_fetch.axes import Axes, TileKey
from starfish_fetch.json_fields import read_json
from starfish_fetch.layout import Layout
from synth._damage import Damage, damages_from, is_sha256
from synth._place import LARGEST_DESCRIPTION, check_name, read_own
from synth.spec import Spec
from synth.spots import LATER

__all__ = [
    "JOURNAL_NAME",
    "MANIFEST_NAME",
    "FileRecord",
    "Manifest",
    "Options",
    "PlannedFile",
    "planned_files",
    "planned_paths",
    "read_manifest",
    "records_from",
]

FORMAT = "starfish_fetch synth dataset"
VERSION = 3
"""The newest version that is read; written is the oldest that says all there is to say."""
MANIFEST_NAME = "dataset.json"
JOURNAL_NAME = "dataset.json.partial"
PlannedFile = tuple[str, int, tuple[TileKey, ...]]
"""A file of a dataset: its path, its field of view, its tiles in page order."""
_FORMATS = ("tiff", "imagej", "npy")
_HEADER = ("format", "version", "spec", "layout", "options", "damage")
_BYTES_EACH = 180  # of what is said of a file, beside its path; half is left for all the rest
_FILES_AT_MOST = LARGEST_DESCRIPTION // 2 // _BYTES_EACH
_WORTH_NAMING = 1000
_COMPRESSIONS = {None: None, "deflate": "deflate", "zlib": "deflate", "lzw": "lzw", "zstd": "zstd"}


@dataclass(frozen=True)
class Options:
    """How the files of a dataset are written; see :func:`synth.write`.

    Raises
    ------
    TypeError, ValueError
        If one has none of its allowed values.
    """

    compression: str | None = None
    bigtiff: bool = False
    byteorder: Literal["<", ">"] = "<"
    ome: bool = True
    format: Literal["tiff", "imagej", "npy"] = "tiff"
    tiff_tile: tuple[int, int] | None = None
    rows_per_strip: int | None = None
    predictor: bool = False
    linked: bool = False

    def __post_init__(self) -> None:
        if self.compression not in _COMPRESSIONS:
            allowed = ", ".join(map(repr, _COMPRESSIONS))
            raise ValueError(f"unknown compression {self.compression!r}; allowed are {allowed}")
        object.__setattr__(self, "compression", _COMPRESSIONS[self.compression])
        if self.byteorder not in ("<", ">"):
            raise ValueError(f"unknown byteorder {self.byteorder!r}; allowed are '<', '>'")
        for name in ("bigtiff", "ome", "predictor", "linked"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name} must be True or False; got {getattr(self, name)!r}")
        if self.format not in _FORMATS:
            allowed = ", ".join(map(repr, _FORMATS))
            raise ValueError(f"unknown format {self.format!r}; allowed are {allowed}")
        self._check_segments()
        self._check_together()

    def _check_segments(self) -> None:
        rows = self.rows_per_strip
        if rows is not None and (type(rows) is not int or rows < 1):
            raise ValueError(f"rows_per_strip must be an int of at least 1; got {rows!r}")
        if self.tiff_tile is None:
            return
        try:
            tile = tuple(map(operator.index, self.tiff_tile))
        except TypeError:
            tile = ()
        if len(tile) != 2 or not all(0 < size <= 2**15 and size % 16 == 0 for size in tile):
            raise ValueError(
                "tiff_tile must be (rows, columns), both multiples of 16 up to 32768; got "
                f"{self.tiff_tile!r}"
            )
        object.__setattr__(self, "tiff_tile", tile)

    def _check_together(self) -> None:
        if self.tiff_tile is not None and self.rows_per_strip is not None:
            raise ValueError("give tiff_tile or rows_per_strip, not both")
        if self.predictor and self.compression is None:
            raise ValueError("predictor=True needs a compression: deflate, lzw or zstd")
        if self.linked and not (self.ome and self.format == "tiff"):
            raise ValueError("linked=True is about OME-TIFF: it needs ome=True and format='tiff'")
        if self.format != "tiff":
            plain = Options(byteorder=self.byteorder, ome=self.ome)
            for name in set(_OPTIONAL) - {"format"} | {"compression", "bigtiff"}:
                if getattr(self, name) != getattr(plain, name):
                    raise ValueError(
                        f"format {self.format!r} is not written with {name}="
                        f"{getattr(self, name)!r}: leave it out"
                    )

    @property
    def as_they_are(self) -> bool:
        """Whether the pixels of a file lie in it as they are, one plane after the other."""
        return self.compression is None and self.tiff_tile is None

    def to_json(self) -> dict[str, Any]:
        """Return the options as what ``json.dumps`` takes; what was added later, only if used."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in vars(self).items()
            if name not in _OPTIONAL or value != _OPTIONAL[name]
        }


# What version 1 does not know, and what is meant where nothing is said.
_OPTIONAL: dict[str, Any] = {
    "format": "tiff",
    "tiff_tile": None,
    "rows_per_strip": None,
    "predictor": False,
    "linked": False,
}


class FileRecord(NamedTuple):
    """What a file was when it was finished.

    Attributes
    ----------
    sha256 : str
        Of the file; of what is not pixels, if they lie in it as they are: what these must be is
        known without.
    bytes : int
        Its size.
    pixels_at : int or None
        Where the pixels begin that ``sha256`` leaves out; None if it leaves out nothing.
    """

    sha256: str
    bytes: int
    pixels_at: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as what ``json.dumps`` takes."""
        fields = self._asdict()
        return {name: value for name, value in fields.items() if value is not None}


@dataclass(frozen=True)
class Manifest:
    """A whole dataset: what it shows, how it is cut into files, how they are written, the files.

    The files are recorded as they were before any damage.
    """

    spec: Spec
    layout: Layout
    options: Options
    files: Mapping[str, FileRecord]
    damage: tuple[Damage, ...] = ()

    def header(self) -> dict[str, Any]:
        """Return all but the files, as what ``json.dumps`` takes."""
        inner = [str(axis) for axis in self.layout.inner]
        header: dict[str, Any] = {
            "format": FORMAT,
            "version": self._version(),
            "spec": self.spec.to_json(),
            "layout": {"template": self.layout.template, "inner": inner},
            "options": self.options.to_json(),
        }
        if self.damage:
            header["damage"] = [one.to_json() for one in self.damage]
        return header

    def _version(self) -> int:
        """Return the oldest version that knows all that is said."""
        spots = {} if self.spec.spots is None else self.spec.spots.to_json()
        needed = [LATER[name][0] for name in spots if name in LATER]
        if self.damage or spots or set(self.options.to_json()) & set(_OPTIONAL):
            needed.append(2)
        if self.options.as_they_are or "generator" in self.spec.to_json():
            needed.append(3)
        return max(needed, default=1)

    def text(self) -> str:
        """Return the text of ``dataset.json``."""
        files = {path: record.to_json() for path, record in self.files.items()}
        return json.dumps({**self.header(), "files": files}, indent=1) + "\n"

    def differences(self, other: Manifest) -> list[str]:
        """Say in words what another dataset has that this one has not; of the files nothing."""
        words = []
        for part in ("spec", "layout", "options"):
            mine, theirs = vars(getattr(self, part)), vars(getattr(other, part))
            words += [
                f"{part}.{name} is {theirs[name]!r:.200} there and {mine[name]!r:.200} here"
                for name in mine
                if mine[name] != theirs[name]
            ]
        if [one.planned for one in self.damage] != [one.planned for one in other.damage]:
            there, here = ("; ".join(map(str, one.damage)) or "none" for one in (other, self))
            words.append(f"damage is {there} there and {here} here")
        return words

    @classmethod
    def from_header(cls, fields: Any, where: Path) -> Manifest:
        """Build a manifest without files from a header.

        Raises
        ------
        ValueError
            If a field is not what it should be; the message names the file and the field. Whether
            damage is of files that there are, is not looked at.
        """
        try:
            return cls._from_header(fields, where)
        except RecursionError as error:
            raise ValueError(f"{where} is nested too deeply") from error

    @classmethod
    def _from_header(cls, fields: Any, where: Path) -> Manifest:
        if not isinstance(fields, dict) or fields.get("format") != FORMAT:
            raise ValueError(f"{where}: the field 'format' is not {FORMAT!r}: no synth dataset")
        version = fields.get("version")
        if type(version) is not int or version < 1:
            raise ValueError(f"{where}: the field 'version' is {version!r}, not a number")
        if version > VERSION:
            raise ValueError(
                f"{where}: the field 'version' is {version}, and this installation reads up to "
                f"{VERSION}: upgrade starfish-fetch"
            )
        for name in fields:
            if name not in (*_HEADER, "files"):
                allowed = ", ".join(_HEADER)
                raise ValueError(
                    f"{where}: the field {name!r:.80} is unknown; allowed are {allowed}, files"
                )
        builders = {"spec": Spec.from_json, "layout": _layout_from, "options": _options_from}
        parts: dict[str, Any] = {}
        for name, build in builders.items():
            try:
                parts[name] = build(fields[name])
            except KeyError as error:
                raise ValueError(f"{where}: the field {name!r} is missing") from error
            except (TypeError, ValueError) as error:
                raise ValueError(f"{where}: the field {name!r}: {error!s:.500}") from error
        damage = damages_from(fields["damage"], where) if "damage" in fields else ()
        return cls(**parts, files={}, damage=damage)


def read_manifest(root: Path) -> Manifest:
    """Read and check the ``dataset.json`` of a folder.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        If it is not what :func:`synth.write` writes; the message names the file and the field.
    """
    where = root / MANIFEST_NAME
    try:
        fields = read_json(read_own(root, MANIFEST_NAME))
    except FileNotFoundError as error:
        unfinished = (root / JOURNAL_NAME).exists()
        remedy = "make the same call of synth.write again" if unfinished else "run synth.write"
        state = "its write was not finished" if unfinished else "there is no dataset here"
        message = f"{state}: {remedy} to have {MANIFEST_NAME}"
        raise FileNotFoundError(error.errno, message, str(where)) from None
    except ValueError as error:  # of the JSON, or of its encoding
        raise ValueError(f"{where} is not JSON: {error}") from error
    manifest = Manifest.from_header(fields, where)
    records = records_from(fields.get("files"), where)
    _check_files(manifest, records, where)
    return replace(manifest, files=records)


def _check_files(manifest: Manifest, records: Mapping[str, FileRecord], where: Path) -> None:
    """Refuse what spec and layout do not make, without making much more than there is."""
    try:
        count = _count_files(manifest.spec, manifest.layout)
        if count > len(records) + _WORTH_NAMING:
            raise ValueError(  # noqa: TRY301
                f"with the labels of 'spec' it makes {count} files, and 'files' names "
                f"{len(records)}"
            )
        expected = {path: None for path, _, _ in planned_paths(manifest.spec, manifest.layout)}
    except ValueError as error:
        raise ValueError(f"{where}: the field 'layout': {error!s:.500}") from error
    for path in (*expected, *records):
        if path not in records or path not in expected:
            state = "lacks" if path in expected else "names"
            raise ValueError(
                f"{where}: the field 'files' {state} {path!r:.120}, against what 'spec' and "
                "'layout' say"
            )
    for path in (path for damage in manifest.damage for path in damage.paths):
        if path not in records:
            raise ValueError(
                f"{where}: the field 'damage' names {path!r:.120}, which is no file of the dataset"
            )


def planned_files(spec: Spec, layout: Layout) -> list[PlannedFile]:
    """Return each file that a dataset will have.

    Raises
    ------
    ValueError
        If there are too many to describe, or a path is one that a dataset cannot have.
    """
    extent = spec.extent(spec.fovs[0])
    return [
        (path, fov, tuple(layout.tiles(extent, labels)))
        for path, fov, labels in planned_paths(spec, layout)
    ]


def planned_paths(spec: Spec, layout: Layout) -> list[tuple[str, int, dict[Axes, int]]]:
    """Return each file without its tiles: path, field of view, labels; as :func:`planned_files`."""
    count, said, files = _count_files(spec, layout), 0, []
    if count <= _FILES_AT_MOST:
        files = layout.paths(spec.extent(spec.fovs[0]), spec.fovs)
        for path, _, _ in files:
            check_name(path)
            said += len(json.dumps(path)) + _BYTES_EACH
    if count > _FILES_AT_MOST or said > LARGEST_DESCRIPTION // 2:
        raise ValueError(
            f"layout {layout.template!r} makes {count} files of this image, more than "
            f"{MANIFEST_NAME} takes: choose a layout with fewer files"
        )
    return files


def _count_files(spec: Spec, layout: Layout) -> int:
    extent = spec.extent(spec.fovs[0])
    return len(spec.fovs) * prod(len(extent.labels(axis)) for axis in layout.outer)


def records_from(files: Any, where: Path) -> dict[str, FileRecord]:
    """Check what a manifest or a journal says of files."""
    records = {}
    if not isinstance(files, dict):
        message = f"{where}: the field 'files' must map paths to digests; got {files!r:.80}"
        raise ValueError(message)  # noqa: TRY004
    for path, fields in files.items():
        if not isinstance(path, str):
            message = f"{where}: the field 'files' names {path!r:.80}, which is no path"
            raise ValueError(message)  # noqa: TRY004
        try:
            check_name(path)
        except ValueError as error:
            raise ValueError(f"{where}: the field 'files': {error}") from error
        if not isinstance(fields, dict) or set(fields) - {"pixels_at"} != {"sha256", "bytes"}:
            raise ValueError(
                f"{where}: the field 'files' says of {path!r:.120} {fields!r:.80}; "
                "it must give sha256 and bytes"
            )
        record = FileRecord(**fields)
        for wrong, name, wanted in (
            (not is_sha256(record.sha256), "sha256", "digest"),
            (type(record.bytes) is not int or record.bytes < 0, "bytes", "number"),
            ("pixels_at" in fields and not _is_place(record), "pixels_at", "place in it"),
        ):
            if wrong:
                raise ValueError(
                    f"{where}: the field 'files': {name!r} of {path!r:.120} is "
                    f"{getattr(record, name)!r:.80}, no {wanted}"
                )
        records[path] = record
    return records


def _is_place(record: FileRecord) -> bool:
    start, size = record.pixels_at, record.bytes
    return type(start) is int and type(size) is int and 0 <= start <= size


def _layout_from(fields: Any) -> Layout:
    if not isinstance(fields, dict) or set(fields) != {"template", "inner"}:
        raise ValueError(f"it must give template and inner; got {fields!r:.80}")
    if [type(fields[name]) for name in ("template", "inner")] != [str, list]:
        raise ValueError(f"template is a string and inner a list; got {fields!r:.80}")
    return Layout(fields["template"], tuple(fields["inner"]))


def _options_from(fields: Any) -> Options:
    first = [name for name in Options.__annotations__ if name not in _OPTIONAL]
    if not isinstance(fields, dict) or set(fields) - set(_OPTIONAL) != set(first):
        raise ValueError(f"it must give {', '.join(first)}; got {fields!r:.80}")
    tile = fields.get("tiff_tile")
    return Options(**{**fields, "tiff_tile": tuple(tile) if isinstance(tile, list) else tile})
