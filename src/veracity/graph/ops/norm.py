"""RMSNorm and LayerNorm over the last axis, and reciprocal roots, all exact."""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt

import numpy as np

from veracity.engine.api import Integers
from veracity.graph.exact import sums_of_squares
from veracity.graph.ops.base import (
    Array,
    Facts,
    Op,
    OpRule,
    Run,
    require,
    rescaled,
    rounded,
    unchanged,
    within,
)
from veracity.graph.port import Dims
from veracity.records import record

__all__ = ["RULES", "HeadNorm", "Norm", "Rsqrt"]


@record(kw_only=True)
class Norm(Op):
    """``rhu(c rho, shift)`` with ``c = x`` ("rms") or ``d x - rowsum(x)`` ("layer").

    ``rho`` is the largest integer with ``rho^2 (sum c^2 + eps) <= constant``.
    ``constant = d 2^(2 (k + shift))`` gives ``c / rms(c)`` at scale ``2^-k``. ``|x| < 2^x_bits`` is
    a static bound.
    """

    x: str
    kind: str
    constant: int
    eps: int
    shift: int
    bits: int
    x_bits: int


@record(kw_only=True)
class HeadNorm(Norm):
    """A :class:`Norm` of each of ``heads`` equal parts of the last axis: of queries and keys."""

    heads: int


def _shape(op: Norm, _facts: Facts, dims: Sequence[Dims]) -> Dims:
    require(op.kind in ("rms", "layer"), op, "unknown kind")
    require(op.constant // op.eps < 1 << 64, op, "the reciprocal root may exceed 32 bits")
    require(len(dims[0]) >= 2, op, "a norm is over the last axis of several")
    require(isinstance(dims[0][-1], int), op, "a norm is over an axis of known length")
    if isinstance(op, HeadNorm):
        require(len(dims[0]) == 2, op, "input is not (positions, features)")
        require(int(dims[0][-1]) % op.heads == 0, op, "features that the heads do not divide")
    return dims[0]


def _magnitude(
    op: Norm, _facts: Facts, bounds: Sequence[int], dims: Sequence[Dims]
) -> tuple[int, int]:
    """``|c rho| <= sqrt(constant)``, since ``rho^2 c^2 <= rho^2 M <= constant``."""
    d = int(dims[0][-1]) // (op.heads if isinstance(op, HeadNorm) else 1)
    c = (1 << op.x_bits) * (1 if op.kind == "rms" else 2 * d)
    product = rounded(isqrt(op.constant), op.shift)
    return 1 << (op.bits - 1), max(bounds[0], c, product)


def normalise(op: Norm, x: Array, integers: Integers | None = None) -> tuple[Array, Array]:
    """``(result, rho)``; the row sums may need more than 64 bits.

    Parameters
    ----------
    op : Norm
        The constants.
    x : int64 array
        What is normalised, over its last axis.
    integers : Integers, optional
        The engine that rounds; NumPy where not given.
    """
    within(op, x, 1 << op.x_bits)
    d = x.shape[-1]
    c = x if op.kind == "rms" else d * x - x.sum(axis=-1, keepdims=True)
    squares = sums_of_squares(c)
    found = [isqrt(op.constant // (int(m) + op.eps)) for m in squares.reshape(-1)]
    rho = np.asarray(found, dtype=np.int64).reshape(squares.shape)
    return rescaled(op, c * rho[..., None], integers), rho


def _evaluate(op: Norm, run: Run, operands: Sequence[Array]) -> tuple[Array, dict[str, Array]]:
    x = operands[0]
    if isinstance(op, HeadNorm):
        y, rho = normalise(op, x.reshape(len(x), op.heads, -1), run.integers)
        return y.reshape(x.shape), {"rho": rho}
    y, rho = normalise(op, x, run.integers)
    return y, {"rho": rho}


@record(kw_only=True)
class Rsqrt(Op):
    """The largest integer ``y`` with ``y^2 (x + eps) <= constant``; ``0 < x + eps <= 2^x_bits``.

    ``constant = 2^(k_in + 2 k_out)`` gives ``1 / sqrt(x + eps)`` at scale ``2^-k_out``.
    """

    x: str
    constant: int
    eps: int
    x_bits: int


def _root_shape(op: Rsqrt, _facts: Facts, dims: Sequence[Dims]) -> Dims:
    require(op.constant < 1 << 64, op, "the reciprocal root may exceed 32 bits")
    require(op.eps <= 1 << op.x_bits, op, "eps beyond the values")
    return dims[0]


def _root_magnitude(
    op: Rsqrt, _facts: Facts, bounds: Sequence[int], _dims: Sequence[Dims]
) -> tuple[int, int]:
    return isqrt(op.constant), bounds[0] + op.eps


def _root(op: Rsqrt, _run: Run, operands: Sequence[Array]) -> tuple[Array, dict[str, Array]]:
    x = operands[0] + op.eps
    within(op, x - 1, 1 << op.x_bits)
    within(op, np.minimum(x - 1, 0), 1)
    found = [isqrt(op.constant // int(m)) for m in x.reshape(-1)]
    return np.asarray(found, dtype=np.int64).reshape(x.shape), {}


RULES: dict[type[Op], OpRule] = {
    Norm: OpRule(_shape, _magnitude, _evaluate, over=unchanged),
    HeadNorm: OpRule(_shape, _magnitude, _evaluate),
    Rsqrt: OpRule(_root_shape, _root_magnitude, _root, over=unchanged),
}
