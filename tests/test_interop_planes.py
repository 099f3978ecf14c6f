"""Anything that yields planes is a fetcher, and a right one."""

import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import dask.array as da
import numpy as np
import pims
import pytest
import tifffile
import xarray as xr
import zarr
from fetchers import image
from hypothesis import given
from hypothesis import strategies as st

from starfish_fetch import (
    Axes,
    Extent,
    ImageStack,
    SourceError,
    as_fetcher,
    profile_orders,
    trace,
)
from starfish_fetch.testing import check_fetcher

PIXELS = image((3, 2, 4, 12, 9))
EXTENT = Extent({Axes.Y: 12, Axes.X: 9}, 0, range(3), range(2), range(4))


class Frames(pims.FramesSequenceND):
    """Planes of an array, as a reader of pims gives them."""

    def __init__(self, pixels=PIXELS):
        super().__init__()
        self._pixels = pixels
        for name, size in zip("yxtcz", (12, 9, 3, 2, 4), strict=True):
            self._init_axis(name, size)
        self._register_get_frame(self.frame, "yx")
        self.bundle_axes, self.iter_axes = "zyx", "t"

    @property
    def pixel_type(self):
        return self._pixels.dtype

    def frame(self, t, c, z, **rest):
        return self._pixels[t, c, z]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("planes")
    for r, c in np.ndindex(3, 2):
        tifffile.imwrite(folder / f"hyb_R{r}_C{c}.tif", PIXELS[r, c], photometric="minisblack")
    for r, c, z in np.ndindex(3, 2, 4):
        tifffile.imwrite(folder / f"plane_T{r}_C{c}_Z{z}.tif", PIXELS[r, c, z])
    tifffile.imwrite(
        folder / "all.ome.tif", PIXELS, photometric="minisblack", metadata={"axes": "TCZYX"}
    )
    tifffile.imwrite(folder / "all_imagej.tif", PIXELS.swapaxes(1, 2), imagej=True)
    return folder


@pytest.fixture(scope="module")
def opened(folder):
    """The files that are given open; whoever opened them closes them."""
    with (
        tifffile.TiffFile(folder / "all.ome.tif") as ome,
        tifffile.TiffFile(folder / "all_imagej.tif") as imagej,
    ):
        a_zarr_array()[0]  # starts a thread of zarr's own, which stays
        yield SimpleNamespace(folder=folder, ome=ome, imagej=imagej)


def sequence(pattern, parse):
    return tifffile.TiffSequence(str(pattern), pattern=parse)


def a_zarr_array():
    return zarr.array(
        PIXELS, store=zarr.storage.MemoryStore(), dimension_names=("t", "c", "z", "y", "x")
    )


