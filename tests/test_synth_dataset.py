"""A dataset is opened for what it says of itself, and verified for what it holds."""

import errno
import importlib
import json
import os
import sys

import numpy as np
import pytest
import tifffile

from starfish_fetch.axes import TileKey
from starfish_fetch.layout import Layout
from synth import Dataset, FileRecord, Options, Problem, Spec, Verification, write
from synth.pixels import tile

SPEC = Spec([1, 4], [0, 2], [-1, 5], (24, 16), fovs=[0, 3], content="index")
LAYOUT = Layout("fov{fov}/r{r}_c{c}.tiff", inner="z")
PATH, KEYS = "fov3/r4_c2.tiff", (TileKey(4, 2, -1), TileKey(4, 2, 5))


@pytest.fixture
def dataset(tmp_path):
    return write(SPEC, LAYOUT, tmp_path, workers=1)


def rewritten(dataset, pixels, path=PATH, **options):
    """Put other pixels into a file."""
    tifffile.imwrite(dataset.root / path, pixels, photometric="minisblack", **options)


def right_pixels(dataset):
    return np.stack([dataset.tile(*key, fov=3) for key in KEYS])


def only_about(dataset, path=PATH, fov=3):
    """What verify says of the one file it has anything to say about: (tile, message) pairs."""
    verification = dataset.verify()
    assert not verification.ok
    assert (verification.files, verification.tiles) == (8, 16)
    assert {(problem.path, problem.fov) for problem in verification.problems} == {(path, fov)}
    return [(problem.tile, problem.message) for problem in verification.problems]


def test_open_gives_what_was_written(dataset):
    again = Dataset.open(str(dataset.root))
    assert again == dataset
    assert (again.spec, again.layout, again.root) == (SPEC, LAYOUT, dataset.root)
    assert again.options == Options(compression=None, bigtiff=False, byteorder="<", ome=True)
    assert list(again.files) == [path for path, _, _ in LAYOUT.files(SPEC.extent(0), [0, 3])]
    assert again.files[PATH] == dataset.files[PATH]
    assert again.files[PATH].bytes == (dataset.root / PATH).stat().st_size
    assert again != 3
    assert repr(dataset) == f"<synth.Dataset {str(dataset.root)!r}: 8 files>"


def test_files_cannot_be_changed_through_the_dataset(dataset):
    with pytest.raises(TypeError):
        dataset.files[PATH] = FileRecord("", 0)


def test_the_oracle_is_that_of_the_spec(dataset):
    assert np.array_equal(dataset.tile(4, 2, -1, fov=3), tile(SPEC, 3, 4, 2, -1))
    assert np.array_equal(dataset.tile(round=1, ch=0, zplane=5), tile(SPEC, 0, 1, 0, 5))
    with pytest.raises(ValueError, match="there is no round 0; the image has 1, 4"):
        dataset.tile(0, 0, 5)
    with pytest.raises(ValueError, match="there is no fov 1; the image has 0, 3"):
        dataset.tile(1, 0, 5, fov=1)


def test_extent_is_that_of_a_field_of_view(dataset):
    assert dataset.extent() == SPEC.extent(0)
    assert dataset.extent(3).fov == 3
    with pytest.raises(ValueError, match="there is no fov 2"):
        dataset.extent(2)


def test_the_fetcher_returns_the_pixels_and_the_coordinates(dataset):
    pytest.importorskip("starfish_fetch.tiff")
    fetcher = dataset.fetcher()
    for fov in SPEC.fovs:
        for _, _, keys in LAYOUT.files(SPEC.extent(fov), [fov]):
            for key in keys:
                fetched = fetcher.get_tile(fov, *key)
                assert fetched.shape == {"y": 24, "x": 16}
                assert dict(fetched.coordinates) == SPEC.coordinates(fov, key.zplane)
                assert fetched.tile_data().dtype == np.uint16
                assert np.array_equal(fetched.tile_data(), dataset.tile(*key, fov=fov))


