"""What came of a conversion."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from starfish_fetch.units import in_units

__all__ = ["Conversion"]


@dataclass(frozen=True)
class Conversion:
    """What came of a conversion.

    Attributes
    ----------
    root : str
        The folder that was written.
    format : str
        "spacetx" or "ome-zarr".
    fovs : int
        How many fields of view it has.
    tiles : int
        How many tiles it has, of all images.
    tiles_there : int
        How many of them an earlier call had written.
    files, bytes : int
        What is in the folder.
    seconds : float
        How long this call took.

    Examples
    --------
    >>> print(Conversion("out", "spacetx", 1, 60, 0, 64, 1_200_000, 0.5))
    out: spacetx, 1 field of view, 60 tiles in 64 files, 1.2 MB; 0.50 s
    """

    root: str
    format: str
    fovs: int
    tiles: int
    tiles_there: int
    files: int
    bytes: int
    seconds: float

    def to_json(self) -> str:
        """Return the fields as a JSON object."""
        return json.dumps(self._fields())

    def _fields(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        fovs = "1 field of view" if self.fovs == 1 else f"{self.fovs} fields of view"
        there = f" ({self.tiles_there} of them were there)" if self.tiles_there else ""
        return (
            f"{self.root}: {self.format}, {fovs}, {self.tiles} tiles{there} in {self.files} "
            f"files, {in_units(self.bytes)}; {self.seconds:.2f} s"
        )
