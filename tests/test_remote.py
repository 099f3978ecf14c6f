"""RemoteTiffTileFetcher against a server on loopback that is slow, faulty, or lies."""

import itertools
import os
import pickle
import sys
import time
from collections import Counter
from email.utils import formatdate
from types import SimpleNamespace

import fsspec
import numpy as np
import pytest
from file_server import serving

import synth
from starfish_fetch import (
    Extent,
    ImageStack,
    Layout,
    LoadProfile,
    MissingExtraError,
    RemoteTiffTileFetcher,
    SourceError,
    profile_orders,
    remote_server,
    trace,
)
from starfish_fetch.remote_file import RemoteFile
from starfish_fetch.testing import check_fetcher

SPEC = synth.Spec(3, 2, 4, (120, 90))
LAYOUT = Layout("r{r}.tiff", inner="cz")
PLANE = 120 * 90 * 2
# Of a file's pages, and what stands beside them.
HEADERS = 3 << 15


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return synth.write(SPEC, LAYOUT, tmp_path_factory.mktemp("remote"))


@pytest.fixture
def served(data):
    with serving(data.root) as (url, server):
        yield url, server


def fetcher_of(data, url, **options):
    return RemoteTiffTileFetcher(url, LAYOUT, data.extent(), **options)


def pixels_of(fetcher, **options):
    return ImageStack.from_tilefetcher(
        fetcher, **vars(fetcher.extent), dtype=None, **options
    ).to_numpy()


def truth(data):
    return np.array([[[data.tile(r, c, z) for z in range(4)] for c in range(2)]
                     for r in range(3)])  # fmt: skip


@pytest.mark.parametrize("group_by", [None, "r", "zcr"])
@pytest.mark.parametrize("workers", [1, 8])
def test_every_pixel_in_every_order(data, served, group_by, workers):
    url, server = served
    with fetcher_of(data, url) as fetcher, trace(url) as seen:
        found = pixels_of(fetcher, group_by=group_by, workers=workers)
    np.testing.assert_array_equal(found, truth(data))
    assert seen.by_source == {f"{url}/r{r}.tiff": 1 for r in range(3)}
    assert server.most_at_once <= workers
    assert seen.requests == server.count <= 3 * (1 + 3) + 24
    asked = Counter()
    for (_, path), count in server.requests.items():
        asked[url + path] += count
    assert seen.requests_by_source == asked
    assert sum(seen.received_by_source.values()) == server.bytes_sent
    assert seen.bytes_read >= server.bytes_sent
    assert seen.by_phase["pixels"].bytes_read >= server.bytes_sent
    assert server.bytes_sent <= 24 * PLANE + 3 * HEADERS


def test_no_more_is_read_than_a_tile_needs(data, served):
    url, server = served
    with fetcher_of(data, url) as fetcher:
        tile = fetcher.get_tile(0, 1, 1, 2)
        assert server.count == 0
        np.testing.assert_array_equal(tile.tile_data(), data.tile(1, 1, 2))
        assert server.requests.keys() == {("HEAD", "/r1.tiff"), ("GET", "/r1.tiff")}
        assert server.bytes_sent <= PLANE + HEADERS
        server.forget()
        rows = tile.tile_region(slice(10, 20), slice(0, 90))
        np.testing.assert_array_equal(rows, data.tile(1, 1, 2)[10:20])
        assert (server.count, server.bytes_sent) == (1, 10 * 90 * 2)


@pytest.mark.parametrize("tile", [None, (32, 32)])
def test_parts_of_a_plane_come_in_one_answer(tmp_path, tile):
    import tifffile

    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 4000, (4, 320, 300), np.uint16)
    tifffile.imwrite(tmp_path / "r0.tiff", pixels, compression="zlib", tile=tile, rowsperstrip=16,
                     photometric="minisblack")  # fmt: skip
    extent = Extent({"y": 320, "x": 300}, 0, [0], [0], range(4))
    with serving(tmp_path) as (url, server):
        fetcher = RemoteTiffTileFetcher(url, Layout("r{r}.tiff", inner="cz"), extent)
        np.testing.assert_array_equal(pixels_of(fetcher, workers=1)[0, 0], pixels)
        fetcher.close()
        headers = 16 << 15
        assert server.count <= 1 + 16 + 4
        assert server.bytes_sent <= (tmp_path / "r0.tiff").stat().st_size + headers


def test_a_file_that_is_missing_is_asked_for_once(data, served):
    url, server = served
    with fetcher_of(data, f"{url}/elsewhere") as fetcher:
        with pytest.raises(FileNotFoundError) as caught:
            pixels_of(fetcher, workers=1)
        assert caught.value.filename == f"{url}/elsewhere/r0.tiff"
        assert any("round=0, ch=0, zplane=0" in note for note in caught.value.__notes__)
    assert server.count == 2  # fsspec takes a HEAD that fails for one that is not supported


