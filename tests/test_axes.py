import pickle

import numpy as np
import pytest

from starfish_fetch import Axes, Coordinates, Extent, TileKey
from starfish_fetch.axes import labels_of, tile_shape_of


def test_members_equal_and_hash_as_their_strings():
    for member in (*Axes, *Coordinates):
        assert member == member.value
        assert hash(member) == hash(member.value)
        assert {member: 1}[member.value] == {member.value: 1}[member] == 1


def test_labels_are_sorted_ints():
    labels = labels_of("rounds", np.array([4, -1, 2], np.int8))
    assert labels == (-1, 2, 4)
    assert all(type(label) is int for label in labels)


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        ([], ValueError, "chs is empty"),
        ([1, 2, 1], ValueError, "chs names the label 1 more than once"),
        ([0.5], TypeError, "chs must be an iterable of ints"),
        (3, TypeError, "chs must be an iterable of ints; got 3"),
        (["a"], TypeError, "chs must be an iterable of ints"),
        ([False, True], TypeError, r"chs must be an iterable of ints; got \[False, True\]"),
    ],
)
def test_labels_that_are_refused(labels, error, message):
    with pytest.raises(error, match=message):
        labels_of("chs", labels)


@pytest.mark.parametrize(
    ("shape", "error"),
    [
        ({"y": 3}, ValueError),
        ({"y": 3, "x": 0}, ValueError),
        ({"y": 3, "x": 2.5}, TypeError),
        ((3, 2), TypeError),
    ],
)
def test_tile_shapes_that_are_refused(shape, error):
    with pytest.raises(error, match="tile"):
        tile_shape_of(shape)


def test_extent_sorts_compares_hashes_and_pickles():
    extent = Extent({Axes.Y: 3, Axes.X: 2}, 0, [2, 0], range(2), (5,))
    same = Extent({"x": np.int64(2), "y": 3}, 0, [0, 2], [1, 0], [5])
    assert extent == same
    assert hash(extent) == hash(same)
    assert pickle.loads(pickle.dumps(extent)) == extent
    assert extent.labels("r") == extent.labels(Axes.ROUND) == (0, 2)
    assert list(vars(extent)) == ["tile_shape", "fov", "rounds", "chs", "zplanes"]


def test_tile_key_is_a_named_tuple():
    assert TileKey(1, 2, 3) == (1, 2, 3)
    assert TileKey(round=1, ch=2, zplane=3)._fields == ("round", "ch", "zplane")
