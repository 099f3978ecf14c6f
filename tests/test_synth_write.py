"""Files appear whole or not at all; an interrupted write resumes; the same call, the same bytes."""

import _thread
import errno
import hashlib
import importlib
import itertools
import json
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import tifffile

from starfish_fetch.axes import TileKey
from starfish_fetch.errors import MissingExtraError
from starfish_fetch.layout import Layout
from synth import Dataset, Spec, write
from synth.spec import DTYPES

tiffs = importlib.import_module("synth._tiffs")
write_module = importlib.import_module("synth.write")

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
        assert file.series[0].get_axes(squeeze=False)[:3] == "TCZ"
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
    assert said == {
        path: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        for path, data in written.items()
        if path != "dataset.json"
    }


def test_a_complete_dataset_is_returned_as_it_is(tmp_path, written, monkeypatch):
    first = write(SPEC, per_round(), tmp_path)
    (tmp_path / "fov_0" / "r01.tiff").write_bytes(b"changed since")
    monkeypatch.setattr(write_module, "write_tiff", None)
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


CRASH = """
import os, sys
from test_synth_write import SPEC, per_round
from synth import write
root, number, when = sys.argv[1], int(sys.argv[2]), sys.argv[3]
replace = os.replace
def crash(*args):
    global number
    number -= 1
    if number < 0 and when == "before":
        os._exit(9)
    replace(*args)
    if number < 0:
        os._exit(9)
os.replace = crash
write(SPEC, per_round(), root, workers=1)
"""


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("number", range(FILES + 2))
def test_a_write_that_crashed_anywhere_is_resumed(tmp_path, written, number, when, monkeypatch):
    # The journal, each of the files, and dataset.json get their names by one os.replace each.
    code = [sys.executable, "-c", CRASH, str(tmp_path), str(number), when]
    paths = os.pathsep.join([os.path.dirname(__file__), *sys.path])
    child = subprocess.run(code, env={**os.environ, "PYTHONPATH": paths}, check=False)
    assert child.returncode == 9
    left = contents(tmp_path)
    whole = {path for path in left if path in written}
    assert all(left[path] == written[path] for path in whole)
    images = number + (when == "after") - 1
    assert len(whole) == max(0, images)
    calls = []
    real = write_module.write_tiff
    monkeypatch.setattr(write_module, "write_tiff", lambda *args: (calls.append(1), real(*args)))
    write(SPEC, per_round(), tmp_path)
    assert contents(tmp_path) == written
    assert len(calls) == FILES - min(FILES, max(0, images))


