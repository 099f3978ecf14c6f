"""A pixel is a pure function of the seed and of the labels, for ever."""

import hashlib
import itertools
import json
import pickle
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from starfish_fetch.axes import Axes, Coordinates
from starfish_fetch.testing import strategies as sfst
from synth import Spec, tile
from synth.pixels import pieces
from synth.spec import CONTENTS, DTYPES, GENERATORS

DIGESTS = {
    "sfc64 uint8": "f455f42d7eaee941a3a2210e6066bdb4",
    "sfc64 uint16": "2c2c0032f593b91478c68184da70162a",
    "sfc64 uint32": "36e6ee86fcb15cb06631af419e65e51c",
    "sfc64 uint64": "eedabf9ff00d9bff201d3837223b91ca",
    "sfc64 int8": "00ac7756f2b447885b844f0936452181",
    "sfc64 int16": "a3e38f03243844ef4b46ee1631ea614e",
    "sfc64 int32": "755b73c494b69d5c853e26340eb27db9",
    "sfc64 int64": "f68db4d8958a64661925cfc3f5f54732",
    "sfc64 float16": "24f0291cdb05815c70727a5a8f18f058",
    "sfc64 float32": "0e99ee032c4beef258b8d477bbfbd5dd",
    "sfc64 float64": "b32d0d4916bca2fecbb9c73b3cf437d7",
    "philox uint8": "29d601cc1b9199c6a25c14900d34c69c",
    "philox uint16": "5108f900181b2b0108be41e0102afd34",
    "philox uint32": "fe0995514a2c39c4137872b7041b23dc",
    "philox uint64": "485558b8c3ef1a967e1e42be6110fdb9",
    "philox int8": "7d05107f7c272038c95873f8b2353dc1",
    "philox int16": "95bd6fbb825761968223af8e8329d06b",
    "philox int32": "29ff95006fdfeda1639633c95b020dae",
    "philox int64": "33dc618c346225358e2e62178331cd33",
    "philox float16": "bb0d7a374ead279f9dc83ca698fdeea5",
    "philox float32": "12371979d9a76c0bb5d188c07a193476",
    "philox float64": "0921b7b8b1cfce5cf7aafb864b1a26ee",
    "index uint8": "7560533eb9bc349ad2d00132e1ba276e",
    "index uint16": "722ebf7c6f9f9cf0ae7c91aa60750cd2",
    "index uint32": "3bc7be7fbf928aba4301847b08212cf1",
    "index uint64": "27222ac0e37ce2f533c511477019e336",
    "index int8": "e8493593a81c50175651004a5dd50894",
    "index int16": "badd422a6f4b001da806aa404d5e6f34",
    "index int32": "c070a4356f9f5813e7ef21def7451bc0",
    "index int64": "9d4ef2245ad29671c9ad61d406a42e19",
    "index float16": "e2c8673bb68c98292f948cb7159f7d44",
    "index float32": "42941f053992a8e4d6420e398c3dac41",
    "index float64": "dccb9c929b02e0ce09754748cd606130",
    "spots uint8": "c8980d43d80b2d971756125ddb64da72",
    "spots uint16": "763158af61228c54f7421c7748b46ce2",
    "spots uint32": "89f9645aa2889c3e8659e119bdede8a3",
    "spots uint64": "8e2c140613446514daaf5307673a675e",
    "spots int8": "09f131622b2fb6570e06179f10eb7874",
    "spots int16": "b1fa38c8fb86ff89619cf14c353a2eaf",
    "spots int32": "69b6de417b079bb03ab27e2d77bbade7",
    "spots int64": "0ab2d752dec358527f1d8e818fb493fb",
    "spots float16": "30d5f27a7e87e4e9580a9dff1cd54082",
    "spots float32": "fc479368a33457e47ac963d23a6d0407",
    "spots float64": "7f8b618450461f8f5aad6bf23499038d",
}
LABELS = {"rounds": [-3, 7], "chs": [2], "zplanes": [0, 2**31 - 1], "fovs": [5, 0]}


def spec_of(content, dtype, **changes):
    if content in GENERATORS:
        content, changes = "random", {"generator": content, **changes}
    fields = {**LABELS, "tile_shape": (19, 21), "seed": 2**64 - 1, **changes}
    return Spec(dtype=dtype, content=content, **fields)


