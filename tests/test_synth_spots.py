"""Content "spots": what is in the images is what the truth and the parameters say."""

import hashlib
import json
import math
import time

import numpy as np
import pytest

import synth
from starfish_fetch.axes import Coordinates
from synth import Spec, Spots, tile
from synth._exact import exp

DARK = {"background": 0, "crosstalk": 0, "drift": 0, "hot_pixels": 0, "read_noise": 0, "offset": 0}
CLEAN = {**DARK, "shot_noise": False, "decay": 1, "gain": 1}


def spec_of(rounds=3, chs=3, zplanes=3, tile_shape=(96, 80), seed=1, spec=None, **spots):
    fields = {"content": "spots", "seed": seed, "spots": Spots(**spots), **(spec or {})}
    return Spec(rounds, chs, zplanes, tile_shape, **fields)


def test_every_part_of_a_spots_image_never_changes():
    spec = spec_of(
        rounds=[2, 5, 6],
        zplanes=[-1, 0, 3],
        seed=7,
        molecules=200,
        targets=["actb", "gapdh", "sox9"],
        psf=(0.9, 0.6, 0.8),
        crosstalk=[[1, 0.1, 0], [0.2, 1, 0.3], [0, 0.05, 0.9]],
        saturation=9000,
        hot_pixels=0.01,
        overlap=0.3,
        spec={"fovs": [4, 9], "voxel_size": (0.7, 0.3, 0.4)},
    )
    digest = hashlib.sha256()
    for labels in ((4, 2, 0, -1), (4, 6, 1, 3), (9, 5, 2, 0)):
        digest.update(tile(spec, *labels).astype("<u2").tobytes())
    for fov in spec.fovs:
        for name in ("molecule", "z", "y", "x", "photons"):
            digest.update(synth.molecules(spec, fov)[name].astype("<f8").tobytes())
    assert digest.hexdigest()[:32] == "9f526025d0578c899f95b99920a356a6"


def test_the_exponential_is_that_of_the_library():
    x = np.concatenate([np.linspace(-700, 40, 20001), [-1e9, -0.0, 0.0]])
    expected = np.exp(np.maximum(x, -700))
    assert np.max(np.abs(exp(x) / expected - 1)) < 5e-16
    assert exp(np.zeros(1))[0] == 1


def test_a_molecule_is_a_gaussian_of_the_size_that_was_asked_for():
    spec = spec_of(molecules=1, spread=0, brightness=40000, psf=(1.5, 0.8, 1.2), **CLEAN)
    (one,) = synth.molecules(spec)
    ((at_r, at_c), *_) = np.argwhere(synth.codebook(spec)[int(one["target"][-1])])
    for z in spec.zplanes:
        seen = tile(spec, 0, at_r, at_c, z).astype(float)
        rows, columns = np.indices(seen.shape)
        expected = 40000 * np.exp(
            -0.5
            * (
                ((rows - one["row"]) * 0.5 / 0.8) ** 2
                + ((columns - one["column"]) * 0.5 / 1.2) ** 2
                + ((z - one["plane"]) / 1.5) ** 2
            )
        )
        near = np.hypot((rows - one["row"]) / 1.6, (columns - one["column"]) / 2.4) < 3.5
        assert np.abs(seen - expected)[near].max() <= 0.5 + 1e-6
        assert np.abs(seen - expected)[~near].max() < 40000 / 400


def test_the_code_says_where_a_molecule_shines():
    spec = spec_of(4, 3, 1, molecules=1, spread=0, brightness=10000, **CLEAN)
    (one,) = synth.molecules(spec)
    code = synth.codebook(spec)[synth.target_names(spec).index(one["target"])]
    row, column = (int(min(max(one[name] + 0.5, 0), 79)) for name in ("row", "column"))
    shines = [[tile(spec, 0, r, c, 0)[row, column] > 5000 for c in range(3)] for r in range(4)]
    assert np.array_equal(shines, code == 1)


