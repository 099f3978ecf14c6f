"""What a write would take is said before it is begun, and nothing is left of finding out."""

import errno
import importlib
import json
import os
import shutil
import tempfile
from dataclasses import replace

import pytest
from test_cli import run, said_in_one_line

import synth
from starfish_fetch.layout import Layout
from synth import Estimate, Options, Spec, Spots, estimate, write

estimates = importlib.import_module("synth._estimate")
TRUTH = ("codebook", "truth", "nuclei")
IMAGE = ("--rounds", 3, "--chs", 2, "--zplanes", 4, "--size", "64x32")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("options", [Options(), Options(compression="deflate", bigtiff=True)])
@pytest.mark.parametrize(
    "layout", [Layout.per_round(), Layout.per_tile(), Layout.single_file()], ids=str
)
def test_of_a_small_image_files_and_bytes_are_exact(tmp_path, layout, options):
    spec = Spec(3, 2, 4, (64, 32), fovs=2, content="index")
    expected = estimate(spec, layout, tmp_path / "new", options=options)
    assert not list(tmp_path.iterdir())
    dataset = write(spec, layout, tmp_path / "new", **vars(options))
    assert expected.files == len(dataset.files)
    assert expected.tiles == dataset.verify().tiles == 48
    assert expected.pixel_bytes == 48 * 64 * 32 * 2
    # The UUIDs and the names of the files are of the same length, compressed or not.
    assert expected.bytes == sum(record.bytes for record in dataset.files.values())
    assert 0 < expected.seconds <= expected.seconds_to_disk
    assert expected.fits


def test_of_a_large_image_only_a_part_is_written(tmp_path, monkeypatch):
    written = []
    real = estimates.write

    def spied(spec, *arguments, **options):
        written.append(spec)
        return real(spec, *arguments, **options)

    monkeypatch.setattr(estimates, "write", spied)
    spec = Spec(40, 10, 60, (2048, 2048), fovs=10)
    expected = estimate(spec, Layout.per_round(), tmp_path / "new", options=Options(bigtiff=True))
    assert expected.pixel_bytes == 40 * 10 * 60 * 10 * 2**23
    assert expected.bytes == pytest.approx(expected.pixel_bytes, rel=0.01)
    assert expected.fits == (expected.bytes <= expected.free)
    assert 60 < expected.seconds <= expected.seconds_to_disk  # 2 TB
    assert sum(map(estimates._pixel_bytes, written)) <= 2**25 + 2**15
    assert (written[-1].rounds, written[-1].chs, written[-1].zplanes) == ((0,), (0,), (0, 1, 2, 3))
    assert not list(tmp_path.iterdir())


def truth_of(root):
    sizes = [path.stat().st_size for path in root.iterdir() if path.name.startswith(TRUTH)]
    return len(sizes), sum(sizes)


@pytest.mark.parametrize("spots", [Spots(nuclei=2), Spots(molecules=40), Spots(density=0.01)])
def test_the_truth_is_named_apart(tmp_path, spots):
    spec = Spec(3, 2, 2, (64, 32), fovs=2, content="spots", spots=spots)
    expected = estimate(spec, Layout.per_round(), tmp_path / "new")
    dataset = write(spec, Layout.per_round(), tmp_path / "new")
    assert expected.files == len(dataset.files)
    assert (expected.truth_files, expected.truth_bytes) == truth_of(dataset.root)


@pytest.mark.parametrize("spots", [Spots(nuclei=2), Spots(molecules=400), Spots(density=0.01)])
def test_the_truth_of_a_part_says_how_much_it_will_be(tmp_path, monkeypatch, spots):
    monkeypatch.setattr(estimates, "_SAMPLE_BYTES", 2**17)
    spec = Spec(2, 2, 3, (200, 128), fovs=5, content="spots", spots=spots)
    expected = estimate(spec, Layout.per_round(), tmp_path / "new")
    write(spec, Layout.per_round(), tmp_path / "new")
    count, size = truth_of(tmp_path / "new")
    assert expected.truth_files == count
    assert expected.truth_bytes == pytest.approx(size, rel=0.1)


