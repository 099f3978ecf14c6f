"""Layout, of any template."""

import posixpath
import random

from starfish_fetch import Extent, Layout

from ._target import Finding, Target, mutate_bytes, refused

_PIECES = (
    "{r}", "{c}", "{z}", "{fov}", "{r:03d}", "{c:x}", "{z:>9}", "{r!r}", "{r.real}", "{r[0]}", "{}",
    "{0}", "{{", "}}", "{r:c}", "{r:{c}}", "..", "/", "\\", "//", ".", "%s", "\0", "{z:/^9}", "é",
    "{r:99999999999}", "{r:,}", "{r:_d}", "{r:+}", "{r:n}", "{r:e}", "{r:%}", "{r:s}", " ", ":",
    "{r:#b}", "{r:0255}", "{r:.3}", "{r: }", "{r:z}",
)  # fmt: skip
_EXTENT = Extent({"y": 2, "x": 2}, 0, [0, 1, 300], [0, 7], [-3, 2])


class LayoutTemplate(Target):
    """A template, and the axes inside of files before its first tab."""

    name = "layout"
    longest = 1 << 12

    def seeds(self) -> list[bytes]:
        layouts = [
            Layout.per_round(), Layout.per_ch(), Layout.per_zplane(), Layout.per_tile(),
            Layout.single_file(), Layout("fov{fov}/r{r:02d}/c{c:x}.tiff", inner="z"),
        ]  # fmt: skip
        return ["\t".join(["".join(one.inner), one.template]).encode() for one in layouts]

    def found(self) -> list[bytes]:
        return [b"rcz\t.", b"9" * 2000, b"rcz\ta/.", b"rcz\t" + b"\xff" * 3000 + b"\\"]

    def read(self, data: bytes) -> Layout | None:
        inner, _, template = data.decode("utf-8", "surrogateescape").partition("\t")
        try:
            return Layout(template, tuple(inner))
        except ValueError as error:
            refused(error)
            return None

    def check(self, found: Layout) -> None:
        try:
            files = list(found.files(_EXTENT))
        except ValueError as error:
            refused(error, "layout ")
            return
        paths = {path for path, _, _ in files}
        tiles = [tile for _, _, tiles in files for tile in tiles]
        if len(paths) != len(files) or sorted(set(tiles)) != sorted(tiles) or len(tiles) != 12:
            raise Finding("two tiles are in one place, or one is nowhere")
        for path in paths:
            full = posixpath.normpath(posixpath.join("/data", path))
            if not full.startswith("/data/") or len(path) > 100 * len(found.template) + 1024:
                raise Finding(f"{path!r:.200} is no path below the root")

    def mutate(self, data: bytes, chance: random.Random) -> bytes:
        if chance.random() < 0.3:
            return mutate_bytes(data, chance)
        place = chance.randrange(len(data) + 1)
        stop = place + chance.choice((0, 0, 1, 3))
        return data[:place] + chance.choice(_PIECES).encode() + data[stop:]


TARGET = LayoutTemplate
