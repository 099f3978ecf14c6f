"""What a write will take, before it is begun."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from starfish_fetch.axes import PLANES, Axes
from starfish_fetch.layout import Layout
from synth._checks import check_plan, check_types, folder_of
from synth._damage import plan_damage
from synth._manifest import MANIFEST_NAME, Manifest, Options, planned_files
from synth._plan import plan_write
from synth._truth import truth_files
from synth.dataset import Dataset
from synth.spec import Spec
from synth.write import write

__all__ = ["Estimate", "estimate"]

_SAMPLE_BYTES = 2**25
_SAMPLE_TILES = 200
_FIELDS = {Axes.ROUND: "rounds", Axes.CH: "chs", Axes.ZPLANE: "zplanes"}


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What :func:`estimate` expects of a write.

    Attributes
    ----------
    files, tiles : int
        How many there will be; exact.
    pixel_bytes : int
        Of all tiles, uncompressed; exact.
    bytes : int
        Of all these files, as a part of the image took.
    truth_files : int
        How many there will be beside them, of content "spots": codebook, molecules, nuclei; exact.
    truth_bytes : int
        Of all those, as those of the part took.
    seconds : float
        Of the write of a whole dataset, at the speed of that part.
    seconds_to_disk : float
        The same, until the disk has all of it. With memory to spare, a write does not wait for
        that.
    free : int
        Bytes that are free where the files are to be.
    files_there, bytes_there : int
        Of the files, those that an earlier write of the same has finished.
    files_deleted, bytes_deleted : int
        Files of another dataset that will be deleted first.
    """

    files: int
    tiles: int
    pixel_bytes: int
    bytes: int
    truth_files: int
    truth_bytes: int
    seconds: float
    seconds_to_disk: float
    free: int
    files_there: int
    bytes_there: int
    files_deleted: int
    bytes_deleted: int

    @property
    def fits(self) -> bool:
        """Whether there is room for what is not there yet."""
        wanted = self.bytes + self.truth_bytes - self.bytes_there
        return self.files_there == self.files or wanted <= self.free + self.bytes_deleted


def estimate(
    spec: Spec,
    layout: Layout,
    root: str | os.PathLike[str],
    *,
    options: Options | None = None,
    damage: Iterable[str] = (),
    overwrite: bool = False,
    workers: int | None = None,
) -> Estimate:
    """Say what a write would take, by writing a small part of the image and deleting it.

    The part, of at most 32 MB, is written into a temporary folder beside the root, so to the same
    disk; the root itself is not touched.

    Parameters
    ----------
    spec, layout, root, damage, overwrite, workers
        As of :func:`synth.write`.
    options : Options, optional
        The other arguments of :func:`synth.write`.

    Raises
    ------
    OSError
        If nothing can be written beside the root.
    FileExistsError, ValueError, MissingExtraError
        As :func:`synth.write` would. Whether another writer is at the folder is not asked.

    Examples
    --------
    >>> import tempfile
    >>> spec = Spec(rounds=100, chs=3, zplanes=20, tile_shape=(256, 256))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     expected = estimate(spec, Layout.per_round_ch(), folder + "/new")
    >>> expected.files, expected.tiles, expected.pixel_bytes
    (300, 6000, 786432000)
    """
    root = folder_of(root)
    options = Options() if options is None else options
    check_types(spec, layout)
    files = planned_files(spec, layout)
    manifest = Manifest(spec, layout, options, {}, plan_damage(damage, files, spec.seed))
    check_plan(spec, layout, files, options, workers)
    plan = plan_write(root, manifest, files, overwrite=overwrite)
    pending = {path for path, _, _ in plan.pending}
    there = [record.bytes for path, record in plan.known.items() if path not in pending]
    deleted = [] if plan.replaced is None else plan.replaced.sizes()
    part = _part(spec, layout)
    place = _existing(root)
    _check_place(root, place, _pixel_bytes(part), _pixel_bytes(spec))
    with tempfile.TemporaryDirectory(dir=place, prefix=".synth-estimate-") as folder:
        # What is imported and compiled at the first write is not what takes long at the rest.
        first = Spec(1, 1, 1, (8, 8), dtype=spec.dtype)
        suffix = ".npy" if options.format == "npy" else ".tiff"
        write(first, Layout.per_tile(suffix), Path(folder, "a"), **vars(options))
        start = time.perf_counter()
        written = write(part, layout, Path(folder, "b"), **vars(options), workers=workers)
        seconds = time.perf_counter() - start
        _wait_for_disk(written)
        to_disk = time.perf_counter() - start
        sample = sum(record.bytes for record in written.files.values())
        truth_bytes = _truth_bytes(spec, written)
    share = _pixel_bytes(spec) / _pixel_bytes(part)
    return Estimate(
        files=len(files),
        tiles=sum(len(keys) for _, _, keys in files),
        pixel_bytes=_pixel_bytes(spec),
        bytes=round(sample * share),
        truth_files=len(truth_files(spec)),
        truth_bytes=truth_bytes,
        seconds=seconds * share,
        seconds_to_disk=to_disk * share,
        free=shutil.disk_usage(place).free,
        files_there=len(there),
        bytes_there=sum(there),
        files_deleted=len(deleted),
        bytes_deleted=sum(deleted),
    )


