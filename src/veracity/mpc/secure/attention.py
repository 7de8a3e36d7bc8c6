"""Causal attention with a cache of keys and values under the masks they were opened with.

For head h, target t, visible sources s, from the opened, rotated q, k and the opened v:

    z = q . k               product              opened, truncated by score_shift
    m = max_s z             tournament           opened; within half a nat of the maximum
    e = exp(m - z)          table                opened; m - z is already, under both masks
    A = sum_s e v           product              opened
    I = 1 / sum_s e         powers               opened with A; sum_s e is already
    y = A I                 product

The program rounds ``p = e / sum e`` to 15 bits, then sums ``p v``; here the division comes last,
which saves opening p and its rounding. A maximum that is off multiplies e and its sum alike.

* Exchanges: 3 and ``ceil(log2 S)`` for the tournament, and the one that opens q, k, v.
* Error: see :func:`exp_fit`, powers; every opening rounds stochastically.
"""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache
from math import ceil, exp, log2

import numpy as np

from veracity.graph.ops import Attention
from veracity.mpc.party import Array
from veracity.mpc.secure.opening import Opening, open_values, share_of_mask
from veracity.mpc.secure.piecewise import Pieces, fit, piecewise
from veracity.mpc.secure.product import product
from veracity.mpc.secure.reciprocal import Group, groups, openings, total
from veracity.mpc.secure.role import Masked, Role, Secret
from veracity.mpc.secure.tables import Table, look_up, tabulate
from veracity.mpc.secure.tournament import join, maximum

__all__ = ["attention", "exp_fit"]

#: Bits beyond the program's: of scores, of e, of the reciprocal.
_Z_GUARD, _E_GUARD, _INVERSE_GUARD = 3, 0, 3
#: Scores are compared in units of 2^-_FINE nats: 16 rounds lose less than _BELOW nats.
_FINE, _BELOW = 5, 0.5
#: Fraction bits of a parabola of the table beyond those that keep it good to a unit.
_FINER = 6
#: Bits that sum_s e v is truncated by: a quarter of a unit of v where sum_s e is smallest.
_MIX_SHIFT = 13


