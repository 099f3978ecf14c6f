"""Conversions that go on while calls into the system fail; run by the server of syscall_faults."""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
from pathlib import Path

from syscall_faults import FAIL, SIGNAL, Faults, everything, left_behind, told

import starfish_fetch as sf
from starfish_fetch.layout import Layout
from synth import Dataset, Spec, write

SPEC = Spec(2, [0, 3], 2, (12, 10))


def prepare(kind, base):
    """Write what is converted, what a conversion leaves, and another that gives way to it."""
    base = Path(base)
    write(SPEC, Layout.per_round(), base / "work" / "tiffs")
    convert(kind, base / "work", base / "written")
    if kind == "spacetx":
        convert(kind, base / "work", base / "before", tile_format="TIFF")
    else:
        convert(kind, base / "work", base / "before", levels=2)


def convert(kind, work, out="out", **options):
    """One user's call."""
    data = Dataset.open(Path(work, "tiffs"))
    with sf.TiffTileFetcher(Path(work, "tiffs"), Layout.per_round(), data.extent()) as fetcher:
        if kind == "spacetx":
            sf.to_spacetx(fetcher, data.extent(), Path(work, out), **options)
        else:
            sf.to_ome_zarr(fetcher, data.extent(), Path(work, out), chunk=8, **options)


class Place:
    """A folder of conversions, and what the call is to leave in it."""

    def __init__(self, kind, base, over):
        self.kind, self.over = kind, over
        self.work, self._before = Path(base, "work"), Path(base, "before")
        self.out = self.work / "out"
        self.written, self.before = everything(Path(base, "written")), everything(self._before)

    def call(self):
        convert(self.kind, self.work, overwrite=self.over)

    def reset(self):
        """Begin anew, beside nothing or over another conversion."""
        for path in self.work.iterdir():
            if path.name != "tiffs":
                shutil.rmtree(path)
        if self.over:
            shutil.copytree(self._before, self.out)

    def wrong(self):
        """Say what is there that should never be, whatever went wrong."""
        if not self.out.exists():
            return []
        allowed = [self.written, self.before] if self.over else [self.written]
        there = everything(self.out)
        there.pop("conversion.jsonl", None)  # until the next call, which deletes it
        return [] if there in allowed else [f"half of it: {sorted(there)}"]

    def unfinished(self):
        """Say what of the call's result is not there, or too much."""
        problems = []
        if everything(self.out) != self.written:
            problems.append("the same call does not finish it")
        names = {path.name for path in self.work.iterdir()}
        if names != {"tiffs", "out"}:
            problems.append(f"left beside it: {sorted(names - {'tiffs', 'out'})}")
        return problems

    def again(self):
        """Make the same call again, without a fault; say what is wrong after it."""
        try:
            self.call()
            return self.unfinished()
        except Exception as raised:
            return [f"fails afterwards: {type(raised).__name__}: {told(raised)}"]


def _moments(place):
    faults = Faults(place.work)
    place.reset()
    faults.arm()
    place.call()
    return faults, faults.disarm()[0]


def each_call_fails(kind, base, over, codes, step=1):
    """Let each call of a conversion fail in turn, with each of the codes in turn."""
    place = Place(kind, base, over)
    faults, calls = _moments(place)
    counted = {"calls": calls, "faults": 0, "errors": 0, "unharmed": 0}
    problems = []
    for at in range(1, calls + 1, step):
        name = codes[at // step % len(codes)]
        place.reset()
        faults.arm(FAIL, at, getattr(errno, name))
        error = None
        try:
            place.call()
        except Exception as raised:
            error = raised
        _, which = faults.disarm()
        if not which:
            continue
        counted["faults"] += 1
        counted["unharmed" if error is None else "errors"] += 1
        found = place.wrong()
        if error is not None:
            said = told(error)
            if not isinstance(error, OSError) or error.errno not in (getattr(errno, name), None):
                found.append(f"{type(error).__name__}: {said}")
            elif str(place.work) not in said:
                found.append(f"names no file: {said}")
            error = None
        found += [f"left: {one}" for one in left_behind(place.work)]
        found += place.again()
        problems += [f"{name} at call {at}, {which}: {one}" for one in found]
    return {**counted, "problems": problems}


def interrupts(kind, base, over, step=1):
    """Press Ctrl-C at each call of a conversion."""
    place = Place(kind, base, over)
    faults, calls = _moments(place)
    heard, problems = 0, []
    for at in range(1, calls + 1, step):
        place.reset()
        faults.arm(SIGNAL, at, signal.SIGINT)
        found = []
        try:
            place.call()
        except KeyboardInterrupt:
            heard += 1
        except Exception as raised:
            found.append(f"{type(raised).__name__}: {told(raised)}")
        _, which = faults.disarm()
        # Of folders that it deletes, shutil loses the descriptor; zarr's thread ends its write.
        own = [".out.replaced", *([".out.partial"] if kind == "ome-zarr" else [])]
        files = [one for one in left_behind(place.work) if not any(name in one for name in own)]
        found += place.wrong() + [f"left: {one}" for one in files]
        found += place.again()
        problems += [f"call {at}, {which}: {one}" for one in found]
    return {"calls": calls, "heard": heard, "problems": problems}


def _in_child(function):
    """Run a function in a process of its own; return its exit status."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            function()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def kills(kind, base, over, seed, number=None):
    """Kill conversions at random calls, or at each, some of them again while they are resumed."""
    place = Place(kind, base, over)
    count = Path(base, "count")
    # Threads that zarr starts here would be missing in the children.
    assert _in_child(lambda: count.write_text(str(_moments(place)[1]))) == 0
    calls, chance = int(count.read_text()), random.Random(seed)
    faults, killed, problems = Faults(place.work), 0, []
    every = range(1, calls + 1)
    for at in every if number is None else chance.choices(every, k=number):
        place.reset()
        found = []
        for moment in (at, *chance.choices(every, k=chance.choice([0, 0, 1]))):

            def doomed(moment=moment):
                faults.arm(SIGNAL, moment, signal.SIGKILL)
                place.call()

            killed += _in_child(doomed) == -signal.SIGKILL
            found += place.wrong()
        if _in_child(place.call):
            found.append("fails afterwards")
        else:
            found += place.unfinished()
        problems += [f"kill at {at}: {one}" for one in found]
    return {"calls": calls, "killed": killed, "problems": problems}
