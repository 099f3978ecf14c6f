"""A fetcher's image as a lazy dask array: chunks, names, counts, and the same pixels."""

import os
import pickle
import subprocess
import sys
import threading
from itertools import product

import cloudpickle
import dask
import numpy as np
import pytest
import xarray as xr
from fetchers import ArrayFetcher, arguments, image
from hypothesis import given
from hypothesis import strategies as st

import synth
from starfish_fetch import (
    CropParameters,
    DataFormatWarning,
    Extent,
    ImageStack,
    Layout,
    LoadPlan,
    MissingExtraError,
    as_fetcher,
    load_experiment,
    to_dask,
    trace,
)
from starfish_fetch.interop._chunks import chunks_of
from starfish_fetch.interop._lazy import LazyImage
from starfish_fetch.interop._shared import SharedFetcher

SPEC = synth.Spec([1, 4], [0, 2, 3], range(4), tile_shape=(16, 11), fovs=[0, 5])


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    root = tmp_path_factory.mktemp("dask")
    return synth.write(SPEC, Layout("fov{fov}_r{r}_c{c}.tiff", inner="z"), root)


def oracle(fov=0):
    planes = [synth.tile(SPEC, fov, *key) for key in product(SPEC.rounds, SPEC.chs, SPEC.zplanes)]
    return np.stack(planes).reshape(2, 3, 4, 16, 11)


def extent_of(fetcher):
    given = arguments(fetcher)
    del given["tilefetcher"]
    return Extent(**given)


def lazy(fetcher, **options):
    return LazyImage(SharedFetcher(fetcher, "one"), extent_of(fetcher), **options)


# Which tiles share a chunk.


@pytest.mark.parametrize(
    ("layout", "chunks"),
    [
        (Layout.per_round(), ((1, 1), (3,), (4,))),
        (Layout.per_round_ch(), ((1, 1), (1, 1, 1), (4,))),
        (Layout.per_tile(), ((1, 1), (1, 1, 1), (1, 1, 1, 1))),
        (Layout.single_file(), ((2,), (3,), (4,))),
        (Layout("z{z}.tiff", inner="rc"), ((2,), (3,), (1, 1, 1, 1))),
    ],
)
def test_no_source_lies_in_two_chunks_and_no_chunk_is_larger_than_that_needs(layout, chunks):
    sources = [layout.path(0, *key) for key in product(SPEC.rounds, SPEC.chs, SPEC.zplanes)]
    plan = LoadPlan(SPEC.rounds, SPEC.chs, SPEC.zplanes, sources=sources)
    assert chunks_of(plan) == chunks


@given(st.data())
def test_chunks_of_any_sources_are_the_smallest_that_split_none(data):
    shape = data.draw(st.tuples(*[st.integers(1, 4)] * 3), label="shape")
    names = st.one_of(st.none(), st.integers(0, data.draw(st.integers(0, 9), label="most")))
    count = int(np.prod(shape))
    sources = data.draw(st.lists(names, min_size=count, max_size=count), label="sources")
    chunks = chunks_of(LoadPlan(*map(range, shape), sources=sources))
    assert tuple(map(sum, chunks)) == shape
    named = np.array([-1 if name is None else name for name in sources]).reshape(shape)
    for axis, lengths in enumerate(chunks):
        cuts = np.cumsum(lengths)[:-1].tolist()
        across = {
            cut
            for cut in range(1, shape[axis])
            if set(np.take(named, range(cut), axis).ravel())
            & set(np.take(named, range(cut, shape[axis]), axis).ravel()) - {-1}
        }
        assert set(cuts) == set(range(1, shape[axis])) - across


def test_group_by_says_which_axes_have_chunks_of_their_own(dataset):
    for group_by in ("r", "cz", {"z", "r"}, ()):
        array = to_dask(dataset.fetcher(), dataset.extent(), group_by)
        sizes = zip("rcz", (2, 3, 4), strict=True)
        assert array.chunksize[:3] == tuple(1 if a in group_by else n for a, n in sizes)
        np.testing.assert_array_equal(array.compute(), to_dask(dataset.fetcher(), dataset.extent()))


# The same pixels, wherever they are fetched.