def digest_of(content, dtype):
    spec = spec_of(content, dtype)
    digest = hashlib.sha256()
    for labels in itertools.product(spec.fovs, spec.rounds, spec.chs, spec.zplanes):
        pixels = tile(spec, *labels)
        digest.update(pixels.astype(pixels.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()[:32]


cases = pytest.mark.parametrize(
    ("content", "dtype"), list(itertools.product((*GENERATORS, *CONTENTS[1:]), DTYPES))
)


@cases
def test_pixels_never_change(content, dtype):
    assert digest_of(content, dtype) == DIGESTS[f"{content} {dtype}"]


@cases
def test_a_tile_is_a_new_writable_row_major_array_of_the_dtype(content, dtype):
    spec = spec_of(content, dtype)
    pixels = tile(spec, 0, 7, 2, 0)
    assert pixels.dtype == np.dtype(dtype)
    assert pixels.dtype.isnative
    assert pixels.shape == (19, 21)
    assert pixels.flags.c_contiguous
    before = pixels.copy()
    pixels[:] = 0
    assert np.array_equal(tile(spec, 0, 7, 2, 0), before)


@cases
def test_values_are_spread_over_what_the_dtype_is_for(content, dtype):
    pixels = tile(spec_of(content, dtype, tile_shape=(64, 64)), 0, 7, 2, 0)
    top = 1.0 if pixels.dtype.kind == "f" else float(np.iinfo(dtype).max)
    assert pixels.min() >= 0
    if content == "spots":
        assert pixels.min() < 0.05 * top
        assert 0.1 * top < pixels.max() <= top
        return
    assert pixels.min() < 0.05 * top
    assert 0.9 * top < pixels.max() <= top
    assert 0.4 < pixels.astype(float).mean() / top < 0.6


def test_floats_are_below_one_and_use_every_digit():
    for dtype, digits in (("float16", 11), ("float32", 24), ("float64", 53)):
        pixels = tile(spec_of("random", dtype, tile_shape=(64, 64)), 0, 7, 2, 0)
        whole = pixels.astype(np.float64) * 2.0**digits
        assert pixels.max() < 1
        assert np.array_equal(whole, np.floor(whole))
        assert (whole % 2 == 1).any()


@pytest.mark.parametrize("content", CONTENTS)
def test_every_label_selects_its_own_tile(content):
    spec = Spec([-1, 0, 1], [-1, 0, 1], [-1, 0, 1], (8, 8), fovs=[-1, 0, 1], content=content)
    tiles = {
        tile(spec, *labels).tobytes()
        for labels in itertools.product(spec.fovs, spec.rounds, spec.chs, spec.zplanes)
    }
    assert len(tiles) == 81


def test_the_seed_selects_another_image():
    one, other = (tile(Spec(1, 1, 1, (8, 8), seed=seed), 0, 0, 0, 0) for seed in (0, 1))
    assert not np.array_equal(one, other)


def test_a_row_of_a_random_tile_does_not_depend_on_how_many_follow():
    short, long = (tile(Spec(1, 1, 1, (rows, 5)), 0, 0, 0, 0) for rows in (3, 9))
    assert np.array_equal(short, long[:3])


def test_another_process_has_the_same_pixels():
    code = (
        "import sys, hashlib; from synth import Spec, tile;"
        "assert not {'tifffile', 'rich', 'imagecodecs'} & set(sys.modules), 'loaded eagerly';"
        "print([hashlib.sha256(tile(Spec(2, 2, 2, (16, 9), content=c, seed=3), 0, 1, 0, 1)"
        ".tobytes()).hexdigest() for c in ('random', 'index', 'spots')])"
    )
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    here = [
        hashlib.sha256(
            tile(Spec(2, 2, 2, (16, 9), content=content, seed=3), 0, 1, 0, 1).tobytes()
        ).hexdigest()
        for content in CONTENTS
    ]
    assert seen.stdout.strip() == str(here)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ((1, 0, 0, 0), r"there is no fov 1; the image has 0$"),
        ((0, 9, 0, 0), r"there is no round 9; the image has 0, 1$"),
        ((0, 0, 2, 0), r"there is no ch 2; the image has 0, 1$"),
        ((0, 0, 0, -1), r"there is no zplane -1; the image has 0, 1$"),
        ((0, 0, 0, 0.5), r"zplane must be an int; got 0.5"),
        ((0, "0", 0, 0), r"round must be an int; got '0'"),
    ],
)
def test_a_label_that_does_not_exist_is_named(labels, message):
    with pytest.raises(ValueError, match=message):
        tile(Spec(2, 2, 2, (4, 4)), *labels)


wide = sfst.labels(values=st.integers(-(2**31), 2**31 - 1), sizes=st.integers(1, 4))
sides = st.integers(8, 65535)


