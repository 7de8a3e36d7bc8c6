"""Every entry of many committed arrays is bounded, at the cost of one small array.

Relation. Columns ``X``, each seen as a matrix (outer, inner), have entries with ``|x| < 2^49``
(as field elements: the representative nearest to zero). What an honest prover commits to is much
smaller still; a bound far below the field's size is all that the uniqueness of a quotient needs.

Messages. The verifier draws binary matrices ``L_X`` (128, outer) and ``R_X`` (128, inner). The
prover commits to 16-bit limbs of ``V + 2^47`` with

    V = sum_X L_X X R_X^T        (128, 128)

Remaining claims. A range lookup of every limb, so that ``|V| <= 2^47``; and, at a random point, the
linear claim that ties ``V`` to the arrays, with weights ``L_X^T eq(left)`` and ``R_X^T eq(right)``.
Soundness error. ``2^-127 + 14 / |F|``: fix an entry with ``|x_ij| >= 2^49`` and everything but the
``i``-th column of ``L_X``. For each of 128 rows the two values that the drawn bit can give entry
``j`` of ``L_X X`` differ by ``x_ij``, so with probability 1/2 it is at least ``2^48`` in size; once
one row is, each row of ``R_X`` gives, in the same way, an entry of ``V`` of at least ``2^47``
with probability 1/2. Entries are 0 and 1, not -1 and 1: then the two values would differ by
``2 x``, and twice ``(|F| + 1) / 2`` is one.
References: projections with binary matrices, Baum-Lyubashevsky (eprint 2017/759); as an
approximate range proof, Gentry-Halevi-Lyubashevsky (eprint 2021/1397).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod

import numpy as np
from numpy.typing import NDArray

from veracity.engine.api import ORDER, Engine, Integers, Ints
from veracity.errors import RangeError
from veracity.records import record
from veracity.zk.committed import ArrayId
from veracity.zk.hidden import LinearForm
from veracity.zk.mle import axis_bits
from veracity.zk.reduction import LinearClaim, Term

__all__ = [
    "ENTRY_BITS",
    "LIMBS",
    "ROWS",
    "Directions",
    "Sides",
    "draw_directions",
    "limbs_of",
    "project",
    "projection_claim",
]

#: Every bounded entry is below ``2^ENTRY_BITS`` in magnitude.
ENTRY_BITS = 49
#: Rows of each random matrix.
ROWS = 128
#: 16-bit limbs of an entry of the projection.
LIMBS = 3

_OFFSET = 1 << (16 * LIMBS - 1)
#: Rows and columns of a matrix that are multiplied at a time: no power of two, for as many results
#: of each direction lie behind each other, and would meet in the same places of a cache.
_CHUNK = 6000


@record
class Sides:
    """How an array is seen as a matrix: axes before ``split`` are its rows."""

    id: ArrayId
    dims: tuple[int, ...]
    split: int

    @property
    def outer(self) -> int:
        """Number of rows."""
        return prod(self.dims[: self.split])

    @property
    def inner(self) -> int:
        """Number of columns."""
        return prod(self.dims[self.split :])


@record
class Directions:
    """Binary matrices (128, outer) and (128, inner) of one column."""

    sides: Sides
    left: NDArray[np.int8]
    right: NDArray[np.int8]


def draw_directions(
    draw: Callable[[str, int], bytes], columns: Sequence[Sides]
) -> list[Directions]:
    """Both matrices of every column from a transcript's bytes, ``draw(label, count)``."""
    out = []
    for sides in columns:
        width = sides.outer + sides.inner
        data = draw(f"projection of {sides.id}", ROWS * width // 8)
        packed = np.frombuffer(data, dtype=np.uint8)
        if sides.outer % 8 == sides.inner % 8 == 0:  # no row of a matrix begins within a byte
            rows = packed.reshape(ROWS, width // 8)
            parts = rows[:, : sides.outer // 8], rows[:, sides.outer // 8 :]
            left, right = [np.unpackbits(part, axis=1).view(np.int8) for part in parts]
        else:
            bits = np.unpackbits(packed).view(np.int8).reshape(ROWS, width)
            left, right = np.split(bits, [sides.outer], axis=1)
        out.append(Directions(sides, np.ascontiguousarray(left), np.ascontiguousarray(right)))
    return out


def project(
    engine: Engine, directions: Sequence[Directions], values: Mapping[ArrayId, Ints]
) -> NDArray[np.int64]:
    """``V = sum_X L_X X R_X^T``, exactly as long as it fits in 63 bits.

    Parameters
    ----------
    engine : Engine
        Backend.
    directions : sequence of Directions
        Both matrices of every column.
    values : mapping
        The columns; at most 63 bits an entry.

    Returns
    -------
    int64 array, shape (128, 128)
    """
    total = np.zeros((ROWS, ROWS), dtype=np.int64)
    for d in directions:
        matrix = values[d.sides.id].reshape(d.sides.outer, d.sides.inner)
        # The longer side first: what is left of the matrix, in wider integers, is then shorter.
        if d.sides.outer > d.sides.inner:
            total += _between(engine.integers, d.right, matrix.T, d.left).T
        else:
            total += _between(engine.integers, d.left, matrix, d.right)
    return total


def _between(
    integers: Integers, left: NDArray[np.int8], matrix: Ints, right: NDArray[np.int8]
) -> NDArray[np.int64]:
    """``left matrix right^T``, summed over the matrix's columns first.

    Parameters
    ----------
    integers : Integers
        Products of an engine.
    left, right : int8 arrays, shapes (128, rows) and (128, columns)
        Binary matrices.
    matrix : Ints
        (rows, columns).
    """
    total = np.zeros((ROWS, ROWS), dtype=np.int64)
    multiply = integers.matmul_transposed
    for first in range(0, matrix.shape[1], _CHUNK):
        columns = slice(first, first + _CHUNK)
        bits = np.ascontiguousarray(right[:, columns])
        for start in range(0, matrix.shape[0], _CHUNK):
            rows = slice(start, start + _CHUNK)
            block = np.ascontiguousarray(matrix[rows, columns])
            if len(block) < ROWS:
                part = multiply(block.astype(np.int64), bits).T
            else:
                part = multiply(bits.astype(np.int64), block)
            total += multiply(part, np.ascontiguousarray(left[:, rows])).T  # (left, right)
    return total


def limbs_of(projection: NDArray[np.int64]) -> list[NDArray[np.uint16]]:
    """Limbs of ``V + 2^47``, least significant first.

    Raises
    ------
    RangeError
        If an entry does not fit: no honest execution comes near.
    """
    if projection.size and int(np.abs(projection).max()) >= _OFFSET:
        raise RangeError("projection", "prove less at a time: fewer tokens, shorter windows")
    shifted = projection + _OFFSET
    return [(shifted >> 16 * i & 0xFFFF).astype(np.uint16) for i in range(LIMBS)]


def projection_claim(
    engine: Engine,
    directions: Sequence[Directions],
    limbs: Callable[[Sequence[int], Sequence[int]], Term],
    point: Sequence[int],
) -> LinearClaim:
    """The claim that ties the limbs to the columns.

    Parameters
    ----------
    engine : Engine
        Backend.
    directions : sequence of Directions
        As drawn after the arrays were committed.
    limbs : callable
        Term for ``sum_l weights[l] <eq(point), limb_l>`` from the limbs' weights and the point.
    point : sequence of int
        Challenges, one per variable of ``V``, last axis first.
    """
    bits = axis_bits(ROWS)
    right, left = engine.eq(point[:bits], ROWS), engine.eq(point[bits:], ROWS)
    terms = [limbs([1 << 16 * i for i in range(LIMBS)], point)]
    for d in directions:
        outer = engine.contract(d.left[None, :, :], left)
        inner = engine.contract(d.right[None, :, :], right)
        rest = len(d.sides.dims) - d.sides.split
        weights = ((d.sides.split, outer), (rest, inner))
        terms.append(Term(-1 % ORDER, d.sides.id, weights))
    return LinearClaim(tuple(terms), LinearForm(_OFFSET))
