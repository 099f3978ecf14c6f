"""Files and tiles that go wrong, and are whole again."""
# ruff: noqa: SIM115  what is opened and never closed is of no concern here

import builtins
import contextlib
import copy
import errno
import glob
import io
import mmap
import os
import pickle
import shutil
import tempfile
import threading
import time
from pathlib import Path

import imageio.v2
import imageio.v3
import numpy as np
import pytest
import tifffile
from fetchers import ArrayFetcher, ArrayTile, arguments, image

import synth
from starfish_fetch import (
    CropParameters,
    DataFormatWarning,
    ImageStack,
    Layout,
    SourceError,
    TileKey,
    trace,
)
from starfish_fetch.testing.faults import (
    failing,
    missing,
    slow_opens,
    slow_tiles,
    truncated,
    unreadable,
)

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
        assert str(path) in str(raised.value)  # imageio before 2.38 sets no filename
        assert fault.met
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
    other = folder / "other.tiff"
    shutil.copy(path, other)

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
        assert other.read_bytes()
        assert not fault.met
        assert not path.exists()
        assert fault.met
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


def test_each_open_of_a_data_file_takes_longer(path, tmp_path, monkeypatch):
    waits = []
    monkeypatch.setattr(time, "sleep", waits.append)
    (tmp_path / "lazy_code.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    before = [getattr(module, name) for module, name in FUNCTIONS]
    with (
        trace(path.parent) as seen,
        slow_opens(0.25) as anywhere,
        slow_opens(0.5, under=path.parent) as below,
    ):
        assert [getattr(module, name) for module, name in FUNCTIONS] == before
        __import__("lazy_code")
        for read in BYTES.values():
            read(str(path))
        path.stat()
        (tmp_path / "data-not").write_text("")
    path.read_bytes()
    assert below.opens == seen.opens >= len(BYTES)
    assert anywhere.opens == below.opens + 1
    assert waits == [*[0.25, 0.5] * below.opens, 0.25]


def test_a_truncated_file_is_opened_slowly_once(path):
    with truncated(path), slow_opens(0) as fault:
        path.read_bytes()
        os_open(path)
    assert fault.opens == 2


def test_slow_opens_are_slow(path):
    start = time.perf_counter()
    with slow_opens(0.05, under=os.fsencode(path.parent)):
        path.read_bytes()
    assert time.perf_counter() - start >= 0.05


# --- tiles


class Bare:
    """A fetcher that has get_tile alone."""

    def __init__(self, fetcher):
        self.fetcher = fetcher

    def get_tile(self, *labels):
        return BareTile(self.fetcher.get_tile(*labels))


class BareTile:
    def __init__(self, tile):
        self.shape, self.coordinates, self.tile_data = tile.shape, tile.coordinates, tile.tile_data


class Rows(ArrayTile):
    """A tile that can be read by rows; those of even z-planes only."""

    def row_reader(self, rows):
        self._log("row_reader")
        return RowsOf(self.fetcher.pixels_of(self.key)) if self.key[2] % 2 else None


class RowsOf:
    def __init__(self, pixels):
        self.pixels, self.dtype = pixels, pixels.dtype

    def read(self, row, out):
        out[:] = self.pixels[row : row + len(out)]


class RowFetcher(ArrayFetcher):
    thread_safe = True

    def get_tile(self, fov, *key):
        return Rows(self, fov, key)


def never(key):
    return False


WRAPPERS = {
    "slow": lambda fetcher: slow_tiles(fetcher, 0),
    "slow at get_tile": lambda fetcher: slow_tiles(fetcher, 0, at="get_tile"),
    "failing": lambda fetcher: failing(fetcher, never),
}


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=list(WRAPPERS))
@pytest.mark.parametrize("kind", [ArrayFetcher, RowFetcher])
def test_a_wrapped_fetcher_is_asked_what_the_fetcher_is_asked(wrap, kind):
    plain, inner = kind(image()), kind(image())
    for crop in (None, CropParameters(x_slice=slice(1, 3))):
        expected, loaded = (
            ImageStack.from_tilefetcher(
                **{**arguments(plain), "tilefetcher": one}, crop_parameters=crop, workers=1
            ).to_numpy()
            for one in (plain, wrap(inner))
        )
        np.testing.assert_array_equal(loaded, expected)
    assert inner.events == plain.events


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=list(WRAPPERS))
def test_a_wrapped_fetcher_has_what_the_fetcher_has(dataset, wrap):
    with dataset.fetcher() as fetcher:
        for inner in (fetcher, Bare(fetcher), ArrayFetcher(image())):
            outer = wrap(inner)
            for name in ("source", "thread_safe", "shares_sources", "close", "labels"):
                assert getattr(outer, name, None) == getattr(inner, name, None)
            tiles = [one.get_tile(0, 1, 1, 1) for one in (outer, inner)]
            for name in ("shape", "coordinates", "tile_region", "row_reader", "extras"):
                has = [hasattr(tile, name) for tile in tiles]
                assert has[0] == has[1]
            assert "row_reader" in vars(type(tiles[0])) or not hasattr(tiles[1], "row_reader")


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=list(WRAPPERS))
def test_a_wrapped_fetcher_is_pickled_and_copied(wrap):
    outer = wrap(ArrayFetcher(image()))
    for again in (pickle.loads(pickle.dumps(outer)), copy.copy(outer), copy.deepcopy(outer)):
        np.testing.assert_array_equal(again.get_tile(0, 1, 2, 3).tile_data(), image()[1, 2, 3])
        again.array = None
        assert outer.array is not None
    tile = outer.get_tile(0, 1, 2, 3)
    np.testing.assert_array_equal(copy.copy(tile).tile_data(), image()[1, 2, 3])


