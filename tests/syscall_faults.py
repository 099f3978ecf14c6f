"""Faults of the system below Python: a library in C, preloaded, lets one call fail.

A test sends orders to a warm process that forks one process for each; the function that an order
names arms the library, and answers with what comes of it. Only calls that touch files below one
folder are counted, so that the same run always makes the same calls.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
from contextlib import contextmanager
from pathlib import Path

import pytest
from long_mode import LONG

OPEN, READ, WRITE, STAT, CHANGE, LIST = (1 << bit for bit in range(6))
ALL = 63
COUNT, FAIL, FAIL_ON, SIGNAL, SHORT = range(5)
SECONDS = 6000 if LONG else 300  # after which an order is given up
WARM = (
    *("numpy", "tifffile", "imagecodecs", "imageio.v2", "zarr", "zarr.codecs", "ome_zarr.writer"),
    *(f"starfish_fetch.{name}" for name in ("convert", "npy", "stack", "summary", "progress")),
    *(f"starfish_fetch.interop.{name}" for name in ("ome_zarr", "spacetx")),
    *(
        "synth",
        "synth._pixels",
        "synth.dataset",
        "importlib.metadata",
        "zarr.storage",
        "rich.progress",
        "starfish_fetch.cli._app",
        "starfish_fetch.cli._run",
        "starfish_fetch.cli._fetchers",
        "starfish_fetch.profile_plot",
        "matplotlib.backends.backend_agg",
        "matplotlib.backends.backend_svg",
    ),
)


class Faults:
    """What a process that was started with the library tells it."""

    def __init__(self, folder):
        self._folder = os.path.realpath(folder).encode()
        self._library = ctypes.CDLL(None)
        self._library.faults_last.restype = ctypes.c_char_p

    def arm(self, mode=COUNT, at=0, value=0, kinds=ALL):
        self._library.faults_arm(self._folder, mode, kinds, at, value)

    def disarm(self):
        """Return how many calls there were since, and the one that failed."""
        count = self._library.faults_count(), self._library.faults_last().decode()
        self._library.faults_arm(b"", COUNT, 0, 0, 0)
        return count


@contextmanager
def server(folder):
    """Start the warm process; yield a function that gives it orders."""
    if sys.platform != "linux" or shutil.which("gcc") is None:
        pytest.skip("faults of the system are made by a library that gcc builds on Linux")
    library = Path(folder, "faults.so")
    source = Path(__file__).with_suffix(".c")
    build = ["gcc", "-shared", "-fPIC", "-O1", "-D_GNU_SOURCE", "-o", library, source, "-ldl"]
    subprocess.run(build, check=True)
    environment = {**os.environ, "LD_PRELOAD": str(library)}
    command = [sys.executable, "-W", "ignore", __file__]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, **pipes) as process:

        def give(function, /, **arguments):
            order = {"function": function, "arguments": arguments, "seconds": SECONDS}
            print(json.dumps(order, default=str), file=process.stdin, flush=True)
            answer = json.loads(process.stdout.readline())
            assert "raised" not in answer, answer["raised"]
            if LONG:  # for whoever counts, with pytest -s
                print(json.dumps({"function": function, **arguments, **answer}, default=str))
            return answer

        yield give
        process.stdin.close()


def told(error):
    """Return all that an exception says."""
    named = getattr(error, "filename", None) or ""
    return "; ".join([f"{named}: {error}", *getattr(error, "__notes__", ())])


def threads_left(before=()):
    """Return the names of the threads that there are beside those before and the main one."""
    threads = [one for one in threading.enumerate() if not one.daemon and one not in before]
    threads = [one for one in threads if one is not threading.main_thread()]
    for thread in threads:
        # A pool's was told to end; it is not alive if its start was interrupted.
        if not thread.name.startswith("starfish_fetch") and thread.is_alive():
            thread.join(5)
    return [thread.name for thread in threads if thread.is_alive()]


def left_behind(folder, before=()):
    """Return the same, and the files below a folder that are open."""
    names, end = threads_left(before), time.monotonic() + 5
    while (files := _open_below(folder)) and time.monotonic() < end:
        time.sleep(0.01)  # zarr's threads end what they write after a call of it has failed
    return [*names, *files]


def _open_below(folder):
    here, files = os.path.realpath(folder), []
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            path = os.readlink(f"/proc/self/fd/{descriptor}")
        except OSError:
            continue
        if path.startswith(here):
            files.append(path)
    return files


def everything(root):
    """Return the bytes of every file below a folder, and None for every folder."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes() if path.is_file() else None
        for path in Path(root).rglob("*")
    }


def _work(order, answer):
    module, _, name = order["function"].partition(":")
    try:
        report = getattr(importlib.import_module(module), name)(**order["arguments"])
    except BaseException:
        report = {"raised": traceback.format_exc()}
    sys.stdout.flush()
    with open(answer, "w") as pipe:
        json.dump(report, pipe)
    os._exit(0)


def _serve():
    for line in sys.stdin:
        order = json.loads(line)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            _work(order, writing)
        os.close(writing)
        said, end = b"", time.monotonic() + order["seconds"]
        while select.select([reading], [], [], max(0, end - time.monotonic()))[0]:
            part = os.read(reading, 1 << 16)
            if not part:
                break
            said += part
        else:
            os.kill(child, signal.SIGKILL)
            said = json.dumps({"raised": f"no end in {order['seconds']} s"}).encode()
        _, status = os.waitpid(child, 0)
        os.close(reading)
        ended = os.waitstatus_to_exitcode(status)
        print(said.decode() or json.dumps({"status": ended}), flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    # What is imported before the fork is there for all; threads of theirs play no part.
    for name in WARM:
        try:
            importlib.import_module(name)
        except ImportError:
            continue
    gc.collect()
    gc.freeze()  # or each collection in a child would go through all that was imported
    _serve()