@given(
    spec=sfst.specs(
        rounds=wide,
        chs=wide,
        zplanes=wide,
        fovs=wide,
        tile_shapes=sfst.tile_shapes(rows=sides, columns=sides),
    )
)
def test_a_spec_survives_json_and_pickle_and_is_hashable(spec):
    for again in (
        Spec.from_json(json.loads(json.dumps(spec.to_json()))),
        pickle.loads(pickle.dumps(spec)),
    ):
        assert again == spec
        assert hash(again) == hash(spec)


def test_a_spec_takes_numbers_iterables_mappings_and_numpy():
    given = Spec(
        rounds=np.int64(3),
        chs=iter([5, 2]),
        zplanes=np.array([1, 0]),
        tile_shape={Axes.Y: 4, Axes.X: 5},
        dtype=np.float32,
    )
    assert given == Spec([0, 1, 2], [2, 5], range(2), (4, 5), dtype="float32")


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"rounds": 0}, ValueError, "rounds must number at least 1; got 0"),
        ({"rounds": 1.5}, TypeError, "rounds must be an int or an iterable of ints; got 1.5"),
        ({"rounds": True}, TypeError, "rounds must be an int or an iterable of ints; got True"),
        ({"rounds": [True]}, TypeError, r"rounds must be an iterable of ints; got \[True\]"),
        ({"chs": []}, ValueError, "chs is empty"),
        ({"chs": [1, 1]}, ValueError, "more than once"),
        ({"zplanes": "ab"}, TypeError, "zplanes must be an iterable of ints"),
        ({"zplanes": [2**63]}, ValueError, "zplanes must fit in 64 bits"),
        ({"fovs": [0.5]}, TypeError, "fovs must be"),
        ({"tile_shape": 5}, TypeError, r"tile_shape must be \(rows, columns\); got 5"),
        ({"tile_shape": (1, 2, 3)}, TypeError, "tile_shape must be"),
        ({"tile_shape": (0, 3)}, ValueError, "at least one row"),
        ({"tile_shape": {"y": 3}}, ValueError, "'y' and 'x'"),
        ({"dtype": "bool"}, ValueError, "unknown dtype 'bool'; allowed are uint8, uint16"),
        ({"dtype": "complex64"}, ValueError, "unknown dtype"),
        ({"dtype": "nonsense"}, ValueError, "unknown dtype"),
        ({"dtype": None}, ValueError, "unknown dtype"),
        (
            {"dtype": np.dtype("u2").newbyteorder()},
            ValueError,
            "a byte order, which only files have: give 'uint16' here, and byteorder='[<>]' to",
        ),
        (
            {"content": "dots"},
            ValueError,
            "unknown content 'dots'; allowed are random, index, spots",
        ),
        ({"seed": -1}, ValueError, "seed must be at least 0"),
        ({"seed": 2**64}, ValueError, "seed must be at least 0 and below"),
        ({"seed": "a"}, TypeError, "seed must be an int"),
        ({"voxel_size": (1, 2)}, ValueError, "voxel_size must be three positive"),
        ({"voxel_size": (1, 2, 0)}, ValueError, "voxel_size must be three positive"),
        ({"voxel_size": (1, 2, float("inf"))}, ValueError, "voxel_size must be three positive"),
        ({"voxel_size": 1}, ValueError, "voxel_size must be three positive"),
        ({"content": "index", "tile_shape": (7, 30)}, ValueError, "tiles of 8 to 65535"),
        ({"content": "index", "tile_shape": (8, 65536)}, ValueError, "tiles of 8 to 65535"),
        ({"content": "index", "rounds": [2**31]}, ValueError, "32 bits; rounds has"),
        ({"content": "index", "fovs": [-(2**31) - 1]}, ValueError, "32 bits; fovs has"),
    ],
)
def test_what_is_no_spec_is_refused(changes, error, message):
    fields = {"rounds": 1, "chs": 1, "zplanes": 1, "tile_shape": (9, 9), **changes}
    with pytest.raises(error, match=message):
        Spec(**fields)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rounds": 3}, "the field 'rounds' of a spec is a list; got 3"),
        ({"dtype": 3}, "the field 'dtype' of a spec is a str; got 3"),
        ({"seed": True}, "the field 'seed' of a spec is a int; got True"),
        ({"rounds": [0.5]}, "not a spec: rounds must be"),
        ({"tile_shape": [4]}, "not a spec: tile_shape must be"),
        ({"other": 1}, "a spec has the fields rounds, chs"),
    ],
)
def test_json_that_is_no_spec_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        Spec.from_json({**Spec(1, 1, 1, (4, 4)).to_json(), **changes})


def test_json_of_another_kind_is_refused():
    for fields in ({}, [1], None):
        with pytest.raises(ValueError, match="a spec has the fields"):
            Spec.from_json(fields)


