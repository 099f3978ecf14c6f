"""Pixels of content "index" say where they come from and what was done to them."""

import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starfish_fetch.testing.strategies import labels, specs, tile_shapes
from synth import Decoded, Spec, decode, tile
from synth.index import BLOCK, SYNC, block_levels, crc32, level_values
from synth.spec import DTYPES

SPEC = Spec([0, 3], [-1, 2], [1, 5], (40, 59), fovs=[0, 7], content="index")
KEY = (7, 3, -1, 5)

# Written out by hand with numpy's own verbs: the names are the promise, the code's table is not.
TURNS = {
    "as written": lambda image: image,
    "flipped left-right": np.fliplr,
    "flipped up-down": np.flipud,
    "rotated by 180 degrees": lambda image: np.rot90(image, 2),
    "transposed": np.transpose,
    "rotated by 90 degrees clockwise": lambda image: np.rot90(image, -1),
    "rotated by 90 degrees counterclockwise": lambda image: np.rot90(image, 1),
    "transposed about the other diagonal": lambda image: np.rot90(image, 2).T,
}

ONE = labels(values=st.integers(-(2**31), 2**31 - 1), sizes=st.just(1))
SIDES = st.integers(15, 90)
SPECS = specs(
    rounds=ONE,
    chs=ONE,
    zplanes=ONE,
    fovs=ONE,
    tile_shapes=tile_shapes(rows=SIDES, columns=SIDES),
    contents=st.just("index"),
)


def named(found):
    return found.fov, found.round, found.ch, found.zplane


@st.composite
def crops(draw):
    """A tile of some image, and the place of a crop that holds a whole block."""
    spec = draw(SPECS, label="spec")
    sizes = [draw(st.integers(15, size), label="crop size") for size in spec.tile_shape]
    corner = tuple(
        draw(st.integers(0, size - crop), label="corner")
        for size, crop in zip(spec.tile_shape, sizes, strict=True)
    )
    rows, columns = (slice(at, at + size) for at, size in zip(corner, sizes, strict=True))
    key = (*spec.fovs, *spec.rounds, *spec.chs, *spec.zplanes)
    return spec, key, corner, tile(spec, *key)[rows, columns]


@settings(max_examples=150, deadline=None)
@given(crop=crops(), turn=st.sampled_from(list(TURNS)))
def test_any_crop_in_any_dtype_and_orientation_is_named(crop, turn):
    spec, labels, corner, pixels = crop
    found = decode(TURNS[turn](pixels))
    assert found.found, found
    assert named(found) == labels
    assert found.offset == corner
    assert found.shape == pixels.shape
    assert found.tile_shape == spec.tile_shape
    assert found.orientation == turn
    assert not found.rescaled
    assert not found.shifted
    assert not found.bytes_swapped
    assert found.blocks == found.total >= 1
    assert found.sources == {labels: found.blocks}


@settings(max_examples=100, deadline=None)
@given(
    crop=crops(),
    scale=st.floats(1e-6, 1e6) | st.floats(-1e6, -1e-6),
    bias=st.floats(-10, 10),
    kept=st.sampled_from(["float32", "float64"]),
)
def test_any_linear_rescaling_is_named(crop, scale, bias, kept):
    spec, labels, corner, pixels = crop
    top = float(level_values(spec.dtype)[-1])
    rescaled = (pixels.astype("float64") / top * scale + bias * abs(scale)).astype(kept)
    found = decode(rescaled)
    assert named(found) == labels
    assert found.offset == corner
    assert found.low == pytest.approx(bias * abs(scale), rel=1e-5, abs=abs(scale) * 1e-5)
    assert found.high - found.low == pytest.approx(scale, rel=1e-4)
    if abs(scale - 1) > 0.1 or abs(bias) > 0.1:
        assert found.rescaled


@pytest.mark.parametrize("dtype", [dtype for dtype in DTYPES if "int" in dtype])
@pytest.mark.parametrize("wanted", ["float32", "float64"])
def test_conversion_to_floats_up_to_one_is_no_rescaling(dtype, wanted):
    spec = Spec([3], [-1], [5], (40, 59), fovs=[7], content="index", dtype=dtype)
    pixels = tile(spec, *KEY).astype(wanted) * np.array(1 / np.iinfo(dtype).max, wanted)
    for image in (pixels, pixels.astype("float64")):
        found = decode(image)
        assert found.untouched, found
        assert named(found) == KEY


