import itertools
import json
import random
from dataclasses import replace
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from starfish_fetch import Extent, LoadProfile, OrderProfile, compare
from starfish_fetch.profile import Machine
from starfish_fetch.profile._ratio import _rank, _ways, fewest_repeats, ratio_of

EXTENT = Extent({"y": 4, "x": 6}, fov=0, rounds=[0, 1], chs=[0, 1], zplanes=[0])
MACHINE = Machine(2, "Linux x86_64", "A processor", "3.11.9", {"numpy": "2.1.0"})
STEADY = (1.0, 1.01, 0.99, 1.02, 1.0)


def row(order="r,c,z", seconds=STEADY, opens=2, bytes_read=640, calls=4, **others):
    counts = {"get_tile": calls}
    fields = {"peak_bytes": 4096, "requests": 7, "bytes_received": 600, **others}
    return OrderProfile(
        order, tuple(seconds), opens, opens - 1, 1, bytes_read, counts, 0.0, 0.5, 0, 0, **fields
    )


def profile(*rows, **others):
    rows = rows or (row(),)
    fields = {"cold": False, "workers": None, "fetcher": "F", "machine": MACHINE, **others}
    return LoadProfile(rows, fields.pop("extent", EXTENT), len(rows[0].seconds), **fields)


def times(seconds, factor):
    return tuple(factor * one for one in seconds)


@pytest.mark.parametrize(
    ("after", "verdict", "ok"),
    [
        (row(), "same", True),
        (row(opens=3), "more opens", False),
        (row(opens=1), "fewer opens", True),
        (row(bytes_read=641), "more bytes", False),
        (row(bytes_read=639), "fewer bytes", True),
        (row(calls=5), "more calls", True),
        (row(calls=3), "fewer calls", True),
        (row(seconds=times(STEADY, 1.5)), "slower", False),
        (row(seconds=times(STEADY, 0.5)), "faster", True),
        (row(seconds=(1.0, 3.0, 0.5, 2.0, 0.9)), "unclear", True),
        (row(seconds=(1.0, 3.0, 0.9, 2.0, 1.8)), "unclear", True),
        (row(seconds=(1.0, 0.3, 1.1, 0.5, 0.6)), "unclear", True),
        (row(opens=1, seconds=times(STEADY, 1.5)), "slower", False),
        (row(opens=3, seconds=times(STEADY, 0.5)), "more opens", False),
        (row(bytes_read=None), "same", True),
        (row(requests=8), "more requests", False),
        (row(requests=6), "fewer requests", True),
        (row(bytes_received=601), "more bytes", False),
        (row(bytes_received=599), "fewer bytes", True),
        (row(requests=None, bytes_received=None), "same", True),
    ],
)
def test_the_verdict_on_an_order(after, verdict, ok):
    comparison = compare(profile(), profile(after))
    assert (comparison.rows[0].verdict, comparison.ok) == (verdict, ok)


def test_all_that_changed_is_told():
    after = row(opens=3, bytes_read=600, seconds=times(STEADY, 2))
    compared = compare(profile(), profile(after)).rows[0]
    assert compared.verdicts == ("more opens", "slower", "fewer bytes")
    assert {change.name: (change.before, change.after) for change in compared.changes} == {
        "opens": (2, 3),
        "reopens": (1, 2),
        "bytes_read": (640, 600),
    }
    assert compared.message == (
        "opens 2 -> 3; bytes_read 640 -> 600; slower: 2.00 times the seconds (1.96 to 2.04 at 95%)"
    )
    assert compared.low < compared.ratio < compared.high


def test_orders_that_are_not_in_both():
    before = profile(row("r,c,z"), row("c,r,z"))
    after = profile(row("z,c,r"), row("r,c,z"))
    verdicts = {one.order: one.verdict for one in compare(before, after).rows}
    assert verdicts == {"r,c,z": "same", "c,r,z": "only before", "z,c,r": "only after"}


@pytest.mark.parametrize("repeat", [1, 2, 3])
def test_few_repeats_cannot_tell_however_large_the_change(repeat):
    short = row(seconds=STEADY[:repeat])
    long = row(seconds=times(STEADY[:repeat], 100))
    compared = compare(profile(short), profile(long)).rows[0]
    assert (compared.verdict, compared.low, compared.ratio > 50) == ("unclear", None, True)
    assert "not enough repeats" in compared.message
    assert f"{repeat} and {repeat}; at least 4 and 4" in compared.message


def test_a_change_within_the_tolerance_is_none():
    later = row(seconds=times(STEADY, 1.2))
    assert compare(profile(), profile(later)).rows[0].verdict == "slower"
    assert compare(profile(), profile(later), tolerance=0.5).rows[0].verdict == "same"


