"""Check every fetcher of the zoo, and print what was found: ``python -m tests.zoo``."""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from time import perf_counter

from rich.console import Console
from rich.progress import track
from rich.table import Table

from ._verdict import Verdict, judge
from .broken import BROKEN
from .correct import CORRECT

Pair = tuple[Verdict, Verdict]
"""With the oracle, and without."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.zoo", description=__doc__)
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the counts to FILE")
    parser.add_argument("--only", metavar="TEXT", default="", help="those with TEXT in their name")
    options = parser.parse_args()
    start = perf_counter()
    names = [name for name in (*BROKEN, *CORRECT) if options.only in name]
    errors = Console(stderr=True)
    each = track(names, "checking", console=errors, transient=True, disable=not errors.is_terminal)
    pairs = [(judge(name, True), judge(name, False)) for name in each]
    broken = [pair for pair in pairs if pair[0].broken]
    correct = [pair for pair in pairs if not pair[0].broken]
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(_table_of_broken(broken))
    for pair in pairs:
        _print_problems(console, pair)
    counts = _counts(broken, correct, perf_counter() - start)
    for line in counts:
        console.print(": ".join(line), highlight=False)
    if options.markdown is not None:
        rows = [f"| {what} | {number} |" for what, number in counts]
        text = "\n".join(["| | |", "|---|---|", *rows, ""])
        options.markdown.write_text(text, encoding="utf-8")
    return int(any(verdict.problems for pair in pairs for verdict in pair))


def _table_of_broken(pairs: list[Pair]) -> Table:
    table = Table("broken fetcher", "caught by, with the oracle", "without", "wrongly blamed", "s")
    for pair in sorted(pairs, key=lambda pair: pair[0].entry.name):
        wrong = dict.fromkeys(name for verdict in pair for name in verdict.wrong)
        table.add_row(
            pair[0].entry.name,
            *(_caught(verdict) for verdict in pair),
            f"[red]{', '.join(wrong)}[/red]" if wrong else "",
            f"{sum(verdict.report.seconds for verdict in pair):.2f}",
        )
    return table


def _caught(verdict: Verdict) -> str:
    if verdict.caught:
        return ", ".join(verdict.caught)
    return "[red]nothing[/red]" if verdict.due else "[dim]need not be seen[/dim]"


def _print_problems(console: Console, pair: Pair) -> None:
    for verdict in pair:
        oracle = "with" if verdict.report.has_oracle else "without"
        for problem in verdict.problems:
            line = f"{verdict.entry.name}, {oracle} oracle: {problem}"
            console.print(line, style="red", highlight=False, markup=False)


def _counts(broken: list[Pair], correct: list[Pair], seconds: float) -> list[tuple[str, str]]:
    def number(verdicts: Iterable[bool]) -> str:
        return str(sum(verdicts))

    count = len(broken)
    blind = [without for _, without in broken]
    return [
        ("broken fetchers", str(count)),
        ("caught with the oracle", number(bool(known.caught) for known, _ in broken)),
        ("caught without", number(bool(one.caught) for one in blind)),
        (
            "of those not caught without, need not be",
            number(not one.due and not one.caught for one in blind),
        ),
        ("broken fetchers of which a check says what is not so", number(map(_blamed, broken))),
        ("correct fetchers", str(len(correct))),
        ("false alarms", number(map(_blamed, correct))),
        (
            "correct fetchers that a check warns of",
            number(any(verdict.suspicions for verdict in pair) for pair in correct),
        ),
        ("seconds", f"{seconds:.0f}"),
    ]


def _blamed(pair: Pair) -> bool:
    return any(verdict.wrong for verdict in pair)


if __name__ == "__main__":
    sys.exit(main())
