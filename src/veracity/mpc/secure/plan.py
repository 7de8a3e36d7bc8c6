"""What a pass will cost, by running it without values: declared costs, hops, chance of a repeat."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from veracity.engine.api import Engine
from veracity.graph.ops import Attention
from veracity.graph.program import Program
from veracity.mpc.cost import Cost
from veracity.mpc.material import Writer
from veracity.mpc.mode import PassPlan, Same
from veracity.mpc.party import Masked, hollow
from veracity.mpc.secure.dealer import Dealer
from veracity.mpc.secure.evaluate import Cache, ForwardPass
from veracity.mpc.secure.linear import Use
from veracity.mpc.secure.token_selection import reveal
from veracity.mpc.weights import weight_shapes

__all__ = ["Plan", "Preparation", "drive", "make_plan", "plan_of", "setup_cost"]

_SEED = bytes(32)


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
    by_kind : dict
        Declared cost by kind of operation.
    preparations : tuple
        Linear layers in order.
    """

    by_kind: Mapping[str, Cost]
    preparations: tuple[Preparation, ...] = field(repr=False)


def make_plan(engine: Engine, program: Program, rows: int, start: int) -> Plan:
    """Evaluate once without values, and count.

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
    dealer = Dealer(engine, Writer(engine.ring, _SEED), Writer(engine.ring, _SEED), {}, dry=True)
    cache = _hollow_cache(program, start) if start else {}
    forward = ForwardPass(dealer, program, rows, start, cache)
    drive(forward)
    return Plan(
        rows,
        start,
        dealer.cost,
        dealer.wraps,
        dealer.by_kind,
        tuple(Preparation(*p) for p in dealer.prepare),
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


def drive(forward: ForwardPass) -> None:
    """Run a dealer's forward pass to its end: it never waits."""

    async def whole() -> None:
        await reveal(forward.role, await forward.run())

    routine = whole()
    try:
        routine.send(None)
    except StopIteration:
        return
    routine.close()
    raise asyncio.InvalidStateError("a dealer waits for nobody")


def _hollow_cache(program: Program, start: int) -> Cache:
    found: Cache = {}
    for op in program.ops:
        if isinstance(op, Attention):
            shape = (start, op.kv_heads * op.head_dim)
            pair = [Masked(hollow(shape), hollow(shape)) for _ in range(2)]
            found[op.name] = (pair[0], pair[1])
    return found
