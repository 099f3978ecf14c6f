"""What the strategies draw is allowed, varied, and as small as it can be where a test fails."""

import importlib
import itertools
import sys
import tempfile
from inspect import signature

import hypothesis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

import synth
from starfish_fetch import Axes, Extent, Layout, LoadPlan, MissingExtraError
from starfish_fetch.testing import strategies as sfst
from synth.spec import DTYPES

SMALLEST = synth.Spec([0], [0], [0], (1, 1), [0], "uint8", "random", 0, (1.0, 1.0, 1.0))
ONE_FILE = Layout("image.tiff", inner="rcz")


def find(strategy, condition=lambda drawn: True):
    return hypothesis.find(
        strategy,
        condition,
        settings=hypothesis.settings(database=None, derandomize=True, max_examples=2000),
    )


def spec(**changes):
    return synth.Spec(**{**vars(SMALLEST), **changes})


@pytest.mark.parametrize(
    ("strategy", "smallest"),
    [
        (sfst.labels(), [0]),
        (sfst.tile_shapes(), (1, 1)),
        (sfst.dtypes(), np.dtype("u1")),
        (sfst.extents(), Extent({"y": 1, "x": 1}, 0, [0], [0], [0])),
        (sfst.group_bys(), None),
        (sfst.layouts(), ONE_FILE),
        (sfst.specs(), SMALLEST),
        (
            sfst.write_options(),
            {"compression": None, "bigtiff": False, "byteorder": "<", "ome": False, "workers": 1},
        ),
    ],
    ids=["labels", "tile_shapes", "dtypes", "extents", "group_bys", "layouts", "specs", "options"],
)
def test_what_any_test_fails_with_is_the_smallest(strategy, smallest):
    assert find(strategy) == smallest


@pytest.mark.parametrize(
    ("strategy", "condition", "smallest"),
    [
        (sfst.labels(), lambda drawn: len(drawn) > 1, [0, 1]),
        (sfst.labels(), lambda drawn: min(drawn) < 0, [-1]),
        (sfst.labels(), lambda drawn: drawn != sorted(drawn), [1, 0]),
        (sfst.group_bys(), lambda drawn: drawn is not None, ()),
        (sfst.group_bys(), lambda drawn: len(drawn or ()) > 1, ("r", "c")),
        (sfst.layouts(), lambda drawn: drawn.outer, Layout("image_r{r}.tiff", inner="cz")),
        (sfst.layouts(), lambda drawn: "fov" in drawn.fields, Layout("image_fov{fov}.tiff", "rcz")),
        (
            sfst.layouts(),
            lambda drawn: "0" in drawn.template,
            Layout("image_r{r:03d}.tiff", inner="cz"),
        ),
        (sfst.dtypes(), lambda drawn: drawn.itemsize > 1 and drawn.kind == "f", np.dtype("f2")),
        (sfst.specs(), lambda drawn: drawn.content == "index",
         spec(content="index", tile_shape=(8, 8))),
        (sfst.specs(), lambda drawn: drawn.tile_shape[1] > 3, spec(tile_shape=(1, 4))),
    ],
)  # fmt: skip
def test_what_is_not_needed_to_fail_is_taken_away(strategy, condition, smallest):
    assert find(strategy, condition) == smallest


def test_a_dataset_shrinks_to_one_tile_of_one_pixel_in_one_file():
    found = find(sfst.datasets(), lambda dataset: dataset.fetcher() is not None)
    assert (found.spec, found.layout) == (SMALLEST, ONE_FILE)
    assert vars(found.options) == vars(synth.Options(None, False, "<", False))


def all_drawn(strategy, of):
    """What is seen of a strategy in some hundred draws."""
    seen = set()

    @hypothesis.settings(max_examples=300, database=None, derandomize=True, deadline=None)
    @given(strategy)
    def draw(drawn):
        seen.add(of(drawn))

    draw()
    return seen


def test_everything_allowed_is_drawn():
    assert all_drawn(sfst.dtypes(), lambda dtype: dtype.name) == set(DTYPES)
    big = sfst.dtypes(byte_orders=st.just(">"), kinds=st.just("f"))
    assert all_drawn(big, lambda dtype: dtype.str) == {">f2", ">f4", ">f8"}
    orders = all_drawn(sfst.group_bys(), lambda drawn: drawn)
    assert orders == {None, (), *(p for n in (1, 2, 3) for p in itertools.permutations("rcz", n))}
    splits = all_drawn(sfst.layouts(), lambda layout: layout.inner)
    assert splits == orders - {None}
    assert all_drawn(sfst.layouts(), lambda layout: "/" in layout.template) == {True, False}
    assert all_drawn(sfst.specs(), lambda drawn: drawn.content) >= {"random", "index"}
    counts = all_drawn(sfst.labels(sizes=st.integers(2, 5)), len)
    assert counts == {2, 3, 4, 5}


