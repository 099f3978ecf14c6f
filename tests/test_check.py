"""How checks are run: whatever the fetcher does, in time, and with a sample of a large image."""

import builtins
import gc
import logging
import os
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

import synth
from starfish_fetch import Axes, Coordinates, Extent, Layout
from starfish_fetch.testing import CHECKS, check_fetcher
from starfish_fetch.testing._guard import Calls, memory_limited, run_watched
from starfish_fetch.testing._pixels import explain, look, same
from starfish_fetch.testing._sample import sample, spread

SHAPE = {Axes.Y: 24, Axes.X: 20}
EXTENT = Extent(SHAPE, 0, (0, 1, 2), (0, 1), (0, 1, 2))
IMAGE = np.random.default_rng(3).integers(0, 65535, (3, 2, 3, 24, 20), dtype=np.uint16)


def oracle(r, c, z):
    return IMAGE[r, c, z]


class Tile:
    shape = SHAPE

    def __init__(self, fetcher, key):
        self.fetcher, self.key = fetcher, key
        self.coordinates = {
            Coordinates.X: (0.0, 1.9),
            Coordinates.Y: (0.0, 2.3),
            Coordinates.Z: float(key[2]),
        }

    def tile_data(self):
        return self.fetcher.pixels(self.key)


class Right:
    """A fetcher as it should be."""

    reads = 0

    def get_tile(self, fov, r, c, z):
        if fov != 0 or min(r, c, z) < 0:
            raise KeyError((fov, r, c, z))
        return Tile(self, (r, c, z))

    def pixels(self, key):
        Right.reads += 1
        return IMAGE[key].copy()


def statuses(report, *wanted):
    return {result.check: result.status for result in report if result.status in wanted}


def test_a_correct_fetcher_passes_without_a_warning():
    report = check_fetcher(Right, EXTENT, oracle)
    assert report.ok
    assert statuses(report, "fail", "warn") == {}
    assert [result.check for result in report] == list(CHECKS)
    assert (report.tiles_read, report.tiles_in_extent, report.has_oracle) == (18, 18, True)


def test_a_small_image_is_read_a_bounded_number_of_times():
    Right.reads = 0
    check_fetcher(Right, EXTENT, oracle)
    # Each of 18 tiles a few times; seconds follow from it, and are not for a test.
    assert Right.reads < 25 * 18


def failing(error):
    class Fails(Right):
        def pixels(self, key):
            if key == (1, 1, 1):
                raise error
            return super().pixels(key)

    return Fails


@pytest.mark.parametrize(
    "error", [ValueError("odd"), SystemExit(3), KeyboardInterrupt(), MemoryError(), GeneratorExit()]
)
def test_what_a_tile_raises_is_told_and_the_others_are_checked(error):
    report = check_fetcher(failing(error), EXTENT, oracle)
    assert statuses(report, "fail") == {"every_tile_can_be_had": "fail"}
    result = report["every_tile_can_be_had"]
    assert type(error).__name__ in result.message
    assert "(fov=0, r=1, c=1, z=1)" in result.message
    assert result.tiles == ((1, 1, 1),)


def test_endless_recursion_is_told():
    class Recurses(Right):
        def pixels(self, key):
            return self.pixels(key)

    report = check_fetcher(Recurses, EXTENT)
    assert "RecursionError" in report["every_tile_can_be_had"].message


def waits(seconds):
    time.sleep(seconds)


