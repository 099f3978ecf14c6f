"""Spec and layout to files on disk: whole files only, and resumable."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np

from starfish_fetch.axes import TileKey
from starfish_fetch.cpus import available_cpus
from starfish_fetch.errors import require
from starfish_fetch.layout import Layout
from starfish_fetch.progress import progress_bar
from synth._damage import Damage, left_of, placed, plan_damage
from synth._journal import Journal, read_journal
from synth._manifest import (
    JOURNAL_NAME,
    MANIFEST_NAME,
    FileRecord,
    Manifest,
    Options,
    planned_files,
    read_manifest,
    write_whole,
)
from synth._ome import check_linked
from synth._tiffs import (
    IMAGEJ_AXES,
    IMAGEJ_DTYPES,
    LARGEST_CLASSIC,
    digest,
    write_tiff,
)
from synth._truth import check_truth, write_truth
from synth.dataset import Dataset
from synth.spec import Spec

__all__ = ["check_plan", "write"]

_File = tuple[str, int, tuple[TileKey, ...]]


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
    workers: int | None = None,
    progress: bool = False,
) -> Dataset:
    """Write an image as TIFF files; of content "spots", also the truth.

    The truth is a table of :func:`synth.molecules` for each field of view (``truth_fov0.csv``)
    and the codebook (``codebook.json``, which ``starfish.Codebook.open_json`` reads).

    Files appear whole or not at all. If the write is interrupted, the same call writes what is
    missing; on a complete dataset it writes again only what was deleted. The same call gives the
    same bytes, with any number of workers.

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
        Compress the differences between neighbours in a row.
    linked : bool, optional
        Let the OME-XML of each file describe its whole field of view, with the UUIDs and names of
        all its files, so that what opens one of them shows them all.
    damage : iterable of {"missing", "truncated", "swapped"}, optional
        Known-bad data: one file is left out, one loses the second half of its bytes, two get each
        other's name. The spec's seed selects the files, each at most once, and ``dataset.json``
        names them.
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
        If the folder holds another dataset, or a file that is not of this one; nothing is touched.
    OSError
        If a file cannot be written; a note names it, its field of view and what to do.
    ValueError
        If an argument is not allowed, or the layout maps two files to one path.
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
    root = Path(root)
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
    files = planned_files(spec, layout)
    workers = check_plan(spec, layout, files, options, workers)
    manifest = Manifest(spec, layout, options, {}, plan_damage(damage, files, spec.seed))
    total = len(files) * _file_bytes(spec, files)
    with progress_bar(progress, "writing", total, in_bytes=True) as advance:
        return _write(root, manifest, files, workers, advance)


def _write(
    root: Path,
    manifest: Manifest,
    files: list[_File],
    workers: int,
    advance: Callable[[int], None],
) -> Dataset:
    complete = read_manifest(root) if (root / MANIFEST_NAME).exists() else None
    journal = read_journal(root)
    known = _noted(root, manifest, complete, journal)
    target = _Targets(root, manifest)
    pending = [file for file in files if not target.is_there(file[0], known.get(file[0]))]
    if complete is not None:
        # Finding what was changed since is for Dataset.verify; nothing there is overwritten.
        pending = [file for file in files if not target.exists(file[0])]
        if not pending:
            write_truth(manifest.spec, root, only_missing=True)
            (root / JOURNAL_NAME).unlink(missing_ok=True)
            return Dataset(root, complete)
    begun = complete is not None or journal is not None
    _refuse_strangers(target, pending, known, begun=begun)
    check_truth(manifest.spec, root, (path for path, _, _ in files), begun=begun)
    advance((len(files) - len(pending)) * _file_bytes(manifest.spec, files))
    missing = {path for path, _, _ in pending}
    finished = {path: record for path, record in known.items() if path not in missing}
    try:
        root.mkdir(parents=True, exist_ok=True)
        with Journal(root, manifest, finished) as notes:
            _write_files(target, pending, notes, workers, advance)
            write_truth(manifest.spec, root, only_missing=complete is not None)
            records = {path: notes.finished[path] for path, _, _ in files}
            damage = tuple(target.done(one) for one in manifest.damage)
            manifest = replace(manifest, files=records, damage=damage)
            write_whole(root / MANIFEST_NAME, manifest.text())
            notes.remove()
    except OSError as error:
        error.add_note(
            f"while writing the dataset in {str(root)!r}; what is finished is kept, and the same "
            "call of synth.write writes the rest"
        )
        raise
    return Dataset(root, manifest)


def _noted(
    root: Path, manifest: Manifest, complete: Manifest | None, journal: Manifest | None
) -> dict[str, FileRecord]:
    """Return the files that an earlier write has noted, if it was to write the same."""
    known: dict[str, FileRecord] = {}
    for name, other in ((MANIFEST_NAME, complete), (JOURNAL_NAME, journal)):
        if other is not None and (differences := manifest.differences(other)):
            raise FileExistsError(
                f"{str(root / name)!r} is of another dataset: {'; '.join(differences)}. Choose "
                "another folder, or delete that dataset first"
            )
        known |= other.files if other is not None else {}
    return known


