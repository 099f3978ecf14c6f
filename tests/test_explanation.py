"""The pages that explain: their examples run as they stand."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

PAGES = sorted((Path(__file__).parents[1] / "docs" / "explanation").glob("*.rst"))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_the_examples_of_a_page_run(path):
    failed, _ = doctest.testfile(str(path), module_relative=False, encoding="utf-8")
    assert not failed


def test_there_are_examples():
    texts = [path.read_text(encoding="utf-8") for path in PAGES]
    assert sum(">>> " in text for text in texts) >= 4
