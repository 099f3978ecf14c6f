"""TIFF files that lie are refused by name, in little memory; none gives pixels that it has not."""

import json
import os
import re
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import tifffile
from bad_tiffs import PIXELS, SIDE, bad_tiffs, bombs, heavy_tiffs, liars, make
from fuzz._target import SPARE, hang_guard

from starfish_fetch import Extent, Layout, SourceError, TiffTileFetcher
from starfish_fetch.interop._spacetx_tiles import decode

BAD = {bad.name: bad for bad in bad_tiffs()}
DECODED = {bad.name: bad for bad in (*bombs(), *liars())}
HEAVY = {heavy.name: heavy for heavy in heavy_tiffs()}


def fetcher_of(folder, shape, planes=1):
    extent = Extent({"y": shape[0], "x": shape[1]}, 0, [0], [0], range(planes))
    return TiffTileFetcher(folder, Layout("bad.tif", inner="rcz"), extent)


def refusal(folder, bad):
    """Return the error of the last plane, and the peak of memory."""
    bad.write(folder / "bad.tif")
    tracemalloc.start()
    try:
        with (
            hang_guard(bad.name),
            fetcher_of(folder, bad.shape, bad.planes) as fetcher,
            pytest.raises(SourceError) as caught,
        ):
            fetcher.get_tile(0, 0, 0, bad.planes - 1).tile_data()
        return caught.value, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_by_name_in_little_memory(tmp_path, monkeypatch, name):
    bad = BAD[name]
    if bad.codec is not None:
        pytest.importorskip("imagecodecs")
    if bad.planes > 1:
        (tmp_path / "secret.tif").write_bytes(make({}, {}))
        monkeypatch.chdir(tmp_path)
    error, peak = refusal(tmp_path, bad)
    path = str(tmp_path / "bad.tif")
    assert path in str(error)
    assert error.__notes__ == [
        f"tile (fov=0, round=0, ch=0, zplane={bad.planes - 1}) from {path!r}"
    ]
    assert re.search(bad.message, str(error)), str(error)
    assert len(str(error)) < 600
    assert peak <= 2 * bad.planes * bad.shape[0] * bad.shape[1] + SPARE


@pytest.fixture(scope="module")
def peaks(tmp_path_factory):
    """What reading each file takes of memory as the system counts it: {name: bytes}."""
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("only Linux tells the peak of a process")
    pytest.importorskip("imagecodecs")
    pytest.importorskip("PIL")
    folder = tmp_path_factory.mktemp("peaks")
    jobs = {}
    for number, bad in enumerate(DECODED.values()):
        bad.write(folder / f"{number}.tif")
        jobs[bad.name] = [str(folder / f"{number}.tif"), *bad.shape, bad.planes]
    for number, heavy in enumerate(HEAVY.values(), len(jobs)):
        (folder / f"{number}.tif").write_bytes(heavy.make())
        jobs[heavy.name] = [str(folder / f"{number}.tif"), SIDE, SIDE, 1]
    child = subprocess.run(
        [sys.executable, "-m", "peak_memory", folder],
        input=json.dumps(list(jobs.values())), capture_output=True, text=True, timeout=120,
        cwd=Path(__file__).parent,
    )  # fmt: skip
    assert not child.returncode, child.stderr
    return dict(zip(jobs, json.loads(child.stdout), strict=True))


@pytest.mark.parametrize("name", DECODED)
def test_what_codecs_take_of_memory_counts(peaks, name):
    """Which Python knows nothing of."""
    bad = DECODED[name]
    assert peaks[name] is not None, "it ended the process"
    assert peaks[name] <= 2 * bad.planes * bad.shape[0] * bad.shape[1] + SPARE


@pytest.mark.parametrize("name", HEAVY)
def test_a_large_plane_takes_little_more_than_its_codec_has_to(peaks, name):
    assert peaks[name] is not None, "it ended the process"
    assert peaks[name] <= HEAVY[name].times * SIDE * SIDE + SPARE


def test_the_file_that_bad_ones_are_made_of_is_good(tmp_path):
    for data in (make({}), make({}, big=True, order=">")):
        (tmp_path / "bad.tif").write_bytes(data)
        np.testing.assert_array_equal(tifffile.imread(tmp_path / "bad.tif"), PIXELS)
        with fetcher_of(tmp_path, PIXELS.shape) as fetcher:
            np.testing.assert_array_equal(fetcher.get_tile(0, 0, 0, 0).tile_data(), PIXELS)


