"""Damage on request: which files of a dataset are to be bad, and how."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from synth._manifest import FileRecord

__all__ = ["DAMAGES", "Damage", "damages_from", "is_sha256", "left_of", "placed", "plan_damage"]

DAMAGES = {"missing": 1, "truncated": 1, "swapped": 2}
"""Each kind of damage, and how many files it takes."""


class Damage(NamedTuple):
    """What was done, on purpose, to files of a dataset.

    Attributes
    ----------
    kind : {"missing", "truncated", "swapped"}
        ``missing``: there is no such file. ``truncated``: the first half of its bytes is there.
        ``swapped``: each of two files is under the name of the other.
    paths : tuple of str
        The files, below the root of the dataset; two if they are swapped, else one.
    sha256 : str or None
        Of what is left of a truncated file.

    Examples
    --------
    >>> print(Damage("swapped", ("r0.tiff", "r3.tiff")))
    r0.tiff and r3.tiff: swapped
    """

    kind: str
    paths: tuple[str, ...]
    sha256: str | None = None

    @property
    def planned(self) -> tuple[str, tuple[str, ...]]:
        """What was known before it was done."""
        return self.kind, self.paths

    def to_json(self) -> dict[str, Any]:
        """Return it as what ``json.dumps`` takes."""
        fields: dict[str, Any] = {"kind": self.kind, "paths": list(self.paths)}
        return fields if self.sha256 is None else {**fields, "sha256": self.sha256}

    def __str__(self) -> str:
        return f"{' and '.join(self.paths)}: {self.kind}"


def plan_damage(
    kinds: Iterable[str], files: Sequence[tuple[str, int, Any]], seed: int
) -> tuple[Damage, ...]:
    """Choose files to damage, no file twice; the same for ever for a seed and a layout.

    Parameters
    ----------
    kinds : iterable of str
        A name for each damage to be done.
    files : sequence of (path, field of view, tiles)
        To choose from.
    seed : int
        Selects them.

    Raises
    ------
    TypeError, ValueError
        If a kind is unknown, or there are not enough files.

    Examples
    --------
    >>> files = [(f"r{r}.tiff", 0, ()) for r in range(4)]
    >>> for one in plan_damage(["missing", "swapped"], files, seed=2):
    ...     print(one)
    r3.tiff: missing
    r1.tiff and r2.tiff: swapped
    """
    allowed = ", ".join(DAMAGES)
    if isinstance(kinds, str):
        raise TypeError(f"damage must be a list of names; got {kinds!r}: write [{kinds!r}]")
    kinds = tuple(kinds)
    for kind in kinds:
        if kind not in DAMAGES:
            raise ValueError(f"unknown damage {kind!r}; allowed are {allowed}, each any number")
    wanted = sum(DAMAGES[kind] for kind in kinds)
    if wanted > len(files):
        raise ValueError(
            f"damage {', '.join(kinds)} takes {wanted} files, and the dataset has {len(files)}: "
            "ask for less, or choose a layout with more files"
        )
    left = sorted((path for path, _, _ in files), key=lambda path: _rank(seed, path))
    fov_of = {path: fov for path, fov, _ in files}
    done = []
    for kind in kinds:
        paths = [left.pop(0)]
        if kind == "swapped":
            # Two files of one field of view are what a wrong file name gets wrong.
            alike = [path for path in left if fov_of[path] == fov_of[paths[0]]]
            paths.append((alike or left)[0])
            left.remove(paths[1])
        done.append(Damage(kind, tuple(paths)))
    return tuple(done)


def _rank(seed: int, path: str) -> bytes:
    # No generator of random numbers promises its choices for ever.
    return hashlib.sha256(f"{seed} {path}".encode()).digest()


def placed(damage: Iterable[Damage]) -> dict[str, str | None]:
    """Return where the content of each damaged file is, or None if it is nowhere."""
    places: dict[str, str | None] = {}
    for kind, paths, _ in damage:
        turned: Iterable[str | None] = paths[::-1] if kind == "swapped" else paths
        if kind == "missing":
            turned = [None]
        places |= zip(paths, turned, strict=True)
    return places


def left_of(path: str, record: FileRecord, damage: Iterable[Damage]) -> int:
    """Return how many bytes are left of a file."""
    truncated = any(one.kind == "truncated" and path in one.paths for one in damage)
    return record.bytes // 2 if truncated else record.bytes


def damages_from(fields: Any, where: Path) -> tuple[Damage, ...]:
    """Check what a manifest says of damage, but for whether there are such files.

    Raises
    ------
    ValueError
        If it is not what :func:`synth.write` writes.
    """
    seen: set[str] = set()
    done = []
    if not isinstance(fields, list):
        message = f"{where}: the field 'damage' must be a list; got {fields!r:.80}"
        raise ValueError(message)  # noqa: TRY004
    for one in fields:
        if not isinstance(one, dict) or set(one) - {"sha256"} != {"kind", "paths"}:
            raise ValueError(
                f"{where}: the field 'damage' must give kind and paths; got {one!r:.80}"
            )
        kind, named, sha256 = one["kind"], one["paths"], one.get("sha256")
        if not isinstance(kind, str) or kind not in DAMAGES:
            raise ValueError(f"{where}: the field 'damage' has the unknown kind {kind!r:.80}")
        if not isinstance(named, list) or len(named) != DAMAGES[kind]:
            raise ValueError(
                f"{where}: the field 'damage' must give {DAMAGES[kind]} paths for {kind!r}; "
                f"got {named!r:.80}"
            )
        for path in named:
            if not isinstance(path, str) or path in seen:
                raise ValueError(
                    f"{where}: the field 'damage' names {path!r:.80}, which is no file of the "
                    "dataset, or is damaged twice"
                )
            seen.add(path)
        if "sha256" in one and not (kind == "truncated" and is_sha256(sha256)):
            raise ValueError(f"{where}: the sha256 in 'damage' is {sha256!r:.80}, no digest")
        done.append(Damage(kind, tuple(named), sha256))
    return tuple(done)


def is_sha256(value: Any) -> bool:
    """Return whether a value is the text of a SHA-256."""
    return isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef")
