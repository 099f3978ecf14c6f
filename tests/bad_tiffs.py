"""TIFF files that nobody should have written, each with what is wrong with it.

All lack pixels, or lie about them; reading them must raise, and say what is in ``message``.
"""

import io
import os
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SHAPE = (16, 32)
PIXELS = (np.arange(SHAPE[0] * SHAPE[1]) % 251 + 1).astype(np.uint8).reshape(SHAPE)
_RAW = PIXELS.tobytes()
_BYTE, _ASCII, _SHORT, _LONG, _RATIONAL, _LONG8 = 1, 2, 3, 4, 5, 16
_WIDTHS = {_BYTE: 1, _ASCII: 1, _SHORT: 2, _LONG: 4, _RATIONAL: 8, _LONG8: 8}

Entry = tuple[int, int, int, int | bytes]
"""A tag: code, type, count, and its value, or bytes that stand elsewhere."""


@dataclass(frozen=True)
class BadTiff:
    """A file, and what it is for."""

    name: str
    why: str
    message: str
    """What the error says, as a regular expression."""
    write: Callable[[Path], object]
    planes: int = 1
    shape: tuple[int, int] = SHAPE
    codec: str | None = None
    """The codec of imagecodecs that it needs."""


def make(
    *pages: dict[int, Entry | None] | None,
    body: bytes = _RAW,
    big: bool = False,
    order: str = "<",
    last: int = 0,
    size: int = 0,
) -> bytes:
    """Return a file: header, pixels, then each page's tags and what stands elsewhere of them.

    Parameters
    ----------
    pages : dict
        What differs, by code, from a page of one strip of bytes; None leaves a tag out.
    body : bytes
        What stands behind the header.
    last : int
        Where the last page says that the next is: -1 is the first.
    size : int
        To which zeros are added, as a hole.
    """
    start = 16 if big else 8
    width, number, counter, inline = (20, "Q", "Q", 8) if big else (12, "I", "H", 4)
    data = bytearray(start) + body
    if big:
        struct.pack_into(order + "2sHHH", data, 0, b"II" if order == "<" else b"MM", 43, 8, 0)
    else:
        struct.pack_into(order + "2sH", data, 0, b"II" if order == "<" else b"MM", 42)
    link, first = start - struct.calcsize(number), 0
    for page in pages or ({},):
        tags: dict[int, Entry | None] = {
            tag[0]: tag
            for tag in (
                (256, _LONG, 1, SHAPE[1]), (257, _LONG, 1, SHAPE[0]), (258, _SHORT, 1, 8),
                (259, _SHORT, 1, 1), (262, _SHORT, 1, 1), (273, _LONG, 1, start),
                (277, _SHORT, 1, 1), (278, _LONG, 1, SHAPE[0]), (279, _LONG, 1, len(body)),
            )
        }  # fmt: skip
        entries = [tag for tag in {**tags, **(page or {})}.values() if tag is not None]
        place = len(data)
        first = first or place
        struct.pack_into(order + number, data, link, place)
        elsewhere = (
            place + struct.calcsize(counter) + width * len(entries) + struct.calcsize(number)
        )
        data += struct.pack(order + counter, len(entries))
        tail = b""
        for code, kind, count, value in entries:
            if isinstance(value, bytes):
                place, tail = elsewhere + len(tail), tail + value
                field = struct.pack(order + number, place)
            else:
                letter = {1: "B", 2: "H", 4: "I", 8: number}[min(_WIDTHS.get(kind, 4), inline)]
                field = struct.pack(order + letter, value)
            data += struct.pack(order + "HH" + number, code, kind, count) + field.ljust(
                inline, b"\0"
            )
        link = len(data)
        data += bytes(struct.calcsize(number)) + tail
    struct.pack_into(order + number, data, link, first if last == -1 else last)
    return bytes(data).ljust(size, b"\0")


def _numbers(code: int, *values: int, letter: str = "I") -> Entry:
    kind = {"H": _SHORT, "I": _LONG, "Q": _LONG8}[letter]
    return code, kind, len(values), struct.pack(f"<{len(values)}{letter}", *values)


