"""The checks as test cases: one each, named as it is, and quick to run alone."""

from __future__ import annotations

import shlex
import sys

import pytest
from test_cli import run
from test_tutorial import readme_blocks

from starfish_fetch import Extent, MissingExtraError
from starfish_fetch.testing import CHECKS, fetcher_checks

pytest_plugins = ["pytester"]

EXTENT = Extent({"y": 8, "x": 6}, 0, range(2), range(2), range(2))

FETCHER = """
    import numpy as np
    import pytest
    from starfish_fetch import Extent
    from starfish_fetch.testing import fetcher_checks

    IMAGE = np.arange(8 * 48, dtype=np.uint16).reshape(2, 2, 2, 8, 6)
    EXTENT = Extent({"y": 8, "x": 6}, 0, range(2), range(2), range(2))

    def expected(r, c, z):
        return IMAGE[r, c, z]

    class Tile:
        shape = {"y": 8, "x": 6}

        def __init__(self, r, c, z):
            self.pixels = IMAGE[r, c, z].copy()
            self.coordinates = {"xc": (0.0, 0.6), "yc": (0.0, 0.8), "zc": (1.0 * z, z + 1.0)}

        def tile_data(self):
            return self.pixels.copy()

    class Fetcher:
        made = 0

        def __init__(self):
            type(self).made += 1

        def get_tile(self, fov, r, c, z):
            if fov != 0 or min(r, c, z) < 0:
                raise ValueError(f"there is no tile {(fov, r, c, z)}")
            return Tile(r, c, z)

    class SwapsRoundAndChannel(Fetcher):
        def get_tile(self, fov, r, c, z):
            return super().get_tile(fov, c, r, z)

    class Unpicklable(Fetcher):
        def __init__(self):
            self.opened = lambda: None
"""


@pytest.fixture
def session(pytester):
    def run(code: str, *options: str):
        pytester.makepyfile(FETCHER + code)
        return pytester.runpytest_inprocess("-p", "no:cacheprovider", *options)

    return run


def test_there_is_a_case_for_each_check_named_as_it_is(session):
    result = session(
        """
    @fetcher_checks(Fetcher, EXTENT, expected)
    def test_it(check):
        check()
    """,
        "--collect-only",
        "-q",
    )
    collected = [line.partition("::")[2] for line in result.outlines if "::" in line]
    assert collected == [f"test_it[{name}]" for name in CHECKS]


def test_a_right_fetcher_passes_or_skips_with_a_reason(session):
    result = session(
        """
    @fetcher_checks(Fetcher, EXTENT, expected)
    def test_it(check):
        check()
    """,
        "-rs",
    )
    counts = result.parseoutcomes()
    assert set(counts) <= {"passed", "skipped", "warnings"}
    assert counts["passed"] + counts["skipped"] == len(CHECKS)
    result.stdout.fnmatch_lines(["SKIPPED * does not declare thread_safe*"])


def test_a_failure_says_what_was_found_and_what_to_change_and_shows_no_helper(session):
    result = session(
        """
    @fetcher_checks(SwapsRoundAndChannel, EXTENT, expected)
    def test_it(check):
        check()
    """,
        "-k",
        "labels_are_honoured or shapes_agree",
    )
    result.assert_outcomes(failed=1, passed=1, deselected=len(CHECKS) - 2)
    result.stdout.fnmatch_lines(
        [
            ">       check()",
            "E       AssertionError: C1 labels_are_honoured: tile*round*swapped*",
            "E       Build *",
            "E       (starfish-fetch check --explain labels_are_honoured)",
        ]
    )
    result.stdout.no_fnmatch_line("*_pytest.py*")
    result.stdout.no_fnmatch_line("*def __call__*")


def test_each_case_runs_its_own_check_alone_from_fresh_fetchers(session):
    result = session(
        """
    from starfish_fetch.testing import _pytest
    ran = []
    check_fetcher = _pytest.check_fetcher

    @pytest.fixture(autouse=True)
    def seen(monkeypatch):
        def spy(*arguments, **options):
            ran.append((options["checks"], options["seed"], options["exhaustive"]))
            return check_fetcher(*arguments, **options)
        monkeypatch.setattr(_pytest, "check_fetcher", spy)

    @fetcher_checks(Fetcher, EXTENT, checks=["tiles_repeat", "shapes_agree"], seed=3,
                    exhaustive=True, deadline=20)
    def test_it(check):
        Fetcher.made = 0
        check()
        assert Fetcher.made

    def test_last():
        assert ran == [(["tiles_repeat"], 3, True), (["shapes_agree"], 3, True)]
    """
    )
    result.assert_outcomes(passed=3)


WARNS = """
    @fetcher_checks(Unpicklable, EXTENT, expected, checks=["pickling_keeps_pixels"])
    def test_it(check):
        check()
"""


