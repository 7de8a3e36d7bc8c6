"""Parties who die, stall or send garbage, and services that live on."""

from __future__ import annotations

import asyncio
import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.private_parties import PLAIN, Three, run, three
from tests.support.private_services import MODES, model, parties_busy
from veracity.errors import PeerError, VeracityError
from veracity.net import Channel, connect
from veracity.private.parties.owner import ServiceLimits
from veracity.private.parties.wire import (
    PROTOCOL,
    MessageTag,
    send_object,
)


async def dies_in_a_pass(parties: Three) -> None:
    """The user's connection ends right after the first message of its second pass."""
    async with parties.session(2, 3) as (session, _):
        await session.feed([1, 2])
        write = session.owner._link._write

        def last_words(*message: Any) -> None:
            write(*message)
            session.owner.abort()

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(session.owner._link, "_write", last_words)
            with pytest.raises(VeracityError):
                await session.feed([3])


async def stalls_in_a_pass(parties: Three) -> None:
    async with parties.session(2, 3) as (session, _):
        await session.ready()  # and then says nothing
        while parties_busy(parties):
            await asyncio.sleep(0.01)


async def speaks_garbage(parties: Three) -> None:
    channel = await parties.call(parties.server_port, "owner")
    await channel.send(MessageTag.HELLO, os.urandom(100))
    with pytest.raises(PeerError):
        await channel.receive(MessageTag.HELLO, 10)


async def garbage_in_a_pass(parties: Three) -> None:
    async with parties.session(2, 3) as (session, _):
        await session.ready()
        await session.owner.send(77, os.urandom(500))
        with pytest.raises(PeerError):
            await session.feed([1, 2])


async def leaves_at_once(parties: Three) -> None:
    channel = await parties.call(parties.server_port, "owner")
    channel.abort()


async def asks_for_too_much(parties: Three) -> None:
    with pytest.raises(PeerError, match="context"):
        await parties.ask([1] * 40, 10**6)


async def wants_what_is_not(parties: Three) -> None:
    channel = await parties.call(parties.server_port, "owner")
    await send_object(channel, MessageTag.HELLO, protocol=PROTOCOL)
    await channel.receive_up_to(MessageTag.HELLO, 4096)
    await send_object(channel, MessageTag.ASK, what="the weights in clear", rows=0, passes=0)
    with pytest.raises(PeerError):
        await channel.receive(MessageTag.ANSWER, 1)


BAD = {f.__name__: f for f in (
    dies_in_a_pass, stalls_in_a_pass, speaks_garbage, garbage_in_a_pass, leaves_at_once,
    asks_for_too_much, wants_what_is_not,
)}  # fmt: skip


@MODES
@pytest.mark.parametrize("how", BAD)
def test_a_bad_client_does_not_take_the_services_down(mode: str, how: str, tmp_path: Path) -> None:
    """A client beside it and one after it get their answers; nothing of its session is left."""
    example = model()

    async def session() -> None:
        # An owner waits so long for a message: too short, and a busy machine ends honest sessions.
        limits = ServiceLimits(idle=3 if how == "stalls_in_a_pass" else 60)
        async with three(example, mode, tmp_path, limits=limits, timeout=60) as parties:
            beside = asyncio.create_task(parties.ask(example.tokens[:3], 3))
            await BAD[how](parties)
            assert len((await beside).tokens) == 3
            assert len((await parties.ask(example.tokens[:3], 2)).tokens) == 2
            while parties_busy(parties):
                await asyncio.sleep(0.01)

    run(session())


@MODES
def test_the_dealer_dies(mode: str, tmp_path: Path) -> None:
    """What has been dealt is still good; then the user is told who is missing."""
    example = model()

    async def session() -> None:
        limits = ServiceLimits(idle=5, ahead=1)
        async with (
            three(example, mode, tmp_path, limits=limits, timeout=5) as parties,
            parties.session(2, 8) as (user, _),
        ):
            token = await user.feed([1, 2])
            await asyncio.gather(*(s.leave() for s in list(parties.dealer._sessions.values())))
            with pytest.raises(PeerError, match=r"left|material|ended|closed"):
                for _ in range(7):
                    token = await user.feed([token])

    run(session())


def test_without_a_dealer_there_is_no_session(tmp_path: Path) -> None:
    async def session() -> None:
        async with three(model(), "secure", tmp_path, timeout=5) as parties:

            async def nobody() -> Channel:
                return await connect("127.0.0.1", 1, peer="dealer", timeout=1, **PLAIN)

            parties.owner.dealer = nobody
            with pytest.raises(PeerError, match="has no dealer"):
                await parties.ask([1, 2], 1)

    run(session())


def test_errors_of_a_service_name_nothing_secret(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    example = model()
    caplog.set_level("DEBUG")

    async def session() -> bytes:
        async with three(example, "secure", tmp_path, timeout=5) as parties:
            await parties.ask(example.tokens[:3], 2)
            await garbage_in_a_pass(parties)
            return parties.owner.seed

    seed = run(session())
    assert "prompt of 3 tokens" in caplog.text
    assert seed.hex() not in caplog.text
    assert hashlib.sha256(seed).hexdigest() not in caplog.text
    assert str(example.tokens[:3]) not in caplog.text
