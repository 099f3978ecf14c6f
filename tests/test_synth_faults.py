"""Whatever call fails while files are written, the error says so and the same call goes on."""

import errno
import io
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest
from forked_writes import CALLS
from test_synth_overwrite import everything

CODES = [errno.ENOSPC, errno.EIO, errno.EACCES]


class Faults:
    """Lets one of the calls that change files fail; one that writes does half of it before."""

    def __init__(self, patch, at=None, code=errno.EIO):
        self.count = 0
        self._at, self._code = at, code
        self._lock = threading.Lock()
        for name in ("mkdir", "replace", "truncate", "unlink"):
            patch.setattr(os, name, self._failing(getattr(os, name)))
        patch.setattr(io, "FileIO", raw_with(self))
        patch.setattr(pathlib.Path, "open", opener_with(self, pathlib.Path.open))

    def passed(self, path=None, half=lambda: None):
        with self._lock:
            self.count += 1
            if self.count != self._at:
                return
        half()
        raise OSError(self._code, os.strerror(self._code), *([] if path is None else [str(path)]))

    def _failing(self, real):
        def call(path, *args, **options):
            # What cleans up is let through: what it cannot delete it has to leave.
            name = str(path)
            cleans = real.__name__ == "unlink" and name.endswith((".tiff.partial", ".new"))
            if not cleans and not (real.__name__ == "mkdir" and os.path.isdir(path)):
                self.passed(path)
            return real(path, *args, **options)

        return call


def raw_with(faults):
    class Raw(io.FileIO):
        def __init__(self, path, mode):
            faults.passed(path)
            super().__init__(path, mode)

        def write(self, data):
            faults.passed(half=lambda: super(Raw, self).write(bytes(data)[: len(data) // 2]))
            return super().write(data)

    return Raw


def opener_with(faults, real):
    def opened(path, mode="r", *args, **options):
        if "r" not in mode:
            faults.passed(path)
        file = real(path, mode, *args, **options)
        return file if "r" in mode else Stream(file, faults)

    return opened


class Stream:
    """A file opened to be written to."""

    def __init__(self, file, faults):
        self._file, self._faults = file, faults
        self.close = file.close

    def write(self, data):
        self._faults.passed(half=lambda: self._write_half(data))
        return self._file.write(data)

    def _write_half(self, data):
        self._file.write(data[: len(data) // 2])
        self._file.flush()

    def flush(self):
        self._faults.passed()
        self._file.flush()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._file.close()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What each call writes, and where."""
    written = {}
    for call in ("damaged", "spots", "other"):
        root = tmp_path_factory.mktemp(call)
        CALLS[call](root)
        written[call] = root, everything(root)
    return written


@pytest.mark.parametrize(
    ("call", "workers", "over"),
    [("damaged", 1, None), ("damaged", 2, None), ("spots", 1, None), ("damaged", 1, "other")],
)
def test_a_call_that_fails_is_named_and_the_same_write_goes_on(
    tmp_path, whole, monkeypatch, call, workers, over
):
    written, before = whole[call][1], whole[over][1] if over else {}

    def attempt(name, *fault):
        root = tmp_path / name
        if over and not root.exists():
            shutil.copytree(whole[over][0], root)
        with monkeypatch.context() as patch:
            faults = Faults(patch, *fault)
            CALLS[call](root, workers=workers, overwrite=over is not None)
        assert everything(root) == written
        return faults.count

    for at in range(1, attempt("counted") + 1):
        root, code = tmp_path / str(at), CODES[at % len(CODES)]
        with pytest.raises(OSError, match=os.strerror(code)) as caught:
            attempt(root.name, at, code)
        error = caught.value
        notes = "; ".join(error.__notes__)
        assert error.errno == code
        assert error.filename is not None or notes.startswith(("while writing '", "while noting"))
        assert f"while writing the dataset in {str(root)!r}; what is finished is kept" in notes
        assert notes.endswith("else choose another folder") == (code == errno.EACCES)
        assert notes.endswith("writes the rest, once there is room") == (code == errno.ENOSPC)
        left = everything(root) if root.exists() else {}
        assert not [path for path in left if path.endswith((".tiff.partial", ".new"))]
        for path, data in left.items():
            assert "dataset.json" in path or data in (written.get(path), before.get(path))
        attempt(root.name)


def test_an_interrupted_command_says_so_and_goes_on(tmp_path):
    image = ("--size", 512, "--rounds", 4, "--chs", 4, "--zplanes", 20, "--content", "index")
    command = [sys.executable, "-m", "starfish_fetch", "synth", "write", "data", *map(str, image)]
    journal = tmp_path / "data" / "dataset.json.partial"
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            if journal.exists() and journal.read_bytes().count(b"\n") > 1:
                process.send_signal(signal.SIGINT)
                break
            time.sleep(0.001)
        said = process.communicate()[1]
    assert process.returncode == 130
    assert said.startswith("error: interrupted; while writing the dataset in 'data'; what is fin")
    assert said.count("\n") == 1
    left = set(everything(tmp_path / "data"))
    assert journal.name in left
    assert not [name for name in left if name.endswith((".tiff.partial", ".new"))]
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "of them were there" in again.stdout


@pytest.mark.parametrize(
    ("name", "ending", "call", "over"),
    [("rmdir", "", "damaged", "linked"), ("unlink", ".tiff.partial", "damaged", None)],
)
def test_what_cannot_be_taken_away_is_not_left_in_silence(
    tmp_path, whole, monkeypatch, name, ending, call, over
):
    root, remove, failed = tmp_path / "folder", getattr(pathlib.Path, name), []
    if over:
        CALLS[over](root)

    def fail_once(path, *arguments, **keywords):
        if not failed and path.name.endswith(ending):
            failed.append(path)
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        remove(path, *arguments, **keywords)

    with monkeypatch.context() as patch:
        patch.setattr(pathlib.Path, name, fail_once)
        with pytest.raises(OSError, match=os.strerror(errno.EIO)):
            CALLS[call](root, overwrite=over is not None)
    CALLS[call](root, overwrite=over is not None)
    assert everything(root) == whole[call][1]
