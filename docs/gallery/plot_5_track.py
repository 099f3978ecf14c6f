"""
Track a fetcher's performance
=============================

A fetcher is changed by people who think of something else, and nothing fails when it becomes slow.
Seconds would tell, but they differ from run to run and from machine to machine. Opens and bytes do
not: they are the same each time, and one more is one too many.

Here a fetcher keeps four files, and somebody makes it keep one. The counts say in which orders
that matters, and a build can refuse the change.
"""

# %%
# A fetcher, and its data
# -----------------------
# Known data from :mod:`synth` do for a build server, too: they need no download, and are the same
# everywhere. Each file holds the z-planes of one round and channel.

import json
import subprocess
import sys
import tempfile
from functools import lru_cache
from pathlib import Path
from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np
import tifffile

import synth
from starfish_fetch import ImageStack, Layout, TileFetcher, profile_orders, to_float32
from starfish_fetch.testing.asv import LoadSuite

folder = tempfile.TemporaryDirectory()
spec = synth.Spec(rounds=4, chs=3, zplanes=5, tile_shape=(128, 128))
data = synth.write(spec, Layout.per_round_ch(), Path(folder.name) / "data")


class Tile:
    shape = data.extent().tile_shape

    def __init__(self, planes, position, zplane):
        self.planes, self.position = planes, position
        self.coordinates = spec.coordinates(fov=0, zplane=zplane)

    def tile_data(self):
        return self.planes()[self.position].copy()


class MyFetcher(TileFetcher):
    kept = 4

    def __init__(self):
        self.read = lru_cache(self.kept)(tifffile.imread)

    def source(self, *labels):
        return str(data.root / data.layout.path(*labels))

    def get_tile(self, fov, r, c, z):
        path = self.source(fov, r, c, z)
        return Tile(lambda: self.read(path), spec.zplanes.index(z), z)


class AfterTheChange(MyFetcher):
    kept = 1


# %%
# From commit to commit: asv
# --------------------------
# `asv <https://asv.readthedocs.io/>`__ installs every commit, runs the same benchmarks on each, and
# keeps the results. With :class:`~starfish_fetch.testing.asv.LoadSuite` they are written in a few
# lines: a module below ``benchmark_dir``, with the image and a fresh fetcher.


class MyLoads(LoadSuite):
    extent = data.extent()
    params = ("none", "r,z,c", "z,c,r")
    root = folder.name

    def make_fetcher(self):
        return MyFetcher()


# %%
# ``asv run`` calls its methods for each order; so can we. Three orders, seven "commits", of which
# the fifth brings the change:


class MyLoadsAfter(MyLoads):
    def make_fetcher(self):
        return AfterTheChange()


history = [MyLoads] * 4 + [MyLoadsAfter] * 3
opens = {order: [] for order in MyLoads.params}
seconds = {order: [] for order in MyLoads.params}
for commit in history:
    suite = commit()
    for order in suite.params:
        suite.setup(order)
        opens[order].append(suite.track_opens(order))
        suite.setup(order)
        begin = perf_counter()
        suite.time_load(order)
        seconds[order].append(1000 * (perf_counter() - begin))

# %%
# The pages of ``asv publish`` draw the same: a curve for each benchmark and parameter, along the
# commits. In the counts, any step is a change of the code. In the seconds, a step has to rise above
# what the machine does meanwhile; and as files that were just written are in memory, an open costs
# less here than it will on a network share.

figure, panels = plt.subplots(1, 2, figsize=(8, 4.2), layout="constrained")
styles = (("#0072B2", 7), ("#CC3311", 3), ("#777777", 1.5))
for panel, title, values in zip(
    panels, ("file opens", "milliseconds, one load"), (opens, seconds), strict=True
):
    for (order, series), (colour, width) in zip(values.items(), styles, strict=True):
        panel.plot(range(1, 8), series, "o-", color=colour, label=order, lw=width)
    panel.axvspan(4.5, 7.5, color="0.93", zorder=0)
    panel.set_title(title, loc="left", fontsize=17)
    panel.set_xlabel("commit", fontsize=15)
    panel.set_ylim(bottom=0)
    panel.spines[["top", "right"]].set_visible(False)
panels[0].legend(frameon=False, fontsize=15)

