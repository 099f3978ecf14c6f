"""What was described once means the same for ever, and what is newer is refused by its version."""

import hashlib
import importlib
import itertools
import json
from dataclasses import dataclass, fields

import pytest
from test_synth_write import contents

import synth
from starfish_fetch.layout import Layout
from synth import Dataset, Spec, Spots, write
from synth.spec import DTYPES
from synth.spots import LATER

manifests = importlib.import_module("synth._manifest")
spots_module = importlib.import_module("synth.spots")
truth = importlib.import_module("synth._truth")

NEWER = (
    f"the field 'version' is {manifests.VERSION + 1}, and this installation reads up to "
    f"{manifests.VERSION}: upgrade starfish-fetch"
)
NUCLEI = {
    "uint8": "e6c9b8887798647e64d7b7f59df55a0c",
    "uint16": "9d75c07b22e8416bbee548eda92993e7",
    "uint32": "a5ee3a4ec80cb5e2f27259c1a4ff6cee",
    "uint64": "4a363dc229b4ef49641f6c0d99709b44",
    "int8": "071fb7d0645bbdb583ca8a035bd3ba90",
    "int16": "0b6691f0e285d29bc7ec886140549f70",
    "int32": "426cee47889856ba8b34ce72bc0e87b3",
    "int64": "1789dfa60432f3e9c4c6408efa0873fc",
    "float16": "a0e704515b724a26f92847fbc903a9e0",
    "float32": "a4583025f20c8cf754c42b1b0e3e50ce",
    "float64": "c9967785c8c45347cc6ad1e7cc546d8c",
}
TABLES = {
    "codebook.json": "ab13a72e21d7fdbe975899da80b78f9a",
    "truth_fov0.csv": "46594df4312018d1a143a03e3e5c4547",
    "truth_fov5.csv": "914db7197fa838e11e5f8d64bbdc7a8e",
}
SPOTS_OF_VERSION_2 = {
    "molecules": None,
    "density": None,
    "targets": None,
    "codebook": None,
    "psf": [1.5, 0.65, 0.65],
    "brightness": 250.0,
    "spread": 0.3,
    "decay": 0.93,
    "background": [60.0, 40.0, 75.0, 50.0],
    "texture": 0.4,
    "crosstalk": 0.06,
    "drift": 0.1,
    "offset": 400.0,
    "gain": [40.0, 46.0, 34.0, 42.0],
    "read_noise": 2.0,
    "shot_noise": True,
    "saturation": 65535.0,
    "hot_pixels": 2e-05,
    "overlap": 0.0,
    "nuclei": 0,
}
OF_THOSE = {False: "2d7eeb2e6575ca29f4dd6dbe75f5351b", True: "ea3746400133420f718a6154b35ae8af"}


