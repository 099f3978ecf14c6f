"""What conversions have in common: blocks, the folder, going on after an end of any kind."""

import errno
import json
import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from fetchers import ArrayFetcher, image
from hypothesis import given
from hypothesis import strategies as st

import starfish_fetch as sf
from starfish_fetch.convert import _folder, _images
from starfish_fetch.convert._blocks import blocks_of
from starfish_fetch.convert._spacetx import spacetx_job

SHAPE = (2, 3, 2, 6, 5)


def extent_of(array, fov=0):
    r, c, z, rows, columns = array.shape
    return sf.Extent({"y": rows, "x": columns}, fov, range(r), range(c), range(z))


def convert(root, fetcher=None, array=None, **options):
    array = image(SHAPE, np.uint16) if array is None else array
    fetcher = ArrayFetcher(array) if fetcher is None else fetcher
    return sf.to_spacetx(fetcher, extent_of(array), root, **options)


def loaded(root):
    fetcher = sf.SpaceTxTileFetcher(root)
    return sf.ImageStack.from_tilefetcher(fetcher, **vars(fetcher.extent), dtype=None).to_numpy()


labels = st.lists(st.integers(0, 9), min_size=1, max_size=4, unique=True)


@given(labels, labels, labels, st.permutations("rcz"), st.integers(1, 70))
def test_blocks_keep_the_order_and_are_all_combinations(rounds, chs, zplanes, order, most):
    plan = sf.LoadPlan(rounds, chs, zplanes, group_by=order)
    blocks = list(blocks_of(plan, most))
    assert [key for block in blocks for key in block] == list(plan)
    for block in blocks:
        sizes = [len({*axis}) for axis in zip(*block, strict=True)]
        assert np.prod(sizes) == len(block) <= most


@given(st.sets(st.tuples(*[st.integers(0, 2)] * 3), min_size=1), st.integers(1, 20))
def test_blocks_of_any_tiles(keys, most):
    keys = [sf.TileKey(*key) for key in keys]
    blocks = list(blocks_of(keys, most))
    assert [key for block in blocks for key in block] == keys
    for block in blocks:
        assert np.prod([len({*axis}) for axis in zip(*block, strict=True)]) == len(block) <= most


def test_blocks_are_as_large_as_they_may_be():
    plan = sf.LoadPlan(range(4), range(3), range(5))
    assert [len(block) for block in blocks_of(plan, 100)] == [60]
    assert [len(block) for block in blocks_of(plan, 30)] == [30, 30]
    assert {len(block) for block in blocks_of(plan, 5)} == {5}


@pytest.mark.parametrize("tiles_at_a_time", [1, 4, 100])
def test_every_tile_is_asked_for_once_in_the_order_of_the_plan(
    tmp_path, monkeypatch, tiles_at_a_time
):
    monkeypatch.setattr(_images, "_BLOCK_PIXELS", tiles_at_a_time * 6 * 5)
    fetcher = ArrayFetcher(image(SHAPE, np.uint16))
    convert(tmp_path / "out", fetcher, group_by="zcr")
    plan = sf.LoadPlan(range(2), range(3), range(2), group_by="zcr")
    assert fetcher.asked("get_tile") == list(plan)
    assert fetcher.asked("tile_data") == list(plan)


class NamesItsFiles(ArrayFetcher):
    def source(self, fov, r, c, z):
        return f"z{z}"


@pytest.mark.parametrize("tiles_at_a_time", [1, 4, 100])
def test_one_source_is_finished_before_the_next(tmp_path, monkeypatch, tiles_at_a_time):
    monkeypatch.setattr(_images, "_BLOCK_PIXELS", tiles_at_a_time * 6 * 5)
    fetcher = NamesItsFiles(image(SHAPE, np.uint16))
    convert(tmp_path / "out", fetcher)
    assert [z for _, _, z in fetcher.asked("tile_data")] == [0] * 6 + [1] * 6


def test_the_folder_has_its_name_only_when_it_is_finished(tmp_path):
    class Looks(ArrayFetcher):
        def pixels_of(self, key):
            assert not (tmp_path / "out").exists()
            return super().pixels_of(key)

    done = convert(tmp_path / "out", Looks(image(SHAPE, np.uint16)))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]
    assert (done.tiles, done.tiles_there) == (12, 0)
    assert done.files == len(list((tmp_path / "out").iterdir()))
    assert json.loads(done.to_json())["bytes"] == sum(
        path.stat().st_size for path in (tmp_path / "out").iterdir()
    )


