"""What a stranger wrote into dataset.json is refused by name, and leads nowhere else."""

import importlib
import json
import os
import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starfish_fetch.layout import Layout
from synth import Dataset, Spec, Spots, write

manifests = importlib.import_module("synth._manifest")
places = importlib.import_module("synth._place")

SPEC = Spec([1, 4], [0, 2], [-1, 5], (8, 9), fovs=[0, 3], content="index")
LAYOUT = Layout("fov{fov}/r{r:02d}.tiff", inner="zc")
SPOTS = Spec(
    3, 2, 1, (16, 16), content="spots", spots=Spots(targets=["a", "b"], crosstalk=[[1, 0]] * 2)
)
NAME = "dataset.json"


@pytest.fixture(scope="module")
def described(tmp_path_factory):
    """A folder, and what its dataset.json says of some dataset of each kind."""
    root = tmp_path_factory.mktemp("described")
    write(SPEC, LAYOUT, root / "index", tiff_tile=(16, 16), damage=["swapped", "truncated"])
    write(SPOTS, Layout.per_tile(), root / "spots", compression="zlib")
    write(Spec(2, 1, 1, (8, 9)), Layout.per_tile(), root / "random")
    names = ("index", "spots", "random")
    return root, [json.loads((root / name / NAME).read_text()) for name in names]


def opened(root, fields):
    text = fields if isinstance(fields, (str, bytes)) else json.dumps(fields)
    (root / NAME).write_bytes(
        text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    )
    return Dataset.open(root)


def refused(root, fields, message):
    with pytest.raises(ValueError, match=message) as caught:
        opened(root, fields)
    assert str(root / NAME) in str(caught.value)
    assert len(str(caught.value)) < 3000


def places_in(value, place=()):
    """Yield the place of every value in JSON."""
    yield place
    if isinstance(value, dict):
        for name, one in value.items():
            yield from places_in(one, (*place, name))
    if isinstance(value, list):
        for index, one in enumerate(value):
            yield from places_in(one, (*place, index))


def changed(fields, place, value):
    if not place:
        return value
    copy = dict(fields) if isinstance(fields, dict) else list(fields)
    copy[place[0]] = changed(copy[place[0]], place[1:], value)
    return copy


def meaning(fields):
    """Return what is the same for two descriptions of one dataset."""
    spec = fields["spec"]
    labels = {name: sorted(spec[name]) for name in ("rounds", "chs", "zplanes", "fovs")}
    said = {name: value for name, value in fields.items() if name != "damage" or value}
    options = {name: value for name, value in fields["options"].items() if value is not None}
    return {**said, "version": 0, "spec": {**spec, **labels}, "options": options}


numbers = st.one_of(st.integers(), st.sampled_from([2**31, 2**63, 2**64, 10**400, -1]), st.floats())
values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, st.text(max_size=9)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


@pytest.mark.parametrize("number", [0, 1, 2])
@given(data=st.data())
def test_a_changed_value_is_refused_or_means_what_it_says(described, number, data):
    root, both = described
    fields = both[number]
    assert meaning(manifest_of(root, fields)) == meaning(fields)
    place = data.draw(st.sampled_from(list(places_in(fields))), label="place")
    there = fields
    for step in place:
        there = there[step]
    alike = {int: numbers, float: numbers, str: st.text(max_size=70)}.get(type(there), values)
    new = changed(fields, place, data.draw(st.one_of(values, alike), label="value"))
    refusal = None
    try:
        seen = manifest_of(root, new)
    except ValueError as error:
        refusal = str(error)
    if refusal is None:
        assert meaning(seen) == meaning(new)
    else:
        assert str(root / NAME) in refusal
        assert any(f"'{name}'" in refusal for name in fields) or "is not JSON" in refusal


def manifest_of(root, fields):
    return json.loads(opened(root, fields)._manifest.text())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"[" * 100_000, "is not JSON: it is nested too deeply"),
        (b'{"a":' * 100_000, "is not JSON: it is nested too deeply"),
        (b"9" * 1_000_000, "is not JSON: Exceeds the limit"),
        (b'{"format": NaN}', "is not JSON: NaN is no JSON number"),
        (b'{"format": -Infinity}', "is not JSON: -Infinity is no JSON number"),
        (b'{"format": 1, "format": 2}', "is not JSON: an object names 'format' twice"),
    ],
)
def test_what_no_reader_should_be_given_is_refused(tmp_path, text, message):
    refused(tmp_path, text, message)


@pytest.mark.parametrize("depth", range(200, 1000, 50))
@pytest.mark.parametrize(
    "place", [("spec",), ("spec", "rounds"), ("layout",), ("options",), ("new",)]
)
def test_what_is_nested_as_deeply_as_can_be_parsed_is_refused(described, place, depth):
    root, (fields, *_) = described
    value = json.dumps(changed({**fields, "new": 0}, place, "deep"))
    refused(root, value.replace('"deep"', "[" * depth + "]" * depth), "nested|field|spec")


