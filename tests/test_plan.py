import itertools
import pickle
import subprocess
import sys
from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from starfish_fetch import Axes, LoadPlan, TileKey
from starfish_fetch.plan import parse_group_by
from starfish_fetch.testing.strategies import group_bys, labels

SOME = labels(sizes=st.integers(1, 4))


def expected_order(rounds, chs, zplanes, group_by):
    """Nested loops, the slowest axis outermost: the definition, written out."""
    labels = {"r": sorted(rounds), "c": sorted(chs), "z": sorted(zplanes)}
    axes = [*group_by, *(axis for axis in "rcz" if axis not in group_by)]
    for values in itertools.product(*(labels[axis] for axis in axes)):
        named = dict(zip(axes, values, strict=True))
        yield named["r"], named["c"], named["z"]


@given(SOME, SOME, SOME, group_bys())
def test_order_is_that_of_nested_loops(rounds, chs, zplanes, group_by):
    plan = LoadPlan(rounds, chs, zplanes, group_by=group_by)
    assert list(plan) == list(expected_order(rounds, chs, zplanes, group_by or ()))
    assert all(type(key) is TileKey for key in plan)


@given(SOME, SOME, SOME, group_bys().filter(lambda order: order is not None))
def test_a_group_shares_the_values_of_the_axes_named(rounds, chs, zplanes, group_by):
    plan = LoadPlan(rounds, chs, zplanes, group_by=group_by)
    groups = list(plan.groups())
    assert [key for group in groups for key in group] == list(plan)
    shared = [{tuple(key["rcz".index(axis)] for axis in group_by) for key in g} for g in groups]
    assert all(len(values) == 1 for values in shared)
    assert len({values.pop() for values in shared}) == len(groups)


def test_a_set_is_taken_in_the_order_r_c_z_whatever_the_hash_seed():
    script = (
        "from starfish_fetch import *\n"
        "print(list(LoadPlan([0, 1], [0, 1], [0, 1], group_by={'z', 'c', 'r'})))\n"
        "print(list(LoadPlan([0, 1], [0, 1], [0, 1], group_by={Axes.ZPLANE, Axes.CH})))"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "2")
    }
    plans = (LoadPlan([0, 1], [0, 1], [0, 1], group_by=order) for order in ("rcz", "cz"))
    assert seen == {"".join(f"{list(plan)}\n" for plan in plans)}


@pytest.mark.parametrize("group_by", ["zr", ["z", "r"], (Axes.ZPLANE, Axes.ROUND)])
def test_sequences_of_strings_and_axes_are_equal(group_by):
    assert parse_group_by(group_by) == (Axes.ZPLANE, Axes.ROUND)


@pytest.mark.parametrize(
    ("group_by", "message"),
    [
        (("y",), "takes the axes 'r', 'c' and 'z'; got 'y'"),
        ({Axes.X}, "takes the axes"),
        (("r", "q"), "got 'q'"),
        (("r", "c", "r"), "'r' more than once"),
        ((3,), "got 3"),
    ],
)
def test_group_by_that_is_refused(group_by, message):
    with pytest.raises(ValueError, match=message):
        LoadPlan([0], [0], [0], group_by=group_by)


def test_one_source_is_finished_before_the_next():
    sources = ["b", "a", "b", "a", "c", "b"]
    plan = LoadPlan([0, 1], [0], [0, 1, 2], sources=sources)
    assert [tuple(key) for key in plan] == [
        (0, 0, 0), (0, 0, 2), (1, 0, 2), (0, 0, 1), (1, 0, 0), (1, 0, 1),
    ]  # fmt: skip
    assert [len(group) for group in plan.groups()] == [3, 2, 1]
    assert plan.predicted_opens() == 3


def test_unknown_sources_are_sources_of_their_own():
    plan = LoadPlan([0], [0], [0, 1, 2, 3], sources=["a", None, "a", None])
    assert [key.zplane for key in plan] == [0, 2, 1, 3]
    assert plan.predicted_opens() == 3
    unknown = LoadPlan([0], [0], [0, 1], sources=[None, None])
    assert unknown == LoadPlan([0], [0], [0, 1])
    assert len(list(unknown.groups())) == 2


def misses(sequence, size):
    kept, count = OrderedDict(), 0
    for source in sequence:
        if source not in kept:
            count += 1
            kept[source] = None
            if size is not None and len(kept) > size:
                kept.popitem(last=False)
        kept.move_to_end(source)
    return count


@given(st.data())
def test_opens_are_those_of_a_least_recently_used_cache(data):
    rounds, chs, zplanes = (range(data.draw(st.integers(1, 4))) for _ in range(3))
    count = len(rounds) * len(chs) * len(zplanes)
    sources = data.draw(st.lists(st.integers(0, 5), min_size=count, max_size=count))
    by_key = dict(zip(itertools.product(rounds, chs, zplanes), sources, strict=True))
    sizes = [1, 2, 3, 4, 7, None]
    plan = LoadPlan(rounds, chs, zplanes, group_by=data.draw(group_bys()), sources=sources)
    for size in sizes:
        assert plan.predicted_opens(size) == misses([by_key[key] for key in plan], size)
    for prediction in plan.advise(sizes).predictions:
        order = LoadPlan(rounds, chs, zplanes, group_by=prediction.group_by, sources=sources)
        assert prediction.opens == {
            size: misses([by_key[key] for key in order], size) for size in sizes
        }


def test_advice_names_the_order_that_holds_what_a_file_holds():
    rounds, chs, zplanes = range(4), range(3), range(5)
    for axis, best in (("r", ("r", "c", "z")), ("c", ("c", "r", "z")), ("z", ("z", "r", "c"))):
        keys = itertools.product(rounds, chs, zplanes)
        sources = [key["rcz".index(axis)] for key in keys]
        advice = LoadPlan(rounds, chs, zplanes, sources=sources).advise()
        assert advice.best.group_by == best
        assert advice.best.opens == dict.fromkeys((1, 2, 4, None), len(set(sources)))
        assert len(advice.predictions) == 7


def test_predictions_need_sources():
    plan = LoadPlan([0], [0], [0])
    with pytest.raises(ValueError, match="define 'source' on the fetcher"):
        plan.predicted_opens()
    with pytest.raises(ValueError, match="no source is known"):
        plan.advise()
    with pytest.raises(ValueError, match="cache_size must be at least 1"):
        LoadPlan([0], [0], [0], sources=["a"]).predicted_opens(0)


def test_a_plan_is_a_value():
    plan = LoadPlan([1, 0], [0], [0], sources=["a", "b"], tile_shape=(4, 5), dtype=np.dtype("u2"))
    assert plan.nbytes == 2 * 4 * 5 * 2
    assert plan.rounds == (0, 1)
    assert pickle.loads(pickle.dumps(plan)) == plan
    assert plan != LoadPlan([1, 0], [0], [0])
    assert LoadPlan([0], [0], [0]).nbytes is None
    with pytest.raises(AttributeError):
        plan.fov = 3
    with pytest.raises(ValueError, match="1 sources were given for 2 tiles"):
        LoadPlan([0, 1], [0], [0], sources=["a"])
