"""A report as the XML that JUnit made common."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from starfish_fetch.testing.report import Report, Result, printable

__all__ = ["write"]


def write(report: Report, name: str, *, strict: bool) -> str:
    """Return a report as a JUnit document."""
    failing = ("fail", "warn") if strict else ("fail",)
    name = printable(name)
    counts = {
        "name": name,
        "tests": str(len(report.results)),
        "failures": str(sum(result.status in failing for result in report.results)),
        "errors": "0",
        "time": f"{report.seconds:.3f}",
    }
    root = ElementTree.Element("testsuites", counts)
    suite = ElementTree.SubElement(
        root, "testsuite", counts, skipped=str(len(report.of("skip", "xfail")))
    )
    properties = ElementTree.SubElement(suite, "properties")
    for field in ("seed", "tiles_read", "tiles_in_extent", "has_oracle"):
        value = str(getattr(report, field))
        ElementTree.SubElement(properties, "property", name=field, value=value)
    # Build servers take a dot for the end of a package's name.
    package = re.sub(r"\W+", "_", name).strip("_")
    for result in report.results:
        case = ElementTree.SubElement(
            suite,
            "testcase",
            classname=f"{package}.{printable(result.rule)}",
            name=printable(result.check),
            time=f"{result.seconds:.3f}",
        )
        _add_outcome(case, result, failed=result.status in failing)
    ElementTree.indent(root)
    body = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{body}\n'


def _add_outcome(case: ElementTree.Element, result: Result, *, failed: bool) -> None:
    message = printable(result.message)
    text = "\n".join(filter(None, [printable(result.title), message, printable(result.remedy)]))
    if failed:
        ElementTree.SubElement(case, "failure", message=message, type=result.status).text = text
    elif result.status in ("skip", "xfail"):
        ElementTree.SubElement(case, "skipped", message=message, type=result.status)
    elif result.status == "warn":
        ElementTree.SubElement(case, "system-out").text = f"warning: {text}"
