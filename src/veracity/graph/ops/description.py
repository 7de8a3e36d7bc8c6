"""What an op is: a name (also that of its result), its inputs, and every integer of its meaning.

``rhu(x, s) = floor((x + 2^(s-1)) / 2^s)`` is the one rounding rule. ``bits`` is 16 or 24: a signed
result
outside is a :class:`veracity.errors.RangeError`. Values are arrays (tokens, features).
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "OPS",
    "Add",
    "Attention",
    "Embed",
    "Function",
    "Gain",
    "Head",
    "Linear",
    "Mul",
    "Norm",
    "Op",
    "Positions",
    "Rescale",
    "Rope",
]


@dataclass(frozen=True, kw_only=True)
class Op:
    """Base of all ops."""

    name: str

    def inputs(self) -> tuple[str, ...]:
        """Names of the values it reads."""
        return tuple(getattr(self, f) for f in ("x", "a", "b", "q", "k", "v") if hasattr(self, f))

    def weight_names(self) -> tuple[str, ...]:
        """Names of the weights it reads."""
        found = [getattr(self, f, None) for f in ("table", "weight", "bias")]
        return tuple(f for f in found if f is not None)


@dataclass(frozen=True, kw_only=True)
class Embed(Op):
    """``table[tokens]``."""

    table: str


@dataclass(frozen=True, kw_only=True)
class Positions(Op):
    """``table[:tokens]``."""

    table: str


@dataclass(frozen=True, kw_only=True)
class Add(Op):
    """``a * 2^shift_a + b * 2^shift_b``, exact."""

    a: str
    b: str
    shift_a: int
    shift_b: int


@dataclass(frozen=True, kw_only=True)
class Rescale(Op):
    """``rhu(x, shift)``."""

    x: str
    shift: int
    bits: int


@dataclass(frozen=True, kw_only=True)
class Linear(Op):
    """``rhu(x W^T + bias, shift)``; W is (n, k), bias (n,) at the accumulator's scale."""

    x: str
    weight: str
    bias: str | None
    shift: int
    bits: int


@dataclass(frozen=True, kw_only=True)
class Norm(Op):
    """``rhu(c rho, shift)`` with ``c = x`` ("rms") or ``d x - rowsum(x)`` ("layer").

    ``rho`` is the largest integer with ``rho^2 (sum c^2 + eps) <= constant``. ``constant = d 2^(2
    (k +
    shift))`` gives ``c / rms(c)`` at scale ``2^-k``. ``|x| < 2^x_bits`` is a static bound.
    """

    x: str
    kind: str
    constant: int
    eps: int
    shift: int
    bits: int
    x_bits: int


@dataclass(frozen=True, kw_only=True)
class Rope(Op):
    """Rotary embedding by integer tables at 2^-frac, then ``rhu(.., frac)``."""

    x: str
    heads: int
    head_dim: int
    style: str
    base: str
    frac: int
    bits: int


@dataclass(frozen=True, kw_only=True)
class Attention(Op):
    """Causal attention; head ``h = kv * group + g``. See :mod:`veracity.graph.evaluate`."""

    q: str
    k: str
    v: str
    kv_heads: int
    group: int
    head_dim: int
    score_shift: int
    exp_k: int
    mix_shift: int
    bits: int


@dataclass(frozen=True, kw_only=True)
class Function(Op):
    """``round(fn(x 2^-k_in) 2^k_out)`` of a signed 16-bit ``x``."""

    x: str
    fn: str
    k_in: int
    k_out: int


@dataclass(frozen=True, kw_only=True)
class Mul(Op):
    """``rhu(a * b, shift)``."""

    a: str
    b: str
    shift: int
    bits: int


@dataclass(frozen=True, kw_only=True)
class Gain(Op):
    """``rhu(x * weight + bias, shift)``, both (features,): a norm's gain before a tied head."""

    x: str
    weight: str
    bias: str | None
    shift: int
    bits: int


@dataclass(frozen=True, kw_only=True)
class Head(Op):
    """Arg max of ``rhu(x W^T, shift)`` on the head rows; ties go to the lowest index."""

    x: str
    weight: str
    shift: int


#: All ops by name.
OPS: dict[str, type[Op]] = {
    c.__name__: c
    for c in (
        Embed,
        Positions,
        Add,
        Rescale,
        Linear,
        Norm,
        Rope,
        Attention,
        Function,
        Mul,
        Gain,
        Head,
    )
}
