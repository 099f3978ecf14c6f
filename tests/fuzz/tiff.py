"""TiffTileFetcher on TIFF files."""

import io
import logging
import random
import struct
import tempfile
from pathlib import Path

import numpy as np
import tifffile

from starfish_fetch import Extent, Layout, MissingExtraError, SourceError, TiffTileFetcher

from ._poisoned import both_ways
from ._target import Finding, Target, mutate_bytes, refused

SHAPE = (20, 18)
PAGES = 2
NAME = "hostile.tif"
_NUMBERS = (0, 1, 2, 3, 7, 8, 15, 16, 255, 256, 4096, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1)
_TYPES = (1, 2, 3, 4, 5, 7, 11, 12, 13, 16, 17, 18, 0, 99)
_TAGS = (
    254, 256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 317, 322, 323, 324, 325, 330, 338,
    339, 347, 32997, 32998, 270, 305, 33628, 34412, 50838, 50839, 65000,
)  # fmt: skip
_COMPRESSIONS = (1, 2, 3, 4, 5, 6, 7, 8, 32773, 32946, 33003, 34712, 34887, 34892, 34925, 34933,
                 34927, 48124, 50000, 50001, 50002)  # fmt: skip


def _written(**options: object) -> bytes:
    dtype = np.dtype(options.pop("dtype", "u2"))
    pages = options.pop("pages", PAGES)
    pixels = np.arange(1, 1 + pages * SHAPE[0] * SHAPE[1]).reshape(pages, *SHAPE) % 251
    stream = io.BytesIO()
    options.setdefault("metadata", None)
    tifffile.imwrite(stream, pixels.astype(dtype), **{"photometric": "minisblack"} | options)
    return stream.getvalue()


class Tiff(Target):
    """Two planes out of one file."""

    name = "tiff"

    def __init__(self) -> None:
        logging.getLogger("tifffile").disabled = True
        self._folder = tempfile.TemporaryDirectory()
        self._path = Path(self._folder.name, NAME)

    def seeds(self) -> list[bytes]:
        flavours: list[dict[str, object]] = [
            {},
            {"byteorder": ">"},
            {"bigtiff": True},
            {"metadata": {}},
            {"imagej": True, "metadata": {}},
            {"ome": True, "metadata": {"axes": "ZYX"}},
            {"truncate": True, "metadata": {}},
            {"dtype": "u1", "rowsperstrip": 7},
            {"dtype": "u1", "tile": (16, 16), "compression": "zlib"},
            {"dtype": "f4", "compression": "zlib", "predictor": True},
            {"tile": (16, 16), "compression": "lzw", "predictor": True, "byteorder": ">"},
            {"compression": "zstd"},
            {"compression": "packbits", "bigtiff": True, "rowsperstrip": 5},
            {"compression": "lzma"},
            {"dtype": "u1", "compression": "jpeg"},
            {"dtype": "u1", "compression": "jpeg2000"},
            {"dtype": "u1", "compression": "png"},
            {"dtype": "?", "pages": 2},
        ]
        return [_written(**flavour) for flavour in flavours]

    def found(self) -> list[bytes]:
        plain = _written()
        order, _, place = next(iter(entries(plain)))
        twice = bytearray(plain)  # offsets, and then offsets again
        for _, _, place in list(entries(plain))[:20]:
            if struct.unpack_from(order + "H", plain, place)[0] == 277:
                struct.pack_into(order + "HHII", twice, place, 273, 4, 1, 8)
        return [bytes(twice)]

    def declared(self, data: bytes) -> int:
        return PAGES * SHAPE[0] * SHAPE[1] * 16

    def read(self, data: bytes) -> list[np.ndarray | None] | None:
        self._path.write_bytes(data)
        planes = both_ways(self._planes)
        return None if all(plane is None for plane in planes) else planes

    def _planes(self) -> list[np.ndarray | None]:
        rows, columns = SHAPE
        extent = Extent({"y": rows, "x": columns}, 0, [0], [0], range(PAGES))
        planes: list[np.ndarray | None] = []
        with TiffTileFetcher(
            self._folder.name, Layout(NAME, inner=("r", "c", "z")), extent
        ) as fetcher:
            for z in range(PAGES):
                try:
                    plane = fetcher.get_tile(0, 0, 0, z).tile_data()
                except (SourceError, MissingExtraError) as error:
                    refused(error, str(self._path), f"zplane={z}")
                    planes.append(None)
                    continue
                if plane.shape != SHAPE:
                    raise Finding(f"plane {z} has the shape {plane.shape}")
                planes.append(plane)
        return planes

    def check(self, planes: list[np.ndarray | None]) -> None:
        """Compare with tifffile, as far as it gives anything."""
        try:
            theirs = _by_tifffile(self._path)
        except Exception:
            return
        for number, (mine, their) in enumerate(zip(planes, theirs, strict=False)):
            if mine is not None and their is not None and mine.tobytes() != their.tobytes():
                raise Finding(f"plane {number} differs from what tifffile reads")

    def mutate(self, data: bytes, chance: random.Random) -> bytes:
        return mutate_tiff(data, chance)


def mutate_tiff(data: bytes, chance: random.Random) -> bytes:
    """Change bytes, or what a tag says."""
    found = list(entries(data))
    if not found or chance.random() < 0.3:
        return mutate_bytes(data, chance)
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 3))):
        order, big, place = chance.choice(found)
        _mutate_entry(changed, order, big, place, len(data), chance)
    return bytes(changed)


def _by_tifffile(path: Path) -> list[np.ndarray | None]:
    with tifffile.TiffFile(path) as tiff:
        pages = [page for page in tiff.pages if not page.is_reduced]
        if len(pages) != PAGES:
            return []
        planes: list[np.ndarray | None] = []
        for page in pages:
            if page.shaped != (1, 1, *SHAPE, 1):
                return []
            plane = page.asarray().reshape(SHAPE)
            planes.append(plane.astype(plane.dtype.newbyteorder(tiff.byteorder)))
        return planes


def entries(data: bytes):
    """Yield byte order, kind and place of every directory entry, as far as there are some."""
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None or len(data) < 16:
        return
    big = struct.unpack_from(order + "H", data, 2)[0] == 43
    count_form, width, offset_form = ("Q", 20, "Q") if big else ("H", 12, "I")
    (offset,) = struct.unpack_from(order + offset_form, data, 8 if big else 4)
    head = struct.calcsize(count_form)
    for _ in range(16):
        if not 8 <= offset <= len(data) - head:
            return
        (count,) = struct.unpack_from(order + count_form, data, offset)
        end = offset + head + width * count
        if count > 100 or end + struct.calcsize(offset_form) > len(data):
            return
        for number in range(count):
            yield order, big, offset + head + width * number
        yield order, big, end
        (offset,) = struct.unpack_from(order + offset_form, data, end)


def _mutate_entry(
    data: bytearray, order: str, big: bool, place: int, size: int, chance: random.Random
) -> None:
    wide, value = ("Q", 12) if big else ("I", 8)
    number = chance.choice((*_NUMBERS, size, size - 1, size // 2, 2**63, 2**64 - 1))
    form, offset, new = chance.choice(
        (
            ("H", 0, chance.choice(_TAGS)),
            ("H", 2, chance.choice(_TYPES)),
            (wide, 4, number),
            ("H", value, chance.choice((*_COMPRESSIONS, *_NUMBERS))),
            (wide, value, number),
            (wide, 0, number),  # also what leads to the next directory
        )
    )
    width = struct.calcsize(form)
    if place + offset + width <= size:
        struct.pack_into(order + form, data, place + offset, new & (256**width - 1))


TARGET = Tiff
