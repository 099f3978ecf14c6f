import gc
import os
import sys
import threading
from contextlib import ExitStack

import numpy as np
import pytest
from fetchers import ArrayFetcher, ArrayTile, arguments, image

import synth
from starfish_fetch import (
    CropParameters,
    Extent,
    FetchedTile,
    ImageStack,
    Layout,
    TileFetcher,
    TileKey,
    io_counters,
    profile_orders,
    trace,
)
from starfish_fetch.tracing import watched


def touch(path):
    with open(path, "ab"):
        pass


def test_counts_every_way_of_opening_in_every_thread(tmp_path):
    with trace() as seen:
        touch(tmp_path / "a")
        os.close(os.open(str(tmp_path / "a"), os.O_RDONLY))
        thread = threading.Thread(target=touch, args=(str(tmp_path / "b"),))
        thread.start()
        thread.join()
    touch(tmp_path / "b")
    assert seen.by_source[str(tmp_path / "a")] == 2
    assert seen.by_source[str(tmp_path / "b")] == 1


def test_a_descriptor_that_is_wrapped_is_not_another_open(tmp_path):
    with trace(tmp_path) as seen:
        descriptor = os.open(tmp_path / "a", os.O_CREAT | os.O_RDWR)
        with open(descriptor, "rb"):
            pass
    assert seen.opens == 1


