"""Whatever is done to a file of a dataset, verify names the file, the tile and what it is now."""

import os
import shutil
import stat

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from starfish_fetch.layout import Layout
from synth import Dataset, Spec, Spots, write

SPEC = Spec([1, 4], [0, 2], [-1, 5], (24, 32), fovs=[0, 3], content="index")
LAYOUT = Layout("fov{fov}/r{r}.npy", inner="zc")
FORMATS = {
    "plain": {"ome": False},
    "ome": {},
    "linked": {"linked": True},
    "imagej": {"format": "imagej"},
    "npy": {"format": "npy"},
    "compressed": {"compression": "deflate", "predictor": True, "rows_per_strip": 5},
    "lzw": {"compression": "lzw"},
    "zstd": {"compression": "zstd"},
    "bigtiff": {"bigtiff": True},
    "big-endian": {"byteorder": ">"},
    "tiff_tile": {"tiff_tile": (16, 16)},
}
formats = pytest.mark.parametrize("name", FORMATS)
FIRST, LAST = "fov0/r1.npy", "fov3/r4.npy"


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    """One dataset of each format; whoever damages one leaves it as it was."""
    root = tmp_path_factory.mktemp("datasets")
    return {name: write(SPEC, LAYOUT, root / name, **options) for name, options in FORMATS.items()}


def keys_of(path):
    return next(keys for one, _, keys in LAYOUT.files(SPEC.extent(0), SPEC.fovs) if one == path)


def found_in(dataset):
    """What verify says first of each file and tile: {path: {tile or None: message}}."""
    verification = dataset.verify()
    found = {}
    for problem in verification.problems:
        found.setdefault(problem.path, {}).setdefault(problem.tile, problem.message)
        assert problem.fov == (0 if problem.path.startswith("fov0") else 3)
    assert verification.ok == (not found)
    return found


def found_with(dataset, path, data):
    """What verify says of a file with another content; the file is put right again."""
    whole = (dataset.root / path).read_bytes()
    try:
        (dataset.root / path).write_bytes(data)
        found = found_in(dataset)
    finally:
        (dataset.root / path).write_bytes(whole)
    assert set(found) == {path}
    return found[path]


def segments(dataset, path):
    """Where the pixels of each page are: [(first byte, how many)], page by page."""
    file = dataset.root / path
    if dataset.options.format == "npy":
        size = 24 * 32 * 2
        start = file.stat().st_size - size * len(keys_of(path))
        return [[(start + page * size, size)] for page in range(len(keys_of(path)))]
    with tifffile.TiffFile(file) as tiff:
        return [
            list(zip(page.dataoffsets, page.databytecounts, strict=True)) for page in tiff.pages
        ]


def about_file(dataset, changed):
    """The file itself is named if what its SHA-256 is of was changed."""
    return {None} if changed or not dataset.options.as_they_are else set()


@formats
def test_what_was_written_is_right(datasets, name):
    assert found_in(datasets[name]) == {}


@formats
@given(data=st.data())
def test_any_bit_that_is_flipped_is_found_where_it_is(datasets, name, data):
    dataset = datasets[name]
    path = data.draw(st.sampled_from([FIRST, LAST]), label="path")
    content = bytearray((dataset.root / path).read_bytes())
    places = segments(dataset, path)
    spans = [(begin, begin + size) for page in places for begin, size in page]
    anywhere = st.integers(0, len(content) - 1)
    in_pixels = st.sampled_from(spans).flatmap(lambda span: st.integers(span[0], span[1] - 1))
    at = data.draw(st.one_of(anywhere, in_pixels), label="byte")
    content[at] ^= 1 << data.draw(st.integers(0, 7), label="bit")
    found = found_with(dataset, path, content)
    pages = [
        page for page, parts in enumerate(places) if any(b <= at < b + size for b, size in parts)
    ]
    about = about_file(dataset, changed=not pages)
    assert {key for key in found if key is None} == about
    if about:
        around = " around its pixels" if dataset.options.as_they_are else ""
        assert found[None].startswith(f"was changed{around}: its sha256 is ")
    if pages:
        keys = {keys_of(path)[page] for page in pages}
        seen = set(found) - {None}
        packed = dataset.options.compression is not None
        # Not every bit of what is compressed is about a pixel, nor are those that fill up tiles.
        assert seen <= keys if packed or dataset.options.tiff_tile else seen == keys


@formats
@given(data=st.data())
def test_any_length_but_the_right_one_is_found(datasets, name, data):
    dataset = datasets[name]
    whole = (dataset.root / LAST).read_bytes()
    length = data.draw(st.integers(0, len(whole) - 1), label="length")
    found = found_with(dataset, LAST, whole[:length])
    assert found[None] == f"is truncated: it has {length} bytes, {len(whole)} were written"
    more = data.draw(st.binary(min_size=1, max_size=20), label="more")
    found = found_with(dataset, LAST, whole + more)
    assert set(found) == {None}
    assert found[None] == f"has {len(whole) + len(more)} bytes, {len(whole)} were written"


