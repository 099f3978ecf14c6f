import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.util import img_as_float32

from starfish_fetch import to_float32
from starfish_fetch.intensity import intensity_range

DTYPES = ["?", *(kind + size for kind in "ui" for size in "1248"), "f2", "f4", "f8"]


def finite(dtype, shape):
    elements = None
    if np.dtype(dtype).kind == "f":
        elements = st.floats(-1, 1, width=8 * np.dtype(dtype).itemsize)
    return hnp.arrays(dtype, shape, elements=elements)


@pytest.mark.parametrize("dtype", DTYPES)
@given(data=st.data())
def test_equals_skimage_to_the_bit(dtype, data):
    order = data.draw(st.sampled_from("<>"), label="byte order")
    shape = data.draw(hnp.array_shapes(min_dims=2, max_dims=2, max_side=9), label="shape")
    pixels = data.draw(finite(np.dtype(dtype).newbyteorder(order), shape), label="pixels")
    # skimage leaves float32 of the other byte order as it is; the values are the same.
    expected = img_as_float32(pixels).astype("=f4")
    ours = to_float32(pixels)
    assert ours.dtype == np.dtype("=f4")
    np.testing.assert_array_equal(ours.view(np.uint32), expected.view(np.uint32))


@pytest.mark.parametrize("dtype", [dtype for dtype in DTYPES if np.dtype(dtype).kind in "ui"])
def test_ends_of_the_range_equal_skimage(dtype):
    limits = np.iinfo(dtype)
    pixels = np.array([[limits.min, limits.min + 1, 0, 1, limits.max - 1, limits.max]], dtype)
    np.testing.assert_array_equal(to_float32(pixels), img_as_float32(pixels))


@pytest.mark.parametrize("dtype", ["u4", "i4", "u8", "i8"])
def test_many_values_of_wide_integers_equal_skimage(dtype):
    limits = np.iinfo(dtype)
    pixels = np.random.default_rng(0).integers(
        limits.min, limits.max, (100, 200), dtype=dtype, endpoint=True
    )
    np.testing.assert_array_equal(to_float32(pixels), img_as_float32(pixels))


@pytest.mark.parametrize(("dtype", "bits"), [("u8", 64), ("i8", 63)])
def test_a_wide_integer_is_rounded_as_often_as_in_skimage(dtype, bits):
    # Just above the middle between two float32, and in float64 right on it.
    pixels = np.array([[2 ** (bits - 1) + 2 ** (bits - 25) + 1]], dtype)
    np.testing.assert_array_equal(to_float32(pixels), img_as_float32(pixels))
    assert to_float32(pixels)[0, 0] == 0.5  # rounded once, it were the float32 after


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_zero_and_one_are_within_the_range(dtype):
    assert intensity_range(np.array([[0, 1], [-0.0, 1]], dtype)) is None


def test_the_float_after_one_is_out_of_range():
    pixels = np.array([[0, np.nextafter(np.float32(1), np.float32(2))]], np.float32)
    assert intensity_range(pixels) == (0, pixels.max(), False)


@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_every_value_equals_skimage(dtype):
    pixels = np.arange(np.iinfo(dtype).max + 1).astype(dtype)[None]
    np.testing.assert_array_equal(to_float32(pixels), img_as_float32(pixels))


def test_writes_into_a_strided_out():
    pixels = np.arange(12, dtype=np.uint16).reshape(3, 4)
    out = np.zeros((3, 8), np.float32)
    assert np.shares_memory(to_float32(pixels, out=out[:, ::2]), out)
    np.testing.assert_array_equal(out[:, ::2], img_as_float32(pixels))
    assert not out[:, 1::2].any()


@pytest.mark.parametrize("dtype", ["c8", "O", "U3", "M8[s]", np.longdouble])
def test_refuses_what_has_no_intensity(dtype):
    message = "no intensity; expected bool, an integer, or a float of 16, 32 or 64 bits$"
    with pytest.raises(TypeError, match=message):
        to_float32(np.zeros((2, 2), dtype))


@given(
    hnp.arrays(
        st.sampled_from([np.float16, np.float32, np.float64]),
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=4),
        elements=st.sampled_from([-0.5, -0.0, 0.0, 0.25, 1.0, 1.125, 1.5, np.inf, -np.inf, np.nan]),
    )
)
def test_range_finds_what_leaves_zero_to_one(pixels):
    stated = pixels[~np.isnan(pixels)]
    fine = bool(((stated >= 0) & (stated <= 1)).all()) and len(stated) == pixels.size
    found = intensity_range(pixels)
    assert (found is None) == fine
    if found is not None and len(stated):
        assert found == (stated.min(), stated.max(), len(stated) < pixels.size)
