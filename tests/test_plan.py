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
from starfish_fetch.opens import smallest_cache
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


def asked_in_step(groups, workers):
    """Workers that take whole groups in turn, and keep in step: written out."""
    queues = [[tile for group in groups[one::workers] for tile in group] for one in range(workers)]
    steps = itertools.zip_longest(*queues)
    return [tile for step in steps for tile in step if tile is not None], queues


@given(st.data())
def test_advice_is_what_simulation_finds(data):
    names = [range(data.draw(st.integers(1, 4))) for _ in range(3)]
    keys = list(itertools.product(*names))
    sources = data.draw(
        st.lists(st.integers(0, 6), min_size=len(keys), max_size=len(keys))
        | st.sets(st.sampled_from("rcz")).map(
            lambda axes: [tuple(key["rcz".index(axis)] for axis in sorted(axes)) for key in keys]
        )
    )
    by_key = dict(zip(keys, sources, strict=True))
    workers = data.draw(st.integers(1, 5))
    group_by = data.draw(group_bys())
    advice = LoadPlan(*names, sources=sources, group_by=group_by).advise(workers=workers)
    distinct = len({*sources})
    assert (advice.tiles, advice.sources) == (len(keys), distinct)
    for prediction in (*advice.predictions, advice.plan):
        order = LoadPlan(*names, group_by=prediction.group_by, sources=sources)
        asked = [by_key[key] for key in order]
        size = prediction.smallest_cache
        assert misses(asked, size) == distinct
        assert size == 1 or misses(asked, size - 1) > distinct
    assert advice.plan.group_by == (None if group_by is None else tuple(map(Axes, group_by)))

    own = LoadPlan(*names, sources=sources)
    groups = [[by_key[key] for key in group] for group in own.groups()]
    shared, queues = asked_in_step(groups, workers)
    predicted = advice.workers
    assert (predicted.workers, predicted.groups) == (workers, distinct)
    for size in (1, 2, 4, None):
        assert predicted.shared[size] == misses(shared, size)
        assert predicted.per_thread[size] == sum(misses(one, size) for one in queues)
    size = predicted.smallest_cache
    assert misses(shared, size) == distinct
    assert size == 1 or misses(shared, size - 1) > distinct
    idle = min(workers, distinct) < 2
    assert (predicted.effect == "idle") == idle
    assert idle or (predicted.effect == "help") == (misses(shared, 1) == distinct)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=200))
def test_the_smallest_cache_of_any_sequence(sources):
    size = smallest_cache(np.array(sources, np.int32))
    assert misses(sources, size) == len({*sources})
    assert size == 1 or misses(sources, size - 1) > len({*sources})


SPLITS = [axes for count in range(4) for axes in itertools.combinations("rcz", count)]
SIZES = {"r": 4, "c": 2, "z": 3}


def layout_advice(outer, group_by=None, workers=3):
    """Advice on an image of which each combination of labels of some axes is a file."""
    keys = list(itertools.product(*(range(size) for size in SIZES.values())))
    sources = [tuple(key["rcz".index(axis)] for axis in outer) for key in keys]
    names = (range(size) for size in SIZES.values())
    return LoadPlan(*names, sources=sources, group_by=group_by).advise(workers=workers)


@pytest.mark.parametrize("outer", SPLITS, ids=lambda outer: "".join(outer) or "single")
def test_the_words_of_advice_are_right_for_every_layout(outer):
    advice = layout_advice(outer)
    files = int(np.prod([SIZES[axis] for axis in outer], dtype=int))
    best = ",".join([*outer, *(axis for axis in "rcz" if axis not in outer)])
    assert advice.best.order == best
    assert advice.best.opens[1] == files
    sentence = advice.sentence
    assert sentence.count(". ") == 1
    if not outer:
        assert sentence == (
            "All 24 tiles come from one source, which every order opens once. Several workers have "
            "no sources to divide."
        )
        assert (advice.workers.effect, advice.converting_helps) == ("idle", False)
    elif len(outer) == 3:
        assert sentence == (
            "Each of the 24 tiles has a source of its own, so that neither order nor cache lessens "
            "the opens; converting the image to fewer, larger files would. Several workers divide "
            "the opens among themselves."
        )
        assert (advice.workers.effect, advice.converting_helps) == ("help", True)
    else:
        # In the worst order an axis within the files is slowest, and one of the files' fastest.
        worst = advice.worst
        assert worst.group_by[-1] in outer
        assert worst.opens[1] == 24
        assert sentence.startswith(
            f"Load in {best}, which opens {files} sources once each; {worst.order} opens {files} "
            f"sources 24 times instead of {files}. "
        )
        assert f"Keeping {files} sources makes every order as good" in sentence
        kept = min(3, files)
        assert (advice.workers.effect, advice.workers.smallest_cache) == ("thrash", kept)
        assert f"workers (3) help if {kept} sources are kept for all of them, or one" in sentence
        assert not advice.converting_helps


