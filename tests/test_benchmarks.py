"""The benchmarks run: nothing here says how fast anything is."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
TOGETHER = (
    "MemoryAndCalls|PerTile|Crops|Convert.time|synth_write|Plan|track_ratio_(opens|crop|memory)"
)

pytestmark = pytest.mark.skipif(
    not (REPOSITORY / "asv.conf.json").exists(), reason="the benchmarks are in the repository alone"
)


def run(*arguments, home, cwd=REPOSITORY):
    environment = {**os.environ, "HOME": str(home), "STARFISH_FETCH_BENCH": "tiny"}
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home of asv's own, where it writes down what machine this is."""
    pytest.importorskip("asv")
    if not (REPOSITORY / ".git").exists():
        pytest.skip("asv needs the git repository")
    home = tmp_path_factory.mktemp("home")
    assert run("asv", "machine", "--yes", home=home).returncode == 0
    return home


def test_asv_finds_no_fault_with_the_suites(home):
    finished = run("asv", "check", "-E", "existing:same", home=home)
    assert finished.returncode == 0, finished.stdout + finished.stderr


def test_a_quick_run_of_some_suites_succeeds(home):
    finished = run(
        *("asv", "run", "-E", "existing:same", "--quick", "--dry-run", "--show-stderr"),
        *("--bench", TOGETHER),
        home=home,
    )
    output = finished.stdout + finished.stderr
    assert finished.returncode == 0, output
    assert "failed" not in output, output
    assert "track_ratio_opens_over_sources" in output


def test_the_table_of_figures_is_printed(tmp_path):
    pytest.importorskip("rich")
    names = ("opens_over_sources", "crop_bytes_over_wanted", "memory_over_loop")
    finished = run("benchmarks.limits", "--quick", "--only", *names, home=tmp_path)
    assert finished.returncode in (0, 1), finished.stderr
    assert "number of sources" in finished.stdout


def test_the_figures_as_json(tmp_path):
    pytest.importorskip("rich")
    finished = run(
        "benchmarks.limits", "--json", "--only", "opens_over_sources", "plan_seconds", home=tmp_path
    )
    opens, plan = json.loads(finished.stdout)["figures"]
    assert opens["measured"]["low"] == opens["measured"]["high"] == 1
    assert plan["unit"] == "s"


def test_a_figure_that_is_unknown_is_asked_wrongly(tmp_path):
    finished = run("benchmarks.limits", "--only", "speed", home=tmp_path)
    assert finished.returncode == 2
    assert "tiff_over_loop" in finished.stderr


def test_growth_is_measured_and_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    picture = tmp_path / "scaling.png"
    finished = run("benchmarks.scaling", "--runs", "1", "--plot", str(picture), home=tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_going_elsewhere_is_measured(tmp_path):
    pytest.importorskip("dask")
    pytest.importorskip("ome_zarr")
    finished = run("benchmarks.elsewhere", "--json", "--only", "convert", "dask", home=tmp_path)
    assert finished.returncode == 0, finished.stderr
    rows = json.loads(finished.stdout)
    assert [row["reference"] for row in rows] == ["load of TIFF, per_round"] * 2 + ["load"] * 6
    assert all(row["measured"]["value"] > 0 for row in rows)


def test_the_hot_paths_run_under_pytest_benchmark(tmp_path):
    pytest.importorskip("pytest_benchmark")
    finished = run(
        *("pytest", "benchmarks/bench_hot_paths.py", "--benchmark-disable", "-q"),
        *("-p", "no:cacheprovider"),
        home=tmp_path,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr


def test_stored_results_are_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    machine = tmp_path / "results" / "lab"
    machine.mkdir(parents=True)
    about = {"loads.Loads.track_opens": {"unit": "opens", "param_names": ["group_by"]}}
    (machine.parent / "benchmarks.json").write_text(json.dumps({**about, "version": 2}))
    (machine / "machine.json").write_text("{}")
    for date, opens in enumerate(([4, 60], [4, 4])):
        stored = {
            "commit_hash": f"{date:040}",
            "date": date,
            "result_columns": ["result", "params", "version"],
            "results": {"loads.Loads.track_opens": [opens, [["'r,c,z'", "'c,z,r'"]], "1"]},
        }
        (machine / f"{date}.json").write_text(json.dumps(stored))
    picture = tmp_path / "results.png"
    command = ("benchmarks.results_plot", "--results", str(machine.parent), "--plot", str(picture))
    finished = run(*command, "--bench", "*opens", home=tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert run(*command, "--bench", "nothing", home=tmp_path).returncode == 2
