"""A write that is interrupted leaves whole files, and the same call writes the rest."""

import _thread
import errno
import importlib
import json
import os
import subprocess
import sys
import threading

import pytest
from test_synth_write import SPEC, break_after, contents, per_round

from starfish_fetch.layout import Layout
from synth import Spec, write
from synth._manifest import Manifest, Options

tiffs = importlib.import_module("synth._tiffs")
files_module = importlib.import_module("synth._files")

FILES = 4


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    root = tmp_path_factory.mktemp("written")
    write(SPEC, per_round(), root)
    return contents(root)


CRASH = """
import os, sys
from test_synth_write import SPEC, per_round
from synth import write
root, number, when = sys.argv[1], int(sys.argv[2]), sys.argv[3]
replace = os.replace
def crash(*args):
    global number
    number -= 1
    if number < 0 and when == "before":
        os._exit(9)
    replace(*args)
    if number < 0:
        os._exit(9)
os.replace = crash
write(SPEC, per_round(), root, workers=1)
"""


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("number", range(FILES + 2))
def test_a_write_that_crashed_anywhere_is_resumed(tmp_path, written, number, when, monkeypatch):
    # The journal, each of the files, and dataset.json get their names by one os.replace each.
    code = [sys.executable, "-c", CRASH, str(tmp_path), str(number), when]
    paths = os.pathsep.join([os.path.dirname(__file__), *sys.path])
    child = subprocess.run(code, env={**os.environ, "PYTHONPATH": paths}, check=False)
    assert child.returncode == 9
    left = contents(tmp_path)
    whole = {path for path in left if path in written}
    assert all(left[path] == written[path] for path in whole)
    images = number + (when == "after") - 1
    assert len(whole) == max(0, images)
    calls = []
    real = files_module.write_tiff
    monkeypatch.setattr(files_module, "write_tiff", lambda *args: (calls.append(1), real(*args))[1])
    write(SPEC, per_round(), tmp_path)
    assert contents(tmp_path) == written
    assert len(calls) == FILES - min(FILES, max(0, images))


