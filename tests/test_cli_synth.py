"""``starfish-fetch synth``."""

from __future__ import annotations

import errno
import json

import pytest
import tifffile
from test_cli import WRITE, in_process, run, said_in_one_line

import synth
from synth import Dataset


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_write_writes_what_was_asked_for():
    result = run(
        *("synth", "write", "data", "--rounds", "1-2", "--chs", "0,3", "--zplanes=-1,0"),
        *("--size", "24x16", "--fovs", "5,", "--dtype", "uint8", "--content", "index"),
        *("--seed", "3", "--layout", "f{fov}/r{r}_z{z:+d}.tif", "--inner", "c"),
        *("--compression", "deflate", "--bigtiff", "--byteorder", "big", "--no-ome"),
    )
    assert result.exit_code == 0, result.stderr
    assert "4 files, 8 tiles of 24 x 16 pixels" in result.stdout
    assert "rounds 1,2; chs 0,3; zplanes -1,0; uint8, index, seed 3" in result.stdout
    dataset = Dataset.open("data")
    assert dataset.spec == synth.Spec([1, 2], [0, 3], [-1, 0], (24, 16), [5], "u1", "index", 3)
    assert sorted(dataset.files) == [f"f5/r{r}_z{z}.tif" for r in "12" for z in ("+0", "-1")]
    assert dataset.options.to_json() == {
        "compression": "deflate",
        "bigtiff": True,
        "byteorder": ">",
        "ome": False,
    }
    assert dataset.verify().ok


@pytest.mark.parametrize(
    ("preset", "files"),
    [
        ("per-round", 2),
        ("per-round-ch", 4),
        ("per-tile", 8),
        ("single-file", 1),
        ("per-ch", 2),
        ("per-zplane", 2),
        ("per_tile", 8),
    ],
)
def test_write_knows_the_presets(preset, files):
    assert json.loads(run(*WRITE, "--layout", preset, "--json").stdout)["files"] == files


def test_write_again_says_what_was_there():
    run(*WRITE, "--layout", "per-round")
    again = run(*WRITE, "--layout", "per-round")
    assert "2 files (2 of them were there, not looked into" in again.stdout


def test_write_over_another_dataset_is_refused():
    run(*WRITE, "--layout", "per-round")
    said = said_in_one_line(run(*WRITE, "--layout", "per-tile"), 1)
    assert "of another dataset" in said
    assert "Choose another folder" in said


def test_write_on_a_full_disk_leaves_nothing_half_written(monkeypatch, tmp_path):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tifffile.TiffWriter, "write", full)
    said = said_in_one_line(run(*WRITE, "--layout", "per-round", "--workers", 1), 1)
    assert said.startswith("No space left on device; while writing 'fov0_r0.tiff'")
    assert not list(tmp_path.glob("data/*.tiff*"))


def test_verify_finds_nothing_wrong_with_a_new_dataset():
    run(*WRITE, "--layout", "per-round")
    result = run("synth", "verify", "data")
    assert result.exit_code == 0
    assert result.stdout == "data: 2 files, 8 tiles: every pixel is right\n"
    report = json.loads(run("synth", "verify", "data", "--json").stdout)
    assert report["ok"]
    assert report["problems"] == []


def test_verify_lists_each_problem_in_a_line(tmp_path):
    run(*WRITE, "--layout", "per-tile")
    (tmp_path / "data/fov0_r1_c0_z1.tiff").unlink()
    damaged = tmp_path / "data/fov0_r0_c1_z0.tiff"
    pixels = Dataset.open("data").tile(0, 1, 0).tobytes()
    damaged.write_bytes(damaged.read_bytes().replace(pixels, pixels[::-1]))
    result = run("synth", "verify", "data")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert any("fov0_r1_c0_z1.tiff" in line and "is missing" in line for line in lines)
    assert any("fov0_r0_c1_z0.tiff" in line and "pixels differ" in line for line in lines)
    report = json.loads(run("synth", "verify", "data", "--json").stdout)
    assert not report["ok"]
    assert len(report["problems"]) == len(lines) - 1
    assert {one["path"] for one in report["problems"]} == {
        "fov0_r1_c0_z1.tiff",
        "fov0_r0_c1_z0.tiff",
    }


