"""starfish, 0.3 or 0.4, as the reference: one fetcher, two libraries, identical stacks."""

import copy
import warnings

import numpy as np
import pytest
import xarray as xr
from fetchers import image

import starfish_fetch as sf
import synth

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import starfish
    from starfish.core.imagestack.parser.crop import CropParameters as StarfishCropParameters
    from starfish.experiment.builder import FetchedTile as StarfishTile
    from starfish.experiment.builder import TileFetcher as StarfishFetcher
    from starfish.types import Axes as StarfishAxes
    from starfish.types import Coordinates as StarfishCoordinates

pytestmark = pytest.mark.filterwarnings("ignore")

ROUNDS, CHS, ZPLANES = [5, 1, 3], [0, 7], [-2, 0, 4, 9]
PIXELS = image((3, 2, 4, 12, 9))


def fetcher_written_for(tile_base, fetcher_base, axes, coordinates):
    class Tile(tile_base):
        def __init__(self, key):
            self.key = key

        @property
        def shape(self):
            return {axes.Y: 12, axes.X: 9}

        @property
        def coordinates(self):
            z = self.key[2]
            return {
                coordinates.X: (0.1, 1.7),
                coordinates.Y: (0.3, 0.9),
                coordinates.Z: (0.1 * z, 0.1 * z + 0.07),
            }

        def tile_data(self):
            r, c, z = self.key
            return PIXELS[sorted(ROUNDS).index(r), CHS.index(c), ZPLANES.index(z)]

    class Fetcher(fetcher_base):
        def get_tile(self, fov, hyb, c, z):
            return Tile((hyb, c, z))

    return Fetcher()


FETCHERS = {
    "ours": fetcher_written_for(sf.FetchedTile, sf.TileFetcher, sf.Axes, sf.Coordinates),
    "starfish's": fetcher_written_for(
        StarfishTile, StarfishFetcher, StarfishAxes, StarfishCoordinates
    ),
    "neither's": fetcher_written_for(object, object, sf.Axes, StarfishCoordinates),
}
EITHER = pytest.mark.parametrize("fetcher", FETCHERS.values(), ids=FETCHERS)


def both(fetcher, crop=None, group_by=None, axes=StarfishAxes):
    arguments = (fetcher, {axes.Y: 12, axes.X: 9}, 0, ROUNDS, CHS, ZPLANES, group_by)
    crops = (None, None) if crop is None else (sf.CropParameters(**crop), None)
    theirs = StarfishCropParameters(**crop) if crop else None
    return (
        sf.ImageStack.from_tilefetcher(*arguments, crops[0]),
        starfish.ImageStack.from_tilefetcher(*arguments, theirs),
    )


def assert_identical(ours, theirs):
    xr.testing.assert_identical(ours.xarray, theirs.xarray)
    assert ours.shape == theirs.shape
    assert list(ours.shape) == list(theirs.shape)
    assert ours.raw_shape == theirs.raw_shape
    assert ours.tile_shape == theirs.tile_shape
    assert (ours.num_rounds, ours.num_chs, ours.num_zplanes) == ours.raw_shape[:3]
    for axis in (StarfishAxes.ROUND, StarfishAxes.CH, StarfishAxes.ZPLANE):
        assert ours.axis_labels(axis) == theirs.axis_labels(axis)
        assert ours.shape[axis] == theirs.shape[axis]
    assert repr(ours) == repr(theirs).replace("starfish.", "starfish_fetch.")


@EITHER
@pytest.mark.parametrize("axes", [sf.Axes, StarfishAxes], ids=["our axes", "starfish's axes"])
@pytest.mark.parametrize(
    "group_by", [None, {"ROUND"}, ("CH", "ROUND"), ["ZPLANE"], ("ZPLANE", "CH", "ROUND")]
)
def test_the_same_fetcher_gives_the_same_stack(fetcher, axes, group_by):
    if group_by is not None:
        group_by = type(group_by)(getattr(axes, name) for name in group_by)
    assert_identical(*both(fetcher, group_by=group_by, axes=axes))


