"""Written, fetched and loaded: every pixel is what it was meant to be, bit for bit."""

import itertools
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_layout import LABELS, layouts
from test_plan import expected_order

import synth
from starfish_fetch import (
    Axes,
    Coordinates,
    CropParameters,
    FetchedTile,
    ImageStack,
    TileFetcher,
    to_float32,
    trace,
)

DTYPES = [*(kind + size for kind in "ui" for size in "1248"), "f2", "f4", "f8"]


class PlainFetcher(TileFetcher):
    """The same tiles, of a fetcher that offers nothing optional."""

    def __init__(self, fetcher):
        self.fetcher = fetcher
        self.asked = []

    def get_tile(self, *labels):
        self.asked.append(labels[1:])
        return PlainTile(self.fetcher.get_tile(*labels))


class PlainTile(FetchedTile):
    def __init__(self, tile):
        self.tile = tile

    @property
    def shape(self):
        return self.tile.shape

    @property
    def coordinates(self):
        return self.tile.coordinates

    def tile_data(self):
        return self.tile.tile_data()


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


@st.composite
def datasets(draw):
    """A spec, a layout, and how to write it."""
    content = draw(st.sampled_from(["random", "index"]), label="content")
    smallest = 8 if content == "index" else 1
    layout = draw(layouts(), label="layout")
    fovs = LABELS if "fov" in layout.fields else st.just([draw(st.integers(0, 3))])
    spec = synth.Spec(
        draw(LABELS, label="rounds"),
        draw(LABELS, label="chs"),
        draw(LABELS, label="zplanes"),
        (draw(st.integers(smallest, 19)), draw(st.integers(smallest, 19))),
        fovs=draw(fovs, label="fovs"),
        dtype=draw(st.sampled_from(DTYPES), label="dtype"),
        content=content,
        seed=draw(st.integers(0, 2**64 - 1), label="seed"),
    )
    options = {
        "compression": draw(st.sampled_from([None, "deflate", "lzw", "zstd"])),
        "bigtiff": draw(st.booleans()),
        "byteorder": draw(st.sampled_from("<>")),
        "ome": draw(st.booleans()),
        "workers": draw(st.integers(1, 2)),
    }
    return spec, layout, options


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


@given(st.data())
def test_any_image_in_any_layout_in_any_order_is_loaded_as_it_was_meant(data):
    spec, layout, options = data.draw(datasets())
    group_by = data.draw(
        st.none() | st.permutations("rcz").map(lambda axes: axes[: len(axes) - 1]),
        label="group_by",
    )
    with tempfile.TemporaryDirectory() as folder:
        dataset = synth.write(spec, layout, folder, **options)
        fov = data.draw(st.sampled_from(spec.fovs), label="fov")
        extent = dataset.extent(fov)
        crop = data.draw(crops(extent), label="crop")
        kept, expected = oracle(dataset, extent, crop)
        keep_dtype = data.draw(st.booleans(), label="keep dtype")
        workers = data.draw(st.none() | st.integers(1, 3), label="workers")
        with dataset.fetcher(fov) as fetcher, trace(folder) as seen:
            plain = PlainFetcher(fetcher)
            stacks = [
                ImageStack.from_tilefetcher(
                    one,
                    **vars(extent),
                    group_by=group_by,
                    crop_parameters=CropParameters(**crop),
                    dtype=None if keep_dtype else np.float32,
                    workers=workers,
                )
                for one in (fetcher, plain)
            ]
            for stack in stacks:
                loaded = stack.to_numpy()
                wanted = expected if keep_dtype else to_float32(expected)
                assert loaded.dtype == wanted.dtype
                assert loaded.tobytes() == wanted.tobytes()
                assert [stack.axis_labels(axis) for axis in "rcz"] == kept
        assert plain.asked == list(expected_order(*kept, group_by or ()))
        needed = {layout.path(fov, *key) for key in itertools.product(*kept)}
        assert seen.by_source == {str(Path(folder, path)): 1 for path in needed}
        position = spec.coordinates(fov, kept[2][-1])
        assert stacks[0].physical_coordinates().z[-1] == sum(position[Coordinates.Z]) / 2


@pytest.mark.parametrize("content", ["random", "index"])
def test_what_was_written_is_what_tifffile_reads(tmp_path, content):
    """The writer and the reader are ours; a third program agrees with both."""
    import tifffile

    from starfish_fetch import Layout

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
    from starfish_fetch import Layout

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
