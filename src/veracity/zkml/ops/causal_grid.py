"""The square of scores of causal attention, in parts: what no row sees is left out.

Rows (targets t) and columns (sources s) of a head's square are cut into ``n`` stretches of ``side``
tokens each. Only blocks on the diagonal and below it exist::

    diagonal   (heads, n, side, side)       under a causal mask
    below      (heads, n (n - 1) / 2, side, side)       without one

Values of a row have dims (heads, n, side); queries of a block are gathered by its target stretch,
keys and values by its source stretch, all by public numbers. Weights within a block remain a
product of one vector for each axis, so nothing needs to be committed beside the parts themselves.
Tokens beyond the last stand for queries, keys and values of zero; their rows are computed like any
other and nothing reads them.

A short square is one part, as it is.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from veracity.engine.api import Ints
from veracity.records import record
from veracity.zkml.circuit.linear_maps import Blocks, Fold, Gather
from veracity.zkml.circuit.tensor import Tensor

__all__ = ["LONG", "Grid", "Part"]

#: Tokens beyond which a square is cut, into nine to sixteen stretches.
LONG, STRETCHES = 32, 16

_NOWHERE = np.iinfo(np.int64).max


@record
class Part:
    """Blocks of one kind.

    Attributes
    ----------
    name : str
        What the roles of its arrays end in.
    grid : Grid
        The whole.
    targets, sources : tuple of int
        Stretches of every block; empty where the square is not cut.
    causal : bool
        Whether the mask hides entries of its blocks.
    """

    name: str
    grid: Grid
    targets: tuple[int, ...]
    sources: tuple[int, ...]
    causal: bool

    @property
    def dims(self) -> tuple[int, ...]:
        """Dims of its arrays; the last two are (target, source)."""
        heads, *rest = self.grid.rows
        return (heads, *([len(self.targets)] if self.targets else []), rest[-1], rest[-1])

    def queries(self, x: Tensor, axis: int) -> Tensor:
        """An axis of tokens by target: (block, entry), or as it is."""
        return self._stretches(x, axis, self.targets)

    def keys(self, x: Tensor, axis: int) -> Tensor:
        """An axis of tokens by source: (block, entry), or as it is."""
        return self._stretches(x, axis, self.sources)

    def _stretches(self, x: Tensor, axis: int, numbers: tuple[int, ...]) -> Tensor:
        if not numbers:
            return x
        return x.view(Blocks(axis, numbers, self.grid.rows[-1], self.grid.tokens))

    def of_rows(self, x: Tensor) -> Tensor:
        """Values of rows, (heads, n, side), by block; without the axis of sources."""
        if not self.targets or self.causal:
            return x
        return x.view(Gather(self.targets, x.dims[1], 1))

    def to_rows(self, x: Tensor, axis: int = 1) -> Tensor:
        """Sums over the blocks of each stretch of targets."""
        if not self.targets or self.causal:
            return x
        return x.view(Fold(axis, self.targets, self.grid.rows[1]))

    def beyond(self, window: int) -> tuple[int, ...]:
        """How many sources lie beyond a window, in every block for every row; blocks first."""
        side = self.grid.rows[-1]
        blocks = zip(self.targets or (0,), self.sources or (0,), strict=True)
        seen = [t * side + 1 - window - s * side for t, s in blocks]
        return tuple(min(max(first + row, 0), side) for first in seen for row in range(side))

    def cut(self, x: Ints | None) -> Ints | None:
        """The blocks of a square with the dims of :meth:`Grid.padded`."""
        if x is None or not self.targets:
            return x
        n, side = self.grid.rows[1:]
        blocks = x.reshape(-1, n, side, n, side)
        found = blocks[:, self.targets, :, self.sources]  # (block, heads, side, side)
        return np.ascontiguousarray(found.swapaxes(0, 1))


@record
class Grid:
    """How squares of so many tokens are cut.

    Attributes
    ----------
    heads, tokens : int
        Heads and tokens of an attention.
    rows : tuple of int
        Dims of the values of rows: (heads, tokens) or (heads, stretches, side).
    """

    heads: int
    tokens: int
    rows: tuple[int, ...]

    @staticmethod
    def of(heads: int, tokens: int, whole: bool = False) -> Grid:
        """The grid of a square; ``whole`` ones are not cut.

        Parameters
        ----------
        heads, tokens : int
            Dims.
        whole : bool
            Whether it has to stay one part.
        """
        if whole or tokens <= LONG:
            return Grid(heads, tokens, (heads, tokens))
        side = max(2, (1 << (tokens - 1).bit_length()) // STRETCHES)
        return Grid(heads, tokens, (heads, -(-tokens // side), side))

    @property
    def padded(self) -> int:
        """Tokens with those beyond the last."""
        return int(np.prod(self.rows[1:]))

    @property
    def parts(self) -> tuple[Part, ...]:
        """Its parts."""
        if len(self.rows) == 2:
            return (Part("", self, (), (), True),)
        n = range(self.rows[1])
        targets, sources = zip(*[(t, s) for t in n for s in range(t)], strict=True)
        return (
            Part(".diagonal", self, tuple(n), tuple(n), True),
            Part(".below", self, targets, sources, False),
        )

    @property
    def letter(self) -> str:
        """The letter of blocks in the specs of products; none where the square is not cut."""
        return "" if len(self.rows) == 2 else "p"

    def first_zeros(self, distances: Sequence[Ints | None]) -> list[Ints | None]:
        """One-hot of one visible zero in every row, in all parts together.

        Parameters
        ----------
        distances : sequence
            The prover's integers of every part.
        """
        done = np.zeros((self.heads, self.rows[1] if self.letter else 1, self.rows[-1]), dtype=bool)
        out: list[Ints | None] = []
        for part, d in zip(self.parts, distances, strict=True):
            if d is None:
                out.append(None)
                continue
            targets, sources = (np.asarray(x or (0,)) for x in (part.targets, part.sources))
            zero = (d == 0).reshape(self.heads, len(targets), *d.shape[-2:])
            if part.causal:
                zero &= np.tril(np.ones(d.shape[-2:], dtype=bool))
            at = zero.argmax(axis=-1)  # (heads, block, entry)
            place = np.where(zero.any(axis=-1), sources[:, None] * d.shape[-1] + at, _NOWHERE)
            starts = np.flatnonzero(np.diff(targets, prepend=-1))  # blocks of a row lie together
            first = np.full(done.shape, _NOWHERE)
            first[:, targets[starts]] = np.minimum.reduceat(place, starts, axis=1)
            hit = (place < _NOWHERE) & (place == first[:, targets]) & ~done[:, targets]
            found = np.zeros(zero.shape, dtype=np.int8)
            np.put_along_axis(found, at[..., None], hit[..., None], axis=-1)
            done |= first < _NOWHERE
            out.append(found.reshape(d.shape))
        if out[0] is not None:  # a row without any has a false one
            out[0].reshape(*done.shape, -1)[..., 0][~done] = 1
        return out
