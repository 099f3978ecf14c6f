"""A folder has one writer at a time, and a dead one keeps nobody out."""

import errno
import importlib
import os
import signal
import subprocess
import sys
import threading
import time
import types

import pytest
from test_cli import run, said_in_one_line
from test_synth_write import SPEC, contents, per_round

from starfish_fetch.layout import Layout
from synth import write

locks = importlib.import_module("synth._lock")
tiffs = importlib.import_module("synth._tiffs")
fcntl = pytest.importorskip("fcntl")

HOLDER = """
import sys
from pathlib import Path
from synth._lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds a folder."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def test_another_process_is_refused_until_the_first_is_killed(tmp_path, holder):
    with pytest.raises(BlockingIOError, match="is writing into this folder: wait") as caught:
        write(SPEC, per_round(), tmp_path)
    assert caught.value.filename == str(tmp_path)
    assert contents(tmp_path) == {}
    holder.kill()
    holder.wait()
    assert write(SPEC, per_round(), tmp_path).verify().ok
    assert len(contents(tmp_path)) == 5


def test_the_command_says_so(tmp_path, holder):
    said = said_in_one_line(run("synth", "write", tmp_path, "--rounds", 1), 1)
    assert said.startswith(f"{tmp_path}: another synth.write is writing into this folder")
    assert contents(tmp_path) == {}


def test_a_complete_dataset_is_left_to_its_writer(tmp_path):
    write(SPEC, per_round(), tmp_path)
    with locks.locked(tmp_path), pytest.raises(BlockingIOError):
        write(SPEC, per_round(), tmp_path)
    write(SPEC, per_round(), tmp_path)


def test_of_two_threads_one_writes(tmp_path, monkeypatch):
    begun, go_on, errors = threading.Event(), threading.Event(), []
    real = tiffs.pieces

    def tile(*args):
        begun.set()
        assert go_on.wait(20)
        return real(*args)

    def first():
        try:
            write(SPEC, per_round(), tmp_path, workers=1)
        except BaseException as error:
            errors.append(error)

    monkeypatch.setattr(tiffs, "pieces", tile)
    thread = threading.Thread(target=first)
    thread.start()
    try:
        assert begun.wait(20)
        before = contents(tmp_path)
        for layout in (per_round(), Layout.per_tile()):
            with pytest.raises(BlockingIOError):
                write(SPEC, layout, tmp_path, overwrite=True)
        assert contents(tmp_path) == before
    finally:
        go_on.set()
        thread.join()
    assert errors == []
    assert write(SPEC, per_round(), tmp_path).verify().ok


def test_a_failed_write_lets_the_next_one_in(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(tiffs, "pieces", None)
        with pytest.raises(TypeError):
            write(SPEC, per_round(), tmp_path)
    write(SPEC, per_round(), tmp_path)


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EBADF, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_written_to(tmp_path, monkeypatch, code):
    def flock(descriptor, how):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", flock)
    assert write(SPEC, per_round(), tmp_path).verify().ok


def test_on_windows_a_file_is_locked_and_removed(tmp_path, monkeypatch):
    def locking(descriptor, how, count):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PermissionError(errno.EACCES, "Permission denied") from None

    windows = types.SimpleNamespace(locking=locking, LK_NBLCK=2)
    monkeypatch.setitem(sys.modules, "msvcrt", windows)
    (tmp_path / "dataset.json.lock").write_bytes(b"")  # as a killed writer leaves it
    for _ in range(2):
        with locks._file_locked(tmp_path):
            with pytest.raises(BlockingIOError), locks._file_locked(tmp_path):
                raise AssertionError
            assert set(contents(tmp_path)) == {"dataset.json.lock"}
        assert contents(tmp_path) == {}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing is forked here")
def test_a_child_that_was_forked_meanwhile_holds_no_lock(tmp_path):
    with locks.locked(tmp_path):
        child = os.fork()
        if child == 0:
            time.sleep(60)
            os._exit(0)
    try:
        with locks.locked(tmp_path):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
