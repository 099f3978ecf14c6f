"""A write that is killed at any moment is made good by the same call, to the last byte."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from forked_writes import CALLS
from test_synth_overwrite import everything

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="writes are forked")

KILLS = 50
STRANGERS = {"notes.txt": b"mine", "fov_1/notes.txt": b"mine", "fov_1": None}
NEW = sorted(set(CALLS) - {"other"})
PLACES = ("empty", "complete", "unfinished")


@pytest.fixture(scope="module")
def warm():
    """Gives orders to the process that forks writes."""
    script = Path(__file__).with_name("forked_writes.py")
    # What it imports may have started threads, which play no part in a write.
    command = [sys.executable, "-W", "ignore", str(script)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:

        def give(call, root, workers=1, *, overwrite=False, **how):
            order = {"call": call, "root": str(root), "workers": workers, "overwrite": overwrite}
            print(json.dumps({**order, **how}), file=process.stdin, flush=True)
            return json.loads(process.stdout.readline())

        yield give
        process.stdin.close()


@pytest.fixture(scope="module")
def whole(warm, tmp_path_factory):
    """What each call writes when nobody kills it, in how many moments and seconds."""
    outcomes = {}
    for call in CALLS:
        root = tmp_path_factory.mktemp(call)
        report = warm(call, root)
        assert report["error"] is None, report
        outcomes[call] = everything(root), report["moments"], report["seconds"]
    return outcomes


def prepare(warm, root, place, moments):
    """Make a folder in which there may be another dataset, and files of none."""
    if place == "empty":
        return {}
    kill = {"at": moments // 2} if place == "unfinished" else {}
    assert warm("other", root, **kill) == {"killed": True} or not kill
    for path, data in STRANGERS.items():
        if data is not None:
            (root / path).write_bytes(data)
    return STRANGERS


@pytest.mark.parametrize("number", range(KILLS))
def test_a_killed_write_is_made_good_by_the_same_call(warm, whole, tmp_path, number):
    chance = random.Random(number)
    call, place, workers = NEW[number % len(NEW)], chance.choice(PLACES), chance.choice([1, 2])
    written, moments, seconds = whole[call]
    how = {"workers": workers, "overwrite": place != "empty"}
    if place == "complete":
        moments += 60  # in which that dataset is deleted
    killed = 0
    for attempt in range(99):
        root = tmp_path / str(attempt)
        strangers = prepare(warm, root, place, whole["other"][1])
        for _ in range(chance.choice([1, 1, 3])):
            counted = {"at": chance.randint(1, moments)}
            timed = {"seconds": chance.uniform(0, 1.2 * seconds)}
            report = warm(call, root, **how, **(counted if number % 4 else timed))
            assert report.get("error") is None, report
            killed += "killed" in report
            assert_all_is_whole(root, written)
        report = warm(call, root, **how)
        assert report["error"] is None, report
        assert everything(root) == {**written, **strangers}
        if killed:
            return
    raise AssertionError("never killed")


@pytest.mark.parametrize("call", ["damaged", "spots"])
def test_a_write_killed_where_all_files_begin_and_end(warm, whole, tmp_path, call):
    # Few of so many moments, and those that random ones miss.
    written, moments, _ = whole[call]
    for at in [*range(1, 13), *range(moments - 12, moments + 1)]:
        root = tmp_path / str(at)
        assert warm(call, root, at=at) == {"killed": True}
        report = warm(call, root)
        assert report["error"] is None, (at, report)
        assert everything(root) == written


def assert_all_is_whole(root, written):
    """What the dataset names, other than its description, is there whole or not at all."""
    there = everything(root) if root.exists() else {}
    names = {path for path in written if written[path] and there.get(path)} - {"dataset.json"}
    assert {path: there[path] for path in names} == {path: written[path] for path in names}


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("call", ["damaged", "spots"])
def test_an_interrupted_write_cleans_up_and_is_made_good(warm, whole, tmp_path, call, workers):
    written, moments, _ = whole[call]
    chance = random.Random(call)
    for number in range(8):
        root = tmp_path / str(number)
        at = chance.randint(2, moments - 4)
        report = warm(call, root, workers, at=at, signal="SIGINT")
        if report["error"] is None:
            continue  # the last files were finished before the interrupt was heard
        assert report["error"][0] == "KeyboardInterrupt"
        left = everything(root) if root.exists() else {}
        assert not [path for path in left if path.endswith((".tiff.partial", ".new"))]
        report = warm(call, root, workers)
        assert report["error"] is None
        assert everything(root) == written
