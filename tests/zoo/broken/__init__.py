"""Fetchers that are wrong on purpose, each named for its sin."""

from .._entry import BROKEN
from . import coordinates, errors, labels, memory, pixels, runs, state
from .resources import give_back

__all__ = [
    "BROKEN",
    "coordinates",
    "errors",
    "give_back",
    "labels",
    "memory",
    "pixels",
    "runs",
    "state",
]