def test_coordinates_are_those_of_the_first_and_last_pixel():
    spec = Spec(1, 1, [-2, 3], (10, 4), fovs=[9, 2], voxel_size=(2.0, 0.5, 0.25))
    assert spec.coordinates(fov=2, zplane=3) == {
        Coordinates.X: (0.0, 0.75),
        Coordinates.Y: (0.0, 4.5),
        Coordinates.Z: (6.0, 8.0),
    }
    assert spec.coordinates(fov=9, zplane=-2) == {
        Coordinates.X: (1.0, 1.75),
        Coordinates.Y: (0.0, 4.5),
        Coordinates.Z: (-4.0, -2.0),
    }
    with pytest.raises(ValueError, match="there is no zplane 0"):
        spec.coordinates(fov=2, zplane=0)


def test_a_single_pixel_has_an_extent_too():
    where = Spec(1, 1, 1, (1, 1)).coordinates(0, 0)
    assert where == {"xc": (0.0, 0.5), "yc": (0.0, 0.5), "zc": (0.0, 1.0)}
    assert all(type(value) is float for pair in where.values() for value in pair)


def test_extent_is_that_of_one_field_of_view():
    extent = Spec(2, [4], 1, (3, 4), fovs=[6]).extent(6)
    assert extent.tile_shape == {"y": 3, "x": 4}
    assert (extent.fov, extent.rounds, extent.chs, extent.zplanes) == (6, (0, 1), (4,), (0,))
    with pytest.raises(ValueError, match="there is no fov 0; the image has 6"):
        Spec(2, [4], 1, (3, 4), fovs=[6]).extent(0)


@given(
    seed=st.integers(0, 2**64 - 1),
    shape=st.tuples(st.integers(1, 600), st.integers(1, 600)),
    dtype=st.sampled_from(DTYPES),
    content=st.sampled_from([*GENERATORS, "index"]),
)
def test_pieces_are_the_tile(seed, shape, dtype, content):
    shape = tuple(max(8, size) for size in shape) if content == "index" else shape
    spec = spec_of(content, dtype, seed=seed, tile_shape=shape)
    made = list(pieces(spec, 5, -3, 2, 0))
    assert np.array_equal(np.concatenate(made), tile(spec, 5, -3, 2, 0).reshape(-1))
    if content != "index":
        assert max(piece.nbytes for piece in made) <= 2**19


def test_a_generator_is_begun_as_its_author_does():
    """So another program can make the pixels too: three words, a counter of 1, twelve dropped."""
    fields = {"tile_shape": (3, 5), "fovs": [9], "dtype": "uint64", "seed": 8}
    older, newer = (Spec(1, [4], [6], **fields, generator=name) for name in ("philox", "sfc64"))
    philox = np.random.Philox(key=[8, 9], counter=[0, 0, 4, 6]).random_raw(15)
    assert np.array_equal(tile(older, 9, 0, 4, 6).ravel(), philox)
    a, b, c, counter = *map(int, philox[:3]), 1
    words = []
    for _ in range(12 + 15):
        words.append((a + b + counter) % 2**64)
        counter += 1
        a, b = b ^ (b >> 11), (c + (c << 3)) % 2**64
        c = (((c << 24) | (c >> 40)) + words[-1]) % 2**64
    assert tile(newer, 9, 0, 4, 6).ravel().tolist() == words[12:]


def test_a_description_without_a_generator_means_that_of_the_first_version():
    spec = spec_of("philox", "uint8")
    assert "generator" not in spec.to_json()
    assert Spec.from_json(spec.to_json()) == spec
    newer = spec_of("sfc64", "uint8")
    assert newer.to_json()["generator"] == "sfc64"
    assert Spec.from_json(newer.to_json()) == newer == spec_of("random", "uint8")
    assert newer != spec
    assert spec_of("index", "uint8").generator is None


@pytest.mark.parametrize(
    ("content", "generator", "message"),
    [
        ("random", "mt19937", "unknown generator 'mt19937'; allowed are sfc64, philox"),
        ("random", 3, "unknown generator 3"),
    ],
)
def test_a_wrong_generator_is_refused(content, generator, message):
    with pytest.raises(ValueError, match=message):
        spec_of(content, "uint8", generator=generator)
    fields = {**spec_of(content, "uint8").to_json(), "generator": generator}
    with pytest.raises(ValueError, match=message):
        Spec.from_json(fields)


def test_other_contents_have_no_generator():
    spec = replace(spec_of("philox", "uint8"), content="index")
    assert spec.generator is None
    assert replace(spec, content="random").generator == "sfc64"
    message = "a generator goes with content 'random', not with 'index'"
    with pytest.raises(ValueError, match=message):
        Spec.from_json({**spec.to_json(), "generator": "philox"})
