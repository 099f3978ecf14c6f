"""Another dataset gives way when asked to: its files, all of them, and no others."""

import importlib
import json
import os

import pytest
from test_cli import run, said_in_one_line
from test_synth_write import SPEC, break_after, contents, per_round

from starfish_fetch.layout import Layout
from synth import Dataset, Spec, Spots, write

writes = importlib.import_module("synth.write")

OTHER = Spec(2, 2, 2, (24, 16), fovs=[0, 3], content="spots", spots=Spots(nuclei=3))


def layout():
    return Layout("fov_{fov}/{r}/c{c}.tiff", inner="z")


def write_other(root, **options):
    return write(OTHER, layout(), root, damage=["missing", "truncated", "swapped"], **options)


def everything(root):
    """The files below a folder, and the folders."""
    folders = {path.relative_to(root).as_posix(): None for path in root.rglob("*") if path.is_dir()}
    return {**contents(root), **folders}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    root = tmp_path_factory.mktemp("written")
    write(SPEC, per_round(), root)
    return everything(root)


@pytest.fixture(params=["complete", "unfinished", "mended"])
def other(request, tmp_path, monkeypatch):
    """A folder with another dataset: complete, unfinished, or complete and being mended."""
    if request.param != "unfinished":
        write_other(tmp_path)
    if request.param == "mended":
        for path in tmp_path.rglob("c*.tiff"):
            path.unlink()
    if request.param != "complete":
        break_after(monkeypatch, 9, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            write_other(tmp_path, workers=1)
        monkeypatch.undo()
        # What the file and the table leave that a kill cuts short.
        (tmp_path / "fov_0/1/c1.tiff.partial").write_bytes(b"x")
        (tmp_path / "codebook.json.new").write_bytes(b"x")
        assert (tmp_path / "dataset.json.partial").exists()
    return tmp_path


def test_it_is_replaced(other, written):
    assert write(SPEC, per_round(), other, overwrite=True).verify().ok
    assert everything(other) == written


def test_it_is_refused_unless_asked_for(other):
    before = everything(other)
    with pytest.raises(FileExistsError, match=r"Choose another folder, or .* overwrite=True"):
        write(SPEC, per_round(), other)
    assert everything(other) == before


def test_what_is_of_no_dataset_stays(other, written):
    strangers = {
        "notes.txt": b"mine",
        "fov_0/0/notes.txt": b"mine",
        "fov_7/r01.tiff": b"mine",
        "fov_0/0/c9.tiff": b"mine",
        "r01.tiff.partial": b"mine",
    }
    for path, data in strangers.items():
        (other / path).parent.mkdir(exist_ok=True, parents=True)
        (other / path).write_bytes(data)
    (other / "fov_3/empty").mkdir(exist_ok=True, parents=True)
    write(SPEC, per_round(), other, overwrite=True)
    folders = dict.fromkeys(["fov_0/0", "fov_7", "fov_3/empty"])
    assert everything(other) == {**written, **strangers, **folders}


@pytest.mark.parametrize(
    "path",
    ["fov_0/r01.tiff", "fov_0/r01.tiff.partial", "fov_0/r01.tiff/notes.txt", "fov_0/r01.tiff/"],
)
def test_what_is_of_no_dataset_and_in_the_way_is_refused(other, path):
    (other / path).parent.mkdir(parents=True, exist_ok=True)
    if path.endswith("/"):
        (other / path).mkdir()
    else:
        (other / path).write_bytes(b"mine")
    before = everything(other)
    with pytest.raises(FileExistsError, match="is in the way"):
        write(SPEC, per_round(), other, overwrite=True)
    assert everything(other) == before


def test_a_file_that_damage_left_out_is_of_no_dataset(tmp_path):
    dataset = write_other(tmp_path)
    [missing] = dataset.damage[0].paths
    (tmp_path / missing).write_bytes(b"mine")
    write(SPEC, per_round(), tmp_path, overwrite=True)
    assert (tmp_path / missing).read_bytes() == b"mine"
    before = everything(tmp_path)
    with pytest.raises(FileExistsError, match="is in the way"):
        write(OTHER, layout(), tmp_path, overwrite=True)
    assert everything(tmp_path) == before


def test_a_file_may_stand_where_a_folder_was_and_the_reverse(tmp_path):
    spec = Spec(1, 1, 1, (8, 8))
    one, two = Layout("a/b/x", inner="rcz"), Layout("a", inner="rcz")
    for cut in (one, two, one):
        write(spec, cut, tmp_path, overwrite=True)
        assert Dataset.open(tmp_path).verify().ok
        assert set(contents(tmp_path)) == {cut.template, "dataset.json"}


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"compression": "jpeg"}, ValueError),
        ({"workers": 0}, ValueError),
        ({"damage": ["burnt"]}, ValueError),
        ({"damage": ["swapped"] * 9}, ValueError),
        ({"format": "npy"}, ValueError),
        ({"overwrite": 1}, TypeError),
    ],
)
def test_a_wrong_argument_loses_nothing(other, changes, error):
    before = everything(other)
    with pytest.raises(error):
        write(SPEC, per_round(), other, **{"overwrite": True, **changes})
    assert everything(other) == before


