"""Images that bioio opens, against what synth says of them."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import dask
import numpy as np
import pytest
import tifffile

import synth
from starfish_fetch import (
    BioImageTileFetcher,
    Coordinates,
    ImageStack,
    Layout,
    MissingExtraError,
    SourceError,
    load_experiment,
)
from starfish_fetch.testing import check_fetcher

SPEC = synth.Spec(3, 2, 4, (24, 20), voxel_size=(2.0, 0.5, 0.25), fovs=2)

pytestmark = pytest.mark.filterwarnings("default")  # bioio's own libraries warn each other


def reader():
    return pytest.importorskip("bioio_ome_tiff").Reader


def truth(data, fov=0):
    return np.array([[[data.tile(r, c, z, fov) for z in range(4)] for c in range(2)]
                     for r in range(3)])  # fmt: skip


def report_on(make, extent, data):
    report = check_fetcher(make, extent, data)
    return [f"{one.check}: {one.message}" for one in report.results if one.status == "fail"]


def test_a_linked_image_is_one_image(tmp_path):
    data = synth.write(SPEC, Layout("f{fov}_r{r}.ome.tif", inner="cz"), tmp_path, linked=True)

    def make(fov=0):
        return BioImageTileFetcher(tmp_path / f"f{fov}_r0.ome.tif", reader=reader())

    for fov in range(2):
        fetcher = make(fov)
        stack = ImageStack.from_tilefetcher(fetcher, **vars(fetcher.extent), dtype=None)
        np.testing.assert_array_equal(stack.to_numpy(), truth(data, fov))
        tile = fetcher.get_tile(0, 0, 1, 2)
        assert tile.extras == {"channel_name": "ch 1"}
        expected = SPEC.coordinates(fov, 2)
        for axis in (Coordinates.X, Coordinates.Y):
            assert tile.coordinates[axis] == pytest.approx(expected[axis])
        assert tile.coordinates[Coordinates.Z] == pytest.approx(4.0)
        assert fetcher.source(0, 0, 0, 0) is None
    assert report_on(make, make().extent, data) == []


def test_a_file_for_each_round(tmp_path):
    data = synth.write(SPEC, Layout("f{fov}_r{r}.ome.tif", inner="cz"), tmp_path)
    paths = {r: tmp_path / f"f0_r{r}.ome.tif" for r in range(3)}
    fetcher = BioImageTileFetcher(paths, reader=reader())
    stack = ImageStack.from_tilefetcher(fetcher, **vars(fetcher.extent), dtype=None)
    np.testing.assert_array_equal(stack.to_numpy(), truth(data))
    assert fetcher.source(0, 2, 0, 0) == str(paths[2])


def write_scenes(path, shapes, seed=0):
    """Write an OME-TIFF of several images, each (t, c, z, y, x), and return their pixels."""
    random = np.random.default_rng(seed)
    images = [random.integers(0, 65536, shape, np.uint16) for shape in shapes]
    with tifffile.TiffWriter(path, ome=True) as tiff:
        for number, pixels in enumerate(images):
            about = {"axes": "TCZYX", "PhysicalSizeX": 0.25 * (number + 1)}
            tiff.write(pixels, metadata=about, photometric="minisblack")
    return images


def load(fetcher, fov, **options):
    extent = fetcher.extents[fov]
    return ImageStack.from_tilefetcher(fetcher, **vars(extent), dtype=None, **options).to_numpy()


def test_scenes_are_fields_of_view_each_of_its_own_shape(tmp_path):
    images = write_scenes(
        tmp_path / "a.ome.tif", [(2, 3, 2, 9, 7), (1, 2, 4, 6, 11), (2, 3, 2, 9, 7)]
    )
    fetcher = BioImageTileFetcher(tmp_path / "a.ome.tif", reader=reader())
    assert [extent.fov for extent in fetcher.extents] == [0, 1, 2]
    assert fetcher.extent == fetcher.extents[0]
    for fov in (2, 0, 1, 0):
        np.testing.assert_array_equal(load(fetcher, fov), images[fov])
        x = fetcher.get_tile(fov, 0, 0, 0).coordinates[Coordinates.X]
        assert x[1] == pytest.approx(0.25 * (fov + 1) * (images[fov].shape[-1] - 1))
    # One tile of each in turn.
    for key in np.ndindex(1, 2, 2):
        for fov in range(3):
            np.testing.assert_array_equal(fetcher.get_tile(fov, *key).tile_data(), images[fov][key])
    for missing in ((1, 1, 0, 0), (0, 0, 0, 2), (3, 0, 0, 0), (-1, 0, 0, 0)):
        with pytest.raises(ValueError, match="there is no tile"):
            fetcher.get_tile(*missing)


def test_scenes_of_a_file_for_each_round(tmp_path):
    shapes = [(1, 2, 3, 6, 5), (1, 2, 3, 6, 5)]
    paths = {r: tmp_path / f"hyb{r}.ome.tif" for r in (4, 1)}
    images = {r: write_scenes(path, shapes, seed=r) for r, path in paths.items()}
    fetcher = BioImageTileFetcher(paths, reader=reader())
    for fov in (1, 0):
        expected = np.concatenate([images[1][fov], images[4][fov]])
        np.testing.assert_array_equal(load(fetcher, fov), expected)
    write_scenes(paths[4], shapes[:1])
    with pytest.raises(SourceError, match=r"hyb4\.ome\.tif has 1 scenes, the first file has more"):
        BioImageTileFetcher(paths, reader=reader())


def test_two_threads_that_load_two_scenes_take_turns(tmp_path, monkeypatch):
    images = write_scenes(tmp_path / "a.ome.tif", [(2, 2, 2, 9, 7)] * 2)
    fetcher = BioImageTileFetcher(tmp_path / "a.ome.tif", reader=reader())
    assert not fetcher.thread_safe
    read, inside, at_once, threads = fetcher._read, [], set(), set()

    def watched(fov, key):
        inside.append(key)
        at_once.add(len(inside))
        threads.add(threading.get_ident())
        try:
            return read(fov, key)
        finally:
            inside.pop()

    monkeypatch.setattr(fetcher, "_read", watched)
    np.testing.assert_array_equal(load(fetcher, 0, workers=2), images[0])
    assert threads == {threading.get_ident()}
    lazy = load_experiment(fetcher, fetcher.extents, dtype=np.uint16)
    (computed,) = dask.compute(lazy, scheduler="threads", num_workers=2)
    for fov in range(2):
        np.testing.assert_array_equal(computed[fov], images[fov])
    assert at_once == {1}


def test_threads_that_do_not_take_turns_read_the_right_planes(tmp_path):
    """What the plugin for OME-TIFF does today, whatever others do: it opens the file anew."""
    images = write_scenes(tmp_path / "a.ome.tif", [(2, 2, 2, 9, 7)] * 2)
    fetcher = BioImageTileFetcher(tmp_path / "a.ome.tif", reader=reader())
    keys = [(fov, *key) for key in np.ndindex(2, 2, 2) for fov in range(2)] * 3
    with ThreadPoolExecutor(2) as pool:
        planes = list(pool.map(lambda key: fetcher.get_tile(*key).tile_data(), keys))
    for (fov, *key), plane in zip(keys, planes, strict=True):
        np.testing.assert_array_equal(plane, images[fov][tuple(key)])


def test_a_czi_file(tmp_path):
    """Written by the library of the format's maker; it says nothing of scenes, so there is one."""
    czi = pytest.importorskip("pylibCZIrw.czi")
    plugin = pytest.importorskip("bioio_czi").Reader
    path = tmp_path / "a.czi"
    pixels = np.random.default_rng(0).integers(0, 65536, (3, 2, 4, 16, 24), np.uint16)
    with czi.create_czi(str(path)) as document:
        for t, c, z in np.ndindex(pixels.shape[:3]):
            plane = {"T": t, "C": c, "Z": z}
            document.write(data=pixels[t, c, z][..., np.newaxis], plane=plane, scene=0)
        document.write_metadata(
            channel_names={0: "DAPI", 1: "Cy5"}, scale_x=0.25e-6, scale_y=0.5e-6, scale_z=2e-6
        )
    fetcher = BioImageTileFetcher(path, reader=plugin)
    np.testing.assert_array_equal(load(fetcher, 0), pixels)
    tile = fetcher.get_tile(0, 2, 1, 3)
    assert tile.extras == {"channel_name": "Cy5"}
    assert tile.coordinates[Coordinates.X] == pytest.approx((0, 0.25 * 23))
    assert tile.coordinates[Coordinates.Y] == pytest.approx((0, 0.5 * 15))
    assert tile.coordinates[Coordinates.Z] == pytest.approx(6)


def test_files_that_do_not_fit_are_named(tmp_path):
    for name, planes in (("a", 2), ("b", 3)):
        synth.write(synth.Spec(1, 1, planes, (8, 8)), Layout(f"{name}.ome.tif", inner="rcz"),
                    tmp_path / name)  # fmt: skip
    paths = {0: tmp_path / "a" / "a.ome.tif", 1: tmp_path / "b" / "b.ome.tif"}
    with pytest.raises(SourceError, match=r"b\.ome\.tif holds .*as .*a\.ome\.tif has"):
        BioImageTileFetcher(paths, reader=reader())
    with pytest.raises(FileNotFoundError, match="nowhere"):
        BioImageTileFetcher(tmp_path / "nowhere.tif", reader=reader())
    fetcher = BioImageTileFetcher(paths[0], reader=reader())
    with pytest.raises(ValueError, match="there is no tile"):
        fetcher.get_tile(0, 0, 0, 2)


def test_a_missing_package_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "bioio", None)
    with pytest.raises(MissingExtraError, match=r"starfish-fetch\[bioio\]"):
        BioImageTileFetcher(tmp_path)
