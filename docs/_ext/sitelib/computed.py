"""Tables whose every number is computed when the site is built."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import accumulate, chain, combinations, permutations, product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import numpy as np
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import synth
from sitelib.caches import KeepsOneFile, opens_by_workers
from starfish_fetch import CropParameters, ImageStack, Layout, LoadPlan, to_dask, to_float32

__all__ = ["ComputedTable", "setup"]

Row = tuple[str, ...]
Names = tuple[str, ...] | None

LAYOUTS = {
    "a file per round": Layout.per_round(),
    "per round, channel": Layout.per_round_ch(),
    "per tile": Layout.per_tile(),
    "one for all": Layout.single_file(),
}
COMPLETE: list[Names] = [*permutations("rcz"), None]
PARTIAL_IN_ORDER = list(chain.from_iterable(combinations("rcz", count) for count in range(1, 4)))
PARTIAL: list[Names] = list(chain.from_iterable(permutations("rcz", count) for count in range(3)))


def _plan(group_by: Names) -> LoadPlan:
    return LoadPlan(*[(0, 1)] * 3, group_by=group_by)


def _code(group_by: Names) -> str:
    if group_by is None:
        return "``None``"
    return f'``"{"".join(group_by)}"``' if group_by else "``()``"


def _tiles(keys: Iterable[tuple[int, ...]]) -> str:
    return " ".join("".join(map(str, key)) for key in keys)


def orders() -> Iterator[Row]:
    """All orders of an image of two rounds, channels and z-planes, with the opens they cost."""
    yield ("``group_by``", *LAYOUTS, "named in part", "tiles as r c z")
    for group_by in COMPLETE:
        plan = _plan(group_by)
        same = [one for one in PARTIAL if group_by and [*_plan(one)] == [*plan]]
        opens = []
        for layout in LAYOUTS.values():
            sources = [layout.path(0, *key) for key in product((0, 1), repeat=3)]
            opens.append(f"{replace(plan, sources=tuple(sources)).predicted_opens()}")
        names = ", ".join(_code(one) for one in same) or "(one source after another)"
        yield (_code(group_by), *opens, names, f"``{_tiles(plan)}``")


def groups() -> Iterator[Row]:
    """The groups of the same image."""
    yield ("axes named", "groups", "tiles in each", "the groups of the first of these")
    for names in ([()], [*permutations("rcz", 1)], [*permutations("rcz", 2)], COMPLETE[:-1]):
        found = [_tiles(group) for group in _plan(names[0]).groups()]
        yield (
            ", ".join(_code(one) for one in names),
            f"{len(found)}",
            f"{8 // len(found)}",
            f"``{' | '.join(found)}``",
        )


def conversion() -> Iterator[Row]:
    """What becomes of each dtype."""
    yield ("dtype", "divided by", "lowest, highest pixel", "first pixels that become one", "bytes")
    for name in ("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"):
        dtype = np.dtype(name)
        limits = np.iinfo(np.uint8) if name == "bool" else np.iinfo(dtype)
        ends = np.array([limits.min, limits.max], np.uint8 if name == "bool" else dtype)
        ends = ends.astype(dtype)
        merged = None if name == "bool" else _first_merged(dtype)
        yield (
            f"``{name}``",
            "1" if name == "bool" else _power(limits.max),
            ", ".join(f"{value:.8g}" for value in to_float32(ends)),
            "none" if merged is None else f"{merged:,} and {merged + 1:,}",
            f"{dtype.itemsize}",
        )
    for name in ("float16", "float32", "float64"):
        dtype = np.dtype(name)
        below = np.nextafter(dtype.type(1), dtype.type(0))
        merged = to_float32(np.array([below])) == 1
        words = f"1 and 1 - {1 - below:.1g}" if merged else "none"
        yield (f"``{name}``", "1", "as they are", words, f"{dtype.itemsize}")


def _power(highest: int) -> str:
    return f"{highest:,}" if highest < 1 << 16 else f"``2**{highest.bit_length()} - 1``"


def _first_merged(dtype: np.dtype[Any]) -> int | None:
    step = 1 << 20
    for start in range(0, min(np.iinfo(dtype).max, 1 << 26), step):
        stop = min(start + step + 1, np.iinfo(dtype).max + 1)
        pixels = to_float32(np.arange(start, stop).astype(dtype))
        same = np.flatnonzero(pixels[1:] == pixels[:-1])
        if len(same):
            return start + int(same[0])
    return None


def memory() -> Iterator[Row]:
    """The peak of some loads of one image, as tracemalloc sees it."""
    yield ("load", "stack, MB", "peak, MB", "beside it, tiles")
    spec = synth.Spec(rounds=4, chs=4, zplanes=4, tile_shape=(512, 512))
    tile = np.dtype(spec.dtype).itemsize * 512 * 512
    with TemporaryDirectory() as folder:
        data = synth.write(spec, Layout.per_round(), folder)
        mapped = np.memmap(Path(folder) / "pixels", np.float32, "w+", shape=(4, 4, 4, 512, 512))
        loads: dict[str, tuple[Any, dict[str, Any]]] = {
            "``TiffTileFetcher``, one worker": (data.fetcher, {"workers": 1}),
            "the same, two workers": (data.fetcher, {"workers": 2}),
            "``dtype=None``": (data.fetcher, {"workers": 1, "dtype": None}),
            "``crop_parameters``: a quarter of the rows": (
                data.fetcher,
                {"workers": 1, "crop_parameters": CropParameters(y_slice=slice(0, 128))},
            ),
            "``out=`` a memmap": (data.fetcher, {"workers": 1, "out": mapped}),
            "a fetcher that keeps one file of 16 tiles": (
                lambda: KeepsOneFile(data), {"workers": 1},
            ),
        }  # fmt: skip
        for name, (make, options) in loads.items():
            _peak(make(), data, options)  # what is imported on first use does not count
            stack, peak = _peak(make(), data, options)
            own = 0 if "out" in options else stack.to_numpy().nbytes
            beyond = (peak - own) / tile
            yield (name, f"{own / 1e6:.1f}", f"{peak / 1e6:.1f}", f"{beyond:.1f}")
        del mapped, options, loads


def _peak(fetcher: Any, data: synth.Dataset, options: dict[str, Any]) -> tuple[ImageStack, int]:
    stack = ImageStack.from_tilefetcher(fetcher, **vars(data.extent()), **options)
    tracemalloc.start()
    try:
        stack.load()
        return stack, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def chunks() -> Iterator[Row]:
    """The chunks of one image, and how often their tasks open its files."""
    yield ("``group_by``", "chunks", "tiles in each", *LAYOUTS)
    spec = synth.Spec(rounds=4, chs=3, zplanes=5, tile_shape=(8, 8))
    tiles = 4 * 3 * 5
    with TemporaryDirectory() as folder:
        images = [
            synth.write(spec, layout, Path(folder, f"{number}"))
            for number, layout in enumerate(LAYOUTS.values())
        ]
        files = [len(image.layout.paths(image.extent())) for image in images]
        yield ("files", "", "", *(f"{count}" for count in files))
        for group_by in (None, (), *PARTIAL_IN_ORDER):
            found = [_chunks_and_opens(image, group_by) for image in images]
            by_file = group_by is None
            yield (
                _code(group_by),
                "by file" if by_file else f"{found[0][0]}",
                "by file" if by_file else f"{tiles // found[0][0]}",
                *(
                    f"**{opens}**" if opens == count else f"{opens}"
                    for (_, opens), count in zip(found, files, strict=True)
                ),
            )


def _chunks_and_opens(image: synth.Dataset, group_by: Names) -> tuple[int, int]:
    """Return how many chunks there are, and the sum of the files that each of them needs."""
    array = to_dask(image.fetcher(), image.extent(), group_by)
    spans = [
        [range(stop - size, stop) for size, stop in zip(sizes, accumulate(sizes), strict=True)]
        for sizes in array.chunks[:3]
    ]
    opens = [
        len({image.layout.path(0, *key) for key in product(*chunk)}) for chunk in product(*spans)
    ]
    return len(opens), sum(opens)


TABLES: dict[str, Callable[[], Iterator[Row]]] = {
    "orders": orders,
    "groups": groups,
    "conversion": conversion,
    "memory": memory,
    "opens-by-workers": opens_by_workers,
    "chunks": chunks,
}


class ComputedTable(SphinxDirective):
    """``.. computed-table:: name``, one of :data:`TABLES`; the first row is the header."""

    required_arguments = 1
    option_spec: ClassVar[dict[str, Any]] = {"class": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        """Return the table, which is made again when this file changes."""
        self.env.note_dependency("_ext/sitelib/computed.py")
        return self.parse_text_to_nodes("\n".join(self._lines()))

    def _lines(self) -> Iterator[str]:
        yield ".. list-table::\n   :header-rows: 1"
        yield f"   :class: {self.options.get('class', 'numbers')}\n"
        for row in TABLES[self.arguments[0]]():
            yield "   * - " + "\n     - ".join(row)


def setup(app: Sphinx) -> None:
    """Add the directive."""
    app.add_directive("computed-table", ComputedTable)