@pytest.mark.parametrize("name", ["bomb of zlib", "bomb of packbits", "zlib of half a plane"])
def test_a_bomb_is_refused_without_imagecodecs(tmp_path, monkeypatch, name):
    """What tifffile has instead makes as much as it is told by the data."""
    from tifffile import _imagecodecs

    import starfish_fetch.encoded

    monkeypatch.setattr(starfish_fetch.encoded, "find_spec", lambda name: None)
    monkeypatch.setattr(tifffile.tifffile, "imagecodecs", _imagecodecs)
    for codecs in (tifffile.TIFF.DECOMPRESSORS, tifffile.TIFF.UNPREDICTORS):
        monkeypatch.setattr(codecs, "_codecs", {1: codecs._codecs[1]})
    error, peak = refusal(tmp_path, BAD[name])
    assert "part 0 of a plane cannot be decoded" in str(error)
    assert peak <= 2 * PIXELS.nbytes + SPARE


def test_whole_planes_take_twice_their_size(tmp_path):
    """Of pixels that cannot be compressed, in one strip, in two and in tiles."""
    pixels = np.random.default_rng(0).integers(0, 256, (2048, 2048), np.uint8)
    options = [{"rowsperstrip": 2048}, {"rowsperstrip": 1024}, {"tile": (256, 256)}]
    for one in [*options, {"rowsperstrip": 2048, "byteorder": ">"}]:
        if "byteorder" in one:  # which is exchanged in a copy
            pixels = pixels.view(">u2")
        tifffile.imwrite(tmp_path / "bad.tif", pixels, compression="zlib", **one)
        with fetcher_of(tmp_path, pixels.shape) as fetcher:
            fetcher.get_tile(0, 0, 0, 0).tile_region(slice(0, 1), slice(None))
            tracemalloc.start()
            found = fetcher.get_tile(0, 0, 0, 0).tile_data()
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        np.testing.assert_array_equal(found, pixels)
        assert peak < 2 * pixels.nbytes + (1 << 20)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "bad.tif")
    with (
        fetcher_of(tmp_path, (4, 4)) as fetcher,
        pytest.raises(OSError, match=r"it is a pipe or a device.*bad\.tif"),
    ):
        fetcher.get_tile(0, 0, 0, 0).tile_data()


@pytest.mark.parametrize(
    "name", ["huge dimensions", "no columns", "strip at 0", "strip of no bytes", "no offsets"]
)
def test_a_bad_tile_of_an_experiment_is_refused(tmp_path, name):
    """Which tifffile by itself gives as zeros."""
    BAD[name].write(tmp_path / "bad.tif")
    data = bytearray((tmp_path / "bad.tif").read_bytes())
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"never written|the shape|not identified|empty"):
        decode(data, "TIFF", PIXELS.shape)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < SPARE


@pytest.mark.parametrize(
    "name",
    [
        "tile of 4096 x 4096", "tile of 2**31 planes", "lzw of which a table begins with a string",
        "jpeg2k of precincts of 2", "jpeg that is cut", "scheme that says its size itself",
    ],
)  # fmt: skip
def test_a_bad_tile_of_an_experiment_is_not_given_to_a_codec(tmp_path, name):
    bad = BAD[name]
    if bad.codec is not None:
        pytest.importorskip("imagecodecs")
    bad.write(tmp_path / "bad.tif")
    data = bytearray((tmp_path / "bad.tif").read_bytes())
    with pytest.raises(ValueError, match=bad.message):
        decode(data, "TIFF", bad.shape)


def test_a_volume_is_no_tile_of_an_experiment(tmp_path):
    BAD["compressed volume"].write(tmp_path / "bad.tif")
    with pytest.raises(ValueError, match="it has compressed volumes; each plane must be a page"):
        decode(bytearray((tmp_path / "bad.tif").read_bytes()), "TIFF")


def test_lzw_of_many_tables_is_read(tmp_path):
    """Of which codes have all widths, so that no place is taken for another."""
    pytest.importorskip("imagecodecs")
    pixels = np.random.default_rng(0).integers(0, 256, (256, 256), np.uint8)
    for values in (pixels, pixels >> 5, np.zeros_like(pixels)):
        tifffile.imwrite(tmp_path / "bad.tif", values, compression="lzw", rowsperstrip=256)
        with fetcher_of(tmp_path, values.shape) as fetcher:
            np.testing.assert_array_equal(fetcher.get_tile(0, 0, 0, 0).tile_data(), values)
