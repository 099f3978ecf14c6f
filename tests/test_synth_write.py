"""Every way of writing is read back right; what is in the way is refused, and left alone."""

import errno
import hashlib
import importlib
import itertools
import json
import os
import shutil
import sys
import threading

import numpy as np
import pytest
import tifffile

from starfish_fetch.axes import TileKey
from starfish_fetch.errors import MissingExtraError
from starfish_fetch.layout import Layout
from synth import Dataset, FileRecord, Options, Spec, estimate, tile, write
from synth._journal import Journal
from synth._manifest import Manifest, planned_files
from synth.spec import DTYPES

tiffs = importlib.import_module("synth._tiffs")
checks = importlib.import_module("synth._checks")
files_module = importlib.import_module("synth._files")

SPEC = Spec(rounds=[4, 1], chs=[0, 2], zplanes=[-1, 0, 7], tile_shape=(6, 5), fovs=[0, 3])
FILES = 4


def per_round():
    return Layout("fov_{fov}/r{r:02d}.tiff", inner=("z", "c"))


def contents(root):
    """Every file below a folder, by its path: nothing but what is finished may be there."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    root = tmp_path_factory.mktemp("written")
    write(SPEC, per_round(), root)
    return contents(root)


def options(compression):
    return itertools.product([compression], [False, True], "<>", [True, False])


@pytest.mark.parametrize("compression", [None, "deflate", "zlib", "lzw", "zstd"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_way_of_writing_is_read_back_as_the_oracle_says(tmp_path, dtype, compression):
    spec = Spec([0, 3], [1, 2], [5, 4, 6], (6, 5), dtype=dtype)
    layout = Layout("r{r}.ome.tif", inner=("c", "z"))
    for number, (packed, bigtiff, byteorder, ome) in enumerate(options(compression)):
        dataset = write(
            spec,
            layout,
            tmp_path / str(number),
            compression=packed,
            bigtiff=bigtiff,
            byteorder=byteorder,
            ome=ome,
            workers=1,
        )
        for r in (0, 3):
            with tifffile.TiffFile(dataset.root / f"r{r}.ome.tif") as file:
                pixels = file.asarray()
                assert file.is_bigtiff == bigtiff
                assert file.byteorder == byteorder
                known_to_ome = dtype not in ("int64", "uint64", "float16")
                assert file.is_ome == (ome and known_to_ome)
                assert file.series[0].axes == "CZYX"
                tag = file.pages[0].compression.name
            expected = [[dataset.tile(r, c, z) for z in (4, 5, 6)] for c in (1, 2)]
            assert pixels.dtype == np.dtype(dtype)
            assert np.array_equal(pixels, expected)
            tags = {None: "NONE", "deflate": "ADOBE_DEFLATE", "zlib": "ADOBE_DEFLATE"}
            assert tag == tags.get(packed, str(packed).upper())


@pytest.mark.parametrize(
    "layout",
    [
        *(getattr(Layout, name)() for name in ("per_round", "per_round_ch", "per_tile")),
        Layout.single_file(),
        *(Layout("{fov}.tif", inner=inner) for inner in itertools.permutations("rcz")),
        Layout("{fov}/{z:+03d}/{c}.tif", inner="r"),
    ],
    ids=str,
)
@pytest.mark.parametrize("ome", [True, False])
def test_pages_follow_the_layout(tmp_path, layout, ome):
    dataset = write(SPEC, layout, tmp_path, ome=ome)
    seen = {}
    for fov in SPEC.fovs:
        for path, _, keys in layout.files(SPEC.extent(fov), [fov]):
            with tifffile.TiffFile(tmp_path / path) as file:
                assert len(file.pages) == len(keys)
                assert file.asarray().shape == (*layout.inner_shape(SPEC.extent(fov)), 6, 5)
                seen |= {(fov, key): file.pages[at].asarray() for at, key in enumerate(keys)}
    assert len(seen) == 24
    for (fov, key), pixels in seen.items():
        assert np.array_equal(pixels, dataset.tile(*key, fov=fov))


def test_ome_says_what_the_axes_and_where_the_planes_are(tmp_path):
    spec = Spec([5], [0, 1], [2, 3, 4], (8, 6), fovs=[1, 4], voxel_size=(2.0, 0.5, 0.25))
    write(spec, Layout.single_file(), tmp_path)
    with tifffile.TiffFile(tmp_path / "fov4.tiff") as file:
        assert 'Creator="starfish_fetch synth"' in file.ome_metadata
        pixels = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Pixels"]
        assert pixels["DimensionOrder"] == "XYZCT"
    assert [pixels[f"Size{axis}"] for axis in "TCZYX"] == [1, 2, 3, 8, 6]
    assert [pixels[f"PhysicalSize{axis}"] for axis in "ZYX"] == [2.0, 0.5, 0.25]
    assert {pixels[f"PhysicalSize{axis}Unit"] for axis in "ZYX"} == {"µm"}
    planes = [(plane["TheC"], plane["TheZ"], plane["PositionZ"]) for plane in pixels["Plane"]]
    assert planes == [(c, z, 2.0 * (z + 2)) for c in range(2) for z in range(3)]
    assert {(plane["PositionX"], plane["PositionY"]) for plane in pixels["Plane"]} == {(1.5, 0.0)}


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_the_same_call_gives_the_same_bytes(tmp_path, written, workers):
    write(SPEC, per_round(), tmp_path, workers=workers)
    assert contents(tmp_path) == written
    assert len(written) == FILES + 1


def test_digests_are_those_of_the_files(written):
    said = json.loads(written["dataset.json"])["files"]
    pixels = {path: _pixels(fov, keys) for path, fov, keys in planned_files(SPEC, per_round())}
    assert said == {
        path: {
            "sha256": hashlib.sha256(data.replace(pixels[path], b"")).hexdigest(),
            "bytes": len(data),
            "pixels_at": data.index(pixels[path]),
        }
        for path, data in written.items()
        if path != "dataset.json"
    }


def _pixels(fov, keys):
    return b"".join(tile(SPEC, fov, *key).tobytes() for key in keys)


def test_digests_of_what_does_not_hold_pixels_as_they_are_are_of_whole_files(tmp_path):
    for name, options in {"a": {"compression": "deflate"}, "b": {"tiff_tile": (16, 16)}}.items():
        dataset = write(SPEC, per_round(), tmp_path / name, **options)
        for path, record in dataset.files.items():
            data = (dataset.root / path).read_bytes()
            assert record == FileRecord(hashlib.sha256(data).hexdigest(), len(data))


def test_a_complete_dataset_is_returned_as_it_is(tmp_path, written, monkeypatch):
    first = write(SPEC, per_round(), tmp_path)
    (tmp_path / "fov_0" / "r01.tiff").write_bytes(b"changed since")
    monkeypatch.setattr(files_module, "write_tiff", None)
    monkeypatch.setattr(os, "replace", None)
    assert write(SPEC, per_round(), tmp_path) == first
    assert contents(tmp_path) == {**written, "fov_0/r01.tiff": b"changed since"}


def test_a_deleted_file_of_a_complete_dataset_is_written_again(tmp_path, written):
    write(SPEC, per_round(), tmp_path)
    (tmp_path / "fov_0" / "r01.tiff").unlink()
    os.utime(tmp_path / "fov_3" / "r01.tiff", (1, 1))
    dataset = write(SPEC, per_round(), tmp_path)
    assert contents(tmp_path) == written
    assert dataset.verify().ok
    assert (tmp_path / "fov_3" / "r01.tiff").stat().st_mtime == 1


def break_after(monkeypatch, planes, error):
    """Let the making of a plane fail once so many have been made."""
    real, lock, made = tiffs.pieces, threading.Lock(), itertools.count()

    def tile(*args):
        with lock:
            if next(made) >= planes:
                if callable(error):
                    error()
                else:
                    raise error
        return real(*args)

    monkeypatch.setattr(tiffs, "pieces", tile)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "fov_0").write_bytes(b"a file where a folder should be")
    with pytest.raises(FileExistsError, match="fov_0' is in the way"):
        write(SPEC, per_round(), tmp_path, workers=1)
    assert contents(tmp_path) == {"fov_0": b"a file where a folder should be"}


def test_a_root_that_is_a_file_is_named(tmp_path):
    (tmp_path / "root").write_bytes(b"x")
    with pytest.raises(OSError, match="root"):
        write(SPEC, per_round(), tmp_path / "root")
    assert contents(tmp_path) == {"root": b"x"}


OTHERS = [
    ((Spec(2, 1, 1, (6, 5)), per_round(), {}), "spec.rounds is (1, 4) there and (0, 1) here"),
    ((SPEC, Layout.per_round(), {}), "layout.template is 'fov_{fov}/r{r:02d}.tiff' there"),
    ((SPEC, per_round(), {"bigtiff": True}), "options.bigtiff is False there and True here"),
    ((SPEC, per_round(), {"compression": "zlib"}), "options.compression is None there"),
]


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize(("call", "message"), OTHERS)
def test_another_dataset_in_the_folder_is_refused(tmp_path, monkeypatch, finished, call, message):
    if finished:
        write(SPEC, per_round(), tmp_path)
    else:
        break_after(monkeypatch, 9, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            write(SPEC, per_round(), tmp_path, workers=1)
        monkeypatch.undo()
    before = contents(tmp_path)
    spec, layout, changes = call
    with pytest.raises(FileExistsError) as caught:
        write(spec, layout, tmp_path, **changes)
    assert message in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    assert contents(tmp_path) == before


def test_a_stranger_is_not_overwritten(tmp_path):
    (tmp_path / "fov_3").mkdir()
    (tmp_path / "fov_3" / "r04.tiff").write_bytes(b"precious")
    with pytest.raises(FileExistsError, match=r"r04\.tiff' is in the way"):
        write(SPEC, per_round(), tmp_path)
    assert contents(tmp_path) == {"fov_3/r04.tiff": b"precious"}


def test_a_strange_temporary_file_is_not_overwritten(tmp_path):
    (tmp_path / "fov0.tiff.partial").write_bytes(b"precious")
    with pytest.raises(FileExistsError, match=r"fov0\.tiff\.partial' is in the way"):
        write(SPEC, Layout.single_file(), tmp_path)
    assert contents(tmp_path) == {"fov0.tiff.partial": b"precious"}


@pytest.mark.parametrize("name", ["dataset.json", "dataset.json.partial"])
@pytest.mark.parametrize("text", ["", "{}", "nonsense", "[1]", '{"format": 3}'])
def test_a_damaged_description_is_refused(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=r"dataset\.json"):
        write(SPEC, per_round(), tmp_path)
    assert contents(tmp_path) == {name: text.encode()}


def test_two_files_in_one_place_are_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match="to one place"):
        write(SPEC, Layout("r{r}.tiff", inner=("c", "z")), tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "template", ["dataset.json", "Dataset.JSON", "dataset.json/{fov}", "dataset.json.partial"]
)
def test_a_layout_may_not_name_the_description(tmp_path, template):
    spec = Spec(1, 1, 1, (4, 4))
    with pytest.raises(ValueError, match="the dataset's own"):
        write(spec, Layout(template, inner="rcz"), tmp_path)
    assert contents(tmp_path) == {}


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"compression": "jpeg"}, ValueError, "unknown compression 'jpeg'; allowed are None, 'def"),
        ({"byteorder": "="}, ValueError, "unknown byteorder '='; allowed are '<', '>'"),
        ({"bigtiff": 1}, TypeError, "bigtiff must be True or False; got 1"),
        ({"ome": None}, TypeError, "ome must be True or False; got None"),
        ({"workers": 0}, ValueError, "workers must be an int of at least 1; got 0"),
        ({"workers": 1.5}, ValueError, "workers must be"),
    ],
)
def test_options_that_are_none_are_refused(tmp_path, changes, error, message):
    with pytest.raises(error, match=message):
        write(SPEC, per_round(), tmp_path / "new", **changes)
    assert not (tmp_path / "new").exists()


def test_files_too_large_for_a_classic_tiff_are_refused(tmp_path):
    spec = Spec(1, 1, 2, (40_000, 40_000))
    with pytest.raises(ValueError, match=r"6400000000 bytes of pixels.*bigtiff=True"):
        write(spec, Layout.single_file(), tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("compression", ["lzw", "zstd"])
def test_a_missing_codec_is_named(tmp_path, monkeypatch, compression):
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    with pytest.raises(MissingExtraError, match=r"imagecodecs: pip install .*\[codecs\]"):
        write(SPEC, per_round(), tmp_path / "new", compression=compression)
    assert not (tmp_path / "new").exists()


def test_a_missing_rich_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rich.progress", None)
    with pytest.raises(MissingExtraError, match=r"rich: pip install .*\[cli\]"):
        write(SPEC, per_round(), tmp_path / "new", progress=True)
    assert not (tmp_path / "new").exists()
    write(SPEC, per_round(), tmp_path / "new")


def test_progress_is_shown_on_stderr_at_a_terminal(tmp_path, monkeypatch, capfd):
    dataset = write(SPEC, per_round(), tmp_path / "quiet", progress=True)
    assert capfd.readouterr() == ("", "")
    monkeypatch.setenv("FORCE_COLOR", "1")
    write(SPEC, per_round(), tmp_path / "shown", progress=True)
    out, err = capfd.readouterr()
    assert not out
    assert "writing" in err
    assert "1.4/1.4 kB" in err
    assert dataset.verify(progress=True).ok
    assert "verifying" in capfd.readouterr().err


def test_one_plane_is_in_memory_at_a_time(tmp_path, monkeypatch):
    import tracemalloc

    spec = Spec(1, 1, 40, (256, 256))
    write(spec, Layout.per_round(), tmp_path / "warm")
    tracemalloc.start()
    try:
        write(spec, Layout.per_round(), tmp_path / "measured", workers=1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    plane = 256 * 256 * 2
    assert peak < 8 * plane


def test_the_default_number_of_workers_is_that_of_the_cpus_up_to_four(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(3)), raising=False)
    assert checks._workers(None) == 3
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(64)))
    assert checks._workers(None) == 4
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert checks._workers(None) == 1


def test_a_string_is_a_path_and_the_folder_need_not_exist(tmp_path):
    dataset = write(Spec(1, 1, 1, (4, 4)), Layout.per_tile(), str(tmp_path / "a" / "b"))
    assert dataset.root == tmp_path / "a" / "b"
    assert dataset == Dataset.open(tmp_path / "a" / "b")
    assert np.array_equal(
        tifffile.imread(dataset.root / "fov0_r0_c0_z0.tiff"), dataset.tile(0, 0, 0)
    )
    assert TileKey(0, 0, 0) in next(dataset.layout.files(dataset.extent()))[2]


def test_what_cannot_fit_is_not_begun(tmp_path, monkeypatch):
    module = importlib.import_module("synth.write")
    wanted = 2 * 2 * 3 * 30 * 2 * 2
    nearly = shutil.disk_usage(tmp_path)._replace(free=wanted - 1)
    monkeypatch.setattr(module, "disk_usage", lambda root: nearly)
    message = f"takes {wanted} bytes more, and {wanted - 1} are free"
    with pytest.raises(OSError, match=message) as full:
        write(SPEC, per_round(), tmp_path)
    assert full.value.errno == errno.ENOSPC
    assert contents(tmp_path) == {}
    write(SPEC, per_round(), tmp_path, compression="deflate")  # of which the size is not known
    write(SPEC, per_round(), tmp_path, overwrite=True)  # where as much is deleted first


@pytest.mark.parametrize("call", [write, estimate])
def test_a_folder_without_a_name_is_refused(tmp_path, monkeypatch, call):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="the folder to write into has an empty name"):
        call(SPEC, per_round(), "")
    assert contents(tmp_path) == {}


@pytest.mark.parametrize("call", [write, estimate])
def test_what_is_no_image_and_no_layout_is_refused(tmp_path, call):
    with pytest.raises(TypeError, match=r"layout must be a Layout, such as .*; got 'per-round'"):
        call(SPEC, "per-round", tmp_path)
    with pytest.raises(TypeError, match=r"spec must be a synth\.Spec; got 3"):
        call(3, per_round(), tmp_path)


def test_what_a_killed_write_has_left_is_no_lack_of_room(tmp_path, written, monkeypatch):
    module = importlib.import_module("synth.write")
    manifest = Manifest(SPEC, per_round(), Options(), {})
    with Journal(tmp_path, manifest, {}) as journal:
        journal.finished["nothing"] = None  # so that it stays
    left = tmp_path / "fov_0" / "r01.tiff.partial"
    left.parent.mkdir()
    left.write_bytes(bytes(500))
    usage, wanted = shutil.disk_usage(tmp_path), 2 * 2 * 3 * 30 * 2 * 2

    def disk_usage(root):
        return usage._replace(free=wanted - (500 if left.exists() else 0))

    monkeypatch.setattr(module, "disk_usage", disk_usage)
    write(SPEC, per_round(), tmp_path)
    assert contents(tmp_path) == written


def test_a_repair_that_is_killed_at_its_end_is_not_forgotten(tmp_path, monkeypatch):
    dataset = write(SPEC, per_round(), tmp_path)
    path = "fov_0/r01.tiff"
    (tmp_path / path).unlink()
    monkeypatch.setattr("synth._tiffs.SOFTWARE", "another version that writes other bytes")
    module = importlib.import_module("synth.write")
    with monkeypatch.context() as patch:
        patch.setattr(module, "write_whole", Killed.raised)
        patch.setattr(module, "_clean", Killed.raised)
        patch.setattr(Journal, "__exit__", lambda journal, *args: journal._close())
        with pytest.raises(Killed):
            write(SPEC, per_round(), tmp_path)
    again = write(SPEC, per_round(), tmp_path)
    assert again.files[path] != dataset.files[path]
    assert again.verify().ok
    assert "dataset.json.partial" not in contents(tmp_path)


class Killed(BaseException):
    @classmethod
    def raised(cls, *args):
        raise cls


def test_what_is_of_nobody_stays_when_a_repair_fails(tmp_path, monkeypatch):
    write(SPEC, per_round(), tmp_path)
    mine = tmp_path / "fov_0" / "r04.tiff.partial"
    mine.write_bytes(b"mine")
    write(SPEC, per_round(), tmp_path)  # which has nothing to do
    (tmp_path / "fov_0" / "r01.tiff").unlink()
    with pytest.raises(FileExistsError, match=r"r04\.tiff\.partial' is in the way"):
        write(SPEC, per_round(), tmp_path)
    assert mine.read_bytes() == b"mine"