def test_a_finished_conversion_is_left_as_it_is(tmp_path):
    convert(tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    fetcher = ArrayFetcher(image(SHAPE, np.uint16))
    assert convert(tmp_path / "out", fetcher).tiles_there == 12
    assert fetcher.events == []
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}


def test_another_conversion_gives_way_only_on_request(tmp_path):
    convert(tmp_path / "out")
    with pytest.raises(FileExistsError, match=r"tile_format \('NUMPY' there, 'TIFF' here\)"):
        convert(tmp_path / "out", tile_format="TIFF")
    convert(tmp_path / "out", tile_format="TIFF", overwrite=True)
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".json", ".tiff"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_overwriting_writes_new_pixels(tmp_path):
    convert(tmp_path / "out")
    other = image(SHAPE, np.uint16) // 2
    convert(tmp_path / "out", array=other, overwrite=True)
    assert np.array_equal(loaded(tmp_path / "out"), other)


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_is_of_no_conversion_stays(tmp_path, overwrite):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "experiment.json").write_text("{}")
    with pytest.raises(FileExistsError, match="no finished spacetx conversion"):
        convert(tmp_path / "out", overwrite=overwrite)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FileExistsError, match="no finished spacetx conversion"):
        convert(tmp_path / "file", overwrite=overwrite)


@pytest.mark.parametrize("name", ["notes.txt", "folder/primary.json"])
def test_a_stranger_among_the_files_keeps_them_from_being_replaced(tmp_path, name):
    convert(tmp_path / "out")
    stranger = tmp_path / "out" / name
    stranger.parent.mkdir(exist_ok=True)
    stranger.write_text("mine")
    with pytest.raises(FileExistsError, match="of no conversion"):
        convert(tmp_path / "out", tile_format="TIFF", overwrite=True)
    assert stranger.read_text() == "mine"
    assert np.array_equal(loaded(tmp_path / "out"), image(SHAPE, np.uint16))


def test_a_folder_that_only_looks_unfinished_stays(tmp_path):
    (tmp_path / ".out.partial").mkdir()
    (tmp_path / ".out.partial" / "mine").write_text("mine")
    with pytest.raises(FileExistsError, match="move it away"):
        convert(tmp_path / "out")
    assert (tmp_path / ".out.partial" / "mine").read_text() == "mine"


def test_an_empty_folder_is_written_into(tmp_path):
    (tmp_path / "out").mkdir()
    convert(tmp_path / "out")
    assert np.array_equal(loaded(tmp_path / "out"), image(SHAPE, np.uint16))


class FailsAt(ArrayFetcher):
    def __init__(self, array, key, error):
        super().__init__(array)
        self.key, self.error = key, error

    def pixels_of(self, key):
        if key == self.key:
            raise self.error
        return super().pixels_of(key)


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(_images, "_BLOCK_PIXELS", 2 * 6 * 5)


@pytest.mark.usefixtures("small_blocks")
def test_a_failed_conversion_goes_on_where_it_stopped(tmp_path):
    array = image(SHAPE, np.uint16)
    with pytest.raises(OSError, match="gone") as caught:
        convert(tmp_path / "out", FailsAt(array, (1, 1, 0), OSError("gone")))
    assert "tile (fov=0, round=1, ch=1, zplane=0)" in caught.value.__notes__
    assert "the same call writes the rest" in caught.value.__notes__[-1]
    assert not (tmp_path / "out").exists()
    fetcher = ArrayFetcher(array)
    done = convert(tmp_path / "out", fetcher)
    # The first tile again, to see that the pixels are the same.
    assert fetcher.asked() == [(0, 0, 0), (1, 1, 0), (1, 1, 1), (1, 2, 0), (1, 2, 1)]
    assert done.tiles_there == 8
    assert np.array_equal(loaded(tmp_path / "out"), array)


