"""A pass through a program, op by op: what the dealer, the owner and the user all run.

A value is an accumulator in shares with a pending shift, until some op needs it opened; then it is
opened together with all others that wait for it, and truncated there. ``guard`` bits more than the
program keeps make the value finer, so that stochastic rounding costs less than the program's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from veracity.errors import UnsupportedModelError
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
)
from veracity.graph.program import Program
from veracity.mpc.party import OWNER, Array, Masked, Party, Role, Secret, hollow
from veracity.mpc.secure.attention import attention
from veracity.mpc.secure.functions import function
from veracity.mpc.secure.linear import Use, linear, linear_of_secret
from veracity.mpc.secure.norm import norm
from veracity.mpc.secure.opening import Opening, open_values, share_of
from veracity.mpc.secure.product import product
from veracity.mpc.secure.rotary import rotate
from veracity.mpc.secure.token_selection import choose
from veracity.mpc.weights import transposed, weight_shapes

__all__ = ["Cache", "ForwardPass"]

#: Keys and values by attention op, (positions, features) each.
Cache = dict[str, tuple[Masked, Masked]]

#: Ops that open what they read, and the bits that it keeps beyond the program's.
GUARDS: dict[type[Op], int] = {
    Add: 0,
    Norm: 0,
    Linear: 2,
    Gain: 2,
    Head: 2,
    Rope: 2,
    Attention: 1,
    Function: 1,
    Mul: 2,
}


@dataclass(eq=False)
class Value:
    """``secret / 2^shift`` of at most ``bits`` bits before the shift, or what it opens to.

    ``terms`` are the summands ``(name, shift)`` of a sum, ``turn`` the op of a rotation.
    """

    secret: Secret | None = None
    shift: int = 0
    bits: int = 64
    guard: int = 0
    masked: Masked | None = None
    terms: tuple[tuple[str, int], ...] = ()
    turn: tuple[str, Rope] | None = None


@dataclass(eq=False)
class ForwardPass:
    """One pass.

    Parameters
    ----------
    role : Role
        Who runs it.
    program : Program
        The model.
    rows, start : int
        How many tokens are fed, and how many were before.
    cache : dict
        Keys and values of the earlier positions.
    plain : mapping
        The owner's weights, for what is added without a product; empty elsewhere.
    tokens : int array
        The tokens at the user; empty elsewhere.

    Attributes
    ----------
    grown : dict
        The cache with the new rows.
    """

    role: Role
    program: Program
    rows: int
    start: int
    cache: Cache
    plain: Mapping[str, NDArray[np.integer]] = field(default_factory=dict)
    tokens: Sequence[int] = ()
    grown: Cache = field(default_factory=dict, init=False)
    values: dict[str, Value] = field(default_factory=dict, init=False)
    waiting: list[str] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self.consumers: dict[str, list[Op]] = {}
        for op in self.program.ops:
            for name in op.inputs():
                self.consumers.setdefault(name, []).append(op)
        self.shapes = weight_shapes(self.program)

    async def run(self) -> Secret:
        """All ops; returns shares of the packed answer (:mod:`.token_selection`)."""
        for op in self.program.ops:
            if isinstance(op, Head):
                return await self._head(op)
            if op.name not in self.values:
                await self._op(op)
        raise UnsupportedModelError("program", "no head", "import the model again")

    # Values.

    def _store(self, op: Op, secret: Secret, shift: int, bits: int) -> None:
        """Keep an accumulator, and wait for its opening where some op needs that."""
        users = self.consumers.get(op.name, [])
        guard = min((GUARDS[type(u)] for u in users if type(u) in GUARDS), default=None)
        self.values[op.name] = Value(secret, shift, bits, min(guard or 0, shift))
        if guard is not None:
            self.waiting.append(op.name)

    async def _masked(self, name: str) -> tuple[Masked, int]:
        """An opened value, and its guard bits."""
        value = self.values[name]
        if value.masked is None:
            if value.terms:
                parts = [(await self._masked(n), s) for n, s in value.terms]
                value.guard = max(guard for (_, guard), _ in parts)
                moved = [
                    m.map(lambda v, k=s + value.guard - g: v << np.uint64(k))  # type: ignore[misc]
                    for (m, g), s in parts
                ]
                value.masked = moved[0] + moved[1]
            elif value.turn is not None:
                source, op = value.turn
                masked, value.guard = await self._masked(source)
                value.masked = masked.map(lambda v: rotate(op, v, self.start), exact=False)
            else:
                if name not in self.waiting:
                    self.waiting.append(name)
                await self._flush()
        if value.masked is None:
            raise UnsupportedModelError(name, "value", "import the model again")
        return value.masked, value.guard

    async def _flush(self) -> None:
        """Open all that waits, in one exchange."""
        names, self.waiting = self.waiting, []
        items = []
        for name in names:
            value = self.values[name]
            if value.secret is not None:
                items.append(Opening(value.secret, value.shift - value.guard, value.bits))
        for name, masked in zip(names, await open_values(self.role, items), strict=True):
            self.values[name].masked = masked

    async def _shared(self, name: str) -> tuple[Secret, int, int, int]:
        """An accumulator: shares, shift, bits, and guard bits beyond the shift."""
        value = self.values[name]
        if value.secret is not None and value.masked is None and name not in self.waiting:
            return value.secret, value.shift, value.bits, 0
        masked, guard = await self._masked(name)
        return share_of(self.role, masked), 0, 64, guard

    # Ops.

    async def _op(self, op: Op) -> None:
        if isinstance(op, Embed):
            await self._embed(op)
        elif isinstance(op, Positions):
            self._positions(op)
        elif isinstance(op, Add):
            self.values[op.name] = Value(terms=((op.a, op.shift_a), (op.b, op.shift_b)))
        elif isinstance(op, Rope):
            self.values[op.name] = Value(turn=(op.x, op))
        elif isinstance(op, Rescale):
            secret, shift, bits, guard = await self._shared(op.x)
            shift += op.shift + guard
            self._store(op, secret, shift, op.bits + shift + 1 if bits == 64 else bits)
        elif isinstance(op, Linear | Gain):
            await self._linear(op)
        elif isinstance(op, Norm):
            x, guard = await self._masked(op.x)
            self._store(op, *await norm(self.role, op, x, guard))
        elif isinstance(op, Attention):
            await self._attention(op)
        elif isinstance(op, Function):
            x, guard = await self._masked(op.x)
            self._store(op, *function(self.role, op, x, guard))
        elif isinstance(op, Mul):
            a, left = await self._masked(op.a)
            b, right = await self._masked(op.b)
            shift = op.shift + left + right
            secret = product(self.role, np.multiply, a, b, a.shape)
            self._store(op, secret, shift, op.bits + shift + 1)
        else:
            raise UnsupportedModelError(op.name, type(op).__name__, "use another model")

    async def _embed(self, op: Embed) -> None:
        """A linear layer whose input, rows of the unit matrix, is the user's."""
        name = transposed(op.table)
        shape = (self.rows, self.program.vocab)
        one_hot = hollow(shape)
        if isinstance(self.role, Party):
            one_hot = np.zeros(shape, dtype=np.uint64)
            if self.role.index != OWNER:
                one_hot[np.arange(self.rows), np.asarray(self.tokens)] = 1
        uses: list[Use] = [(name, "matrix")]
        (secret,) = await linear_of_secret(self.role, Secret(one_hot), uses, self.shapes)
        self._store(op, secret, 0, self.program.weights[op.table].bits + 1)

    def _positions(self, op: Positions) -> None:
        """Rows of the owner's table at public positions."""
        shape = (self.rows, self.program.weights[op.table].shape[1])
        share = hollow(shape)
        if isinstance(self.role, Party):
            share = np.zeros(shape, dtype=np.uint64)
            if self.role.index == OWNER:
                rows = self.plain[op.table][self.start : self.start + self.rows]
                share = rows.astype(np.int64).view(np.uint64)
        self._store(op, Secret(share), 0, self.program.weights[op.table].bits + 1)

    async def _linear(self, op: Linear | Gain) -> None:
        """All linear layers that read the same value."""
        together = [
            u for u in self.consumers[op.x] if isinstance(u, Linear | Gain) and type(u) is type(op)
        ]
        x, guard = await self._masked(op.x)
        uses: list[Use] = [
            (u.weight, "matrix" if isinstance(u, Linear) else "gain") for u in together
        ]
        found = linear(self.role, x, uses, self.shapes)
        for user, result in zip(together, found, strict=True):
            up = user.shift + guard
            self._store(user, self._with_bias(user, result, guard), up, user.bits + up + 1)

    def _with_bias(self, op: Linear | Gain, x: Secret, guard: int) -> Secret:
        role = self.role
        if op.bias is None or not isinstance(role, Party) or role.index != OWNER:
            return x
        bias = self.plain[op.bias].astype(np.int64).view(np.uint64) << np.uint64(guard)
        return Secret(x.share + bias)

    async def _attention(self, op: Attention) -> None:
        (q, gq), (k, gk), (v, gv) = [await self._masked(n) for n in (op.q, op.k, op.v)]
        bits_v = next(getattr(o, "bits", 16) for o in self.program.ops if o.name == op.v)
        result, self.grown[op.name] = await attention(
            self.role, op, q, k, v, (gq + gk, gv), bits_v, self.start, self.cache.get(op.name)
        )
        self._store(op, *result)

    async def _head(self, op: Head) -> Secret:
        x, guard = await self._masked(op.x)
        last = x.map(lambda v: v[-1:])
        (acc,) = linear(self.role, last, [(op.weight, "matrix")], self.shapes)
        return await choose(self.role, acc, op.shift + guard)


def rows_of(cache: Cache, count: int) -> Cache:
    """The cache of the first ``count`` positions."""

    def cut(v: Array) -> Array:
        return v[:count]

    return {name: (k.map(cut), v.map(cut)) for name, (k, v) in cache.items()}
