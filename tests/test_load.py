"""What a load asks of a fetcher, in which order, and what it makes of the answers."""

import copy
import gc
import io
import itertools
import pickle
import re
import signal
import threading
import time
import warnings
import weakref
from contextlib import suppress

import numpy as np
import pytest
from fetchers import ArrayFetcher, ArrayTile, arguments, image
from hypothesis import given
from hypothesis import strategies as st
from test_plan import expected_order

import starfish_fetch.place
from starfish_fetch import (
    Axes,
    Coordinates,
    CropParameters,
    DataFormatWarning,
    ImageStack,
    TileKey,
    to_float32,
)
from starfish_fetch.axes import Extent
from starfish_fetch.crop import Window
from starfish_fetch.load import Loader
from starfish_fetch.place import StackArray
from starfish_fetch.testing.strategies import dtypes

LABELS = ([5, 1], [0, 7, 3], [-2, 0, 4, 9])
LAST = (5, 7, 9)


def loading_threads():
    # Other tests may have left threads behind that hang on purpose.
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if re.fullmatch(r"starfish_fetch-(\d+|helper)", name)]


def fetcher_of(kind=ArrayFetcher, **options):
    return kind(image(**options), [sorted(axis) for axis in LABELS])


def expected_of(fetcher):
    return to_float32(fetcher.array)


def stack_of(fetcher, **options):
    return ImageStack.from_tilefetcher(**arguments(fetcher), **options)


ORDERS = [(axes[:length]) for axes in itertools.permutations("rcz") for length in range(1, 4)]


@pytest.mark.parametrize("group_by", [None, (), *ORDERS, {"z"}, {"c", "z"}, {"r", "c", "z"}])
def test_tiles_are_asked_for_once_in_the_documented_order(group_by):
    fetcher = fetcher_of()
    stack = stack_of(fetcher, group_by=group_by)
    assert fetcher.events == []
    stack.load()
    order = () if group_by is None else group_by
    if isinstance(order, set):
        order = sorted(order, key="rcz".index)
    asked = ("get_tile", "shape", "coordinates", "tile_data")
    assert fetcher.events == [
        (event, key) for key in expected_order(*LABELS, order) for event in asked
    ]
    stack.load()
    stack.to_numpy()
    assert len(fetcher.events) == 4 * 24
    np.testing.assert_array_equal(stack.to_numpy(), expected_of(fetcher))


def test_axes_and_strings_give_one_order():
    orders = [("c", "r"), (Axes.CH, Axes.ROUND), ["c", Axes.ROUND], "cr"]
    asked = []
    for group_by in orders:
        fetcher = fetcher_of()
        stack_of(fetcher, group_by=group_by).load()
        asked.append(fetcher.asked())
    assert all(order == asked[0] for order in asked)


def test_sources_lead_where_no_order_is_given():
    class Sourced(ArrayFetcher):
        def source(self, fov, r, c, z):
            return f"z{z}.tiff"

    fetcher = fetcher_of(Sourced)
    stack = stack_of(fetcher)
    stack.load()
    assert fetcher.asked() == list(expected_order(*LABELS, ("z",)))
    assert stack.plan.predicted_opens() == 4
    given_order = fetcher_of(Sourced)
    stack_of(given_order, group_by="r").load()
    assert given_order.asked() == list(expected_order(*LABELS, ("r",)))


def test_a_source_that_is_no_method_is_no_source():
    fetcher = fetcher_of()
    fetcher.source = "a folder"
    assert stack_of(fetcher).plan.sources is None
    stack_of(fetcher).load()
    assert fetcher.asked() == list(expected_order(*LABELS, ()))


def test_an_error_in_source_names_the_tile():
    class Broken(ArrayFetcher):
        def source(self, fov, r, c, z):
            return {}[z]

    with pytest.raises(KeyError) as raised:
        stack_of(fetcher_of(Broken)).load()
    assert raised.value.__notes__ == ["tile (fov=0, round=1, ch=0, zplane=-2)"]


def test_a_fetcher_is_called_positionally_and_needs_no_base_class():
    pixels = image()

    class Tile:
        def __init__(self, key):
            self.shape = {"y": 6, "x": 5}
            self.coordinates = {"xc": [0, 1], "yc": [0, 1]}
            self.key = key

        def tile_data(self):
            return pixels[self.key]

    class Fetcher:
        def get_tile(self, a, b, hybridisation, d, /):
            assert (type(a), type(b), type(hybridisation), type(d)) == (int,) * 4
            return Tile((b, hybridisation, d))

    stack = ImageStack.from_tilefetcher(
        Fetcher(), {"y": 6, "x": 5}, 0, np.arange(2), iter(range(3)), range(4)
    )
    np.testing.assert_array_equal(stack.to_numpy(), to_float32(pixels))
    assert np.isnan(stack.physical_coordinates().z).all()
    assert [set(extras) for extras in stack.tile_extras().values()] == [set()] * 24


@pytest.mark.parametrize("workers", [None, 1, 3])
def test_only_a_thread_safe_fetcher_is_called_from_several_threads(workers):
    fetcher = fetcher_of()
    stack_of(fetcher, workers=workers).load()
    assert fetcher.threads == {threading.get_ident()}


def test_a_group_is_split_among_workers_only_if_threads_share_what_is_open():
    class OneFile(ArrayFetcher):
        thread_safe = True

        def source(self, fov, *key):
            return "file"

        def pixels_of(self, key):
            time.sleep(0.002)  # lets the other thread have its turn
            return super().pixels_of(key)

    for shares, threads in ((False, 1), (True, 2)):
        fetcher = fetcher_of(OneFile)
        fetcher.shares_sources = shares
        stack = stack_of(fetcher, workers=2).load()
        assert len(fetcher.threads) == threads
        np.testing.assert_array_equal(stack.to_numpy(), expected_of(fetcher))


@pytest.mark.parametrize("shape", [(2, 3, 4, 6, 5), (2, 3, 4, 600, 1000)])
def test_a_thread_safe_fetcher_is_called_from_as_many_threads_as_asked(shape):
    together = threading.Barrier(3, timeout=30)

    class Safe(ArrayFetcher):
        thread_safe = True

        def pixels_of(self, key):
            if len(self.asked()) <= 3:
                together.wait()
            return super().pixels_of(key)

    fetcher = fetcher_of(Safe, shape=shape)
    stack = stack_of(fetcher, workers=3, group_by="rc").load()
    assert len(fetcher.threads) == 3
    np.testing.assert_array_equal(stack.to_numpy(), expected_of(fetcher))
    for group in stack.plan.groups():
        keys = [key for key in fetcher.asked() if key in group]
        assert keys == list(group)
    assert not loading_threads()


@pytest.mark.parametrize("dtype", ["u2", "f4", "i2"])
@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("workers", [1, 2, None])
def test_large_tiles_of_a_fetcher_with_one_buffer_are_right(dtype, keep, workers):
    pixels = image((2, 1, 4, 800, 700), dtype) // (1 if dtype == "f4" else 2)
    pixels = np.abs(pixels).astype(dtype)
    buffer = np.empty(pixels.shape[3:], dtype)

    class OneBuffer(ArrayFetcher):
        def pixels_of(self, key):
            buffer[:] = super().pixels_of(key)
            return buffer

    fetcher = OneBuffer(pixels)
    stack = stack_of(fetcher, workers=workers, dtype=None if keep else np.float32, group_by="zr")
    np.testing.assert_array_equal(stack.to_numpy(), pixels if keep else to_float32(pixels))
    assert fetcher.threads == {threading.get_ident()}
    assert not loading_threads()