@pytest.mark.parametrize("option", ["default", "error", "error::UserWarning", "always"])
def test_a_warning_is_listed_and_no_error(session, option):
    result = session(WARNS, "-W", option)
    result.assert_outcomes(passed=1, warnings=1)
    result.stdout.fnmatch_lines(
        ["*test_a_warning*.py:*: FetcherWarning: C6 pickling_keeps_pixels: *", "*    check()"]
    )


def test_a_warning_is_an_error_for_somebody_who_says_so(session):
    category = "starfish_fetch.testing.report.FetcherWarning"
    result = session(WARNS, "-W", "error", "-W", f"error::{category}")
    result.assert_outcomes(failed=1)
    session(WARNS, "-W", f"ignore::{category}").assert_outcomes(passed=1, warnings=0)


def test_expected_failures_have_to_fail(session):
    result = session(
        """
    @fetcher_checks(SwapsRoundAndChannel, EXTENT, expected,
                    checks=["labels_are_honoured", "shapes_agree", "threads_agree"],
                    expected_failures={"labels_are_honoured": "the robot's fault",
                                       "shapes_agree": "once it failed",
                                       "threads_agree": "it has none"})
    def test_it(check):
        check()

    @fetcher_checks(Unpicklable, EXTENT, expected, checks=["pickling_keeps_pixels"],
                    expected_failures={"pickling_keeps_pixels": "it holds a socket"})
    def test_warned(check):
        check()
    """,
        "-rxs",
    )
    result.assert_outcomes(xfailed=2, failed=1, skipped=1)
    result.stdout.fnmatch_lines(
        [
            "E       AssertionError: C2 shapes_agree: It no longer fails, which was expected "
            "(once it failed).",
            "E       Remove it from the expected failures.",
        ]
    )
    result.stdout.fnmatch_lines(
        ["XFAIL *labels_are_honoured* expected (the robot's fault): tile (fov=0*"]
    )


def test_image_and_oracle_may_come_late(session):
    result = session(
        """
    from functools import cache
    import synth
    from starfish_fetch import Layout

    written = []

    @pytest.fixture(scope="session", autouse=True)
    def folder(tmp_path_factory):
        written.append(tmp_path_factory.mktemp("data") / "data")

    @cache
    def dataset():
        return synth.write(synth.Spec(2, 2, 2, (32, 16)), Layout.per_round(), written[0])

    @fetcher_checks(lambda: dataset().fetcher(), lambda: dataset().extent(), dataset,
                    checks=["labels_are_honoured", "orientation_is_kept"])
    def test_it(check):
        check()
    """
    )
    result.assert_outcomes(passed=2)


def test_other_parameters_and_fixtures_go_with_it(session):
    result = session(
        """
    @pytest.mark.parametrize("number", [1, 2])
    @fetcher_checks(Fetcher, EXTENT, checks=["shapes_agree"])
    def test_it(check, number, tmp_path):
        check()
    """
    )
    result.assert_outcomes(passed=2)


def test_the_test_file_in_the_readme_runs(pytester):
    command = next(line for line in readme_blocks("sh")[2].splitlines() if "write" in line)
    assert run(*shlex.split(command, comments=True)[1:]).exit_code == 0
    pytester.makepyfile(
        my_fetcher="from synth import Dataset\ndef make(): return Dataset.open('data').fetcher()",
        test_it=readme_blocks("python")[1],
    )
    pytester.syspathinsert()
    counts = pytester.runpytest_inprocess("-p", "no:cacheprovider").parseoutcomes()
    assert set(counts) <= {"passed", "skipped"}
    assert sum(counts.values()) == len(CHECKS)


@pytest.mark.parametrize(
    ("changed", "error", "words"),
    [
        ({"checks": ["labels_are_honored"]}, ValueError, "did you mean labels_are_honoured"),
        ({"checks": "tiles_repeat"}, TypeError, r"use \['tiles_repeat'\]"),
        ({"expected_failures": {"tiles_repeats": "x"}}, ValueError, "did you mean tiles_repeat"),
        ({"expected_failures": {"tiles_repeat": ""}}, ValueError, "say why, in words"),
        (
            {"expected_failures": {"tiles_repeat": "x"}, "checks": ["shapes_agree"]},
            ValueError,
            "no check 'tiles_repeat'",
        ),
        ({"make_fetcher": "Fetcher"}, TypeError, "make_fetcher must be a function"),
        ({"extent": (8, 6)}, TypeError, "extent must be an Extent"),
    ],
)
def test_what_is_asked_wrongly_is_told_at_decoration(changed, error, words):
    with pytest.raises(error, match=words):
        fetcher_checks(**{"make_fetcher": object, "extent": EXTENT, **changed})


def test_without_pytest_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pytest", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'starfish-fetch\[testing\]'"):
        fetcher_checks(object, EXTENT)
