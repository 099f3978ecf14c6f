"""What a fuzzer found is mended, and a few thousand mutated files break no promise.

``python -m tests.fuzz`` looks for more, guided by coverage.
"""

import importlib
import os
import random

import pytest
from fuzz import TARGETS
from fuzz._target import SPARE, Finding, Target, hang_guard

# What each costs differs: a second or two for each target.
EXECUTIONS = {
    "layout": 2000, "npy": 500, "profile_json": 600, "report_json": 600, "tiff": 300, "verify": 100,
}  # fmt: skip
MORE = 100 if os.environ.get("HYPOTHESIS_PROFILE") == "long" else 1
NEEDED = {"tiff": ("imagecodecs",), "verify": ("imagecodecs",), "ome_zarr": ("zarr", "ome_zarr")}


@pytest.fixture(params=TARGETS)
def target(request):
    for module in NEEDED.get(request.param, ()):
        pytest.importorskip(module)
    found = importlib.import_module(f"fuzz.{request.param}").TARGET()
    yield found
    found.close()


@pytest.mark.filterwarnings("ignore")  # zarr's, of what it is told
def test_mutated_files_are_read_or_refused(target):
    seeds = target.seeds()
    for seed in seeds:
        assert target.one(seed)
    for data in target.found():
        target.one(data)
    chance = random.Random(target.name)
    read = 0
    count = EXECUTIONS.get(target.name, 250) * MORE
    for number in range(count):
        data = chance.choice(seeds)
        for _ in range(chance.choice((1, 1, 2))):
            data = target.mutate(data, chance)
        try:
            read += target.one(data)
        except Exception as error:
            error.add_note(f"file {number} of {target.name}: {data[:2000]!r}")
            raise
    # Mutations that are all refused, or all read, try nothing.
    assert count / 100 < read < count * 0.9


class Reader(Target):
    name = "reader"

    def __init__(self, read, check=None):
        self.read = read
        self.check = check or (lambda found: None)

    def seeds(self):
        return []

    def read(self, data):
        raise NotImplementedError

    mutate = read


def forever(data):
    while True:
        pass


def wrong(found):
    raise Finding("other pixels")


@pytest.mark.parametrize(
    ("reader", "message"),
    [
        (Reader(lambda data: bytearray(SPARE + 200)), "bytes of memory"),
        (Reader(lambda data: data, wrong), "other pixels"),
    ],
)
def test_a_broken_promise_is_found(reader, message):
    with pytest.raises(Finding, match=message):
        reader.one(b"1234")


def test_a_hang_is_found():
    with pytest.raises(Finding, match=r"not done after 0\.05 s"), hang_guard("reader", 0.05):
        forever(b"")
