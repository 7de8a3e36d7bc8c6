"""Shape checks that every backend makes before it touches data; all raise ``ValueError``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from veracity.engine.api import FractionBlock, Ints, Leaves
from veracity.engine.api_fss import MAX_PAYLOAD, TREE_KEY_BYTES
from veracity.engine.api_words import LABELS, SEED_BYTES, packed_bytes

__all__ = [
    "check_block_products",
    "check_block_weights",
    "check_blocks",
    "check_contractions",
    "check_counted",
    "check_dense_product",
    "check_divided",
    "check_entries",
    "check_eq",
    "check_eq_halved",
    "check_function",
    "check_index",
    "check_inner_product",
    "check_integer_product",
    "check_keys",
    "check_looked_up",
    "check_matrix_size",
    "check_pack",
    "check_padding",
    "check_payloads",
    "check_pieces",
    "check_ring_product",
    "check_same_length",
    "check_small",
    "check_stacked",
    "check_stream",
    "check_tree_key",
    "check_unpack",
    "check_wide",
    "check_words",
]

SMALL_DTYPES = tuple(np.dtype(name) for name in ("int8", "int16", "int32", "int64", "uint16"))


Words = NDArray[np.uint64]
Keys = NDArray[np.uint8]


class _Sized(Protocol):
    def __len__(self) -> int: ...


def check_same_length(a: _Sized, b: _Sized) -> None:
    """Two sequences must have equal lengths."""
    if len(a) != len(b):
        raise ValueError(f"lengths differ: {len(a)} and {len(b)}")


def check_tree_key(key: bytes) -> bytes:
    """The key of a block cipher."""
    if len(key) != TREE_KEY_BYTES:
        raise ValueError(f"a key of trees has {TREE_KEY_BYTES} bytes, not {len(key)}")
    return bytes(key)


def check_padding(before: int, after: int) -> None:
    """As many zeros as there can be."""
    if before < 0 or after < 0:
        raise ValueError(f"negative padding: {before} and {after}")


def check_small(values: Ints, shape: tuple[int | None, ...] | None = None) -> Ints:
    """A C-contiguous array of a small-integer dtype; ``None`` in ``shape`` fits any length."""
    if values.dtype not in SMALL_DTYPES:
        raise ValueError(f"dtype {values.dtype} is not a small integer of the engine")
    if not values.flags.c_contiguous:
        raise ValueError("small-integer arrays must be C-contiguous")
    if shape is not None:
        fits = len(shape) == values.ndim
        for want, have in zip(shape, values.shape, strict=False):
            fits = fits and (want is None or want == have)
        if not fits:
            raise ValueError(f"shape {values.shape} where {shape} is due")
    return values


def check_contractions(arrays: Sequence[Ints], n: int, *, each: bool) -> tuple[int, int]:
    """Arrays that are contracted together; returns their (outer, inner).

    Parameters
    ----------
    arrays : sequence of Ints
        Of shapes (outer, n_k, inner).
    n : int
        Length of what weighs them.
    each : bool
        Whether every ``n_k`` is ``n``; else their sum is.
    """
    if not arrays:
        raise ValueError("an array to contract is due")
    outer, _, inner = check_small(arrays[0], shape=(None, None, None)).shape
    for array in arrays:
        check_small(array, shape=(outer, n if each else None, inner))
    if not each and sum(array.shape[1] for array in arrays) != n:
        raise ValueError(f"{n} elements do not weigh all steps of the arrays")
    return outer, inner


def check_block_weights(x: Ints, rows: _Sized | None, entries: _Sized) -> None:
    """Blocks of four integers, and an element for each row and for each entry of a row.

    Parameters
    ----------
    x : Ints
        (rows, blocks, 4).
    rows : vector or None
        What weighs rows.
    entries : vector
        What weighs the entries of a row.
    """
    count, blocks, _ = check_small(x, shape=(None, None, 4)).shape
    if len(entries) != 4 * blocks or (rows is not None and len(rows) != count):
        raise ValueError(f"weights of {count} rows and {4 * blocks} entries are due")


def check_index(index: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """A one-dimensional index array with entries in ``[0, n)``."""
    if index.ndim != 1 or index.dtype != np.int64:
        raise ValueError("an index is a one-dimensional array of int64")
    if index.size and (int(index.min()) < 0 or int(index.max()) >= n):
        raise ValueError(f"index out of range for length {n}")
    return index


def check_eq(point: Sequence[Any], n: int) -> None:
    """``n`` entries must exist in the eq table of ``point``."""
    if n < 0 or n > 1 << len(point):
        raise ValueError(f"{n} entries of an eq table over {len(point)} variables")


def check_eq_halved(point: Sequence[Any], n: int) -> None:
    """An axis of ``n`` entries must exist, and have no more variables than the point."""
    if n < 1 or n > 1 << len(point):
        raise ValueError(f"an axis of {n} entries over {len(point)} variables")


def check_inner_product(bases: _Sized, inner: _Sized, a: _Sized, b: _Sized) -> None:
    """Two vectors and points of one length, which is not zero, and one point.

    Parameters
    ----------
    bases : points
        What ``a`` is over.
    inner : points
        What inner products are over.
    a, b : vector
        The operands.
    """
    if len(a) < 1 or len(inner) != 1:
        raise ValueError("an inner product takes at least one entry, and one point for its value")
    check_same_length(a, b)
    check_same_length(a, bases)


def check_matrix_size(length: int, n: int) -> None:
    """``length`` must be a whole number of rows of ``n``."""
    if n < 0 or (n == 0 and length) or (n and length % n):
        raise ValueError(f"{length} elements are no whole number of rows of {n}")


def check_entries(entries: _Sized) -> None:
    """Leaves have a row of values for each constant, and of images where there are any."""
    if isinstance(entries, Leaves):
        given = [entries.values, *([] if entries.images is None else [entries.images])]
        lengths = {check_small(row).size for rows in given for row in rows}
        if len(lengths) > 1 or any(len(rows) != len(entries.constants) for rows in given):
            raise ValueError("leaves have rows of one length, one for each constant")


def check_blocks(blocks: Sequence[FractionBlock]) -> None:
    """Blocks of a tree have entries for their dims, and fall in padded size."""
    last = None
    for block in blocks:
        if not block.dims or min(block.dims) < 1:
            raise ValueError(f"a block of fractions has no dims {block.dims}")
        for entries in (block.d, *([] if block.p is None else [block.p])):
            check_entries(entries)
            if len(entries) != prod(block.dims):
                raise ValueError(f"{len(entries)} entries of a block of dims {block.dims}")
        size = sum((n - 1).bit_length() for n in block.dims)
        if last is not None and size > last:
            raise ValueError("blocks of fractions must be sorted by falling size")
        last = size
    if last is None:
        raise ValueError("a tree of fractions needs a block")


def check_wide(data: bytes) -> bytes:
    """Bytes that are a whole number of elements, 64 bytes each."""
    if len(data) % 64:
        raise ValueError(f"{len(data)} bytes are no whole number of elements of 64")
    return data


# ---- words modulo 2^64 ---------------------------------------------------------------------


def check_words(x: Words, *dimensions: int) -> Words:
    """A C-contiguous copy or view of an array of uint64 with one of these numbers of axes."""
    if x.dtype != np.uint64 or x.ndim not in dimensions:
        raise ValueError(f"an array of uint64 with {dimensions} dimensions is due")
    return np.ascontiguousarray(x)


def check_integer_product(x: NDArray[np.int64], w: Ints) -> None:
    """``x @ w.T`` of a matrix of int64 and a small one."""
    if x.ndim != 2 or x.dtype != np.int64:
        raise ValueError("activations are a matrix of int64")
    check_small(w, shape=(None, x.shape[1]))


def check_counted(arrays: Sequence[Ints], low: int, size: int) -> None:
    """Small integers, and a range of at least none, all of 64 bits.

    Parameters
    ----------
    arrays : sequence of Ints
        Any arrays.
    low, size : int
        The first integer that is counted, and how many there are.
    """
    for values in arrays:
        check_small(values)
    if size < 0 or not -(1 << 63) <= low <= (1 << 63) - size:
        raise ValueError(f"no integers of 64 bits from {low} on, {size} of them")


def check_block_products(
    operands: tuple[Ints, Ints], first: int, last: int, dtype: np.dtype[Any]
) -> None:
    """Blocks of four integers, as many of each operand, and a range of them.

    Parameters
    ----------
    operands : tuple of Ints
        (rows, blocks, 4).
    first, last : int
        Which blocks of a row.
    dtype : dtype
        Of the products.
    """
    rows, blocks, _ = check_small(operands[0], shape=(None, None, 4)).shape
    check_small(operands[1], shape=(rows, blocks, 4))
    if not 0 <= first < last <= blocks or dtype not in (np.int32, np.int64):
        raise ValueError(f"blocks {first} .. {last} of {blocks}, as {dtype}")


def check_divided(x: Ints, shift: int) -> None:
    """Small integers, and bits to drop of which 64 have a rest."""
    check_small(x)
    if not 0 <= shift < 64:
        raise ValueError(f"a shift of 0 to 63 bits is due, not {shift}")


def check_looked_up(x: Ints, low: int, table: Ints) -> None:
    """Small integers, and a table of some for a range of 64 bits.

    Parameters
    ----------
    x, table : Ints
        What is looked up, and its images.
    low : int
        What the first of them belongs to.
    """
    check_small(x)
    check_small(table, shape=(None,))
    if not -(1 << 63) <= low <= (1 << 63) - len(table):
        raise ValueError(f"no integers of 64 bits from {low} on, {len(table)} of them")


def check_stacked(
    arrays: Sequence[Ints], order: Sequence[int], dtype: np.dtype[Any]
) -> tuple[int, ...]:
    """Small integers of one shape, and an order of all axes; returns the shape of the result.

    Parameters
    ----------
    arrays : sequence of Ints
        At least one.
    order : sequence of int
        The axes of the result; 0 is that of the arrays.
    dtype : dtype
        Of the result.
    """
    if not arrays or dtype not in SMALL_DTYPES:
        raise ValueError(f"{len(arrays)} arrays, as {dtype}")
    natural = (len(arrays), *arrays[0].shape)
    for array in arrays:
        check_small(array, shape=natural[1:])
    if sorted(order) != list(range(len(natural))):
        raise ValueError(f"axes {tuple(order)} of {len(natural)}")
    return tuple(natural[axis] for axis in order)


def check_ring_product(x: Words, w: Ints) -> Words:
    """``x @ w.T`` of a matrix of words and a small one; returns ``x``, contiguous."""
    x = check_words(x, 2)
    check_small(w, shape=(None, x.shape[1]))
    return x


def check_dense_product(x: Words, y: Words) -> tuple[Words, Words]:
    """``x @ y.T`` of one pair of matrices of words or of a batch; returns both, contiguous."""
    x, y = check_words(x, 2, 3), check_words(y, 2, 3)
    if x.ndim != y.ndim or x.shape[:-2] != y.shape[:-2] or x.shape[-1] != y.shape[-1]:
        raise ValueError(f"shapes {x.shape} and {y.shape} do not fit together")
    return x, y


def check_stream(seed: bytes, label: int, count: int) -> None:
    """What a stream of pseudo-random words takes.

    Parameters
    ----------
    seed : bytes
        32 bytes.
    label : int
        Which stream of the seed.
    count : int
        Number of words.
    """
    if len(seed) != SEED_BYTES or not 0 <= label < LABELS or count < 0:
        raise ValueError("a stream needs 32 bytes of seed, a label below 2^63 and a count")


def check_pack(x: Words, bits: int) -> None:
    """Elements whose low bits are packed."""
    if x.dtype != np.uint64 or not 1 <= bits <= 64:
        raise ValueError("what is packed are uint64 elements of 1 to 64 bits")


def check_unpack(data: bytes, bits: int, count: int) -> None:
    """Exactly the bytes of so many packed values.

    Parameters
    ----------
    data : bytes
        Packed values.
    bits : int
        Of each value.
    count : int
        Number of values.
    """
    if not 1 <= bits <= 64 or count < 0 or len(data) != packed_bytes(count, bits):
        raise ValueError(f"{count} values of {bits} bits do not take {len(data)} bytes")


# ---- function secret sharing ---------------------------------------------------------------


def check_function(comparison: bool, bits: int, words: int) -> None:
    """A kind of shared function: 1 to 64 bits; 0 to 4 words, at least 1 for points.

    Parameters
    ----------
    comparison : bool
        A comparison, not a point.
    bits : int
        Of the domain.
    words : int
        Of the payload.
    """
    least = 0 if comparison else 1
    if not 1 <= bits <= 64 or not least <= words <= MAX_PAYLOAD:
        raise ValueError(f"no keys for {bits} bits and {words} words of payload")


def check_payloads(seed: bytes, alpha: Words, payload: Words) -> tuple[Words, Words]:
    """What keys are made from; returns both arrays, contiguous.

    Parameters
    ----------
    seed : bytes
        32 bytes.
    alpha : uint64 array
        (n,).
    payload : uint64 array
        (n, words).
    """
    alpha, payload = check_words(alpha, 1), check_words(payload, 2)
    if len(seed) != SEED_BYTES or len(alpha) != len(payload):
        raise ValueError("keys need 32 bytes of seed and a payload for every alpha")
    return alpha, payload


def check_pieces(
    bits: Sequence[int],
    keys: Keys,
    values: Words,
    payloads: Words,
    lengths: Sequence[int],
    knots: Words,
    weights: Words,
    key_bytes: Callable[[int, int], int],
) -> tuple[Keys, Words, Words, Words, Words]:
    """What :meth:`Fss.dcf_pieces` takes; returns the arrays, contiguous.

    Parameters
    ----------
    bits, keys, values, payloads, lengths, knots, weights
        As there.
    key_bytes : callable
        :meth:`Fss.dcf_key_bytes`.
    """
    values, payloads = check_words(values, 2), check_words(payloads, 3)
    knots, weights = check_words(knots, 1), check_words(weights, 2)
    functions = len(values) == len(bits) == len(lengths)
    if not functions or not all(1 <= n <= 63 for n in bits) or min(lengths, default=0) < 0:
        raise ValueError("functions on 1 to 63 bits, a row of values and some knots for each")
    if payloads.shape != (*values.shape, 3) or weights.shape != (len(knots), 3):
        raise ValueError("three words for each payload and for each knot are due")
    if sum(lengths) != len(knots):
        raise ValueError(f"{len(knots)} knots where {sum(lengths)} are due")
    due = values.shape[1] * sum(key_bytes(n, 3) for n in bits)
    keys = check_keys(keys.reshape(1, -1), 1, due).reshape(-1)
    return keys, values, payloads, knots, weights


def check_keys(keys: Keys, count: int, length: int) -> Keys:
    """``count`` keys of ``length`` bytes; returns them, contiguous.

    Parameters
    ----------
    keys : uint8 array
        One key a row.
    count : int
        How many there should be.
    length : int
        Bytes of each.
    """
    if keys.dtype != np.uint8 or keys.shape != (count, length):
        raise ValueError(f"keys of shape {(count, length)} are due, not {keys.shape}")
    return np.ascontiguousarray(keys)
