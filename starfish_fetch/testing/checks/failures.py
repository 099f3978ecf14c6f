"""Whether what cannot be read is an exception, and never pixels."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from starfish_fetch.axes import TileKey
from starfish_fetch.testing import faults
from starfish_fetch.testing._guard import Broken
from starfish_fetch.testing._pixels import Look, look
from starfish_fetch.testing.checks._registry import Finding, NotChecked, check

if TYPE_CHECKING:
    from starfish_fetch.testing._subject import Subject

__all__ = [
    "check_missing_files_are_errors",
    "check_truncated_files_are_errors",
    "check_unknown_labels_are_refused",
]

_NAMES = {"round": "rounds", "ch": "channels", "zplane": "z-planes"}
_MOST_COPIED = 1 << 28


@check(
    "C10", "fail", "A typing error in a label should be an error, and not somebody else's pixels."
)
def check_unknown_labels_are_refused(subject: Subject) -> Iterator[Finding]:
    """A label that does not exist is an exception.

    Labels are clamped to the last one, taken modulo their number, or looked up with a default; and
    in Python, -1 is the last of a list. Somebody asks for five rounds where there are four, and
    gets the fourth twice. Every barcode is then read with a round that never was, and most still
    decode, to something.

    Asked for are labels just beyond both ends, in gaps and far away, one axis at a time, and a
    field of view far away. The pixels of a known tile, or zeros, are a failure; for a negative
    label or another field of view, a warning. A suspicion are pixels so few or so alike that
    chance may have made them, and other pixels for a label that can hardly exist. Just beyond the
    end, those pass: the extent may leave out tiles that are there.

    Wrong::

        def get_tile(self, fov, r, c, z):
            return MyTile(self, fov, r, c, min(z, 3))

    Right::

        def get_tile(self, fov, r, c, z):
            if z not in range(4):
                raise KeyError(f"there is no z-plane {z}")
            return MyTile(self, fov, r, c, z)
    """
    known = {
        seen.digest: key for key, seen in reversed(subject.looks.items()) if not _is_zero(seen)
    }
    new: list[TileKey] = []
    for name, by_kind in subject.strangers.items():
        for which, key in by_kind.items():
            answer = subject.answers[key]
            if answer is None or isinstance(answer, str):
                continue
            negative = which == "before" and getattr(key, name) < 0
            finding = _of_stranger(subject, name, key, answer, known)
            if finding is None:
                # Of a label just beyond, there may be a tile that the extent leaves out.
                new += [key] if which == "far" else []
            elif negative:
                yield Finding(
                    f"{finding.message} Negative numbers count from the end in Python.",
                    finding.remedy,
                    finding.tiles,
                    status="warn",
                )
            else:
                yield finding
                if finding.certain:
                    return
    if new:
        yield Finding(
            f"{subject.named(new[0])} can hardly exist, but gave pixels.",
            "Raise an exception, such as KeyError, for labels that the data do not have.",
            tuple(new),
            status="warn",
            certain=False,
        )
    yield from _other_fov(subject)


def _is_zero(seen: Look) -> bool:
    return seen.blank and not seen.first > 0


def _of_stranger(
    subject: Subject, name: str, key: TileKey, answer: Any, known: dict[bytes, TileKey]
) -> Finding | None:
    remedy = f"Raise an exception for {_NAMES[name]} that do not exist."
    if not answer.size:
        return None
    seen = look(answer)
    if seen.digest in known:
        other = known[seen.digest]
        text = f"holds the pixels of (r={other.round}, c={other.ch}, z={other.zplane})"
    elif _is_zero(seen):
        text = f"is all {answer[0, 0]}"
    else:
        return None
    return Finding(
        f"{subject.named(key)} does not exist, but {text}; expected an exception.",
        remedy,
        (key,),
        # Few pixels, or all alike, may agree by chance.
        status=None if seen.telling or _is_zero(seen) else "warn",
        certain=seen.telling or _is_zero(seen),
    )


def _other_fov(subject: Subject) -> Iterator[Finding]:
    key = subject.strangers_base
    fov = subject.extent.fov + 100_003
    try:
        data = subject.fresh().read(key, fov)
    except Broken:
        return
    if subject.looks[key].telling and not subject.changed(key, data):
        yield Finding(
            f"{subject.named(key, fov)} holds the pixels of fov={subject.extent.fov}: the field of "
            "view is ignored.",
            "Use fov_id, or raise an exception for any but the one there is.",
            (key,),
            status="warn",
        )


@check("C10", "fail", "A file that was not copied should stop a load, and not be a tile of zeros.")
def check_missing_files_are_errors(subject: Subject) -> Iterator[Finding]:
    """A tile whose file is missing is an exception.

    One file of ten thousand was not copied, and a single missing tile should not stop the
    pipeline: so zeros are returned in its place. A round without signal is a bit that is 0, and a
    barcode with that bit may well be another gene. All that shows is one field of view with odd
    counts.

    The files that are opened for a tile are hidden from Python, first from a fresh fetcher and
    then from one that has read another tile; the files themselves are not touched. Any exception
    will do, and so do the right pixels, from a cache. Where files are opened in C only, as by HDF5
    or OpenCV, there is nothing to hide, and the check is skipped.

    Wrong::

        def tile_data(self):
            try:
                return tifffile.imread(self.path, key=self.z)
            except FileNotFoundError:
                return np.zeros((24, 20), np.uint16)

    Right::

        def tile_data(self):
            return tifffile.imread(self.path, key=self.z)
    """
    key, files = _key_with_files(subject)
    met = False
    before = subject.few[0]
    for with_another in (False, True):
        # What stands in for an error is, as often as not, the tile before.
        if with_another and set(subject.opened(before)) & set(files):
            break
        session = subject.fresh() if with_another else None
        if session is not None:
            session.read(before)
        try:
            with subject.held(faults.missing(*files)) as fault:
                data = (session or subject.fresh()).read(key)
        except (Broken, NotChecked):
            met = met or fault.met
            continue
        met = met or fault.met
        if fault.met and subject.changed(key, data):
            yield Finding(
                f"{subject.named(key)} was read while {Path(files[0]).name!r} could not be found: "
                f"tile_data() returned {_words(data)} instead of an exception.",
                "Let FileNotFoundError out; ImageStack.load(on_error='fill') is how to go on "
                "without.",
                (key,),
            )
            return
    if not met:
        raise NotChecked("its files are not opened anew for a fresh fetcher")


def _key_with_files(subject: Subject) -> tuple[TileKey, list[str]]:
    subject.require_repeatable()
    key = subject.few[-1]
    files = sorted(subject.opened(key))
    if not files:
        raise NotChecked("no file is seen to be opened")
    return key, files


@check("C10", "fail", "A copy that was cut short looks whole if what is missing is filled in.")
def check_truncated_files_are_errors(subject: Subject) -> Iterator[Finding]:
    """A tile whose file ends too early is an exception, or still what it was.

    A copy was interrupted, or a disk was full. Reading such a file may get less than was asked for
    without any error, and an array that was made beforehand keeps its zeros. The lower part of a
    tile is black, or is that of the tile before, and is measured as tissue without molecules.

    A few tiles are read from copies of their files that end after half, and after nine tenths.
    Pixels of the declared shape that are not the tile's are a failure; a warning, if tifffile
    logged that something is missing. Skipped are files of more than 256 MiB, and those that are
    not opened through Python.

    Wrong::

        def tile_data(self):
            pixels = np.zeros((24, 20), np.uint16)
            with open(self.path, "rb") as file:
                file.seek(self.z * pixels.nbytes)
                file.readinto(pixels)
            return pixels

    Right::

        def tile_data(self):
            pixels = np.zeros((24, 20), np.uint16)
            with open(self.path, "rb") as file:
                file.seek(self.z * pixels.nbytes)
                if file.readinto(pixels) != pixels.nbytes:
                    raise EOFError(f"{self.path} ends too early")
            return pixels
    """
    last, files = _key_with_files(subject)
    if sum(Path(file).stat().st_size for file in files) > _MOST_COPIED:
        raise NotChecked("its files are too large to be copied for this")
    met = 0
    for keep in (0.5, 0.9):
        for key in dict.fromkeys([last, *subject.few[:2]]):
            paths = sorted(subject.opened(key))
            if not paths:
                continue
            with subject.held(_logged()) as records:
                try:
                    with subject.held(faults.truncated(*paths, keep=keep)) as fault:
                        data = subject.fresh().read(key)
                except (Broken, NotChecked):
                    met += 1
                    continue
            met += fault.met
            # Of another shape, no load would take it.
            if fault.opens and np.shape(data) == subject.shape and subject.changed(key, data):
                yield _invented(subject, key, paths[0], keep, data, noticed=bool(records))
                return
    if not met:
        raise NotChecked("its files are not opened anew for a fresh fetcher")


def _invented(
    subject: Subject, key: TileKey, path: str, keep: float, data: Any, *, noticed: bool
) -> Finding:
    wrong = np.count_nonzero(np.asarray(data) != subject.reference(key))
    also = " It was logged, but not raised." if noticed else ""
    return Finding(
        f"{subject.named(key)} was read from {Path(path).name!r}, cut to {keep:.0%} of its bytes: "
        f"tile_data() returned {_words(data)}, of which {wrong} are not the file's.{also}",
        "Compare the number of bytes that were read with that expected, and raise an exception.",
        (key,),
        status="warn" if noticed else None,
    )


def _words(data: Any) -> str:
    array = np.asarray(data)
    if array.size and array.dtype.kind in "biuf" and (array == array.flat[0]).all():
        return f"{array.size} pixels, all {array.flat[0]}"
    return f"{array.size} pixels"


@contextmanager
def _logged() -> Iterator[list[logging.LogRecord]]:
    """Collect what tifffile complains of: then, what is missing is not filled in silence."""
    records: list[logging.LogRecord] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    logger, handler = logging.getLogger("tifffile"), Keep(logging.WARNING)
    propagates = logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield records
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagates
