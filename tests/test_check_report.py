"""A report reaches its reader whole: as text, JSON and JUnit XML."""

from __future__ import annotations

import json
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starfish_fetch import Extent, TileKey
from starfish_fetch.testing.report import Report, Result, Status, printable

EXTENT = Extent({"y": 120, "x": 30}, 3, [1, 4], [0, 2], [-5, 0, 7])
FAILED = Result(
    "labels_are_honoured",
    "C1",
    "fail",
    "tile (fov=3, round=1, ch=0, zplane=7) holds the pixels of round 4.\n11 more do.",
    "Build the path from round_label.",
    (TileKey(1, 0, 7), TileKey(1, 2, 7)),
    seconds=0.25,
)
WARNED = Result("memory_is_bounded", "C13", "warn", "it keeps all.", "Keep one.", certain=False)
SKIPPED = (
    Result("threads_agree", "C7", "skip", "it does not say that it is thread-safe"),
    Result("orientation_is_kept", "C3", "skip", "no oracle was given"),
    Result("intensities_are_untouched", "C12", "skip", "no oracle was given"),
)
PASSED = (Result("shapes_agree", "C2", "pass"), Result("dtypes_agree", "C4", "pass"))


def report_of(*results: Result, **changed) -> Report:
    fields = {"tiles_read": 12, "has_oracle": True, "seed": 1, "seconds": 0.31, **changed}
    return Report(tuple(results), EXTENT, tiles_in_extent=12, **fields)


EVERYTHING = report_of(PASSED[0], SKIPPED[0], WARNED, SKIPPED[1], FAILED, SKIPPED[2], PASSED[1])


def test_the_text_has_what_is_worst_first_and_each_remedy():
    assert str(EVERYTHING) == (
        "FAIL  C1 labels_are_honoured\n"
        "      tile (fov=3, round=1, ch=0, zplane=7) holds the pixels of round 4.\n"
        "      11 more do.\n"
        "      Build the path from round_label.\n"
        "\n"
        "warn  C13 memory_is_bounded (a suspicion)\n"
        "      it keeps all.\n"
        "      Keep one.\n"
        "\n"
        "skip  threads_agree: it does not say that it is thread-safe\n"
        "skip  orientation_is_kept, intensities_are_untouched: no oracle was given\n"
        "\n"
        "1 failed, 1 warning, 2 passed, 3 skipped; 12 of 12 tiles read in 0.3 s; with an oracle"
    )


def test_of_the_failures_certainties_come_first_and_then_low_rules():
    ends: list[tuple[Status, str, bool]] = [
        ("fail", "C10", True),
        ("fail", "C1", False),
        ("warn", "C1", True),
        ("fail", "C2", True),
        ("fail", "C2", False),
        ("xfail", "C1", True),
    ]
    report = report_of(
        *(
            Result(f"c{number}", rule, status, certain=certain)
            for number, (status, rule, certain) in enumerate(ends)
        )
    )
    assert [one.check for one in report.worst_first()] == ["c3", "c0", "c1", "c4", "c2", "c5"]


@pytest.mark.parametrize(
    ("report", "line"),
    [
        (report_of(), "nothing was checked; 12 of 12 tiles read in 0.3 s; with an oracle"),
        (
            report_of(*PASSED, has_oracle=False, seconds=0.001),
            "2 passed; 12 of 12 tiles read in less than 0.1 s; without an oracle",
        ),
        (
            replace(report_of(WARNED, replace(WARNED, check="b")), tiles_in_extent=12_000),
            "2 warnings; 12 of 12,000 tiles read in 0.3 s; with an oracle",
        ),
    ],
)
def test_the_summary_counts(report, line):
    assert report.summary() == line


def test_a_sample_is_said_to_be_one_and_how_to_read_all():
    assert "exhaustive=True" in str(report_of(tiles_read=11))
    assert "exhaustive=True" not in str(report_of(tiles_read=12))
    assert "exhaustive=True" not in str(report_of(tiles_read=0))


def test_failures_raise_with_the_text_and_warnings_do_not():
    with pytest.raises(AssertionError) as raised:
        EVERYTHING.raise_for_failures()
    assert str(raised.value) == str(EVERYTHING)
    report_of(WARNED, *SKIPPED, *PASSED).raise_for_failures()


def test_what_is_expected_to_fail_may_and_must():
    reasons = {
        "labels_are_honoured": "the scanner numbers rounds from 1",
        "memory_is_bounded": "three tiles",
        "shapes_agree": "once it failed",
        "threads_agree": "no threads here",
    }
    report = EVERYTHING.expecting(reasons)
    assert [result.status for result in report] == [
        "fail", "skip", "xfail", "skip", "xfail", "skip", "pass",
    ]  # fmt: skip
    failed = report["labels_are_honoured"]
    assert failed.message.startswith("expected (the scanner numbers rounds from 1): tile (fov=3")
    assert (failed.remedy, failed.tiles) == (FAILED.remedy, FAILED.tiles)
    assert report["threads_agree"] == EVERYTHING["threads_agree"]
    mended = report["shapes_agree"]
    assert mended.message == "It no longer fails, which was expected (once it failed)."
    assert mended.remedy == "Remove it from the expected failures."
    assert not report.ok
    assert EVERYTHING.expecting({"labels_are_honoured": "known"}).ok
    assert "1 warning, 1 failed as expected, 2 passed" in (
        EVERYTHING.expecting({"labels_are_honoured": "known"}).summary()
    )


