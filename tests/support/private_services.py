"""What the tests of the private services share: small models, modes, a party that says hello."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.private_parties import Three
from tests.support.programs import Example, small_model
from veracity.lm.generate import generate
from veracity.mpc.token_selection import seal
from veracity.mpc.weights import seed_digest
from veracity.net import Channel
from veracity.private.parties.wire import (
    PROTOCOL,
    MessageTag,
    receive_object,
    send_object,
)

SHAPE = (8, 2, 2, 4, 12, 40)
MODES = pytest.mark.parametrize("mode", ["secure", "shuffled"])
ALL = pytest.mark.parametrize(
    "mode",
    [
        "secure",
        "shuffled",
        pytest.param(
            "shuffled-bfv",
            marks=pytest.mark.skipif(not seal.available(), reason="needs TenSEAL: 'veracity[he]'"),
        ),
    ],
)


def model(style: str = "llama") -> Example:
    return small_model(style, shape=SHAPE)


def greedy(example: Example, prompt: list[int], count: int) -> list[int]:
    return generate(example.program, example.weights, prompt, count)


async def hello(parties: Three, party: str, session: str, **more: Any) -> Channel:
    channel = await parties.call(parties.dealer_port, "dealer")
    await send_object(
        channel,
        MessageTag.HELLO,
        **{"protocol": PROTOCOL, "party": party, "session": session, **more},
    )
    return channel


def order(example: Example, **more: Any) -> dict[str, Any]:
    fields = {
        "mode": "shuffled",
        "program": example.program.digest,
        "masks": seed_digest(bytes(32)).hex(),
        "rows": 2,
        "passes": 2,
    }
    return {**fields, **more}


async def register(parties: Three, session: str, seed: bytes = bytes(32), **more: Any) -> Channel:
    channel = await hello(parties, "owner", session)
    await send_object(channel, MessageTag.ASK, **order(parties.example, **more))
    program = parties.example.program.to_json().encode()
    if not (await receive_object(channel, MessageTag.ANSWER, {"known": bool}))["known"]:
        await send_object(channel, MessageTag.ASK, program_bytes=len(program), seed=seed.hex())
        await channel.send(MessageTag.CHUNK, program)
    await receive_object(channel, MessageTag.ANSWER, {"ok": bool})
    return channel


def parties_busy(parties: Three) -> int:
    return len(parties.dealer._sessions)