@pytest.mark.usefixtures("small_blocks")
def test_other_pixels_are_not_mixed_in(tmp_path):
    array = image(SHAPE, np.uint16)
    with pytest.raises(OSError, match="gone"):
        convert(tmp_path / "out", FailsAt(array, (1, 1, 0), OSError("gone")))
    with pytest.raises(FileExistsError, match="unfinished conversion of other pixels"):
        convert(tmp_path / "out", array=array // 2)


@pytest.mark.usefixtures("small_blocks")
def test_another_request_does_not_go_on(tmp_path):
    array = image(SHAPE, np.uint16)
    with pytest.raises(OSError, match="gone"):
        convert(tmp_path / "out", FailsAt(array, (1, 1, 0), OSError("gone")))
    with pytest.raises(FileExistsError, match="an unfinished conversion, which differs in tile_f"):
        convert(tmp_path / "out", tile_format="TIFF")
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("small_blocks")
def test_a_file_that_a_crash_cut_is_written_again(tmp_path):
    array = image(SHAPE, np.uint16)
    with pytest.raises(OSError, match="gone"):
        convert(tmp_path / "out", FailsAt(array, (1, 1, 0), OSError("gone")))
    [file] = (tmp_path / ".out.partial").glob("*-c1-r0-z1.npy")
    file.write_bytes(file.read_bytes()[:-7])
    convert(tmp_path / "out", array=array)
    assert np.array_equal(loaded(tmp_path / "out"), array)


def test_a_journal_that_is_none_is_told(tmp_path):
    (tmp_path / ".out.partial").mkdir()
    (tmp_path / ".out.partial" / "conversion.jsonl").write_text('{"request": {}}\n[1, 2]\n')
    with pytest.raises(ValueError, match=r"conversion\.jsonl is no journal of a conversion"):
        convert(tmp_path / "out")


KILLED = """
    import os, signal, sys
    sys.path.insert(0, {tests!r})
    import numpy as np
    from fetchers import ArrayFetcher, image
    from test_convert import extent_of, SHAPE
    import starfish_fetch as sf
    from starfish_fetch.convert import _folder, _images
    _images._BLOCK_PIXELS = 2 * 6 * 5
    left = [{after}]
    def count(function):
        def counted(*args, **options):
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1
            return function(*args, **options)
        return counted
    {patched} = count({patched})
    array = image(SHAPE, np.uint16)
    sf.to_spacetx(ArrayFetcher(array), extent_of(array), {root!r}, {options})
"""


def killed(root, patched, after, options=""):
    script = textwrap.dedent(KILLED).format(
        tests=os.path.dirname(__file__),
        root=str(root),
        patched=patched,
        after=after,
        options=options,
    )
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)


@pytest.mark.parametrize(
    ("patched", "after"),
    [
        ("ArrayFetcher.pixels_of", 7),
        ("_folder.Folder.note", 0),
        ("_folder.Folder.note", 5),
        ("_folder.Folder.finish", 0),
        ("os.replace", 0),
        ("_folder.Folder._tidy", 1),
    ],
)
def test_a_killed_conversion_goes_on(tmp_path, patched, after):
    ended = killed(tmp_path / "out", patched, after)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    array = image(SHAPE, np.uint16)
    convert(tmp_path / "out", array=array)
    assert np.array_equal(loaded(tmp_path / "out"), array)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]
    assert not (tmp_path / "out" / "conversion.jsonl").exists()


@pytest.mark.parametrize(("patched", "after"), [("os.replace", 0), ("os.replace", 1)])
def test_a_kill_while_replacing_loses_nothing(tmp_path, patched, after):
    convert(tmp_path / "out", tile_format="TIFF")
    ended = killed(tmp_path / "out", patched, after, "overwrite=True")
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    convert(tmp_path / "out", overwrite=True)
    assert np.array_equal(loaded(tmp_path / "out"), image(SHAPE, np.uint16))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_a_full_disk_is_told_and_what_is_finished_kept(tmp_path, monkeypatch):
    from pathlib import Path

    write, left = Path.write_bytes, [5]

    def fills_up(self, data):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))
        return write(self, data)

    array = image(SHAPE, np.uint16)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", fills_up)
        with pytest.raises(OSError, match="No space left") as caught:
            convert(tmp_path / "out", array=array)
    assert "once there is room" in caught.value.__notes__[-1]
    done = convert(tmp_path / "out", array=array)
    assert 0 <= done.tiles_there < 12
    assert np.array_equal(loaded(tmp_path / "out"), array)


