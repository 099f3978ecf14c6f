"""The truth beside the images of content "spots": whole, resumable, verified."""

import csv
import hashlib
import importlib
import json
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from test_synth_write import break_after, contents

import synth
from starfish_fetch.layout import Layout
from synth import Dataset, Spec, Spots

truth_module = importlib.import_module("synth._truth")
nuclei_module = importlib.import_module("synth._nuclei")
camera = importlib.import_module("synth._camera")

SPEC = Spec(
    2,
    2,
    2,
    (24, 20),
    fovs=[3, 8],
    content="spots",
    spots=Spots(targets=['a,"b"', "c"], overlap=0.2),
)
NAMES = {"codebook.json", "truth_fov3.csv", "truth_fov8.csv"}


def write(root, spec=SPEC, layout=None, **options):
    return synth.write(spec, layout or Layout.per_round(), root, workers=1, **options)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    root = tmp_path_factory.mktemp("written")
    write(root)
    return contents(root)


def test_the_tables_hold_the_molecules_to_the_last_digit(tmp_path, written):
    assert {name for name in written if not name.endswith(".tiff")} == {*NAMES, "dataset.json"}
    assert not [name for name in written if name.startswith("nuclei")]
    for fov in SPEC.fovs:
        lines = written[f"truth_fov{fov}.csv"].decode().split("\n")
        rows = list(csv.DictReader(lines))
        truth = synth.molecules(SPEC, fov)
        assert list(rows[0]) == list(truth.dtype.names)
        assert len(rows) == len(truth) > 0
        for name in ("z", "y", "x", "plane", "row", "column", "photons"):
            assert [float(row[name]) for row in rows] == truth[name].tolist()
        assert [row["target"] for row in rows] == truth["target"].tolist()


def test_the_codebook_is_that_of_spacetx(written):
    said = json.loads(written["codebook.json"])
    assert said["version"] == "0.0.0"
    assert [one["target"] for one in said["mappings"]] == ['a,"b"', "c"]
    for one, code in zip(said["mappings"], synth.codebook(SPEC), strict=True):
        assert {(word["r"], word["c"]): word["v"] for word in one["codeword"]} == {
            (r, c): 1 for r in range(2) for c in range(2) if code[r, c]
        }


def test_other_contents_have_no_truth(tmp_path):
    write(tmp_path, Spec(1, 1, 1, (8, 8)))
    assert set(contents(tmp_path)) == {"dataset.json", "fov0_r0.tiff"}


def test_a_dataset_with_spots_is_opened_as_it_was_written(tmp_path):
    dataset = write(tmp_path)
    assert Dataset.open(tmp_path) == dataset
    assert dataset.spec == SPEC
    assert dataset.verify().ok
    assert json.loads((tmp_path / "dataset.json").read_text())["version"] == 3


@pytest.mark.parametrize("planes", [0, 1, 9, 15])
def test_an_interrupted_write_goes_on(tmp_path, monkeypatch, written, planes):
    break_after(monkeypatch, planes, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path)
    monkeypatch.undo()
    assert not (tmp_path / "dataset.json").exists()
    write(tmp_path)
    assert contents(tmp_path) == written


@pytest.mark.parametrize("whole", [0, 1, 2, 3])
def test_a_write_that_ends_amid_the_truth_goes_on(tmp_path, monkeypatch, written, whole):
    real, left = truth_module.write_whole, iter(range(whole))

    def write_whole(path, data):
        if next(left, None) is None:
            path.with_name(path.name + ".new").write_bytes(data[:7])
            raise KeyboardInterrupt
        real(path, data)

    monkeypatch.setattr(truth_module, "write_whole", write_whole)
    if whole < 3:
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path)
        assert not (tmp_path / "dataset.json").exists()
    monkeypatch.undo()
    write(tmp_path)
    assert contents(tmp_path) == written


@pytest.mark.parametrize("deleted", [["truth_fov8.csv"], ["truth_fov8.csv", "fov3_r1.tiff"]])
def test_a_deleted_table_is_written_again_and_a_changed_one_left(tmp_path, written, deleted):
    write(tmp_path)
    for name in deleted:
        (tmp_path / name).unlink()
    (tmp_path / "codebook.json").write_text("mine now")
    write(tmp_path)
    assert contents(tmp_path) == {**written, "codebook.json": b"mine now"}


