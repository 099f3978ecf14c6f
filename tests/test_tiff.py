"""TiffTileFetcher on files as other programs write them, whole and damaged."""

import errno
import gc
import itertools
import json
import os
import pickle
import signal
import struct
import sys
from contextlib import suppress

import imageio.v2
import numpy as np
import pytest
import tifffile
from fetchers import image

import starfish_fetch.open_file
import starfish_fetch.place
import starfish_fetch.tiff
import starfish_fetch.tiff_file
from starfish_fetch import (
    Axes,
    Coordinates,
    Extent,
    ImageStack,
    Layout,
    MissingExtraError,
    SourceError,
    TiffTileFetcher,
    TileKey,
    to_float32,
    trace,
)

SHAPE = (2, 3, 4, 33, 21)
ONE = SHAPE[1:]
PER_ROUND = Layout("r{r}.tif", inner=("c", "z"))


def extent_of(shape=SHAPE):
    rounds, chs, zplanes, rows, columns = shape
    return Extent({"y": rows, "x": columns}, 0, range(rounds), range(chs), range(zplanes))


def write_rounds(folder, pixels, **options):
    for r, volume in enumerate(pixels):
        tifffile.imwrite(folder / f"r{r}.tif", volume, photometric="minisblack", **options)


def stack_of(fetcher, **options):
    return ImageStack.from_tilefetcher(fetcher, **vars(fetcher.extent), **options)


def open_files():
    gc.collect()
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None


FLAVOURS = {
    "plain": {"metadata": None},
    "shaped": {},
    "imagej": {"imagej": True, "metadata": {"axes": "ZCYX"}},
    "ome": {"ome": True, "metadata": {"axes": "CZYX"}},
    "bigtiff": {"bigtiff": True},
    "strips": {"rowsperstrip": 7},
    "tiles": {"tile": (16, 16)},
    "contiguous tiles": {"tile": (16, 32)},
    "truncated": {"truncate": True},
    "zlib": {"compression": "zlib"},
    "zlib predictor": {"compression": "zlib", "predictor": True, "rowsperstrip": 5},
    "lzw tiles": {"compression": "lzw", "tile": (16, 16), "predictor": True},
    "zstd": {"compression": "zstd"},
    "packbits": {"compression": "packbits"},
}


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("byteorder", "<>")
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_reads_every_flavour(tmp_path, flavour, byteorder, dtype):
    options = dict(FLAVOURS[flavour])
    if flavour != "imagej":  # which fixes the byte order itself
        options["byteorder"] = byteorder
    pixels = image(SHAPE, dtype)
    layout = PER_ROUND
    written = pixels
    if flavour == "imagej":  # and this order of axes
        layout = Layout(layout.template, inner=("z", "c"))
        written = pixels.swapaxes(1, 2)
    write_rounds(tmp_path, written, **options)
    with TiffTileFetcher(tmp_path, layout, extent_of(), dtype=dtype) as fetcher:
        whole = stack_of(fetcher, dtype=None).to_numpy()
        assert whole.dtype == dtype
        np.testing.assert_array_equal(whole, pixels)
        for rows in (slice(0, 1), slice(6, 8), slice(15, 33), slice(3, 30)):
            tile = fetcher.get_tile(0, 1, 2, 3)
            np.testing.assert_array_equal(
                tile.tile_region(rows, slice(2, -1)), pixels[1, 2, 3, rows, 2:-1]
            )


def test_reads_what_imageio_writes(tmp_path):
    pixels = image(SHAPE, np.float32)
    for r, c in itertools.product(range(2), range(3)):
        imageio.v2.volwrite(tmp_path / f"r{r}_c{c}.tiff", pixels[r, c])
    layout = Layout("r{r}_c{c}.tiff", inner=("z",))
    with TiffTileFetcher(tmp_path, layout, extent_of()) as fetcher:
        np.testing.assert_array_equal(stack_of(fetcher).to_numpy(), pixels)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("count", [3, 4])
def test_reads_planes_written_as_samples_of_a_colour(tmp_path, count, compression):
    pixels = image((2, 1, count, 33, 21), np.uint8)
    for r in range(2):
        tifffile.imwrite(
            tmp_path / f"r{r}.tif",
            pixels[r, 0],
            photometric="rgb",
            planarconfig="separate",
            compression=compression,
            rowsperstrip=5,
        )
        with tifffile.TiffFile(tmp_path / f"r{r}.tif") as tiff:
            assert len(tiff.pages) == 1
    with TiffTileFetcher(tmp_path, PER_ROUND, extent_of(pixels.shape)) as fetcher:
        np.testing.assert_array_equal(stack_of(fetcher, dtype=None).to_numpy(), pixels)
        part = fetcher.get_tile(0, 1, 0, count - 1).tile_region(slice(4, 21), slice(0, 21))
        np.testing.assert_array_equal(part, pixels[1, 0, count - 1, 4:21])


def check_one_file(folder, pixels, **options):
    """Load (z, y, x) from the file r0.tif, whole and in part."""
    extent = extent_of((1, 1, *pixels.shape))
    with TiffTileFetcher(folder, PER_ROUND, extent, **options) as fetcher:
        np.testing.assert_array_equal(stack_of(fetcher, dtype=None).to_numpy()[0, 0], pixels)
        part = stack_of(fetcher, dtype=None).sel({"y": (3, -2), "x": (1, None)})
        np.testing.assert_array_equal(part.to_numpy()[0, 0], pixels[:, 3:-2, 1:])


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"tile": (16, 16)}])
def test_reads_pages_written_one_by_one(tmp_path, options):
    """As imageio's mimwrite does: each page describes itself as an image of its own."""
    pixels = image((5, 33, 21))
    with tifffile.TiffWriter(tmp_path / "r0.tif") as tiff:
        for plane in pixels:
            tiff.write(plane, **options)
    check_one_file(tmp_path, pixels)
    imageio.v2.mimwrite(tmp_path / "r0.tif", list(pixels), format="TIFF")
    check_one_file(tmp_path, pixels)


