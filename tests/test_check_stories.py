"""The stories of the checks are told whole, and are true: what they call wrong is caught.

Every snippet is run; none is only compiled. It takes for granted what a reader does: a fetcher that
has ``root``, ``path()`` and ``pixels()``, tiles that know their fetcher, labels and path, and some
modules.
"""

import functools
import gc
import glob
import inspect
import itertools
import re
import shutil
import sys
import tempfile
import threading
import warnings
from functools import partial
from textwrap import dedent
from types import ModuleType, SimpleNamespace

import numpy as np
import PIL.Image
import pytest
import tifffile

import synth
from starfish_fetch import FetchedTile, Layout, TileFetcher
from starfish_fetch.testing import CHECKS, check_fetcher

STORY = re.compile(
    r"(?P<summary>.+)\n\n(?P<prose>(?:.*\n)+?)\n"
    r"Wrong::\n\n(?P<wrong>(?: {4}.*\n|\n)+)"
    r"Right::\n\n(?P<right>(?: {4}.*\n|\n)+)"
)
WIDEST_CODE = 76  # with its margins it fits a terminal of 80 columns
LONGEST_CODE = 10

OF_A_TILE = {"coordinates", "shape", "tile_data", "tile_region"}
OF_RAW_FILES = {"tiles_repeat", "truncated_files_are_errors"}
IMAGE = (2, 3, 4)
OTHER_IMAGES = {
    "file_names_agree_with_labels": (1, 12, 1),
    "order_does_not_matter": (4, 4, 5),
}
MERELY_WARNED_OF = {"pickling_keeps_pixels"}


class Tile(FetchedTile):
    """What MyTile is but for what the snippet says."""

    def __init__(self, fetcher, fov, r, c, z):
        if z not in range(fetcher.zplanes):
            raise KeyError(f"there is no z-plane {z}")
        self.fetcher, self.fov, self.r, self.c, self.z = fetcher, fov, r, c, z
        self.path = fetcher.path(fov, r, c)

    @property
    def shape(self):
        return {"y": 24, "x": 20}

    @property
    def coordinates(self):
        return {"xc": (0.0, 1.9), "yc": (0.0, 2.3), "zc": 0.5 * self.z}

    def tile_data(self):
        return self.fetcher.pixels(self.fov, self.r, self.c, self.z)


class Fetcher(TileFetcher):
    """What MyFetcher is but for what the snippet says."""

    tile = Tile
    zplanes = 4

    def __init__(self, root):
        self.root = root

    def path(self, fov, r, c):
        return f"{self.root}/fov{fov}_r{r}_c{c}.tiff"

    def pixels(self, fov, r, c, z):
        return tifffile.imread(self.path(fov, r, c), key=z)

    def get_tile(self, fov, r, c, z):
        return self.tile(self, fov, r, c, z)


class RawFetcher(Fetcher):
    def path(self, fov, r, c):
        return super().path(fov, r, c).replace(".tiff", ".raw")

    def pixels(self, fov, r, c, z):
        raise NotImplementedError


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Return datasets in folders named data, each beside the same pixels without a header."""
    written = {}
    for planes in [IMAGE, *OTHER_IMAGES.values()]:
        spec = synth.Spec(*planes, (24, 20))
        root = tmp_path_factory.mktemp("image") / "data"
        image = synth.write(spec, Layout("fov{fov}_r{r}_c{c}.tiff", inner="z"), root)
        for path in root.glob("*.tiff"):
            tifffile.imread(path).tofile(path.with_suffix(".raw"))
        written[planes] = image
    return written


@pytest.fixture
def told(images, tmp_path, monkeypatch):
    """Return a function that returns the report on a snippet from a check's story."""

    def report_on(code, name, checks=None):
        image = images[OTHER_IMAGES.get(name, IMAGE)]
        extent = image.extent()
        base = RawFetcher if name in OF_RAW_FILES else Fetcher
        monkeypatch.setattr(base, "zplanes", len(extent.zplanes))
        monkeypatch.chdir(image.root.parent)
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        module = module_of(code, base)
        # There, pickle finds its classes.
        monkeypatch.setitem(sys.modules, module.__name__, module)
        return check_fetcher(module.make, extent, image.tile, checks=checks)

    yield report_on
    # Files are left open on purpose; they go now, and not in the middle of the next test.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()


def module_of(code, base):
    """Return a module with a snippet, whose methods are put into the classes they belong to."""
    module = ModuleType("story")
    space = vars(module)
    space.update(
        functools=functools,
        glob=glob,
        itertools=itertools,
        np=np,
        PIL=PIL,
        shutil=shutil,
        tempfile=tempfile,
        threading=threading,
        tifffile=tifffile,
        download=lambda name, to: None,
        FetchedTile=Tile,
        TileFetcher=base,
    )
    known = set(space)
    exec(compile(code, "<story>", "exec"), space)
    methods = {
        name: value
        for name, value in space.items()
        if name not in known and (isinstance(value, property) or is_method(value))
    }
    of_tile = {name: methods.pop(name) for name in OF_A_TILE & set(methods)}
    for name, parent, members in (("MyTile", Tile, of_tile), ("MyFetcher", base, methods)):
        if name in space:
            assert not members, f"{name} is a class, and {list(members)} are not in it"
        else:
            space[name] = type(name, (parent,), {**members, "__module__": module.__name__})
    space["MyFetcher"].tile = space["MyTile"]
    space.setdefault("make", partial(space["MyFetcher"], "data"))
    return module


def is_method(value):
    return (
        inspect.isfunction(value) and next(iter(inspect.signature(value).parameters), "") == "self"
    )


def snippets(name):
    story = STORY.fullmatch(CHECKS[name].story + "\n")
    assert story, "a story is a summary, prose, a block after Wrong:: and one after Right::"
    return SimpleNamespace(**{part: dedent(text) for part, text in story.groupdict().items()})


@pytest.mark.parametrize("name", CHECKS)
def test_a_check_says_what_it_is(name):
    check = CHECKS[name]
    assert check.function.__name__ == f"check_{check.name}" == f"check_{name}"
    assert check.rule in {f"C{number}" for number in range(1, 15)}
    assert check.severity in ("fail", "warn")
    for line in (check.why, check.summary):
        assert line.endswith(".")
        assert "\n" not in line


def test_every_rule_has_a_check():
    assert {check.rule for check in CHECKS.values()} == {f"C{n}" for n in range(1, 15)}


@pytest.mark.parametrize("name", CHECKS)
def test_a_story_has_all_its_parts(name):
    story = snippets(name)
    assert story.summary == CHECKS[name].summary
    how_it_breaks, how_it_is_found = story.prose.strip().split("\n\n")
    assert "  " not in how_it_breaks + how_it_is_found
    assert max(map(len, CHECKS[name].story.splitlines())) <= 96  # and four that it is indented by
    assert story.wrong != story.right
    for code in (story.wrong, story.right):
        compile(code, name, "exec")
        lines = code.splitlines()
        assert sum(map(bool, map(str.strip, lines))) <= LONGEST_CODE
        assert max(map(len, lines)) <= WIDEST_CODE


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CHECKS)
def test_what_a_story_calls_wrong_is_found_by_its_check(name, told):
    result = told(snippets(name).wrong, name, [name])[name]
    assert result.status == ("warn" if name in MERELY_WARNED_OF else CHECKS[name].severity), result


@pytest.mark.parametrize("name", CHECKS)
def test_what_a_story_calls_right_passes_every_check(name, told):
    report = told(snippets(name).right, name)
    assert report[name].status == "pass"
    assert not report.of("fail", "warn")