@formats
def test_exchanged_files_are_found_and_named(datasets, name, tmp_path):
    shutil.copytree(datasets[name].root, tmp_path / "copy")
    dataset = Dataset.open(tmp_path / "copy")
    os.replace(dataset.root / FIRST, tmp_path / "kept")
    os.replace(dataset.root / LAST, dataset.root / FIRST)
    os.replace(tmp_path / "kept", dataset.root / LAST)
    found = found_in(dataset)
    assert set(found) == {FIRST, LAST}
    for path, r, fov in ((FIRST, 4, 3), (LAST, 1, 0)):
        # Files that say nothing of themselves are alike but for their pixels.
        said = dataset.options.ome or dataset.options.format == "imagej"
        changed = name != "npy" and said
        assert set(found[path]) == about_file(dataset, changed) | set(keys_of(path))
        for key in keys_of(path):
            assert found[path][key].endswith(
                f"holds the pixels of round {r}, channel {key.ch}, z-plane {key.zplane} of field "
                f"of view {fov}"
            )


@pytest.mark.parametrize("name", ["plain", "imagej", "npy", "bigtiff", "big-endian", "tiff_tile"])
def test_a_tile_with_the_pixels_of_another_is_found_and_no_other(datasets, name):
    dataset = datasets[name]
    content = bytearray((dataset.root / LAST).read_bytes())
    places = segments(dataset, LAST)
    for (at, size), (source, _) in zip(places[1], places[2], strict=True):
        content[at : at + size] = content[source : source + size]
    found = found_with(dataset, LAST, content)
    origin, key = keys_of(LAST)[2], keys_of(LAST)[1]
    assert set(found) == about_file(dataset, changed=False) | {key}
    assert found[key].endswith(
        f"holds the pixels of round 4, channel {origin.ch}, z-plane {origin.zplane} of field of "
        "view 3"
    )


@pytest.fixture
def dataset(tmp_path):
    return write(SPEC, LAYOUT, tmp_path / "data")


def only(dataset, path=LAST):
    found = found_in(dataset)
    assert set(found) == {path}
    assert set(found[path]) == {None}
    return found[path][None]


def test_a_deleted_file_is_found(dataset):
    (dataset.root / LAST).unlink()
    assert only(dataset).startswith("is missing")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes have names here")
def test_what_is_no_file_is_found_and_never_opened(dataset):
    for make, words in (
        (lambda path: path.mkdir(), "it is a folder, and should be a file"),
        (os.mkfifo, "it is a pipe, and should be a file"),
        (lambda path: path.symlink_to("/dev/zero"), "a link leads out of the folder, to '/dev/z"),
        (lambda path: path.symlink_to(path.name), "Too many levels of symbolic links"),
    ):
        path = dataset.root / LAST
        path.unlink()
        make(path)
        assert words in only(dataset)
        path.rmdir() if stat.S_ISDIR(path.lstat().st_mode) else path.unlink()
        path.write_bytes(b"")


def test_nothing_outside_is_read_through_a_link(dataset, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    os.replace(dataset.root / LAST, tmp_path / "elsewhere" / "r4.npy")
    (dataset.root / LAST).symlink_to(tmp_path / "elsewhere" / "r4.npy")
    assert "a link leads out of the folder, to '" in only(dataset)
    assert "elsewhere/r4.npy', and is not followed" in only(dataset)
    (dataset.root / LAST).unlink()
    os.replace(dataset.root / "fov3" / "r1.npy", tmp_path / "elsewhere" / "r1.npy")
    (dataset.root / "fov3").rmdir()
    (dataset.root / "fov3").symlink_to(tmp_path / "elsewhere")
    found = found_in(dataset)
    assert set(found) == {"fov3/r1.npy", LAST}
    assert all("leads out of the folder" in found[path][None] for path in found)


def test_a_link_within_the_folder_is_as_good_as_what_it_leads_to(dataset):
    os.replace(dataset.root / LAST, dataset.root / "kept")
    (dataset.root / LAST).symlink_to("../kept")
    assert dataset.verify().ok
    (dataset.root / LAST).unlink()
    (dataset.root / LAST).symlink_to("r1.npy")
    assert keys_of(LAST)[0] in found_in(dataset)[LAST]


def test_the_folder_itself_may_be_a_link(dataset, tmp_path):
    (tmp_path / "link").symlink_to(dataset.root)
    assert Dataset.open(tmp_path / "link").verify().ok


def test_what_is_not_of_the_dataset_is_no_problem(dataset):
    (dataset.root / "notes.txt").write_text("mine")
    (dataset.root / "fov3" / "r9.npy").write_bytes(b"mine")
    assert dataset.verify().ok


def test_a_file_that_may_not_be_read_is_named_and_the_rest_verified(dataset, monkeypatch):
    from synth import _verify

    real = _verify.digest

    def digest(path, *where):
        if path == dataset.root.resolve() / FIRST:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *where)

    monkeypatch.setattr(_verify, "digest", digest)
    (dataset.root / LAST).unlink()
    found = found_in(dataset)
    assert found[FIRST][None].startswith("cannot be read: [Errno 13] Permission denied: ")
    assert found[LAST][None].startswith("is missing")