def test_reads_pages_that_are_not_stored_alike(tmp_path):
    pixels = image((6, 33, 21))
    ways = [
        {},
        {"compression": "zlib"},
        {"compression": "lzw", "predictor": True},
        {"tile": (16, 16)},
        {"rowsperstrip": 4},
        {"compression": "zlib", "tile": (32, 16)},
    ]
    with tifffile.TiffWriter(tmp_path / "r0.tif") as tiff:
        for plane, options in zip(pixels, ways, strict=True):
            tiff.write(plane, metadata=None, **options)
    check_one_file(tmp_path, pixels)


def write_micromanager(path, pixels, places, summary):
    """A Micro-Manager stack: an index says which plane of the image each page is."""
    text = json.dumps(summary).encode()
    plane_bytes, head = pixels[0].nbytes, 170
    start = 40 + len(text) + len(text) % 2
    offsets = [start + number * (head + plane_bytes) for number in range(len(pixels))]
    index = start + len(pixels) * (head + plane_bytes)
    file = bytearray(index)
    file[:8] = struct.pack("<2sHI", b"II", 42, start)
    file[8:40] = struct.pack("<8I", 54773648, index, 0, 0, 0, 0, 2355492, len(text))
    file[40 : 40 + len(text)] = text
    for number, offset in enumerate(offsets):
        rows, columns = pixels.shape[1:]
        tags = [(256, columns), (257, rows), (258, 16), (259, 1), (262, 1), (273, offset + head),
                (277, 1), (278, rows), (279, plane_bytes)]  # fmt: skip
        directory = b"".join(struct.pack("<HHII", code, 4, 1, value) for code, value in tags)
        directory += struct.pack("<HHII", 51123, 2, len(text), 40)
        following = offsets[number + 1] if number + 1 < len(offsets) else 0
        directory = struct.pack("<H", len(tags) + 1) + directory + struct.pack("<I", following)
        file[offset : offset + len(directory)] = directory
        file[offset + head : offset + head + plane_bytes] = pixels[number].tobytes()
    file += struct.pack("<II", 3453623, len(pixels))
    for place, offset in zip(places, offsets, strict=True):
        file += struct.pack("<5I", *place, 0, 0, offset)
    path.write_bytes(file)


def test_pages_are_in_the_order_of_the_file_whatever_its_metadata_say(tmp_path):
    pixels = image((6, 16, 16))
    summary = {"MicroManagerVersion": "1.4", "Frames": 1, "Slices": 3, "Channels": 2,
               "Positions": 1, "SlicesFirst": True, "TimeFirst": False}  # fmt: skip
    places = list(itertools.product(range(2), range(3)))
    write_micromanager(tmp_path / "r0.tif", pixels, places, summary)
    # Otherwise the file would prove nothing.
    sorted_by_metadata = tifffile.imread(tmp_path / "r0.tif").reshape(pixels.shape)
    assert not np.array_equal(sorted_by_metadata, pixels)
    check_one_file(tmp_path, pixels)


def test_a_file_stored_like_one_before_is_not_parsed_again(tmp_path, monkeypatch):
    parsed = []
    found = starfish_fetch.tiff_file.TiffFiles._found
    monkeypatch.setattr(
        starfish_fetch.tiff_file.TiffFiles,
        "_found",
        lambda self, file, path, read_at, size: (
            parsed.append(os.path.basename(path)) or found(self, file, path, read_at, size)
        ),
    )
    pixels = image((6, 2, 2, 33, 21))
    ways = [{}, {}, {"compression": "zlib"}, {"byteorder": ">"}, {"bigtiff": True}, {}]
    for r, options in enumerate(ways):
        tifffile.imwrite(tmp_path / f"r{r}.tif", pixels[r], photometric="minisblack", **options)
    with TiffTileFetcher(tmp_path, PER_ROUND, extent_of(pixels.shape)) as fetcher:
        stack = stack_of(fetcher, dtype=None, workers=1)
        np.testing.assert_array_equal(stack.to_numpy(), pixels)
        assert parsed == ["r0.tif", "r2.tif", "r3.tif", "r4.tif"]
        # One that is like them but for its shape is found out all the same.
        tifffile.imwrite(tmp_path / "r5.tif", pixels[0, :, :, :-1], photometric="minisblack")
        fetcher.close()
        with pytest.raises(SourceError, match=r"r5\.tif has planes of the shape \(32, 21\)"):
            stack_of(fetcher).load()
        tifffile.imwrite(tmp_path / "r5.tif", pixels[0, :1], photometric="minisblack")
        fetcher.close()
        with pytest.raises(SourceError, match=r"r5\.tif: 2 planes found"):
            stack_of(fetcher).load()


@pytest.mark.parametrize("reduced_first", [False, True])
def test_copies_of_reduced_size_are_no_planes(tmp_path, reduced_first):
    pixels = image((3, 33, 21))
    with tifffile.TiffWriter(tmp_path / "r0.tif") as tiff:
        for plane in pixels:
            both = [(plane, 0), (plane[::2, ::2], 1)]
            for pixels_, kind in both[:: -1 if reduced_first else 1]:
                tiff.write(pixels_, metadata=None, subfiletype=kind)
    check_one_file(tmp_path, pixels)