@pytest.mark.parametrize("planes", [None, 9])
def test_the_same_dataset_is_not_written_again(tmp_path, monkeypatch, written, planes):
    if planes is not None:
        break_after(monkeypatch, planes, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            write(SPEC, per_round(), tmp_path, workers=1, overwrite=True)
        monkeypatch.undo()
    else:
        write(SPEC, per_round(), tmp_path)
    images = list(tmp_path.rglob("*.tiff"))
    assert images
    for path in images:
        os.utime(path, (1, 1))
    write(SPEC, per_round(), tmp_path, overwrite=True)
    assert {path.stat().st_mtime for path in images} == {1}
    assert everything(tmp_path) == written


@pytest.mark.parametrize("name", ["dataset.json", "dataset.json.partial"])
def test_what_cannot_be_read_is_not_overwritten(other, name):
    (other / name).write_bytes(b"{")
    before = everything(other)
    with pytest.raises(ValueError, match=name) as caught:
        write(SPEC, per_round(), other, overwrite=True)
    assert "nobody knows which files are its own" in caught.value.__notes__[0]
    assert everything(other) == before


@pytest.fixture
def outside(tmp_path_factory):
    root = tmp_path_factory.mktemp("outside")
    for path in ("0/c0.tiff", "c1.tiff", "precious"):
        (root / path).parent.mkdir(exist_ok=True)
        (root / path).write_bytes(b"precious")
    return root


@pytest.mark.parametrize("link", ["fov_0", "fov_0/0"])
def test_nothing_is_deleted_through_a_link(tmp_path, outside, link):
    write_other(tmp_path)
    (tmp_path / link).rename(tmp_path / "moved")
    (tmp_path / link).symlink_to(outside, target_is_directory=True)
    before = everything(tmp_path), everything(outside)
    with pytest.raises(FileExistsError, match="is a link, and nothing is deleted through it"):
        write(SPEC, Layout.single_file(), tmp_path, overwrite=True)
    assert (everything(tmp_path), everything(outside)) == before


def test_nothing_is_written_through_a_link(tmp_path, outside):
    (tmp_path / "fov_0").symlink_to(outside, target_is_directory=True)
    before = everything(outside)
    with pytest.raises(FileExistsError, match="fov_0' is in the way: it is a link"):
        write(SPEC, per_round(), tmp_path)
    assert everything(outside) == before
    assert not (tmp_path / "dataset.json.partial").exists()


@pytest.mark.parametrize(
    "name", ["dataset.json.new", "dataset.json.partial.new", "codebook.json.new", "x.tiff.partial"]
)
def test_no_file_is_written_through_a_link(tmp_path, outside, name, monkeypatch):
    cut = Layout("x.tiff", inner="rcz")
    spec = Spec(2, 2, 2, (24, 16), content="spots")
    break_after(monkeypatch, 3, KeyboardInterrupt())
    with monkeypatch.context() as patch:
        # As a kill does, so that the journal stays.
        patch.setattr(writes, "_take_back", lambda root, folders: None)
        with pytest.raises(KeyboardInterrupt):
            write(spec, cut, tmp_path, workers=1)
    monkeypatch.undo()
    (tmp_path / name).symlink_to(outside / "precious")
    assert write(spec, cut, tmp_path).verify().ok
    assert (outside / "precious").read_bytes() == b"precious"
    assert not any(path.is_symlink() for path in tmp_path.iterdir())


def test_a_link_in_the_place_of_a_file_is_deleted_and_not_what_it_leads_to(tmp_path, outside):
    write_other(tmp_path)
    place = next(tmp_path.rglob("c1.tiff"))
    place.unlink()
    place.symlink_to(outside / "precious")
    write(SPEC, Layout.single_file(), tmp_path, overwrite=True)
    assert not place.is_symlink()
    assert (outside / "precious").read_bytes() == b"precious"


def test_a_folder_in_the_place_of_a_file_is_refused(tmp_path):
    write_other(tmp_path)
    place = next(tmp_path.rglob("c1.tiff"))
    place.unlink()
    place.mkdir()
    before = everything(tmp_path)
    with pytest.raises(FileExistsError, match="is a folder, where the dataset that is to be"):
        write(SPEC, per_round(), tmp_path, overwrite=True)
    assert everything(tmp_path) == before


COMMAND = ("--rounds", 2, "--chs", 1, "--zplanes", 1, "--size", 16, "--layout", "per-round")


def test_the_command_replaces_another_dataset(tmp_path, other):
    said = said_in_one_line(run("synth", "write", other, *COMMAND), 1)
    assert "is of another dataset" in said
    assert said.endswith("overwrite=True, or --overwrite")
    result = run("synth", "write", other, *COMMAND, "--overwrite", "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["files_already_there"] == 0
    assert Dataset.open(other).verify().ok
    assert set(contents(other)) == {"dataset.json", "fov0_r0.tiff", "fov0_r1.tiff"}
    again = run("synth", "write", other, *COMMAND, "--overwrite")
    assert "2 files (2 of them were there, not looked into" in again.stdout


def test_a_dry_run_says_what_would_happen(tmp_path, other):
    before = everything(other)
    said = said_in_one_line(run("synth", "write", other, *COMMAND, "--dry-run"), 1)
    assert "is of another dataset" in said
    result = run("synth", "write", other, *COMMAND, "--dry-run", "--overwrite")
    assert result.exit_code == 0
    sizes = [len(data) for path, data in before.items() if data and "dataset.json" not in path]
    assert f"another dataset is there: its {len(sizes)} files" in result.stdout
    report = json.loads(
        run("synth", "write", other, *COMMAND, "--dry-run", "--overwrite", "--json").stdout
    )
    assert (report["files_deleted"], report["bytes_deleted"]) == (len(sizes), sum(sizes))
    assert everything(other) == before
