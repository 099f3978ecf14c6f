"""Files that are there whole or not at all: what is being written has another name."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

__all__ = ["draft", "temporary", "write_whole"]


def temporary(path: Path) -> Path:
    """Return the name of an image file while it is written."""
    return path.with_name(path.name + ".partial")


def draft(path: Path) -> Path:
    """Return the name of what :func:`write_whole` writes, while it does."""
    return path.with_name(path.name + ".new")


def write_whole(path: Path, data: bytes) -> None:
    """Write a small file such that it is there whole or not at all."""
    new = draft(path)
    try:
        # A link would be written through; and a killed write may have left a part.
        new.unlink(missing_ok=True)
        with new.open("xb") as file:
            file.write(data)
        os.replace(new, path)
    except OSError as error:
        error.add_note(f"while writing {path.name!r}")
        raise
    finally:
        with suppress(OSError):
            new.unlink()
