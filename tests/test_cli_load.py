"""``starfish-fetch load``: any fetcher, loaded, saved, verified; and whatever may be wrong."""

from __future__ import annotations

import builtins
import errno
import json
import os
import textwrap

import numpy as np
import pytest
import tifffile
from test_cli import WRITE, in_process, run, said_in_one_line

from starfish_fetch import Extent, ImageStack, to_float32
from starfish_fetch.cli import _output, _run
from starfish_fetch.cli._fetchers import Labels
from starfish_fetch.cli._output import replacing
from starfish_fetch.cli._pixels import Comparison, compare
from synth import Dataset

PIXELS = 2 * 2 * 2 * 16 * 16
SIZES = ("--rounds", 2, "--chs", 2, "--zplanes", 2, "--size", 16)

FETCHERS = """
    import os, signal, sys
    import numpy as np
    import starfish_fetch as sf
    from synth import Dataset

    class Tile(sf.FetchedTile):
        shape = {"y": 16, "x": 16}
        coordinates = {"xc": (0, 1), "yc": (0, 1), "zc": 0}
        def __init__(self, act):
            self.act = act
        def tile_data(self):
            self.act()
            return np.full((16, 16), 51, np.uint8)

    class Fetcher:
        def __init__(self, act=lambda: None):
            self.act = act
        def get_tile(self, fov, r, c, z):
            return Tile(self.act if (r, c, z) == (1, 0, 1) else lambda: None)

    def raises(error):
        def act():
            raise error
        return act

    def of_data():
        return Dataset.open("data").fetcher()

    class Describes(Fetcher):
        extent = sf.Extent({"y": 16, "x": 16}, 7, [0, 1], [0], [0])

    class DescribesNonsense(Fetcher):
        extent = 3

    def with_keyerror(): return Fetcher(raises(KeyError("no such thing")))
    def with_exit(): return Fetcher(raises(SystemExit(0)))
    def with_interrupt(): return Fetcher(lambda: signal.raise_signal(signal.SIGINT))
    def with_termination(): return Fetcher(lambda: os.kill(os.getpid(), signal.SIGTERM))
    def with_import(): return Fetcher(lambda: __import__("lazy_one"))
    def with_print(): return Fetcher(lambda: print("hello"))
    def fails(): raise RuntimeError("no microscope")
    def exits(): sys.exit(0)
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", list(__import__("sys").path))


@pytest.fixture
def data(tmp_path):
    assert run(*WRITE, "--layout", "per-round", "--content", "index").exit_code == 0
    return Dataset.open(tmp_path / "data")


@pytest.fixture
def mine(tmp_path):
    (tmp_path / "mine.py").write_text(textwrap.dedent(FETCHERS))


def truth(dataset: Dataset):
    stack = np.array(
        [[[dataset.tile(r, c, z) for z in range(2)] for c in range(2)] for r in range(2)]
    )
    return stack, to_float32(stack)


def test_a_dataset(data):
    result = run("load", "data", "--verify")
    assert result.exit_code == 0, result.stderr
    lines = dict(line.split(":", 1) for line in result.stdout.splitlines())
    assert lines.pop("seconds")
    assert {name: text.strip() for name, text in lines.items()} == {
        "shape": "r: 2, c: 2, z: 2, y: 16, x: 16",
        "dtype": "float32 (8.2 kB)",
        "order": "None (one source after another)",
        "file opens": "2 (2 files)",
        "verified": f"{PIXELS:,} of {PIXELS:,} pixels are right",
    }


@pytest.mark.parametrize("dtype", ["float32", "own"])
@pytest.mark.parametrize("reference", ["data", "mine.py:of_data", "mine:of_data"])
def test_out_is_the_image(data, mine, tmp_path, dtype, reference):
    like = () if reference == "data" else ("--like", "data")
    options = ("--verify", "--dtype", dtype, "--out", "stack.npy", "--group-by", "c,z", *like)
    result = run("load", reference, *options, "--json")
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["ok"]
    assert report["shape"] == {"r": 2, "c": 2, "z": 2, "y": 16, "x": 16}
    assert report["labels"] == {"r": [0, 1], "c": [0, 1], "z": [0, 1]}
    assert report["group_by"] == ["c", "z"]
    assert (report["opens"], report["files"]) == (2, 2)
    assert (report["pixels_verified"], report["pixels_right"]) == (PIXELS, PIXELS)
    assert report["missing"] == []
    assert report["out"] == "stack.npy"
    saved = np.load("stack.npy")
    assert report["dtype"] == saved.dtype.name
    assert report["bytes"] == saved.nbytes
    np.testing.assert_array_equal(saved, truth(data)[dtype == "float32"])
    assert not list(tmp_path.glob("*partial*")) + list(tmp_path.glob(".*partial*"))


def test_less_than_everything(data):
    result = run(
        *("load", "data", "--select-rounds", 1, "--select-zplanes", "0,", "--crop-y=-9:"),
        *("--crop-x", "2:5", "--out", "stack.npy", "--verify", "--json"),
    )
    report = json.loads(result.stdout)
    assert report["labels"] == {"r": [1], "c": [0, 1], "z": [0]}
    assert report["opens"] == 1
    np.testing.assert_array_equal(np.load("stack.npy"), truth(data)[1][1:, :, :1, -9:, 2:5])


def test_another_field_of_view(tmp_path):
    run(*WRITE, "--fovs", "3-4", "--layout", "per-tile")
    assert json.loads(run("load", "data", "--json").stdout)["fov"] == 3
    report = json.loads(run("load", "data", "--fov", 4, "--verify", "--json").stdout)
    assert (report["ok"], report["fov"]) == (True, 4)
    assert "--fov: " in said_in_one_line(run("load", "data", "--fov", 5), 2)


def test_the_extent_comes_from_options_or_from_the_fetcher(mine):
    report = json.loads(run("load", "mine.py:Fetcher", *SIZES, "--fov", 2, "--json").stdout)
    assert (report["fov"], report["shape"]["z"], report["opens"]) == (2, 2, 0)
    report = json.loads(run("load", "mine.py:Describes", "--json").stdout)
    assert (report["fov"], report["shape"]["z"]) == (7, 1)
    assert json.loads(run("load", "mine.py:Describes", "--fov", 8, "--json").stdout)["fov"] == 8


def test_opens_are_those_of_data(mine, tmp_path):
    (tmp_path / "lazy_one.py").write_text("")
    report = json.loads(run("load", "mine.py:with_import", *SIZES, "--json").stdout)
    assert (report["opens"], report["files"]) == (0, 0)


def test_what_a_fetcher_prints_is_kept_out_of_the_report(mine):
    result = run("load", "mine.py:with_print", *SIZES, "--json")
    assert json.loads(result.stdout)["ok"]
    assert "hello" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["mine.py:nothing"], "mine.py has no 'nothing'"),
        (["mine.py:Fetcher"], "the extent is not known: give --rounds, --chs, --zplanes, --size"),
        (["mine.py:Fetcher", *SIZES[:6]], "the extent is not known: give --size"),
        (["mine.py:DescribesNonsense"], "the fetcher's extent is none"),
        (["mine.py:Fetcher", *SIZES, "--like", "data"], "--like gives the labels"),
        (["mine.py:Fetcher", *SIZES, "--verify"], "--verify needs to know the pixels"),
        (["data", *SIZES], "leave out --rounds"),
        (["data", "--like", "data"], "leave out --like"),
        (["data", "--select-rounds", "1,9"], "the image has no [9]; it has [0, 1]"),
        (["data", "--crop-y", "5:99"], "does not lie within the tile's 0..16"),
        (["data", "--crop-x", "5:5"], "does not lie within the tile's 0..16"),
    ],
)
def test_what_is_asked_wrongly(data, mine, arguments, words):
    assert words in said_in_one_line(run("load", *arguments), 2)


@pytest.mark.parametrize(
    ("factory", "line"),
    [
        ("with_keyerror", "KeyError: 'no such thing'; tile (fov=0, round=1, ch=0, zplane=1)"),
        ("with_exit", "the fetcher's code called sys.exit(0)"),
        ("fails", "RuntimeError: no microscope"),
        ("exits", "the fetcher's code called sys.exit(0)"),
    ],
)
def test_what_comes_out_of_a_fetcher(mine, tmp_path, factory, line):
    (tmp_path / "stack.npy").write_bytes(b"from before")
    result = run("load", f"mine.py:{factory}", *SIZES, "--out", "stack.npy")
    assert said_in_one_line(result, 1).startswith(line)
    assert sorted(path.name for path in tmp_path.glob("[!_]*")) == ["mine.py", "stack.npy"]
    assert (tmp_path / "stack.npy").read_bytes() == b"from before"


@pytest.mark.parametrize(
    ("code", "line"),
    [
        ("import no_such_module", "broken.py cannot be imported: No module named 'no_such_module'"),
        (
            "x = 1\n1 / 0",
            "broken.py cannot be imported: ZeroDivisionError: division by zero, line 2",
        ),
        ("def (:", "broken.py cannot be imported: SyntaxError: invalid syntax (broken.py, line 1)"),
        ("import sys; sys.exit(3)", "the fetcher's code called sys.exit(3)"),
    ],
)
def test_code_that_cannot_be_imported(tmp_path, code, line):
    (tmp_path / "broken.py").write_text(code)
    assert said_in_one_line(run("load", "broken.py:make"), 1).startswith(line)


def test_code_may_import_what_lies_beside_it(mine, tmp_path, monkeypatch):
    (tmp_path / "folder").mkdir()
    (tmp_path / "mine.py").rename(tmp_path / "folder" / "beside_it.py")
    (tmp_path / "folder" / "other.py").write_text("from beside_it import Fetcher")
    assert run("load", "folder/other.py:Fetcher", *SIZES).exit_code == 0


def damage_missing(path):
    path.unlink()


def damage_truncated(path):
    path.write_bytes(path.read_bytes()[:1500])  # within the pixels


def damage_truncated_header(path):
    path.write_bytes(path.read_bytes()[:5])


def damage_empty(path):
    path.write_bytes(b"")


def damage_text(path):
    path.write_text("These are no pixels.\n")


def damage_shape(path):
    tifffile.imwrite(path, np.zeros((4, 16, 15), np.uint16), photometric="minisblack")


def damage_dtype(path):
    tifffile.imwrite(path, np.zeros((4, 16, 16), np.uint8), photometric="minisblack")


def damage_count(path):
    tifffile.imwrite(path, np.zeros((3, 16, 16), np.uint16), photometric="minisblack")


def damage_folder(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (damage_missing, "No such file"),
        (damage_truncated, ""),
        (damage_truncated_header, "not a readable TIFF"),
        (damage_empty, "not a readable TIFF"),
        (damage_text, "not a readable TIFF"),
        (damage_shape, "planes of the shape (16, 15); expected (16, 16)"),
        (damage_dtype, "holds uint8; expected uint16"),
        (damage_count, "3 planes"),
        (damage_folder, "s a directory"),
    ],
)
def test_a_damaged_file(data, tmp_path, damage, words):
    damage(tmp_path / "data/fov0_r1.tiff")
    said = said_in_one_line(run("load", "data", "--out", "stack.npy"), 1)
    assert words in said
    assert "fov0_r1.tiff" in said
    assert "tile (fov=0, round=1, ch=" in said
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_damaged_file_in_a_process_of_its_own(data, tmp_path):
    damage_truncated(tmp_path / "data/fov0_r1.tiff")
    result = in_process("load", "data", "--out", "stack.npy")
    assert "fov0_r1.tiff" in said_in_one_line(result, 1)
    assert not result.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_folder_that_cannot_be_read(data, monkeypatch):
    opens = builtins.open

    def refuse(path, *arguments, **options):
        if "fov0_r1" in str(path):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return opens(path, *arguments, **options)

    monkeypatch.setattr(builtins, "open", refuse)
    said = said_in_one_line(run("load", "data"), 1)
    assert said.startswith("data/fov0_r1.tiff: Permission denied; tile (fov=0, round=1")


def test_missing_tiles_can_be_filled(data, tmp_path):
    damage_missing(tmp_path / "data/fov0_r1.tiff")
    result = run("load", "data", "--on-error", "fill", "--out", "stack.npy")
    assert result.exit_code == 0
    assert result.stderr.startswith("warning: 4 of 8 tiles could not be had")
    assert result.stderr.count("\n") == 1
    assert "missing:    4 tiles: round 1, ch 0, zplane 0; " in result.stdout
    assert not np.load("stack.npy")[1].any()
    report = json.loads(run("load", "data", "--on-error", "fill", "--json").stdout)
    assert report["missing"][0] == {"round": 1, "ch": 0, "zplane": 0}


def test_missing_tiles_are_not_verified(data, tmp_path, monkeypatch):
    damage_missing(tmp_path / "data/fov0_r1.tiff")
    assert run("load", "data", "--on-error", "fill", "--verify").exit_code == 1
    # Not even if what they are filled with is right.
    monkeypatch.setattr(_run, "_compare", lambda *load: Comparison(PIXELS, PIXELS, 0, ()))
    assert run("load", "data", "--on-error", "fill", "--verify").exit_code == 1


def test_verify_finds_wrong_pixels_and_saves_nothing(data, tmp_path):
    path = tmp_path / "data/fov0_r1.tiff"
    pixels = data.tile(1, 0, 1).tobytes()
    path.write_bytes(path.read_bytes().replace(pixels, data.tile(0, 1, 0).tobytes()))
    result = run("load", "data", "--verify", "--out", "stack.npy")
    assert result.exit_code == 1
    (wrong,) = [line for line in result.stdout.splitlines() if line.startswith("WRONG: ")]
    assert "tile (fov=0, round=1, ch=0, zplane=1): " in wrong
    assert "it holds round 0, channel 1, z-plane 0" in wrong
    assert [one.name for one in tmp_path.iterdir()] == ["data"]
    report = json.loads(run("load", "data", "--verify", "--dtype", "own", "--json").stdout)
    assert not report["ok"]
    assert report["out"] is None
    assert report["pixels_right"] < report["pixels_verified"]
    assert run("load", "data").exit_code == 0


def test_pixels_of_another_dtype_are_wrong():
    extent = Extent({"y": 2, "x": 3}, 0, [0], [4], [0])
    truth = np.ones((2, 3), np.uint16)
    assert compare(truth[None, None, None], extent, lambda key: truth).ok
    compared = compare(truth[None, None, None], extent, lambda key: truth.astype(np.uint32))
    assert not compared.ok
    assert compared.problems == (
        "tile (fov=0, round=0, ch=4, zplane=0) has the dtype uint16, not uint32",
    )


def test_no_more_than_some_wrong_tiles_are_described():
    extent = Extent({"y": 2, "x": 3}, 0, range(5), range(4), [0])
    compared = compare(
        np.zeros((5, 4, 1, 2, 3)), extent, lambda key: np.full((2, 3), key.round + 0.0)
    )
    assert (compared.pixels, compared.right, compared.wrong_tiles) == (120, 24, 16)
    assert len(compared.problems) == 11
    assert compared.problems[-1] == "... and 6 more tiles"


@pytest.mark.parametrize("reserves", [True, False])
def test_a_full_disk(data, tmp_path, monkeypatch, reserves):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "stack.npy").write_bytes(b"from before")
    if reserves:
        monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    else:
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
        monkeypatch.setattr(np.lib.format, "write_array", full)
    said = said_in_one_line(run("load", "data", "--out", "stack.npy"), 1)
    assert said == "stack.npy: No space left on device; while saving the stack"
    assert (tmp_path / "stack.npy").read_bytes() == b"from before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "stack.npy"]


@pytest.mark.parametrize("code", [errno.EOPNOTSUPP, errno.EINVAL])
def test_a_file_system_that_reserves_nothing(data, monkeypatch, code):
    def unable(*arguments):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "posix_fallocate", unable, raising=False)
    assert run("load", "data", "--out", "stack.npy").exit_code == 0
    np.testing.assert_array_equal(np.load("stack.npy"), truth(data)[1])


@pytest.mark.parametrize(
    ("factory", "status", "word"),
    [("with_interrupt", 130, "interrupted"), ("with_termination", 143, "terminated")],
)
def test_an_interrupted_load_leaves_nothing(mine, tmp_path, factory, status, word):
    result = in_process("load", f"mine.py:{factory}", *SIZES, "--out", "stack.npy")
    assert said_in_one_line(result, status) == word
    assert not list(tmp_path.glob("*.npy")) + list(tmp_path.glob(".stack*"))


def test_warnings_are_lines(tmp_path, mine):
    (tmp_path / "nan.py").write_text(
        "import numpy as np, mine\n"
        "class Fetcher(mine.Fetcher):\n"
        "    def get_tile(self, *labels):\n"
        "        tile = super().get_tile(*labels)\n"
        "        tile.tile_data = lambda: np.full((16, 16), np.nan, np.float32)\n"
        "        return tile\n"
    )
    result = run("load", "nan.py:Fetcher", *SIZES)
    assert result.exit_code == 0
    assert result.stderr.startswith("warning: ")
    assert result.stderr.count("\n") == 1


def test_a_bar_is_shown_at_a_terminal_alone(data, monkeypatch):
    shown = []
    load = ImageStack.load
    monkeypatch.setattr(
        ImageStack,
        "load",
        lambda stack, **options: (shown.append(options.pop("progress")), load(stack, **options))[1],
    )
    run("load", "data")
    monkeypatch.setattr("starfish_fetch.cli._load.wants_progress", lambda: True)
    run("load", "data")
    assert shown == [False, True]


def test_missing_labels_are_named_as_options():
    assert Labels(chs=(0,)).missing() == ["--rounds", "--zplanes", "--size"]


def test_a_link_keeps_leading_to_what_is_written(data, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    target = tmp_path / "elsewhere" / "target.npy"
    (tmp_path / "link.npy").symlink_to(target)
    for _ in range(2):
        assert run("load", "data", "--out", "link.npy").exit_code == 0
    assert (tmp_path / "link.npy").is_symlink()
    assert np.load(target).shape == (2, 2, 2, 16, 16)


def test_what_is_no_regular_file_is_not_replaced(data, tmp_path):
    os.mkfifo(tmp_path / "pipe.npy")
    said = said_in_one_line(run("load", "data", "--out", "pipe.npy"), 1)
    assert "exists and is not a regular file" in said
    assert (tmp_path / "pipe.npy").is_fifo()


def test_a_file_has_one_writer_and_what_a_killed_one_left_is_taken_over(tmp_path):
    path, partial = tmp_path / "stack.npy", tmp_path / ".stack.npy.partial"
    partial.write_bytes(b"half of what a killed command was writing")
    with replacing(path) as temporary:
        assert (temporary, temporary.read_bytes()) == (partial, b"")
        with pytest.raises(BlockingIOError, match="another command is writing") as caught:
            replacing(path).__enter__()
        assert caught.value.filename == str(path)
        temporary.write_bytes(b"whole")
    assert path.read_bytes() == b"whole"
    assert os.listdir(tmp_path) == ["stack.npy"]


def test_a_file_that_another_command_has_named_meanwhile_is_not_written_into(tmp_path, monkeypatch):
    path, partial, real = tmp_path / "stack.npy", tmp_path / ".stack.npy.partial", _output.lock
    locks = []

    def slow(*arguments):
        if not locks:
            os.replace(partial, path)
            path.write_bytes(b"of another command")
        locks.append(arguments)
        real(*arguments)

    monkeypatch.setattr(_output, "lock", slow)
    with replacing(path) as temporary:
        assert path.read_bytes() == b"of another command"
        temporary.write_bytes(b"ours")
    assert path.read_bytes() == b"ours"
    assert len(locks) == 2


def test_a_link_in_the_place_of_what_is_written_is_not_followed(tmp_path):
    (tmp_path / "other").write_bytes(b"of nobody")
    (tmp_path / ".stack.npy.partial").symlink_to(tmp_path / "other")
    with pytest.raises(OSError, match=r"stack\.npy"), replacing(tmp_path / "stack.npy"):
        pass
    assert (tmp_path / "other").read_bytes() == b"of nobody"
