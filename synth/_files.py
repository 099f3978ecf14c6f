"""Writing the files of a dataset, several at a time."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress

from synth._damage import left_of
from synth._journal import Journal
from synth._manifest import PlannedFile
from synth._targets import Targets
from synth._tiffs import digest, write_tiff
from synth._whole import temporary

__all__ = ["write_files"]


def write_files(
    targets: Targets,
    files: Sequence[PlannedFile],
    journal: Journal,
    workers: int,
    advance: Callable[[int], None],
) -> None:
    """Write files, note each, and give it its place.

    Parameters
    ----------
    targets : Targets
        Where they go.
    files : sequence of PlannedFile
        To be written.
    journal : Journal
        To note them in.
    workers : int
        How many are written at the same time.
    advance : callable
        Called with the bytes of each plane before it is made.
    """
    stop = threading.Event()

    def each_plane(count: int) -> None:
        if stop.is_set():
            raise InterruptedError("another file could not be written")
        advance(count)

    def write_one(file: PlannedFile) -> None:
        _write_file(targets, file, journal, each_plane)

    if workers == 1 or len(files) < 2:
        for file in files:
            write_one(file)
        return
    with ThreadPoolExecutor(workers, "synth.write") as pool:
        try:
            jobs = [pool.submit(write_one, file) for file in files]
            for job in as_completed(jobs):
                job.result()
        except BaseException:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _write_file(
    targets: Targets,
    file: PlannedFile,
    journal: Journal,
    each_plane: Callable[[int], None],
) -> None:
    path, fov, keys = file
    unfinished, target = temporary(targets.root / path), targets.of(path)
    manifest = targets.manifest
    spec, layout, options = manifest.spec, manifest.layout, manifest.options
    try:
        for folder in {unfinished.parent, (target or unfinished).parent}:
            folder.mkdir(parents=True, exist_ok=True)
        pixels_at = write_tiff(unfinished, path, spec, layout, options, fov, keys, each_plane)
        record = digest(unfinished, pixels_at, spec.tile_bytes * len(keys))
        journal.note(path, record)
        if target is None:
            unfinished.unlink()  # or a complete dataset might keep it
        else:
            if (left := left_of(path, record, manifest.damage)) < record.bytes:
                os.truncate(unfinished, left)
            os.replace(unfinished, target)
    except Exception as error:
        error.add_note(f"while writing {path!r} (fov={fov}, {len(keys)} tiles)")
        raise
    finally:
        with suppress(OSError):
            unfinished.unlink()