@pytest.mark.parametrize(
    ("change", "high"),
    [
        (lambda pixels: pixels // 16, 4095.0),
        (lambda pixels: pixels.astype("float32"), 65520.0),
        (lambda pixels: pixels / 65536, 65520 / 65536),
        (lambda pixels: (pixels / 65536).astype("float32"), 65520 / 65536),
        (lambda pixels: (pixels / 65535 / 256).astype("float32"), 65520 / 65535 / 256),
        (lambda pixels: (pixels >> 8).astype("uint8"), 255.0),
        (lambda pixels: (pixels >> 8).astype("uint16"), 255.0),
        (lambda pixels: 65535 - pixels, 15.0),
    ],
)
def test_a_defect_of_the_scale_is_rescaling(change, high):
    found = decode(change(tile(SPEC, *KEY)))
    assert named(found) == KEY
    assert found.rescaled
    assert found.high == pytest.approx(high, rel=1e-6)
    assert not found.untouched


@pytest.mark.parametrize("dtype", [dtype for dtype in DTYPES if dtype[-1] != "8"])
@pytest.mark.parametrize("turn", TURNS)
def test_swapped_bytes_are_named_and_are_not_the_same_pixels(dtype, turn):
    spec = Spec([3], [-1], [5], (40, 59), fovs=[7], content="index", dtype=dtype)
    pixels = tile(spec, *KEY)
    swapped = pixels.byteswap()
    assert not np.array_equal(swapped, pixels)
    found = decode(TURNS[turn](swapped))
    assert named(found) == KEY
    assert found.bytes_swapped
    assert not found.rescaled
    assert found.orientation == turn


def test_a_foreign_byte_order_of_the_dtype_is_not_swapped():
    assert decode(tile(SPEC, *KEY).astype(">u2")).untouched


def test_a_mixture_names_every_tile_and_how_much_of_it():
    mixed = tile(SPEC, *KEY)
    mixed[:16] = tile(SPEC, 0, 3, 2, 1)[:16]
    found = decode(mixed)
    assert found.sources == {KEY: 21, (0, 3, 2, 1): 14}
    assert named(found) == KEY
    assert "mixed with 14 blocks of (fov=0, r=3, c=2, z=1)" in str(found)
    assert not found.untouched


@pytest.mark.parametrize("shift", [(8, 0), (0, -16), (3, 5), (-1, 1)])
def test_a_rolled_tile_is_shifted(shift):
    found = decode(np.roll(tile(SPEC, *KEY), shift, axis=(0, 1)))
    assert named(found) == KEY
    assert found.shifted
    assert f"shifted by {shift[0]} rows and {shift[1]} columns" in str(found)


def test_a_padded_tile_is_shifted():
    found = decode(np.pad(tile(SPEC, *KEY), ((100, 3), (200, 0))))
    assert named(found) == KEY
    assert found.offset == (-100, -200)
    assert found.shifted


def test_damage_is_counted():
    pixels = tile(SPEC, *KEY)
    pixels[9, 9] ^= 0x8000
    found = decode(pixels)
    assert named(found) == KEY
    assert (found.blocks, found.total) == (34, 35)
    assert "34 of 35 blocks readable" in str(found)


def test_the_many_win_over_a_first_block_that_lies_right():
    whole = tile(Spec(1, 1, 1, (256, 256), content="index"), 0, 0, 0, 0)
    pixels = np.fliplr(whole).copy()
    pixels[:8, :8] = whole[:8, :8]
    assert decode(pixels).orientation == "flipped left-right"


def test_large_tiles_are_read_whole():
    spec = Spec(1, 1, 1, (1000, 1003), content="index")
    found = decode(tile(spec, 0, 0, 0, 0).T[5:, 3:])
    assert found.orientation == "transposed"
    assert found.offset == (3, 5)
    assert found.blocks == found.total > 15000


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    shape=st.tuples(st.integers(0, 60), st.integers(0, 60)),
    dtype=st.sampled_from(DTYPES),
)
def test_noise_is_not_decoded(seed, shape, dtype):
    generator = np.random.default_rng(seed)
    noise = generator.bytes(shape[0] * shape[1] * np.dtype(dtype).itemsize)
    found = decode(np.frombuffer(noise, dtype).reshape(shape))
    assert not found.found
    assert found.reason


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32), step=st.sampled_from([1, 16, 17, 4368]))
def test_noise_on_the_levels_with_true_first_rows_is_not_decoded(seed, step):
    levels = np.random.default_rng(seed).integers(0, 16, (32, 32))
    levels[::8] = np.tile(SYNC, 4)
    assert not decode(levels * step).found


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (np.zeros((50, 50)), "no block"),
        (np.full((50, 50), 7, np.uint8), "no block"),
        (np.full((50, 50), np.nan), "no block"),
        (np.full((50, 50), np.inf, np.float32), "no block"),
        (np.full((50, 50), 0x7F800001, np.uint32).view("float32"), "no block"),  # signals
        (np.full((50, 50), 1e308) * np.tile(SYNC > 0, (50, 7))[:, :50], "no block"),
        (np.tile(SYNC, (64, 8)), "no block"),
        (tile(SPEC, *KEY)[:7], r"a whole block has 8 rows and columns; got the shape \(7, 59\)"),
        (tile(SPEC, *KEY)[1:15, 1:15], "no block"),
        (np.zeros((0, 0)), "a whole block"),
        (np.zeros(90), "must have two dimensions"),
        (np.zeros((2, 20, 20)), r"two dimensions, rows and columns; got the shape \(2, 20, 20\)"),
        (np.float64(3), "must have two dimensions"),
        (np.zeros((20, 20), complex), "integers or floats; got complex128"),
        (np.zeros((20, 20), bool), "integers or floats; got bool"),
        (np.full((20, 20), None), "integers or floats; got object"),
    ],
)
def test_what_holds_no_block_is_not_decoded(pixels, reason):
    found = decode(pixels)
    assert not found.found
    assert named(found) == (None, None, None, None)
    assert not found.untouched
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(found.reason)
    assert str(found) == f"not decoded: {found.reason}"


