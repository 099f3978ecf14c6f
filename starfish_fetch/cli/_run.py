"""One load: what was asked for, and what came of it."""

from __future__ import annotations

import errno
import os
import sysconfig
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Literal

import click
import numpy as np
from numpy.typing import NDArray

from starfish_fetch.axes import Axes, Extent, TileKey, tile_shape_of
from starfish_fetch.cli._errors import asked, others_code
from starfish_fetch.cli._fetchers import Subject
from starfish_fetch.cli._output import replacing
from starfish_fetch.cli._pixels import Comparison, compare
from starfish_fetch.crop import CropParameters, Window
from starfish_fetch.intensity import to_float32
from starfish_fetch.stack import ImageStack
from starfish_fetch.tracing import Trace, trace

__all__ = ["Outcome", "Request", "run"]


@dataclass(frozen=True)
class Request:
    """What to load, how, and what of it to keep."""

    subject: Subject
    crop: CropParameters
    kept: Extent
    window: Window
    group_by: tuple[Axes, ...] | None
    dtype: np.dtype[Any] | None
    workers: int | None
    on_error: Literal["raise", "fill"]
    verify: bool
    progress: bool

    @classmethod
    def of(
        cls,
        subject: Subject,
        *,
        crop_y: slice | None,
        crop_x: slice | None,
        select_rounds: Sequence[int] | None,
        select_chs: Sequence[int] | None,
        select_zplanes: Sequence[int] | None,
        dtype: str,
        **rest: Any,
    ) -> Request:
        """Build a request from the options of a command.

        Raises
        ------
        click.UsageError
            If the image does not have what is to be kept.
        """
        extent = subject.extent
        selected = {"rounds": select_rounds, "chs": select_chs, "zplanes": select_zplanes}
        labels = {}
        for name, wanted in selected.items():
            there = getattr(extent, name)
            absent = sorted(set(wanted or ()) - set(there))
            if absent:
                raise click.UsageError(
                    f"--select-{name}: the image has no {absent}; it has {list(there)}"
                )
            labels[name] = there if wanted is None else tuple(sorted(wanted))
        with asked("--crop-y, --crop-x"):
            crop = CropParameters(
                permitted_rounds=select_rounds,
                permitted_chs=select_chs,
                permitted_zplanes=select_zplanes,
                y_slice=crop_y,
                x_slice=crop_x,
            )
            window = crop.window(tile_shape_of(extent.tile_shape))
        kept = Extent(extent.tile_shape, extent.fov, **labels)
        own = None if dtype == "own" else np.dtype(np.float32)
        return cls(subject, crop, kept, window, dtype=own, **rest)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the stack."""
        kept = self.kept
        return len(kept.rounds), len(kept.chs), len(kept.zplanes), *self.window.shape

    @property
    def known_dtype(self) -> np.dtype[Any] | None:
        """Of the stack, if it is known before the load."""
        if self.dtype is None and self.subject.root is not None and self.subject.dataset:
            return np.dtype(self.subject.dataset.spec.dtype)
        return self.dtype


@dataclass(frozen=True)
class Outcome:
    """What came of a load."""

    stack: ImageStack
    array: NDArray[Any]
    seconds: float
    opens: int
    files: int
    missing: tuple[TileKey, ...]
    compared: Comparison | None

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong with the pixels, one line each."""
        return () if self.compared is None else self.compared.problems

    @property
    def ok(self) -> bool:
        """Whether every pixel is right, as far as that was to be found out."""
        return self.compared is None or (self.compared.ok and not self.missing)


def run(request: Request, path: Path | None) -> Outcome:
    """Load, compare and save.

    Parameters
    ----------
    request : Request
        What to load.
    path : path, optional
        The .npy file to save the stack in. If a pixel is wrong, what was there before stays.
    """
    if path is None:
        return _load(request, None)
    with replacing(path) as temporary:
        out = None
        if request.known_dtype is not None:
            with _saving(path):
                out = _mapped(temporary, request.shape, request.known_dtype)
        outcome = _load(request, out)
        with _saving(path):
            if not outcome.ok:
                temporary.unlink(missing_ok=True)
            elif isinstance(out, np.memmap):
                out.flush()
            else:
                with temporary.open("wb") as file:
                    np.lib.format.write_array(file, outcome.array, allow_pickle=False)
    return outcome


@contextmanager
def _saving(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        error.add_note("while saving the stack")
        raise


def _load(request: Request, out: NDArray[Any] | None) -> Outcome:
    with trace(request.subject.root) as seen, others_code():
        start = time.perf_counter()
        stack = ImageStack.from_tilefetcher(
            request.subject.fetcher,
            **vars(request.subject.extent),
            group_by=request.group_by,
            crop_parameters=request.crop,
            dtype=request.dtype,
            workers=request.workers,
            out=out,
        ).load(on_error=request.on_error, progress=request.progress)
        seconds = time.perf_counter() - start
    array = stack.to_numpy()
    compared = _compare(request, array) if request.verify else None
    opened = _data_files(seen)
    opens, files = sum(opened.values()), len(opened)
    return Outcome(stack, array, seconds, opens, files, stack.missing, compared)


def _compare(request: Request, array: NDArray[Any]) -> Comparison:
    dataset, fov = request.subject.dataset, request.kept.fov
    assert dataset is not None

    def expected(key: TileKey) -> NDArray[Any]:
        pixels = dataset.tile(*key, fov)[request.window.rows, request.window.columns]
        return pixels if request.dtype is None else to_float32(pixels)

    return compare(array, request.kept, expected)


def _mapped(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any] | None:
    """Return an array in a new .npy file, or None where its space cannot be reserved.

    Without the space, a disk that fills up would kill the process instead of raising an error.
    """
    if not hasattr(os, "posix_fallocate"):
        return None
    array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    try:
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, array.offset + prod(shape) * dtype.itemsize)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
            raise
        return None
    return array


def _data_files(seen: Trace) -> dict[str, int]:
    """Return how often each file was opened, other than those of Python and of the system."""
    paths = sysconfig.get_paths()
    skipped = (
        "/proc/",
        "/sys/",
        *(paths[name] for name in ("stdlib", "purelib", "platlib")),
    )
    return {path: count for path, count in seen.by_source.items() if not path.startswith(skipped)}