@pytest.mark.parametrize(
    ("workers", "thread_safe", "helpers"),
    [(1, False, 0), (2, False, 1), (3, False, 1), (2, True, 0)],
)
def test_a_second_thread_helps_where_the_fetcher_has_one(workers, thread_safe, helpers):
    class Watching(ArrayFetcher):
        seen = 0

        def pixels_of(self, key):
            self.seen = max(self.seen, loading_threads().count("starfish_fetch-helper"))
            return super().pixels_of(key)

    fetcher = Watching(image((1, 1, 4, 800, 700)))
    fetcher.thread_safe = thread_safe
    stack = stack_of(fetcher, workers=workers, group_by="z").load()
    assert fetcher.seen == helpers
    np.testing.assert_array_equal(stack.to_numpy(), expected_of(fetcher))


def test_an_error_in_a_large_tile_leaves_no_thread():
    pixels = np.zeros((1, 2, 2, 800, 700), np.float32)
    pixels[0, 1, 0, 799, 699] = 2
    with pytest.raises(ValueError, match=r"reach from 0\.0 to 2\.0"):
        stack_of(ArrayFetcher(pixels), workers=2).load()
    assert not loading_threads()


@given(dtypes(byte_orders=st.sampled_from("=<>")), st.booleans())
def test_dtype_is_float32_or_the_tiles_own(dtype, keep):
    pixels = image(dtype=dtype.newbyteorder("=")).astype(dtype)
    stack = stack_of(ArrayFetcher(pixels), dtype=None if keep else np.float32)
    expected = pixels if keep else to_float32(pixels)
    assert stack.dtype == stack.to_numpy().dtype == expected.dtype.newbyteorder("=")
    np.testing.assert_array_equal(stack.to_numpy(), expected)


def test_dtype_of_anything_else_is_refused():
    with pytest.raises(ValueError, match="dtype must be"):
        stack_of(fetcher_of(), dtype=np.float64)
    for workers in (0, True):
        with pytest.raises(ValueError, match="workers must be an int of at least 1"):
            stack_of(fetcher_of(), workers=workers)
    with pytest.raises(TypeError):
        stack_of(fetcher_of(), workers=1.5)


def test_out_is_filled_and_is_the_stack(tmp_path):
    fetcher = fetcher_of()
    out = np.lib.format.open_memmap(tmp_path / "a.npy", "w+", np.float32, (2, 3, 4, 6, 5))
    assert stack_of(fetcher, out=out).to_numpy() is out
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), expected_of(fetcher))
    wide = np.zeros((2, 3, 4, 6, 10), np.uint32)
    stack_of(fetcher, out=wide[..., ::2], dtype=None).load()
    np.testing.assert_array_equal(wide[..., ::2], fetcher.array)


@pytest.mark.parametrize(
    ("out", "dtype", "error", "message"),
    [
        (np.empty((2, 3, 4, 6, 6), np.float32), np.float32, ValueError, "out has the shape"),
        (np.empty((2, 3, 4, 6, 5), np.uint16), np.float32, ValueError, "or dtype=None"),
        (np.broadcast_to(np.float32(0), (2, 3, 4, 6, 5)), np.float32, ValueError, "read-only"),
        (np.empty((2, 3, 4, 6, 5), np.uint8), None, TypeError, "out is uint8, but .* uint16"),
        (np.empty((2, 3, 4, 6, 5), np.float32), None, TypeError, "out is float32, but .* uint16"),
    ],
)
def test_out_that_does_not_fit_is_refused(out, dtype, error, message):
    with pytest.raises(error, match=message):
        stack_of(fetcher_of(), out=out, dtype=dtype).load()


# --- what a load verifies


def broken(method, answer, only=None):
    """A fetcher one of whose answers is replaced, for one tile or for all."""

    def replaced(self, key):
        right = getattr(ArrayFetcher, method)(self, key)
        return answer(right) if only is None or key == only else right

    return fetcher_of(type("Broken", (ArrayFetcher,), {method: replaced}))


class Like:
    """An array of another library: neither numpy's nor derived from it."""

    def __init__(self, array):
        self.array, self.dtype, self.shape = array, array.dtype, array.shape

    def __array__(self, dtype=None, copy=None):
        return self.array


@pytest.mark.parametrize("crop", [None, CropParameters(y_slice=slice(1, 3), x_slice=slice(0, 2))])
@pytest.mark.parametrize("kind", [Like, np.ma.masked_array, lambda a: a.view(np.memmap)])
def test_arrays_of_any_kind_are_taken(kind, crop):
    fetcher = broken("pixels_of", kind)
    part = np.s_[...] if crop is None else np.s_[..., 1:3, 0:2]
    stack = stack_of(fetcher, crop_parameters=crop)
    assert type(stack.to_numpy()) is np.ndarray
    np.testing.assert_array_equal(stack.to_numpy(), expected_of(fetcher)[part])


NOTE = "tile (fov=0, round=5, ch=7, zplane=9)"


@pytest.mark.parametrize(
    ("method", "answer", "error", "message"),
    [
        ("pixels_of", lambda a: a[:-1], ValueError, r"returned the shape \(5, 5\) .*\(6, 5\)"),
        ("pixels_of", lambda a: a[None], ValueError, "returned 3 dimensions"),
        ("pixels_of", lambda a: a.tolist(), TypeError, "returned a list; expected a 2-D"),
        ("pixels_of", lambda a: None, TypeError, "returned a NoneType"),
        ("pixels_of", lambda a: a.astype(complex), TypeError, "returned complex128; expected num"),
        ("pixels_of", lambda a: a.astype(object), TypeError, "returned object; expected numbers"),
        ("coordinates_of", lambda a: {**a, "zc": np.inf}, ValueError, "expected finite numbers"),
        ("pixels_of", lambda a: a / 65535, TypeError, "float64 here, uint16 in tile"),
        ("pixels_of", lambda a: a.astype("i4"), TypeError, "int32 here, uint16 in tile"),
        ("coordinates_of", lambda a: {**a, "xc": (0.1, 1.8)}, ValueError, "Tiles must be aligned"),
        ("coordinates_of", lambda a: {**a, "yc": [0.3, 0.8]}, ValueError, "Tiles must be aligned"),
        ("coordinates_of", lambda a: {"yc": (0, 1)}, ValueError, "mapping with 'xc' and 'yc'"),
        ("coordinates_of", lambda a: (0, 1), ValueError, "mapping with 'xc' and 'yc'"),
        ("coordinates_of", lambda a: {**a, "xc": 3}, ValueError, "expected the pair"),
        ("coordinates_of", lambda a: {**a, "xc": (0, np.nan)}, ValueError, "finite"),
        ("coordinates_of", lambda a: {**a, "zc": "top"}, ValueError, "'zc' is 'top'"),
    ],
)  # fmt: skip
def test_a_wrong_answer_is_an_error_that_names_the_tile(method, answer, error, message):
    fetcher = broken(method, answer, only=LAST)
    stack = stack_of(fetcher)
    with pytest.raises(error, match=message) as raised:
        stack.load()
    assert NOTE in raised.value.__notes__


def test_misaligned_tiles_are_both_named_with_the_distance():
    fetcher = broken("coordinates_of", lambda a: {**a, "xc": (0.2, 1.8)}, only=LAST)
    with pytest.raises(ValueError, match="Tiles must be aligned") as raised:
        stack_of(fetcher).load()
    assert str(raised.value) == "Tiles must be aligned"
    assert (
        "tile (round=5, ch=7, zplane=9) against tile (round=1, ch=0, zplane=-2): "
        "xc is (0.2, 1.8) instead of (0.1, 1.7), off by (0.1, 0.1)"
    ) in raised.value.__notes__


