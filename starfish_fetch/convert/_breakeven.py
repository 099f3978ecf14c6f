"""After how many loads a conversion has paid."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from starfish_fetch.axes import Axes, Extent
from starfish_fetch.convert._ome_zarr import to_ome_zarr
from starfish_fetch.convert._spacetx import to_spacetx
from starfish_fetch.json_fields import JsonFields, parse_json
from starfish_fetch.profile import LoadProfile, profile_orders
from starfish_fetch.units import in_units, short

__all__ = ["Breakeven", "OrderBreakeven", "breakeven"]

_SCHEMA = "starfish-fetch/breakeven/1"


@dataclass(frozen=True)
class OrderBreakeven:
    """What loading in one order costs before and after a conversion.

    Parameters
    ----------
    order : str
        Its name: axes, slowest first, as ``"r,c,z"``; ``"none"`` is the loader's own.
    direct_seconds, converted_seconds : float
        Of a load through the fetcher, and of one from what was converted; medians.
    loads : float
        After how many loads in this order converting and loading that has taken less time than
        loading directly would have; ``math.inf`` if never.
    """

    order: str
    direct_seconds: float
    converted_seconds: float
    loads: float


@dataclass(frozen=True)
class Breakeven:
    """What :func:`breakeven` found.

    Parameters
    ----------
    format : str
        "spacetx" or "ome-zarr".
    convert_seconds : float
        How long the conversion took, once.
    direct_bytes : int or None
        Of the files that a load through the fetcher opens; None if that is not known.
    converted_bytes : int
        Of the files of the conversion.
    repeat : int
        How many loads were timed in each order.
    rows : tuple of OrderBreakeven
        The fastest directly first.

    Examples
    --------
    >>> row = OrderBreakeven("z,c,r", 2.0, 0.5, 4)
    >>> found = Breakeven("spacetx", 5.1, None, 1000, 5, (row,))
    >>> found.best.loads
    4
    >>> Breakeven.from_json(found.to_json()) == found
    True
    """

    format: str
    convert_seconds: float
    direct_bytes: int | None
    converted_bytes: int
    repeat: int
    rows: tuple[OrderBreakeven, ...]

    @property
    def best(self) -> OrderBreakeven:
        """The order that is the fastest directly, which the conversion has to compare with."""
        return min(self.rows, key=lambda row: row.direct_seconds)

    @property
    def sentence(self) -> str:
        """Whether converting pays, in plain words."""
        best = self.best
        if math.isinf(best.loads):
            return (
                f"Converting does not pay: loading directly in the order {best.order} takes "
                f"{best.direct_seconds:.3g} s, from {self.format} {best.converted_seconds:.3g} s."
            )
        times = "load" if best.loads == 1 else "loads"
        return (
            f"Converting has paid after {best.loads:,.0f} {times} in the order {best.order}, the "
            "fastest directly."
        )

    def __str__(self) -> str:
        direct = "" if self.direct_bytes is None else f", {in_units(self.direct_bytes)} before"
        lines = [
            self.sentence,
            f"Converted to {self.format} in {self.convert_seconds:.3g} s: "
            f"{in_units(self.converted_bytes)}{direct}.",
            f"{'order':<8}{'direct, ms':>14}{'converted, ms':>16}{'pays after':>14}",
        ]
        for row in self.rows:
            loads = "never" if math.isinf(row.loads) else f"{row.loads:,.0f}"
            direct, converted = (
                short(1e3 * one) for one in (row.direct_seconds, row.converted_seconds)
            )
            lines.append(f"{row.order:<8}{direct:>14}{converted:>16}{loads:>14}")
        return "\n".join(lines)

    def to_json(self) -> str:
        """Return all of it as JSON; ``loads`` is null where a conversion never pays."""
        fields = {"schema": _SCHEMA, "sentence": self.sentence, **asdict(self)}
        for row in fields["rows"]:
            row["loads"] = None if math.isinf(row["loads"]) else row["loads"]
        return json.dumps(fields, allow_nan=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> Breakeven:
        """Return what :meth:`to_json` wrote.

        Raises
        ------
        ValueError
            If the text is none such, or of a later version; the message names the field.
        """
        fields = parse_json(text, "break-even", _SCHEMA, "give what Breakeven.to_json wrote")
        rows = tuple(
            OrderBreakeven(
                row.text("order"),
                row.seconds("direct_seconds"),
                row.seconds("converted_seconds"),
                _loads_from(row),
            )
            for row in fields.objects("rows")
        )
        if not rows:
            fields.refuse([], "a list that is not empty", "rows")
        return cls(
            fields.text("format"),
            fields.seconds("convert_seconds"),
            fields.optional_count("direct_bytes"),
            fields.count("converted_bytes"),
            fields.count("repeat"),
            rows,
        )


def breakeven(
    make_fetcher: Callable[[], Any],
    extent: Extent,
    target: Literal["spacetx", "ome-zarr"],
    root: str | os.PathLike[str] | None = None,
    *,
    orders: Iterable[Iterable[Axes | str] | None] | None = None,
    repeat: int = 5,
    workers: int | None = None,
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
        If the target is none, or an argument is not allowed.

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
    asked = None if orders is None else list(orders)
    measured = {"repeat": repeat, "workers": workers, "progress": progress}
    direct = profile_orders(make_fetcher, extent, asked, **measured)  # type: ignore[arg-type]
    with ExitStack() as stack:
        if root is None:
            root = Path(stack.enter_context(tempfile.TemporaryDirectory()), "converted")
        convert = to_spacetx if target == "spacetx" else to_ome_zarr
        fetcher = make_fetcher()
        if hasattr(fetcher, "close"):
            stack.callback(fetcher.close)
        done = convert(fetcher, extent, root, workers=workers, progress=progress, **options)
        reader = _reader(target)
        converted = profile_orders(
            lambda: reader(root),
            extent,
            asked,
            **measured,  # type: ignore[arg-type]
        )
    rows = []
    for row in direct.rows:
        before, after = row.median_seconds, converted.row(row.order).median_seconds
        gained = before - after
        # More than so many: an equal time is no gain yet.
        loads = math.floor(done.seconds / gained) + 1 if gained > 0 else math.inf
        rows.append(OrderBreakeven(row.order, before, after, loads))
    return Breakeven(target, done.seconds, _bytes_of(direct), done.bytes, repeat, tuple(rows))


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


def _loads_from(row: JsonFields) -> float:
    return math.inf if row.absent("loads") else row.count("loads")
