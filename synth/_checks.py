"""What cannot be written is refused before anything is looked for on the disk."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path, PurePosixPath

import numpy as np

from starfish_fetch.cpus import available_cpus
from starfish_fetch.errors import require
from starfish_fetch.layout import Layout
from synth._manifest import MANIFEST_NAME, Options, PlannedFile
from synth._ome import check_linked
from synth._tiffs import IMAGEJ_AXES, IMAGEJ_DTYPES, LARGEST_CLASSIC
from synth._truth import truth_files
from synth.spec import Spec

__all__ = ["check_plan", "check_types", "file_bytes", "folder_of"]


def folder_of(root: str | os.PathLike[str]) -> Path:
    """Return the folder to write into, which has to be named.

    Raises
    ------
    ValueError
        If the name is empty: a variable of a script was not set.
    """
    if not os.fspath(root):
        raise ValueError("the folder to write into has an empty name: name it, '.' for this one")
    return Path(root)


def check_types(spec: object, layout: object) -> None:
    """Refuse what is no image, and the name of a layout in place of one."""
    if not isinstance(spec, Spec):
        raise TypeError(f"spec must be a synth.Spec; got {spec!r:.80}")
    if not isinstance(layout, Layout):
        raise TypeError(
            f"layout must be a Layout, such as Layout.per_round() or Layout('r{{r}}.tiff', "
            f"inner='cz'); got {layout!r:.80}"
        )


def check_plan(
    spec: Spec, layout: Layout, files: list[PlannedFile], options: Options, workers: int | None
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


def _check(spec: Spec, files: list[PlannedFile], options: Options) -> None:
    truth = truth_files(spec)
    for path, _, _ in files:
        first = PurePosixPath(path).parts[0].casefold()
        own = MANIFEST_NAME if first.startswith(MANIFEST_NAME) else first.removesuffix(".new")
        if own == MANIFEST_NAME or own in truth:
            raise ValueError(f"the layout names {path!r}; {own!r} is the dataset's own")
    count = file_bytes(spec, files)
    if count > LARGEST_CLASSIC and not options.bigtiff and options.format != "npy":
        raise ValueError(
            f"each file holds {count} bytes of pixels, more than a classic TIFF can: pass "
            "bigtiff=True, or choose a layout with more files"
        )


def file_bytes(spec: Spec, files: Sequence[PlannedFile]) -> int:
    """Return how many bytes of pixels each file has; they all have as many."""
    return len(files[0][2]) * spec.tile_bytes


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