def test_a_folder_without_a_dataset_says_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"run synth\.write.*dataset\.json") as caught:
        Dataset.open(tmp_path)
    assert caught.value.filename == str(tmp_path / "dataset.json")
    with pytest.raises(FileNotFoundError, match=r"dataset\.json"):
        Dataset.open(tmp_path / "nowhere")


def test_an_unfinished_write_says_what_to_do(tmp_path):
    (tmp_path / "dataset.json.partial").write_text("{}")
    with pytest.raises(FileNotFoundError, match="not finished: make the same call of synth"):
        Dataset.open(tmp_path)


def test_a_description_that_cannot_be_read_is_named(dataset, monkeypatch):
    def fails(descriptor):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", fails)
        with pytest.raises(OSError, match="Input/output") as caught:
            Dataset.open(dataset.root)
    assert caught.value.filename == str(dataset.root / "dataset.json")


DIGEST = {"sha256": "0" * 64, "bytes": 3}


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        (["format"], "other", "the field 'format' is not"),
        (["format"], None, "the field 'format' is not"),
        (["version"], 4, "'version' is 4, and this installation reads up to 3: upgrade"),
        (["version"], 0, "the field 'version' is 0"),
        (["version"], "1", "the field 'version' is '1'"),
        (["version"], True, "the field 'version' is True"),
        (["spec"], 3, "the field 'spec': a spec has the fields"),
        (["spec", "rounds"], 3, "the field 'spec': the field 'rounds' of a spec is a list"),
        (["spec", "dtype"], "u99", "the field 'spec': not a spec: unknown dtype 'u99'"),
        (["layout"], [], "the field 'layout': it must give template and inner"),
        (["layout", "inner"], "z", "the field 'layout': template is a string and inner a list"),
        (["layout", "inner"], [], "the field 'layout': .* leaves out 'z'"),
        (["layout", "inner"], [["z"]], "the field 'layout': inner must name"),
        (["layout", "template"], "../{fov}{r}{c}", r"the field 'layout': .*no '\.\.'"),
        (["options"], {}, "the field 'options': it must give compression"),
        (["options", "byteorder"], "!", "the field 'options': unknown byteorder"),
        (["options", "compression"], [], "the field 'options': "),
        (["options", "ome"], 1, "the field 'options': ome must be True or False"),
        (["files"], [], r"the field 'files' must map paths to digests; got \[\]"),
        (["files"], {}, "the field 'files' lacks 'fov"),
        (["files", "other.tiff"], DIGEST, "the field 'files' names 'other.tiff', against what"),
        (["files", "../x.tiff"], DIGEST, r"the field 'files': '\.\./x\.tiff' leads outside"),
        (["files", "/x.tiff"], DIGEST, "the field 'files': '/x.tiff' leads outside"),
        (["files", "..\\x.tiff"], DIGEST, "takes for the end of"),
        (["files", ""], DIGEST, "outside of its folder"),
        (["files", PATH], {}, "it must give sha256 and bytes"),
        (["files", PATH], {**DIGEST, "sha256": "f"}, "'f', no digest"),
        (["files", PATH], {**DIGEST, "sha256": 3}, "is 3, no digest"),
        (["files", PATH], {**DIGEST, "sha256": "G" * 64}, "no digest"),
        (["files", PATH], {**DIGEST, "bytes": -1}, "'bytes' of .* is -1, no number"),
        (["files", PATH], {**DIGEST, "bytes": 1.0}, "'bytes' of .* is 1.0, no number"),
    ],
)
def test_a_wrong_field_is_named_with_its_file(dataset, where, value, message):
    path = dataset.root / "dataset.json"
    fields = json.loads(path.read_text())
    *outer, last = where
    place = fields
    for name in outer:
        place = place[name]
    place[last] = value
    path.write_text(json.dumps(fields))
    with pytest.raises(ValueError, match=message) as caught:
        Dataset.open(dataset.root)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["spec", "layout", "options", "files", "version", "format"])
