"""What an engine is: vectors over the Pallas scalar field and the Pallas group, machine words.

Every backend (``reference``, ``cpu``, later ``cuda``) has exactly these operations, each a whole
round or a whole tensor, and passes the same conformance suite against ``reference``.

Representations are opaque. A ``Vec`` is a NumPy-like array whose first axis counts field
elements; a ``Points`` is one whose first axis counts points. ``len(v)`` and ``v[a:b]`` (slices
along the first axis, views where possible) work on every backend; nothing else may be assumed.
Scalars cross the interface as Python ints in ``[0, ORDER)``; inputs outside are reduced.

Small integers are C-contiguous NumPy arrays of dtype int8, int16, int32, int64 or uint16.

Index conventions: an array with dims ``(d_0, ..., d_m)`` is stored row-major; its multilinear
extension pads every axis with zeros to the next power of two, *logically*. Variable 0 of a point
is the least significant bit of the LAST axis. Folding binds variable 0 first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from veracity.engine.api_fss import Fss
from veracity.engine.api_vectors import (
    FractionBlock,
    FractionTree,
    InnerProduct,
    Leaves,
    Points,
    Vec,
)
from veracity.engine.api_words import Integers, Ints, Ring

__all__ = [
    "BASE",
    "COORDINATE_BYTES",
    "ORDER",
    "POINT_BYTES",
    "SCALAR_BYTES",
    "Engine",
    "FractionBlock",
    "FractionTree",
    "Fss",
    "InnerProduct",
    "Integers",
    "Ints",
    "Leaves",
    "Points",
    "Ring",
    "Vec",
]

#: Order of the Pallas group = modulus of its scalar field (= the base field of Vesta).
ORDER = 0x40000000000000000000000000000000224698FC0994A8DD8C46EB2100000001
#: Modulus of the Pallas base field (point coordinates). The curve is y^2 = x^3 + 5.
BASE = 0x40000000000000000000000000000000224698FC094CF91B992D30ED00000001

POINT_BYTES = 32
COORDINATE_BYTES = 64
SCALAR_BYTES = 32


class Engine(Protocol):
    """The operations of a backend. Invalid shapes raise ``ValueError``.

    Operations on field vectors and on points are the engine's own; those on machine words are in
    its members.

    Attributes
    ----------
    name : str
        What :func:`veracity.engine.load_engine` calls the backend.
    threads : int
        How many it uses.
    ring : Ring
        Integers modulo 2^64.
    fss : Fss
        Function secret sharing.
    integers : Integers
        Exact products of small integers.
    """

    name: str
    threads: int
    ring: Ring
    fss: Fss
    integers: Integers

    def keep_memory(self, limit: int, tree: int = 0) -> None:
        """Keep at most ``limit`` bytes of freed vectors for use again; give back the rest now.

        Memory that is kept makes a prover faster, and its process larger. The allocator keeps about
        as many bytes beside them; ``tree`` are those of a tree of fractions that the next one gets.
        """
        ...

    def release_memory(self) -> None:
        """Give back now what is free beyond what :meth:`keep_memory` allows, if it was asked."""
        ...

    # ---- vectors: making and reading -------------------------------------------------------
    def from_ints(self, values: Sequence[int]) -> Vec:
        """Field vector of Python ints (any sign, reduced)."""
        ...

    def from_small(self, values: Ints) -> Vec:
        """Field vector of a small-integer array, flattened row-major; signed."""
        ...

    def to_ints(self, v: Vec) -> list[int]:
        """Canonical representatives in ``[0, ORDER)``."""
        ...

    def from_wide_bytes(self, data: bytes) -> Vec:
        """Field vector of 64 little-endian bytes an element, reduced."""
        ...

    def random(self, n: int) -> Vec:
        """``n`` uniform field elements from the operating system's randomness (secret)."""
        ...

    def concat(self, parts: Sequence[Vec]) -> Vec:
        """Concatenation; the empty sequence gives an empty vector."""
        ...

    def pad(self, a: Vec, before: int, after: int) -> Vec:
        """``a`` between zeros.

        Parameters
        ----------
        a : Vec
            Elements.
        before, after : int
            How many zeros stand on each side.
        """
        ...

    # ---- vectors: element-wise -------------------------------------------------------------
    def add(self, a: Vec, b: Vec) -> Vec:
        """``a + b``."""
        ...

    def sub(self, a: Vec, b: Vec) -> Vec:
        """``a - b``."""
        ...

    def mul(self, a: Vec, b: Vec) -> Vec:
        """Element-wise product."""
        ...

    def scale(self, a: Vec, s: int) -> Vec:
        """``s * a``."""
        ...

    def lincomb(self, vectors: Sequence[Vec], coefficients: Sequence[int]) -> Vec:
        """``sum_i coefficients[i] * vectors[i]``; shorter vectors count as padded with zeros."""
        ...

    def outer(self, a: Vec, b: Vec) -> Vec:
        """``out[i * len(b) + j] = a[i] * b[j]`` (Kronecker product)."""
        ...

    def dot(self, a: Vec, b: Vec) -> int:
        """Inner product."""
        ...

    def cumsum(self, a: Vec) -> Vec:
        """Inclusive prefix sums."""
        ...

    def gather(self, a: Vec, index: NDArray[np.int64]) -> Vec:
        """``out[i] = a[index[i]]``."""
        ...

    def eq(self, point: Sequence[int], n: int) -> Vec:
        """First ``n`` entries of the eq table: ``out[i] = prod_j (p_j if bit j of i else 1-p_j)``.

        ``n <= 2**len(point)``; variable 0 is the least significant bit of ``i``.
        """
        ...

    def eq_halved(self, point: Sequence[int], n: int) -> Vec:
        """The eq table of an axis that is halved: ``out[i] = eq(point, code(i, n))``.

        ``code(0, 1) = 0``; else bit 0 of ``code(i, n)`` says whether ``i`` is in the upper half
        ``h..n``, ``h = ceil(n / 2)``, and the other bits are ``code(i mod h, h)``.
        ``1 <= n <= 2**len(point)``.
        """
        ...

    # ---- small integers against field vectors ----------------------------------------------
    def contract(self, m: Ints, v: Vec) -> Vec:
        """Bind the middle axis of a small-integer array.

        ``m`` has shape (outer, n, inner), ``len(v) == n``; returns (outer * inner) elements
        ``out[o, i] = sum_j m[o, j, i] v[j]``. A matrix-vector product is inner = 1, a
        vector-matrix product outer = 1. Cost matters: one pass over a model's weights.
        """
        ...

    def contract_each(self, arrays: Sequence[Ints], v: Vec) -> Vec:
        """:meth:`contract` of each of several arrays of one shape, one after the other."""
        ...

    def contract_sum(self, arrays: Sequence[Ints], v: Vec) -> Vec:
        """:meth:`contract` of arrays side by side along their middle axes.

        ``out[o, i] = sum_k sum_j arrays[k][o, j, i] v_k[j]``; ``v`` is all ``v_k`` one after the
        other. There is at least one array, here as in :meth:`contract_each`.
        """
        ...

    def weigh_blocks(self, x: Ints, rows: Vec | None, entries: Vec) -> Vec:
        """Bind the last axis of blocks of four small integers.

        ``out[o, i] = rows[o] sum_c entries[c, i] x[o, i, c]``: an operand of a product with its
        weights, where a block is what the first variables index.

        Parameters
        ----------
        x : Ints
            (rows, blocks, 4).
        rows : Vec or None
            One for each row; None for all ones.
        entries : Vec
            4 * blocks.
        """
        ...

    # ---- sumcheck --------------------------------------------------------------------------
    def fold(self, a: Vec, n: int, r: int) -> Vec:
        """Bind variable 0 of an array of shape (len(a) // n, n) to ``r``.

        ``out[o, i] = (1 - r) a[o, 2i] + r a[o, 2i+1]`` with shape (.., ceil(n / 2)); a missing
        ``a[o, n]`` (odd ``n``) is zero.

        Parameters
        ----------
        a : Vec
            Rows of ``n`` entries.
        n : int
            Length of a row.
        r : int
            Field element.
        """
        ...

    def product_round(self, a: Vec, b: Vec, n: int) -> tuple[int, int, int]:
        """Coefficients ``(c0, c1, c2)`` of ``g(X) = sum_{o,i} a_X[o,i] b_X[o,i]``.

        ``a_X[o, i] = (1 - X) a[o, 2i] + X a[o, 2i+1]`` (missing entries zero): the round
        polynomial of an inner product before :meth:`fold` of both with the challenge.

        Parameters
        ----------
        a, b : Vec
            Rows of ``n`` entries.
        n : int
            Length of a row.
        """
        ...

    def fold_each(self, arrays: Sequence[tuple[Vec, int]], r: int) -> list[Vec]:
        """:meth:`fold` of several arrays, each with its length of a row."""
        ...

    def product_rounds(
        self, pairs: Sequence[tuple[Vec, Vec, int]], factors: Sequence[int]
    ) -> tuple[int, int, int]:
        """``sum_k factors[k] product_round(*pairs[k])``."""
        ...

    # ---- LogUp (fractional sumcheck), see docs/protocols/lookup.md ---------------------------
    def logup_denominators(self, leaves: Leaves) -> Vec:
        """All entries of leaves, stored."""
        ...

    def fraction_tree(self, blocks: Sequence[FractionBlock]) -> FractionTree:
        """The tree over blocks of fractions, by falling padded size; ``ValueError`` otherwise.

        Each block begins where the one before ends, in a cube of padded blocks.
        """
        ...

    # ---- group -----------------------------------------------------------------------------
    def generators(self, label: str, n: int) -> Points:
        """``n`` points by hash-to-curve; point ``i`` depends on ``label`` and ``i`` only."""
        ...

    def commit_rows(self, values: Ints, index: NDArray[np.int64], bases: Points) -> Points:
        """``out[r] = sum_j values[r, j] * bases[index[j]]`` for small signed ``values`` (R, m).

        Cost matters: this commits the weights and the witness. Zeros cost nothing.

        Parameters
        ----------
        values : Ints
            (R, m).
        index : int array
            Which base each of the m columns takes.
        bases : Points
            At least as many as the greatest index asks for.
        """
        ...

    def msm(self, points: Points, scalars: Vec) -> Points:
        """``sum_i scalars[i] points[i]`` as one point (a Points of length 1)."""
        ...

    def scale_points(self, points: Points, scalars: Vec) -> Points:
        """``out[i] = scalars[i] * points[i]`` (used with one fixed point and a vector of blinds:
        a ``points`` of length 1 is broadcast; use a fixed-base table).
        """
        ...

    def add_points(self, a: Points, b: Points) -> Points:
        """Element-wise sum."""
        ...

    def concat_points(self, parts: Sequence[Points]) -> Points:
        """Concatenation."""
        ...

    def inner_product(self, bases: Points, inner: Points, a: Vec, b: Vec) -> InnerProduct:
        """The operands of an inner-product argument.

        Parameters
        ----------
        bases : Points
            As many as there are entries, at least one.
        inner : Points
            One point, for inner products.
        a, b : Vec
            The vector over ``bases``, and the other one.
        """
        ...

    def compress(self, points: Points) -> bytes:
        """Canonical encoding, 32 bytes a point: x little-endian, top bit = parity of y; the
        point at infinity is 32 zero bytes (as in pasta_curves).
        """
        ...

    def decompress(self, data: bytes, behind: bool = False) -> Points:
        """Inverse of :meth:`compress`; ``ValueError`` for any non-canonical or off-curve bytes.

        Who calls it ``behind`` other work has time: one core is left to that.
        """
        ...

    def coordinates(self, points: Points) -> bytes:
        """Both coordinates, 64 bytes a point, little-endian; the point at infinity is zeros."""
        ...

    def from_coordinates(self, data: bytes) -> Points:
        """Inverse of :meth:`coordinates`, without square roots; ``ValueError`` for any bytes that
        are not canonical or lie off the curve.
        """
        ...
