"""Written, fetched and loaded: every pixel is what it was meant to be, bit for bit."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
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
from starfish_fetch.testing.strategies import datasets, group_bys


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
    dataset = data.draw(datasets(), label="dataset")
    group_by = data.draw(group_bys(), label="group_by")
    fov = data.draw(st.sampled_from(dataset.spec.fovs), label="fov")
    extent = dataset.extent(fov)
    crop = data.draw(crops(extent), label="crop")
    kept, expected = oracle(dataset, extent, crop)
    keep_dtype = data.draw(st.booleans(), label="keep dtype")
    workers = data.draw(st.none() | st.integers(1, 3), label="workers")
    with dataset.fetcher(fov) as fetcher, trace(dataset.root) as seen:
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
    needed = {dataset.layout.path(fov, *key) for key in itertools.product(*kept)}
    assert seen.by_source == {str(dataset.root / path): 1 for path in needed}
    first, last = dataset.spec.coordinates(fov, kept[2][-1])[Coordinates.Z]
    assert stacks[0].physical_coordinates().z[-1] == (last - first) / 2 + first


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
