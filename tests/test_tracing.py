import os
import threading

from starfish_fetch import trace


def touch(path):
    with open(path, "ab"):
        pass


def test_counts_every_way_of_opening_in_every_thread(tmp_path):
    with trace() as seen:
        touch(tmp_path / "a")
        os.close(os.open(str(tmp_path / "a"), os.O_RDONLY))
        thread = threading.Thread(target=touch, args=(str(tmp_path / "b"),))
        thread.start()
        thread.join()
    touch(tmp_path / "b")
    assert seen.by_source[str(tmp_path / "a")] == 2
    assert seen.by_source[str(tmp_path / "b")] == 1


def test_a_descriptor_that_is_wrapped_is_not_another_open(tmp_path):
    with trace(tmp_path) as seen:
        descriptor = os.open(tmp_path / "a", os.O_CREAT | os.O_RDWR)
        with open(descriptor, "rb"):
            pass
    assert seen.opens == 1


def test_code_that_is_imported_is_no_data(tmp_path, monkeypatch):
    (tmp_path / "lazy_module.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    with trace() as seen:
        __import__("lazy_module")
        touch(tmp_path / "data.tiff")
    assert list(seen.by_source) == [str(tmp_path / "data.tiff")]


def test_traces_nest_and_look_below_a_folder_alone(tmp_path):
    (tmp_path / "in").mkdir()
    with trace(tmp_path / "in") as outer:
        touch(tmp_path / "in" / "a")
        with trace(tmp_path) as inner:
            touch(tmp_path / "in" / "a")
            touch(tmp_path / "in-not")
    assert (outer.opens, inner.opens) == (2, 2)


def test_relative_paths_count_as_where_they_lead(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with trace(tmp_path) as seen:
        touch("a")
    assert seen.by_source == {str(tmp_path / "a"): 1}