@pytest.mark.parametrize("number", [int, float, np.float32, np.float16, np.int64, np.float64])
def test_coordinates_of_any_number_type_are_the_same_to_the_bit(number):
    class Tile:
        def __init__(self, key):
            self.shape = {"y": 12, "x": 9}
            low, high = number(1), number(7) / number(3)
            self.coordinates = {"xc": (low, high), "yc": (-high, low), "zc": (low, high + key[2])}

        def tile_data(self):
            return np.zeros((12, 9), np.uint8)

    class Fetcher:
        def get_tile(self, fov, *key):
            return Tile(key)

    assert_identical(*both(Fetcher()))


@EITHER
@pytest.mark.parametrize(
    "crop",
    [
        {"permitted_rounds": [1, 5, 99]},
        {"permitted_chs": (7,), "x_slice": slice(2, -1), "y_slice": 3},
        {"permitted_zplanes": {4, -2}, "y_slice": slice(-5, None)},
    ],
)
def test_the_same_crop_gives_the_same_stack(fetcher, crop):
    assert_identical(*both(fetcher, crop))


AXES = StarfishAxes


@pytest.mark.parametrize("load_first", [False, True])
@pytest.mark.parametrize(
    "indexers",
    [
        {AXES.ROUND: 1},
        {AXES.ROUND: (1, 3), AXES.CH: 7},
        {AXES.ROUND: (2, None), AXES.CH: [0, 7]},
        {AXES.ZPLANE: slice(-1, 5), AXES.Y: -2, AXES.X: (None, 4)},
        {AXES.X: (-3, None), AXES.Y: [0, 5]},
        {AXES.ROUND: 5, AXES.CH: 0, AXES.ZPLANE: -2, AXES.Y: 0, AXES.X: 0},
    ],
)
def test_sel_selects_the_same(indexers, load_first):
    ours, theirs = both(FETCHERS["starfish's"])
    if load_first:
        ours.load()
    assert_identical(ours.sel(indexers), theirs.sel(indexers))


@pytest.mark.parametrize(
    "indexers",
    [
        {AXES.ROUND: 1},
        {AXES.ROUND: (1, 3), AXES.CH: -1},
        {AXES.ZPLANE: slice(-2, None), AXES.Y: -2, AXES.X: (None, 4)},
    ],
)
def test_isel_selects_the_same(indexers):
    ours, theirs = both(FETCHERS["starfish's"])
    _ = theirs.xarray  # isel of a stack that is not loaded fails in starfish 0.4.0
    assert_identical(ours.isel(indexers), theirs.isel(indexers))


@pytest.mark.parametrize(
    "indexers",
    [
        {StarfishCoordinates.X: 0.5},
        {StarfishCoordinates.X: (0.3, 1.2), StarfishCoordinates.Y: 0.6},
        {StarfishCoordinates.Z: (0, 0.5)},
        {StarfishCoordinates.Z: -9.0, StarfishCoordinates.Y: (-1, 99)},
    ],
)
def test_physical_selection_selects_the_same(indexers):
    ours, theirs = both(FETCHERS["starfish's"])
    assert_identical(ours.sel_by_physical_coords(indexers), theirs.sel_by_physical_coords(indexers))


@pytest.mark.parametrize(
    "selector",
    [{}, {AXES.ROUND: 1}, {AXES.ROUND: slice(1, 3), AXES.CH: 7}, {AXES.ZPLANE: 4, AXES.CH: 0}],
)
def test_get_slice_gives_the_same(selector):
    ours, theirs = both(FETCHERS["starfish's"])
    our_pixels, our_axes = ours.get_slice(selector)
    their_pixels, their_axes = theirs.get_slice(selector)
    assert our_axes == their_axes
    np.testing.assert_array_equal(our_pixels, their_pixels)


