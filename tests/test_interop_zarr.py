"""OME-Zarr: valid, read back bit for bit, whole or resumed; what is damaged is told."""

import copy
import errno
import inspect
import json
import os
import pickle
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from fetchers import ArrayFetcher, image
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import starfish_fetch as sf
from starfish_fetch.convert import _images
from starfish_fetch.testing import check_fetcher

zarr = pytest.importorskip("zarr")
pytest.importorskip("ome_zarr")

DTYPES = (
    *("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"),
    *("longlong", "ulonglong", "float16", "float32", "float64"),
)
VERSIONS = ("0.5", "0.4")


class Full(ArrayFetcher):
    """With all that a tile may say."""

    def extras_of(self, key):
        return {"key": list(key)} if key[1] else {}


def extent_of(fetcher, fov=0):
    rows, columns = fetcher.array.shape[3:]
    return sf.Extent({"y": rows, "x": columns}, fov, *fetcher.labels)


def written(root, fetcher=None, **options):
    fetcher = Full(image((2, 2, 3, 6, 5))) if fetcher is None else fetcher
    sf.to_ome_zarr(fetcher, extent_of(fetcher), root, **options)
    return fetcher


def stack_of(fetcher, extent, **options):
    return sf.ImageStack.from_tilefetcher(fetcher, **vars(extent), **options)


labels = st.lists(st.integers(-(2**40), 2**40), min_size=1, max_size=2, unique=True)


@st.composite
def fetchers(draw):
    axes = [draw(labels) for _ in "rcz"]
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    elements = (
        st.floats(0, 1, width=16) if dtype.kind == "f" else npst.from_dtype(dtype, min_value=0)
    )
    if dtype.kind == "b":
        elements = st.booleans()
    shape = (*map(len, axes), draw(st.integers(1, 5)), draw(st.integers(1, 5)))
    return Full(draw(npst.arrays(dtype, shape, elements=elements)), axes)


@given(fetchers(), st.sampled_from(VERSIONS), st.integers(1, 6))
@settings(max_examples=25)
def test_what_is_written_is_read_back(fetcher, version, chunk):
    with tempfile.TemporaryDirectory() as folder:
        written(f"{folder}/out", fetcher, version=version, chunk=chunk)
        back = sf.OmeZarrTileFetcher(f"{folder}/out")
        extent = extent_of(fetcher)
        assert back.extent == extent
        before, after = (stack_of(one, extent, dtype=None) for one in (fetcher, back))
        assert after.to_numpy().dtype == before.to_numpy().dtype
        assert np.array_equal(after.to_numpy(), before.to_numpy())
        for mine, theirs in zip(
            after.physical_coordinates(), before.physical_coordinates(), strict=True
        ):
            assert np.array_equal(mine, theirs)
        for key in before.plan:
            assert back.get_tile(0, *key).extras == fetcher.get_tile(0, *key).extras


@pytest.mark.parametrize(("version", "chunk"), [("0.5", 4), ("0.4", 1024)])
def test_a_reader_of_ome_zarr_is_a_correct_fetcher(tmp_path, version, chunk):
    fetcher = written(tmp_path / "out", version=version, chunk=chunk)
    report = check_fetcher(
        lambda: sf.OmeZarrTileFetcher(tmp_path / "out"),
        extent_of(fetcher),
        lambda r, c, z: fetcher.array[r, c, z],
    )
    assert report.ok, str(report)
    assert [one for one in report.results if one.status == "warn"] == []


# As others see it.


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("levels", [1, 3])
@pytest.mark.parametrize("unit", ["micrometer", None])
def test_an_independent_validator_finds_nothing_wrong(tmp_path, version, levels, unit):
    models = pytest.importorskip("ome_zarr_models")
    written(tmp_path / "out", version=version, levels=levels, unit=unit)
    found = models.open_ome_zarr(zarr.open_group(tmp_path / "out", mode="r"))
    kind = f"ome_zarr_models.v{version.replace('.', '')}.image"
    assert type(found).__module__ == kind
    multiscale = (found.ome_attributes if version == "0.5" else found.attributes).multiscales[0]
    assert [axis.name for axis in multiscale.axes] == list("tczyx")
    assert [axis.type for axis in multiscale.axes] == ["time", "channel", *["space"] * 3]
    assert {axis.unit for axis in multiscale.axes[2:]} == {unit}
    assert len(multiscale.datasets) == levels


