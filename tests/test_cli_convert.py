"""``starfish-fetch convert``: to both formats, by any fetcher, whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import re
import shlex
import textwrap
from pathlib import Path

import numpy as np
import pytest
from test_cli import WRITE, in_process, run, said_in_one_line

from starfish_fetch import ImageStack, OmeZarrTileFetcher, SpaceTxTileFetcher
from starfish_fetch.convert import _images
from synth import Dataset

READERS = {"spacetx": SpaceTxTileFetcher, "ome-zarr": OmeZarrTileFetcher}
SIZES = ("--rounds", 2, "--chs", 2, "--zplanes", 2, "--size", 16)

FETCHERS = """
    import os, signal
    import starfish_fetch as sf
    from synth import Dataset

    class Fetcher:
        left = 1000
        def __init__(self, dataset="data"):
            self.data = Dataset.open(dataset)
            self.inner = self.data.fetcher()
        def get_tile(self, fov, *key):
            Fetcher.left -= 1
            if not Fetcher.left:
                end()
            return self.inner.get_tile(fov, *key)

    class Notes(Fetcher):
        def get_tile(self, fov, *key):
            with open("order", "a") as file:
                print(*key, file=file)
            return super().get_tile(fov, *key)

    class Described(Fetcher):
        @property
        def extent(self):
            return self.data.extent(3)

    def end(): os.kill(os.getpid(), ending)

    def killed():
        global ending
        Fetcher.left, ending = 6, signal.SIGKILL
        return Fetcher()

    def terminated():
        global ending
        Fetcher.left, ending = 6, signal.SIGTERM
        return Fetcher()

    class Exits(Fetcher):
        def get_tile(self, *labels):
            raise SystemExit(0)

    class Prints(Fetcher):
        def get_tile(self, *labels):
            print("hello")
            return super().get_tile(*labels)

    def exits(): raise SystemExit(0)
    def prints():
        print("hello")
        return Fetcher()
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", list(__import__("sys").path))
    (tmp_path / "mine.py").write_text(textwrap.dedent(FETCHERS))


@pytest.fixture
def data(tmp_path):
    layout = ("--layout", "per-round", "--content", "index", "--fovs", "3-4")
    assert run(*WRITE, *layout).exit_code == 0
    return Dataset.open(tmp_path / "data")


@pytest.fixture(params=READERS)
def target(request):
    if request.param == "ome-zarr":
        pytest.importorskip("ome_zarr")
    return request.param


def holds(root, target, data, fovs=(3, 4)):
    fetcher = READERS[target](root)
    assert fetcher.fovs == tuple(fovs)
    for fov in fovs:
        extent = data.extent(fov)
        assert fetcher.extent_of(fov) == extent
        mine, theirs = (
            ImageStack.from_tilefetcher(one, **vars(extent), dtype=None)
            for one in (fetcher, data.fetcher(fov))
        )
        assert np.array_equal(mine.to_numpy(), theirs.to_numpy())
        for ours, original in zip(
            mine.physical_coordinates(), theirs.physical_coordinates(), strict=True
        ):
            assert np.array_equal(ours, original)


def test_a_dataset_is_converted_with_all_its_fields_of_view(data, target):
    result = run("convert", "data", "out", "--to", target)
    assert result.exit_code == 0, result.stderr
    assert f"out: {target}, 2 fields of view, 16 tiles in " in result.stdout
    assert result.stderr == ""
    holds("out", target, data)


def test_json_says_what_was_done(data, target):
    first, again = (
        json.loads(run("convert", "data", "out", "--to", target, "--json").stdout) for _ in range(2)
    )
    assert first["command"] == "convert"
    assert first["ok"] is True
    assert (first["format"], first["fovs"], first["tiles"]) == (target, 2, 16)
    assert (first["tiles_there"], again["tiles_there"]) == (0, 16)
    files = [path for path in Path("out").rglob("*") if path.is_file()]
    assert (first["files"], first["bytes"]) == (len(files), sum(p.stat().st_size for p in files))


@pytest.mark.parametrize("how", [("--like", "data", "--fovs", "4,"), ("--fovs", "4,", *SIZES)])
def test_a_fetcher_of_one_s_own_is_converted(data, target, how):
    result = run("convert", "mine.py:Fetcher", "out", "--to", target, *how)
    assert result.exit_code == 0, result.stderr
    holds("out", target, data, [4])


