"""1-of-V oblivious transfer with pads from the dealer.

Offline the dealer gives the owner V random pads (a seed) and the user a random place ``k`` (a seed)
with the pad at that place (b bits). Online, for each wanted place ``j``::

    user  -> owner   d = j - k mod V                        (4 bytes)
    owner -> user    token[i] xor pad[i - d mod V], all i    (V words of b bits)

and the user takes the pad off entry ``j``. Beaver, "Precomputing oblivious transfer" (CRYPTO 95),
for V messages instead of two.

* Rounds: one round trip (two messages one way) for any number of choices.
* Bytes: 4 C to the owner, C V b / 8 to the user, b the bits of a token: see :func:`cost`.
* Error: none. The owner's view is ``d``, uniform whatever ``j`` is, because ``k`` is. The user's
  is V words of which all but one are under pads it does not have: perfect, against a user who
  deviates, too. Each piece serves once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from veracity.engine.api_words import Ring, packed_bytes
from veracity.errors import PeerError, UsageError
from veracity.mpc.cost import Cost
from veracity.mpc.permutation import uniform_below
from veracity.net import Channel

__all__ = [
    "LARGEST",
    "HolderPads",
    "TakerPads",
    "cost",
    "deal",
    "hold",
    "holder_pads",
    "take",
    "taker_places",
    "token_bits",
]

Array = NDArray[np.uint64]
#: Most entries of a table.
LARGEST = 1 << 20
_PLACE = np.dtype("<u4")


@dataclass(frozen=True)
class HolderPads:
    """The owner's piece: uint64 (choices, V), each below ``2^b``."""

    pads: Array


@dataclass(frozen=True)
class TakerPads:
    """The user's piece: places and the pads there, both uint64 (choices,)."""

    places: Array
    pads: Array
    size: int


def token_bits(size: int) -> int:
    """b: bits of an entry of a table of ``size`` tokens."""
    if not 1 <= size <= LARGEST:
        raise UsageError(f"a table of {size} tokens is out of bounds; 1 to {LARGEST}")
    return max(1, (size - 1).bit_length())


def cost(size: int, choices: int) -> Cost:
    """Messages and bytes of ``choices`` choices from ``size`` tokens at once."""
    return Cost(
        one_way=2,
        bytes_to_owner=choices * _PLACE.itemsize,
        bytes_to_user=packed_bytes(choices * size, token_bits(size)),
        offline_bytes_user=packed_bytes(choices, token_bits(size)),
    )


def holder_pads(ring: Ring, seed: bytes, size: int, choices: int) -> HolderPads:
    """The owner's piece, from the owner's 32-byte seed.

    Parameters
    ----------
    ring : Ring
        What expands seeds.
    seed : bytes
        The owner's, 32 bytes.
    size : int
        Entries of the table.
    choices : int
        How many the user gets.
    """
    words = ring.expand(seed, 0, choices * size) >> np.uint64(64 - token_bits(size))
    return HolderPads(words.reshape(choices, size))


def taker_places(ring: Ring, seed: bytes, size: int, choices: int) -> Array:
    """The user's places, from the user's 32-byte seed.

    Parameters
    ----------
    ring : Ring
        What expands seeds.
    seed : bytes
        The user's, 32 bytes.
    size : int
        Entries of the table.
    choices : int
        How many the user gets.
    """
    return uniform_below(ring, seed, size, choices)


def deal(ring: Ring, holder_seed: bytes, taker_seed: bytes, size: int, choices: int) -> TakerPads:
    """The user's piece: made by the dealer, who knows both seeds.

    Parameters
    ----------
    ring : Ring
        What expands seeds.
    holder_seed, taker_seed : bytes
        The owner's and the user's, 32 bytes each.
    size : int
        Entries of the table.
    choices : int
        How many the user gets.
    """
    places = taker_places(ring, taker_seed, size, choices)
    pads = holder_pads(ring, holder_seed, size, choices).pads[np.arange(choices), places]
    return TakerPads(places, pads, size)


async def hold(
    ring: Ring, channel: Channel, tag: int, piece: HolderPads, table: NDArray[np.integer]
) -> None:
    """Let the user have entries of ``table``, uint64 (V,), without learning which.

    Parameters
    ----------
    ring : Ring
        What packs words.
    channel : Channel
        To the user.
    tag : int
        Of the first message.
    piece : HolderPads
        From the dealer.
    table : uint64 array
        Tokens, (V,).

    Raises
    ------
    PeerError
        Where the user is gone or asks for what cannot be.
    """
    choices, size = piece.pads.shape
    if table.shape != (size,):
        raise UsageError("the table has another length than the pads")
    places = np.frombuffer(await channel.receive(tag, choices * _PLACE.itemsize), dtype=_PLACE)
    if places.size and int(places.max()) >= size:
        raise PeerError("the other party asks for a place outside the table")
    # Column i of row c takes pad (i - d_c) mod V.
    hidden = np.stack([np.roll(pads, int(d)) for pads, d in zip(piece.pads, places, strict=True)])
    hidden ^= table.astype(np.uint64)[None, :]
    await channel.send(tag + 1, ring.pack(hidden.reshape(-1), token_bits(size)))


async def take(
    ring: Ring, channel: Channel, tag: int, piece: TakerPads, wanted: NDArray[np.integer]
) -> Array:
    """The entries at the places ``wanted``, (choices,); uint64 (choices,).

    One that is not below V is no token: the caller sees to it that the owner, who may have made the
    table so, does not learn whether it was taken.

    Parameters
    ----------
    ring : Ring
        What packs words.
    channel : Channel
        To the owner.
    tag : int
        Of the first message.
    piece : TakerPads
        From the dealer.
    wanted : int array
        Places, (choices,).

    Raises
    ------
    PeerError
        Where the owner is gone.
    """
    size, choices, bits = piece.size, len(piece.places), token_bits(piece.size)
    if wanted.shape != (choices,) or (choices and not 0 <= wanted.min() <= wanted.max() < size):
        raise UsageError("the places do not fit the piece")
    turns = (wanted.astype(np.int64) - piece.places.astype(np.int64)) % size
    await channel.send(tag, turns.astype(_PLACE))
    data = await channel.receive(tag + 1, packed_bytes(choices * size, bits))
    hidden = ring.unpack(bytes(data), bits, choices * size).reshape(choices, size)
    return np.asarray(hidden[np.arange(choices), wanted.astype(np.int64)] ^ piece.pads)