def test_a_file_larger_than_any_description_is_refused(tmp_path):
    with (tmp_path / NAME).open("wb") as file:
        file.truncate(2**40)  # of which the disk has nothing
    with pytest.raises(ValueError, match=r"dataset\.json has 1099511627776 bytes; a description"):
        Dataset.open(tmp_path)


@pytest.mark.parametrize(
    ("spec", "template", "inner", "message"),
    [
        ({}, "{fov}_{r}_{c}_{z}", [], "'layout': with the labels of 'spec' it makes 10{12} files"),
        ({"fovs": [0]}, "{fov}_{r}_{c}", ["z"], "'layout': with .* makes 1000000 files"),
        ({}, "one", ["r", "c", "z"], "'layout': .* maps .* to one place"),
        ({"fovs": [0]}, "{r:c}_{c}", ["z"], "the field 'layout'"),
        (
            {"tile_shape": [2**40, 2**40]},
            "a",
            ["r"],
            "'spec': not a spec: tile_shape must be of at",
        ),
    ],
)
def test_more_than_there_is_is_refused_before_it_is_made(described, spec, template, inner, message):
    root, (fields, *_) = described
    labels = list(range(1000))
    many = {"content": "random", **dict.fromkeys(("rounds", "chs", "zplanes", "fovs"), labels)}
    new = {**fields, "spec": {**fields["spec"], **many, **spec}}
    new["layout"] = {"template": template, "inner": inner}
    start = time.perf_counter()
    tracemalloc.start()
    try:
        refused(root, new, message)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert time.perf_counter() - start < 5
    assert peak < 10_000_000


def test_a_file_of_more_tiles_than_memory_holds_is_verified_for_what_it_has(tmp_path):
    dataset = write(Spec(1, 1, 2, (8, 9)), Layout("one.tiff", inner="rcz"), tmp_path)
    fields = json.loads((tmp_path / NAME).read_text())
    labels = list(range(1000))
    fields["spec"] |= {"rounds": labels, "chs": labels, "zplanes": labels}
    verification = opened(tmp_path, fields).verify()
    assert verification.tiles == 10**9
    changed, short = (one.message for one in verification.problems)
    assert changed.startswith("was changed around its pixels")  # which are said to be many
    assert short == "holds 2 pages, not 1000000000"
    assert dataset.root == tmp_path


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("/etc/{fov}{r}", "no leading '/'"),
        ("../{fov}{r}", r"no '\.\.'"),
        ("a/../../{fov}{r}", r"no '\.\.'"),
        ("..\\{fov}{r}", "below the root"),
        ("C:{fov}{r}", "the character ':'"),
        ("C:/{fov}{r}", "the character ':'"),
        ("a{fov}{r}.tiff:stream", "the character ':'"),
        ("a\0{fov}{r}", r"the character '\\x00'"),
        ("a\n{fov}{r}", r"the character '\\n'"),
        ("a\x85{fov}{r}", r"the character '\\x85'"),
        ("a\ud800{fov}{r}", r"the character '\\ud800'"),
        ("con/{fov}{r}", "the part 'con', which Windows takes for a device"),
        ("{fov}{r}/NUL.tar.gz", "the part 'NUL.tar.gz'"),
        ("{fov}{r}/com1 .txt", "the part 'com1 .txt'"),
        (".. /{fov}{r}", "the part '.. ', which ends in ' '"),
        ("a./{fov}{r}", "the part 'a.', which ends in '.'; Windows leaves that off"),
        ("a\n{fov}{r}", r"the character '\\n', which cannot be printed, and not every"),
        ("a:{fov}{r}", "the character ':', which Windows takes for the end of a drive"),
        ("{fov}{r}/", "below the root"),
        ("{fov}{r}" + "x" * 5000, "has 5002 characters"),
        ("{fov:c}{r:c}/x", "below the root|the character"),
        ("{fov.__class__}{r}", "unknown field 'fov.__class__'"),
        ("{fov[0]}{r}", "unknown field"),
        ("{fov:{r}}{r}", "Invalid format specifier"),
        ("{fov:0999999999d}{r}", "at most 255 characters wide"),
        ("{fov:.999999999f}{r}", "at most 255 characters wide"),
        ("{fov!s:>99}{r}", "converts the field 'fov' by '!s'"),
    ],
)
def test_a_template_that_leads_elsewhere_is_refused(described, template, message):
    root, (fields, *_) = described
    new = {**fields, "layout": {"template": template, "inner": ["z", "c"]}}
    del new["damage"]
    refused(root, new, "the field 'layout': (?s:.*)" + message)


@pytest.mark.parametrize("template", ["con/{fov}{r}", "C:{fov}{r}", "a\n{fov}{r}"])
def test_what_would_be_refused_is_not_written(tmp_path, template):
    with pytest.raises(ValueError, match=r"takes for a device|the character"):
        write(SPEC, Layout(template, inner="zc"), tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "path", ["a/./b.tiff", "com10", "console.tiff", "a b", "é", ".hidden", "a..b"]
)
def test_a_name_that_leads_nowhere_else_is_taken(path):
    places.check_name(path)


