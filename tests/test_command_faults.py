"""Commands end well when Ctrl-C is pressed at any call, without descriptors, and without memory.

With HYPOTHESIS_PROFILE=long at every call; else at some.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys

import injected_commands
import pytest
from long_mode import LONG
from syscall_faults import server

from starfish_fetch.cli import _app, main

WRITE = "synth write data --rounds 70 --chs 1 --zplanes 2 --size 16 --layout r{r}.tiff --inner c,z"
SMALL = "synth write data --rounds 2 --chs 1 --zplanes 2 --size 16 --layout r{r}.tiff --inner c,z"
CLI = [sys.executable, "-m", "starfish_fetch"]


def given(command, folder, **options):
    return subprocess.run(
        [*CLI, *command.split()], cwd=folder, capture_output=True, text=True, **options
    )


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    with server(tmp_path_factory.mktemp("server")) as give:
        yield give


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    work = tmp_path_factory.mktemp("commands") / "work"
    work.mkdir()
    given(SMALL, work, check=True)
    given("profile data --repeat 1 --orders r --out before.json", work, check=True)
    return work


@pytest.mark.parametrize("name", injected_commands.COMMANDS)
def test_an_interrupted_command_ends_in_one_line(warm, work, name):
    step = 1 if LONG else {"compare": 2}.get(name, 23)
    report = warm("injected_commands:interrupts", name=name, work=work, step=step)
    assert report["problems"] == []
    assert report["heard"] >= report["tried"] // 2 > 0


@pytest.fixture(scope="module")
def larger(tmp_path_factory):
    larger = tmp_path_factory.mktemp("larger") / "work"
    larger.mkdir()
    given(WRITE.replace("70", "20"), larger, check=True)
    return larger


@pytest.mark.parametrize("how", ["SIGINT", "SIGKILL"])
@pytest.mark.parametrize("name", injected_commands.REPEATED)
def test_a_command_stopped_at_any_time_is_made_good_by_the_same_one(warm, larger, name, how):
    if name == "ome-zarr":
        pytest.importorskip("ome_zarr")
    number = 50 if LONG else 5
    report = warm(
        "injected_commands:stops",
        name=name,
        work=larger,
        number=number,
        how=how,
        seed=f"{name}{how}",
    )
    assert report["problems"] == []
    assert report["stopped"] == number


@pytest.mark.parametrize("name", injected_commands.WRITERS)
def test_a_file_that_cannot_be_written_is_named_and_the_old_one_stays(warm, work, name):
    if name in ("plot", "picture"):
        pytest.importorskip("matplotlib")
    codes = ("EIO", "ENOSPC")
    for chosen in [[code] for code in codes] if LONG else [codes]:
        step = 1 if LONG else {"profile": 1, "stack": 2, "converted": 3}.get(name, 4)
        report = warm(
            "injected_commands:writes_fail", name=name, work=work, codes=chosen, step=step
        )
        assert report["problems"] == []
        assert report["errors"] > 1


def limited(kind, value):
    return lambda: resource.setrlimit(kind, (value, value))


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    many = tmp_path_factory.mktemp("many")
    given(WRITE, many, check=True)
    return many


@pytest.mark.skipif(sys.platform != "linux", reason="limits as Linux has them")
@pytest.mark.parametrize(
    "command",
    [
        "load data --verify --out stack.npy",
        "convert data out --to spacetx",
        "profile data --repeat 1 --orders r --out profile.json",
    ],
)
def test_few_descriptors_are_enough_for_many_files(many, command):
    done = given(command, many, preexec_fn=limited(resource.RLIMIT_NOFILE, 40))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(sys.platform != "linux", reason="limits as Linux has them")
def test_a_stack_beyond_memory_is_told_in_one_line(tmp_path):
    given(
        "synth write data --rounds 1 --chs 1 --zplanes 1 --size 16",
        tmp_path,
        check=True,
    )
    # A file that is declared to be of 16 GB, and takes no room.
    (tmp_path / "large.py").write_text(
        "import starfish_fetch as sf\n"
        "import numpy as np\n"
        "class Tile(sf.FetchedTile):\n"
        "    shape = {'y': 65536, 'x': 65536}\n"
        "    coordinates = {'xc': (0, 1), 'yc': (0, 1), 'zc': 0}\n"
        "    def tile_data(self):\n"
        "        return np.broadcast_to(np.uint8(0), (65536, 65536))\n"
        "class Fetcher(sf.TileFetcher):\n"
        "    extent = sf.Extent(Tile.shape, 0, [0], [0], [0])\n"
        "    def get_tile(self, *labels):\n"
        "        return Tile()\n"
        "def make(): return Fetcher()\n"
    )
    done = given(
        "load large.py:make",
        tmp_path,
        preexec_fn=limited(resource.RLIMIT_AS, 4 << 30),
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert "Unable to allocate 16.0 GiB" in done.stderr


def test_an_interrupt_outside_of_any_command_ends_in_one_line_too(monkeypatch, capsys):
    """Between the parsing of a command line and the end of the process."""

    def interrupted(**options):
        raise KeyboardInterrupt

    monkeypatch.setattr(_app, "app", interrupted)
    monkeypatch.setattr(_app.signal, "signal", lambda *of: None)
    with pytest.raises(SystemExit) as end:
        main()
    assert (end.value.code, capsys.readouterr().err) == (130, "error: interrupted\n")
