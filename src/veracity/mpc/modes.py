"""One face for both modes: the sessions of dealer and parties as a service drives them.

A pass has two parts at a party: ``ready``, before its tokens exist, and ``run``. A pass of the
secure mode may have no result (:attr:`Outcome.done`) and is then repeated with other material.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from veracity.engine.api import Engine
from veracity.errors import UsageError
from veracity.graph.program import Program
from veracity.mpc.cost import Cost
from veracity.mpc.material import Label, Material, ReplayRegistry, Sink
from veracity.mpc.party import Array
from veracity.mpc.secure import session as secure
from veracity.mpc.secure.plan import Plan, make_plan
from veracity.mpc.sessions import Dealt
from veracity.mpc.shuffled import plan as shuffled_plan
from veracity.mpc.shuffled import session as shuffled
from veracity.mpc.shuffled.steps import Shape
from veracity.mpc.token_selection.pick import Pick, greedy
from veracity.mpc.token_selection.seal import load_seal
from veracity.net import Channel

__all__ = ["MODES", "DealerSide", "Outcome", "PartySide", "check_mode", "dealer", "party", "price"]

#: ``secure`` shows nothing but the answer, ``shuffled`` hidden values in random order to the user;
#: there the user obtains its token by the dealer's pads, or without the dealer by BFV.
MODES = ("secure", "shuffled", "shuffled-bfv")
#: Tokens that a pass obtains: with two, a tie of greatest logits ends as in the program. By BFV
#: each costs as much as the rest of the pass.
_CHOICES = {"shuffled": 2, "shuffled-bfv": 1}

Integers = Mapping[str, NDArray[np.integer]]


@dataclass(frozen=True)
class Outcome:
    """How a pass ended: the token at the user, if it has a result at all."""

    done: bool
    token: int | None


class DealerSide(Protocol):
    """The dealer of one session."""

    def deal(self, start: int, rows: int, owner: Sink, user: Sink) -> tuple[Dealt, Dealt]:
        """Write both parties' material of one pass.

        Parameters
        ----------
        start, rows : int
            Position of the pass's first token, and how many it feeds.
        owner, user : Sink
            Where each party's material goes.
        """


class PartySide(Protocol):
    """The owner or the user of one session."""

    async def introduce(self) -> None:
        """Once, before the first pass."""

    async def ready(self, label: Label, material: Material) -> Any:
        """All of a pass that needs no input."""

    async def run(self, ready: Any, tokens: Sequence[int] = ()) -> Outcome:
        """The pass; ``tokens`` at the user."""


@dataclass(eq=False)
class _Secure:
    session: secure.PartySession

    async def introduce(self) -> None:
        """Nothing to say."""

    async def ready(self, label: Label, material: Material) -> Any:
        plan = _plan(self.session.engine, self.session.program, label.rows, label.start)
        return label, material, self.session.prepare(plan, material.seed)

    async def run(self, ready: Any, tokens: Sequence[int] = ()) -> Outcome:
        label, material, prepared = ready
        token = await self.session.run(label, material, tokens, prepared)
        return Outcome(self.session.fed == label.start + label.rows, token)


@dataclass(eq=False)
class _Shuffled:
    session: shuffled.PartySession

    async def introduce(self) -> None:
        await self.session.introduce()

    async def ready(self, label: Label, material: Material) -> Any:
        return await self.session.ready(label, material)

    async def run(self, ready: Any, tokens: Sequence[int] = ()) -> Outcome:
        return Outcome(True, await self.session.run(ready, tokens))


def check_mode(mode: str) -> str:
    """The mode, if there is one of this name.

    Raises
    ------
    UsageError
    """
    if mode not in MODES:
        raise UsageError(f"no mode {mode!r}; choose from {', '.join(MODES)}")
    return mode


def dealer(
    engine: Engine, mode: str, program: Program, weights: Mapping[str, Array], name: bytes
) -> DealerSide:
    """The dealer's session.

    Parameters
    ----------
    engine : Engine
        What computes.
    mode : str
        Name of the mode.
    program : Program
        Public part of the model.
    weights : mapping
        Masks of the weights, from :func:`veracity.mpc.weights.dealer_weights`.
    name : bytes
        The session's name.
    """
    if check_mode(mode) == "secure":
        return secure.DealerSession(engine, program, weights, name)
    return shuffled.DealerSession(engine, program, weights, name, _CHOICES[mode], _by_bfv(mode))


def party(
    engine: Engine,
    mode: str,
    index: int,
    program: Program,
    channel: Channel,
    weights: Integers,
    plain: Integers,
    registry: ReplayRegistry,
    name: bytes,
    pick: Pick = greedy,
) -> PartySide:
    """A party's session.

    Parameters
    ----------
    engine : Engine
        What computes.
    mode : str
        Name of the mode.
    index : int
        Owner or user.
    program : Program
        Public part of the model.
    channel : Channel
        To the other party.
    weights : mapping
        From ``owner_weights`` or ``user_weights``.
    plain : mapping
        The owner's integer weights; empty at the user.
    registry : ReplayRegistry
        Labels and seeds that were used.
    name : bytes
        The session's name.
    pick : callable
        Chooses among the logits at the user, where the mode shows them.

    Raises
    ------
    UsageError
    """
    if check_mode(mode) == "secure":
        if pick is not greedy:
            raise UsageError("answers in mode 'secure' are greedy; leave out --temperature")
        return _Secure(
            secure.PartySession(
                engine, index, program, channel, weights, plain, registry, name=name
            )
        )
    made = shuffled.PartySession(
        engine,
        index,
        program,
        channel,
        weights,
        plain,
        registry,
        _CHOICES[mode],
        _by_bfv(mode),
        pick,
        name,
    )
    return _Shuffled(made)


def price(engine: Engine, mode: str, program: Program, rows: int, start: int) -> Cost:
    """What a pass declares to cost.

    Parameters
    ----------
    engine : Engine
        What computes.
    mode : str
        Name of the mode.
    program : Program
        Public part of the model.
    rows : int
        Tokens that the pass feeds.
    start : int
        Tokens fed before.

    Raises
    ------
    UnsupportedModelError
        Where the mode cannot evaluate the program.
    BackendUnavailable
        Where it needs TenSEAL.
    """
    if check_mode(mode) == "secure":
        return _plan(engine, program, rows, start).cost
    return _steps(_Same(program, engine), _by_bfv(mode)).cost(Shape(rows, start, _CHOICES[mode]))


def _by_bfv(mode: str) -> bool:
    if mode == "shuffled-bfv":
        load_seal()
    return mode == "shuffled-bfv"


def _plan(engine: Engine, program: Program, rows: int, start: int) -> Plan:
    return _plan_of(_Same(program, engine), rows, start)


@dataclass(frozen=True, eq=False)
class _Same:
    """A program and an engine by their identity, so that plans can be remembered."""

    program: Program
    engine: Engine

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and (
            other.program is self.program and other.engine is self.engine
        )

    def __hash__(self) -> int:
        return hash((id(self.program), id(self.engine)))


@lru_cache(maxsize=4)
def _steps(key: _Same, homomorphic: bool) -> shuffled_plan.Plan:
    return shuffled_plan.compile_plan(key.program, homomorphic=homomorphic)


@lru_cache(maxsize=64)
def _plan_of(key: _Same, rows: int, start: int) -> Plan:
    return make_plan(key.engine, key.program, rows, start)
