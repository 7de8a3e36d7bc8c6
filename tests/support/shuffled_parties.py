"""Owner, user and dealer of the shuffled mode in one process, with what each of them sees."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.engine import Engine, load_engine
from veracity.formats.program import ProgramFile, load_program_file
from veracity.frontends import calibrate, import_model
from veracity.graph import Program, State
from veracity.lm.text_decoder import step
from veracity.mpc import weights as weights_of
from veracity.mpc.cost import Cost
from veracity.mpc.material import Material, MemorySink
from veracity.mpc.party import OWNER, USER
from veracity.mpc.sessions import Dealt, Ready
from veracity.mpc.shuffled import evaluate as passes
from veracity.mpc.shuffled.functions import Group
from veracity.mpc.shuffled.packing import join
from veracity.mpc.shuffled.plan import Plan
from veracity.mpc.shuffled.role import Message, Online, Owner, Shape, User
from veracity.mpc.shuffled.session import DealerSession, PartySession
from veracity.mpc.token_selection.pick import greedy
from veracity.net import Traffic, pair

ENGINE = load_engine("cpu")


@cache
def stories() -> ProgramFile:
    """stories260K, imported and calibrated; once per run of the tests."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "stories.vprog"
        import_model("stories260k", path)
        calibrate(path)
        return load_program_file(path)


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
        return group.order(self.owner.stream, self.shape)

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
        engines: tuple[Engine, Engine, Engine] = (ENGINE,) * 3,  # dealer, owner, user
    ) -> None:
        seed = secrets.token_bytes(32)
        self.weights = weights
        self.masks = weights_of.MaskTable(ENGINE.ring, program, seed)
        sent = weights_of.masked_weights(ENGINE.ring, program, weights, seed)
        self.masked = weights_of.user_weights(program, sent)
        options: dict[str, Any] = {"choices": choices, "homomorphic": homomorphic}
        self.dealer = DealerSession(engines[0], program, self.masks, **options)
        self.plan: Plan = self.dealer.plan
        self.channels = pair()
        a, b = self.channels
        self.owner = PartySession(
            engines[1],
            OWNER,
            program,
            a,
            weights_of.owner_weights(program, weights),
            weights,
            **options,
        )
        self.user = PartySession(engines[2], USER, program, b, self.masked, pick=pick, **options)
        self.introduced = not homomorphic

    async def deal(
        self, rows: int, start: int | None = None
    ) -> list[tuple[Dealt, Callable[[], Material]]]:
        """Material of one more pass for the owner and for the user."""
        sinks = MemorySink(), MemorySink()
        start = self.dealer.fed if start is None else start
        dealt = self.dealer.deal(start, rows, *sinks)
        return [
            (d, partial(Material, ENGINE.ring, d.seed, s.join()))
            for d, s in zip(dealt, sinks, strict=True)
        ]

    async def introduce(self) -> None:
        """What happens once per session."""
        if not self.introduced:
            self.introduced = True
            await asyncio.gather(self.owner.introduce(), self.user.introduce())

    async def ready(self, rows: int, start: int | None = None) -> tuple[Ready, Ready]:
        """The offline phase of one pass."""
        await self.introduce()
        (to_owner, ours), (to_user, theirs) = await self.deal(rows, start)
        return await asyncio.gather(
            self.owner.ready(to_owner.label, ours()), self.user.ready(to_user.label, theirs())
        )

    async def feed(self, tokens: Sequence[int], start: int | None = None) -> Pass:
        """One pass, offline and online."""
        a, b = self.channels
        await self.introduce()
        early = a.traffic
        ours, theirs = await self.ready(len(tokens), start)
        early = a.traffic - early
        one, two = ours.side, theirs.side
        assert isinstance(one.role, Owner)
        assert isinstance(two.role, User)
        taps = Tap(ENGINE.ring, a, one.peer.first), Tap(ENGINE.ring, b, two.peer.first)
        one.role.peer = taps[0]
        tapped = replace(theirs, side=replace(two, peer=taps[1]))
        before = a.traffic, b.traffic
        declared = self.user.declared, self.owner.declared
        _, outcome = await asyncio.gather(self.owner.run(ours), self.user.run(tapped, tokens))
        assert outcome.token is not None
        up, down = a.traffic - before[0], b.traffic - before[1]
        cost = self.owner.cost(len(tokens), ours.label.start)
        for party, earlier in zip((self.user, self.owner), declared, strict=True):
            assert party.declared == earlier + cost
        pieces = passes.piece_bytes(self.plan, one.shape)
        ahead = join(ENGINE.ring, two.role.ahead)
        assert (early.received_messages, early.received_bytes) == (1, len(ahead))
        return Pass(
            one.shape,
            outcome.token,
            cost,
            _cost(up, down, pieces[0] + len(ahead), pieces[1]),
            max(up.hops, down.hops),
            taps[0].seen,
            taps[1].seen,
            ahead,
            two.role,
            one.role,
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
