"""What a write has to do in a folder, given what is there. It looks, and changes nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from synth._journal import read_journal
from synth._manifest import (
    JOURNAL_NAME,
    MANIFEST_NAME,
    FileRecord,
    Manifest,
    PlannedFile,
    read_manifest,
)
from synth._replace import Replaced
from synth._targets import Targets, folders_below
from synth._truth import is_truth
from synth._whole import draft, temporary

__all__ = ["Plan", "plan_write"]


@dataclass(frozen=True)
class Plan:
    """A write that nothing is in the way of.

    Attributes
    ----------
    targets : Targets
        Where everything goes.
    files, pending : sequence of PlannedFile
        All of them, and those to be written.
    known : mapping of str to FileRecord
        The files that an earlier write has noted.
    complete : Manifest or None
        The ``dataset.json`` that is there.
    begun : bool
        Whether there is a journal: what is unfinished then is of a killed write of the same.
    replaced : Replaced or None
        The other dataset that is to be deleted first.
    """

    targets: Targets
    files: Sequence[PlannedFile]
    pending: Sequence[PlannedFile]
    known: Mapping[str, FileRecord]
    complete: Manifest | None
    begun: bool
    replaced: Replaced | None

    @property
    def nothing_to_do(self) -> bool:
        """Whether the dataset is complete, and every file is there."""
        if self.complete is None or self.pending or self.mended:
            return False
        return all(path.exists() for path in self.targets.truth())

    @property
    def mended(self) -> set[str]:
        """The files that a killed write of the complete dataset has written again, and noted."""
        if self.complete is None:
            return set()
        there = self.complete.files
        return {path for path, record in self.known.items() if there.get(path) != record}

    @cached_property
    def folders(self) -> list[Path]:
        """The folders below the root that the files to be written go through, the deepest first."""
        root, of = self.targets.root, self.targets.of
        places = [(of(path), temporary(root / path)) for path, _, _ in self.pending]
        named = [place for pair in places for place in pair if place is not None]
        return folders_below(root, named)

    def unfinished(self) -> Iterator[Path]:
        """Yield the names that files have while they are written."""
        return self.targets.unfinished(path for path, _, _ in self.files)


def plan_write(
    root: Path, manifest: Manifest, files: Sequence[PlannedFile], *, overwrite: bool
) -> Plan:
    """Compare what is in a folder with what is to be there.

    Raises
    ------
    FileExistsError
        If another dataset is there, and is not to be replaced; or what is of no dataset.
    ValueError
        If what describes a dataset there cannot be read.
    """
    try:
        complete = read_manifest(root) if (root / MANIFEST_NAME).exists() else None
        journal = read_journal(root)
    except ValueError as error:
        if overwrite:
            error.add_note("nobody knows which files are its own, so nothing is overwritten")
        raise
    replaced = None
    for name, other in ((MANIFEST_NAME, complete), (JOURNAL_NAME, journal)):
        if other is not None and (differences := manifest.differences(other)):
            if not overwrite:
                raise FileExistsError(
                    f"{str(root / name)!r} is of another dataset: {'; '.join(differences)}. Choose "
                    "another folder, or have that dataset deleted first: overwrite=True, or "
                    "--overwrite"
                )
            replaced = Replaced(root, complete, journal)
    if replaced is not None:
        complete = journal = None
    known: dict[str, FileRecord] = {}
    for other in (complete, journal):
        known |= other.files if other is not None else {}
    targets = Targets(root, manifest)
    if complete is None:
        pending = [file for file in files if not targets.is_there(file[0], known.get(file[0]))]
    else:
        # Finding what was changed since is for Dataset.verify; nothing there is overwritten.
        pending = [file for file in files if not targets.exists(file[0])]
    plan = Plan(targets, files, pending, known, complete, journal is not None, replaced)
    _refuse_strangers(plan)
    return plan


def _refuse_strangers(plan: Plan) -> None:
    root = plan.targets.root
    for path, _, _ in plan.pending:
        if path not in plan.known:
            _refuse(plan, plan.targets.of(path) or root / path)
    if not plan.begun and not plan.nothing_to_do:  # else it is what a killed write has left
        own = {draft(root / name) for name in (JOURNAL_NAME, MANIFEST_NAME)}  # whoever began it
        for left in plan.unfinished():
            if left not in own:
                _refuse(plan, left)
    for folder in plan.folders:
        if folder.is_symlink() or not folder.is_dir():
            _refuse(plan, folder)
    if plan.complete is None and not plan.begun:
        for table in plan.targets.truth():
            if os.path.lexists(table) and not is_truth(plan.targets.manifest.spec, table):
                _refuse(plan, table)


def _refuse(plan: Plan, path: Path) -> None:
    if not os.path.lexists(path) or (plan.replaced is not None and plan.replaced.goes(path)):
        return
    if path.is_symlink() and path.is_dir():
        state = "it is a link, and nothing is written through it"
    else:
        state = "no write of this dataset has noted it"
    raise FileExistsError(
        f"{str(path)!r} is in the way: {state}. Choose another folder, or delete it first"
    )
