"""ImageStack as starfish users know it, against a plain model."""

import copy
import pickle

import numpy as np
import pytest
import xarray as xr
from fetchers import ArrayFetcher, arguments, image
from hypothesis import given
from hypothesis import strategies as st

from starfish_fetch import Axes, Coordinates, DataFormatWarning, ImageStack, to_float32

LABELS = {"r": [-3, 0, 4], "c": [1, 2], "z": [0, 5, 6, 9]}
SHAPE = (3, 2, 4, 7, 6)
PIXELS = image(SHAPE)
EXPECTED = to_float32(PIXELS)
X, Y = np.linspace(0.1, 1.7, 6), np.linspace(0.3, 0.9, 7)


def unloaded(array=PIXELS, **options):
    return ImageStack.from_tilefetcher(
        **arguments(ArrayFetcher(array, list(LABELS.values()))), **options
    )


def loaded():
    return unloaded().load()


def from_array():
    coordinates = {"xc": X, "yc": Y, "zc": unloaded().physical_coordinates().z}
    return ImageStack.from_numpy(EXPECTED, LABELS, coordinates)


KINDS = pytest.mark.parametrize("make", [unloaded, loaded, from_array])


def reference():
    z = unloaded().physical_coordinates().z
    return xr.DataArray(
        EXPECTED.copy(),
        dims=list("rczyx"),
        coords={**LABELS, "xc": ("x", X), "yc": ("y", Y), "zc": ("z", z)},
    )


def ends(axis, by_position):
    size = SHAPE["rczyx".index(axis)]
    if by_position or axis in "yx":
        return st.none() | st.integers(-size, size)
    return st.none() | st.integers(-5, 11)


def selectors(axis, by_position):
    size = SHAPE["rczyx".index(axis)]
    positional = by_position or axis in "yx"
    one = st.integers(-size, size - 1) if positional else st.sampled_from(LABELS[axis])
    either = ends(axis, by_position)
    several = st.lists(one, min_size=1, unique_by=lambda v: v % size if positional else v)
    return (
        one
        | st.tuples(either, either)
        | st.builds(slice, either, either)
        | st.builds(slice, either, either, st.integers(1, 3))
        | several.map(lambda v: sorted(v, key=lambda p: p % size if positional else p))
    )


def indexers(by_position):
    return st.fixed_dictionaries(
        {}, optional={axis: selectors(axis, by_position) for axis in "rczyx"}
    )


def model(data, indexers, by_position):
    """The same selection by xarray, one axis at a time, every axis kept."""
    for axis, selector in indexers.items():
        positions = np.arange(data.sizes[axis])
        if by_position or axis in "yx":
            index = slice(*selector) if isinstance(selector, tuple) else selector
            chosen = positions[index]
        elif isinstance(selector, tuple | slice):
            low, high, *step = (
                (selector.start, selector.stop, selector.step)
                if isinstance(selector, slice)
                else selector
            )
            inside = [
                p
                for p, label in enumerate(data[axis].values)
                if (low is None or label >= low) and (high is None or label <= high)
            ]
            chosen = np.array(inside[:: (step and step[0]) or 1], int)
        else:
            chosen = np.searchsorted(data[axis].values, selector)
        data = data.isel({axis: np.atleast_1d(chosen)})
    return data


@KINDS
@pytest.mark.parametrize("by_position", [False, True])
@given(data=st.data())
def test_selection_equals_xarray(make, by_position, data):
    indexers_ = data.draw(indexers(by_position), label="indexers")
    stack = make()
    expected = model(reference(), indexers_, by_position)
    select = stack.isel if by_position else stack.sel
    if 0 in expected.shape:
        with pytest.raises(ValueError, match="selects nothing of axis"):
            select(indexers_)
        return
    part = select({Axes(axis): value for axis, value in indexers_.items()})
    assert part.raw_shape == expected.shape
    xr.testing.assert_identical(part.xarray, expected)


@KINDS
@given(first=indexers(True), second=indexers(False))
def test_selections_compose(make, first, second):
    try:
        expected = make().load().isel(first).sel(second).xarray
    except (ValueError, KeyError, IndexError) as error:
        with pytest.raises(type(error)):
            make().isel(first).sel(second)
    else:
        xr.testing.assert_identical(make().isel(first).sel(second).xarray, expected)