def test_the_extent_may_come_from_the_fetcher(data, target):
    assert run("convert", "mine.py:Described", "out", "--to", target).exit_code == 0
    holds("out", target, data, [3])


def test_options_reach_the_format(data):
    pytest.importorskip("ome_zarr")
    options = ("--ome-version", "0.4", "--levels", 2, "--chunk", 4, "--unit", "nanometer")
    result = run("convert", "data", "out", "--to", "ome-zarr", "--fovs", "3,", *options)
    assert result.exit_code == 0, result.stderr
    [image] = json.loads(Path("out/.zattrs").read_text())["multiscales"]
    assert (len(image["datasets"]), image["axes"][4]["unit"]) == (2, "nanometer")
    assert json.loads(Path("out/0/.zarray").read_text())["chunks"] == [1, 1, 1, 4, 4]
    Path("codes.json").write_text('{"version": "0.0.0", "mappings": []}')
    options = ("--tile-format", "tiff", "--codebook", "codes.json", "--also", "nuclei=data")
    assert run("convert", "data", "ex", "--to", "spacetx", *options).exit_code == 0
    assert Path("ex/codebook.json").read_text() == Path("codes.json").read_text()
    assert Path("ex/nuclei-fov_004-c1-r0-z1.tiff").is_file()


def test_what_was_converted_is_loaded_verified_and_converted_again(data, target):
    assert run("convert", "data", "out", "--to", target).exit_code == 0
    for fov in (3, 4):
        result = run("load", "out", "--like", "data", "--fov", fov, "--verify")
        assert "verified:   2,048 of 2,048 pixels are right" in result.stdout, result.stderr
    assert run("check", "out", "--like", "data").exit_code == 0
    back = "ome-zarr" if target == "spacetx" else "spacetx"
    if back == "ome-zarr":
        pytest.importorskip("ome_zarr")
    assert run("convert", "out", "back", "--to", back).exit_code == 0
    holds("back", back, data)


def test_a_converted_folder_knows_its_labels(data, target):
    assert run("convert", "data", "out", "--to", target).exit_code == 0
    words = said_in_one_line(run("load", "out", "--rounds", 2), 2)
    assert "'out' has its labels: leave out --rounds" in words
    words = said_in_one_line(run("load", "out", "--fov", 9), 2)
    assert "no field of view 9; it has (3, 4)" in words


def test_group_by_is_the_order(data):
    options = ("--to", "spacetx", "--like", "data", "--fovs", "3,", "--group-by", "z,c")
    assert run("convert", "mine.py:Notes", "out", *options).exit_code == 0
    keys = [tuple(map(int, line.split())) for line in Path("order").read_text().splitlines()]
    assert keys == [(r, c, z) for z in (0, 1) for c in (0, 1) for r in (0, 1)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--to", "tiff"], "'tiff' is not one of"),
        ([], "Missing option '--to'"),
        (["--to", "spacetx", "--levels", 2], "--levels is not for --to spacetx"),
        (["--to", "spacetx", "--ome-version", "0.4"], "--ome-version is not for --to spacetx"),
        (["--to", "ome-zarr", "--tile-format", "TIFF"], "--tile-format is not for --to ome-zarr"),
        (["--to", "ome-zarr", "--also", "nuclei=data"], "--also is not for --to ome-zarr"),
        (["--to", "spacetx", "--also", "nuclei"], "write NAME=FETCHER"),
        (["--to", "spacetx", "--also", "cats=data"], "an image is called primary, nuclei, dots"),
        (["--to", "spacetx", "--also", "nuclei=nowhere"], "there is no 'nowhere'"),
        (["--to", "spacetx", "--codebook", "nowhere"], "does not exist"),
        (["--to", "spacetx", "--fovs", "9,"], "--fovs"),
        (["--to", "ome-zarr", "--levels", 6], "levels must be at most 5"),
        (["--to", "ome-zarr", "--chunk", 0], "--chunk"),
    ],
)
def test_what_is_asked_wrongly_is_said_in_one_line(data, arguments, words):
    pytest.importorskip("ome_zarr")
    assert words in said_in_one_line(run("convert", "data", "out", *arguments), 2)
    assert not Path("out").exists()


def test_negative_labels_are_asked_wrongly():
    assert run(*WRITE, "--fovs", "-1,").exit_code == 0
    words = said_in_one_line(run("convert", "data", "out", "--to", "spacetx"), 2)
    assert "knows no negative labels" in words