def test_what_is_there_is_known_and_needs_no_room(tmp_path, monkeypatch):
    spec = Spec(3, 2, 4, (64, 32))
    dataset = write(spec, Layout.per_round_ch(), tmp_path / "new")
    for path in ("fov0_r0_c0.tiff", "fov0_r2_c1.tiff"):
        (dataset.root / path).unlink()
    expected = estimate(spec, Layout.per_round_ch(), tmp_path / "new")
    assert (expected.files, expected.files_there) == (6, 4)
    assert expected.bytes_there == 4 * expected.bytes / 6
    assert expected.files_deleted == expected.bytes_deleted == 0
    enough = round(expected.bytes / 3)
    assert replace(expected, free=enough).fits
    assert not replace(expected, free=enough - 1).fits
    write(spec, Layout.per_round_ch(), tmp_path / "new")
    assert replace(estimate(spec, Layout.per_round_ch(), tmp_path / "new"), free=0).fits


def test_what_is_deleted_makes_room(tmp_path):
    write(Spec(3, 2, 4, (64, 32)), Layout.per_tile(), tmp_path / "new")
    spec = Spec(3, 2, 4, (64, 32), seed=1)
    with pytest.raises(FileExistsError, match=r"spec\.seed is 0 there and 1 here"):
        estimate(spec, Layout.per_tile(), tmp_path / "new")
    expected = estimate(spec, Layout.per_tile(), tmp_path / "new", overwrite=True)
    assert (expected.files_there, expected.files_deleted) == (0, 24)
    assert expected.bytes_deleted == expected.bytes
    assert replace(expected, free=0).fits