@KINDS
@pytest.mark.parametrize(
    ("method", "indexers", "error", "message"),
    [
        ("sel", {"r": 1}, KeyError, "axis 'r' has no label 1"),
        ("sel", {"r": [0, 1]}, KeyError, "no label 1"),
        ("isel", {"r": 3}, IndexError, "position 3 is outside axis 'r', which has 3"),
        ("sel", {"y": -8}, IndexError, "position -8 is outside axis 'y'"),
        ("sel", {"q": 1}, ValueError, "unknown axis 'q'; expected one of 'r', 'c', 'z', 'y', 'x'"),
        ("sel", {"z": (7, 8)}, ValueError, "selects nothing of axis 'z'"),
        ("sel", {"z": [9, 0]}, ValueError, "must ascend without repeats"),
        ("isel", {"x": slice(4, 0, -1)}, ValueError, "must run forwards"),
        ("sel_by_physical_coords", {"q": 1}, ValueError, "unknown coordinate 'q'"),
        ("sel_by_physical_coords", {"xc": (0.5, 0.5)}, ValueError, "selects nothing of axis 'x'"),
    ],
)
def test_selections_that_are_refused(make, method, indexers, error, message):
    with pytest.raises(error, match=message):
        getattr(make(), method)(indexers)


@KINDS
@pytest.mark.parametrize(
    ("indexers", "positions"),
    [
        ({Coordinates.X: 0.43}, {"x": [1]}),
        ({"xc": (X[1] + 0.01, X[4] - 0.01)}, {"x": [1, 2, 3]}),
        # As near to the first as to the second: the first.
        ({Coordinates.Y: (Y[0] + Y[1]) / 2, "zc": 100}, {"y": [0], "z": [3]}),
        ({"xc": -9, "yc": (-9, 9)}, {"x": [0], "y": [0, 1, 2, 3, 4, 5]}),
    ],
)
def test_selection_by_physical_coordinates(make, indexers, positions):
    expected = reference().isel(positions)
    xr.testing.assert_identical(make().sel_by_physical_coords(indexers).xarray, expected)


def test_without_a_z_coordinate_there_is_nothing_to_select_by():
    class Flat(ArrayFetcher):
        def coordinates_of(self, key):
            return {"xc": (0, 1), "yc": (0, 1)}

    stack = ImageStack.from_tilefetcher(**arguments(Flat(PIXELS)))
    with pytest.raises(ValueError, match="the tiles give no 'zc' coordinate"):
        stack.sel_by_physical_coords({"zc": 0})


@KINDS
@given(selection=indexers(False))
def test_get_slice_drops_the_axes_of_scalars(make, selection):
    stack = make()
    expected = model(reference(), selection, by_position=False).values
    if 0 in expected.shape:
        with pytest.raises(ValueError, match="selects nothing"):
            stack.get_slice(selection)
        return
    scalars = [n for n, axis in enumerate("rczyx") if isinstance(selection.get(axis), int)]
    pixels, axes = stack.get_slice(selection)
    np.testing.assert_array_equal(pixels, expected.squeeze(tuple(scalars)))
    assert axes == [axis for n, axis in enumerate("rcz") if n not in scalars]
    assert type(axes) is list


@KINDS
@given(data=st.data())
def test_set_slice_writes_what_get_slice_reads_and_nothing_else(make, data):
    stack = make()
    selection = data.draw(indexers(False), label="selector")
    chosen = model(
        reference().copy(data=np.arange(EXPECTED.size).reshape(SHAPE)), selection, False
    ).values
    if 0 in chosen.shape:
        return
    pixels, axes = stack.get_slice(selection)
    order = data.draw(st.permutations(axes), label="axes")
    written = image(pixels.shape, np.float32, seed=1)
    moved = written.transpose(
        *(axes.index(axis) for axis in order), *range(len(axes), written.ndim)
    )
    stack.set_slice(selection, moved, axes=order)
    np.testing.assert_array_equal(stack.get_slice(selection)[0], written)
    untouched = np.setdiff1d(np.arange(EXPECTED.size), chosen)
    np.testing.assert_array_equal(stack.to_numpy().flat[untouched], EXPECTED.flat[untouched])


