"""Deleting what may be gone already; what cannot be deleted by a fault is an error."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

__all__ = ["delete", "delete_empty"]

_STAYS = {
    getattr(errno, name)
    for name in ("ENOTEMPTY", "EEXIST", "ENOENT", "ENOTDIR", "EBUSY", "EACCES", "EPERM", "EINVAL")
}


def delete(path: Path) -> None:
    """Delete a file, if it is there."""
    with suppress(FileNotFoundError, NotADirectoryError):
        path.unlink()


def delete_empty(folders: Iterable[Path]) -> None:
    """Delete those folders that are empty; the others, and what is no folder, stay."""
    for folder in folders:
        try:
            folder.rmdir()
        except OSError as error:
            if error.errno not in _STAYS:
                raise
