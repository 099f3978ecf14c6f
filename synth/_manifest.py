"""What ``dataset.json`` says of a dataset, and how it is read and checked."""

from __future__ import annotations

import json
import operator
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple

from starfish_fetch.axes import TileKey
from starfish_fetch.layout import Layout
from synth._damage import Damage, damages_from, is_sha256
from synth.spec import Spec

__all__ = [
    "JOURNAL_NAME",
    "MANIFEST_NAME",
    "FileRecord",
    "Manifest",
    "Options",
    "PlannedFile",
    "planned_files",
    "read_manifest",
    "records_from",
]

FORMAT = "starfish_fetch synth dataset"
VERSION = 2
"""The newest version that is read; written is the oldest that says all there is to say."""
MANIFEST_NAME = "dataset.json"
JOURNAL_NAME = "dataset.json.partial"
PlannedFile = tuple[str, int, tuple[TileKey, ...]]
"""A file of a dataset: its path, its field of view, its tiles in page order."""
_FORMATS = ("tiff", "imagej", "npy")
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
    """What a file was when it was finished: its SHA-256, and how many bytes it has."""

    sha256: str
    bytes: int


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
            "version": 2 if self._needs_version_2() else 1,
            "spec": self.spec.to_json(),
            "layout": {"template": self.layout.template, "inner": inner},
            "options": self.options.to_json(),
        }
        if self.damage:
            header["damage"] = [one.to_json() for one in self.damage]
        return header

    def _needs_version_2(self) -> bool:
        added = set(self.options.to_json()) & set(_OPTIONAL)
        return bool(self.damage or self.spec.spots or added)

    def text(self) -> str:
        """Return the text of ``dataset.json``."""
        files = {path: record._asdict() for path, record in self.files.items()}
        return json.dumps({**self.header(), "files": files}, indent=1) + "\n"

    def differences(self, other: Manifest) -> list[str]:
        """Say in words what another dataset has that this one has not; of the files nothing."""
        words = []
        for part in ("spec", "layout", "options"):
            mine, theirs = vars(getattr(self, part)), vars(getattr(other, part))
            words += [
                f"{part}.{name} is {theirs[name]!r} there and {mine[name]!r} here"
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
            If a field is not what it should be; the message names the file and the field.
        """
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
        builders = {"spec": Spec.from_json, "layout": _layout_from, "options": _options_from}
        parts: dict[str, Any] = {}
        for name, build in builders.items():
            try:
                parts[name] = build(fields[name])
            except KeyError as error:
                raise ValueError(f"{where}: the field {name!r} is missing") from error
            except (TypeError, ValueError) as error:
                raise ValueError(f"{where}: the field {name!r}: {error}") from error
        damage: tuple[Damage, ...] = ()
        if "damage" in fields:
            paths = [path for path, _, _ in planned_files(parts["spec"], parts["layout"])]
            damage = damages_from(fields["damage"], paths, where)
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
        fields = json.loads(where.read_bytes())
    except FileNotFoundError as error:
        unfinished = (root / JOURNAL_NAME).exists()
        remedy = "make the same call of synth.write again" if unfinished else "run synth.write"
        state = "its write was not finished" if unfinished else "there is no dataset here"
        message = f"{state}: {remedy} to have {MANIFEST_NAME}"
        raise FileNotFoundError(error.errno, message, str(where)) from None
    except ValueError as error:  # of the JSON, or of its encoding
        raise ValueError(f"{where} is not JSON: {error}") from error
    manifest = Manifest.from_header(fields, where)
    files = fields.get("files")
    records = records_from(files, where)
    expected = {path for path, _, _ in planned_files(manifest.spec, manifest.layout)}
    for path in [*expected - set(records), *set(records) - expected]:
        state = "lacks" if path in expected else "names"
        raise ValueError(
            f"{where}: the field 'files' {state} {path!r}, against what 'spec' and 'layout' say"
        )
    return replace(manifest, files=records)


def planned_files(spec: Spec, layout: Layout) -> list[PlannedFile]:
    """Return each file that a dataset will have."""
    return list(layout.files(spec.extent(spec.fovs[0]), spec.fovs))


def records_from(files: Any, where: Path) -> dict[str, FileRecord]:
    """Check what a manifest or a journal says of files."""
    records = {}
    if not isinstance(files, dict):
        message = f"{where}: the field 'files' must map paths to digests; got {files!r:.80}"
        raise ValueError(message)  # noqa: TRY004
    for path, fields in files.items():
        posix = PurePosixPath(path)
        if posix.is_absolute() or ".." in posix.parts or "\\" in path or not posix.name:
            raise ValueError(f"{where}: the field 'files' names {path!r}, outside of its folder")
        if not isinstance(fields, dict) or set(fields) != set(FileRecord._fields):
            raise ValueError(
                f"{where}: the field 'files' says of {path!r} {fields!r:.80}; "
                "it must give sha256 and bytes"
            )
        record = FileRecord(**fields)
        if not is_sha256(record.sha256):
            raise ValueError(f"{where}: the sha256 of {path!r} is {record.sha256!r}, no digest")
        if type(record.bytes) is not int or record.bytes < 0:
            raise ValueError(f"{where}: the bytes of {path!r} are {record.bytes!r}, no number")
        records[path] = record
    return records


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