def test_verify_of_a_damaged_description_fails(tmp_path):
    (tmp_path / "dataset.json").write_text("{")
    assert "is not JSON" in said_in_one_line(run("synth", "verify", tmp_path), 1)


def test_in_a_process_of_its_own():
    written = in_process(*WRITE, "--layout", "per-round-ch", "--content", "index")
    assert (written.returncode, written.stderr) == (0, "")
    verified = in_process("synth", "verify", "data")
    assert (verified.returncode, verified.stderr) == (0, "")
    assert "every pixel is right" in verified.stdout


SPOTS = ("synth", "write", "data", "--content", "spots", "--size", "32x24", "--chs", "2")


def test_write_spots_with_their_truth(tmp_path):
    result = run(
        *SPOTS, "--fovs", "2", "--molecules", 20, "--targets", "actb,sox9", "--overlap", "0.25",
        "--spots", '{"brightness": 99, "psf": [2, 0.5, 0.5]}',
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    spec = Dataset.open("data").spec
    assert spec.spots == synth.Spots(
        molecules=20, targets=("actb", "sox9"), overlap=0.25, brightness=99, psf=(2, 0.5, 0.5)
    )
    count = sum(len(synth.molecules(spec, fov)) for fov in (0, 1))
    assert f"{count} molecules of 2 targets" in result.stdout
    beside = {path.name for path in tmp_path.glob("data/*") if path.suffix != ".tiff"}
    assert beside == {"codebook.json", "dataset.json", "truth_fov0.csv", "truth_fov1.csv"}
    assert run("synth", "verify", "data").exit_code == 0
    (tmp_path / "data/truth_fov1.csv").unlink()
    assert "truth_fov1.csv" in run("synth", "verify", "data").stdout


def test_write_takes_the_size_of_a_voxel():
    for given in ("0.3x0.1x0.2", "0.3 X .1 × 2e-1"):  # noqa: RUF001
        assert run("synth", "write", "data", "--voxel-size", given).exit_code == 0
        assert Dataset.open("data").spec.voxel_size == (0.3, 0.1, 0.2)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("0.3x0.1", "'0.3x0.1' is no voxel size: write ZxYxX in micrometres (1x0.5x0.5)"),
        ("axbxc", "'axbxc' is no voxel size"),
        ("1x0x1", "voxel_size must be three positive finite numbers"),
        ("1xnanx1", "voxel_size must be three positive finite numbers"),
    ],
)
def test_write_refuses_what_is_no_size_of_a_voxel(given, message):
    result = run("synth", "write", "data", "--voxel-size", given)
    assert message in said_in_one_line(result, 2)


def test_write_spots_needs_no_options():
    result = run(*SPOTS, "--json")
    assert json.loads(result.stdout)["image"]["spots"]["molecules"] is None
    assert Dataset.open("data").spec.spots == synth.Spots()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--molecules", "-1"), "molecules must be a whole number from 0"),
        (("--molecules", "9999"), "more than a tile has pixels"),
        (("--targets", "0"), "targets must be a whole number from 1"),
        (("--targets", ","), "targets must have printable names"),
        (("--overlap", "0.7"), "overlap must be a number from 0 to 0.5"),
        (("--spots", "{"), "is not JSON"),
        (("--spots", "[1]"), "must be an object with some of molecules"),
        (("--spots", '{"size": 1}'), "unknown parameter 'size'; allowed are molecules"),
        (("--spots", '{"brightnes": 1}'), "'brightnes' (did you mean 'brightness'?); allowed are"),
        (
            ("--spots", '{"molecules": 5, "drift": 0}', "--molecules", "6"),
            "molecules: given in --spots and as --molecules; leave one of the two out",
        ),
        (("--spots", '{"targets": 5}', "--targets", "a,b"), "targets: given in --spots and as"),
        (("--spots", '{"psf": 1}'), "psf must be three positive numbers"),
        (("--content", "random", "--molecules", "3"), "molecules: go with --content spots"),
    ],
)
def test_write_refuses_spots_that_make_no_sense(options, message, tmp_path):
    assert message in said_in_one_line(run(*SPOTS, *options), 2)
    assert not (tmp_path / "data").exists()
