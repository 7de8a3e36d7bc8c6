"""How a picture is cut into tiles, and the tiles' results put together again, as wires.

A side that fits one tile is one tile. Longer sides are cut into as few tiles as possible, of equal
length, that overlap by at least two margins; results meet in the middle of what overlaps.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from veracity.errors import UsageError
from veracity.graph.wires import Step, Wire

__all__ = ["LARGEST_TILE", "MARGIN", "SMALLEST", "Layout", "Side"]

#: Pixels at the end of a tile that its neighbour computes better.
MARGIN = 8
#: The statistics of a picture need this many rows and columns.
SMALLEST = 16
#: Beyond, accumulators of the frequency branch might need more than 62 bits.
LARGEST_TILE = 128


@dataclass(frozen=True)
class Side:
    """One side of a picture.

    Attributes
    ----------
    length : int
        Pixels.
    count : int
        Tiles.
    tile : int
        Pixels of a tile.
    """

    length: int
    count: int
    tile: int

    @classmethod
    def of(cls, length: int, most: int) -> Side:
        """A side cut into tiles of at most this many pixels."""
        if length <= most:
            return cls(length, 1, length)
        count = -(-(length - 2 * MARGIN) // (most - 2 * MARGIN))
        return cls(length, count, -(-(length + 2 * MARGIN * (count - 1)) // count))

    @property
    def starts(self) -> list[int]:
        """The first pixel of each tile."""
        last = max(1, self.count - 1)
        return [i * (self.length - self.tile) // last for i in range(self.count)]

    def cut(self, axis: int) -> Wire:
        """The axis as (tiles, pixels of a tile)."""
        if self.count == 1:
            return (Step("split", axis, (1, self.length)),)
        taken = [start + i for start in self.starts for i in range(self.tile)]
        return (Step("pick", axis, tuple(taken)), Step("split", axis, (self.count, self.tile)))

    def join(self, axis: int, scale: int) -> Wire:
        """Of the enlarged pixels of all tiles in a row those of the enlarged picture."""
        if self.count == 1:
            return ()
        borders = [(a + self.tile + b) // 2 for a, b in pairwise(self.starts)]
        ends = [0, *borders, self.length]
        taken = [
            scale * (i * self.tile - start) + y
            for i, start in enumerate(self.starts)
            for y in range(scale * ends[i], scale * ends[i + 1])
        ]
        return (Step("pick", axis, tuple(taken)),)


@dataclass(frozen=True)
class Layout:
    """A picture in tiles.

    Attributes
    ----------
    rows, columns : Side
        Its height and its width.
    """

    rows: Side
    columns: Side

    @classmethod
    def of(cls, height: int, width: int, tile: int) -> Layout:
        """The tiles of a picture.

        Parameters
        ----------
        height, width : int
            Of the picture, in pixels.
        tile : int
            Most pixels of a tile's sides.

        Raises
        ------
        UsageError
            Where the picture or the tile is too small, or the tile too large.
        """
        if min(height, width) < SMALLEST:
            raise UsageError(f"a picture has at least {SMALLEST} rows and columns")
        if not 4 * MARGIN <= tile <= LARGEST_TILE:
            raise UsageError(f"a tile has {4 * MARGIN} to {LARGEST_TILE} pixels a side")
        return cls(Side.of(height, tile), Side.of(width, tile))

    @property
    def count(self) -> int:
        """How many tiles."""
        return self.rows.count * self.columns.count

    def grid(self, channels: int) -> tuple[int, ...]:
        """Dims of a value: tiles down, tiles across, channels, rows, columns."""
        rows, columns = self.rows, self.columns
        return (rows.count, columns.count, channels, rows.tile, columns.tile)

    def cut(self) -> Wire:
        """(channels, rows, columns) as (down, across, channels, rows, columns)."""
        order = Step("permute", 0, (1, 3, 0, 2, 4))
        return (*self.rows.cut(1), *self.columns.cut(3), order)

    def joined(self, scale: int) -> tuple[int, int, int]:
        """Dims of all enlarged tiles side by side, margins and all."""
        rows, columns = self.rows, self.columns
        return (3, scale * rows.count * rows.tile, scale * columns.count * columns.tile)

    def join(self, scale: int) -> Wire:
        """Tiles side by side as one picture."""
        return (*self.rows.join(1, scale), *self.columns.join(2, scale))
