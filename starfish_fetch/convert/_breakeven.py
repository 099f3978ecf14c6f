"""Measures after how many loads a conversion has paid."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

from starfish_fetch.axes import Axes, Extent
from starfish_fetch.convert._ome_zarr import to_ome_zarr
from starfish_fetch.convert._spacetx import to_spacetx
from starfish_fetch.profile import Breakeven, LoadProfile, OrderBreakeven, profile_orders

__all__ = ["breakeven"]


def breakeven(
    make_fetcher: Callable[[], Any],
    extent: Extent,
    target: Literal["spacetx", "ome-zarr"],
    root: str | os.PathLike[str] | None = None,
    *,
    orders: Iterable[Iterable[Axes | str] | None] | None = None,
    repeat: int = 5,
    workers: int | None = None,
    direct: LoadProfile | None = None,
    progress: bool = False,
    **options: Any,
) -> Breakeven:
    """Measure loading directly in each order, converting, and loading what was converted.

    Loads are those of :func:`profile_orders`, with the files in the page cache as far as they
    fit; the conversion runs once, after the direct loads.

    Parameters
    ----------
    make_fetcher : callable
        Returns a fresh fetcher.
    extent : Extent
        What to load.
    target : {"spacetx", "ome-zarr"}
        The format.
    root : path, optional
        Where to keep what is converted; nothing may be there. Default: a temporary folder, which
        is deleted.
    orders : iterable of group_by, optional
        As of :func:`profile_orders`. Default: the six orders of r, c and z, and None.
    repeat : int, optional
        How many loads to time in each order. Default: 5.
    workers : int, optional
        Threads that fetch, for a fetcher that is ``thread_safe``.
    direct : LoadProfile, optional
        Of the direct loads, if :func:`profile_orders` has measured them already: orders, repeat,
        workers, and whether files are cold, are then those of it. Put what is found into it by
        ``dataclasses.replace(direct, breakevens=(found,))``, and it is in its JSON and its page.
        Default: they are measured.
    progress : bool, optional
        Show progress bars on stderr. Default: False.
    **options
        Those of :func:`to_spacetx` or :func:`to_ome_zarr` that say how to convert.

    Returns
    -------
    Breakeven

    Raises
    ------
    FileExistsError
        If there is something in ``root``.
    ValueError
        If the target is none, or an argument is not allowed; if ``direct`` is of another image.

    Examples
    --------
    >>> import starfish_fetch as sf
    >>> import synth
    >>> spec = synth.Spec(rounds=2, chs=3, zplanes=1, tile_shape=(8, 6))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     data = synth.write(spec, sf.Layout.per_round(), folder)
    ...     found = breakeven(data.fetcher, data.extent(), "spacetx", orders=["r,c"], repeat=1)
    >>> found.rows[0].order, found.best.loads > 0
    ('r,c', True)
    """
    if target not in ("spacetx", "ome-zarr"):
        raise ValueError(f"target must be 'spacetx' or 'ome-zarr'; got {target!r}")
    if root is not None and os.path.exists(root):
        raise FileExistsError(
            f"{os.fspath(root)!r} is there; a conversion is timed from its beginning: name a "
            "folder that is not there"
        )
    if direct is None:
        asked = None if orders is None else list(orders)
        direct = profile_orders(
            make_fetcher, extent, asked, repeat=repeat, workers=workers, progress=progress
        )
    elif direct.extent != extent:
        raise ValueError(f"direct is a profile of {direct.extent}; what is converted is {extent}")
    with ExitStack() as stack:
        if root is None:
            root = Path(stack.enter_context(tempfile.TemporaryDirectory()), "converted")
        convert = to_spacetx if target == "spacetx" else to_ome_zarr
        fetcher = make_fetcher()
        if hasattr(fetcher, "close"):
            stack.callback(fetcher.close)
        done = convert(fetcher, extent, root, workers=direct.workers, progress=progress, **options)
        reader = _reader(target)
        converted = profile_orders(
            lambda: reader(root),
            extent,
            [row.group_by for row in direct.rows],
            repeat=direct.repeat,
            cold=direct.cold,
            workers=direct.workers,
            progress=progress,
        )
    rows = []
    for row in direct.rows:
        before, after = row.median_seconds, converted.row(row.order).median_seconds
        gained = before - after
        # More than so many: an equal time is no gain yet.
        loads = math.floor(done.seconds / gained) + 1 if gained > 0 else math.inf
        rows.append(OrderBreakeven(row.order, before, after, loads))
    return Breakeven(
        target, done.seconds, _bytes_of(direct), done.bytes, direct.repeat, tuple(rows)
    )


def _reader(target: str) -> Callable[[Any], Any]:
    if target == "spacetx":
        from starfish_fetch.interop.spacetx import SpaceTxTileFetcher

        return SpaceTxTileFetcher
    from starfish_fetch.interop.ome_zarr import OmeZarrTileFetcher

    return OmeZarrTileFetcher


def _bytes_of(profile: LoadProfile) -> int | None:
    """Return the size of the files that tiles come from, if all of them are known."""
    try:
        sizes = [os.stat(name).st_size for name in profile.source_names]
    except (OSError, ValueError):
        return None
    return sum(sizes) if sizes else None
