"""starfish finds and decodes the molecules of content "spots", and finds few others."""

import json
import re
import warnings
from pathlib import Path

import numpy as np
import pytest

import synth
from starfish_fetch import ImageStack
from starfish_fetch.layout import Layout

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import starfish
    from starfish.types import Axes

pytestmark = pytest.mark.filterwarnings("ignore")

SIZE = 192
NEAR = 1.5  # pixels from a molecule to the spot that is taken for it


@pytest.fixture(scope="module", params=range(5), ids="seed {}".format)
def experiment(request, tmp_path_factory):
    """Write an experiment with the default parameters and load it: the dataset, the spots."""
    root = tmp_path_factory.mktemp("experiment")
    spec = synth.Spec(4, 3, 5, (SIZE, SIZE), content="spots", seed=request.param)
    dataset = synth.write(spec, Layout.per_round_ch(), root)
    extent = dataset.extent()
    stack = ImageStack.from_tilefetcher(
        dataset.fetcher(),
        extent.tile_shape,
        extent.fov,
        extent.rounds,
        extent.chs,
        extent.zplanes,
    ).to_starfish()
    flat = stack.reduce({Axes.ZPLANE}, func="max")
    detector = starfish.spots.FindSpots.BlobDetector(
        min_sigma=1, max_sigma=2, num_sigma=3, threshold=0.02, is_volume=False
    )
    reference = flat.reduce({Axes.ROUND, Axes.CH}, func="max")
    return dataset, detector.run(image_stack=flat, reference_image=reference)


def decoded(found, codebook_path):
    codebook = starfish.Codebook.open_json(str(codebook_path))
    table = starfish.spots.DecodeSpots.PerRoundMaxChannel(codebook=codebook).run(spots=found)
    targets = table["target"].values.astype(str)
    known = targets != "nan"
    return table["y"].values[known], table["x"].values[known], targets[known]


def recall_and_precision(truth, rows, columns, targets):
    """Pair each molecule with at most one spot of its target, the nearest pairs first."""
    apart = np.hypot(truth["row"][:, None] - rows, truth["column"][:, None] - columns)
    apart[truth["target"][:, None] != targets] = np.inf
    spots, molecules = set(), set()
    for molecule, spot in np.argwhere(apart <= NEAR)[np.argsort(apart[apart <= NEAR])].tolist():
        if molecule not in molecules and spot not in spots:
            molecules.add(molecule)
            spots.add(spot)
    return len(molecules) / len(truth), len(spots) / max(len(targets), 1)


def test_starfish_finds_and_decodes_the_molecules(experiment):
    dataset, found = experiment
    truth = synth.molecules(dataset.spec)
    assert len(truth) == SIZE * SIZE // 256
    recall, precision = recall_and_precision(truth, *decoded(found, dataset.root / "codebook.json"))
    # Of seeds 0 to 19: recall 0.875 to 0.965, mean 0.920; precision 0.950 to 1, mean 0.981. What
    # is not found lies at the edge, or so near to a brighter molecule that the two are one spot.
    assert recall > 0.8
    assert precision > 0.93


def test_with_another_codebook_the_targets_are_wrong(experiment, tmp_path):
    dataset, found = experiment
    book = json.loads((dataset.root / "codebook.json").read_text())
    for one in book["mappings"]:
        for word in one["codeword"]:
            word["c"] = (word["c"] + word["r"]) % 3
    (tmp_path / "codebook.json").write_text(json.dumps(book))
    recall, _ = recall_and_precision(
        synth.molecules(dataset.spec), *decoded(found, tmp_path / "codebook.json")
    )
    assert recall < 0.15


def test_physical_positions_are_those_of_the_truth(experiment):
    dataset, found = experiment
    spots = decoded(found, dataset.root / "codebook.json")
    codebook = starfish.Codebook.open_json(str(dataset.root / "codebook.json"))
    table = starfish.spots.DecodeSpots.PerRoundMaxChannel(codebook=codebook).run(spots=found)
    known = table["target"].values.astype(str) != "nan"
    truth = synth.molecules(dataset.spec)
    apart = np.hypot(truth["row"][:, None] - spots[0], truth["column"][:, None] - spots[1])
    nearest = apart.argmin(axis=0)
    close = apart.min(axis=0) <= 1
    for axis, centre in (("xc", "x"), ("yc", "y")):
        seen = table[axis].values[known][close]
        assert np.abs(seen - truth[centre][nearest][close]).max() < 0.6


@pytest.mark.parametrize(
    "spots",
    [{}, {"targets": ["actb", "sox9"]}, {"codebook": [[[1, 0.25, 0], [0, 0, 1]]]}],
)
def test_starfish_reads_the_codebook(tmp_path, spots):
    spec = synth.Spec(2, 3, 1, (16, 16), content="spots", spots=synth.Spots(**spots))
    synth.write(spec, Layout.per_round(), tmp_path)
    codebook = starfish.Codebook.open_json(str(tmp_path / "codebook.json"))
    assert codebook.dims == ("target", "r", "c")
    assert tuple(codebook["target"].values) == synth.target_names(spec)
    assert np.array_equal(codebook.values, synth.codebook(spec).astype(codebook.dtype))


def test_the_example_of_the_docs_runs(tmp_path, monkeypatch):
    page = (Path(__file__).parents[1] / "docs" / "spots.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    found = {}
    exec(compile(code, "docs/spots.md", "exec"), found)
    assert found["recall"] < 1
