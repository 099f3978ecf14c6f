"""Files and tiles that go wrong, and are whole again."""
# ruff: noqa: SIM115  what is opened and never closed is of no concern here

import builtins
import errno
import glob
import io
import mmap
import os
import shutil
import tempfile
import threading
from pathlib import Path

import imageio.v2
import imageio.v3
import numpy as np
import pytest
import tifffile

import synth
from starfish_fetch import Layout, SourceError, trace
from starfish_fetch.testing.faults import missing, truncated, unreadable

FUNCTIONS = [
    (builtins, "open"),
    (io, "open"),
    *((os, name) for name in ("open", "stat", "lstat", "access", "scandir", "listdir")),
]


@pytest.fixture(autouse=True)
def everything_is_put_back():
    before = [getattr(module, name) for module, name in FUNCTIONS]
    supported = [set(one) for one in (os.supports_dir_fd, os.supports_follow_symlinks)]
    yield
    assert [getattr(module, name) for module, name in FUNCTIONS] == before
    assert [set(one) for one in (os.supports_dir_fd, os.supports_follow_symlinks)] == supported


@pytest.fixture
def dataset(tmp_path):
    spec = synth.Spec(2, 2, 3, (20, 30))
    return synth.write(spec, Layout.per_round_ch(), tmp_path / "data", workers=1)


@pytest.fixture
def path(dataset):
    return dataset.root / "fov0_r1_c0.tiff"