def test_a_missing_field_is_named(dataset, name):
    path = dataset.root / "dataset.json"
    fields = json.loads(path.read_text())
    del fields[name]
    path.write_text(json.dumps(fields))
    with pytest.raises(ValueError, match=f"'{name}'"):
        Dataset.open(dataset.root)


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe\x00", b"\x80", b"[]", b"3"])
def test_what_is_no_dataset_json_is_named(tmp_path, data):
    (tmp_path / "dataset.json").write_bytes(data)
    with pytest.raises(ValueError, match=r"dataset\.json"):
        Dataset.open(tmp_path)


def test_an_intact_dataset_verifies(dataset):
    verification = dataset.verify()
    assert verification.ok
    assert verification == Verification(files=8, tiles=16, problems=())
    assert str(verification) == "8 files, 16 tiles, 0 problems"


def test_verify_does_not_use_our_reader(dataset, monkeypatch):
    monkeypatch.setitem(sys.modules, "starfish_fetch.tiff", None)
    assert dataset.verify().ok
    with pytest.raises(ImportError):
        dataset.fetcher()


def test_a_missing_file_is_found(dataset):
    (dataset.root / PATH).unlink()
    assert only_about(dataset) == [
        (None, "is missing; the same call of synth.write writes it again")
    ]


def test_a_file_that_is_a_folder_is_found(dataset):
    (dataset.root / PATH).unlink()
    (dataset.root / PATH).mkdir()
    [(key, message)] = only_about(dataset)
    assert key is None
    assert message.startswith("cannot be read: ")


def test_every_truncation_is_found(dataset):
    path = dataset.root / PATH
    whole = path.read_bytes()
    for length in (0, 3, 8, 100, len(whole) // 2, len(whole) - 800, len(whole) - 1):
        path.write_bytes(whole[:length])
        (key, message), *others = only_about(dataset)
        assert key is None
        assert message == f"is truncated: it has {length} bytes, {len(whole)} were written"
        if length <= len(whole) // 2:
            assert others


def test_added_bytes_are_found(dataset):
    path = dataset.root / PATH
    size = path.stat().st_size
    with path.open("ab") as file:
        file.write(b"x")
    assert only_about(dataset) == [(None, f"has {size + 1} bytes, {size} were written")]


def test_a_changed_pixel_is_found_and_placed(dataset):
    pixels = right_pixels(dataset)
    pixels[1, 20, 3] += 1
    rewritten(dataset, pixels)
    _, (key, message) = only_about(dataset)
    before, after = int(pixels[1, 20, 3]) - 1, int(pixels[1, 20, 3])
    assert key == KEYS[1]
    assert message.startswith(
        f"1 of 384 pixels differ, the first at row 20, column 3: {after} instead of {before}"
    )


def test_a_change_that_is_not_of_a_pixel_is_found(dataset):
    path = dataset.root / PATH
    data = path.read_bytes()
    assert data.count(b"starfish_fetch synth\0") == 1
    path.write_bytes(data.replace(b"starfish_fetch synth\0", b"starfish_fetch SYNTH\0"))
    [(key, message)] = only_about(dataset)
    assert key is None
    assert message.startswith("was changed around its pixels: its sha256 is ")
    assert dataset.files[PATH].sha256 in message


def test_a_forged_digest_does_not_hide_changed_pixels(dataset):
    pixels = right_pixels(dataset)
    pixels[0] = 7
    rewritten(dataset, pixels)
    tiffs = importlib.import_module("synth._tiffs")
    description = dataset.root / "dataset.json"
    fields = json.loads(description.read_text())
    fields["files"][PATH] = tiffs.digest(dataset.root / PATH).to_json()
    description.write_text(json.dumps(fields))
    [(key, message)] = only_about(Dataset.open(dataset.root))
    assert key == KEYS[0]
    assert "pixels differ" in message


def test_one_file_under_the_name_of_another_is_recognised(dataset):
    other = dataset.root / "fov0" / "r1_c0.tiff"
    os.replace(other, dataset.root / PATH)
    write(SPEC, LAYOUT, dataset.root)
    by_tile = dict(only_about(dataset))
    assert set(by_tile) == {None, *KEYS}
    for key in KEYS:
        assert by_tile[key].endswith(
            f"holds the pixels of round 1, channel 0, z-plane {key.zplane} of field of view 0"
        )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda pixels: pixels[::-1], f"z-plane {KEYS[1].zplane} of field of view 3"),
        (lambda pixels: pixels[:, :, ::-1], "of field of view 3, flipped left-right"),
        (lambda pixels: pixels.byteswap(), "with the bytes of each pixel swapped"),
        (lambda pixels: pixels // 2, "rescaled to 0..32760"),
    ],
)
def test_what_was_done_to_the_pixels_is_named(dataset, change, words):
    rewritten(dataset, change(right_pixels(dataset)))
    assert words in dict(only_about(dataset))[KEYS[0]]


