"""Draws what ``asv run`` stored, as ``asv publish`` would show it, without its scripts.

``python -m benchmarks.results_plot --plot FILE --bench NAME [NAME ...]``
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from itertools import product
from pathlib import Path
from typing import Any

_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#222222")
_TEXT = "#222222"
_NOT_COMMITS = ("machine.json", "benchmarks.json")


@dataclass
class Panel:
    """One benchmark: for each combination of its parameters, a value at each commit."""

    name: str
    title: str
    unit: str
    lines: dict[str, dict[str, float]] = field(default_factory=dict)


@dataclass
class History:
    """What one machine stored, commits in the order of their dates."""

    machine: str
    commits: list[str]
    panels: list[Panel]


def read_results(results: Path, patterns: Sequence[str], machine: str | None = None) -> History:
    """Read the results that asv stored.

    Parameters
    ----------
    results : path
        asv's ``results_dir``.
    patterns : sequence of str
        Names of benchmarks, as shell patterns.
    machine : str, optional
        Which one's. Default: the first.

    Raises
    ------
    FileNotFoundError
        If there are no results.
    """
    described = json.loads((results / "benchmarks.json").read_text())
    folders = sorted(path for path in results.iterdir() if path.is_dir())
    if machine is not None:
        folders = [path for path in folders if path.name == machine]
    if not folders:
        raise FileNotFoundError(f"no results of {machine or 'any machine'} in {results}")
    runs = [
        json.loads(path.read_text())
        for path in folders[0].glob("*.json")
        if path.name not in _NOT_COMMITS
    ]
    runs.sort(key=lambda run: run["date"])
    panels: dict[str, Panel] = {}
    commits: dict[str, None] = {}
    for run in runs:
        commit = run["commit_hash"][:8]
        commits[commit] = None
        for name in sorted(run["results"]):
            if name in described and any(fnmatch(name, pattern) for pattern in patterns):
                about = described[name]
                title = about.get("pretty_name") or name
                panel = panels.setdefault(name, Panel(name, title, about["unit"]))
                for label, value in _values(run, name, about.get("param_names", [])):
                    panel.lines.setdefault(label, {})[commit] = value
    return History(folders[0].name, list(commits), list(panels.values()))


def _values(run: Any, name: str, names: Sequence[str]) -> Iterator[tuple[str, float]]:
    columns = dict(zip(run["result_columns"], run["results"][name], strict=False))
    cases = product(*columns["params"])
    for case, value in zip(cases, columns["result"] or [], strict=False):
        if value is not None and not math.isnan(value):
            words = [word.strip("'") for word in case]
            if len(words) == 1:
                words = [f"{names[0]}: {words[0]}"]
            yield ", ".join(words), value


def _change(values: Collection[float]) -> float:
    """Return the largest over the smallest."""
    return max(values) / min(values) if min(values) > 0 else max(values)


def draw(history: History, path: str, lines: int) -> None:
    """Draw one panel for each benchmark, with the lines that change most."""
    from matplotlib.figure import Figure

    columns = 1 if len(history.panels) == 1 else 2
    rows = max(1, -(-len(history.panels) // columns))
    figure = Figure(figsize=(16, 1 + 4.2 * rows), dpi=100, layout="constrained", facecolor="white")
    figure.suptitle(
        f"asv results of {history.machine}, commit by commit", fontsize=20, weight="bold"
    )
    places = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel, subplot in zip(history.panels, places, strict=False):
        ranked = sorted(panel.lines, key=lambda label: -_change(panel.lines[label].values()))
        for label, colour in zip(ranked[:lines], _COLOURS, strict=False):
            values = [panel.lines[label].get(commit, math.nan) for commit in history.commits]
            subplot.plot(history.commits, values, "o-", color=colour, linewidth=2, label=label)
        subplot.set_title(f"{panel.title}\n{panel.name}", fontsize=13, color=_TEXT)
        subplot.set_ylabel(panel.unit, fontsize=13, color=_TEXT)
        highest = max(max(values.values()) for values in panel.lines.values())
        subplot.set_ylim(0, highest * (1.6 if any(ranked) else 1.15) or 1)
        subplot.margins(x=0.1)
        subplot.grid(color="#dddddd", linewidth=0.8)
        subplot.spines[["top", "right"]].set_visible(False)
        if any(ranked):
            subplot.legend(fontsize=10, frameon=False, loc="upper left", ncols=2)
    for subplot in places[len(history.panels) :]:
        subplot.set_axis_off()
    figure.savefig(path)


def main(arguments: Sequence[str] | None = None) -> int:
    """Read and draw."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.results_plot", description=__doc__)
    parser.add_argument("--plot", metavar="FILE", required=True, help="draw to this file")
    parser.add_argument("--bench", nargs="+", metavar="NAME", default=["*"], help="shell patterns")
    parser.add_argument("--results", type=Path, default=Path(".asv/results"))
    parser.add_argument("--machine", help="default: the first")
    parser.add_argument("--lines", type=int, default=6, help="most lines in a panel (default: 6)")
    parsed = parser.parse_args(arguments)
    try:
        history = read_results(parsed.results, parsed.bench, parsed.machine)
    except FileNotFoundError as error:
        parser.error(f"{error}; run 'asv run' first")
    if not history.panels:
        parser.error(f"no stored benchmark is named like {' or '.join(parsed.bench)}")
    draw(history, parsed.plot, parsed.lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
