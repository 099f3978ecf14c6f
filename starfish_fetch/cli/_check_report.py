"""What a check of a fetcher found, as a table; and what its checks are."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click
from rich.markdown import Markdown
from rich.table import Table
from rich.text import Text
from rich.theme import Theme

from starfish_fetch import contract
from starfish_fetch.cli._output import console, echo_json, print_table
from starfish_fetch.testing.report import printable

if TYPE_CHECKING:
    from starfish_fetch.testing.checks import Check
    from starfish_fetch.testing.report import Report

__all__ = ["print_list", "print_report", "print_story"]

_STYLES = {
    "fail": "bold red",
    "warn": "bold yellow",
    "xfail": "cyan",
    "skip": "dim",
    "pass": "green",
}
_READABLE = 100
_LITERAL_BLOCK = re.compile(r"^(?P<before>.*)::\n\n(?P<code>(?:(?: {4}.*)?\n)+)", re.MULTILINE)


def print_report(report: Report, *, ok: bool) -> None:
    """Print a table with what is worst first, and one line of numbers."""
    out = console()
    print_table(out, _findings(report))
    out.print(report.summary(), style=_STYLES["pass" if ok else "fail"])
    if report.ok and not ok:
        out.print("With --strict, a warning is a failure.")
    if report.is_sample():
        out.print(
            "Not every tile was read; --exhaustive reads all of them, and a longer --deadline "
            "leaves it time."
        )
    if not report.has_oracle:
        out.print(
            "More is found where it is known which pixels to expect: give --like with a dataset "
            "that 'starfish-fetch synth write' wrote in your layout."
        )
    found = report.of("fail") or report.of("warn")
    if found:
        worst = found[0].check
        out.print(f"The story of a check: starfish-fetch check --explain {worst}")


def _findings(report: Report) -> Table:
    table = _table("", "")
    for result in report.worst_first():
        if result.status in ("fail", "warn", "xfail"):
            word = result.status.upper() if result.status == "fail" else result.status
            table.add_row(
                Text(word, _STYLES[result.status]),
                Text.assemble(
                    (printable(result.title), "bold"),
                    "\n",
                    printable(result.message),
                    (f"\n{printable(result.remedy)}" if result.remedy else "", "italic"),
                    "\n",
                ),
            )
    for reason, results in report.skipped().items():
        names = ", ".join(result.check for result in results)
        table.add_row(Text("skip", _STYLES["skip"]), f"{printable(names)}: {printable(reason)}")
    passed = ", ".join(result.check for result in report.of("pass"))
    if passed:
        table.add_row(Text("pass", _STYLES["pass"]), Text(printable(passed)))
    if table.row_count:
        table.add_row("", "")
    return table


def print_list(checks: Iterable[Check], *, as_json: bool) -> None:
    """Print all checks, in the order in which they run."""
    if as_json:
        found = [_described(check) for check in checks]
        echo_json({"command": "check --list", "ok": True, "checks": found})
        return
    table = _table("rule", "check", "finds", "what it holds a fetcher to")
    for check in checks:
        table.add_row(
            check.rule,
            Text(check.name, "bold"),
            Text(check.severity, _STYLES[check.severity]),
            _prose(check.summary),
        )
    print_table(console(), table)


def print_story(check: Check, *, as_json: bool) -> None:
    """Print what a check requires, how people break it, and how it is done right."""
    if as_json:
        echo_json(
            {
                "command": "check --explain",
                "ok": True,
                **_described(check),
                "rule_says": _rule(check),
                "story": check.story,
            }
        )
        return
    out = console()
    severity = (check.severity, _STYLES[check.severity])
    out.print(Text.assemble((f"{check.rule} {check.name}", "bold"), " (", severity, ")"))
    rule = _rule(check)
    if out.is_terminal:
        width = min(out.width, _READABLE)
        for words, text in ((f"Rule {check.rule}: ", rule), ("Why: ", check.why)):
            out.print(Text(words).append(_prose(text)), width=width)
        out.print()
        with out.use_theme(Theme({"markdown.code": "cyan"})):
            out.print(Markdown(_markdown(check.story), code_theme="ansi_dark"), width=width)
    else:
        click.echo(f"Rule {check.rule}: {rule}\nWhy: {check.why}\n\n{check.story}")


def _rule(check: Check) -> str:
    """Return the rule of the contract that a check holds a fetcher to."""
    text = contract.__doc__ or ""  # there is none under python -OO
    found = re.search(rf"^{re.escape(check.rule)}\n((?:    .+\n)+)", text, re.MULTILINE)
    return " ".join(found[1].split()) if found else "see starfish_fetch.contract"


def _prose(text: str) -> Text:
    """Return a line of a docstring with its literals as literals."""
    return Text.assemble(
        *((part, "cyan") if odd % 2 else part for odd, part in enumerate(text.split("``")))
    )


def _described(check: Check) -> dict[str, Any]:
    fields = ("name", "rule", "severity", "why", "summary")
    return {field: getattr(check, field) for field in fields}


def _markdown(story: str) -> str:
    """Return a docstring with its literal blocks fenced, so that they are shown as code."""

    def fenced(block: re.Match[str]) -> str:
        code = re.sub(r"^ {4}", "", block["code"].rstrip(), flags=re.MULTILINE)
        colon = ":" if block["before"] else ""
        return f"{block['before']}{colon}\n\n```python\n{code}\n```\n\n"

    return _LITERAL_BLOCK.sub(fenced, story + "\n")


def _table(*headers: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=any(headers))
    for header in headers:
        table.add_column(header, overflow="fold")
    return table