def test_a_declared_shape_other_than_the_tile_is_an_error():
    fetcher = fetcher_of()
    wrong = {**arguments(fetcher), "tile_shape": {"y": 5, "x": 6}}
    with pytest.raises(ValueError, match=r"shape is \(6, 5\) .* but \(5, 6\) was declared"):
        ImageStack.from_tilefetcher(**wrong).load()


def fetcher_saying(shape):
    tile_class = type("Saying", (ArrayTile,), {"shape": shape})

    class Saying(ArrayFetcher):
        def get_tile(self, fov, *key):
            return tile_class(self, fov, key)

    return fetcher_of(Saying)


def test_a_tile_that_says_another_shape_than_it_has_is_an_error():
    stack = stack_of(fetcher_saying({"y": 5, "x": 6}))
    with pytest.raises(ValueError, match=r"shape is \(5, 6\) .* but \(6, 5\) was declared"):
        stack.load()


@pytest.mark.parametrize("shape", [{"x": 5}, {"r": 6, "c": 5}, (6, 5), 30, None])
def test_a_shape_that_is_no_mapping_of_y_and_x_is_an_error(shape):
    with pytest.raises(ValueError, match="expected a mapping with the keys 'y' and 'x'") as raised:
        stack_of(fetcher_saying(shape)).load()
    assert repr(shape) in str(raised.value)
    assert raised.value.__notes__ == ["tile (fov=0, round=1, ch=0, zplane=-2)"]


@pytest.mark.parametrize("crop", [None, CropParameters(y_slice=slice(1, 3))])
def test_a_shape_may_say_more_than_y_and_x(crop):
    fetcher = fetcher_saying({"x": 5, "y": 6, "z": 1})
    rows = slice(None) if crop is None else slice(1, 3)
    pixels = stack_of(fetcher, crop_parameters=crop).to_numpy()
    np.testing.assert_array_equal(pixels, expected_of(fetcher)[..., rows, :])


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i2"])
@pytest.mark.parametrize("value", [-0.5, 1.5, np.inf])
def test_intensities_outside_zero_to_one_are_an_error(dtype, value):
    pixels = np.zeros((2, 3, 4, 6, 5), dtype)
    if dtype == "i2":
        value = -3
    pixels[1, 2, 3, 4, 4] = value
    fetcher = ArrayFetcher(pixels, [sorted(axis) for axis in LABELS])
    with pytest.raises(ValueError, match=r"must lie within \[0, 1\]") as raised:
        stack_of(fetcher).load()
    assert NOTE in raised.value.__notes__
    if dtype != "i2":
        with pytest.raises(ValueError, match=r"must lie within \[0, 1\]"):
            stack_of(fetcher, dtype=None).load()


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("group_by", ["rcz", "zcr"])
def test_tiles_before_one_that_is_out_of_range_are_not_fetched_again(group_by, workers):
    class OutOfRange(ArrayFetcher):
        thread_safe = True
        broken = True

        def pixels_of(self, key):
            return super().pixels_of(key) + np.float32(self.broken and key == (5, 0, 4))

    fetcher = fetcher_of(OutOfRange, dtype=np.float32)
    stack = stack_of(fetcher, group_by=group_by, workers=workers)
    with pytest.raises(ValueError, match=r"within \[0, 1\]") as raised:
        stack.load()
    assert raised.value.__notes__ == ["tile (fov=0, round=5, ch=0, zplane=4)"]
    before = fetcher.asked().index((5, 0, 4))
    fetcher.broken = False
    np.testing.assert_array_equal(stack.to_numpy(), fetcher.array)
    if workers == 1:
        had = fetcher.asked()[:before]
        assert len(had) > 5
        assert all(fetcher.asked().count(key) == 1 for key in had)


def test_an_out_of_range_tile_goes_before_a_later_error_of_the_fetcher():
    class Both(ArrayFetcher):
        def pixels_of(self, key):
            if key == LAST:
                raise OSError("gone")
            return super().pixels_of(key) + np.float32(key == (1, 3, 0))

    with pytest.raises(ValueError, match=r"within \[0, 1\]") as raised:
        stack_of(fetcher_of(Both, dtype=np.float32)).load()
    assert raised.value.__notes__ == ["tile (fov=0, round=1, ch=3, zplane=0)"]


def test_nan_is_a_warning_that_names_the_first_tile():
    pixels = image(dtype=np.float32)
    pixels[1, 0, 2, 3, 3] = pixels[0, 2, 1, 0, 0] = np.nan
    fetcher = ArrayFetcher(pixels)
    with pytest.warns(DataFormatWarning, match=r"2 tiles have NaN .* \(round=0, ch=2, zplane=1\)"):
        stack_of(fetcher, group_by="z").load()


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("group_by", ["rcz", "zcr"])
@pytest.mark.parametrize("keep", [False, True])
def test_dtypes_of_several_sizes_are_a_warning(workers, group_by, keep):
    pixels = image()

    class Mixed(ArrayFetcher):
        thread_safe = True

        def pixels_of(self, key):
            tile = super().pixels_of(key)
            return tile if key[1] == 0 else (tile >> 8).astype(np.uint8)

    fetcher = Mixed(pixels)
    stack = stack_of(fetcher, workers=workers, group_by=group_by, dtype=None if keep else "f4")
    with pytest.warns(DataFormatWarning, match="same precision .*uint16.*|.*uint8"):
        stack.load()
    expected = pixels >> 8
    expected[:, 0] = pixels[:, 0]
    if not keep:
        expected = to_float32((pixels >> 8).astype(np.uint8))
        expected[:, 0] = to_float32(pixels[:, 0])
    np.testing.assert_array_equal(stack.to_numpy(), expected)
    assert len(fetcher.asked()) == 24


def test_a_z_that_depends_on_the_round_is_a_warning_and_the_first_is_kept():
    class Drifting(ArrayFetcher):
        def coordinates_of(self, key):
            return {**super().coordinates_of(key), Coordinates.Z: key[2] + 0.25 * key[0]}

    fetcher = Drifting(image())
    with pytest.warns(DataFormatWarning, match=r"differ between rounds .* by up to 0.25"):
        stack = stack_of(fetcher, group_by="zcr").load()
    assert stack.physical_coordinates().z.tolist() == [0, 1, 2, 3]


def test_coordinates_changed_in_place_are_seen():
    shared = {"xc": [0.0, 1.0], "yc": [0.0, 1.0], "zc": 0.0}

    class Reuses(ArrayFetcher):
        def coordinates_of(self, key):
            shared["xc"][1] = 1.0 + (key == (1, 2, 3))
            return shared

    with pytest.raises(ValueError, match="Tiles must be aligned"):
        stack_of(Reuses(image())).load()


# --- failures, and going on after them


class Flaky(ArrayFetcher):
    """Raises for some tiles until it is mended."""

    broken = frozenset({LAST, (1, 3, 0)})
    where = "pixels_of"
    error = OSError(5, "Input/output error")

    def source(self, fov, r, c, z):
        return f"r{r}.tiff"

    def _fail(self, where, key):
        if where == self.where and key in self.broken:
            raise type(self.error)(*self.error.args)

    def get_tile(self, fov, *key):
        self._fail("get_tile", key)
        return super().get_tile(fov, *key)

    def coordinates_of(self, key):
        self._fail("coordinates_of", key)
        return super().coordinates_of(key)

    def pixels_of(self, key):
        self._fail("pixels_of", key)
        return super().pixels_of(key)


