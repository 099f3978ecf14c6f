"""synth.Dataset.verify, of datasets of which one file is not what was written."""

import io
import logging
import random
import struct
import tempfile
from pathlib import Path

import tifffile

from starfish_fetch import Layout
from synth import Spec, Spots, Verification, write

from ._target import Finding, Target
from .npy import mutate_npy
from .tiff import entries, mutate_tiff

_SPEC = Spec(2, 1, 2, (16, 18), content="index")
_WAYS: tuple[dict[str, object], ...] = (
    {"ome": False},
    {},
    {"format": "imagej"},
    {"format": "npy"},
    {"compression": "deflate", "predictor": True, "rows_per_strip": 5},
    {"compression": "zstd", "tiff_tile": (16, 16)},
    {"compression": "lzw", "bigtiff": True, "byteorder": ">"},
)
_FOUND = "tiff_tile", "bigtiff"


def _layout(options: dict[str, object]) -> Layout:
    return Layout("r{r}.npy" if options.get("format") == "npy" else "r{r}.tiff", inner="zc")


def _with_tags(data: bytes, count: int, value: int, *codes: int) -> bytes:
    changed = bytearray(data[1:])
    for order, _, place in list(entries(data[1:])):
        if struct.unpack_from(order + "H", changed, place)[0] in codes:
            struct.pack_into(order + "HII", changed, place + 2, 4, count, value)
    return data[:1] + changed


class Verify(Target):
    """One file of several datasets: a byte that says which, and what is in it."""

    name = "verify"

    def __init__(self) -> None:
        logging.getLogger("tifffile").disabled = True
        self._folder = tempfile.TemporaryDirectory()
        root = Path(self._folder.name)
        datasets = [
            write(_SPEC, _layout(options), root / str(number), **options)
            for number, options in enumerate(_WAYS)
        ]
        spots = Spec(2, 2, 1, (16, 18), content="spots", spots=Spots(targets=["a", "b"], nuclei=2))
        datasets.append(write(spots, _layout({}), root / "spots"))
        self._files = [
            (dataset, path)
            for dataset in datasets
            for path in sorted(path for path in dataset.root.iterdir())
            if path.name != "dataset.json"
        ]
        self._whole = [path.read_bytes() for _, path in self._files]

    def seeds(self) -> list[bytes]:
        return [bytes([number]) + whole for number, whole in enumerate(self._whole)]

    def found(self) -> list[bytes]:
        seeds = self.seeds()
        tiled, lzw = (next(n for n, one in enumerate(_WAYS) if key in one) for key in _FOUND)
        found = [_with_tags(seeds[2 * tiled], 1, side, 322, 323) for side in (4096, 65520)]
        found.append(_with_tags(seeds[0], 300, 8, 256))
        deflate = next(n for n, one in enumerate(_WAYS) if "rows_per_strip" in one)
        found += [_with_tags(seeds[2 * n], 1, 2**31 - 1, 279, 325) for n in (deflate, tiled)]
        head, rest = seeds[2 * lzw][:1], bytearray(seeds[2 * lzw][1:])
        with tifffile.TiffFile(io.BytesIO(rest)) as tiff:
            rest[tiff.pages.first.dataoffsets[0] + 1] = 0x7F  # the first code of a table: 508
        return [*found, head + rest]

    def declared(self, data: bytes) -> int:
        return len(data) + sum(map(len, self._whole))

    def read(self, data: bytes) -> Verification | None:
        number = (data[0] if data else 0) % len(self._files)
        dataset, path = self._files[number]
        path.write_bytes(data[1:])
        try:
            found = dataset.verify()
            self._judge(found, path, data[1:], self._whole[number])
        finally:
            path.write_bytes(self._whole[number])
        return None if any("cannot be read" in one.message for one in found.problems) else found

    def _judge(self, found: Verification, path: Path, data: bytes, whole: bytes) -> None:
        named = {one.path for one in found.problems}
        if data != whole and not named and path.name.startswith("nuclei"):
            # Of an image of nuclei the pixels count: other tags around them are no problem.
            if (tifffile.imread(path) != tifffile.imread(io.BytesIO(whole))).any():
                raise Finding(f"{path.name} has other pixels, and is not named")
        elif named != ({path.name} if data != whole else set()):
            raise Finding(f"{path.name} was changed, and {sorted(named)} are named")
        for problem in found.problems:
            if len(str(problem)) > 1000:
                raise Finding(f"{len(str(problem))} characters: {problem!s:.200}")

    def mutate(self, data: bytes, chance: random.Random) -> bytes:
        head, rest = data[:1], data[1:]
        if rest.startswith(b"\x93NUMPY"):
            return head + mutate_npy(rest, chance)
        return head + mutate_tiff(rest, chance)


TARGET = Verify
