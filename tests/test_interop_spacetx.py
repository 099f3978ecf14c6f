"""SpaceTx format: what is written is read back, by starfish too; what is damaged is told."""

import hashlib
import json
import os
import pickle
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
import tifffile
from fetchers import ArrayFetcher, image
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import starfish_fetch as sf
from starfish_fetch.testing import check_fetcher

DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "float32", "float64")


class Full(ArrayFetcher):
    """With all that a tile may say."""

    def extras_of(self, key):
        return {"key": list(key)} if key[1] else {}


class Numbers(Full):
    """With a number for z, as most fetchers have it."""

    def coordinates_of(self, key):
        return {**super().coordinates_of(key), sf.Coordinates.Z: 0.1 * key[2]}


def extent_of(fetcher, fov=0):
    rows, columns = fetcher.array.shape[3:]
    return sf.Extent({"y": rows, "x": columns}, fov, *fetcher.labels)


def written(root, fetcher=None, **options):
    fetcher = Full(image((2, 2, 3, 6, 5))) if fetcher is None else fetcher
    sf.to_spacetx(fetcher, extent_of(fetcher), root, **options)
    return fetcher


def stack_of(fetcher, extent, **options):
    return sf.ImageStack.from_tilefetcher(fetcher, **vars(extent), **options)


labels = st.lists(st.integers(0, 2**40), min_size=1, max_size=3, unique=True)


