"""Hypothesis strategies for images, for how they lie in files and for how they are loaded.

Every argument is itself a strategy; for one value, give ``hypothesis.strategies.just(value)``.
Everything shrinks towards the image of one tile of one pixel, in one file, in the order r, c, z.

Examples
--------
A test that holds for any image in any layout, of whose files each is opened once at most:

>>> import hypothesis, starfish_fetch as sf
>>> from starfish_fetch.testing import strategies as sfst
>>> @hypothesis.settings(max_examples=5, database=None, deadline=None)
... @hypothesis.given(dataset=sfst.datasets(), group_by=sfst.group_bys())
... def test_no_file_is_opened_twice(dataset, group_by):
...     extent = dataset.extent(dataset.spec.fovs[0])
...     with dataset.fetcher() as fetcher, sf.trace(dataset.root) as seen:
...         sf.ImageStack.from_tilefetcher(fetcher, **vars(extent), group_by=group_by).load()
...     assert set(seen.by_source.values()) == {1}
>>> test_no_file_is_opened_twice()
"""

from __future__ import annotations

import shutil
import tempfile
from importlib.util import find_spec
from typing import Any

import numpy as np

import synth
from starfish_fetch.axes import PLANES, Axes, Extent
from starfish_fetch.errors import require
from starfish_fetch.layout import Layout
from synth.spec import CONTENTS, DTYPES

try:
    from hypothesis import note
    from hypothesis import strategies as st
    from hypothesis.control import cleanup
    from hypothesis.errors import InvalidArgument
    from hypothesis.strategies import DrawFn, SearchStrategy
except ImportError as error:
    raise require("hypothesis", "testing", "starfish_fetch.testing.strategies") from error

__all__ = [
    "datasets",
    "dtypes",
    "extents",
    "group_bys",
    "labels",
    "layouts",
    "specs",
    "tile_shapes",
    "write_options",
]


def _refuse_values(function: str, **arguments: object) -> None:
    for name, given in arguments.items():
        if not isinstance(given, SearchStrategy):
            remedy = "call it" if callable(given) else f"give hypothesis.strategies.just({given!r})"
            raise InvalidArgument(
                f"{function}() takes a strategy for {name}, not a value; got {given!r}: {remedy}"
            )


_BOOLEANS = st.booleans()

_LABEL_VALUES = st.integers(-12, 112)
_LABEL_SIZES = st.integers(1, 3)


def labels(
    *, values: SearchStrategy[int] = _LABEL_VALUES, sizes: SearchStrategy[int] = _LABEL_SIZES
) -> SearchStrategy[list[int]]:
    """Return a strategy for the labels of an axis: different ints, in any order.

    Parameters
    ----------
    values : strategy of int, optional
        Each label. Default: some negative, of one to three digits.
    sizes : strategy of int, optional
        How many. Default: 1 to 3.

    Examples
    --------
    >>> import hypothesis
    >>> hypothesis.find(labels(), lambda given: len(given) == 2)
    [0, 1]
    """
    _refuse_values("labels", values=values, sizes=sizes)
    return _labels(values, sizes)


@st.composite
def _labels(draw: DrawFn, values: SearchStrategy[int], sizes: SearchStrategy[int]) -> list[int]:
    size = draw(sizes, label="how many labels")
    return draw(st.lists(values, min_size=size, max_size=size, unique=True), label="labels")


_LABELS = labels()
_ONE_LABEL = st.integers(0, 3)
_LARGEST_SIDE = 19
_PIXELS = st.integers(1, _LARGEST_SIDE)


def tile_shapes(
    *, rows: SearchStrategy[int] = _PIXELS, columns: SearchStrategy[int] = _PIXELS
) -> SearchStrategy[tuple[int, int]]:
    """Return a strategy for (rows, columns) of a tile, in pixels.

    Parameters
    ----------
    rows, columns : strategy of int, optional
        Default: 1 to 19.
    """
    _refuse_values("tile_shapes", rows=rows, columns=columns)
    return st.tuples(rows, columns)


_TILE_SHAPES = tile_shapes()
_INDEX_TILE_SIDE = 8
_KINDS = st.sampled_from("uif")
_NATIVE = st.just("=")


