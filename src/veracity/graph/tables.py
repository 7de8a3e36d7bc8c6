"""Function tables on 16 bits, bit-identical on every machine.

Entries are computed in float64; an entry whose exact value might lie nearer than 2^-20 to a
rounding tie is recomputed with 50 decimal digits, so that the last bits of a platform's ``exp``
cannot
matter.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_FLOOR, Decimal, localcontext
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from veracity.errors import UsageError

__all__ = ["FUNCTIONS", "exp_table", "function_table", "round_exactly"]

_TIE = 2.0**-20
_PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459")


def round_exactly(
    approximate: NDArray[np.float64], exact: Callable[[int], Decimal]
) -> NDArray[np.int64]:
    """Round half up; entries near a tie are decided by ``exact(index)`` (the scaled value)."""
    out = np.floor(approximate + 0.5).astype(np.int64)
    distance = np.abs(approximate - np.floor(approximate) - 0.5)
    with localcontext() as context:
        context.prec = 50
        for i in np.flatnonzero(distance < _TIE):
            shifted = exact(int(i)) + Decimal("0.5")
            out[i] = int(shifted.to_integral_value(rounding=ROUND_FLOOR))
    return out


@lru_cache(maxsize=8)
def exp_table(exp_k: int) -> NDArray[np.int64]:
    """``round(exp(-d 2^-exp_k) 2^15)`` for ``d`` in ``[0, 2^16)``; int64[65536], read-only."""
    d = np.arange(1 << 16)
    approximate = np.asarray(np.exp(-d * 2.0**-exp_k) * 2.0**15, dtype=np.float64)
    out = round_exactly(approximate, lambda i: (-Decimal(i) / Decimal(2**exp_k)).exp() * 2**15)
    out.setflags(write=False)
    return out


def _silu(x: Decimal) -> Decimal:
    return x / (1 + (-x).exp())


def _gelu_tanh(x: Decimal) -> Decimal:
    inner = (2 / _PI).sqrt() * (x + Decimal("0.044715") * x**3)
    e = (-2 * abs(inner)).exp()
    tanh = (1 - e) / (1 + e)
    return x / 2 * (1 + (tanh if inner >= 0 else -tanh))


def _erf(x: Decimal) -> Decimal:
    """Maclaurin series; callers keep |x| below 7."""
    term, total, n = x, x, 0
    while abs(term) > Decimal(10) ** -48:
        n += 1
        term *= -x * x / n
        total += term / (2 * n + 1)
    return 2 / _PI.sqrt() * total


def _gelu(x: Decimal) -> Decimal:
    if abs(x) > 9:
        return x if x > 0 else Decimal(0)
    with localcontext() as context:
        context.prec = 90
        return x / 2 * (1 + _erf(x / Decimal(2).sqrt()))


def _float_silu(x: NDArray[np.float64]) -> NDArray[np.float64]:
    e = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0, x / (1 + e), x * e / (1 + e)))


def _float_gelu_tanh(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))))


def _float_gelu(x: NDArray[np.float64]) -> NDArray[np.float64]:
    from math import erf

    return np.asarray(0.5 * x * (1 + np.vectorize(erf)(x / np.sqrt(2.0))))


FUNCTIONS: dict[
    str,
    tuple[Callable[[NDArray[np.float64]], NDArray[np.float64]], Callable[[Decimal], Decimal]],
] = {
    "silu": (_float_silu, _silu),
    "gelu_tanh": (_float_gelu_tanh, _gelu_tanh),
    "gelu": (_float_gelu, _gelu),
    "relu": (lambda x: np.maximum(x, 0.0), lambda x: max(x, Decimal(0))),
}


@lru_cache(maxsize=64)
def function_table(fn: str, k_in: int, k_out: int) -> NDArray[np.int64]:
    """``round(fn(x 2^-k_in) 2^k_out)`` clipped to 16 bits, index ``x + 32768``; read-only."""
    if fn not in FUNCTIONS:
        raise UsageError(f"no function {fn!r}; known: {', '.join(FUNCTIONS)}")
    approximate_fn, exact_fn = FUNCTIONS[fn]
    x = np.arange(-(1 << 15), 1 << 15)
    grid = np.asarray(x * 2.0**-k_in, dtype=np.float64)
    approximate = np.asarray(approximate_fn(grid) * 2.0**k_out, dtype=np.float64)
    out = round_exactly(
        approximate, lambda i: exact_fn(Decimal(i - (1 << 15)) / Decimal(2**k_in)) * 2**k_out
    )
    out = np.clip(out, -(1 << 15), (1 << 15) - 1)
    out.setflags(write=False)
    return out