def spins(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


@pytest.mark.parametrize("wait", [waits, spins])
def test_a_call_that_does_not_return_is_given_up_and_the_others_are_checked(wait):
    class Hangs(Right):
        def pixels(self, key):
            if key == (1, 1, 1):
                wait(30)
            return super().pixels(key)

    report = check_fetcher(Hangs, EXTENT, oracle, deadline=4)
    assert report.seconds < 4
    assert statuses(report, "fail") == {"every_tile_can_be_had": "fail"}
    assert "did not return" in report["every_tile_can_be_had"].message
    assert report["labels_are_honoured"].status == "pass"
    assert report["metadata_reads_no_pixels"].status == "pass"


def test_a_fetcher_that_hangs_when_it_is_made_ends_within_the_deadline():
    report = check_fetcher(lambda: time.sleep(30), EXTENT, deadline=2)
    assert report.seconds < 2
    assert statuses(report, "fail") == {"fetcher_can_be_made": "fail"}


def test_what_is_not_finished_in_time_is_said():
    class Slow(Right):
        def pixels(self, key):
            time.sleep(0.02)
            return super().pixels(key)

    report = check_fetcher(Slow, EXTENT, oracle, deadline=0.5)
    assert report.seconds < 0.5 + 0.2
    unfinished = [result for result in report if "not finished" in result.message]
    assert unfinished
    assert {result.status for result in unfinished} == {"skip"}


def test_a_slow_fetcher_has_fewer_tiles_read():
    class Slow(Right):
        def pixels(self, key):
            time.sleep(0.05)
            return super().pixels(key)

    report = check_fetcher(Slow, EXTENT, oracle, deadline=2, checks=["labels_are_honoured"])
    assert 3 < report.tiles_read < 18
    assert report["labels_are_honoured"].status == "pass"


def test_more_memory_than_there_is_is_refused_and_the_limit_lifted():
    import resource

    before = resource.getrlimit(resource.RLIMIT_DATA)

    class Huge(Right):
        def pixels(self, key):
            # Nothing of it is touched: without the limit, there is enough of that.
            hoard = [np.empty(1 << 30, np.uint8) for _ in range(256)]
            return hoard[0][:480].reshape(24, 20)

    report = check_fetcher(Huge, EXTENT)
    assert "MemoryError" in report["every_tile_can_be_had"].message
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


def test_a_limit_of_memory_leaves_what_is_free():
    with memory_limited():
        assert np.ones(1 << 20).sum() == 1 << 20


def test_a_fault_does_not_outlive_a_thread_that_hangs(tmp_path):
    spec = synth.Spec(1, 1, 2, tile_shape=(24, 20))
    dataset = synth.write(spec, Layout.per_tile(), tmp_path / "data")

    class WaitsForItsFile:
        def get_tile(self, fov, r, c, z):
            tile = dataset.fetcher().get_tile(fov, r, c, z)
            path = dataset.root / dataset.layout.path(fov, r, c, z)
            if not path.exists():
                time.sleep(30)
            return tile

    opened, stat = builtins.open, os.stat
    report = check_fetcher(
        WaitsForItsFile, spec.extent(0), dataset, deadline=2, checks=["missing_files_are_errors"]
    )
    assert report["missing_files_are_errors"].status == "fail"
    assert (builtins.open, os.stat) == (opened, stat)
    for path in dataset.files:
        assert (dataset.root / path).stat().st_size


def test_nothing_is_left_behind(tmp_path):
    spec = synth.Spec(2, 2, 2, tile_shape=(24, 20))
    dataset = synth.write(spec, Layout.per_round(), tmp_path / "data")
    before = {path: path.read_bytes() for path in dataset.root.rglob("*") if path.is_file()}
    interval, handlers = sys.getswitchinterval(), list(logging.getLogger("tifffile").handlers)
    gc.collect()  # what other tests have left open goes now
    handles, threads = os.listdir("/dev/fd"), threading.enumerate()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert check_fetcher(dataset.fetcher, spec.extent(0), dataset).ok
    assert caught == []
    assert {path: path.read_bytes() for path in dataset.root.rglob("*")} == before
    assert sys.getswitchinterval() == interval
    assert logging.getLogger("tifffile").handlers == handlers
    assert len(os.listdir("/dev/fd")) == len(handles)
    assert set(threading.enumerate()) <= set(threads)  # one of another test may end


def test_a_fetcher_that_is_returned_again_and_again_is_not_closed():
    class Closes(Right):
        closed = False

        def close(self):
            self.closed = True

        def pixels(self, key):
            assert not self.closed
            return super().pixels(key)

    only = Closes()
    assert check_fetcher(lambda: only, EXTENT, oracle).ok
    assert not only.closed


def test_a_fetcher_over_memory_has_its_pixels_back():
    class Views(Right):
        def pixels(self, key):
            return IMAGE[key]

    before = IMAGE.copy()
    report = check_fetcher(Views, EXTENT, oracle)
    assert statuses(report, "fail") == {"arrays_are_private": "fail"}
    np.testing.assert_array_equal(IMAGE, before)


def test_what_is_mapped_for_writing_is_not_written_to(tmp_path):
    path = tmp_path / "image.npy"
    np.save(path, IMAGE)
    written = path.stat().st_mtime_ns

    class Maps(Right):
        def pixels(self, key):
            return np.load(path, mmap_mode="r+")[key]

    report = check_fetcher(Maps, EXTENT, oracle, checks=["arrays_are_private"])
    assert "data on disk" in report["arrays_are_private"].message
    assert path.stat().st_mtime_ns == written
    np.testing.assert_array_equal(np.load(path), IMAGE)


def test_expected_is_given_the_field_of_view_if_it_takes_it():
    asked = []

    def expected(r, c, z, fov=None):
        asked.append(fov)
        if fov != 0:
            raise KeyError(fov)
        return IMAGE[r, c, z]

    assert check_fetcher(Right, EXTENT, expected).ok
    assert set(asked) == {0, 1, -1}


def test_what_expected_raises_is_raised():
    with pytest.raises(ZeroDivisionError):
        check_fetcher(Right, EXTENT, lambda r, c, z: 1 / 0)


def test_expected_of_another_shape_is_an_error():
    with pytest.raises(ValueError, match=r"has the shape \(2, 2\); the extent says \(24, 20\)"):
        check_fetcher(Right, EXTENT, lambda r, c, z: np.zeros((2, 2)))


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"deadline": 0}, ValueError, "deadline must be a positive"),
        ({"deadline": float("nan")}, ValueError, "deadline must be a positive"),
        ({"checks": ["labels"]}, ValueError, "no check 'labels'"),
        ({"expected": 3}, TypeError, "expected must be a function"),
    ],
)
def test_wrong_arguments_are_refused(options, error, match):
    with pytest.raises(error, match=match):
        check_fetcher(Right, EXTENT, **options)


