"""Known-bad data: damage is done as asked, recorded, told from damage that nobody asked for."""

import importlib
import json

import numpy as np
import pytest
from test_cli import run
from test_synth_write import break_after, contents

from starfish_fetch.axes import TileKey
from starfish_fetch.layout import Layout
from starfish_fetch.testing import check_fetcher
from synth import Damage, Dataset, Spec, write

damages = importlib.import_module("synth._damage")

SPEC = Spec(2, 3, 2, (24, 16), fovs=[0, 4], content="index", seed=5)
ALL = ("missing", "truncated", "swapped")


def damaged(root, kinds=ALL, **options):
    return write(SPEC, Layout.per_round_ch(), root, damage=kinds, **options)


def by_kind(dataset):
    return {one.kind: one.paths for one in dataset.damage}


@pytest.fixture
def dataset(tmp_path):
    return damaged(tmp_path / "damaged")


def test_the_files_are_damaged_as_asked_and_no_others(tmp_path, dataset):
    write(SPEC, Layout.per_round_ch(), tmp_path / "intact")
    intact, there = contents(tmp_path / "intact"), contents(tmp_path / "damaged")
    [missing], [truncated], (one, other) = (by_kind(dataset)[kind] for kind in ALL)
    expected = {path: data for path, data in intact.items() if path != missing}
    expected[truncated] = intact[truncated][: len(intact[truncated]) // 2]
    expected[one], expected[other] = intact[other], intact[one]
    expected["dataset.json"] = there["dataset.json"]
    assert there == expected
    assert len({missing, truncated, one, other}) == 4
    assert one.split("_")[0] == other.split("_")[0]  # of one field of view


def test_dataset_json_says_which_files_and_what_was_done(dataset):
    fields = json.loads((dataset.root / "dataset.json").read_text())
    assert fields["version"] == 3
    assert [one["kind"] for one in fields["damage"]] == list(ALL)
    assert [tuple(one["paths"]) for one in fields["damage"]] == list(by_kind(dataset).values())
    assert Dataset.open(dataset.root) == dataset
    assert set(fields["files"]) == {
        path for path, _, _ in dataset.layout.files(SPEC.extent(0), [0, 4])
    }


def test_a_dataset_without_damage_is_described_as_ever(tmp_path):
    write(SPEC, Layout.per_round_ch(), tmp_path)
    fields = json.loads((tmp_path / "dataset.json").read_text())
    assert set(fields) == {"format", "version", "spec", "layout", "options", "files"}


@pytest.mark.parametrize("workers", [1, 3])
def test_the_same_call_damages_the_same_files_in_the_same_way(tmp_path, dataset, workers):
    damaged(tmp_path / "again", workers=workers)
    assert contents(tmp_path / "again") == contents(dataset.root)


def test_the_choice_of_files_is_for_ever():
    files = [(f"r{r}.tiff", r % 2, ()) for r in range(8)]
    chosen = [one.paths for one in damages.plan_damage(["missing", "swapped", "missing"], files, 0)]
    assert chosen == [("r1.tiff",), ("r2.tiff", "r0.tiff"), ("r3.tiff",)]
    seeds = {damages.plan_damage(["missing"] * 3, files, seed) for seed in range(20)}
    assert len(seeds) > 10


def test_verify_tells_damage_on_purpose_from_other_damage(dataset):
    verification = dataset.verify()
    assert verification.ok
    assert {one.path for one in verification.on_purpose} == {
        path for one in dataset.damage for path in one.paths
    }
    messages = {one.path: one.message for one in verification.on_purpose}
    [missing], [truncated], (one, other) = (by_kind(dataset)[kind] for kind in ALL)
    size = dataset.files[truncated].bytes
    assert messages[missing] == "is missing, on purpose"
    assert (
        messages[truncated] == f"is truncated, on purpose: {size // 2} of its {size} bytes are left"
    )
    assert messages[one] == f"is what {other!r} should be, on purpose: the two were swapped"
    assert "0 problems, 4 files damaged on purpose" in str(verification)

    intact = next(path for path in dataset.files if path not in messages)
    (dataset.root / intact).unlink()
    verification = dataset.verify()
    assert [(one.path, one.message.split(";")[0]) for one in verification.problems] == [
        (intact, "is missing")
    ]
    assert len(verification.on_purpose) == 4


def test_other_damage_to_a_damaged_file_is_a_problem(dataset):
    [missing], [truncated], (one, other) = (by_kind(dataset)[kind] for kind in ALL)
    whole = (dataset.root / one).read_bytes()

    def problems():
        return {(problem.path, problem.message[:25]) for problem in dataset.verify().problems}

    (dataset.root / missing).write_bytes(whole)
    assert problems() == {(missing, "is there, though it was l")}
    (dataset.root / missing).unlink()

    data = (dataset.root / truncated).read_bytes()
    (dataset.root / truncated).write_bytes(bytes([data[0] ^ 1]) + data[1:])
    assert problems() == {(truncated, "was changed after it had ")}
    (dataset.root / truncated).write_bytes(data[:-1])
    assert problems() == {(truncated, f"has {len(data) - 1} bytes, and was tr"[:25])}
    (dataset.root / truncated).unlink()
    assert problems() == {(truncated, "is missing, and not on pu")}
    (dataset.root / truncated).write_bytes(data)

    (dataset.root / one).write_bytes((dataset.root / other).read_bytes())
    assert {path for path, _ in problems()} == {one}


def test_the_same_call_mends_what_was_not_asked_for_and_leaves_what_was(dataset):
    before = contents(dataset.root)
    _, [truncated], (one, _) = (by_kind(dataset)[kind] for kind in ALL)
    for path in (truncated, one):
        (dataset.root / path).unlink()
    assert damaged(dataset.root) == dataset
    assert contents(dataset.root) == before


def test_what_became_of_damage_since_is_not_taken_for_what_was_asked_for(dataset):
    described = (dataset.root / "dataset.json").read_bytes()
    _, [truncated], (one, _) = (by_kind(dataset)[kind] for kind in ALL)
    data = (dataset.root / truncated).read_bytes()
    (dataset.root / truncated).write_bytes(bytes([data[0] ^ 1]) + data[1:])
    (dataset.root / one).unlink()
    again = damaged(dataset.root)
    assert (dataset.root / "dataset.json").read_bytes() == described
    assert [problem.path for problem in again.verify().problems] == [truncated]


@pytest.mark.parametrize("kinds", [(), ("missing",)])
def test_other_damage_is_another_dataset(dataset, kinds):
    before = contents(dataset.root)
    with pytest.raises(FileExistsError, match=r"damage is .*: missing; .*: swapped there and "):
        damaged(dataset.root, kinds)
    assert contents(dataset.root) == before


@pytest.mark.parametrize("planes", range(0, 24, 3))
def test_an_interrupted_write_is_damaged_all_the_same(tmp_path, dataset, monkeypatch, planes):
    break_after(monkeypatch, planes, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        damaged(tmp_path / "new", workers=1)
    monkeypatch.undo()
    damaged(tmp_path / "new")
    assert contents(tmp_path / "new") == contents(dataset.root)


@pytest.mark.parametrize(
    ("kinds", "error", "message"),
    [
        ("missing", TypeError, r"must be a list of names; got 'missing': write \['missing'\]"),
        (["burnt"], ValueError, "unknown damage 'burnt'; allowed are missing, truncated, swapped"),
        (["swapped"] * 7, ValueError, "takes 14 files, and the dataset has 12: ask for less"),
    ],
)
def test_damage_that_cannot_be_done_is_refused(tmp_path, kinds, error, message):
    with pytest.raises(error, match=message):
        damaged(tmp_path / "new", kinds)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (3, "the field 'damage' must be a list"),
        ([3], "must give kind and paths; got 3"),
        ([{"kind": "burnt", "paths": []}], "the unknown kind 'burnt'"),
        ([{"kind": ["x"], "paths": []}], "the unknown kind"),
        ([{"kind": "swapped", "paths": ["fov0_r0_c0.tiff"]}], "must give 2 paths for 'swapped'"),
        ([{"kind": "missing", "paths": ["../x"]}], "names '../x', which is no file of the dataset"),
        ([{"kind": "missing", "paths": [["x"]]}], "which is no file of the dataset"),
        ([{"kind": "missing", "paths": ["fov0_r0_c0.tiff"]}] * 2, "or is damaged twice"),
        (
            [{"kind": "truncated", "paths": ["fov0_r0_c0.tiff"], "sha256": 1}],
            "the sha256 in 'damage' is 1, no digest",
        ),
    ],
)
def test_a_wrong_record_of_damage_is_refused(dataset, value, message):
    path = dataset.root / "dataset.json"
    fields = json.loads(path.read_text())
    path.write_text(json.dumps({**fields, "damage": value}))
    with pytest.raises(ValueError, match=message) as caught:
        Dataset.open(dataset.root)
    assert str(path) in str(caught.value)