def _pixel_bytes(spec: Spec) -> int:
    counts = (len(labels) for labels in (spec.fovs, spec.rounds, spec.chs, spec.zplanes))
    return prod(counts) * spec.tile_bytes


def _truth_bytes(spec: Spec, part: Dataset) -> int:
    """Return the size of what lies beside the images, given that of a part of them."""
    kinds = {"codebook": 0, "truth": 0, "nuclei": 0}
    for name in truth_files(part.spec):
        kinds[name.partition("_")[0].removesuffix(".json")] += (part.root / name).stat().st_size
    if spec.spots is None:
        return 0
    fovs = len(spec.fovs) / len(part.spec.fovs)
    molecules, its_molecules = (
        max(1, one.spots.count(prod(one.tile_shape), one.area))
        for one in (spec, part.spec)
        if one.spots is not None
    )
    pixels = prod(spec.tile_shape) / prod(part.spec.tile_shape)
    planes = len(spec.zplanes) / len(part.spec.zplanes)
    tables = kinds["truth"] * fovs * molecules / its_molecules
    return round(kinds["codebook"] + tables + kinds["nuclei"] * fovs * pixels * planes)


def _part(spec: Spec, layout: Layout) -> Spec:
    """Return a part of an image that is soon written, in files much like those of the whole."""
    row = spec.tile_shape[1] * np.dtype(spec.dtype).itemsize
    counts = dict.fromkeys(PLANES, 1)
    if spec.content == "spots":  # whose codebook is for all of its rounds and channels
        counts |= {Axes.ROUND: len(spec.rounds), Axes.CH: len(spec.chs)}
    rows = min(spec.tile_shape[0], max(8, _SAMPLE_BYTES // (row * prod(counts.values()))))
    most = max(1, min(_SAMPLE_TILES, _SAMPLE_BYTES // (rows * row)))
    for axis in (*reversed(layout.inner), *reversed(layout.outer)):
        room = most // prod(counts.values())
        counts[axis] = max(counts[axis], min(room * counts[axis], _count(spec, axis)))
    fovs = max(1, min(most // prod(counts.values()), len(spec.fovs)))
    return _fewer(spec, counts, fovs, rows)


def _count(spec: Spec, axis: Axes) -> int:
    return len(getattr(spec, _FIELDS[axis]))


def _fewer(spec: Spec, counts: dict[Axes, int], fovs: int, rows: int) -> Spec:
    fields = spec.to_json()
    for axis, name in _FIELDS.items():
        fields[name] = fields[name][: counts[axis]]
    fields["fovs"] = fields["fovs"][:fovs]
    fields["tile_shape"] = [min(rows, spec.tile_shape[0]), spec.tile_shape[1]]
    return Spec.from_json(fields)


def _existing(root: Path) -> Path:
    """Return the folder that a root is, or will be, in; itself if it is where a disk is mounted."""
    root = root.resolve()
    place = next((folder for folder in root.parents if folder.is_dir()), Path(root.anchor))
    if root.is_dir() and root.stat().st_dev != place.stat().st_dev:
        return root
    return place


def _check_place(root: Path, place: Path, needed: int, pixel_bytes: int) -> None:
    """Refuse where a part cannot be tried, and where a write could not begin."""
    for folder in {place, root if root.is_dir() else place}:
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(
                errno.EACCES, "it may not be written to: choose another folder", str(folder)
            )
    if (free := shutil.disk_usage(place).free) < needed:
        raise OSError(
            errno.ENOSPC,
            f"{free} bytes are free, too few to try a part of it; the image has {pixel_bytes} "
            "bytes of pixels: make room, or choose another folder",
            str(place),
        )


def _wait_for_disk(dataset: Dataset) -> None:
    for path in (*dataset.files, *truth_files(dataset.spec), MANIFEST_NAME):
        with (dataset.root / path).open("rb+") as file:
            os.fsync(file.fileno())
