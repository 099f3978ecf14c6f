"""The checks: each a small function that holds a fetcher to one rule of the contract.

A check is named after what has to hold. Its docstring tells the story: how people break the rule,
what that does to their data, and a wrong and a right way to write it.
"""

from starfish_fetch.testing.checks import (  # in the order in which they run
    contract,  # isort: skip
    coordinates,  # isort: skip
    cost,  # isort: skip
    failures,  # isort: skip
    labels,  # isort: skip
    order,  # isort: skip
    pixels,  # isort: skip
    resources,  # isort: skip
)
from starfish_fetch.testing.checks._registry import CHECKS, Check, Finding, NotChecked

__all__ = [
    "CHECKS",
    "Check",
    "Finding",
    "NotChecked",
    "contract",
    "coordinates",
    "cost",
    "failures",
    "labels",
    "order",
    "pixels",
    "resources",
]