def os_open(path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return os.read(descriptor, 1 << 20)
    finally:
        os.close(descriptor)


def mapped(path):
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        return view[:]


def our_fetcher(path):
    r = int(path.name[6])
    with synth.Dataset.open(path.parent).fetcher() as fetcher:
        return fetcher.get_tile(0, r, 0, 2).tile_data().tobytes()


BYTES = {
    "open": lambda path: open(path, "rb").read(),
    "open, unbuffered": lambda path: open(path, "rb", 0).readall(),
    "open, as text": lambda path: open(path, encoding="l1", newline="").read().encode("l1"),
    "open, by an opener": lambda path: open(path, "r+b", opener=os.open).read(),
    "io.open": lambda path: vars(io)["open"](path, mode="rb").read(),
    "Path.open": lambda path: Path(path).open("rb").read(),
    "Path.read_bytes": lambda path: Path(path).read_bytes(),
    "os.open": os_open,
    "mmap": mapped,
    "np.fromfile": lambda path: np.fromfile(path, np.uint8).tobytes(),
    "np.memmap": lambda path: np.memmap(path, np.uint8, "r").tobytes(),
}
IMAGES = {
    "tifffile": lambda path: tifffile.imread(path)[2].tobytes(),
    "tifffile.memmap": lambda path: tifffile.memmap(path, mode="r")[2].tobytes(),
    "imageio.v2": lambda path: imageio.v2.volread(path)[2].tobytes(),
    "imageio.v3": lambda path: imageio.v3.imread(path)[2].tobytes(),
    "TiffTileFetcher": our_fetcher,
}


def every(reads):
    return pytest.mark.parametrize("read", reads.values(), ids=list(reads))


pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")


def spellings(path, tmp_path, monkeypatch):
    monkeypatch.chdir(path.parent)
    (tmp_path / "link.tiff").symlink_to(path)
    (tmp_path / "folder").symlink_to(path.parent, target_is_directory=True)
    return [
        path,
        str(path),
        os.fsencode(path),
        path.name,
        os.fsencode(path.name),
        os.path.join(".", "..", path.parent.name, path.name),
        tmp_path / "link.tiff",
        tmp_path / "folder" / path.name,
    ]


@every(BYTES | IMAGES)
def test_a_missing_file_cannot_be_read_in_any_way(path, read):
    whole = read(path)
    with missing(path) as fault:
        with pytest.raises(FileNotFoundError) as raised:
            read(path)
        assert os.fsdecode(raised.value.filename) == str(path)
        assert fault.opens + fault.looks
        assert read(path.with_name("fov0_r0_c0.tiff"))
    assert read(path) == whole


@every(BYTES)
@pytest.mark.parametrize("keep", [0.3, 0.5, 1])
def test_a_truncated_file_ends_early_in_any_way_of_reading(path, read, keep):
    whole = path.read_bytes()
    with truncated(path, keep=keep) as fault:
        assert read(path) == whole[: int(len(whole) * keep)]
        assert fault.opens == 1
    assert read(path) == whole == path.read_bytes()


@every(IMAGES)
def test_an_image_that_is_truncated_is_not_whole(path, read):
    whole = read(path)
    with truncated(path) as fault:
        try:
            assert read(path) != whole
        except Exception as error:
            assert not isinstance(error, AssertionError)  # noqa: PT017
        assert fault.opens >= 1
    assert read(path) == whole


def test_a_fetcher_of_ours_says_what_is_wrong(dataset, path):
    with truncated(path), pytest.raises(SourceError, match=f"{path} is truncated"):
        our_fetcher(path)
    with missing(path), dataset.fetcher() as fetcher:
        with pytest.raises(FileNotFoundError):
            fetcher.get_tile(0, 1, 0, 0).tile_data()
        fetcher.get_tile(0, 0, 0, 0).tile_data()


def test_a_file_is_known_by_any_path_that_leads_to_it(path, tmp_path, monkeypatch):
    paths = spellings(path, tmp_path, monkeypatch)
    half = path.read_bytes()[: path.stat().st_size // 2]
    for given in paths:
        with truncated(given) as fault:
            assert [open(one, "rb").read() for one in paths] == [half] * len(paths)
            assert fault.opens == len(paths)
            assert {os.path.getsize(one) for one in paths} == {len(half)}
        with missing(given) as fault:
            for one in paths:
                with pytest.raises(FileNotFoundError):
                    open(one, "rb")
            assert fault.opens == len(paths)
            assert not any(map(os.path.exists, paths))


def test_a_missing_file_is_not_found_by_looking_either(path, tmp_path, monkeypatch):
    folder, name = path.parent, path.name
    paths = spellings(path, tmp_path, monkeypatch)
    shutil.copy(path, folder / "other.tiff")

    def listings():
        return [
            os.listdir(folder),
            os.listdir(),
            os.listdir(tmp_path / "folder"),
            [os.fsdecode(one) for one in os.listdir(os.fsencode(folder))],
            [entry.name for entry in os.scandir(folder)],
            [one.name for one in folder.iterdir()],
            [os.path.basename(one) for one in glob.glob(f"{folder}/*.tiff")],
            [one for _, _, names in os.walk(tmp_path / "folder") for one in names],
        ]

    before = listings()
    with missing(path) as fault:
        for given in paths:
            assert not os.path.exists(given)
            assert not os.path.isfile(given)
            assert not os.access(given, os.F_OK)
            with pytest.raises(FileNotFoundError):
                os.path.getsize(given)
        with pytest.raises(FileNotFoundError):
            path.stat()
        assert not os.path.lexists(path)
        assert os.path.lexists(tmp_path / "link.tiff")
        assert (fault.opens, fault.looks) == (0, 4 * len(paths) + 2)
        assert listings() == [[one for one in names if one != name] for names in before]
    assert listings() == before


def test_what_can_be_done_while_a_fault_is_on_is_what_can_be_done(path, tmp_path):
    link, other = tmp_path / "link", tmp_path / "other"
    link.symlink_to(path)
    other.symlink_to(path)
    size = os.lstat(link).st_size
    with truncated(link), missing(path.with_name("fov0_r0_c0.tiff")):
        assert os.lstat(link).st_size == size
        shutil.copystat(link, other, follow_symlinks=False)
        shutil.copytree(path.parent, tmp_path / "copy")
        shutil.rmtree(tmp_path / "copy")
        descriptor = os.open(path.parent, os.O_RDONLY)
        with open(path, "rb") as file:
            # What is asked of a descriptor is answered by it.
            assert os.stat(file.fileno()).st_size == os.stat(path).st_size == len(file.read())
            assert os.stat(path.name, dir_fd=descriptor).st_size > os.stat(path).st_size
            assert len(os.listdir(descriptor)) == len(os.listdir(path.parent)) == 4
        os.close(descriptor)


def test_a_missing_file_is_not_written(path):
    whole = path.read_bytes()
    with missing(path), pytest.raises(FileNotFoundError):
        open(path, "wb")
    assert path.read_bytes() == whole


def test_what_is_written_to_a_truncated_file_is_written_elsewhere(path):
    whole = path.read_bytes()
    with truncated(path, nbytes=4):
        np.memmap(path, np.uint8, "r+")[:2] = 0
        assert path.read_bytes() == b"\0\0" + whole[2:4]
        with open(path, "wb") as file:
            file.write(b"new")
        with pytest.raises(FileExistsError) as raised:
            open(path, "xb")
        assert raised.value.filename == str(path)
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    ("options", "kind"),
    [({}, PermissionError), ({"error": errno.EIO}, OSError), ({"error": errno.EINTR}, OSError)],
)
def test_an_unreadable_file_is_there(path, options, kind):
    with unreadable(path, **options) as fault:
        with pytest.raises(kind) as raised:
            path.read_bytes()
        assert raised.value.errno == options.get("error", errno.EACCES)
        assert path.exists()
        assert path.name in os.listdir(path.parent)
        assert os.access(path, os.R_OK) is bool(options)
        assert fault.opens == 1
    assert os.access(path, os.R_OK)


def test_faults_hold_in_every_thread_and_count_each_open(path):
    counts = []

    def read():
        counts.extend([len(path.read_bytes()) for _ in range(50)])

    with truncated(path, nbytes=10) as fault:
        threads = [threading.Thread(target=read) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert counts == [10] * 400
    assert fault.opens == 400


def test_faults_nest_and_end_in_any_order(path):
    whole, other = path.read_bytes(), path.with_name("fov0_r0_c0.tiff")
    first, second, third = truncated(path, nbytes=20), truncated(path, nbytes=10), missing(path)
    first.__enter__()
    second.__enter__()
    assert (len(path.read_bytes()), path.stat().st_size) == (10, 10)
    third.__enter__()
    with pytest.raises(FileNotFoundError):
        path.read_bytes()
    with unreadable(other), pytest.raises(PermissionError):
        other.read_bytes()
    second.__exit__(None, None, None)
    third.__exit__(None, None, None)
    assert (len(path.read_bytes()), path.stat().st_size) == (20, 20)
    first.__exit__(None, None, None)
    assert path.read_bytes() == whole


def test_nothing_is_left_after_an_error(path, tmp_path, monkeypatch):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))

    def fail():
        with truncated(path):
            assert len(list(temporary.glob("*/*"))) == 1
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert list(temporary.iterdir()) == []
    with pytest.raises(FileNotFoundError), truncated(path, "absent.tiff"):
        pass
    assert list(temporary.iterdir()) == []