@pytest.mark.parametrize("version", VERSIONS)
def test_several_fields_of_view_are_a_collection(tmp_path, version):
    models = pytest.importorskip("ome_zarr_models")

    class ByFov(ArrayFetcher):
        def get_tile(self, fov, *key):
            tile = super().get_tile(fov, *key)
            tile.tile_data = lambda: self.pixels_of(key) + fov
            return tile

    fetcher = ByFov(image((2, 2, 1, 6, 5), np.uint16) // 2)
    extents = [extent_of(fetcher, fov) for fov in (3, 12)]
    done = sf.to_ome_zarr(fetcher, extents, tmp_path / "out", version=version)
    assert (done.fovs, done.tiles) == (2, 8)
    root = zarr.open_group(tmp_path / "out", mode="r")
    module = getattr(models, f"v{version.replace('.', '')}").bioformats2raw
    attributes = root.attrs.asdict()
    module.BioFormats2RawAttrs.model_validate(attributes.get("ome", attributes))
    for name in ("fov_003", "fov_012"):
        models.open_ome_zarr(root[name])
    back = sf.OmeZarrTileFetcher(tmp_path / "out")
    assert back.fovs == (3, 12)
    for fov in back.fovs:
        pixels = stack_of(back, back.extent_of(fov), dtype=None).to_numpy()
        assert np.array_equal(pixels, fetcher.array + fov)
    assert sf.to_ome_zarr(fetcher, extents, tmp_path / "out", version=version).tiles_there == 8


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("version", VERSIONS)
def test_ome_zarr_s_own_reader_shows_the_pixels(tmp_path, version):
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    fetcher = written(tmp_path / "out", version=version, levels=2, chunk=4)
    [node] = Reader(parse_url(str(tmp_path / "out")))()
    assert np.array_equal(node.data[0].compute(), fetcher.array)
    assert node.data[1].shape == (2, 2, 3, 3, 2)


def test_a_tile_is_one_file(tmp_path):
    written(tmp_path / "out", chunk=4)
    files = [path for path in (tmp_path / "out" / "0" / "c").rglob("*") if path.is_file()]
    assert len(files) == 12
    fetcher = sf.OmeZarrTileFetcher(tmp_path / "out")
    assert fetcher.source(0, 1, 0, 2) == str(tmp_path / "out" / "0" / "c" / "1" / "0" / "2" / "0/0")
    array = zarr.open_array(tmp_path / "out" / "0", mode="r")
    assert (array.chunks, array.shards) == ((1, 1, 1, 4, 4), (1, 1, 1, 8, 8))


def test_part_of_a_tile_is_read_by_chunk(tmp_path):
    fetcher = written(tmp_path / "out", version="0.4", chunk=2)
    stack = stack_of(
        sf.OmeZarrTileFetcher(tmp_path / "out"),
        extent_of(fetcher),
        dtype=None,
        crop_parameters=sf.CropParameters(y_slice=slice(1, 4), x_slice=slice(3, 5)),
    )
    # Those of other rows and columns are not touched.
    for path in (tmp_path / "out" / "0").glob("*/*/*/*/0"):
        path.unlink()
    assert np.array_equal(stack.to_numpy(), fetcher.array[..., 1:4, 3:5])


def test_levels_are_means_and_lie_where_the_pixels_do(tmp_path):
    array = image((1, 1, 1, 7, 8), np.uint8)
    written(tmp_path / "out", ArrayFetcher(array), levels=3)
    group = zarr.open_group(tmp_path / "out", mode="r")
    cut = array[0, 0, 0].astype(float)[:6].reshape(3, 2, 4, 2).mean(axis=(1, 3))
    assert np.array_equal(group["1"][0, 0, 0], np.rint(cut))
    assert group["2"].shape == (1, 1, 1, 1, 2)
    x, y = (0.1, 1.7), (0.3, 0.9)
    for level, data in enumerate(group.attrs["ome"]["multiscales"][0]["datasets"]):
        scale, translation = data["coordinateTransformations"]
        step = np.array([(y[1] - y[0]) / 6, (x[1] - x[0]) / 7])
        assert np.allclose(scale["scale"][3:], step * 2**level)
        # The first pixel has its centre amid those that it stands for.
        middle = np.array([y[0], x[0]]) + step * (2**level - 1) / 2
        assert np.allclose(translation["translation"][3:], middle)


def test_physical_coordinates_are_those_of_the_pixels(tmp_path):
    fetcher = written(tmp_path / "out")
    attributes = zarr.open_group(tmp_path / "out", mode="r").attrs["ome"]
    scale, translation = attributes["multiscales"][0]["datasets"][0]["coordinateTransformations"]
    x, y, z = stack_of(fetcher, extent_of(fetcher)).physical_coordinates()
    for axis, along in ((2, z), (3, y), (4, x)):
        count = np.arange(len(along))
        assert np.allclose(translation["translation"][axis] + scale["scale"][axis] * count, along)


@pytest.mark.parametrize("levels", [0, 4, True, 1.5])
def test_levels_that_cannot_be_are_refused(tmp_path, levels):
    with pytest.raises(ValueError, match="levels must be"):
        written(tmp_path / "out", levels=levels)
    assert list(tmp_path.iterdir()) == []


def test_versions_and_units_that_cannot_be_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"version must be '0.5' or '0.4'; got '0.3'"):
        written(tmp_path / "out", version="0.3")
    with pytest.raises(TypeError, match="unit must be a string or None"):
        written(tmp_path / "out", unit=1)


