"""``starfish-fetch demo``: what it measures is verified, and what is wrong is found."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from test_cli import in_process, run, said_in_one_line

import starfish_fetch as sf
import synth
from starfish_fetch.cli import _demo
from starfish_fetch.cli._demo import FETCHERS, ORDERS, OneFileFetcher, files_per
from synth import Dataset

TINY = ("demo", "--rounds", "3", "--chs", "2", "--zplanes", "2", "--size", "12x8", "--repeat", "1")
LAYOUTS = ("per-round", "per-round-ch", "per-tile", "single-file")
NO_FILE_OPENS = {"per-round": 3, "per-round-ch": 6, "per-tile": 12, "single-file": 1}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def opens(report, layout: str, fetcher: str) -> dict[str, int]:
    (found,) = [
        one for one in report["results"] if (one["layout"], one["fetcher"]) == (layout, fetcher)
    ]
    return {",".join(row["group_by"] or ["None"]): row["opens"] for row in found["orders"]}


def test_every_pixel_of_every_load_is_verified():
    result = run(*TINY, "--json")
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["ok"]
    assert [(one["layout"], one["fetcher"]) for one in report["results"]] == [
        (layout, fetcher) for layout in LAYOUTS for fetcher in FETCHERS
    ]
    for one in report["results"]:
        assert [row["group_by"] for row in one["orders"]] == [
            None if order is None else list(order) for order in ORDERS
        ]
        for row in one["orders"]:
            assert row["pixels"] == row["pixels_right"] == 3 * 2 * 2 * 12 * 8
            assert row["seconds"] > 0
            assert row["ratio_to_best"] >= 1


def test_opens_are_those_of_a_cache_of_one_file():
    report = json.loads(run(*TINY, "--json").stdout)
    extent = sf.Extent({"y": 12, "x": 8}, 0, range(3), range(2), range(2))
    labels = extent.rounds, extent.chs, extent.zplanes
    for name in LAYOUTS:
        layout = getattr(sf.Layout, name.replace("-", "_"))()
        sources = [layout.path(0, *key) for key in sf.LoadPlan(*labels)]
        # A fetcher that names no sources is loaded in the order r, c, z when none is given.
        expected = {
            ",".join(order or ["None"]): sf.LoadPlan(
                *labels, group_by=order or "rcz", sources=sources
            ).predicted_opens()
            for order in ORDERS
        }
        assert opens(report, name, "OneFileFetcher") == expected
        assert set(opens(report, name, "TiffTileFetcher").values()) == {NO_FILE_OPENS[name]}


def test_tables_name_orders_opens_and_pixels():
    result = run(*TINY)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    header = ["order", "seconds", "file opens", "ratio to best", "pixels verified"]
    assert sum(re.split(" {2,}", line.strip()) == header for line in lines) == 8
    assert sum(line.startswith("c,z,r ") and line.endswith(" 1,152") for line in lines) == 8
    assert "With one file per round, the order " in result.stdout
    assert "open files 12 times instead of 3" in result.stdout
    assert "group_by=('r',)" in result.stdout


def test_words_follow_what_was_measured():
    """Where no order costs more, the words do not say that one does."""
    result = run(*TINY, "--layout", "single-file")
    assert "no load order opened more files than another" in result.stdout
    assert "instead of" not in result.stdout


def test_output_to_a_file_is_plain_and_not_wrapped():
    result = in_process(*TINY, "--layout", "per-tile")
    assert (result.returncode, result.stderr) == (0, "")
    assert "\x1b" not in result.stdout
    first = result.stdout.splitlines()[0]
    assert first.startswith("One image")
    assert first.endswith("Seconds: of one load.")


def test_a_template_and_its_inner_axes():
    arguments = (*TINY, "--layout", "r{r}/z{z:03d}.tif", "--inner", "c", "--keep", "kept", "--json")
    report = json.loads(run(*arguments).stdout)
    assert {one["layout"] for one in report["results"]} == {"r-r-z-z-03d-tif"}
    assert {one["words"] for one in report["results"]} == {"one file per round and z-plane"}
    assert Dataset.open("kept/r-r-z-z-03d-tif").verify().ok


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float16", "float64"])
def test_any_dtype_and_content(dtype):
    options = ("--layout", "per-round", "--dtype", dtype, "--content", "index", "--seed", "4")
    result = run(*TINY[:-3], "16", *options, "--compression", "deflate", "--repeat", "1", "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["image"]["dtype"] == dtype


def test_nothing_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    run(*TINY, "--layout", "per-round")
    assert list(tmp_path.iterdir()) == []


def test_a_corrupted_pixel_is_found(tmp_path):
    arguments = (*TINY, "--keep", "kept", "--layout", "per-round-ch")
    assert run(*arguments).exit_code == 0
    damaged = tmp_path / "kept/per-round-ch/fov0_r1_c0.tiff"
    spec = Dataset.open(damaged.parent).spec
    pixels = synth.tile(spec, 0, 1, 0, 1).tobytes()
    content = bytearray(damaged.read_bytes())
    content[content.index(pixels) + 2 * 10] ^= 1  # row 1, column 2
    damaged.write_bytes(content)
    result = in_process(*arguments)
    assert result.returncode == 1
    assert result.stderr == ""
    wrong = [line for line in result.stdout.splitlines() if line.startswith("WRONG: ")]
    assert len(wrong) == 14
    for line in wrong:
        assert "tile (fov=0, round=1, ch=0, zplane=1): 1 of 96 pixels are wrong" in line
        assert "row 1, column 2" in line
    assert "1,151 of 1,152" in result.stdout
    report = json.loads(run(*arguments, "--json").stdout)
    assert not report["ok"]


def test_a_fetcher_that_mixes_up_labels_is_found(monkeypatch):
    class SwapsRoundAndChannel(OneFileFetcher):
        def get_tile(self, fov_id, round_label, ch_label, zplane_label):
            return super().get_tile(fov_id, ch_label, round_label, zplane_label)

    monkeypatch.setitem(_demo.FETCHERS, "OneFileFetcher", SwapsRoundAndChannel)
    options = ("--rounds", 2, "--chs", 2, "--size", 16, "--content", "index", "--repeat", 1)
    result = run("demo", *options, "--layout", "per-round")
    assert result.exit_code == 1
    assert "tile (fov=0, round=0, ch=1, zplane=0): " in result.stdout
    assert "it holds round 1, channel 0, z-plane 0" in result.stdout


def test_a_wrong_pixel_in_one_load_of_several_is_found(monkeypatch):
    loads = []
    original = _demo.ImageStack.to_numpy

    def once_wrong(stack):
        array = original(stack)
        loads.append(array)
        if len(loads) == 20:
            array[0, 0, 0, 0, 0] += 0.5
        return array

    monkeypatch.setattr(_demo.ImageStack, "to_numpy", once_wrong)
    result = run(*TINY[:-1], "3", "--layout", "per-round")
    assert result.exit_code == 1
    assert result.stdout.count("WRONG: ") == 1


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_the_plot_is_written(tmp_path, kind):
    pytest.importorskip("matplotlib")
    result = run(*TINY, "--layout", "per-round", "--layout", "per-tile", "--plot", f"plot.{kind}")
    assert result.exit_code == 0, result.stderr
    assert f"plot in plot.{kind}" in result.stdout
    content = (tmp_path / f"plot.{kind}").read_bytes()
    if kind == "png":
        import imageio.v3

        pixels = imageio.v3.imread(content)
        assert pixels.shape[:2] == (900, 1600)
        assert np.all(pixels[0, 0] == 255)
    else:
        assert b"<svg" in content
    assert [path.name for path in tmp_path.iterdir()] == [f"plot.{kind}"]


def test_the_plot_without_matplotlib_is_refused_before_the_work(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    monkeypatch.setattr(_demo, "measure_layout", None)
    said = said_in_one_line(run(*TINY, "--plot", "plot.png"), 1)
    assert said == "--plot needs matplotlib: pip install 'starfish-fetch[plot]'"


def test_a_plot_that_fails_leaves_no_file(tmp_path, monkeypatch):
    figure = pytest.importorskip("matplotlib.figure")

    def full(self, path, **options):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(figure.Figure, "savefig", full)
    result = run(*TINY, "--layout", "per-round", "--plot", "plot.png")
    assert said_in_one_line(result, 1) == "plot.png: No space left on device"
    assert list(tmp_path.iterdir()) == []


def test_kept_files_of_another_image_are_not_touched():
    run(*TINY, "--keep", "kept", "--layout", "per-round")
    said = said_in_one_line(run(*TINY, "--keep", "kept", "--layout", "per-round", "--seed", 9), 1)
    assert "spec.seed is 0 there and 9 here" in said


@pytest.mark.parametrize(
    ("layout", "words"),
    [
        (sf.Layout.per_round(), "one file per round"),
        (sf.Layout("{c}_{z}.tif", inner=("r",)), "one file per channel and z-plane"),
        (sf.Layout.per_tile(), "one file per tile"),
        (sf.Layout.single_file(), "a single file"),
    ],
)
def test_files_per(layout, words):
    assert files_per(layout) == words
