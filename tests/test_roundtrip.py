"""Written, fetched and loaded: every pixel is what it was meant to be, bit for bit."""

import itertools
import tempfile

import numpy as np
import pytest
from fetcher_kinds import KINDS, REMOTE, fetcher_of
from file_server import serving
from hypothesis import event, given
from hypothesis import strategies as st
from test_plan import expected_order

import synth
from starfish_fetch import (
    Axes,
    Coordinates,
    CropParameters,
    ImageStack,
    Layout,
    to_float32,
    trace,
)
from starfish_fetch.testing import strategies as sfst
from synth._ome import OME_DTYPES
from synth._tiffs import IMAGEJ_AXES, IMAGEJ_DTYPES


@st.composite
def written(draw, kind):
    """An image in files, of everything that synth.write takes and that this kind can have."""
    form = draw(st.sampled_from(["tiff", "imagej"] + ["npy"] * (kind not in REMOTE)), label="form")
    dtype = draw(sfst.dtypes() if form != "imagej" else st.sampled_from(IMAGEJ_DTYPES))
    dtype, layout = np.dtype(dtype), draw(sfst.layouts())
    if form != "tiff":
        options = {"byteorder": draw(st.sampled_from("<>")), "format": form}
    else:
        options = draw(sfst.write_options())
        cut = draw(st.sampled_from([None, "tiff_tile", "rows_per_strip"]), label="cut")
        if cut is not None:
            size = st.integers(1, 20) if cut == "rows_per_strip" else st.sampled_from([16, 32])
            options[cut] = draw(size if cut == "rows_per_strip" else st.tuples(size, size))
        if options["compression"] and not (dtype.kind in "ui" and dtype.itemsize == 8):
            options["predictor"] = draw(st.booleans(), label="predictor")
        if options["ome"] and dtype.name in OME_DTYPES:
            options["linked"] = draw(st.booleans(), label="linked")
    if form == "imagej":
        layout = Layout(layout.template, [axis for axis in IMAGEJ_AXES if axis in layout.inner])
    elif form == "npy":
        layout = Layout(layout.template.removesuffix(".tiff") + ".npy", layout.inner)
    values = st.integers(0, 112) if kind == "spacetx" else st.integers(-12, 112)
    labels = sfst.labels(values=values)
    names = ("rounds", "chs", "zplanes", "fovs")
    specs = sfst.specs(dtypes=st.just(dtype), **dict.fromkeys(names, labels))
    return draw(sfst.datasets(specs=specs, layouts=st.just(layout), options=st.just(options)))


@st.composite
def crops(draw, extent):
    def part(labels):
        return draw(st.none() | st.lists(st.sampled_from(labels), min_size=1, unique=True))

    def window(size):
        start = draw(st.integers(0, size - 1))
        stop = draw(st.integers(start + 1, size))
        return draw(st.sampled_from([None, slice(start, stop), slice(start - size, stop), start]))

    return {
        "permitted_rounds": part(extent.rounds),
        "permitted_chs": part(extent.chs),
        "permitted_zplanes": part(extent.zplanes),
        "y_slice": window(extent.tile_shape[Axes.Y]),
        "x_slice": window(extent.tile_shape[Axes.X]),
    }