def test_a_journal_with_a_torn_last_line_is_resumed(tmp_path, written, monkeypatch):
    break_after(monkeypatch, planes=8, error=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        write(SPEC, per_round(), tmp_path, workers=1)
    monkeypatch.undo()
    journal = tmp_path / "dataset.json.partial"
    assert len(journal.read_text().splitlines()) == 2
    with journal.open("a") as file:
        file.write('["fov_0/r04.tiff", {"sha25')
    write(SPEC, per_round(), tmp_path)
    assert contents(tmp_path) == written


def test_a_journaled_file_of_another_size_is_written_again(tmp_path, written, monkeypatch):
    break_after(monkeypatch, planes=8, error=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        write(SPEC, per_round(), tmp_path, workers=1)
    monkeypatch.undo()
    (tmp_path / "fov_0" / "r01.tiff").write_bytes(b"")
    write(SPEC, per_round(), tmp_path)
    assert contents(tmp_path) == written


def break_after(monkeypatch, planes, error):
    """Let the making of a plane fail once so many have been made."""
    real, lock, made = tiffs.tile, threading.Lock(), itertools.count()

    def tile(*args):
        with lock:
            if next(made) >= planes:
                if callable(error):
                    error()
                else:
                    raise error
        return real(*args)

    monkeypatch.setattr(tiffs, "tile", tile)


def assert_nothing_unfinished(root, written):
    left = contents(root)
    journal = left.pop("dataset.json.partial", b"")
    assert left == {path: data for path, data in written.items() if path in left}
    assert "dataset.json" not in left
    return left, journal


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("planes", [0, 1, 5, 6, 23])
def test_keyboard_interrupt_leaves_no_temporary_file(
    tmp_path, written, monkeypatch, planes, workers
):
    break_after(monkeypatch, planes, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        write(SPEC, per_round(), tmp_path, workers=workers)
    assert_nothing_unfinished(tmp_path, written)
    monkeypatch.undo()
    write(SPEC, per_round(), tmp_path)
    assert contents(tmp_path) == written


def test_keyboard_interrupt_of_the_main_thread_stops_the_workers(tmp_path, written, monkeypatch):
    interrupted = threading.Event()

    def interrupt():
        if not interrupted.is_set():
            interrupted.set()
            _thread.interrupt_main()

    break_after(monkeypatch, 3, interrupt)
    with pytest.raises(KeyboardInterrupt):
        write(SPEC, Layout.per_tile(), tmp_path, workers=2)
    left = contents(tmp_path)
    assert not [path for path in left if path.endswith((".tiff.partial", ".new"))]


def test_an_error_ends_the_files_that_other_workers_are_at(tmp_path, monkeypatch):
    spec = Spec(2, 1, 9, (6, 5))
    begun, told, made = threading.Event(), threading.Event(), []
    real = tiffs.tile

    class Pool(write_module.ThreadPoolExecutor):
        def shutdown(self, *args, **kwargs):
            told.set()
            super().shutdown(*args, **kwargs)

    def tile(spec, fov, r, c, z):
        if r == 0:
            assert begun.wait(20)
            raise OSError(errno.EIO, "Input/output error")
        begun.set()
        assert told.wait(20)
        made.append(z)
        return real(spec, fov, r, c, z)

    monkeypatch.setattr(tiffs, "tile", tile)
    monkeypatch.setattr(write_module, "ThreadPoolExecutor", Pool)
    with pytest.raises(OSError, match="Input/output error") as caught:
        write(spec, Layout.per_round(), tmp_path, workers=2)
    assert "while writing 'fov0_r0.tiff' (fov=0, 9 tiles)" in caught.value.__notes__
    assert made == [0]
    assert contents(tmp_path) == {}


def test_nothing_follows_a_torn_line_in_the_journal(tmp_path):
    journals = importlib.import_module("synth._journal")
    manifests = importlib.import_module("synth._manifest")
    manifest = manifests.Manifest(SPEC, per_round(), manifests.Options(), {})
    record = manifests.FileRecord("0" * 64, 1)
    with journals.Journal(tmp_path, manifest, {"first": record}) as journal:
        flush = journal._file.flush
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(journals, "_entry", lambda *entry: '["torn", {"sha')
            patch.setattr(journal, "_file", Torn(journal._file))
            with pytest.raises(OSError, match="No space"):
                journal.note("second", record)
        flush()
        with pytest.raises(OSError, match="could not be written"):
            journal.note("third", record)
    assert journals.read_journal(tmp_path).files == {"first": record}


class Torn:
    """A file that takes what it is given, and then has no room to flush it."""

    def __init__(self, file):
        self.write = file.write

    def flush(self):
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("free", [0, 100, 3000, 6000])
def test_a_full_disk_is_named_and_resumable(tmp_path, written, monkeypatch, free):
    real, room = tiffs._PlainFile.write, [free]

    def full(self, data):
        room[0] -= len(data)
        if room[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(self, data)

    monkeypatch.setattr(tiffs._PlainFile, "write", full, raising=False)
    with pytest.raises(OSError, match="No space left") as caught:
        write(SPEC, per_round(), tmp_path, workers=1)
    assert caught.value.errno == errno.ENOSPC
    notes = "\n".join(caught.value.__notes__)
    left, journal = assert_nothing_unfinished(tmp_path, written)
    next_file = next(path for path in written if path not in {*left, "dataset.json"})
    assert f"while writing {next_file!r} (fov=" in notes
    assert "the same call of synth.write writes the rest" in notes
    assert len(journal.splitlines()) == (1 + len(left) if left else 0)
    monkeypatch.undo()
    write(SPEC, per_round(), tmp_path)
    assert contents(tmp_path) == written


def test_a_disk_that_is_really_full_keeps_its_errno(tmp_path):
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    spec = Spec(1, 1, 1, (600, 600))
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            write(spec, Layout.per_tile(), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.errno == errno.EFBIG
    assert "'fov0_r0_c0_z0.tiff'" in caught.value.__notes__[0]
    assert contents(tmp_path) == {}


def test_a_journal_that_cannot_be_written_stops_the_write(tmp_path, written, monkeypatch):
    journals = importlib.import_module("synth._journal")
    real = journals._entry

    def entry(path, record):
        if path == "fov_3/r01.tiff":
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(path, record)

    monkeypatch.setattr(journals, "_entry", entry)
    with pytest.raises(OSError, match="No space left"):
        write(SPEC, per_round(), tmp_path, workers=1)
    left, _ = assert_nothing_unfinished(tmp_path, written)
    assert sorted(left) == ["fov_0/r01.tiff", "fov_0/r04.tiff"]
    monkeypatch.undo()
    write(SPEC, per_round(), tmp_path)
    assert contents(tmp_path) == written


def test_an_unwritable_dataset_json_leaves_the_journal(tmp_path, written, monkeypatch):
    real = os.replace

    def replace(source, target):
        if str(target).endswith("dataset.json"):
            raise PermissionError(errno.EACCES, "Permission denied", str(target))
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(PermissionError, match=r"dataset\.json"):
        write(SPEC, per_round(), tmp_path)
    left, _ = assert_nothing_unfinished(tmp_path, written)
    assert len(left) == FILES
    monkeypatch.undo()
    write(SPEC, per_round(), tmp_path)
    assert contents(tmp_path) == written


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "fov_0").write_bytes(b"a file where a folder should be")
    with pytest.raises(OSError, match="fov_0") as caught:
        write(SPEC, per_round(), tmp_path, workers=1)
    assert "while writing 'fov_0/r01.tiff' (fov=0, 6 tiles)" in caught.value.__notes__
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
    assert write_module._workers(None) == 3
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(64)))
    assert write_module._workers(None) == 4
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert write_module._workers(None) == 1


def test_a_string_is_a_path_and_the_folder_need_not_exist(tmp_path):
    dataset = write(Spec(1, 1, 1, (4, 4)), Layout.per_tile(), str(tmp_path / "a" / "b"))
    assert dataset.root == tmp_path / "a" / "b"
    assert dataset == Dataset.open(tmp_path / "a" / "b")
    assert np.array_equal(
        tifffile.imread(dataset.root / "fov0_r0_c0_z0.tiff"), dataset.tile(0, 0, 0)
    )
    assert TileKey(0, 0, 0) in next(dataset.layout.files(dataset.extent()))[2]
