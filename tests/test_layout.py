import itertools
from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starfish_fetch import Axes, Extent, Layout, TileKey
from starfish_fetch.testing.strategies import extents, labels, layouts


def keys_of(extent):
    return set(itertools.product(extent.rounds, extent.chs, extent.zplanes))


@given(layouts(names_fov=st.just(True)), extents(), labels())
def test_every_tile_is_in_one_page_of_one_file(layout, extent, fovs):
    places = {}
    for path, fov, tiles in layout.files(extent, fovs):
        assert len(tiles) == layout.pages(extent) == prod(layout.inner_shape(extent))
        for page, key in enumerate(tiles):
            assert layout.path(fov, *key) == path
            assert layout.page(extent, key) == page
            places[fov, key] = path, page
    assert set(places) == set(itertools.product(fovs, keys_of(extent)))
    assert len(set(places.values())) == len(places)


def test_presets_are_what_they_are_called():
    extent = Extent({"y": 2, "x": 2}, 0, range(4), range(3), range(5))
    for layout, inner in (
        (Layout.per_round(), "cz"),
        (Layout.per_round_ch(), "z"),
        (Layout.per_tile(), ""),
        (Layout.single_file(), "rcz"),
    ):
        assert "".join(layout.inner) == inner
        assert set(layout.outer) == set("rcz") - set(inner)
        files = list(layout.files(extent))
        assert len(files) == 60 // layout.pages(extent)


@pytest.mark.parametrize(
    ("preset", "stem", "inner"),
    [
        (Layout.per_round, "fov{fov}_r{r}", "cz"),
        (Layout.per_ch, "fov{fov}_c{c}", "rz"),
        (Layout.per_zplane, "fov{fov}_z{z}", "rc"),
        (Layout.per_round_ch, "fov{fov}_r{r}_c{c}", "z"),
        (Layout.per_tile, "fov{fov}_r{r}_c{c}_z{z}", ""),
        (Layout.single_file, "fov{fov}", "rcz"),
    ],
)
def test_presets_name_their_files(preset, stem, inner):
    assert preset() == Layout(stem + ".tiff", inner=inner)
    assert preset(".ome.tif") == Layout(stem + ".ome.tif", inner=inner)


def test_inner_axes_are_axes_however_they_are_given():
    layout = Layout("r{r}.tiff", inner="cz")
    assert layout.inner == (Axes.CH, Axes.ZPLANE)
    assert all(isinstance(axis, Axes) for axis in layout.inner)


def test_braces_that_are_doubled_are_text():
    layout = Layout("{{a}}_{r}_{c}.tiff", inner="z")
    assert layout.fields == {"r", "c"}
    assert layout.path(0, 1, 2, 3) == "{a}_1_2.tiff"


@pytest.mark.parametrize(
    ("format", "shown"), [("0004d", "0007"), ("0d", "7"), ("0255d", "0" * 254 + "7")]
)
def test_a_field_may_be_as_wide_as_a_file_name(format, shown):
    assert Layout(f"{{r:{format}}}/{{c}}", inner="z").path(0, 7, 2, 0) == f"{shown}/2"


def test_inner_order_is_the_order_of_pages():
    extent = Extent({"y": 2, "x": 2}, 0, [0], [0, 1], [0, 1, 2])
    (_, _, tiles), *rest = Layout("a{r}.tif", inner=("z", Axes.CH)).files(extent)
    assert rest == []
    assert tiles == tuple(TileKey(0, c, z) for z in range(3) for c in range(2))


