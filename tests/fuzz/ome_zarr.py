"""OmeZarrTileFetcher, of the attributes of an image and of its array."""

import json
import random
import tempfile
from pathlib import Path

import numpy as np

from starfish_fetch import Layout, OmeZarrTileFetcher, to_ome_zarr
from synth import Spec, write

from ._json import mutate_json
from ._target import Finding, Target, refused

_BETWEEN = b"\n\x1e\n"
_LARGEST = 1 << 20


class OmeZarr(Target):
    """The documents, one behind the other; the chunks are as they were."""

    name = "ome_zarr"

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._root = Path(self._folder.name, "image.zarr")
        spec = Spec(rounds=2, chs=1, zplanes=1, tile_shape=(8, 6))
        with tempfile.TemporaryDirectory() as tiffs:
            data = write(spec, Layout.per_round(), tiffs)
            to_ome_zarr(data.fetcher(), data.extent(), self._root)
        self._documents = sorted(self._root.rglob("zarr.json"))[:2]

    def seeds(self) -> list[bytes]:
        return [_BETWEEN.join(path.read_bytes() for path in self._documents)]

    def found(self) -> list[bytes]:
        (seed,) = self.seeds()
        return [seed.replace(b'"bytes"', b'"' + b"a" * 9000 + b'"')]

    def read(self, data: bytes) -> np.ndarray | None:
        texts = data.split(_BETWEEN)
        for path, text in zip(self._documents, [*texts, b"", b""], strict=False):
            path.write_bytes(text)
        try:
            fetcher = OmeZarrTileFetcher(self._root)
        except (ValueError, OSError) as error:
            refused(error, str(self._root))
            return None
        extent = fetcher.extent
        rows, columns = extent.tile_shape["y"], extent.tile_shape["x"]
        key = extent.rounds[0], extent.chs[0], extent.zplanes[0]
        tile = fetcher.get_tile(extent.fov, *key)
        if rows * columns > _LARGEST:
            return None
        try:
            pixels = tile.tile_data()
        except (ValueError, OSError) as error:
            refused(error, str(self._root), f"round={key[0]}")
            return None
        if pixels.shape != (rows, columns):
            raise Finding(f"a tile has the shape {pixels.shape}; said was {rows, columns}")
        return pixels

    def declared(self, data: bytes) -> int:
        return len(data) + 8 * _LARGEST

    def check(self, found: np.ndarray) -> None:
        json.dumps(found.shape)

    def mutate(self, data: bytes, chance: random.Random) -> bytes:
        texts = data.split(_BETWEEN)
        number = chance.randrange(len(texts))
        texts[number] = mutate_json(texts[number], chance)
        return _BETWEEN.join(texts)


TARGET = OmeZarr
