"""What reading a plane takes of memory at most, C included: run as a script, on Linux.

Reads a list of [path, rows, columns, planes] from stdin, reads the last plane of each file in a
process of its own, and writes for each how many bytes that took.
"""

import json
import os
import sys
from contextlib import suppress

import numpy as np
import tifffile
from fuzz._target import resident_peak

from starfish_fetch import Extent, Layout, SourceError, TiffTileFetcher


def read(path: str, rows: int, columns: int, planes: int) -> None:
    folder, name = os.path.split(path)
    extent = Extent({"y": rows, "x": columns}, 0, [0], [0], range(planes))
    layout = Layout(name, inner="rcz")
    with TiffTileFetcher(folder, layout, extent) as fetcher, suppress(SourceError):
        fetcher.get_tile(0, 0, 0, planes - 1).tile_data()


def peak_of(arguments: list) -> int | None:
    """Return what it takes; None if the process that reads it ends otherwise than it should."""
    source, target = os.pipe()
    child = os.fork()
    if not child:
        with resident_peak() as found:
            read(*arguments)
        os.write(target, str(found[0]).encode())
        os._exit(0)
    os.close(target)
    with open(source) as said:
        text = said.read()
    os.waitpid(child, 0)
    return int(text) if text else None


if __name__ == "__main__":
    jobs = json.load(sys.stdin)
    folder = sys.argv[1]
    # What is imported for a codec is not counted.
    for codec in (None, "zlib", "lzw", "zstd", "packbits", "lzma", "jpeg", "jpeg2000", "png"):
        path = os.path.join(folder, "small.tif")
        tifffile.imwrite(path, np.zeros((16, 16), np.uint8), compression=codec)
        read(path, 16, 16, 1)
    print(json.dumps([peak_of(job) for job in jobs]))
