"""What Bio-Formats, the library through which Fiji, QuPath and OMERO read, makes of our files."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from starfish_fetch.axes import Coordinates, TileKey
from starfish_fetch.layout import Layout
from synth import Dataset, Spec, write
from synth.spec import DTYPES

JAR = os.environ.get("STARFISH_FETCH_BIOFORMATS")
PROGRAM = Path(__file__).with_name("ReadWithBioFormats.java")
pytestmark = pytest.mark.skipif(
    JAR is None or shutil.which("java") is None,
    reason="needs java, of a JDK, and the environment variable STARFISH_FETCH_BIOFORMATS that "
    "names a bioformats_package.jar: CONTRIBUTING.md says how to have both",
)

SPEC = Spec([3, 1], [0, 5], [2, 3, 4], (40, 50), fovs=[0, 7], voxel_size=(2.0, 0.5, 0.25))
TYPES = {"float32": "float", "float64": "double", "float16": "float"}
PRESETS = [
    Layout.per_round(),
    Layout.per_ch(),
    Layout.per_zplane(),
    Layout.per_round_ch(),
    Layout.per_tile(),
    Layout.single_file(),
]
LAYOUTS = [*PRESETS, Layout("f{fov}/{r}/c{c}.ome.tiff", inner="z"), Layout("{fov}.tif", "zrc")]
HYPERSTACKS = [
    Layout.per_tile(),
    Layout.per_round_ch(),
    Layout("f{fov}_r{r}.tif", inner="zc"),
    Layout("f{fov}_z{z}.tif", inner="rc"),
    Layout("f{fov}.tif", inner="rzc"),
]
SEGMENTS: list[dict[str, Any]] = [{}, {"tiff_tile": (16, 32)}, {"rows_per_strip": 7}]
COMPRESSIONS: list[dict[str, Any]] = [{}] + [
    {"compression": name, "predictor": predictor}
    for name in ("deflate", "lzw", "zstd")
    for predictor in (False, True)
]


class Case(NamedTuple):
    spec: Spec
    layout: Layout
    options: dict[str, Any]

    def __str__(self) -> str:
        said = [f"{name}={value}" for name, value in self.options.items()]
        return "-".join([self.spec.dtype, self.layout.template, *said])


def of_dtype(dtype: str) -> Spec:
    return Spec.from_json({**SPEC.to_json(), "dtype": dtype})


ALONE = [Case(SPEC, layout, {"byteorder": order}) for layout in LAYOUTS for order in "<>"]
LINKED = [
    Case(SPEC, layout, {"linked": True, **options})
    for layout in LAYOUTS
    for options in (
        {},
        {"bigtiff": True, "byteorder": ">", "compression": "zstd", "tiff_tile": (16, 16)},
    )
]
IMAGEJ = [
    Case(of_dtype(dtype), layout, {"format": "imagej", "byteorder": order})
    for dtype in ("uint8", "uint16", "float32")
    for layout in HYPERSTACKS
    for order in "<>"
]
CUT = [
    Case(
        Spec(1, 2, 2, (40, 50), dtype=dtype),
        Layout.per_round(),
        {**compression, **segments, "byteorder": order, "bigtiff": bigtiff},
    )
    for dtype in DTYPES
    for compression in COMPRESSIONS
    for segments in SEGMENTS
    for order, bigtiff in (("<", False), (">", True))
    if not (compression.get("predictor") and dtype in ("int64", "uint64"))
]
BARE = [Case(SPEC, layout, {"ome": False}) for layout in PRESETS]
CASES = [*ALONE, *LINKED, *IMAGEJ, *CUT, *BARE]


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    """Write all cases, have Java read them, and return what it says of each file."""
    assert JAR is not None
    assert Path(JAR).is_file(), f"STARFISH_FETCH_BIOFORMATS names {JAR!r}, which is no file"
    root = tmp_path_factory.mktemp("bioformats")
    datasets = [
        write(case.spec, case.layout, root / str(number), **case.options)
        for number, case in enumerate(CASES)
    ]
    paths = [dataset.root / path for dataset in datasets for path in dataset.files]
    # To start Java takes a second, and to read a file some milliseconds.
    result = subprocess.run(
        ["java", "-cp", JAR, PROGRAM, root / "said"],
        input="".join(f"{path}\n" for path in paths),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    lines = (root / "said").read_text(encoding="utf-8").splitlines()
    said = dict(zip(paths, map(json.loads, lines), strict=True))
    return {
        str(case): (dataset, {path: said[dataset.root / path] for path in dataset.files})
        for case, dataset in zip(CASES, datasets, strict=True)
    }


def labels_of(keys):
    return [list(dict.fromkeys(labels)) for labels in zip(*keys, strict=True)]


def digests(dataset: Dataset, fov: int, keys, dtype=None):
    dtype = np.dtype(dtype or dataset.spec.dtype).newbyteorder(dataset.options.byteorder)
    tiles = (dataset.tile(*key, fov=fov).astype(dtype) for key in keys)
    return [hashlib.sha256(tile.tobytes()).hexdigest() for tile in tiles]


def assert_read(said, dataset: Dataset, fov: int, keys, channels: bool = True):
    """Bio-Formats sees these tiles, as one image with rounds as T, and its metadata."""
    assert "error" not in said, said["error"]
    [series] = said["series"]
    labels = labels_of(keys)
    assert [series[axis] for axis in "TCZ"] == list(map(len, labels))
    assert (series["Y"], series["X"]) == dataset.spec.tile_shape
    assert series["type"] == TYPES.get(dataset.spec.dtype, dataset.spec.dtype)
    assert series["little"] == (dataset.options.byteorder == "<")
    assert series["channels"] == [f"ch {ch}" if channels else None for ch in labels[1]]
    assert series["physical"] == pytest.approx(list(dataset.spec.voxel_size))
    in_order = [TileKey(r, c, z) for r in labels[0] for c in labels[1] for z in labels[2]]
    assert series["planes"] == digests(dataset, fov, in_order)


def assert_placed(said, dataset: Dataset, fov: int, keys, of_image):
    positions = said["series"][0]["positions"]
    labels = labels_of(of_image)
    for key in keys:
        where = dataset.spec.coordinates(fov, key.zplane)
        at = ",".join(str(labels[axis].index(label)) for axis, label in enumerate(key))
        assert positions[at] == [where[Coordinates.Z][0], where[Coordinates.X][0]]


@pytest.mark.parametrize("case", ALONE, ids=str)
def test_each_file_is_an_image_of_its_own(read, case):
    dataset, said = read[str(case)]
    for path, fov, keys in dataset.layout.files(case.spec.extent(0), case.spec.fovs):
        assert said[path]["format"] == "OME-TIFF"
        assert said[path]["files"] == 1
        assert_read(said[path], dataset, fov, keys)
        assert_placed(said[path], dataset, fov, keys, keys)


@pytest.mark.parametrize("case", LINKED, ids=str)
def test_any_of_the_linked_files_opens_as_the_whole_field_of_view(read, case):
    dataset, said = read[str(case)]
    files = list(dataset.layout.files(case.spec.extent(0), case.spec.fovs))
    for path, fov, keys in files:
        assert said[path]["format"] == "OME-TIFF"
        assert said[path]["files"] == len(files) / len(case.spec.fovs)
        image = [key for _, other, its_keys in files if other == fov for key in its_keys]
        assert_read(said[path], dataset, fov, image)
        assert_placed(said[path], dataset, fov, keys, image)


@pytest.mark.parametrize("case", IMAGEJ, ids=str)
def test_hyperstacks_have_their_axes_and_sizes(read, case):
    dataset, said = read[str(case)]
    for path, fov, keys in dataset.layout.files(case.spec.extent(0), case.spec.fovs):
        assert_read(said[path], dataset, fov, keys, channels=False)


@pytest.mark.parametrize("case", CUT, ids=str)
def test_every_pixel_is_read_however_files_are_cut_and_compressed(read, case):
    dataset, said = read[str(case)]
    [(path, fov, keys)] = dataset.layout.files(case.spec.extent(0))
    dtype = np.dtype(case.spec.dtype)
    # What Bio-Formats 7.3.1 does not read; docs/synth.md says so.
    if dtype.kind == "f" and case.options.get("predictor"):
        assert said[path]["error"].endswith("Unknown Predictor (3)")
    elif dtype.kind in "iu" and dtype.itemsize == 8:
        assert said[path]["error"].endswith("64-bit int data not supported")
    elif dtype.name == "float16":  # plain TIFF, which is widened
        assert said[path]["series"][0]["planes"] == digests(dataset, fov, keys, "float32")
    else:
        assert_read(said[path], dataset, fov, keys)


@pytest.mark.parametrize("case", BARE, ids=str)
def test_pages_of_plain_files_follow_each_other(read, case):
    dataset, said = read[str(case)]
    for path, fov, keys in dataset.layout.files(case.spec.extent(0), case.spec.fovs):
        [series] = said[path]["series"]
        assert [series[axis] for axis in "TCZ"] == [len(keys), 1, 1]
        assert series["physical"][0] is None
        assert series["physical"][1:] == pytest.approx(list(case.spec.voxel_size[1:]))
        assert series["planes"] == digests(dataset, fov, keys)