KINDS = {
    "function": lambda opened: as_fetcher(lambda fov, r, c, z: PIXELS[r, c, z], extent=EXTENT),
    "numpy": lambda opened: as_fetcher(PIXELS),
    "numpy, named": lambda opened: as_fetcher(
        PIXELS.transpose(4, 2, 3, 0, 1), axes=["width", "z", "height", "Round", "channel"]
    ),
    "dask": lambda opened: as_fetcher(da.from_array(PIXELS, chunks=(1, 2, 2, 5, 9))),
    "zarr": lambda opened: as_fetcher(a_zarr_array()),
    "xarray": lambda opened: as_fetcher(
        xr.DataArray(PIXELS, dims=("hyb", "c", "z", "y", "x")), axes={"hyb": "r"}
    ),
    "xarray of dask": lambda opened: as_fetcher(
        xr.DataArray(PIXELS, dims=("t", "c", "z", "y", "x")).chunk(t=1)
    ),
    "tifffile series": lambda opened: as_fetcher(opened.ome),
    "tifffile series of ImageJ": lambda opened: as_fetcher(opened.imagej.series[0]),
    "tifffile aszarr": lambda opened: as_fetcher(opened.ome.series[0].aszarr()),
    "tifffile sequence of planes": lambda opened: as_fetcher(
        sequence(opened.folder / "plane_*.tif", r"_(T)(\d+)_(C)(\d+)_(Z)(\d+)")
    ),
    "tifffile sequence of volumes": lambda opened: as_fetcher(
        sequence(opened.folder / "hyb_*.tif", r"_(R)(\d+)_(C)(\d+)"), axes="rczyx"
    ),
    "pims": lambda opened: as_fetcher(Frames()),
}
BELONGS_TO_A_PROCESS = {
    "function",  # a lambda
    "tifffile series",  # an open file
    "tifffile series of ImageJ",
    "tifffile aszarr",
    "pims",
}
UNSAFE = {
    "function",
    "tifffile series",
    "tifffile series of ImageJ",
    "tifffile sequence of planes",
    "tifffile sequence of volumes",
    "pims",
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_passes_the_checks_of_a_fetcher(kind, opened):
    def make():
        fetcher = KINDS[kind](opened)
        if "dask" in kind:
            # The kit halts threads at every line that they run, which in dask are very many.
            fetcher.thread_safe = False
        return fetcher

    report = check_fetcher(make, EXTENT, lambda r, c, z: PIXELS[r, c, z], deadline=60)
    assert report.ok, report
    warned = [result.check for result in report.results if result.status == "warn"]
    assert warned == (["pickling_keeps_pixels"] if kind in BELONGS_TO_A_PROCESS else []), report


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_says_its_extent_and_loads(kind, opened):
    fetcher = KINDS[kind](opened)
    assert fetcher.extent == EXTENT
    assert fetcher.thread_safe == (kind not in UNSAFE)
    stack = ImageStack.from_tilefetcher(fetcher, **vars(fetcher.extent), dtype=None)
    np.testing.assert_array_equal(stack.to_numpy(), PIXELS)
    assert stack.dtype == PIXELS.dtype


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in UNSAFE])
def test_planes_are_read_from_several_threads_at_once_where_that_is_safe(kind, opened):
    fetcher = KINDS[kind](opened)
    keys = [*np.ndindex(PIXELS.shape[:3])] * 3
    with ThreadPoolExecutor(4) as pool:
        planes = pool.map(lambda key: fetcher.get_tile(0, *key).tile_data(), keys)
        for key, plane in zip(keys, planes, strict=True):
            np.testing.assert_array_equal(plane, PIXELS[key])


@given(st.data())
def test_axes_in_any_order_and_labels_in_any_order(data):
    present = data.draw(st.sets(st.sampled_from(["fov", "r", "c", "z"])), label="axes")
    order = data.draw(st.permutations([*sorted(present), "y", "x"]), label="order")
    sizes = {axis: data.draw(st.integers(1, 3), label=axis) for axis in order}
    labels = {
        axis: data.draw(
            st.lists(st.integers(-5, 20), min_size=size, max_size=size, unique=True), label=axis
        )
        for axis, size in {"fov": 1, "r": 1, "c": 1, "z": 1, **sizes}.items()
        if axis not in "yx"
    }
    pixels = np.arange(np.prod(list(sizes.values()))).reshape([sizes[axis] for axis in order])
    fetcher = as_fetcher(pixels, axes=order, labels=labels)
    named = xr.DataArray(pixels, dims=order)
    assert [extent.fov for extent in fetcher.extents] == labels["fov"]
    for extent in fetcher.extents:
        for key in np.ndindex(*(len(labels[axis]) for axis in "rcz")):
            position = dict(zip("rcz", key, strict=True), fov=labels["fov"].index(extent.fov))
            tile = fetcher.get_tile(
                extent.fov, *(labels[axis][at] for axis, at in zip("rcz", key, strict=True))
            )
            wanted = named.isel({axis: position[axis] for axis in present}).transpose("y", "x")
            np.testing.assert_array_equal(tile.tile_data(), wanted)
            np.testing.assert_array_equal(
                tile.tile_region(slice(0, 1), slice(1, 3)), wanted[0:1, 1:3]
            )


def test_a_stack_survives_the_way_through_xarray():
    stack = ImageStack.from_numpy(
        image((2, 1, 3, 6, 5), np.float32),
        {"r": [2, 7], "c": [1], "z": [0, 3, 4]},
        {"xc": np.linspace(3, 4, 5), "yc": np.linspace(0, 1, 6), "zc": [0.5, 0.7, 1.1]},
    )
    fetcher = as_fetcher(stack.xarray)
    again = ImageStack.from_tilefetcher(fetcher, **vars(fetcher.extent))
    xr.testing.assert_identical(again.xarray, stack.xarray)
    one_round = as_fetcher(stack.xarray.sel(r=7))
    assert one_round.extent.rounds == (7,)


