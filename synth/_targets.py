"""Where the content of each file of a dataset goes, and what of it is there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from synth._damage import Damage, left_of, placed
from synth._manifest import JOURNAL_NAME, MANIFEST_NAME, FileRecord, Manifest
from synth._tiffs import digest
from synth._truth import truth_files
from synth._whole import draft, temporary

__all__ = ["Targets", "folders_below"]


class Targets:
    """The places of a dataset's files, which damage may have changed."""

    def __init__(self, root: Path, manifest: Manifest) -> None:
        self.root = root
        self.manifest = manifest
        self._placed = placed(manifest.damage)

    def of(self, path: str) -> Path | None:
        """Return the final place of a file's content; None if it has none."""
        place = self._placed.get(path, path)
        return None if place is None else self.root / place

    def done(self, damage: Damage) -> Damage:
        """Return damage that was done, with the digest of what is left of a truncated file."""
        if damage.kind != "truncated":
            return damage
        return damage._replace(sha256=digest(self.root / damage.paths[0]).sha256)

    def exists(self, path: str) -> bool:
        """Return whether there is a file, or is to be none."""
        place = self.of(path)
        return place is None or place.exists()

    def is_there(self, path: str, record: FileRecord | None) -> bool:
        """Return whether a file was noted and has its size."""
        place = self.of(path)
        if record is None or place is None:
            return record is not None
        # Of a file that the journal notes, a crash of the machine may have left but a part.
        with suppress(FileNotFoundError, NotADirectoryError):
            return place.stat().st_size == left_of(path, record, self.manifest.damage)
        return False

    def truth(self) -> list[Path]:
        """Return the places of what lies beside the images."""
        return [self.root / name for name in truth_files(self.manifest.spec)]

    def unfinished(self, paths: Iterable[str]) -> Iterator[Path]:
        """Yield the names that files have while they are written, those of these images too."""
        yield from (temporary(self.root / path) for path in paths)
        yield from map(draft, self.truth())
        yield from (draft(self.root / name) for name in (JOURNAL_NAME, MANIFEST_NAME))


def folders_below(root: Path, paths: Iterable[Path]) -> list[Path]:
    """Return the folders between a root and files below it, the deepest first."""
    folders: set[Path] = set()
    for path in paths:
        folder = path.parent
        while folder != root and folder not in folders:
            folders.add(folder)
            folder = folder.parent
    return sorted(folders, key=lambda folder: (-len(folder.parts), folder))
