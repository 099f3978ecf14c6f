"""
More than one machine
=====================

An image that is larger than the memory, or a hundred fields of view, are work for an engine:
`dask <https://docs.dask.org/>`__ cuts it into tasks, and runs these on threads, on processes, or on
many machines. :func:`~starfish_fetch.to_dask` gives it an image in chunks, so cut that no file is
opened by two tasks.

Here two fields of view are loaded by threads, then by two workers such as would run on machines of
their own, and then by two of which one dies.
"""

# %%
# A fetcher that keeps a log
# --------------------------
# Each file holds the z-planes of one round and channel. The fetcher keeps the last file of each
# thread, takes as long to open one as a busy network share does, and writes a line for every open.
# For other processes it must be possible to pickle it: it holds paths and numbers, and no open
# file and no lock.

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, namedtuple
from pathlib import Path

import dask
import matplotlib.pyplot as plt
import numpy as np
import tifffile
from distributed import Client, LocalCluster

import synth
from starfish_fetch import Layout, TileFetcher, load_experiment, to_dask, to_float32

folder = tempfile.TemporaryDirectory()
spec = synth.Spec(rounds=2, chs=4, zplanes=5, tile_shape=(128, 128), fovs=2)
layout = Layout("fov{fov}_r{r}_c{c}.tiff", inner="z")
data = synth.write(spec, layout, Path(folder.name) / "data")

Open = namedtuple("Open", "worker begin end file")


class Tile:
    shape = data.extent().tile_shape

    def __init__(self, planes, page, coordinates):
        self.planes, self.page, self.coordinates = planes, page, coordinates

    def tile_data(self):
        return self.planes()[self.page].copy()


class SlowShare(TileFetcher):
    thread_safe = True

    def __init__(self, log):
        self.log = Path(folder.name) / log
        self.log.touch()
        self.kept = {}  # by process and thread

    def source(self, *labels):
        return str(data.root / layout.path(*labels))

    def planes(self, path):
        me = f"{os.getpid()}.{threading.get_ident()}"
        if self.kept.get(me, (None,))[0] != path:
            self.kept[me] = path, self.opened(path, me)
        return self.kept[me][1]

    def opened(self, path, me):
        begin = time.time()
        time.sleep(0.1)
        planes = tifffile.imread(path)
        with self.log.open("a") as log:
            log.write(f"{me} {begin} {time.time()} {Path(path).stem}\n")
        return planes

    def get_tile(self, fov, r, c, z):
        path = self.source(fov, r, c, z)
        page, where = spec.zplanes.index(z), spec.coordinates(fov, z)
        return Tile(lambda: self.planes(path), page, where)

    def opens(self):
        lines = [line.split() for line in self.log.read_text().splitlines()]
        return [
            Open(worker, float(begin), float(end), file)
            for worker, begin, end, file in lines
        ]


# %%
# An array that is not there yet
# ------------------------------
# A chunk for each file: five tiles of one round and channel. Nothing has been opened.

fetcher = SlowShare("one")
image = to_dask(fetcher, data.extent(fov=0))
print(image.chunks[:3])
assert not fetcher.opens()

# %%
# With ``xarray=True`` it has labels and physical coordinates. What a selection leaves out is not
# fetched: channel 2 is two files of eight.

labelled = to_dask(fetcher, data.extent(fov=0), xarray=True)
print(dict(labelled.sizes), sorted(labelled.coords))
brightest = labelled.sel(c=2).max("z").compute(scheduler="threads")
print([one.file for one in fetcher.opens()])

# %%
# Many fields of view, on threads
# -------------------------------
# :func:`~starfish_fetch.load_experiment` gives a lazy image for each field of view, and all share
# the fetcher. ``dask.compute`` does them in one go. Threads are what dask uses unless it is told
# otherwise; they are right for files on this machine.


def images_of(fetcher):
    return load_experiment(fetcher, [data.extent(fov) for fov in spec.fovs])


runs = {"threads": SlowShare("threads")}
(pixels,) = dask.compute(images_of(runs["threads"]), scheduler="threads", num_workers=2)
results = [pixels]


def count(run):
    opens = runs[run].opens()
    files = {one.file for one in opens}
    print(f"{run}: {len(opens)} opens of {len(files)} files")
    return Counter(one.file for one in opens)


files_of_threads = count("threads")

# %%
# Workers
# -------
# A cluster is a scheduler, workers that ask it for tasks, and a client that hands it an array. On
# real machines a scheduler is started on one, and workers on the others, with the address that it
# prints:
#
# .. code-block:: sh
#
#    dask scheduler                       # prints tcp://192.168.0.7:8786
#    dask worker tcp://192.168.0.7:8786   # on each of the others
#
# The script then says ``Client("tcp://192.168.0.7:8786")``, and all the rest is as it was. The
# files must have the same path on every machine, and starfish_fetch must be installed there;
# classes of the script itself, like ``SlowShare``, are sent along.
#
# Here all of them are this machine: the scheduler is a ``LocalCluster`` without workers, and the
# workers are two processes, started with the command above.


