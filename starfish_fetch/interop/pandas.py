"""What the tiles say of themselves, as a pandas table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starfish_fetch.errors import require

if TYPE_CHECKING:
    import pandas as pd

    from starfish_fetch.stack import ImageStack

__all__ = ["tile_metadata"]

_LABELS = ("r", "c", "z")


def tile_metadata(stack: ImageStack) -> pd.DataFrame:
    """Return a row for each tile, in the order r, c, z: labels, extras, barcode index."""
    try:
        import pandas as pd
    except ImportError:
        raise require("pandas", "xarray", "ImageStack.tile_metadata") from None
    tiles = stack.tile_extras()
    names = list(dict.fromkeys(name for extras in tiles.values() for name in extras))
    clashes = [name for name in names if name in _LABELS]
    if clashes:
        raise ValueError(
            f"extras named {', '.join(map(repr, clashes))} would hide the labels of the tiles; "
            "give them other names"
        )
    rows = []
    for key, extras in tiles.items():
        row: dict[str, Any] = dict(zip(_LABELS, key, strict=True))
        row.update((name, extras.get(name)) for name in names)
        index = (key.zplane * stack.num_rounds + key.round) * stack.num_chs + key.ch
        row["barcode_index"] = extras.get("barcode_index", index)
        rows.append(row)
    return pd.DataFrame(rows)
