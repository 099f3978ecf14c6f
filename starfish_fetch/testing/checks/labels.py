"""Whether a label selects its own tile."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise, permutations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from starfish_fetch.axes import TileKey
from starfish_fetch.testing._file_pages import find_in, pages_of
from starfish_fetch.testing._guard import Broken
from starfish_fetch.testing._pixels import look, same
from starfish_fetch.testing._sample import spread
from starfish_fetch.testing.checks._registry import Finding, NotChecked, check
from starfish_fetch.testing.checks._words import several

if TYPE_CHECKING:
    from starfish_fetch.testing._pixels import Look
    from starfish_fetch.testing._subject import Subject

__all__ = ["check_file_names_agree_with_labels", "check_labels_are_honoured"]

_AXES = ("round", "ch", "zplane")
_NAMES = {"round": "rounds", "ch": "channels", "zplane": "z-planes"}
_REMEDY = "Build what is read from the labels that get_tile was given, and from nothing else."


@check("C1", "fail", "A tile under the wrong label is another gene, another round, another depth.")
def check_labels_are_honoured(subject: Subject) -> Iterator[Finding]:
    """Every label of round, channel, z-plane and field of view selects its own tile.

    The loop that fetched the files leaves its variables behind, and the fetcher builds its path
    from those: every tile is the last file's. A constructor takes z before channel; files are
    sorted by name, with c10 before c2; a label is taken for a position in a list. All of it loads
    without a complaint, and what comes out is an image, with each gene, round or depth under
    another's name.

    With ``expected``, every tile that is read is compared with its own pixels, and the message
    names the tile whose pixels it holds instead, and the pattern. Without, only repeated pixels
    show: a failure if a label that nobody ever wrote gives them as well, else a suspicion, as data
    may repeat. Rounds and channels that are swapped need ``expected``; tiles that are blank or too
    small are left out.

    Wrong::

        for r, c in itertools.product(range(2), range(3)):
            download(f"fov0_r{r}_c{c}.tiff", to="data")

        def tile_data(self):
            path = f"data/fov{self.fov}_r{r}_c{c}.tiff"  # whose r and c?
            return tifffile.imread(path, key=self.z)

    Right::

        for r, c in itertools.product(range(2), range(3)):
            download(f"fov0_r{r}_c{c}.tiff", to="data")

        def tile_data(self):
            path = f"data/fov{self.fov}_r{self.r}_c{self.c}.tiff"
            return tifffile.imread(path, key=self.z)
    """
    looks = subject.looks
    if subject.oracle is None:
        yield from _without_oracle(subject, looks)
        return
    wrong = {
        seen.key: seen.difference
        for seen in subject.tiles
        if seen.difference is not None and seen.difference.kind == "label"
    }
    found = {key: wrong[key].found or key for key in wrong}
    if found:
        key, other = next(iter(found.items()))
        changed = f", {wrong[key].text}" if wrong[key].text else ""
        total = sum(seen.differs for seen in subject.tiles)
        fov = wrong[key].fov
        if fov is not None and fov != subject.extent.fov:
            yield Finding(
                f"{subject.named(key)} holds the pixels of {subject.named(other, fov)}. "
                f"{several(total, len(subject.tiles))} are wrong: the field of view is not the "
                "one that was asked for.",
                _REMEDY,
                tuple(found),
            )
            return
        yield Finding(
            f"{subject.named(key)} holds the pixels of {_labels(other)}{changed}. "
            f"{several(total, len(subject.tiles))} are wrong: {_pattern(found, subject)}.",
            _REMEDY,
            tuple(found),
        )
    yield from _other_fovs(subject)


def _labels(key: TileKey) -> str:
    return f"(r={key.round}, c={key.ch}, z={key.zplane})"


def _pattern(found: Mapping[TileKey, TileKey], subject: Subject) -> str:
    """Name the simplest rule by which asked labels became found ones."""
    extent = subject.extent
    axes = dict(zip(_AXES, (extent.rounds, extent.chs, extent.zplanes), strict=True))
    changed = [
        name
        for name in _AXES
        if any(getattr(k, name) != getattr(f, name) for k, f in found.items())
    ]
    if len(found) == 1:
        return f"of it alone, the {' and '.join(_NAMES[name] for name in changed)} are others"
    if len(set(found.values())) == 1:
        only = _labels(next(iter(found.values())))
        return f"all of them hold {only}, as if labels were left over from a loop"
    for order in list(permutations(range(3)))[1:]:
        if all(other == tuple(key[axis] for axis in order) for key, other in found.items()):
            moved = [_NAMES[_AXES[axis]] for axis in range(3) if order[axis] != axis]
            return f"{' and '.join(moved)} are swapped"
    const = [name for name in changed if len({getattr(f, name) for f in found.values()}) == 1]
    if len(changed) > 1 and const == changed:
        kept = next(iter(found.values()))
        told = ", ".join(f"{name[0]}={getattr(kept, name)}" for name in changed)
        names = " and ".join(_NAMES[name] for name in changed)
        return f"{names} are ignored: {told} is returned for all, as if left over from a loop"
    if len(changed) == 1:
        (name,) = changed
        pairs = {getattr(key, name): getattr(other, name) for key, other in found.items()}
        return f"{_NAMES[name]} {_pattern_of_axis(pairs, axes[name])}"
    return f"{' and '.join(_NAMES[name] for name in changed)} are mixed up"


def _pattern_of_axis(pairs: Mapping[int, int], labels: tuple[int, ...]) -> str:
    count = len(labels)
    place = {label: index for index, label in enumerate(labels)}
    by_name = sorted(labels, key=str)
    step = (place[next(iter(pairs.values()))] - place[next(iter(pairs))]) % count
    step = step - count if step > count // 2 else step

    def all_are(rule: Callable[[int], int | None]) -> bool:
        return all(rule(asked) == got for asked, got in pairs.items())

    if len(set(pairs.values())) == 1:
        only = next(iter(pairs.values()))
        if len(pairs) >= count - 1:
            return f"are ignored: label {only} is returned for every other"
        if all(only < asked for asked in pairs) or all(only > asked for asked in pairs):
            return f"are clamped: label {only} is returned for {sorted(pairs)}"
    if all_are(lambda label: labels[(place[label] + step) % count]):
        return f"are off by {step:+d}"
    if all_are(lambda label: labels[count - 1 - place[label]]):
        return "are reversed"
    if all_are(lambda label: by_name[place[label]]):
        return "are in the order of their names (10 before 2): sort by number"
    if all_are(lambda label: labels[label] if 0 <= label < count else None):
        return "are taken for positions: a label is a name, not an index"
    return f"are mixed up: {', '.join(f'{a} gives {b}' for a, b in sorted(pairs.items()))}"


def _other_fovs(subject: Subject) -> Iterator[Finding]:
    assert subject.oracle is not None
    key = subject.few[0]
    if subject.seen[key].differs:
        return
    for fov in subject.oracle.other_fovs():
        expected, here = subject.oracle.pixels(key, fov), subject.oracle.pixels(key)
        if not look(here).telling or same(expected, here):
            continue
        try:
            data = subject.fresh().read(key, fov)
        except Broken:
            continue
        if isinstance(data, np.ndarray) and same(data, here):
            yield Finding(
                f"{subject.named(key, fov)} holds the pixels of fov={subject.extent.fov}: the "
                "field of view is ignored.",
                _REMEDY,
                (key,),
            )
            return


def _without_oracle(subject: Subject, looks: dict[TileKey, Look]) -> Iterator[Finding]:
    """Judge by what pixels say of themselves, or by tiles that are identical.

    Identical tiles may be in correct data as well.
    """
    fov = subject.extent.fov
    for key, decoded in subject.written.items():
        if (decoded.fov, decoded.round, decoded.ch, decoded.zplane) != (fov, *key):
            yield Finding(
                f"The pixels of {subject.named(key)} say of themselves that they are of "
                f"(fov={decoded.fov}, r={decoded.round}, c={decoded.ch}, z={decoded.zplane}).",
                _REMEDY,
                (key,),
            )
            return
    groups: dict[bytes, list[TileKey]] = defaultdict(list)
    for key, seen in looks.items():
        if seen.telling:
            groups[seen.digest].append(key)
    alike = [keys for keys in groups.values() if len(keys) > 1]
    if not alike:
        if not any(seen.telling for seen in looks.values()):
            raise NotChecked("the tiles are blank or too small to tell one from another")
        yield from _halves(subject, looks)
        yield from _order_in_file(subject, looks)
        return
    keys = max(alike, key=len)
    digest = looks[keys[0]].digest
    # A label that nobody ever wrote selects the same pixels: it was not looked at.
    ignored = [
        name
        for name, by_kind in subject.strangers.items()
        if len({getattr(key, name) for key in keys}) > 1
        and _gives(subject, by_kind["far"], keys, digest)
    ]
    where = f"{_labels(keys[0])} and {_labels(keys[1])}"
    text = f"{several(len(keys), len(looks))} hold the same pixels, {where} among them"
    if ignored:
        names = " and ".join(_NAMES[name] for name in ignored)
        yield Finding(
            f"{text}, and so does a label that does not exist: {names} are ignored.",
            _REMEDY,
            tuple(keys),
        )
        return
    yield Finding(
        f"{text}. Data may be so; expected is that each label has its own.",
        "Compare these tiles with the files; check again with expected=.",
        tuple(keys),
        status="warn",
        certain=False,
    )


def _halves(subject: Subject, looks: dict[TileKey, Look]) -> Iterator[Finding]:
    """Notice pixels of one tile in part of another."""
    first: dict[bytes, TileKey] = {}
    alike = [
        (key, first[half], name)
        for key, seen in looks.items()
        for name, half in zip(("upper", "lower"), seen.halves, strict=True)
        if half is not None and first.setdefault(half, key) != key
    ]
    if alike:
        key, other, name = alike[0]
        yield Finding(
            f"The {name} half of {subject.named(key)} is, to the bit, a half of {_labels(other)}; "
            "the rest differs.",
            "See that a tile is read whole, and not from two places.",
            (key, other),
            status="warn",
            certain=False,
        )


def _order_in_file(subject: Subject, looks: dict[TileKey, Look]) -> Iterator[Finding]:
    """Notice planes of a file that do not follow one another as the labels do."""
    for axis, name in enumerate(_AXES):
        labels = (subject.extent.rounds, subject.extent.chs, subject.extent.zplanes)[axis]
        line = [subject.few[0]._replace(**{name: label}) for label in spread(labels, 6)]
        line = [key for key in line if key in looks and looks[key].telling]
        files = subject.main_files(line)
        if len(line) < 3 or len(set(files.values())) != 1:
            continue
        pages = pages_of(files[line[0]])
        session = subject.fresh()
        places = [find_in(files[key], pages, np.asarray(session.read(key))) for key in line]
        numbers = [place.page for place in places if place is not None and place.kind == "same"]
        if len(numbers) == len(line) and not all(a < b for a, b in pairwise(numbers)):
            yield Finding(
                f"{_NAMES[name].capitalize()} {[key[axis] for key in line]} are the planes "
                f"{numbers} of {Path(files[line[0]]).name!r}, which do not follow one another.",
                f"{_REMEDY} If the file is written so, check with expected= instead.",
                tuple(line),
                status="warn",
                certain=False,
            )


def _gives(subject: Subject, stranger: TileKey, keys: list[TileKey], digest: bytes) -> bool:
    """Return whether an unknown label gives these pixels, the others being those of one of keys."""
    base = subject.strangers_base
    if base in keys:
        answer = subject.answers[stranger]
        return isinstance(answer, np.ndarray) and answer.size > 0 and look(answer).digest == digest
    axis = next(number for number in range(3) if stranger[number] != base[number])
    moved = TileKey(*(stranger[n] if n == axis else keys[0][n] for n in range(3)))
    try:
        data = subject.fresh().read(moved)
    except Broken:
        return False
    return (
        isinstance(data, np.ndarray) and data.shape == subject.shape and look(data).digest == digest
    )


_NUMBER = re.compile(r"\d+")
_FOV = re.compile(r"(?:^|[^a-z])(?:fov|pos|position|field)[-_ ]?$")
_PREFIXES = {
    "round": re.compile(r"(?:^|[^a-z])(?:r|rd|rnd|round|cyc|cycle|hyb)[-_ ]?$"),
    "ch": re.compile(r"(?:^|[^a-z])(?:c|ch|chan|channel|w)[-_ ]?$"),
    "zplane": re.compile(r"(?:^|[^a-z])(?:z|zplane|plane|slice)[-_ ]?$"),
}


@check("C1", "warn", "A file name that contradicts the label is often the first sign of a mix-up.")
def check_file_names_agree_with_labels(subject: Subject) -> Iterator[Finding]:
    """The numbers in the names of the files that are opened go with the labels asked for.

    Files are found with ``glob`` and sorted, which puts c10 between c1 and c2; it was right with
    nine channels. Or round and channel are swapped where the name is built. Every tile exists and
    looks like one, but the names of the files say that it is not the one asked for.

    Looked at are the names of the files that are opened, if each tile has one file and all names
    have one pattern. A number after a word such as r, round, hyb, c, ch, w or z has to rise with
    that label and with no other; that files count from 1, or in steps, is fine. It is always a
    suspicion, for people number files as they like. What is opened in C is not seen.

    Wrong::

        def path(self, fov, r, c):
            return sorted(glob.glob(f"{self.root}/fov{fov}_r{r}_c*.tiff"))[c]

    Right::

        def path(self, fov, r, c):
            return f"{self.root}/fov{fov}_r{r}_c{c}.tiff"
    """
    if subject.oracle is not None and not any(seen.differs for seen in subject.tiles):
        return  # However files are named, their pixels are known to be right.
    names = subject.main_files(_varied(list(subject.looks), subject))
    templates = {_NUMBER.sub("#", Path(name).name) for name in names.values()}
    if len(names) < 2 or len(templates) != 1:
        raise NotChecked("tiles are not read from files that are named by one pattern")
    numbers = {
        key: [int(n) for n in _NUMBER.findall(Path(name).name)] for key, name in names.items()
    }
    pieces = _NUMBER.split(Path(next(iter(names.values()))).name.lower())
    for slot, before in enumerate(pieces[:-1]):
        values = {key: found[slot] for key, found in numbers.items()}
        for axis, pattern in _PREFIXES.items():
            if pattern.search(before):
                yield from _disagreement(subject, axis, values, names)
        fovs = set(values.values())
        if _FOV.search(before) and len(fovs) == 1 and subject.extent.fov not in fovs:
            key, name = next(iter(names.items()))
            yield Finding(
                f"{subject.named(key)} is read from {Path(name).name!r}, whose number for the "
                "field of view is another.",
                f"{_REMEDY} If the files are numbered so, check with expected= instead.",
                tuple(names),
                certain=False,
            )


def _varied(keys: list[TileKey], subject: Subject) -> list[TileKey]:
    """Return tiles that differ in each label, and in more than one."""
    wanted = dict.fromkeys(subject.few)
    for name in _AXES:
        line = {getattr(key, name): key for key in keys}
        wanted.update(dict.fromkeys(line[label] for label in spread(sorted(line), 12)))
    return list(wanted)


def _disagreement(
    subject: Subject, axis: str, values: Mapping[TileKey, int], names: Mapping[TileKey, str]
) -> Iterator[Finding]:
    """Tell when the number after an axis' letter does not rise with that axis' label alone."""
    if len(set(values.values())) == 1:
        return  # Of an axis that the file holds whole, as likely as not.
    by_label: dict[int, set[int]] = defaultdict(set)
    for key, value in values.items():
        by_label[getattr(key, axis)].add(value)
    labels = sorted(by_label)
    wrong = [key for key, value in values.items() if value != getattr(key, axis)]
    if all(len(found) == 1 for found in by_label.values()):
        numbers = [min(by_label[label]) for label in labels]
        if all(before < after for before, after in pairwise(numbers)):
            return
    if wrong:
        key = wrong[0]
        yield Finding(
            f"{subject.named(key)} is read from {Path(names[key]).name!r}, whose number for "
            f"the {_NAMES[axis]} does not go with the label.",
            f"{_REMEDY} If the files are numbered so, check with expected= instead.",
            tuple(wrong),
            certain=False,
        )
