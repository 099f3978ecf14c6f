"""After how many loads a conversion has paid."""

import dataclasses
import json
import math
import re
import sys
import time

import numpy as np
import pytest
from fetchers import ArrayFetcher, image
from hypothesis import given
from hypothesis import strategies as st
from profiles import made
from test_cli import WRITE, run, said_in_one_line

import starfish_fetch as sf
import synth
from starfish_fetch import profile_orders
from starfish_fetch.convert import _breakeven

SHAPE = (2, 1, 2, 6, 5)
EXTENT = sf.Extent({"y": 6, "x": 5}, 0, range(2), range(1), range(2))


seconds = st.floats(0, 1e9)
rows = st.builds(
    sf.OrderBreakeven, st.text(), seconds, seconds, st.one_of(st.just(math.inf), st.integers(1))
)
found = st.builds(
    sf.Breakeven,
    st.sampled_from(["spacetx", "ome-zarr"]),
    seconds,
    st.none() | st.integers(0),
    st.integers(0),
    st.integers(1),
    st.lists(rows, min_size=1, max_size=3).map(tuple),
)


class Slow(ArrayFetcher):
    def pixels_of(self, key):
        time.sleep(0.02)
        return super().pixels_of(key)


def measured(fetcher=ArrayFetcher, root=None, **options):
    options = {"orders": ["r", None], "repeat": 1, **options}
    return sf.breakeven(lambda: fetcher(image(SHAPE)), EXTENT, "spacetx", root, **options)


def test_a_slow_source_is_worth_converting():
    found = measured(Slow)
    assert {row.order for row in found.rows} == {"r", "none"}
    for row in found.rows:
        assert row.direct_seconds > 0.08 > row.converted_seconds
        spent = found.convert_seconds + row.loads * row.converted_seconds
        assert spent < row.loads * row.direct_seconds
        before = found.convert_seconds + (row.loads - 1) * row.converted_seconds
        assert before >= (row.loads - 1) * row.direct_seconds
    assert "Converting has paid after" in found.sentence


def test_memory_is_not_worth_converting():
    found = measured()
    assert found.best.loads == math.inf
    assert found.sentence.startswith("Converting does not pay")
    assert "never" in str(found)


def test_sizes_are_of_the_files(tmp_path):
    data = synth.write(synth.Spec(2, 1, 2, (6, 5)), sf.Layout.per_round(), tmp_path / "data")
    options = {"orders": [None], "repeat": 1}
    found = sf.breakeven(data.fetcher, data.extent(), "spacetx", tmp_path / "out", **options)
    assert found.direct_bytes == sum(record.bytes for record in data.files.values())
    assert found.converted_bytes == sum(
        path.stat().st_size for path in (tmp_path / "out").iterdir()
    )
    assert measured().direct_bytes is None


def test_what_is_converted_is_kept_only_if_named(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    measured()
    assert list(tmp_path.iterdir()) == []
    measured(root=tmp_path / "out", tile_format="TIFF")
    fetcher = sf.SpaceTxTileFetcher(tmp_path / "out")
    assert np.array_equal(fetcher.get_tile(0, 1, 0, 1).tile_data(), image(SHAPE)[1, 0, 1])
    assert fetcher.source(0, 1, 0, 1).endswith(".tiff")
    with pytest.raises(FileExistsError, match="name a folder that is not there"):
        measured(root=tmp_path / "out")


def test_fetchers_are_closed():
    made = []

    class Closes(ArrayFetcher):
        def __init__(self, array):
            super().__init__(array)
            self.open = True
            made.append(self)

        def close(self):
            self.open = False

    measured(Closes)
    assert made
    assert not any(one.open for one in made)


def test_what_is_measured_already_is_not_measured_again(tmp_path):
    profile = profile_orders(lambda: Slow(image(SHAPE)), EXTENT, ["zc", None], repeat=2, workers=1)
    made = []

    def make():
        made.append(Slow(image(SHAPE)))
        return made[-1]

    found = sf.breakeven(make, EXTENT, "spacetx", direct=profile)
    assert len(made) == 1  # which is converted
    assert {row.order: row.direct_seconds for row in found.rows} == {
        row.order: row.median_seconds for row in profile.rows
    }
    assert found.repeat == 2
    other = dataclasses.replace(EXTENT, fov=3)
    with pytest.raises(ValueError, match=r"direct is a profile of .*fov=0.*fov=3"):
        sf.breakeven(make, other, "spacetx", direct=profile)


def test_cold_loads_are_compared_with_cold_ones(tmp_path, monkeypatch):
    data = synth.write(synth.Spec(2, 1, 2, (6, 5)), sf.Layout.per_round(), tmp_path / "data")
    asked = []

    def measure(*arguments, **options):
        asked.append(options["cold"])
        return profile_orders(*arguments, **options)

    monkeypatch.setattr(_breakeven, "profile_orders", measure)
    for cold in (False, True):
        direct = profile_orders(data.fetcher, data.extent(), ["r"], repeat=1, cold=cold)
        sf.breakeven(data.fetcher, data.extent(), "spacetx", direct=direct)
    assert asked == [False, True]


@given(st.lists(found, max_size=2).map(tuple))
def test_a_profile_keeps_it_in_its_json(values):
    profile = dataclasses.replace(made((1, 1, 2)), breakevens=values)
    assert sf.LoadProfile.from_json(profile.to_json()) == profile
    fields = json.loads(profile.to_json())
    del fields["breakevens"]
    earlier = sf.LoadProfile.from_json(json.dumps(fields))
    assert earlier == dataclasses.replace(profile, breakevens=())
    if values:
        fields["breakevens"] = [{**values[0].fields(), "rows": [{"order": "r"}]}]
        with pytest.raises(ValueError, match=r"'breakevens\[0\].rows\[0\].direct_seconds' must"):
            sf.LoadProfile.from_json(json.dumps(fields))


def test_the_page_of_a_profile_shows_it():
    rows = (sf.OrderBreakeven("c,r,z", 2.0, 0.5, 4), sf.OrderBreakeven("none", 3.0, 3.0, math.inf))
    found = sf.Breakeven("spacetx", 5.1, 4000, 2_000_000, 5, rows)
    page = dataclasses.replace(made(), breakevens=(found,)).to_html()
    text = " ".join(re.sub("<[^>]*>", " ", page).split())
    assert f"Does converting pay? spacetx: {found.sentence}" in text
    assert "Converted in 5.1 s: 2.0 MB, 4.0 kB before. Seconds are medians of 5." in text
    assert "c,r,z 2.000000 0.500000 4 loads none 3.000000 3.000000 never" in text
    assert "converting" not in made().to_html()


def test_profile_says_it_in_words_json_and_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(*WRITE).exit_code == 0
    quick = ("--repeat", 1, "--orders", "r,c", "--orders", "none")
    result = run("profile", "data", *quick, "--breakeven", "spacetx", "--html", "a.html",
                 "--out", "a.json")  # fmt: skip
    assert result.exit_code == 0, result.stderr
    profile = sf.LoadProfile.from_json((tmp_path / "a.json").read_text())
    (found,) = profile.breakevens
    assert {row.order: row.direct_seconds for row in found.rows} == {
        row.order: row.median_seconds for row in profile.rows
    }
    assert str(found) in result.stdout
    assert "Does converting pay?" in (tmp_path / "a.html").read_text()
    result = run("profile", "data", *quick, "--breakeven", "spacetx", "--json")
    assert json.loads(result.stdout)["breakevens"][0]["format"] == "spacetx"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "a.json", "data"]


