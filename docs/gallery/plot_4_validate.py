"""
Validate a fetcher
==================

A fetcher that is wrong gives an image all the same. To know that it is right takes files of which
every pixel is known: synthetic files, in the layout of the real ones. Here they find a defect and
call it by its name; then they stand guard, in pytest and on a build server.
"""

# %%
# Known files, in your layout
# ---------------------------
# Say that each round is a file with all z-planes of the first channel, then those of the second,
# and so on. One command writes an image in that layout. With the content ``index``, every block of
# 8 by 8 pixels tells where it belongs.

import runpy
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import numpy as np

import synth
from starfish_fetch import ImageStack, to_float32

temporary = tempfile.TemporaryDirectory()
folder = Path(temporary.name)


def run(command):
    """Run a command in the folder, as a terminal would; return its exit status and output."""
    program, *arguments = shlex.split(command)
    module = program.replace("-", "_")  # so that it is the one of this Python
    arguments = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


status, output = run(
    "starfish-fetch synth write data --layout round{r}.tif --inner c,z"
    " --rounds 3 --chs 3 --zplanes 4 --size 96x128 --content index"
)
print(output)

# %%
# :func:`synth.decode` reads these blocks, in any part of a tile, whatever has been done to it. Here
# is one upside down:

data = synth.Dataset.open(folder / "data")
pixels = data.tile(round=2, ch=0, zplane=3)
print(synth.decode(pixels[60:20:-1, 30:90]))

# %%
# A fetcher with a defect
# -----------------------
# It is a module of its own, ``my_fetcher.py``, which takes its folder as a parameter: real files
# and known files are read by the same code. Its author believes that in a file the channels run
# fastest.

module = folder / "my_fetcher.py"
module.write_text("""
from functools import lru_cache

import tifffile


@lru_cache(maxsize=1)
def read(path):
    return tifffile.imread(path).reshape(-1, 96, 128)


class Tile:
    shape = {"y": 96, "x": 128}

    def __init__(self, path, page, zplane):
        self.path, self.page = path, page
        z = 1.0 * zplane, 1.0 * (zplane + 1)
        self.coordinates = {"xc": (0.0, 63.5), "yc": (0.0, 47.5), "zc": z}

    def tile_data(self):
        return read(self.path)[self.page].copy()


class MyFetcher:
    def __init__(self, folder):
        self.folder = folder

    def source(self, fov, r, c, z):
        return f"{self.folder}/round{r}.tif"

    def get_tile(self, fov, r, c, z):
        if c not in range(3) or z not in range(4):
            raise ValueError(f"there is no channel {c} with z-plane {z}")
        return Tile(self.source(fov, r, c, z), 3 * z + c, z)


def make():
    return MyFetcher("data")
""")

# %%
# A load says nothing: the labels exist, the shapes agree. The check does. ``--like`` tells it the
# labels, and every pixel to expect.

status, output = run("starfish-fetch check my_fetcher.py:make --like data")
print(f"{output}exit status: {status}")
assert status == 1
assert "FAIL  C1 labels_are_honoured" in output

# %%
# The first line has the name of the check, and of its rule: :ref:`check-labels_are_honoured` tells
# the story. The next names a tile, and the one that it was taken for.
#
# Where do the pixels come from?
# ------------------------------
# ``synth.decode`` answers for every tile. Here is the first round: in each place the labels that
# its pixels hold, with a colour for each channel, and in bold where they belong.


def found_in(fetcher):
    """Return the channel and z-plane that the pixels of each tile of round 0 hold."""
    stack = ImageStack.from_tilefetcher(fetcher, **vars(data.extent()))
    decoded = [synth.decode(tile) for tile in stack.to_numpy()[0].reshape(-1, 96, 128)]
    return np.reshape([(one.ch, one.zplane) for one in decoded], (3, 4, 2))


