import itertools
import json
import os
import threading
from collections import OrderedDict
from dataclasses import replace
from functools import cache, lru_cache

import numpy as np
import pytest
from fetchers import ArrayFetcher, image

import synth
from starfish_fetch import (
    Extent,
    FetchedTile,
    ImageStack,
    Layout,
    LoadPlan,
    LoadProfile,
    TileFetcher,
    profile_orders,
    trace,
)
from starfish_fetch.profile import SCHEMA

SIZES = {"r": 3, "c": 2, "z": 4}
LABELS = tuple(range(size) for size in SIZES.values())
EXTENT = Extent({"y": 4, "x": 5}, 0, *LABELS)
TILES = 24
SPLITS = [axes for count in range(4) for axes in itertools.combinations("rcz", count)]
ORDERS = [*itertools.permutations("rcz"), None]


def split_name(outer):
    return "".join(outer) or "single"


class Tile(FetchedTile):
    def __init__(self, fetcher, key):
        self.fetcher, self.key = fetcher, key

    @property
    def shape(self):
        self.fetcher.describe(self.key)
        return {"y": 4, "x": 5}

    @property
    def coordinates(self):
        return {"xc": (0, 1), "yc": (0, 1), "zc": self.key[2]}

    def tile_data(self):
        return np.full((4, 5), self.fetcher.read(self.fetcher.path(self.key)), np.uint8)


class CachedFetcher(TileFetcher):
    """Reads a file whole for each combination of labels of some axes, and keeps the last few."""

    def __init__(self, folder, outer, keep):
        self.folder, self.outer = folder, outer
        self.read = lru_cache(maxsize=keep)(self.open) if keep != 0 else self.open

    def path(self, key):
        named = (f"{axis}{key['rcz'.index(axis)]}" for axis in self.outer)
        return str(self.folder / ("image_" + "_".join(named)))

    def open(self, path):
        with open(path, "rb") as file:
            return file.read(1)[0]

    def describe(self, key):
        """Read what shape needs."""

    def get_tile(self, fov, r, c, z):
        return Tile(self, (r, c, z))


class NamedFetcher(CachedFetcher):
    def source(self, fov, r, c, z):
        return self.path((r, c, z))


def write_files(folder, outer):
    fetcher = CachedFetcher(folder, outer, 1)
    for path in {fetcher.path(key) for key in itertools.product(*LABELS)} | {folder / "index"}:
        with open(path, "wb") as file:
            file.write(bytes([7]))


def profile_of(fetcher_class, folder, outer=("r",), keep=1, **options):
    write_files(folder, outer)
    # Other tests may have left threads behind that open files.
    options = {"repeat": 1, "under": folder, **options}
    return profile_orders(lambda: fetcher_class(folder, outer, keep), EXTENT, **options)


@pytest.mark.parametrize("keep", [1, 2, None])
@pytest.mark.parametrize("outer", SPLITS, ids=split_name)
def test_predictions_are_what_is_measured(tmp_path, outer, keep):
    write_files(tmp_path, outer)
    plan = LoadPlan(*LABELS, sources=[
        NamedFetcher(tmp_path, outer, 1).source(0, *key) for key in itertools.product(*LABELS)
    ])  # fmt: skip
    for prediction in plan.advise((1, 2, None)).predictions:
        fetcher = NamedFetcher(tmp_path, outer, keep)
        with trace(tmp_path) as seen:
            stack = ImageStack.from_tilefetcher(
                fetcher, **vars(EXTENT), group_by=prediction.group_by
            )
            assert stack.plan.predicted_opens(keep) == prediction.opens[keep]
            stack.load()
        assert seen.opens == prediction.opens[keep]
        assert seen.reopens == seen.opens - len(set(plan.sources))


