"""``starfish-fetch profile`` and ``compare``: what they measure, print, write, and how they end."""

from __future__ import annotations

import io
import json
import textwrap
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from profiles import made
from rich.console import Console
from test_cli import WRITE, run, said_in_one_line

from starfish_fetch import profile as profiles
from starfish_fetch.cli import _profile_report
from starfish_fetch.profile import LoadProfile, compare
from synth import Dataset

FETCHERS = """
    from synth import Dataset

    def right():
        return Dataset.open("data").fetcher()

    class Prints:
        def __init__(self):
            print("hello")
            self.inner = right()
        def get_tile(self, fov, r, c, z):
            return self.inner.get_tile(fov, r, c, z)

    class Bare:
        get_tile = None

    class Fails(Prints):
        def get_tile(self, fov, r, c, z):
            raise OSError(5, "the disk is gone", "r0.tiff")
"""
QUICK = ("--repeat", 1, "--orders", "r,c,z")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", list(__import__("sys").path))


@pytest.fixture
def data(tmp_path):
    assert run(*WRITE, "--layout", "per-round").exit_code == 0
    (tmp_path / "mine.py").write_text(textwrap.dedent(FETCHERS))
    return Dataset.open(tmp_path / "data")


@pytest.fixture
def told(monkeypatch):
    """What is said to have been measured, and how that was asked for."""

    class Told:
        profile = made()
        arguments: tuple = ()
        options: dict

    def profile_orders(*arguments, **options):
        Told.arguments, Told.options = arguments, options
        return Told.profile

    monkeypatch.setattr(profiles, "profile_orders", profile_orders)
    return Told


def at_a_terminal(monkeypatch, width: int) -> io.StringIO:
    shown = io.StringIO()
    options = {"highlight": False, "markup": False, "emoji": False, "legacy_windows": False}
    monkeypatch.setattr(
        _profile_report,
        "console",
        lambda: Console(
            file=shown,
            width=width,
            force_terminal=True,
            no_color=True,
            color_system=None,
            **options,
        ),
    )
    return shown


@pytest.mark.parametrize("command", ["profile", "compare"])
def test_help_shows_an_example(command):
    result = run(command, "--help")
    assert result.exit_code == 0
    assert "starfish-fetch compare before.json after.json" in result.stdout
    assert "Example" in result.stdout


def test_a_dataset_is_measured_in_every_order(data):
    result = run("profile", "data", "--repeat", 1, "--workers", 1)
    assert result.exit_code == 0, result.stderr
    assert not result.stderr
    lines = result.stdout.splitlines()
    orders = {line.split()[0] for line in lines if line.count(",") >= 2 and " 2 " in line}
    assert orders >= {"r,c,z", "r,z,c", "c,r,z", "c,z,r", "z,r,c", "z,c,r"}
    assert any(line.startswith("none ") for line in lines)


def test_numbers_are_those_of_the_profile(data):
    result = run("profile", "mine.py:right", "--like", "data", *QUICK, "--json", "--out", "p.json")
    assert result.exit_code == 0, result.stderr
    printed = LoadProfile.from_json(result.stdout)
    assert printed == LoadProfile.from_json(Path("p.json").read_text())
    fields = json.loads(result.stdout)
    assert (fields["command"], fields["ok"], fields["fetcher"]) == (
        "profile",
        True,
        "TiffTileFetcher",
    )
    (row,) = printed.rows
    assert (row.opens, row.reopens, row.calls["get_tile"]) == (2, 0, 8)
    assert printed.extent == data.extent()


def test_options_reach_the_measurement(told, data):
    run("profile", "data")
    assert told.arguments[2] is None
    assert told.options == {"repeat": 5, "cold": False, "workers": None, "progress": False}
    orders = ("--orders", "r,c", "--orders", "none z,c,r")
    run("profile", "data", *orders, "--repeat", 3, "--cold", "--workers", 2)
    make, extent, given = told.arguments
    assert [order and ",".join(order) for order in given] == ["r,c", None, "z,c,r"]
    assert told.options == {"repeat": 3, "cold": True, "workers": 2, "progress": False}
    assert extent == data.extent()
    assert make() is not make()


