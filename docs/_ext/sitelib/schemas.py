"""JSON Schemas of what programs read, made of the classes that are written."""

from __future__ import annotations

import inspect
import json
import re
import types
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from docutils import nodes
from numpydoc.docscrape import NumpyDocString
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import SphinxDirective

from starfish_fetch import (
    Advice,
    Breakeven,
    Comparison,
    Extent,
    LoadProfile,
    OrderBreakeven,
    OrderComparison,
    OrderPrediction,
    OrderProfile,
)
from starfish_fetch.testing import Report
from synth import Damage, FileRecord, Options, Spec
from synth._manifest import VERSION

__all__ = ["JsonSchema", "setup"]

FOLDER = "reference/generated/site"
"""What Sphinx copies to the root of the site."""

Schema = dict[str, Any]

_MARKUP = re.compile(r"(?::\w+:)?`{1,2}~?(.*?)`{1,2}")

TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean"}
WHOLE: Schema = {"type": "integer"}
LABELS: Schema = {"type": "array", "items": WHOLE}

SIMPLE: dict[Any, Schema] = {
    str: TEXT,
    bool: FLAG,
    int: WHOLE,
    float: {"type": "number"},
    type(None): {"type": "null"},
}
# Beside the fields of the class, what is written for who does not want to compute it.
ADDED: dict[type, dict[str, Schema]] = {
    Report: {"ok": {**FLAG, "description": "Whether no check failed."}},
    Comparison: {"ok": {**FLAG, "description": "Whether no order is worse than before."}},
    OrderComparison: {
        "verdict": {**TEXT, "description": "The worst that holds."},
        "ok": {**FLAG, "description": "Whether nothing is worse than before."},
    },
    LoadProfile: {"sentence": {**TEXT, "description": "The result in plain words."}},
    Breakeven: {"sentence": {**TEXT, "description": "Whether converting pays, in plain words."}},
    OrderBreakeven: {
        "loads": {
            "anyOf": [WHOLE, {"type": "null"}],
            "description": "After how many loads converting has paid; null if never.",
        }
    },
    Advice: {"sentence": {**TEXT, "description": "All of it in plain words."}},
    OrderPrediction: {"order": {**TEXT, "description": "Its name, as 'r,c,z', or 'none'."}},
}
LEFT_OUT: dict[type, set[str]] = {OrderPrediction: {"group_by"}, OrderBreakeven: {"loads"}}
# What a dataset says only if it has to, and what earlier versions did not write.
OPTIONAL: dict[type, set[str]] = {
    OrderProfile: {"requests", "bytes_received"},
    LoadProfile: {"breakevens"},
    Damage: {"sha256"},
    FileRecord: {"pixels_at"},
    Spec: {"spots", "generator"},
    Options: {"format", "tiff_tile", "rows_per_strip", "predictor", "linked"},
}
ITEMS: Schema = {"type": "array", "items": {"enum": ["r", "c", "z"]}}


class Document(NamedTuple):
    """One kind of file or output."""

    title: str
    schema: Schema