def test_code_that_is_imported_is_no_data(tmp_path, monkeypatch):
    (tmp_path / "lazy_module.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    with trace() as seen:
        __import__("lazy_module")
        touch(tmp_path / "data.tiff")
    assert list(seen.by_source) == [str(tmp_path / "data.tiff")]


def test_traces_nest_and_look_below_a_folder_alone(tmp_path):
    (tmp_path / "in").mkdir()
    with trace(tmp_path / "in") as outer:
        touch(tmp_path / "in" / "a")
        with trace(tmp_path) as inner:
            touch(tmp_path / "in" / "a")
            touch(tmp_path / "in-not")
    assert (outer.opens, inner.opens) == (2, 2)


def test_whoever_asks_a_server_can_tell(tmp_path):
    url, other = "https://host/data/r0.tiff", "https://host/else"
    with trace() as seen, trace("https://host/data") as below:
        for name, count in ((url, 300), (url, 4), (other, 50)):
            sys.audit("starfish_fetch.request", name, count)
    sys.audit("starfish_fetch.request", url, 1)
    assert seen.requests_by_source == {url: 2, other: 1}
    assert seen.received_by_source == {url: 304, other: 50}
    assert (seen.requests, seen.bytes_received) == (3, 354)
    assert (below.requests, below.bytes_received) == (2, 304)
    assert seen.bytes_read is None or seen.bytes_read >= 354


def test_requests_are_put_to_their_phase_and_profiled():
    class Tile(ArrayFetcher):
        def pixels_of(self, key):
            sys.audit("starfish_fetch.request", f"https://host/{key[0]}", 1000)
            return super().pixels_of(key)

    pixels = image((2, 1, 3, 6, 5))
    extent = Extent({"y": 6, "x": 5}, 0, range(2), range(1), range(3))
    with trace() as seen:
        ImageStack.from_tilefetcher(Tile(pixels), **vars(extent)).load()
    read = seen.by_phase["pixels"].bytes_read
    assert read is None or read >= 6000
    (row,) = profile_orders(lambda: Tile(pixels), extent, ["zcr"], repeat=1).rows
    assert (row.requests, row.bytes_received) == (6, 6000)


def test_relative_paths_count_as_where_they_lead(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with trace(tmp_path) as seen:
        touch("a")
    assert seen.by_source == {str(tmp_path / "a"): 1}


class FileTile(FetchedTile):
    def __init__(self, fetcher, labels):
        self.fetcher, self.labels = fetcher, labels

    @property
    def shape(self):
        self.fetcher.read_file("shape", self.labels)
        return {"y": 4, "x": 5}

    @property
    def coordinates(self):
        self.fetcher.read_file("coordinates", self.labels)
        return {"xc": (0, 1), "yc": (0, 1), "zc": self.labels[2]}

    @property
    def extras(self):
        self.fetcher.read_file("extras", self.labels)
        return {}

    def tile_data(self):
        self.fetcher.read_file("tile_data", self.labels)
        return np.full((4, 5), 7, np.uint8)


class FileFetcher(TileFetcher):
    """Reads 100 bytes of a file of each round whenever it is asked for something in ``reads``."""

    def __init__(self, folder, reads=("tile_data",)):
        self.folder, self.reads = folder, reads
        for r in range(2):
            (folder / f"r{r}").write_bytes(bytes(100))

    def read_file(self, what, labels):
        if what in self.reads:
            with open(self.folder / f"r{labels[0]}", "rb", buffering=0) as file:
                file.read(100)

    def get_tile(self, fov_id, round_label, ch_label, zplane_label):
        self.read_file("get_tile", (round_label, ch_label, zplane_label))
        return FileTile(self, (round_label, ch_label, zplane_label))


def stack_of(fetcher, **options):
    labels = {"fov": 0, "rounds": [0, 1], "chs": [0, 1, 2], "zplanes": [0]}
    return ImageStack.from_tilefetcher(fetcher, {"y": 4, "x": 5}, **labels, **options)


COUNTED = os.path.exists("/proc/thread-self/io")


@pytest.mark.parametrize(
    ("reads", "metadata", "pixels"),
    [
        (("tile_data",), 0, 6),
        (("shape", "tile_data"), 6, 6),
        (("get_tile", "coordinates"), 12, 0),
        ((), 0, 0),
    ],
)
@pytest.mark.parametrize("workers", [1, 3])
def test_opens_and_bytes_are_told_apart_by_phase(tmp_path, reads, metadata, pixels, workers):
    fetcher = FileFetcher(tmp_path, reads)
    fetcher.thread_safe = True
    with trace(tmp_path) as seen:
        stack_of(fetcher, workers=workers).load()
    phases = {name: (phase.opens, phase.bytes_read) for name, phase in seen.by_phase.items()}
    expected = {"metadata": metadata, "pixels": pixels, "other": 0}
    assert phases == {
        name: (opens, 100 * opens if COUNTED else None) for name, opens in expected.items()
    }
    opens = metadata + pixels
    assert (seen.opens, seen.reopens, seen.tiles) == (opens, max(0, opens - 2), 6)
    assert seen.bytes_read == (100 * opens if COUNTED else None)
    assert seen.calls == dict.fromkeys(("get_tile", "shape", "coordinates", "tile_data"), 6)
    assert all(phase.seconds >= 0 for phase in seen.by_phase.values())


def test_each_open_is_put_to_its_tile(tmp_path):
    fetcher = FileFetcher(tmp_path, ("shape", "tile_data"))
    with trace(tmp_path) as seen:
        stack_of(fetcher).load()
    assert seen.opens_by_tile == {
        TileKey(r, c, 0): [str(tmp_path / f"r{r}")] * 2 for r in range(2) for c in range(3)
    }


def test_opens_elsewhere_are_of_no_phase(tmp_path):
    fetcher = FileFetcher(tmp_path)
    with trace(tmp_path) as seen:
        fetcher.read_file("tile_data", (0, 0, 0))
        stack_of(fetcher).load()
        fetcher.read_file("tile_data", (1, 0, 0))
    assert [phase.opens for phase in seen.by_phase.values()] == [0, 6, 2]
    assert seen.by_phase["other"].bytes_read == (200 if COUNTED else None)


def test_metadata_asked_for_alone_is_seen(tmp_path):
    fetcher = FileFetcher(tmp_path, ("extras",))
    fetcher.source = lambda fov, r, c, z: f"r{r}"
    stack = stack_of(fetcher)
    with trace(tmp_path) as seen:
        stack.physical_coordinates()
        stack.tile_extras()
    assert seen.calls == {"source": 6, "get_tile": 12, "coordinates": 6, "extras": 6}
    assert (seen.tiles, seen.by_phase["metadata"].opens) == (0, 6)


class RegionTile(ArrayTile):
    def tile_region(self, rows, columns):
        return self.tile_data()[rows, columns]


class RegionFetcher(ArrayFetcher):
    def get_tile(self, fov, *key):
        return RegionTile(self, fov, key)


@pytest.mark.parametrize(("kind", "regions"), [(RegionFetcher, 24), (ArrayFetcher, 0)])
def test_a_crop_is_seen_as_regions_where_tiles_have_their_own(kind, regions):
    fetcher = kind(image())
    with trace() as seen:
        ImageStack.from_tilefetcher(
            **arguments(fetcher), crop_parameters=CropParameters(y_slice=slice(1, 3))
        ).load()
    assert (seen.calls["tile_region"], seen.calls["tile_data"]) == (regions, 24 - regions)
    assert seen.tiles == len(fetcher.asked()) == 24


class BareTile:
    """Has what a tile must have, and no more."""

    shape = {"y": 4, "x": 5}  # noqa: RUF012
    coordinates = {"xc": (0, 1), "yc": (0, 1), "zc": 0}  # noqa: RUF012

    def tile_data(self):
        return np.zeros((4, 5), np.uint8)


class BareFetcher:
    def get_tile(self, *labels):
        return BareTile()


def test_an_unmodified_fetcher_loads_the_same_under_a_trace():
    crop = CropParameters(x_slice=slice(1, 2))
    with trace() as seen:
        stack = stack_of(BareFetcher(), crop_parameters=crop).load()
    assert stack.shape["x"] == 1
    assert seen.calls == dict.fromkeys(("get_tile", "shape", "coordinates", "tile_data"), 6)


@pytest.mark.parametrize("dtype", [np.float32, None])
@pytest.mark.parametrize("compression", [None, "deflate"])
def test_the_readers_of_rows_are_seen_and_used(tmp_path, dtype, compression):
    layout = Layout.per_round()
    data = synth.write(synth.Spec(2, 2, 3, (40, 30)), layout, tmp_path, compression=compression)
    with data.fetcher() as fetcher, trace(tmp_path) as seen:
        loaded = ImageStack.from_tilefetcher(fetcher, **vars(data.extent()), dtype=dtype).to_numpy()
    with data.fetcher() as fetcher:
        again = ImageStack.from_tilefetcher(fetcher, **vars(data.extent()), dtype=dtype).to_numpy()
    np.testing.assert_array_equal(loaded, again)
    assert (seen.opens, seen.reopens, seen.tiles, seen.calls["row_reader"]) == (2, 0, 12, 12)
    assert seen.calls["tile_data"] == (12 if compression else 0)
    if COUNTED:
        pixels = seen.by_phase["pixels"].bytes_read
        assert pixels == seen.bytes_read
        assert compression or pixels >= 12 * 40 * 30 * 2


def test_nothing_is_wrapped_without_a_trace():
    get_tile = ArrayFetcher(image()).get_tile
    assert watched(get_tile, "get_tile") is get_tile
    with trace():
        assert watched(get_tile, "get_tile") is not get_tile
    assert watched(get_tile, "get_tile") is get_tile


def test_a_trace_that_ends_in_the_middle_leaves_the_load_alone(tmp_path):
    fetcher = FileFetcher(tmp_path)
    with ExitStack() as until_third:
        seen = until_third.enter_context(trace(tmp_path))
        read_file = fetcher.read_file

        def read(what, labels):
            if what == "tile_data" and labels[1] == 2:
                until_third.close()
            read_file(what, labels)

        fetcher.read_file = read
        stack_of(fetcher).load()
    assert (seen.opens, seen.calls["get_tile"]) == (2, 3)


def test_an_error_out_of_a_fetcher_is_its_own_under_a_trace(tmp_path):
    fetcher = FileFetcher(tmp_path)
    (tmp_path / "r1").unlink()
    with trace(tmp_path) as seen, pytest.raises(FileNotFoundError) as caught:
        stack_of(fetcher).load()
    assert caught.value.__notes__ == ["tile (fov=0, round=1, ch=0, zplane=0)"]
    assert (seen.tiles, seen.calls["tile_data"]) == (3, 4)


def test_two_traces_at_once_each_see_what_happens_while_they_are_on(tmp_path):
    fetcher = FileFetcher(tmp_path)
    began, end = threading.Event(), threading.Event()
    others = []

    def watch():
        with trace(tmp_path) as seen:
            others.append(seen)
            began.set()
            end.wait(60)

    thread = threading.Thread(target=watch)
    with trace(tmp_path) as seen:
        stack_of(fetcher).load()
        thread.start()
        assert began.wait(60)
        stack_of(fetcher).load()
    stack_of(fetcher).load()
    end.set()
    thread.join()
    assert (seen.opens, seen.tiles, seen.calls["shape"]) == (12, 12, 12)
    assert (others[0].opens, others[0].tiles, others[0].calls["shape"]) == (12, 12, 12)


def test_bytes_are_none_where_nobody_counts(tmp_path, monkeypatch):
    monkeypatch.setattr("starfish_fetch.io_counters._OF_PROCESS", "/nowhere/io")
    monkeypatch.setattr("starfish_fetch.io_counters._OF_THREAD", "/nowhere/io")
    fetcher = FileFetcher(tmp_path)
    with trace(tmp_path) as seen:
        stack_of(fetcher).load()
    assert seen.bytes_read is None
    assert {phase.bytes_read for phase in seen.by_phase.values()} == {None}
    assert seen.opens == 6


@pytest.mark.skipif(not COUNTED, reason="this system does not count what a thread reads")
def test_looking_at_the_counters_is_not_counted(tmp_path):
    with trace() as outer:
        for _ in range(5):
            with trace() as inner:
                pass
    assert (outer.bytes_read, inner.bytes_read, outer.opens) == (0, 0, 0)


def test_a_counter_that_an_interrupt_kept_from_being_made_says_nothing(monkeypatch):
    def interrupted(path):
        raise KeyboardInterrupt

    said = []
    monkeypatch.setattr(sys, "unraisablehook", said.append)
    monkeypatch.setattr(io_counters, "_open", interrupted)
    with pytest.raises(KeyboardInterrupt):
        io_counters.ThreadCounter()
    gc.collect()
    assert said == []