def dtypes(
    *, kinds: SearchStrategy[str] = _KINDS, byte_orders: SearchStrategy[str] = _NATIVE
) -> SearchStrategy[np.dtype[Any]]:
    """Return a strategy for dtypes of pixels.

    Parameters
    ----------
    kinds : strategy of {"u", "i", "f"}, optional
        Unsigned and signed integers of 8 to 64 bits, floats of 16 to 64. Default: any.
    byte_orders : strategy of {"=", "<", ">"}, optional
        Default: the machine's own.

    Examples
    --------
    >>> import hypothesis
    >>> hypothesis.find(dtypes(), lambda dtype: True)
    dtype('uint8')
    """
    _refuse_values("dtypes", kinds=kinds, byte_orders=byte_orders)
    return _dtypes(kinds, byte_orders)


@st.composite
def _dtypes(
    draw: DrawFn, kinds: SearchStrategy[str], byte_orders: SearchStrategy[str]
) -> np.dtype[Any]:
    kind = draw(kinds, label="kind")
    dtype = draw(
        st.sampled_from([one for one in map(np.dtype, DTYPES) if one.kind == kind]), label="dtype"
    )
    order: Any = draw(byte_orders, label="byte order")
    swapped: np.dtype[Any] = dtype.newbyteorder(order)
    return swapped


_DTYPES = dtypes()


def extents(
    *,
    tile_shapes: SearchStrategy[tuple[int, int]] = _TILE_SHAPES,
    fovs: SearchStrategy[int] = _ONE_LABEL,
    rounds: SearchStrategy[list[int]] = _LABELS,
    chs: SearchStrategy[list[int]] = _LABELS,
    zplanes: SearchStrategy[list[int]] = _LABELS,
) -> SearchStrategy[Extent]:
    """Return a strategy for extents: the labels and the tile shape of one image.

    Parameters
    ----------
    tile_shapes : strategy of (int, int), optional
        As of :func:`tile_shapes`.
    fovs : strategy of int, optional
        The field of view.
    rounds, chs, zplanes : strategy of list of int, optional
        As of :func:`labels`.

    Examples
    --------
    >>> import hypothesis
    >>> smallest = hypothesis.find(extents(), lambda extent: True)
    >>> smallest.rounds, smallest.chs, smallest.zplanes, smallest.fov
    ((0,), (0,), (0,), 0)
    """
    _refuse_values(
        "extents", tile_shapes=tile_shapes, fovs=fovs, rounds=rounds, chs=chs, zplanes=zplanes
    )
    shapes = tile_shapes.map(lambda shape: dict(zip((Axes.Y, Axes.X), shape, strict=True)))
    return st.builds(Extent, shapes, fovs, rounds, chs, zplanes)


_LENGTHS = st.integers(0, len(PLANES))


def group_bys(
    *, lengths: SearchStrategy[int] = _LENGTHS
) -> SearchStrategy[tuple[Axes, ...] | None]:
    """Return a strategy for ``group_by``: None, or some of r, c, z in any order.

    Parameters
    ----------
    lengths : strategy of int, optional
        How many axes it names, where it is not None. Default: 0 to 3.
    """
    _refuse_values("group_bys", lengths=lengths)
    return st.none() | _orders(lengths)


@st.composite
def _orders(draw: DrawFn, lengths: SearchStrategy[int]) -> tuple[Axes, ...]:
    length = draw(lengths, label="axes named")
    return tuple(draw(st.permutations(PLANES), label="axes")[:length])


_SPECIFICATIONS = st.sampled_from(["", ":03d", ":+d", ":>4", ":x"])
_SEPARATORS = st.sampled_from("_/")


