"""What a fetcher says that its tiles are read from."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from starfish_fetch.contract import TileFetcher
from starfish_fetch.errors import note_tile
from starfish_fetch.plan import LoadPlan
from starfish_fetch.tracing import watched

__all__ = ["sources_of"]


def sources_of(
    fetcher: Any, plan: LoadPlan, *, tolerant: bool = False
) -> tuple[Hashable | None, ...] | None:
    """Ask a fetcher for the source of every tile.

    Parameters
    ----------
    fetcher : TileFetcher
        Or anything; it need not name sources.
    plan : LoadPlan
        Its labels and field of view.
    tolerant : bool, optional
        Whether a source that the fetcher raises an exception for is taken as unknown.

    Returns
    -------
    tuple or None
        In the order r, c, z, with z fastest; None if the fetcher names no sources.

    Raises
    ------
    TypeError
        If a source cannot be hashed.
    Exception
        Whatever the fetcher raises, with a note that names the tile.
    """
    source = getattr(fetcher, "source", None)
    if not callable(source) or getattr(source, "__func__", None) is TileFetcher.source:
        return None
    source = watched(source, "source")
    sources: list[Hashable | None] = []
    # Fetchers make the name anew for each tile; one of each is enough to keep.
    names: dict[Hashable | None, Hashable | None] = {}
    for labels in plan.labels(plan.order):
        name = None
        try:
            name = source(plan.fov, *labels)
            name = names.setdefault(name, name)
        except Exception as error:
            if isinstance(error, TypeError) and name is not None:
                error.add_note(f"source() returned {name!r}; expected a hashable or None (C14)")
            elif tolerant:
                sources.append(None)
                continue
            note_tile(error, plan.fov, labels)
            raise
        sources.append(name)
    return tuple(sources)