def test_names_that_differ_by_case_alone_are_refused(described):
    root, (fields, *_) = described
    first = next(iter(fields["files"]))
    new = {**fields, "files": {**fields["files"], first.upper(): fields["files"][first]}}
    refused(root, new, f"the field 'files' names '{first.upper()}', against what")


@pytest.mark.parametrize("name", ["files", "new", "Spec"])
def test_an_unknown_field_is_named(described, name):
    root, (fields, *_) = described
    new = {**fields, name: 0}
    refused(root, new, "'files' must map" if name == "files" else f"'{name}' is unknown; allowed")


def test_damage_of_a_file_that_there_is_not_is_refused(described):
    root, (fields, *_) = described
    damage = [{"kind": "missing", "paths": ["other.tiff"]}]
    refused(root, {**fields, "damage": damage}, "'damage' names 'other.tiff', which is no file")
    damage = [{"kind": "missing", "paths": [next(iter(fields["files"]))], "sha256": "0" * 64}]
    refused(root, {**fields, "damage": damage}, "the sha256 in 'damage'")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes have names here")
def test_a_description_that_is_no_file_of_the_folder_is_not_opened(tmp_path):
    dataset = write(SPEC, LAYOUT, tmp_path / "there")
    root = tmp_path / "here"
    for make, message in (
        (os.mkfifo, "it is a pipe, and should be a file"),
        (os.mkdir, "it is a folder, and should be a file"),
        (lambda path: path.symlink_to("/dev/zero"), "a link leads out of the folder"),
        (lambda path: path.symlink_to(dataset.root / NAME), "a link leads out of the folder"),
        (lambda path: path.symlink_to("/nowhere"), "there is no dataset here"),
    ):
        root.mkdir()
        make(root / NAME)
        with pytest.raises(OSError, match=message) as caught:
            Dataset.open(root)
        assert caught.value.filename == str(root / NAME)
        os.rename(root, tmp_path / f"{message[:20]}{time.monotonic_ns()}")


def test_the_header_of_a_journal_is_held_to_the_same(described):
    root, (fields, *_) = described
    header = {name: value for name, value in fields.items() if name != "files"}
    assert manifests.Manifest.from_header(header, root).spec == SPEC
    for name, value in (("spec", [[]]), ("layout", {}), ("options", 0), ("damage", 0), ("new", 0)):
        with pytest.raises(ValueError, match=f"the field '{name}'"):
            manifests.Manifest.from_header({**header, name: value}, root)
    with pytest.raises(ValueError, match="the field 'files' names 3, which is no path"):
        manifests.records_from({3: {}}, root)


def test_another_dataset_of_many_labels_is_told_in_few_words():
    one, other = (
        manifests.Manifest(Spec(count, 1, 1, (8, 8)), Layout.per_tile(), manifests.Options(), {})
        for count in (1, 100_000)
    )
    [difference] = one.differences(other)
    assert len(difference) < 500


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"[" * 100_000, "is not a journal: it is nested too deeply; delete it to begin anew"),
        (b'{"version": NaN}', "is not a journal: "),
        (b"\xff", "is not a journal: "),
        (b"", "is not a journal: "),
    ],
)
def test_a_journal_that_is_none_is_refused(tmp_path, line, message):
    (tmp_path / "dataset.json.partial").write_bytes(line + b"\n")
    with pytest.raises(ValueError, match=message):
        write(SPEC, LAYOUT, tmp_path)


@pytest.mark.parametrize("line", [b'[["x"], {}]', b"[" * 100_000, b"3", b'["x"]', b"\xff", b"{}"])
def test_a_line_of_a_journal_that_is_no_entry_is_refused(tmp_path, line):
    header = manifests.Manifest(SPEC, LAYOUT, manifests.Options(), {}).header()
    (tmp_path / "dataset.json.partial").write_bytes(
        b"\n".join([json.dumps(header).encode(), line, b""])
    )
    with pytest.raises(ValueError, match=r"has the line .*, no entry"):
        write(SPEC, LAYOUT, tmp_path)


def test_a_journal_outside_of_the_folder_is_not_read(tmp_path):
    (tmp_path / "elsewhere").write_bytes(b"{}\n")
    root = tmp_path / "data"
    root.mkdir()
    (root / "dataset.json.partial").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="leads out of the folder"):
        write(SPEC, LAYOUT, root)


@pytest.mark.parametrize("name", ["sha256", "bytes", "pixels_at"])
@pytest.mark.parametrize("value", [None, "x", [], {}, True, -1, 1.5, 10**400])
def test_whatever_is_said_of_a_file_is_checked(described, name, value):
    root, (*_, fields) = described
    path = next(iter(fields["files"]))
    wrong = changed(fields, ("files", path, name), value)
    if (name, value) == ("bytes", 10**400):
        assert opened(root, wrong).files[path].bytes == value
    else:
        refused(root, wrong, f"the field 'files': '{name}' of '{path}' is .*, no ")