def _data(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


def _with_tags(**codes: Entry | None) -> dict[int, Entry | None]:
    return {int(name[1:]): entry for name, entry in codes.items()}


def _one(code: int, value: int, kind: int = _LONG) -> dict[int, Entry | None]:
    return {code: (code, kind, 1, value)}


def _compressed(
    scheme: int, body: bytes, shape: tuple[int, int] = SHAPE, **more: Entry | None
) -> bytes:
    rows, columns = shape
    size = {**_one(256, columns), **_one(257, rows), **_one(278, rows)}
    return make({**size, **_one(259, scheme, _SHORT), **_with_tags(**more)}, body=body)


def _encode(codec: str, pixels: object, **options: object) -> bytes:
    import imagecodecs

    return bytes(getattr(imagecodecs, f"{codec}_encode")(pixels, **options))


def _encoded(
    scheme: int,
    codec: str,
    change: Callable[[bytes], bytes],
    pixels: object = PIXELS,
    shape: tuple[int, int] = SHAPE,
    **more: Entry,
) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        path.write_bytes(_compressed(scheme, change(_encode(codec, pixels)), shape, **more))

    return write


def _lzw(codes: Sequence[int]) -> bytes:
    """Return codes, none of which begins another table than the first or the last does."""
    text = "".join(
        f"{code:0{9 + (number > 254) + (number > 766)}b}" for number, code in enumerate(codes)
    )
    return int(text.ljust(-(-len(text) // 8) * 8, "0"), 2).to_bytes(-(-len(text) // 8))


def _jpeg2000_tiles(side: int) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        place = data.index(b"\xff\x51") + 22
        return data[:place] + struct.pack(">II", side, side) + data[place + 8 :]

    return change


def _jpeg2000_coding(new: bytes, offset: int) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        place = data.index(b"\xff\x52") + offset
        return data[:place] + new + data[place + len(new) :]

    return change


def _jpeg2000_precincts(data: bytes) -> bytes:
    place = data.index(b"\xff\x52")
    levels = data[place + 9]
    segment = bytearray(data[place : place + 14] + b"\x11" * (levels + 1))
    segment[4] |= 1
    struct.pack_into(">H", segment, 2, len(segment) - 2)
    return data[:place] + segment + data[place + 14 :]


def _jpeg_says(rows: int, columns: int) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        place = data.index(b"\xff\xc0") + 5
        return data[:place] + struct.pack(">HH", rows, columns) + data[place + 4 :]

    return change


def _jpeg_twice(data: bytes) -> bytes:
    place = data.index(b"\xff\xc0")
    frame = data[place : place + 2 + int.from_bytes(data[place + 2 : place + 4], "big")]
    huge = frame[:5] + struct.pack(">HH", 65500, 65500) + frame[9:]
    return data[:place] + frame + huge + data[place + len(frame) :]


def _png_says(rows: int, columns: int) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        head = b"IHDR" + struct.pack(">II", columns, rows) + data[24:29]
        return data[:12] + head + struct.pack(">I", zlib.crc32(head)) + data[33:]

    return change


def _jpeg2000_says(rows: int, columns: int) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        place = data.index(b"\xff\x4f\xff\x51") + 8
        return data[:place] + struct.pack(">II", columns, rows) + data[place + 8 :]

    return change


def _sparse(data: bytes, size: int) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        path.write_bytes(data)
        os.truncate(path, size)

    return write


def _described(text: bytes, planes: int) -> bytes:
    """One page, with room for more behind it, and a description that tells of them."""
    tags = {270: (270, _ASCII, len(text) + 1, text + b"\0"), **_one(279, len(_RAW))}
    return make(tags, body=_RAW * planes)


_BEYOND = "is truncated"
_UNDECODED = "part 0 of a plane cannot be decoded"
_MEGABYTES = 64 << 20
_LAUGHS = (
    b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "aaaaaaaaaa">'
    + b"".join(
        b'<!ENTITY %c "%s">' % (letter, b"&%c;" % (letter - 1) * 10) for letter in range(98, 112)
    )
    + b']><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">&o;</OME>'
)
_ELSEWHERE = (
    b'<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
    b'<Image ID="Image:0"><Pixels BigEndian="false" DimensionOrder="XYZCT" ID="Pixels:0" '
    b'SizeC="1" SizeT="1" SizeX="32" SizeY="16" SizeZ="2" Type="uint8"><TiffData FirstC="0" '
    b'FirstT="0" FirstZ="0" IFD="0" PlaneCount="2"><UUID FileName="secret.tif">urn:uuid:1</UUID>'
    b"</TiffData></Pixels></Image></OME>"
)
_NOWHERE = _ELSEWHERE.replace(
    b'PlaneCount="2"><UUID FileName="secret.tif">urn:uuid:1</UUID></TiffData>', b'PlaneCount="1"/>'
)


def bad_tiffs() -> Iterator[BadTiff]:
    """Yield every bad file."""
    yield from _chains()
    yield from _shapes()
    yield from _places()
    yield from _counts()
    yield from bombs()
    yield from liars()


def _chains() -> Iterator[BadTiff]:
    cut = make({})
    yield BadTiff(
        "page that leads to itself", "a reader would go on for ever",
        "lead back to each other", _data(make({}, last=-1)),
    )  # fmt: skip
    yield BadTiff(
        "two pages in a circle", "the same, of another length",
        "lead back to each other", _data(make({}, {}, last=-1)), planes=2,
    )  # fmt: skip
    yield BadTiff(
        "circle in BigTIFF, big-endian", "the same, in the other form and byte order",
        "lead back to each other", _data(make({}, last=-1, big=True, order=">")),
    )  # fmt: skip
    yield BadTiff(
        "page beyond the end", "there is nothing to parse",
        "what describes page 1 is missing", _data(make({}, last=2**32 - 2)),
    )  # fmt: skip
    yield BadTiff(
        "page beyond what any file has", "an offset that no system call takes",
        "what describes page 1 is missing", _data(make({}, last=2**64 - 2, big=True)),
    )  # fmt: skip
    yield BadTiff(
        "page cut off", "its tags are not all there", "what describes page 0 is missing",
        _data(cut[: -4 - 12 * 3]),
    )  # fmt: skip
    yield BadTiff(
        "no page", "a header that leads nowhere", "has no page",
        _data(b"II\x2a\0" + bytes(12)),
    )  # fmt: skip
    yield BadTiff(
        "nothing but a copy of reduced size", "the image that it is a copy of is missing",
        "nothing but copies of reduced size", _data(make(_one(254, 1))),
    )  # fmt: skip
    reduced = b"".join(
        struct.pack("<HHHIII", 1, 254, 4, 1, 1, 18 * number) for number in range(1, 60_001)
    )
    start = len(make({}))
    shifted = bytearray(reduced)
    for number in range(60_000):
        following = start + 18 * (number + 1) if number < 59_999 else 0
        struct.pack_into("<I", shifted, 18 * number + 14, following)
    yield BadTiff(
        "60,000 copies of reduced size", "each costs time, and none is wanted",
        r"pages have \d+, where 1 planes are expected",
        _data(make({}, last=start) + bytes(shifted)),
    )  # fmt: skip
    many = bytearray(make({}, size=800_000))
    struct.pack_into("<H", many, struct.unpack_from("<I", many, 4)[0], 65535)
    yield BadTiff("65,535 tags", "more than any writer has", "has 65535 tags", _data(bytes(many)))
    many = bytearray(make({}, big=True))
    struct.pack_into("<Q", many, struct.unpack_from("<Q", many, 8)[0], 2**40)
    yield BadTiff(
        "2**40 tags", "more than memory holds, in a file that is as large as wanted",
        "has 1099511627776 tags", _sparse(bytes(many), 1 << 40),
    )  # fmt: skip
    shared = {code: (code, _ASCII, 60 << 20, 64) for code in range(40_000, 44_000)}
    yield BadTiff(
        "4,000 tags of one value", "each would be read: 240 GB", "bytes describe page 0",
        _sparse(make(shared), _MEGABYTES),
    )  # fmt: skip
    yield BadTiff(
        "description of 1 GiB", "it would be read, and made a text", "bytes describe page 0",
        _sparse(make({270: (270, _ASCII, 1 << 30, 64)}), (1 << 30) + 4096),
    )  # fmt: skip


def _shapes() -> Iterator[BadTiff]:
    yield BadTiff(
        "huge dimensions", "2**62 pixels", r"planes of the shape \(2147483648, 2147483648\)",
        _data(make({**_one(256, 2**31), **_one(257, 2**31)})),
    )  # fmt: skip
    yield BadTiff(
        "no columns", "a plane without pixels", "of the shape|without pixels",
        _data(make(_one(256, 0))),
    )  # fmt: skip
    yield BadTiff(
        "no depth", "a plane without pixels", "a page without pixels",
        _data(make(_one(32997, 0))),
    )  # fmt: skip
    yield BadTiff(
        "compressed volume", "its planes are not parts that can be decoded by themselves",
        "has compressed volumes; each plane must be a page",
        _data(
            make({**_one(32997, 2), **_one(259, 8, _SHORT)}, body=zlib.compress(_RAW * 2))
        ),
        planes=2,
    )  # fmt: skip
    yield BadTiff(
        "65,535 samples", "65,535 planes in a page", "planes found|of the shape",
        _data(make({**_one(277, 65535, _SHORT), **_one(284, 2, _SHORT)})),
    )  # fmt: skip
    for bits in (0, 255):
        yield BadTiff(
            f"{bits} bits", "pixels that no dtype describes, or other than the bytes are",
            "no dtype describes|cannot be decoded|not a readable TIFF",
            _data(make(_one(258, bits, _SHORT))),
        )  # fmt: skip
    tiles = {278: None, 273: None, 279: None, 324: (324, _LONG, 1, 8), 325: (325, _LONG, 1, 512)}
    for name, rows, columns in (("no rows", 0, 32), ("no columns", 16, 0)):
        yield BadTiff(
            f"tiles of {name}", "a division by zero", "not a readable TIFF|cut into parts of",
            _data(make({**tiles, **_one(322, columns), **_one(323, rows)})),
        )  # fmt: skip
    yield BadTiff(
        "strips of no rows", "a division by zero", "cut into parts of|not a readable TIFF",
        _data(make({**_one(278, 0), **_one(259, 8, _SHORT)})),
    )  # fmt: skip
    yield BadTiff(
        "tiles of one pixel", "more parts than pixels are worth", "is cut into 512 parts",
        _data(make({**tiles, **_one(322, 1), **_one(323, 1)})),
    )  # fmt: skip
    yield BadTiff(
        "tiles of 4 GB", "padding that is larger than any plane",
        "a part of a plane has 65520 rows",
        _data(
            make(
                {**tiles, **_one(322, 65520), **_one(323, 65520), **_one(259, 8, _SHORT)},
                body=zlib.compress(bytes(1 << 20)),
            )
        ),
    )  # fmt: skip


def _places() -> Iterator[BadTiff]:
    yield BadTiff(
        "strip beyond the end", "its pixels are not there", _BEYOND, _data(make(_one(273, 2**31)))
    )
    yield BadTiff(
        "strip beyond what any file has", "an offset that no system call takes", _BEYOND,
        _data(make(_one(273, 2**64 - 1, _LONG8), big=True)),
    )  # fmt: skip
    yield BadTiff(
        "strip that ends beyond the end", "its last pixels are not there", _BEYOND,
        _data(make({}, body=b"")[:8] + make({})[8:300]),
    )  # fmt: skip
    yield BadTiff(
        "compressed strip beyond the end", "its pixels are not there", _BEYOND,
        _data(make({**_one(273, 2**30), **_one(259, 8, _SHORT)})),
    )  # fmt: skip
    yield BadTiff(
        "strip at 0", "the mark of pixels that were never written", "never written",
        _data(make(_one(273, 0))),
    )  # fmt: skip
    yield BadTiff(
        "strip of no bytes", "the mark of pixels that were never written", "never written",
        _data(make(_one(279, 0))),
    )  # fmt: skip
    yield BadTiff(
        "overlapping strips", "the second begins within the first", "overlaps the part at 200",
        _data(make({**_one(278, 8), 273: _numbers(273, 8, 200), 279: _numbers(279, 256, 256)})),
    )  # fmt: skip
    body = zlib.compress(_RAW[:256])
    yield BadTiff(
        "overlapping compressed tiles", "the second begins within the first", "overlaps the part",
        _data(
            make(
                {
                    **_one(259, 8, _SHORT), **_one(322, 16), **_one(323, 16), 273: None, 279: None,
                    278: None, 324: _numbers(324, 8, 9), 325: _numbers(325, len(body), len(body)),
                },
                body=body * 2,
            )
        ),
    )  # fmt: skip
    yield BadTiff(
        "offsets that are fractions", "no place in a file", "are not whole numbers",
        _data(make({273: (273, _RATIONAL, 1, struct.pack("<II", 8, 1))})),
    )  # fmt: skip
    yield BadTiff(
        "offsets that are not there", "the list of them lies beyond the end",
        "is truncated|not a readable TIFF",
        _data(make({**_one(278, 8), 273: (273, _LONG, 2, 2**31)})),
    )  # fmt: skip


def _counts() -> Iterator[BadTiff]:
    yield BadTiff(
        "2 offsets and 1 size", "one strip without its size", "has 2 offsets and 1 sizes",
        _data(make({**_one(278, 8), 273: _numbers(273, 8, 300), **_one(279, 256)})),
    )  # fmt: skip
    yield BadTiff(
        "3 strips of 2", "one strip too many", "has 3 offsets and 3 sizes",
        _data(
            make(
                {
                    **_one(278, 8), 273: _numbers(273, 8, 300, 600),
                    279: _numbers(279, 256, 200, 10),
                }
            )
        ),
    )  # fmt: skip
    yield BadTiff(
        "no offsets", "a page without pixels", "never written|not a readable TIFF",
        _data(make({273: None})),
    )  # fmt: skip
    for count in (2**32 - 1, 15 << 20):
        yield BadTiff(
            f"{count} offsets", "a list larger than the image",
            f"has {count} offsets of pixels|bytes describe page 0",
            _sparse(make({273: (273, _LONG, count, 64), 279: (279, _LONG, count, 64)}), _MEGABYTES),
        )  # fmt: skip
    yield BadTiff(
        "half as many bytes", "what stands behind the strip would be taken for pixels",
        "says that it holds 256 bytes of pixels; 512 are expected", _data(make(_one(279, 256))),
    )  # fmt: skip
    yield BadTiff(
        "strip of 2 GB", "a size of which little is there", _BEYOND,
        _data(make({**_one(278, 8), 273: _numbers(273, 300, 8), 279: _numbers(279, 2**31, 256)})),
    )  # fmt: skip
    yield BadTiff(
        "compressed strip of 60 MB", "a size that is there, and that no 512 pixels have",
        f"is damaged: part 0 of a page has {60 << 20} bytes compressed",
        _sparse(make({**_one(259, 8, _SHORT), **_one(279, 60 << 20)}), _MEGABYTES),
    )  # fmt: skip
    yield BadTiff(
        "one plane of two", "a page is missing", "1 planes found", _data(make({})), planes=2
    )
    yield BadTiff(
        "strip too short", "uncompressed, with a gap behind: half of its pixels are missing",
        _UNDECODED,
        _data(make({**_one(278, 8), 273: _numbers(273, 8, 300), 279: _numbers(279, 128, 200)})),
    )  # fmt: skip


def bombs() -> Iterator[BadTiff]:
    """Yield files of which the pixels, or the text, say that they are more."""
    zeros = bytes(16 << 20)
    tiles = {
        278: None,
        273: None,
        279: None,
        324: (324, _LONG, 1, 8),
        325: (325, _LONG, 1, 1 << 14),
    }
    yield BadTiff(
        "bomb of zlib", "16 MB out of 16 kB, where 512 bytes are a plane", _UNDECODED,
        _data(_compressed(8, zlib.compress(zeros))),
    )  # fmt: skip
    yield BadTiff(
        "bomb of zstd", "16 MB out of 1 kB, where 512 bytes are a plane", _UNDECODED,
        _encoded(50000, "zstd", bytes, zeros), codec="zstd",
    )  # fmt: skip
    yield BadTiff(
        "bomb of packbits", "4 MB out of 64 kB, where 512 bytes are a plane", _UNDECODED,
        _data(_compressed(32773, b"\x81\0" * (1 << 15))),
    )  # fmt: skip
    for rows, columns in ((65500, 65500), (16, 65500), (17, 32)):
        said = f"it says that it has {rows} rows, {columns} columns"
        for scheme, codec, says in (
            (7, "jpeg", _jpeg_says),
            (34933, "png", _png_says),
            (34712, "jpeg2k", _jpeg2000_says),
        ):
            yield BadTiff(
                f"{codec} of {rows} x {columns}", "its header asks for up to 4 GB",
                said, _encoded(scheme, codec, says(rows, columns)), codec=codec,
            )  # fmt: skip
    yield BadTiff(
        "tile of 2**31 planes", "512 bytes are a plane", "tiles of 2147483648 planes",
        _data(
            make(
                {
                    **tiles, **_one(322, 32), **_one(323, 16), **_one(32998, 2**31),
                    **_one(259, 8, _SHORT),
                },
                body=zlib.compress(bytes(1 << 24)),
            )
        ),
    )  # fmt: skip
    yield BadTiff(
        "tile of 4096 x 4096", "16 MB out of 16 kB, where 512 bytes are a plane",
        "a part of a plane has 4096 rows and 4096 columns",
        _data(
            make(
                {**tiles, **_one(322, 4096), **_one(323, 4096), **_one(259, 8, _SHORT)},
                body=zlib.compress(bytes(1 << 24)),
            )
        ),
    )  # fmt: skip
    yield BadTiff(
        "jpeg of 100 scans", "each goes over all pixels", "it has 101 scans; at most 64 are read",
        _encoded(7, "jpeg", lambda data: data[:-2] + b"\xff\xda\0\2" * 100 + data[-2:]),
        codec="jpeg",
    )  # fmt: skip
    for name, change, said in (
        ("tiles of 17", _jpeg2000_tiles(17), "cut into tiles of 17 rows and 17 columns"),
        ("blocks of 4", _jpeg2000_coding(bytes(2), 10), "blocks of 4 rows and 4 columns"),
        ("precincts of 2", _jpeg2000_precincts, "precincts of down to 2 pixels"),
        ("65,535 layers", _jpeg2000_coding(b"\xff\xff", 6), "65535 layers"),
    ):
        yield BadTiff(
            f"jpeg2k of {name}", "its codec would make gigabytes of a few hundred bytes", said,
            _encoded(34712, "jpeg2k", change, np.zeros((1024, 1024), np.uint8), (1024, 1024)),
            shape=(1024, 1024), codec="jpeg2k",
        )  # fmt: skip
    yield BadTiff(
        "jpeg of two frames", "the second header asks for 4 GB", "its header is damaged",
        _encoded(7, "jpeg", _jpeg_twice), codec="jpeg",
    )  # fmt: skip
    yield BadTiff(
        "scheme that says its size itself", "JPEG XL has its own header, which is not looked at",
        "compressed by the scheme 50002, which is not read", _data(_compressed(50002, bytes(64))),
    )  # fmt: skip
    yield BadTiff(
        "ten billion laughs", "entities of XML within each other", "1 planes found",
        _data(_described(_LAUGHS, 3)), planes=2,
    )  # fmt: skip
    shape = b'{"shape": [4000000000, 4000000000, 16, 32]}'
    yield BadTiff(
        "shape of 8 * 10**21", "a description that tells of planes that are not there",
        "planes found", _data(_described(shape, 3)), planes=2,
    )  # fmt: skip
    imagej = b"ImageJ=1.53\nimages=1000000000\nslices=1000000000\nhyperstack=true\n"
    yield BadTiff(
        "10**9 images", "a description that tells of planes that are not there", "planes found",
        _data(_described(imagej, 3)), planes=2,
    )  # fmt: skip


def liars() -> Iterator[BadTiff]:
    """Yield files of which the pixels are not what the page says."""
    half = _RAW[:256]
    for name, codes, said in (
        ("begins with a string", (256, 300), "begins with a code that stands for nothing"),
        ("later begins with one", (256, *_RAW[:99], 256, 300), "a code that stands for nothing"),
        ("is not begun", (256, *_RAW[:-1], 256), "it ends where a table begins"),
    ):
        yield BadTiff(
            f"lzw of which a table {name}", "its codec would look for it in other memory", said,
            _data(_compressed(5, _lzw(codes))), codec="lzw",
        )  # fmt: skip
    yield BadTiff(
        "zlib of half a plane", "it ends where pixels are missing", _UNDECODED,
        _data(_compressed(8, zlib.compress(half))),
    )  # fmt: skip
    yield BadTiff(
        "zlib that is cut", "its last bytes are missing", _UNDECODED,
        _data(_compressed(8, zlib.compress(_RAW)[:-9])),
    )  # fmt: skip
    for scheme, codec in ((5, "lzw"), (50000, "zstd"), (32773, "packbits"), (34925, "lzma")):
        yield BadTiff(
            f"{codec} of half a plane", "it ends where pixels are missing", _UNDECODED,
            _encoded(scheme, codec, bytes, half), codec=codec,
        )  # fmt: skip
        yield BadTiff(
            f"{codec} that is cut", "its last bytes are missing", _UNDECODED,
            _encoded(scheme, codec, lambda data: data[: len(data) // 2]), codec=codec,
        )  # fmt: skip
    yield BadTiff(
        "jpeg that is cut", "its codec would make the rest grey", "ends before its end is marked",
        _encoded(7, "jpeg", lambda data: data[: len(data) // 2]), codec="jpeg",
    )  # fmt: skip
    yield BadTiff(
        "jpeg of half a plane", "it ends where pixels are missing", _UNDECODED,
        _encoded(7, "jpeg", bytes, PIXELS[:8]), codec="jpeg",
    )  # fmt: skip
    yield BadTiff(
        "jpeg of colours", "its three samples would be taken for rows", "3 samples",
        _encoded(7, "jpeg", bytes, np.stack([PIXELS] * 3, -1)), codec="jpeg",
    )  # fmt: skip
    for scheme, codec in ((34933, "png"), (34712, "jpeg2k")):
        yield BadTiff(
            f"{codec} that is cut", "its last bytes are missing", _UNDECODED,
            _encoded(scheme, codec, lambda data: data[: len(data) // 2]), codec=codec,
        )  # fmt: skip
        yield BadTiff(
            f"{codec} of 16 bits", "the page says 8, and half of each would be lost",
            "holds uint16, its page uint8", _encoded(scheme, codec, bytes, PIXELS * np.uint16(257)),
            codec=codec,
        )  # fmt: skip
    yield BadTiff(
        "planes that are nowhere", "its OME-XML says where one of two planes is", "planes found",
        _data(_described(_NOWHERE, 3)), planes=2,
    )  # fmt: skip
    yield BadTiff(
        "planes in another file", "its OME-XML says that a file beside it has them", "planes found",
        _data(_described(_ELSEWHERE, 3)), planes=2,
    )  # fmt: skip


@dataclass(frozen=True)
class Heavy:
    """A plane of SIDE x SIDE bytes that a codec may take much memory for, whether it is read."""

    name: str
    times: float
    """How often the plane, at most."""
    make: Callable[[], bytes]


SIDE = 2048
_HUGE = 32 << 20


def heavy_tiffs() -> Iterator[Heavy]:
    """Yield files of one large plane, of each codec."""

    def encoded(scheme: int, codec: str, pixels: object, **options: object) -> Callable[[], bytes]:
        return lambda: _compressed(scheme, _encode(codec, pixels, **options), (SIDE, SIDE))

    packed = _compressed(32773, b"\x81\0" * (_HUGE // 128), (SIDE, SIDE))
    yield Heavy("packbits of a bomb", 2, lambda: packed)
    zeros = np.zeros((SIDE, SIDE), np.uint8)
    noise = np.random.default_rng(0).integers(0, 256, zeros.shape, np.uint8)
    fast = {"lzma": {"level": 0}}
    for scheme, codec, times in (
        (8, "zlib", 2), (5, "lzw", 2.5), (50000, "zstd", 2), (34925, "lzma", 2),
    ):  # fmt: skip
        pixels = {"noise": noise.tobytes(), "zeros": zeros.tobytes(), "a bomb": bytes(_HUGE)}
        for name, of in pixels.items():
            make = encoded(scheme, codec, of, **fast.get(codec, {}))
            yield Heavy(f"{codec} of {name}", times, make)
    for scheme, codec, of, times in (
        (7, "jpeg8", noise, 2), (34933, "png", noise, 2), (34712, "jpeg2k", zeros, 8),
    ):  # fmt: skip
        yield Heavy(f"{codec} of a plane", times, encoded(scheme, codec, of))
    yield Heavy("jpeg of many passes", 4, lambda: _compressed(7, _progressive(noise), zeros.shape))
    for kind in (b"IDAT", b"zTXt", b"iCCP"):
        yield Heavy(
            f"png of {kind.decode()} that is a bomb", 2, lambda kind=kind: _png_bomb(kind, zeros)
        )


def _progressive(pixels: np.ndarray) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", progressive=True, quality=90)
    return stream.getvalue()


def _png_bomb(kind: bytes, pixels: np.ndarray) -> bytes:
    data = _encode("png", pixels)
    body = (b"" if kind == b"IDAT" else b"a\0\0") + zlib.compress(bytes(_HUGE))
    chunk = struct.pack(">I", len(body)) + kind + body
    chunk += struct.pack(">I", zlib.crc32(kind + body))
    place = data.index(b"IDAT") - 4
    return _compressed(34933, data[:place] + chunk + data[place:], pixels.shape)