def test_a_journal_on_a_full_disk_is_cut_at_its_last_whole_line(tmp_path):
    job = spacetx_job(
        ArrayFetcher(image(SHAPE, np.uint16)), extent_of(image(SHAPE)), tmp_path / "o"
    )
    note = _folder.Note("0" * 64, {}, {}, {})
    with job.folder as folder:
        folder.note(_folder.TileName("primary", 0, sf.TileKey(0, 0, 0)), note)
        folder._journal.write(b'[["primary", 0')
    with job.folder as folder:
        assert len(folder.notes) == 1
        folder.note(_folder.TileName("primary", 0, sf.TileKey(0, 0, 1)), note)
    job.folder.notes.clear()
    with job.folder as folder:
        assert len(folder.notes) == 2


def test_a_folder_that_cannot_be_written_is_told(tmp_path, monkeypatch):
    from pathlib import Path

    def refuse(self, *args, **options):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(OSError, match="Read-only file system") as caught:
        convert(tmp_path / "out")
    assert "while converting to" in caught.value.__notes__[-1]


def test_a_folder_has_one_writer(tmp_path):
    class Nested(ArrayFetcher):
        def pixels_of(self, key):
            with pytest.raises(BlockingIOError, match="another conversion is writing"):
                convert(tmp_path / "out")
            return super().pixels_of(key)

    convert(tmp_path / "out", Nested(image(SHAPE, np.uint16)))
    assert np.array_equal(loaded(tmp_path / "out"), image(SHAPE, np.uint16))


class Misaligned(ArrayFetcher):
    def coordinates_of(self, key):
        found = super().coordinates_of(key)
        return {**found, sf.Coordinates.X: (0.1, 1.8)} if key == (1, 2, 1) else found


@pytest.mark.parametrize("tiles_at_a_time", [1, 2, 100])
def test_tiles_of_all_blocks_lie_in_one_place(tmp_path, monkeypatch, tiles_at_a_time):
    monkeypatch.setattr(_images, "_BLOCK_PIXELS", tiles_at_a_time * 6 * 5)
    with pytest.raises(ValueError, match="Tiles must be aligned") as caught:
        convert(tmp_path / "out", Misaligned(image(SHAPE, np.uint16)))
    assert "tile (round=1, ch=2, zplane=1) against" in caught.value.__notes__[0]


@pytest.mark.usefixtures("small_blocks")
def test_tiles_of_an_earlier_call_lie_there_too(tmp_path):
    class Elsewhere(ArrayFetcher):
        def coordinates_of(self, key):
            return {**super().coordinates_of(key), sf.Coordinates.X: (0.1, 1.8)}

    array = image(SHAPE, np.uint16)
    with pytest.raises(OSError, match="gone"):
        convert(tmp_path / "out", FailsAt(array, (1, 1, 0), OSError("gone")))
    with pytest.raises(ValueError, match="Tiles must be aligned"):
        convert(tmp_path / "out", Elsewhere(array))


@pytest.mark.filterwarnings("ignore:Not all tiles have the same precision")
@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("other", [np.uint8, np.int16, np.float32])
def test_tiles_of_another_dtype_are_refused(tmp_path, other):
    class Mixed(ArrayFetcher):
        def pixels_of(self, key):
            pixels = super().pixels_of(key)
            return np.zeros_like(pixels, other) if key == (1, 2, 1) else pixels

    with pytest.raises(TypeError, match="C4"):
        convert(tmp_path / "out", Mixed(image(SHAPE, np.uint16)))


def test_the_byte_order_of_a_file_is_no_dtype_of_its_own(tmp_path):
    class Mixed(ArrayFetcher):
        def pixels_of(self, key):
            pixels = super().pixels_of(key)
            return pixels.astype(">u2") if sum(key) % 2 else pixels

    array = image(SHAPE, np.uint16)
    convert(tmp_path / "out", Mixed(array))
    assert np.array_equal(loaded(tmp_path / "out"), array)


def test_extras_that_are_no_json_are_told(tmp_path):
    class Odd(ArrayFetcher):
        def extras_of(self, key):
            return {"camera": {1, 2}}

    with pytest.raises(TypeError, match="extras cannot be written as JSON") as caught:
        convert(tmp_path / "out", Odd(image(SHAPE, np.uint16)))
    assert "tile (fov=0, round=0, ch=0, zplane=0)" in caught.value.__notes__[0]


def test_fields_of_view_are_named_once(tmp_path):
    extent = extent_of(image(SHAPE))
    for extents in ([], [extent, extent]):
        with pytest.raises(ValueError, match="different fields of view"):
            sf.to_spacetx(ArrayFetcher(image(SHAPE)), extents, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