def test_the_oracle_is_about_what_was_not_damaged(dataset):
    [one, other] = by_kind(dataset)["swapped"]
    keys = {path: (fov, keys) for path, fov, keys in dataset.layout.files(SPEC.extent(0), [0, 4])}
    fov, (key, _) = keys[one]
    with dataset.fetcher(fov) as fetcher:
        pixels = fetcher.get_tile(fov, *key).tile_data()
    assert not np.array_equal(pixels, dataset.tile(*key, fov=fov))
    its_fov, (its_key, _) = keys[other]
    assert np.array_equal(pixels, dataset.tile(*its_key, fov=its_fov))
    assert isinstance(key, TileKey)


@pytest.mark.parametrize("content", ["random", "index"])
@pytest.mark.parametrize("kind", ALL)
def test_the_kit_finds_each_kind(tmp_path, kind, content):
    spec = Spec(2, 2, 2, (24, 16), content=content)
    dataset = write(spec, Layout.per_round_ch(), tmp_path, damage=[kind])
    report = check_fetcher(dataset.fetcher, dataset.extent(), dataset.tile, deadline=60)
    assert not report.ok
    said = " ".join(result.message for result in report.results if result.status == "fail")
    [damage] = dataset.damage
    key = next(
        keys[0] for path, _, keys in dataset.layout.files(spec.extent(0)) if path in damage.paths
    )
    assert damage.paths[0] in said or f"r={key.round}, c={key.ch}" in said