@pytest.mark.parametrize("outer", SPLITS, ids=split_name)
def test_the_kept_sources_of_each_thread_are_opened_as_predicted(tmp_path, outer):
    class PerThread(NamedFetcher):
        thread_safe = True

        def __init__(self, folder, outer, keep):
            super().__init__(folder, outer, keep)
            self.mine = threading.local()
            self.read = self.read_by_thread

        def read_by_thread(self, path):
            if getattr(self.mine, "path", None) != path:
                self.mine.path, self.mine.value = path, self.open(path)
            return self.mine.value

    write_files(tmp_path, outer)
    for workers in (1, 2, 3):
        with trace(tmp_path) as seen:
            stack = ImageStack.from_tilefetcher(
                PerThread(tmp_path, outer, 1), **vars(EXTENT), workers=workers
            ).load()
        advice = stack.plan.advise(workers=workers)
        assert seen.opens == advice.workers.per_thread[1] == advice.sources


@pytest.mark.parametrize("outer", SPLITS, ids=split_name)
def test_a_fetcher_that_does_what_its_sources_say(tmp_path, outer):
    profile = profile_of(NamedFetcher, tmp_path, outer)
    assert profile.disagreements == ()
    assert (profile.sources_are, profile.fetcher) == ("named", "NamedFetcher")
    files = int(np.prod([SIZES[axis] for axis in outer], dtype=int))
    assert len(profile.source_names) == files
    for row in profile.rows:
        plan = LoadPlan(*LABELS, group_by=row.group_by)
        assert row.opens == row.predicted_opens[1]
        assert (row.sources, row.reopens) == (files, row.opens - files)
        assert row.calls == dict.fromkeys(
            ("coordinates", "get_tile", "shape", "source", "tile_data"), TILES
        )
        assert row.bytes_read is None or row.bytes_read >= row.opens
        assert sum(row.tile_opens) == row.opens
        if row.group_by is not None:
            fetcher = NamedFetcher(tmp_path, outer, 1)
            names = [profile.source_names[number] for number in row.tile_sources]
            assert names == [fetcher.path(key) for key in plan]
    assert profile.prediction("z,c,r").opens == profile.row("z,c,r").predicted_opens


def test_rows_are_the_fastest_first(tmp_path):
    profile = profile_of(NamedFetcher, tmp_path, repeat=3)
    assert [row.order for row in profile.rows] == [
        row.order for row in sorted(profile.rows, key=lambda row: (row.median_seconds, row.opens))
    ]
    assert {row.order for row in profile.rows} == {
        "none" if order is None else ",".join(order) for order in ORDERS
    }
    assert profile.best is profile.rows[0]
    assert profile.worst is profile.rows[-1]
    assert all(len(row.seconds) == 3 for row in profile.rows)
    assert all(row.metadata_seconds > 0 < row.pixel_seconds for row in profile.rows)
    with pytest.raises(KeyError, match="'c' was not measured"):
        profile.row("c")


def test_each_load_has_a_fresh_fetcher_and_rounds_begin_with_another_order(tmp_path):
    write_files(tmp_path, ("r",))
    asked, closed = [], []

    class Recording(NamedFetcher):
        def get_tile(self, fov, *labels):
            self.asked.append(labels)
            return super().get_tile(fov, *labels)

        def close(self):
            closed.append(self)

    def make():
        fetcher = Recording(tmp_path, ("r",), 1)
        fetcher.asked = []
        asked.append(fetcher.asked)
        return fetcher

    profile_orders(make, EXTENT, ["r,c,z", "crz", ("z",)], repeat=4)
    plans = [list(LoadPlan(*LABELS, group_by=order)) for order in ("rcz", "crz", "z")]
    assert asked == [
        plans[0],  # the loader's own order, before anything is measured
        *plans, *plans,
        *plans, plans[1], plans[2], plans[0], plans[2], plans[0], plans[1], *plans,
    ]  # fmt: skip
    assert len({*closed}) == len(asked)


