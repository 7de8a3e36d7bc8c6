"""What a pass will cost, by running it on shapes: declared costs, hops, chance of a repeat."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import prod

from veracity.engine.api import Engine
from veracity.graph.ops import Attention
from veracity.graph.program import Program
from veracity.mpc.cost import Cost
from veracity.mpc.mode import PassPlan, Same
from veracity.mpc.party import Array
from veracity.mpc.secure.evaluate import Cache, ForwardPass
from veracity.mpc.secure.role import (
    Local,
    Masked,
    Opened,
    Opening,
    Role,
    Secret,
    Shape,
    Then,
    Use,
    at_once,
    shape_only,
)
from veracity.mpc.weights import weight_shapes

__all__ = ["Plan", "Planner", "Preparation", "make_plan", "plan_of", "setup_cost"]


@dataclass(frozen=True)
class Preparation:
    """What the user computes of a linear layer before any input exists."""

    label: int
    shape: tuple[int, ...]
    uses: tuple[Use, ...]


@dataclass(frozen=True)
class Plan(PassPlan):
    """A pass, costed.

    Parameters
    ----------
    hops : int
        Messages that follow each other, each sent after the one before has arrived.
    by_kind : dict
        Declared cost by kind of operation.
    preparations : tuple
        Linear layers in order.
    """

    hops: int
    by_kind: Mapping[str, Cost]
    preparations: tuple[Preparation, ...] = field(repr=False)


@dataclass(eq=False)
class Planner(Role):
    """Runs every operation on shapes alone, and counts.

    Attributes
    ----------
    repeat : float
        Expected number of masks that wrap around where they must not.
    preparations : list
        Of the masks of linear layers' inputs.
    label : int
        Draws of the user so far.
    behind : tuple of int
        Messages that follow each other up to where the owner is, and up to where the user is.
    """

    repeat: float = 0.0
    preparations: list[Preparation] = field(default_factory=list)
    label: int = 0
    behind: tuple[int, int] = (0, 0)

    async def open(self, items: Sequence[Opening]) -> list[Masked]:
        """One draw for all."""
        found = []
        for item in items:
            shape = item.secret.shape
            self.repeat += prod(shape) * 2.0 ** (item.bits - 64) if item.shift else 0.0
            found.append(Masked(shape_only(shape), None if item.shift else shape_only(shape)))
        self.label += 1
        owner, user = self.behind
        self.behind = max(owner, user + 1), max(user, owner + 1)
        return found

    async def open_ahead(self, first: Sequence[Opening], then: Then) -> tuple[Opened, Opened]:
        """As the base; the user's second message follows its first one at once."""
        found = await self.open(first)
        owner, user = self.behind
        others = await self.open(then(found))
        self.behind = owner, max(user, owner + 1)
        return found, others

    def share_mask(self, mask: Array) -> Array:
        """A shape."""
        return shape_only(mask.shape)

    def share_of(self, x: Masked) -> Secret:
        """A shape."""
        return Secret(shape_only(x.shape))

    def plus(self, x: Masked, constant: Array) -> Masked:
        """The same shape."""
        return x

    def compute(self, operation: Local) -> Secret:
        """A shape."""
        return Secret(shape_only(operation.shape))

    def multiply(self, x: Masked, uses: Sequence[Use], shapes: Sequence[Shape]) -> list[Secret]:
        """Note what the user can prepare.

        Parameters
        ----------
        x : Masked
            (rows, k).
        uses : sequence of (name, kind)
            Weights.
        shapes : sequence of tuple
            Of the results.
        """
        return self._noted(x.shape, uses, shapes)

    async def multiply_secret(
        self, x: Secret, uses: Sequence[Use], shapes: Sequence[Shape]
    ) -> list[Secret]:
        """As :meth:`multiply`.

        Parameters
        ----------
        x : Secret
            (rows, k).
        uses : sequence of (name, kind)
            Weights.
        shapes : sequence of tuple
            Of the results.
        """
        owner, user = self.behind
        self.behind = max(owner, user + 1), user
        return self._noted(x.shape, uses, shapes)

    def _noted(self, shape: Shape, uses: Sequence[Use], shapes: Sequence[Shape]) -> list[Secret]:
        self.preparations.append(Preparation(self.label, shape, tuple(uses)))
        self.label += 1
        return [Secret(shape_only(s)) for s in shapes]

    def from_owner(self, shape: Shape, value: Callable[[], Array]) -> Secret:
        """A shape."""
        return Secret(shape_only(shape))

    def from_user(self, shape: Shape, value: Callable[[], Array]) -> Secret:
        """A shape."""
        return Secret(shape_only(shape))

    async def disclose(self, word: Secret, bits: int) -> int | None:
        """A message to the user."""
        owner, user = self.behind
        self.behind = owner, max(user, owner + 1)
        return None


def make_plan(engine: Engine, program: Program, rows: int, start: int) -> Plan:
    """Evaluate once on shapes, and count.

    Parameters
    ----------
    engine : Engine
        What knows the bytes of keys.
    program : Program
        Public part of the model.
    rows : int
        Tokens that the pass feeds.
    start : int
        Tokens fed before.
    """
    planner = Planner(engine)
    cache = _shapes_of_cache(program, start) if start else {}
    at_once(ForwardPass(planner, program, rows, start, cache).answer())
    return Plan(
        rows,
        start,
        planner.cost,
        planner.repeat,
        max(planner.behind),
        planner.by_kind,
        tuple(planner.preparations),
    )


def plan_of(engine: Engine, program: Program, rows: int, start: int) -> Plan:
    """As :func:`make_plan`, remembered.

    Parameters
    ----------
    engine : Engine
        What knows the bytes of keys.
    program : Program
        Public part of the model.
    rows : int
        Tokens that the pass feeds.
    start : int
        Tokens fed before.
    """
    return _remembered(Same(program, engine), rows, start)


@lru_cache(maxsize=64)
def _remembered(same: Same, rows: int, start: int) -> Plan:
    return make_plan(same.engine, same.program, rows, start)


def setup_cost(program: Program) -> Cost:
    """Once per model: masked weights to the user, 8 bytes each; seeds apart."""
    names = {n.removesuffix("^T"): s for n, s in weight_shapes(program).items()}
    count = 0
    for shape in names.values():
        size = 1
        for d in shape:
            size *= d
        count += size
    return Cost(offline_bytes_user=8 * count)


def _shapes_of_cache(program: Program, start: int) -> Cache:
    found: Cache = {}
    for op in program.ops:
        if isinstance(op, Attention):
            shape = (start, op.kv_heads * op.head_dim)
            pair = [Masked(shape_only(shape), shape_only(shape)) for _ in range(2)]
            found[op.name] = (pair[0], pair[1])
    return found
