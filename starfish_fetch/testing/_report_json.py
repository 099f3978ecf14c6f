"""A report as JSON, written and read."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn, TypeVar, cast, get_args

from starfish_fetch.axes import Axes, Extent, TileKey
from starfish_fetch.testing.report import SCHEMA, Report, Result, Status

__all__ = ["read", "write"]

Value = TypeVar("Value")


def write(report: Report) -> str:
    """Return a report as JSON."""
    return json.dumps(_report_fields(report), indent=1, allow_nan=False)


def _report_fields(report: Report) -> dict[str, Any]:
    extent = report.extent
    return {
        "schema": SCHEMA,
        "ok": report.ok,
        "extent": {
            "tile_shape": {str(axis): size for axis, size in extent.tile_shape.items()},
            "fov": int(extent.fov),
            "rounds": extent.rounds,
            "chs": extent.chs,
            "zplanes": extent.zplanes,
        },
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
    try:
        fields = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"this is no report of a check, because it is no JSON: {error}") from error
    if not isinstance(fields, dict) or fields.get("schema") != SCHEMA:
        given = fields.get("schema") if isinstance(fields, dict) else fields
        raise ValueError(
            f"this is no report of a check: its 'schema' is {given!r:.80}, not {SCHEMA!r}; give "
            "what Report.to_json, or the command with --json, of this version wrote"
        )
    try:
        return _report_from(_Fields(fields, ""))
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"this is no report of a check: {error}") from error


class _Fields:
    """A JSON object that says where it stands when a field is not what it should be."""

    def __init__(self, value: Any, place: str) -> None:
        self.place = place
        if not isinstance(value, dict):
            self.refuse(value, "an object")
        self._value: dict[str, Any] = value

    def refuse(self, value: Any, wanted: str, name: str = "") -> NoReturn:
        place = ".".join(filter(None, [self.place, name]))
        raise ValueError(f"{place!r} must be {wanted}; got {value!r:.80}")

    def get(self, name: str, kind: type[Value], words: str) -> Value:
        value = self._value.get(name)
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind:
            self.refuse(value, words, name)
        return value

    def text(self, name: str) -> str:
        return self.get(name, str, "a string")

    def flag(self, name: str) -> bool:
        return self.get(name, bool, "true or false")

    def integer(self, name: str) -> int:
        return self.get(name, int, "an integer")

    def count(self, name: str) -> int:
        value = self.integer(name)
        return value if value >= 0 else self.refuse(value, "at least 0", name)

    def seconds(self, name: str) -> float:
        value = self.get(name, float, "a number")
        if not math.isfinite(value) or value < 0:
            self.refuse(value, "a number of seconds", name)
        return value

    def object(self, name: str) -> _Fields:
        return _Fields(self._value.get(name), ".".join(filter(None, [self.place, name])))

    def objects(self, name: str) -> list[_Fields]:
        values = self.get(name, list, "a list")
        place = ".".join(filter(None, [self.place, name]))
        return [_Fields(value, f"{place}[{index}]") for index, value in enumerate(values)]

    def labels(self, name: str) -> tuple[int, ...]:
        values = self.get(name, list, "a list of integers")
        if any(type(value) is not int for value in values):
            self.refuse(values, "a list of integers", name)
        return tuple(values)


def _report_from(fields: _Fields) -> Report:
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
        _extent_from(fields.object("extent")),
        tiles_read,
        tiles_in_extent,
        fields.flag("has_oracle"),
        fields.integer("seed"),
        fields.seconds("seconds"),
    )


def _extent_from(fields: _Fields) -> Extent:
    shape = fields.object("tile_shape")
    return Extent(
        {Axes.Y: shape.integer("y"), Axes.X: shape.integer("x")},
        fields.integer("fov"),
        fields.labels("rounds"),
        fields.labels("chs"),
        fields.labels("zplanes"),
    )


def _result_from(fields: _Fields) -> Result:
    return Result(
        fields.text("check"),
        fields.text("rule"),
        _status_from(fields),
        fields.text("message"),
        fields.text("remedy"),
        tuple(
            TileKey(key.integer("round"), key.integer("ch"), key.integer("zplane"))
            for key in fields.objects("tiles")
        ),
        fields.flag("certain"),
        fields.seconds("seconds"),
    )


def _status_from(fields: _Fields) -> Status:
    text, allowed = fields.text("status"), get_args(Status)
    if text not in allowed:
        fields.refuse(text, f"one of {', '.join(allowed)}", "status")
    return cast("Status", text)


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON number")
