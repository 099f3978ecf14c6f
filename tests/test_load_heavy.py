"""Many threads, many loads, many tiles, and a stack that is larger than memory."""

import json
import os
import shutil
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from fetchers import ArrayFetcher, arguments, image
from long_mode import LONG

import synth
from starfish_fetch import ImageStack, Layout, to_float32

THREADS = 32


class ThreadSafe(ArrayFetcher):
    thread_safe = True


def in_threads(act):
    """Call a function with 0, 1, ... in threads that begin together; return what it returns."""
    begin, results, errors = threading.Barrier(THREADS), [None] * THREADS, []

    def run(number):
        begin.wait()
        try:
            results[number] = act(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors, errors
    return results


@pytest.mark.parametrize("options", [{}, {"compression": "deflate"}, {"format": "npy"}], ids=str)
def test_threads_load_parts_of_their_own_from_one_fetcher(tmp_path, options):
    spec = synth.Spec(4, 4, 4, (48, 40))
    suffix = ".npy" if options.get("format") else ".tiff"
    dataset = synth.write(spec, Layout.per_round_ch(suffix), tmp_path, **options)
    orders = ["rcz", "zcr", "czr", None]
    before = threading.active_count()
    with dataset.fetcher() as fetcher:

        def load(number):
            stack = ImageStack.from_tilefetcher(
                fetcher,
                **vars(dataset.extent()),
                group_by=orders[number % len(orders)],
                workers=1 + number % 3,
                dtype=None,
            )
            part = stack.isel({"r": number % 4, "y": (number, number + 16)})
            return [part.to_numpy(), *(stack.to_numpy() for _ in range(20 if LONG else 1))]

        loaded = in_threads(load)
    tiles = [[[dataset.tile(r, c, z) for z in range(4)] for c in range(4)] for r in range(4)]
    truth = np.array(tiles)
    for number, (part, *whole) in enumerate(loaded):
        right = truth[number % 4][None, :, :, number : number + 16]
        assert part.tobytes() == right.tobytes()
        for one in whole:
            assert one.tobytes() == truth.tobytes()
    assert threading.active_count() == before


def test_threads_load_one_stack_with_as_many_workers():
    array = image((8, 8, 16, 5, 6) if not LONG else (32, 16, 64, 5, 6))
    fetcher = ThreadSafe(array)
    stack = ImageStack.from_tilefetcher(**arguments(fetcher), workers=THREADS)
    loaded = in_threads(lambda _: stack.to_numpy())
    assert all(one is loaded[0] for one in loaded)
    assert loaded[0].tobytes() == to_float32(array).tobytes()
    counts = Counter(fetcher.asked())
    assert set(counts.values()) == {1}
    assert len(counts) == array[..., 0, 0].size


@pytest.mark.parametrize("thread_safe", [False, True])
def test_a_hundred_thousand_tiles_are_each_asked_for_once(thread_safe):
    array = image((50, 20, 100, 1, 2))
    fetcher = (ThreadSafe if thread_safe else ArrayFetcher)(array)
    stack = ImageStack.from_tilefetcher(**arguments(fetcher), group_by="zcr", workers=2)
    assert stack.to_numpy().tobytes() == to_float32(array).tobytes()
    for event in ("get_tile", "shape", "coordinates", "tile_data"):
        asked = fetcher.asked(event)
        assert len(asked) == 100_000
        assert len(set(asked)) == 100_000
    assert len(fetcher.events) == 400_000
    if not thread_safe:
        assert fetcher.asked() == list(stack.plan)


def run(script, *arguments):
    """Run a script in a process of its own, and return what it prints, from JSON."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    # Else OpenBLAS takes memory for every CPU that there is.
    one = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    child = subprocess.run(
        command, env=one, capture_output=True, text=True, timeout=1800, check=False
    )
    assert child.returncode == 0, child.stderr
    return json.loads(child.stdout)


LOADS = """
import gc, itertools, json, os, sys, threading, warnings
import synth
from starfish_fetch import ImageStack, Layout

root, loads = sys.argv[1], int(sys.argv[2])
warnings.simplefilter("ignore")
spec = synth.Spec(2, 2, 4, (128, 256))
datasets = [
    synth.write(spec, Layout.per_round_ch(), f"{root}/tiff"),
    synth.write(spec, Layout.per_tile(), f"{root}/deflate", compression="deflate"),
    synth.write(spec, Layout.per_round(".npy"), f"{root}/npy", format="npy"),
    synth.write(spec, Layout.per_tile(), f"{root}/bad", damage=["missing", "truncated"]),
]
ways = itertools.cycle(itertools.product(datasets, (1, 3), ("raise", "fill")))


def load():
    dataset, workers, on_error = next(ways)
    with dataset.fetcher() as fetcher:
        stack = ImageStack.from_tilefetcher(
            fetcher, **vars(dataset.extent()), workers=workers
        )
        try:
            stack.load(on_error=on_error)
        except (OSError, ValueError):
            assert dataset.damage


def measured():
    gc.collect()
    with open("/proc/self/statm") as statm:
        pages = int(statm.read().split()[1])
    return {
        "rss": pages * os.sysconf("SC_PAGE_SIZE"),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "threads": threading.active_count(),
        "objects": len(gc.get_objects()),
    }


for _ in range(64):
    load()
before = measured()
for _ in range(loads):
    load()
print(json.dumps([before, measured()]))
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_loads_leave_nothing_behind(tmp_path):
    loads = 5_000 if LONG else 1_000
    before, after = run(LOADS, tmp_path, loads)
    print(f"{loads} loads:", before, after)
    assert after["descriptors"] == before["descriptors"]
    assert after["threads"] == before["threads"] == 1
    assert after["objects"] - before["objects"] < loads / 10
    # A stack is 2 MB and a tile 64 KB: of one tile that each load kept, this is an eighth. What
    # malloc does not give back at once is less.
    assert after["rss"] - before["rss"] < loads * 8_000


MEMMAP = """
import json, os, resource, sys
import numpy as np
from starfish_fetch import Axes, Coordinates, ImageStack

path, rounds, side, limit = sys.argv[1], *map(int, sys.argv[2:])
pattern = np.arange(side * side, dtype=np.uint16).reshape(side, side)


class Tile:
    shape = {Axes.Y: side, Axes.X: side}
    coordinates = {Coordinates.X: (0, 1), Coordinates.Y: (0, 1), Coordinates.Z: 0}

    def __init__(self, number):
        self.number = number

    def tile_data(self):
        return pattern + np.uint16(self.number)


class Fetcher:
    thread_safe = True

    def get_tile(self, fov, r, c, z):
        return Tile(100 * r + 10 * c + z)


# Of what is limited, private memory that can be written, a mapped file is no part: the system
# writes its pages to the file and takes them back. RLIMIT_AS would count it.
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
shape = (rounds, 3, 5, side, side)
try:
    np.empty(shape, np.float32)
except MemoryError:
    refused = True
else:
    refused = False
out = np.memmap(path, np.float32, "w+", shape=shape)
stack = ImageStack.from_tilefetcher(
    Fetcher(), Tile.shape, 0, range(rounds), range(3), range(5), out=out, workers=2
)
assert stack.load().to_numpy() is out
wrong = 0
for r, c, z in np.ndindex(shape[:3]):
    right = (pattern + np.uint16(100 * r + 10 * c + z)) * np.float32(1 / 65535)
    wrong += int(np.count_nonzero(out[r, c, z] != right))
print(json.dumps({"bytes": out.nbytes, "refused": refused, "wrong": wrong}))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA limits mmap on Linux alone")
def test_a_stack_larger_than_memory_is_loaded_into_a_file(tmp_path):
    rounds, side, limit = (20, 2048, 10**9) if LONG else (20, 512, 200 * 10**6)
    size = rounds * 15 * side * side * 4
    if shutil.disk_usage(tmp_path).free < 2 * size:
        pytest.skip(f"the file takes {size} bytes, and there is not twice as much room")
    path = tmp_path / "stack"
    try:
        done = run(MEMMAP, path, rounds, side, limit)
    finally:
        path.unlink(missing_ok=True)
    assert done == {"bytes": size, "refused": True, "wrong": 0}
    assert size > (5 * 10**9 if LONG else limit)