def start_worker(address):
    command = [sys.executable, "-m", "dask", "worker", address, "--nthreads=1"]
    command += ["--no-nanny", "--no-dashboard", "--death-timeout=60"]
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder.name
    )


scheduler = LocalCluster(n_workers=0, dashboard_address=None, silence_logs=50)
client = Client(scheduler)
workers = [start_worker(scheduler.scheduler_address) for _ in range(2)]
client.wait_for_workers(2, timeout=120)

# %%
# From here on dask uses the cluster, and no line of the loading changes. Each worker has one
# fetcher, however many chunks it loads. Before an image is sent to them, one pixel of its first
# tile is fetched here: all others have to be numbers of that kind. Hence the two opens more.

runs["two workers"] = SlowShare("workers")
results += dask.compute(images_of(runs["two workers"]))

files_of_workers = count("two workers")

# %%
# .. tip::
#
#    ``LocalCluster()`` by itself starts workers too, one for some of the CPUs each. In a script it
#    then has to stand below ``if __name__ == "__main__":``, because its processes import the
#    script again.
#
# A worker dies
# -------------
# Memory runs out, or somebody trips over a cable. This fetcher takes its process with it, when that
# opens its third file.


class Dies(SlowShare):
    author = os.getpid()  # the process of this page is spared

    def opened(self, path, me):
        planes = super().opened(path, me)
        third = [one.worker for one in self.opens()].count(me) == 3
        if third and os.getpid() != self.author:
            try:
                with open(f"{self.log}.dead", "x") as dead:
                    dead.write(me)
                os._exit(1)
            except FileExistsError:
                pass  # one is enough
        return planes


runs["one of two dies"] = Dies("dies")
results += dask.compute(images_of(runs["one of two dies"]))
files_of_survivor = count("one of two dies")

# %%
# The scheduler gives the others what the dead one was at, and what it had loaded, if that was in
# its memory only; nothing else is done again. A task with which a fourth worker dies is given up,
# and ``compute`` raises ``KilledWorker``. Without ``--no-nanny``, which is here only to have fewer
# processes, a dead worker is also started again.

client.close()
scheduler.close()
for worker in workers:
    worker.wait(timeout=60)

# %%
# Who opened what, and when
# -------------------------
# Time runs from left to right, a row is a thread, a worker, or this page, which looks at the first
# tile of each image before it is sent. Each box is the opening of a file, with the r and c of its
# name. A black frame says that the file had been opened before, and the cross is where the worker
# died.

colours = {"fov0": "#56B4E9", "fov1": "#E69F00"}
figure, panels = plt.subplots(3, 1, figsize=(9, 8), sharex=True, layout="constrained")
for panel, (name, fetcher) in zip(panels, runs.items(), strict=True):
    opens = sorted(fetcher.opens(), key=lambda one: one.begin)
    rows = list(dict.fromkeys(one.worker for one in opens))
    start, seen = opens[0].begin, set()
    for worker, begin, end, file in opens:
        fov, r, c = file.split("_")
        row, again = rows.index(worker), file in seen
        seen.add(file)
        panel.barh(
            row, end - begin, left=begin - start, color=colours[fov], linewidth=2.5,
            edgecolor="black" if again else "white", zorder=2 + again,
        )  # fmt: skip
        middle = (begin + end) / 2 - start
        panel.text(
            middle, row, f"{r}\n{c}", ha="center", va="center", size=13, zorder=4
        )
    panel.set_title(f"{name}: {len(opens)} opens", loc="left", fontsize=16)
    panel.set_yticks([])
    panel.invert_yaxis()
    panel.tick_params(labelsize=13)
    panel.spines[["top", "right", "left"]].set_visible(False)

dead = Path(f"{runs['one of two dies'].log}.dead").read_text()
last = max(one.end for one in opens if one.worker == dead)
panel.plot(last - start + 0.06, rows.index(dead), "x", ms=16, mew=5, color="#CC3311")
panel.set_xlabel("seconds", fontsize=14)
for fov, colour in colours.items():
    panels[0].barh(0, 0, color=colour, label=f"a file of {fov}")
panels[0].legend(frameon=False, fontsize=14, loc="center right")

# %%
# The same pixels
# ---------------
# Every pixel of each run is that of the dataset. Each file was opened by one task of one worker;
# where a worker died, what it had opened, and nothing else, was opened again.

assert len(results) == 3
for images in results:
    for fov, r, c, z in np.ndindex(2, 2, 4, 5):
        truth = to_float32(data.tile(r, c, z, fov=fov))
        assert np.array_equal(images[fov][r, c, z], truth)

once = Counter(Path(path).stem for path, *_ in layout.paths(data.extent(), spec.fovs))
looked_at = Counter(Path(fetcher.source(fov, 0, 0, 0)).stem for fov in spec.fovs)
assert files_of_threads == once
assert files_of_workers == once + looked_at

of_the_dead = Counter(one.file for one in opens if one.worker == dead)
again = files_of_survivor - once - looked_at
assert sum(of_the_dead.values()) == 3
assert again
assert again <= of_the_dead

folder.cleanup()
