"""What the base classes of the contract say of a method that is not there."""

import pytest

from starfish_fetch import FetchedTile, TileFetcher


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


def test_what_may_be_left_out_says_that_nothing_is_known():
    assert Half("any", arguments=1).extras == {}
    assert Empty().source(0, 1, 2, 3) is None
    assert not Empty().thread_safe
    assert not Empty().shares_sources