def schema_of(kind: Any) -> Schema:
    """Return the schema of a type, as it is written."""
    if kind in SIMPLE:
        return dict(SIMPLE[kind])
    if kind is Extent:
        return _object(
            {
                "tile_shape": _object({"y": WHOLE, "x": WHOLE}),
                "fov": WHOLE,
                "rounds": LABELS,
                "chs": LABELS,
                "zplanes": LABELS,
            }
        )
    if is_dataclass(kind) or hasattr(kind, "_fields"):
        return _of_class(kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (Union, types.UnionType):
        return {"anyOf": [schema_of(one) for one in arguments]}
    if origin is tuple and arguments[-1] is not Ellipsis:
        return {"type": "array", "items": schema_of(arguments[0]), "minItems": len(arguments)}
    if origin is tuple:
        return {"type": "array", "items": schema_of(arguments[0])}
    if origin is dict and arguments[0] is str:
        return {"type": "object", "additionalProperties": schema_of(arguments[1])}
    if origin is dict:
        numbers = {"^([1-9][0-9]*|all)$": schema_of(arguments[1])}
        return {"type": "object", "patternProperties": numbers, "additionalProperties": False}
    raise TypeError(f"no schema for {kind!r}")


def _object(fields: Mapping[str, Schema], optional: frozenset[str] = frozenset()) -> Schema:
    return {
        "type": "object",
        "properties": dict(fields),
        "required": [name for name in fields if name not in optional],
    }


def _of_class(kind: type) -> Schema:
    words = _descriptions(kind)
    hints = {
        name: hint
        for name, hint in get_type_hints(kind).items()
        if name not in LEFT_OUT.get(kind, ())
    }
    fields = dict(ADDED.get(kind, {}))
    for name, hint in hints.items():
        described = {"description": words[name]} if name in words else {}
        fields[name] = {**schema_of(hint), **described}
    return _object(fields, frozenset(OPTIONAL.get(kind, ())))


def _descriptions(kind: type) -> dict[str, str]:
    """Return what is said of each field, below it or among the parameters."""
    told = ModuleAnalyzer.for_module(kind.__module__).find_attr_docs()
    found = {
        name: " ".join(lines).strip()
        for (owner, name), lines in told.items()
        if owner == kind.__name__
    }
    sections = NumpyDocString(inspect.getdoc(kind) or "")
    for section in ("Parameters", "Attributes"):
        for one in sections[section]:
            for name in one.name.split(", "):
                found.setdefault(name, " ".join(one.desc))
    return found


def documents() -> dict[str, Document]:
    """Return everything that has a schema, by the name of its file."""
    reports = {
        "check-1": ("starfish-fetch/check/1", Report),
        "profile-1": ("starfish-fetch/profile/1", LoadProfile),
        "comparison-1": ("starfish-fetch/comparison/1", Comparison),
    }
    made = {}
    for name, (title, kind) in reports.items():
        schema = _of_class(kind)
        schema["properties"] = {"schema": {"const": title}, **schema["properties"]}
        schema["required"] = ["schema", *schema["required"]]
        made[name] = Document(title, schema)
    dataset = _object(
        {
            "format": {"const": "starfish_fetch synth dataset"},
            "version": {"enum": [*range(1, VERSION + 1)]},
            "spec": schema_of(Spec),
            "layout": _object({"template": TEXT, "inner": ITEMS}),
            "options": schema_of(Options),
            "damage": {"type": "array", "items": schema_of(Damage)},
            "files": {"type": "object", "additionalProperties": schema_of(FileRecord)},
        },
        frozenset({"damage"}),
    )
    made["dataset"] = Document("starfish_fetch synth dataset", dataset)
    return made


class JsonSchema(SphinxDirective):
    """A table of all fields of one schema, and a link to it."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return link and table."""
        name = self.arguments[0]
        return self.parse_text_to_nodes("\n".join(self._lines(name, documents()[name])))

    def _lines(self, name: str, document: Document) -> Iterator[str]:
        yield f"`JSON Schema <../schemas/{name}.json>`__\n"
        yield ".. list-table::\n   :header-rows: 1\n   :class: json\n"
        yield "   * - field\n     - value\n     -"
        for path, schema in _fields(document.schema, ""):
            words = schema.get("description", "")
            yield f"   * - ``{path}``\n     - {_in_words(schema)}\n     - {words}"


def _fields(schema: Schema, prefix: str) -> Iterator[tuple[str, Schema]]:
    for name, one in schema["properties"].items():
        yield prefix + name, one
        inner = [(prefix + name, choice) for choice in one.get("anyOf", [one])]
        for path, choice in inner:
            if choice.get("type") == "array" and "properties" in choice["items"]:
                yield from _fields(choice["items"], f"{path}[].")
            elif isinstance(choice.get("additionalProperties"), dict):
                if "properties" in choice["additionalProperties"]:
                    yield from _fields(choice["additionalProperties"], f"{path}{{}}.")
            elif "properties" in choice:
                yield from _fields(choice, f"{path}.")


def _in_words(schema: Schema) -> str:
    if "const" in schema:
        return f"``{json.dumps(schema['const'])}``"
    if "enum" in schema:
        return ", ".join(f"``{json.dumps(one)}``" for one in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(map(_in_words, schema["anyOf"]))
    if schema["type"] == "array":
        return f"list of {_in_words(schema['items'])}"
    return str(schema["type"])


def _write(app: Sphinx, config: Config) -> None:
    folder = Path(app.srcdir, FOLDER, "schemas")
    folder.mkdir(parents=True, exist_ok=True)
    for name, document in documents().items():
        schema = {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": document.title,
            **document.schema,
        }
        text = _MARKUP.sub(r"\1", json.dumps(schema, indent=1))
        (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def setup(app: Sphinx) -> None:
    """Add the directive; write the schemas before Sphinx looks for their folder."""
    app.add_directive("json-schema", JsonSchema)
    app.connect("config-inited", _write, priority=100)
