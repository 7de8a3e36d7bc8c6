"""Token choice: right tokens, declared traffic, and views that hold nothing but the token."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from veracity.engine import load_engine
from veracity.errors import PeerError, UsageError
from veracity.mpc import permutation
from veracity.mpc.cost import Cost
from veracity.mpc.token_selection import homomorphic, seal, transfer
from veracity.net import Channel, pair

RING = load_engine("cpu").ring

needs_seal = pytest.mark.skipif(
    not seal.available(), reason="TenSEAL is not installed: pip install 'veracity[he]'"
)


def run(parties: Coroutine[Any, Any, Any]) -> Any:
    async def within() -> Any:
        async with asyncio.timeout(60):
            return await parties

    return asyncio.run(within())


def seed(number: int) -> bytes:
    return number.to_bytes(32, "little")


def table_of(size: int, number: int = 0) -> Any:
    return permutation.uniform(RING, seed(number), size)


def measured(owner: Channel, user: Channel) -> Cost:
    a, b = owner.traffic, user.traffic
    assert max(a.hops, b.hops) == a.sent_messages + b.sent_messages
    return Cost(
        one_way=a.sent_messages + b.sent_messages,
        bytes_to_owner=a.received_bytes,
        bytes_to_user=b.received_bytes,
    )


# Transfer with the dealer's pads.


@pytest.mark.parametrize(("size", "choices"), [(1, 1), (2, 3), (512, 2), (1000, 1), (49152, 2)])
def test_transfer_gives_the_wanted_tokens_at_the_declared_cost(size: int, choices: int) -> None:
    table = table_of(size)
    wanted = np.asarray([(size - 1) * (i + 1) // choices for i in range(choices)])
    held = transfer.holder_pads(RING, seed(1), size, choices)
    taken = transfer.deal(RING, seed(1), seed(2), size, choices)

    async def parties() -> None:
        owner, user = pair()
        _, tokens = await asyncio.gather(
            transfer.hold(RING, owner, 4, held, table), transfer.take(RING, user, 4, taken, wanted)
        )
        assert tokens.tolist() == table[wanted].tolist()
        declared = transfer.cost(size, choices)
        assert replace(declared, offline_bytes_user=0) == measured(owner, user)

    run(parties())


def test_what_the_owner_sees_does_not_depend_on_the_place() -> None:
    # d = j - k mod V: for a fixed place, uniform over fresh pieces. Chi squared, 15 degrees.
    size, wanted = 16, np.asarray([5])
    seen = np.zeros(size)
    for trial in range(1600):
        piece = transfer.deal(RING, seed(1), seed(1000 + trial), size, 1)
        seen[(int(wanted[0]) - int(piece.places[0])) % size] += 1
    assert ((seen - 100) ** 2 / 100).sum() < 45  # exceeded with probability below 10^-4


def test_the_user_cannot_read_another_entry() -> None:
    # Every entry but the wanted one is under a pad that the user's piece says nothing about: two
    # owner seeds that agree at the user's place make other pads everywhere else.
    size = 4096
    piece = transfer.deal(RING, seed(1), seed(2), size, 1)
    k = int(piece.places[0])
    ours = transfer.holder_pads(RING, seed(1), size, 1).pads[0]
    other = next(
        p
        for p in (transfer.holder_pads(RING, seed(n), size, 1).pads[0] for n in range(5, 1 << 17))
        if p[k] == ours[k]
    )
    assert np.count_nonzero(ours == other) < 16


def test_transfer_refuses_what_cannot_be() -> None:
    held = transfer.holder_pads(RING, seed(1), 8, 1)
    taken = transfer.deal(RING, seed(1), seed(2), 8, 1)

    async def parties() -> None:
        owner, user = pair()
        await user.send(1, np.asarray([8], dtype="<u4"))
        with pytest.raises(PeerError, match="outside the table"):
            await transfer.hold(RING, owner, 1, held, np.arange(8))
        owner, user = pair()
        with pytest.raises(UsageError):
            await transfer.take(RING, user, 1, taken, np.asarray([8]))
        with pytest.raises(UsageError):
            await transfer.hold(RING, owner, 1, held, np.arange(9))

    run(parties())
    with pytest.raises(UsageError):
        transfer.cost(1 << 21, 1)


def test_a_token_outside_the_vocabulary_is_handed_on() -> None:
    """The owner, who may have put it there, is not to see by an end whether it was taken."""
    taken = transfer.deal(RING, seed(1), seed(2), 5, 1)  # 3 bits, tokens 0 to 4
    held = transfer.holder_pads(RING, seed(1), 5, 1)

    async def parties() -> None:
        owner, user = pair()
        _, tokens = await asyncio.gather(
            transfer.hold(RING, owner, 1, held, np.full(5, 7)),
            transfer.take(RING, user, 1, taken, np.asarray([2])),
        )
        assert tokens.tolist() == [7]

    run(parties())


# BFV.


@needs_seal
@pytest.mark.parametrize(("size", "choices"), [(1, 1), (512, 2), (8192, 1), (20000, 1)])
def test_bfv_gives_the_wanted_tokens_at_the_declared_cost(size: int, choices: int) -> None:
    table = table_of(size)
    wanted = np.asarray([(size - 1) // (i + 1) for i in range(choices)])
    parameters = homomorphic.Parameters(size)
    holder, taker = homomorphic.Holder(RING, parameters), homomorphic.Taker(RING, parameters)

    async def parties() -> None:
        owner, user = pair()
        await asyncio.gather(holder.meet(owner, 1), taker.introduce(user, 1))
        assert owner.traffic.received_bytes == homomorphic.key_bytes()
        for tag in (2, 4):  # one key serves many choices
            before = owner.traffic, user.traffic
            _, tokens = await asyncio.gather(
                holder.hold(owner, tag, table, choices), taker.take(user, tag, wanted)
            )
            assert tokens.tolist() == table[wanted].tolist()
            up, down = owner.traffic - before[0], user.traffic - before[1]
            assert Cost(
                one_way=up.sent_messages + down.sent_messages,
                bytes_to_owner=up.received_bytes,
                bytes_to_user=down.received_bytes,
            ) == homomorphic.cost(size, choices)

    run(parties())


@needs_seal
def test_bfv_floods_far_above_the_noise_of_the_table() -> None:
    # The reply's noise, before the prime is dropped, is the flood's size: 2^-40 of it is more than
    # any table can add. SEAL's budget is log2(q / noise) - log2(t) - 1, in bits.
    for size in (1, 512, 49152, 1 << 18):
        parameters = homomorphic.Parameters(size)
        assert parameters.noise_bound * homomorphic.DEGREE * 2**41 <= 1 << parameters.flood_bits
    flood = homomorphic._flood(80)
    assert all(-(1 << 79) <= int(e) < 1 << 79 for e in flood)
    assert sum(abs(int(e)) >= 1 << 78 for e in flood) > homomorphic.DEGREE // 3
    with pytest.raises(UsageError):
        homomorphic.Parameters(1 << 20)


@needs_seal
def test_bfv_replies_to_one_query_share_nothing() -> None:
    # Same query, same table, twice: both polynomials are new everywhere.
    parameters = homomorphic.Parameters(100)
    holder, taker = homomorphic.Holder(RING, parameters), homomorphic.Taker(RING, parameters)

    async def parties() -> None:
        owner, user = pair()
        await asyncio.gather(holder.meet(owner, 1), taker.introduce(user, 1))
        query = taker._query(7)
        replies = []
        for _ in range(2):
            await user.send(2, query)
            await holder.hold(owner, 2, np.arange(100), 1)
            data = bytes(await user.receive(3, homomorphic.cost(100, 1).bytes_to_user))
            replies.append(homomorphic._coefficients(RING, data, 1))
        assert np.count_nonzero(replies[0] == replies[1]) < 3

    run(parties())


@needs_seal
def test_bfv_takes_garbage_for_the_other_partys_fault() -> None:
    parameters = homomorphic.Parameters(100)
    holder, taker = homomorphic.Holder(RING, parameters), homomorphic.Taker(RING, parameters)

    async def parties() -> None:
        owner, user = pair()
        await user.send(1, b"\xff" * homomorphic.key_bytes())
        with pytest.raises(PeerError, match="no ciphertext"):
            await holder.meet(owner, 1)
        with pytest.raises(UsageError, match="key comes first"):
            await holder.hold(owner, 1, np.arange(100), 1)
        owner, user = pair()
        await owner.send(3, secrets.token_bytes(homomorphic.cost(100, 1).bytes_to_user))
        assert (await taker.take(user, 2, np.asarray([1])))[0] >= 100
        # A token where it should be, and something beside it.
        await owner.send(5, secrets.token_bytes(homomorphic.cost(100, 1).bytes_to_user))
        slots = np.zeros(homomorphic.DEGREE, dtype=np.uint64)
        slots[[1, 2]] = 7, 1
        parameters.seal.decode = lambda _: slots  # type: ignore[method-assign]
        assert (await taker.take(user, 4, np.asarray([1])))[0] >= 100

    run(parties())
