"""Commands that are interrupted; run by the server of syscall_faults."""

from __future__ import annotations

import os
import signal
import sys
from itertools import count
from pathlib import Path

from syscall_faults import SIGNAL, Faults, everything

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


def run(command, work, at=None):
    """Run a command in a child; return its status, what it said, and which call was interrupted."""
    said, told = Path(work).with_name("said"), Path(work).with_name("which")
    child = os.fork()
    if child == 0:
        os.chdir(work)
        null, output = (
            os.open(os.devnull, os.O_RDWR),
            os.open(said, os.O_CREAT | os.O_RDWR | os.O_TRUNC),
        )
        os.dup2(null, 1)
        os.dup2(output, 2)
        sys.argv = ["starfish-fetch", *command.split()]
        signal.signal(signal.SIGINT, signal.default_int_handler)
        faults, status = Faults(work), 0
        if at is not None:
            faults.arm(SIGNAL, at, signal.SIGINT)
        try:
            main()
        except SystemExit as end:
            status = end.code or 0
        except BaseException as error:
            status = 99
            print(f"{type(error).__name__} came out", file=sys.stderr)
        told.write_text(faults.disarm()[1])
        sys.stderr.flush()
        os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return status, said.read_text(), told.read_text()


def interrupts(name, work, step, first=1):
    """Press Ctrl-C at each call of a command; then give it once more."""
    command, before = COMMANDS[name], set(everything(work))
    heard, problems, tried = 0, [], 0
    for at in count(first, step):
        status, said, which = run(command, work, at)
        if not which:
            break
        tried += 1
        names = {path.name for path in Path(work).iterdir()} - before
        found = [f"left {one}" for one in names if "partial" in one and one not in RESUMED]
        if status == 130:
            heard += 1
            if not said.startswith("error: interrupted") or said.count("\n") != 1:
                found.append(f"said {said!r}")
        elif status:
            found.append(f"status {status}: {said!r}")
        status, said, _ = run(command, work)
        if status:
            found.append(f"afterwards: status {status}, {said!r}")
        for path in sorted(Path(work).rglob("*"), reverse=True):
            if path.relative_to(work).as_posix() not in before:
                path.rmdir() if path.is_dir() else path.unlink()
        problems += [f"call {at}, {which}: {one}" for one in found]
    return {"tried": tried, "heard": heard, "problems": problems}
