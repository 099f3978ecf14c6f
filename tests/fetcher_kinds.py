"""One synthetic image through every kind of fetcher: our own, a user's, an array, a server's."""

import functools
from contextlib import contextmanager

import dask.array as da
import fsspec
import numpy as np
import tifffile
import xarray as xr

import starfish_fetch as sf

KINDS = (
    "own",
    "plain",
    "tutorial",
    "function",
    "numpy",
    "dask",
    "xarray",
    "memory",
    "http",
    "spacetx",
    "ome-zarr",
)
REMOTE = ("memory", "http")


class PlainFetcher(sf.TileFetcher):
    """The same tiles, of a fetcher that offers nothing optional."""

    def __init__(self, fetcher):
        self.fetcher = fetcher
        self.asked = []

    def get_tile(self, *labels):
        self.asked.append(labels[1:])
        return PlainTile(self.fetcher.get_tile(*labels))


class PlainTile(sf.FetchedTile):
    def __init__(self, tile):
        self.tile = tile

    @property
    def shape(self):
        return self.tile.shape

    @property
    def coordinates(self):
        return self.tile.coordinates

    def tile_data(self):
        return self.tile.tile_data()


class Tutorial:
    """Reads whole files and keeps the last; knows nothing of ours, not even a base class."""

    def __init__(self, dataset):
        self.dataset = dataset
        self.read = functools.lru_cache(maxsize=1)(whole_file)
        self.asked = []

    def get_tile(self, fov, r, c, z):
        self.asked.append((r, c, z))
        return TutorialTile(self, fov, r, c, z)


class TutorialTile:
    def __init__(self, fetcher, fov, *key):
        self.fetcher, self.fov, self.key = fetcher, fov, key
        spec = fetcher.dataset.spec
        self.shape = dict(zip("yx", spec.tile_shape, strict=True))
        self.coordinates = spec.coordinates(fov, key[2])

    def tile_data(self):
        dataset = self.fetcher.dataset
        extent = dataset.extent(self.fov)
        path = dataset.root / dataset.layout.path(self.fov, *self.key)
        plane = dataset.layout.page(extent, sf.TileKey(*self.key))
        return self.fetcher.read(path)[plane].copy()


def whole_file(path):
    """Return all planes of a file, read by another program than ours."""
    if path.suffix == ".npy":
        array = np.load(path)
        return array.reshape(-1, *array.shape[-2:])
    with tifffile.TiffFile(path) as tiff:
        return np.stack([page.asarray() for page in tiff.pages])


def pixels_of(dataset, fov):
    """Return the field of view as one array, by our own reader, with its labels ascending."""
    extent = dataset.extent(fov)
    axes = [sorted(extent.labels(axis)) for axis in "rcz"]
    with dataset.fetcher(fov) as fetcher:
        tiles = [
            fetcher.get_tile(fov, r, c, z).tile_data()
            for r in axes[0]
            for c in axes[1]
            for z in axes[2]
        ]
    return np.stack(tiles).reshape(*map(len, axes), *tiles[0].shape), axes


@contextmanager
def fetcher_of(kind, dataset, fov, folder, server, draw):
    """Yield a fetcher of one field of view, and the list of what it was asked, if it keeps one.

    Converted images are written to ``folder``; ``server`` is the URL of the dataset's.
    """
    extent, coordinates = dataset.extent(fov), dataset.spec.coordinates
    if kind == "own":
        with dataset.fetcher(fov) as fetcher:
            yield fetcher, None
    elif kind == "plain":
        with dataset.fetcher(fov) as fetcher:
            plain = PlainFetcher(fetcher)
            yield plain, plain.asked
    elif kind == "tutorial":
        tutorial = Tutorial(dataset)
        yield tutorial, tutorial.asked
    elif kind == "function":
        asked = []
        with dataset.fetcher(fov) as fetcher:

            def plane(*labels):
                asked.append(labels[1:])
                return fetcher.get_tile(*labels).tile_data()

            yield sf.as_fetcher(plane, extent=extent, coordinates=coordinates), asked
    elif kind in ("numpy", "dask", "xarray"):
        array, labels = pixels_of(dataset, fov)
        given = {"fov": [fov], **dict(zip("rcz", labels, strict=True))}
        if kind == "numpy":
            planes = array
        elif kind == "dask":
            planes = da.from_array(array, chunks=(1, 1, 1, -1, -1))
        else:
            axes = draw(["rczyx", "xyzcr", "zyxrc"], "axes of the array")
            given = {"fov": [fov]}
            indices = dict(zip("rcz", labels, strict=True))
            planes = xr.DataArray(array, indices, list("rczyx")).transpose(*axes)
        yield sf.as_fetcher(planes, labels=given, coordinates=coordinates), None
    elif kind in REMOTE:
        url = server
        if kind == "memory":
            url = f"memory://{dataset.root.name}"
            for path in dataset.files:
                with fsspec.open(f"{url}/{path}", "wb") as file:
                    file.write((dataset.root / path).read_bytes())
        try:
            with sf.RemoteTiffTileFetcher(
                url, dataset.layout, extent, coordinates=coordinates, dtype=dataset.spec.dtype
            ) as fetcher:
                yield fetcher, None
        finally:
            if kind == "memory":
                fsspec.filesystem("memory").rm(f"/{dataset.root.name}", recursive=True)
    else:
        extents = [dataset.extent(one) for one in dataset.spec.fovs]
        with dataset.fetcher(fov) as fetcher:
            if kind == "spacetx":
                tile_format = draw(["NUMPY", "TIFF"], "tile format")
                sf.to_spacetx(fetcher, extents, folder, tile_format=tile_format)
            else:
                version, chunk = draw(["0.5", "0.4"], "version"), draw([1024, 4], "chunk")
                sf.to_ome_zarr(fetcher, extents, folder, version=version, chunk=chunk)
        make = sf.SpaceTxTileFetcher if kind == "spacetx" else sf.OmeZarrTileFetcher
        yield make(folder), None