def test_profile_misses_an_extra_before_the_work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(*WRITE).exit_code == 0
    monkeypatch.setitem(sys.modules, "zarr", None)
    monkeypatch.setattr("starfish_fetch.profile.profile_orders", pytest.fail)
    result = run("profile", "data", "--breakeven", "spacetx", "--breakeven", "ome-zarr")
    assert "starfish-fetch[zarr]" in said_in_one_line(result, 1)


def test_a_target_that_is_none_is_refused():
    with pytest.raises(ValueError, match="target must be 'spacetx' or 'ome-zarr'; got 'tiff'"):
        sf.breakeven(lambda: ArrayFetcher(image(SHAPE)), EXTENT, "tiff")


@given(found)
def test_json_keeps_everything(value):
    assert sf.Breakeven.from_json(value.to_json()) == value
    assert value.sentence in str(value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("schema", "starfish-fetch/breakeven/2"),
        ("rows", []),
        ("rows", [{}]),
        ("convert_seconds", "1"),
        ("convert_seconds", -1),
        ("converted_bytes", 1.5),
    ],
)
def test_what_is_no_break_even_is_told(field, value):
    row = sf.OrderBreakeven("r", 1.0, 2.0, math.inf)
    fields = json.loads(sf.Breakeven("spacetx", 1.0, 1, 1, 1, (row,)).to_json())
    with pytest.raises(ValueError, match=field):
        sf.Breakeven.from_json(json.dumps({**fields, field: value}))


def test_the_command_says_it_in_json_and_in_words(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(*WRITE).exit_code == 0
    result = run("convert", "data", "one", "--to", "spacetx", "--breakeven", "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["command"] == "convert"
    found = sf.Breakeven.from_json(result.stdout)
    assert len(found.rows) == 7
    assert (tmp_path / "one" / "experiment.json").is_file()
    again = run("convert", "data", "one", "--to", "spacetx", "--breakeven")
    assert "name another folder" in said_in_one_line(again, 2)
    monkeypatch.setattr("starfish_fetch.convert.breakeven", lambda *args, **options: found)
    result = run("convert", "data", "two", "--to", "spacetx", "--breakeven")
    assert result.stdout == f"{found}\n"
    assert "pays after" in result.stdout


def test_the_command_measures_one_field_of_view(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(*WRITE, "--fovs", 2).exit_code == 0
    result = run("convert", "data", "one", "--to", "spacetx", "--breakeven")
    assert "--breakeven measures one field of view" in said_in_one_line(result, 2)


def test_ome_zarr_is_measured_too():
    pytest.importorskip("ome_zarr")
    make = _breakeven._reader("ome-zarr")
    assert make is sf.OmeZarrTileFetcher
    found = sf.breakeven(
        lambda: Slow(image(SHAPE)), EXTENT, "ome-zarr", orders=["r"], repeat=1, version="0.4"
    )
    assert found.format == "ome-zarr"
    assert found.rows[0].direct_seconds > 0.08
