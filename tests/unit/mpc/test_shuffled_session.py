"""Sessions of the shuffled mode: a real model's tokens, fresh material, and what is refused."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.programs import small_model
from tests.support.shuffled_parties import Parties, Pass, expected, stories
from veracity.engine import load_engine
from veracity.errors import PeerError, UsageError
from veracity.lm.text_decoder import logits as every_logit
from veracity.lm.text_decoder import vocabulary_of
from veracity.mpc.material import Material, MemorySink, ReplayRegistry
from veracity.mpc.sessions import Outcome
from veracity.mpc.shuffled import evaluate as passes
from veracity.mpc.shuffled.functions import Group
from veracity.mpc.shuffled.role import Shape
from veracity.mpc.shuffled.session import DealerSession, PartySession
from veracity.net import Channel

ENGINE = load_engine("cpu")

BIG = (16, 2, 2, 8, 24, 40)


def run(parties: Coroutine[Any, Any, Any]) -> Any:
    async def within() -> Any:
        async with asyncio.timeout(60):
            return await parties

    return asyncio.run(within())


def of(style: str = "llama", **options: Any) -> Parties:
    example = small_model(style, shape=BIG)
    return Parties(example.program, example.weights, **options)


# A real model.


def test_stories_tells_the_programs_hundred_tokens() -> None:
    model = stories()
    assert model.program is not None
    prompt = list(model.encode("Lily said"))
    want = expected(model.program, model.weights, prompt, 100)
    logits = np.sort(every_logit(model.program, model.weights, prompt + want[:-1]), axis=1)
    margins = (logits[:, -1] - logits[:, -2])[len(prompt) - 1 :]
    # Stochastic rounding moves a difference of logits by 5 units (standard deviation).
    assert margins.min() > 40, "calibration has changed: choose a prompt without near ties"
    parties = Parties(model.program, model.weights)

    async def tell() -> list[Pass]:
        done = [await parties.feed(prompt)]
        while len(done) < 100:
            done.append(await parties.feed([done[-1].token]))
        return done

    done = run(tell())
    assert [one.token for one in done] == want
    layers = 5
    for one in done:
        assert one.declared == one.measured
        assert one.hops == one.declared.one_way
        assert one.declared.round_trips <= 6 * layers + 3


# Freshness.


def test_no_two_passes_share_an_order_or_a_seed() -> None:
    parties = of()
    groups = [s for s in parties.plan.steps if isinstance(s, Group)]

    async def feed() -> list[Pass]:
        return [await parties.feed([3, 1, 4], start=0) for _ in range(6)]

    done = run(feed())
    seeds = {p.owner.stream.seed for p in done} | {p.user.stream.seed for p in done}
    assert len(seeds) == 12
    assert all(len(seed) == 32 for seed in seeds)
    orders = [tuple(one.order(group)) for one in done for group in groups]
    assert len(set(orders)) == len(orders)
    fresh = {one.owner.stream.fresh_seed(group.index, 0) for one in done for group in groups}
    assert len(fresh) == len(orders)
    assert {len(seed) for seed in fresh} == {32}


def test_earlier_positions_may_be_fed_again() -> None:
    example = small_model("llama", shape=BIG)
    parties = of()
    first, second = example.tokens[:3], [7, 9]

    async def feed() -> list[int]:
        await parties.feed(first)
        await parties.feed([5, 6, 8])
        return [(await parties.feed(second, start=3)).token]

    want = expected(example.program, example.weights, [*first, *second], 1)
    assert run(feed()) == want
    assert parties.user.fed == parties.owner.fed == parties.dealer.fed == 5


# What is refused.


def test_the_ledger_refuses_a_pass_that_was_used(tmp_path: Path) -> None:
    parties = of()
    parties.owner.registry = ReplayRegistry(tmp_path / "used")

    async def twice() -> None:
        (owner, ours), (user, theirs) = await parties.deal(2)
        ready = await asyncio.gather(
            parties.owner.ready(owner.label, ours()), parties.user.ready(user.label, theirs())
        )
        await asyncio.gather(parties.owner.run(ready[0]), parties.user.run(ready[1], [1, 2]))
        with pytest.raises(PeerError, match="another pass"):
            await parties.user.ready(user.label, theirs())
        # Not under another number, and not after a restart.
        with pytest.raises(UsageError, match="used before"):
            await parties.user.ready(replace(user.label, number=9), theirs())
        parties.owner.number = 0
        parties.owner.registry = ReplayRegistry(tmp_path / "used")
        with pytest.raises(UsageError, match="used before"):
            await parties.owner.ready(owner.label, ours())

    run(twice())


@pytest.mark.parametrize(
    "other",
    [
        {"model": bytes(32)},
        {"session": bytes(16)},
        {"party": 1},
        {"start": 4},
        {"rows": 65},
        {"number": 0},
    ],
)
def test_material_for_something_else_is_refused(other: dict[str, Any]) -> None:
    parties = of()

    async def offer() -> None:
        await parties.feed([1, 2])
        (owner, ours), _ = await parties.deal(1)
        with pytest.raises(PeerError, match="another pass"):
            await parties.owner.ready(replace(owner.label, **other), ours())

    run(offer())


@pytest.mark.parametrize("change", [-1, 1])
def test_material_of_another_size_is_refused(change: int) -> None:
    parties = of()

    async def offer() -> None:
        sinks = MemorySink(), MemorySink()
        _, dealt = parties.dealer.deal(0, 2, *sinks)
        pieces = sinks[1].join()
        pieces = pieces + b"x" if change > 0 else pieces[:-1]
        with pytest.raises(PeerError, match="material"):
            await parties.user.ready(dealt.label, Material(ENGINE.ring, dealt.seed, pieces))

    run(offer())


def test_the_dealer_keeps_to_the_order_of_positions() -> None:
    parties = of()
    sinks = MemorySink(), MemorySink()
    for start, rows in ((1, 1), (0, 0), (0, 65), (-1, 1)):
        with pytest.raises(PeerError, match="does not follow"):
            parties.dealer.deal(start, rows, *sinks)
    assert parties.dealer.number == 0


def test_passes_run_in_the_order_of_their_readiness() -> None:
    parties = of()

    async def swapped() -> None:
        _, first = await parties.ready(1)
        with pytest.raises(UsageError, match="do not fit"):
            await parties.user.run(first, [1, 2])
        parties.dealer.fed = 0
        await parties.ready(1)
        with pytest.raises(UsageError, match="order"):
            await parties.user.run(first, [1])

    run(swapped())


# Peers that misbehave.


def sized(parties: Parties, receiver: int) -> list[tuple[int, int]]:
    """Tag and size of every online message to a party in a pass of one token."""
    shape = Shape(1, 0, 2)
    return [
        (16 * step.index + part, size)
        for step in parties.plan.steps
        for part, (to, size) in enumerate(step.messages(shape))
        if to == receiver
    ]


@pytest.mark.parametrize("receiver", [0, 1])
@pytest.mark.parametrize("fault", ["short", "tag", "gone"])
def test_a_wrong_message_is_a_peer_error(receiver: int, fault: str) -> None:
    parties = of()
    end: Channel = parties.channels[1 - receiver]

    async def send() -> None:
        ready = await parties.ready(1)
        first = ready[receiver].side.peer.first
        tag, size = sized(parties, receiver)[0]
        if fault == "gone":
            await end.close()
        else:
            await end.send(
                first + tag + (fault == "tag"), secrets.token_bytes(size - (fault == "short"))
            )
        side = (parties.owner, parties.user)[receiver]
        with pytest.raises(PeerError):
            await side.run(ready[receiver], [1] if receiver else [])

    run(send())


def test_garbage_ahead_is_a_peer_error() -> None:
    parties = of()

    async def send() -> None:
        (owner, ours), _ = await parties.deal(1)
        await parties.channels[1].send(2, b"nothing like it")
        with pytest.raises(PeerError):
            await parties.owner.ready(owner.label, ours())

    run(send())


def test_a_user_gets_no_token_outside_the_vocabulary_from_garbage() -> None:
    # The owner's last message is noise: every word decodes to something, or the user complains.
    parties = of(choices=1)
    vocab = vocabulary_of(parties.dealer.program)

    async def once() -> int | None:
        ready = await parties.ready(1)
        owner, _ = parties.channels
        real = owner.send

        async def noisy(tag: int, data: Any, **options: Any) -> None:
            last = ready[0].side.peer.tag(parties.plan.steps[-1].index, 2)
            await real(tag, secrets.token_bytes(len(data)) if tag == last else data, **options)

        owner.send = noisy  # type: ignore[method-assign]
        _, outcome = await asyncio.gather(
            parties.owner.run(ready[0]), parties.user.run(ready[1], [1]), return_exceptions=True
        )
        assert not isinstance(outcome, Exception) or isinstance(outcome, PeerError)
        return outcome.token if isinstance(outcome, Outcome) else None

    for _ in range(5):
        parties = of(choices=1)
        token = run(once())
        assert token is None or 0 <= token < vocab


def test_both_roles_declare_what_the_dealer_hands_out() -> None:
    example = small_model("gpt2", shape=BIG)
    parties = Parties(example.program, example.weights)
    assert isinstance(parties.dealer, DealerSession)
    assert isinstance(parties.owner, PartySession)
    sinks = MemorySink(), MemorySink()
    owner, user = parties.dealer.deal(0, 3, *sinks)
    sizes = passes.piece_bytes(parties.plan, Shape(3, 0, 2))
    assert (owner.size, user.size) == sizes == (len(sinks[0].join()), len(sinks[1].join()))
