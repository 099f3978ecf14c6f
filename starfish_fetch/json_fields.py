"""Objects out of JSON that say what is wrong with them, and where."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Collection
from typing import Any, NoReturn, TypeVar

__all__ = ["JsonFields", "parse_json", "read_json"]

Value = TypeVar("Value")


def read_json(text: str | bytes | bytearray) -> Any:
    """Parse JSON as its standard has it: no NaN, and no name twice in an object.

    Parameters
    ----------
    text : str or bytes
        What was written.

    Raises
    ------
    ValueError
        If it is no JSON, or nested too deeply.

    Examples
    --------
    >>> read_json('{"r": 1, "r": 2}')
    Traceback (most recent call last):
        ...
    ValueError: an object names 'r' twice
    """
    try:
        return json.loads(text, parse_constant=_no_number, object_pairs_hook=_once)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def parse_json(text: str | bytes, what: str, schema: str, remedy: str) -> JsonFields:
    """Parse a JSON object that names its schema.

    Parameters
    ----------
    text : str or bytes
        What was written.
    what : str
        What it should be, as in "this is no {what}".
    schema : str
        The only ``schema`` that is read.
    remedy : str
        What to give instead.

    Raises
    ------
    ValueError
        If it is no JSON, or of another schema.

    Examples
    --------
    >>> parse_json('{"schema": "a/2"}', "profile", "a/1", "give a profile")
    Traceback (most recent call last):
        ...
    ValueError: this is no profile: its 'schema' is 'a/2', not 'a/1'; give a profile
    """
    try:
        fields = read_json(text)
    except ValueError as error:
        raise ValueError(f"this is no {what}, because it is no JSON: {error}") from error
    given = fields.get("schema") if isinstance(fields, dict) else fields
    if given != schema or not isinstance(fields, dict):
        raise ValueError(
            f"this is no {what}: its 'schema' is {given!r:.80}, not {schema!r}; {remedy}"
        )
    return JsonFields(fields)


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON number")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        [(twice, _)] = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"an object names {twice!r:.80} twice")
    return fields


class JsonFields:
    """A JSON object that says where it stands when a field is not what it should be.

    Parameters
    ----------
    value : object
        What was parsed.
    place : str, optional
        Where it stood.

    Examples
    --------
    >>> JsonFields({"rows": [{"opens": 3}, {"opens": -1}]}).objects("rows")[1].count("opens")
    Traceback (most recent call last):
        ...
    ValueError: 'rows[1].opens' must be at least 0; got -1
    """

    def __init__(self, value: Any, place: str = "") -> None:
        self.place = place
        if not isinstance(value, dict):
            self.refuse(value, "an object")
        self._value: dict[str, Any] = value

    def refuse(self, value: Any, wanted: str, name: str = "") -> NoReturn:
        """Raise ValueError with the place and what was given."""
        raise ValueError(f"{self._of(name)!r:.200} must be {wanted}; got {value!r:.80}")

    def _of(self, name: str) -> str:
        return ".".join(filter(None, [self.place, name]))

    def get(self, name: str, kind: type[Value], words: str) -> Value:
        """Return a field of a type, and of no type derived from it."""
        value = self._value.get(name)
        if type(value) is not kind:
            self.refuse(value, words, name)
        return value

    def raw(self, name: str) -> Any:
        """Return a field of any type, None if it is missing."""
        return self._value.get(name)

    def absent(self, name: str) -> bool:
        """Return whether a field is missing, or null."""
        return self._value.get(name) is None

    def text(self, name: str) -> str:
        """Return a string."""
        return self.get(name, str, "a string")

    def one_of(self, name: str, allowed: Collection[Value]) -> Value:
        """Return a string that is one of several."""
        text = self.text(name)
        for one in allowed:
            if one == text:
                return one
        return self.refuse(text, f"one of {', '.join(map(str, allowed))}", name)

    def flag(self, name: str) -> bool:
        """Return a bool."""
        return self.get(name, bool, "true or false")

    def integer(self, name: str) -> int:
        """Return an int."""
        return self.get(name, int, "an integer")

    def count(self, name: str) -> int:
        """Return an int that is neither negative nor beyond any float."""
        value = self.integer(name)
        if value < 0:
            self.refuse(value, "at least 0", name)
        return value if value < 1 << 1023 else self.refuse(value, "below 2**1023", name)

    def optional_count(self, name: str) -> int | None:
        """Return an int that is not negative, or None."""
        return None if self.absent(name) else self.count(name)

    def seconds(self, name: str) -> float:
        """Return a number that is finite and not negative."""
        return self._seconds(self._value.get(name), name)

    def many_seconds(self, name: str) -> tuple[float, ...]:
        """Return several of them."""
        return tuple(self._seconds(one, name) for one in self.get(name, list, "a list of numbers"))

    def _seconds(self, value: Any, name: str) -> float:
        if type(value) not in (int, float):
            self.refuse(value, "a number", name)
        try:
            seconds = float(value)
        except OverflowError:  # an int beyond any float
            seconds = math.inf
        if not math.isfinite(seconds) or seconds < 0:
            self.refuse(seconds, "a number of seconds", name)
        return seconds

    def labels(self, name: str) -> tuple[int, ...]:
        """Return ints."""
        values = self.get(name, list, "a list of integers")
        if any(type(value) is not int for value in values):
            self.refuse(values, "a list of integers", name)
        return tuple(values)

    def texts(self, name: str) -> tuple[str, ...]:
        """Return strings."""
        values = self.get(name, list, "a list of strings")
        if any(type(value) is not str for value in values):
            self.refuse(values, "a list of strings", name)
        return tuple(values)

    def object(self, name: str) -> JsonFields:
        """Return an object."""
        return JsonFields(self._value.get(name), self._of(name))

    def objects(self, name: str) -> list[JsonFields]:
        """Return a list of objects."""
        values = self.get(name, list, "a list")
        return [JsonFields(one, f"{self._of(name)}[{index}]") for index, one in enumerate(values)]

    def names(self) -> tuple[str, ...]:
        """Return the names of the fields."""
        return tuple(self._value)
