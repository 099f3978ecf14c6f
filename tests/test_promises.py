"""The page that names a test for each promise: every one of them is there."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "explanation" / "promises.rst"
NAMED = sorted({*re.findall(r"``(test_\w+\.py)(?:::(\w+))?``", PAGE.read_text(encoding="utf-8"))})


def test_promises_are_found():
    assert len(NAMED) > 40


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_a_test_that_is_named_is_there(file, name):
    text = (TESTS / file).read_text(encoding="utf-8")
    assert re.search(rf"^def {name}\(", text, re.MULTILINE) if name else "def test_" in text
