"""The commands of docs/synth.md, as they stand there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from test_cli import run

from starfish_fetch.cli._options import NAMED_LAYOUTS
from starfish_fetch.layout import Layout

PAGE = Path(__file__).parents[1] / "docs" / "synth.md"


def test_every_command_of_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    commands = [line for block in blocks for line in block.splitlines()]
    assert len(commands) > 15
    for command in commands:
        program, *arguments = shlex.split(command, comments=True)
        result = run(*arguments)
        assert (program, result.exit_code) == ("starfish-fetch", 0), (command, result.output)
    assert not Path("huge").exists()


def test_the_named_layouts_are_those_of_the_table():
    rows = re.findall(r"^\| `(.*?)` \| `(.*?)` \| (.*?) ?\|$", PAGE.read_text("utf-8"), re.M)
    assert {name for name, _, _ in rows} == set(NAMED_LAYOUTS)
    for name, first, inner in rows:
        layout = getattr(Layout, name.replace("-", "_"))()
        assert (first, inner) == (layout.path(0, 0, 0, 0), ", ".join(layout.inner))