def test_copies_of_reduced_size_are_left_out_of_a_file_like_one_before(tmp_path, monkeypatch):
    pixels = image((2, 1, 3, 33, 21))
    for r in range(2):
        with tifffile.TiffWriter(tmp_path / f"r{r}.tif") as tiff:
            for plane in pixels[r, 0]:
                tiff.write(plane, metadata=None)
                tiff.write(plane[::2, ::2], metadata=None, subfiletype=1)
    with fetcher_of_files(tmp_path, pixels.shape) as fetcher:
        first = stack_of(fetcher, dtype=None).sel({"r": 0}).to_numpy()
        monkeypatch.setattr(tifffile, "TiffFile", None)
        second = stack_of(fetcher, dtype=None).sel({"r": 1}).to_numpy()
    np.testing.assert_array_equal(np.concatenate([first, second]), pixels)


def fetcher_of_files(folder, shape, dtype=None):
    return TiffTileFetcher(folder, PER_ROUND, extent_of(shape), dtype=dtype)


def test_storage_that_is_described_elsewhere_is_not_taken_for_known(tmp_path):
    """The bits of three samples do not fit into the directory; both files point to one place."""
    for r, dtype in enumerate(("u1", "u2")):
        tifffile.imwrite(
            tmp_path / f"r{r}.tif",
            image((3, 33, 21), dtype),
            photometric="rgb",
            planarconfig="separate",
            metadata=None,
        )
    with fetcher_of_files(tmp_path, (2, 1, 3, 33, 21), "u1") as fetcher:
        fetcher.get_tile(0, 0, 0, 0).tile_data()
        with pytest.raises(SourceError, match=r"r1\.tif holds uint16; expected uint8"):
            fetcher.get_tile(0, 1, 0, 0).tile_data()


def test_pages_that_are_known_but_differ_are_found_out(tmp_path):
    for r, dtypes in enumerate((("u1", "u1"), ("u2", "u2"), ("u1", "u2"))):
        with tifffile.TiffWriter(tmp_path / f"r{r}.tif") as tiff:
            for dtype in dtypes:
                tiff.write(np.ones((33, 21), dtype), metadata=None)
    with fetcher_of_files(tmp_path, (3, 1, 2, 33, 21)) as fetcher:
        for r in range(2):
            fetcher.get_tile(0, r, 0, 0).tile_data()
        with pytest.raises(SourceError, match=r"page 1 is uint16 .* the first is uint8"):
            fetcher.get_tile(0, 2, 0, 0).tile_data()


def write_strips(path, strips, sizes, gap):
    """One 8-bit page of 8 x 8 pixels in strips of 4 rows, with a gap behind each."""
    directory = 8 + sum(map(len, strips)) + gap * len(strips)
    offsets = [8 + sum(len(one) + gap for one in strips[:number]) for number in range(len(strips))]
    tags = [(256, 8), (257, 8), (258, 8), (259, 1), (262, 1), (277, 1), (278, 4)]
    body = b"".join(one + b"\xff" * gap for one in strips)
    tail = directory + 2 + 12 * 9 + 4
    entries = b"".join(struct.pack("<HHII", code, 4, 1, value) for code, value in tags)
    entries += struct.pack("<HHII", 273, 4, len(offsets), tail)
    entries += struct.pack("<HHII", 279, 4, len(sizes), tail + 4 * len(offsets))
    numbers = struct.pack(f"<{len(offsets) + len(sizes)}I", *offsets, *sizes)
    head = struct.pack("<2sHI", b"II", 42, directory)
    path.write_bytes(head + body + struct.pack("<H", 9) + entries + struct.pack("<I", 0) + numbers)


def test_strips_with_gaps_are_read_right_after_a_file_without(tmp_path):
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    strips = [pixels[:4].tobytes(), pixels[4:].tobytes()]
    write_strips(tmp_path / "r0.tif", strips, [32, 32], gap=0)
    write_strips(tmp_path / "r1.tif", strips, [40, 40], gap=8)
    with fetcher_of_files(tmp_path, (2, 1, 1, 8, 8)) as fetcher:
        for r in range(2):
            np.testing.assert_array_equal(fetcher.get_tile(0, r, 0, 0).tile_data(), pixels)


@pytest.mark.parametrize("sizes", [[32], [32, 2**31], [32, 32, 32]])
def test_parts_that_are_missing_or_impossible_are_an_error(tmp_path, sizes):
    strips = [bytes(32), bytes(32)]
    write_strips(tmp_path / "r0.tif", strips, sizes, gap=8)
    with (
        fetcher_of_files(tmp_path, (1, 1, 1, 8, 8)) as fetcher,
        pytest.raises(SourceError, match=r"r0\.tif is (damaged|truncated)"),
    ):
        fetcher.get_tile(0, 0, 0, 0).tile_data()


def test_more_planes_than_expected_behind_one_page_are_an_error(tmp_path):
    tifffile.imwrite(tmp_path / "r0.tif", np.zeros((10, 33, 21), "u1"), truncate=True)
    tifffile.imwrite(tmp_path / "r1.tif", np.zeros((33, 21), "u1"))
    with fetcher_of_files(tmp_path, (2, 1, 1, 33, 21)) as fetcher:
        for r in (1, 0):  # known and unknown
            if r:
                fetcher.get_tile(0, r, 0, 0).tile_data()
                continue
            with pytest.raises(SourceError, match=r"10 planes found; .* expect 1"):
                fetcher.get_tile(0, r, 0, 0).tile_data()


def test_labels_that_are_equal_name_one_file(tmp_path):
    write_rounds(tmp_path, image(SHAPE))
    with TiffTileFetcher(tmp_path, PER_ROUND, extent_of()) as fetcher:
        for one in (True, np.int64(1), 1):
            assert fetcher.source(0, one, 0, 0) == str(tmp_path / "r1.tif")
        with pytest.raises(TypeError):
            fetcher.get_tile(0, 1.0, 0, 0)


