"""NpyTileFetcher on ``.npy`` files."""

import io
import random
import struct
import tempfile
import warnings
from pathlib import Path

import numpy as np

from starfish_fetch import Extent, Layout, NpyTileFetcher, SourceError

from ._poisoned import both_ways
from ._target import Finding, Target, mutate_bytes, refused

SHAPE = (20, 18)
PAGES = 2
NAME = "hostile.npy"
_WIDEST = 16
_WHOLE = (PAGES, *SHAPE)
_SHAPES = (
    _WHOLE, (PAGES, 1, *SHAPE), (1, *_WHOLE), (-1, -PAGES, *SHAPE), (-PAGES, *SHAPE), SHAPE, (),
    (PAGES, SHAPE[1], SHAPE[0]), (720,), (0, *SHAPE), (10**6, *SHAPE), (2**62, *SHAPE),
    (2**64, *SHAPE), (10**4000, *SHAPE), (10**4000, 10**4000, *SHAPE),
    (PAGES, 2**40, 2**40), (1,) * 40 + _WHOLE, (2.0, *SHAPE), (True, *_WHOLE), "(2, 20, 18",
    [*_WHOLE], None,
)  # fmt: skip
_DTYPES = (
    "|u1", "<u2", ">u2", "<i4", "<f4", ">f8", "<f2", "|b1", "|O", "|V8", "|V999999999", "<M8[ns]",
    "<U3", "|S2", "<c8", "<f16", "u1,u1", "(2,)u1", "", "u", "=u2", "<u3", "a" * 3000, 5, None, [],
    [("a", "<u2")], [("a", "|O")], [("a", "<u2", (3,))], ("<u2", (2,)), {"a": 1},
)  # fmt: skip
_TEXTS = ("(" * 300, "[" * 5000, "-" * 9000, "{**1}", "'\\x00'", "1 if 1 else 2", "9" * 9000, "\n")


class Npy(Target):
    """Two planes out of one file."""

    name = "npy"

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._path = Path(self._folder.name, NAME)

    def seeds(self) -> list[bytes]:
        dtypes = ["u1", "<u2", ">u2", "<i4", "<f4", ">f8"]
        seeds = [_written((1, 0), "<u2", (PAGES, 1, *SHAPE))]
        return seeds + [
            _written(version, dtype) for version in ((1, 0), (2, 0)) for dtype in dtypes
        ]

    def found(self) -> list[bytes]:
        seeds = [_written((1, 0), dtype) for dtype in ("<u2", "|u1")]
        return [
            _headed(seeds[0], "<u2", False, (-1, -PAGES, *SHAPE)),
            _headed(seeds[0], "<u2", False, (10**4000, *SHAPE)),
            _headed(seeds[0], "<u2", False, (10**4000, 10**4000, *SHAPE)),
            _headed(seeds[0], "<u2", False, (1,) * 3000),
            _headed(seeds[0], "<u2", False, (True, *_WHOLE)),
            seeds[1].replace(b"False", b"+" * 5),
        ]

    def declared(self, data: bytes) -> int:
        return PAGES * SHAPE[0] * SHAPE[1] * _WIDEST

    def read(self, data: bytes) -> tuple[bytes, list[np.ndarray | None]] | None:
        self._path.write_bytes(data)
        planes = both_ways(self._planes)
        return None if all(plane is None for plane in planes) else (data, planes)

    def _planes(self) -> list[np.ndarray | None]:
        rows, columns = SHAPE
        extent = Extent({"y": rows, "x": columns}, 0, [0], [0], range(PAGES))
        planes: list[np.ndarray | None] = []
        with NpyTileFetcher(
            self._folder.name, Layout(NAME, inner=("r", "c", "z")), extent
        ) as fetcher:
            for z in range(PAGES):
                try:
                    planes.append(fetcher.get_tile(0, 0, 0, z).tile_data())
                except SourceError as error:
                    refused(error, str(self._path), f"zplane={z}")
                    planes.append(None)
        return planes

    def check(self, found: tuple[bytes, list[np.ndarray | None]]) -> None:
        """Compare with numpy, which refuses all of a file that is cut: so it is given more."""
        data, planes = found
        more = bytes(PAGES * SHAPE[0] * SHAPE[1] * _WIDEST)
        try:
            theirs = np.load(io.BytesIO(data + more), allow_pickle=False)
        except Exception as error:
            raise Finding("a plane was read of what numpy refuses") from error
        if theirs.size != np.prod(_WHOLE) or theirs.shape[-2:] != SHAPE:
            raise Finding(f"planes were read of an array of the shape {theirs.shape}")
        for number, (mine, their) in enumerate(zip(planes, theirs.reshape(_WHOLE), strict=True)):
            if mine is None:
                continue
            if mine.dtype != their.dtype or mine.tobytes() != their.tobytes():
                raise Finding(f"plane {number} differs from what numpy reads")

    def mutate(self, data: bytes, chance: random.Random) -> bytes:
        return mutate_npy(data, chance)


def mutate_npy(data: bytes, chance: random.Random) -> bytes:
    """Change bytes, or what a header says."""
    kind = chance.random()
    if kind < 0.4:
        return mutate_bytes(data, chance)
    if kind < 0.6:
        place, text = chance.randrange(len(data) + 1), chance.choice(_TEXTS).encode()
        return data[:place] + text + data[place + chance.randrange(3) :]
    descr, shape = chance.choice(_DTYPES[:8]), _WHOLE
    if chance.random() < 0.5:
        descr = chance.choice(_DTYPES)
    else:
        shape = chance.choice(_SHAPES)
    return _headed(data, descr, chance.random() < 0.1, shape, chance)


def _written(version: tuple[int, int], dtype: str, shape: tuple[int, ...] = _WHOLE) -> bytes:
    stream = io.BytesIO()
    pixels = np.arange(1, 1 + np.prod(shape)).reshape(shape) % 251
    with warnings.catch_warnings():  # of versions that not everybody reads
        warnings.simplefilter("ignore")
        np.lib.format.write_array(stream, pixels.astype(dtype), version=version)
    return stream.getvalue()


def _headed(
    data: bytes,
    descr: object,
    columns_first: bool,
    shape: object,
    chance: random.Random | None = None,
) -> bytes:
    """Return what stands behind a header behind another, which may lie about its length."""
    major, wrong = 1, 0
    if chance is not None:
        major = chance.choice((1, 1, 1, 2, 2, 3, 0, 255))
        wrong = chance.choice((0, 0, 0, 0, 0, 1, -1, 2**15, 2**31))
    header = repr({"descr": descr, "fortran_order": columns_first, "shape": shape}).encode()
    header += b" " * (-len(header) % 64) + b"\n"
    size = max(0, len(header) + wrong)
    length = (
        struct.pack("<H", size & 0xFFFF) if major == 1 else struct.pack("<I", size & 0xFFFFFFFF)
    )
    return b"\x93NUMPY" + bytes((major, 0)) + length + header + data[data.find(b"\n") + 1 :]


TARGET = Npy
