"""Functions of one real number, each in float64 and in decimals of any precision.

A name is a word, or a word with exact decimal parameters: ``tanh``, ``leaky(0.01)``, ``clip(0;6)``.
All are total, since a table has an entry for every integer: a logarithm or an inverse of what has
none is as large as a table's entries can be, a root of a negative number is zero.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal, localcontext
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.errors import UsageError

__all__ = ["FUNCTIONS", "PARAMETRIC", "Pair", "find_function"]

Floats = NDArray[np.float64]
Pair = tuple[Callable[[Floats], Any], Callable[[Decimal], Decimal]]

_NAME = re.compile(
    r"([a-z_]{1,20})(?:\((-?\d{1,20}(?:\.\d{1,30})?(?:;-?\d{1,20}(?:\.\d{1,30})?)*)\))?"
)
PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459")
#: What stands for infinity; tables clip it.
_MOST = Decimal(10) ** 9
_MOST_FLOAT = float(_MOST)
ZERO, ONE = Decimal(0), Decimal(1)
with localcontext() as _context:
    _context.prec = 180
    _ROOT_2, _TWO_BY_ROOT_PI = Decimal(2).sqrt(), 2 / PI.sqrt()


def _sigmoid(x: Decimal) -> Decimal:
    e = (-abs(x)).exp()
    return ONE / (1 + e) if x >= 0 else e / (1 + e)


def _tanh(x: Decimal) -> Decimal:
    e = (-2 * abs(x)).exp()
    return ((1 - e) / (1 + e)).copy_sign(x)


def _erf(x: Decimal) -> Decimal:
    """Maclaurin series in whole numbers, with the bits that cancellation costs; 1 from 12 on."""
    if abs(x) > 12:
        return ONE.copy_sign(x)
    bits = 200 + int(x * x * Decimal("1.45"))  # terms grow up to exp(x^2)
    with localcontext() as context:
        context.prec = 180
        term = total = int(x * (1 << bits))
        square, n = term * term >> bits, 0
        while abs(term) >> (bits - 200):
            n += 1
            term = -(term * square >> bits) // n
            total += term // (2 * n + 1)
        return _TWO_BY_ROOT_PI * total / (1 << bits)


def _gelu(x: Decimal) -> Decimal:
    return x / 2 * (1 + _erf(x / _ROOT_2))


def _gelu_tanh(x: Decimal) -> Decimal:
    return x / 2 * (1 + _tanh((2 / PI).sqrt() * (x + Decimal("0.044715") * x**3)))


def _softplus(x: Decimal) -> Decimal:
    return max(x, ZERO) + (1 + (-abs(x)).exp()).ln()


def _sine(x: Decimal) -> Decimal:
    """Maclaurin series of the angle in -pi .. pi."""
    x = x - 2 * PI * (x / (2 * PI)).to_integral_value(rounding=ROUND_HALF_EVEN)
    term, total, n = x, x, 1
    while abs(term) > Decimal(10) ** -55:
        term *= -x * x / ((n + 1) * (n + 2))
        n += 2
        total += term
    return total


def _tangent(x: Decimal) -> Decimal:
    c = _sine(x + PI / 2)
    return _sine(x) / c if abs(c) > 1 / _MOST else _MOST.copy_sign(_sine(x))


def _arc_tangent(x: Decimal) -> Decimal:
    """Halved three times, then the series ``x - x^3/3 + x^5/5 - ..``."""
    for _ in range(3):
        x = x / (1 + (1 + x * x).sqrt())
    power, total, n = x, x, 1
    while abs(power) > Decimal(10) ** -55:
        power *= -x * x
        n += 2
        total += power / n
    return 8 * total


def _arc_sine(x: Decimal) -> Decimal:
    if abs(x) >= 1:
        return (PI / 2).copy_sign(x)
    return _arc_tangent(x / (1 - x * x).sqrt())


def _grown_twice(x: Decimal, sign: int) -> Decimal:
    """``(e^x + sign e^-x) / 2``, of at most 20."""
    x = min(max(x, Decimal(-20)), Decimal(20))
    return (x.exp() + sign * (-x).exp()) / 2


def _area_sine(x: Decimal) -> Decimal:
    return (abs(x) + (x * x + 1).sqrt()).ln().copy_sign(x) if x else ZERO


def _area_tangent(x: Decimal) -> Decimal:
    if abs(x) >= 1:
        return _MOST.copy_sign(x)
    return ((1 + x) / (1 - x)).ln() / 2


def _log(x: Decimal) -> Decimal:
    return x.ln() if x > 0 else -_MOST


def _log2_1p(x: Decimal) -> Decimal:
    return (ONE + x).ln() / Decimal(2).ln() if x > -1 else -_MOST


def _power(p: Decimal) -> Callable[[Decimal], Decimal]:
    def of(x: Decimal) -> Decimal:
        if x == 0:
            return ZERO if p > 0 else (ONE if p == 0 else _MOST)
        if x < 0 and p != int(p):
            return ZERO
        return x ** int(p) if p == int(p) else x**p

    return of


def _erf_floats(x: Floats) -> Floats:
    from math import erf

    return np.asarray(np.vectorize(erf, otypes=[np.float64])(x))


def _sigmoid_floats(x: Floats) -> Floats:
    e = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0, 1 / (1 + e), e / (1 + e)))


def _softplus_floats(x: Floats) -> Floats:
    return np.asarray(np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))))


def _where(x: Floats, condition: Any, value: Callable[[Floats], Any], other: float) -> Floats:
    """``value(x)`` where the condition holds, computed nowhere else."""
    out = np.full(np.shape(x), other)
    out[condition] = value(np.asarray(x)[condition])
    return out


def _power_floats(p: float) -> Callable[[Floats], Any]:
    def of(x: Floats) -> Floats:
        at_zero = 0.0 if p > 0 else (1.0 if p == 0 else float(_MOST))
        defined = (x != 0) if p == int(p) else (x > 0)
        powers = _where(x, defined, lambda v: v**p, 0.0)
        return np.asarray(np.where(x == 0, at_zero, powers))

    return of


FUNCTIONS: dict[str, Pair] = {
    "silu": (lambda x: x * _sigmoid_floats(x), lambda x: x * _sigmoid(x)),
    "gelu_tanh": (
        lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x * x * x))),
        _gelu_tanh,
    ),
    "gelu": (lambda x: 0.5 * x * (1 + _erf_floats(x / np.sqrt(2.0))), _gelu),
    "relu": (lambda x: np.maximum(x, 0.0), lambda x: max(x, ZERO)),
    "relu2": (lambda x: np.maximum(x, 0.0) ** 2, lambda x: max(x, ZERO) ** 2),
    "abs": (np.abs, abs),
    "sign": (np.sign, lambda x: ONE.copy_sign(x) if x else ZERO),
    "step": (lambda x: (x > 0) * 1.0, lambda x: ONE if x > 0 else ZERO),
    "zero": (lambda x: (x == 0) * 1.0, lambda x: ONE if x == 0 else ZERO),
    "floor": (np.floor, lambda x: x.to_integral_value(rounding=ROUND_FLOOR)),
    "ceil": (np.ceil, lambda x: x.to_integral_value(rounding=ROUND_CEILING)),
    "round": (np.round, lambda x: x.to_integral_value(rounding=ROUND_HALF_EVEN)),
    "sigmoid": (_sigmoid_floats, _sigmoid),
    "tanh": (np.tanh, _tanh),
    "erf": (_erf_floats, _erf),
    "softplus": (_softplus_floats, _softplus),
    "softsign": (lambda x: x / (1 + np.abs(x)), lambda x: x / (1 + abs(x))),
    "mish": (lambda x: x * np.tanh(_softplus_floats(x)), lambda x: x * _tanh(_softplus(x))),
    "exp": (lambda x: np.exp(np.minimum(x, 20.0)), lambda x: min(x, Decimal(20)).exp()),
    "log": (lambda x: _where(x, x > 0, np.log, -float(_MOST)), _log),
    "log2_1p": (
        lambda x: _where(x, x > -1, lambda y: np.log2(1 + y), -float(_MOST)),
        _log2_1p,
    ),
    "sqrt": (lambda x: np.sqrt(np.maximum(x, 0)), lambda x: max(x, ZERO).sqrt()),
    "sin": (np.sin, _sine),
    "cos": (np.cos, lambda x: _sine(x + PI / 2)),
    "tan": (
        lambda x: np.clip(np.tan(x), -float(_MOST), float(_MOST)),
        _tangent,
    ),
    "atan": (np.arctan, _arc_tangent),
    "asin": (lambda x: np.arcsin(np.clip(x, -1, 1)), _arc_sine),
    "acos": (lambda x: np.arccos(np.clip(x, -1, 1)), lambda x: PI / 2 - _arc_sine(x)),
    "sinh": (lambda x: np.sinh(np.clip(x, -20, 20)), lambda x: _grown_twice(x, -1)),
    "cosh": (lambda x: np.cosh(np.clip(x, -20, 20)), lambda x: _grown_twice(x, 1)),
    "asinh": (np.arcsinh, _area_sine),
    "acosh": (
        lambda x: np.arccosh(np.maximum(x, 1)),
        lambda x: (x + (x * x - 1).sqrt()).ln() if x > 1 else ZERO,
    ),
    "atanh": (
        lambda x: np.where(
            np.abs(x) < 1, np.arctanh(np.clip(x, -1 + 1e-12, 1 - 1e-12)), _MOST_FLOAT * np.sign(x)
        ),
        _area_tangent,
    ),
    "hard_swish": (
        lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
        lambda x: x * min(max(x / 6 + Decimal("0.5"), ZERO), ONE),
    ),
    "selu": (
        lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * _grown(x)),
        lambda x: (
            Decimal("1.0507009873554804934193349852946")
            * (x if x > 0 else Decimal("1.6732632423543772848170429916717") * (x.exp() - 1))
        ),
    ),
}


def _grown(x: Floats) -> Floats:
    return np.asarray(np.expm1(np.minimum(x, 0)))


def _negative_part(a: Decimal) -> Pair:
    """Leaky relu: ``a x`` for negative ``x``."""
    slope = float(a)
    return lambda x: np.where(x > 0, x, slope * x), lambda x: x if x > 0 else a * x


def _elu(a: Decimal) -> Pair:
    slope = float(a)
    return (
        lambda x: np.where(x > 0, x, slope * _grown(x)),
        lambda x: x if x > 0 else a * (x.exp() - 1),
    )


def _celu(a: Decimal) -> Pair:
    if a <= 0:
        raise UsageError("celu needs a positive parameter")
    scale = float(a)
    return (
        lambda x: np.where(x > 0, x, scale * _grown(x / scale)),
        lambda x: x if x > 0 else a * ((x / a).exp() - 1),
    )


def _clip(low: Decimal, high: Decimal) -> Pair:
    a, b = float(low), float(high)
    return lambda x: np.minimum(np.maximum(x, a), b), lambda x: min(max(x, low), high)


def _hard_sigmoid(a: Decimal, b: Decimal) -> Pair:
    slope, offset = float(a), float(b)
    return lambda x: np.clip(slope * x + offset, 0, 1), lambda x: min(max(a * x + b, ZERO), ONE)


def _softcap(cap: Decimal) -> Pair:
    if cap <= 0:
        raise UsageError("softcap needs a positive parameter")
    c = float(cap)
    return lambda x: c * np.tanh(x / c), lambda x: cap * _tanh(x / cap)


def _powers(p: Decimal) -> Pair:
    if abs(p) > 64:
        raise UsageError("a power beyond 64")
    return _power_floats(float(p)), _power(p)


#: Functions with parameters: how many, and the function that they make.
PARAMETRIC: dict[str, tuple[int, Callable[..., Pair]]] = {
    "leaky": (1, _negative_part),
    "elu": (1, _elu),
    "celu": (1, _celu),
    "clip": (2, _clip),
    "hard_sigmoid": (2, _hard_sigmoid),
    "power": (1, _powers),
    "softcap": (1, _softcap),
}


@lru_cache(maxsize=64)
def find_function(name: str) -> Pair:
    """A function in floats and in decimals.

    Raises
    ------
    UsageError
        For a name that is none.
    """
    if name in FUNCTIONS:
        return FUNCTIONS[name]
    found = _NAME.fullmatch(name)
    word, body = (found[1], found[2]) if found else ("", None)
    if word not in PARAMETRIC or body is None:
        known = ", ".join((*FUNCTIONS, *(f"{n}(..)" for n in PARAMETRIC)))
        raise UsageError(f"no function {name!r}; known: {known}")
    count, make = PARAMETRIC[word]
    numbers = [Decimal(n) for n in body.split(";")]
    if len(numbers) != count:
        raise UsageError(f"{word} has {count} parameters")
    return make(*numbers)
