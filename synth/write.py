"""Spec and layout to files on disk: whole files only, and resumable."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from shutil import disk_usage
from typing import Literal

from starfish_fetch.errors import how_to_go_on
from starfish_fetch.layout import Layout
from starfish_fetch.progress import progress_bar
from synth._checks import check_plan, check_types, file_bytes, folder_of
from synth._damage import Damage, plan_damage
from synth._delete import delete, delete_empty
from synth._files import write_files
from synth._journal import Journal, read_journal
from synth._lock import locked
from synth._manifest import JOURNAL_NAME, MANIFEST_NAME, Manifest, Options, planned_files
from synth._plan import Plan, plan_write
from synth._truth import write_truth
from synth._whole import write_whole
from synth.dataset import Dataset
from synth.spec import Spec

__all__ = ["write"]


def write(
    spec: Spec,
    layout: Layout,
    root: str | os.PathLike[str],
    *,
    compression: str | None = None,
    bigtiff: bool = False,
    byteorder: Literal["<", ">"] = "<",
    ome: bool = True,
    format: Literal["tiff", "imagej", "npy"] = "tiff",
    tiff_tile: tuple[int, int] | None = None,
    rows_per_strip: int | None = None,
    predictor: bool = False,
    linked: bool = False,
    damage: Iterable[str] = (),
    overwrite: bool = False,
    workers: int | None = None,
    progress: bool = False,
) -> Dataset:
    """Write an image as TIFF files; of content "spots", also the truth.

    The truth is a table of :func:`synth.molecules` for each field of view (``truth_fov0.csv``)
    and the codebook (``codebook.json``, which ``starfish.Codebook.open_json`` reads).

    Files appear whole or not at all. If the write is interrupted, killed or short of disk, the
    same call writes what is missing; on a complete dataset it writes again only what was deleted.
    The same call gives the same bytes, with any number of workers.

    A folder has one writer at a time, where its file system knows locks (NFS does not lock
    folders). The write does not wait until the disk has all of it: if the machine itself loses
    power, a file may be there in part. The same call writes such a file again if the write was
    unfinished and the size is wrong; :meth:`Dataset.verify` finds every other.

    Parameters
    ----------
    spec : Spec
        The image.
    layout : Layout
        How it is cut into files.
    root : path
        Folder to write into; it need not exist.
    compression : {None, "deflate", "zlib", "lzw", "zstd"}, optional
        "zlib" is another name for "deflate".
    bigtiff : bool, optional
        Write BigTIFF, which files of 4 GiB and more need.
    byteorder : {"<", ">"}, optional
        Little-endian or big-endian files.
    ome : bool, optional
        Describe each file in OME-XML, rounds as T; dtypes that OME does not know (64-bit integers,
        16-bit floats) are written as plain TIFF.
    format : {"tiff", "imagej", "npy"}, optional
        ``imagej``: hyperstacks as ImageJ writes them, rounds as time points, without OME-XML. Of
        uint8, uint16 or float32; of the axes in a file, c runs fastest and r slowest. ``npy``: one
        array in each file, which the layout has to name ``.npy``.
    tiff_tile : (int, int), optional
        Cut planes into TIFF tiles of so many rows and columns, multiples of 16.
    rows_per_strip : int, optional
        Cut planes into strips of so many rows. Default: one strip; if compressed, of 256 KiB.
    predictor : bool, optional
        Compress the differences between neighbours in a row. Bio-Formats does not read this of
        floats.
    linked : bool, optional
        Let the OME-XML of each file describe its whole field of view, with the UUIDs and names of
        all its files, so that what opens one of them shows them all.
    damage : iterable of {"missing", "truncated", "swapped"}, optional
        Known-bad data: one file is left out, one loses the second half of its bytes, two get each
        other's name. The spec's seed selects the files, each at most once, and ``dataset.json``
        names them.
    overwrite : bool, optional
        Delete another dataset that the folder holds, complete or not: the files that it names, and
        the folders that are empty then. What is of no dataset stays, and is refused where it is in
        the way; all is checked before anything is deleted. The same dataset is not written again,
        nor is one deleted whose description cannot be read.
    workers : int, optional
        Files written at the same time; default: as many as the process may use CPUs, at most 4.
        Peak memory is below 4 tiles for each, and 100 MB, whatever the size of the image.
    progress : bool, optional
        Show a progress bar on stderr, if that is a terminal.

    Returns
    -------
    Dataset
        The dataset, as :meth:`Dataset.open` returns it.

    Raises
    ------
    FileExistsError
        If the folder holds another dataset and overwrite is not given, or if a file that is of no
        dataset is in the way, or a link to a folder; nothing is touched.
    BlockingIOError
        If another writer is at the folder.
    OSError
        If a file cannot be written; a note names it, its field of view and what to do.
    ValueError
        If an argument is not allowed, the layout maps two files to one path, or the
        ``dataset.json`` that is there cannot be read.
    MissingExtraError
        If the compression needs imagecodecs, or the progress bar rich.

    Examples
    --------
    >>> import tempfile
    >>> from starfish_fetch.layout import Layout
    >>> spec = Spec(rounds=2, chs=3, zplanes=4, tile_shape=(64, 48))
    >>> with tempfile.TemporaryDirectory() as root:
    ...     dataset = write(spec, Layout.per_round_ch(), root)
    ...     len(dataset.files), dataset.verify().ok
    (6, True)
    """
    root = folder_of(root)
    options = Options(
        compression,
        bigtiff,
        byteorder,
        ome,
        format,
        tiff_tile,
        rows_per_strip,
        predictor,
        linked,
    )
    if not isinstance(overwrite, bool):
        raise TypeError(f"overwrite must be True or False; got {overwrite!r}")
    check_types(spec, layout)
    files = planned_files(spec, layout)
    workers = check_plan(spec, layout, files, options, workers)
    manifest = Manifest(spec, layout, options, {}, plan_damage(damage, files, spec.seed))
    total = len(files) * file_bytes(spec, files)
    with progress_bar(progress, "writing", total, in_bytes=True) as advance:
        with _resumable(root):
            root.mkdir(parents=True, exist_ok=True)
        with locked(root):
            plan = plan_write(root, manifest, files, overwrite=overwrite)
            with _resumable(root):
                for left in plan.unfinished() if plan.begun else ():
                    delete(left)
            _check_room(plan)
            with _resumable(root):
                return _write(plan, workers, advance)


def _check_room(plan: Plan) -> None:
    """Refuse to begin what cannot fit; how much compressed pixels take is not known."""
    manifest, root = plan.targets.manifest, plan.targets.root
    if manifest.options.compression is not None:
        return
    wanted = len(plan.pending) * file_bytes(manifest.spec, plan.files)
    free = disk_usage(root).free + sum([] if plan.replaced is None else plan.replaced.sizes())
    if wanted > free:
        raise OSError(
            errno.ENOSPC,
            f"the image takes {wanted} bytes more, and {free} are free: make room, or choose "
            "another folder or a smaller image; nothing is written",
            str(root),
        )


@contextmanager
def _resumable(root: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, KeyboardInterrupt) as error:
        error.add_note(
            f"while writing the dataset in {str(root)!r}; what is finished is kept: "
            f"{how_to_go_on(error)}"
        )
        raise


def _write(plan: Plan, workers: int, advance: Callable[[int], None]) -> Dataset:
    targets, manifest, complete = plan.targets, plan.targets.manifest, plan.complete
    root = targets.root
    if complete is not None and plan.nothing_to_do:
        if plan.begun:
            (root / JOURNAL_NAME).unlink()
        return Dataset(root, complete)
    if plan.replaced is not None:
        plan.replaced.remove()
    written = len(plan.files) - len(plan.pending)
    advance(written * file_bytes(manifest.spec, plan.files))
    absent = [folder for folder in plan.folders if not folder.exists()]
    try:
        # A file stays noted while it is written again; else it would be a stranger to the next.
        with Journal(root, manifest, plan.known) as journal:
            write_files(targets, plan.pending, journal, workers, advance)
            write_truth(manifest.spec, root, only_missing=complete is not None)
            records = {path: journal.finished[path] for path, _, _ in plan.files}
            manifest = replace(manifest, files=records, damage=_damage_done(plan))
            write_whole(root / MANIFEST_NAME, manifest.text().encode())
            journal.remove()
    except BaseException:
        _clean(plan)  # an interrupt may come before a file is cleaned up where it is written
        if not plan.begun:
            _take_back(root, absent)
        raise
    return Dataset(root, manifest)


def _damage_done(plan: Plan) -> tuple[Damage, ...]:
    """Return the damage; that of a file which was not written now is as it was noted."""
    planned = plan.targets.manifest.damage
    noted = planned if plan.complete is None else plan.complete.damage
    written = {path for path, _, _ in plan.pending} | plan.mended
    return tuple(
        before if before.sha256 and written.isdisjoint(before.paths) else plan.targets.done(one)
        for one, before in zip(planned, noted, strict=True)
    )


def _take_back(root: Path, folders: Iterable[Path]) -> None:
    """Leave nothing of a write that has finished no file."""
    with suppress(OSError, ValueError):
        journal = read_journal(root)
        if journal is not None and not journal.files:
            delete_empty(folders)  # while the journal is there, which names them
            delete(root / JOURNAL_NAME)


def _clean(plan: Plan) -> None:
    for path in plan.unfinished():
        with suppress(OSError):
            path.unlink()