def test_make_fetcher_must_be_callable():
    with pytest.raises(TypeError, match="must be callable"):
        check_fetcher(Right(), EXTENT)


def test_only_the_checks_asked_for_run_and_progress_is_told():
    told = []
    names = ["tiles_repeat", "shapes_agree"]
    report = check_fetcher(Right, EXTENT, checks=names, progress=lambda *step: told.append(step))
    assert [result.check for result in report] == ["shapes_agree", "tiles_repeat"]
    assert told == [(0, 2, "shapes_agree"), (1, 2, "tiles_repeat"), (2, 2, "")]


LARGE = Extent({Axes.Y: 8, Axes.X: 6}, 0, range(20), range(12), range(30))


class Large(Right):
    def get_tile(self, fov, r, c, z):
        tile = super().get_tile(fov, r, c, z)
        tile.shape = LARGE.tile_shape
        return tile

    def pixels(self, key):
        if not all(label in axis for label, axis in zip(key, (range(20), range(12), range(30)))):  # noqa: B905
            raise KeyError(key)
        return np.random.default_rng(key).integers(0, 65535, (8, 6), dtype=np.uint16)


def large(r, c, z):
    return Large().pixels((r, c, z))


def test_of_a_large_image_a_sample_is_read_and_said():
    report = check_fetcher(Large, LARGE, large)
    assert report.ok
    assert report.tiles_read == 64
    assert report.tiles_in_extent == 7200
    assert "64 of 7,200" in str(report)


def test_exhaustive_finds_the_one_wrong_tile():
    class OneWrong(Large):
        def pixels(self, key):
            return super().pixels((7, 7, 8) if key == (7, 7, 7) else key)

    report = check_fetcher(OneWrong, LARGE, large, exhaustive=True, checks=["labels_are_honoured"])
    assert report.tiles_read == 7200
    assert report["labels_are_honoured"].tiles == ((7, 7, 7),)
    assert "z-planes" in report["labels_are_honoured"].message


def test_the_same_seed_reads_the_same_tiles():
    import random

    once, again, other = (sample(LARGE, 64, random.Random(seed)) for seed in (1, 1, 2))
    assert once == again != other
    for axis in range(3):
        labels = (LARGE.rounds, LARGE.chs, LARGE.zplanes)[axis]
        # A line of each axis, its first two and last two labels among it.
        assert {labels[0], labels[1], labels[-2], labels[-1]} <= {key[axis] for key in once}


@pytest.mark.parametrize("most", range(2, 12))
def test_what_is_spread_has_both_ends(most):
    items = spread(range(50), most)
    assert len(items) == most
    assert items == sorted(set(items))
    assert (items[0], items[-1]) == (0, 49)


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        ("rounds and channels are swapped", lambda r, c, z: (c, r, z)),
        ("channels and z-planes are swapped", lambda r, c, z: (r, z, c)),
        ("rounds are ignored", lambda r, c, z: (0, c, z)),
        ("z-planes are off by +1", lambda r, c, z: (r, c, (z + 1) % 12)),
        ("channels are off by -1", lambda r, c, z: (r, (c - 1) % 12, z)),
        ("rounds are reversed", lambda r, c, z: (11 - r, c, z)),
        ("channels are clamped", lambda r, c, z: (r, min(c, 9), z)),
        ("in the order of their names", lambda r, c, z: (r, sorted(range(12), key=str)[c], z)),
        ("left over from a loop", lambda r, c, z: (11, 11, 11)),
    ],
)
def test_the_way_in_which_labels_are_wrong_is_named(rule, change):
    pixels = np.random.default_rng(0).integers(0, 65535, (12, 12, 12, 8, 6), dtype=np.uint16)
    extent = Extent({Axes.Y: 8, Axes.X: 6}, 0, range(12), range(12), range(12))

    class Wrong(Large):
        def pixels(self, key):
            return pixels[change(*key)].copy()

    report = check_fetcher(
        Wrong, extent, lambda *key: pixels[key], exhaustive=True, checks=["labels_are_honoured"]
    )
    assert rule in report["labels_are_honoured"].message


