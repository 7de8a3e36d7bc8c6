"""The parts of an engine that compute on machine words: ring and integers.

Elements of the ring of integers modulo 2^64 are NumPy uint64, whose arithmetic wraps as the ring's
does. Shapes that do not fit together raise ``ValueError`` on every backend.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "LABELS",
    "SEED_BYTES",
    "Integers",
    "Ring",
    "packed_bytes",
]

#: Bytes of a seed.
SEED_BYTES = 32
#: Labels of streams are below this; the streams above belong to function secret sharing.
LABELS = 1 << 63

Ints = NDArray[Any]
_Ring: TypeAlias = NDArray[np.uint64]


def packed_bytes(count: int, bits: int) -> int:
    """Bytes of :meth:`Ring.pack` for ``count`` values of ``bits`` bits."""
    return (count * bits + 7) // 8


class Ring(Protocol):
    """Integers modulo 2^64: matrix products, pseudo-random words, packed bits."""

    def matmul(self, x: _Ring, w: Ints) -> _Ring:
        """``x @ w.T`` modulo 2^64, for small-integer weights.

        With few rows, the time is that of reading the weights once.

        Parameters
        ----------
        x : uint64 array, shape (rows, width)
            Ring elements.
        w : int8, int16, int32 or int64 array, shape (count, width), C-contiguous
            Weights, as stored; signed.

        Returns
        -------
        uint64 array, shape (rows, count)

        Raises
        ------
        ValueError
            For operands that do not fit together.
        """
        ...

    def matmul_dense(self, x: _Ring, y: _Ring) -> _Ring:
        """``x @ y.T`` modulo 2^64, for one pair of matrices or for a batch of pairs.

        Parameters
        ----------
        x : uint64 array, shape (rows, width) or (batch, rows, width)
            Ring elements.
        y : uint64 array, shape (count, width) or (batch, count, width)
            Ring elements; as many dimensions as ``x``.

        Returns
        -------
        uint64 array, shape (rows, count) or (batch, rows, count)

        Raises
        ------
        ValueError
            For operands that do not fit together.
        """
        ...

    def expand(self, seed: bytes, label: int, count: int) -> _Ring:
        """Pseudo-random ring elements: the first ``count`` words of stream ``label`` of a seed.

        AES-256 in counter mode: the seed is the key, block ``k`` the encryption of the 128-bit
        little-endian number ``k + 2^64 label``, two little-endian words a block. Streams of one
        seed share no block; a longer stream begins with the shorter one. After ``q`` blocks of one
        seed the advantage of a distinguisher is at most ``q^2 / 2^129`` above that against AES.

        Parameters
        ----------
        seed : bytes
            32 uniform bytes.
        label : int
            Which stream, in ``[0, 2^63)``.
        count : int
            Words.

        Returns
        -------
        uint64 array, shape (count,)

        Raises
        ------
        ValueError
            For a seed of another length, a label out of range or a negative count.
        """
        ...

    def pack(self, x: _Ring, bits: int) -> bytes:
        """The low ``bits`` bits of every element, in order, as one little-endian bit string.

        Parameters
        ----------
        x : uint64 array, any shape
            Ring elements; higher bits are dropped.
        bits : int
            From 1 to 64.

        Returns
        -------
        bytes
            :func:`packed_bytes` of them; unused bits of the last are zero.

        Raises
        ------
        ValueError
            For another dtype or number of bits.
        """
        ...

    def unpack(self, data: bytes, bits: int, count: int) -> _Ring:
        """The inverse of :meth:`pack`.

        Parameters
        ----------
        data : bytes
            Exactly :func:`packed_bytes` of them.
        bits : int
            From 1 to 64.
        count : int
            Elements.

        Returns
        -------
        uint64 array, shape (count,)
            Elements below ``2^bits``. Unused bits of the last byte are ignored.

        Raises
        ------
        ValueError
            For data of another length, or another number of bits.
        """
        ...


class Integers(Protocol):
    """Exact products of integer matrices, what a model's linear layers mean; counts; division.

    No field, no secrets, one answer on every machine. With few rows, the ``cpu`` backend takes
    the time of reading the weights once.
    """

    def matmul_transposed(self, x: NDArray[np.int64], w: Ints) -> NDArray[np.int64]:
        """``x @ w.T`` in integers modulo 2^64: exact where no result leaves 63 bits.

        Parameters
        ----------
        x : int64 array, shape (rows, width)
            Activations.
        w : small-integer array, shape (count, width), C-contiguous
            Weights, as stored.

        Returns
        -------
        int64 array, shape (rows, count)

        Raises
        ------
        ValueError
            For operands that do not fit together.
        """
        ...

    def count(self, arrays: Sequence[Ints], low: int, size: int) -> NDArray[np.int64]:
        """How often each of the integers ``low .. low + size - 1`` occurs in all arrays.

        Parameters
        ----------
        arrays : sequence of small-integer arrays, C-contiguous
            Of any shapes and types.
        low, size : int
            The first integer, and how many there are.

        Returns
        -------
        int64 array, shape (size,)

        Raises
        ------
        ValueError
            Where another integer occurs.
        """
        ...

    def divide(self, x: Ints, shift: int) -> tuple[Ints, Ints]:
        """``x + 2^(shift-1)`` (``x`` for a shift of 0) divided by ``2^shift``, as integers.

        Parameters
        ----------
        x : small-integer array, C-contiguous
            Of any shape and type.
        shift : int
            Bits that are dropped, from 0 to 63.

        Returns
        -------
        quotients : array, shape of ``x``
            Rounded down; int16, int32 or int64, the shortest that holds all of them.
        rests : array, shape of ``x``
            In ``[0, 2^shift)``; uint16, int32 or int64, the shortest that holds any.

        Raises
        ------
        ValueError
            For another dtype or shift.
        """
        ...

    def rounded(self, x: Ints, shift: int) -> tuple[NDArray[np.int64], int, int]:
        """``floor((x + 2^(shift-1)) / 2^shift)``: the quotients of :meth:`divide` alone.

        Parameters
        ----------
        x : small-integer array, C-contiguous
            Of any shape and type.
        shift : int
            Bits that are dropped, from 0 to 63.

        Returns
        -------
        quotients : int64 array, shape of ``x``
        low, high : int
            The least and the greatest of them; 0 where there are none.

        Raises
        ------
        ValueError
            For another dtype or shift.
        """
        ...

    def look_up(self, x: Ints, low: int, table: Ints) -> Ints:
        """``table[x - low]``, entry by entry.

        Parameters
        ----------
        x : small-integer array, C-contiguous
            Of any shape and type.
        low : int
            What the first entry of the table stands for.
        table : small-integer array, shape (size,), C-contiguous
            The images.

        Returns
        -------
        array of the table's type, shape of ``x``

        Raises
        ------
        ValueError
            Where the table has no such entry.
        """
        ...

    def stack(self, arrays: Sequence[Ints], order: Sequence[int], dtype: np.dtype[Any]) -> Ints:
        """Arrays of one shape as one: ``np.stack(arrays).transpose(order)``, C-contiguous.

        Parameters
        ----------
        arrays : sequence of small-integer array, C-contiguous
            At least one, each of a type of its own.
        order : sequence of int
            The axes of the result; 0 is that of the arrays, and 1 their first one.
        dtype : dtype
            Of the result, a small-integer one; entries are taken modulo its size.

        Raises
        ------
        ValueError
            For arrays of several shapes, another dtype, or an order that misses an axis.
        """
        ...

    def block_products(
        self, operands: tuple[Ints, Ints], first: int, last: int, dtype: np.dtype[np.signedinteger]
    ) -> Ints:
        """``x[o, i, c] y[o, i, d]`` for the blocks ``i`` of ``first .. last - 1``.

        Parameters
        ----------
        operands : tuple of small-integer array, shape (rows, blocks, 4), C-contiguous
            ``x`` and ``y``.
        first, last : int
            Which blocks, at least one.
        dtype : dtype
            Of the products, int32 or int64; they are taken modulo its size.

        Returns
        -------
        array, shape (4, rows, 4, last - first)
            At ``(c, o, d, i - first)``.

        Raises
        ------
        ValueError
            For operands that do not fit together, blocks that are none or another dtype.
        """
        ...
