"""Causal attention with a cache of keys and values under the masks they were opened with.

For head h, target t, visible sources s, from the opened, rotated q, k and the opened v:

    z = q . k               product              opened, truncated by score_shift
    d = z - z_t             less the row's own score
    m >= max_s d            counts, then a sum   both opened; by a few nats above the maximum
    e = exp(m - d)          table                opened at three scales; m - d is already
    A = sum_s e v           product              opened, once for each group of the reciprocal
    I = 1 / sum_s e         groups               opened with A; sum_s e is already
    y = sum A I             product              over the groups

The program rounds ``p = e / sum e`` to 15 bits, then sums ``p v``; here the division comes last,
which saves opening p and its rounding. A bound instead of the maximum multiplies e and its sum
alike. It costs range: ``sum e`` may lie in more octaves than one A can serve without wrapping too
often. So e is kept at three scales, each for some octaves of its sum, and A as coarsely as the
octaves of each group of the reciprocal allow. Where a group is not responsible, its part of I is 0,
and so is the product.

* Exchanges: 5, and the one that opens q, k, v.
* Error: see :func:`exp_fit`, groups; every opening rounds stochastically.
"""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache
from math import ceil, log2

import numpy as np

from veracity.graph.ops import Attention
from veracity.mpc.party import Array
from veracity.mpc.secure.bound import Cells, upper_bound
from veracity.mpc.secure.opening import Opening, open_values, share_of_mask, shifted
from veracity.mpc.secure.piecewise import Pieces, fit, piecewise
from veracity.mpc.secure.product import product
from veracity.mpc.secure.reciprocal import Groups, groups, openings
from veracity.mpc.secure.role import Masked, Role, Secret
from veracity.mpc.secure.tables import Table, look_up, tabulate
from veracity.mpc.secure.tournament import join

__all__ = ["attention", "exp_fit"]

#: Bits of scores beyond the program's.
_Z_GUARD = 3
#: Nats between the greatest score and its bound at most; nats below the bound where e is not 0.
_ABOVE, _REACH = 10, 22
#: Scales that e is kept at: bits beyond the program's 15, and where the sum of e in these bits
#: begins to be theirs; the first scale has no upper end.
_SCALES = ((0, 15), (5, 13), (12, 12))
#: Fraction bits of a parabola of the table beyond those that keep it good to a unit.
_FINER = 6
#: Bits that A is finer than a unit of v where the sum is smallest in a group.
_MIX_GUARD = 2
#: Bits by which A and I are truncated together.
_SHIFT = 10


@lru_cache(maxsize=16)
def exp_fit(exp_k: int) -> Table | Pieces:
    """``exp(-d) 2^15`` for d from 0 to 22 at 2^-(exp_k + guard), 0 beyond.

    A table of intervals of an eighth of a nat, relative error 2^-13: a parabola serves twice that.
    Where that is less than a table's interval of 8 units, or too much for its domain, pieces.

    Parameters
    ----------
    exp_k : int
        Units of scores are 2^-exp_k nats.
    """
    unit = 1 << (exp_k + _Z_GUARD)

    def f(d: int) -> Decimal:
        return (Decimal(-d) / unit).exp() * (1 << 15)

    if 64 <= unit <= 1 << 14:
        # Behind their bound scores have 16 bits, or end up where the table is zero.
        bits = 17 + _Z_GUARD
        high = max(5, bits - (exp_k + _Z_GUARD - 3))
        return tabulate(f, bits, high, (0, _REACH * unit), _FINER)
    knots, x = {_REACH * unit}, 0  # 64ths of a nat
    while x < _REACH * 64:
        knots.add(x * unit // 64)
        x += 12 + max(0, x - 64 * _ABOVE) // 12
    low = min(knots)
    bits = ((1 << (16 + _Z_GUARD)) + 2 * _REACH * unit).bit_length()
    return fit(f, sorted(knots), low, bits, max(18, 2 * (exp_k + _Z_GUARD)))


@lru_cache(maxsize=64)
def _inverse(wide: int) -> tuple[Groups, tuple[Groups, ...]]:
    """``2^31 / S`` for the sum S of e over less than ``2^wide`` sources, in the octaves of a scale.

    The groups of all scales together, and each scale's own.
    """
    scales = []
    for scale, (guard, low) in enumerate(_SCALES):

        def f(x: int, over: int = 1 << (31 + guard)) -> Decimal:
            return Decimal(over) / x

        bits = 15 + guard + wide
        if scale == 0:
            scales.append(groups(f, low, bits, bits, (False, True)))
            continue
        above, begins = _SCALES[scale - 1]
        last = scale == len(_SCALES) - 1
        scales.append(groups(f, low, begins - above + guard, bits, (last, False)))
    return Groups(tuple(group for one in scales for group in one.each)), tuple(scales)


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

    share_of_mask(role, z)
    own = np.cumsum(lengths) - 1
    d = z - z.map(lambda x: x[own[row]])
    m = await upper_bound(role, d, lengths, Cells(op.exp_k, _Z_GUARD))
    found, below = exp_fit(op.exp_k), m.map(lambda x: x[row]) - d
    if isinstance(found, Table):
        e_secret = look_up(role, below, found)
    else:
        e_secret = piecewise(role, below, found)
    finest = _SCALES[-1][0]
    (e,) = await open_values(role, [Opening(e_secret, found.scale - finest, 17 + found.scale)])
    whole, scales = _inverse(ceil(log2(sources + 1)))
    mixed, arguments, shifts, kept = [], [], [], []
    for scale, ((guard, _), over) in enumerate(zip(_SCALES, scales, strict=True)):
        part = shifted(e, finest - guard)
        s = part.map(lambda x: np.add.reduceat(x, np.cumsum(lengths) - lengths))
        first, last = over.each[0], over.each[-1]
        # |sum e v| < 2^high |v|; half an octave more but for the last.
        wide = last.high + (scale > 0) + bits_v + guards[1]
        acc = product(role, mix, part, v, (heads, tokens, dim))
        mixed.append(Opening(acc, first.low - _MIX_GUARD + guards[1], wide))
        for g in over.each:
            arguments.append(s)
            shifts.append(g.low - _MIX_GUARD - guard - _SHIFT)
            # Where 2^low <= sum e in a group, a unit of v is 2^low in A.
            kept.append((scale, g.low - first.low))
    inverse = openings(role, arguments, whole, shifts)
    opened = await open_values(role, [*mixed, *inverse])
    shares = opened[len(mixed) :]
    sums = [shifted(opened[scale], coarser) for scale, coarser in kept]

    def joined(parts: list[Masked]) -> Masked:
        return join([part.map(lambda x: x[None]) for part in parts])

    def weigh(a: Array, b: Array) -> Array:
        return np.asarray((a * b.reshape(*a.shape[:3], 1)).sum(axis=0, dtype=np.uint64))

    y = product(role, weigh, joined(sums), joined(shares), (heads, tokens, dim))
    y = y.map(lambda x: x.transpose(1, 0, 2).reshape(tokens, heads * dim))
    shift = 16 + op.mix_shift - _SHIFT
    return (y, shift, op.bits + shift + 1), (k, v)
