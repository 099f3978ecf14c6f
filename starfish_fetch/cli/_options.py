"""Values that options take, and the options that several commands share."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from starfish_fetch.cli._errors import asked

if TYPE_CHECKING:
    from starfish_fetch.layout import Layout
    from synth import Spec, Spots

    _ParamType = click.ParamType[Any]
else:
    _ParamType = click.ParamType

__all__ = [
    "COMPRESSION",
    "INNER",
    "LABELS",
    "LABELS_SYNTAX",
    "NAMED_LAYOUTS",
    "ORDER",
    "OUTPUT",
    "PRESETS",
    "RANGE",
    "SELECTION",
    "SIZE",
    "compression_from",
    "fetched_image_options",
    "image_options",
    "json_option",
    "layout_from",
    "spec_from",
]

LABELS_SYNTAX = (
    "Labels are a count (4 stands for 0,1,2,3), a list (0,2,5), a range with both its ends (1-4), "
    "or a list of both (0,2-5). Of negative labels, ranges are written -3..5, and a single label "
    "with a comma after it (-5,)."
)
_MOST_LABELS = 1_000_000
_ITEM = re.compile(r"\s*([+-]?[0-9]+)\s*(?:(?:\.\.|-)\s*([+-]?[0-9]+)\s*)?")
PRESETS = ("per-round", "per-round-ch", "per-tile", "single-file")
NAMED_LAYOUTS = (*PRESETS, "per-ch", "per-zplane")

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


class _Labels(_ParamType):
    name = "labels"

    def __init__(self, *, counts: bool) -> None:
        self._counts = counts

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        items = [item for item in str(value).split(",") if item.strip()]
        matches = [_ITEM.fullmatch(item) for item in items]
        if not items or None in matches:
            self.fail(f"{value!r} is neither a count (4), a list (0,2,5) nor a range (1-4)")
        labels: list[int] = []
        for match in matches:
            assert match is not None
            first = int(match.group(1))
            last = first if match.group(2) is None else int(match.group(2))
            if self._counts and match.group(2) is None and "," not in value:
                first, last = 0, first - 1
                if last < 0:
                    self.fail(
                        f"{value!r} has no labels: a bare number counts them; a single label is "
                        f"written with a comma after it ({value.strip()},)"
                    )
            if last < first:
                self.fail(f"{value!r} has no labels in {match.group().strip()!r}")
            if len(labels) + last - first >= _MOST_LABELS:
                self.fail(f"{value!r} names more than {_MOST_LABELS:,} labels")
            labels += range(first, last + 1)
        return tuple(labels)


class _Size(_ParamType):
    name = "YxX"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"\s*([0-9]+)\s*(?:[xX×]\s*([0-9]+)\s*)?", value)  # noqa: RUF001
        rows, columns = (
            (int(size or match.group(1)) for size in match.groups()) if match else (0, 0)
        )
        if not rows or not columns:
            self.fail(f"{value!r} is no tile size: write rows x columns (120x30), or N for NxN")
        return rows, columns


class _VoxelSize(_ParamType):
    name = "ZxYxX"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        if isinstance(value, tuple):
            return value
        try:
            size_z, size_y, size_x = map(float, re.split("[xX×]", value))  # noqa: RUF001
        except ValueError:
            self.fail(f"{value!r} is no voxel size: write ZxYxX in micrometres (1x0.5x0.5)")
        return size_z, size_y, size_x


class _Range(_ParamType):
    name = "A:B"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> slice:
        if isinstance(value, slice):
            return value
        match = re.fullmatch(r"\s*(-?[0-9]+)?\s*:\s*(-?[0-9]+)?\s*", value)
        if match is None:
            self.fail(f"{value!r} is no range: write A:B, of which either may be left out")
        return slice(*(None if end is None else int(end) for end in match.groups()))


class _Order(_ParamType):
    name = "axes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from starfish_fetch.plan import parse_group_by

        if isinstance(value, tuple) or value.strip().lower() == "none":
            return value if isinstance(value, tuple) else None
        try:
            return parse_group_by([axis.strip() for axis in value.split(",")])
        except ValueError as error:
            self.fail(f"{error}; write axes with commas between them (r,c), or none")


class _Inner(_ParamType):
    name = "axes"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        return tuple(axis.strip() for axis in value.split(",") if axis.strip())


LABELS = _Labels(counts=True)
SELECTION = _Labels(counts=False)
SIZE = _Size()
RANGE = _Range()
ORDER = _Order()
INNER = _Inner()
OUTPUT = click.Path(dir_okay=False, writable=True, path_type=Path)
COMPRESSION = click.Choice(["none", "deflate", "zlib", "lzw", "zstd"])

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


def image_options(defaults: dict[str, str]) -> Callable[[Decorated], Decorated]:
    """Return a decorator that adds the options of an image, with these defaults for its size."""

    def labels(name: str, words: str) -> Callable[[Decorated], Decorated]:
        return click.option(
            f"--{name}",
            type=LABELS,
            default=defaults[name],
            show_default=True,
            help=words,
        )

    return _all(
        labels("rounds", "Labels of the imaging rounds."),
        labels("chs", "Labels of the channels."),
        labels("zplanes", "Labels of the z-planes."),
        click.option(
            "--size",
            type=SIZE,
            metavar="YxX",
            default=defaults["size"],
            show_default=True,
            help="Rows x columns of a tile, or N for NxN.",
        ),
        click.option(
            "--voxel-size",
            type=_VoxelSize(),
            metavar="ZxYxX",
            default="1x0.5x0.5",
            show_default=True,
            help="Of a voxel along z, y and x, in micrometres.",
        ),
        click.option(
            "--dtype", default="uint16", show_default=True, help="Of the pixels, as numpy names it."
        ),
        click.option(
            "--content",
            default="random",
            show_default=True,
            metavar="random|index|spots",
            help="What the pixels hold: noise, where they belong, or an in-situ experiment.",
        ),
        click.option(
            "--seed", type=int, default=0, show_default=True, help="Selects the random image."
        ),
        click.option(
            "--compression",
            type=COMPRESSION,
            default="none",
            show_default=True,
            help="Of the TIFF files; lzw and zstd need imagecodecs.",
        ),
    )


def _all(*options: Callable[[Decorated], Decorated]) -> Callable[[Decorated], Decorated]:
    """Return a decorator that adds options, the first first."""

    def decorate(function: Decorated) -> Decorated:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def fetched_image_options(*, like: str, fovs: bool = False) -> Callable[[Decorated], Decorated]:
    """Add the options that say which image a fetcher is of: a dataset, or labels and a size."""
    fov = click.option(
        "--fov",
        type=int,
        help="Label of the field of view.  [default: the dataset's first, or 0]",
    )
    several = click.option(
        "--fovs",
        type=LABELS,
        help="Labels of the fields of view.  [default: all of the dataset, or 0]",
    )
    return _all(
        click.option("--like", type=click.Path(path_type=Path), help=like),
        click.option("--rounds", type=LABELS, help="Labels of the rounds."),
        click.option("--chs", type=LABELS, help="Labels of the channels."),
        click.option("--zplanes", type=LABELS, help="Labels of the z-planes."),
        click.option(
            "--size", type=SIZE, metavar="YxX", help="Rows x columns of a tile, or N for NxN."
        ),
        several if fovs else fov,
    )


def spec_from(
    *,
    rounds: Sequence[int],
    chs: Sequence[int],
    zplanes: Sequence[int],
    size: tuple[int, int],
    voxel_size: tuple[float, float, float],
    dtype: str,
    content: str,
    seed: int,
    fovs: Sequence[int] = (0,),
    spots: Spots | None = None,
) -> Spec:
    """Return the image that the options describe."""
    from synth import Spec

    with asked():
        return Spec(
            rounds,
            chs,
            zplanes,
            size,
            fovs=fovs,
            dtype=dtype,
            content=content,
            seed=seed,
            voxel_size=voxel_size,
            spots=spots,
        )


def layout_from(name: str, inner: tuple[str, ...] | None, suffix: str = ".tiff") -> Layout:
    """Return the layout that a preset's name, or a template and its inner axes, mean."""
    from starfish_fetch.layout import Layout

    preset = name.strip().lower().replace("_", "-")
    if preset in NAMED_LAYOUTS:
        if inner is not None:
            raise click.UsageError(f"--inner goes with a template; {preset!r} has inner axes")
        layout: Layout = getattr(Layout, preset.replace("-", "_"))(suffix)
        return layout
    if "{" not in name:
        raise click.UsageError(
            f"--layout: {name!r} is neither {', '.join(NAMED_LAYOUTS)} nor a template, which has "
            "fields in braces, such as 'r{r}_c{c}.tiff'; all in one file is single-file, or "
            "'fov{fov}.tiff' with --inner r,c,z"
        )
    with asked("--layout"):
        return Layout(name, inner or ())  # type: ignore[arg-type]


def compression_from(compression: str) -> str | None:
    """Return what the library calls a choice of compression."""
    return None if compression == "none" else compression