def test_labels_taken_for_positions_are_named():
    extent = Extent(SHAPE, 0, (1, 2, 5), (0,), (0,))

    class Positions(Right):
        def pixels(self, key):
            return IMAGE[key[0] % 3, 0, 0].copy()

    def expected(r, c, z):
        return IMAGE[{1: 0, 2: 1, 5: 2}[r], 0, 0]

    report = check_fetcher(Positions, extent, expected, checks=["labels_are_honoured"])
    assert "rounds are" in report["labels_are_honoured"].message


@pytest.mark.parametrize("dtype", ["uint8", "uint16", ">u2", "float32", "float16", "bool", "int32"])
def test_pixels_look_the_same_whatever_their_order_in_memory(dtype):
    pixels = (np.arange(60).reshape(6, 10) % 7).astype(dtype)
    for other in (np.asfortranarray(pixels), pixels.astype(pixels.dtype.newbyteorder())):
        assert look(pixels) == look(other)
        assert same(pixels, other)
    assert look(pixels).digest != look(pixels[::-1]).digest


def test_few_pixels_tell_nothing():
    assert not look(np.array([[1, 2], [3, 4]], np.uint8)).telling
    assert not look(np.full((64, 64), 7, np.uint16)).telling
    assert look(IMAGE[0, 0, 0]).telling


@pytest.mark.parametrize(
    ("kind", "text", "change"),
    [
        ("orientation", "flipped upside down", np.flipud),
        ("orientation", "flipped left to right", np.fliplr),
        ("orientation", "turned by 180 degrees", lambda a: np.rot90(a, 2)),
        ("orientation", "transposed", lambda a: np.ascontiguousarray(a.T)),
        ("intensity", "byte-swapped", lambda a: a.byteswap()),
        ("intensity", "only the lowest 8 bits", lambda a: a & 0xFF),
        ("intensity", "clipped", lambda a: np.minimum(a, 9000)),
        ("intensity", "rescaled", lambda a: (a // 16).astype(np.uint16)),
        ("intensity", "inverted", lambda a: 65535 - a),
        ("blank", "are all 0", np.zeros_like),
        ("other", "shifted by 1 rows and 0 columns", lambda a: np.roll(a, 1, axis=0)),
        ("other", "1 of 400 pixels", lambda a: np.where(np.arange(400).reshape(20, 20) == 7, 1, a)),
    ],
)
def test_what_was_done_to_pixels_is_named(kind, text, change):
    expected = IMAGE[0, 0, 0, :20]
    difference = explain(
        change(expected).astype(np.uint16), expected, lambda seen: None, lambda: iter([])
    )
    assert difference.kind == kind
    assert text in difference.text


def test_pixels_in_another_order_of_memory_are_named():
    expected = IMAGE[0, 0, 0]
    seen = expected.T.reshape(expected.shape)
    difference = explain(seen, expected, lambda seen: None, lambda: iter([]))
    assert (difference.kind, difference.text) == ("orientation", "read column by column")


def test_a_thread_that_hangs_does_not_keep_others_from_their_work():
    calls = Calls()
    release = threading.Event()
    until = time.perf_counter() + 5
    outcome = run_watched(
        lambda: calls.run("waiting", release.wait), calls, patience=0.1, until=until
    )
    assert outcome.hanging == "waiting"
    release.set()


def test_the_process_ends_although_a_fetcher_hangs(tmp_path):
    code = """
        import time
        from starfish_fetch import Extent
        from starfish_fetch.testing import check_fetcher
        class Hangs:
            def get_tile(self, *labels):
                time.sleep(60)
        extent = Extent({"y": 4, "x": 4}, 0, [0], [0], [0])
        print(check_fetcher(Hangs, extent, deadline=1).ok)
    """
    finished = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
        cwd=Path(__file__).parents[1],
    )
    assert finished.stdout == "False\n"


def test_the_import_is_light():
    code = "import sys, starfish_fetch.testing.check; print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    for heavy in ("tifffile", "hypothesis", "pytest", "pandas", "xarray", "rich", "matplotlib"):
        assert heavy not in modules