def test_codes_are_one_hot_and_differ_in_two_rounds_while_there_are_enough():
    for rounds, chs, targets, distance in (
        (4, 3, 27, 2),
        (4, 3, 28, 1),
        (4, 3, 81, 1),
        (1, 4, 4, 1),
    ):
        table = synth.codebook(spec_of(rounds, chs, targets=targets))
        assert table.shape == (targets, rounds, chs)
        assert (table.sum(axis=2) == 1).all()
        words = table.argmax(axis=2)
        apart = (words[:, None] != words).sum(axis=2) + rounds * np.eye(targets, dtype=int)
        assert apart.min() == distance
    with pytest.raises(ValueError, match="82 targets need more codes than the 81"):
        spec_of(4, 3, targets=82)


def test_positions_are_those_of_the_coordinates():
    spec = spec_of(
        zplanes=[-2, 5], overlap=0.25, spec={"fovs": [3, 8], "voxel_size": (2.0, 0.5, 0.25)}
    )
    assert spec.coordinates(8, 5)[Coordinates.X][0] == 60 * 0.25
    for fov in spec.fovs:
        truth = synth.molecules(spec, fov)
        where = spec.coordinates(fov, 5)
        for axis, name, size, step in (("yc", "row", 96, 0.5), ("xc", "column", 80, 0.25)):
            first = where[Coordinates(axis)][0]
            assert np.allclose(truth[axis[0]], first + truth[name] * step)
            assert truth[name].min() >= -0.5
            assert truth[name].max() < size - 0.5
        low, high = where[Coordinates.Z]
        assert np.allclose(truth["z"], (low + high) / 2 + (truth["plane"] - 5) * 2.0)
        in_plane = truth[np.rint(truth["plane"]) == 5]
        assert ((low <= in_plane["z"]) & (in_plane["z"] < high)).all()
        assert set(np.rint(truth["plane"])) == {-2, 5}


def test_fields_of_view_share_what_they_overlap():
    spec = spec_of(overlap=0.25, molecules=300, spec={"fovs": 3}, **{**CLEAN, "background": 500})
    assert spec.pitch == 60
    left, right = (synth.molecules(spec, fov) for fov in (0, 1))
    shared = left[left["column"] >= 59.5]
    same = right[right["column"] < 19.5]
    assert len(shared) > 50
    for name in ("molecule", "target", "z", "y", "photons"):
        assert np.array_equal(np.sort(shared[name]), np.sort(same[name]))
    # Without noise the pixels agree too, but for the light that is cut off far from its centre.
    one, other = (tile(spec, fov, 0, 0, 1).astype(int) for fov in (0, 1))
    assert np.abs(one[:, 60:] - other[:, :20]).max() <= 2


def test_the_number_of_molecules_is_what_was_asked_for():
    assert len(synth.molecules(spec_of(molecules=123))) == 123
    assert len(synth.molecules(spec_of(molecules=0))) == 0
    assert len(synth.molecules(spec_of(density=0.1))) == round(0.1 * 96 * 80 * 0.25)
    assert len(synth.molecules(spec_of())) == 96 * 80 // 256


def test_brightness_has_its_mean_and_spread():
    photons = synth.molecules(spec_of(molecules=7000, brightness=300, spread=0.4))["photons"]
    assert photons.mean() == pytest.approx(300, rel=0.03)
    assert photons.std() == pytest.approx(120, rel=0.06)


def test_noise_is_that_of_photons_and_of_the_camera():
    fields = {**DARK, "molecules": 0, "texture": 0, "gain": 40, "tile_shape": (256, 256)}
    for photons in (2, 10, 100):
        seen = tile(spec_of(**{**fields, "background": photons, "offset": 500}), 0, 0, 0, 0)
        assert (seen.mean() - 500) / 40 == pytest.approx(photons, rel=0.02)
        assert seen.var() / 1600 == pytest.approx(photons - 1 / 8, rel=0.06)
    still = {**fields, "background": 10, "shot_noise": False, "read_noise": 3}
    assert tile(spec_of(**still), 0, 0, 0, 0).std() / 40 == pytest.approx(3, rel=0.03)
    both = {**fields, "background": 100, "read_noise": 10, "offset": 5000}
    assert tile(spec_of(**both), 0, 0, 0, 0).var() / 1600 == pytest.approx(200, rel=0.03)


