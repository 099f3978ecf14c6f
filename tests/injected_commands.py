"""Commands that are interrupted, killed, or cannot write; run by the server of syscall_faults."""

from __future__ import annotations

import errno
import io
import json
import os
import random
import shutil
import signal
import sys
import time
from itertools import count
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from syscall_faults import FAIL, SIGNAL, Faults, everything, threads_left

from starfish_fetch.cli import main

COMMANDS = {
    "load": "load data --verify --out stack.npy",
    "profile": "profile data --repeat 1 --orders r --out profile.json --html profile.html",
    "check": "check data --only tiles_repeat --junit check.xml",
    "compare": "compare before.json before.json",
    "convert": "convert data out --to spacetx",
    "synth": "synth write more --rounds 1 --chs 2 --zplanes 2 --size 16",
}
# What an interrupted command may leave: the whole of what it writes, and what its next run resumes.
RESUMED = (".out.partial", "more")
# Those whose result is the same each time.
REPEATED = {
    "load": "load data --verify --out stack.npy",
    "spacetx": "convert data out --to spacetx",
    "ome-zarr": "convert data out --to ome-zarr",
}
# With a {} for what the names of files begin with.
WRITERS = {
    "stack": "load data --out {}stack.npy",
    "converted": "load data --dtype float32 --out {}stack.npy",
    "profile": "profile data --repeat 1 --orders r --out {}profile.json",
    "page": "profile data --repeat 1 --orders r --html {}profile.html",
    "plot": "profile data --repeat 1 --orders r --plot {}profile.svg",
    "picture": "profile data --repeat 1 --orders r --plot {}profile.png",
    "junit": "check data --only tiles_repeat --junit {}check.xml",
}
BEFORE = b"what was there before"


class Child:
    """A command in a process of its own."""

    def __init__(self, command, work, arm=None, below="."):
        self._said, self._told = Path(work).with_name("said"), Path(work).with_name("told")
        reading, writing = os.pipe()
        self.number = os.fork()
        if self.number == 0:
            self._run(command, work, arm, below, writing)
        os.close(writing)
        os.read(reading, 1)  # it begins
        os.close(reading)

    def _run(self, command, work, arm, below, begun):
        os.chdir(work)
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 1)
        os.dup2(os.open(self._said, os.O_CREAT | os.O_RDWR | os.O_TRUNC), 2)
        sys.argv = ["starfish-fetch", *command.split()]
        signal.signal(signal.SIGINT, signal.default_int_handler)
        faults, status = Faults(Path(work, below)), 0
        if arm is not None:
            faults.arm(*arm)
        try:
            try:
                os.write(begun, b"!")
                main()
            except SystemExit as end:
                status = end.code or 0
            except BaseException as error:
                status = 99
                print(f"{type(error).__name__} came out", file=sys.stderr)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        except KeyboardInterrupt:  # after the command had ended
            pass
        which = faults.disarm()[1]
        self._told.write_text(json.dumps([which, threads_left()]))
        sys.stderr.flush()
        os._exit(status)

    def end(self):
        """Return its status, what it said, which call was another, and which threads were left."""
        status = os.waitstatus_to_exitcode(os.waitpid(self.number, 0)[1])
        which, left = ["", []] if status == -signal.SIGKILL else json.loads(self._told.read_text())
        return status, self._said.read_text(), which, left


def _ended(status, said):
    """Say what is wrong with how an interrupted command ended."""
    if status == 130:
        one_line = said.startswith("error: interrupted") and said.count("\n") == 1
        return [] if one_line else [f"said {said!r}"]
    return [f"status {status}: {said!r}"] if status else []


def _unfinished(work, before):
    """Return what an interrupted command should not have left."""
    names = {path.name for path in Path(work).iterdir()} - before
    return [f"left {one}" for one in names if "partial" in one and one not in RESUMED]