def test_the_part_is_in_files_like_the_whole():
    spec = Spec(50, 30, 5, (256, 256), fovs=9)
    part = estimates._part(spec, Layout.per_round_ch())
    assert (len(part.rounds), len(part.chs), len(part.zplanes), len(part.fovs)) == (1, 30, 5, 1)
    huge = estimates._part(Spec(1, 1, 1, (60_000, 60_000)), Layout.per_tile())
    assert huge.tile_shape == (2**25 // 120_000, 60_000)


def test_the_estimate_is_near_what_the_write_takes(tmp_path):
    import time

    spec = Spec(2, 4, 10, (1024, 1024))
    expected = estimate(spec, Layout.per_round_ch(), tmp_path / "new", workers=1)
    start = time.perf_counter()
    write(spec, Layout.per_round_ch(), tmp_path / "new", workers=1)
    taken = time.perf_counter() - start
    # A machine that others use may slow either; that a factor is forgotten is what is looked for.
    assert expected.seconds / 5 < taken < 5 * expected.seconds_to_disk


def test_nothing_is_left_of_an_estimate_that_fails(tmp_path, monkeypatch):
    def fails(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(importlib.import_module("synth._files"), "write_tiff", fails)
    with pytest.raises(OSError, match="No space left"):
        estimate(Spec(1, 1, 1, (8, 8)), Layout.per_tile(), tmp_path / "new")
    assert not list(tmp_path.iterdir())


def test_what_a_write_refuses_an_estimate_refuses(tmp_path):
    spec = Spec(1, 1, 2, (40_000, 40_000))
    with pytest.raises(ValueError, match="bigtiff=True"):
        estimate(spec, Layout.single_file(), tmp_path)
    with pytest.raises(ValueError, match="takes 2 files"):
        estimate(spec, Layout.single_file(), tmp_path, damage=["swapped"])
    with pytest.raises(ValueError, match="workers must be"):
        estimate(spec, Layout.per_tile(), tmp_path, workers=0)


def test_dry_run_writes_nothing_and_says_what_would_be(tmp_path):
    result = run("synth", "write", "a/data", *IMAGE, "--dry-run")
    assert result.exit_code == 0, result.stderr
    assert not list(tmp_path.iterdir())
    first, second, third = result.stdout.splitlines()
    assert first.startswith("a/data: 6 files, 24 tiles, about 1")
    assert first.endswith(" kB; nothing is written")
    assert second.startswith("about ")
    assert second.endswith(" until all of it is on the disk")
    assert third.endswith("are free: enough")


def test_dry_run_as_json(tmp_path):
    report = json.loads(run("synth", "write", "data", *IMAGE, "--dry-run", "--json").stdout)
    assert (report["ok"], report["dry_run"], report["files"], report["tiles"]) == (
        True,
        True,
        6,
        24,
    )
    assert set(report) > set(Estimate.__annotations__)
    assert not list(tmp_path.iterdir())


def test_dry_run_beside_a_dataset_leaves_it_alone(tmp_path):
    run("synth", "write", "data", *IMAGE)
    before = {path: path.stat() for path in tmp_path.rglob("*")}
    assert run("synth", "write", "data", *IMAGE, "--dry-run").exit_code == 0
    after = {path: path.stat() for path in tmp_path.rglob("*")}
    assert {path: stat.st_mtime_ns for path, stat in before.items() if path.is_file()} == {
        path: stat.st_mtime_ns for path, stat in after.items() if path.is_file()
    }
    assert set(before) == set(after)


def test_dry_run_says_what_is_there(tmp_path):
    run("synth", "write", "data", *IMAGE, "--content", "spots")
    (tmp_path / "data" / "fov0_r1_c0.tiff").unlink()
    result = run("synth", "write", "data", *IMAGE, "--content", "spots", "--dry-run")
    assert result.exit_code == 0
    assert "beside them 2 files of the truth, about " in result.stdout
    assert "5 of the files are there: they are not written again" in result.stdout


def test_dry_run_of_what_does_not_fit_fails(monkeypatch):
    free = 3 * 2 * 4 * 64 * 32 * 2 + 9  # all of the pixels, and not the rest of the files
    monkeypatch.setattr(estimates.shutil, "disk_usage", lambda place: type("U", (), {"free": free}))
    result = run("synth", "write", "data", *IMAGE, "--dry-run")
    assert result.exit_code == 1
    assert "are free: too little" in result.stdout


def test_dry_run_refuses_what_is_wrong():
    assert "unknown damage 'x'" in said_in_one_line(
        run("synth", "write", "data", *IMAGE, "--dry-run", "--damage", "x"), 2
    )
    assert synth.estimate is estimate


def test_where_there_is_no_room_to_try_a_part_it_is_said(tmp_path, monkeypatch):
    nearly = shutil.disk_usage(tmp_path)._replace(free=100)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: nearly)
    with pytest.raises(OSError, match="100 bytes are free, too few to try") as full:
        estimate(Spec(2, 2, 2, (9, 9)), Layout.per_round(), tmp_path / "new")
    assert full.value.errno == errno.ENOSPC


def test_where_nothing_may_be_written_it_is_said(tmp_path, monkeypatch):
    root = tmp_path / "mine"
    root.mkdir()
    monkeypatch.setattr(os, "access", lambda folder, mode: folder != root)
    with pytest.raises(PermissionError, match="may not be written to: choose another") as refused:
        estimate(Spec(2, 2, 2, (9, 9)), Layout.per_round(), root)
    assert refused.value.filename == str(root)
    assert list(root.iterdir()) == []


@pytest.mark.parametrize("format", ["tiff", "imagej", "npy"])
def test_every_format_is_estimated(tmp_path, format):
    layout = Layout("r{r}.npy", inner="zc")
    spec = Spec(2, 2, 2, (9, 9))
    expected = estimate(spec, layout, tmp_path / "new", options=Options(format=format))
    assert expected.bytes == sum(
        record.bytes for record in write(spec, layout, "new", format=format).files.values()
    )


@pytest.mark.skipif(not os.path.isdir("/dev/shm"), reason="needs two file systems")
def test_a_root_that_leads_to_another_disk_is_tried_there(tmp_path):
    with tempfile.TemporaryDirectory(dir="/dev/shm") as other:
        os.symlink(other, tmp_path / "data")
        expected = estimate(Spec(2, 2, 2, (9, 9)), Layout.per_round(), tmp_path / "data")
        assert os.listdir(other) == []
    assert abs(expected.free - shutil.disk_usage("/dev/shm").free) < 2**26