@pytest.mark.parametrize(
    ("reasons", "error", "words"),
    [
        ({"labels_honoured": "so"}, ValueError, "did you mean labels_are_honoured"),
        ({"qqq": "so"}, ValueError, "there are shapes_agree, threads_agree"),
        ({"shapes_agree": " "}, ValueError, "say why, in words"),
        ({"shapes_agree": None}, ValueError, "say why, in words"),
        (["shapes_agree"], TypeError, "write {'name_of_the_check': 'why it fails'}"),
    ],
)
def test_expectations_that_make_no_sense(reasons, error, words):
    with pytest.raises(error, match=words):
        EVERYTHING.expecting(reasons)


labels = st.integers(-(2**63), 2**63 - 1)
texts = st.text(st.characters())
seconds = st.floats(0, 1e9)
results = st.builds(
    Result,
    check=texts,
    rule=texts,
    status=st.sampled_from(Status.__args__),
    message=texts,
    remedy=texts,
    tiles=st.lists(st.builds(TileKey, labels, labels, labels), max_size=3).map(tuple),
    certain=st.booleans(),
    seconds=seconds,
)
axes = st.lists(labels, min_size=1, max_size=3, unique=True)
sizes = st.integers(1, 9999)
extents = st.builds(
    Extent, st.fixed_dictionaries({"y": sizes, "x": sizes}), labels, axes, axes, axes
)
counts = st.lists(st.integers(0), min_size=2, max_size=2).map(sorted)
reports = st.builds(
    lambda counts, **rest: Report(tiles_read=counts[0], tiles_in_extent=counts[1], **rest),
    counts,
    results=st.lists(results, max_size=4, unique_by=lambda one: one.check).map(tuple),
    extent=extents,
    has_oracle=st.booleans(),
    seed=st.integers(),
    seconds=seconds,
)


@given(reports)
def test_json_keeps_everything(report):
    text = report.to_json()
    assert text.isascii()
    assert Report.from_json(text) == report
    assert Report.from_json(text.encode()) == report


def test_json_is_what_its_documentation_says():
    fields = json.loads(EVERYTHING.to_json())
    assert fields["schema"] == "starfish-fetch/check/1"
    assert fields["ok"] is False
    assert fields["extent"] == {
        "tile_shape": {"y": 120, "x": 30},
        "fov": 3,
        "rounds": [1, 4],
        "chs": [0, 2],
        "zplanes": [-5, 0, 7],
    }
    assert fields["results"][4] == {
        "check": "labels_are_honoured",
        "rule": "C1",
        "status": "fail",
        "message": FAILED.message,
        "remedy": FAILED.remedy,
        "tiles": [{"round": 1, "ch": 0, "zplane": 7}, {"round": 1, "ch": 2, "zplane": 7}],
        "certain": True,
        "seconds": 0.25,
    }


def test_json_with_fields_of_a_later_version_is_read():
    fields = json.loads(EVERYTHING.to_json())
    fields["command"] = "check"
    fields["results"][0]["colour"] = "green"
    assert Report.from_json(json.dumps(fields)) == EVERYTHING