@pytest.mark.parametrize(
    ("change", "tile_messages", "message"),
    [
        (lambda pixels: pixels[:, :20], 2, "has the shape (20, 16), not (24, 16)"),
        (lambda pixels: pixels.astype("uint32"), 2, "has the dtype uint32, not uint16"),
        (lambda pixels: pixels.astype("int16"), 2, "has the dtype int16, not uint16"),
        (lambda pixels: pixels[:1], 0, "holds 1 pages, not 2"),
        (lambda pixels: np.concatenate([pixels, pixels]), 0, "holds 4 pages, not 2"),
    ],
)
def test_a_wrong_shape_or_dtype_is_found(dataset, change, tile_messages, message):
    rewritten(dataset, change(right_pixels(dataset)))
    found = only_about(dataset)
    assert message in [message for _, message in found]
    assert sum(key is not None for key, _ in found) == tile_messages


def test_the_other_byte_order_of_the_file_is_no_wrong_dtype(dataset):
    rewritten(dataset, right_pixels(dataset), byteorder=">")
    [(key, message)] = only_about(dataset)
    assert key is None
    assert "bytes" in message or "sha256" in message


def test_nan_is_a_difference(tmp_path):
    dataset = write(Spec(1, 1, 1, (4, 4), dtype="float32"), Layout.per_tile(), tmp_path)
    pixels = dataset.tile(0, 0, 0)
    pixels[2, 3] = np.nan
    rewritten(dataset, pixels, path="fov0_r0_c0_z0.tiff")
    assert "row 2, column 3: nan instead of" in dataset.verify().problems[-1].message


def test_a_text_file_is_no_tiff(dataset):
    (dataset.root / PATH).write_text("not a TIFF " * 1000)
    *_, (key, message) = only_about(dataset)
    assert key is None
    assert message.startswith("cannot be read as TIFF: TiffFileError")


def test_damaged_compressed_data_is_found(tmp_path):
    dataset = write(SPEC, LAYOUT, tmp_path, compression="zlib", workers=1)
    assert dataset.verify().ok
    path = dataset.root / PATH
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        at = file.pages[1].dataoffsets[0]
    data[at + 2 : at + 20] = bytes(18)
    path.write_bytes(data)
    found = only_about(dataset)
    assert [key for key, _ in found] == [None, KEYS[1]]
    assert found[1][1].startswith("cannot be read: ")


def test_problems_come_in_the_order_of_the_files_and_read_well(dataset):
    for path in reversed(dataset.files):
        (dataset.root / path).unlink()
    verification = dataset.verify()
    assert [problem.path for problem in verification.problems] == list(dataset.files)
    assert str(verification).splitlines()[:2] == [
        "8 files, 16 tiles, 8 problems",
        "fov0/r1_c0.tiff (fov=0): is missing; the same call of synth.write writes it again",
    ]
    problem = Problem("r0.tiff", TileKey(0, 1, 2), 5, "is blank")
    assert str(problem) == "r0.tiff (fov=5, r=0, c=1, z=2): is blank"
