"""A user meets an owner: what is on offer, the public card, the masked weights."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from veracity.errors import PeerError
from veracity.graph.program import Program
from veracity.mpc import modes
from veracity.mpc.weights import masked_bytes
from veracity.net import Channel
from veracity.private.parties.weights import Kept
from veracity.private.parties.wire import PROTOCOL, Step, digest_of, hear, hear_chunks, tell

__all__ = ["Offer", "fetch_card", "fetch_weights", "meet"]

#: Bytes of a card: a program without weights and a tokenizer.
CARD_LIMIT = 1 << 26
Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Offer:
    """What an owner says about itself before a session.

    Parameters
    ----------
    mode, name : str
        How it evaluates, and its model's name for people.
    card, masks : bytes
        SHA-256 of the public card; name of the masks of its weights.
    card_bytes : int
        Size of the card.
    """

    mode: str
    name: str
    card: bytes
    masks: bytes
    card_bytes: int


async def meet(channel: Channel) -> Offer:
    """Say hello to an owner.

    Raises
    ------
    PeerError
    """
    await tell(channel, Step.HELLO, protocol=PROTOCOL)
    fields = {
        "protocol": int, "mode": str, "name": str, "card": str, "card_bytes": int, "masks": str,
    }  # fmt: skip
    hello = await hear(channel, Step.HELLO, fields)
    if hello["protocol"] != PROTOCOL or hello["mode"] not in modes.MODES:
        raise PeerError("the owner speaks another version of the services' protocol")
    if not 0 < hello["card_bytes"] <= CARD_LIMIT:
        raise PeerError("the owner's card has a size that cannot be")
    digests = [digest_of(hello, name) for name in ("card", "masks")]
    return Offer(hello["mode"], hello["name"], digests[0], digests[1], hello["card_bytes"])


async def fetch_card(channel: Channel, offer: Offer) -> bytes:
    """The public card, with the digest that the owner named.

    Raises
    ------
    PeerError
    """
    await tell(channel, Step.ASK, what="card", rows=0, passes=0)
    data = bytearray()
    async for part in hear_chunks(channel, offer.card_bytes):
        data += part
    if hashlib.sha256(data).digest() != offer.card:
        raise PeerError("the owner sent another card than it named")
    return bytes(data)


async def fetch_weights(channel: Channel, program: Program, kept: Kept, progress: Progress) -> int:
    """The masked weights, unless they are there; returns the bytes that came.

    Parameters
    ----------
    channel : Channel
        To the owner.
    program : Program
        Public part of the model.
    kept : Kept
        Where they are kept.
    progress : Progress
        Called as they arrive.

    Raises
    ------
    PeerError, UsageError
    """
    if kept.there:
        return 0
    size, done = masked_bytes(program), 0
    await tell(channel, Step.ASK, what="weights", rows=0, passes=0)
    with kept.filled() as out:
        async for part in hear_chunks(channel, size):
            out.write(part)
            done += len(part)
            progress("weights", done / size)
    return size