# %%
# The suites of this project are tracked so: `Benchmarks <../benchmarks.html#a-page-of-results>`__
# has such a picture of three of its commits, and the commands of asv. What asv needs to know of
# yours is a file, ``asv.conf.json``, the last path being that of your clone of starfish_fetch:
#
# .. code-block:: json
#
#    {"version": 1, "project": "my_fetcher", "repo": ".", "branches": ["main"],
#     "environment_type": "virtualenv", "benchmark_dir": "benchmarks",
#     "install_command":
#         ["in-dir={env_dir} python -m pip install {wheel_file} /src/starfish_fetch"]}

# %%
# Before and after one change: profile and compare
# ------------------------------------------------
# For a change that is not merged yet, two profiles are enough. In a shell::
#
#     starfish-fetch profile my_fetcher.py:make --like data --out before.json
#     # ... the change ...
#     starfish-fetch profile my_fetcher.py:make --like data --out after.json
#     starfish-fetch compare before.json after.json
#
# and in Python:

profiles = {
    "before.json": profile_orders(MyFetcher, data.extent(), repeat=4),
    "after.json": profile_orders(AfterTheChange, data.extent(), repeat=4),
}
for name, profile in profiles.items():
    (Path(folder.name) / name).write_text(profile.to_json())

compared = subprocess.run(
    [sys.executable, "-m", "starfish_fetch", "compare", *profiles, "--json"],
    cwd=folder.name,
    capture_output=True,
    text=True,
)
rows = json.loads(compared.stdout)["rows"]
for row in rows:
    print(f"{row['order']:6} {row['message'].split(';')[0]}")
print("exit status", compared.returncode)

# %%
# Two orders need what was taken away: in r, z, c each tile comes from another of the three files
# of its round, in c, z, r from another of the four of its channel. In the others one file is
# enough, or four were too few before.
#
# In a build
# ----------
# The exit status is 1 if any order became worse, so a build needs no more than the commands above.
# The profile before lies in the repository, and is written anew when a change of the counts is
# meant. On another machine than that of the profile, times are not compared, and counts still are:
#
# .. code-block:: yaml
#
#    - run: starfish-fetch synth write data --layout 'r{r}_c{c}.tiff' --inner z
#    - run: starfish-fetch profile my_fetcher.py:make --like data --out after.json
#    - run: starfish-fetch compare before.json after.json
#
# While changing something
# ------------------------
# `pytest-benchmark <https://pytest-benchmark.readthedocs.io/>`__ says within seconds whether a
# change is worth it. Each round has a fresh fetcher, because the second load of one that caches
# would be none:
#
# .. code-block:: python
#
#    @pytest.mark.parametrize("order", ["rcz", "zcr", None])
#    def test_load(benchmark, order):
#        def fresh():
#            return (ImageStack.from_tilefetcher(MyFetcher(), **vars(extent), group_by=order),), {}
#
#        benchmark.pedantic(ImageStack.load, setup=fresh, rounds=10)
#
# .. code-block:: sh
#
#    pytest --benchmark-only --benchmark-autosave    # before
#    pytest --benchmark-only --benchmark-compare     # after

# %%
# Worse where it must be, and right as before
# -------------------------------------------
# The orders that became worse are those of which the plan predicts more opens with one file kept
# than with four; and the fetcher, slow as it is, is right.

plan = ImageStack.from_tilefetcher(MyFetcher(), **vars(data.extent())).plan
predicted = {one.order: one.opens for one in plan.advise([1, 4]).predictions}
worse = {row["order"] for row in rows if "more opens" in row["verdicts"]}
assert worse == {name for name, kept in predicted.items() if kept[1] > kept[4]}
assert compared.returncode == 1

for profile, kept in zip(profiles.values(), (4, 1), strict=True):
    assert {row.order: row.opens for row in profile.rows} == {
        name: by_size[kept] for name, by_size in predicted.items()
    }

truth = to_float32(
    np.stack([data.tile(r, c, z) for r in range(4) for c in range(3) for z in range(5)])
)
pixels = ImageStack.from_tilefetcher(AfterTheChange(), **vars(data.extent())).to_numpy()
assert np.array_equal(pixels.reshape(truth.shape), truth)

folder.cleanup()