@pytest.mark.parametrize("fault", [503, 429, "drop", "short", "cut"])
@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_what_passes_is_tried_again(data, served, fault, method):
    url, server = served
    faulted = []

    def sometimes(asked, path, number):
        if asked != method or number % 3:
            return None
        faulted.append(number)
        return fault

    server.fault = sometimes
    with fetcher_of(data, url, retries=8) as fetcher:
        found = pixels_of(fetcher, workers=4)
    np.testing.assert_array_equal(found, truth(data))
    assert faulted


@pytest.mark.parametrize("method", ["HEAD", "GET"])
@pytest.mark.parametrize(
    ("said", "least", "most"),
    [
        ("7", 7, 7),
        (formatdate(1_000_000 + 9, usegmt=True), 9, 9),
        (formatdate(1_000_000 - 9, usegmt=True), 0, 1),
        ("0", 0, 1),
        ("soon", 0, 1),
        ("-3", 0, 1),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_as_long_is_waited_as_the_server_says(
    data, served, monkeypatch, method, said, least, most, status
):
    url, server = served
    waits = []
    clock = SimpleNamespace(monotonic=time.monotonic, time=lambda: 1_000_000, sleep=waits.append)
    monkeypatch.setattr(remote_server, "time", clock)
    # fsspec repeats a HEAD that fails by a GET.
    faulty = (0, 1) if method == "HEAD" else (1,)
    answer = status, {"Retry-After": said}
    server.fault = lambda asked, path, number: answer if number in faulty else None
    with fetcher_of(data, url) as fetcher:
        pixels = fetcher.get_tile(0, 0, 0, 0).tile_data()
    np.testing.assert_array_equal(pixels, data.tile(0, 0, 0))
    (waited,) = waits
    assert least <= waited <= most


def test_a_wait_beyond_the_timeout_is_told_at_once(data, served, monkeypatch):
    url, server = served
    waits = []
    clock = SimpleNamespace(monotonic=time.monotonic, time=time.time, sleep=waits.append)
    monkeypatch.setattr(remote_server, "time", clock)
    server.fault = lambda method, path, number: (503, {"Retry-After": "3600"})
    with (
        fetcher_of(data, url, timeout=30) as fetcher,
        pytest.raises(TimeoutError, match=r"asks to wait 3600 s \(503.*of 30 s .*r0\.tiff"),
    ):
        fetcher.get_tile(0, 0, 0, 0).tile_data()
    assert waits == []


@pytest.mark.parametrize("fault", [500, "drop", "short", "cut"])
def test_what_does_not_pass_is_an_error_and_never_pixels(data, served, fault):
    url, server = served
    server.fault = lambda method, path, number: fault if "r1" in path and number > 3 else None
    with fetcher_of(data, url, retries=1) as fetcher:
        with pytest.raises(OSError, match=r"2 requests failed.*retries=.*r1\.tiff") as caught:
            pixels_of(fetcher, workers=1)
        assert any("round=1" in note and f"{url}/r1.tiff" in note
                   for note in caught.value.__notes__)  # fmt: skip


@pytest.mark.parametrize(("status", "kind"), [(403, PermissionError), (418, OSError)])
def test_what_is_refused_is_not_tried_again(data, served, status, kind):
    url, server = served
    server.fault = lambda method, path, number: status
    with fetcher_of(data, url) as fetcher, pytest.raises(kind, match=r"refuses.*r0\.tiff"):
        fetcher.get_tile(0, 0, 0, 0).tile_data()
    assert server.count == 2


@pytest.mark.parametrize("from_number", [0, 1, 4])
def test_a_server_that_stalls_is_given_up_in_time(data, served, from_number):
    url, server = served
    server.fault = lambda method, path, number: "stall" if number >= from_number else None
    with fetcher_of(data, url, timeout=0.4) as fetcher:
        start = time.perf_counter()
        with pytest.raises(TimeoutError, match=r"no answer within 0\.4 s.*r0\.tiff") as caught:
            pixels_of(fetcher, workers=1)
        assert 0.3 < time.perf_counter() - start < 2
        assert any("round=0" in note for note in caught.value.__notes__)


def test_a_file_that_is_cut_on_the_server_is_an_error(data, tmp_path):
    content = (data.root / "r0.tiff").read_bytes()
    for name, size in (("r0", len(content) - 5000), ("r1", 100), ("r2", 0)):
        (tmp_path / f"{name}.tiff").write_bytes(content[:size])
    with serving(tmp_path) as (url, _), fetcher_of(data, url) as fetcher:
        for r in range(3):
            with pytest.raises(SourceError, match=rf"{url}/r{r}\.tiff"):
                fetcher.get_tile(0, r, 1, 3).tile_data()


def test_a_server_without_ranges_needs_a_cache(data, served, tmp_path):
    url, server = served
    server.ranges = False
    fetcher = fetcher_of(data, url)
    with pytest.raises(OSError, match=r"whole files only.*cache="):
        fetcher.get_tile(0, 0, 0, 0).tile_data()
    fetcher.close()
    assert server.gets() == 1
    with fetcher_of(data, url, cache=tmp_path) as fetcher:
        np.testing.assert_array_equal(pixels_of(fetcher), truth(data))
    assert server.gets() == 1 + 3


def test_a_cache_has_each_version_of_a_file_once(data, tmp_path, monkeypatch):
    monkeypatch.setattr("starfish_fetch.remote_server._PIECE", 50_000)
    source, cache = tmp_path / "source", tmp_path / "cache"
    source.mkdir()
    for r in range(3):
        (source / f"r{r}.tiff").write_bytes((data.root / f"r{r}.tiff").read_bytes())
    with serving(source) as (url, server):
        server.fault = lambda method, path, number: "cut" if number == 5 else None
        for _ in range(2):
            with fetcher_of(data, url, cache=cache) as fetcher:
                np.testing.assert_array_equal(pixels_of(fetcher), truth(data))
        total = sum(path.stat().st_size for path in source.iterdir())
        assert total <= server.bytes_sent <= total + 50_000
        (source / "r0.tiff").write_bytes((data.root / "r1.tiff").read_bytes())
        with fetcher_of(data, url, cache=cache) as fetcher:
            tile = fetcher.get_tile(0, 0, 0, 0).tile_data()
        np.testing.assert_array_equal(tile, data.tile(1, 0, 0))
        assert len(list(cache.iterdir())) == 4
        server.fault = lambda method, path, number: "short" if method == "GET" else None
        os.utime(source / "r2.tiff", (0, 0))
        with fetcher_of(data, url, cache=cache, retries=0) as fetcher, pytest.raises(OSError):  # noqa: PT011
            fetcher.get_tile(0, 2, 0, 0).tile_data()
        assert len(list(cache.iterdir())) == 4


def test_a_copy_of_another_size_is_another_version(data, tmp_path):
    """Of a server that says nothing else of its files."""
    source, cache = tmp_path / "source", tmp_path / "cache"
    source.mkdir()
    with serving(source) as (url, server):
        server.etag = False
        for r in range(2):
            content = (data.root / f"r{r}.tiff").read_bytes() + bytes(r)
            (source / "r0.tiff").write_bytes(content)
            with fetcher_of(data, url, cache=cache) as fetcher:
                found = fetcher.get_tile(0, 0, 1, 3).tile_data()
            np.testing.assert_array_equal(found, data.tile(r, 1, 3))


def test_any_part_of_a_file_is_the_same_by_any_way(tmp_path):
    """Blocks of 32,768 bytes are kept; what is asked for begins and ends beside their borders."""
    size = 5 * 32_768 + 700
    content = np.random.default_rng(1).bytes(size)
    (tmp_path / "a").write_bytes(content)
    borders = [0, 32_768, 98_304, 5 * 32_768, size]
    places = sorted({min(max(0, one + by), size) for one in borders for by in (-2, -1, 0, 1, 2)})
    with serving(tmp_path) as (url, _):
        server = remote_server.Server(url, 0, 10, {})
        file = RemoteFile(server, f"{url}/a")
        for start, stop in itertools.combinations(places, 2):
            expected = content[start:stop]
            # Not known, then out of what is kept, then past the end.
            found = bytearray(stop - start + 9)
            assert file.read_into(memoryview(found)[: stop - start], start) == stop - start
            assert found[: stop - start] == expected
            assert file.read_at(start, stop - start) == expected
            assert file.read_into(memoryview(found), start) == min(stop + 9, size) - start
            assert found[: stop - start] == expected
            if stop - start < 40_000:
                ahead = file.ahead([(start, stop - start), (0, 3)])
                assert ahead.read_into(memoryview(found)[: stop - start], start) == stop - start
                assert found[: stop - start] == expected
        assert file.read_at(size, 4) == b""
        with file.stream() as stream:
            stream.seek(-900, os.SEEK_END)
            assert stream.read() == content[-900:]
        server.close()


def test_parts_that_lie_apart_are_asked_for_one_after_another(tmp_path):
    """A load has as many requests under way as workers, and no worker more than one."""
    content = np.random.default_rng(2).bytes(400_000)
    (tmp_path / "a").write_bytes(content)
    with serving(tmp_path) as (url, served):
        server = remote_server.Server(url, 0, 10, {})
        file = RemoteFile(server, f"{url}/a")
        served.forget()
        served.latency = 0.02
        apart = [(0, 10), (300_000, 30), (100_000, 20), (200_000, 10)]
        held = file.ahead([*apart, (20_000, 10)])  # the last is near enough to come with the first
        assert (served.count, served.most_at_once) == (len(apart), 1)
        assert served.bytes_sent == 20_010 + 30 + 20 + 10
        for start, size in (*apart, (20_000, 10)):
            found = bytearray(size)
            assert held.read_into(memoryview(found), start) == size
            assert found == content[start : start + size]
        server.close()


def test_workers_wait_together(data, served):
    url, server = served
    server.latency = 0.05
    with fetcher_of(data, url) as fetcher:
        pixels_of(fetcher, workers=8)
    assert 2 < server.most_at_once <= 8


@pytest.mark.parametrize("cached", [False, True])
def test_the_checks_pass(data, served, tmp_path, cached):
    url, _ = served
    options = {"cache": tmp_path} if cached else {}
    options["coordinates"] = data.spec.coordinates
    report = check_fetcher(lambda: fetcher_of(data, url, **options), data.extent(), data)
    found = [one for one in report.results if one.status in ("fail", "warn")]
    assert not found, [one.message for one in found]


def test_a_profile_shows_opens_and_bytes(data, served):
    url, _ = served
    profile = profile_orders(
        lambda: fetcher_of(data, url), data.extent(), ["rcz", "zcr"], repeat=1, workers=1, under=url
    )
    for row in profile.rows:
        assert (row.opens, row.reopens) == (3, 0)
        assert row.bytes_read >= row.bytes_received >= 24 * PLANE
        assert 24 + 3 <= row.requests <= 3 * (1 + 3) + 24
    assert profile.is_remote
    assert LoadProfile.from_json(profile.to_json()) == profile
    assert not [text for text in profile.disagreements if "keeps every source" not in text]


def test_a_request_that_is_made_behind_ones_back_is_counted(data, served):
    """Those of fsspec, which asks by GET where HEAD fails, and those that a server leads on."""
    url, server = served
    server.fault = lambda method, path, number: 405 if method == "HEAD" else None
    with fetcher_of(data, url) as fetcher, trace(url) as seen:
        fetcher.get_tile(0, 0, 0, 0).tile_data()
    assert server.requests["HEAD", "/r0.tiff"] == 1
    assert seen.requests == server.count > 3
    server.forget()
    server.led = {f"/r{r}.tiff": f"/moved/r{r}.tiff" for r in range(3)}
    server.fault = lambda method, path, number: None
    with fetcher_of(data, url) as fetcher, trace(url) as seen:
        pixels = fetcher.get_tile(0, 1, 0, 0).tile_data()
    np.testing.assert_array_equal(pixels, data.tile(1, 0, 0))
    assert seen.requests == server.count == 2 * server.gets("/moved/") + 2
    assert list(seen.requests_by_source) == [f"{url}/r1.tiff"]


def test_goes_to_other_processes(data, served):
    url, _ = served
    with fetcher_of(data, url) as fetcher:
        fetcher.get_tile(0, 0, 0, 0).tile_data()
        with pickle.loads(pickle.dumps(fetcher)) as other:
            np.testing.assert_array_equal(
                other.get_tile(0, 1, 0, 3).tile_data(), data.tile(1, 0, 3)
            )


def test_other_file_systems_and_chains(data, tmp_path):
    import zipfile

    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for path in data.root.glob("*.tiff"):
            archive.write(path, path.name)
            with fsspec.open(f"memory://here/{path.name}", "wb") as file:
                file.write(path.read_bytes())
    roots = (f"file://{data.root}", "memory://here/", f"zip://::file://{tmp_path}/all.zip")
    for root in roots:
        with fetcher_of(data, root) as fetcher:
            np.testing.assert_array_equal(pixels_of(fetcher, workers=2), truth(data))
    assert not fetcher.thread_safe


@pytest.mark.parametrize("module", ["fsspec.core", "aiohttp"])
def test_missing_packages_name_the_extra(data, monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=r"starfish-fetch\[remote\]"):
        fetcher_of(data, "http://127.0.0.1:9")


def test_numbers_that_make_no_sense(data):
    for options in ({"retries": -1}, {"timeout": 0}):
        with pytest.raises(ValueError, match="retries must be"):
            fetcher_of(data, "memory://here", **options)
