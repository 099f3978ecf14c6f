"""``starfish-fetch check``: what it runs, prints, writes, and how it ends."""

from __future__ import annotations

import io
import json
import textwrap
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.console import Console
from test_check_report import EVERYTHING, FAILED, SKIPPED, WARNED, report_of
from test_cli import WRITE, in_process, run, said_in_one_line

from starfish_fetch.cli import _check_report
from starfish_fetch.testing import check as kit
from starfish_fetch.testing.checks import CHECKS, Check
from starfish_fetch.testing.report import Report, Result
from synth import Dataset

SIZES = ("--rounds", 2, "--chs", 2, "--zplanes", 2, "--size", 16)
FEW = ("--only", "labels_are_honoured", "--only", "shapes_agree")

FETCHERS = """
    import sys, time
    from concurrent.futures import ThreadPoolExecutor
    from synth import Dataset

    def right():
        return Dataset.open("data").fetcher()

    class SwapsRoundAndChannel:
        def __init__(self):
            self.inner = right()
        def get_tile(self, fov, r, c, z):
            return self.inner.get_tile(fov, c, r, z)

    class Describes(SwapsRoundAndChannel):
        @property
        def extent(self):
            return self.inner.extent

    class Prints(SwapsRoundAndChannel):
        def get_tile(self, fov, r, c, z):
            print("hello")
            return self.inner.get_tile(fov, r, c, z)

    def fails(): raise RuntimeError("no microscope")
    def exits(): sys.exit(0)
    def hangs(): time.sleep(60)
    def hangs_in_a_pool(): ThreadPoolExecutor().submit(hangs).result()
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", list(__import__("sys").path))


@pytest.fixture
def data(tmp_path):
    assert run(*WRITE, "--content", "index").exit_code == 0
    (tmp_path / "mine.py").write_text(textwrap.dedent(FETCHERS))
    return Dataset.open(tmp_path / "data")


@pytest.fixture
def told(monkeypatch):
    """What the checks are said to have found, and what they were given."""

    class Told:
        report = EVERYTHING
        arguments: tuple = ()
        options: dict

    def check_fetcher(*arguments, **options):
        Told.arguments, Told.options = arguments, options
        return Told.report

    monkeypatch.setattr(kit, "check_fetcher", check_fetcher)
    return Told


def at_a_terminal(monkeypatch, width: int, *, color: bool = False) -> io.StringIO:
    shown = io.StringIO()
    colors = {"color_system": "truecolor"} if color else {"no_color": True, "color_system": None}
    monkeypatch.setattr(
        _check_report,
        "console",
        lambda: Console(
            file=shown,
            width=width,
            force_terminal=True,
            highlight=False,
            markup=False,
            emoji=False,
            legacy_windows=False,
            **colors,
        ),
    )
    return shown


def test_help_shows_an_example():
    result = run("check", "--help")
    assert result.exit_code == 0
    assert "starfish-fetch check my_fetcher.py:make --like data" in result.stdout
    assert f"[default: {kit.DEADLINE:g}" in " ".join(result.stdout.split())


def test_a_right_fetcher(data):
    result = run("check", "mine.py:right", "--like", "data")
    assert result.exit_code == 0, result.stdout
    assert "FAIL" not in result.stdout
    assert "; 8 of 8 tiles read in" in result.stdout
    assert "with an oracle" in result.stdout
    assert not result.stderr


def test_a_folder_of_a_dataset_is_a_fetcher_and_an_oracle(data):
    result = run("check", "data", *FEW, "--json")
    assert result.exit_code == 0
    assert Report.from_json(result.stdout).has_oracle


def test_a_wrong_fetcher(data):
    result = run("check", "mine.py:SwapsRoundAndChannel", "--like", "data", *FEW)
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[0] == "FAIL  C1 labels_are_honoured"
    assert "(r=1, c=0, z=0)" in lines[1]
    assert lines[3:5] == ["", "pass  shapes_agree"]
    assert lines[-1].endswith("check --explain labels_are_honoured")


@pytest.mark.parametrize(
    "arguments",
    [
        ["mine.py:SwapsRoundAndChannel", "--like", "data"],
        ["mine.py:SwapsRoundAndChannel", *SIZES],
        ["mine.py:Describes"],
    ],
)
def test_the_extent_is_known_as_for_load(data, told, arguments):
    told.report = report_of()
    run("check", *arguments)
    make, extent, expected = told.arguments
    assert make().inner.extent == extent == data.extent()
    assert (expected is not None) is ("--like" in arguments)
    if expected is not None:
        assert expected.root.samefile(data.root)
    assert make() is not make()


@pytest.mark.parametrize(
    ("factory", "words"),
    [("fails", "no microscope"), ("exits", "SystemExit"), ("hangs", "did not return")],
)
def test_a_fetcher_that_cannot_be_made_is_a_finding(data, factory, words):
    only = ("--only", "fetcher_can_be_made", "--deadline", 0.5)
    result = run("check", f"mine.py:{factory}", "--like", "data", *only)
    assert result.exit_code == 1
    assert "FAIL  C1 fetcher_can_be_made" in result.stdout
    assert words in result.stdout
    assert not result.stderr


@pytest.mark.parametrize("factory", ["hangs", "hangs_in_a_pool"])
def test_the_process_ends_though_the_fetcher_does_not(data, factory):
    options = ("--only", "fetcher_can_be_made", "--deadline", 0.5)
    start = time.perf_counter()
    result = in_process("check", f"mine.py:{factory}", "--like", "data", *options)
    assert time.perf_counter() - start < 20
    assert result.returncode == 1
    assert "did not return" in result.stdout


def test_options_reach_the_checks(told, data):
    run("check", "data", *FEW, "--deadline", "2.5", "--exhaustive", "--seed", 7)
    told.options.pop("progress")
    assert told.options == {
        "deadline": 2.5,
        "exhaustive": True,
        "seed": 7,
        "checks": ("labels_are_honoured", "shapes_agree"),
    }
    run("check", "data")
    assert told.options["checks"] == tuple(CHECKS)
    assert told.options["deadline"] is None


def test_what_a_fetcher_prints_is_kept_out_of_the_report(data):
    result = run("check", "mine.py:Prints", "--like", "data", *FEW, "--json")
    assert json.loads(result.stdout)["ok"]
    assert "hello" in result.stderr


def test_json_is_a_report(told, data):
    result = run("check", "data", "--json")
    assert result.exit_code == 1
    fields = json.loads(result.stdout)
    assert fields["command"] == "check"
    assert (fields["fetcher"], fields["like"], fields["ok"]) == ("data", None, False)
    assert Report.from_json(result.stdout) == EVERYTHING


@pytest.mark.parametrize(
    ("results", "options", "status"),
    [
        ([FAILED, WARNED], [], 1),
        ([WARNED, *SKIPPED], [], 0),
        ([WARNED], ["--strict"], 1),
        ([*SKIPPED], ["--strict"], 0),
        ([FAILED], ["--expect-failure", "labels_are_honoured=the robot = mad"], 0),
        ([WARNED], ["--strict", "--expect-failure", "memory_is_bounded=small"], 0),
        ([WARNED, FAILED], ["--expect-failure", "memory_is_bounded=small"], 1),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_exit_status(told, data, monkeypatch, results, options, status, as_json):
    for name in ("labels_are_honoured", "memory_is_bounded"):
        monkeypatch.setitem(CHECKS, name, CHECKS.get(name))
    told.report = report_of(*results)
    result = run("check", "data", *options, *(["--json"] if as_json else []))
    assert result.exit_code == status
    if as_json:
        assert json.loads(result.stdout)["ok"] is (status == 0)
    assert ("With --strict, a warning is a failure." in result.stdout) is (
        "--strict" in options and status == 1 and not as_json
    )


def test_an_expected_failure_that_passes_is_one(data):
    expect = ("--expect-failure", "shapes_agree=once it failed")
    result = run("check", "data", "--only", "shapes_agree", *expect)
    assert result.exit_code == 1
    assert "It no longer fails, which was expected (once it failed)." in result.stdout
    assert "Remove it from the expected failures." in result.stdout


def test_junit_is_written_whole_and_named_for_the_fetcher(told, data, tmp_path):
    (tmp_path / "check.xml").write_text("from before")
    result = run("check", "data", "--junit", "check.xml")
    assert result.exit_code == 1
    assert "junit in check.xml" in result.stdout
    (suite,) = ElementTree.parse("check.xml").getroot()
    assert suite.get("name") == "data"
    assert (suite.get("tests"), suite.get("failures")) == ("7", "1")
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == [
        "check.xml",
        "mine.py",
    ]
    json.loads(run("check", "data", "--junit", "check.xml", "--json", "--strict").stdout)
    assert ElementTree.parse("check.xml").getroot()[0].get("failures") == "2"


def test_junit_that_cannot_be_written_leaves_what_was_there(told, data, monkeypatch):
    Path("check.xml").write_text("from before")
    monkeypatch.setattr(Report, "to_junit", lambda *_, **__: 1 / 0)
    assert run("check", "data", "--junit", "check.xml").exit_code == 1
    assert Path("check.xml").read_text() == "from before"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Missing argument 'FETCHER'"),
        (["nowhere"], "there is no 'nowhere'"),
        (["nowhere.py:make", "--like", "data"], "there is no file 'nowhere.py'"),
        (["mine.py:nothing", "--like", "data"], "mine.py has no 'nothing'"),
        (["mine.py:right", "--like", "nowhere"], "nowhere holds no dataset"),
        (["mine.py:SwapsRoundAndChannel"], "the extent is not known: give --rounds"),
        (["mine.py:right", "--like", "data", *SIZES], "--like gives the labels"),
        (["data", "--like", "data"], "leave out --like"),
        (["data", "--fov", "9"], "--fov"),
        (["data", "--only", "label_are_honored"], "did you mean labels_are_honoured"),
        (["data", "--only", "qqqq"], "there are fetcher_can_be_made, every_tile"),
        (["data", "--expect-failure", "shapes_agree"], "'shapes_agree' is no CHECK=REASON"),
        (["data", "--expect-failure", "shapes_agree= "], "say why, in words"),
        (["data", "--expect-failure", "shape_agree=x"], "did you mean shapes_agree"),
        (["data", *FEW, "--expect-failure", "tiles_repeat=x"], "there is no check 'tiles_repeat'"),
        (
            ["data", "--expect-failure", "shapes_agree=x", "--expect-failure", "shapes_agree=y"],
            "shapes_agree is given more than once",
        ),
        (["data", "--deadline", "0"], "--deadline"),
        (["data", "--deadline", "nan"], "--deadline"),
        (["data", "--deadline", "inf"], "--deadline"),
        (["data", "--junit", "no/where.xml"], "--junit: there is no folder"),
        (["data", "--junit", "."], "is a directory"),
        (["--explain", "labels_honoured"], "--explain: there is no check 'labels_honoured'; did"),
    ],
)
def test_what_is_asked_wrongly(data, arguments, words):
    result = run("check", *arguments)
    assert words in said_in_one_line(result, 2)
    assert not result.stdout


def test_into_a_file_goes_plain_text(told, data):
    lines = run("check", "data").stdout.splitlines()
    assert lines[:4] == [
        "FAIL  C1 labels_are_honoured",
        "      tile (fov=3, round=1, ch=0, zplane=7) holds the pixels of round 4.",
        "      11 more do.",
        "      Build the path from round_label.",
    ]
    assert "warn  C13 memory_is_bounded (a suspicion)" in lines
    assert "skip  orientation_is_kept, intensities_are_untouched: no oracle was given" in lines
    assert "pass  shapes_agree, dtypes_agree" in lines
    assert EVERYTHING.summary() in lines
    assert not any("\x1b" in line or line != line.rstrip() for line in lines)


@pytest.mark.parametrize("width", [80, 120])
def test_at_a_terminal_it_fits(told, data, monkeypatch, width):
    told.report = report_of(
        *(Result(name, "C1", "fail", "many words " * 30, "x" * 200) for name in CHECKS)
    )
    shown = at_a_terminal(monkeypatch, width)
    run("check", "data")
    lines = shown.getvalue().splitlines()
    assert width - 15 < max(map(len, lines)) <= width
    assert "\x1b" not in shown.getvalue()
    assert shown.getvalue().count("FAIL") == len(CHECKS)


def test_colours_at_a_terminal(told, data, monkeypatch):
    shown = at_a_terminal(monkeypatch, 80, color=True)
    run("check", "data")
    assert "\x1b[1;31mFAIL\x1b[0m" in shown.getvalue()
    assert "\x1b[1;33mwarn\x1b[0m" in shown.getvalue()


@pytest.mark.parametrize("terminal", [False, True])
def test_nothing_quoted_steers_the_terminal(told, data, monkeypatch, terminal):
    bad = "r\x1b[2J\x07.tiff"
    told.report = report_of(
        *(Result(f"is_{status}", bad, status, bad, bad) for status in ("fail", "warn", "skip"))
    )
    shown = at_a_terminal(monkeypatch, 80) if terminal else None
    result = run("check", "data")
    text = shown.getvalue() if shown else result.stdout
    assert text.count(r"\x1b[2J\x07") == 7
    assert "\x1b" not in text
    assert "\x07" not in text


def test_a_sample_and_a_lack_of_knowledge_are_said_with_their_remedies(told, data):
    text = run("check", "data").stdout
    assert "--exhaustive" not in text
    assert "--like" not in text
    told.report = report_of(*SKIPPED, tiles_read=3, has_oracle=False)
    text = run("check", "data").stdout
    assert "--exhaustive reads all" in text
    assert "give --like with a dataset" in text
    assert "--explain" not in text


def test_a_bar_is_shown_at_a_terminal_alone(data, monkeypatch):
    advanced = []

    def progress_bar(shown, description, total):
        assert (description, total) == ("checks", 2)
        advanced.append(shown)
        return __import__("contextlib").nullcontext(advanced.append)

    monkeypatch.setattr("starfish_fetch.cli._check.progress_bar", progress_bar)
    run("check", "data", *FEW)
    monkeypatch.setattr("starfish_fetch.cli._check.wants_progress", lambda: True)
    run("check", "data", *FEW)
    assert advanced == [False, 0, 1, 1, True, 0, 1, 1]


def test_list_has_every_check(monkeypatch):
    text = run("check", "--list").stdout
    assert [line.split()[1] for line in text.splitlines()[1:]] == list(CHECKS)
    assert "``" not in text
    fields = json.loads(run("check", "--list", "--json").stdout)["checks"]
    assert [one["name"] for one in fields] == list(CHECKS)
    assert fields[0]["summary"] == CHECKS[fields[0]["name"]].summary
    shown = at_a_terminal(monkeypatch, 80)
    run("check", "--list")
    assert max(map(len, shown.getvalue().splitlines())) <= 80


def check_something(subject):
    """Something holds.

    People break ``it`` in two ways, of which one is told here at such a length that the line has
    to be wrapped:

    Wrong::

        def tile_data(self):

            return imread(self.path)

    Right::

        return "``" + path
    """


@pytest.fixture
def something(monkeypatch):
    check = Check("something", "C11", "warn", "It ``matters``.", check_something)
    monkeypatch.setitem(CHECKS, "something", check)
    return check


def test_explain_prints_the_story_as_it_is_into_a_file(something):
    text = run("check", "--explain", "something").stdout
    rule = "Writing into a returned array changes nothing that is returned later."
    assert text == (
        f"C11 something (warn)\nRule C11: {rule}\nWhy: It ``matters``.\n\n{something.story}\n"
    )
    fields = json.loads(run("check", "--explain", "something", "--json").stdout)
    assert (fields["name"], fields["story"]) == ("something", something.story)
    assert fields["rule_says"] == rule


def test_explain_wraps_prose_and_keeps_code_at_a_terminal(something, monkeypatch):
    shown = at_a_terminal(monkeypatch, 60)
    run("check", "--explain", "something")
    lines = [line.rstrip() for line in shown.getvalue().splitlines()]
    assert max(map(len, lines)) <= 60
    assert lines[1:4] == [
        "Rule C11: Writing into a returned array changes nothing that",
        "is returned later.",
        "Why: It matters.",
    ]
    assert "People break it in two ways, of which one is told here at" in lines
    for code in ("def tile_data(self):", "    return imread(self.path)", 'return "``" + path'):
        assert f" {code}" in lines
    assert "Wrong:" in lines
    assert "Right:" in lines
    assert not any("```" in line for line in lines)


def test_explain_highlights_code_at_a_terminal(something, monkeypatch):
    shown = at_a_terminal(monkeypatch, 80, color=True)
    run("check", "--explain", "something")
    assert "\x1b[94mdef\x1b[0m" in shown.getvalue()


@pytest.mark.parametrize("name", list(CHECKS))
def test_every_story_can_be_told(name, monkeypatch):
    shown = at_a_terminal(monkeypatch, 80)
    assert run("check", "--explain", name).exit_code == 0
    assert "see starfish_fetch.contract" not in shown.getvalue()
    assert max(map(len, shown.getvalue().splitlines())) <= 80
    assert "```" not in shown.getvalue()
    assert "::" not in shown.getvalue().replace("[::", "")
