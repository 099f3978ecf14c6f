"""Says which lower bounds of pyproject.toml no test ever runs on: ``bounds.py versions.txt``."""

import re
import sys
import tomllib
from pathlib import Path


def extras(of: dict[str, list[str]], name: str) -> list[str]:
    """Return the requirements of an extra, and of the extras that it names."""
    found = []
    for requirement in of[name]:
        ours = re.match(r"starfish-fetch\[(.*)\]", requirement)
        found += [one for extra in ours[1].split(",") for one in extras(of, extra)] if ours else [
            requirement
        ]  # fmt: skip
    return found


# Its oldest releases want an older xarray: docs/explanation/differences.md says how they are tried.
APART = {"starfish"}

project = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"]
lines = Path(sys.argv[1]).read_text("utf-8").splitlines()
installed = dict(line.split(" ;")[0].split("==") for line in lines if "==" in line)
wrong = []
for requirement in project["dependencies"] + extras(project["optional-dependencies"], "test"):
    match = re.match(r"([\w-]+)(\[.*\])?>=([\d.]+)", requirement)
    if match is None:
        wrong.append(f"{requirement} has no lower bound")
    elif match[1] not in APART and not f"{installed[match[1]]}.0.0".startswith(f"{match[3]}."):
        wrong.append(f"{requirement}, but the oldest that goes with the others is "
                     f"{installed[match[1]]}")  # fmt: skip
sys.exit("\n".join(wrong) or 0)
