"""RemoteTiffTileFetcher against a real nginx, with latency and faults injected between."""

from __future__ import annotations

import os
import shutil
import traceback
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from faulty_proxy import Fault, proxied
from nginx import SIGNATURE, serving

import synth
from starfish_fetch import (
    ImageStack,
    Layout,
    RemoteTiffTileFetcher,
    profile_orders,
    trace,
)

SPEC = synth.Spec(3, 2, 4, (120, 90))
LAYOUT = Layout("r{r}.tiff", inner="cz")
TILES = 3 * 2 * 4
PLANE = 120 * 90 * 2


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return synth.write(SPEC, LAYOUT, tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def server(data, tmp_path_factory):
    with serving(data.root, tmp_path_factory.mktemp("nginx")) as found:
        yield found


@pytest.fixture
def nginx(server):
    server.forget()
    return server


@pytest.fixture
def between(nginx):
    """The URL of a proxy before the server, and the proxy."""
    with proxied(nginx.port) as found:
        yield found


def fetcher_of(data, url, **options):
    return RemoteTiffTileFetcher(url, LAYOUT, data.extent(), **options)


def stack_of(fetcher, **options):
    return ImageStack.from_tilefetcher(fetcher, **vars(fetcher.extent), dtype=None, **options)


def truth(data):
    return np.array([[[data.tile(r, c, z) for z in range(4)] for c in range(2)]
                     for r in range(3)])  # fmt: skip


def asked_for(log):
    return Counter(one.path for one in log)


def sent(log):
    return sum(one.sent for one in log if one.method == "GET")


@pytest.mark.parametrize("workers", [1, 6])
@pytest.mark.parametrize("group_by", [None, "zcr"])
def test_the_log_of_the_server_says_the_same(data, nginx, workers, group_by):
    url = f"http://127.0.0.1:{nginx.port}/data"
    with fetcher_of(data, url) as fetcher, trace(url) as seen:
        found = stack_of(fetcher, group_by=group_by, workers=workers).to_numpy()
    np.testing.assert_array_equal(found, truth(data))
    log = nginx.log()
    assert {one.status for one in log if one.method == "GET"} == {206}
    assert seen.requests == len(log)
    assert {path.removeprefix(url.removesuffix("/data")): count
            for path, count in seen.requests_by_source.items()} == asked_for(log)  # fmt: skip
    assert seen.bytes_received == sent(log) >= TILES * PLANE
    # Of each file: what it is, its header, and each plane by itself.
    assert Counter(one.method for one in log)["HEAD"] == 3
    assert len(log) <= 3 * (1 + 3) + TILES


def test_a_profile_counts_what_the_server_does(data, nginx):
    url = f"http://127.0.0.1:{nginx.port}/data"
    profile = profile_orders(
        lambda: fetcher_of(data, url), data.extent(), ["none", "zcr"], repeat=1, workers=1
    )
    log = nginx.log()
    own, other = profile.row("none"), profile.row("z,c,r")
    # Each order is loaded three times, and the loader's own once more, to begin with.
    assert 4 * own.requests + 3 * other.requests == len(log)
    assert 4 * own.bytes_received + 3 * other.bytes_received == sent(log)
    assert own.bytes_read >= own.bytes_received
    assert (own.opens, own.reopens) == (3, 0)


def test_workers_wait_together_and_no_more_of_them(data, nginx, between):
    url, proxy = between
    proxy.latency = 0.03
    with fetcher_of(data, f"{url}/data") as fetcher:
        found = stack_of(fetcher, workers=5).to_numpy()
    np.testing.assert_array_equal(found, truth(data))
    assert 2 <= proxy.most_at_once <= 5


UNAVAILABLE = b"HTTP/1.1 503 Not now\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
FAULTS = {
    "cut in the body": Fault("cut"),
    "cut before the body": Fault("cut", 0),
    "reset": Fault("reset"),
    "short": Fault("short"),
    "hang up": Fault("hang up"),
    "no HTTP": Fault("answer", bytes=b"\x00\x01 what is this\r\n\r\n"),
    "503": Fault("answer", bytes=UNAVAILABLE),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_passes_is_asked_for_again(data, nginx, between, name):
    url, proxy = between
    proxy.fault = lambda method, path, number: (
        FAULTS[name] if method == "GET" and number % 3 == 1 else None
    )
    with fetcher_of(data, f"{url}/data", retries=8) as fetcher, trace(url) as seen:
        found = stack_of(fetcher, workers=4).to_numpy()
    np.testing.assert_array_equal(found, truth(data))
    assert seen.requests == proxy.count() > 3 * 2 + TILES


@pytest.mark.parametrize("name", FAULTS)
def test_what_lasts_is_an_error_after_which_a_load_goes_on(data, nginx, between, name):
    url, proxy = between
    proxy.fault = lambda method, path, number: (
        FAULTS[name] if "r1" in path and method == "GET" and proxy.count("r1") > 3 else None
    )
    with fetcher_of(data, f"{url}/data", retries=1) as fetcher:
        stack = stack_of(fetcher, group_by="r", workers=1)
        with pytest.raises(OSError, match=r"2 requests failed.*retries=.*/data/r1\.tiff") as caught:
            stack.load()
        assert any("round=1" in note and f"{url}/data/r1.tiff" in note
                   for note in caught.value.__notes__)  # fmt: skip
        assert proxy.count("r2") == 0
        before = proxy.count("r0")
        proxy.fault = lambda method, path, number: None
        np.testing.assert_array_equal(stack.load().to_numpy(), truth(data))
        assert proxy.count("r0") == before


@pytest.mark.parametrize("fault", [Fault("silent"), Fault("stall"), Fault("stall", 0)],
                         ids=["says nothing", "stalls in it", "stalls before it"])  # fmt: skip
def test_a_stall_is_given_up_and_the_load_goes_on(data, nginx, between, fault):
    url, proxy = between
    proxy.fault = lambda method, path, number: fault if "r1" in path and method == "GET" else None
    with fetcher_of(data, f"{url}/data", timeout=0.5) as fetcher:
        stack = stack_of(fetcher, group_by="r", workers=1)
        with pytest.raises(TimeoutError, match=r"no answer within 0\.5 s.*r1\.tiff") as caught:
            stack.load()
        assert any("round=1, ch=0, zplane=0" in note for note in caught.value.__notes__)
        assert proxy.count("r1") == 2  # a HEAD, and one GET, which nobody repeats
        before = proxy.count("r0")
        proxy.fault = lambda method, path, number: None
        np.testing.assert_array_equal(stack.load().to_numpy(), truth(data))
        assert proxy.count("r0") == before


@pytest.mark.parametrize(
    ("folder", "kind", "status"),
    [("data/nowhere", FileNotFoundError, 404), ("closed", PermissionError, 403)],
)
def test_what_is_refused_is_not_asked_for_again(data, nginx, folder, kind, status):
    url = f"http://127.0.0.1:{nginx.port}/{folder}"
    with fetcher_of(data, url) as fetcher, trace(url) as seen:
        with pytest.raises(kind) as caught:
            stack_of(fetcher, workers=1).load()
        assert caught.value.filename == f"{url}/r0.tiff"
        assert any("round=0, ch=0, zplane=0" in note for note in caught.value.__notes__)
    log = nginx.log()
    assert [(one.method, one.status) for one in log] == [("HEAD", status), ("GET", status)]
    assert seen.requests == 2  # the second is of fsspec, which takes the first for not supported


def test_a_server_without_ranges_is_read_through_a_cache(data, nginx, tmp_path):
    url = f"http://127.0.0.1:{nginx.port}/whole"
    with (
        fetcher_of(data, url) as fetcher,
        pytest.raises(OSError, match=r"whole files only.*cache="),
    ):
        fetcher.get_tile(0, 0, 0, 0).tile_data()
    nginx.forget()
    for _ in range(2):
        with fetcher_of(data, url, cache=tmp_path) as fetcher:
            np.testing.assert_array_equal(stack_of(fetcher).to_numpy(), truth(data))
    log = nginx.log()
    assert {one.status for one in log} == {200}
    assert Counter(one.method for one in log) == {"HEAD": 6, "GET": 3}
    assert sent(log) == sum(path.stat().st_size for path in data.root.glob("*.tiff"))


@pytest.mark.parametrize("same", ["size", "time"])
def test_a_copy_is_of_the_version_that_the_server_has(data, server, tmp_path, same):
    """Its ETag is of the time and the size; either may be that of the version before."""
    folder, cache = data.root / same, tmp_path / "cache"
    folder.mkdir()
    path = folder / "r0.tiff"
    extent = replace(data.extent(), rounds=[0])
    url = f"http://127.0.0.1:{server.port}/data/{same}"
    for r in range(2):
        shutil.copyfile(data.root / f"r{r}.tiff", path)
        if same == "time":
            with path.open("ab") as file:
                file.write(bytes(r))
        os.utime(path, ns=(0, 10**18 if same == "time" else (r + 1) * 10**18))
        with RemoteTiffTileFetcher(url, LAYOUT, extent, cache=cache) as fetcher:
            np.testing.assert_array_equal(
                fetcher.get_tile(0, 0, 1, 2).tile_data(), data.tile(r, 1, 2)
            )
    assert len(list(cache.iterdir())) == 2


def test_an_answer_is_not_compressed(data, nginx):
    url = f"http://127.0.0.1:{nginx.port}/gzip"
    with fetcher_of(data, url) as fetcher:
        np.testing.assert_array_equal(stack_of(fetcher).to_numpy(), truth(data))
    assert {one.status for one in nginx.log() if one.method == "GET"} == {206}


def test_requests_that_are_led_elsewhere_are_counted(data, nginx):
    url = f"http://127.0.0.1:{nginx.port}/moved"
    with fetcher_of(data, url) as fetcher, trace(url) as seen:
        np.testing.assert_array_equal(stack_of(fetcher).to_numpy(), truth(data))
    log = nginx.log()
    assert seen.requests == len(log)
    assert Counter(one.status for one in log)[302] * 2 == len(log)


def test_a_signature_goes_with_every_request_and_into_no_name(data, nginx):
    url = f"http://127.0.0.1:{nginx.port}/signed"
    with fetcher_of(
        data, f"{url}?sig={SIGNATURE}", storage_options={"encoded": True}
    ) as fetcher, trace(url) as seen:  # fmt: skip
        assert fetcher.source(0, 1, 0, 0) == f"{url}/r1.tiff"
        assert SIGNATURE not in repr(fetcher)
        np.testing.assert_array_equal(stack_of(fetcher).to_numpy(), truth(data))
    log = nginx.log()
    assert {one.path for one in log} == {f"/signed/r{r}.tiff?sig={SIGNATURE}" for r in range(3)}
    assert {*seen.requests_by_source} == {*seen.by_source} == {f"{url}/r{r}.tiff" for r in range(3)}


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (None, PermissionError),
        (Fault("answer", bytes=UNAVAILABLE), OSError),
        (Fault("hang up"), OSError),
        (Fault("silent"), TimeoutError),
    ],
)
def test_a_signature_that_does_not_hold_is_told_without_it(data, between, fault, kind):
    url, proxy = between
    proxy.fault = lambda method, path, number: fault
    options = {"retries": 0, "timeout": 0.5 if kind is TimeoutError else 60}
    with fetcher_of(data, f"{url}/signed?sig=Secret%2Fnumber&x=1", **options) as fetcher:
        with pytest.raises(kind, match=r"signed/r0\.tiff") as caught:
            fetcher.get_tile(0, 0, 0, 0).tile_data()
        said = "".join(traceback.format_exception(caught.value))
        assert "Secret" not in said
        assert "x=1" not in said
