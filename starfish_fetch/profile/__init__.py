"""The same load under every order, measured, and two such profiles compared."""

from __future__ import annotations

from starfish_fetch.profile._breakeven import Breakeven, OrderBreakeven
from starfish_fetch.profile._comparison import Comparison, OrderComparison, compare
from starfish_fetch.profile._measure import profile_orders
from starfish_fetch.profile._values import SCHEMA, LoadProfile, Machine, OrderProfile

__all__ = [
    "SCHEMA",
    "Breakeven",
    "Comparison",
    "LoadProfile",
    "Machine",
    "OrderBreakeven",
    "OrderComparison",
    "OrderProfile",
    "compare",
    "profile_orders",
]
