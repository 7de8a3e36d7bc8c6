"""The ring of integers modulo 2^64: matrix products, pseudo-random words, packed bits.

Elements are NumPy uint64, whose arithmetic wraps as the ring's does. What private inference
computes on shares; :mod:`veracity.engine.reference_ring` is the definition.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from veracity.engine.api import Ints
from veracity.engine.checks import check_small
from veracity.errors import BackendUnavailable

try:
    from veracity.engine import _cpu
except ImportError as error:  # pragma: no cover - only where the extension is not built
    raise BackendUnavailable(
        f"the compiled kernels are not built ({error}); run `make env`"
    ) from error

__all__ = [
    "LABELS",
    "SEED_BYTES",
    "expand",
    "matmul",
    "matmul_dense",
    "pack",
    "packed_bytes",
    "unpack",
]

#: Bytes of a seed.
SEED_BYTES = 32
#: Labels are below this; the streams above belong to :mod:`veracity.engine.fss`.
LABELS = 1 << 63

_Ring = NDArray[np.uint64]


def _check_ring(x: _Ring, dimensions: tuple[int, ...]) -> _Ring:
    if x.dtype != np.uint64 or x.ndim not in dimensions:
        raise ValueError(f"an array of uint64 with {dimensions} dimensions is due")
    return np.ascontiguousarray(x)


def matmul(x: _Ring, w: Ints) -> _Ring:
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
    x = _check_ring(x, (2,))
    check_small(w, shape=(None, x.shape[1]))
    if not x.size or not w.size:
        return np.zeros((x.shape[0], w.shape[0]), dtype=np.uint64)
    return _cpu.ring_matmul(x, w)


def matmul_dense(x: _Ring, y: _Ring) -> _Ring:
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
    x, y = _check_ring(x, (2, 3)), _check_ring(y, (2, 3))
    if x.ndim != y.ndim or x.shape[:-2] != y.shape[:-2] or x.shape[-1] != y.shape[-1]:
        raise ValueError(f"shapes {x.shape} and {y.shape} do not fit together")
    shape = (*x.shape[:-1], y.shape[-2])
    if not x.size or not y.size:
        return np.zeros(shape, dtype=np.uint64)
    if x.ndim == 2:
        return _cpu.ring_matmul_dense(x[None], y[None]).reshape(shape)
    return _cpu.ring_matmul_dense(x, y)


def expand(seed: bytes, label: int, count: int) -> _Ring:
    """Pseudo-random ring elements: the first ``count`` words of stream ``label`` of a seed.

    AES-256 in counter mode: the seed is the key, block ``k`` the encryption of the 128-bit
    little-endian number ``k + 2^64 label``, two little-endian words a block. Streams of one seed
    share no block; a longer stream begins with the shorter one. After ``q`` blocks of one seed
    the advantage of a distinguisher is at most ``q^2 / 2^129`` above that against AES.

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
    if len(seed) != SEED_BYTES or not 0 <= label < LABELS or count < 0:
        raise ValueError("a stream needs 32 bytes of seed, a label below 2^63 and a count")
    return _cpu.ring_expand(bytes(seed), label, count)


def packed_bytes(count: int, bits: int) -> int:
    """Bytes of :func:`pack` for ``count`` values of ``bits`` bits."""
    return (count * bits + 7) // 8


def pack(x: _Ring, bits: int) -> bytes:
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
    if x.dtype != np.uint64 or not 1 <= bits <= 64:
        raise ValueError("what is packed are uint64 elements of 1 to 64 bits")
    return _cpu.ring_pack(np.ascontiguousarray(x).reshape(-1), bits)


def unpack(data: bytes, bits: int, count: int) -> _Ring:
    """The inverse of :func:`pack`.

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
    if not 1 <= bits <= 64 or count < 0 or len(data) != packed_bytes(count, bits):
        raise ValueError(f"{count} values of {bits} bits do not take {len(data)} bytes")
    return _cpu.ring_unpack(bytes(data), bits, count)