def test_a_journal_with_a_torn_last_line_is_resumed(tmp_path, written, monkeypatch):
    break_after(monkeypatch, planes=8, error=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        write(SPEC, per_round(), tmp_path, workers=1)
    monkeypatch.undo()
    journal = tmp_path / "dataset.json.partial"
    assert len(journal.read_text().splitlines()) == 2
    with journal.open("a") as file:
        file.write('["fov_0/r04.tiff", {"sha25')
    write(SPEC, per_round(), tmp_path)
    assert contents(tmp_path) == written


def test_a_journaled_file_of_another_size_is_written_again(tmp_path, written, monkeypatch):
    break_after(monkeypatch, planes=8, error=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        write(SPEC, per_round(), tmp_path, workers=1)
    monkeypatch.undo()
    (tmp_path / "fov_0" / "r01.tiff").write_bytes(b"")
    write(SPEC, per_round(), tmp_path)
    assert contents(tmp_path) == written


def test_a_journaled_file_of_another_size_stays_known_while_it_is_written(
    tmp_path, written, monkeypatch
):
    for planes in (8, 2):
        break_after(monkeypatch, planes, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            write(SPEC, per_round(), tmp_path, workers=1)
        monkeypatch.undo()
        (tmp_path / "fov_0" / "r01.tiff").write_bytes(b"")
    write(SPEC, per_round(), tmp_path)
    assert contents(tmp_path) == written


def assert_nothing_unfinished(root, written):
    left = contents(root)
    journal = left.pop("dataset.json.partial", b"")
    assert left == {path: data for path, data in written.items() if path in left}
    assert "dataset.json" not in left
    return left, journal


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("planes", [0, 1, 5, 6, 23])
def test_keyboard_interrupt_leaves_no_temporary_file(
    tmp_path, written, monkeypatch, planes, workers
):
    break_after(monkeypatch, planes, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        write(SPEC, per_round(), tmp_path, workers=workers)
    assert_nothing_unfinished(tmp_path, written)
    monkeypatch.undo()
    write(SPEC, per_round(), tmp_path)
    assert contents(tmp_path) == written


def test_an_interrupt_of_the_cleaning_up_leaves_no_temporary_file(tmp_path, monkeypatch):
    real, interrupts = os.unlink, iter([KeyboardInterrupt()])

    def unlink(path, *args, **options):
        for interrupt in interrupts:
            raise interrupt
        real(path, *args, **options)

    def write_tiff(target, *args):
        target.write_bytes(b"some of it")
        monkeypatch.setattr(os, "unlink", unlink)
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(files_module, "write_tiff", write_tiff)
    with pytest.raises(KeyboardInterrupt):
        write(SPEC, per_round(), tmp_path, workers=1)
    assert contents(tmp_path) == {}


def test_keyboard_interrupt_of_the_main_thread_stops_the_workers(tmp_path, written, monkeypatch):
    interrupted = threading.Event()

    def interrupt():
        if not interrupted.is_set():
            interrupted.set()
            _thread.interrupt_main()

    break_after(monkeypatch, 3, interrupt)
    with pytest.raises(KeyboardInterrupt):
        write(SPEC, Layout.per_tile(), tmp_path, workers=2)
    left = contents(tmp_path)
    assert not [path for path in left if path.endswith((".tiff.partial", ".new"))]


def test_an_error_ends_the_files_that_other_workers_are_at(tmp_path, monkeypatch):
    spec = Spec(2, 1, 9, (6, 5))
    begun, told, made = threading.Event(), threading.Event(), []
    real = tiffs.pieces

    class Pool(files_module.ThreadPoolExecutor):
        def shutdown(self, *args, **kwargs):
            told.set()
            super().shutdown(*args, **kwargs)

    def tile(spec, fov, r, c, z):
        if r == 0:
            assert begun.wait(20)
            raise OSError(errno.EIO, "Input/output error")
        begun.set()
        assert told.wait(20)
        made.append(z)
        return real(spec, fov, r, c, z)

    monkeypatch.setattr(tiffs, "pieces", tile)
    monkeypatch.setattr(files_module, "ThreadPoolExecutor", Pool)
    with pytest.raises(OSError, match="Input/output error") as caught:
        write(spec, Layout.per_round(), tmp_path, workers=2)
    assert "while writing 'fov0_r0.tiff' (fov=0, 9 tiles)" in caught.value.__notes__
    assert made == [0]
    assert contents(tmp_path) == {}


def test_nothing_follows_a_torn_line_in_the_journal(tmp_path):
    journals = importlib.import_module("synth._journal")
    manifests = importlib.import_module("synth._manifest")
    manifest = manifests.Manifest(SPEC, per_round(), manifests.Options(), {})
    record = manifests.FileRecord("0" * 64, 1)
    with journals.Journal(tmp_path, manifest, {"first": record}) as journal:
        flush = journal._file.flush
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(journals, "_entry", lambda *entry: '["torn", {"sha')
            patch.setattr(journal, "_file", Torn(journal._file))
            with pytest.raises(OSError, match="No space"):
                journal.note("second", record)
        flush()
        with pytest.raises(OSError, match="could not be written"):
            journal.note("third", record)
    assert journals.read_journal(tmp_path).files == {"first": record}


class Torn:
    """A file that takes what it is given, and then has no room to flush it."""

    def __init__(self, file):
        self.write = file.write

    def flush(self):
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("free", [0, 100, 3000, 6000])
def test_a_full_disk_is_named_and_resumable(tmp_path, written, monkeypatch, free):
    real, room = tiffs._PlainFile.write, [free]

    def full(self, data):
        room[0] -= len(data)
        if room[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(self, data)

    monkeypatch.setattr(tiffs._PlainFile, "write", full, raising=False)
    with pytest.raises(OSError, match="No space left") as caught:
        write(SPEC, per_round(), tmp_path, workers=1)
    assert caught.value.errno == errno.ENOSPC
    notes = "\n".join(caught.value.__notes__)
    left, journal = assert_nothing_unfinished(tmp_path, written)
    next_file = next(path for path in written if path not in {*left, "dataset.json"})
    assert f"while writing {next_file!r} (fov=" in notes
    assert "the same call writes the rest" in notes
    assert len(journal.splitlines()) == (1 + len(left) if left else 0)
    monkeypatch.undo()
    write(SPEC, per_round(), tmp_path)
    assert contents(tmp_path) == written


def test_a_disk_that_is_really_full_keeps_its_errno(tmp_path):
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    spec = Spec(1, 1, 1, (600, 600))
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            write(spec, Layout.per_tile(), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.errno == errno.EFBIG
    assert "'fov0_r0_c0_z0.tiff'" in caught.value.__notes__[0]
    assert contents(tmp_path) == {}


def test_a_journal_that_cannot_be_written_stops_the_write(tmp_path, written, monkeypatch):
    journals = importlib.import_module("synth._journal")
    real = journals._entry

    def entry(path, record):
        if path == "fov_3/r01.tiff":
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(path, record)

    monkeypatch.setattr(journals, "_entry", entry)
    with pytest.raises(OSError, match="No space left"):
        write(SPEC, per_round(), tmp_path, workers=1)
    left, _ = assert_nothing_unfinished(tmp_path, written)
    assert sorted(left) == ["fov_0/r01.tiff", "fov_0/r04.tiff"]
    monkeypatch.undo()
    write(SPEC, per_round(), tmp_path)
    assert contents(tmp_path) == written


def test_a_failed_write_that_finished_no_file_leaves_no_folder(tmp_path):
    (tmp_path / "1").mkdir()
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            write(Spec(2, 2, 1, (64, 64)), Layout("{r}/x.tiff/{c}", inner="z"), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in tmp_path.rglob("*")] == ["1"]
    assert write(Spec(2, 2, 1, (64, 64)), Layout("{r}/x.tiff", inner="cz"), tmp_path).verify().ok


def test_what_a_killed_write_left_is_named_if_it_cannot_be_deleted(tmp_path, monkeypatch, written):
    with (tmp_path / "dataset.json.partial").open("w") as journal:
        print(json.dumps(Manifest(SPEC, per_round(), Options(), {}).header()), file=journal)
    left = tmp_path / "fov_0" / "r01.tiff.partial"
    left.parent.mkdir()
    left.touch()
    real = os.unlink

    def unlink(path):
        if path == left:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        real(path)

    monkeypatch.setattr(os, "unlink", unlink)
    before = contents(tmp_path)
    with pytest.raises(OSError, match=r"Input/output error: .*r01\.tiff\.partial'"):
        write(SPEC, per_round(), tmp_path)
    assert contents(tmp_path) == before
    monkeypatch.undo()
    write(SPEC, per_round(), tmp_path)
    assert contents(tmp_path) == written


def test_an_unwritable_dataset_json_leaves_the_journal(tmp_path, written, monkeypatch):
    real = os.replace

    def replace(source, target):
        if str(target).endswith("dataset.json"):
            raise PermissionError(errno.EACCES, "Permission denied", str(target))
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(PermissionError, match=r"dataset\.json"):
        write(SPEC, per_round(), tmp_path)
    left, _ = assert_nothing_unfinished(tmp_path, written)
    assert len(left) == FILES
    monkeypatch.undo()
    write(SPEC, per_round(), tmp_path)
    assert contents(tmp_path) == written
