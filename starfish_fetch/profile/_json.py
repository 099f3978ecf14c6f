"""A profile as JSON, written and read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, get_args

from starfish_fetch.advice import Advice, Effect, OrderPrediction, WorkersPrediction
from starfish_fetch.axes import PLANES, Axes
from starfish_fetch.extent_json import extent_fields, extent_from
from starfish_fetch.json_fields import JsonFields, parse_json
from starfish_fetch.profile._breakeven import Breakeven
from starfish_fetch.profile._values import SCHEMA, LoadProfile, Machine, OrderProfile

__all__ = ["read", "write"]

_ALL = "all"


def write(profile: LoadProfile) -> str:
    """Return a profile as JSON."""
    fields: dict[str, Any] = {
        "schema": SCHEMA,
        "sentence": profile.sentence,
        "extent": extent_fields(profile.extent),
        "repeat": profile.repeat,
        "cold": profile.cold,
        "workers": profile.workers,
        "fetcher": profile.fetcher,
        "machine": vars(profile.machine),
        "advice": None if profile.advice is None else _advice_fields(profile.advice),
        "source_names": profile.source_names,
        "sources_are": profile.sources_are,
        "disagreements": profile.disagreements,
        "notes": profile.notes,
        "exact_counts": profile.exact_counts,
        "breakevens": [one.fields() for one in profile.breakevens],
        "rows": [
            {
                **vars(row),
                "predicted_opens": None
                if row.predicted_opens is None
                else _by_cache_fields(row.predicted_opens),
            }
            for row in profile.rows
        ],
    }
    return json.dumps(fields, indent=1, allow_nan=False)


def _advice_fields(advice: Advice) -> dict[str, Any]:
    workers = advice.workers
    return {
        "sentence": advice.sentence,
        "predictions": [_prediction_fields(one) for one in advice.predictions],
        "plan": _prediction_fields(advice.plan),
        "workers": {
            **vars(workers),
            "shared": _by_cache_fields(workers.shared),
            "per_thread": _by_cache_fields(workers.per_thread),
        },
        "tiles": advice.tiles,
        "sources": advice.sources,
    }


def _prediction_fields(prediction: OrderPrediction) -> dict[str, Any]:
    return {
        "order": prediction.order,
        "opens": _by_cache_fields(prediction.opens),
        "smallest_cache": prediction.smallest_cache,
    }


def _by_cache_fields(opens: Mapping[int | None, int]) -> dict[str, int]:
    return {_ALL if size is None else str(size): count for size, count in opens.items()}


def read(text: str | bytes) -> LoadProfile:
    """Return the profile that was written.

    Raises
    ------
    ValueError
        If the text is no profile.
    """
    remedy = "give what LoadProfile.to_json, or the command with --json, of this version wrote"
    fields = parse_json(text, "profile of a load", SCHEMA, remedy)
    try:
        return _profile_from(fields)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"this is no profile of a load: {error!s:.500}") from error


def _profile_from(fields: JsonFields) -> LoadProfile:
    machine, names = fields.object("machine"), fields.texts("source_names")
    repeat = fields.count("repeat")
    rows = tuple(_row_from(one, len(names), repeat) for one in fields.objects("rows"))
    orders = [row.order for row in rows]
    if len({*orders}) != len(orders) or not orders:
        fields.refuse(orders, "at least one row, each of another order", "rows")
    packages = machine.object("packages")
    return LoadProfile(
        rows,
        extent_from(fields.object("extent")),
        repeat,
        fields.flag("cold"),
        fields.optional_count("workers"),
        fields.text("fetcher"),
        Machine(
            machine.count("cpus"),
            machine.text("system"),
            machine.text("processor"),
            machine.text("python"),
            {name: packages.text(name) for name in packages.names()},
        ),
        None if fields.absent("advice") else _advice_from(fields.object("advice")),
        names,
        fields.one_of("sources_are", ("named", "seen", "unknown")),
        fields.texts("disagreements"),
        fields.texts("notes"),
        fields.flag("exact_counts"),
        tuple(map(Breakeven.from_fields, fields.objects("breakevens")))
        if not fields.absent("breakevens")
        else (),
    )


def _row_from(fields: JsonFields, names: int, repeat: int) -> OrderProfile:
    calls = fields.object("calls")
    order, seconds = fields.text("order"), fields.many_seconds("seconds")
    _group_by_from(fields, order)
    if len(seconds) != repeat or not seconds:
        fields.refuse(list(seconds), f"one number for each of at least one repeat ({repeat})",
                      "seconds")  # fmt: skip
    sources = fields.get("tile_sources", list, "a list of integers and nulls")
    for source in sources:
        if source is not None and not (type(source) is int and 0 <= source < names):
            fields.refuse(source, f"null, or an index of 'source_names' ({names})", "tile_sources")
    return OrderProfile(
        order,
        seconds,
        fields.count("opens"),
        fields.count("reopens"),
        fields.count("sources"),
        fields.optional_count("bytes_read"),
        {name: calls.count(name) for name in calls.names()},
        fields.seconds("metadata_seconds"),
        fields.seconds("pixel_seconds"),
        fields.count("metadata_opens"),
        fields.optional_count("metadata_bytes_read"),
        fields.count("peak_bytes"),
        None if fields.absent("predicted_opens") else _by_cache(fields, "predicted_opens"),
        tuple(sources),
        fields.labels("tile_opens"),
        fields.optional_count("requests"),
        fields.optional_count("bytes_received"),
    )


def _advice_from(fields: JsonFields) -> Advice:
    workers = fields.object("workers")
    predictions = tuple(map(_prediction_from, fields.objects("predictions")))
    if not predictions:
        fields.refuse([], "a list of at least one", "predictions")
    return Advice(
        predictions,
        _prediction_from(fields.object("plan")),
        WorkersPrediction(
            workers.count("workers"),
            workers.count("groups"),
            _by_cache(workers, "shared"),
            _by_cache(workers, "per_thread"),
            workers.count("smallest_cache"),
            workers.one_of("effect", get_args(Effect)),
        ),
        fields.count("tiles"),
        fields.count("sources"),
    )


def _prediction_from(fields: JsonFields) -> OrderPrediction:
    group_by = _group_by_from(fields, fields.text("order"))
    return OrderPrediction(group_by, _by_cache(fields, "opens"), fields.count("smallest_cache"))


def _group_by_from(fields: JsonFields, order: str) -> tuple[Axes, ...] | None:
    if order == "none":
        return None
    names = order.split(",") if order else []
    if len({*names}) != len(names) or {*names}.difference(map(str, PLANES)):
        fields.refuse(order, "'none', or some of r, c and z with commas between", "order")
    return tuple(map(Axes, names))


def _by_cache(fields: JsonFields, name: str) -> dict[int | None, int]:
    by_size = fields.object(name)
    opens: dict[int | None, int] = {}
    for size in by_size.names():
        if size != _ALL and not (size.isascii() and size.isdigit() and int(size) > 0):
            by_size.refuse(size, f"the sizes of caches, or {_ALL!r}")
        opens[None if size == _ALL else int(size)] = by_size.count(size)
    return opens
