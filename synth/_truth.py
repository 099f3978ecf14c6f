"""What lies beside the images of content "spots": molecules, codebook, nuclei."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Callable, Iterator
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from synth._nuclei import nuclei
from synth._place import check_place
from synth._sample import parameters
from synth._tiffs import check_stored
from synth._whole import write_whole
from synth.molecules import codebook, molecules, target_names
from synth.spec import Spec

__all__ = ["CODEBOOK_NAME", "is_truth", "truth_files", "truth_problems", "write_truth"]

CODEBOOK_NAME = "codebook.json"
_SPACETX_VERSION = "0.0.0"


def truth_files(spec: Spec) -> dict[str, Callable[[], bytes]]:
    """Return what makes the bytes of each file, by its name; nothing for other contents."""
    if spec.content != "spots":
        return {}
    tables = {f"truth_fov{fov}.csv": partial(_table, spec, fov) for fov in spec.fovs}
    images = {
        f"nuclei_fov{fov}_z{zplane}.tiff": partial(_nuclei, spec, zplane, fov)
        for fov in spec.fovs
        for zplane in spec.zplanes
        if parameters(spec).nuclei
    }
    return {CODEBOOK_NAME: partial(_codebook, spec), **tables, **images}


def is_truth(spec: Spec, path: Path) -> bool:
    """Return whether a file holds what the one of its name should."""
    return _is(path, truth_files(spec)[path.name])


def write_truth(spec: Spec, root: Path, *, only_missing: bool) -> None:
    """Write the files, each whole or not at all."""
    for name, make in truth_files(spec).items():
        if not (only_missing and (root / name).exists()):
            write_whole(root / name, make())


def truth_problems(spec: Spec, root: Path) -> Iterator[tuple[str, int, str]]:
    """Compare the files with what they should be; yield the name, the fov and what is wrong."""
    for name, make in truth_files(spec).items():
        named = re.search(r"_fov(-?\d+)", name)
        fov = spec.fovs[0] if named is None else int(named[1])
        try:
            with check_place(root, name).open("rb") as file:
                size = os.fstat(file.fileno()).st_size
        except FileNotFoundError:
            yield name, fov, "is missing; the same call of synth.write writes it again"
        except OSError as error:
            yield name, fov, f"cannot be read: {error}"
        else:
            if size < _least_bytes(spec, name) or not _is(root / name, make):
                yield name, fov, "was changed: it is not what the spec says"


def _least_bytes(spec: Spec, name: str) -> int:
    """Return what a file has at least, so that nothing large is made beside what is small."""
    pixels = prod(spec.tile_shape)
    if name.endswith(".tiff"):
        return pixels * np.dtype(spec.dtype).itemsize
    if name.endswith(".csv"):  # a molecule has eight numbers and a name, and commas between them
        return 16 * parameters(spec).count(pixels, spec.area)
    return 0


def _is(path: Path, make: Callable[[], bytes]) -> bool:
    import tifffile

    try:
        if not path.is_file():
            return False
        if path.suffix != ".tiff":
            text = make()
            return path.stat().st_size == len(text) and path.read_bytes() == text
        # Of an image the pixels count: another tifffile may write other bytes around them.
        wanted = tifffile.imread(io.BytesIO(make()))
        with tifffile.TiffFile(path) as file:
            (page,) = file.pages  # which may say that it is larger than all memory
            if (page.shape, page.dtype) != (wanted.shape, wanted.dtype):
                return False
            check_stored(page, None, None)
            return bool(page.asarray().tobytes() == wanted.tobytes())
    except Exception:  # whatever damage makes of an image, tifffile has an exception for it
        return False


def _nuclei(spec: Spec, zplane: int, fov: int) -> bytes:
    import tifffile

    file = io.BytesIO()
    tifffile.imwrite(file, nuclei(spec, zplane, fov), photometric="minisblack", metadata=None)
    return file.getvalue()


def _table(spec: Spec, fov: int) -> bytes:
    rows = molecules(spec, fov)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(rows.dtype.names or ())
    writer.writerows(rows.tolist())
    return text.getvalue().encode()


def _codebook(spec: Spec) -> bytes:
    """Return the codebook in the JSON of SpaceTx format, version 0.0.0."""
    mappings: list[dict[str, Any]] = []
    for name, code in zip(target_names(spec), codebook(spec), strict=True):
        word = [
            {"r": r, "c": c, "v": int(value) if value == 1 else value}
            for r, by_channel in zip(spec.rounds, code.tolist(), strict=True)
            for c, value in zip(spec.chs, by_channel, strict=True)
            if value
        ]
        mappings.append({"codeword": word, "target": name})
    book = {"version": _SPACETX_VERSION, "mappings": mappings}
    return (json.dumps(book, indent=1) + "\n").encode()
