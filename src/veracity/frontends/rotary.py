"""Rotary embeddings as files describe them: one frequency for every pair of features.

Every kind of scaling (linear, dynamic, yarn, longrope, llama3) is a rule for these frequencies, for
a factor on the rotated features, or for how far the context reaches. Frequencies are computed in
decimals and rounded once, so they are the same on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Any

from veracity.errors import FormatError, UnsupportedModelError
from veracity.frontends.settings import Settings
from veracity.graph.ops.rotary import FREQUENCY_BITS

__all__ = ["Turning", "plain_turning", "turning_of"]

_NAMES = {"su": "longrope", "none": "default"}


@dataclass(frozen=True)
class Turning:
    """How queries and keys turn.

    Attributes
    ----------
    frequencies : tuple of int
        One for each pair that turns, in units of 2^-48.
    base : float or None
        The rotary base where it says all; None where something scales the frequencies.
    factor : float
        What rotated features are multiplied by.
    context : int or None
        Positions up to which this holds, where that is less than the model's own.
    """

    frequencies: tuple[int, ...]
    base: float | None
    factor: float = 1.0
    context: int | None = None


def plain_turning(base: float, features: int, divisors: Sequence[float] = ()) -> Turning:
    """``base^(-2 i / features)`` for every pair ``i``, divided by its divisor if there are any.

    Parameters
    ----------
    base : float
        Rotary base.
    features : int
        Features of a head that turn.
    divisors : sequence of float
        One for each pair, or none.
    """
    return Turning(_rounded(_powers(base, features), divisors), None if divisors else base)


def turning_of(
    settings: Settings, base: float, features: int, context: int, original: int | None = None
) -> Turning:
    """The turning that a group of settings (``rope_parameters``, ``rope_scaling``) describes.

    Parameters
    ----------
    settings : Settings
        The group.
    base : float
        Rotary base where the group has none.
    features : int
        Features of a head that turn.
    context : int
        Most positions of the model.
    original : int, optional
        Positions that the model was trained on, where they are stated outside the group.

    Raises
    ------
    UnsupportedModelError
        For a kind that is not known.
    """
    kind = str(settings.take("rope_type", "type", default="default"))
    kind = _NAMES.get(kind, kind)
    base = settings.number("rope_theta", default=base)
    settings.take("partial_rotary_factor", default=None)  # taken where features are counted
    if not 1 <= base <= 1e12 or features < 2:
        raise FormatError(settings.where, f"a rotary base of {base} for {features} features")
    found = _KINDS.get(kind)
    if found is None:
        raise UnsupportedModelError(
            settings.where, f"rotary scaling {kind!r}",
            f"the kinds that are known are {', '.join(_KINDS)}",
        )  # fmt: skip
    inner = settings.take("original_max_position_embeddings", default=None)
    trained = inner if original is None else original
    if trained is not None and (type(trained) is not int or trained < 1):
        raise FormatError(settings.where, "original_max_position_embeddings is no number")
    turning = found(settings, base, features, (context, trained))
    settings.finish(("original_max_position_embeddings", "finetuned"))
    return turning


def _powers(base: float, features: int) -> list[Decimal]:
    with localcontext() as arithmetic:
        arithmetic.prec = 50
        log = Decimal(base).ln()
        return [(log * -2 * i / features).exp() for i in range(features // 2)]


def _rounded(frequencies: Sequence[Decimal], divisors: Sequence[Any] = ()) -> tuple[int, ...]:
    with localcontext() as arithmetic:
        arithmetic.prec = 50
        if divisors:
            scaled = zip(frequencies, divisors, strict=True)
            frequencies = [f / Decimal(d) for f, d in scaled]
        return tuple(int((f * 2**FREQUENCY_BITS).to_integral_value()) for f in frequencies)


def _positive(settings: Settings, name: str, default: Any = None) -> float:
    value = settings.number(name) if default is None else settings.number(name, default=default)
    if value <= 0:
        raise FormatError(settings.where, f"{name} = {value} is not positive")
    return value


def _default(_s: Settings, base: float, features: int, _context: Any) -> Turning:
    return plain_turning(base, features)


def _linear(s: Settings, base: float, features: int, _context: Any) -> Turning:
    factor = _positive(s, "factor")
    return plain_turning(base, features, [factor] * (features // 2) if factor != 1 else ())


def _dynamic(s: Settings, base: float, features: int, _context: Any) -> Turning:
    """Up to the model's context, nothing is scaled."""
    _positive(s, "factor", 1.0)
    return plain_turning(base, features)