@st.composite
def fetchers(draw):
    axes = [draw(labels) for _ in "rcz"]
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    lowest, highest = (0, 1) if dtype.kind == "f" else (0, np.iinfo(dtype).max)
    elements = st.integers(lowest, highest) if dtype.kind != "f" else st.floats(0, 1, width=32)
    shape = (*map(len, axes), draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    return Full(draw(npst.arrays(dtype, shape, elements=elements)), axes)


@given(fetchers(), st.sampled_from(["NUMPY", "TIFF"]))
@settings(max_examples=30)
def test_what_is_written_is_read_back(fetcher, tile_format):
    with tempfile.TemporaryDirectory() as folder:
        written(f"{folder}/out", fetcher, tile_format=tile_format)
        back = sf.SpaceTxTileFetcher(f"{folder}/out")
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


@pytest.mark.parametrize("tile_format", ["NUMPY", "TIFF"])
def test_a_reader_of_an_experiment_is_a_correct_fetcher(tmp_path, tile_format):
    fetcher = written(tmp_path / "out", tile_format=tile_format)
    report = check_fetcher(
        lambda: sf.SpaceTxTileFetcher(tmp_path / "out"),
        extent_of(fetcher),
        lambda r, c, z: fetcher.array[r, c, z],
    )
    assert report.ok, str(report)
    assert [one for one in report.results if one.status == "warn"] == []


def test_several_images_and_fields_of_view(tmp_path):
    class ByFov(ArrayFetcher):
        def get_tile(self, fov, *key):
            tile = super().get_tile(fov, *key)
            tile.tile_data = lambda: self.pixels_of(key) + fov
            return tile

    fetcher, nuclei = (ByFov(image((2, 2, 1, 6, 5), np.uint16) // 2 + n) for n in (0, 7))
    one = ByFov(nuclei.array[:1, :1])
    sf.to_spacetx(
        fetcher,
        [extent_of(fetcher, fov) for fov in (0, 12)],
        tmp_path / "out",
        others={"nuclei": (one, [extent_of(one, fov) for fov in (0, 12)])},
    )
    for name, made in (("primary", fetcher), ("nuclei", one)):
        back = sf.SpaceTxTileFetcher(tmp_path / "out" / "experiment.json", name)
        assert back.fov_names == {0: "fov_000", 12: "fov_012"}
        for fov in back.fovs:
            pixels = stack_of(back, back.extent_of(fov), dtype=None).to_numpy()
            assert np.array_equal(pixels, made.array + fov)
    with pytest.raises(ValueError, match=r"no image 'dots'; it has nuclei, primary"):
        sf.SpaceTxTileFetcher(tmp_path / "out", "dots")


def test_a_codebook_is_copied(tmp_path):
    codebook = tmp_path / "mine.json"
    codebook.write_text('{"version": "0.0.0", "mappings": []}')
    written(tmp_path / "out", codebook=codebook)
    assert (tmp_path / "out" / "codebook.json").read_bytes() == codebook.read_bytes()
    codebook.write_text("{")
    with pytest.raises(ValueError, match="is no codebook"):
        written(tmp_path / "other", codebook=codebook)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tile_format": "PNG"}, "tile_format must be 'NUMPY' or 'TIFF'"),
        ({"image": "nuclei"}, "wants a primary image"),
        ({"image": "../x"}, "an image is called primary, nuclei, dots"),
        ({"others": {"primary": (None, [])}}, "among the others"),
        ({"group_by": "ry"}, "group_by takes the axes"),
    ],
)
def test_what_the_format_does_not_know_is_refused(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        written(tmp_path / "out", **change)
    assert list(tmp_path.iterdir()) == []


def test_negative_labels_are_refused(tmp_path):
    fetcher = ArrayFetcher(image((1, 1, 2, 6, 5)), [[0], [0], [-1, 0]])
    with pytest.raises(ValueError, match="knows no negative labels"):
        written(tmp_path / "out", fetcher)
    with pytest.raises(ValueError, match="fov of the image 'primary' are -1"):
        sf.to_spacetx(fetcher, extent_of(fetcher, -1), tmp_path / "out")


# Beside starfish.


@pytest.fixture(scope="session")
def starfish():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = pytest.importorskip("starfish")
        from starfish.core.spacetx_format import validate_sptx

        module.validate = validate_sptx.validate
    return module


def written_by_starfish(root, fetcher, tile_format):
    from slicedimage import ImageFormat
    from starfish.experiment.builder import write_experiment_json

    root.mkdir()
    rows, columns = fetcher.array.shape[3:]
    sizes = dict(zip("rcz", fetcher.array.shape, strict=False))
    write_experiment_json(
        str(root),
        1,
        ImageFormat[tile_format],
        primary_image_dimensions=sizes,
        aux_name_to_dimensions={"nuclei": sizes},
        primary_tile_fetcher=fetcher,
        aux_tile_fetcher={"nuclei": fetcher},
        default_shape={"y": rows, "x": columns},
    )


def document(path):
    """What a document says, without what it says by chance or beside the point."""
    fields = json.loads(path.read_text())
    if "dimensions" in fields:
        fields["dimensions"] = sorted(fields["dimensions"])  # a set in starfish
        del fields["default_tile_format"]  # "TIFF" in starfish, whatever the tiles are
    return fields


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("tile_format", ["NUMPY", "TIFF"])
@pytest.mark.parametrize("kind", [Full, Numbers])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_files_are_those_that_starfish_writes(starfish, tmp_path, tile_format, kind, dtype):
    fetcher = kind(image((3, 2, 2, 9, 7), dtype))
    written_by_starfish(tmp_path / "theirs", fetcher, tile_format)
    others = {"nuclei": (fetcher, extent_of(fetcher))}
    written(tmp_path / "ours", fetcher, tile_format=tile_format, others=others)
    ours, theirs = (
        {one.name for one in (tmp_path / name).iterdir()} for name in ("ours", "theirs")
    )
    assert ours == theirs | {"conversion.json"}
    for name in theirs:
        mine, his = tmp_path / "ours" / name, tmp_path / "theirs" / name
        if name.endswith(".json"):
            assert document(mine) == document(his), name
        else:
            assert mine.read_bytes() == his.read_bytes(), name


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("tile_format", ["NUMPY", "TIFF"])
def test_starfish_opens_what_is_written(starfish, tmp_path, tile_format):
    fetcher = Full(image((2, 2, 3, 9, 7)), [[1, 4], [0, 3], [2, 5, 6]])
    written(tmp_path / "out", fetcher, tile_format=tile_format)
    path = str(tmp_path / "out" / "experiment.json")
    assert starfish.validate(path)
    stack = starfish.Experiment.from_json(path)["fov_000"].get_image("primary")
    ours = stack_of(fetcher, extent_of(fetcher))
    assert stack.xarray.identical(ours.xarray)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("tile_format", ["NUMPY", "TIFF"])
def test_what_starfish_writes_is_read(starfish, tmp_path, tile_format):
    fetcher = Full(image((2, 2, 3, 9, 7)))
    written_by_starfish(tmp_path / "theirs", fetcher, tile_format)
    back = sf.SpaceTxTileFetcher(tmp_path / "theirs", "nuclei")
    assert back.extent == extent_of(fetcher)
    stack = stack_of(back, back.extent)
    assert stack.xarray.identical(stack_of(fetcher, back.extent).xarray)
    assert back.get_tile(0, 1, 1, 0).extras == {"key": [1, 1, 0]}


# Documents by others.


def experiment(root, change=lambda documents: None):
    """Write an experiment of one tile by hand; ``change`` spoils its documents."""
    root.mkdir(exist_ok=True)
    pixels = np.arange(12, dtype=np.uint16).reshape(3, 4)
    np.save(root / "tile.npy", pixels)
    digest = hashlib.sha256((root / "tile.npy").read_bytes()).hexdigest()
    tile = {
        "coordinates": {"xc": [0, 1.5], "yc": [0, 2], "zc": 0.25},
        "indices": {"r": 0, "c": 0, "z": 0},
        "file": "tile.npy",
        "sha256": digest,
        "tile_format": "NUMPY",
        "tile_shape": {"y": 3, "x": 4},
    }
    documents = {
        "experiment": {"version": "5.0.0", "images": {"primary": "primary.json"}, "extras": {}},
        "primary": {"version": "0.1.0", "contents": {"fov_000": "fov.json"}},
        "fov": {
            "version": "0.1.0",
            "dimensions": ["x", "y", "r", "c", "z"],
            "shape": {"r": 1, "c": 1, "z": 1},
            "tiles": [tile],
        },
    }
    change(documents)
    for name, fields in documents.items():
        text = fields if isinstance(fields, str) else json.dumps(fields)
        (root / f"{name}.json").write_text(text)
    return root


def pixels_of(root, **options):
    fetcher = sf.SpaceTxTileFetcher(root, **options)
    return fetcher.get_tile(fetcher.fovs[0], 0, 0, 0).tile_data()


def in_tile(**fields):
    def change(documents):
        tile = documents["fov"]["tiles"][0]
        for name, value in fields.items():
            if value is None:
                tile.pop(name)
            else:
                tile[name] = value

    return change


def test_an_experiment_by_hand(tmp_path):
    assert pixels_of(experiment(tmp_path)).tolist() == np.arange(12).reshape(3, 4).tolist()
    tile = sf.SpaceTxTileFetcher(tmp_path).get_tile(0, 0, 0, 0)
    assert tile.coordinates == {"xc": (0, 1.5), "yc": (0, 2), "zc": 0.25}


def test_version_4_with_shapes_as_lists(tmp_path):
    def older(documents):
        documents["experiment"] = {
            "version": "4.0.0",
            "primary_images": "primary.json",
            "auxiliary_images": {"nuclei": "primary.json"},
        }
        documents["fov"]["version"] = "0.0.0"
        documents["fov"]["default_tile_shape"] = [3, 4]
        in_tile(tile_shape=None, tile_format=None, indices={"c": 0})(documents)

    experiment(tmp_path, older)
    assert pixels_of(tmp_path, image="nuclei").shape == (3, 4)


def test_a_shape_that_no_document_tells_is_read(tmp_path):
    experiment(tmp_path, in_tile(tile_shape=None))
    assert dict(sf.SpaceTxTileFetcher(tmp_path).extent.tile_shape) == {"y": 3, "x": 4}


def test_fields_of_view_without_numbers_are_counted(tmp_path):
    def rename(documents):
        documents["primary"]["contents"] = {"left": "fov.json", "a_2": "fov.json"}

    assert sf.SpaceTxTileFetcher(experiment(tmp_path, rename)).fov_names == {0: "a_2", 1: "left"}


def test_names_are_urls(tmp_path):
    experiment(tmp_path, in_tile(file="a%20tile.npy"))
    (tmp_path / "tile.npy").rename(tmp_path / "a tile.npy")
    assert pixels_of(tmp_path).shape == (3, 4)


def test_a_file_that_was_changed_is_told(tmp_path):
    experiment(tmp_path)
    data = bytearray((tmp_path / "tile.npy").read_bytes())
    data[-1] ^= 1
    (tmp_path / "tile.npy").write_bytes(data)
    with pytest.raises(
        sf.SourceError, match=r"tile\.npy has the SHA-256 .*Copy it again"
    ) as caught:
        pixels_of(tmp_path)
    note = f"tile (fov=0, round=0, ch=0, zplane=0) from {str(tmp_path / 'tile.npy')!r}"
    assert note in caught.value.__notes__
    assert pixels_of(tmp_path, verify=False).shape == (3, 4)


def test_a_file_that_is_not_there_is_told(tmp_path):
    (experiment(tmp_path) / "tile.npy").unlink()
    with pytest.raises(FileNotFoundError, match=r"tile\.npy"):
        pixels_of(tmp_path)


def test_a_tile_that_is_not_there_is_told(tmp_path):
    fetcher = sf.SpaceTxTileFetcher(experiment(tmp_path))
    with pytest.raises(ValueError, match=r"fov.json has no tile \(fov=0, round=1, ch=0, zplane=0"):
        fetcher.get_tile(0, 1, 0, 0)
    with pytest.raises(ValueError, match=r"no field of view 3; it has \(0,\)"):
        fetcher.get_tile(3, 0, 0, 0)


OUTSIDE = ["../outside.npy", "%2e%2e/outside.npy", "a/../../outside.npy", "{root}/../outside.npy",
           "file://{root}/../outside.npy"]  # fmt: skip


@pytest.mark.parametrize("path", OUTSIDE)
def test_a_path_that_leads_outside_is_followed_only_if_allowed(tmp_path, path):
    root = tmp_path / "experiment"
    experiment(root, in_tile(file=path.format(root=root)))
    (root / "tile.npy").rename(tmp_path / "outside.npy")
    with pytest.raises(ValueError, match=r"'tiles\[0\]\.file' is .*leads out of"):
        pixels_of(root)
    assert pixels_of(root, allow_outside=True).shape == (3, 4)


def test_a_link_that_leads_outside_is_followed_only_if_allowed(tmp_path):
    root = experiment(tmp_path / "experiment")
    (root / "tile.npy").rename(tmp_path / "outside.npy")
    (root / "tile.npy").symlink_to("../outside.npy")
    with pytest.raises(ValueError, match=r"is linked to .*leads out of"):
        pixels_of(root)
    assert pixels_of(root, allow_outside=True).shape == (3, 4)


def test_a_link_to_a_folder_outside_is_followed_only_if_allowed(tmp_path):
    root = experiment(tmp_path / "experiment", in_tile(file="tiles/tile.npy"))
    (tmp_path / "outside").mkdir()
    (root / "tile.npy").rename(tmp_path / "outside" / "tile.npy")
    (root / "tiles").symlink_to("../outside")
    for _ in range(2):
        with pytest.raises(ValueError, match=r"is linked to .*leads out of"):
            pixels_of(root)
    assert pixels_of(root, allow_outside=True).shape == (3, 4)


@pytest.mark.parametrize("document", ["experiment", "primary"])
def test_documents_are_not_read_outside_either(tmp_path, document):
    def change(documents):
        fields = documents[document]
        fields["images" if document == "experiment" else "contents"] = {"primary": "../a.json"}

    with pytest.raises(ValueError, match=rf"{document}\.json: .*leads out of"):
        pixels_of(experiment(tmp_path, change))


@pytest.mark.parametrize(
    "url", ["https://example.org/tile.npy", "s3://bucket/tile.npy", "//example.org/t", "C:/t.npy"]
)
def test_urls_are_refused(tmp_path, url):
    experiment(tmp_path, in_tile(file=url))
    with pytest.raises(ValueError, match=r"'tiles\[0\]\.file' is the url .*download the exp"):
        pixels_of(tmp_path, allow_outside=True)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    (experiment(tmp_path) / "tile.npy").unlink()
    os.mkfifo(tmp_path / "tile.npy")
    with pytest.raises(ValueError, match="no plain file"):
        pixels_of(tmp_path)


def put(document, *path):
    """Return a function that puts a value into a document, at a path."""

    def change(value):
        def of(documents):
            fields = documents[document]
            for name in path[:-1]:
                fields = fields[name]
            if value is ...:
                del fields[path[-1]]
            else:
                fields[path[-1]] = value

        return of

    return change


TILE = ("fov", "tiles", 0)
HOSTILE = [
    (put("experiment", "version"), "version", [..., 5, None, "6.0.0", "5", "5.0.0\n", "x"]),
    (put("experiment", "images"), "images", [..., 1, [], {"primary": 1}, {"primary": ""}]),
    (put("primary", "version"), "version", [..., "5.0.0", {}]),
    (put("primary", "contents"), "contents", [..., {}, "fov.json", {"fov_000": []}]),
    (put("fov", "tiles"), "tiles", [..., [], {}, [1], 7]),
    (put(*TILE, "indices"), "indices", [..., 1, {"r": 0}, {"c": -1}, {"c": 0.5}, {"c": True},
                                         {"c": "0"}, {"c": 2**63}]),
    (put(*TILE, "coordinates"), "coordinates", [..., 1, {}, {"xc": [0, 1]}]),
    (put(*TILE, "coordinates", "xc"), "coordinates.xc", [..., 1, [1], [0, 1, 2], [0, "1"],
                                                         [0, 10**400], [[0], [1]], [0, True]]),
    (put(*TILE, "coordinates", "zc"), "coordinates.zc", ["0", [1], [0, None], 10**400]),
    (put(*TILE, "sha256"), "sha256", [..., 1, "0" * 63, "g" * 64]),
    (put(*TILE, "file"), "file", [..., 1, "", "a\0b", "a?b", "a#b", "a\nb", "http://[", []]),
    (put(*TILE, "tile_format"), "tile_format", [1, "PNG", "numpy"]),
    (put(*TILE, "tile_shape"), "tile_shape", [1, [3], [3, 4, 5], [0, 4], [3.0, 4], {"y": 3},
                                              {"y": 3, "x": 2**62}, {"y": -1, "x": 4}]),
    (put(*TILE, "extras"), "extras", [1, "x", []]),
    (put("fov", "default_tile_shape"), "default_tile_shape", [1, {}, [2**62, 1]]),
    (put("fov", "default_tile_format"), "default_tile_format", [1, "JPEG"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "field", "value"),
    [(change, field, value) for change, field, values in HOSTILE for value in values],
)
def test_a_wrong_field_is_named(tmp_path, change, field, value):
    experiment(tmp_path, change(value))
    with pytest.raises(ValueError, match=rf"\.json: .*{field}") as caught:
        pixels_of(tmp_path)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("document", ["experiment", "primary", "fov"])
@pytest.mark.parametrize(
    "text", ["", "{", "[" * 100_000, '{"version": NaN}', "1", '{"a": 1, "a": 2}', "9" * 5000]
)
def test_what_is_no_json_object_is_told(tmp_path, document, text):
    def change(documents):
        documents[document] = text

    with pytest.raises(ValueError, match=rf"{document}\.json: "):
        pixels_of(experiment(tmp_path, change))


def test_deep_nesting_within_a_document_is_told(tmp_path):
    experiment(tmp_path)
    text = (tmp_path / "fov.json").read_text()
    deep = '"extras": ' + '{"a": ' * 100_000 + "1" + "}" * 100_000
    (tmp_path / "fov.json").write_text("{" + deep + ", " + text[1:])
    with pytest.raises(ValueError, match=r"fov\.json: it is nested too deeply"):
        pixels_of(tmp_path)


def test_a_tile_named_twice_is_told(tmp_path):
    def twice(documents):
        documents["fov"]["tiles"] *= 2

    with pytest.raises(ValueError, match=r"'tiles\[1\]\.indices' must be labels that no tile"):
        pixels_of(experiment(tmp_path, twice))


def spoilt(data, tile_format):
    def change(documents):
        in_tile(sha256=hashlib.sha256(data).hexdigest(), tile_format=tile_format)(documents)

    return change


def npy(array, **options):
    from io import BytesIO

    stream = BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


def tiff(*pages):
    from io import BytesIO

    stream = BytesIO()
    tifffile.imwrite(stream, np.stack(pages), photometric="minisblack")
    return stream.getvalue()


GOOD = npy(np.zeros((3, 4), np.uint16))
HUGE = GOOD.replace(b"(3, 4), }" + b" " * 30, b"(3, 400000000000000000000000), }" + b" " * 7)


@pytest.mark.parametrize(
    ("data", "tile_format", "message"),
    [
        (b"", "NUMPY", "is not the NUMPY of a tile"),
        (GOOD[:-1], "NUMPY", "it holds 23 bytes of pixels; 24 are expected"),
        (GOOD + b"0", "NUMPY", "it holds 25 bytes"),
        (HUGE, "NUMPY", "is not the NUMPY of a tile"),
        (GOOD, "TIFF", "is not the TIFF of a tile"),
        (npy(np.zeros((4, 3), np.uint16)), "NUMPY", r"holds the shape \(4, 3\); .* says \(3, 4\)"),
        (npy(np.zeros((3, 4, 1), np.uint16)), "NUMPY", "rows and columns"),
        (npy(np.zeros((3, 4), "c8")), "NUMPY", "it holds complex64"),
        (npy(np.zeros((3, 4), object), allow_pickle=True), "NUMPY", "is not the NUMPY"),
        (tiff(np.zeros((3, 4)), np.zeros((3, 4))), "TIFF", "it holds 2 pages"),
        (tiff(np.zeros((3, 4)))[:-5], "TIFF", "is not the TIFF of a tile"),
        (b"II*\0" + b"\xff" * 60, "TIFF", "is not the TIFF of a tile"),
        (GOOD + b"0" * (1 << 21), "NUMPY", "bytes; its tile has at most"),
    ],
)
def test_a_file_that_is_no_tile_is_told(tmp_path, data, tile_format, message):
    experiment(tmp_path, spoilt(data, tile_format))
    (tmp_path / "tile.npy").write_bytes(data)
    with pytest.raises(sf.SourceError, match=message):
        pixels_of(tmp_path)


def test_columns_first_and_big_endian_arrays_are_read(tmp_path):
    pixels = np.arange(12, dtype=">u2").reshape(3, 4)
    data = npy(np.asfortranarray(pixels))
    experiment(tmp_path, spoilt(data, "NUMPY"))
    (tmp_path / "tile.npy").write_bytes(data)
    assert np.array_equal(pixels_of(tmp_path), pixels)


def test_a_fetcher_survives_pickling(tmp_path):
    fetcher = pickle.loads(pickle.dumps(sf.SpaceTxTileFetcher(experiment(tmp_path))))
    assert fetcher.get_tile(0, 0, 0, 0).tile_data().shape == (3, 4)


def test_relative_paths_are_of_where_the_fetcher_was_made(tmp_path, monkeypatch):
    experiment(tmp_path / "experiment")
    monkeypatch.chdir(tmp_path)
    fetcher = sf.SpaceTxTileFetcher(Path("experiment"))
    monkeypatch.chdir("/")
    assert fetcher.get_tile(0, 0, 0, 0).tile_data().shape == (3, 4)