def test_the_command_line_damages_and_says_so():
    ALL_OPTIONS = ("--rounds", 2, "--chs", 3, "--zplanes", 1, "--size", 16, "--layout", "per-tile")
    result = run("synth", "write", "data", *ALL_OPTIONS, "--damage", "missing,truncated,swapped")
    assert result.exit_code == 0, result.stderr
    dataset = Dataset.open("data")
    assert [one.kind for one in dataset.damage] == list(ALL)
    for one in dataset.damage:
        assert f"damaged on purpose: {one}" in result.stdout
    verified = run("synth", "verify", "data")
    assert verified.exit_code == 0
    assert "every pixel is right, but for 4 files damaged on purpose" in verified.stdout
    report = json.loads(run("synth", "verify", "data", "--json").stdout)
    assert len(report["on_purpose"]) == 4
    checked = run("check", "data")
    assert checked.exit_code == 1
    assert dataset.damage[0].paths[0] in checked.stdout


def test_the_command_line_refuses_what_is_no_damage():
    result = run("synth", "write", "data", "--damage", "burnt")
    assert result.exit_code == 2
    assert "unknown damage 'burnt'" in result.stderr


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_damage_reads_well():
    assert str(Damage("missing", ("r0.tiff",))) == "r0.tiff: missing"
