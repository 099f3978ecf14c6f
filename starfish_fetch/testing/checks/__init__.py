"""The checks: each a small function that holds a fetcher to one rule of the contract.

A check is named after what has to hold. Its docstring tells the story: how people break the rule,
what that does to their data, and a wrong and a right way to write it.
"""

# ruff: noqa: I001
from starfish_fetch.testing.checks._registry import CHECKS, Check, Finding, NotChecked

# In the order in which they run: what others build on goes first.
from starfish_fetch.testing.checks import contract
from starfish_fetch.testing.checks import failures
from starfish_fetch.testing.checks import labels
from starfish_fetch.testing.checks import pixels
from starfish_fetch.testing.checks import order
from starfish_fetch.testing.checks import arrays
from starfish_fetch.testing.checks import threads
from starfish_fetch.testing.checks import coordinates
from starfish_fetch.testing.checks import cost
from starfish_fetch.testing.checks import resources

__all__ = [
    "CHECKS",
    "Check",
    "Finding",
    "NotChecked",
    "arrays",
    "contract",
    "coordinates",
    "cost",
    "failures",
    "labels",
    "order",
    "pixels",
    "resources",
    "threads",
]
