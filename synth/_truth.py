"""What lies beside the images of content "spots": the molecules as tables, and the codebook."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from synth._manifest import write_whole
from synth.molecules import codebook, molecules, target_names
from synth.spec import Spec

__all__ = ["CODEBOOK_NAME", "check_truth", "truth_files", "truth_problems", "write_truth"]

CODEBOOK_NAME = "codebook.json"
_SPACETX_VERSION = "0.0.0"


def truth_files(spec: Spec) -> dict[str, Callable[[], str]]:
    """Return what makes the text of each file, by its name; nothing for other contents."""
    if spec.content != "spots":
        return {}
    tables = {f"truth_fov{fov}.csv": partial(_table, spec, fov) for fov in spec.fovs}
    return {CODEBOOK_NAME: partial(_codebook, spec), **tables}


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
    for name, text in truth_files(spec).items():
        if name in taken:
            raise ValueError(f"the layout names {name!r}, which is the dataset's own")
        if not begun and not _is(root / name, text) and (root / name).exists():
            raise FileExistsError(
                f"{str(root / name)!r} is in the way: no write of this dataset has made it. "
                "Choose another folder, or delete the file first"
            )


def write_truth(spec: Spec, root: Path, *, only_missing: bool) -> None:
    """Write the files, each whole or not at all."""
    for name, text in truth_files(spec).items():
        if not (only_missing and (root / name).exists()):
            write_whole(root / name, text())


def truth_problems(spec: Spec, root: Path) -> Iterator[tuple[str, int, str]]:
    """Compare the files with what they should be; yield the name, the fov and what is wrong."""
    fovs = [spec.fovs[0], *spec.fovs]
    for fov, (name, text) in zip(fovs, truth_files(spec).items(), strict=False):
        if not (root / name).exists():
            yield name, fov, "is missing; the same call of synth.write writes it again"
        elif not _is(root / name, text):
            yield name, fov, "was changed: it is not what the spec says"


def _is(path: Path, text: Callable[[], str]) -> bool:
    try:
        return path.read_bytes() == text().encode()
    except OSError:
        return False


def _table(spec: Spec, fov: int) -> str:
    rows = molecules(spec, fov)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(rows.dtype.names or ())
    writer.writerows(rows.tolist())
    return text.getvalue()


def _codebook(spec: Spec) -> str:
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
    return json.dumps({"version": _SPACETX_VERSION, "mappings": mappings}, indent=1) + "\n"
