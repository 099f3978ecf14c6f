"""The exceptions and warnings that are this library's own; all others are Python's."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike, fspath

__all__ = [
    "DataFormatWarning",
    "MissingExtraError",
    "OutsideTileError",
    "SourceError",
    "how_to_go_on",
    "naming",
    "note_tile",
    "require",
    "without_frames",
]


class DataFormatWarning(Warning):
    """Data loaded, but not all of it is what a user would expect."""


class OutsideTileError(ValueError, IndexError):
    """A crop reaches beyond the tile, or keeps nothing of it.

    An IndexError too, because that is what starfish raises for a row or column out of range.
    """


class SourceError(ValueError):
    """A file is there, but is not what the layout and the extent say that it is."""


class MissingExtraError(ImportError):
    """A feature needs a package that this installation does not have."""


def note_tile(
    error: BaseException, fov: int, key: tuple[int, int, int], source: object = None
) -> None:
    """Add which tile (round, ch, zplane) an exception is about, as a note (PEP 678), once.

    Examples
    --------
    >>> error = ValueError("not 2-D")
    >>> note_tile(error, 0, (1, 2, 3), "r1.tiff")
    >>> error.__notes__
    ["tile (fov=0, round=1, ch=2, zplane=3) from 'r1.tiff'"]
    """
    note = "tile (fov={}, round={}, ch={}, zplane={})".format(fov, *key)
    if source is not None:
        note += f" from {source!r}"
    if note not in getattr(error, "__notes__", ()):
        error.add_note(note)


def without_frames(error: BaseException) -> None:
    """Let go of what the frames of an error, and of all that led to it, hold: pixels, open files.

    Examples
    --------
    >>> try:
    ...     raise OSError("gone")
    ... except OSError as error:
    ...     without_frames(error)
    ...     error.__traceback__ is None
    True
    """
    seen: set[int] = set()  # ``raise error from error`` is its own cause
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        one.__traceback__ = None
        waiting += one.__cause__, one.__context__
        if isinstance(one, BaseExceptionGroup):
            waiting += one.exceptions


@contextmanager
def naming(path: str | PathLike[str]) -> Iterator[None]:
    """Within it, an OSError that names no file names this one: reads and writes name none.

    Examples
    --------
    >>> with naming("r1.tiff"):
    ...     raise OSError(errno.EIO, "Input/output error")
    Traceback (most recent call last):
    OSError: [Errno 5] Input/output error: 'r1.tiff'
    """
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = fspath(path)
        raise


_REMEDIES = {
    **dict.fromkeys(
        [errno.ENOSPC, errno.EDQUOT], "the same call writes the rest, once there is room"
    ),
    **dict.fromkeys(
        [errno.EACCES, errno.EPERM, errno.EROFS],
        "the same call writes the rest, once it may write there; else choose another folder",
    ),
    **dict.fromkeys(
        [errno.ENAMETOOLONG, errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ELOOP],
        "choose another folder, or other names",
    ),
}


def how_to_go_on(error: BaseException) -> str:
    """Say what helps when something could not be written that can be resumed.

    Examples
    --------
    >>> how_to_go_on(OSError(errno.ENOSPC, "No space left on device"))
    'the same call writes the rest, once there is room'
    >>> how_to_go_on(KeyboardInterrupt())
    'the same call writes the rest'
    """
    number = error.errno if isinstance(error, OSError) else None
    return _REMEDIES.get(number or 0, "the same call writes the rest")


def require(module: str, extra: str, purpose: str) -> MissingExtraError:
    """Build the error for a missing optional package.

    Parameters
    ----------
    module : str
        The package that could not be imported.
    extra : str
        The extra of this distribution that installs it.
    purpose : str
        What needs it, as the start of a sentence.

    Examples
    --------
    >>> print(require("xarray", "xarray", "ImageStack.xarray"))
    ImageStack.xarray needs xarray: pip install 'starfish-fetch[xarray]'
    """
    return MissingExtraError(
        f"{purpose} needs {module}: pip install 'starfish-fetch[{extra}]'", name=module
    )