def test_filling_keeps_no_file_open(tmp_path):
    if open_files() is None:
        pytest.skip("this system does not list open files")
    for r in range(40):
        (tmp_path / f"r{r}.tif").write_text("no TIFF")
    tifffile.imwrite(tmp_path / "r0.tif", np.zeros((33, 21), "u1"))
    fetcher = fetcher_of_files(tmp_path, (40, 1, 1, 33, 21))
    before = open_files()
    stack = stack_of(fetcher)
    with pytest.warns(Warning, match="39 of 40 tiles"):
        stack.load(on_error="fill")
    fetcher.close()
    assert open_files() == before
    assert len(stack.missing) == 39


def test_files_of_growing_precision_widen_the_stack(tmp_path):
    pixels = [np.full((33, 21), r + 1, dtype) for r, dtype in enumerate(("u1", "u2", "u4"))]
    for r, plane in enumerate(pixels):
        tifffile.imwrite(tmp_path / f"r{r}.tif", plane)
    for workers in (1, 3):
        with fetcher_of_files(tmp_path, (3, 1, 1, 33, 21)) as fetcher:
            stack = stack_of(fetcher, dtype=None, workers=workers)
            with pytest.warns(Warning, match="same precision"):
                stack.load()
        assert stack.dtype == np.uint32
        assert stack.to_numpy()[:, 0, 0, 0, 0].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ([np.zeros((33, 21), "u1")], r"page 3 is uint8 of the shape \(33, 21\), the first is"),
        ([np.zeros((10, 14), "u2")], r"page 3 is uint16 of the shape \(10, 14\)"),
        ([np.zeros((33, 21), "u2")] * 3, "6 planes found; the layout and the extent expect 3"),
    ],
)
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_pages_that_are_too_many_or_of_another_kind_are_an_error(
    tmp_path, others, message, compression
):
    with tifffile.TiffWriter(tmp_path / "r0.tif") as tiff:
        for plane in [*image((3, 33, 21)), *others]:
            tiff.write(plane, metadata=None, compression=compression)
    with pytest.raises(SourceError, match=message):
        check_one_file(tmp_path, np.zeros((3, 33, 21), "u2"))


def test_pages_that_lead_in_a_circle_are_an_error(tmp_path):
    tifffile.imwrite(
        tmp_path / "r0.tif", image((3, 33, 21)), metadata=None, photometric="minisblack"
    )
    with tifffile.TiffFile(tmp_path / "r0.tif") as tiff:
        first, last = tiff.pages[0].offset, tiff.pages[2].offset
    with open(tmp_path / "r0.tif", "r+b") as file:
        file.seek(last)
        (count,) = struct.unpack("<H", file.read(2))
        file.seek(last + 2 + 12 * count)
        file.write(struct.pack("<I", first))
    with pytest.raises(SourceError, match="its pages lead back to each other"):
        check_one_file(tmp_path, np.zeros((3, 33, 21), "u2"))


def test_a_chain_of_pages_that_is_cut_off_is_said_to_be(tmp_path):
    tifffile.imwrite(
        tmp_path / "r0.tif", image((3, 33, 21)), metadata=None, photometric="minisblack"
    )
    with tifffile.TiffFile(tmp_path / "r0.tif") as tiff:
        end = tiff.pages[2].offset
    os.truncate(tmp_path / "r0.tif", end + 20)
    with pytest.raises(SourceError, match="is truncated: what describes page 2 is missing"):
        check_one_file(tmp_path, np.zeros((3, 33, 21), "u2"))


def test_an_ome_file_that_names_others_is_read_alone(tmp_path):
    pixels = image((1, 1, 2, 8, 8))
    xml = tifffile.OmeXml()
    tifffile.imwrite(tmp_path / "other.ome.tif", pixels[0, 0, 0] * 0, description="")
    xml.addimage("uint16", (2, 8, 8), (2, 1, 1, 8, 8, 1), axes="ZYX")
    description = xml.tostring().replace(
        "<TiffData", '<TiffData IFD="0" FirstZ="0"><UUID FileName="other.ome.tif">urn:uuid:1'
        "</UUID></TiffData><TiffData",
    )  # fmt: skip
    tifffile.imwrite(tmp_path / "r0.tif", pixels[0, 0], description=description, metadata=None)
    with (
        TiffTileFetcher(tmp_path, PER_ROUND, extent_of(pixels.shape)) as fetcher,
        trace(tmp_path) as seen,
    ):
        np.testing.assert_array_equal(stack_of(fetcher, dtype=None).to_numpy(), pixels)
    assert list(seen.by_source) == [str(tmp_path / "r0.tif")]


@pytest.mark.parametrize("shape", [(1, 1, 1, 1, 1), (2, 1, 1, 1, 7), (1, 2, 3, 5, 1)])
def test_reads_tiles_of_one_row_or_column(tmp_path, shape):
    pixels = image(shape)
    # Else some versions of tifffile take a single column for a sample.
    write_rounds(tmp_path, pixels, metadata=None, planarconfig="contig", extrasamples=())
    with TiffTileFetcher(tmp_path, PER_ROUND, extent_of(shape)) as fetcher:
        np.testing.assert_array_equal(stack_of(fetcher, dtype=None).to_numpy(), pixels)
        assert fetcher.get_tile(0, 0, 0, 0).coordinates[Coordinates.X] in [(0, 1), (0, 6)]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("group_by", [None, "r", "c", "zc"])