@pytest.mark.parametrize(
    ("scheduler", "dtype"),
    [
        ("synchronous", np.uint16),
        ("threads", np.float32),
        ("threads", np.uint16),
        ("threads", None),
        ("processes", np.float32),
    ],
)
def test_every_scheduler_has_the_pixels_of_a_load(dataset, scheduler, dtype):
    extent = dataset.extent(5)
    array = to_dask(dataset.fetcher(), extent, dtype=dtype)
    loaded = ImageStack.from_tilefetcher(
        dataset.fetcher(), **vars(extent), dtype=None if dtype != np.float32 else dtype
    )
    assert array.dtype == loaded.dtype
    computed = array.compute(scheduler=scheduler, num_workers=2)
    assert computed.dtype == loaded.dtype
    np.testing.assert_array_equal(computed, loaded)
    if dtype is not np.float32:
        np.testing.assert_array_equal(computed, oracle(5))


def test_labels_and_coordinates_come_along(dataset):
    crop = CropParameters(permitted_chs=[0, 3], y_slice=slice(2, -1), x_slice=slice(4, 9))
    given = dataset.fetcher(), dataset.extent(5)
    image = to_dask(*given, crop_parameters=crop, xarray=True)
    assert image.chunks is not None
    stack = ImageStack.from_tilefetcher(given[0], **vars(given[1]), crop_parameters=crop)
    xr.testing.assert_identical(image.compute(), stack.xarray)


@given(st.data())
def test_any_index_is_that_of_the_array(data):
    pixels = image((2, 3, 2, 5, 4))
    fetcher = ArrayFetcher(pixels, [[3, 9], [0, 1, 7], [2, 4]])
    of_axis = []
    for size in pixels.shape:
        ints = st.integers(-size, size - 1)
        of_axis.append(st.one_of(ints, st.slices(size), st.lists(ints, max_size=4)))
    key = data.draw(st.tuples(*of_axis), label="key")
    cut = data.draw(st.integers(1, 5), label="how many are given")
    array = lazy(fetcher, dtype=None)
    wanted = pixels
    for axis in reversed(range(cut)):
        one = np.array(key[axis], np.intp) if isinstance(key[axis], list) else key[axis]
        wanted = wanted[(slice(None),) * axis + (one,)]
    fetcher.events.clear()
    found = array[key[:cut]]
    np.testing.assert_array_equal(found, wanted)
    assert found.dtype == wanted.dtype
    touched = [
        np.unique(np.arange(size)[one] if number < cut else np.arange(size))
        for number, (one, size) in enumerate(zip(key, pixels.shape[:3], strict=False))
    ]
    asked = {
        tuple(labels[i] for labels, i in zip(fetcher.labels, at, strict=True))
        for at in product(*touched)
    }
    assert set(fetcher.asked()) == (asked if wanted.size else set())
    assert len(fetcher.asked()) == len(set(fetcher.asked()))


@pytest.mark.parametrize("key", [2, (0, 3), (0, 0, [5]), (0,) * 6, None, (..., 0, ...)])
def test_an_index_that_does_not_exist_is_refused(key):
    with pytest.raises(IndexError, match=r"no index of axis '[rcz]'|indices were given|no None"):
        lazy(ArrayFetcher(image((2, 3, 4, 6, 5))))[key]


# How often things are done.


@pytest.mark.parametrize(
    ("use", "files", "tiles"),
    [
        (lambda array: array, 6, 24),
        (lambda array: array.max(axis=(2, 3, 4)), 6, 24),
        (lambda array: array.rechunk((2, 1, 1, 5, -1)), 6, 24),
        (lambda array: (array - array.mean(axis=2, keepdims=True)).std(), 6, 24),
        (lambda array: array[1, :2, ::2, 3:5], 2, 4),
        (lambda array: array[0, 1, [3, 0]], 1, 4),  # dask takes a list from a whole chunk
    ],
)
def test_each_file_is_opened_once_and_only_if_it_is_wanted(dataset, use, files, tiles):
    array = use(to_dask(dataset.fetcher(), dataset.extent()))
    with trace(under=dataset.root) as traced:
        computed = array.compute(scheduler="threads", num_workers=2)
    assert (traced.opens, traced.tiles) == (files, tiles)
    np.testing.assert_allclose(
        computed, use(dask.array.from_array((oracle() / 65535).astype("f4"))), rtol=1e-5, atol=1e-6
    )


class CountsPickles(ArrayFetcher):
    thread_safe = True
    pickled = unpickled = 0

    def __getstate__(self):
        CountsPickles.pickled += 1
        return super().__getstate__()

    def __setstate__(self, state):
        CountsPickles.unpickled += 1
        super().__setstate__(state)