def test_fetchers_are_closed_when_a_load_fails(tmp_path):
    closed = []

    class Failing(NamedFetcher):
        def describe(self, key):
            raise OSError("the disk is gone")

        def close(self):
            closed.append(self)

    with pytest.raises(OSError, match="the disk is gone"):
        profile_of(Failing, tmp_path)
    assert len(closed) == 1


class LiesAboutRounds(CachedFetcher):
    def source(self, fov, r, c, z):
        return self.path((0 if r == 1 else 1 if r == 0 else r, c, z))


class NamesTheFirstChannel(CachedFetcher):
    def source(self, fov, r, c, z):
        return self.path((r, 0, z))


class NamesRoundsAlone(CachedFetcher):
    def source(self, fov, r, c, z):
        return r


class NamesPages(CachedFetcher):
    def source(self, fov, r, c, z):
        return self.path((r, c, z)), z


class ReadsAnIndex(NamedFetcher):
    def describe(self, key):
        if not hasattr(self, "index"):
            self.index = self.open(self.folder / "index")


class DescribesFromTheFile(NamedFetcher):
    def describe(self, key):
        self.open(self.path(key))


class OpensTwice(NamedFetcher):
    def open(self, path):
        super().open(path)
        return super().open(path)


class ForgetsAtTimes(NamedFetcher):
    """Keeps everything, but not for long."""

    def __init__(self, folder, outer, keep):
        super().__init__(folder, outer, keep)
        self.kept = OrderedDict()
        self.read = self.read_kept

    def read_kept(self, path):
        if len(self.kept) == 2:
            self.kept.clear()
        if path not in self.kept:
            self.kept[path] = self.open(path)
        return self.kept[path]


@pytest.mark.parametrize(
    ("fetcher_class", "outer", "keep", "words"),
    [
        (NamedFetcher, ("r",), 0, "The cache does not hold: every tile opens its source, whatever"),
        (NamedFetcher, ("r", "c"), 2, "behaves as one that keeps 2 sources: "),
        (NamedFetcher, ("r", "c"), 3, "behaves as one that keeps 3 sources: "),
        (NamedFetcher, ("r",), None, "keeps every source, or at least 3: "),
        (LiesAboutRounds, ("r",), 1, "'source' does not tell the truth (C14): it names"),
        (LiesAboutRounds, ("r",), None, "'source' does not tell the truth (C14): it names"),
        (NamesTheFirstChannel, ("r", "c"), 1, "image_r0_c1' is opened; so for 12 tiles"),
        (NamesRoundsAlone, ("r", "c"), 1, "'source' does not tell files apart (C14)"),
        (NamesPages, ("r",), 1, "'source' tells apart what is one file (C14): 12 sources"),
        (ReadsAnIndex, ("r",), 1, "1 file that is no tile's source, up to 1 opens in a load: "),
        (DescribesFromTheFile, ("r",), 1, "opens are made for metadata: get_tile, shape or"),
        (OpensTwice, ("r",), 1, "keeps one source, as predicted, and opens it twice each time"),
        (OpensTwice, ("r",), 0, "every tile opens its source, and opens it twice each time"),
        (ForgetsAtTimes, ("r",), 1, "No cache that drops the least recently used source explains"),
    ],
)  # fmt: skip
def test_a_disagreement_is_explained(tmp_path, fetcher_class, outer, keep, words):
    profile = profile_of(fetcher_class, tmp_path, outer, keep)
    assert any(words in text for text in profile.disagreements), profile.disagreements


def test_a_disagreement_shows_the_order_that_differs_most(tmp_path):
    (text,) = profile_of(NamedFetcher, tmp_path, ("r",), 0).disagreements
    assert ": r,c,z makes 24 opens, where 3 are predicted of a fetcher that keeps one" in text


def test_an_honest_source_is_not_called_a_lie(tmp_path):
    for number, fetcher_class in enumerate((ReadsAnIndex, DescribesFromTheFile, OpensTwice)):
        folder = tmp_path / str(number)
        folder.mkdir()
        profile = profile_of(fetcher_class, folder)
        assert not any("C14" in text for text in profile.disagreements)