def test_each_file_is_opened_once_and_parsed_once(tmp_path, monkeypatch, group_by, workers):
    parsed = []
    parse = starfish_fetch.tiff_file.TiffFiles._parse
    monkeypatch.setattr(
        starfish_fetch.tiff_file.TiffFiles,
        "_parse",
        lambda self, file, path, identity: parsed.append(path) or parse(self, file, path, identity),
    )
    write_rounds(tmp_path, image(SHAPE))
    with TiffTileFetcher(tmp_path, PER_ROUND, extent_of()) as fetcher, trace(tmp_path) as seen:
        stack_of(fetcher, group_by=group_by, workers=workers).load()
    assert seen.by_source == {str(tmp_path / f"r{r}.tif"): 1 for r in range(2)}
    assert sorted(parsed) == sorted(seen.by_source)


def test_few_files_are_open_at_a_time_and_headers_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(starfish_fetch.tiff_file, "_MAX_OPEN", 3)
    pixels = image((4, 3, 2, 5, 5))
    layout = Layout.per_tile()
    for r, c, z in itertools.product(range(4), range(3), range(2)):
        tifffile.imwrite(tmp_path / layout.path(0, r, c, z), pixels[r, c, z])
    before = open_files()
    fetcher = TiffTileFetcher(tmp_path, layout, extent_of(pixels.shape))
    for _ in range(2):
        np.testing.assert_array_equal(stack_of(fetcher, dtype=None).to_numpy(), pixels)
        assert len(fetcher._files._open) == 3
        if before is not None:
            assert open_files() == before + 3
    fetcher.close()
    assert open_files() == before
    stack_of(fetcher).load()
    del fetcher
    assert open_files() == before


def test_little_is_remembered_of_many_files(tmp_path, monkeypatch):
    monkeypatch.setattr(starfish_fetch.tiff, "_MAX_PATHS", 2)
    monkeypatch.setattr(starfish_fetch.tiff_file, "_MAX_HEADERS", 2)
    monkeypatch.setattr(starfish_fetch.tiff_file, "_MAX_OPEN", 1)
    pixels = image((5, 1, 2, 33, 21))
    write_rounds(tmp_path, pixels)
    with fetcher_of_files(tmp_path, pixels.shape) as fetcher:
        for _ in range(2):
            np.testing.assert_array_equal(stack_of(fetcher, dtype=None).to_numpy(), pixels)
            assert len(fetcher._paths) <= 2
            assert len(fetcher._files._headers) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs forks")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_while_a_file_is_opened_reads_on(tmp_path, monkeypatch):
    """In the child, nobody will ever give the lock back."""
    pixels = image(SHAPE)
    write_rounds(tmp_path, pixels)
    with TiffTileFetcher(tmp_path, PER_ROUND, extent_of()) as fetcher:
        first = fetcher.get_tile(0, 0, 0, 0).tile_data()
        with fetcher._files._lock:
            child = os.fork()
            if child == 0:
                right = False
                try:
                    signal.alarm(30)
                    right = (fetcher.get_tile(0, 1, 2, 3).tile_data() == pixels[1, 2, 3]).all()
                finally:
                    os._exit(0 if right else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        # The same where all of it can be looked at: as if this were the child.
        with fetcher._files._lock:
            monkeypatch.setattr(os, "getpid", lambda: child)
            read = fetcher.get_tile(0, 1, 2, 3).tile_data()
    np.testing.assert_array_equal(first, pixels[0, 0, 0])
    np.testing.assert_array_equal(read, pixels[1, 2, 3])


def test_a_file_that_can_no_longer_be_looked_at_is_opened_again(tmp_path, monkeypatch):
    pixels = image(SHAPE)
    write_rounds(tmp_path, pixels)
    with TiffTileFetcher(tmp_path, PER_ROUND, extent_of()) as fetcher:
        first = fetcher.get_tile(0, 0, 0, 0).tile_data()
        forgotten = fetcher._files._open[str(tmp_path / "r0.tif")][0]

        def is_still(file, identity):
            if file is forgotten:
                raise OSError(errno.ESTALE, "Stale file handle")
            return file.identity() == identity

        monkeypatch.setattr(starfish_fetch.open_file.OpenFile, "is_still", is_still)
        with trace(tmp_path) as seen:
            again = fetcher.get_tile(0, 0, 0, 0).tile_data()
    assert seen.opens == 1
    np.testing.assert_array_equal(first, pixels[0, 0, 0])
    np.testing.assert_array_equal(again, first)


def test_a_file_that_is_changed_while_it_is_read_is_refused_and_then_read_anew(
    tmp_path, monkeypatch
):
    write_rounds(tmp_path, image(SHAPE))
    path = tmp_path / "r0.tif"
    changed = image(SHAPE, seed=5)
    read_at = starfish_fetch.open_file._read_at

    def changing(descriptor, target, offset):
        count = read_at(descriptor, target, offset)
        if len(target) == 33 * 21 * 2 and not path.with_suffix(".done").exists():
            path.with_suffix(".done").touch()
            with open(path, "r+b") as file:
                file.write((tmp_path / "other.tif").read_bytes())
        return count

    tifffile.imwrite(tmp_path / "other.tif", changed[0], photometric="minisblack", bigtiff=True)
    monkeypatch.setattr(starfish_fetch.open_file, "_read_at", changing)
    with TiffTileFetcher(tmp_path, PER_ROUND, extent_of()) as fetcher:
        with pytest.raises(SourceError, match=r"r0\.tif was changed while it was read"):
            fetcher.get_tile(0, 0, 0, 0).tile_data()
        np.testing.assert_array_equal(fetcher.get_tile(0, 0, 0, 0).tile_data(), changed[0, 0, 0])


def test_where_nothing_limits_descriptors_files_are_kept_open(tmp_path, monkeypatch):
    """As where the system has no such limits."""
    monkeypatch.setitem(sys.modules, "resource", None)
    monkeypatch.setattr(starfish_fetch.tiff_file, "_MAX_OPEN", 3)
    pixels = image((5, 1, 1, 33, 21))
    write_rounds(tmp_path, pixels)
    with fetcher_of_files(tmp_path, pixels.shape) as fetcher:
        np.testing.assert_array_equal(stack_of(fetcher, dtype=None).to_numpy(), pixels)
        assert len(fetcher._files._open) == 3


def test_a_decoder_that_gives_too_little_is_refused(tmp_path, monkeypatch):
    """tifffile refuses it itself, but not in every version."""
    decode = starfish_fetch.tiff_file.decode_part

    def lossy(plane, number, encoded, path):
        decoded, top, left = decode(plane, number, encoded, path)
        return decoded[:-1], top, left

    monkeypatch.setattr(starfish_fetch.tiff_file, "decode_part", lossy)
    write_rounds(tmp_path, image(SHAPE), compression="zlib")
    with (
        TiffTileFetcher(tmp_path, PER_ROUND, extent_of()) as fetcher,
        pytest.raises(SourceError, match=r"holds the shape \(32, 21\); expected at least \(33,"),
    ):
        fetcher.get_tile(0, 0, 0, 0).tile_data()


def test_a_fetcher_shows_what_it_was_made_of(tmp_path):
    fetcher = TiffTileFetcher(tmp_path, PER_ROUND, extent_of())
    assert repr(fetcher) == f"TiffTileFetcher({str(tmp_path)!r}, {PER_ROUND!r})"


def test_fewer_descriptors_than_files_are_enough(tmp_path):
    resource = pytest.importorskip("resource")
    pixels = image((30, 1, 1, 5, 5))
    write_rounds(tmp_path, pixels)
    fetcher = TiffTileFetcher(tmp_path, PER_ROUND, extent_of(pixels.shape))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    stack_of(fetcher).sel({"r": 0}).load()
    highest = max(map(int, os.listdir("/proc/self/fd")))
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 6, hard))
    others = []
    try:
        with suppress(OSError):  # too many open files
            while True:
                others.append(os.open(os.devnull, os.O_RDONLY))
        os.close(others.pop())
        loaded = stack_of(fetcher, dtype=None, workers=1).to_numpy()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in others:
            os.close(descriptor)
    np.testing.assert_array_equal(loaded, pixels)
    assert len(fetcher._files._open) <= 2


