"""The dataset that gives way to another: its files, and no others, are deleted."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from synth._delete import delete, delete_empty
from synth._manifest import JOURNAL_NAME, MANIFEST_NAME, Manifest, planned_paths
from synth._targets import Targets, folders_below

__all__ = ["Replaced"]


class Replaced:
    """The files that a dataset names, complete or not.

    Parameters
    ----------
    root : Path
        Its folder.
    complete, journal : Manifest or None
        What its ``dataset.json`` and its journal say.

    Raises
    ------
    FileExistsError
        If one of them is a folder now, or lies behind a link; nothing is touched.
    """

    def __init__(self, root: Path, complete: Manifest | None, journal: Manifest | None) -> None:
        self._root = root
        files: dict[Path, None] = {}
        for manifest in (complete, journal):
            if manifest is not None:
                files |= dict.fromkeys(_named(root, manifest, unfinished=manifest is journal))
        self._files = files
        self._folders = folders_below(root, files)
        for folder in self._folders:
            if folder.is_symlink():
                raise FileExistsError(
                    f"{str(folder)!r} is a link, and nothing is deleted through it. Choose another "
                    "folder, or delete the link first"
                )
        for path in files:
            if path.is_dir() and not path.is_symlink():
                raise FileExistsError(
                    f"{str(path)!r} is a folder, where the dataset that is to be replaced has a "
                    "file. Choose another folder, or delete this one first"
                )

    def goes(self, path: Path) -> bool:
        """Return whether nothing of what is at a path stays there."""
        if path in self._files:
            return True
        if path not in self._folders or path.is_symlink() or not path.is_dir():
            return False
        return all(map(self.goes, path.iterdir()))

    def sizes(self) -> Sequence[int]:
        """Return how many bytes each file has that is there."""
        sizes = []
        for path in self._files:
            with suppress(FileNotFoundError, NotADirectoryError):
                sizes.append(os.lstat(path).st_size)
        return sizes

    def remove(self) -> None:
        """Delete the files, then the folders that are empty now, and at last what names them.

        Ended before that, it is begun again.
        """
        for path in self._files:
            delete(path)
        delete_empty(self._folders)
        for name in (JOURNAL_NAME, MANIFEST_NAME):
            delete(self._root / name)


def _named(root: Path, manifest: Manifest, *, unfinished: bool) -> list[Path]:
    targets = Targets(root, manifest)
    paths = [path for path, _, _ in planned_paths(manifest.spec, manifest.layout)]
    places = [targets.of(path) for path in paths if path in manifest.files]
    files = [place for place in places if place is not None] + targets.truth()
    return [*files, *targets.unfinished(paths)] if unfinished else files