def test_the_graph_and_each_process_hold_a_fetcher_once():
    fetcher = CountsPickles(image((4, 3, 2, 6, 5)))
    array = to_dask(fetcher, extent_of(fetcher), name="counted")
    graph = dict(array.__dask_graph__())
    (held,) = (task for task in graph.values() if "LazyImage" in repr(task))
    assert len(graph) == 1 + 24
    CountsPickles.pickled = CountsPickles.unpickled = 0
    sent = [cloudpickle.dumps(held) for _ in range(5)]
    assert CountsPickles.pickled == 1
    received = [pickle.loads(one) for one in sent]
    assert CountsPickles.unpickled == 1
    assert len({id(getattr(one, "value", one)._shared) for one in received}) == 1


def test_a_graph_of_100_000_tiles_asks_for_little_and_holds_less():
    fetcher = ArrayFetcher(np.zeros((100, 100, 10, 1, 1), np.uint8))
    named = []
    fetcher.source = lambda *labels: named.append(labels) or labels
    array = to_dask(fetcher, extent_of(fetcher))
    assert array.numblocks == (100, 100, 10, 1, 1)
    assert len(named) == 100_010
    # One tile of each z-plane is asked for its coordinates.
    assert len(fetcher.events) == 2 * 10
    assert fetcher.asked() == []
    # The tasks themselves are made when something is computed.
    assert [type(layer).__name__ for layer in array.dask.layers.values()] == [
        "MaterializedLayer",
        "Blockwise",
    ]
    assert len(next(iter(array.dask.layers.values()))) == 1


NAMES = """
from starfish_fetch import *
extent = Extent({"y": 6, "x": 5}, 0, range(2), range(2), range(2))
fetcher = TiffTileFetcher("data", Layout.per_round(), extent, coordinates={"xc": (0, 1)})
fetcher.source(0, 1, 1, 1)
tile = {"xc": (0, 1), "yc": (0, 1), "zc": 0}
fetcher = TiffTileFetcher("data", Layout.per_round(), extent, coordinates=tile)
print(to_dask(fetcher, extent).name)
fetcher.get_tile(0, 1, 1, 1).coordinates
print(to_dask(fetcher, extent).name)
for options in ({"group_by": "r"}, {"dtype": "u2"}, {"crop_parameters": CropParameters(x_slice=2)}):
    print(to_dask(fetcher, extent, **options).name)
print(to_dask(TiffTileFetcher("other", Layout.per_round(), extent), extent).name)
import numpy
print(to_dask(as_fetcher(numpy.arange(240).reshape(2, 2, 2, 6, 5)), extent).name)
"""


