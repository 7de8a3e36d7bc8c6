"""Norms and reciprocal roots: a root is pinned by a two-sided bracket.

With ``c = x`` (rms) or ``d x - rowsum(x)`` (layer) and ``M = sum_j c_j^2 + eps``, ``rho`` is the
largest integer with ``rho^2 M <= K``:

    g = rho M,   u = K - rho g >= 0,   v = 2 g + M - u - 1 >= 0   (v = (rho+1)^2 M - K - 1)

For a reciprocal root, ``M = x + eps`` and ``rho`` is the result.

``g``, ``u``, ``v`` and ``rho`` are committed as limbs, ``M = v + u + 1 - 2 g`` is not. ``u``,
``v`` and ``rho`` are range-checked far below the field's size. ``x`` is a sum of bounded columns,
so that ``rho^2 M`` cannot wrap around either, and the bracket holds over the integers.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isqrt

import numpy as np

from veracity.engine.api import ORDER, Ints
from veracity.errors import UnsupportedModelError
from veracity.graph.exact import sums_of_squares
from veracity.graph.ops import HeadNorm, Norm, Op, Rsqrt
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
    bound = b.bound(x)
    largest = None if bound is None else bound * (1 if op.kind == "rms" else 2 * d)
    _check_size(op, None if largest is None else d * largest * largest + op.eps)
    c = x if op.kind == "rms" else x * d - x.sum(last).broadcast(last, d)
    c_bound = (1 << op.x_bits) * (1 if op.kind == "rms" else 2 * d)
    m_bound = d * c_bound * c_bound + op.eps
    # u <= K and u < (2 rho + 1) M; v <= max(M, 2 rho M + M)
    bracket = 2 * _isqrt_up(op.constant * m_bound) + m_bound

    m = rho = acc_value = None
    if c.value is not None:
        rho = np.asarray(context.detail(op.name, "rho")).reshape(row)
        m = sums_of_squares(c.value).astype(object) + op.eps
        acc_value = c.value.astype(np.int64) * rho[..., None].astype(np.int64)

    def sum_of_squares(m_t: Tensor) -> None:
        b.product(f"{lead}z,{lead}z->{lead}", c, c, m_t - op.eps)

    rho_t = _bracket(b, op, tuple(row), bracket, rho, m, sum_of_squares)
    acc = Tensor.product(f"{lead},{lead}z->{lead}z", rho_t, c)
    if not isinstance(op, HeadNorm):
        return b.rescaled(op.name, "norm", acc, acc_value, op.shift)
    flat = None if acc_value is None else acc_value.reshape(whole)
    parts = (op.heads, d)
    return b.rescaled(
        op.name, "norm", acc, flat, op.shift, dims=whole, arrange=lambda y: y.split(1, *parts)
    )


def root(context: Context, op: Rsqrt) -> Tensor:
    """See the module text."""
    b, x = context.builder, context.value(op.x) + op.eps
    _check_size(op, b.bound(x))
    m_bound = 1 << op.x_bits
    bracket = 2 * _isqrt_up(op.constant * m_bound) + m_bound
    rho = m = None
    if x.value is not None:
        m = x.value.astype(object)
        rho = np.vectorize(lambda n: isqrt(op.constant // n), otypes=[np.int64])(m)
    return _bracket(b, op, x.dims, bracket, rho, m, lambda m_t: b.zero(m_t - x))


def _bracket(
    b: Builder,
    op: Norm | Rsqrt,
    dims: tuple[int, ...],
    bracket: int,
    rho: Ints | None,
    m: Ints | None,
    show: Callable[[Tensor], None],
) -> Tensor:
    """``rho``, in its bracket.

    Parameters
    ----------
    b : Builder
        Where arrays and relations go.
    op : Norm or Rsqrt
        The op that they belong to, with ``K``.
    dims : tuple of int
        Dims of ``rho`` and ``M``.
    bracket : int
        What ``g`` and ``v`` cannot exceed.
    rho, m : array or None
        The prover's integers; those of ``M`` may need more than 64 bits.
    show : callable
        Owes what ``M`` is.
    """
    g = u = v = None
    if rho is not None and m is not None:
        g = rho.astype(object) * m
        u = op.constant - rho.astype(object) * g
        v = 2 * g + m - u - 1
    axes = "abcdefgh"[: len(dims)]
    rho_t = b.limbs(op.name, "norm.rho", dims, rho, RHO_LIMBS)
    g_t = b.limbs(op.name, "norm.g", dims, g, _limb_count(bracket), checked=False)
    u_t = b.limbs(op.name, "norm.u", dims, u, _limb_count(min(op.constant, bracket)))
    v_t = b.limbs(op.name, "norm.v", dims, v, _limb_count(bracket))
    m_t = Tensor(dims, (v_t + u_t + 1 - g_t * 2).terms, m)
    show(m_t)
    b.product(f"{axes},{axes}->{axes}", rho_t, m_t, g_t)
    b.product(f"{axes},{axes}->{axes}", rho_t, g_t, b.constant(op.constant, dims) - u_t)
    return rho_t


def _check_size(op: Norm | Rsqrt, m: int | None) -> None:
    """Refuse a program where what pins ``rho`` might hold modulo the field's order only."""
    if m is None or m << 2 * 16 * RHO_LIMBS >= ORDER // 4:
        raise UnsupportedModelError(
            op.name, "a norm of values without a static bound", "take the norm of sums of results"
        )


def _isqrt_up(n: int) -> int:
    return isqrt(n) + 1


RULES: dict[type[Op], Rule] = {Norm: norm, HeadNorm: norm, Rsqrt: root}