@pytest.mark.parametrize("module", ["zarr", "ome_zarr.writer"])
def test_a_missing_package_names_the_extra(tmp_path, monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    package = module.partition(".")[0]
    message = rf"needs {package}: pip install 'starfish-fetch\[zarr\]'"
    with pytest.raises(sf.MissingExtraError, match=message):
        written(tmp_path / "out")
    if module == "zarr":
        with pytest.raises(sf.MissingExtraError, match=message):
            sf.OmeZarrTileFetcher(tmp_path)
    assert list(tmp_path.iterdir()) == []


# Ended before its end.


class FailsAt(ArrayFetcher):
    key = (1, 1, 0)

    def pixels_of(self, key):
        if key == self.key:
            raise OSError("gone")
        return super().pixels_of(key)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_failed_conversion_goes_on_where_it_stopped(tmp_path, monkeypatch, version):
    monkeypatch.setattr(_images, "_BLOCK_PIXELS", 6 * 5)
    array = image((2, 2, 3, 6, 5))
    options = {"version": version, "levels": 2, "chunk": 4}
    with pytest.raises(OSError, match="gone"):
        written(tmp_path / "out", FailsAt(array), **options)
    assert not (tmp_path / "out").exists()
    fetcher = ArrayFetcher(array)
    done = sf.to_ome_zarr(fetcher, extent_of(fetcher), tmp_path / "out", **options)
    assert fetcher.asked() == [(0, 0, 0), (1, 1, 0), (1, 1, 1), (1, 1, 2)]
    assert done.tiles_there == 9
    whole = written(tmp_path / "whole", **options)
    assert np.array_equal(whole.array, array)
    ours, theirs = (
        {
            path.relative_to(tmp_path / name): path.read_bytes()
            for path in (tmp_path / name).rglob("c/**/*" if version == "0.5" else "[01]/**/*")
            if path.is_file()
        }
        for name in ("out", "whole")
    )
    assert len(ours) > 12
    assert ours == theirs


def test_blank_tiles_are_written_and_a_resumed_call_knows_it(tmp_path, monkeypatch):
    monkeypatch.setattr(_images, "_BLOCK_PIXELS", 6 * 5)
    array = np.zeros((2, 2, 3, 6, 5), np.uint16)
    with pytest.raises(OSError, match="gone"):
        written(tmp_path / "out", FailsAt(array), chunk=4)
    fetcher = ArrayFetcher(array)
    written(tmp_path / "out", fetcher, chunk=4)
    assert len(fetcher.asked()) == 4
    back = sf.OmeZarrTileFetcher(tmp_path / "out")
    assert not stack_of(back, back.extent).to_numpy().any()


def test_what_a_kill_left_half_written_does_not_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(_images, "_BLOCK_PIXELS", 6 * 5)
    array = image((2, 2, 3, 6, 5))
    with pytest.raises(OSError, match="gone"):
        written(tmp_path / "out", FailsAt(array))
    folder = tmp_path / ".out.partial" / "0" / "c" / "0" / "0" / "0" / "0"
    (folder / "0.0123456789abcdef.partial").write_bytes(b"half")
    written(tmp_path / "out", ArrayFetcher(array))
    assert not list((tmp_path / "out").rglob("*.partial"))
    written(tmp_path / "out", levels=2, overwrite=True)


def test_what_a_thread_of_an_interrupted_call_makes_meanwhile_is_taken(tmp_path, monkeypatch):
    """zarr looks whether there is a group, and then whether there is still none."""
    import zarr.storage

    real, looks = zarr.storage.LocalStore.get, []

    async def get(self, key, *args, **options):
        found = await real(self, key, *args, **options)
        if key == "zarr.json" and not looks:
            looks.append(key)
            self.root.mkdir(parents=True, exist_ok=True)
            (self.root / key).write_text('{"zarr_format": 3, "node_type": "group"}')
        return found

    monkeypatch.setattr(zarr.storage.LocalStore, "get", get)
    array = image((2, 2, 3, 6, 5))
    assert np.array_equal(written(tmp_path / "out", ArrayFetcher(array)).array, array)
    assert looks


def test_a_full_disk_is_told_and_what_is_finished_kept(tmp_path, monkeypatch):
    import zarr.storage._local as local

    write, left = local._put, [8]

    def fills_up(path, *args, **options):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return write(path, *args, **options)

    array = image((2, 2, 3, 6, 5))
    with monkeypatch.context() as patch:
        patch.setattr(local, "_put", fills_up)
        with pytest.raises(OSError, match="No space left") as caught:
            written(tmp_path / "out", ArrayFetcher(array))
    assert "once there is room" in caught.value.__notes__[-1]
    assert not (tmp_path / "out").exists()
    written(tmp_path / "out", ArrayFetcher(array))
    back = sf.OmeZarrTileFetcher(tmp_path / "out")
    assert np.array_equal(stack_of(back, back.extent, dtype=None).to_numpy(), array)


def test_only_what_is_of_a_conversion_is_replaced(tmp_path):
    written(tmp_path / "out", levels=2)
    with pytest.raises(FileExistsError, match=r"differs in levels \(2 there, 1 here\)"):
        written(tmp_path / "out")
    (tmp_path / "out" / "labels").mkdir()
    (tmp_path / "out" / "labels" / "zarr.json").write_text("{}")
    with pytest.raises(FileExistsError, match="of no conversion"):
        written(tmp_path / "out", overwrite=True)
    shutil.rmtree(tmp_path / "out" / "labels")
    written(tmp_path / "out", version="0.4", chunk=2, overwrite=True)
    written(tmp_path / "out", overwrite=True)
    group = zarr.open_group(tmp_path / "other", mode="w")
    with pytest.raises(FileExistsError, match="no finished ome-zarr conversion"):
        written(tmp_path / "other", overwrite=True)
    assert list(group.members()) == []


# Spoilt.


@pytest.fixture(params=VERSIONS)
def converted(request, tmp_path):
    written(tmp_path / "out", version=request.param, chunk=4)
    return tmp_path / "out"


def chunk_of(root, r, c, z):
    found = [*root.glob(f"0/c/{r}/{c}/{z}/0/0"), *root.glob(f"0/{r}/{c}/{z}/0/0")]
    assert len(found) == 1
    return found[0]


def test_a_chunk_that_is_not_there_is_an_error_and_no_zeros(converted):
    chunk_of(converted, 1, 0, 2).unlink()
    fetcher = sf.OmeZarrTileFetcher(converted)
    with pytest.raises(FileNotFoundError) as caught:
        fetcher.get_tile(0, 1, 0, 2).tile_data()
    lost, tile = caught.value.__notes__
    assert "a chunk of the image is not there" in lost
    assert "tile (fov=0, round=1, ch=0, zplane=2)" in tile
    assert fetcher.get_tile(0, 0, 0, 2).tile_data().any()


@pytest.mark.parametrize("where", [0.3, 0.5, 0.7])
def test_a_chunk_that_is_damaged_is_an_error(converted, where):
    path = chunk_of(converted, 1, 0, 2)
    data = bytearray(path.read_bytes())
    data[int(len(data) * where)] ^= 0x40
    path.write_bytes(data)
    with pytest.raises(sf.SourceError, match="cannot be read"):
        sf.OmeZarrTileFetcher(converted).get_tile(0, 1, 0, 2).tile_data()


@pytest.mark.parametrize("kept", [0, 0.5])
def test_a_chunk_that_was_cut_is_an_error(converted, kept):
    path = chunk_of(converted, 1, 0, 2)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(sf.SourceError):
        sf.OmeZarrTileFetcher(converted).get_tile(0, 1, 0, 2).tile_data()


def test_labels_that_are_not_there_are_refused(converted):
    fetcher = sf.OmeZarrTileFetcher(converted)
    with pytest.raises(ValueError, match=r"no tile \(fov=0, round=2, ch=0, zplane=0\)"):
        fetcher.get_tile(0, 2, 0, 0)
    with pytest.raises(ValueError, match=r"no field of view 1; it has \(0,\)"):
        fetcher.source(1, 0, 0, 0)


def test_a_fetcher_survives_pickling(converted):
    fetcher = sf.OmeZarrTileFetcher(converted)
    before = fetcher.get_tile(0, 1, 1, 1).tile_data()
    again = pickle.loads(pickle.dumps(fetcher)).get_tile(0, 1, 1, 1).tile_data()
    assert np.array_equal(before, again)


def own(name):
    return ("starfish_fetch", name)


def scale(*values):
    return [{"type": "scale", "scale": [*values]}]


DATASET = ("ome", "multiscales", 0, "datasets", 0)
HOSTILE = [
    (own("version"), [..., "1", 2, None]),
    (own("fov"), [..., "0", 1.5]),
    (own("rounds"), [..., [0], [0, 0], [0, "1"], [0, 2**64], 2]),
    (own("zplanes"), [[], [0, 1]]),
    (own("xc"), [..., [1], [0, "1"], [0, 10**400], 5]),
    (own("zc"), [..., [0], ["0", 1, 2], [[1], [2], [3]], 3]),
    (own("extras"), [..., [1], [[0, 0, 0]], {}]),
    (("ome",), [1, []]),
    (("ome", "multiscales"), [..., 1, [], [1]]),
    (("ome", "multiscales", 0, "axes"), [..., [], [{"name": "y"}], [{}], 1]),
    (("ome", "multiscales", 0, "datasets"), [..., [], [1], 1]),
    ((*DATASET, "path"), [..., 1, "", "../0", "/etc", "a/../../b", "file:///0", "s3://b/0"]),
    (
        (*DATASET, "coordinateTransformations"),
        [1, [1], [{"type": "affine"}], scale(1, 2), scale(*"12345"), scale(1, 1, 1, 1, 10**400)],
    ),
]


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    root = tmp_path_factory.mktemp("good") / "out"
    written(root)
    return root


@pytest.fixture
def spoilt(good, tmp_path):
    """A conversion of its own for each test."""
    return shutil.copytree(good, tmp_path / "out")


@pytest.mark.parametrize(
    ("path", "value"), [(path, value) for path, values in HOSTILE for value in values]
)
def test_a_wrong_field_is_named(spoilt, path, value):
    file = spoilt / "zarr.json"
    document = json.loads(file.read_text())
    fields = document["attributes"]
    for name in path[:-1]:
        fields = fields[name]
    if value is ...:
        del fields[path[-1]]
    else:
        fields[path[-1]] = value
    file.write_text(json.dumps(document))
    name = {"rounds": "(rounds|starfish_fetch)", "zplanes": "(zplanes|starfish_fetch)"}
    with pytest.raises(ValueError, match=name.get(path[-1], path[-1])) as caught:
        sf.OmeZarrTileFetcher(spoilt)
    assert str(spoilt) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("shape", [..., [2, 2, 3, 6], [2, 2, 3, 6, 2**62], [2, 2, 3, 6, "5"], [2, 2, 3, 0, 5]]),
        ("chunk_grid", [..., 1, {"configuration": {"chunk_shape": [0] * 5}}]),
        ("chunk_key_encoding", [..., 1, {}]),
    ],
)
def test_a_wrong_field_of_the_array_is_named(spoilt, name, value):
    file = spoilt / "0" / "zarr.json"
    good = json.loads(file.read_text())
    for one in value:
        document = copy.deepcopy(good)
        if one is ...:
            del document[name]
        else:
            document[name] = one
        file.write_text(json.dumps(document))
        with pytest.raises(ValueError, match=rf"{name[:5]}"):
            sf.OmeZarrTileFetcher(spoilt)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "1", '{"attributes": NaN}'])
