"""After how many loads a conversion has paid."""

import json
import math
import time

import numpy as np
import pytest
from fetchers import ArrayFetcher, image
from hypothesis import given
from hypothesis import strategies as st
from test_cli import WRITE, run, said_in_one_line

import starfish_fetch as sf
from starfish_fetch.convert import _breakeven

SHAPE = (2, 1, 2, 6, 5)
EXTENT = sf.Extent({"y": 6, "x": 5}, 0, range(2), range(1), range(2))


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
    import synth

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


def test_a_target_that_is_none_is_refused():
    with pytest.raises(ValueError, match="target must be 'spacetx' or 'ome-zarr'; got 'tiff'"):
        sf.breakeven(lambda: ArrayFetcher(image(SHAPE)), EXTENT, "tiff")


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