@lru_cache(maxsize=16)
def exp_fit(exp_k: int) -> Table | Pieces:
    """``exp(-d) 2^15`` for d from -1/2 to 12 at 2^-(exp_k + guard), 0 beyond.

    A table of intervals of an eighth of a nat, relative error 2^-13: a parabola serves twice that.
    Where that is less than a table's interval of 8 units, pieces.

    Parameters
    ----------
    exp_k : int
        Units of scores are 2^-exp_k nats.
    """
    unit = 1 << (exp_k + _Z_GUARD)

    def f(d: int) -> Decimal:
        return (Decimal(-d) / unit).exp() * (1 << 15)

    if unit >= 64:
        # Behind their maximum scores have 16 bits; the sign is one more.
        bits = 17 + _Z_GUARD
        ends = (-5 * unit // 8, 12 * unit)
        return tabulate(f, bits, max(5, bits - (exp_k + _Z_GUARD - 3)), ends, _FINER)
    knots, x = {12 * unit}, -32  # 64ths of a nat
    while x < 12 * 64:
        knots.add(x * unit // 64)
        x += 12 + max(0, x) // 12
    low = min(knots)
    bits = (int((1 << 16) * 2**_Z_GUARD) - low).bit_length()
    return fit(f, sorted(knots), low, bits, 2 * (exp_k + _Z_GUARD))


@lru_cache(maxsize=64)
def _inverse(sources: int) -> tuple[Group, ...]:
    """``2^31 / S`` for the sum S of e at 2^guard."""

    def f(x: int) -> Decimal:
        return Decimal(1 << (31 + _E_GUARD)) / x

    low = 14 + _E_GUARD
    high = 15 + _E_GUARD + 4 + ceil(log2(sources + 1))
    return groups(f, low, high, high)


async def attention(
    role: Role,
    op: Attention,
    q: Masked,
    k: Masked,
    v: Masked,
    guards: tuple[int, int],
    bits_v: int,
    start: int,
    cache: tuple[Masked, Masked] | None,
) -> tuple[tuple[Secret, int, int], tuple[Masked, Masked]]:
    """Shares of the mixed values, pending shift and bits; and the cache with the new rows.

    Parameters
    ----------
    role : Role
        Who runs it.
    op : Attention
        What is computed.
    q, k, v : Masked
        Opened queries, keys and values of the new rows.
    guards : tuple of int
        Guard bits of q and k together, and of v.
    bits_v : int
        Bits of v.
    start : int
        Position of the first new row.
    cache : tuple of Masked, optional
        Keys and values of earlier rows.
    """
    for x in (q, k, v):
        share_of_mask(role, x)
    if cache is not None:
        k, v = join([cache[0], k]), join([cache[1], v])
    tokens, sources = q.shape[0], k.shape[0]
    kv, group, dim = op.kv_heads, op.group, op.head_dim
    heads = kv * group
    visible = np.arange(sources)[None, :] <= start + np.arange(tokens)[:, None]
    seen = np.flatnonzero(np.broadcast_to(visible, (heads, tokens, sources)))
    lengths = np.tile(visible.sum(axis=1), heads)  # of rows (head, token)
    row = np.repeat(np.arange(len(lengths)), lengths)

    def queries(x: Array) -> Array:
        return x.reshape(tokens, kv, group, dim).transpose(1, 2, 0, 3).reshape(kv, -1, dim)

    def dots(a: Array, b: Array) -> Array:
        keys = b.reshape(sources, kv, dim).transpose(1, 0, 2)
        found = role.engine.ring.matmul_dense(
            np.ascontiguousarray(queries(a)), np.ascontiguousarray(keys)
        )
        return found.reshape(-1)[seen]

    def mix(a: Array, b: Array) -> Array:
        full = np.zeros(heads * tokens * sources, dtype=np.uint64)
        full[seen] = a
        values = np.ascontiguousarray(b.reshape(sources, kv, dim).transpose(1, 2, 0))
        mixed = role.engine.ring.matmul_dense(full.reshape(kv, group * tokens, sources), values)
        return mixed.reshape(heads, tokens, dim)

    count = len(seen)
    acc_z = product(role, dots, q, k, (count,))
    down = op.score_shift + guards[0] - _Z_GUARD
    # The program keeps the maximum to 16 bits and all within 2^16 of it: |z| < 2^17.
    bits = 18 + op.score_shift + guards[0]
    (z,) = await open_values(role, [Opening(acc_z, down, bits)])

    coarse = max(0, op.exp_k + _Z_GUARD - _FINE)
    m = await maximum(role, z, lengths, coarse, 18 + _Z_GUARD - coarse)
    if not isinstance(m, Masked):
        raise TypeError("the maximum is opened")
    found, below = exp_fit(op.exp_k), m.map(lambda x: x[row]) - z
    if isinstance(found, Table):
        e_secret = look_up(role, below, found)
    else:
        e_secret = piecewise(role, below, found)
    (e,) = await open_values(role, [Opening(e_secret, found.scale - _E_GUARD, 17 + found.scale)])

    acc = product(role, mix, e, v, (heads, tokens, dim))
    s = e.map(lambda x: np.add.reduceat(x, np.cumsum(lengths) - lengths))
    # |sum e v| < S exp(_BELOW) 2^15 |v|
    wide = 1 + ceil(log2(sources + 1) + _BELOW * log2(exp(1)) + 15 + bits_v - 1)
    fine = _E_GUARD + guards[1]
    scaled = Opening(acc, _MIX_SHIFT + fine, wide + fine)
    parts = openings(role, s, _inverse(sources), _INVERSE_GUARD)
    mixed, *inverse = await open_values(role, [scaled, *parts])
    y = product(
        role,
        lambda a, b: a * b.reshape(heads, tokens, 1),
        mixed,
        total(inverse),
        (heads, tokens, dim),
    )
    y = y.map(lambda x: x.transpose(1, 0, 2).reshape(tokens, heads * dim))
    shift = 16 + op.mix_shift - _MIX_SHIFT + _INVERSE_GUARD
    return (y, shift, op.bits + shift + 1), (k, v)