def _llama3(s: Settings, base: float, features: int, context: tuple[int, int | None]) -> Turning:
    factor, low, high = (_positive(s, n) for n in ("factor", "low_freq_factor", "high_freq_factor"))
    trained = context[1] or context[0]
    if high <= low:
        raise FormatError(s.where, "high_freq_factor is not above low_freq_factor")
    divisors: list[Decimal] = []
    powers = _powers(base, features)
    with localcontext() as arithmetic:
        arithmetic.prec = 50
        for f in powers:
            turns = trained * f / Decimal(2 * math.pi)
            smooth = (turns - Decimal(low)) / (Decimal(high) - Decimal(low))
            smooth = min(max(smooth, Decimal(0)), Decimal(1))
            divisors.append(1 / ((1 - smooth) / Decimal(factor) + smooth))
    return Turning(_rounded(powers, divisors), None)


def _yarn(s: Settings, base: float, features: int, context: tuple[int, int | None]) -> Turning:
    trained = context[1] or context[0]
    factor = _positive(s, "factor", context[0] / trained if context[1] else None)
    fast, slow = _positive(s, "beta_fast", 32.0), _positive(s, "beta_slow", 1.0)
    truncate = s.flag("truncate", default=True)

    def place(rotations: float) -> float:
        turns = math.log(trained / (rotations * 2 * math.pi))
        return features * turns / (2 * math.log(base))

    low, high = place(fast), place(slow)
    if truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, features - 1)
    width = (high - low) or 0.001
    divisors = []
    for i in range(features // 2):
        kept = 1 - min(max((i - low) / width, 0.0), 1.0)
        divisors.append(1 / ((1 - kept) / factor + kept))

    def scale(m: float) -> float:
        return 0.1 * m * math.log(factor) + 1.0 if factor > 1 else 1.0

    one, every = s.take("mscale", default=None), s.take("mscale_all_dim", default=None)
    usual = scale(float(one)) / scale(float(every)) if one and every else scale(1.0)
    turning = plain_turning(base, features, divisors)
    return Turning(turning.frequencies, None, _positive(s, "attention_factor", usual))


def _longrope(s: Settings, base: float, features: int, context: tuple[int, int | None]) -> Turning:
    """The short factors, which hold up to the context that the model was trained on."""
    trained = context[1] or context[0]
    short = s.take("short_factor")
    s.take("long_factor", "short_mscale", "long_mscale", default=None)
    if not isinstance(short, list) or len(short) != features // 2:
        raise FormatError(s.where, f"short_factor has not {features // 2} numbers")
    if any(isinstance(x, bool) or not isinstance(x, int | float) or not x > 0 for x in short):
        raise FormatError(s.where, "a short_factor is not positive")
    factor = _positive(s, "factor", context[0] / trained)
    usual = (
        math.sqrt(1 + math.log(factor) / math.log(trained)) if factor > 1 and trained > 1 else 1.0
    )
    turning = plain_turning(base, features, short)
    scale = _positive(s, "attention_factor", usual)
    return Turning(turning.frequencies, None, scale, trained)


_KINDS = {
    "default": _default, "linear": _linear, "dynamic": _dynamic, "yarn": _yarn,
    "longrope": _longrope, "llama3": _llama3,
}  # fmt: skip
