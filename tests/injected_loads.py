"""Loads that go on while calls into the system fail; run by the server of syscall_faults."""

from __future__ import annotations

import errno
import gc
import signal
import warnings
from itertools import count, product

import numpy as np
from syscall_faults import FAIL, OPEN, READ, SHORT, SIGNAL, Faults, left_behind, threads_left, told

import starfish_fetch as sf
from starfish_fetch.layout import Layout
from synth import Dataset, Spec, write

SPEC = Spec([4, 1], [0, 2], [-1, 0, 7], (48, 20))
POSITIVE = Spec([4, 1], [0, 2], [0, 7], (12, 20))
PER_ROUND = Layout("r{r:02d}.tiff", inner=("z", "c"))
DEFLATE = {"compression": "deflate", "tiff_tile": (16, 16), "predictor": True}


def _tiffs(root, **options):
    return write(SPEC, PER_ROUND, root, **options)


def _spacetx(root, tile_format):
    data = write(POSITIVE, PER_ROUND, f"{root}.source")
    sf.to_spacetx(data.fetcher(), data.extent(), root, tile_format=tile_format)
    return data


def _ome_zarr(root, **options):
    data = write(SPEC, PER_ROUND, f"{root}.source")
    sf.to_ome_zarr(data.fetcher(), data.extent(), root, **options)
    return data


WRITE = {
    "tiff": _tiffs,
    "deflate": lambda root: _tiffs(root, **DEFLATE),
    "ome-tiff": lambda root: _tiffs(root, linked=True),
    "npy": lambda root: write(SPEC, Layout.per_round_ch(".npy"), root, format="npy"),
    "spacetx": lambda root: _spacetx(root, "NUMPY"),
    "spacetx-tiff": lambda root: _spacetx(root, "TIFF"),
    "ome-zarr": lambda root: _ome_zarr(root, chunk=16),
    "ome-zarr-0.4": lambda root: _ome_zarr(root, version="0.4"),
}


def fetcher_of(kind, root):
    if kind.startswith("spacetx"):
        return sf.SpaceTxTileFetcher(root)
    if kind.startswith("ome-zarr"):
        return sf.OmeZarrTileFetcher(root)
    spec = SPEC
    layout = Layout.per_round_ch(".npy") if kind == "npy" else PER_ROUND
    extent = sf.Extent(
        dict(zip("yx", spec.tile_shape, strict=True)), 0, spec.rounds, spec.chs, spec.zplanes
    )
    return (sf.NpyTileFetcher if kind == "npy" else sf.TiffTileFetcher)(root, layout, extent)


