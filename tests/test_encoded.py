"""What compressed pixels say of themselves is read, and refused where it is too much."""

import lzma
import struct
import zlib

import numpy as np
import pytest

from starfish_fetch import encoded

imagecodecs = pytest.importorskip("imagecodecs")

PIXELS = np.arange(64 * 48, dtype=np.uint8).reshape(64, 48)
LZW, DEFLATE, PACKBITS, LZMA, JPEG, PNG, JPEG2000 = 5, 8, 32773, 34925, 7, 34933, 34712
DAMAGED = "its header is damaged"


def check(data, compression, rows=64, columns=48):
    encoded.check_encoded(bytearray(data), compression, rows, columns, rows * columns)


def jpeg():
    return imagecodecs.jpeg8_encode(PIXELS)


def codestream():
    return imagecodecs.jpeg2k_encode(PIXELS, codecformat="j2k", reversible=True)


def boxed():
    return imagecodecs.jpeg2k_encode(PIXELS, codecformat="jp2", reversible=True)


def segment(marker, content):
    return struct.pack(">HH", marker, 2 + len(content)) + content


def behind(data, marker, new):
    """Put something before the first segment of a kind."""
    at = data.index(struct.pack(">H", marker))
    return data[:at] + new + data[at:]


@pytest.mark.parametrize("new", [b"\xff\xff\xff", b"\xff\x01", b"\xff\xd0"])
def test_what_may_stand_between_the_segments_of_a_jpeg_is_passed_over(new):
    data = behind(jpeg(), 0xFFC0, new)
    check(data, JPEG)
    with pytest.raises(ValueError, match="64 rows, 48 columns and 1 samples; expected are 63 rows"):
        check(data, JPEG, rows=63)


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xd8\xff\xd9",
        b"\xff\xd8\xff\xc0\x00\x11\x08\xff\xd9",
        b"\xff\xd8" + segment(0xFFFE, b"no frame") + b"\xff\xda\x00\x02\xff\xd9",
        b"\xff\xd8\0\0" + jpeg()[2:],
    ],
    ids=["nothing", "cut in its size", "no size", "no marker"],
)
def test_a_jpeg_that_does_not_say_its_size_is_refused(data):
    with pytest.raises(ValueError, match=DAMAGED):
        check(data, JPEG)


def test_a_png_is_known_by_its_beginning():
    data = imagecodecs.png_encode(PIXELS)
    check(data, PNG)
    for at in (1, 13):
        with pytest.raises(ValueError, match=DAMAGED):
            check(data[:at] + b"?" + data[at + 1 :], PNG)
    with pytest.raises(ValueError, match=DAMAGED):
        check(data[:25], PNG)


def long_box(data):
    """Say the length of the box of the codestream in 64 bits."""
    at = data.index(b"jp2c")
    length = len(data) - (at - 4) + 8
    return data[: at - 4] + struct.pack(">I4sQ", 1, b"jp2c", length) + data[at + 4 :]


@pytest.mark.parametrize("change", [bytes, long_box])
def test_a_codestream_is_found_in_its_box(change):
    data = change(boxed())
    check(data, JPEG2000)
    with pytest.raises(ValueError, match="it has 64 rows, 48 columns"):
        check(data, JPEG2000, columns=47)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        struct.pack(">I4s", 0, b"jP  ") + codestream(),
        boxed().replace(b"jp2c", b"jp2?"),
        codestream()[:41],
    ],
    ids=["nothing", "a box without length", "no box of it", "cut in its size"],
)
def test_jpeg_2000_without_a_codestream_is_refused(data):
    with pytest.raises(ValueError, match=DAMAGED):
        check(data, JPEG2000)


@pytest.mark.parametrize(
    ("new", "message"),
    [
        (segment(0xFF53, bytes([0, 0, 5, 4, 4, 0, 1])), None),
        (segment(0xFF53, bytes([0, 0, 5, 0, 0, 0, 1])), "blocks of 4 rows and 4 columns, into 1"),
        (segment(0xFF53, bytes([0, 1, 0, 4, 4, 0, 1, 0x11])), "of down to 2 pixels"),
        (segment(0xFF64, b"a comment"), None),
        (struct.pack(">HH", 0x1234, 8), DAMAGED),
    ],
    ids=["as usual", "small blocks", "small precincts", "a comment", "no marker"],
)
def test_every_way_of_coding_in_a_codestream_is_looked_at(new, message):
    data = behind(codestream(), 0xFF5C, new)
    if message is None:
        check(data, JPEG2000)
    else:
        with pytest.raises(ValueError, match=message):
            check(data, JPEG2000)


def second_tile(first):
    """A codestream with the pixels of a tile, and the header of one more, which says too much."""
    data = codestream()
    at = data.index(b"\xff\x90")
    size = len(data) - 2 - at
    tile = data[at : at + 6] + struct.pack(">I", size if first else 0) + data[at + 10 : -2]
    small = segment(0xFF52, bytes([0, 0, 0, 1, 0, 5, 0, 0, 0, 1]))
    header = segment(0xFF90, struct.pack(">HIBB", 1, 12 + len(small) + 2, 0, 1))
    return data[:at] + tile + header + small + b"\xff\x93\xff\xd9"


def test_tiles_behind_the_first_are_looked_at_as_well():
    with pytest.raises(ValueError, match="blocks of 4 rows and 4 columns"):
        check(second_tile(True), JPEG2000)
    check(second_tile(False), JPEG2000)  # where the first goes to the end


@pytest.fixture
def without_imagecodecs(monkeypatch):
    monkeypatch.setattr(encoded, "find_spec", lambda name: None)


PACKED = {
    DEFLATE: zlib.compress,
    LZMA: lzma.compress,
    # Runs and literals, and the byte that does nothing.
    PACKBITS: lambda data: b"\x80" + b"".join(
        struct.pack("BB", 257 - 128, data[0]) if at else b"\x7f" + data[:128]
        for at in range(len(data) // 128)
    ),
}  # fmt: skip


@pytest.mark.usefixtures("without_imagecodecs")
@pytest.mark.parametrize("compression", PACKED)
def test_python_s_own_codecs_make_no_more_than_a_part(compression):
    data = PACKED[compression](bytes(64 * 48))
    check(data, compression)
    with pytest.raises(ValueError, match="it makes more than 3024 bytes"):
        check(data, compression, rows=63)
    check(b"anything", 1)


def test_lzw_that_ends_with_a_table_is_read():
    check(imagecodecs.lzw_encode(PIXELS), LZW)
