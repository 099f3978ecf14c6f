"""SpaceTxTileFetcher, of the three documents of an experiment."""

import random
import tempfile
from pathlib import Path

import numpy as np

from starfish_fetch import Layout, SpaceTxTileFetcher, to_spacetx
from synth import Spec, write

from ._json import mutate_json
from ._target import Finding, Target, refused

_BETWEEN = b"\n\x1e\n"


class SpaceTxJson(Target):
    """The documents, one behind the other; the tile files are as they were."""

    name = "spacetx_json"

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        root = Path(self._folder.name)
        spec = Spec(rounds=2, chs=1, zplanes=1, tile_shape=(8, 6))
        with tempfile.TemporaryDirectory() as tiffs:
            data = write(spec, Layout.per_round(), tiffs)
            to_spacetx(data.fetcher(), data.extent(), root / "experiment")
        self._tiles = {data.tile(r, 0, 0).tobytes() for r in range(2)}
        self._documents = sorted((root / "experiment").rglob("*.json"))
        self._seed = _BETWEEN.join(path.read_bytes() for path in self._documents)

    def seeds(self) -> list[bytes]:
        return [self._seed]

    def found(self) -> list[bytes]:
        changes = [("primary.json", text) for text in ("a" * 5000, "\\ud800.json", "%ED%A0%80")]
        changes.append(('"primary"', f'"{"a" * 5000}"'))
        changes.append(('"primary": "primary.json"', f'"{"9" * 5000}": 9'))
        return [self._seed.replace(*(one.encode() for one in change)) for change in changes]

    def read(self, data: bytes) -> list[np.ndarray] | None:
        texts = data.split(_BETWEEN)
        for path, text in zip(self._documents, [*texts, b"", b"", b""], strict=False):
            path.write_bytes(text)
        root = Path(self._folder.name, "experiment")
        try:
            fetcher = SpaceTxTileFetcher(root)
            keys = list(fetcher._tiles_of(fetcher.fovs[0]))[:4]
        except (ValueError, OSError) as error:
            refused(error, str(root))
            return None
        tiles = []
        for key in keys:
            try:
                tiles.append(fetcher.get_tile(fetcher.fovs[0], *key).tile_data())
            except (ValueError, OSError) as error:
                refused(error, str(root), f"round={key.round}")
        return tiles

    def check(self, found: list[np.ndarray]) -> None:
        if {tile.tobytes() for tile in found} - self._tiles:
            raise Finding("a tile has pixels that no file gave")

    def mutate(self, data: bytes, chance: random.Random) -> bytes:
        texts = data.split(_BETWEEN)
        number = chance.randrange(len(texts))
        texts[number] = mutate_json(texts[number], chance)
        return _BETWEEN.join(texts)


TARGET = SpaceTxJson
