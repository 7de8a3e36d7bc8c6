"""Messages between services: what a dealer and a user refuse."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.private_parties import run, three
from tests.support.private_services import hello, model, order, parties_busy, register
from veracity.errors import PeerError
from veracity.mpc.weights import largest_masked_bytes, masked_bytes, seed_digest
from veracity.net import pair
from veracity.private.parties.dealer import DealerLimits
from veracity.private.parties.handshake import exchange_hellos, fetch_card, fetch_weights
from veracity.private.parties.preprocessing_client import (
    ACCEPT,
    HEADER,
    REQUEST,
    Kind,
    PreprocessingClient,
)
from veracity.private.parties.spool import Spool
from veracity.private.parties.weights import WeightCache
from veracity.private.parties.wire import (
    CHUNK,
    PROTOCOL,
    MessageTag,
    chunks_of,
    receive_object,
    send_object,
)


def test_what_a_dealer_refuses(tmp_path: Path) -> None:
    example = model()
    name = "ab" * 16

    async def session() -> None:
        limits = DealerLimits(passes=5, idle=5)
        async with three(example, "shuffled", tmp_path, dealer_limits=limits) as parties:
            stranger = await hello(parties, "user", name)
            with pytest.raises(PeerError, match="no such session"):
                await receive_object(stranger, MessageTag.ANSWER, {"ok": bool})
            newer = await hello(parties, "user", name, protocol=PROTOCOL + 1)
            with pytest.raises(PeerError, match="another version"):
                await receive_object(newer, MessageTag.ANSWER, {"ok": bool})
            with pytest.raises(PeerError):
                await register(parties, "cd" * 16, seed=b"z" * 32)  # not the seed it named
            for more in ({"rows": 0}, {"passes": 6}, {"rows": 10**6}):
                with pytest.raises(PeerError, match="longer than"):
                    await register(parties, os.urandom(16).hex(), **more)
            owner = await register(parties, name)
            with pytest.raises(PeerError, match="used before"):
                again = await hello(parties, "owner", name)
                await send_object(again, MessageTag.ASK, **order(example))
                await receive_object(again, MessageTag.ANSWER, {"known": bool})
            user = await hello(parties, "user", name)
            await receive_object(user, MessageTag.ANSWER, {"ok": bool})
            await user.send(MessageTag.REQUEST, REQUEST.pack(0, 1))  # not in order
            with pytest.raises(PeerError, match="in order"):
                await user.receive(MessageTag.HEADER, HEADER.size)
            await owner.send(MessageTag.REQUEST, REQUEST.pack(0, 0))
            with pytest.raises(PeerError):  # the user has left
                while True:
                    await owner.receive(MessageTag.HEADER, HEADER.size)

    run(session())


def test_nobody_repeats_what_the_other_party_does_not_have(tmp_path: Path) -> None:
    """It would be told that its own material is of an epoch that has passed, and wait."""

    async def session() -> None:
        async with three(model(), "shuffled", tmp_path, timeout=5) as parties:
            name = "ab" * 16
            owner = await register(parties, name)
            user = await hello(parties, "user", name)
            await receive_object(user, MessageTag.ANSWER, {"ok": bool})
            await owner.send(MessageTag.REQUEST, REQUEST.pack(0, 0))
            kind, _, _, size, *_ = HEADER.unpack(
                await owner.receive(MessageTag.HEADER, HEADER.size)
            )
            assert kind == Kind.MATERIAL
            await owner.send(MessageTag.ACCEPT, ACCEPT.pack(size))
            while kind != Kind.END:
                header = await owner.receive(MessageTag.HEADER, HEADER.size)
                kind, _, _, size, *_ = HEADER.unpack(header)
                if kind == Kind.PART:
                    await owner.receive(MessageTag.CHUNK, size)
            await owner.send(MessageTag.ACCEPT, ACCEPT.pack(0))
            await owner.send(MessageTag.REQUEST, REQUEST.pack(1, 0))
            with pytest.raises(PeerError, match="the other party does not have"):
                await owner.receive(MessageTag.HEADER, HEADER.size)

    run(session())


def test_a_party_waits_for_nothing_that_the_other_repeats(tmp_path: Path) -> None:
    """A dealer says that a pass is repeated, which had a result here."""

    async def session() -> None:
        ours, dealer = pair()
        client = PreprocessingClient(ours, Spool(tmp_path, 1 << 20), [(0, 1), (1, 1)], 8)
        client.start()
        stale = HEADER.pack(Kind.STALE, b"", b"", 0, 0, 0)
        assert await dealer.receive(MessageTag.REQUEST, REQUEST.size) == REQUEST.pack(0, 0)
        await dealer.send(MessageTag.HEADER, stale)
        for waiting in (client.next(), client.full(1)):
            with pytest.raises(PeerError, match="repeats a pass"):
                await waiting
        await client.repeat(0)  # as an honest party does at last
        assert await dealer.receive(MessageTag.REQUEST, REQUEST.size) == REQUEST.pack(1, 0)
        await client.close()

    run(session())


def test_a_pass_over_the_dealers_cap_is_refused(tmp_path: Path) -> None:
    async def session() -> None:
        limits = DealerLimits(disk=1000, idle=5)
        async with three(model(), "secure", tmp_path, dealer_limits=limits) as parties:
            with pytest.raises(PeerError, match="--cap"):
                await parties.ask([1, 2], 1)

    run(session())


def test_a_dealer_forgets_models_that_nobody_uses(tmp_path: Path) -> None:
    """Room for the masks of one model: another one takes its place, but not during a session."""
    example = model()
    size, largest = masked_bytes(example.program), largest_masked_bytes(example.program)

    async def session() -> None:
        small = DealerLimits(memory=largest - 1)
        async with three(example, "secure", tmp_path, dealer_limits=small, timeout=5) as parties:
            with pytest.raises(PeerError, match="--memory"):
                await parties.ask([1, 2], 1)
        one = DealerLimits(memory=size)
        async with three(example, "secure", tmp_path, dealer_limits=one, timeout=5) as parties:
            first = parties.owner.seed
            async with parties.session(2, 2) as (user, _):
                await user.feed([1, 2])
                parties.owner.seed = bytes(32)
                with pytest.raises(PeerError, match="--memory"):
                    await parties.ask([1, 2], 1)
                await user.feed([3])
            while parties_busy(parties):
                await asyncio.sleep(0.01)
            with suppress(PeerError):  # the user's weights are under the first masks: noise
                await parties.ask([1, 2], 1)
            assert [key[32:] for key in parties.dealer._models] == [seed_digest(bytes(32))]
            assert first != bytes(32)

    run(session())


GARBAGE = [b"", b"{}", b"[]", b"null", b'{"protocol": 1}', b'{"protocol":true}', b"\xff" * 64]


@pytest.mark.parametrize("data", [*GARBAGE, b'{"protocol":-1}', b'{"a":1,"protocol":1}'])
def test_messages_that_do_not_parse(data: bytes) -> None:
    async def session() -> None:
        near, far = pair(timeout=5)
        await far.send(MessageTag.HELLO, data)
        with pytest.raises(PeerError, match="parse"):
            await receive_object(near, MessageTag.HELLO, {"protocol": int})

    run(session())


HELLO = {
    "protocol": PROTOCOL, "mode": "secure", "name": "x", "card": "00" * 32, "card_bytes": 9,
    "weights": "00" * 32,
}  # fmt: skip


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("protocol", 1), ("mode", "open"), ("name", 7), ("name", "a\nb"),
        ("name", "\u202ea"), ("name", "n" * 201), ("card", "00"), ("card", "0G" * 32),
        ("card_bytes", 0), ("card_bytes", 1 << 40), ("weights", ""), ("more", 1),
    ],
)  # fmt: skip
def test_an_owner_that_says_what_cannot_be(field: str, value: object) -> None:
    async def session() -> None:
        near, far = pair(timeout=5)
        await send_object(far, MessageTag.HELLO, **{**HELLO, field: value})
        with pytest.raises(PeerError):
            await exchange_hellos(near)

    run(session())


def test_an_owner_that_sends_other_files_than_it_named(tmp_path: Path) -> None:
    program = model().program

    async def session() -> None:
        near, far = pair(timeout=5)
        await send_object(far, MessageTag.HELLO, **HELLO)
        offer = await exchange_hellos(near)
        await far.send(MessageTag.CHUNK, b"x" * 9)
        with pytest.raises(PeerError, match="another card"):
            await fetch_card(near, offer)
        kept = WeightCache(tmp_path / "kept", program, offer.weights)
        await far.send(MessageTag.CHUNK, b"x" * 9)
        with pytest.raises(PeerError, match="9 bytes"):
            await fetch_weights(near, program, kept, lambda *_: None)
        assert not kept.there
        assert list((tmp_path / "kept").iterdir()) == []

    run(session())


def test_chunks() -> None:
    assert list(chunks_of(0)) == []
    assert list(chunks_of(CHUNK + 3)) == [CHUNK, 3]
