"""What the tests of parties over real sockets share: a server that echoes."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from veracity.net import Channel, Identity

PLAIN = {"identity": None, "insecure": True}
Identities = dict[str, Identity]


def run(session: Coroutine[Any, Any, Any], seconds: float = 20) -> Any:
    async def within() -> Any:
        async with asyncio.timeout(seconds):
            return await session

    return asyncio.run(within())


async def echo(channel: Channel) -> None:
    """Give back messages of 1000 bytes until the client leaves."""
    while True:
        await channel.send(1, await channel.receive(1, 1000))


async def asks(channel: Channel, letter: bytes = b"x") -> None:
    assert await channel.exchange(1, letter * 1000) == letter * 1000