def oracle(dataset, extent, crop):
    """What the crop of the image must be, from the definition of each tile."""
    kept = [
        [label for label in labels if crop[name] is None or label in crop[name]]
        for name, labels in (
            ("permitted_rounds", extent.rounds),
            ("permitted_chs", extent.chs),
            ("permitted_zplanes", extent.zplanes),
        )
    ]
    rows, columns = (
        slice(one, one + 1) if isinstance(one, int) else one or slice(None)
        for one in (crop["y_slice"], crop["x_slice"])
    )
    tiles = [dataset.tile(*key, fov=extent.fov)[rows, columns] for key in itertools.product(*kept)]
    return kept, np.array(tiles).reshape(*map(len, kept), *tiles[0].shape)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server of the folder that temporary folders are made in, on loopback."""
    before, folder = tempfile.tempdir, tmp_path_factory.mktemp("served")
    with serving(folder) as (url, state):
        tempfile.tempdir = str(folder)
        try:
            yield url, state
        finally:
            tempfile.tempdir = before


@given(st.data())
def test_any_image_by_any_fetcher_in_any_order_is_loaded_as_it_was_meant(server, data):
    kind = data.draw(st.sampled_from(KINDS), label="fetcher")
    dataset = data.draw(written(kind), label="dataset")
    group_by = data.draw(sfst.group_bys(), label="group_by")
    fov = data.draw(st.sampled_from(dataset.spec.fovs), label="fov")
    extent = dataset.extent(fov)
    crop = data.draw(crops(extent), label="crop")
    kept, expected = oracle(dataset, extent, crop)
    keep_dtype = data.draw(st.booleans(), label="keep dtype")
    wanted = expected if keep_dtype else to_float32(expected)
    out = np.empty_like(wanted) if data.draw(st.booleans(), label="into an array") else None
    event(f"fetcher: {kind}")
    event(f"format: {dataset.options.format}, {dataset.options.compression}")

    def draw(values, label):
        return data.draw(st.sampled_from(values), label=label)

    url, state = server
    with (
        tempfile.TemporaryDirectory() as folder,
        trace(dataset.root) as seen,
        fetcher_of(kind, dataset, fov, folder, f"{url}/{dataset.root.name}", draw) as fetched,
    ):
        fetcher, asked = fetched
        before = dict(seen.by_source)
        stack = ImageStack.from_tilefetcher(
            fetcher,
            **vars(extent),
            group_by=group_by,
            crop_parameters=CropParameters(**crop),
            dtype=None if keep_dtype else np.float32,
            workers=data.draw(st.none() | st.integers(1, 3), label="workers"),
            out=out,
        )
        loaded = stack.to_numpy()
        state.contents.clear()
    assert loaded.dtype == wanted.dtype
    assert loaded.shape == wanted.shape
    assert loaded.tobytes() == wanted.tobytes()
    assert out is None or loaded is out
    assert [stack.axis_labels(axis) for axis in "rcz"] == kept
    if asked is not None:
        assert asked == list(expected_order(*kept, group_by or ()))
    if kind == "own":
        needed = {dataset.layout.path(fov, *key) for key in itertools.product(*kept)}
        assert before == {}
        assert seen.by_source == {str(dataset.root / path): 1 for path in needed}
    lie = stack.physical_coordinates()
    at = dataset.spec.coordinates(fov, kept[2][-1])
    first, last = at[Coordinates.Z]
    assert lie.z[-1] == (last - first) / 2 + first
    for name, axis, values in (("x", Axes.X, lie.x), ("y", Axes.Y, lie.y)):
        whole = np.linspace(*at[Coordinates(f"{name}c")], extent.tile_shape[axis])
        one = crop[f"{name}_slice"]
        part = slice(one, one + 1) if isinstance(one, int) else one or slice(None)
        assert values.tobytes() == whole[part].tobytes()


@pytest.mark.parametrize("content", ["random", "index"])
def test_what_was_written_is_what_tifffile_reads(tmp_path, content):
    """The writer and the reader are ours; a third program agrees with both."""
    import tifffile

    spec = synth.Spec([4, 1], 3, [-1, 0], (24, 17), content=content)
    dataset = synth.write(spec, Layout.per_round(), tmp_path)
    for r in spec.rounds:
        pixels = tifffile.imread(tmp_path / f"fov0_r{r}.tiff")
        expected = [[dataset.tile(r, c, z) for z in spec.zplanes] for c in spec.chs]
        np.testing.assert_array_equal(pixels, expected)
        with dataset.fetcher() as fetcher:
            stack = ImageStack.from_tilefetcher(fetcher, **vars(dataset.extent()), dtype=None)
            np.testing.assert_array_equal(stack.get_slice({"r": r})[0], pixels)


def test_decode_names_every_tile_of_a_loaded_stack(tmp_path):
    spec = synth.Spec([4, 1], 3, [-1, 0], (40, 31), content="index")
    dataset = synth.write(spec, Layout.per_tile(), tmp_path)
    with dataset.fetcher() as fetcher:
        stack = ImageStack.from_tilefetcher(fetcher, **vars(dataset.extent()))
        part = stack.isel({"y": (9, 33), "x": (3, 29)})
        for key in part.plan:
            tile, _ = part.get_slice(dict(zip("rcz", key, strict=True)))
            origin = synth.decode(tile)
            assert (origin.round, origin.ch, origin.zplane) == key
            assert origin.offset == (9, 3)