class Call:
    """One user's call: a fetcher is made, and a stack loaded through it; can be made again."""

    def __init__(self, kind, root, **options):
        self._kind, self._root, self._options = kind, root, {**options}
        self._load = self._options.pop("load", {})
        self.fetcher = self.stack = None

    def __call__(self):
        if self.stack is None:
            self.fetcher = fetcher_of(self._kind, self._root)
            self.stack = sf.ImageStack.from_tilefetcher(
                self.fetcher, **vars(self.fetcher.extent), dtype=None, **self._options
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.stack.load(**self._load)
        return self.stack

    def close(self):
        if hasattr(self.fetcher, "close"):
            self.fetcher.close()
        self.fetcher = self.stack = None
        gc.collect()


def truth_of(kind, root):
    data = Dataset.open(f"{root}.source" if kind.startswith(("spacetx", "ome-zarr")) else root)
    labels = data.extent().rounds, data.extent().chs, data.extent().zplanes
    tiles = [data.tile(*key) for key in product(*labels)]
    return np.reshape(tiles, (*map(len, labels), *data.extent().tile_shape.values()))


def right(stack, truth):
    """Return whether every pixel is what was written, or is said to be missing and is zero."""
    expected = truth.copy()
    for key in stack.missing:
        extent = stack.axis_labels
        place = tuple(extent(axis).index(label) for axis, label in zip("rcz", key, strict=True))
        expected[place] = 0
    return np.array_equal(stack.to_numpy(), expected)


def each_call_fails(kind, root, codes, mode=FAIL, step=1, **options):
    """Let each call of a load fail in turn; return how it went, and what was not as promised."""
    truth, faults = truth_of(kind, root), Faults(root)
    counted = {"calls": 0, "faults": 0, "errors": 0, "unharmed": 0}
    problems = []
    call = Call(kind, root, **options)
    call()  # so that what is only done once in a process is done
    call.close()
    faults.arm()
    call()
    counted["calls"], _ = faults.disarm()
    call.close()
    for at in range(1, counted["calls"] + 1, step):
        name = codes[at % len(codes)]
        faults.arm(mode, at, getattr(errno, name))
        error = None
        try:
            stack = call()
        except Exception as raised:
            error = raised
        _, which = faults.disarm()
        if not which:
            break  # of several threads, one reads what another would have
        counted["faults"] += 1
        where = f"{name} at call {at}, {which}: "
        if error is None:
            counted["unharmed"] += 1
            if not right(stack, truth):
                problems.append(where + "wrong pixels")
        else:
            counted["errors"] += 1
            said = told(error)
            if str(root) not in said:
                problems.append(where + f"names no file: {type(error).__name__}: {said}")
            if not isinstance(error, OSError) or error.errno not in (getattr(errno, name), None):
                problems.append(where + f"{type(error).__name__}: {said}")
            error = None
        threads = threads_left()
        if threads:
            problems.append(where + f"threads are left: {threads}")
        if options.get("load"):  # what was filled is done with
            call.close()
        try:
            stack = call()
            if not np.array_equal(stack.to_numpy(), truth):
                problems.append(where + "wrong pixels afterwards")
        except Exception as raised:
            problems.append(where + f"fails afterwards: {type(raised).__name__}: {told(raised)}")
        stack = None
        call.close()
        if left_behind(root):
            problems.append(where + f"left open: {left_behind(root)}")
    return {**counted, "problems": problems}


def short_reads(kind, root, most):
    """Load while no read returns more bytes than that."""
    faults = Faults(root)
    call = Call(kind, root)
    faults.arm(SHORT, value=most)
    try:
        stack = call()
    finally:
        reads, _ = faults.disarm()
    return {"reads": reads, "right": np.array_equal(stack.to_numpy(), truth_of(kind, root))}


def interrupted_calls(kind, root, step=1):
    """Interrupt each read and open by a signal that is handled, and by its errno alone."""
    truth, faults = truth_of(kind, root), Faults(root)
    heard, problems = [], []
    signal.signal(signal.SIGUSR1, lambda *of: heard.append(of))
    for at in count(1, step):
        fired = []
        for mode, value in ((SIGNAL, signal.SIGUSR1), (FAIL, errno.EINTR)):
            call = Call(kind, root, workers=1)
            faults.arm(mode, at, value, OPEN | READ)
            try:
                if not np.array_equal(call().to_numpy(), truth):
                    problems.append(f"wrong pixels at {at}")
            except Exception as raised:
                problems.append(f"{faults.disarm()}: {type(raised).__name__}: {told(raised)}")
            fired.append(faults.disarm()[1])
            call.close()
        if not fired[0]:
            break
    return {"calls": (at - 1) // step, "heard": len(heard), "problems": problems}


def interrupts(kind, root, workers, step=1):
    """Press Ctrl-C at each call of a load."""
    truth, faults = truth_of(kind, root), Faults(root)
    problems, heard = [], 0
    for at in count(1, step):
        call = Call(kind, root, workers=workers)
        faults.arm(SIGNAL, at, signal.SIGINT)
        stopped = False
        try:
            call()
        except KeyboardInterrupt:
            stopped = True
        except Exception as raised:
            problems.append(f"call {at}: {type(raised).__name__}: {told(raised)}")
        _, which = faults.disarm()
        if not which:
            break
        heard += stopped
        left = threads_left()
        if left:
            problems.append(f"call {at}, {which}: threads are left: {left}")
        if not np.array_equal(call().to_numpy(), truth):
            problems.append(f"call {at}, {which}: wrong pixels afterwards")
        call.close()
        if left_behind(root):
            problems.append(f"call {at}, {which}: left open: {left_behind(root)}")
    return {"calls": (at - 1) // step, "heard": heard, "problems": problems}
