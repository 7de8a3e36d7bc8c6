"""Function secret sharing: comparisons and points of a public value with a shared secret.

Two functions, each shared by a pair of keys. A single key tells nothing of ``alpha`` or the
payload; the parties' evaluations at a public point add up (modulo 2^64) to the value there.

* Comparison (DCF): ``x -> payload [x < alpha]`` for ``x`` in ``[0, 2^bits)``; Boyle, Chandran,
  Gilboa, Gupta, Ishai, Kumar, Rathee, eprint 2020/1392, figure 1.
* Point (DPF): ``x -> payload [x = alpha]``; Boyle, Gilboa, Ishai, eprint 2018/707, figure 1.

Points, thresholds and shifts are taken modulo ``2^bits``. Payloads are ``P`` words of 64 bits,
1 to 4; a comparison may also have none, and then shares the bit ``[x < alpha]`` by exclusive or.

Trees end early: a leaf stands for 128 points of a comparison without payload, 4 points of other
keys, 8 points of point keys with one word (2018/707, section 3.2.3). Seeds are 125 bits and grow
by a Matyas-Meyer-Oseas hash from AES-128 with a fixed public key,
``s -> AES(s xor j) xor s xor j`` for ``j`` in 0..8, correlation robust for an ideal permutation
(Guo, Katz, Wang, Yu, eprint 2019/074).

Bytes of a key (:func:`dcf_key_bytes`, :func:`dpf_key_bytes`):

* comparison, no payload: ``32 + 16 max(bits - 7, 0)``;
* comparison, ``P`` words: ``16 + (16 + 8 P) (bits - 2) + 32 P`` from 2 bits on;
* point, one word: ``16 + 16 (bits - 3) + 64`` from 3 bits on;
* point, ``P > 1`` words: ``16 + 16 (bits - 2) + 32 P`` from 2 bits on.

The keys of a pair differ in their first 16 bytes, the seeds of the roots, alone.
:mod:`veracity.engine.reference_fss` is the definition.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from veracity.engine.ring import SEED_BYTES
from veracity.errors import BackendUnavailable

try:
    from veracity.engine import _cpu
except ImportError as error:  # pragma: no cover - only where the extension is not built
    raise BackendUnavailable(
        f"the compiled kernels are not built ({error}); run `make env`"
    ) from error

__all__ = [
    "MAX_PAYLOAD",
    "MAX_TABLE_BITS",
    "SHARED_FROM",
    "dcf_bits",
    "dcf_evaluate",
    "dcf_key_bytes",
    "dcf_keys",
    "dcf_weighted",
    "dpf_evaluate",
    "dpf_key_bytes",
    "dpf_keys",
    "dpf_table",
]

#: Words of a payload at most.
MAX_PAYLOAD = 4
#: Bits of the domain of a table at most.
MAX_TABLE_BITS = 20
#: The bytes of a key from here on are the same in both keys of a pair.
SHARED_FROM = 16

_Ring: TypeAlias = NDArray[np.uint64]
_Keys: TypeAlias = NDArray[np.uint8]


def _words(x: _Ring, dimensions: int) -> _Ring:
    if x.dtype != np.uint64 or x.ndim != dimensions:
        raise ValueError(f"an array of uint64 with {dimensions} dimension(s) is due")
    return np.ascontiguousarray(x)


def _keys(keys: _Keys, count: int, length: int) -> _Keys:
    if keys.dtype != np.uint8 or keys.shape != (count, length):
        raise ValueError(f"keys of shape {(count, length)} are due, not {keys.shape}")
    return np.ascontiguousarray(keys)


def _make(
    comparison: bool, seed: bytes, bits: int, alpha: _Ring, payload: _Ring
) -> tuple[_Keys, _Keys]:
    alpha, payload = _words(alpha, 1), _words(payload, 2)
    if len(seed) != SEED_BYTES or len(alpha) != len(payload):
        raise ValueError("keys need 32 bytes of seed and a payload for every alpha")
    return _cpu.fss_keys(comparison, bytes(seed), bits, alpha, payload)


def dcf_key_bytes(bits: int, P: int) -> int:
    """Bytes of one comparison key for ``bits`` bits and ``P`` words of payload (0: one bit)."""
    return _cpu.fss_key_bytes(True, bits, P)


def dpf_key_bytes(bits: int, P: int = 1) -> int:
    """Bytes of one point key for ``bits`` bits and ``P`` words of payload."""
    return _cpu.fss_key_bytes(False, bits, P)


def dcf_keys(seed: bytes, bits: int, alpha: _Ring, payload: _Ring) -> tuple[_Keys, _Keys]:
    """Key pairs for ``x -> payload [x < alpha]``.

    Parameters
    ----------
    seed : bytes
        32 uniform bytes, secret, for this one call: a second call with the same seed breaks both.
    bits : int
        Of the domain, 1 to 64.
    alpha : uint64 array, shape (N,)
        Thresholds, modulo ``2^bits``: 0 gives the function that is zero.
    payload : uint64 array, shape (N, P)
        Values, ``P`` in 0..4; with ``P = 0`` the keys are for :func:`dcf_bits`.

    Returns
    -------
    tuple of uint8 arrays, shape (N, L)
        The keys of parties 0 and 1; ``L`` is :func:`dcf_key_bytes`.

    Raises
    ------
    ValueError
        For arguments that do not fit together.
    """
    return _make(True, seed, bits, alpha, payload)


def dpf_keys(seed: bytes, bits: int, alpha: _Ring, payload: _Ring) -> tuple[_Keys, _Keys]:
    """Key pairs for ``x -> payload [x = alpha]``; as :func:`dcf_keys`, with ``P`` in 1..4."""
    return _make(False, seed, bits, alpha, payload)


def dcf_bits(party: int, bits: int, keys: _Keys, points: _Ring) -> NDArray[np.uint8]:
    """A party's shares, by exclusive or, of the bits ``[points < alpha]``.

    Parameters
    ----------
    party : int
        0 or 1.
    bits : int
        Of the domain.
    keys : uint8 array, shape (N, L)
        The party's comparison keys, without payload.
    points : uint64 array, shape (N, M)
        Public points, modulo ``2^bits``; ``M`` for each key.

    Returns
    -------
    uint8 array, shape (N, M)
        Zeros and ones.

    Raises
    ------
    ValueError
        For arguments that do not fit together.
    """
    points = _words(points, 2)
    keys = _keys(keys, len(points), dcf_key_bytes(bits, 0))
    return _cpu.fss_bits(party, bits, keys, points)


def dcf_evaluate(party: int, bits: int, keys: _Keys, points: _Ring, P: int) -> _Ring:
    """A party's shares of ``payload [points < alpha]``.

    Parameters
    ----------
    party, bits, keys, points
        As of :func:`dcf_bits`, for keys with a payload.
    P : int
        Words of payload, 1 to 4. Keys without payload: :func:`dcf_bits`.

    Returns
    -------
    uint64 array, shape (N, M, P)
        Shares modulo 2^64.

    Raises
    ------
    ValueError
        For arguments that do not fit together.
    """
    points = _words(points, 2)
    keys = _keys(keys, len(points), dcf_key_bytes(bits, P))
    return _cpu.fss_evaluate(True, party, bits, keys, points, P)


def dcf_weighted(party: int, bits: int, keys: _Keys, points: _Ring, weights: _Ring) -> _Ring:
    """A party's shares of ``sum_m weights[m, q] payload[p] [points[n, m] < alpha[n]]``.

    Points of one key share the upper parts of their paths: a hundred points cost less than a
    hundred evaluations, most of all where they come sorted, but for a rotation.

    Parameters
    ----------
    party, bits, keys, points
        As of :func:`dcf_bits`, for keys with a payload of ``P`` words.
    weights : uint64 array, shape (M, Q)
        Public weights of the points, the same for all keys.

    Returns
    -------
    uint64 array, shape (N, P, Q)
        Shares modulo 2^64.

    Raises
    ------
    ValueError
        For arguments that do not fit together.
    """
    points, weights = _words(points, 2), _words(weights, 2)
    if keys.ndim != 2:
        raise ValueError("keys are a matrix of bytes")
    keys = _keys(keys, len(points), keys.shape[1])
    return _cpu.fss_weighted(party, bits, keys, points, weights)


def dpf_evaluate(party: int, bits: int, keys: _Keys, points: _Ring, P: int = 1) -> _Ring:
    """A party's shares of ``payload [points = alpha]``; as :func:`dcf_evaluate`."""
    points = _words(points, 2)
    keys = _keys(keys, len(points), dpf_key_bytes(bits, P))
    return _cpu.fss_evaluate(False, party, bits, keys, points, P)


def dpf_table(party: int, bits: int, keys: _Keys, shift: _Ring, table: _Ring, P: int = 1) -> _Ring:
    """A party's shares of ``payload[n, p] table[(shift[n] - alpha[n]) mod 2^bits, k]``.

    With ``alpha`` the mask of a value and ``shift`` the opened, masked value: the entry of the
    value. All of the domain is evaluated: Wagh, eprint 2022/826.

    Parameters
    ----------
    party : int
        0 or 1.
    bits : int
        Of the domain, 1 to 20.
    keys : uint8 array, shape (N, L)
        The party's point keys, with ``P`` words of payload.
    shift : uint64 array, shape (N,)
        Public shifts, modulo ``2^bits``.
    table : uint64 array, shape (2^bits, K)
        The public table, ``K`` words an entry.
    P : int
        Words of payload, 1 to 4.

    Returns
    -------
    uint64 array, shape (N, P, K)
        Shares modulo 2^64.

    Raises
    ------
    ValueError
        For arguments that do not fit together.
    """
    shift, table = _words(shift, 1), _words(table, 2)
    keys = _keys(keys, len(shift), dpf_key_bytes(bits, P))
    return _cpu.fss_table(party, bits, keys, shift, table, P)
