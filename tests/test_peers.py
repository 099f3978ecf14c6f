"""``benchmarks.peers``: every peer is verified before it is timed, and none is dropped."""

from __future__ import annotations

import json
import platform
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("rich")

from benchmarks.peers import _cli
from benchmarks.peers._image import LAYOUTS, SCALE, Image
from benchmarks.peers._limit import Limit
from benchmarks.peers._machine import machine
from benchmarks.peers._measure import INSTALL, measure
from benchmarks.peers._ours import Ours, OursOneFile
from benchmarks.peers._peer import Peer
from benchmarks.peers._peers import PEERS
from benchmarks.peers._report import Run, size_name
from benchmarks.peers._starfish import Starfish, StarfishOneFile
from benchmarks.peers._tifffile import Tifffile, TifffileConverting

# Libraries warn, of themselves and of each other.
pytestmark = pytest.mark.filterwarnings("ignore")

WANTED = (Limit, Ours, OursOneFile, Starfish, StarfishOneFile, Tifffile, TifffileConverting)
HERE = tuple(peer for peer in WANTED if len(peer.versions()) == len(peer.distributions))
TINY = ("--size", "2x3x2x12x10", "--repeat", "2")


@pytest.fixture
def image(tmp_path):
    return Image.write((2, 3, 2, 12, 10), LAYOUTS["per-round"], tmp_path)


class Perfect(Peer):
    name = "perfect"
    distributions = ("numpy",)

    def load(self, image):
        return image.truth * SCALE


class SwapsRounds(Perfect):
    def load(self, image):
        return super().load(image)[::-1].copy()


class OneGreyLevelOff(Perfect):
    def load(self, image):
        wrong = image.truth.copy()
        wrong[1, 2, 0, 3, 4] ^= 1
        return wrong * SCALE


class ForgetsToConvert(Perfect):
    def load(self, image):
        return image.truth


class ForgetsToRead(Perfect):
    def load(self, image):
        return [image.truth]


class CannotReadThis(Perfect):
    def load(self, image):
        raise ValueError("five\ndimensions are too many")


class CannotPrepare(Perfect):
    def prepare(self, image):
        raise ImportError("a library of the library")


class NotInstalled(Perfect):
    name = "not there"
    distributions = ("numpy", "starfish-fetch-no-such-distribution")

    def load(self, image):
        raise AssertionError("it is absent")


def run(*arguments):
    return CliRunner().invoke(_cli.main, arguments, catch_exceptions=False)


@pytest.mark.parametrize(
    ("shape", "layout"),
    [
        ((2, 3, 2, 12, 10), "per-round"),
        ((2, 3, 2, 12, 10), "per-round-ch"),
        ((2, 3, 2, 12, 10), "per-tile"),
        ((3, 1, 2, 9, 14), "per-round"),
        ((2, 2, 1, 16, 8), "per-round"),
    ],
)
def test_every_installed_peer_brings_the_right_pixels(tmp_path, layout, shape):
    image = Image.write(shape, LAYOUTS[layout], tmp_path)
    results = measure(image, PEERS, repeat=1)
    assert [one.name for one in results] == [peer.name for peer in PEERS]
    assert [(one.name, one.detail) for one in results if one.status not in ("ok", "absent")] == []
    by_name = {one.name: one for one in results}
    for peer in HERE:
        assert by_name[peer.name].ok
        assert len(by_name[peer.name].seconds) == 1
    assert by_name[Ours.name].opens == len(image.paths)


@pytest.mark.parametrize(
    ("peer", "status", "detail"),
    [
        (SwapsRounds, "wrong", "12 of 12 tiles are wrong; the first is (r=0, c=0, z=0): "),
        (SwapsRounds, "wrong", "; it holds those of (r=1, c=0, z=0)"),
        (OneGreyLevelOff, "wrong", "the first is (r=1, c=2, z=0): 1 of 120 pixels"),
        (ForgetsToConvert, "wrong", "it is uint16 of shape (2, 3, 2, 12, 10), not float32"),
        (ForgetsToRead, "wrong", "it is a list, not an array in memory"),
        (CannotReadThis, "failed", "ValueError: five dimensions are too many"),
        (CannotPrepare, "failed", "ImportError: a library of the library"),
    ],
)
def test_what_is_wrong_with_a_peer_is_said_and_it_is_not_timed(image, peer, status, detail):
    perfect, result = measure(image, [Perfect, peer], repeat=2)
    assert (perfect.status, len(perfect.seconds)) == ("ok", 2)
    assert result.status == status
    assert detail in result.detail
    assert result.seconds == []


def test_a_wrong_pixel_in_a_later_turn_is_found(image):
    class WrongTheThirdTime(Perfect):
        loads = 0

        def load(self, image):
            self.loads += 1
            return super().load(image) * (self.loads != 3)

    (result,) = measure(image, [WrongTheThirdTime], repeat=3)
    assert result.status == "wrong"
    assert Run("per-round", image.shape, 2, [result]).ratio(result, result.name) is None