@pytest.mark.parametrize("where", ["get_tile", "coordinates_of", "pixels_of"])
@pytest.mark.parametrize("error", [OSError(5, "gone"), KeyError("r9"), RecursionError("deep")])
def test_an_exception_keeps_its_type_and_gains_a_note(where, error):
    fetcher = fetcher_of(Flaky)
    fetcher.where, fetcher.error = where, error
    with pytest.raises(type(error)) as raised:
        stack_of(fetcher, group_by="zcr").to_numpy()
    assert raised.value.args == error.args
    assert raised.value.__notes__ == ["tile (fov=0, round=1, ch=3, zplane=0) from 'r1.tiff'"]


@pytest.mark.parametrize("workers", [1, 3])
def test_a_failed_load_goes_on_where_it_stopped(workers):
    fetcher = fetcher_of(Flaky)
    fetcher.thread_safe = workers > 1
    stack = stack_of(fetcher, workers=workers)
    for _ in range(2):
        with pytest.raises(OSError, match="Input/output error"):
            stack.load()
    fetcher.broken = frozenset()
    stack.load()
    np.testing.assert_array_equal(stack.to_numpy(), expected_of(fetcher))
    had = [key for key in fetcher.asked() if key not in Flaky.broken]
    assert len(had) == len(set(had)) == 22
    assert not loading_threads()


def test_pixels_of_a_failed_load_are_never_shown():
    stack = stack_of(fetcher_of(Flaky))
    for read in (stack.to_numpy, lambda: np.asarray(stack), lambda: stack.get_slice({})):
        with pytest.raises(OSError, match="Input/output error"):
            read()


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("fill_value", [0, 0.5])
def test_fill_goes_on_past_tiles_that_cannot_be_had(workers, fill_value):
    fetcher = fetcher_of(Flaky)
    fetcher.thread_safe = workers > 1
    stack = stack_of(fetcher, workers=workers)
    with pytest.warns(DataFormatWarning, match=r"2 of 24 tiles .* \(fov=0, round=1,") as caught:
        stack.load(on_error="fill", fill_value=fill_value)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert stack.missing == (TileKey(1, 3, 0), TileKey(*LAST))
    expected = expected_of(fetcher)
    expected[0, 1, 1] = expected[1, 2, 3] = fill_value
    np.testing.assert_array_equal(stack.to_numpy(), expected)
    assert stack.sel({"r": 5}).missing == (LAST,)
    assert stack.sel({"r": 5, "z": 0}).missing == ()
    assert "2 tiles missing" in stack.state()


def test_fill_does_not_hide_a_fetcher_that_breaks_the_contract():
    fetcher = broken("pixels_of", lambda a: a[:-1], only=LAST)
    with pytest.raises(ValueError, match="returned the shape"):
        stack_of(fetcher).load(on_error="fill")


def test_fill_with_nothing_to_show_raises_what_the_fetcher_raised():
    fetcher = fetcher_of(Flaky)
    fetcher.broken = frozenset(itertools.product(*LABELS))
    with pytest.raises(OSError, match="Input/output error") as raised:
        stack_of(fetcher).load(on_error="fill")
    assert "none of the 24 tiles could be had" in raised.value.__notes__


def test_fill_refuses_a_value_that_the_dtype_does_not_have_and_keeps_the_rest():
    fetcher = fetcher_of(Flaky)
    stack = stack_of(fetcher, dtype=None)
    for value in (np.nan, -1, 70000, 0.5):
        with pytest.raises(ValueError, match="a whole number from 0 to 65535"):
            stack.load(on_error="fill", fill_value=value)
    assert len(fetcher.asked()) == 22 + 2
    with pytest.warns(DataFormatWarning):
        stack.load(on_error="fill", fill_value=65535)
    assert stack.to_numpy()[1, 2, 3].min() == 65535


@pytest.mark.parametrize("value", [-1, 2, np.inf, "x", None])
def test_fill_refuses_what_is_no_intensity_before_anything_is_fetched(value):
    fetcher = fetcher_of(Flaky)
    with pytest.raises(ValueError, match="fill_value"):
        stack_of(fetcher).load(on_error="fill", fill_value=value)
    assert fetcher.events == []


@pytest.mark.parametrize("value", [np.nan, np.float64(0.1), 1, True])
def test_fill_takes_any_intensity_and_nan(value):
    stack = stack_of(fetcher_of(Flaky))
    with pytest.warns(DataFormatWarning, match="2 of 24"):
        stack.load(on_error="fill", fill_value=value)
    np.testing.assert_array_equal(stack.to_numpy()[1, 2, 3], np.full((6, 5), value, np.float32))


def test_fill_goes_past_a_tile_whose_source_cannot_be_named():
    class NoSource(Flaky):
        def source(self, fov, *key):
            if key in self.broken:
                raise FileNotFoundError(key)
            return "file"

    stack = stack_of(fetcher_of(NoSource))
    with pytest.raises(FileNotFoundError):
        stack.load()
    with pytest.warns(DataFormatWarning, match="2 of 24"):
        stack.load(on_error="fill")
    assert set(stack.missing) == Flaky.broken


def test_a_source_that_cannot_be_a_key_is_an_error_that_says_so():
    class Unhashable(ArrayFetcher):
        def source(self, fov, *key):
            return ["a", "b"]

    with pytest.raises(TypeError, match="unhashable") as raised:
        stack_of(fetcher_of(Unhashable)).load()
    assert raised.value.__notes__ == [
        "source() returned ['a', 'b']; expected a hashable or None (C14)",
        "tile (fov=0, round=1, ch=0, zplane=-2)",
    ]


def test_a_tile_that_was_refused_leaves_no_trace():
    class Mended(ArrayFetcher):
        broken = True

        def pixels_of(self, key):
            tile = super().pixels_of(key)
            return tile + 0.5 if self.broken else tile

        def coordinates_of(self, key):
            right = super().coordinates_of(key)
            return {**right, "xc": (5, 6)} if self.broken else right

    fetcher = fetcher_of(Mended)
    stack = stack_of(fetcher)
    with pytest.raises(ValueError, match="intensities"):
        stack.load()
    fetcher.broken = False
    np.testing.assert_array_equal(stack.load().to_numpy(), expected_of(fetcher))
    assert stack.physical_coordinates().x[0] == 0.1


def test_coordinates_of_different_types_are_compared():
    class Mixed(ArrayFetcher):
        def coordinates_of(self, key):
            kind = [tuple, list, np.array][key[0]]
            x, z = kind((0.0, 1.0)), kind((key[2], key[2] + 1))
            return {"xc": x, "yc": x, "zc": z}

    stack = stack_of(Mixed(image((3, 2, 3, 6, 5)))).load()
    assert stack.physical_coordinates().z.tolist() == [0.5, 1.5, 2.5]


def test_integers_of_any_size_are_coordinates():
    class Far(ArrayFetcher):
        def coordinates_of(self, key):
            return {"xc": (0, 10**30), "yc": (0, 1)}

    assert stack_of(Far(image())).physical_coordinates().x[-1] == 1e30