def _clean(work, before):
    for path in Path(work).iterdir():
        if path.name not in before:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def interrupts(name, work, step, first=1):
    """Press Ctrl-C at each call of a command; then give it once more."""
    command, before = COMMANDS[name], set(os.listdir(work))
    heard, problems, tried = 0, [], 0
    for at in count(first, step):
        status, said, which, left = Child(command, work, (SIGNAL, at, signal.SIGINT)).end()
        if not which:
            break
        tried += 1
        heard += status == 130
        found = _unfinished(work, before) + _ended(status, said) + left
        status, said, *_ = Child(command, work).end()
        if status:
            found.append(f"afterwards: status {status}, {said!r}")
        _clean(work, before)
        problems += [f"call {at}, {which}: {one}" for one in found]
    return {"tried": tried, "heard": heard, "problems": problems}


def stops(name, work, number, how, seed):
    """Interrupt or kill a command at random moments; then give it once more."""
    command, before = REPEATED[name], set(os.listdir(work))
    kind, chance = getattr(signal, how), random.Random(seed)
    seconds = 0.0
    for _ in range(2):  # the first time takes longer
        _clean(work, before)
        start = time.perf_counter()
        assert Child(command, work).end()[:2] == (0, "")
        seconds = time.perf_counter() - start
    written, stopped, tried, problems = everything(work), 0, 0, []
    while stopped < number and tried < 10 * number:
        tried += 1
        _clean(work, before)
        found, moment = [], chance.uniform(0, seconds)
        child = Child(command, work)
        time.sleep(moment)
        os.kill(child.number, kind)
        status, said, _, left = child.end()
        stopped += status in (130, -signal.SIGKILL)
        there = everything(work)
        if kind == signal.SIGINT:
            # An empty line is click's, where it is interrupted between what is ours.
            found += _ended(status, said.removeprefix("\n")) + _unfinished(work, before) + left
        if any(there[path] != written.get(path, there[path]) for path in there):
            found.append("half a file")
        if "out" in there and not there.keys() - {"out/conversion.jsonl"} >= written.keys():
            found.append("half a folder")
        status, said, *_ = Child(command, work).end()
        if status:
            found.append(f"afterwards: status {status}, {said!r}")
        if everything(work) != written:
            found.append(f"afterwards: {sorted(everything(work).keys() ^ written.keys())}")
        problems += [f"after {moment / seconds:.3f} of it: {one}" for one in found]
    _clean(work, before)
    return {"stopped": stopped, "tried": tried, "seconds": seconds, "problems": problems}


def _is_whole(kind, data):
    """Return whether a file is what its name says."""
    try:
        if kind == ".npy":
            return np.load(io.BytesIO(data)).any()
        if kind == ".json":
            return bool(json.loads(data))
        if kind == ".png":
            return data.endswith(b"IEND\xaeB`\x82")
        if kind == ".html":
            return data.rstrip().endswith(b"</html>")
        ElementTree.fromstring(data)
    except (ValueError, SyntaxError):
        return False
    return True


def writes_fail(name, work, codes, step):
    """Let each call of a command into the folder that it writes into fail, with a code each."""
    before = set(os.listdir(work))
    command = WRITERS[name].format("new/")
    path = Path(work, "new", command.rpartition("/")[2])
    counted, problems = {"faults": 0, "errors": 0}, []
    for at in count(1, step):
        code = codes[at // step % len(codes)]
        path.parent.mkdir()
        path.write_bytes(BEFORE)
        child = Child(command, work, (FAIL, at, getattr(errno, code)), below="new")
        status, said, which, found = child.end()
        data, there = path.read_bytes(), os.listdir(path.parent)
        _clean(work, before)
        if not which:
            break
        counted["faults"] += 1
        counted["errors"] += status == 1
        if status not in (0, 1) or (status == 0) != (data != BEFORE):
            found.append(f"status {status}, {data[:40]!r}: {said!r}")
        one_line = said.startswith("error: ") and said.count("\n") == 1
        # The folder, where that is what cannot be looked at.
        named = f"new/{path.name}: " in said or f"{path.parent}: " in said
        if status == 1 and not (one_line and named):
            found.append(f"said {said!r}")
        if data != BEFORE and not _is_whole(path.suffix, data):
            found.append("half a file")
        if there != [path.name]:
            found.append(f"left {there}")
        problems += [f"{code} at call {at}, {which}: {one}" for one in found]
    return {**counted, "problems": problems}