def test_the_light_of_molecules_decays_too():
    fields = {**CLEAN, "molecules": 1, "brightness": 20000, "codebook": [[[1]] * 3], "decay": 0.5}
    tops = [tile(spec_of(chs=1, zplanes=1, **fields), 0, r, 0, 0).max() for r in range(3)]
    assert np.allclose(np.divide(tops, tops[0]), [1, 0.5, 0.25], atol=1e-3)


def test_each_round_has_less_light_and_each_channel_its_own():
    fields = {**CLEAN, "molecules": 0, "texture": 0, "decay": 0.5, "background": (100, 200, 400)}
    spec = spec_of(**{**fields, "gain": (1, 2, 3)})
    means = [[tile(spec, 0, r, c, 0).mean() for c in range(3)] for r in range(3)]
    assert np.allclose(means, [[100, 400, 1200], [50, 200, 600], [25, 100, 300]])


def test_crosstalk_shines_into_the_channels_beside():
    fields = {**CLEAN, "molecules": 1, "spread": 0, "brightness": 10000, "zplanes": 1}
    matrix = [[1, 0, 0], [0.1, 1, 0], [0.3, 0, 1]]
    for crosstalk, shining, expected in (
        (0.2, 0, [1, 0.2, 0]),
        (0.2, 1, [0.2, 1, 0.2]),
        (0.2, 2, [0, 0.2, 1]),
        (matrix, 0, [1, 0.1, 0.3]),
    ):
        code = [[np.eye(3)[shining]] * 3]
        spec = spec_of(**{**fields, "codebook": code, "crosstalk": crosstalk})
        tops = np.array([tile(spec, 0, 0, c, 0).max() for c in range(3)], float)
        assert np.allclose(tops / tops.max(), expected, atol=1e-3)


def centroid(pixels):
    rows, columns = np.indices(pixels.shape)
    weights = pixels.astype(float)
    return [(weights * places).sum() / weights.sum() for places in (rows, columns)]


def test_drift_moves_what_later_rounds_see():
    fields = {**CLEAN, "molecules": 1, "spread": 0, "brightness": 30000, "codebook": [[[1]] * 3]}
    for seed in range(20):
        spec = spec_of(chs=1, zplanes=1, seed=seed, **{**fields, "drift": 1.0})
        (one,) = synth.molecules(spec)
        if not (20 < one["row"] < 76 and 20 < one["column"] < 60):
            continue
        for shift, r in zip(synth.drift(spec), spec.rounds, strict=True):
            seen = np.array(centroid(tile(spec, 0, r, 0, 0)))
            assert np.allclose(seen, [one["row"], one["column"]] + shift / 0.5, atol=0.05)
        assert (synth.drift(spec)[0] == 0).all()
        assert (synth.drift(spec)[1:] != 0).all()
        return
    raise AssertionError("no molecule in the middle")


def test_nothing_is_brighter_than_saturation():
    spec = spec_of(saturation=2000, molecules=50)
    assert max(tile(spec, 0, 0, c, 1).max() for c in range(3)) == 2000


def test_hot_pixels_are_the_same_in_every_tile():
    fields = {**CLEAN, "molecules": 0, "hot_pixels": 0.01}
    spec = spec_of(**fields)
    seen = np.array([tile(spec, 0, r, c, 1) for r in range(3) for c in range(3)])
    assert (seen == seen[0]).all()
    assert 70 < np.count_nonzero(seen[0]) <= 77
    assert seen[0][seen[0] > 0].min() >= 0.2 * 65535


