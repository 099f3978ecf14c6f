"""After how many loads a conversion has paid, as it was measured."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import Any

from starfish_fetch.json_fields import JsonFields, parse_json
from starfish_fetch.units import in_units, short

__all__ = ["Breakeven", "OrderBreakeven"]

_SCHEMA = "starfish-fetch/breakeven/1"


@dataclass(frozen=True)
class OrderBreakeven:
    """What loading in one order costs before and after a conversion.

    Parameters
    ----------
    order : str
        Its name: axes, slowest first, as ``"r,c,z"``; ``"none"`` is the loader's own.
    direct_seconds, converted_seconds : float
        Of a load through the fetcher, and of one from what was converted; medians.
    loads : float
        After how many loads in this order converting and loading that has taken less time than
        loading directly would have; ``math.inf`` if never.
    """

    order: str
    direct_seconds: float
    converted_seconds: float
    loads: float


@dataclass(frozen=True)
class Breakeven:
    """What :func:`breakeven` found.

    Parameters
    ----------
    format : str
        "spacetx" or "ome-zarr".
    convert_seconds : float
        How long the conversion took, once.
    direct_bytes : int or None
        Of the files that a load through the fetcher opens; None if that is not known.
    converted_bytes : int
        Of the files of the conversion.
    repeat : int
        How many loads were timed in each order.
    rows : tuple of OrderBreakeven
        The fastest directly first.

    Examples
    --------
    >>> row = OrderBreakeven("z,c,r", 2.0, 0.5, 4)
    >>> found = Breakeven("spacetx", 5.1, None, 1000, 5, (row,))
    >>> found.best.loads
    4
    >>> Breakeven.from_json(found.to_json()) == found
    True
    """

    format: str
    convert_seconds: float
    direct_bytes: int | None
    converted_bytes: int
    repeat: int
    rows: tuple[OrderBreakeven, ...]

    @property
    def best(self) -> OrderBreakeven:
        """The order that is the fastest directly, which the conversion has to compare with."""
        return min(self.rows, key=lambda row: row.direct_seconds)

    @property
    def sentence(self) -> str:
        """Whether converting pays, in plain words."""
        best = self.best
        if math.isinf(best.loads):
            return (
                f"Converting does not pay: loading directly in the order {best.order} takes "
                f"{best.direct_seconds:.3g} s, from {self.format} {best.converted_seconds:.3g} s."
            )
        times = "load" if best.loads == 1 else "loads"
        return (
            f"Converting has paid after {best.loads:,.0f} {times} in the order {best.order}, the "
            "fastest directly."
        )

    def __str__(self) -> str:
        direct = "" if self.direct_bytes is None else f", {in_units(self.direct_bytes)} before"
        lines = [
            self.sentence,
            f"Converted to {self.format} in {self.convert_seconds:.3g} s: "
            f"{in_units(self.converted_bytes)}{direct}.",
            f"{'order':<8}{'direct, ms':>14}{'converted, ms':>16}{'pays after':>14}",
        ]
        for row in self.rows:
            loads = "never" if math.isinf(row.loads) else f"{row.loads:,.0f}"
            direct, converted = (
                short(1e3 * one) for one in (row.direct_seconds, row.converted_seconds)
            )
            lines.append(f"{row.order:<8}{direct:>14}{converted:>16}{loads:>14}")
        return "\n".join(lines)

    def to_json(self) -> str:
        """Return all of it as JSON; ``loads`` is null where a conversion never pays."""
        return json.dumps({"schema": _SCHEMA, **self.fields()}, allow_nan=False)

    def fields(self) -> dict[str, Any]:
        """Return all of it as JSON has it."""
        fields = {"sentence": self.sentence, **asdict(self)}
        for row in fields["rows"]:
            row["loads"] = None if math.isinf(row["loads"]) else row["loads"]
        return fields

    @classmethod
    def from_json(cls, text: str | bytes) -> Breakeven:
        """Return what :meth:`to_json` wrote.

        Raises
        ------
        ValueError
            If the text is none such, or of a later version; the message names the field.
        """
        fields = parse_json(text, "break-even", _SCHEMA, "give what Breakeven.to_json wrote")
        try:
            return cls.from_fields(fields)
        except ValueError as error:
            raise ValueError(f"this is no break-even: {error}") from error

    @classmethod
    def from_fields(cls, fields: JsonFields) -> Breakeven:
        """Return what :meth:`fields` returned, out of JSON."""
        rows = tuple(
            OrderBreakeven(
                row.text("order"),
                row.seconds("direct_seconds"),
                row.seconds("converted_seconds"),
                _loads_from(row),
            )
            for row in fields.objects("rows")
        )
        if not rows:
            fields.refuse([], "a list that is not empty", "rows")
        return cls(
            fields.text("format"),
            fields.seconds("convert_seconds"),
            fields.optional_count("direct_bytes"),
            fields.count("converted_bytes"),
            fields.count("repeat"),
            rows,
        )


def _loads_from(row: JsonFields) -> float:
    return math.inf if row.absent("loads") else row.count("loads")