def test_labels_of_64_bits_stay_what_they_are():
    labels = [[-(2**63), 2**63 - 1], [0, 1, 2], [2**53, 2**53 + 1, 2**62, 2**62 + 1]]
    fetcher = ArrayFetcher(image(), labels)
    for stack in (stack_of(fetcher), stack_of(fetcher).load()):
        part = stack.sel({"z": (2**53 + 1, 2**62), "r": 2**63 - 1})
        assert part.axis_labels("z") == [2**53 + 1, 2**62]
        np.testing.assert_array_equal(part.to_numpy(), expected_of(fetcher)[1:, :, 1:3])
    with pytest.raises(ValueError, match="rounds must fit in 64 bits"):
        stack_of(ArrayFetcher(image(), [[0, 2**63], labels[1], labels[2]]))


def test_a_selection_after_the_load_plans_what_it_holds():
    part = stack_of(fetcher_of()).load().sel({"r": 5, "c": (0, 3)})
    assert set(part.plan) == set(itertools.product([5], [0, 3], LABELS[2]))
    assert len(part.tile_metadata) == 8


def test_the_first_error_in_load_order_is_raised_and_stops_the_others():
    class TwoErrors(ArrayFetcher):
        thread_safe = True
        both = threading.Barrier(2, timeout=30)

        def pixels_of(self, key):
            if key[2] == 0 and key[0] < 2:
                self.both.wait()
                if key[0] == 0:
                    time.sleep(0.05)  # so that the later batch fails first
                raise OSError(f"round {key[0]}")
            return super().pixels_of(key)

    fetcher = TwoErrors(image((6, 1, 2, 900, 1200)))
    with pytest.raises(OSError, match="round 0"):
        stack_of(fetcher, group_by="r", workers=2).load()
    assert len(fetcher.asked()) < 12


def test_tiles_of_several_classes_give_their_own_pixels(tmp_path):
    import tifffile

    from starfish_fetch import Extent, Layout, TiffTileFetcher

    extent = Extent({"y": 6, "x": 5}, 0, [0], [0], [0])
    tifffile.imwrite(tmp_path / "a.tif", np.full((6, 5), 7, np.uint16))
    with TiffTileFetcher(tmp_path, Layout("a.tif", inner="rcz"), extent) as files:
        theirs = files.get_tile(0, 0, 0, 0)

        class Mixed(ArrayFetcher):
            def get_tile(self, fov, *key):
                return theirs if key[0] == 0 else super().get_tile(fov, *key)

            def coordinates_of(self, key):
                return theirs.coordinates

        pixels = np.full((2, 1, 1, 6, 5), 99, np.uint16)
        stack = stack_of(Mixed(pixels), dtype=None).load()
    assert stack.to_numpy()[:, 0, 0, 0, 0].tolist() == [7, 99]


def test_a_tile_that_came_after_all_is_not_missing():
    class OnceGone(ArrayFetcher):
        gone = True

        def pixels_of(self, key):
            if key[0] == 0 and self.gone:
                type(self).gone = False
                raise OSError("gone")
            return super().pixels_of(key).astype(["u1", "u1", "u2"][key[0]])

    stack = stack_of(OnceGone(np.ones((3, 1, 1, 6, 5), np.uint16)), dtype=None)
    with pytest.warns(DataFormatWarning, match="same precision") as caught:
        stack.load(on_error="fill")
    assert len(caught) == 1
    assert stack.missing == ()
    assert (stack.to_numpy() == 1).all()


def test_coordinates_can_be_asked_after_a_load_that_had_nothing():
    fetcher = fetcher_of(Flaky)
    fetcher.broken = frozenset(itertools.product(*LABELS))
    stack = stack_of(fetcher)
    with pytest.raises(OSError, match="Input/output error"):
        stack.load(on_error="fill")
    assert stack.physical_coordinates().z.size == 4


def test_an_error_in_source_is_raised_with_several_workers_too():
    class Broken(ArrayFetcher):
        thread_safe = True

        def source(self, *labels):
            raise ValueError("my source is broken")

    with pytest.raises(ValueError, match="my source is broken"):
        stack_of(fetcher_of(Broken), workers=3).load()


def test_an_interrupt_of_the_caller_leaves_no_thread():
    class Slow(ArrayFetcher):
        thread_safe = True
        started = threading.Event()

        def pixels_of(self, key):
            if threading.current_thread() is threading.main_thread():
                self.started.wait(30)
                signal.raise_signal(signal.SIGINT)
            self.started.set()
            time.sleep(0.01)
            return super().pixels_of(key)

    fetcher = Slow(image((2, 3, 40, 6, 5)))
    with pytest.raises(KeyboardInterrupt):
        stack_of(fetcher, group_by="r", workers=2).load()
    assert not loading_threads()
    assert len(fetcher.asked()) < 100


def test_tiles_of_one_long_row_are_placed():
    out = np.zeros((2, 5, 1, 300_000), np.float32)[:, ::2, :, None, :]
    fetcher = ArrayFetcher(image((2, 3, 1, 1, 300_000)))
    stack_of(fetcher, out=out, workers=2).load()
    np.testing.assert_array_equal(out, expected_of(fetcher))


@pytest.mark.parametrize("value", [2**64 - 1, 2**63, 0])
def test_fill_takes_the_largest_of_integers(value):
    class Gone(Flaky):
        broken = frozenset({LAST})

    stack = stack_of(fetcher_of(Gone, dtype=np.uint64), dtype=None)
    with pytest.warns(DataFormatWarning, match="1 of 24"):
        stack.load(on_error="fill", fill_value=value)
    assert stack.to_numpy()[1, 2, 3, 0, 0] == value


def test_an_interrupt_goes_before_an_error():
    class Interrupted(ArrayFetcher):
        thread_safe = True
        both = threading.Barrier(2, timeout=30)

        def pixels_of(self, key):
            self.both.wait()
            raise OSError("disk") if key[0] == 0 else KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stack_of(Interrupted(image((2, 1, 1, 900, 1200))), group_by="r", workers=2).load()


@pytest.mark.parametrize("group_by", ["rcz", "zcr", "czr"])
def test_intensities_are_verified_in_any_order_and_number_at_a_time(group_by, monkeypatch):
    monkeypatch.setattr(starfish_fetch.place, "_VERIFIED_BYTES", 5 * 6 * 5 * 4)
    fetcher = fetcher_of(dtype=np.float32)
    stack = stack_of(fetcher, group_by=group_by).load()
    np.testing.assert_array_equal(stack.to_numpy(), fetcher.array)
    assert stack.physical_coordinates().z.size == 4
    assert len(fetcher.events) == 4 * 24
    fetcher.array = fetcher.array.copy()
    fetcher.array[1, 1, 2, 3, 3] = 1.5
    with pytest.raises(ValueError, match="within") as raised:
        stack_of(fetcher, group_by=group_by).load()
    assert raised.value.__notes__ == ["tile (fov=0, round=5, ch=3, zplane=4)"]


def test_on_error_of_anything_else_is_refused():
    with pytest.raises(ValueError, match="on_error must be 'raise' or 'fill'; got 'skip'"):
        stack_of(fetcher_of()).load(on_error="skip")


@pytest.mark.parametrize("workers", [1, 3])
def test_an_interrupt_ends_the_load_and_leaves_no_thread(workers):
    class Interrupted(ArrayFetcher):
        thread_safe = True
        broken = True

        def pixels_of(self, key):
            if self.broken and key == LAST:
                raise KeyboardInterrupt
            return super().pixels_of(key)

    fetcher = fetcher_of(Interrupted)
    stack = stack_of(fetcher, workers=workers)
    with pytest.raises(KeyboardInterrupt):
        stack.load()
    assert not loading_threads()
    fetcher.broken = False
    np.testing.assert_array_equal(stack.load().to_numpy(), expected_of(fetcher))


# --- less than everything


