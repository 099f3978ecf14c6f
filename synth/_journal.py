"""What an unfinished write has finished, so that the next one need not do it again."""

from __future__ import annotations

import errno
import json
import os
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from starfish_fetch.json_fields import read_json
from synth._manifest import JOURNAL_NAME, FileRecord, Manifest, records_from
from synth._place import read_own
from synth._whole import write_whole

__all__ = ["Journal", "read_journal"]


class Journal:
    """``dataset.json.partial``: a header, then a line of JSON for each finished file.

    A file is noted before it gets its final name. So a file under its final name is always in the
    journal, however the write ended; the reverse has to be looked up.
    """

    def __init__(self, root: Path, manifest: Manifest, finished: Mapping[str, FileRecord]) -> None:
        self._path = root / JOURNAL_NAME
        lines = [_line(manifest.header()), *(_entry(*item) for item in finished.items())]
        write_whole(self._path, "".join(lines).encode())
        self._file = self._path.open("a", encoding="utf-8", newline="\n")
        self._lock = threading.Lock()
        self._broken: BaseException | None = None
        self.finished = dict(finished)

    def note(self, path: str, record: FileRecord) -> None:
        """Add a finished file. Safe from several threads."""
        with self._lock:
            if self._broken is not None:
                code = getattr(self._broken, "errno", None) or errno.EIO
                message = f"could not be written: {os.strerror(code)}"
                raise OSError(code, message, str(self._path)) from self._broken
            try:
                self._file.write(_entry(path, record))
                self._file.flush()
            except BaseException as error:
                # The line may be there in part; whatever followed would be lost with it.
                self._broken = error
                error.add_note(f"while noting it in {self._path.name!r}")
                raise
            self.finished[path] = record

    def remove(self) -> None:
        """Close the journal and delete it."""
        self._close()
        self._path.unlink(missing_ok=True)

    def _close(self) -> None:
        try:
            self._file.close()
        except OSError:
            # A full disk is reported by note(); closing flushes the same bytes in vain.
            if self._broken is None:
                raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()


def read_journal(root: Path) -> Manifest | None:
    """Return what an unfinished write was to write, and what it had finished.

    Raises
    ------
    ValueError
        If there is a journal that cannot be read.
    """
    where = root / JOURNAL_NAME
    try:
        header, *lines = read_own(root, JOURNAL_NAME).splitlines(keepends=True) or [b""]
        fields = read_json(header)
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ValueError(f"{where} is not a journal: {error}; delete it to begin anew") from error
    manifest = Manifest.from_header(fields, where)
    entries: dict[str, Any] = {}
    for line in lines:
        # A line without its end was being written when the write ended.
        if line.endswith(b"\n"):
            try:
                path, fields = read_json(line)
                entries[path] = fields
            except (TypeError, ValueError) as error:
                raise ValueError(f"{where} has the line {line!r:.80}, no entry") from error
    return replace(manifest, files=records_from(entries, where))


def _line(fields: Any) -> str:
    return json.dumps(fields) + "\n"


def _entry(path: str, record: FileRecord) -> str:
    return _line([path, record.to_json()])