def test_verify_finds_what_is_not_the_truth(tmp_path):
    dataset = write(tmp_path)
    (tmp_path / "truth_fov8.csv").unlink()
    table = tmp_path / "truth_fov3.csv"
    table.write_text(table.read_text().replace("c,", "d,", 1))
    problems = {one.path: (one.fov, one.message) for one in dataset.verify().problems}
    assert set(problems) == {"truth_fov3.csv", "truth_fov8.csv"}
    assert problems["truth_fov3.csv"] == (3, "was changed: it is not what the spec says")
    assert problems["truth_fov8.csv"][0] == 8
    assert problems["truth_fov8.csv"][1].startswith("is missing")


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_stranger_is_not_overwritten(tmp_path, name):
    (tmp_path / name).write_bytes(b"precious")
    with pytest.raises(FileExistsError, match="is in the way"):
        write(tmp_path)
    assert contents(tmp_path) == {name: b"precious"}


@pytest.mark.parametrize("template", ["Codebook.JSON/{fov}", "truth_fov{fov}.csv"])
def test_a_layout_may_not_name_the_truth(tmp_path, template):
    with pytest.raises(ValueError, match="the dataset's own"):
        write(tmp_path, layout=Layout(template, inner="rcz"))
    assert contents(tmp_path) == {}


NUCLEI = replace(SPEC.spots, nuclei=6)


def with_nuclei():
    return Spec(2, 2, [0, 3], (24, 20), fovs=[3, 8], content="spots", spots=NUCLEI)


def test_nuclei_are_written_and_verified(tmp_path):
    spec = with_nuclei()
    dataset = write(tmp_path, spec)
    names = [f"nuclei_fov{fov}_z{z}.tiff" for fov in (3, 8) for z in (0, 3)]
    assert sorted(path.name for path in tmp_path.glob("nuclei*")) == names
    for name, (fov, z) in zip(names, [(3, 0), (3, 3), (8, 0), (8, 3)], strict=True):
        assert np.array_equal(tifffile.imread(tmp_path / name), synth.nuclei(spec, z, fov))
    assert dataset.verify().ok
    (tmp_path / names[0]).write_bytes(b"no image")
    tifffile.imwrite(tmp_path / names[3], synth.nuclei(spec, 0, 8))
    assert {(one.path, one.fov) for one in dataset.verify().problems} == {
        (names[0], 3),
        (names[3], 8),
    }


def test_nuclei_are_a_function_of_the_seed_and_shared_where_fields_of_view_overlap():
    spots = Spots(nuclei=30, overlap=0.25, hot_pixels=0, shot_noise=False, read_noise=0)
    spec = Spec(2, 2, 3, (96, 80), fovs=2, content="spots", spots=spots)
    left, right = (synth.nuclei(spec, 1, fov) for fov in (0, 1))
    assert np.array_equal(left[:, 60:], right[:, :20])
    assert left.max() > 3 * left.min()
    assert not np.array_equal(left, synth.nuclei(spec, 2, 0))
    noisy = Spec(2, 2, 3, (96, 80), fovs=2, content="spots", spots=Spots(nuclei=30))
    pixels = synth.nuclei(noisy, 1, 1).astype("<u2").tobytes()
    assert hashlib.sha256(pixels).hexdigest()[:32] == "12202ccfa54c0ae87778b3041ba8077d"


def test_an_ellipse_is_as_large_as_its_radii():
    spec = Spec(1, 1, 1, (101, 101), content="spots", voxel_size=(1, 0.5, 0.25))
    box, squares = nuclei_module._ellipse(spec, range(101), (50, 50), (10, 5), 0.0)
    tall, wide = (np.flatnonzero((squares < 1).any(axis=axis)) for axis in (1, 0))
    assert (np.ptp(tall), np.ptp(wide)) == (18, 78)
    assert [part.start for part in box] == [30, 10]
    assert nuclei_module._ellipse(spec, range(101), (-30, 50), (10, 5), 0.3) is None
    assert nuclei_module._ellipse(spec, range(101, 120), (50, 50), (10, 5), 0.3) is None


@pytest.mark.parametrize(
    ("shape", "seed", "digest"),
    [
        ((700, 500), 3, "bfc0cebc81cf871fc464b6c8adf66e73"),
        ((3, 140_000), 4, "f8088d7f21a4e4be8d3f2c214a2e099c"),
        ((131, 2001), 5, "b838c17a67049c5c6f8c280ab77399c6"),
    ],
)
def test_rows_that_are_made_a_few_at_a_time_are_those_of_the_whole(shape, seed, digest):
    """The digests were taken when a tile was still made as a whole."""
    spots = Spots(nuclei=20, drift=0.3, molecules=300, crosstalk=0.1)
    spec = Spec(2, 2, 2, shape, fovs=2, content="spots", seed=seed, spots=spots)
    assert len(list(camera.bands(spec))) > 1
    made = hashlib.sha256()
    for pixels in (synth.tile(spec, 1, 1, 0, 1), synth.nuclei(spec, 1, 1)):
        made.update(pixels.astype("<u2").tobytes())
    assert made.hexdigest()[:32] == digest