def test_what_is_cropped_away_is_not_fetched():
    fetcher = fetcher_of()
    crop = CropParameters(
        permitted_rounds=[5], permitted_zplanes=[0, 4], y_slice=slice(1, -1), x_slice=slice(2, 4)
    )
    stack = stack_of(fetcher, crop_parameters=crop)
    expected = expected_of(fetcher)[1:, :, 1:3, 1:5, 2:4]
    np.testing.assert_array_equal(stack.to_numpy(), expected)
    assert set(fetcher.asked()) == set(itertools.product([5], [0, 3, 7], [0, 4]))
    x, y, z = stack.physical_coordinates()
    assert x.tolist() == np.linspace(0.1, 1.7, 5)[2:4].tolist()
    assert y.tolist() == np.linspace(0.3, 0.9, 6)[1:5].tolist()
    assert z.tolist() == [(zc1 - zc0) / 2 + zc0 for zc0, zc1 in [(0.0, 0.07), (0.4, 0.4 + 0.07)]]


def test_rows_and_columns_are_narrowed_by_the_tile_if_it_can():
    regions = []

    class Regional(ArrayFetcher):
        def get_tile(self, fov, *key):
            tile = super().get_tile(fov, *key)

            def tile_region(rows, columns):
                regions.append((rows, columns))
                return self.pixels_of(key)[rows, columns]

            tile.tile_region = tile_region
            return tile

    fetcher = fetcher_of(Regional)
    part = stack_of(fetcher).isel({"y": (2, 5)}).isel({"y": (1, None), "x": -1})
    np.testing.assert_array_equal(part.to_numpy(), expected_of(fetcher)[..., 3:5, 4:])
    assert set(map(str, regions)) == {str((slice(3, 5), slice(4, 5)))}
    assert fetcher.asked() == []
    regions.clear()
    stack_of(fetcher).load()
    assert regions == []


@pytest.mark.parametrize("on_error", ["raise", "fill"])
@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (lambda a: a.T, ValueError, r"returned the shape \(5, 6\) .* expected \(6, 5\)"),
        (lambda a: a[1:], ValueError, r"returned the shape \(5, 5\) .* expected \(6, 5\)"),
        (lambda a: a[..., None], ValueError, "returned 3 dimensions"),
        (lambda a: a.tolist(), TypeError, "returned a list; expected a 2-D"),
    ],
)
def test_a_crop_does_not_hide_what_is_wrong_with_the_whole_tile(answer, error, message, on_error):
    fetcher = broken("pixels_of", answer, only=LAST)
    crop = CropParameters(y_slice=slice(0, 3), x_slice=slice(1, 4))
    with pytest.raises(error, match=message) as raised:
        stack_of(fetcher, crop_parameters=crop).load(on_error=on_error)
    assert raised.value.__notes__ == [NOTE]


def test_selecting_before_the_load_narrows_the_plan():
    fetcher = fetcher_of()
    stack = stack_of(fetcher, group_by="zr")
    part = stack.sel({"r": 1, "z": (-1, 5)})
    assert fetcher.events == []
    assert list(part.plan) == list(expected_order([1], [0, 3, 7], [0, 4], "zr"))
    assert part.plan.nbytes == 6 * 30 * 4
    part.load()
    assert len(fetcher.asked()) == 6
    stack.load()
    assert len(fetcher.asked()) == 6 + 24


def test_asking_for_coordinates_reads_metadata_alone():
    fetcher = fetcher_of()
    stack = stack_of(fetcher)
    x, _, z = stack.physical_coordinates()
    assert {event for event, _ in fetcher.events} == {"get_tile", "coordinates"}
    assert len(fetcher.asked("coordinates")) == 24
    near = stack.sel_by_physical_coords({Coordinates.X: (x[1], x[3]), Coordinates.Z: z[2]})
    assert fetcher.asked() == []
    assert near.raw_shape == (2, 3, 1, 6, 2)
    assert near.axis_labels("z") == [4]


def test_asking_for_metadata_reads_extras_alone():
    class WithExtras(ArrayFetcher):
        def extras_of(self, key):
            return None if key == LAST else {"exposure": key[1]}

    fetcher = fetcher_of(WithExtras)
    table = stack_of(fetcher).tile_metadata
    assert {event for event, _ in fetcher.events} == {"get_tile", "extras"}
    assert list(table.columns) == ["r", "c", "z", "exposure", "barcode_index"]
    assert len(table) == 24
    row = table[(table.r == 5) & (table.c == 3) & (table.z == 4)]
    assert row.exposure.tolist() == [3]
    assert row.barcode_index.tolist() == [(4 * 2 + 5) * 3 + 3]
    assert table.exposure.isna().sum() == 1


@pytest.mark.parametrize("name", ["r", "c", "z"])
def test_extras_named_as_a_label_are_an_error_when_read(name):
    class Clashing(ArrayFetcher):
        def extras_of(self, key):
            return {name: 3}

    stack = stack_of(fetcher_of(Clashing)).load()
    with pytest.raises(ValueError, match=f"extras named '{name}'"):
        _ = stack.tile_metadata


def test_a_stack_is_pickled_before_during_and_after_a_load():
    fetcher = PicklableFetcher(image())
    stack = stack_of(fetcher)
    before = pickle.loads(pickle.dumps(stack))
    np.testing.assert_array_equal(before.to_numpy(), expected_of(fetcher))
    PicklableFetcher.broken = True
    with pytest.raises(OSError, match="broken"):
        stack.load()
    PicklableFetcher.broken = False
    during = pickle.loads(pickle.dumps(stack))
    after = pickle.loads(pickle.dumps(stack.load()))
    for again in (during, after):
        np.testing.assert_array_equal(again.to_numpy(), expected_of(fetcher))


@pytest.mark.parametrize("at", [StackArray, bytearray, np.ndarray])
def test_a_stack_that_is_loaded_while_it_is_pickled_is_pickled_with_what_it_had(at):
    fetcher = PicklableFetcher(image())
    stack = stack_of(fetcher, group_by="z")
    PicklableFetcher.broken = True
    with pytest.raises(OSError, match="broken"):
        stack.load()
    PicklableFetcher.broken = False
    file = io.BytesIO()

    class Meanwhile(pickle.Pickler):
        def persistent_id(self, value):
            if isinstance(value, at) and getattr(value, "shape", (2, 3, 4))[:3] == (2, 3, 4):
                stack.load()

    Meanwhile(file).dump(stack)
    assert "not loaded" not in stack.state()
    again = pickle.loads(file.getvalue())
    assert "not loaded" in again.state()
    assert vars(again._loader).keys() == vars(stack._loader).keys()
    np.testing.assert_array_equal(again.to_numpy(), expected_of(fetcher))
    assert again.physical_coordinates().z.tolist() == stack.physical_coordinates().z.tolist()


def test_a_stack_and_its_shallow_copy_load_one_after_the_other():
    class Turns(ArrayFetcher):
        other = None
        asked_by_other, loaded = threading.Event(), threading.Event()

        def pixels_of(self, key):
            if self.other is None:
                self.other = threading.Thread(target=shallow.load)
                self.other.start()
                self.asked_by_other.wait(0.2)
            elif threading.current_thread() is self.other:
                self.asked_by_other.set()
                self.loaded.wait(30)
            return super().pixels_of(key)

    fetcher = fetcher_of(Turns)
    stack = stack_of(fetcher)
    shallow = copy.copy(stack)
    try:
        np.testing.assert_array_equal(stack.to_numpy(), expected_of(fetcher))
    finally:
        fetcher.loaded.set()
        fetcher.other.join()
    assert shallow.to_numpy() is stack.to_numpy()
    assert len(fetcher.asked()) == 24


