import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from starfish_fetch import Axes, CropParameters, OutsideTileError
from starfish_fetch.crop import Window

ENDS = st.none() | st.integers(-14, 14)


@given(size=st.integers(1, 12), start=ENDS, stop=ENDS)
@example(size=9, start=2, stop=5)
@example(size=9, start=-4, stop=-1)
def test_a_window_is_the_python_range_or_an_error(size, start, stop):
    crop = CropParameters(y_slice=slice(start, stop))
    within = all(end is None or -size <= end <= size for end in (start, stop))
    kept = range(size)[start:stop]
    if within and kept:
        window = crop.window((size, 3))
        assert range(window.rows.start, window.rows.stop) == kept
        assert window.columns == slice(0, 3)
        assert window.shape == (len(kept), 3)
    else:
        with pytest.raises(
            OutsideTileError, match=f"^y_slice=.* does not lie within the tile's 0..{size}"
        ):
            crop.window((size, 3))


def test_an_int_keeps_one():
    assert CropParameters(x_slice=4).window((9, 5)).columns == slice(4, 5)


@pytest.mark.parametrize("crop", [5, -1])
def test_an_int_outside_is_an_index_error_as_in_starfish_and_a_value_error(crop):
    for error in (IndexError, ValueError):
        with pytest.raises(error, match=r"^x_slice="):
            CropParameters(x_slice=crop).window((9, 5))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"x_slice": slice(0, 4, 2)}, ValueError, "x_slice has the step 2"),
        ({"y_slice": slice(None, None, -1)}, ValueError, "y_slice has the step -1"),
        ({"permitted_rounds": []}, ValueError, "permitted_rounds is empty"),
        ({"permitted_chs": [1, 1]}, ValueError, "permitted_chs names the label 1 more than once"),
        ({"permitted_zplanes": [0.5]}, TypeError, "permitted_zplanes must be"),
        ({"x_slice": "all"}, TypeError, "x_slice must be a slice"),
        ({"x_slice": slice(0.5, 2)}, TypeError, "x_slice must have ints"),
    ],
)
def test_nonsense_is_refused(options, error, message):
    with pytest.raises(error, match=message):
        CropParameters(**options)


def test_labels_are_narrowed_in_order_and_unknown_ones_ignored():
    crop = CropParameters(permitted_chs=[7, 2, 99])
    assert crop.labels(Axes.CH, (1, 2, 7, 9)) == (2, 7)
    assert crop.labels(Axes.ROUND, (1, 2)) == (1, 2)


def test_keeping_no_label_is_an_error():
    with pytest.raises(ValueError, match=r"keeps nothing of axis 'z': permitted are \[9\]"):
        CropParameters(permitted_zplanes=[9]).labels(Axes.ZPLANE, (0, 1))


def test_repr_shows_what_is_kept():
    assert repr(CropParameters(permitted_rounds=[1], x_slice=3)) == (
        "CropParameters(r: [1], y: None, x: 3)"
    )


def test_a_window_of_a_window_is_one_of_the_tile():
    window = Window(slice(3, 9), slice(5, 12))
    assert window.shape == (6, 7)
    assert window.within(slice(1, 4), slice(2, 6)) == Window(slice(4, 7), slice(7, 11))
