"""To and from xarray: the same memory, the same labels, and an engine that fetches little."""

import pickle
from importlib.util import find_spec

import numpy as np
import pytest
import xarray as xr
from fetchers import ArrayFetcher, arguments, image
from hypothesis import given
from hypothesis import strategies as st

import synth
from starfish_fetch import (
    DataFormatWarning,
    ImageStack,
    Layout,
    TiffTileFetcher,
    to_float32,
    trace,
)

SPEC = synth.Spec([1, 4], [0, 2, 3], range(4), tile_shape=(16, 11), fovs=[0, 5])


def labelled(data, name, size):
    return data.draw(
        st.lists(st.integers(-9, 99), min_size=size, max_size=size, unique=True), label=name
    )


# ImageStack.xarray and ImageStack.from_xarray.


@given(st.data())
def test_there_and_back_is_the_same_image(data):
    shape = data.draw(st.tuples(*[st.integers(1, 3)] * 5), label="shape")
    labels = {axis: sorted(labelled(data, axis, n)) for axis, n in zip("rcz", shape, strict=False)}
    x, y, z = (np.sort(np.random.default_rng(n).random(shape[4 - n])) for n in range(3))
    stack = ImageStack.from_numpy(image(shape, np.float32), labels, {"xc": x, "yc": y, "zc": z})
    again = ImageStack.from_xarray(stack.xarray)
    xr.testing.assert_identical(again.xarray, stack.xarray)
    assert np.shares_memory(again.to_numpy(), stack.to_numpy())

    dropped = data.draw(st.sets(st.sampled_from("rcz")), label="dropped")
    chosen = {axis: data.draw(st.sampled_from(labels[axis]), label=axis) for axis in dropped}
    array = stack.xarray.sel(chosen)
    order = data.draw(st.permutations(array.dims), label="order")
    part = ImageStack.from_xarray(array.transpose(*order))
    xr.testing.assert_identical(part.xarray, stack.sel(chosen).xarray)
    assert np.shares_memory(part.to_numpy(), stack.to_numpy())


def test_the_memory_of_a_stack_is_the_array_s():
    fetcher = ArrayFetcher(image())
    stack = ImageStack.from_tilefetcher(**arguments(fetcher))
    array = stack.xarray
    assert np.shares_memory(array.values, stack.to_numpy())
    array.loc[{"r": 1, "c": 2, "z": 3}][:] = 0.25
    assert (stack.to_numpy()[1, 2, 3] == 0.25).all()
    assert len(fetcher.asked()) == 24
    back = ImageStack.from_xarray(array)
    back.set_slice({"r": 0, "c": 0, "z": 0}, np.full((6, 5), 0.5, np.float32))
    assert (array[0, 0, 0] == 0.5).all()


def test_labels_that_do_not_ascend_are_sorted_with_their_pixels():
    pixels = image((3, 1, 2, 6, 5), np.float32)
    array = xr.DataArray(pixels, dims=tuple("rczyx"), coords={"r": [7, 2, 5], "z": [1, 0]})
    stack = ImageStack.from_xarray(array)
    assert (stack.axis_labels("r"), stack.axis_labels("z")) == ([2, 5, 7], [0, 1])
    np.testing.assert_array_equal(stack.to_numpy(), pixels[[1, 2, 0]][:, :, ::-1])


def test_other_dtypes_are_converted_and_said_to_be():
    pixels = image((2, 6, 5))
    with pytest.warns(DataFormatWarning, match="the array is uint16") as caught:
        stack = ImageStack.from_xarray(xr.DataArray(pixels, dims=("c", "y", "x")))
    assert caught[0].filename == __file__
    np.testing.assert_array_equal(stack.to_numpy()[0, :, 0], to_float32(pixels))
    lazily = xr.DataArray(stack.to_numpy(), dims=tuple("rczyx")).chunk(c=1)
    np.testing.assert_array_equal(ImageStack.from_xarray(lazily).to_numpy(), stack.to_numpy())


@pytest.mark.parametrize(
    ("dims", "coords", "error", "message"),
    [
        ("tczyx", {}, ValueError, r"'t' is none of r, c, z, y and x: rename it, .*\{'t': 'r'\}"),
        ("rczyq", {}, ValueError, "'q' is none of r, c, z, y and x"),
        ("czy", {}, ValueError, r"needs the dimensions y and x; this has \['c', 'z', 'y'\]"),
        ("cyx", {"c": ["DAPI"]}, TypeError, "must be an iterable of ints; got .*DAPI"),
        ("cyx", {"xc": ("x", [0.5])}, ValueError, "coordinates lack 'yc'"),
    ],
)
def test_what_is_no_image_says_what_is(dims, coords, error, message):
    array = xr.DataArray(np.zeros((1,) * len(dims), "f4"), dims=tuple(dims), coords=coords)
    with pytest.raises(error, match=message):
        ImageStack.from_xarray(array)


# The engine.


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    root = tmp_path_factory.mktemp("engine")
    return synth.write(SPEC, Layout("fov{fov}_r{r}_c{c}.tiff", inner="z"), root)


def oracle(fov):
    stack = [
        [[synth.tile(SPEC, fov, r, c, z) for z in SPEC.zplanes] for c in SPEC.chs]
        for r in SPEC.rounds
    ]
    return np.array(stack)


