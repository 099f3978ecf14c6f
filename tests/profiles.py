"""Profiles made by hand, of which every number is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import permutations, product

from starfish_fetch import Axes, Extent
from starfish_fetch.plan import LoadPlan
from starfish_fetch.profile import LoadProfile, Machine, OrderProfile

MACHINE = Machine(8, "Linux x86_64", "A Processor", "3.11.9", {"numpy": "2.1.0"})


def made(
    counts: tuple[int, int, int] = (4, 3, 5),
    split: Sequence[int] = (0, 1),
    name: Callable[[tuple[int, ...]], str] = "data/r{0[0]}_c{0[1]}.tiff".format,
    *,
    shown: int = 5000,
    shift: int = 0,
    requests: int = 0,
) -> LoadProfile:
    """Return the profile of a fetcher that keeps one file, of files split by some of the axes.

    Each open takes so many requests, and each of these brings 1,000 bytes.
    """
    extent = Extent({Axes.Y: 20, Axes.X: 30}, 0, *(range(count) for count in counts))
    keys = [*product(*map(range, counts))]
    files = {tuple(key[axis] if axis in split else 0 for axis in range(3)): None for key in keys}
    codes = {key: number for number, key in enumerate(files)}
    code = [codes[tuple(key[axis] if axis in split else 0 for axis in range(3))] for key in keys]
    names = tuple(map(name, codes))
    plan = LoadPlan(extent.rounds, extent.chs, extent.zplanes, sources=tuple(code))
    rows = []
    for group_by in [*permutations(map(Axes, "rcz")), None]:
        order = replace(plan, group_by=group_by).order.tolist()
        sources = [code[place] for place in order]
        opened = [
            int(place == 0 or source != sources[place - 1]) for place, source in enumerate(sources)
        ]
        opens = sum(opened) + shift
        rows.append(
            OrderProfile(
                "none" if group_by is None else ",".join(group_by),
                (0.0012 * opens, 0.001 * opens, 0.0014 * opens, 0.0011 * opens),
                opens,
                max(0, opens - len(names)),
                len(names),
                1200 * opens,
                {"get_tile": len(keys), "tile_data": len(keys)},
                0.002,
                0.0008 * opens,
                0,
                0,
                7000 + opens,
                {1: sum(opened), 2: sum(opened), None: len(names)},
                tuple(sources[:shown]),
                tuple(opened[:shown]),
                requests * opens,
                1000 * requests * opens,
            )
        )
    return LoadProfile(
        tuple(sorted(rows, key=lambda row: row.median_seconds)),
        extent,
        4,
        False,
        None,
        "OneFileFetcher",
        MACHINE,
        advice=plan.advise((1, 2, None), workers=2),
        source_names=names,
        sources_are="named",
    )