def test_no_more_is_copied_than_is_kept(tmp_path, monkeypatch):
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(1 << 40)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with truncated(large, nbytes=3 << 20):
        (copy,) = tmp_path.glob("*/*")
        assert copy.stat().st_size == large.stat().st_size == 3 << 20


def test_the_rest_of_what_is_known_of_a_truncated_file_is_as_it_was(path):
    with truncated(path, nbytes=7):
        after = os.stat(path)
    before = os.stat(path)
    assert (after.st_size, after[6]) == (7, 7)
    for name in dir(before):
        if name.startswith("st_") and name != "st_size":
            assert getattr(after, name) == getattr(before, name)


def test_a_trace_has_the_file_that_was_asked_for(path):
    with truncated(path), trace(path.parent) as seen:
        path.read_bytes()
        os_open(path)
    assert seen.by_source == {str(path): 2}


def test_a_file_keeps_the_name_that_it_was_opened_by(path):
    with truncated(path), open(path, "rb") as file:
        assert file.name == str(path)


def test_a_replacement_by_others_is_respected(path, monkeypatch):
    whole = path.read_bytes()
    original = builtins.open
    with truncated(path, nbytes=3):
        ours = builtins.open
        theirs = lambda *args, **kw: ours(*args, **kw)  # noqa: E731
        monkeypatch.setattr(builtins, "open", theirs)
        assert open(path, "rb").read() == whole[:3]
    assert builtins.open is theirs
    assert open(path, "rb").read() == whole
    with truncated(path, nbytes=3) as fault:
        assert open(path, "rb").read() == whole[:3]
        assert fault.opens == 1
    monkeypatch.undo()
    builtins.open = original


def test_a_file_made_meanwhile_is_not_taken_for_one_that_is_gone(tmp_path):
    gone = tmp_path / "gone"
    gone.write_bytes(b"a")
    with missing(gone):
        gone.unlink()
        others = [tmp_path / str(number) for number in range(20)]
        for other in others:
            other.write_bytes(b"b")
        assert [other.read_bytes() for other in others] == [b"b"] * 20


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda path: missing(), ValueError, "given no file; name at least one"),
        (lambda path: missing([path]), TypeError, "each an argument of its own"),
        (lambda path: missing(path, 3), TypeError, "got 3"),
        (lambda path: missing(f"{path}x"), FileNotFoundError, "No such file"),
        (lambda path: missing(path.parent), IsADirectoryError, "files, not folders"),
        (lambda path: truncated(path, keep=2), ValueError, "got 2; for a number of bytes, give nb"),
        (lambda path: truncated(path, keep=float("nan")), ValueError, "got nan"),
        (lambda path: truncated(path, nbytes=-1), ValueError, "nbytes must be at least 0; got -1"),
        (lambda path: unreadable(path, error="EIO"), ValueError, "module errno, as EIO is; got 'E"),
    ],
)
def test_faults_that_are_refused(path, make, error, message):
    with pytest.raises(error, match=message), make(path):
        pass