def test_rows_that_are_not_wanted_are_not_read(tmp_path, monkeypatch):
    sizes = []
    read_at = starfish_fetch.open_file._read_at
    monkeypatch.setattr(
        starfish_fetch.open_file,
        "_read_at",
        lambda descriptor, target, offset: (
            sizes.append(len(target)) or read_at(descriptor, target, offset)
        ),
    )
    pixels = image(SHAPE)
    write_rounds(tmp_path, pixels)
    with TiffTileFetcher(tmp_path, PER_ROUND, extent_of()) as fetcher:
        part = stack_of(fetcher, dtype=None).isel({"y": (10, 13), "x": (5, 6), "c": 1})
        np.testing.assert_array_equal(part.to_numpy(), pixels[:, 1:2, :, 10:13, 5:6])
    rows = 3 * 21 * 2
    assert sizes.count(rows) == 8
    of_headers = [size for size in sizes if size != rows]
    assert sum(of_headers) < 13 * 2 * 600


def test_reads_without_positioned_reads(tmp_path, monkeypatch):
    """As where the system has none: a seek and a read, one thread at a time."""
    monkeypatch.setattr(
        starfish_fetch.open_file, "_read_at", starfish_fetch.open_file._seek_and_read
    )
    pixels = image((2, 3, 4, 200, 300))
    write_rounds(tmp_path, pixels)
    with TiffTileFetcher(tmp_path, PER_ROUND, extent_of(pixels.shape)) as fetcher:
        stack = stack_of(fetcher, dtype=None, workers=4, group_by="zcr")
        np.testing.assert_array_equal(stack.to_numpy(), pixels)


def test_a_file_replaced_after_it_was_closed_is_parsed_again(tmp_path):
    write_rounds(tmp_path, image(SHAPE))
    fetcher = TiffTileFetcher(tmp_path, PER_ROUND, extent_of())
    stack_of(fetcher).load()
    fetcher.close()
    pixels = image(SHAPE, seed=5)
    write_rounds(tmp_path, pixels, bigtiff=True, byteorder=">")
    np.testing.assert_array_equal(stack_of(fetcher, dtype=None).to_numpy(), pixels)


def test_tiles_are_cheap_and_share_nothing(tmp_path):
    with trace() as seen:
        fetcher = TiffTileFetcher(tmp_path / "absent", PER_ROUND, extent_of())
        tile = fetcher.get_tile(0, 1, 2, 3)
        tile.shape[Axes.Y] = 1
        tile.coordinates[Coordinates.X] = None
        assert fetcher.get_tile(0, 1, 2, 3).shape == {"y": 33, "x": 21}
        assert fetcher.get_tile(0, 1, 2, 3).coordinates == {
            "xc": (0.0, 20.0),
            "yc": (0.0, 32.0),
            "zc": 3.0,
        }
        assert fetcher.source(0, 1, 2, 3) == str(tmp_path / "absent" / "r1.tif")
    assert seen.opens == 0
    assert fetcher.thread_safe