def test_what_is_kept_beyond_the_fetcher_is_found(tmp_path):
    @cache
    def read(path):
        with open(path, "rb") as file:
            return file.read(1)[0]

    class KeptInTheModule(NamedFetcher):
        def open(self, path):
            return read(path)

    profile = profile_of(KeptInTheModule, tmp_path)
    (text,) = profile.disagreements
    assert text.startswith("Fresh fetchers are not fresh: the first load opened sources 3 times")
    assert profile.notes[0].startswith("No file was seen to be opened")


@pytest.mark.parametrize("keep", [0, 1, 2, None])
@pytest.mark.parametrize("outer", SPLITS, ids=split_name)
def test_sources_that_are_not_named_are_seen(tmp_path, outer, keep):
    profile = profile_of(CachedFetcher, tmp_path, outer, keep)
    named = profile_of(NamedFetcher, tmp_path, outer, keep)
    assert profile.sources_are == "seen"
    assert profile.advice == named.advice
    assert profile.source_names == named.source_names
    if keep != 2:
        assert profile.disagreements == named.disagreements


def test_the_own_order_of_a_fetcher_without_sources_goes_by_labels(tmp_path):
    profile = profile_of(CachedFetcher, tmp_path, ("z",))
    row = profile.row("none")
    assert (row.opens, row.predicted_opens[1]) == (24, 24)
    assert row.tile_sources == profile.row("r,c,z").tile_sources == (0, 1, 2, 3) * 6
    assert "With a method 'source', that order would open 4 files once each" in profile.notes[-1]
    assert "With a method" not in profile_of(CachedFetcher, tmp_path, ("r",)).notes[-1]


def test_a_fetcher_of_arrays_has_no_sources(tmp_path):
    profile = profile_orders(
        lambda: ArrayFetcher(image((3, 2, 4, 4, 5))), EXTENT, repeat=1, under=tmp_path
    )
    assert (profile.sources_are, profile.advice, profile.disagreements) == ("unknown", None, ())
    assert profile.notes == (
        "No file was seen to be opened: the fetcher has everything in memory, opened it before "
        "the load, or reads through a library that opens files in C, past Python.",
    )
    row = profile.best
    assert (row.predicted_opens, row.opens, {*row.tile_sources}) == (None, 0, {None})
    assert LoadProfile.from_json(profile.to_json()) == profile


def test_tiles_that_open_several_files_have_no_source_that_is_seen(tmp_path):
    class Several(CachedFetcher):
        def open(self, path):
            super().open(self.folder / "index")
            return super().open(path)

    assert profile_of(Several, tmp_path).sources_are == "unknown"


def test_opens_elsewhere_are_noted_or_passed_over(tmp_path):
    class ReadsInAThread(NamedFetcher):
        def describe(self, key):
            elsewhere = self.folder.parent / "elsewhere"
            thread = threading.Thread(target=self.open, args=(elsewhere,))
            thread.start()
            thread.join()

    inner = tmp_path / "inner"
    inner.mkdir()
    (tmp_path / "elsewhere").write_bytes(b"1")
    everywhere = profile_of(ReadsInAThread, inner, under=tmp_path)
    assert everywhere.row("r,c,z").opens == 3 + TILES
    assert "outside of every call into the fetcher" in everywhere.notes[0]
    below = profile_of(ReadsInAThread, inner)
    assert (below.row("r,c,z").opens, below.notes) == (3, ())


def test_threads_make_counts_inexact_and_it_is_said(tmp_path):
    class ThreadSafe(NamedFetcher):
        thread_safe = True

    profile = profile_of(ThreadSafe, tmp_path, workers=2)
    assert not profile.exact_counts
    assert "2 threads call this fetcher" in profile.notes[0]
    assert (profile.workers, profile.disagreements) == (2, ())
    assert profile_of(ThreadSafe, tmp_path, workers=1).exact_counts


