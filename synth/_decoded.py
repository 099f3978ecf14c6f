"""What was read from pixels of content "index"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Decoded"]

_NOTHING: Mapping[tuple[int, int, int, int], int] = {}


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """Where pixels come from, and what was done to them. ``str()`` of it says so in words.

    Where several tiles are mixed, all but ``sources`` is about the one that most blocks are of.

    Attributes
    ----------
    found : bool
        Whether any block was read. If not, ``reason`` says why, and what follows is None or empty.
    fov, round, ch, zplane : int
        The labels of the tile.
    tile_shape : (int, int)
        Rows and columns of the tile that was written.
    shape : (int, int)
        Rows and columns of the pixels, in the frame of the tile: once turned back.
    orientation : str
        What was done to the tile: "as written", "flipped left-right", "flipped up-down",
        "transposed", "transposed about the other diagonal", "rotated by 180 degrees", "rotated by
        90 degrees clockwise" or "... counterclockwise".
    offset : (int, int)
        Row and column, in the tile, of the first of the pixels once turned back. Not within the
        tile if they were shifted.
    low, high : float
        What the lowest and the highest level have become.
    rescaled : bool
        Whether they differ from what the dtype leads to expect; of floats that is [0, 1] or any
        integer dtype divided by its maximum.
    bytes_swapped : bool
        Whether the blocks could be read only with the bytes of each pixel in reverse order.
    blocks, total : int
        Blocks that were read, and whole blocks that there are room for.
    sources : mapping
        (fov, round, ch, zplane) of each tile, to how many of the blocks are of it; most first.
    reason : str
        Why nothing was found.

    Examples
    --------
    >>> print(Decoded(found=False, reason="no block was recognised"))
    not decoded: no block was recognised
    """

    found: bool
    fov: int | None = None
    round: int | None = None
    ch: int | None = None
    zplane: int | None = None
    tile_shape: tuple[int, int] | None = None
    shape: tuple[int, int] | None = None
    orientation: str | None = None
    offset: tuple[int, int] | None = None
    low: float | None = None
    high: float | None = None
    rescaled: bool = False
    bytes_swapped: bool = False
    blocks: int = 0
    total: int = 0
    sources: Mapping[tuple[int, int, int, int], int] = field(
        default_factory=lambda: dict(_NOTHING), hash=False
    )
    reason: str = ""

    @property
    def shifted(self) -> bool:
        """Whether some of the pixels lie where the tile has none: it was rolled, or padded."""
        if self.offset is None or self.shape is None or self.tile_shape is None:
            return False
        return any(
            first < 0 or first + count > size
            for first, count, size in zip(self.offset, self.shape, self.tile_shape, strict=True)
        )

    @property
    def untouched(self) -> bool:
        """Whether this is one whole tile, as it was written, whatever its dtype."""
        return (
            self.found
            and self.orientation == "as written"
            and self.offset == (0, 0)
            and self.shape == self.tile_shape
            and len(self.sources) == 1
            and not (self.rescaled or self.bytes_swapped)
        )

    def describe(self) -> str:
        """Say it in words, in one line."""
        if not self.found or self.offset is None or self.shape is None:
            return f"not decoded: {self.reason}"
        words = [
            f"round {self.round}, channel {self.ch}, z-plane {self.zplane} of field of view "
            f"{self.fov}"
        ]
        (top, left), (rows, columns) = self.offset, self.shape
        if self.shifted:
            words.append(f"shifted by {-top} rows and {-left} columns")
        elif self.shape != self.tile_shape:
            words.append(
                f"rows {top} to {top + rows - 1} and columns {left} to {left + columns - 1}"
            )
        if self.orientation != "as written":
            words.append(str(self.orientation))
        if self.bytes_swapped:
            words.append("with the bytes of each pixel swapped")
        if self.rescaled:
            words.append(f"rescaled to {self.low:.7g}..{self.high:.7g}")
        if len(self.sources) > 1:
            words.append(f"mixed with {self._others()}")
        if self.blocks < self.total:
            words.append(f"{self.blocks} of {self.total} blocks readable")
        return ", ".join(words)

    def _others(self) -> str:
        _, *others = self.sources.items()
        named = [
            f"{count} blocks of (fov={fov}, r={round_}, c={ch}, z={zplane})"
            for (fov, round_, ch, zplane), count in others[:3]
        ]
        if len(others) > 3:
            named.append(f"{len(others) - 3} more tiles")
        return " and ".join(named)

    def __str__(self) -> str:
        return self.describe()
