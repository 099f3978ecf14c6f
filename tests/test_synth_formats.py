"""Files as other programs write them: cut, compressed, described, and read back by those."""

from __future__ import annotations

import importlib.util
import io
import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from test_cli import run, said_in_one_line
from test_synth_write import contents

from starfish_fetch import ImageStack, NpyTileFetcher, TiffTileFetcher
from starfish_fetch.axes import TileKey
from starfish_fetch.errors import SourceError
from starfish_fetch.layout import Layout
from synth import Dataset, Options, Spec, write
from synth._ome import OME_DTYPES
from synth.spec import DTYPES

SPEC = Spec([3, 1], [0, 5], [2, 3, 4], (40, 50), fovs=[0, 7], voxel_size=(2.0, 0.5, 0.25))
OLDER = Spec.from_json({**SPEC.to_json(), "generator": "philox"})  # which version 1 knows
SEGMENTS = [{}, {"tiff_tile": (16, 32)}, {"rows_per_strip": 7}]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def expected_of(dataset, fov=0):
    spec = dataset.spec
    rows = [
        [[dataset.tile(r, c, z, fov) for z in spec.zplanes] for c in spec.chs] for r in spec.rounds
    ]
    return np.array(rows)


def assert_round_trip(dataset):
    """The verification and the fetcher find every pixel, whole tiles and parts of them."""
    verification = dataset.verify()
    assert verification.ok, str(verification)
    for fov in dataset.spec.fovs:
        with dataset.fetcher(fov) as fetcher:
            for _, _, keys in dataset.layout.files(dataset.extent(fov)):
                for key in keys:
                    fetched, right = fetcher.get_tile(fov, *key), dataset.tile(*key, fov=fov)
                    assert np.array_equal(fetched.tile_data(), right)
                    rows, columns = (slice(size // 8, -(-size // 2)) for size in right.shape)
                    part = fetched.tile_region(rows, columns)
                    assert np.array_equal(part, right[rows, columns])


@pytest.mark.parametrize("segments", SEGMENTS, ids=str)
@pytest.mark.parametrize("compression", [None, "deflate", "lzw", "zstd"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_cut_and_compressed_files_are_read_back(tmp_path, dtype, compression, segments):
    spec = Spec(1, 2, 2, (40, 50), dtype=dtype)
    predictors = [False] if compression is None or dtype in ("int64", "uint64") else [False, True]
    for predictor in predictors:
        for byteorder in "<>":
            dataset = write(
                spec,
                Layout.per_round(),
                tmp_path / f"{predictor}{ord(byteorder)}",
                compression=compression,
                predictor=predictor,
                byteorder=byteorder,
                **segments,
            )
            assert_round_trip(dataset)
            with tifffile.TiffFile(dataset.root / "fov0_r0.tiff") as file:
                page = file.pages[1]
                whole = None if not segments else page.tile or (page.rowsperstrip,)
                asked = {None: None, (16, 32): (16, 32), (7,): (7,)}
                assert whole == asked[whole]
                assert (whole is None) == (not segments)
                wanted = {False: 1, True: 3 if spec.dtype.startswith("float") else 2}[predictor]
                assert page.predictor == wanted
                assert np.array_equal(file.asarray(), expected_of(dataset)[0])


@pytest.mark.parametrize("shape", [(1, 1), (3, 1), (20, 1)], ids=str)
@pytest.mark.parametrize(
    "options",
    [
        {"format": "imagej"},
        {"compression": "deflate", "tiff_tile": (16, 16), "predictor": True},
        {"compression": "deflate", "rows_per_strip": 2, "predictor": True},
    ],
    ids=str,
)
def test_tiles_of_one_column_are_read_back(tmp_path, shape, options):
    """Tifffile takes an axis of one for something else than columns, where it can."""
    spec = Spec(2, 3, 2, shape)
    layout = Layout("fov{fov}.tiff", inner="rzc")
    assert_round_trip(write(spec, layout, tmp_path, **options))


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize(
    ("layout", "axes"),
    [
        (Layout.per_tile(), "YX"),
        (Layout.per_round_ch(), "ZYX"),
        (Layout("f{fov}_z{z}.tif", inner="rc"), "TCYX"),
        (Layout("f{fov}.tif", inner="rzc"), "TZCYX"),
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_imagej_hyperstacks_are_read_back(tmp_path, dtype, layout, axes, byteorder):
    spec = Spec.from_json({**SPEC.to_json(), "dtype": dtype})
    dataset = write(spec, layout, tmp_path, format="imagej", byteorder=byteorder)
    assert_round_trip(dataset)
    path, _, keys = next(layout.files(spec.extent(0)))
    with tifffile.TiffFile(tmp_path / path) as file:
        assert file.is_imagej
        assert not file.is_ome
        assert file.series[0].axes == axes
        assert file.byteorder == byteorder
        assert np.array_equal(file.asarray().reshape(-1, 40, 50)[-1], dataset.tile(*keys[-1]))
        said = file.imagej_metadata
        assert (said["spacing"], said["unit"]) == (2.0, "um")
        if len(keys) > 1:
            assert said["Labels"][-1] == f"r={keys[-1].round}, c={keys[-1].ch}, z={keys[-1].zplane}"
        assert file.pages[0].tags["XResolution"].value == (4, 1)


LINKED = [
    (Layout.per_round(), "TCZYX"),
    (Layout.per_tile(), "TCZYX"),
    (Layout("f{fov}/{r}/c{c}.ome.tiff", inner="z"), "TCZYX"),
    (Layout("f{fov}_z{z}.ome.tif", inner="rc"), "ZTCYX"),
    (Layout.single_file(), "TCZYX"),
]


@pytest.mark.parametrize(("layout", "axes"), LINKED, ids=str)
def test_any_of_the_linked_files_opens_as_the_whole_image(tmp_path, layout, axes):
    dataset = write(SPEC, layout, tmp_path, linked=True)
    assert_round_trip(dataset)
    seen = set()
    for path, fov, _ in layout.files(SPEC.extent(0), SPEC.fovs):
        with tifffile.TiffFile(tmp_path / path) as file:
            [series] = file.series
            assert series.axes == axes
            places = [axes.index(letter) for letter in "TCZYX"]
            assert np.array_equal(series.asarray().transpose(places), expected_of(dataset, fov))
            image = tifffile.xml2dict(file.ome_metadata)["OME"]
            pixels = image["Image"]["Pixels"]
        assert [channel["Name"] for channel in pixels["Channel"]] == ["ch 0", "ch 5"]
        assert [pixels[f"PhysicalSize{axis}"] for axis in "ZYX"] == [2.0, 0.5, 0.25]
        seen.add(image["UUID"])
    assert len(seen) == len(dataset.files)


@pytest.mark.filterwarnings("default")  # bioio's own libraries warn each other
@pytest.mark.parametrize(("layout", "axes"), LINKED, ids=str)
def test_bioio_opens_any_of_the_linked_files_as_the_whole_image(tmp_path, layout, axes):
    bioio, reader = pytest.importorskip("bioio"), pytest.importorskip("bioio_ome_tiff")
    dataset = write(SPEC, layout, tmp_path, linked=True)
    for path, fov, _ in layout.files(SPEC.extent(0), SPEC.fovs):
        image = bioio.BioImage(tmp_path / path, reader=reader.Reader)
        assert image.dims.order == "TCZYX"
        assert np.array_equal(image.data, expected_of(dataset, fov))
        assert list(image.channel_names) == ["ch 0", "ch 5"]
        assert tuple(image.physical_pixel_sizes) == (2.0, 0.5, 0.25)


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("options", [{"ome": False}, {"format": "imagej"}], ids=str)
def test_bioio_opens_files_without_ome_as_what_they_hold(tmp_path, options):
    bioio, reader = pytest.importorskip("bioio"), pytest.importorskip("bioio_tifffile")
    dataset = write(SPEC, Layout("f{fov}.tif", inner="rzc"), tmp_path, **options)
    for fov in SPEC.fovs:
        image = bioio.BioImage(tmp_path / f"f{fov}.tif", reader=reader.Reader)
        assert image.dims.order == "TCZYX"
        assert np.array_equal(image.data, expected_of(dataset, fov))
        size_z = 2.0 if "format" in options else None
        assert tuple(image.physical_pixel_sizes) == (size_z, 0.5, 0.25)


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("compression", ["deflate", "lzw", "zstd"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_bioio_reads_files_however_they_are_compressed(tmp_path, dtype, compression):
    bioio, ome = pytest.importorskip("bioio"), pytest.importorskip("bioio_ome_tiff")
    plain = pytest.importorskip("bioio_tifffile")
    dataset = write(
        Spec(1, 2, 2, (40, 50), dtype=dtype),
        Layout.per_round(),
        tmp_path,
        compression=compression,
        predictor=dtype not in ("int64", "uint64"),
        tiff_tile=(16, 32),
        byteorder=">",
        bigtiff=True,
    )
    reader = ome if dtype in OME_DTYPES else plain
    image = bioio.BioImage(tmp_path / "fov0_r0.tiff", reader=reader.Reader)
    assert np.array_equal(image.data, expected_of(dataset))


@pytest.mark.parametrize("layout", [Layout.per_tile(), Layout("{fov}.tif", inner="czr")], ids=str)
def test_plain_files_name_their_axes_too(tmp_path, layout):
    dataset = write(SPEC, layout, tmp_path, ome=False)
    for path in dataset.files:
        with tifffile.TiffFile(tmp_path / path) as file:
            assert file.series[0].axes == ("CZTYX" if layout.inner else "YX")


def labels_of(keys):
    return [list(dict.fromkeys(labels)) for labels in zip(*keys, strict=True)]


@pytest.mark.parametrize(("layout", "_"), LINKED, ids=str)
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_a_file_alone_names_its_axes_channels_and_sizes(tmp_path, byteorder, layout, _):
    write(SPEC, layout, tmp_path, byteorder=byteorder)
    for path, _, keys in layout.files(SPEC.extent(0), SPEC.fovs):
        rounds, chs, zplanes = labels_of(keys)
        with tifffile.TiffFile(tmp_path / path) as file:
            letters = "".join({"r": "T", "c": "C", "z": "Z"}[axis] for axis in layout.inner)
            assert file.series[0].axes == letters + "YX"
            pixels = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Pixels"]
        assert [pixels[f"Size{letter}"] for letter in "TCZ"] == [*map(len, (rounds, chs, zplanes))]
        channels = pixels["Channel"]
        channels = channels if isinstance(channels, (list, tuple)) else [channels]
        assert [channel["Name"] for channel in channels] == [f"ch {ch}" for ch in chs]
        assert [pixels[f"PhysicalSize{letter}"] for letter in "ZYX"] == [2.0, 0.5, 0.25]


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(("layout", "_"), LINKED, ids=str)
def test_bioio_opens_a_file_alone_as_what_it_holds(tmp_path, layout, _):
    bioio, reader = pytest.importorskip("bioio"), pytest.importorskip("bioio_ome_tiff")
    dataset = write(SPEC, layout, tmp_path)
    for path, fov, keys in layout.files(SPEC.extent(0), SPEC.fovs):
        image = bioio.BioImage(tmp_path / path, reader=reader.Reader)
        rounds, chs, zplanes = labels_of(keys)
        right = [[[dataset.tile(r, c, z, fov) for z in zplanes] for c in chs] for r in rounds]
        assert image.dims.order == "TCZYX"
        assert np.array_equal(image.data, right)
        assert list(image.channel_names) == [f"ch {ch}" for ch in chs]
        assert tuple(image.physical_pixel_sizes) == (2.0, 0.5, 0.25)


@pytest.mark.parametrize("voxel_size", [(1.0, 0.325, 0.108), (1.0, 1e-9, 1e9)])
def test_plain_files_say_how_wide_pixels_are(tmp_path, voxel_size):
    spec = Spec(1, 1, 1, (8, 8), voxel_size=voxel_size)
    write(spec, Layout.per_tile(), tmp_path, ome=False)
    with tifffile.TiffFile(tmp_path / "fov0_r0_c0_z0.tiff") as file:
        assert file.pages[0].resolutionunit == tifffile.RESUNIT.CENTIMETER
        resolution = file.pages[0].resolution
    # A tag says no more than 2**32 - 1 pixels per centimetre.
    sizes = [max(size, 1e4 / (2**32 - 1)) for size in voxel_size[:0:-1]]
    assert [1e4 / value for value in resolution] == pytest.approx(sizes, rel=1e-5)


@pytest.fixture(scope="module")
def ome_schema():
    xmlschema = pytest.importorskip("xmlschema")
    ome_types = importlib.util.find_spec("ome_types")  # of which only the schema is wanted
    if ome_types is None:
        pytest.skip("needs ome-types")
    [place] = ome_types.submodule_search_locations
    return xmlschema.XMLSchema(Path(place) / "ome-2016-06.xsd", allow="local")


@pytest.mark.parametrize("linked", [False, True])
@pytest.mark.parametrize(("layout", "_"), LINKED, ids=str)
def test_descriptions_are_valid_by_the_schema_of_ome(tmp_path, ome_schema, layout, _, linked):
    dataset = write(SPEC, layout, tmp_path, linked=linked)
    for path in dataset.files:
        with tifffile.TiffFile(tmp_path / path) as file:
            # As bytes, in which the declaration of the encoding is true.
            ome_schema.validate(io.BytesIO(file.pages[0].tags["ImageDescription"].value.encode()))


NPY = [getattr(Layout, name)(".npy") for name in (
    "per_round", "per_ch", "per_zplane", "per_round_ch", "per_tile", "single_file"
)]  # fmt: skip


@pytest.mark.parametrize("layout", NPY, ids=str)
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_npy_files_are_read_back(tmp_path, dtype, byteorder, layout):
    spec = Spec.from_json({**SPEC.to_json(), "dtype": dtype})
    dataset = write(spec, layout, tmp_path, format="npy", byteorder=byteorder)
    assert_round_trip(dataset)
    assert isinstance(dataset.fetcher(), NpyTileFetcher)
    path, _, keys = next(layout.files(spec.extent(0)))
    array = np.load(tmp_path / path, allow_pickle=False)
    assert array.shape == (*layout.inner_shape(spec.extent(0)), 40, 50)
    assert array.dtype == np.dtype(dtype).newbyteorder(byteorder)
    assert np.array_equal(array.reshape(-1, 40, 50)[-1], dataset.tile(*keys[-1]))


def test_npy_files_are_loaded_into_a_stack(tmp_path):
    dataset = write(SPEC, Layout.per_zplane(".npy"), tmp_path, format="npy")
    stack = ImageStack.from_tilefetcher(dataset.fetcher(), **vars(dataset.extent()), dtype=None)
    right = np.array([[[dataset.tile(r, c, z) for z in (2, 3, 4)] for c in (0, 5)] for r in (1, 3)])
    assert np.array_equal(stack.to_numpy(), right)


def test_verify_finds_what_was_done_to_npy_files(tmp_path):
    dataset = write(SPEC, Layout.per_round(".npy"), tmp_path, format="npy")
    path = tmp_path / "fov0_r3.npy"
    whole = path.read_bytes()
    array = np.load(path)
    array[1, 2, 7, 9] ^= 1
    np.save(path, array)
    (pixel,) = dataset.verify().problems
    assert (pixel.tile, pixel.path) == (TileKey(3, 5, 4), "fov0_r3.npy")
    assert pixel.message.startswith("1 of 2000 pixels differ, the first at row 7, column 9")
    for length in (0, 5, 60, 128, len(whole) - 1):
        path.write_bytes(whole[:length])
        short, unreadable = dataset.verify().problems
        assert short.message.startswith(f"is truncated: it has {length} bytes")
        assert unreadable.message.startswith("cannot be read as npy: ")
        with dataset.fetcher() as fetcher, pytest.raises(SourceError, match=r"fov0_r3\.npy"):
            fetcher.get_tile(0, 3, 5, 4).tile_data()


def test_neither_fetcher_takes_the_files_of_the_other(tmp_path):
    layout = Layout("r{r}.npy", inner="cz")
    extent = Spec(1, 2, 3, (4, 6)).extent(0)
    np.save(tmp_path / "r0.npy", np.zeros((2, 3, 4, 6), np.uint16))
    with (
        TiffTileFetcher(tmp_path, layout, extent) as fetcher,
        pytest.raises(SourceError, match=r"it is a \.npy file: read it with NpyTileFetcher"),
    ):
        fetcher.get_tile(0, 0, 0, 0).tile_data()
    pixels = np.zeros((2, 3, 4, 6), np.uint16)
    tifffile.imwrite(tmp_path / "r0.npy", pixels, photometric="minisblack")
    with (
        NpyTileFetcher(tmp_path, layout, extent) as fetcher,
        pytest.raises(SourceError, match=r"r0\.npy is not a readable \.npy file"),
    ):
        fetcher.get_tile(0, 0, 0, 0).tile_data()


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 3, 4, 5), "u2"), r"shape \(2, 3, 4, 5\); expected \(4, 6\)"),
        (np.zeros(24, "u2"), r"shape \(24,\); expected \(4, 6\)"),
        (np.zeros((5, 4, 6), "u2"), "5 planes found; the layout and the extent expect 6"),
        (np.zeros((6, 4, 6), "u1"), "holds uint8; expected uint16"),
        (np.zeros((6, 4, 6), "c8"), "holds complex64; pixels are integers or floats"),
        (np.zeros((6, 4, 6), object), "holds object; pixels are"),
        (np.asfortranarray(np.zeros((6, 4, 6), "u2")), "is in Fortran order"),
    ],
)
def test_an_array_that_is_not_what_was_expected_is_refused(tmp_path, array, message):
    np.save(tmp_path / "r0.npy", array)
    extent = Spec(1, 2, 3, (4, 6)).extent(0)
    layout = Layout("r{r}.npy", inner="cz")
    with (
        NpyTileFetcher(tmp_path, layout, extent, dtype="uint16") as fetcher,
        pytest.raises(SourceError, match=message),
    ):
        fetcher.get_tile(0, 0, 0, 0).tile_data()


FORMATS = [
    {"format": "imagej"},
    {"format": "npy"},
    {"tiff_tile": (16, 16), "compression": "deflate", "predictor": True},
    {"rows_per_strip": 3},
    {"linked": True},
]


@pytest.mark.parametrize("options", FORMATS, ids=str)
def test_any_number_of_workers_gives_the_same_bytes(tmp_path, options):
    layout = Layout("f{fov}_{c}.npy", inner="rz")
    for workers in (1, 2, 5):
        write(SPEC, layout, tmp_path / str(workers), workers=workers, **options)
    assert contents(tmp_path / "1") == contents(tmp_path / "2") == contents(tmp_path / "5")


@pytest.mark.parametrize("options", FORMATS, ids=str)
def test_the_description_says_how_the_files_were_written(tmp_path, options):
    dataset = write(OLDER, Layout("f{fov}_{c}.npy", inner="rz"), tmp_path, **options)
    fields = json.loads((tmp_path / "dataset.json").read_text())
    assert fields["version"] == (2 if "compression" in options else 3)
    said = {name: tuple(one) if isinstance(one, list) else one
            for name, one in fields["options"].items()}  # fmt: skip
    assert {name: said[name] for name in options} == options
    assert Dataset.open(tmp_path) == dataset
    assert dataset.options == Options(**options)


def test_a_description_without_the_new_options_is_of_the_first_version(tmp_path):
    write(OLDER, Layout.per_round(), tmp_path, compression="lzw")
    fields = json.loads((tmp_path / "dataset.json").read_text())
    assert fields["version"] == 1
    assert set(fields["options"]) == {"compression", "bigtiff", "byteorder", "ome"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "jpeg"}, "unknown format 'jpeg'; allowed are 'tiff', 'imagej', 'npy'"),
        ({"tiff_tile": (16, 20)}, r"multiples of 16 up to 32768; got \(16, 20\)"),
        ({"tiff_tile": 16}, "tiff_tile must be"),
        ({"tiff_tile": (16,)}, "tiff_tile must be"),
        ({"tiff_tile": (0, 16)}, "tiff_tile must be"),
        ({"rows_per_strip": 0}, "rows_per_strip must be an int of at least 1; got 0"),
        ({"rows_per_strip": True}, "rows_per_strip must be an int"),
        ({"tiff_tile": (16, 16), "rows_per_strip": 4}, "tiff_tile or rows_per_strip, not both"),
        ({"predictor": True}, "predictor=True needs a compression"),
        ({"linked": True, "ome": False}, "needs ome=True"),
        ({"linked": True, "format": "imagej"}, "needs ome=True and format='tiff'"),
        ({"format": "imagej", "bigtiff": True}, "'imagej' is not written with bigtiff=True"),
        ({"format": "imagej", "compression": "lzw"}, "not written with compression='lzw'"),
        ({"format": "npy", "tiff_tile": (16, 16)}, "'npy' is not written with tiff_tile="),
        ({"format": "npy"}, r"got 'fov\{fov\}_r\{r\}.tiff': end the template in .npy"),
        ({"format": "imagej"}, "in an ImageJ hyperstack c runs fastest.* inner must be z, c"),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        write(SPEC, Layout.per_round(), tmp_path / "new", **options)
    assert not (tmp_path / "new").exists()


def test_dtypes_that_a_format_has_not_are_refused(tmp_path):
    spec = Spec(1, 1, 1, (8, 8), dtype="int64")
    for options, message in [
        ({"format": "imagej"}, "ImageJ has no dtype 'int64'; allowed are uint8, uint16, float32"),
        ({"linked": True}, "has no dtype 'int64'; allowed are uint8"),
        ({"compression": "deflate", "predictor": True}, "predictor=True is not for int64"),
    ]:
        with pytest.raises(ValueError, match=message):
            write(spec, Layout.per_tile(), tmp_path / "new", **options)


def test_too_many_files_to_link_are_refused(tmp_path):
    with pytest.raises(ValueError, match="at most 1000, and there are 1331"):
        write(Spec(11, 11, 11, (8, 8)), Layout.per_tile(), tmp_path, linked=True)


@pytest.mark.parametrize(
    ("name", "value"),
    [("tiff_tile", "16"), ("tiff_tile", [16, "x"]), ("format", []), ("linked", 1), ("new", 1)],
)
def test_a_wrong_option_in_a_description_is_refused(tmp_path, name, value):
    write(SPEC, Layout.per_round(), tmp_path)
    path = tmp_path / "dataset.json"
    fields = json.loads(path.read_text())
    fields["options"][name] = value
    path.write_text(json.dumps(fields))
    with pytest.raises(ValueError, match="the field 'options': "):
        Dataset.open(tmp_path)


def test_the_command_line_takes_them(tmp_path):
    size = ("--rounds", 2, "--chs", 2, "--zplanes", 2, "--size", 40)
    run("synth", "write", "a", *size, "--tiff-tile", "16x32", "--compression", "deflate",
        "--predictor", "--linked")  # fmt: skip
    assert Dataset.open("a").options == Options(
        "deflate", tiff_tile=(16, 32), predictor=True, linked=True
    )
    run("synth", "write", "b", *size, "--format", "imagej", "--rows-per-strip", 4)
    said = said_in_one_line(
        run("synth", "write", "b", *size, "--format", "imagej", "--rows-per-strip", 4), 2
    )
    assert "format 'imagej' is not written with rows_per_strip=4" in said
    assert run("synth", "write", "b", *size, "--format", "imagej").exit_code == 0
    assert run("synth", "verify", "b").exit_code == 0
    assert run("synth", "write", "c", *size, "--format", "npy").exit_code == 0
    assert "fov0_r1_c0.npy" in Dataset.open("c").files
    assert run("check", "c").exit_code == 0
