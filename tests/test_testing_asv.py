import math
import sys

import numpy as np
import pytest
from fetchers import ArrayFetcher, arguments, image

import starfish_fetch as sf
import synth
from starfish_fetch.testing.asv import ORDERS, LoadSuite, bytes_read, group_by_of

SPEC = synth.Spec(rounds=2, chs=3, zplanes=2, tile_shape=(16, 12))


class MemoryLoads(LoadSuite):
    extent = sf.Extent({"y": 6, "x": 5}, fov=0, rounds=range(2), chs=range(3), zplanes=range(4))

    def make_fetcher(self):
        return ArrayFetcher(image())


@pytest.fixture
def tiff_loads(tmp_path):
    dataset = synth.write(SPEC, sf.Layout.per_round(), tmp_path)

    class TiffLoads(LoadSuite):
        extent = dataset.extent()
        root = str(tmp_path)

        def make_fetcher(self):
            self.made = dataset.fetcher()
            return self.made

    return TiffLoads


def run(suite, name, *values):
    suite.setup(*values)
    result = getattr(suite, name)(*values)
    suite.teardown(*values)
    return result


def test_the_orders_are_the_six_and_none():
    assert len(set(ORDERS)) == 7
    assert [group_by_of(order) for order in ("r,c,z", "none")] == [("r", "c", "z"), None]


def test_an_unknown_order_is_refused():
    with pytest.raises(ValueError, match="'q' is not a valid Axes"):
        group_by_of("r,q")


@pytest.mark.parametrize("order", ORDERS)
def test_tiles_are_counted_exactly(order):
    assert run(MemoryLoads(), "track_get_tile_calls", order) == 24


def test_the_order_is_the_one_that_is_asked_for():
    suite = MemoryLoads()
    suite.setup("z,c,r")
    suite.time_load("z,c,r")
    expected = [(r, c, z) for z in range(4) for c in range(3) for r in range(2)]
    assert suite.fetcher.asked() == expected
    assert suite.stack.raw_shape == (2, 3, 4, 6, 5)


def test_every_setup_has_a_fresh_fetcher_and_teardown_closes_it(tiff_loads):
    suite = tiff_loads()
    closed = []
    suite.setup("none")
    first = suite.fetcher
    first.close = lambda: closed.append(first)
    suite.teardown("none")
    suite.setup("none")
    assert closed == [first]
    assert suite.fetcher is not first


def test_opens_and_bytes_are_the_same_each_time(tiff_loads):
    for order in ORDERS:
        assert run(tiff_loads(), "track_opens", order) == SPEC.extent(0).rounds.__len__()
    counts = {run(tiff_loads(), "track_bytes_read", order) for order in ("r,c,z", "r,c,z", "none")}
    pixels = 2 * 3 * 2 * 16 * 12 * 2
    (count,) = counts
    assert math.isnan(count) or pixels < count < pixels + 2 * 20_000


def test_a_suite_may_have_more_parameters_and_options():
    class Crops(MemoryLoads):
        params = (("none", "c"), (2, 6))
        param_names = ("group_by", "rows")

        @property
        def options(self):
            return {"crop_parameters": sf.CropParameters(y_slice=slice(0, self.case["rows"]))}

    suite = Crops()
    suite.setup("c", 2)
    suite.time_load("c", 2)
    assert suite.stack.tile_shape == (2, 5)
    assert suite.case == {"group_by": "c", "rows": 2}


def test_what_asv_reads_is_on_the_functions():
    suite = MemoryLoads()
    assert suite.track_opens.pretty_name == "MemoryLoads: files opened by a load"
    assert suite.track_bytes_read.unit == "bytes"
    assert {suite.time_load.version, suite.peakmem_reference.version} == {"1"}
    assert (suite.number, suite.warmup_time) == (1, 0)


def test_a_suite_may_have_fewer_benchmarks():
    class Calls(MemoryLoads):
        benchmarks = ("track_get_tile_calls",)

    assert Calls.time_load is None
    assert Calls.peakmem_reference is None
    assert run(Calls(), "track_get_tile_calls", "none") == 24
    with pytest.raises(ValueError, match="track_opened"):
        type("Wrong", (MemoryLoads,), {"benchmarks": ("track_opened",)})


def test_asv_finds_the_suite_and_not_its_base(tmp_path, monkeypatch):
    discovery = pytest.importorskip("asv_runner.discovery")
    package = tmp_path / "loads_of_mine"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from starfish_fetch import Extent\n"
        "from starfish_fetch.testing.asv import LoadSuite\n"
        "class Mine(LoadSuite):\n"
        "    extent = Extent({'y': 6, 'x': 5}, fov=0, rounds=[0], chs=[0], zplanes=[0])\n"
        "    def make_fetcher(self): ...\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    found = {one.name: one for one in discovery.disc_benchmarks(str(package))}
    assert sorted(found) == [
        "Mine.peakmem_load",
        "Mine.peakmem_reference",
        "Mine.time_load",
        "Mine.track_bytes_read",
        "Mine.track_get_tile_calls",
        "Mine.track_opens",
    ]
    assert all(one.check(str(package)) for one in found.values())
    assert found["Mine.track_opens"].params == [list(map(repr, ORDERS))]
    sys.modules.pop("loads_of_mine")


def test_bytes_read_is_what_was_read_in_any_thread(tmp_path):
    path = tmp_path / "pixels"
    np.zeros(100_000, np.uint8).tofile(path)

    def read():
        with open(path, "rb", buffering=0) as file:
            file.read(70_000)

    count = bytes_read(read)
    assert math.isnan(count) or count == 70_000


def test_bytes_read_without_counters_is_nan(monkeypatch):
    monkeypatch.setattr("starfish_fetch.io_counters._OF_PROCESS", "/nowhere/io")
    done = []
    assert math.isnan(bytes_read(lambda: done.append(1)))
    assert done == [1]


def test_the_suite_takes_what_from_tilefetcher_takes():
    fetcher = ArrayFetcher(image())
    given = arguments(fetcher)
    assert set(vars(MemoryLoads.extent)) == set(given) - {"tilefetcher"}