@pytest.mark.parametrize(
    ("template", "inner", "message"),
    [
        ("r{r}.tiff", "z", r"'r{r}.tiff' with inner \('z',\) leaves out 'c': name it once"),
        ("r{r}_z{z}.tiff", "cz", r"has in the path and in the file 'z'"),
        ("r{r}_c{c}_t{t}.tiff", "z", "unknown field 't'; allowed are fov, r, c, z"),
        ("r{r!r}_c{c}.tiff", "z", "converts the field 'r' by '!r', which is not allowed"),
        ("r{r.real}_c{c}.tiff", "z", "unknown field 'r.real'"),
        ("r{}_c{c}.tiff", "z", "unknown field ''"),
        ("r{r_c{c}.tiff", "z", "is not a template"),
        ("r{r:/>3}_c{c}.tiff", "z", "cannot be padded with '/'"),
        ("r{r:q}_c{c}.tiff", "z", "formats the field 'r' as 'q'; .* allowed are b, c, d, o, x, X"),
        ("r{r:.3f}_c{c}.tiff", "z", "formats the field 'r' as 'f'; labels are whole numbers"),
        ("r{r:%}_c{c}.tiff", "z", "formats the field 'r' as '%'"),
        ("r{r:n}_c{c}.tiff", "z", "formats the field 'r' as 'n'"),
        ("r{r:.3}_c{c}.tiff", "z", "Precision not allowed"),
        ("r{r.__class__}_c{c}.tiff", "z", "unknown field 'r.__class__'"),
        ("r{r[0]}_c{c}.tiff", "z", r"unknown field 'r\[0\]'"),
        ("r{r:{c}}_c{c}.tiff", "z", "Invalid format specifier"),
        ("r{r:256d}_c{c}.tiff", "z", "a field is at most 255 characters wide"),
        ("r{r:0999999999d}_c{c}.tiff", "z", "a field is at most 255 characters wide"),
        ("r{r:.999999999f}_c{c}.tiff", "z", "a field is at most 255 characters wide"),
        ("r{r:٩٩٩٩d}_c{c}.tiff", "z", "a field is at most 255 characters wide"),
        ("../r{r}_c{c}.tiff", "z", "below the root"),
        ("/r{r}_c{c}.tiff", "z", "below the root"),
        ("a/../r{r}_c{c}.tiff", "z", "below the root"),
        ("r{r}\\c{c}.tiff", "z", "below the root"),
        ("", "rcz", "below the root"),
        ("a.tiff", "rcy", "inner must name some of 'r', 'c', 'z'"),
        ("a{z}.tiff", "rcr", "each once"),
        ("a{r}{z}.tiff", "q", r"each once; got \('q',\)"),
    ],
)
def test_layouts_that_are_refused(template, inner, message):
    with pytest.raises(ValueError, match=message):
        Layout(template, inner=inner)


@pytest.mark.parametrize(
    ("template", "rounds", "chs", "fovs", "place"),
    [
        ("{r}{c}.tif", [1, 11], [1, 11], [0], "111.tif"),
        ("{r}_{c}.tif", [0], [0], [0, 1], "0_0.tif"),
        ("{r:c}_{c}.tif", [65, 97], [0], [0], "a_0.tif"),
        ("{r:x}_{c:X}.tif", [10, 11], [0], [0, 0], "a_0.tif"),
    ],
)
def test_two_tiles_in_one_place_are_refused(template, rounds, chs, fovs, place):
    layout = Layout(template, inner="z")
    extent = Extent({"y": 2, "x": 2}, 0, rounds, chs, [0])
    with pytest.raises(ValueError, match=f"maps .* to one place: '{place}'"):
        list(layout.files(extent, fovs))


@pytest.mark.parametrize(
    ("template", "label", "place"),
    [
        ("{r:c}{r:c}/{c}.tif", ord("."), r"\.\./0\.tif"),
        ("{r:c}{c}.tif", ord("/"), "/0.tif"),
        ("a{r:c}{c}.tif", ord("\\"), r"a\\\\0\.tif"),
        ("{c}{r:c}", ord("/"), "0/"),
    ],
)
def test_a_label_cannot_lead_out_of_the_root(template, label, place):
    layout = Layout(template, inner="z")
    extent = Extent({"y": 2, "x": 2}, 0, [label], [0], [0])
    with pytest.raises(ValueError, match=f"below the root: .* got '{place}'"):
        list(layout.files(extent))


def test_a_label_that_is_no_letter_is_refused():
    layout = Layout("{r:c}{c}.tif", inner="z")
    with pytest.raises(ValueError, match=r"arg not in range.*\(fov=0, r=1114112, c=0\)"):
        list(layout.files(Extent({"y": 2, "x": 2}, 0, [0x110000], [0], [0])))


def test_paths_are_those_of_the_files_and_tiles_come_one_by_one():
    extent = Extent({"y": 2, "x": 2}, 0, range(2), range(3), range(10**6))
    layout = Layout("{fov}_{c}.tif", inner="rz")
    paths = layout.paths(extent, [0, 5])
    assert [path for path, _, _ in paths] == [f"{fov}_{c}.tif" for fov in (0, 5) for c in range(3)]
    assert next(layout.tiles(extent, paths[-1][2])) == TileKey(0, 2, 0)