def test_nan_in_some_blocks_leaves_the_others_readable():
    pixels = tile(SPEC, *KEY) / 65535
    pixels[0, 0] = np.nan
    pixels[20, 20] = np.inf
    found = decode(pixels)
    assert named(found) == KEY
    assert found.total - found.blocks == 2


def test_decode_leaves_the_pixels_alone():
    pixels = tile(SPEC, *KEY)
    before = pixels.copy()
    pixels.flags.writeable = False
    decode(pixels.T)
    assert np.array_equal(pixels, before)


def test_words():
    pixels = tile(Spec(1, 3, 2, (64, 48), content="index"), 0, 0, 2, 1)
    start = "round 0, channel 2, z-plane 1 of field of view 0"
    assert str(decode(pixels)) == start
    assert str(decode(pixels[:, ::-1] / 65535 / 256)) == (
        f"{start}, flipped left-right, rescaled to 0..0.003905356"
    )
    assert str(decode(pixels[3:23, 4:])) == f"{start}, rows 3 to 22 and columns 4 to 47"
    assert str(decode(pixels.byteswap())) == f"{start}, with the bytes of each pixel swapped"
    assert decode(pixels).describe() == str(decode(pixels))
    assert decode(pixels) == decode(pixels.copy())
    assert isinstance(hash(decode(pixels)), int)


def test_many_sources_are_summed_up():
    sources = {(0, 0, 0, number): 9 - number for number in range(6)}
    text = str(
        Decoded(found=True, fov=0, round=0, ch=0, zplane=0, shape=(9, 9), tile_shape=(9, 9),
                orientation="as written", offset=(0, 0), sources=sources)
    )  # fmt: skip
    assert text.endswith("and 6 blocks of (fov=0, r=0, c=0, z=3) and 2 more tiles")


def test_the_checksum_is_crc32():
    rows = np.random.default_rng(1).integers(0, 256, (50, 24), dtype=np.uint8)
    assert crc32(rows).tolist() == [zlib.crc32(row.tobytes()) for row in rows]


def test_the_first_row_is_neither_its_mirror_image_nor_its_negative():
    turned = [SYNC, 15 - SYNC, SYNC[::-1], 15 - SYNC[::-1]]
    assert len({one.tobytes() for one in turned}) == 4


def test_blocks_begin_with_the_first_row_and_are_cropped_at_the_edges():
    levels = block_levels(KEY, (20, 27))
    assert levels.shape == (20, 27)
    assert np.array_equal(levels[::BLOCK], np.tile(SYNC, (3, 4))[:, :27])
    assert not np.array_equal(levels[:8, :8], levels[:8, 8:16])


@pytest.mark.parametrize("dtype", DTYPES)
def test_levels_are_evenly_spaced_from_zero(dtype):
    values = level_values(dtype)
    assert values.dtype == dtype
    assert values[0] == 0
    if values.dtype.kind == "f":
        assert values[-1] == 1
    else:
        assert len(set(np.diff(values.astype(object)))) == 1
        assert np.iinfo(dtype).max * 0.93 < values[-1] <= np.iinfo(dtype).max
