"""The ops of the secure mode: one row for each, a rule or the reason why there is none.

A rule reads values of the pass and stores its result, at every role alike.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.graph.ops import (
    Add,
    Attention,
    Embed,
    Function,
    Gain,
    Head,
    Linear,
    Mul,
    Norm,
    Op,
    Positions,
    Rescale,
    Rope,
    Rotation,
)
from veracity.graph.ops.base import Unsupported
from veracity.mpc.decoder import NO_RULES, vocabulary_of
from veracity.mpc.party import Array
from veracity.mpc.secure.attention import attention
from veracity.mpc.secure.functions import function
from veracity.mpc.secure.head import add_noise, choose, finer
from veracity.mpc.secure.linear import linear, linear_of_secret
from veracity.mpc.secure.norm import norm
from veracity.mpc.secure.product import product
from veracity.mpc.secure.role import Masked, Secret, Use
from veracity.mpc.secure.values import Value, Values
from veracity.mpc.weights import transposed

__all__ = ["RULES", "Rule"]


@dataclass(frozen=True)
class Rule:
    """How the mode evaluates an op.

    Attributes
    ----------
    evaluate : callable
        ``(pass, op)``: stores the result; returns the answer's shares where the op ends the pass.
    guard : int, optional
        Where the op opens what it reads: the bits that this keeps beyond the program's.
    """

    evaluate: Callable[[Values, Any], Awaitable[Secret | None]]
    guard: int | None = None


async def _embed(at: Values, op: Embed) -> None:
    """A linear layer whose input, rows of the unit matrix, is the user's."""
    shape = (at.rows, vocabulary_of(at.program))

    def one_hot() -> Array:
        found = np.zeros(shape, dtype=np.uint64)
        found[np.arange(at.rows), np.asarray(at.tokens)] = 1
        return found

    x = at.role.from_user(shape, one_hot)
    uses: list[Use] = [(transposed(op.table), "matrix")]
    (secret,) = await linear_of_secret(at.role, x, uses, at.shapes)
    at.store(op, secret, 0, at.program.weights[op.table].bits + 1)


async def _positions(at: Values, op: Positions) -> None:
    """Rows of the owner's table at public positions."""
    spec = at.program.weights[op.table]
    shape = (at.rows, spec.shape[1])
    rows = slice(at.start, at.start + at.rows)
    secret = at.role.from_owner(shape, lambda: _words(at.plain[op.table][rows]))
    at.store(op, secret, 0, spec.bits + 1)


def _words(integers: NDArray[np.integer]) -> Array:
    return integers.astype(np.int64).view(np.uint64)


async def _add(at: Values, op: Add) -> None:
    at.values[op.name] = Value(terms=((op.a, op.shift_a), (op.b, op.shift_b)))


async def _rope(at: Values, op: Rope | Rotation) -> None:
    at.values[op.name] = Value(turn=(op.x, op))


async def _rescale(at: Values, op: Rescale) -> None:
    secret, shift, bits, guard = await at.shared(op.x)
    shift += op.shift + guard
    at.store(op, secret, shift, op.bits + shift + 1 if bits == 64 else bits)


async def _linear(at: Values, op: Linear | Gain) -> None:
    """All layers of this kind that read the same value."""
    together = [u for u in at.consumers[op.x] if type(u) is type(op)]
    uses: list[Use] = [(u.weight, _KINDS[type(u)]) for u in together]

    def products(x: Masked, guard: int) -> None:
        found = linear(at.role, x, uses, at.shapes)
        for user, result in zip(together, found, strict=True):
            up = user.shift + guard
            at.store(user, _with_bias(at, user, result, guard), up, user.bits + up + 1)

    if op.x in at.waiting and all(at.opened(u.name) for u in together):
        await at.through(op.x, products)
    else:
        products(*await at.masked(op.x))


_KINDS: dict[type[Op], Any] = {Linear: "matrix", Gain: "gain"}


def _with_bias(at: Values, op: Any, x: Secret, guard: int) -> Secret:
    if op.bias is None:
        return x
    return x + at.role.from_owner(x.shape, lambda: _words(at.plain[op.bias]) << np.uint64(guard))


async def _norm(at: Values, op: Norm) -> None:
    x, guard = await at.masked(op.x)
    at.store(op, *await norm(at.role, op, x, guard))


async def _attention(at: Values, op: Attention) -> None:
    (q, gq), (k, gk), (v, gv) = [await at.masked(n) for n in (op.q, op.k, op.v)]
    bits_v = next(getattr(o, "bits", 16) for o in at.program.ops if o.name == op.v)
    result, at.grown[op.name] = await attention(
        at.role, op, q, k, v, (gq + gk, gv), bits_v, at.start, at.cache.get(op.name)
    )
    at.store(op, *result)


async def _function(at: Values, op: Function) -> None:
    x, guard = await at.masked(op.x)
    at.store(op, *function(at.role, op, x, guard))


async def _mul(at: Values, op: Mul) -> None:
    a, left = await at.masked(op.a)
    b, right = await at.masked(op.b)
    shift = op.shift + left + right
    secret = product(at.role, np.multiply, a, b, a.shape)
    at.store(op, secret, shift, op.bits + shift + 1)


async def _head(at: Values, op: Head) -> Secret:
    x, guard = await at.masked(op.x)
    last = x.map(lambda v: v[-1:])
    (acc,) = linear(at.role, last, [(op.weight, "matrix")], at.shapes)
    shift = op.shift + guard
    noisy = add_noise(at.role, acc, shift, finer(op), lambda: at.noise)
    return await choose(at.role, noisy, shift)


RULES: dict[type[Op], Rule | Unsupported] = {
    **NO_RULES,
    Embed: Rule(_embed),
    Positions: Rule(_positions),
    Linear: Rule(_linear, guard=2),
    Gain: Rule(_linear, guard=2),
    Add: Rule(_add, guard=0),
    Rescale: Rule(_rescale),
    Mul: Rule(_mul, guard=2),
    Function: Rule(_function, guard=1),
    Norm: Rule(_norm, guard=0),
    Rope: Rule(_rope, guard=2),
    Rotation: Rule(_rope, guard=2),
    Attention: Rule(_attention, guard=1),
    Head: Rule(_head, guard=2),
}
