"""The tree of fractions under a lookup argument: blocks of different dims in one padded cube.

Level 0 is the concatenation of all leaf arrays ("blocks"); level ``k + 1`` adds neighbours of level
``k``. A block with ``n`` variables lies at an offset that is a multiple of ``2^n`` (blocks are
sorted by size), so halving the cube halves every block along its own last axis. Everything that is
not stored is the fraction 0/1. A fraction p/q is stored as ``(p, d = q - 1)``, so that absent means
all zeros. Blocks that shrank to one entry are gathered, in order, in a one-dimensional *tail*.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from veracity.engine.api import ORDER, Engine, Leaves, Vec
from veracity.zk.mle import eq_at, eq_range, kron, ones, variables, zeros

__all__ = ["Halves", "Level", "Placement", "Run", "place"]


@dataclass(frozen=True)
class Placement:
    """Where the leaves of each block lie.

    Attributes
    ----------
    order : tuple of int
        Indices of the blocks, largest first.
    offsets : tuple of int
        Offset of each block (in the caller's order of blocks).
    variables : int
        Variables of the whole cube.
    """

    order: tuple[int, ...]
    offsets: tuple[int, ...]
    variables: int


def place(dims: Sequence[tuple[int, ...]]) -> Placement:
    """Aligned offsets for blocks with these dims: sorted by padded size, without gaps."""
    sizes = [variables(d) for d in dims]
    order = tuple(sorted(range(len(dims)), key=lambda i: (-sizes[i], i)))
    offsets = [0] * len(dims)
    at = 0
    for i in order:
        offsets[i] = at
        at += 1 << sizes[i]
    return Placement(order, tuple(offsets), max(0, (at - 1).bit_length()))


def _strip(dims: Sequence[int]) -> tuple[int, ...]:
    """Drop axes of length 1 (they have no variables)."""
    return tuple(d for d in dims if d > 1) or (1,)


@dataclass(frozen=True)
class Run:
    """Fractions of one block at one level of the tree.

    Attributes
    ----------
    offset : int
        Position of the first entry in its level.
    dims : tuple of int
        Dims without axes of length 1.
    p : Vec, Leaves or None
        Numerators; None for all ones.
    d : Vec or Leaves
        Denominators minus one. Level 0 is half of the tree's memory, so large blocks of it are
        computed from their integers whenever they are needed.
    """

    offset: int
    dims: tuple[int, ...]
    p: Vec | Leaves | None
    d: Vec | Leaves

    @property
    def single(self) -> bool:
        """Whether one entry is left."""
        return prod(self.dims) == 1


@dataclass(frozen=True)
class Level:
    """One level of the tree: large blocks, then the tail (None while nothing is in it)."""

    runs: tuple[Run, ...]
    tail: Run | None

    @staticmethod
    def of(engine: Engine, runs: Sequence[Run], tail: Run | None) -> Level:
        """Gather single entries into the tail.

        Parameters
        ----------
        engine : Engine
            Backend.
        runs : sequence of Run
            Blocks of this level, largest first.
        tail : Run or None
            Single entries gathered so far.
        """
        big = tuple(r for r in runs if not r.single)
        small = [r for r in runs if r.single]
        if small:
            rest = [*small, *([tail] if tail is not None else [])]
            tail = Run(
                rest[0].offset,
                (sum(len(r.d) for r in rest),),
                engine.concat(
                    [ones(engine, 1) if r.p is None else _stored(engine, r.p) for r in rest]
                ),
                engine.concat([_stored(engine, r.d) for r in rest]),
            )
        return Level(big, tail)

    def next(self, engine: Engine) -> Level:
        """Add neighbours."""
        return Level.of(
            engine,
            [_up(engine, r) for r in self.runs],
            None if self.tail is None else _up(engine, self.tail),
        )

    def root(self, engine: Engine) -> int:
        """The denominator of the one fraction that is left."""
        if self.tail is None or isinstance(self.tail.d, Leaves):
            return 1
        return (1 + engine.to_ints(self.tail.d)[0]) % ORDER

    def halves(self, engine: Engine) -> Halves:
        """The operands of the sumcheck that leads from the next level to this one."""
        # single entries of other blocks will join the tail, so it is split at once
        tail = None if self.tail is None else _Half(engine, self.tail, together=False)
        return Halves(engine, [_Half(engine, r) for r in self.runs], tail)


def _up(engine: Engine, run: Run) -> Run:
    n = run.dims[-1]
    p, d = engine.logup_level(run.p, run.d, n)
    return Run(run.offset // 2, _strip((*run.dims[:-1], (n + 1) // 2)), p, d)


def _stored(engine: Engine, a: Vec | Leaves) -> Vec:
    """Entries as a vector, where they are few."""
    return engine.logup_denominators(a) if isinstance(a, Leaves) else a


class _Half:
    """Even and odd entries of a block while variables are bound, last axis first.

    ``p`` and ``d`` are pairs (even, odd). Numerators have the dims of the block, or, if
    ``separable``, depend on the last axis only. Until the first variable is bound, the halves of
    a long axis may stay ``together``, in ``whole``.
    """

    def __init__(self, engine: Engine, run: Run, together: bool = True) -> None:
        n = run.dims[-1]
        self.engine, self.offset = engine, run.offset // 2
        self.separable = run.p is None
        self.p = self.d = (zeros(engine, 0), zeros(engine, 0))
        if run.p is None:
            even, odd = ones(engine, (n + 1) // 2), ones(engine, n // 2)
            self.p = even, engine.concat([odd, zeros(engine, len(even) - len(odd))])
        self.whole = run if together and n > 2 else None
        if self.whole is None:
            d = _stored(engine, run.d)
            self.d = engine.fold(d, n, 0), engine.fold(d, n, 1)
            if run.p is not None:
                p = _stored(engine, run.p)
                self.p = engine.fold(p, n, 0), engine.fold(p, n, 1)
        self.dims: tuple[int, ...] = ()
        self._outer: Vec | None = None
        self._shrink((*run.dims[:-1], (n + 1) // 2))

    def _shrink(self, dims: tuple[int, ...]) -> None:
        popped = len(dims) > 1 and dims[-1] == 1
        self.dims = _strip(dims)
        if popped or not self.dims[:-1]:
            self._outer = None
        if popped and self.separable:
            row = ones(self.engine, self.dims[-1])
            even, odd = (self.engine.to_ints(p)[0] for p in self.p)
            self.p = self.engine.scale(row, even), self.engine.scale(row, odd)

    def round(self, point: Sequence[int], lam: int) -> tuple[int, int]:
        """Contribution to ``(h(0), h_2)``; ``point`` = remaining coordinates, this one first."""
        n = self.dims[-1]
        width = (n - 1).bit_length()
        if self._outer is None:
            count = prod(self.dims[:-1])
            if count == 1:
                self._outer = ones(self.engine, 1)
            else:
                high = list(point[width:])
                parts = []
                for dim in reversed(self.dims[:-1]):
                    bits = (dim - 1).bit_length()
                    parts.append(self.engine.eq(high[:bits], dim))
                    high = high[bits:]
                table = kron(self.engine, parts[::-1])
                position = self.offset >> sum((d - 1).bit_length() for d in self.dims)
                self._outer = self.engine.scale(table, eq_at(high, position))
        rest = list(point[1:])
        if len(self.dims) > 1:
            inner = self.engine.eq(rest[: width - 1], (n + 1) // 2)
        else:
            inner = eq_range(self.engine, rest, self.offset // 2, self.offset // 2 + (n + 1) // 2)
        if self.whole is not None:
            p = self.p if self.whole.p is None else self.whole.p
            size = self.whole.dims[-1]
            return self.engine.logup_first_round(p, self.whole.d, size, self._outer, inner, lam)
        return self.engine.logup_round(self.p, self.d, n, self._outer, inner, lam)

    def bind(self, r: int) -> None:
        """Bind the next variable."""
        n, run = self.dims[-1], self.whole
        fold = self.engine.fold
        if run is None or run.p is None:
            self.p = fold(self.p[0], n, r), fold(self.p[1], n, r)
        else:
            self.p = self.engine.logup_split_fold(run.p, run.dims[-1], r)
        if run is None:
            self.d = fold(self.d[0], n, r), fold(self.d[1], n, r)
        else:
            self.d = self.engine.logup_split_fold(run.d, run.dims[-1], r)
        self.whole = None
        self.offset //= 2
        self._shrink((*self.dims[:-1], (n + 1) // 2))

    @property
    def single(self) -> bool:
        return prod(self.dims) == 1


class Halves:
    """The state of one layer's sumcheck over all blocks."""

    def __init__(self, engine: Engine, blocks: list[_Half], tail: _Half | None) -> None:
        self.engine = engine
        self._big = blocks
        self._tail = tail
        self._gather()

    def _gather(self) -> None:
        small = [h for h in self._big if h.single]
        if not small:
            return
        self._big = [h for h in self._big if not h.single]
        rest = [*small, *([self._tail] if self._tail is not None else [])]
        first = rest[0]
        concat = self.engine.concat
        first.p = concat([h.p[0] for h in rest]), concat([h.p[1] for h in rest])
        first.d = concat([h.d[0] for h in rest]), concat([h.d[1] for h in rest])
        first.separable = False
        first.dims = (len(first.d[0]),)
        first._outer = None
        self._tail = first

    def round(self, point: Sequence[int], lam: int) -> tuple[int, int]:
        """``(h(0), h_2)`` of the whole layer, the constant of absent entries included."""
        h0, h2 = 1, 0
        for half in [*self._big, *([self._tail] if self._tail is not None else [])]:
            a, b = half.round(point, lam)
            h0, h2 = (h0 + a) % ORDER, (h2 + b) % ORDER
        return h0, h2

    def bind(self, r: int) -> None:
        """Bind the next variable in every block."""
        for half in self._big:
            half.bind(r)
        if self._tail is not None:
            self._tail.bind(r)
        self._gather()

    def ends(self) -> tuple[int, int, int, int]:
        """``(p_even, q_even, p_odd, q_odd)`` once all variables are bound."""
        tail = self._tail
        if tail is None or self._big or tail.whole is not None or len(tail.d[0]) != 1:
            raise ValueError("a layer is not bound to the end")
        p0, d0, p1, d1 = (
            self.engine.to_ints(v)[0] for v in (tail.p[0], tail.d[0], tail.p[1], tail.d[1])
        )
        return p0, (1 + d0) % ORDER, p1, (1 + d1) % ORDER
