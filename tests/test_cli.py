"""How every command ends: its exit status, and one line for what went wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager

import click
import pytest
from click.testing import CliRunner, Result

from starfish_fetch import __version__
from starfish_fetch.cli import _app, _synth
from starfish_fetch.cli._app import app

WRITE = ("synth", "write", "data", "--rounds", "2", "--chs", "2", "--zplanes", "2", "--size", "16")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def in_process(
    *arguments: object, code: str | None = None, **options
) -> subprocess.CompletedProcess:
    command = ["-m", "starfish_fetch"] if code is None else ["-c", code]
    return subprocess.run(
        [sys.executable, *command, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **options,
    )


def said_in_one_line(result, status: int) -> str:
    """Return the one line that stderr holds, once it is sure that there is no other."""
    code = result.exit_code if isinstance(result, Result) else result.returncode
    assert code == status, (result.stdout, result.stderr)
    assert result.stderr.count("\n") == 1, result.stderr
    assert "Traceback" not in result.stderr
    assert result.stderr.startswith("error: ")
    return result.stderr.removeprefix("error: ").strip()


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("command", [[], ["demo"], ["synth"], ["synth", "write"], ["load"]])
def test_help_shows_an_example(command):
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert "starfish-fetch" in result.stdout
    assert "Example" in result.stdout or not command


@pytest.mark.parametrize("command", [[], ["synth"]])
def test_a_group_alone_shows_its_help(command):
    result = run(*command)
    assert result.exit_code == 0
    assert "Commands:" in result.stdout


def test_version():
    assert __version__ in run("--version").stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["demo", "--nonsense"], "No such option"),
        (["demo", "extra"], "unexpected extra argument"),
        (["demo", "--rounds", "x"], "'x' is neither a count"),
        (["demo", "--rounds", "0"], "a single label is written with a comma after it (0,)"),
        (["demo", "--rounds=-1"], "a bare number counts them"),
        (["demo", "--rounds", "9" * 23], "more than 1,000,000 labels"),
        (["demo", "--rounds", f"0-{'9' * 23}"], "more than 1,000,000 labels"),
        (["demo", "--rounds", "1,1"], "more than once"),
        (["demo", "--rounds", "4-1"], "has no labels in '4-1'"),
        (["demo", "--rounds", "0-99999999999"], "more than 1,000,000 labels"),
        (["demo", "--size", "12x"], "no tile size"),
        (["demo", "--size", "0"], "no tile size"),
        (["demo", "--dtype", "complex64"], "unknown dtype 'complex64'"),
        (["demo", "--content", "cats"], "unknown content 'cats'"),
        (["demo", "--seed", "-1"], "seed must be at least 0"),
        (["demo", "--repeat", "0"], "--repeat"),
        (["demo", "--inner", "z"], "--inner goes with a template"),
        (["demo", "--layout", "per-box"], "neither per-round"),
        ([*WRITE, "--layout", "a.tif"], "a template, which has fields in braces, such as 'r{r}"),
        ([*WRITE, "--layout", "a.tif"], "all in one file is single-file, or 'fov{fov}.tiff' with"),
        (["demo", "--layout", "{r}.tiff", "--inner", "z"], "leaves out 'c'"),
        (["demo", "--layout", "{q}.tiff"], "unknown field 'q'"),
        (["demo", "--layout", "{r"], "is not a template"),
        (["demo", "--layout", "/{r}.tiff", "--inner", "c,z"], "below the root"),
        (["demo", "--layout", "{r}{c}{z}.tiff", "--rounds", "1,12", "--chs", "1,21"], "one place"),
        (["demo", "--plot", "plot.txt"], "neither in .png nor in .svg"),
        (["demo", "--plot", "no/plot.png"], "there is no folder"),
        (["synth", "write"], "Missing argument"),
        ([*WRITE, "--layout", "per-tile", "--inner", "z"], "--inner goes with a template"),
        ([*WRITE, "--layout", "{c}.tiff", "--inner", "r,q"], "inner must name some of"),
        ([*WRITE, "--layout", "per-tile", "--workers", "0"], "--workers"),
        ([*WRITE, "--layout", "per-tile", "--byteorder", "odd"], "--byteorder"),
        (["synth", "verify", "nowhere"], "nowhere holds no dataset"),
        (["load", "nowhere"], "there is no 'nowhere'"),
        (["load", "nowhere.py:make"], "there is no file 'nowhere.py'"),
        (["load", "no.where:make"], "there is no module 'no.where'"),
        (["load", ":make"], "is no module"),
        (["load", "json:nothing"], "json has no 'nothing'"),
        (["load", "json:__doc__"], "name a function or a class"),
        (["load", "collections:OrderedDict"], "has no 'get_tile'"),
        (["load", "json:loads", "--like", "nowhere"], "nowhere holds no dataset"),
        (["load", "x", "--crop-y", "3"], "is no range"),
        (["load", "x", "--group-by", "r,r"], "more than once"),
        (["load", "x", "--group-by", "y"], "takes the axes"),
        (["load", "x", "--out", "no/where.npy"], "there is no folder"),
        (["load", "x", "--out", "."], "is a directory"),
    ],
)
def test_what_is_asked_wrongly_is_said_in_one_line(arguments, words):
    result = run(*arguments)
    assert words in said_in_one_line(result, 2)
    assert not result.stdout


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("4", [0, 1, 2, 3]),
        ("0,2,5", [0, 2, 5]),
        ("1-4", [1, 2, 3, 4]),
        ("-3..-1", [-3, -2, -1]),
        ("-3--1", [-3, -2, -1]),
        ("-1,0,1", [-1, 0, 1]),
        ("7,", [7]),
        ("-5,", [-5]),
        ("0,2-4", [0, 2, 3, 4]),
    ],
)
def test_labels_are_counts_lists_and_ranges(text, labels):
    for arguments in (["--rounds", text], [f"--rounds={text}"]):
        options = ["--chs", 1, "--zplanes", 1, "--size", 8, "--layout", "per-round", "--json"]
        result = run("synth", "write", "data", *arguments, *options)
        assert json.loads(result.stdout)["image"]["rounds"] == labels


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (FileNotFoundError(2, "No such file or directory", "r1.tiff"), "r1.tiff: No such file"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (ValueError("a\nb"), "a b"),
        (TypeError("not that"), "TypeError: not that"),
        (KeyError("r"), "KeyError: 'r'"),
        (ImportError("needs x: pip install x"), "needs x: pip install x"),
        (RuntimeError(), "RuntimeError"),
        (MemoryError(), "MemoryError"),
    ],
)
def test_what_fails_is_said_in_one_line_with_its_notes(monkeypatch, error, line):
    def fail(root):
        raise error

    error.add_note("tile (fov=0,\n round=1)")
    monkeypatch.setattr(_synth, "open_dataset", fail)
    said = said_in_one_line(run("synth", "verify", "data"), 1)
    assert said.startswith(line)
    assert "; tile (fov=0, round=1)" in said


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_interrupt_before_or_after_the_work_is_said_in_one_line(monkeypatch, when):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    @contextmanager
    def interrupted_at_its_end():
        yield
        interrupted()

    if when == "before":
        monkeypatch.setattr(click.Group, "parse_args", interrupted)
    else:
        monkeypatch.setattr(_app, "_quiet", interrupted_at_its_end)
    assert said_in_one_line(run(), 130) == "interrupted"


def test_an_interrupt_is_said_in_one_line(monkeypatch):
    def interrupt(root):
        raise KeyboardInterrupt

    monkeypatch.setattr(_synth, "open_dataset", interrupt)
    assert said_in_one_line(run("synth", "verify", "data"), 130) == "interrupted"


def test_debug_shows_the_traceback_once(monkeypatch):
    def fail(root):
        raise ValueError("what went wrong")

    monkeypatch.setattr(_synth, "open_dataset", fail)
    result = run("--debug", "synth", "verify", "data")
    assert result.exit_code == 1
    assert result.stderr.count("Traceback") == 1
    assert "ValueError: what went wrong" in result.stderr
    assert result.stderr.endswith("error: what went wrong\n")


@pytest.mark.parametrize("package", ["click", "rich"])
def test_a_missing_package_is_named_with_its_remedy(package):
    code = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "from starfish_fetch.__main__ import main; main()"
    )
    result = in_process(code=code)
    assert said_in_one_line(result, 2) == (
        f"the command line needs {package}: pip install 'starfish-fetch[cli]'"
    )
    assert not result.stdout


def test_nobody_reading_the_output_is_no_error():
    command = [sys.executable, "-m", "starfish_fetch", "load", "--help"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()


def test_the_commands_import_no_numerics_for_their_help():
    code = (
        "import sys; from starfish_fetch.cli._app import app\n"
        "app(['load', '--help'], standalone_mode=False)\n"
        "print(sorted({'numpy', 'tifffile', 'matplotlib', 'imageio'} & set(sys.modules)))"
    )
    assert in_process(code=code).stdout.endswith("[]\n")