def layouts(
    *,
    specifications: SearchStrategy[str] = _SPECIFICATIONS,
    separators: SearchStrategy[str] = _SEPARATORS,
    names_fov: SearchStrategy[bool] = _BOOLEANS,
) -> SearchStrategy[Layout]:
    """Return a strategy for layouts: any split of r, c, z into path and file, in any order.

    Parameters
    ----------
    specifications : strategy of str, optional
        Of each field in the path, with the colon. By default no two labels have one text.
    separators : strategy of str, optional
        What stands between the fields: an underscore, or a slash, for folders.
    names_fov : strategy of bool, optional
        Whether the path has the field of view too.

    Examples
    --------
    >>> import hypothesis
    >>> hypothesis.find(layouts(), lambda layout: True)
    Layout(template='image.tiff', inner=(<Axes.ROUND: 'r'>, <Axes.CH: 'c'>, <Axes.ZPLANE: 'z'>))
    """
    _refuse_values(
        "layouts", specifications=specifications, separators=separators, names_fov=names_fov
    )
    return _layouts(specifications, separators, names_fov)


@st.composite
def _layouts(
    draw: DrawFn,
    specifications: SearchStrategy[str],
    separators: SearchStrategy[str],
    names_fov: SearchStrategy[bool],
) -> Layout:
    axes = draw(st.permutations(PLANES), label="axes")
    cut = draw(st.integers(0, len(axes)), label="axes in the path")
    fields = [str(axis) for axis in axes[:cut]]
    if draw(names_fov, label="names the field of view"):
        fields.insert(draw(st.integers(0, cut), label="its place"), "fov")
    template = "image"
    for name in fields:
        specification = draw(specifications, label=f"specification of {name}")
        template += f"{draw(separators, label='separator')}{name}{{{name}{specification}}}"
    return Layout(f"{template}.tiff", inner=tuple(axes[cut:]))


_LAYOUTS = layouts()
_CONTENTS = st.sampled_from(CONTENTS)
_SEEDS = st.integers(0, 2**64 - 1)
_VOXEL_SIZES = st.tuples(*[st.floats(1e-6, 1e6)] * 3)


def specs(
    *,
    rounds: SearchStrategy[list[int]] = _LABELS,
    chs: SearchStrategy[list[int]] = _LABELS,
    zplanes: SearchStrategy[list[int]] = _LABELS,
    tile_shapes: SearchStrategy[tuple[int, int]] = _TILE_SHAPES,
    fovs: SearchStrategy[list[int]] = _LABELS,
    dtypes: SearchStrategy[np.dtype[Any]] = _DTYPES,
    contents: SearchStrategy[str] = _CONTENTS,
    seeds: SearchStrategy[int] = _SEEDS,
    voxel_sizes: SearchStrategy[tuple[float, float, float]] = _VOXEL_SIZES,
) -> SearchStrategy[synth.Spec]:
    """Return a strategy for synthetic images.

    Parameters
    ----------
    rounds, chs, zplanes, fovs : strategy of list of int, optional
        As of :func:`labels`.
    tile_shapes : strategy of (int, int), optional
        As of :func:`tile_shapes`. For content "index" only those of 8 by 8 pixels and more are
        taken.
    dtypes : strategy of dtype, optional
        As of :func:`dtypes`; the byte order is a matter of the file.
    contents, seeds, voxel_sizes : strategy, optional
        As :class:`synth.Spec` takes them.

    Examples
    --------
    >>> import hypothesis
    >>> hypothesis.find(specs(), lambda spec: spec.content == "index").tile_shape
    (8, 8)
    """
    given: dict[str, SearchStrategy[Any]] = {
        "contents": contents,
        "rounds": rounds,
        "chs": chs,
        "zplanes": zplanes,
        "tile_shapes": tile_shapes,
        "fovs": fovs,
        "dtypes": dtypes,
        "seeds": seeds,
        "voxel_sizes": voxel_sizes,
    }
    _refuse_values("specs", **given)
    return _specs(given)


@st.composite
def _specs(draw: DrawFn, given: dict[str, SearchStrategy[Any]]) -> synth.Spec:
    content = draw(given["contents"], label="contents")
    if content == "index":
        # Not by enlarging what is drawn: a smaller content would then come with a smaller tile,
        # and what failed because of its size would not shrink.
        given = {**given, "tile_shapes": _shapes_for_index(given["tile_shapes"])}
    drawn = {name: draw(one, label=name) for name, one in given.items() if name != "contents"}
    return synth.Spec(
        drawn["rounds"],
        drawn["chs"],
        drawn["zplanes"],
        drawn["tile_shapes"],
        fovs=drawn["fovs"],
        dtype=drawn["dtypes"],
        content=content,
        seed=drawn["seeds"],
        voxel_size=drawn["voxel_sizes"],
    )