class _Targets:
    """Where the content of each file goes, which damage may have changed."""

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


def _refuse_strangers(
    targets: _Targets, pending: list[_File], known: dict[str, FileRecord], *, begun: bool
) -> None:
    for path, _, _ in pending:
        place = targets.of(path) or targets.root / path
        candidates = [] if path in known else [place]
        if not begun:  # else it is what a killed write has left
            candidates.append(_temporary(targets.root / path))
        for target in candidates:
            if target.exists() or target.is_symlink():
                raise FileExistsError(
                    f"{str(target)!r} is in the way: no write of this dataset has noted it. "
                    "Choose another folder, or delete the file first"
                )


def _temporary(target: Path) -> Path:
    return target.with_name(target.name + ".partial")


def _write_files(
    targets: _Targets,
    files: list[_File],
    journal: Journal,
    workers: int,
    advance: Callable[[int], None],
) -> None:
    stop = threading.Event()

    def each_plane(count: int) -> None:
        if stop.is_set():
            raise InterruptedError("another file could not be written")
        advance(count)

    def write_one(file: _File) -> None:
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
    targets: _Targets,
    file: _File,
    journal: Journal,
    each_plane: Callable[[int], None],
) -> None:
    path, fov, keys = file
    temporary, target = _temporary(targets.root / path), targets.of(path)
    manifest = targets.manifest
    spec, layout, options = manifest.spec, manifest.layout, manifest.options
    try:
        for folder in {temporary.parent, (target or temporary).parent}:
            folder.mkdir(parents=True, exist_ok=True)
        write_tiff(temporary, path, spec, layout, options, fov, keys, each_plane)
        record = digest(temporary)
        journal.note(path, record)
        if target is not None:
            if (left := left_of(path, record, manifest.damage)) < record.bytes:
                os.truncate(temporary, left)
            os.replace(temporary, target)
    except Exception as error:
        error.add_note(f"while writing {path!r} (fov={fov}, {len(keys)} tiles)")
        raise
    finally:
        with suppress(OSError):
            temporary.unlink()


def check_plan(
    spec: Spec, layout: Layout, files: list[_File], options: Options, workers: int | None
) -> int:
    """Refuse what cannot be written; return the number of workers."""
    count = _workers(workers)
    _check(spec, files, options)
    if options.predictor and np.dtype(spec.dtype).name in ("int64", "uint64"):
        raise ValueError(f"predictor=True is not for {spec.dtype}: TIFF has none for it")
    if options.format == "imagej":
        _check_imagej(spec, layout)
    if options.format == "npy" and not layout.template.endswith(".npy"):
        raise ValueError(
            f"format 'npy' needs a layout that names its files so; got {layout.template!r}: end "
            "the template in .npy, or use a preset such as Layout.per_round('.npy')"
        )
    if options.linked:
        check_linked(spec, files)
    _require_codec(spec, options)
    return count


def _check_imagej(spec: Spec, layout: Layout) -> None:
    if spec.dtype not in IMAGEJ_DTYPES:
        allowed = ", ".join(IMAGEJ_DTYPES)
        raise ValueError(f"ImageJ has no dtype {spec.dtype!r}; allowed are {allowed}")
    wanted = tuple(axis for axis in IMAGEJ_AXES if axis in layout.inner)
    if wanted != layout.inner:
        given, order = (", ".join(map(str, axes)) for axes in (layout.inner, wanted))
        raise ValueError(
            f"in an ImageJ hyperstack c runs fastest and r slowest: inner must be {order}; the "
            f"layout has {given}"
        )


def _check(spec: Spec, files: list[_File], options: Options) -> None:
    for path, _, _ in files:
        first = PurePosixPath(path).parts[0].casefold()
        if first.startswith(MANIFEST_NAME):
            raise ValueError(f"the layout names {path!r}; {MANIFEST_NAME!r} is the dataset's own")
    count = _file_bytes(spec, files)
    if count > LARGEST_CLASSIC and not options.bigtiff and options.format != "npy":
        raise ValueError(
            f"each file holds {count} bytes of pixels, more than a classic TIFF can: pass "
            "bigtiff=True, or choose a layout with more files"
        )


def _file_bytes(spec: Spec, files: list[_File]) -> int:
    """Return how many bytes of pixels each file has; they all have as many."""
    rows, columns = spec.tile_shape
    return len(files[0][2]) * rows * columns * np.dtype(spec.dtype).itemsize


def _require_codec(spec: Spec, options: Options) -> None:
    floats = options.predictor and np.dtype(spec.dtype).kind == "f"
    if options.compression in ("lzw", "zstd") or floats:
        try:
            import_module("imagecodecs")
        except ImportError as error:
            raise require(
                "imagecodecs",
                "codecs",
                f"synth.write(compression={options.compression!r}, predictor={options.predictor})",
            ) from error


def _workers(given: int | None) -> int:
    if given is None:
        return min(4, available_cpus())
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        raise ValueError(f"workers must be an int of at least 1; got {given!r}")
    return given