@given(sfst.layouts(), sfst.extents(), st.lists(st.integers(0, 9), min_size=1, unique=True))
def test_a_layout_that_names_the_field_of_view_has_a_path_for_each_tile(layout, extent, fovs):
    files = list(layout.files(extent, fovs if "fov" in layout.fields else None))
    assert len({path for path, _, _ in files}) == len(files)


@given(sfst.extents(), sfst.group_bys())
def test_an_extent_and_an_order_make_a_plan(extent, group_by):
    plan = LoadPlan(extent.rounds, extent.chs, extent.zplanes, group_by=group_by)
    assert len(plan) == len(extent.rounds) * len(extent.chs) * len(extent.zplanes)
    assert set(extent.tile_shape) == {Axes.Y, Axes.X}


@pytest.mark.parametrize("fails", [False, True])
def test_a_dataset_is_there_during_the_test_and_gone_after_it(tmp_path, monkeypatch, fails):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    seen = []

    @hypothesis.settings(
        max_examples=5,
        database=None,
        derandomize=True,
        deadline=None,
        phases=[hypothesis.Phase.generate],
    )
    @given(st.data())
    def test(data):
        assert list(tmp_path.iterdir()) == []
        one, other = (data.draw(sfst.datasets()) for _ in range(2))
        assert sorted(tmp_path.iterdir()) == sorted([one.root, other.root])
        seen.append(one)
        # Nobody holds on to this one.
        assert data.draw(sfst.datasets()).fetcher().get_tile is not None
        assert len(list(tmp_path.iterdir())) == 3
        if fails:
            raise KeyError

    if fails:
        with pytest.raises(KeyError):
            test()
    else:
        test()
    assert len(seen) > 1
    assert list(tmp_path.iterdir()) == []


def test_a_failure_says_how_to_write_the_dataset_again():
    smallest = sfst.datasets(specs=st.just(SMALLEST), layouts=st.just(ONE_FILE))

    @hypothesis.settings(max_examples=5, database=None, derandomize=True, deadline=None)
    @given(smallest)
    def test(dataset):
        raise KeyError

    with pytest.raises(KeyError) as raised:
        test()
    (call,) = (line for line in raised.value.__notes__ if line.startswith("synth.write("))
    assert call.startswith(f"synth.write({SMALLEST!r}, {ONE_FILE!r}, root, **{{'compression': None")


FUNCTIONS = [getattr(sfst, name) for name in sfst.__all__]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_argument_is_a_strategy_and_nothing_else(function):
    for name in signature(function).parameters:
        starts = rf"^{function.__name__}\(\) takes a strategy for {name}, not a value; got 3: "
        with pytest.raises(InvalidArgument, match=rf"{starts}give hypothesis.strategies.just\(3"):
            function(**{name: 3})
        with pytest.raises(TypeError, match=r"call it$"):
            function(**{name: sfst.labels})
    with pytest.raises(TypeError, match="positional"):
        function(st.just(3))


def test_arguments_are_drawn_from():
    found = all_drawn(
        sfst.specs(
            rounds=st.just([7]),
            chs=sfst.labels(values=st.just(5), sizes=st.just(1)),
            zplanes=st.just([1, 2]),
            tile_shapes=sfst.tile_shapes(rows=st.just(9), columns=st.just(8)),
            fovs=st.just([4]),
            dtypes=sfst.dtypes(kinds=st.just("i")).filter(lambda dtype: dtype.itemsize == 8),
            contents=st.just("index"),
            seeds=st.just(6),
            voxel_sizes=st.just((1, 2, 3)),
        ),
        lambda drawn: drawn,
    )
    assert found == {synth.Spec([7], [5], [1, 2], (9, 8), [4], "int64", "index", 6, (1, 2, 3))}
    layouts = sfst.layouts(
        specifications=st.just(":05"), separators=st.just("-"), names_fov=st.just(True)
    )
    for layout in all_drawn(layouts, lambda drawn: drawn):
        assert layout.template.count("-") == layout.template.count(":05}") == len(layout.fields)
        assert "fov" in layout.fields


def test_content_index_has_only_tiles_that_it_fits_in():
    sides = st.integers(6, 9)
    shapes = sfst.tile_shapes(rows=sides, columns=sides)
    contents = st.sampled_from(["random", "index"])
    drawn = all_drawn(
        sfst.specs(tile_shapes=shapes, contents=contents), lambda one: (one.content, one.tile_shape)
    )
    assert ("random", (6, 6)) in drawn
    fitting = {(rows, columns) for rows in (8, 9) for columns in (8, 9)}
    assert {shape for content, shape in drawn if content == "index"} == fitting


def test_without_hypothesis_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    monkeypatch.delitem(sys.modules, sfst.__name__)
    with pytest.raises(MissingExtraError, match=r"needs hypothesis: .*starfish-fetch\[testing\]"):
        importlib.import_module(sfst.__name__)


def test_everything_public_is_there():
    assert sfst.__all__ == sorted(sfst.__all__)
    assert all(function.__doc__ for function in FUNCTIONS)