def test_extras_are_not_asked_for_beside_a_load_of_another_thread():
    class Asked(ArrayFetcher):
        asking = None

        def pixels_of(self, key):
            if self.asking is None:
                self.asking = threading.Thread(target=stack.tile_extras)
                self.asking.start()
                self.asking.join(0.2)
            return super().pixels_of(key)

    fetcher = fetcher_of(Asked)
    stack = stack_of(fetcher)
    stack.load()
    fetcher.asking.join()
    events = [event for event, _ in fetcher.events]
    assert events.count("extras") == 24
    assert "extras" not in events[: 4 * 24]


class PicklableFetcher(ArrayFetcher):
    broken = False

    def pixels_of(self, key):
        if self.broken and key == (1, 1, 1):
            raise OSError("broken")
        return super().pixels_of(key)


def test_progress_goes_to_stderr_and_counts_every_tile(capsys, monkeypatch):
    stack_of(fetcher_of(), progress=True).load()
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("FORCE_COLOR", "1")
    stack_of(fetcher_of(), progress=True).load()
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "24/24" in captured.err
    stack_of(fetcher_of(), progress=True).load(progress=False)
    assert capsys.readouterr().err == ""


def test_an_ordinary_load_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stack_of(fetcher_of()).load()


# One load by itself, without a stack around it.


def loader_of(fetcher, fov=0, **options):
    rows, columns = fetcher.array.shape[3:]
    extent = Extent({"y": rows, "x": columns}, fov, *fetcher.labels)
    return Loader(fetcher, extent, Window(slice(0, rows), slice(0, columns)), **options)


@pytest.mark.parametrize("workers", [1, 3])
def test_progress_comes_in_batches_and_counts_every_tile_once(workers):
    fetcher = ArrayFetcher(image((5, 5, 6, 2, 2)))
    fetcher.thread_safe = workers > 1
    steps = []
    loader_of(fetcher, workers=workers).run(advance=steps.append)
    assert sum(steps) == 150
    if workers == 1:
        assert steps == [64, 64, 22]


@pytest.mark.parametrize("ask", [Loader.coordinates, lambda load: load.extras(TileKey(*LAST))])
def test_an_error_while_a_tile_tells_of_itself_names_the_tile(ask):
    class Broken(ArrayFetcher):
        def get_tile(self, fov_id, *labels):
            raise OSError(f"no field of view {fov_id}")

        def source(self, fov_id, *labels):
            return f"file of {fov_id}"

    with pytest.raises(OSError, match="no field of view 9") as raised:
        ask(loader_of(fetcher_of(Broken), fov=9))
    (note,) = raised.value.__notes__
    assert re.search(r"fov=9, round=\d, ch=\d, zplane=-?\d", note)
    assert "file of 9" in note


def test_the_plan_says_what_will_be_there():
    fetcher = fetcher_of()
    out = np.empty(fetcher.array.shape, np.uint16)
    plan = loader_of(fetcher, fov=7, dtype=None, out=out).plan
    assert plan.fov == 7
    assert plan.dtype == np.uint16
    assert loader_of(fetcher, dtype=None).plan.dtype is None
    assert loader_of(fetcher).plan.dtype == np.float32


def test_part_of_a_load_is_run_as_the_whole_would_be():
    fetcher = fetcher_of()
    whole = loader_of(fetcher, workers=3, dtype=None, group_by=(Axes.CH,))
    part = whole.narrowed(whole.extent, Window(slice(0, 1), slice(0, 2)))
    assert (part.fetcher, part.workers, part.dtype, part.group_by) == (
        fetcher, 3, None, (Axes.CH,)
    )  # fmt: skip
    assert part.shape == (*fetcher.array.shape[:3], 1, 2)


class Chained(ArrayFetcher):
    """Raises an error that has another one as its cause, or as its context alone."""

    def pixels_of(self, key):
        try:
            return {}[key] if key[2] == 9 else super().pixels_of(key)
        except KeyError as error:
            gone = OSError("gone")
            if key == LAST:
                gone.__cause__ = error
            raise gone  # noqa: B904


def test_what_is_filled_keeps_no_frame_alive():
    load = loader_of(fetcher_of(Chained))
    load = pickle.loads(pickle.dumps(load))
    with pytest.warns(DataFormatWarning, match="tiles could not be had") as caught:
        array = load.run(on_error="fill")
    assert [warning.filename for warning in caught] == [__file__]
    assert load.done
    assert len(load.failures) == 6
    for key, error in load.failures.items():
        assert array[load.extent.rounds.index(key[0]), load.extent.chs.index(key[1]), -1].max() == 0
        for one in (error, error.__cause__ or error.__context__):
            assert one.__traceback__ is None


class RowTile(ArrayTile):
    """Gives rows into memory of the loader's, until it fails in the midst of a tile."""

    def row_reader(self, rows):
        fetcher, pixels = self.fetcher, self.fetcher.pixels_of(self.key)[rows]
        broken = self.key in fetcher.broken

        class Reader:
            dtype = pixels.dtype

            def read(self, row, out):
                out[...] = 99 if broken else pixels[row : row + len(out)]
                if broken:
                    raise OSError(5, "Input/output error")

        return Reader()


class RowFetcher(Flaky):
    where = "rows"

    def get_tile(self, fov, *key):
        return RowTile(self, fov, key)


@pytest.mark.parametrize("keep", [False, True])
def test_rows_that_cannot_be_read_are_an_error_or_filled(keep):
    fetcher = fetcher_of(RowFetcher)
    load = loader_of(fetcher, dtype=None if keep else np.float32)
    with pytest.raises(OSError, match="Input/output error") as raised:
        load.run()
    assert raised.value.__notes__ == ["tile (fov=0, round=1, ch=3, zplane=0) from 'r1.tiff'"]
    with pytest.warns(DataFormatWarning, match="2 of 24 tiles could not be had"):
        array = load.run(on_error="fill", fill_value=1)
    assert load.failures.keys() == fetcher.broken
    for error in load.failures.values():
        assert len(error.__notes__) == 1
    expected = fetcher.array.copy() if keep else expected_of(fetcher)
    expected[0, 1, 1] = expected[1, 2, 3] = 1
    np.testing.assert_array_equal(array, expected)
    assert fetcher.asked() == []


def test_rows_out_of_range_are_an_error_that_names_their_tile():
    fetcher = fetcher_of(RowFetcher, dtype=np.float32)
    fetcher.broken = frozenset()
    fetcher.array[0, 1, 1, 5, 4] = 1.5
    with pytest.raises(ValueError, match=r"within \[0, 1\]") as raised:
        loader_of(fetcher).run()
    assert raised.value.__notes__ == ["tile (fov=0, round=1, ch=3, zplane=0) from 'r1.tiff'"]


@pytest.mark.parametrize("columns", [slice(0, 5), slice(1, 4)])
def test_rows_are_read_where_they_are_wanted_whole(columns):
    fetcher = fetcher_of(RowFetcher)
    fetcher.broken = frozenset()
    crop = CropParameters(y_slice=slice(1, 4), x_slice=columns)
    pixels = stack_of(fetcher, crop_parameters=crop).to_numpy()
    np.testing.assert_array_equal(pixels, expected_of(fetcher)[..., 1:4, columns])
    assert len(fetcher.asked()) == (0 if columns.stop == 5 else 24)