def test_a_tiff_dataset(tmp_path):
    data = synth.write(synth.Spec(3, 2, 4, (64, 50)), Layout.per_round(), tmp_path)
    profile = profile_orders(data.fetcher, data.extent(), repeat=1, under=tmp_path)
    stack_bytes = TILES * 64 * 50 * 4
    for row in profile.rows:
        assert (row.opens, row.reopens, row.tile_sources[0]) == (3, 0, 0)
        assert row.bytes_read is None or row.bytes_read > TILES * 64 * 50 * 2
        assert stack_bytes <= row.peak_bytes < 3 * stack_bytes
    assert profile.exact_counts
    (text,) = profile.disagreements
    assert "keeps every source, or at least 3" in text


def test_cold_loads_drop_the_files_that_were_opened(tmp_path, monkeypatch):
    dropped = []
    monkeypatch.setattr(
        os,
        "posix_fadvise",
        lambda descriptor, *rest: dropped.append(os.readlink(f"/proc/self/fd/{descriptor}")),
        raising=False,
    )
    monkeypatch.setattr(os, "POSIX_FADV_DONTNEED", 4, raising=False)
    monkeypatch.setattr(os, "preadv", lambda *_: 1, raising=False)
    monkeypatch.setattr(os, "RWF_NOWAIT", 8, raising=False)
    profile = profile_of(NamedFetcher, tmp_path, orders=["r,c,z", None], repeat=3, cold=True)
    files = {str(tmp_path / f"image_r{r}") for r in range(3)}
    assert profile.cold
    assert {*dropped} == files
    # Before anything is timed, and before each of 3 loads in 2 orders; twice each.
    assert len(dropped) == 2 * 3 * (1 + 6)
    assert "3 of 3 files were still in the page cache" in profile.notes[0]
    assert all(row.opens == 3 for row in profile.rows)