@pytest.fixture
def opened(dataset):
    path = dataset.root / "dataset.json"
    with xr.open_dataset(path, engine="starfish-fetch") as opened:
        yield opened


def test_an_opened_dataset_is_the_image_with_its_labels(dataset, opened):
    assert dict(opened.sizes) == {"fov": 2, "r": 2, "c": 3, "z": 4, "y": 16, "x": 11}
    for fov in SPEC.fovs:
        stack = ImageStack.from_tilefetcher(dataset.fetcher(fov), **vars(dataset.extent(fov)))
        of_fov = opened.image.sel(fov=fov, drop=True)
        xr.testing.assert_identical(of_fov.rename(None), stack.xarray)
        again = ImageStack.from_xarray(opened.image.sel(fov=fov).drop_vars("fov"))
        np.testing.assert_array_equal(again.to_numpy(), stack.to_numpy())


@pytest.mark.skipif(
    find_spec("kerchunk") is not None, reason="kerchunk takes whatever is named .json"
)
def test_the_engine_is_found_without_its_name(dataset, tmp_path):
    with xr.open_dataset(dataset.root / "dataset.json") as opened:
        assert opened.image.sizes["fov"] == 2
    with xr.open_dataset(dataset.root, engine="starfish-fetch", dtype=None) as opened:
        np.testing.assert_array_equal(opened.image, np.stack([oracle(0), oracle(5)]))
    other = tmp_path / "dataset.json"
    other.write_text('{"of": "somebody else"}')
    with pytest.raises(ValueError, match="did not find a match"):
        xr.open_dataset(other)
    with pytest.raises(ValueError, match=r"dataset\.json"):
        xr.open_dataset(other, engine="starfish-fetch")
    beside = next(dataset.root.glob("*.tiff"))
    for nothing in (tmp_path / "absent" / "dataset.json", beside, b"CDF", 7):
        assert not xr.backends.list_engines()["starfish-fetch"].guess_can_open(nothing)


def test_opening_reads_no_image_file(dataset):
    with trace(under=dataset.root) as traced:
        for dtype in (np.float32, np.uint16, None):
            xr.open_dataset(dataset.root, engine="starfish-fetch", dtype=dtype).close()
    assert {path.rpartition("/")[2] for path in traced.by_source} == {"dataset.json"}


def test_variables_can_be_left_out(dataset):
    with xr.open_dataset(
        dataset.root, engine="starfish-fetch", drop_variables=["xc", "none"]
    ) as opened:
        assert set(opened.coords) == {"fov", "r", "c", "z", "yc", "zc"}


@pytest.mark.parametrize(
    ("use", "tiles", "files"),
    [
        (lambda image: image.attrs, 0, 0),
        (lambda image: image.sel(fov=5, r=4, c=2, z=3).values, 1, 1),
        (lambda image: image.sel(fov=5, z=[3, 0]).isel(y=slice(2, 5), x=-1).values, 12, 6),
        (lambda image: image.isel(fov=[1, 0], r=[0], c=slice(None, None, 2), z=0).values, 4, 4),
        (lambda image: image.isel(fov=[], z=0).values, 0, 0),
        (lambda image: image.load(), 48, 12),
    ],
)
def test_the_tiles_that_are_touched_are_fetched_and_no_others(dataset, opened, use, tiles, files):
    with trace(under=dataset.root) as traced:
        use(opened.image)
    assert (traced.tiles, traced.opens) == (tiles, files)


@given(st.data())
def test_any_selection_has_the_pixels_of_the_oracle(dataset, data):
    whole = xr.DataArray(np.stack([oracle(0), oracle(5)]), dims=("fov", *"rczyx"))
    key = {}
    for axis, size in whole.sizes.items():
        ints = st.integers(-size, size - 1)
        # Of nothing, backwards, is refused by xarray itself.
        slices = st.slices(size).filter(lambda one, n=size: (one.step or 1) > 0 or range(n)[one])
        one = st.one_of(ints, slices, st.lists(ints, max_size=4))
        key[axis] = data.draw(one, label=axis)
    with xr.open_dataset(dataset.root, engine="starfish-fetch", dtype=None) as opened:
        found = opened.image.variable.isel(key)
        assert found.dtype == np.uint16
        np.testing.assert_array_equal(found.values, whole.variable.isel(key).values)


def test_chunks_are_the_tiles_of_a_file(dataset):
    path = dataset.root / "dataset.json"
    with xr.open_dataset(path, engine="starfish-fetch", chunks={}) as opened:
        assert opened.image.data.chunksize == (1, 1, 1, 4, 16, 11)
        with trace(under=dataset.root) as traced:
            opened.image.mean(("z", "y", "x")).compute(scheduler="threads")
        assert (traced.opens, traced.tiles) == (12, 48)


def test_an_opened_dataset_can_be_sent_to_another_process(dataset, opened):
    again = pickle.loads(pickle.dumps(opened))
    xr.testing.assert_identical(again.load(), opened.load())


def test_closing_closes_the_files(dataset, monkeypatch):
    closed = []
    monkeypatch.setattr(TiffTileFetcher, "close", lambda fetcher: closed.append(fetcher))
    with xr.open_dataset(dataset.root, engine="starfish-fetch") as opened:
        opened.image.isel(fov=0).load()
        assert not closed
    assert len(closed) == 1
