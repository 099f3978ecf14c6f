"""What lies beside the images of content "spots": molecules, codebook, nuclei."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from synth._nuclei import nuclei
from synth._sample import parameters
from synth.molecules import codebook, molecules, target_names
from synth.spec import Spec

__all__ = ["CODEBOOK_NAME", "check_truth", "truth_files", "truth_problems", "write_truth"]

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


def check_truth(spec: Spec, root: Path, images: Iterable[str], *, begun: bool) -> None:
    """Refuse what would be overwritten: files of others, and images of these names.

    Raises
    ------
    ValueError
        If the path of an image begins with one of the names.
    FileExistsError
        If one of the files is there, with another content, before the write has begun.
    """
    taken = {PurePosixPath(path).parts[0].casefold() for path in images}
    for name, make in truth_files(spec).items():
        if name in taken:
            raise ValueError(f"the layout names {name!r}, which is the dataset's own")
        if not begun and not _is(root / name, make) and (root / name).exists():
            raise FileExistsError(
                f"{str(root / name)!r} is in the way: no write of this dataset has made it. "
                "Choose another folder, or delete the file first"
            )


def write_truth(spec: Spec, root: Path, *, only_missing: bool) -> None:
    """Write the files, each whole or not at all."""
    for name, make in truth_files(spec).items():
        if not (only_missing and (root / name).exists()):
            _write_whole(root / name, make())


def truth_problems(spec: Spec, root: Path) -> Iterator[tuple[str, int, str]]:
    """Compare the files with what they should be; yield the name, the fov and what is wrong."""
    for name, make in truth_files(spec).items():
        fov = next((fov for fov in spec.fovs if f"_fov{fov}" in name), spec.fovs[0])
        if not (root / name).exists():
            yield name, fov, "is missing; the same call of synth.write writes it again"
        elif not _is(root / name, make):
            yield name, fov, "was changed: it is not what the spec says"


def _is(path: Path, make: Callable[[], bytes]) -> bool:
    import tifffile

    try:
        if path.suffix != ".tiff":
            return path.read_bytes() == make()
        # Of an image the pixels count: another tifffile may write other bytes around them.
        seen, wanted = tifffile.imread(path), tifffile.imread(io.BytesIO(make()))
        return seen.dtype == wanted.dtype and np.array_equal(seen, wanted)
    except Exception:  # whatever damage makes of an image, tifffile has an exception for it
        return False


def _write_whole(path: Path, data: bytes) -> None:
    temporary = path.with_name(path.name + ".new")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    finally:
        with suppress(OSError):
            temporary.unlink()


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