def test_the_order_planned_is_judged_too():
    advice = layout_advice(("r", "c"), group_by=("c", "z"))
    # A channel is held, and in it a z-plane: four rounds come by before the first does again.
    assert (advice.plan.opens[1], advice.plan.smallest_cache) == (24, 4)
    assert "c,z, as planned, 24 times" in advice.sentence
    assert "(4 are enough for c,z)" in advice.sentence
    assert "as planned" not in layout_advice(("r",), group_by=("r",)).sentence


def test_scrambled_sources_are_left_to_the_loader():
    keys = itertools.product(range(4), range(3), range(5))
    sources = [(r + c + z) % 3 for r, c, z in keys]
    advice = LoadPlan(range(4), range(3), range(5), sources=sources).advise()
    assert advice.best.group_by is None
    assert advice.sentence.startswith("Load in the loader's own order (group_by=None), which")


def test_one_worker_and_one_tile_need_no_advice_on_workers():
    assert "worker" not in layout_advice(("r",), workers=1).sentence
    one = LoadPlan([0], [0], [0], sources=["a"]).advise()
    assert one.sentence == "There is one tile: every order is the same."


@pytest.mark.parametrize(
    ("sizes", "workers", "message"),
    [
        ((), 4, r"cache_sizes are at least 1, or None for all; got \(\)"),
        ((1, 0), 4, r"got \(1, 0\)"),
        ((1,), 0, "workers must be at least 1; got 0"),
    ],
)
def test_advice_that_cannot_be_asked_for(sizes, workers, message):
    with pytest.raises(ValueError, match=message):
        LoadPlan([0], [0], [0], sources=["a"]).advise(sizes, workers=workers)


def test_a_set_that_iterates_in_any_order_is_sorted():
    class Backwards(set):
        def __iter__(self):
            return iter("zcr")

    assert parse_group_by(Backwards("rcz")) == (Axes.ROUND, Axes.CH, Axes.ZPLANE)


def test_a_plan_holds_axes_and_names_the_labels_that_are_wrong():
    assert LoadPlan([0], [0], [0], group_by=["z", "r"]).group_by == (Axes.ZPLANE, Axes.ROUND)
    for name, axes in (("rounds", ([0, 0], [0], [0])), ("zplanes", ([0], [0], [1, 1]))):
        with pytest.raises(ValueError, match=f"^{name} names the label"):
            LoadPlan(*axes)


def test_bytes_are_known_with_shape_and_dtype_alone():
    assert LoadPlan([0], [0], [0], tile_shape=(2, 3)).nbytes is None
    assert LoadPlan([0], [0], [0], dtype=np.dtype("u2")).nbytes is None
    assert LoadPlan([0], [0], [0, 1], tile_shape=(2, 3), dtype=np.dtype("u2")).nbytes == 24


def test_the_tiles_of_a_source_keep_their_order():
    sources = [number % 3 for number in range(3000)]
    plan = LoadPlan(range(10), range(20), range(15), sources=sources)
    assert plan.order.tolist() == sorted(range(3000), key=sources.__getitem__)


def test_no_source_is_told_with_what_to_do():
    message = "^no source is known for these tiles; define 'source' on the fetcher to have its "
    with pytest.raises(ValueError, match=message + "opens predicted$"):
        LoadPlan([0], [0], [0]).predicted_opens()


def test_predictions_are_for_one_source_kept_and_four_workers():
    plan = LoadPlan([0, 1], [0], [0, 1, 2], group_by=("z",), sources=[0, 0, 0, 1, 1, 1])
    assert plan.predicted_opens() == plan.predicted_opens(1) == 6
    assert plan.predicted_opens(2) == 2
    advice = plan.advise([None])
    assert advice.workers.workers == 4
    # However large a cache was asked about, one that keeps one source is what thrashes.
    assert advice.workers.effect == "thrash"
