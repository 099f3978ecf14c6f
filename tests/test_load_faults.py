"""A load whose calls into the system fail says so, gives no wrong pixel, and goes on afterwards.

With HYPOTHESIS_PROFILE=long every call fails with every code; else with one code after another.
"""

from __future__ import annotations

import errno
import gc
import os
import shutil
import sys
import threading
import time
from itertools import count

import injected_loads
import numpy as np
import pytest
from injected_loads import Call, truth_of
from long_mode import LONG
from syscall_faults import FAIL, FAIL_ON, left_behind, server

import starfish_fetch as sf
from starfish_fetch import threads, tiff_file
from starfish_fetch.errors import SourceError
from starfish_fetch.helper import Helper
from starfish_fetch.open_file import OpenFile

CODES = ("EIO", "EACCES", "ENOENT", "ENOMEM", "ESTALE", "EMFILE")
# Of how many calls one is tried, where there are many of a kind, or each takes long.
STEPS = {"deflate": 6, "ome-tiff": 3, "spacetx-tiff": 4, "ome-zarr": 6, "ome-zarr-0.4": 9}
LOADS = {
    "alone": {"workers": 1},
    "three": {"workers": 3},
    "filled": {"workers": 1, "load": {"on_error": "fill"}},
}


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    with server(tmp_path_factory.mktemp("server")) as give:
        yield give


@pytest.fixture(scope="module", params=list(injected_loads.WRITE))
def root(tmp_path_factory, request):
    if request.param.startswith("ome-zarr"):
        pytest.importorskip("ome_zarr")
    if request.param == "deflate":
        pytest.importorskip("imagecodecs")
    root = tmp_path_factory.mktemp("data") / request.param
    injected_loads.WRITE[request.param](root)
    return root


@pytest.mark.parametrize("mode", [FAIL, FAIL_ON], ids=["once", "from there on"])
@pytest.mark.parametrize("load", LOADS)
def test_a_call_that_fails_is_told_and_the_load_goes_on(warm, root, load, mode):
    step = 1 if LONG else STEPS.get(root.name, 1) * (1 if mode == FAIL else 3)
    for codes in [[code] for code in CODES] if LONG else [CODES]:
        report = warm(
            "injected_loads:each_call_fails",
            kind=root.name,
            root=root,
            codes=codes,
            mode=mode,
            step=step,
            **LOADS[load],
        )
        assert report.pop("problems") == []
        assert report["faults"] >= report["calls"] // step // 2 > 0
        assert report["errors"] > 0 or load == "filled"


def test_reads_that_give_less_are_read_on(warm, root):
    for most in (1, 2, 7, 100, 1000) if LONG else (1, 100):
        report = warm("injected_loads:short_reads", kind=root.name, root=root, most=most)
        assert report["right"]
        assert report["reads"] > 20


def test_an_interrupted_call_is_made_again(warm, root):
    step = 1 if LONG else STEPS.get(root.name, 1)
    report = warm("injected_loads:interrupted_calls", kind=root.name, root=root, step=step)
    assert report["problems"] == []
    assert report["heard"] == report["calls"] > 5


@pytest.mark.parametrize("workers", [1, 3])
def test_an_interrupt_leaves_no_thread_and_no_open_file(warm, root, workers):
    for _ in range(5 if LONG else 1):
        report = warm(
            "injected_loads:interrupts",
            kind=root.name,
            root=root,
            workers=workers,
            step=1 if LONG else STEPS.get(root.name, 1),
        )
        assert report["problems"] == []
        assert report["heard"] > report["calls"] // 2 > 3


TIFF_LIKE = ("tiff", "deflate", "ome-tiff", "npy")


@pytest.fixture
def threads_before():
    """Other tests of this process may have pools, whose threads wait for more to do."""
    return threading.enumerate()


@pytest.fixture
def own(root, tmp_path):
    """A copy that a test may spoil."""
    if root.name not in TIFF_LIKE:
        pytest.skip("of fetchers that keep files open")
    return shutil.copytree(root, tmp_path / root.name)