@pytest.mark.parametrize("shape", [(2**15, 2**15), (24, 2**28)])
def test_a_page_that_says_it_is_large_is_not_read(dataset, shape, monkeypatch):
    path = dataset.root / LAST
    with tifffile.TiffFile(path) as tiff:
        places = {
            name: tiff.pages[0].tags[name].valueoffset for name in ("ImageLength", "ImageWidth")
        }
        kinds = {name: tiff.pages[0].tags[name].dtype for name in places}
    assert set(kinds.values()) <= {3, 4}
    content = bytearray(path.read_bytes())
    for at, size in zip(places.values(), shape, strict=True):
        content[at - 6 : at + 4] = b"\x04\x00\x01\x00\x00\x00" + size.to_bytes(4, "little")
    path.write_bytes(content)
    real = tifffile.TiffPage.asarray

    def asarray(page):
        assert page.shape == (24, 32)
        return real(page)

    monkeypatch.setattr(tifffile.TiffPage, "asarray", asarray)
    assert found_in(dataset)[LAST][keys_of(LAST)[0]] == f"has the shape {shape}, not (24, 32)"


SPOTS = Spec(2, 2, [1], (24, 20), fovs=[3, 30], content="spots", spots=Spots(nuclei=4))
TRUTH = {"codebook.json": 3, "truth_fov3.csv": 3, "truth_fov30.csv": 30, "nuclei_fov30_z1.tiff": 30}


@pytest.fixture(scope="module")
def spots(tmp_path_factory):
    return write(SPOTS, Layout.per_round(), tmp_path_factory.mktemp("spots"))


@given(data=st.data())
def test_any_change_of_the_truth_is_found(spots, data):
    name = data.draw(st.sampled_from(sorted(TRUTH)), label="name")
    path = spots.root / name
    whole = path.read_bytes()
    content, begin, end = bytearray(whole), 0, len(whole)
    if name.endswith(".tiff"):  # of which the pixels count
        with tifffile.TiffFile(path) as tiff:
            begin = tiff.pages[0].dataoffsets[0]
            end = begin + tiff.pages[0].databytecounts[0]
    content[data.draw(st.integers(begin, end - 1), label="byte")] ^= 1 << data.draw(
        st.integers(0, 7), label="bit"
    )
    length = data.draw(st.integers(0, end - 1), label="length")
    try:
        for changed in (content, whole[:length]):
            path.write_bytes(changed)
            [problem] = spots.verify().problems
            assert (problem.path, problem.fov, problem.tile) == (name, TRUTH[name], None)
            assert problem.message == "was changed: it is not what the spec says"
    finally:
        path.write_bytes(whole)
    assert spots.verify().ok


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes have names here")
@pytest.mark.parametrize("name", TRUTH)
def test_truth_that_is_no_file_is_found_and_never_opened(tmp_path, spots, name):
    shutil.copytree(spots.root, tmp_path / "copy")
    path = tmp_path / "copy" / name
    for make, words in (
        (os.mkfifo, "it is a pipe"),
        (lambda path: path.symlink_to(spots.root / name), "a link leads out of the folder"),
    ):
        path.unlink()
        make(path)
        [problem] = Dataset.open(tmp_path / "copy").verify().problems
        assert (problem.path, problem.fov) == (name, TRUTH[name])
        assert words in problem.message


def test_small_truth_is_not_compared_with_large(spots, tmp_path, monkeypatch):
    shutil.copytree(spots.root, tmp_path / "copy")
    made = [*(tmp_path / "copy").glob("truth*"), *(tmp_path / "copy").glob("nuclei*")]
    for path in made:
        path.write_bytes(b"")
    for making in ("_table", "_nuclei"):
        monkeypatch.setattr(f"synth._truth.{making}", lambda *args: pytest.fail("it was made"))
    problems = Dataset.open(tmp_path / "copy").verify().problems
    assert sorted(one.path for one in problems) == sorted(path.name for path in made)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("options", [{}, {"byteorder": ">"}, {"format": "npy"}], ids=str)
def test_the_sign_of_a_zero_is_a_change(tmp_path, dtype, options):
    spec = Spec(1, 1, 1, (16, 16), dtype=dtype, content="index")
    dataset = write(spec, Layout("one{r}.npy", inner="cz"), tmp_path, **options)
    ((path, record),) = dataset.files.items()
    row, column = np.argwhere(dataset.tile(0, 0, 0) == 0)[0]
    size = np.dtype(dtype).itemsize
    at = record.pixels_at + (row * 16 + column) * size
    content = bytearray((tmp_path / path).read_bytes())
    content[at if options.get("byteorder") == ">" else at + size - 1] ^= 0x80
    (tmp_path / path).write_bytes(content)
    [problem] = dataset.verify().problems
    assert problem.message.startswith("1 of 256 pixels differ, ")
    assert f"at row {row}, column {column}: " in problem.message