def test_coordinates_are_given_once_or_for_each_plane(tmp_path):
    one = {Coordinates.X: (0, 1), Coordinates.Y: (0, 2), Coordinates.Z: (3, 4)}
    fetcher = TiffTileFetcher(tmp_path, PER_ROUND, extent_of(), coordinates=one)
    assert fetcher.get_tile(0, 0, 0, 2).coordinates == one
    fetcher = TiffTileFetcher(
        tmp_path,
        Layout("f{fov}_r{r}.tif", inner="cz"),
        extent_of(),
        coordinates=lambda fov, z: {"xc": (fov, fov + 1), "yc": (0, 1), "zc": z / 2},
    )
    assert fetcher.get_tile(7, 0, 0, 2).coordinates == {"xc": (7, 8), "yc": (0, 1), "zc": 1}


def test_a_fetcher_is_pickled_without_its_open_files(tmp_path):
    pixels = image(SHAPE)
    write_rounds(tmp_path, pixels)
    fetcher = TiffTileFetcher(tmp_path, PER_ROUND, extent_of())
    stack_of(fetcher).load()
    again = pickle.loads(pickle.dumps(fetcher))
    np.testing.assert_array_equal(again.get_tile(0, 1, 2, 3).tile_data(), pixels[1, 2, 3])
    tile = pickle.loads(pickle.dumps(fetcher.get_tile(0, 1, 2, 3)))
    np.testing.assert_array_equal(tile.tile_data(), pixels[1, 2, 3])


@pytest.mark.parametrize(
    "key", [(0, 2, 0, 0), (0, 0, 3, 0), (0, 0, 0, -1), (1, 0, 0, 0)], ids="rczf"
)
def test_labels_that_do_not_exist_are_refused(tmp_path, key):
    fetcher = TiffTileFetcher(tmp_path, PER_ROUND, extent_of())
    for ask in (fetcher.get_tile, fetcher.source):
        with pytest.raises(ValueError, match=r"there is no tile \(fov=\d, round=\d, ch=\d,"):
            ask(*key)


def test_a_layout_that_maps_two_tiles_to_one_place_is_refused_at_once(tmp_path):
    extent = Extent({"y": 2, "x": 2}, 0, [1, 11], [1, 11], [0])
    with pytest.raises(ValueError, match="to one place"):
        TiffTileFetcher(tmp_path, Layout("{r}{c}.tif", inner="z"), extent)


@pytest.mark.parametrize("dtype", [None, np.float32])
@pytest.mark.parametrize("rows", [(0, None), (700, 1900)])
@pytest.mark.parametrize("byteorder", "<>")
def test_tiles_larger_than_what_is_read_at_a_time(tmp_path, byteorder, rows, dtype, monkeypatch):
    monkeypatch.setattr(starfish_fetch.place, "_BLOCK_BYTES", 1 << 16)
    pixels = image((2, 1, 1, 2000, 300))
    write_rounds(tmp_path, pixels, byteorder=byteorder)
    with TiffTileFetcher(tmp_path, PER_ROUND, extent_of(pixels.shape)) as fetcher:
        stack = stack_of(fetcher, dtype=dtype).sel({"y": rows})
        expected = pixels[..., slice(*rows), :]
        np.testing.assert_array_equal(
            stack.to_numpy(), expected if dtype is None else to_float32(expected)
        )


def test_a_tile_derived_from_ours_is_asked_for_its_own_pixels(tmp_path):
    class Inverted(starfish_fetch.tiff.TiffTile):
        def tile_data(self):
            return 65535 - super().tile_data()

    class InvertedFetcher(TiffTileFetcher):
        def get_tile(self, *labels):
            tile = super().get_tile(*labels)
            tile.__class__ = Inverted
            return tile

    pixels = image(SHAPE)
    write_rounds(tmp_path, pixels)
    with InvertedFetcher(tmp_path, PER_ROUND, extent_of()) as fetcher:
        np.testing.assert_array_equal(stack_of(fetcher, dtype=None).to_numpy(), 65535 - pixels)


# --- damaged files


def text(path):
    path.write_text("round,ch\n0,1\n")


def empty(path):
    path.write_bytes(b"")


def missing(path):
    path.unlink()


def folder(path):
    path.unlink()
    path.mkdir()


