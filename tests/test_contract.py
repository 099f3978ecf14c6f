"""What the base classes of the contract say of a method that is not there."""

import numpy as np
import pytest

from starfish_fetch import FetchedTile, TileFetcher
from starfish_fetch.contract import own_region


class Half(FetchedTile):
    pass


class Empty(TileFetcher):
    pass


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: Half().shape, "Half must define the property 'shape'"),
        (lambda: Half().coordinates, "Half must define the property 'coordinates'"),
        (lambda: Half().tile_data(), "Half must define the method 'tile_data'"),
        (lambda: Empty().get_tile(0, 1, 2, 3), "Empty must define the method 'get_tile'"),
    ],
)
def test_what_is_not_defined_is_named(ask, message):
    with pytest.raises(NotImplementedError, match=f"^{message}$"):
        ask()


def test_part_of_a_tile_is_that_part_of_its_pixels_unless_it_has_a_way_of_its_own():
    pixels = np.arange(30).reshape(6, 5)
    whole = type("Whole", (FetchedTile,), {"tile_data": lambda self: pixels})()
    np.testing.assert_array_equal(whole.tile_region(slice(1, 3), slice(2, 5)), pixels[1:3, 2:5])
    assert own_region(whole) is None
    assert own_region(object()) is None
    own = type("Own", (FetchedTile,), {"tile_region": lambda self, rows, columns: (rows, columns)})
    assert own_region(own())(1, 2) == (1, 2)


def test_what_may_be_left_out_says_that_nothing_is_known():
    assert Half("any", arguments=1).extras == {}
    assert Empty().source(0, 1, 2, 3) is None
    assert not Empty().thread_safe
    assert not Empty().shares_sources
