"""Where a file of a dataset lies: below its folder, under a name that leads nowhere else."""

from __future__ import annotations

import errno
import os
import re
import stat
from pathlib import Path

from starfish_fetch.errors import naming

__all__ = ["LARGEST_DESCRIPTION", "check_name", "check_place", "read_own"]

LARGEST_DESCRIPTION = 2**30
"""Bytes of a ``dataset.json``; more is never written."""

# Control characters, halves of characters, and what Windows takes for a drive or a stream.
_UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff:\\]")
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$) *(\..*)?", re.I)
_LONGEST = 1024
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def check_name(path: str) -> None:
    """Refuse a path, below a folder, that some platform would look for elsewhere.

    Raises
    ------
    ValueError
        If it is not to be written or read, on whatever platform.

    Examples
    --------
    >>> check_name("r0/aux.tiff")
    Traceback (most recent call last):
        ...
    ValueError: 'r0/aux.tiff' has the part 'aux.tiff', which Windows takes for a device: rename it
    """
    parts = path.split("/")
    if not parts[0] or not parts[-1] or ".." in parts:
        raise ValueError(f"{path!r:.120} leads outside of its folder: name a file below it")
    if found := _UNFIT.search(path):
        raise ValueError(
            f"{path!r:.120} has the character {found[0]!r}, {_why_unfit(found[0])}: leave it out"
        )
    if len(path) > _LONGEST:
        raise ValueError(
            f"{path!r:.120}... has {len(path)} characters; {_LONGEST} are allowed: shorten it"
        )
    for part in parts:
        if _DEVICES.fullmatch(part):
            raise ValueError(
                f"{path!r:.120} has the part {part!r}, which Windows takes for a device: rename it"
            )
        # Windows leaves those off, so that ".. " is "..".
        if part != "." and part.endswith((".", " ")):
            raise ValueError(
                f"{path!r:.120} has the part {part!r}, which ends in {part[-1]!r}; Windows leaves "
                "that off, and looks for another file: leave it out"
            )


def _why_unfit(character: str) -> str:
    if character in ":\\":
        return "which Windows takes for the end of a drive, a file or a folder"
    return "which cannot be printed, and not every platform has it in names"


def check_place(root: Path, path: str) -> Path:
    """Return where a file of a dataset is, without opening it.

    Links are followed as long as they stay in the folder.

    Raises
    ------
    FileNotFoundError
        If there is none.
    OSError
        If it is no plain file, or a link leads out of the folder.
    """
    real = os.path.realpath(root / path, strict=True)
    if not Path(real).is_relative_to(os.path.realpath(root)):
        raise OSError(
            errno.ELOOP,
            f"a link leads out of the folder, to {real!r}, and is not followed; put the file "
            "itself there",
            str(root / path),
        )
    kind = stat.S_IFMT(os.stat(real).st_mode)
    if kind != stat.S_IFREG:  # a pipe would keep its reader waiting for ever
        words = _KINDS.get(kind, "something else")
        raise OSError(errno.EINVAL, f"it is {words}, and should be a file", str(root / path))
    return Path(real)


def read_own(root: Path, name: str) -> bytes:
    """Read a file that says something of the dataset in its folder.

    Raises
    ------
    OSError
        As of :func:`check_place`.
    ValueError
        If it is larger than any description.
    """
    with naming(root / name), check_place(root, name).open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > LARGEST_DESCRIPTION:
            raise ValueError(
                f"{root / name} has {size} bytes; a description has at most {LARGEST_DESCRIPTION}"
            )
        return file.read(size)