def test_what_is_there_stays_without_overwrite(data, target):
    assert run("convert", "data", "out", "--to", target).exit_code == 0
    words = said_in_one_line(run("convert", "data", "out", "--to", target, "--fovs", "3,"), 1)
    assert words.startswith(str(Path("out").resolve()))
    assert "holds another conversion, which differs in" in words
    holds("out", target, data)
    result = run("convert", "data", "out", "--to", target, "--fovs", "3,", "--overwrite")
    assert result.exit_code == 0
    holds("out", target, data, [3])
    words = said_in_one_line(run("convert", "data", "data", "--to", target, "--overwrite"), 1)
    assert f"no finished {target} conversion" in words
    assert data.verify().ok


@pytest.mark.parametrize(
    ("target", "how", "status"),
    [("spacetx", "killed", -9), ("ome-zarr", "killed", -9), ("spacetx", "terminated", 143)],
)
def test_the_same_command_goes_on_after_an_end(data, target, how, status, monkeypatch):
    if target == "ome-zarr":
        pytest.importorskip("ome_zarr")
    monkeypatch.setattr(_images, "_BLOCK_PIXELS", 512)  # two tiles
    small = (
        "from starfish_fetch.convert import _images; _images._BLOCK_PIXELS = 512\n"
        "from starfish_fetch.cli import main; main()"
    )
    options = ("--to", target, "--like", "data", "--fovs", "3,")
    ended = in_process("convert", f"mine.py:{how}", "out", *options, code=small)
    assert ended.returncode == status, ended.stderr
    if how == "terminated":
        words = said_in_one_line(ended, 143)
        assert words.startswith("terminated")
        assert "the same call writes the rest" in words
    assert not Path("out").exists()
    result = run("convert", "mine.py:Fetcher", "out", *options, "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["tiles_there"] == 4
    holds("out", target, data, [3])
    assert not [path for path in Path().iterdir() if path.name.startswith(".")]


def test_a_damaged_source_is_told_by_tile_and_file(data, target):
    path = Path("data/fov3_r0.tiff")
    path.write_bytes(path.read_bytes()[:300])
    words = said_in_one_line(run("convert", "data", "out", "--to", target), 1)
    assert "tile (fov=3, round=0, ch=" in words
    assert path.name in words
    assert not Path("out").exists()


@pytest.mark.parametrize(("exits", "prints"), [("exits", "prints"), ("Exits", "Prints")])
def test_a_fetcher_s_code_neither_ends_the_command_nor_spoils_its_output(
    data, target, exits, prints
):
    options = ("--to", target, "--like", "data", "--fovs", "3,", "--json")
    words = said_in_one_line(run("convert", f"mine.py:{exits}", "out", *options), 1)
    assert "sys.exit(0)" in words
    result = run("convert", f"mine.py:{prints}", "out", *options)
    assert json.loads(result.stdout)["tiles"] == 8
    assert "hello" in result.stderr


def test_a_full_disk_is_told_in_one_line(data, monkeypatch):
    def refuse(self, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    words = said_in_one_line(run("convert", "data", "out", "--to", "spacetx"), 1)
    assert "No space left on device" in words
    assert "once there is room" in words
    assert not Path("out").exists()


def test_a_parent_that_cannot_be_written_is_told_in_one_line(data, monkeypatch):
    def refuse(self, *args, **options):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    words = said_in_one_line(run("convert", "data", "out", "--to", "spacetx"), 1)
    assert "Read-only file system" in words


def test_help_shows_examples_and_imports_no_numerics():
    code = (
        "import sys; from starfish_fetch.cli._app import app\n"
        "app(['convert', '--help'], standalone_mode=False)\n"
        "print(sorted({'numpy', 'tifffile', 'zarr', 'imageio'} & set(sys.modules)))"
    )
    shown = in_process(code=code).stdout
    assert "starfish-fetch convert data experiment --to spacetx" in shown
    assert shown.endswith("[]\n")


def test_every_command_of_the_page_runs():
    pytest.importorskip("ome_zarr")
    page = Path(__file__).parents[1] / "docs" / "convert.md"
    [block] = re.findall(r"^```sh\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S)
    for command in block.splitlines():
        program, *arguments = shlex.split(command)
        result = run(*arguments)
        assert (program, result.exit_code) == ("starfish-fetch", 0), (command, result.output)