def files_of(root):
    return sorted(path for path in root.iterdir() if path.suffix in (".tiff", ".npy"))


def read_all(fetcher):
    extent = fetcher.extent
    return np.stack(
        [
            fetcher.get_tile(0, r, c, z).tile_data()
            for r in extent.rounds
            for c in extent.chs
            for z in extent.zplanes
        ]
    )


def test_a_file_that_was_changed_in_place_is_read_anew(own, threads_before):
    """The file is kept open, and its header known."""
    call = Call(own.name, own)
    call()
    before = read_all(call.fetcher)
    first, *_, last = files_of(own)
    with open(first, "r+b") as file:
        file.write(last.read_bytes())
        file.truncate()
    os.utime(first, ns=(1, 1))  # the clock of a file system may stand for milliseconds
    after = read_all(call.fetcher)
    tiles = len(before) // len(files_of(own))
    np.testing.assert_array_equal(after[:tiles], before[-tiles:])
    np.testing.assert_array_equal(after[tiles:], before[tiles:])
    call.close()
    assert left_behind(own, threads_before) == []


def test_a_file_that_shrinks_is_refused_until_it_is_whole(own):
    call = Call(own.name, own)
    call()
    path = files_of(own)[0]
    whole = path.read_bytes()
    for size in (0, 10, len(whole) // 3, len(whole) // 2):
        os.truncate(path, size)
        with pytest.raises(SourceError, match=path.name):
            read_all(call.fetcher)
        path.write_bytes(whole)
        truth = truth_of(own.name, own).reshape(-1, *injected_loads.SPEC.tile_shape)
        np.testing.assert_array_equal(read_all(call.fetcher), truth)
    call.close()


def test_a_tile_whose_file_changes_meanwhile_is_refused(own, monkeypatch):
    call = Call(own.name, own, workers=1)
    real, path = tiff_file.read_into, str(files_of(own)[-1])
    times = []

    def changed(file, target, offset, source):
        real(file, target, offset, source)
        if source == path and not times:
            times.append(1)
            os.utime(path, ns=(1, 1))

    monkeypatch.setattr(tiff_file, "read_into", changed)
    with pytest.raises(
        SourceError, match=rf"{os.path.basename(path)} was changed while it was read"
    ) as caught:
        call()
    assert any("tile (fov=0, round=" in note for note in caught.value.__notes__)
    np.testing.assert_array_equal(call().to_numpy(), truth_of(own.name, own))


def test_a_folder_that_vanishes_is_told_and_its_return_noticed(root, tmp_path):
    own = shutil.copytree(root, tmp_path / root.name)
    truth = truth_of(root.name, root)
    call = Call(root.name, own, workers=1)
    call.fetcher = injected_loads.fetcher_of(root.name, own)
    os.rename(own, tmp_path / "away")
    with pytest.raises(FileNotFoundError, match=str(own)):
        read_all(call.fetcher)
    os.rename(tmp_path / "away", own)
    np.testing.assert_array_equal(call().to_numpy(), truth)


def test_a_descriptor_that_a_server_has_forgotten_is_opened_again(own, monkeypatch):
    call = Call(own.name, own)
    call()
    stale = {id(file) for file, _ in call.fetcher._files._open.values()}
    real = OpenFile.is_still

    def forgotten(self, identity):
        if id(self) in stale:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return real(self, identity)

    monkeypatch.setattr(OpenFile, "is_still", forgotten)
    kept = list(call.fetcher._files._open.values())  # so that no new file gets its id
    read_all(call.fetcher)
    assert len(kept) == len(stale)


@pytest.mark.parametrize("workers", [1, 3])
def test_a_failed_load_keeps_no_file_open(own, threads_before, monkeypatch, workers):
    call = Call(own.name, own, workers=workers)
    real, reads = OpenFile.read_into, []

    def failing(self, *arguments):
        reads.append(1)
        if len(reads) == 5:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(self, *arguments)

    monkeypatch.setattr(OpenFile, "read_into", failing)
    gc.disable()
    try:
        with pytest.raises(OSError, match="Input/output error"):
            call()
        call.fetcher.close()
        assert left_behind(own, threads_before) == []
    finally:
        gc.enable()


def refuse(thread):
    raise RuntimeError("can't start new thread")


def test_without_threads_the_calling_one_does_all(monkeypatch):
    monkeypatch.setattr("threading.Thread.start", refuse)
    done = []
    assert threads.run_batches(iter(range(5)), lambda stop: done.append, 3) == []
    assert done == [0, 1, 2, 3, 4]
    helper = Helper()
    convert = helper.halving(np.copyto)
    assert convert is np.copyto
    helper.close()


class Slow(sf.TileFetcher):
    """Whose tiles take so long that every thread gets some."""

    thread_safe = True
    extent = sf.Extent({"y": 2, "x": 3}, 0, [0, 1], [0, 1], [0, 1])

    def __init__(self):
        self.asked = []

    def get_tile(self, *labels):
        self.asked.append(labels)
        time.sleep(0.0005)
        return SlowTile(sum(labels))


class SlowTile:
    shape = Slow.extent.tile_shape

    def __init__(self, number):
        self.number = number
        self.coordinates = {"xc": (0, 1), "yc": (0, 1), "zc": 0}

    def tile_data(self):
        return np.full((2, 3), self.number, np.uint8)


class Interrupt:
    """Raises KeyboardInterrupt where a signal is heard: as a function begins, or one in C ends."""

    modules = ("starfish_fetch.threads", "starfish_fetch.load", "threading")

    def __init__(self, at):
        self.left = at
        self.where = None

    def __call__(self, frame, event, argument):
        code = frame.f_code
        if event not in ("call", "c_return") or frame.f_globals.get("__name__") not in self.modules:
            return
        if code is threading.Condition.__enter__.__code__:
            return  # here threading leaves the lock taken that the new thread waits for
        self.left -= 1
        if self.left == 0:
            self.where = f"{code.co_qualname}, line {frame.f_lineno}, {event}"
            sys.setprofile(None)
            raise KeyboardInterrupt


def test_an_interrupt_at_any_step_of_a_load_on_threads_ends_it(monkeypatch):
    """Also where it comes out of the lock of a thread that is being started as a RuntimeError."""
    monkeypatch.setattr(threads, "_LONGEST_START", 0)
    truth = np.indices((2, 2, 2)).sum(0)
    for at in count(1):
        fetcher, interrupt = Slow(), Interrupt(at)
        stack = sf.ImageStack.from_tilefetcher(
            fetcher, **vars(fetcher.extent), dtype=None, workers=3
        )
        sys.setprofile(interrupt)
        try:
            stack.load()
        except KeyboardInterrupt:
            heard = True
        else:
            heard = False
        finally:
            sys.setprofile(None)
        asked = len(fetcher.asked)
        for thread in threading.enumerate():
            if thread.name.startswith("starfish_fetch-") and thread.is_alive():
                thread.join()  # its start was interrupted, and it ends without having begun
        assert len(fetcher.asked) == asked, interrupt.where
        np.testing.assert_array_equal(stack.to_numpy()[..., 0, 0], truth, interrupt.where)
        if interrupt.where is None:
            break
        assert heard, interrupt.where
    assert at > 100


def test_what_fails_in_the_half_of_the_helper_is_raised_and_it_goes_on():
    def refuse_the_last(pixels, out):
        if pixels[-1, -1] == 7:
            raise ValueError(f"{len(pixels)} rows")
        np.copyto(out, pixels)

    pixels = np.arange(8, dtype=np.uint8).reshape(4, 2)
    helper = Helper()
    try:
        convert = helper.halving(refuse_the_last)
        with pytest.raises(ValueError, match="2 rows"):
            convert(pixels, np.empty((4, 2)))
        for rows in (1, 3):
            out = np.empty((rows, 2))
            helper.halving(refuse_the_last)(pixels[:rows], out)
            np.testing.assert_array_equal(out, pixels[:rows])
        assert sum(one.name == "starfish_fetch-helper" for one in threading.enumerate()) == 1
    finally:
        helper.close()
