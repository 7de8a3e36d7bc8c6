"""The values of a pass: accumulators in shares until some op needs them opened.

A value is an accumulator in shares with a pending shift, until some op needs it opened; then it is
opened together with all others that wait for it, and truncated there. ``guard`` bits more than the
program keeps make the value finer, so that stochastic rounding costs less than the program's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from veracity.errors import UnsupportedModelError
from veracity.graph.ops import Op, Rope, Rotation
from veracity.graph.program import Program
from veracity.mpc.secure.opening import Opening, open_ahead, open_values, share_of
from veracity.mpc.secure.role import Masked, Opened, Role, Secret
from veracity.mpc.secure.rotary import rotate
from veracity.mpc.weights import weight_shapes

__all__ = ["NO_NOISE", "Cache", "Value", "Values"]

#: Keys and values by attention op, (positions, features) each.
Cache = dict[str, tuple[Masked, Masked]]
NO_NOISE = np.zeros(1, dtype=np.int64)


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
    turn: tuple[str, Rope | Rotation] | None = None


@dataclass(eq=False)
class Values:
    """What ops read and store during one pass.

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
    noise : int64 array
        What the user adds to its logits (:mod:`veracity.mpc.secure.head`), (V,), or one number.
    guards : mapping
        Ops that open what they read, and the bits that it keeps beyond the program's.

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
    noise: NDArray[np.int64] = field(default_factory=NO_NOISE.copy)
    guards: Mapping[type[Op], int] = field(default_factory=dict)
    grown: Cache = field(default_factory=dict, init=False)
    values: dict[str, Value] = field(default_factory=dict, init=False)
    waiting: list[str] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self.consumers: dict[str, list[Op]] = {}
        for op in self.program.ops:
            for name in op.inputs():
                self.consumers.setdefault(name, []).append(op)
        self.shapes = weight_shapes(self.program)

    def store(self, op: Op, secret: Secret, shift: int, bits: int) -> None:
        """Keep an accumulator, and wait for its opening where some op needs that.

        Parameters
        ----------
        op : Op
            Whose result it is.
        secret : Secret
            Shares of it.
        shift : int
            Bits by which the program rescales it.
        bits : int
            Bits of the accumulator.
        """
        guard = self._guard(op.name)
        self.values[op.name] = Value(secret, shift, bits, min(guard or 0, shift))
        if guard is not None:
            self.waiting.append(op.name)

    def _guard(self, name: str) -> int | None:
        """Guard bits of a value that some op needs opened."""
        users = self.consumers.get(name, [])
        return min((self.guards[type(u)] for u in users if type(u) in self.guards), default=None)

    def opened(self, name: str) -> bool:
        """Whether some op needs a value opened."""
        return self._guard(name) is not None

    async def masked(self, name: str) -> tuple[Masked, int]:
        """An opened value, and its guard bits."""
        value = self.values[name]
        if value.masked is None:
            if value.terms:
                parts = [(await self.masked(n), s) for n, s in value.terms]
                value.guard = max(guard for (_, guard), _ in parts)
                moved = [
                    m.map(lambda v, k=s + value.guard - g: v << np.uint64(k))  # type: ignore[misc]
                    for (m, g), s in parts
                ]
                value.masked = moved[0] + moved[1]
            elif value.turn is not None:
                source, op = value.turn
                masked, value.guard = await self.masked(source)
                value.masked = masked.map(lambda v: rotate(op, v, self.start), exact=False)
            else:
                if name not in self.waiting:
                    self.waiting.append(name)
                await self.flush()
        if value.masked is None:
            raise UnsupportedModelError(name, "value", "import the model again")
        return value.masked, value.guard

    async def flush(self) -> None:
        """Open all that waits, in one exchange."""
        names, items = self._waiting()
        for name, masked in zip(names, await open_values(self.role, items), strict=True):
            self.values[name].masked = masked

    async def through(self, name: str, products: Callable[[Masked, int], None]) -> None:
        """Open all that waits, and what :meth:`store` lets wait of products with weights.

        Parameters
        ----------
        name : str
            A value that waits.
        products : callable
            Stores products of the opened value, which has so many guard bits.
        """
        names, items = self._waiting()
        follow: list[str] = []

        def then(opened: Opened) -> Sequence[Opening]:
            products(opened[names.index(name)], self.values[name].guard)
            more, others = self._waiting()
            follow.extend(more)
            return others

        first, second = await open_ahead(self.role, items, then)
        for one, masked in zip([*names, *follow], [*first, *second], strict=True):
            self.values[one].masked = masked

    def _waiting(self) -> tuple[list[str], list[Opening]]:
        """What waits no more, and what to open of it."""
        names, self.waiting = self.waiting, []
        items = []
        for name in names:
            value = self.values[name]
            if value.secret is not None:
                items.append(Opening(value.secret, value.shift - value.guard, value.bits))
        return names, items

    async def shared(self, name: str) -> tuple[Secret, int, int, int]:
        """An accumulator: shares, shift, bits, and guard bits beyond the shift."""
        value = self.values[name]
        if value.secret is not None and value.masked is None and name not in self.waiting:
            return value.secret, value.shift, value.bits, 0
        masked, guard = await self.masked(name)
        return share_of(self.role, masked), 0, 64, guard