@pytest.mark.parametrize(
    ("selector", "axes", "shape"),
    [
        ({AXES.ROUND: 1}, [AXES.ZPLANE, AXES.CH], (4, 2, 12, 9)),
        ({AXES.ROUND: slice(1, 3), AXES.CH: 7}, [AXES.ZPLANE, AXES.ROUND], (4, 2, 12, 9)),
        ({AXES.ROUND: 1, AXES.CH: 0, AXES.ZPLANE: 9}, None, (12, 9)),
        ({}, [AXES.CH, AXES.ZPLANE, AXES.ROUND], (2, 4, 3, 12, 9)),
    ],
)
def test_set_slice_sets_the_same(selector, axes, shape):
    ours, theirs = both(FETCHERS["starfish's"])
    written = image(shape, np.float32, seed=3)
    for stack in (ours, theirs):
        stack.set_slice(selector, written, axes=axes)
    assert_identical(ours, theirs)


def test_tile_metadata_has_the_same_rows():
    tables = [stack.tile_metadata for stack in both(FETCHERS["starfish's"])]
    ours, theirs = (
        table.sort_values(["r", "c", "z"]).reset_index(drop=True)[["r", "c", "z", "barcode_index"]]
        for table in tables
    )
    assert list(tables[0].columns) == ["r", "c", "z", "barcode_index"]
    assert set(tables[1].columns) == set(tables[0].columns)
    assert ours.equals(theirs)


@pytest.mark.parametrize("crop", [None, {"permitted_rounds": [3], "x_slice": slice(2, 7)}])
def test_to_starfish_shares_memory_and_is_the_same(crop):
    ours, theirs = both(FETCHERS["ours"], crop)
    converted = ours.to_starfish()
    assert type(converted) is starfish.ImageStack
    assert np.shares_memory(converted.xarray.values, ours.to_numpy())
    assert_identical(ours, theirs)
    xr.testing.assert_identical(converted.xarray, theirs.xarray)
    assert len(converted.tile_metadata) == len(theirs.tile_metadata)
    maximum, expected = (
        stack.reduce({AXES.ROUND}, func="max").xarray for stack in (converted, theirs)
    )
    xr.testing.assert_identical(maximum, expected)
    part = converted.sel({AXES.CH: 0})
    xr.testing.assert_identical(part.xarray, theirs.sel({AXES.CH: 0}).xarray)
    copy.deepcopy(converted).set_slice({AXES.CH: 0}, np.zeros_like(part.xarray[:, 0].values),
                                       axes=[AXES.ROUND, AXES.ZPLANE])  # fmt: skip
    xr.testing.assert_identical(ours.xarray, theirs.xarray)


def test_to_starfish_needs_float32():
    stack = sf.ImageStack.from_tilefetcher(
        FETCHERS["ours"], {"y": 12, "x": 9}, 0, ROUNDS, CHS, ZPLANES, dtype=None
    )
    with pytest.raises(TypeError, match=r"holds float32; this stack holds uint16"):
        stack.to_starfish()


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4", "f8", "i2"])
def test_from_numpy_gives_the_same_stack(dtype):
    pixels = np.abs(image((2, 3, 4, 5, 6), dtype) // (2 if dtype == "i2" else 1)).astype(dtype)
    labels = {AXES.ROUND: [4, 1], AXES.CH: [0, 9, 3], AXES.ZPLANE: [7, 2, 1, 0]}
    coordinates = {
        StarfishCoordinates.X: np.linspace(0, 1, 6),
        StarfishCoordinates.Y: np.linspace(2, 3, 5),
        StarfishCoordinates.Z: [0.7, 0.2, 0.1, 0.0],
    }
    for arguments in ((), (labels,), (labels, coordinates)):
        assert_identical(
            sf.ImageStack.from_numpy(pixels, *arguments),
            starfish.ImageStack.from_numpy(pixels, *arguments),
        )


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "int16", "float32", "float64"])
@pytest.mark.parametrize("layout", ["per_round", "per_tile", "single_file"])
def test_starfish_loads_our_fetcher(tmp_path, layout, dtype):
    spec = synth.Spec([4, 1], 2, [-1, 0, 6], (9, 7), dtype=dtype)
    dataset = synth.write(spec, getattr(sf.Layout, layout)(), tmp_path)
    with dataset.fetcher() as fetcher:
        arguments = (fetcher, *vars(dataset.extent()).values())
        ours = sf.ImageStack.from_tilefetcher(*arguments)
        theirs = starfish.ImageStack.from_tilefetcher(*arguments)
        assert_identical(ours, theirs)