@pytest.mark.parametrize(
    ("data", "axes", "error", "message"),
    [
        (np.zeros((4, 7, 6)), ["z"], TypeError, "the stack holds float32, the data is float64"),
        (np.full((4, 7, 6), 1.5, "f4"), ["z"], ValueError, r"within \[0, 1\]"),
        (np.zeros((4, 7, 6), "f4"), None, ValueError, r"leaves the axes \['z', 'y', 'x'\]"),
        (np.zeros((4, 7, 6), "f4"), ["c"], ValueError, "leaves the axes"),
        (np.zeros((4, 7, 6), "f4"), ["q"], ValueError, "unknown axis 'q'"),
        (np.zeros((3, 7, 6), "f4"), ["z"], ValueError, r"leaves the shape \(4, 7, 6\)"),
        (np.zeros((2, 4, 7, 6), "f4"), ["c", "z"], ValueError, "leaves the axes"),
    ],
)
def test_set_slice_refuses_what_does_not_fit(data, axes, error, message):
    stack = loaded()
    with pytest.raises(error, match=message):
        stack.set_slice({"r": 0, "c": 2}, data, axes=axes)
    np.testing.assert_array_equal(stack.to_numpy(), EXPECTED)


def test_set_slice_warns_of_nan_and_writes_it():
    stack = loaded()
    selector = {"r": stack.axis_labels("r")[1], "c": stack.axis_labels("c")[0]}
    data = EXPECTED[1, 0].copy()
    data[3, 4, 5] = np.nan
    with pytest.warns(DataFormatWarning, match="the data has NaN pixels") as caught:
        stack.set_slice(selector, data, axes="z")
    assert [warning.filename for warning in caught] == [__file__]
    expected = EXPECTED.copy()
    expected[1, 0] = data
    np.testing.assert_array_equal(stack.to_numpy(), expected)


def test_set_slice_keeps_a_stack_of_integers_what_it_is():
    stack = unloaded(dtype=None)
    stack.set_slice({"r": 0, "c": 1, "z": 9}, np.full((7, 6), 9, np.uint16))
    assert stack.get_slice({"r": 0, "c": 1, "z": 9})[0].max() == 9
    with pytest.raises(TypeError, match="the stack holds uint16, the data is float32"):
        stack.set_slice({}, EXPECTED, axes="rcz")


@KINDS
def test_shape_and_labels_without_a_load(make):
    stack = make()
    assert stack.shape == dict(zip("rczyx", SHAPE, strict=True))
    assert list(stack.shape) == list(Axes)
    assert stack.raw_shape == SHAPE
    assert (stack.num_rounds, stack.num_chs, stack.num_zplanes) == SHAPE[:3]
    rows, columns = stack.tile_shape
    assert (rows, columns) == SHAPE[3:]
    assert stack.axis_labels(Axes.ROUND) == LABELS["r"]
    assert stack.axis_labels("x") == list(range(6))
    assert stack.dtype == np.float32
    assert repr(stack) == "<starfish_fetch.ImageStack (r: 3, c: 2, z: 4, y: 7, x: 6)>"


def test_describing_a_stack_loads_nothing():
    fetcher = ArrayFetcher(PIXELS, list(LABELS.values()))
    stack = ImageStack.from_tilefetcher(**arguments(fetcher), group_by=("c", "r"))
    html = stack._repr_html_()
    assert fetcher.events == []
    for text in ("-3, 0, 4", "z-plane", "float32, not loaded, load order: c, r"):
        assert text in html
    assert "float32, 4,032 bytes, loaded" in stack.load()._repr_html_()
    many = ImageStack.from_numpy(np.zeros((30, 1, 1, 1, 1), np.float32))
    assert "0, 1, 2, 3, 4, 5, 6, …, 29" in many._repr_html_()