def shorter(path):
    os.truncate(path, path.stat().st_size // 2)


def without_its_last_byte(path):
    pixels = tifffile.imread(path).reshape(ONE)
    # Pixels at the very end, behind the only header.
    tifffile.imwrite(path, pixels, photometric="minisblack", truncate=True)
    os.truncate(path, path.stat().st_size - 1)


def an_array(path):
    with open(path, "wb") as file:
        np.save(file, np.zeros(ONE, "u2"))


def garbled(path):
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[len(tiff.pages) - 1]
        offset, size = page.dataoffsets[0], page.databytecounts[0]
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(b"\xff" * size)


def rewritten(pixels, **options):
    return lambda path: tifffile.imwrite(path, pixels, photometric="minisblack", **options)


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (missing, FileNotFoundError, r"No such file or directory: '.*r1\.tif'"),
        (folder, IsADirectoryError, r"Is a directory: '.*r1\.tif'"),
        (text, SourceError, r"r1\.tif is not a readable TIFF file: not a TIFF file"),
        (empty, SourceError, r"r1\.tif is not a readable TIFF file"),
        (an_array, SourceError, r"r1\.tif .*; it is a \.npy file: read it with NpyTileFetcher"),
        (shorter, SourceError, r"r1\.tif"),
        (without_its_last_byte, SourceError, r"r1\.tif is truncated: 1386 bytes .* 1385 are"),
        (rewritten(np.zeros((3, 4, 33, 20), "u2")), SourceError, r"shape \(33, 20\); expected"),
        (rewritten(np.zeros((3, 4, 21, 33), "u2")), SourceError, r"shape \(21, 33\); expected"),
        (rewritten(np.zeros((3, 5, 33, 21), "u2")), SourceError, "15 planes found; .* expect 12"),
        (rewritten(np.zeros((11, 33, 21), "u2")), SourceError, "11 planes found; .* expect 12"),
        (rewritten(np.zeros(ONE, "u1")), SourceError, r"holds uint8; expected uint16"),
        (rewritten(np.zeros(ONE, "i2")), SourceError, r"holds int16; expected uint16"),
        (rewritten(np.zeros((12, 33, 21, 3), "u2"), planarconfig="contig"), SourceError, "shape"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_an_error_that_names_file_and_tile(tmp_path, damage, error, message):
    write_rounds(tmp_path, image(SHAPE), metadata=None)
    damage(tmp_path / "r1.tif")
    with TiffTileFetcher(tmp_path, PER_ROUND, extent_of(), dtype="u2") as fetcher:
        with pytest.raises(error, match=message) as raised:
            stack_of(fetcher, workers=1).load()
        path = str(tmp_path / "r1.tif")
        tile = str(raised.value.__notes__[0])
        assert tile.startswith("tile (fov=0, round=1, ch=")
        assert tile.endswith(f" from {path!r}")
        assert len(raised.value.__notes__) == 1
        np.testing.assert_array_equal(
            stack_of(fetcher, dtype=None).sel({"r": 0}).to_numpy(), image(SHAPE)[:1]
        )


@pytest.mark.parametrize("compression", ["zlib", "lzw", "zstd"])
@pytest.mark.parametrize("damage", [garbled, shorter])
def test_damaged_compressed_pixels_are_an_error(tmp_path, compression, damage):
    write_rounds(tmp_path, image(SHAPE), metadata=None, compression=compression)
    damage(tmp_path / "r1.tif")
    with (
        TiffTileFetcher(tmp_path, PER_ROUND, extent_of(), dtype="u2") as fetcher,
        pytest.raises(SourceError, match=r"r1\.tif"),
    ):
        stack_of(fetcher, workers=1).load()


def test_pixels_that_were_never_written_are_an_error(tmp_path):
    write_rounds(tmp_path, image(SHAPE), metadata=None, compression="zlib")
    with tifffile.TiffFile(tmp_path / "r1.tif", mode="r+b") as tiff:
        tiff.pages[3].tags["StripByteCounts"].overwrite(0)
    with (
        TiffTileFetcher(tmp_path, PER_ROUND, extent_of()) as fetcher,
        pytest.raises(SourceError, match="whose pixels were never written"),
    ):
        stack_of(fetcher).load()


def test_a_codec_that_is_not_installed_names_the_extra(tmp_path, monkeypatch):
    write_rounds(tmp_path, image(SHAPE), metadata=None, compression="zstd")

    def without_codecs(*arguments, **options):
        raise ValueError("<COMPRESSION.ZSTD: 50000> requires the 'imagecodecs' package")

    monkeypatch.setattr(tifffile.TiffPage, "decode", without_codecs)
    with (
        TiffTileFetcher(tmp_path, PER_ROUND, extent_of()) as fetcher,
        pytest.raises(MissingExtraError, match=r"pip install 'starfish-fetch\[codecs\]'"),
    ):
        stack_of(fetcher).load()


def test_a_truncated_plane_is_filled_and_the_others_are_had(tmp_path):
    pixels = image(SHAPE)
    write_rounds(tmp_path, pixels, truncate=True)
    os.truncate(tmp_path / "r1.tif", (tmp_path / "r1.tif").stat().st_size - 1)
    with TiffTileFetcher(tmp_path, PER_ROUND, extent_of()) as fetcher:
        stack = stack_of(fetcher, dtype=None)
        with pytest.warns(Warning, match=r"1 of 24 tiles .* is truncated"):
            stack.load(on_error="fill", fill_value=9)
    assert stack.missing == (TileKey(1, 2, 3),)
    expected = pixels.copy()
    expected[1, 2, 3] = 9
    np.testing.assert_array_equal(stack.to_numpy(), expected)


def test_missing_files_are_filled_and_listed(tmp_path):
    pixels = image(SHAPE)
    write_rounds(tmp_path, pixels)
    (tmp_path / "r1.tif").unlink()
    with TiffTileFetcher(tmp_path, PER_ROUND, extent_of()) as fetcher:
        stack = stack_of(fetcher, dtype=None)
        with pytest.warns(Warning, match="12 of 24 tiles could not be had"):
            stack.load(on_error="fill", fill_value=7)
    assert stack.missing == tuple(
        TileKey(1, c, z) for c, z in itertools.product(range(3), range(4))
    )
    np.testing.assert_array_equal(stack.to_numpy()[0], pixels[0])
    assert (stack.to_numpy()[1] == 7).all()


def test_a_file_that_fails_while_it_is_parsed_is_named(tmp_path, monkeypatch):
    write_rounds(tmp_path, image(SHAPE))

    def fails(descriptor, target, offset):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(starfish_fetch.open_file, "_read_at", fails)
    with (
        TiffTileFetcher(tmp_path, PER_ROUND, extent_of()) as fetcher,
        pytest.raises(OSError, match=r"Input/output error: '.*r0\.tif'"),
    ):
        stack_of(fetcher).load()


def test_unreadable_file_names_itself(tmp_path, monkeypatch):
    write_rounds(tmp_path, image(SHAPE))

    def denied(path, *args, **options):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(starfish_fetch.open_file, "open", denied, raising=False)
    with (
        TiffTileFetcher(tmp_path, PER_ROUND, extent_of()) as fetcher,
        pytest.raises(PermissionError, match=r"Permission denied: '.*r0\.tif'"),
    ):
        stack_of(fetcher).load()
