"""Owner, user and dealer of the shuffled mode in one process, with what each of them sees."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from veracity.graph import Program
from veracity.graph.evaluate import State, step
from veracity.mpc.choice.homomorphic import Holder, Parameters, Taker
from veracity.mpc.cost import Cost
from veracity.mpc.shuffled import passes
from veracity.mpc.shuffled.group import Group
from veracity.mpc.shuffled.head import greedy
from veracity.mpc.shuffled.plan import Plan, compile_plan
from veracity.mpc.shuffled.steps import Message, Online, Owner, Shape, User
from veracity.mpc.transport import Channel, Traffic, pair


@dataclass(frozen=True)
class Tap(Online):
    """The other party, with what it sends by step and part: ``(arrays, bits)``."""

    seen: dict[tuple[int, int], list[tuple[NDArray[np.uint64], int]]] = field(default_factory=dict)

    async def receive(self, step: int, part: int, sizes: Message) -> list[NDArray[np.uint64]]:
        arrays = await super().receive(step, part, sizes)
        bits = [size.bits for size in sizes]
        self.seen[step, part] = [(a.copy(), b) for a, b in zip(arrays, bits, strict=True)]
        return arrays


@dataclass
class Pass:
    """One pass: what was declared, what travelled, what each party received online."""

    shape: Shape
    token: int
    declared: Cost
    measured: Cost
    hops: int
    owner_seen: dict[tuple[int, int], list[tuple[NDArray[np.uint64], int]]]
    user_seen: dict[tuple[int, int], list[tuple[NDArray[np.uint64], int]]]
    ahead: bytes
    user: User
    owner: Owner

    def order(self, group: Group) -> NDArray[np.int64]:
        """The order that only the owner and the dealer know."""
        return group._order(self.owner.stream, self.shape)

    def clear(self, group: Group) -> dict[str, NDArray[np.int64]]:
        """What the user saw of a group's inputs: permuted, in the clear."""
        return group.clear(self.user, [array for array, _ in self.user_seen[group.index, 0]])


class Parties:
    """A model set up between the three, and one session of it."""

    def __init__(
        self,
        program: Program,
        weights: Mapping[str, NDArray[np.integer]],
        *,
        choices: int = 2,
        homomorphic: bool = False,
        pick: Callable[[NDArray[np.int64]], NDArray[np.int64]] = greedy,
    ) -> None:
        self.plan: Plan = compile_plan(program, homomorphic=homomorphic)
        self.weights = passes.owner_weights(self.plan, weights)
        seed = secrets.token_bytes(32)
        self.masks = {
            s.key: passes.mask_weight(seed, i, s) for i, s in enumerate(self.plan.secrets)
        }
        self.masked = {
            s.key: passes.masked_weight(self.weights, s, self.masks[s.key])
            for s in self.plan.secrets
        }
        self.choices, self.pick = choices, pick
        self.memories: tuple[dict, dict, dict] = ({}, {}, {})
        self.position = self.first_tag = 0
        self.channels: tuple[Channel, Channel] | None = None
        self.ends: tuple[Holder | None, Taker | None] = (None, None)
        if homomorphic:
            parameters = Parameters(program.vocab)
            self.ends = Holder(parameters), Taker(parameters)

    async def feed(self, tokens: Sequence[int]) -> Pass:
        """One pass, offline and online."""
        if self.channels is None:
            self.channels = pair()
            if self.ends[0] is not None and self.ends[1] is not None:
                await asyncio.gather(
                    self.ends[0].meet(self.channels[0], 1 << 20),
                    self.ends[1].introduce(self.channels[1], 1 << 20),
                )
        plan, (a, b) = self.plan, self.channels
        shape = Shape(len(tokens), self.position, self.choices)
        seeds = secrets.token_bytes(32), secrets.token_bytes(32)
        dealer_memory, owner_memory, user_memory = self.memories
        pieces = passes.deal_pass(plan, shape, seeds, self.masks, dealer_memory)
        user, ahead = passes.prepare_user(
            plan, shape, seeds[1], pieces[1], self.masked, user_memory,
            pick=self.pick, taker=self.ends[1],
        )  # fmt: skip
        tap_owner, tap_user = Tap(a, self.first_tag), Tap(b, self.first_tag)
        owner = passes.prepare_owner(
            plan, shape, seeds[0], pieces[0], ahead, self.weights, owner_memory,
            tap_owner, self.ends[0],
        )  # fmt: skip
        before = a.traffic, b.traffic
        _, token = await asyncio.gather(
            passes.run_owner(plan, owner), passes.run_user(plan, user, tap_user, tokens)
        )
        up, down = a.traffic - before[0], b.traffic - before[1]
        self.position += len(tokens)
        self.first_tag += plan.tags
        measured = _cost(up, down, len(pieces[0]) + len(ahead), len(pieces[1]))
        hops = max(up.hops, down.hops)
        return Pass(
            shape,
            token,
            plan.cost(shape),
            measured,
            hops,
            tap_owner.seen,
            tap_user.seen,
            ahead,
            user,
            owner,
        )

    def group_of(self, op: str) -> Group:
        """The group that evaluates an op."""
        return next(
            s for s in self.plan.steps if isinstance(s, Group) and op in {o.name for o in s.ops}
        )


def _cost(up: Traffic, down: Traffic, owner: int, user: int) -> Cost:
    return Cost(
        one_way=up.sent_messages + down.sent_messages,
        bytes_to_owner=up.received_bytes,
        bytes_to_user=down.received_bytes,
        offline_bytes_owner=owner,
        offline_bytes_user=user,
    )


def told(
    parties: Parties, prompt: Sequence[int], following: Sequence[int]
) -> tuple[list[int], list[Pass]]:
    """Tokens after the prompt and after each of ``following``, in one session."""

    async def run() -> list[Pass]:
        async with asyncio.timeout(120):
            done = [await parties.feed(prompt)]
            for token in following:
                done.append(await parties.feed([token]))
            return done

    done = asyncio.run(run())
    return [p.token for p in done], done


def expected(
    program: Program, weights: Mapping[str, NDArray[np.integer]], prompt: Sequence[int], count: int
) -> list[int]:
    """The integer program's own greedy tokens."""
    state, feed, out = State(), list(prompt), []
    for _ in range(count):
        out.append(step(program, weights, feed, state))
        feed = out[-1:]
    return out