def test_what_is_returned_is_the_callers_own():
    pixels = PIXELS.copy()
    for fetcher in (
        as_fetcher(pixels),
        as_fetcher(xr.DataArray(pixels, dims=tuple("rczyx"))),
        as_fetcher(lambda fov, r, c, z: pixels[r, c, z], extent=EXTENT),
    ):
        tile = fetcher.get_tile(0, 1, 1, 1)
        tile.tile_data()[...] = 0
        tile.tile_region(slice(2, 5), slice(2, 5))[...] = 0
        tile.shape["y"] = 3
        tile.coordinates["zc"] = 7
        assert tile.shape["y"] == 12
        assert tile.coordinates["zc"] == 1
    np.testing.assert_array_equal(pixels, PIXELS)


def test_no_more_is_read_than_is_wanted():
    class Array:
        shape, dtype, asked = PIXELS.shape, PIXELS.dtype, []

        def __getitem__(self, index):
            self.asked.append(index)
            return PIXELS[index]

    array = Array()
    fetcher = as_fetcher(array)
    assert not fetcher.thread_safe
    assert as_fetcher(array, thread_safe=True).thread_safe
    stack = ImageStack.from_tilefetcher(fetcher, **vars(fetcher.extent))
    assert array.asked == []
    stack.sel({"r": 2, "c": 1, "z": 0, "y": (3, 5)}).load()
    assert array.asked == [(2, 1, 0, slice(3, 5), slice(0, 9))]


def test_the_files_of_a_sequence_are_its_sources(opened):
    fetcher = KINDS["tifffile sequence of volumes"](opened)
    assert fetcher.source(0, 2, 1, 3) == str(opened.folder / "hyb_R2_C1.tif")
    stack = ImageStack.from_tilefetcher(fetcher, **vars(EXTENT))
    assert stack.plan.predicted_opens() == 6
    with trace() as traced:
        stack.load()
    assert traced.opens == 6
    assert as_fetcher(PIXELS).source(0, 0, 0, 0) is None
    assert as_fetcher(PIXELS, source=lambda *labels: labels).source(0, 1, 2, 3) == (0, 1, 2, 3)


def test_a_series_that_has_no_page_for_each_plane_is_read_once(tmp_path, monkeypatch):
    path = tmp_path / "volume.tif"
    grey = {"photometric": "minisblack", "metadata": {"axes": "ZYX"}}
    tifffile.imwrite(path, PIXELS[0, 0], volumetric=True, tile=(4, 16, 16), **grey)
    read = []
    asarray = tifffile.TiffPageSeries.asarray
    monkeypatch.setattr(
        tifffile.TiffPageSeries, "asarray", lambda series: read.append(1) or asarray(series)
    )
    with tifffile.TiffFile(path) as file:
        fetcher = as_fetcher(file)
        for z in range(4):
            np.testing.assert_array_equal(fetcher.get_tile(0, 0, 0, z).tile_data(), PIXELS[0, 0, z])
    assert len(read) == 1