def spec_of(dtype="uint16"):
    labels = {"rounds": [-3, 7], "chs": [2], "zplanes": [0, 2], "fovs": [5, 0]}
    spots = Spots(nuclei=9, overlap=0.3)
    return Spec(
        tile_shape=(19, 21), dtype=dtype, content="spots", seed=2**64 - 1, spots=spots, **labels
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_nuclei_never_change(dtype):
    spec, digest = spec_of(dtype), hashlib.sha256()
    for fov, zplane in itertools.product(spec.fovs, spec.zplanes):
        pixels = synth.nuclei(spec, zplane, fov)
        digest.update(pixels.astype(pixels.dtype.newbyteorder("<")).tobytes())
    assert digest.hexdigest()[:32] == NUCLEI[dtype]


@pytest.mark.parametrize("dtype", ["uint8", "float64"])
def test_the_tables_never_change_whatever_the_dtype(dtype):
    made = truth.truth_files(spec_of(dtype))
    assert {
        name: hashlib.sha256(make()).hexdigest()[:32]
        for name, make in made.items()
        if not name.endswith(".tiff")
    } == TABLES


def test_every_dtype_has_its_digest():
    assert set(NUCLEI) == set(DTYPES)


def test_any_number_of_workers_gives_the_same_spots(tmp_path):
    for workers in (1, 2, 5):
        write(spec_of(), Layout.per_tile(), tmp_path / str(workers), workers=workers)
    assert contents(tmp_path / "1") == contents(tmp_path / "2") == contents(tmp_path / "5")


def test_the_default_spots_are_described_as_in_version_2():
    assert Spots().to_json() == SPOTS_OF_VERSION_2
    assert Spots.from_json(SPOTS_OF_VERSION_2) == Spots()


def test_whatever_came_after_version_2_says_what_is_meant_without_it():
    names = {field.name for field in fields(Spots)}
    assert names - set(LATER) == set(SPOTS_OF_VERSION_2)
    assert set(LATER) <= names
    assert all(2 < version <= manifests.VERSION for version, _ in LATER.values())


@pytest.mark.parametrize("spots", [False, True])
def test_every_description_that_was_ever_written_is_read(tmp_path, spots):
    """As versions 1 and 2 describe a dataset, word for word."""
    path = "fov0_r3_c0_z0.tiff"
    spec = {
        "rounds": [3],
        "chs": [0],
        "zplanes": [0],
        "tile_shape": [19, 21],
        "fovs": [0],
        "dtype": "uint16",
        "content": "spots" if spots else "random",
        "seed": 7,
        "voxel_size": [1.0, 0.5, 0.5],
    }
    described = {
        "format": "starfish_fetch synth dataset",
        "version": 2 if spots else 1,
        "spec": {**spec, "spots": SPOTS_OF_VERSION_2} if spots else spec,
        "layout": {"template": "fov{fov}_r{r}_c{c}_z{z}.tiff", "inner": []},
        "options": {"compression": None, "bigtiff": False, "byteorder": "<", "ome": True},
        "files": {path: {"sha256": "0" * 64, "bytes": 1}},
    }
    (tmp_path / "dataset.json").write_text(json.dumps(described))
    dataset = Dataset.open(tmp_path)
    said = json.loads(dataset._manifest.text())
    assert {**said, "version": described["version"]} == described
    pixels = hashlib.sha256(dataset.tile(3, 0, 0).astype("<u2").tobytes()).hexdigest()
    assert pixels[:32] == OF_THOSE[spots]
    newer = {**described, "version": manifests.VERSION + 1, "new": {}}
    (tmp_path / "dataset.json").write_text(json.dumps(newer))
    with pytest.raises(ValueError, match=NEWER):
        Dataset.open(tmp_path)


@dataclass(frozen=True)
class LaterSpots(Spots):
    """Spots as they may be one day: with light that is scattered, which was not thought of."""

    scattered: float = 0.5


@pytest.fixture
def later(monkeypatch):
    """What the next version would know."""
    monkeypatch.setitem(LATER, "scattered", (manifests.VERSION + 1, 0.0))


def header_of(spots):
    spec = Spec(3, 2, 1, (16, 16), content="spots", spots=spots)
    packed = manifests.Options(compression="deflate")
    return manifests.Manifest(spec, Layout.per_tile(), packed, {}).header()


def test_a_later_parameter_means_what_was_done_before_where_nothing_is_said(later):
    assert LaterSpots.from_json(SPOTS_OF_VERSION_2) == LaterSpots(scattered=0.0)
    assert LaterSpots(scattered=0.0).to_json() == SPOTS_OF_VERSION_2
    assert header_of(LaterSpots(scattered=0.0))["version"] == 2


def test_a_later_parameter_that_is_used_is_written_and_refused_by_older_readers(later, tmp_path):
    header = header_of(LaterSpots())
    assert header["version"] == manifests.VERSION + 1
    assert header["spec"]["spots"] == {**SPOTS_OF_VERSION_2, "scattered": 0.5}
    assert LaterSpots.from_json(header["spec"]["spots"]) == LaterSpots()
    (tmp_path / "dataset.json").write_text(json.dumps({**header, "files": {}}))
    with pytest.raises(ValueError, match=NEWER):
        Dataset.open(tmp_path)


def test_a_later_parameter_cannot_be_left_out_of_those_that_are_known(later):
    for name in SPOTS_OF_VERSION_2:
        given = {one: value for one, value in SPOTS_OF_VERSION_2.items() if one != name}
        with pytest.raises(ValueError, match="spots have the fields"):
            LaterSpots.from_json({**given, "scattered": 0.5})


@pytest.mark.parametrize("name", ["targets", "psf", "crosstalk", "codebook", "gain"])
def test_an_object_in_place_of_a_list_is_refused(name):
    with pytest.raises(ValueError, match=f"not spots: {name} cannot be an object"):
        Spots.from_json({**SPOTS_OF_VERSION_2, name: {"a": 1}})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rounds": [True]}, "rounds must be a list of ints"),
        ({"rounds": [1.0]}, "rounds must be a list of ints"),
        ({"tile_shape": ["4", "4"]}, "tile_shape must be a list of ints"),
        ({"voxel_size": ["1", "1", "1"]}, "voxel_size must be a list of floats"),
        ({"voxel_size": [10**400, 1, 1]}, "voxel_size must be three positive finite numbers"),
        ({"tile_shape": [2**16, 2**16 + 1]}, "tile_shape must be of at most 4294967296 pixels"),
        ({"dtype": ">u2"}, "unknown dtype '>u2'"),
        ({"dtype": "(2,)f"}, "unknown dtype"),
        ({"dtype": "u2,u2"}, "unknown dtype"),
    ],
)
def test_values_that_are_almost_right_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        Spec.from_json({**Spec(1, 1, 1, (4, 4)).to_json(), **changes})
