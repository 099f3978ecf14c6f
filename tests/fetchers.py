"""Fetchers over arrays in memory, which write down what they are asked."""

import threading

import numpy as np

from starfish_fetch import Axes, Coordinates, FetchedTile, TileFetcher


class ArrayTile(FetchedTile):
    def __init__(self, fetcher, fov, key):
        self.fetcher, self.fov, self.key = fetcher, fov, key

    def _log(self, event):
        with self.fetcher.lock:
            self.fetcher.events.append((event, self.key))
            self.fetcher.threads.add(threading.get_ident())

    @property
    def shape(self):
        self._log("shape")
        rows, columns = self.fetcher.array.shape[3:]
        return {Axes.Y: rows, Axes.X: columns}

    @property
    def coordinates(self):
        self._log("coordinates")
        return self.fetcher.coordinates_of(self.key)

    @property
    def extras(self):
        self._log("extras")
        return self.fetcher.extras_of(self.key)

    def tile_data(self):
        self._log("tile_data")
        return self.fetcher.pixels_of(self.key)


class ArrayFetcher(TileFetcher):
    """Tiles of a 5-D array; override what is to go wrong."""

    def __init__(self, array, labels=None):
        self.array = array
        if labels is None:
            labels = [range(size) for size in array.shape[:3]]
        self.labels = [list(axis) for axis in labels]
        self.events = []
        self.threads = set()
        self.lock = threading.Lock()

    def __getstate__(self):
        return {"array": self.array, "labels": self.labels}

    def __setstate__(self, state):
        self.__init__(**state)

    def get_tile(self, fov_id, round_label, ch_label, zplane_label):
        key = (round_label, ch_label, zplane_label)
        with self.lock:
            self.events.append(("get_tile", key))
        return ArrayTile(self, fov_id, key)

    def coordinates_of(self, key):
        z = key[2]
        return {
            Coordinates.X: (0.1, 1.7),
            Coordinates.Y: (0.3, 0.9),
            Coordinates.Z: (0.1 * z, 0.1 * z + 0.07),
        }

    def extras_of(self, key):
        return {}

    def pixels_of(self, key):
        return self.array[
            tuple(axis.index(label) for axis, label in zip(self.labels, key, strict=True))
        ]

    def asked(self, event="tile_data"):
        return [key for name, key in self.events if name == event]


def arguments(fetcher):
    """The arguments of from_tilefetcher for an ArrayFetcher."""
    rounds, chs, zplanes = fetcher.labels
    rows, columns = fetcher.array.shape[3:]
    return {
        "tilefetcher": fetcher,
        "tile_shape": {Axes.Y: rows, Axes.X: columns},
        "fov": 0,
        "rounds": rounds,
        "chs": chs,
        "zplanes": zplanes,
    }


def image(shape=(2, 3, 4, 6, 5), dtype=np.uint16, seed=0):
    generator = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return generator.random(shape).astype(dtype)
    return generator.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)