def test_files_that_are_not_what_was_written_are_found(image):
    path = Path(image.paths[0])
    content = bytearray(path.read_bytes())
    content[content.index(image.truth[0, 1, 1].tobytes()) + 2] ^= 1
    path.write_bytes(content)
    results = measure(image, [Limit, Ours, Tifffile], repeat=1)
    assert [one.status for one in results] == ["wrong"] * 3
    for one in results:
        assert "1 of 12 tiles are wrong; the first is (r=0, c=1, z=1): 1 of 120" in one.detail


def test_peers_take_turns(image):
    turns = []

    class First(Perfect):
        def load(self, image):
            turns.append("first")
            return super().load(image)

    class Second(Perfect):
        def load(self, image):
            turns.append("second")
            return super().load(image)

    advanced = []
    measure(image, [First, Second], repeat=3, advance=advanced.append)
    assert turns == ["first", "second"] * (1 + 3)
    assert advanced == [1] * 6


def test_a_peer_that_is_not_installed_is_listed_with_what_installs_it(monkeypatch):
    monkeypatch.setattr(_cli, "PEERS", (Limit, Ours, NotInstalled))
    said = run(*TINY)
    assert said.exit_code == 0
    assert f"ABSENT: not there: starfish-fetch-no-such-distribution not installed: {INSTALL}" in (
        said.stdout
    )
    *_, absent = json.loads(run(*TINY, "--json").stdout)["runs"][0]["peers"]
    assert (absent["peer"], absent["status"], absent["median"]) == ("not there", "absent", None)


def test_json_says_everything(monkeypatch):
    monkeypatch.setattr(_cli, "PEERS", HERE)
    layouts = ("--layout", "per-round", "--layout", "per-tile")
    report = json.loads(run(*TINY, *layouts, "--json").stdout)
    assert report["repeat"] == 2
    assert set(report["machine"]) == {
        "processor", "cpus", "memory_bytes", "system", "python", "numpy"
    }  # fmt: skip
    assert [(one["layout"], one["files"]) for one in report["runs"]] == [
        ("per-round", 2),
        ("per-tile", 12),
    ]
    for one in report["runs"]:
        assert one["shape"] == [2, 3, 2, 12, 10]
        assert [peer["peer"] for peer in one["peers"]] == [peer.name for peer in HERE]
        by_name = {peer["peer"]: peer for peer in one["peers"]}
        for peer in HERE:
            found = by_name[peer.name]
            assert found["status"] == "ok"
            assert len(found["seconds"]) == 2
            assert found["lines"] > 3
            assert set(found["versions"]) == set(peer.distributions)
        assert by_name[Limit.name]["ratio_to_limit"] == 1
        assert by_name[Ours.name]["ratio_to_ours"] == 1


def test_the_machine_is_described_without_its_name():
    assert platform.node() not in json.dumps(machine()) or not platform.node()


def test_the_table_names_every_peer():
    said = run(*TINY)
    assert said.exit_code == 0
    assert size_name((2, 3, 2, 12, 10)) in said.stdout
    for peer in PEERS:
        assert any(line.strip().startswith(peer.name) for line in said.stdout.splitlines())


def test_a_wrong_peer_is_no_error_but_ours_is(monkeypatch):
    monkeypatch.setattr(_cli, "PEERS", (Limit, Ours, OneGreyLevelOff))
    said = run(*TINY)
    assert said.exit_code == 0
    assert "WRONG: perfect: 1 of 12 tiles" in said.stdout
    monkeypatch.setattr(Ours, "load", OneGreyLevelOff.load)
    monkeypatch.setattr(_cli, "PEERS", (Limit, Ours))
    assert run(*TINY).exit_code == 1


def test_the_plot_is_written(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    from imageio.v3 import imread

    monkeypatch.setattr(_cli, "PEERS", (Limit, Ours, OneGreyLevelOff, NotInstalled))
    path = tmp_path / "peers.png"
    arguments = ("--layout", "per-round", "--layout", "per-tile", "--plot", str(path))
    assert run(*TINY, *arguments).exit_code == 0
    pixels = imread(path)
    assert pixels.shape[1] == 1600
    assert np.all(pixels[0, 0] == 255)


@pytest.mark.parametrize("size", ["4x3", "0x1x1x8x8", "axbxcxdxe", "1x1x1x8x8x8"])
def test_a_size_that_is_none_is_refused(size):
    said = run("--size", size)
    assert said.exit_code == 2
    assert "is not five numbers from 1" in said.stderr


def test_lines_are_counted_without_docstrings_and_comments():
    assert Perfect.lines() == 2
    assert OursOneFile.lines() > Ours.lines()