def test_rows_of_a_tile_of_another_shape_are_refused():
    fetcher = fetcher_of(RowFetcher)
    fetcher.broken = frozenset()
    extent = Extent({"y": 4, "x": 5}, 0, *fetcher.labels)
    load = Loader(fetcher, extent, Window(slice(0, 4), slice(0, 5)))
    with pytest.raises(ValueError, match=r"shape is \(6, 5\) .* but \(4, 5\) was declared"):
        load.run()


class Rethrown(ArrayFetcher):
    """Raises errors that are their own cause, or each other's, or several in one."""

    def pixels_of(self, key):
        gone, broken = OSError("gone"), OSError("broken")
        try:
            if key[2] == 9:
                raise gone
            return super().pixels_of(key)
        except OSError as error:
            if key[1] == 0:
                raise error from error
            if key[1] == 3:
                error.__cause__ = broken
                raise broken from error
            raise ExceptionGroup("several", [error]) from None


def test_errors_that_lead_back_to_themselves_are_filled_as_others():
    load = loader_of(fetcher_of(Rethrown))
    with pytest.warns(DataFormatWarning, match="6 of 24 tiles could not be had"):
        load.run(on_error="fill")
    assert len(load.failures) == 6
    for error in load.failures.values():
        for one in (error, error.__cause__, *getattr(error, "exceptions", ())):
            assert one is None or one.__traceback__ is None


def test_a_tile_of_a_wider_dtype_is_not_asked_for_again():
    class Growing(ArrayFetcher):
        def pixels_of(self, key):
            return super().pixels_of(key).astype(f"u{1 << key[2]}")

    fetcher = Growing(np.arange(2 * 3 * 3 * 4, dtype=np.uint8).reshape(2, 3, 3, 2, 2))
    with pytest.warns(DataFormatWarning, match="same precision"):
        array = loader_of(fetcher, dtype=None, workers=1).run()
    assert array.dtype == np.uint32
    np.testing.assert_array_equal(array, fetcher.array)
    asked = [key for event, key in fetcher.events if event == "tile_data"]
    assert len(asked) == len(set(asked)) == 18


class GrowingFloats(ArrayFetcher):
    def pixels_of(self, key):
        return super().pixels_of(key).astype(f"f{2 << key[2]}")


def test_a_tile_of_a_wider_float_is_verified_and_not_asked_for_again():
    fetcher = GrowingFloats(image((2, 1, 3, 2, 2), np.float16))
    with pytest.warns(DataFormatWarning, match="same precision"):
        array = loader_of(fetcher, dtype=None, workers=1).run()
    assert array.dtype == np.float64
    np.testing.assert_array_equal(array, fetcher.array)
    assert len(fetcher.asked()) == 6
    fetcher.array[1, 0, 1, 1, 1] = fetcher.array[0, 0, 2, 1, 1] = 1.5
    with pytest.raises(ValueError, match=r"within \[0, 1\]") as raised:
        loader_of(fetcher, dtype=None, workers=1).run()
    assert raised.value.__notes__ == ["tile (fov=0, round=0, ch=0, zplane=2)"]
    assert raised.value.__context__ is None


def test_an_error_of_a_fetcher_without_sources_names_the_tile():
    class Bare:
        def get_tile(self, *labels):
            raise OSError("gone")

    extent = Extent({"y": 1, "x": 1}, 3, [4], [5], [6])
    with pytest.raises(OSError, match="gone") as raised:
        Loader(Bare(), extent, Window(slice(0, 1), slice(0, 1))).run()
    assert raised.value.__notes__ == ["tile (fov=3, round=4, ch=5, zplane=6)"]


def test_tiles_of_wider_dtypes_that_come_together_are_not_asked_for_again():
    class Growing(ArrayFetcher):
        thread_safe = True
        both = threading.Barrier(2, timeout=30)

        def pixels_of(self, key):
            if key[2] > 0:
                self.both.wait()
            return super().pixels_of(key).astype("u1" if key[2] == 0 else f"u{2 << key[0]}")

    # Of a size of which each is a batch; of the three z-planes, two are wider.
    fetcher = Growing(image((2, 1, 2, 900, 1200), np.uint8))
    with pytest.warns(DataFormatWarning, match="same precision"):
        array = loader_of(fetcher, dtype=None, workers=2, group_by=(Axes.ROUND,)).run()
    assert array.dtype == np.uint32
    np.testing.assert_array_equal(array, fetcher.array)
    assert len(fetcher.asked()) == 4


def test_errors_of_a_load_let_go_of_what_they_read():
    class Held:
        """As an open file or pixels, in a frame that an error has passed."""

    class TwoErrors(ArrayFetcher):
        thread_safe = True
        both = threading.Barrier(2, timeout=30)

        def pixels_of(self, key):
            self.held[key[0]] = weakref.ref(held := Held())
            self.both.wait()
            raise OSError(f"round {key[0]}", type(held))

    fetcher = TwoErrors(image((2, 1, 1, 900, 1200)))
    fetcher.held = {}
    load = loader_of(fetcher, workers=2, group_by=(Axes.ROUND,))
    gc.collect()
    gc.disable()
    try:
        with suppress(OSError):
            load.run()
        assert [ref() for ref in fetcher.held.values()] == [None, None]
        fetcher.held = {}
        try:
            load.run()
        except OSError as error:
            assert error.args[0] == "round 0"  # noqa: PT017
            assert fetcher.held[0]() is not None
            assert fetcher.held[1]() is None
    finally:
        gc.enable()


def test_a_warning_of_a_load_shows_the_line_that_ran_it():
    fetcher = ArrayFetcher(np.full((2, 2, 2, 3, 3), np.nan, np.float32))
    with pytest.warns(DataFormatWarning, match="NaN") as caught:
        loader_of(fetcher).run()
    assert [warning.filename for warning in caught] == [__file__]


def test_workers_get_batches_that_are_neither_large_nor_few():
    def sizes(shape, workers, shares=False, **options):
        fetcher = ArrayFetcher(np.zeros(shape, np.uint8))
        if shares:
            fetcher.shares_sources = True
        load = loader_of(fetcher, **options)
        batches = list(load._batches(workers))
        np.testing.assert_array_equal(np.concatenate(batches), load.plan.order)
        return [len(batch) for batch in batches]

    many = (10, 10, 20, 1, 1)
    assert max(sizes(many, 2, shares=True)) == 64
    assert max(sizes(many, 10, shares=True)) == 50  # four batches for each worker
    assert max(sizes((2, 2, 16, 512, 1024), 2, shares=True)) == 2  # of 2 MiB in float32 each
    assert sizes((1, 2, 1, 4096, 4096), 2, shares=True) == [1, 1]
    # Whole groups, unless threads share what is open.
    assert sizes((4, 5, 3, 1, 1), 2, group_by=(Axes.ROUND,)) == [15] * 4
    assert sizes((100, 1, 3, 1, 1), 2, group_by=(Axes.ROUND,)) == [39] * 7 + [27]
    assert set(sizes((4, 5, 3, 1, 1), 2, shares=True, group_by=(Axes.ROUND,))) == {7, 4}


@pytest.mark.parametrize(
    ("out", "message"),
    [
        (np.empty((2, 3, 4, 4, 5), np.float64), "or dtype=None to keep the tiles' own dtype$"),
        (np.broadcast_to(np.float32(0), (2, 3, 4, 4, 5)), "^out is read-only$"),
    ],
)
def test_a_refused_out_says_what_to_do(out, message):
    fetcher = ArrayFetcher(np.zeros((2, 3, 4, 4, 5), np.float32))
    with pytest.raises(ValueError, match=message):
        loader_of(fetcher, out=out)