def changed(path: str, value: object) -> str:
    fields = here = json.loads(EVERYTHING.to_json())
    *parents, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    for step in parents:
        here = here[step]
    if value is None:
        del here[last]
    else:
        here[last] = value
    return json.dumps(fields)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "it is no JSON"),
        (b"\xff", "it is no JSON"),
        ("[" * 100_000, "it is no JSON"),
        ('{"schema": NaN}', "NaN is no JSON number"),
        ('{"schema": 1, "schema": 2}', "an object names 'schema' twice"),
        ("[]", r"its 'schema' is \[\], not 'starfish-fetch/check/1'; give what Report.to_json"),
        (changed("schema", "starfish-fetch/check/2"), "its 'schema' is 'starfish-fetch/check/2'"),
        (changed("schema", None), "its 'schema' is None"),
        (changed("results", {}), "'results' must be a list; got {}"),
        (changed("results.1", 3), r"'results\[1\]' must be an object; got 3"),
        (changed("results.1.check", 3), r"'results\[1\].check' must be a string; got 3"),
        (changed("results.1.check", "shapes_agree"), "'shapes_agree' is there twice"),
        (changed("results.1.status", "ok"), r"'results\[1\].status' must be one of fail, warn"),
        (changed("results.4.certain", 1), "certain' must be true or false; got 1"),
        (changed("results.4.seconds", True), "seconds' must be a number; got True"),
        (changed("results.4.seconds", -1), "must be a number of seconds; got -1.0"),
        (EVERYTHING.to_json().replace("0.25", "1e999"), "must be a number of seconds; got inf"),
        (changed("results.4.tiles.1", [1, 0, 7]), r"'results\[4\].tiles\[1\]' must be an object"),
        (changed("results.4.tiles.1.ch", 1.0), r"tiles\[1\].ch' must be an integer; got 1.0"),
        (changed("seed", None), "'seed' must be an integer; got None"),
        (changed("seed", True), "'seed' must be an integer; got True"),
        (changed("tiles_read", -1), "'tiles_read' must be at least 0; got -1"),
        (changed("tiles_read", 13), "'tiles_read' must be at most 'tiles_in_extent', 12; got 13"),
        (changed("has_oracle", "yes"), "'has_oracle' must be true or false"),
        (changed("extent", None), "'extent' must be an object; got None"),
        (changed("extent.tile_shape.y", None), "'extent.tile_shape.y' must be an integer"),
        (changed("extent.tile_shape.y", 0), "a tile has at least one row"),
        (changed("extent.rounds", []), "rounds is empty"),
        (changed("extent.rounds", [1, 1]), "more than once"),
        (changed("extent.chs", [0, True]), "'extent.chs' must be a list of integers"),
    ],
)
def test_what_is_no_report_is_refused_by_field(text, words):
    with pytest.raises(ValueError, match=words) as raised:
        Report.from_json(text)
    assert str(raised.value).startswith("this is no report of a check")


# As the schema of Jenkins's JUnit plugin, the narrowest of those in use, has it.
ATTRIBUTES = {
    "testsuites": {"name", "tests", "failures", "errors", "time"},
    "testsuite": {"name", "tests", "failures", "errors", "skipped", "time"},
    "properties": set(),
    "property": {"name", "value"},
    "testcase": {"name", "classname", "time"},
    "failure": {"message", "type"},
    "skipped": {"message", "type"},
    "system-out": set(),
}


@given(reports, texts, st.booleans())
def test_junit_is_well_formed_whatever_the_text(report, name, strict):
    xml = report.to_junit(name, strict=strict)
    root = ElementTree.fromstring(xml.encode("utf-8"))
    for element in root.iter():
        assert set(element.attrib) == ATTRIBUTES[element.tag]
    (suite,) = root
    cases = suite.findall("testcase")
    assert suite[0].tag == "properties"
    assert len(cases) == int(suite.get("tests")) == len(report.results) == len(suite) - 1
    assert len(suite.findall("testcase/failure")) == int(suite.get("failures"))
    assert len(suite.findall("testcase/skipped")) == int(suite.get("skipped"))
    assert all(len(case) <= 1 for case in cases)


def junit_outcomes(report: Report, **options) -> dict[str, ElementTree.Element | None]:
    suite = ElementTree.fromstring(report.to_junit(**options))[0]
    return {case.get("name"): next(iter(case), None) for case in suite.findall("testcase")}


def test_junit_has_a_case_for_each_check():
    outcomes = junit_outcomes(EVERYTHING.expecting({"labels_are_honoured": "known"}))
    assert outcomes["labels_are_honoured"].tag == "skipped"
    assert outcomes["labels_are_honoured"].get("message").startswith("expected (known): tile")
    outcomes = junit_outcomes(EVERYTHING)
    assert list(outcomes) == [result.check for result in EVERYTHING]
    failure = outcomes["labels_are_honoured"]
    assert failure.tag == "failure"
    assert failure.get("message") == FAILED.message
    assert FAILED.remedy in failure.text
    assert outcomes["memory_is_bounded"].tag == "system-out"
    assert "Keep one." in outcomes["memory_is_bounded"].text
    assert outcomes["threads_agree"].get("message") == SKIPPED[0].message
    assert outcomes["shapes_agree"] is None
    assert junit_outcomes(EVERYTHING, strict=True)["memory_is_bounded"].tag == "failure"


def test_junit_names_the_fetcher():
    suite = ElementTree.fromstring(EVERYTHING.to_junit("a.b/mine.py:make"))[0]
    assert suite.get("name") == "a.b/mine.py:make"
    assert suite.find("testcase").get("classname") == "a_b_mine_py_make.C2"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 中 \n\t", "plain é 中 \n\t"),
        ("\x1b[31m\r\x00\x7f\x9b", r"\x1b[31m\r\x00\x7f\x9b"),
        ("\ud800\uffff\u202e", r"\ud800\uffff\u202e"),
    ],
)
def test_what_a_terminal_would_obey_is_escaped(text, shown):
    assert printable(text) == shown
    assert shown.splitlines()[0] in str(report_of(replace(FAILED, message=text)))
    assert ElementTree.fromstring(report_of(replace(FAILED, message=text)).to_junit()) is not None