def test_a_gap_in_a_sequence_is_an_error_for_its_tiles(folder, tmp_path):
    for name in ("plane_T0_C0_Z0.tif", "plane_T1_C0_Z1.tif"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    fetcher = as_fetcher(sequence(tmp_path / "*.tif", r"_(T)(\d+)_(C)(\d+)_(Z)(\d+)"))
    np.testing.assert_array_equal(fetcher.get_tile(0, 1, 0, 1).tile_data(), PIXELS[1, 0, 1])
    with pytest.raises(FileNotFoundError, match="no file at \\(1, 0, 0\\)") as caught:
        fetcher.get_tile(0, 1, 0, 0).tile_data()
    assert caught.value.__notes__ == ["tile (fov=0, round=1, ch=0, zplane=0)"]


def test_a_reader_of_pims_is_left_as_it_was():
    frames = Frames()
    fetcher = as_fetcher(frames)
    np.testing.assert_array_equal(fetcher.get_tile(0, 2, 1, 3).tile_data(), PIXELS[2, 1, 3])
    assert (frames.bundle_axes, frames.iter_axes) == (["z", "y", "x"], ["t"])
    np.testing.assert_array_equal(frames[1], PIXELS[1, 0])


def test_a_fetcher_of_an_array_can_be_sent():
    fetcher = pickle.loads(pickle.dumps(as_fetcher(PIXELS, labels={"r": [4, 2, 0]})))
    np.testing.assert_array_equal(fetcher.get_tile(0, 4, 1, 3).tile_data(), PIXELS[0, 1, 3])


@pytest.mark.parametrize(
    ("use", "error", "message"),
    [
        (lambda: as_fetcher("r0.tiff"), TypeError, "a str is nothing that planes are known to be"),
        (lambda: as_fetcher(lambda *labels: 0), TypeError, "give extent="),
        (lambda: as_fetcher(PIXELS, extent=EXTENT), TypeError, "extent is for functions alone"),
        (lambda: as_fetcher(PIXELS.astype("c8")), TypeError, "this ndarray holds complex64"),
        (lambda: as_fetcher(PIXELS[0]), ValueError, "0 names are known for the 4 dimensions"),
        (lambda: as_fetcher(PIXELS[0], axes="zyx"), ValueError, "3 names are known for the 4"),
        (lambda: as_fetcher(PIXELS, axes="rtzyx"), ValueError, "'r' and 't' are both 'r'"),
        (lambda: as_fetcher(PIXELS, axes="rcqyx"), ValueError, "'q' is none of fov, r, c, z, y"),
        (lambda: as_fetcher(PIXELS[0], axes="rczy"), ValueError, "needs the axes y and x"),
        (lambda: as_fetcher(PIXELS, axes={"t": "r"}), ValueError, "have no names; give a name"),
        (lambda: as_fetcher(PIXELS, labels={"r": [1]}), ValueError, "1 labels were given for the"),
        (lambda: as_fetcher(PIXELS, labels={"r": [1, 1, 2]}), ValueError, "more than once"),
        (lambda: as_fetcher(PIXELS, labels={"y": [1]}), ValueError, "along fov, r, c and z; got"),
    ],
)
def test_what_cannot_be_says_what_can(use, error, message):
    with pytest.raises(error, match=message):
        use()


@pytest.mark.parametrize("labels", [(9, 0, 0, 0), (0, 9, 0, 0), (0, 0, -1, 0), (0, 0, 0, 9)])
def test_a_label_that_does_not_exist_is_refused(labels):
    fetcher = as_fetcher(PIXELS)
    with pytest.raises(ValueError, match=r"there is no tile .* there are fov=\[0\], rounds=\[0"):
        fetcher.get_tile(*labels)


def test_a_function_is_held_to_its_shape():
    fetcher = as_fetcher(lambda fov, r, c, z: PIXELS[r, c], extent=EXTENT)
    with pytest.raises(ValueError, match=r"returned the shape \(4, 12, 9\); expected \(12, 9\)"):
        fetcher.get_tile(0, 0, 0, 0).tile_data()


def test_nothing_is_imported_for_what_was_not_given():
    code = (
        "import sys, numpy, starfish_fetch as sf\n"
        "fetcher = sf.as_fetcher(numpy.zeros((1, 1, 1, 2, 2), 'f4'))\n"
        "sf.ImageStack.from_tilefetcher(fetcher, **vars(fetcher.extent)).load()\n"
        "names = ['dask', 'zarr', 'pims', 'xarray', 'tifffile', 'pandas']\n"
        "print([name for name in names if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


def test_a_profile_counts_the_files_of_a_sequence(opened):
    profile = profile_orders(
        lambda: KINDS["tifffile sequence of volumes"](opened),
        EXTENT,
        [("r", "c", "z"), ("z", "r", "c")],
        repeat=1,
    )
    opens = {row.group_by: row.opens for row in profile.rows}
    assert opens == {tuple("rcz"): 6, tuple("zrc"): 24}


def test_a_file_of_another_shape_is_not_taken_for_one_of_the_sequence(folder, tmp_path):
    for name in ("hyb_R0_C0.tif", "hyb_R0_C1.tif"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    fetcher = as_fetcher(sequence(tmp_path / "*.tif", r"_(R)(\d+)_(C)(\d+)"), axes="rczyx")
    tifffile.imwrite(tmp_path / "hyb_R0_C1.tif", PIXELS[0, 1, :2], photometric="minisblack")
    with pytest.raises(SourceError, match=r"holds the shape \(2, 12, 9\); expected \(4, 12, 9\)"):
        fetcher.get_tile(0, 0, 1, 0).tile_data()
