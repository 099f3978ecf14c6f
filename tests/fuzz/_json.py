"""Changes of JSON that a reader of it may be given."""

import json
import random
from copy import deepcopy
from typing import Any

from ._target import mutate_bytes

_VALUES = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, 10**400, 0.5, -0.5, 1e308, "", "r", "..",
    "/etc/passwd", "../x", "\x00", "a" * 300, "\ud800", "é", [], {}, [0], [[]], {"a": 1}, "10" * 40,
)  # fmt: skip
_TEXTS = (b"NaN", b"Infinity", b"1e999", b"[" * 5000, b'{"a":' * 5000, b"-0", b"9" * 5000, b"\xff")


def mutate_json(data: bytes, chance: random.Random) -> bytes:
    """Change a value, drop it, exchange it with another, or change bytes."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return mutate_bytes(data, chance)
    kind = chance.random()
    if kind < 0.15:
        return mutate_bytes(data, chance)
    if kind < 0.2:
        place = chance.randrange(len(data) + 1)
        return data[:place] + chance.choice(_TEXTS) + data[place + chance.randrange(3) :]
    root = [value]
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        holders = list(_holders(root))
        holder, key = chance.choice(holders)
        match chance.randrange(5):
            case 0 if holder is not root:
                del holder[key]
            case 1:
                other, its = chance.choice(holders)
                holder[key] = json.loads(json.dumps(other[its]))
            case 2 if type(holder[key]) in (int, float):
                holder[key] = chance.choice((holder[key] * 2, -holder[key], 0.5, 2**32))
            case 3 if type(holder[key]) is str:
                text = list(holder[key])
                text.insert(chance.randrange(len(text) + 1), chance.choice("{}:!/.\\\0é9r,-"))
                holder[key] = "".join(text)
            case 3 if type(holder[key]) is list and holder[key]:
                holder[key] = holder[key] * chance.choice((2, 50))
            case _:
                holder[key] = deepcopy(chance.choice(_VALUES))  # which is changed later, maybe
    return json.dumps(root[0]).encode()


def _holders(value: Any):
    """Yield every list or object, and each key of it."""
    keys = list(value) if isinstance(value, dict) else range(len(value))
    for key in keys:
        yield value, key
        if isinstance(value[key], (dict, list)):
            yield from _holders(value[key])
