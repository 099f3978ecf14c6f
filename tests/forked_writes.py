"""A warm process that forks one process for each write, and stops it at a given moment.

Or lets something fail there: what it does then, if it is a system call.

Orders come as lines of JSON on stdin, and are answered on stdout. Moments are counted before
whatever changes files, after each plane, and after each note in the journal.
"""

import importlib
import json
import os
import select
import signal
import sys
import time
from functools import partial
from pathlib import Path

from starfish_fetch.layout import Layout
from synth import Spec, Spots, write

SPEC = Spec([4, 1], [0, 2], [-1, 0, 7], (64, 48), fovs=[0, 3])
SPOTS = Spec(2, 2, 2, (24, 20), fovs=2, content="spots", spots=Spots(nuclei=2))
PER_ROUND = Layout("fov_{fov}/r{r:02d}.tiff", inner=("z", "c"))
DAMAGE = ("missing", "truncated", "swapped")
TILED = {"compression": "deflate", "tiff_tile": (16, 16), "predictor": True}

CALLS = {
    "plain": partial(write, SPEC, PER_ROUND),
    "damaged": partial(write, SPEC, Layout.per_round_ch(), damage=DAMAGE),
    "spots": partial(write, SPOTS, PER_ROUND),
    "linked": partial(write, SPEC, PER_ROUND, linked=True),
    "compressed": partial(write, SPEC, Layout("{fov}/r{r}_c{c}.tif", inner="z"), **TILED),
    "npy": partial(write, SPEC, Layout.per_round_ch(".npy"), format="npy", damage=["truncated"]),
    # Shares folders and names of files with the others.
    "other": partial(
        write, SPOTS, Layout("fov_{fov}/r{r:02d}.tiff/c{c}", inner="z"), damage=DAMAGE
    ),
}
EVENTS = {"fcntl.flock", "open", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.truncate"}


class Moments:
    """Counts moments; sends this process a signal at one of them, or raises an OSError."""

    def __init__(self, at, number, failure=None):
        self.count = 0
        self._at, self._number, self._failure = at, number, failure
        sys.addaudithook(self._event)
        tiffs, journals = (
            importlib.import_module(f"synth.{name}") for name in ("_tiffs", "_journal")
        )
        self._follow(tiffs, "tile")
        self._follow(tiffs._PlainFile, "write")
        self._follow(journals.Journal, "note")

    def passed(self):
        self.count += 1
        if self.count == self._at:
            if self._failure is not None:
                raise OSError(self._failure, os.strerror(self._failure))
            os.kill(os.getpid(), self._number)

    def _event(self, event, arguments):
        if event in EVENTS:
            self.passed()

    def _follow(self, owner, name):
        real = getattr(owner, name)

        def followed(*arguments):
            result = real(*arguments)
            self.passed()
            return result

        setattr(owner, name, followed)


def write_in_child(order, answer):
    number = getattr(signal, order.get("signal", "SIGKILL"))
    moments = Moments(order.get("at"), number, order.get("errno"))
    start = time.perf_counter()
    error = None
    try:
        CALLS[order["call"]](order["root"], workers=order["workers"], overwrite=order["overwrite"])
    except BaseException as raised:
        error = [type(raised).__name__, str(raised), *getattr(raised, "__notes__", ())]
    seconds = time.perf_counter() - start
    report = {"error": error, "moments": moments.count, "seconds": seconds}
    os.write(answer, json.dumps(report).encode())
    os._exit(0)


def serve():
    for line in sys.stdin:
        order = json.loads(line)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            write_in_child(order, writing)
        os.close(writing)
        ready, _, _ = select.select([reading], [], [], order.get("seconds", 60))
        if not ready:
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        said = os.read(reading, 2**16)
        os.close(reading)
        killed = os.WIFSIGNALED(status)
        print(json.dumps({"killed": True} if killed else json.loads(said)), flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    for name in ("tifffile", "imagecodecs", "synth._nuclei"):
        importlib.import_module(name)
    serve()
