"""A user meets an owner: what is on offer, the public card, the masked weights."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from veracity.errors import PeerError
from veracity.graph.program import Program
from veracity.mpc.modes import MODES
from veracity.mpc.weights import masked_bytes
from veracity.net import Channel
from veracity.private.parties.weights import WeightCache
from veracity.private.parties.wire import (
    PROTOCOL,
    MessageTag,
    digest_of,
    receive_chunks,
    receive_object,
    send_object,
)

__all__ = ["ServerInfo", "exchange_hellos", "fetch_card", "fetch_weights"]

#: Bytes of a card: a program without weights and a tokenizer.
CARD_LIMIT = 1 << 26
#: Most characters of a model's name.
MAX_NAME = 200
Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class ServerInfo:
    """What an owner says about itself before a session.

    Parameters
    ----------
    mode, name : str
        How it evaluates, and its model's name for people.
    card, weights : bytes
        SHA-256 of the public card, and of the masked weights.
    card_bytes : int
        Size of the card.
    """

    mode: str
    name: str
    card: bytes
    weights: bytes
    card_bytes: int


async def exchange_hellos(channel: Channel) -> ServerInfo:
    """Say hello to an owner.

    Raises
    ------
    PeerError
    """
    await send_object(channel, MessageTag.HELLO, protocol=PROTOCOL)
    fields = {
        "protocol": int, "mode": str, "name": str, "card": str, "card_bytes": int, "weights": str,
    }  # fmt: skip
    hello = await receive_object(channel, MessageTag.HELLO, fields)
    if hello["protocol"] != PROTOCOL or hello["mode"] not in MODES:
        raise PeerError("the owner speaks another version of the services' protocol")
    if not hello["name"].isprintable() or len(hello["name"]) > MAX_NAME:
        raise PeerError("the owner calls its model something that cannot be shown")
    if not 0 < hello["card_bytes"] <= CARD_LIMIT:
        raise PeerError("the owner's card has a size that cannot be")
    digests = [digest_of(hello, name) for name in ("card", "weights")]
    return ServerInfo(hello["mode"], hello["name"], digests[0], digests[1], hello["card_bytes"])


async def fetch_card(channel: Channel, info: ServerInfo) -> bytes:
    """The public card, with the digest that the owner named.

    Raises
    ------
    PeerError
    """
    await send_object(channel, MessageTag.ASK, what="card", rows=0, passes=0)
    data = bytearray()
    async for part in receive_chunks(channel, info.card_bytes):
        data += part
    if hashlib.sha256(data).digest() != info.card:
        raise PeerError("the owner sent another card than it named")
    return bytes(data)


async def fetch_weights(
    channel: Channel, program: Program, weight_cache: WeightCache, progress: Progress
) -> int:
    """The masked weights, unless they are there; returns the bytes that came.

    Parameters
    ----------
    channel : Channel
        To the owner.
    program : Program
        Public part of the model.
    weight_cache : WeightCache
        Where they are kept.
    progress : Progress
        Called as they arrive.

    Raises
    ------
    PeerError, UsageError
    """
    if weight_cache.there:
        return 0
    size, done, found = masked_bytes(program), 0, hashlib.sha256()
    await send_object(channel, MessageTag.ASK, what="weights", rows=0, passes=0)
    with weight_cache.filled() as out:
        async for part in receive_chunks(channel, size):
            out.write(part)
            found.update(part)
            done += len(part)
            progress("weights", done / size)
        if found.digest() != weight_cache.digest:
            raise PeerError("the owner sent other weights than it named")
    return size