def test_progress_is_shown_at_a_terminal_alone(told, data, monkeypatch):
    monkeypatch.setattr("starfish_fetch.cli._profile.wants_progress", lambda: True)
    run("profile", "data")
    assert told.options["progress"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["profile"], "Missing argument 'FETCHER'"),
        (["profile", "nowhere"], "there is no 'nowhere'"),
        (["profile", "mine.py:nothing", "--like", "data"], "mine.py has no 'nothing'"),
        (["profile", "mine.py:Bare"], "the extent is not known: give --rounds"),
        (["profile", "data", "--orders", "r,q"], "takes the axes"),
        (["profile", "data", "--orders", "r,r"], "more than once"),
        (["profile", "data", "--orders", "r,c", "--orders", "r,c"], "--orders: an order is given"),
        (["profile", "data", "--repeat", "0"], "--repeat"),
        (["profile", "data", "--workers", "0"], "--workers"),
        (["profile", "data", "--out", "no/where.json"], "--out: there is no folder"),
        (["profile", "data", "--html", "no/where.html"], "--html: there is no folder"),
        (["profile", "data", "--html", "."], "is a directory"),
        (["profile", "data", "--plot", "no/where.png"], "--plot: there is no folder"),
        (["profile", "data", "--plot", "plot.txt"], "neither in .png nor in .svg"),
        (["profile", "data", "--out", "a.png", "--plot", "./a.png"], "name the same file"),
        (["compare", "mine.py"], "Missing argument 'AFTER'"),
        (["compare", "nowhere.json", "mine.py"], "nowhere.json: No such file or directory; give"),
        (["compare", "data", "data"], "data: Is a directory; give"),
        (["compare", "mine.py", "mine.py"], "mine.py: this is no profile of a load"),
        (["compare", "data/dataset.json", "mine.py"], "data/dataset.json: this is no profile"),
    ],
)
def test_what_is_asked_wrongly(data, told, arguments, words):
    result = run(*arguments)
    assert words in said_in_one_line(result, 2)
    assert not result.stdout
    assert told.arguments == ()


def test_cold_where_the_system_cannot(data, monkeypatch):
    monkeypatch.delattr("os.posix_fadvise", raising=False)
    result = run("profile", "data", *QUICK, "--cold")
    assert "--cold: cold=True needs os.posix_fadvise" in said_in_one_line(result, 2)


def test_a_plot_without_matplotlib_is_told_before_the_work(data, told, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    result = run("profile", "data", "--plot", "p.png")
    assert "starfish-fetch[plot]" in said_in_one_line(result, 1)
    assert told.arguments == ()


def test_a_fetcher_that_fails(data):
    result = run("profile", "mine.py:Fails", "--like", "data", *QUICK, "--out", "p.json")
    assert result.exit_code == 1
    assert "error: r0.tiff: the disk is gone; tile (fov=0, round=0" in result.stderr
    assert not Path("p.json").exists()


def test_what_a_fetcher_prints_is_kept_out_of_the_report(data):
    result = run("profile", "mine.py:Prints", "--like", "data", *QUICK, "--json")
    assert json.loads(result.stdout)["ok"]
    assert "hello" in result.stderr


def test_a_table_in_a_file_is_plain_text(told, data):
    told.profile = replace(
        made(), disagreements=("The cache does not hold.",), notes=("Bytes are not counted.",)
    )
    lines = run("profile", "data").stdout.splitlines()
    assert lines[0] == told.profile.sentence
    assert told.profile.advice.sentence in lines[1]
    row = next(line for line in lines if line.startswith("z,c,r"))
    assert row.split() == ["z,c,r", "69.0", "64.5", "-", "75.0", "60", "48", "12", "72.0", "kB",
                           "7.1", "kB", "60"]  # fmt: skip
    assert [line.split()[0] for line in lines[6:13]] == [row.order for row in told.profile.rows]
    assert (
        lines[-5:]
        == [
            "",
            "Not as predicted:",
            "- The cache does not hold.",
            "",
            "To be known:",
            "- Bytes are not counted.",
        ][1:]
    )
    assert not any("\x1b" in line or line != line.rstrip() for line in lines)


def test_what_is_not_known_is_said_to_be(told, data):
    rows = tuple(replace(row, bytes_read=None, predicted_opens=None) for row in made().rows)
    told.profile = replace(made(), rows=rows, advice=None, sources_are="unknown")
    lines = run("profile", "data").stdout.splitlines()
    row = next(line for line in lines if line.startswith("z,c,r")).split()
    assert (row[-4], row[-1]) == ("-", "-")


def test_what_was_asked_of_servers_stands_beside_the_opens(told, data):
    told.profile = made(requests=3)
    lines = run("profile", "data").stdout.splitlines()
    assert "requests" in lines[4]
    row = next(line for line in lines if line.startswith("z,c,r"))
    assert row.split() == ["z,c,r", "69.0", "64.5", "-", "75.0", "60", "48", "180", "180.0", "kB",
                           "7.1", "kB", "60"]  # fmt: skip
    told.profile = made()
    assert "requests" not in run("profile", "data").stdout


@pytest.mark.parametrize("requests", [0, 3])
@pytest.mark.parametrize("width", [80, 120])
def test_at_a_terminal_it_fits(told, data, monkeypatch, width, requests):
    told.profile = made(requests=requests)
    shown = at_a_terminal(monkeypatch, width)
    run("profile", "data")
    lines = shown.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    rows = [line.rstrip() for line in lines if line.startswith("z,c,r ")]
    assert len(rows) == 1
    assert rows[0].endswith(" 60")


@pytest.mark.parametrize("terminal", [False, True])
def test_nothing_quoted_steers_the_terminal(told, data, monkeypatch, terminal):
    bad = "r\x1b[2J\u202e.tiff"
    told.profile = replace(made(), fetcher=bad, disagreements=(bad,), notes=(bad,))
    shown = at_a_terminal(monkeypatch, 80) if terminal else None
    result = run("profile", "data")
    text = shown.getvalue() if shown else result.stdout
    assert text.count(r"r\x1b[2J\u202e.tiff") == 3
    assert "\x1b" not in text


def test_files_are_written_whole(told, data, tmp_path):
    for name in ("p.json", "p.png", "p.svg", "p.html"):
        Path(name).write_text("from before")
    result = run("profile", "data", "--out", "p.json", "--plot", "p.png", "--html", "p.html")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-3:] == [
        "profile in p.json",
        "plot in p.png",
        "page in p.html",
    ]
    assert LoadProfile.from_json(Path("p.json").read_bytes()) == told.profile
    assert Path("p.png").read_bytes().startswith(b"\x89PNG")
    assert Path("p.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    quiet = run("profile", "data", "--plot", "p.svg", "--json")
    assert json.loads(quiet.stdout)["command"] == "profile"
    assert ElementTree.parse("p.svg").getroot().tag.endswith("svg")
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".partial")]


