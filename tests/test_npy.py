"""Headers of ``.npy`` files, of every version, and files that have none."""

import io

import numpy as np
import pytest

from starfish_fetch import Extent, Layout, NpyTileFetcher, SourceError

PIXELS = np.arange(2 * 4 * 6, dtype=np.uint8).reshape(2, 1, 4, 6)


def fetcher_of(folder, **options):
    extent = Extent({"y": 4, "x": 6}, fov=0, rounds=[0], chs=[0, 1], zplanes=[0])
    return NpyTileFetcher(folder, Layout("r{r}.npy", inner="cz"), extent, **options)


def written(version, pixels=PIXELS):
    stream = io.BytesIO()
    np.lib.format.write_array(stream, pixels, version=version)
    return stream.getvalue()


def of_axes(count):
    """A file whose header says that there are so many axes, all but the last three of one."""
    stream = io.BytesIO()
    shape = (1,) * (count - 3) + (2, 4, 6)
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue() + PIXELS.tobytes()


@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
def test_a_header_of_either_version_is_read(tmp_path, version):
    (tmp_path / "r0.npy").write_bytes(written(version))
    fetcher = fetcher_of(tmp_path)
    for ch in (0, 1):
        np.testing.assert_array_equal(fetcher.get_tile(0, 0, ch, 0).tile_data(), PIXELS[ch, 0])


def test_axes_of_one_are_passed_over(tmp_path):
    (tmp_path / "r0.npy").write_bytes(of_axes(32))
    np.testing.assert_array_equal(
        fetcher_of(tmp_path).get_tile(0, 0, 1, 0).tile_data(), PIXELS[1, 0]
    )


@pytest.mark.filterwarnings("ignore:Stored array in format")
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (written((3, 0)), r"r0\.npy is not a readable \.npy file: its format is \(3, 0\)"),
        (b"", r"r0\.npy is not a readable \.npy file"),
        (b"\x93NUMPY\x01\x00", r"r0\.npy is not a readable \.npy file"),
        (b"II*\x00" + bytes(100), r"r0\.npy is not a readable \.npy file"),
        (of_axes(33), r"r0\.npy holds an array of 33 axes; at most 32 are read"),
    ],
)
def test_what_is_no_such_file_is_told(tmp_path, data, message):
    (tmp_path / "r0.npy").write_bytes(data)
    fetcher = fetcher_of(tmp_path)
    with pytest.raises(SourceError, match=message):
        fetcher.get_tile(0, 0, 0, 0).tile_data()


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (PIXELS > 7, "holds bool; pixels are integers or floats"),
        (PIXELS.astype("S3"), r"holds \|S3; pixels are"),
        (np.asfortranarray(PIXELS), "is in Fortran order: save numpy.ascontiguousarray of it"),
        (PIXELS.swapaxes(2, 3).copy(), r"of the shape \(2, 1, 6, 4\); expected \(4, 6\)"),
        (PIXELS[0, 0, 0], r"of the shape \(6,\); expected \(4, 6\)"),
        (PIXELS[:1], "1 planes found; the layout and the extent expect 2"),
        (np.concatenate([PIXELS] * 2), "4 planes found; the layout and the extent expect 2"),
        (PIXELS.astype(np.int8), "holds int8; expected uint8"),
    ],
)
def test_an_array_other_than_expected_is_refused_and_the_file_named(tmp_path, pixels, message):
    (tmp_path / "r0.npy").write_bytes(written((1, 0), pixels))
    fetcher = fetcher_of(tmp_path, dtype=np.uint8)
    with pytest.raises(SourceError, match=rf"r0\.npy.* {message}|r0\.npy: {message}") as raised:
        fetcher.get_tile(0, 0, 1, 0).tile_data()
    assert "tile (fov=0, round=0, ch=1, zplane=0)" in raised.value.__notes__[0]


def test_the_byte_order_of_an_array_is_not_its_dtype(tmp_path):
    wide = (PIXELS * np.uint16(257)).astype(">u2")
    (tmp_path / "r0.npy").write_bytes(written((1, 0), wide))
    fetcher = fetcher_of(tmp_path, dtype=np.uint16)
    np.testing.assert_array_equal(fetcher.get_tile(0, 0, 1, 0).tile_data(), wide[1, 0])


def test_a_file_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    from starfish_fetch.open_file import OpenFile

    (tmp_path / "r0.npy").write_bytes(written((1, 0)))
    fetcher = fetcher_of(tmp_path)

    def fails(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(OpenFile, "read_at", fails)
    with pytest.raises(OSError, match="Input/output error") as raised:
        fetcher.get_tile(0, 0, 0, 0).tile_data()
    assert str(raised.value.filename) == str(tmp_path / "r0.npy")