@pytest.mark.parametrize(
    ("others", "note"),
    [
        ({"machine": replace(MACHINE, processor="B")}, "processor 'A processor' before, 'B'"),
        ({"machine": replace(MACHINE, cpus=64)}, "cpus 2 before, 64 after"),
        ({"cold": True}, "warm before and cold after"),
        ({"extent": replace(EXTENT, rounds=(4, 7))}, "The labels differ"),
    ],
)
def test_times_of_different_kinds_are_not_compared(others, note):
    after = profile(row(opens=3, seconds=times(STEADY, 3)), **others)
    comparison = compare(profile(), after)
    assert not comparison.times_compared
    assert note in comparison.notes[0]
    assert comparison.rows[0].verdicts == ("more opens",)
    assert comparison.rows[0].ratio is None


def test_other_versions_are_noted():
    machine = replace(MACHINE, python="3.13.1", packages={"numpy": "2.2.0", "tifffile": "2025.1"})
    comparison = compare(profile(), profile(machine=machine, fetcher="G"))
    assert comparison.times_compared
    assert comparison.notes == (
        "The profiles differ in fetcher: 'F' before, 'G' after.",
        "Python was 3.11.9 before, and is 3.13.1 after.",
        "numpy was 2.1.0 before, and is 2.2.0 after.",
        "tifffile was none before, and is 2025.1 after.",
    )


def test_counts_that_depend_on_threads_are_not_judged():
    after = profile(row(opens=9), exact_counts=False)
    comparison = compare(profile(), after)
    assert comparison.ok
    assert comparison.rows[0].changes
    assert "profile with workers=1" in comparison.notes[-1]


def test_images_of_other_sizes_are_refused():
    larger = profile(extent=replace(EXTENT, zplanes=(0, 1)))
    with pytest.raises(ValueError, match="2 rounds, 2 channels, 1 z-planes of 4 x 6 pixels before"):
        compare(profile(), larger)
    with pytest.raises(ValueError, match="confidence must be between 0 and 1; got 95"):
        compare(profile(), profile(), confidence=95)
    with pytest.raises(ValueError, match="tolerance must be a number of at least 0"):
        compare(profile(), profile(), tolerance=-1)


def test_a_comparison_as_json():
    comparison = compare(profile(), profile(row(opens=3)))
    fields = json.loads(comparison.to_json())
    assert (fields["schema"], fields["ok"]) == ("starfish-fetch/comparison/1", False)
    only = fields["rows"][0]
    assert (only["order"], only["verdict"], only["ok"]) == ("r,c,z", "more opens", False)
    assert {"name": "opens", "before": 2, "after": 3} in only["changes"]
    assert str(comparison).startswith("r,c,z: opens 2 -> 3; ")


@pytest.mark.parametrize(("before", "after"), [(1, 1), (2, 3), (4, 4), (5, 3)])
def test_the_orderings_of_two_samples_are_counted(before, after):
    counted = [0] * (before * after + 1)
    for places in itertools.combinations(range(before + after), before):
        above = sum(
            place > other
            for place in places
            for other in range(before + after)
            if other not in places
        )
        counted[above] += 1
    assert _ways(before, after) == counted
    assert sum(counted) == comb(before + after, before)


@pytest.mark.parametrize(
    ("before", "after", "critical"),
    [(3, 3, -1), (4, 4, 0), (5, 5, 2), (6, 8, 8), (10, 10, 23), (20, 20, 127)],
)
def test_ranks_are_those_of_the_tables(before, after, critical):
    # Critical values of U for a two-sided test at 0.05, as printed in any table.
    assert _rank(before, after, 0.95) == critical + 1


def test_how_many_repeats_an_interval_needs():
    # Of 3 and 3, one order in 20 is the most extreme in a direction: 90 %. Of 4 and 4, one in 70.
    assert [fewest_repeats(level) for level in (0.5, 0.9, 0.95, 0.99)] == [2, 3, 4, 5]


@given(
    st.lists(st.floats(0.1, 10), min_size=4, max_size=8),
    st.lists(st.floats(0.1, 10), min_size=4, max_size=8),
)
def test_the_interval_is_that_of_all_pairs(before, after):
    ratio = ratio_of(before, after, 0.95)
    pairs = sorted(later / earlier for later in after for earlier in before)
    assert ratio.value == pytest.approx(np.median(pairs))
    assert pairs[0] <= ratio.low <= ratio.value <= ratio.high <= pairs[-1]
    back = ratio_of(after, before, 0.95)
    assert (back.low, back.high) == pytest.approx((1 / ratio.high, 1 / ratio.low))


@pytest.mark.parametrize(("before", "after"), [(4, 4), (5, 5), (3, 8)])
def test_the_interval_holds_the_true_ratio_as_often_as_it_says(before, after):
    generator = random.Random(0)
    held = 0
    for _ in range(2000):
        earlier = [generator.lognormvariate(0, 0.3) for _ in range(before)]
        later = [1.4 * generator.lognormvariate(0, 0.3) for _ in range(after)]
        ratio = ratio_of(earlier, later, 0.95)
        held += ratio.low <= 1.4 <= ratio.high
    # Three standard deviations of 2000 draws are 1.5 %.
    assert held >= 2000 * (0.95 - 0.015)