@KINDS
def test_arrays_share_memory(make):
    stack = make()
    array = stack.to_numpy()
    assert np.asarray(stack) is array
    assert np.shares_memory(stack.xarray.values, array)
    assert np.shares_memory(stack.load().sel({"r": (0, None)}).to_numpy(), array)
    assert np.shares_memory(stack.get_slice({"r": 0})[0], array)
    assert not np.shares_memory(np.array(stack), array)
    assert np.asarray(stack, np.float64).dtype == np.float64
    with pytest.raises(ValueError, match="without a copy"):
        stack.__array__(np.float64, copy=False)
    xr.testing.assert_identical(stack.xarray, reference())


@KINDS
def test_copies_and_pickles_are_independent(make):
    stack = make()
    for other in (copy.deepcopy(stack), pickle.loads(pickle.dumps(stack.load()))):
        other.set_slice({"r": 0}, np.zeros(SHAPE[1:], np.float32), axes="cz")
        assert not other.get_slice({"r": 0})[0].any()
        np.testing.assert_array_equal(stack.to_numpy(), EXPECTED)


def test_a_stack_is_made_by_its_class_methods_alone():
    with pytest.raises(TypeError, match=r"use ImageStack\.from_tilefetcher or"):
        ImageStack()


def test_from_numpy_has_nothing_to_load():
    stack = from_array()
    with pytest.raises(ValueError, match="not made from a fetcher"):
        _ = stack.plan
    assert stack.load() is stack
    assert stack.missing == ()
    assert list(stack.tile_metadata.columns) == ["r", "c", "z", "barcode_index"]


def test_from_numpy_copies_and_sorts_by_label():
    labels = {"r": [4, -3, 0], "c": [2, 1], "z": [9, 0, 5, 6]}
    coordinates = {"xc": X, "yc": Y, "zc": [0.9, 0.0, 0.5, 0.6]}
    array = EXPECTED.copy()
    stack = ImageStack.from_numpy(array, labels, coordinates)
    array[:] = 0
    for r, round_ in enumerate(labels["r"]):
        for c, ch in enumerate(labels["c"]):
            for z, zplane in enumerate(labels["z"]):
                tile, _ = stack.get_slice({"r": round_, "c": ch, "z": zplane})
                np.testing.assert_array_equal(tile, EXPECTED[r, c, z])
    assert stack.physical_coordinates().z.tolist() == [0.0, 0.5, 0.6, 0.9]


def test_from_numpy_gives_what_it_was_not_told():
    stack = ImageStack.from_numpy(EXPECTED)
    assert stack.axis_labels("z") == [0, 1, 2, 3]
    for values, size in zip(stack.physical_coordinates(), (6, 7, 4), strict=True):
        assert values.tolist() == np.linspace(0, 0.001, size).tolist()


def test_from_numpy_converts_with_a_warning():
    with pytest.warns(DataFormatWarning, match="the array is uint16; it is converted"):
        stack = ImageStack.from_numpy(PIXELS)
    np.testing.assert_array_equal(stack.to_numpy(), EXPECTED)
    with_nan = EXPECTED.copy()
    with_nan[0, 0, 0, 0, 0] = np.nan
    with pytest.warns(DataFormatWarning, match="has NaN pixels"):
        ImageStack.from_numpy(with_nan)


@pytest.mark.parametrize(
    ("array", "labels", "coordinates", "message"),
    [
        (EXPECTED[0], None, None, r"expected a 5-D array .* got the shape \(2, 4, 7, 6\)"),
        (EXPECTED[:0], None, None, "expected a 5-D array"),
        (EXPECTED + 1, None, None, r"within \[0, 1\]; these reach from 1"),
        (EXPECTED, {**LABELS, "r": [0, 1]}, None, "axis 'r' has 3 positions, but 2 labels"),
        (EXPECTED, {**LABELS, "r": [0, 1, 1]}, None, "names the label 1 more than once"),
        (EXPECTED, None, {"xc": X, "yc": X, "zc": [0] * 4}, "7 coordinates 'yc' are needed"),
        (EXPECTED, None, {"xc": X, "yc": Y}, "coordinates lack 'zc'"),
        (EXPECTED, {"r": [0, 1, 2]}, None, "index_labels lack the axis 'c'"),
    ],
)
def test_from_numpy_refuses_what_does_not_fit(array, labels, coordinates, message):
    with pytest.raises(ValueError, match=message):
        ImageStack.from_numpy(array, labels, coordinates)