def test_a_copy_is_not_that_of_the_fetcher_within():
    class Copied(ArrayFetcher):
        def __deepcopy__(self, memo):
            return self

    outer = failing(Copied(image()), 1.0)
    assert copy.deepcopy(outer).faults is not outer.faults


def load(fetcher, outer, **options):
    return ImageStack.from_tilefetcher(**{**arguments(fetcher), "tilefetcher": outer}, **options)


@pytest.mark.parametrize("kind", [ArrayFetcher, RowFetcher])
@pytest.mark.parametrize("at", ["get_tile", "tile_data"])
@pytest.mark.parametrize("wanted", [None, CropParameters(x_slice=slice(1, 3))])
@pytest.mark.parametrize("z", [2, 3])
def test_a_chosen_tile_fails_however_it_is_read(kind, at, wanted, z):
    fetcher = kind(image())
    error = OSError("gone")
    outer = failing(fetcher, {(1, 0, z): error}, at=at)
    stack = load(fetcher, outer, crop_parameters=wanted)
    depths = set()
    for count in (1, 2):
        with pytest.raises(OSError, match="gone") as raised:
            stack.load()
        assert raised.value is error
        depths.add(len(raised.traceback))
        assert error.__notes__ == [f"tile (fov=0, round=1, ch=0, zplane={z})"]
        assert outer.faults == {TileKey(1, 0, z): count}
    assert len(depths) == 1
    with pytest.warns(DataFormatWarning, match="1 of 24 tiles"):
        stack.load(on_error="fill")
    assert list(stack.missing) == [(1, 0, z)]


@pytest.mark.parametrize("workers", [1, 3])
def test_tiles_that_fail_some_times_then_succeed(workers):
    fetcher = RowFetcher(image())
    outer = failing(fetcher, [(0, 1, 2), TileKey(1, 2, 3)], times=2, error=TimeoutError)
    stack = load(fetcher, outer, workers=workers)
    while outer.faults.total() < 4:
        with pytest.raises(TimeoutError, match="failed on purpose"):
            stack.load()
    stack.load()
    assert outer.faults == {(0, 1, 2): 2, (1, 2, 3): 2}
    np.testing.assert_array_equal(
        load(fetcher, outer).to_numpy(), load(fetcher, fetcher).to_numpy()
    )


def test_probable_failures_are_the_same_tiles_in_any_order_and_process():
    fetcher = ArrayFetcher(image())

    def failed(order, **options):
        outer = failing(fetcher, 0.1, **options)
        with pytest.warns(DataFormatWarning):
            stack = load(fetcher, outer, group_by=order).load(on_error="fill")
        assert set(stack.missing) == set(outer.faults)
        return set(stack.missing)

    # Written down, for they must not change with the process.
    assert failed("rcz") == failed("zcr") == {(0, 2, 1)}
    assert failed("rcz", seed=1) != failed("rcz")
    load(fetcher, failing(fetcher, 0.0)).load()
    counted = failing(fetcher, 0.25)
    for fov in range(2000):
        with contextlib.suppress(OSError):
            counted.get_tile(fov, 0, 0, 0).tile_data()
    assert 400 < counted.faults.total() < 600


def test_a_failure_may_depend_on_the_labels():
    fetcher = ArrayFetcher(image())
    outer = failing(fetcher, lambda key: key.ch == 1 and key.zplane > 2, error=KeyError("lost"))
    with pytest.warns(DataFormatWarning):
        stack = load(fetcher, outer).load(on_error="fill")
    assert list(stack.missing) == [(0, 1, 3), (1, 1, 3)]


def test_a_slow_tile_waits_once_wherever_it_is_read(monkeypatch):
    waits = []
    monkeypatch.setattr(time, "sleep", waits.append)
    for kind in (ArrayFetcher, RowFetcher):
        for at in ("get_tile", "tile_data"):
            for wanted in (None, CropParameters(x_slice=slice(1, 3))):
                fetcher = kind(image())
                outer = slow_tiles(fetcher, 0.5, at=at)
                waits.clear()
                load(fetcher, outer, crop_parameters=wanted).load()
                assert waits == [0.5] * 24
                assert set(outer.faults.values()) == {1}


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda one: slow_tiles(one, -1), ValueError, "seconds must be .* at least 0; got -1"),
        (lambda one: slow_tiles(one, float("nan")), ValueError, "got nan"),
        (lambda one: slow_tiles(one, 1, at="shape"), ValueError, "'get_tile' or 'tile_data'; got"),
        (lambda one: slow_tiles(3, 1), TypeError, "has the method get_tile; 3 has not"),
        (lambda one: failing(one, 1.5), ValueError, "between 0 and 1; got 1.5"),
        (lambda one: failing(one, True), ValueError, "got True"),
        (lambda one: failing(one, [3]), TypeError, r"is \(round, ch, zplane\); got 3"),
        (lambda one: failing(one, [(1, 2)]), TypeError, r"got \(1, 2\)"),
        (lambda one: failing(one, {(0, 0, 0): 3}), TypeError, "exception or its class; got 3"),
        (lambda one: failing(one, 0.5, error=int), TypeError, "exception or its class; got <class"),
        (lambda one: failing(one, {}, error=OSError), ValueError, "leave out error"),
        (lambda one: failing(one, 0.5, times=0), ValueError, "times must be an int .* got 0"),
    ],
)
def test_wrappers_that_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make(ArrayFetcher(image()))


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf")])
def test_slow_opens_that_are_refused(seconds):
    with pytest.raises(ValueError, match="seconds must be"), slow_opens(seconds):
        pass
