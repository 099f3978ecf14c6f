"""The truth beside the images of content "spots": whole, resumable, verified."""

import csv
import importlib
import json

import pytest
from test_synth_write import break_after, contents

import synth
from starfish_fetch.layout import Layout
from synth import Dataset, Spec, Spots

truth_module = importlib.import_module("synth._truth")

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
    assert json.loads((tmp_path / "dataset.json").read_text())["version"] == 2


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

    def write_whole(path, text):
        if next(left, None) is None:
            path.with_name(path.name + ".new").write_text(text[:7])
            raise KeyboardInterrupt
        real(path, text)

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