def _shapes_for_index(
    shapes: SearchStrategy[tuple[int, int]],
) -> SearchStrategy[tuple[int, int]]:
    if shapes is _TILE_SHAPES:
        return st.tuples(*[st.integers(_INDEX_TILE_SIDE, _LARGEST_SIDE)] * 2)
    return shapes.filter(lambda shape: min(shape) >= _INDEX_TILE_SIDE)


_SPECS = specs()
_COMPRESSIONS: SearchStrategy[str | None] = st.sampled_from(
    [None, "deflate", *(["lzw", "zstd"] if find_spec("imagecodecs") else [])]
)
_FILE_BYTE_ORDERS = st.sampled_from("<>")
_WORKERS = st.integers(1, 2)


def write_options(
    *,
    compressions: SearchStrategy[str | None] = _COMPRESSIONS,
    bigtiffs: SearchStrategy[bool] = _BOOLEANS,
    byteorders: SearchStrategy[str] = _FILE_BYTE_ORDERS,
    omes: SearchStrategy[bool] = _BOOLEANS,
    workers: SearchStrategy[int] = _WORKERS,
) -> SearchStrategy[dict[str, Any]]:
    """Return a strategy for how :func:`synth.write` writes: its keyword arguments.

    Parameters
    ----------
    compressions, bigtiffs, byteorders, omes, workers : strategy, optional
        As :func:`synth.write` takes them. Default: any; of compressions, those that this
        installation can write.
    """
    _refuse_values(
        "write_options",
        compressions=compressions,
        bigtiffs=bigtiffs,
        byteorders=byteorders,
        omes=omes,
        workers=workers,
    )
    return st.fixed_dictionaries(
        {
            "compression": compressions,
            "bigtiff": bigtiffs,
            "byteorder": byteorders,
            "ome": omes,
            "workers": workers,
        }
    )


_OPTIONS = write_options()


def datasets(
    *,
    specs: SearchStrategy[synth.Spec] = _SPECS,
    layouts: SearchStrategy[Layout] = _LAYOUTS,
    options: SearchStrategy[dict[str, Any]] = _OPTIONS,
) -> SearchStrategy[synth.Dataset]:
    """Return a strategy for synthetic images on disk.

    Each is written to a temporary folder of its own, which is removed when the test has returned
    or raised, before it is run with the next one. The call that writes it is part of what
    hypothesis reports.

    Parameters
    ----------
    specs : strategy of synth.Spec, optional
        As of :func:`specs`. Of several fields of view only the first is kept, if the layout does
        not name them.
    layouts : strategy of Layout, optional
        As of :func:`layouts`.
    options : strategy of dict, optional
        As of :func:`write_options`.

    Examples
    --------
    >>> import hypothesis
    >>> seen = []
    >>> @hypothesis.settings(max_examples=3, database=None, deadline=None)
    ... @hypothesis.given(datasets())
    ... def test_a_dataset_is_what_it_says(dataset):
    ...     seen.append(dataset)
    ...     assert dataset.verify().ok
    >>> test_a_dataset_is_what_it_says()
    >>> any(dataset.root.exists() for dataset in seen)
    False
    """
    _refuse_values("datasets", specs=specs, layouts=layouts, options=options)
    return _datasets(specs, layouts, options)


@st.composite
def _datasets(
    draw: DrawFn,
    specs: SearchStrategy[synth.Spec],
    layouts: SearchStrategy[Layout],
    options: SearchStrategy[dict[str, Any]],
) -> synth.Dataset:
    layout = draw(layouts, label="layout")
    spec = draw(specs, label="spec")
    if "fov" not in layout.fields:
        spec = synth.Spec(**{**vars(spec), "fovs": spec.fovs[:1]})
    how = draw(options, label="options")
    note(f"synth.write({spec!r}, {layout!r}, root, **{how!r})")
    root = tempfile.mkdtemp(prefix="starfish_fetch-")
    cleanup(lambda: shutil.rmtree(root, ignore_errors=True))
    return synth.write(spec, layout, root, **how)