def test_cold_loads_need_a_system_that_drops_files(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "posix_fadvise", raising=False)
    with pytest.raises(NotImplementedError, match=r"needs os\.posix_fadvise"):
        profile_of(NamedFetcher, tmp_path, cold=True)


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="this system drops no file")
def test_nothing_to_drop_is_noted(tmp_path):
    options = {"repeat": 1, "cold": True, "under": tmp_path}
    fetcher = ArrayFetcher(image((3, 2, 4, 4, 5)))
    profile = profile_orders(lambda: fetcher, EXTENT, [None], **options)
    assert profile.notes[-1].startswith("No load was cold: no file was seen to be opened")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"repeat": 0}, "repeat must be an int of at least 1; got 0"),
        ({"repeat": True}, "repeat must be"),
        ({"orders": []}, "orders is empty"),
        ({"orders": ["r", ("r",)]}, "the order 'r' is given more than once"),
        ({"orders": ["none", None]}, "the order 'none' is given more than once"),
        ({"orders": [()]}, "an order names at least one axis"),
        ({"orders": ["r,y"]}, "takes the axes 'r', 'c' and 'z'; got 'y'"),
        ({"workers": 0}, "workers must be an int of at least 1"),
    ],
)
def test_what_is_refused(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        profile_of(NamedFetcher, tmp_path, **options)


def test_the_sentence_names_the_fastest_and_the_slowest(tmp_path):
    profile = profile_of(NamedFetcher, tmp_path)
    fast = replace(profile.row("r,c,z"), seconds=(0.1,))
    slow = replace(profile.row("z,c,r"), seconds=(1.25,))
    assert replace(profile, rows=(fast, slow)).sentence == (
        "Fastest is r,c,z: 0.1 s, 3 files opened once each; slowest is z,c,r: 1.25 s, 3 files "
        "opened 24 times."
    )
    own = replace(profile.row("none"), seconds=(0.3, 0.05))
    fast = replace(fast, seconds=(0.1, 0.1))
    assert replace(profile, rows=(fast, own)).sentence == (
        "The order makes no difference that can be told: 3 files opened once each in every "
        "order, 0.1 to 0.175 s."
    )
    assert replace(profile, rows=(own,)).sentence == (
        "Loading in the loader's own order (group_by=None): 0.175 s, 3 files opened once each."
    )


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    profile = profile_of(NamedFetcher, tmp_path_factory.mktemp("files"), ("r", "c"), 0, repeat=2)
    return profile, profile.to_json()


def test_a_profile_is_the_same_out_of_json(written):
    profile, text = written
    assert LoadProfile.from_json(text) == profile
    assert LoadProfile.from_json(text.encode()) == profile
    fields = json.loads(text)
    assert (fields["schema"], fields["sentence"]) == (SCHEMA, profile.sentence)
    assert fields["advice"]["sentence"] == profile.advice.sentence
    assert fields["rows"][0]["predicted_opens"].keys() == {"1", "2", "4", "all"}
    # What a later minor version adds is passed over.
    fields["rows"][0]["watts"] = 3
    assert LoadProfile.from_json(json.dumps(fields)) == profile
    assert os.uname().nodename not in profile.machine.system


def test_a_profile_of_an_earlier_version_is_read(written):
    profile, text = written
    fields = json.loads(text)
    for row in fields["rows"]:
        assert (row.pop("requests"), row.pop("bytes_received")) == (0, 0)
    found = LoadProfile.from_json(json.dumps(fields))
    assert {(row.requests, row.bytes_received) for row in found.rows} == {(None, None)}
    assert not found.is_remote
    rows = [replace(row, requests=0, bytes_received=0) for row in found.rows]
    assert replace(found, rows=tuple(rows)) == profile


def changed(text, *path_and_value):
    fields = json.loads(text)
    *path, name, value = path_and_value
    place = fields
    for step in path:
        place = place[step]
    if value is ...:
        del place[name]
    else:
        place[name] = value
    return json.dumps(fields)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("schema", "starfish-fetch/profile/2"), "'schema' is 'starfish-fetch/profile/2', not"),
        (("schema", ...), "'schema' is None"),
        (("rows", []), "'rows' must be at least one row"),
        (("rows", 0, "order", "c,c"), r"'rows\[0\].order' must be 'none', or some of r, c and z"),
        (("rows", 0, "order", 3), r"'rows\[0\].order' must be a string; got 3"),
        (("rows", 0, "opens", -1), r"'rows\[0\].opens' must be at least 0; got -1"),
        (("rows", 0, "opens", True), r"'rows\[0\].opens' must be an integer; got True"),
        (("rows", 0, "seconds", [1.0]), "one number for each of at least one repeat"),
        (("rows", 0, "seconds", ["1", 2]), r"'rows\[0\].seconds' must be a number"),
        (("rows", 0, "tile_sources", [999]), "an index of 'source_names'"),
        (("rows", 0, "calls", "get_tile", -4), r"'rows\[0\].calls.get_tile' must be at least 0"),
        (("rows", 0, "predicted_opens", "0", 3), "must be the sizes of caches, or 'all'"),
        (("advice", "workers", "effect", "maybe"), "must be one of help, thrash, idle"),
        (("advice", "predictions", []), "'advice.predictions' must be a list of at least one"),
        (("extent", "rounds", [0, 0]), "names the label 0 more than once"),
        (("machine", "packages", "numpy", 2), "'machine.packages.numpy' must be a string"),
        (("sources_are", "guessed"), "must be one of named, seen, unknown"),
        (("cold", "no"), "'cold' must be true or false"),
        (("exact_counts", ...), "'exact_counts' must be true or false; got None"),
    ],
)
def test_json_that_is_no_profile_is_refused(written, change, message):
    with pytest.raises(ValueError, match=message):
        LoadProfile.from_json(changed(written[1], *change))


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "NaN", "[" * 100_000, b"\xff"])
def test_what_is_no_json_object_is_refused(text):
    with pytest.raises(ValueError, match="this is no profile of a load"):
        LoadProfile.from_json(text)
