import re
import runpy
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]


def test_the_tutorial_shows_the_mistake_and_mends_it(capsys):
    names = runpy.run_path(str(ROOT / "docs" / "tutorial_tilefetcher.py"))
    np.testing.assert_array_equal(names["stack"].to_numpy(), names["image"])
    assert names["stack"].raw_shape == names["image"].shape == (4, 3, 5, 120, 30)
    assert not np.array_equal(names["mistaken"], names["image"])
    for r in range(4):
        for c in range(3):
            np.testing.assert_array_equal(names["mistaken"][r, c], names["image"][3, 2])
    printed = capsys.readouterr().out
    assert "the right pixels: False" in printed
    assert "every round and channel is the last one: True" in printed
    assert "<starfish_fetch.ImageStack (r: 4, c: 3, z: 5, y: 120, x: 30)>" in printed
    assert "files read, round and channel held: 12" in printed


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
    for document in documents:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), f"{document.name}: {target}"
