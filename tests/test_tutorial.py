import re
import runpy
from pathlib import Path

import numpy as np
import pytest

import starfish_fetch
from starfish_fetch import to_float32

ROOT = Path(__file__).parents[1]


def test_the_tutorial_shows_the_mistake_and_mends_it(capsys, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "agg")
    names = runpy.run_path(str(ROOT / "docs" / "gallery" / "plot_1_tilefetchers.py"))
    pyplot = names["plt"]
    assert len(pyplot.get_fignums()) == 2
    pyplot.close("all")
    image, mistaken = to_float32(names["image"]), names["mistaken"]
    np.testing.assert_array_equal(names["stack"].to_numpy(), image)
    assert image.shape == (4, 3, 5, 120, 160)
    assert not np.array_equal(mistaken, image)
    for r in range(4):
        for c in range(3):
            np.testing.assert_array_equal(mistaken[r, c], image[3, 2])
    printed = capsys.readouterr().out
    assert "C1 labels_are_honoured: fail" in printed
    assert "rounds and channels are ignored" in printed
    assert "warn  C10 unknown_labels_are_refused" in printed
    assert re.findall(r"files read: (\d+)", printed) == ["12", "60", "3"]


def readme_blocks(language):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_the_python_in_the_readme_runs_and_is_short(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tutorial, _ = readme_blocks("python")
    assert len(tutorial.splitlines()) <= 25
    names = {}
    exec(tutorial, names)
    np.testing.assert_array_equal(names["stack"].to_numpy(), names["image"])
    names["folder"].cleanup()


@pytest.mark.parametrize("path", ["README.md", "docs"])
def test_documents_name_no_file_that_is_not_there(path):
    documents = [ROOT / path] if path.endswith(".md") else sorted((ROOT / path).glob("*.md"))
    installed = Path(starfish_fetch.__file__).parents[1]  # by .ci/versions, elsewhere
    for document in documents:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text(encoding="utf-8")):
            where = installed if target.startswith("starfish_fetch/") else document.parent
            assert (where / target).exists(), f"{document.name}: {target}"