@pytest.mark.parametrize("option", ["out", "plot", "html"])
def test_what_cannot_be_written_whole_leaves_what_was_there(told, data, monkeypatch, option):
    path = Path("p.svg")
    path.write_text("from before")

    def on_a_full_disk(self, target, *_, **__):
        Path(target if option == "plot" else self).write_bytes(b"<svg")
        raise OSError(28, "No space left on device", str(path))

    if option == "plot":
        monkeypatch.setattr("matplotlib.figure.Figure.savefig", on_a_full_disk)
    else:
        monkeypatch.setattr(Path, "write_text", on_a_full_disk)
    result = run("profile", "data", f"--{option}", path)
    assert "p.svg: No space left" in said_in_one_line(result, 1)
    assert path.read_text() == "from before"
    assert not [*Path().glob(".*")]


def save(profile: LoadProfile, name: str) -> str:
    Path(name).write_text(profile.to_json())
    return name


@pytest.mark.parametrize(("shift", "status"), [(0, 0), (-3, 0), (1, 1)])
@pytest.mark.parametrize("as_json", [False, True])
def test_compare_ends_by_what_became_worse(shift, status, as_json):
    before, after = save(made(), "before.json"), save(made(shift=shift), "after.json")
    result = run("compare", before, after, *(["--json"] if as_json else []))
    assert result.exit_code == status
    assert not result.stderr
    found = compare(made(), made(shift=shift))
    if as_json:
        fields = json.loads(result.stdout)
        told = {"command": "compare", "before": before, "after": after}
        assert fields == {**told, **json.loads(found.to_json())}
        assert fields["ok"] is (status == 0)
    else:
        lines = result.stdout.splitlines()
        for row in found.rows:
            assert any(row.order in line and row.message in line for line in lines)
        assert lines[-1].startswith("7 orders are worse" if status else "No order is worse")


def test_compare_takes_what_profile_wrote_and_printed(data):
    printed = run("profile", "data", *QUICK, "--out", "a.json", "--json", "--workers", 1).stdout
    Path("b.json").write_text(printed)
    result = run("compare", "a.json", "b.json")
    assert result.exit_code == 0, result.stdout
    assert "2 opens as before" in result.stdout


def test_compare_names_what_is_worse_and_nothing_else():
    before = made()
    rows = tuple(
        replace(row, opens=row.opens + 5) if row.order == "c,r,z" else row for row in before.rows
    )
    result = run("compare", save(before, "a.json"), save(replace(before, rows=rows), "b.json"))
    assert result.exit_code == 1
    assert result.stdout.splitlines()[-1] == "1 order is worse than before: c,r,z"


def test_compare_of_different_images_is_asked_wrongly():
    result = run("compare", save(made(), "a.json"), save(made((2, 2, 2)), "b.json"))
    assert "profiles of different images" in said_in_one_line(result, 2)
