"""Images that bioio opens, against what synth says of them."""

import sys

import numpy as np
import pytest

import synth
from starfish_fetch import (
    BioImageTileFetcher,
    Coordinates,
    ImageStack,
    Layout,
    MissingExtraError,
    SourceError,
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