def test_a_spec_with_spots_survives_json():
    spec = spec_of(codebook=[[[1, 0, 0]] * 3, [[0, 0.5, 1]] * 3], targets=["a", "b"], gain=[1, 2])
    fields = json.loads(json.dumps(spec.to_json()))
    assert Spec.from_json(fields) == spec
    assert "spots" not in Spec(1, 1, 1, (8, 8)).to_json()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"spots": None}, "spots have the fields molecules, density"),
        ({"spots": {}}, "spots have the fields molecules, density"),
        ({"content": "random"}, "spots go with content 'spots', not with 'random'"),
        ({"psf": [1, 2]}, "psf must be three positive numbers"),
        ({"psf": "abc"}, "psf must be three positive numbers"),
        ({"codebook": [[[1, 0]]]}, "the codebook is for 1 rounds and 2 channels"),
        ({"codebook": [[["a"]]]}, "codebook must be a number from 0 to 1"),
        ({"codebook": [[[[[1]]]]]}, "codebook must be a number from 0 to 1"),
        ({"molecules": 2**40}, "molecules must be a whole number"),
        ({"molecules": True}, "molecules must be a whole number"),
        ({"brightness": "1"}, "brightness must be a number"),
        ({"other": 1}, "spots have the fields"),
    ],
)
def test_json_that_is_no_spots_is_refused(changes, message):
    fields = spec_of().to_json()
    for name, value in changes.items():
        (fields if name in ("spots", "content") else fields["spots"])[name] = value
    with pytest.raises(ValueError, match=message):
        Spec.from_json(fields)


@pytest.mark.parametrize(
    ("spots", "error", "message"),
    [
        ({"molecules": 5, "density": 1}, ValueError, "molecules or density, not both"),
        ({"molecules": 7681}, ValueError, "7681 molecules are more than a tile has pixels"),
        ({"density": 1e300}, ValueError, "molecules are more than a tile has pixels"),
        ({"density": math.inf}, ValueError, "density must be a number"),
        ({"targets": 0}, ValueError, "targets must be a whole number from 1"),
        ({"targets": ["a", "a"]}, ValueError, "all different"),
        ({"targets": ["a\n"]}, ValueError, "printable names"),
        ({"targets": "abc"}, TypeError, "a number or an iterable of names"),
        ({"targets": 3, "codebook": [[[1, 0, 0]] * 3]}, ValueError, "1 targets, not 3"),
        ({"codebook": [[[1, 0, 0]] * 3, [[1, 0]] * 3]}, ValueError, "as many rounds and channels"),
        ({"codebook": []}, ValueError, "as many rounds and channels"),
        ({"codebook": [[[]]]}, ValueError, "as many rounds and channels"),
        ({"codebook": 3}, TypeError, "nested sequences"),
        ({"crosstalk": [[1, 0]] * 2}, ValueError, "a row and a column for each of 3 channels"),
        ({"crosstalk": 2}, ValueError, "crosstalk must be a number from 0 to 1"),
        ({"psf": (1, 0, 1)}, ValueError, "three positive numbers"),
        ({"gain": []}, ValueError, "gain is empty"),
        ({"gain": [1, 2, 3, 4]}, ValueError, "gain has 4 numbers, and the image 3 channels"),
        ({"background": [1] * 5}, ValueError, "background has 5 numbers, and the image 3 channels"),
        ({"overlap": 0.6}, ValueError, "overlap must be a number from 0 to 0.5"),
        ({"decay": math.nan}, ValueError, "decay must be a number from 0 to 1"),
        ({"shot_noise": 1}, TypeError, "shot_noise must be True or False"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(spots, error, message):
    with pytest.raises(error, match=message):
        spec_of(**spots)


def test_a_codebook_that_no_memory_holds_is_refused():
    with pytest.raises(ValueError, match="a codebook of 20 targets, 10000 rounds and 10000 chan"):
        spec_of(10_000, 10_000)


def test_other_contents_have_no_molecules():
    for ask in (synth.molecules, synth.codebook, synth.drift, synth.target_names):
        with pytest.raises(ValueError, match="content 'random' has no molecules"):
            ask(Spec(1, 1, 1, (8, 8)))
    with pytest.raises(ValueError, match="there is no fov 5"):
        synth.molecules(spec_of(), 5)
    with pytest.raises(TypeError, match=r"of the class synth\.Spots"):
        Spec(1, 1, 1, (8, 8), content="spots", spots={"molecules": 3})


def test_a_large_tile_takes_well_under_a_second():
    spec = Spec(4, 3, 5, (1024, 1024), content="spots")
    tile(spec, 0, 0, 0, 0)
    seconds = []
    for z in range(5):
        start = time.perf_counter()
        tile(spec, 0, 1, 1, z)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.8  # a sixth of it on an idle core
