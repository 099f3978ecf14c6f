"""A report as JSON, written and read."""

from __future__ import annotations

import json
from typing import Any, get_args

from starfish_fetch.axes import TileKey
from starfish_fetch.extent_json import extent_fields, extent_from
from starfish_fetch.json_fields import JsonFields, parse_json
from starfish_fetch.testing.report import SCHEMA, Report, Result, Status

__all__ = ["read", "write"]


def write(report: Report) -> str:
    """Return a report as JSON."""
    return json.dumps(_report_fields(report), indent=1, allow_nan=False)


def _report_fields(report: Report) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "ok": report.ok,
        "extent": extent_fields(report.extent),
        "tiles_read": report.tiles_read,
        "tiles_in_extent": report.tiles_in_extent,
        "has_oracle": report.has_oracle,
        "seed": report.seed,
        "seconds": report.seconds,
        "results": [
            {
                **vars(result),
                "tiles": [TileKey(*map(int, key))._asdict() for key in result.tiles],
            }
            for result in report.results
        ],
    }


def read(text: str | bytes) -> Report:
    """Return the report that was written.

    Raises
    ------
    ValueError
        If the text is no report.
    """
    remedy = "give what Report.to_json, or the command with --json, of this version wrote"
    fields = parse_json(text, "report of a check", SCHEMA, remedy)
    try:
        return _report_from(fields)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"this is no report of a check: {error!s:.500}") from error


def _report_from(fields: JsonFields) -> Report:
    results = tuple(_result_from(one) for one in fields.objects("results"))
    names = [result.check for result in results]
    for name in names:
        if names.count(name) > 1:
            fields.refuse(names, f"results of different checks; {name!r} is there twice", "results")
    tiles_in_extent, tiles_read = fields.count("tiles_in_extent"), fields.count("tiles_read")
    if tiles_read > tiles_in_extent:
        fields.refuse(tiles_read, f"at most 'tiles_in_extent', {tiles_in_extent}", "tiles_read")
    return Report(
        results,
        extent_from(fields.object("extent")),
        tiles_read,
        tiles_in_extent,
        fields.flag("has_oracle"),
        fields.integer("seed"),
        fields.seconds("seconds"),
    )


def _result_from(fields: JsonFields) -> Result:
    return Result(
        fields.text("check"),
        fields.text("rule"),
        fields.one_of("status", get_args(Status)),
        fields.text("message"),
        fields.text("remedy"),
        tuple(
            TileKey(key.integer("round"), key.integer("ch"), key.integer("zplane"))
            for key in fields.objects("tiles")
        ),
        fields.flag("certain"),
        fields.seconds("seconds"),
    )