def test_names_are_the_same_in_every_process_and_differ_with_what_is_asked():
    printed = [
        subprocess.run(
            [sys.executable, "-c", NAMES],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout.split()
        for seed in ("1", "2")
    ]
    assert printed[0] == printed[1]
    first, used, *others = printed[0]
    assert first == used
    assert len({first, *others}) == 6


# Threads and processes.


class Watched(ArrayFetcher):
    """Notes how many tasks are in it at once, and waits a little for a second one."""

    def __init__(self, array, labels=None):
        super().__init__(array, labels)
        self.inside = self.most = 0
        self.second = threading.Event()

    def pixels_of(self, key):
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
            if self.inside == 2:
                self.second.set()
        self.second.wait(0.2)
        with self.lock:
            self.inside -= 1
        return super().pixels_of(key)


@pytest.mark.parametrize("thread_safe", [False, True])
def test_a_fetcher_that_is_not_thread_safe_is_called_by_one_thread_at_a_time(thread_safe):
    fetcher = Watched(image((2, 1, 1, 6, 5)))
    fetcher.thread_safe = thread_safe
    first, second = (
        to_dask(
            fetcher, extent_of(fetcher), group_by="r", dtype=dtype, name=f"{dtype}{thread_safe}"
        )
        for dtype in ("f4", "u2")
    )
    # Two arrays, and a copy of one that went through a pickle, take turns as well.
    dask.compute(first, second, scheduler="threads", num_workers=4)
    assert fetcher.most > 1 if thread_safe else fetcher.most == 1


def test_a_fetcher_that_cannot_be_pickled_says_what_to_do():
    fetcher = ArrayFetcher(image((2, 1, 1, 6, 5)))
    fetcher.__class__ = type("Holds", (ArrayFetcher,), {"__getstate__": lambda self: vars(self)})
    array = to_dask(fetcher, extent_of(fetcher))
    assert array.compute(scheduler="threads").shape == (2, 1, 1, 6, 5)
    with pytest.raises(TypeError, match=r"Holds cannot be sent to another process: .*lock.* Give"):
        array.compute(scheduler="processes", num_workers=1)


class Misaligned(ArrayFetcher):
    def coordinates_of(self, key):
        shifted = 0.5 if key[0] == 1 else 0
        return {**super().coordinates_of(key), "xc": (shifted, shifted + 1)}


class Damaged(ArrayFetcher):
    def pixels_of(self, key):
        if key == (1, 0, 1):
            raise OSError("the disk is gone")
        return super().pixels_of(key)


ALIGNED = Misaligned, "f4", ValueError, "Tiles must be aligned", "here x is 0.5 to 1.5 and y"
DAMAGED = Damaged, "f4", OSError, "the disk is gone", "ch=0, zplane=1"
OTHER = ArrayFetcher, "u1", TypeError, "tiles are uint16, but .* said to be uint8", "round="


@pytest.mark.parametrize(
    ("kind", "dtype", "error", "message", "note", "scheduler"),
    [
        (*ALIGNED, "threads"),
        (*OTHER, "threads"),
        (*DAMAGED, "threads"),
        (*DAMAGED, "processes"),
    ],
)
def test_what_is_wrong_with_a_tile_is_said_wherever_it_is_found(
    kind, dtype, error, message, note, scheduler
):
    fetcher = kind(image((2, 1, 2, 6, 5)))
    array = to_dask(fetcher, extent_of(fetcher), group_by="r", dtype=dtype)
    with pytest.raises(error, match=message) as caught:
        array.compute(scheduler=scheduler, num_workers=2)
    assert any(note in one for one in caught.value.__notes__), caught.value.__notes__


# What a load holds tiles to, chunks are held to.


class OfDtypes(ArrayFetcher):
    """Its second round has another dtype than its first."""

    def __init__(self, array, labels=None, dtypes=("u1", "u2")):
        super().__init__(array, labels)
        self.dtypes = dtypes

    def __getstate__(self):
        return {**super().__getstate__(), "dtypes": self.dtypes}

    def pixels_of(self, key):
        return super().pixels_of(key).astype(self.dtypes[key[0]])


def mixed(*dtypes):
    return OfDtypes(np.arange(60, dtype="u1").reshape(2, 1, 1, 6, 5) % 2, dtypes=dtypes)


def warnings_of(caught):
    return [str(one.message) for one in caught if one.category is DataFormatWarning]


@pytest.mark.parametrize(
    ("dtypes", "scheduler"),
    [
        (("u2", "f4"), "threads"),
        (("f4", "u2"), "synchronous"),
        (("i2", "u2"), "synchronous"),
        (("?", "u1"), "synchronous"),
        (("u2", "f4"), "processes"),
    ],
)
def test_chunks_of_two_kinds_are_refused_as_a_load_refuses_them(dtypes, scheduler):
    fetcher = mixed(*dtypes)
    with pytest.raises(TypeError, match="same kind of dtype"):
        ImageStack.from_tilefetcher(**arguments(fetcher)).load()
    array = to_dask(fetcher, extent_of(fetcher), group_by="r")
    assert fetcher.asked() == [(0, 0, 0), (1, 0, 0)]
    with pytest.raises(
        TypeError, match=r"same kind of dtype: .* here, .* in tile .round="
    ) as caught:
        array.compute(scheduler=scheduler, num_workers=2)
    assert any(one.startswith("tile (fov=0, round=") for one in caught.value.__notes__)
    # One chunk after the other.
    array = to_dask(fetcher, extent_of(fetcher), group_by="r")
    array[0].compute(scheduler="synchronous")
    with pytest.raises(TypeError, match=f"{np.dtype(dtypes[1])} here, {np.dtype(dtypes[0])} in"):
        array[1].compute(scheduler="synchronous")


@pytest.mark.parametrize("dtype", [np.float32, np.uint16])
@pytest.mark.parametrize("dtypes", [("u1", "u2"), ("u2", "u1")])
def test_chunks_of_two_sizes_are_those_of_a_load_which_warns(dtypes, dtype):
    fetcher = mixed(*dtypes)
    with pytest.warns(DataFormatWarning, match="same precision") as of_load:
        loaded = ImageStack.from_tilefetcher(
            **arguments(fetcher), dtype=dtype if dtype is np.float32 else None
        ).load()
    array = to_dask(fetcher, extent_of(fetcher), group_by="r", dtype=dtype)
    with pytest.warns(DataFormatWarning) as of_dask:
        computed = array.compute(scheduler="synchronous")
    # Which chunk comes first is dask's business.
    (told,), (expected,) = warnings_of(of_dask), warnings_of(of_load)
    assert sorted(told.split("(C4): ")[1].split("; ")) == sorted(
        expected.split("(C4): ")[1].split("; ")
    )
    assert computed.dtype == loaded.dtype
    np.testing.assert_array_equal(computed, loaded)


def test_a_first_tile_that_cannot_hold_the_others_is_refused():
    fetcher = mixed("u1", "u2")
    array = to_dask(fetcher, extent_of(fetcher), group_by="r", dtype=None)
    assert array.dtype == np.uint8
    with pytest.raises(
        TypeError, match=r"uint16, but .* said to be uint8; give a dtype .* hold all"
    ):
        array.compute(scheduler="synchronous")


class Shifted(ArrayFetcher):
    """The second round lies elsewhere in z, or is the only one that says where."""

    said_by_first = True

    def coordinates_of(self, key):
        here = super().coordinates_of(key)
        if key[0] == 0:
            return here if self.said_by_first else {**here, "zc": None}
        return {**here, "zc": 7.5 + key[2]}


def test_a_z_plane_that_differs_between_chunks_is_told_as_by_a_load():
    fetcher = Shifted(image((2, 1, 2, 6, 5)))
    stack = ImageStack.from_tilefetcher(**arguments(fetcher))
    with pytest.warns(DataFormatWarning, match="z-plane coordinates differ") as of_load:
        stack.load()
    lazy_image = to_dask(fetcher, extent_of(fetcher), group_by="r", xarray=True)
    with pytest.warns(DataFormatWarning, match="z-plane coordinates differ") as of_dask:
        computed = lazy_image.compute(scheduler="synchronous")
    assert warnings_of(of_dask) == warnings_of(of_load)
    xr.testing.assert_identical(computed, stack.xarray)


def test_a_z_plane_that_the_first_tile_does_not_place_is_placed_by_the_others():
    fetcher = Shifted(image((2, 1, 2, 6, 5)))
    fetcher.said_by_first = False
    stack = ImageStack.from_tilefetcher(**arguments(fetcher)).load()
    lazy_image = to_dask(fetcher, extent_of(fetcher), group_by="r", xarray=True)
    assert lazy_image.zc.values.tolist() == [7.5, 8.5]
    xr.testing.assert_identical(lazy_image.compute(scheduler="synchronous"), stack.xarray)


# Many fields of view.


def test_an_experiment_is_one_array_for_each_field_of_view(dataset):
    extents = [dataset.extent(5), dataset.extent(0).of([4], [0, 3], [2])]
    images = load_experiment(dataset.fetcher(), extents, dtype=np.uint16, xarray=True)
    assert list(images) == [5, 0]
    with trace(under=dataset.root) as traced:
        (computed,) = dask.compute(images, scheduler="threads")
    assert traced.opens == 6 + 2
    np.testing.assert_array_equal(computed[5], oracle(5))
    np.testing.assert_array_equal(computed[0], oracle(0)[1:, [0, 2], 2:3])
    assert computed[5].xc[0] == dataset.spec.coordinates(5, 0)["xc"][0]
    with pytest.raises(ValueError, match="name the field of view 5 more than once"):
        load_experiment(dataset.fetcher(), [dataset.extent(5)] * 2)


@pytest.mark.parametrize("use", [to_dask, load_experiment])
def test_without_dask_the_extra_is_named(monkeypatch, use):
    monkeypatch.setitem(sys.modules, "dask.array", None)
    fetcher = as_fetcher(image())
    with pytest.raises(MissingExtraError, match=rf"{use.__name__} needs dask: .*\[dask\]"):
        use(fetcher, fetcher.extent)


def test_a_dtype_that_is_not_of_numbers_is_refused():
    fetcher = as_fetcher(image())
    with pytest.raises(ValueError, match="dtype must be that of numbers, or None; got 'O'"):
        to_dask(fetcher, fetcher.extent, dtype="O")
