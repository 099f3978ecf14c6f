"""The folder that a conversion writes: there whole or not at all, and resumable."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from starfish_fetch.axes import TileKey
from starfish_fetch.errors import how_to_go_on, naming
from starfish_fetch.json_fields import read_json
from starfish_fetch.locks import lock

__all__ = ["Folder", "Format", "Note", "TileName", "resumable"]

JOURNAL_NAME = "conversion.jsonl"
_BUSY = (
    "another conversion is writing this folder: wait until it has ended, or choose another folder"
)


class TileName(NamedTuple):
    """A tile of a conversion."""

    image: str
    fov: int
    key: TileKey


class Note(NamedTuple):
    """What the journal says of a tile: the digest of its pixels, its files, what goes with it."""

    digest: str
    files: dict[str, int]
    coordinates: dict[str, Any]
    extras: dict[str, Any]


@dataclass(frozen=True)
class Format:
    """How a format's folders are told from others.

    Parameters
    ----------
    name : str
        Of the format.
    request : callable
        Returns the request that a finished folder was written for, None if it says of none.
    owns : callable
        Returns whether a path below a folder is one that the format's folders may have.
    """

    name: str
    request: Callable[[Path], Any]
    owns: Callable[[str], bool]


class Folder:
    """A folder, written under another name beside it until it is finished.

    Within ``with``, nobody else writes it, where the system knows how to tell.

    Parameters
    ----------
    root : Path
        The final name.
    format : Format
        What is written.
    request : dict
        All that decides what is written, but for the pixels.
    overwrite : bool
        Whether a finished conversion of that name gives way.

    Raises
    ------
    FileExistsError
        If something else is there; nothing is touched.
    """

    def __init__(
        self, root: Path, format: Format, request: dict[str, Any], *, overwrite: bool
    ) -> None:
        # Of a link, what it leads to.
        self.root = Path(os.path.realpath(root))
        self.format = format
        self.request = json.loads(json.dumps(request))
        self.partial = self.root.with_name(f".{self.root.name}.partial")
        self._replaced = self.root.with_name(f".{self.root.name}.replaced")
        self.notes: dict[TileName, Note] = {}
        self.complete = False
        self._journal: Any = None
        self._check_root(overwrite=overwrite)

    def _check_root(self, *, overwrite: bool) -> None:
        root = self.root
        if not root.exists() or (root.is_dir() and not any(root.iterdir())):
            return
        other = self.format.request(root) if root.is_dir() else None
        if other is None:
            raise FileExistsError(
                errno.EEXIST,
                f"it is no finished {self.format.name} conversion, and stays; choose another "
                "folder",
                str(root),
            )
        if not overwrite:
            if other == self.request:
                self.complete = True
                self._tidy()
                return
            words = ", ".join(differences(other, self.request)) or "its version"
            raise FileExistsError(
                errno.EEXIST,
                f"it holds another conversion, which differs in {words}; pass overwrite to "
                "replace it, or choose another folder",
                str(root),
            )
        stranger = self._stranger(root)
        if stranger is not None:
            raise FileExistsError(
                errno.EEXIST,
                "it is of no conversion, and would be deleted with the folder; move it away",
                str(stranger),
            )

    def _stranger(self, folder: Path) -> Path | None:
        """Return something below a folder that no conversion of this format writes."""
        for path in folder.rglob("*"):
            name = path.relative_to(folder).as_posix()
            own = path.is_dir() or name == JOURNAL_NAME or self.format.owns(name)
            if path.is_symlink() or not own:
                return path
        return None

    def __enter__(self) -> Folder:
        self.partial.mkdir(parents=True, exist_ok=True)
        path = self.partial / JOURNAL_NAME
        # Without a journal there may be what another thread wrote while an interrupt cleaned up.
        self._delete_unfinished()
        if not path.exists() and self._stranger(self.partial) is not None:
            raise FileExistsError(
                errno.EEXIST,
                "it is of no conversion, and has the name of an unfinished one; move it away",
                str(self.partial),
            )
        # Unbuffered: what could not be written is not to follow what could.
        self._journal = path.open("a+b", buffering=0)
        try:
            lock(self._journal, self.root, _BUSY)
            self._journal.seek(0)
            with naming(path):
                self._read(self._journal.readall(), path)
        except BaseException:
            self._journal.close()
            raise
        return self

    def _read(self, text: bytes, path: Path) -> None:
        whole = text.rfind(b"\n") + 1  # what follows was being written when the last call ended
        self._journal.truncate(whole)
        lines = text[:whole].splitlines()
        if not lines:
            self._append({"format": self.format.name, "request": self.request})
            return
        try:
            header, *entries = map(read_json, lines)
            request = header["request"]
            for name, note in entries:
                image, fov, key = name
                self.notes[TileName(image, fov, TileKey(*key))] = Note(*note)
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(
                f"{path} is no journal of a conversion: {error}; delete {str(self.partial)!r} to "
                "begin anew"
            ) from error
        if (header.get("format"), request) != (self.format.name, self.request):
            words = ", ".join(differences(request, self.request)) or "its format"
            raise FileExistsError(
                errno.EEXIST,
                f"it holds an unfinished conversion, which differs in {words}; finish it by the "
                "call that began it, or delete it",
                str(self.partial),
            )

    def _append(self, entry: Any) -> None:
        line = memoryview(json.dumps(entry).encode() + b"\n")
        with naming(self._journal.name):
            while line:
                line = line[self._journal.write(line) :]

    def note(self, name: TileName, note: Note) -> None:
        """Add a tile whose files are written."""
        self._append([name, note])
        self.notes[name] = note

    def has(self, name: TileName) -> bool:
        """Return whether a tile was noted and its files have their sizes."""
        note = self.notes.get(name)
        if note is None:
            return False
        # Of what the journal notes, a crash of the machine may have left but a part.
        with suppress(OSError):
            return all(
                os.stat(self.partial / file).st_size == size for file, size in note.files.items()
            )
        return False

    def finish(self) -> None:
        """Give the folder its name, and delete what had it."""
        self._journal.close()
        self._tidy()
        self._delete_unfinished()
        if self.root.is_dir() and not any(self.root.iterdir()):
            self.root.rmdir()
        if self.root.exists():
            os.replace(self.root, self._replaced)
        os.replace(self.partial, self.root)
        self._tidy()

    def _delete_unfinished(self) -> None:
        """Delete what a killed call of zarr was writing."""
        for path in [*self.partial.rglob("*.partial")]:
            path.unlink(missing_ok=True)

    def _tidy(self) -> None:
        """Delete what a call that ended while it gave the folder its name has left."""
        with suppress(OSError):
            (self.root / JOURNAL_NAME).unlink()
        # It may be half deleted; what it had before it got this name was a conversion's.
        if self._replaced.is_dir() and self._stranger(self._replaced) is None:
            shutil.rmtree(self._replaced)

    def __exit__(self, *error: object) -> None:
        # What follows a line that could not be written whole would be lost with it.
        with suppress(OSError):
            self._journal.close()
        if not self.notes and self.partial.exists():
            shutil.rmtree(self.partial, ignore_errors=True)


@contextmanager
def resumable(root: Path) -> Iterator[None]:
    """Add to an error what is kept, and how to go on."""
    try:
        yield
    except (FileExistsError, BlockingIOError):
        raise
    except (OSError, KeyboardInterrupt) as error:
        error.add_note(
            f"while converting to {str(root)!r}; what is finished is kept: {how_to_go_on(error)}"
        )
        raise


def differences(there: Any, here: Any) -> list[str]:
    """Say in words what another request has that this one has not."""
    if not isinstance(there, dict) or not isinstance(here, dict):
        return ["everything"]
    return [
        f"{name} ({there.get(name)!r:.100} there, {here.get(name)!r:.100} here)"
        for name in here
        if there.get(name) != here[name]
    ]
