"""RMSNorm and LayerNorm: the reciprocal root is pinned by a two-sided bracket per row.

With ``c = x`` (rms) or ``d x - rowsum(x)`` (layer) and ``M = sum_j c_j^2 + eps``, ``rho`` is the
largest integer with ``rho^2 M <= K``:

    g = rho M,   u = K - rho g >= 0,   v = 2 g + M - u - 1 >= 0   (v = (rho+1)^2 M - K - 1)

``g``, ``u``, ``v`` and ``rho`` are committed as limbs, ``M = v + u + 1 - 2 g`` is not. ``u``,
``v`` and ``rho`` are range-checked far below the field's size. ``x`` is a sum of bounded columns,
so that ``rho^2 M`` cannot wrap around either, and the bracket holds over the integers.
"""

from __future__ import annotations

import numpy as np

from veracity.engine.api import ORDER
from veracity.errors import UnsupportedModelError
from veracity.graph.ops import HeadNorm, Norm, Op
from veracity.zkml.circuit.builder import Builder
from veracity.zkml.circuit.tensor import Tensor
from veracity.zkml.ops import Context, Rule, letters

#: 16-bit limbs of rho.
RHO_LIMBS = 2


def _limb_count(bound: int) -> int:
    return max(1, -(-bound.bit_length() // 16))


def norm(context: Context, op: Norm) -> Tensor:
    """See the module text."""
    b, x = context.builder, context.value(op.x)
    whole = x.dims
    if isinstance(op, HeadNorm):
        x = x.split(1, op.heads, whole[1] // op.heads)
    *row, d = x.dims
    lead, last = letters(x)[:-1], len(row)
    _check_size(b, op, x)
    c = x if op.kind == "rms" else x * d - x.sum(last).broadcast(last, d)
    c_bound = (1 << op.x_bits) * (1 if op.kind == "rms" else 2 * d)
    m_bound = d * c_bound * c_bound + op.eps
    # u <= K and u < (2 rho + 1) M; v <= max(M, 2 rho M + M)
    bracket = 2 * _isqrt_up(op.constant * m_bound) + m_bound

    m = g = u = v = rho_value = acc_value = None
    if c.value is not None:
        wide = c.value.astype(object)
        rho_value = np.asarray(context.detail(op.name, "rho")).reshape(row)
        rho = rho_value.astype(object)
        m = (wide * wide).sum(axis=-1) + op.eps
        g = rho * m
        u = op.constant - rho * g
        v = 2 * g + m - u - 1
        acc_value = c.value.astype(np.int64) * rho_value[..., None].astype(np.int64)
    dims = tuple(row)
    rho_t = b.limbs(op.name, "norm.rho", dims, rho_value, RHO_LIMBS)
    g_t = b.limbs(op.name, "norm.g", dims, g, _limb_count(bracket), checked=False)
    u_t = b.limbs(op.name, "norm.u", dims, u, _limb_count(min(op.constant, bracket)))
    v_t = b.limbs(op.name, "norm.v", dims, v, _limb_count(bracket))
    m_t = Tensor(dims, (v_t + u_t + 1 - g_t * 2).terms, m)
    b.product(f"{lead}z,{lead}z->{lead}", c, c, m_t - op.eps)
    b.product(f"{lead},{lead}->{lead}", rho_t, m_t, g_t)
    b.product(f"{lead},{lead}->{lead}", rho_t, g_t, b.constant(op.constant, dims) - u_t)

    acc = Tensor.product(f"{lead},{lead}z->{lead}z", rho_t, c)
    if not isinstance(op, HeadNorm):
        return b.rescaled(op.name, "norm", acc, acc_value, op.shift)
    flat = None if acc_value is None else acc_value.reshape(whole)
    parts = (op.heads, d)
    return b.rescaled(
        op.name, "norm", acc, flat, op.shift, dims=whole, arrange=lambda y: y.split(1, *parts)
    )


def _check_size(b: Builder, op: Norm, x: Tensor) -> None:
    """Refuse a program where what pins ``rho`` might hold modulo the field's order only."""
    bound, d = b.bound(x), x.dims[-1]
    c = None if bound is None else bound * (1 if op.kind == "rms" else 2 * d)
    if c is None or (d * c * c + op.eps) << 2 * 16 * RHO_LIMBS >= ORDER // 4:
        raise UnsupportedModelError(
            op.name, "a norm of values without a static bound", "take the norm of sums of results"
        )


def _isqrt_up(n: int) -> int:
    from math import isqrt

    return isqrt(n) + 1


RULES: dict[type[Op], Rule] = {Norm: norm, HeadNorm: norm}