def draw(axes, found, title):
    axes.imshow(found[..., 0], cmap="Set2", vmax=7, aspect="auto")
    for ch, zplane in np.ndindex(3, 4):
        labels = tuple(found[ch, zplane])
        weight = "bold" if labels == (ch, zplane) else "normal"
        text = axes.text(zplane, ch, "c{} z{}".format(*labels), fontsize=16)
        text.set(weight=weight, ha="center", va="center")
    axes.set_title(title, fontsize=19)
    axes.set_xticks(range(4), [f"z{z}" for z in range(4)], fontsize=16)
    axes.set_yticks(range(3), [f"c{c}" for c in range(3)], fontsize=16)
    axes.set_xlabel("asked for", fontsize=16)
    axes.tick_params(length=0)


wrong = found_in(runpy.run_path(str(module))["MyFetcher"](data.root))

# %%
# The mend is the number of the page. In this layout the z-planes run fastest.

module.write_text(module.read_text().replace("3 * z + c", "4 * c + z"))
MyFetcher = runpy.run_path(str(module))["MyFetcher"]

figure, halves = plt.subplots(1, 2, figsize=(9, 5), layout="constrained")
draw(halves[0], wrong, "found, with the defect")
draw(halves[1], found_in(MyFetcher(data.root)), "found, once mended")

# %%
# Known and accepted
# ------------------
# The warning of the report is left: our fetcher does not look at the label of the field of view, as
# its folder has but one. That may be accepted, with a reason. ``--strict`` makes failures of all
# other warnings, and ``--junit`` writes what build servers read: one test case for each check.

status, output = run(
    "starfish-fetch check my_fetcher.py:make --like data --strict --junit check.xml"
    " --expect-failure 'unknown_labels_are_refused=a folder is one field of view'"
)
print(*output.splitlines()[-2:], f"exit status: {status}", sep="\n")
assert status == 0

suite = ElementTree.parse(folder / "check.xml").find("testsuite")
print({name: suite.get(name) for name in ("tests", "failures", "skipped")})

# %%
# A reason does not outlive its cause. Should the fetcher refuse other fields of view one day, the
# check fails until the reason is removed.
#
# In pytest
# ---------
# :func:`~starfish_fetch.testing.fetcher_checks` makes of each check a test case with its name.

(folder / "test_my_fetcher.py").write_text("""
from my_fetcher import make
from starfish_fetch.testing import fetcher_checks
from synth import Dataset

data = Dataset.open("data")
accepted = {"unknown_labels_are_refused": "a folder is one field of view"}


@fetcher_checks(make, data.extent(), data, expected_failures=accepted)
def test_my_fetcher(check):
    check()
""")
status, output = run("pytest -q -rx")
print(f"{output}exit status: {status}")
assert status == 0

# %%
# On a build server
# -----------------
# The known files are written where they are needed; the same command gives the same bytes on every
# machine. For GitHub Actions, this is ``.github/workflows/fetcher.yml``:
#
# .. code-block:: yaml
#
#    on: [push, pull_request]
#    jobs:
#      fetcher:
#        runs-on: ubuntu-latest
#        steps:
#          - uses: actions/checkout@v4
#          - uses: actions/checkout@v4  # where your clone of starfish_fetch is
#            with: {repository: my/starfish_fetch, path: starfish_fetch}
#          - uses: actions/setup-python@v5
#            with: {python-version: "3.12"}
#          - run: python -m pip install -e './starfish_fetch[cli]'
#          - run: >
#              starfish-fetch synth write data --layout 'round{r}.tif' --inner c,z
#              --rounds 3 --chs 3 --zplanes 4 --size 96x128 --content index
#          - run: >
#              starfish-fetch check my_fetcher.py:make --like data --strict --junit check.xml
#              --expect-failure 'unknown_labels_are_refused=a folder is one field of view'
#          - uses: actions/upload-artifact@v4
#            if: always()
#            with: {name: check, path: check.xml}
#
# What is loaded is what is known
# -------------------------------
# Every pixel of every tile.

stack = ImageStack.from_tilefetcher(MyFetcher(data.root), **vars(data.extent()))
for key in np.ndindex(3, 3, 4):
    assert np.array_equal(stack.to_numpy()[key], to_float32(data.tile(*key)))

temporary.cleanup()