def test_what_is_no_json_object_is_told(spoilt, text):
    (spoilt / "zarr.json").write_text(text)
    with pytest.raises(ValueError, match=r"zarr\.json"):
        sf.OmeZarrTileFetcher(spoilt)


def test_a_folder_that_is_no_image_is_told(tmp_path):
    with pytest.raises(FileNotFoundError):
        sf.OmeZarrTileFetcher(tmp_path)
    zarr.open_group(tmp_path / "group", mode="w")
    with pytest.raises(ValueError, match="neither an image nor a collection"):
        sf.OmeZarrTileFetcher(tmp_path / "group")


# By others.


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("axes", "fmt"), [("tczyx", "0.5"), ("czyx", "0.4"), ("yx", "0.5")])
def test_what_others_write_is_read(tmp_path, axes, fmt):
    from ome_zarr.format import format_from_version
    from ome_zarr.writer import write_image

    if "scale" not in inspect.signature(write_image).parameters:
        pytest.skip("this ome-zarr is not told the size of a pixel")
    shape = dict(zip("tczyx", (2, 3, 4, 9, 7), strict=True))
    array = image(tuple(shape[axis] for axis in axes))
    sizes = {"t": 1.0, "c": 1.0, "z": 0.5, "y": 0.25, "x": 0.125}
    write_image(
        array,
        str(tmp_path / "out"),
        axes=axes,
        fmt=format_from_version(fmt),
        scaler=None,
        scale_factors=[2],
        scale={axis: sizes[axis] for axis in axes},
    )
    fetcher = sf.OmeZarrTileFetcher(tmp_path / "out")
    stack = stack_of(fetcher, fetcher.extent, dtype=None)
    counts = [shape[axis] if axis in axes else 1 for axis in "tczyx"]
    assert stack.to_numpy().shape == tuple(counts)
    assert np.array_equal(stack.to_numpy().reshape(array.shape), array)
    x, y, z = stack.physical_coordinates()
    assert np.allclose(x, np.arange(7) * 0.125)
    assert np.allclose(y, np.arange(9) * 0.25)
    if "z" in axes:
        assert np.allclose(z, np.arange(4) * 0.5)
    assert Path(fetcher.source(0, 0, 0, 0)).is_dir()


@pytest.mark.parametrize("version", VERSIONS)
def test_without_our_attribute_coordinates_follow_from_scale_and_translation(tmp_path, version):
    fetcher = written(tmp_path / "out", version=version)
    group = zarr.open_group(tmp_path / "out", mode="a")
    del group.attrs["starfish_fetch"]
    back = sf.OmeZarrTileFetcher(tmp_path / "out")
    before, after = (stack_of(one, extent_of(fetcher)) for one in (fetcher, back))
    for mine, theirs in zip(
        after.physical_coordinates(), before.physical_coordinates(), strict=True
    ):
        assert np.allclose(mine, theirs)
