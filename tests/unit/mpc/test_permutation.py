"""Permutations are uniform and fresh; permute-and-share is exact and shows what it may."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from veracity.engine import load_engine
from veracity.errors import UsageError
from veracity.mpc import permutation
from veracity.mpc.shuffled.opening import (
    deal_restore,
    deal_reveal,
    hide,
    permuted,
    restored,
    restored_share,
    revealed,
    sent_back,
)
from veracity.mpc.shuffled.packing import Size, Stream, join, signed, split, total
from veracity.mpc.shuffled.role import Dealer, Shape

RING = load_engine("cpu").ring


def seed(number: int) -> bytes:
    return number.to_bytes(32, "little")


def chi_squared(counts: np.ndarray) -> float:
    expected = counts.sum() / counts.size
    return float(((counts - expected) ** 2 / expected).sum())


def test_every_permutation_of_four_is_equally_likely() -> None:
    places = {p: i for i, p in enumerate(itertools.permutations(range(4)))}
    counts = np.zeros(24)
    for trial in range(4800):
        counts[places[tuple(permutation.uniform(RING, seed(trial), 4).tolist())]] += 1
    assert chi_squared(counts) < 59  # 23 degrees: exceeded with probability 5e-5


def test_every_place_of_a_long_permutation_is_uniform() -> None:
    # Where each of 64 elements goes, over 1000 permutations: 63 x 63 degrees of freedom.
    counts = np.zeros((64, 64))
    for trial in range(1000):
        counts[np.arange(64), permutation.uniform(RING, seed(trial), 64)] += 1
    freedom = 63 * 63
    assert abs(chi_squared(counts) - freedom) < 5 * np.sqrt(2 * freedom)


def test_rows_move_as_rows_and_each_has_an_order_of_its_own() -> None:
    rows, columns = 5, 40
    order = permutation.of_rows(RING, seed(3), rows, columns).reshape(rows, columns)
    across = order[:, 0] // columns
    assert sorted(across) == list(range(rows))
    assert (order // columns == across[:, None]).all()
    within = order % columns
    assert (np.sort(within, axis=1) == np.arange(columns)).all()
    assert len({tuple(row) for row in within.tolist()}) == rows


def test_rows_and_their_orders_are_uniform_and_independent() -> None:
    # All 2 * 2 * 2 outcomes for two rows of two.
    counts = np.zeros(8)
    for trial in range(1600):
        order = permutation.of_rows(RING, seed(trial), 2, 2)
        counts[(order[0] // 2) * 4 + (order[0] % 2) * 2 + order[2] % 2] += 1
    assert chi_squared(counts) < 30  # 7 degrees: 1e-4


@dataclass(frozen=True)
class Kernel:
    """A ring whose streams a test has changed."""

    expand: Callable[[bytes, int, int], np.ndarray]


def test_equal_keys_are_drawn_again() -> None:
    # With keys of three values, ties are everywhere: orders stay uniform.
    ring = Kernel(lambda *a: RING.expand(*a) % np.uint64(4))
    counts: dict[tuple[int, ...], int] = {}
    for trial in range(1200):
        found = tuple(permutation.uniform(ring, seed(trial), 3).tolist())
        counts[found] = counts.get(found, 0) + 1
    assert len(counts) == 6
    assert chi_squared(np.asarray(list(counts.values()))) < 26  # 5 degrees: 1e-4


def test_places_are_uniform_where_a_remainder_would_not_be() -> None:
    # Words that would make a remainder uneven are drawn again: let most of them be such words.
    def high(s: bytes, label: int, count: int) -> np.ndarray:
        return RING.expand(s, label, count) | np.uint64(0xFFFFFFFFFFFFFFF0)

    drawn = permutation.uniform_below(Kernel(high), seed(1), 2**32 - 5, 200)
    assert (drawn < 2**32 - 5).all()
    counts = np.bincount(
        permutation.uniform_below(RING, seed(2), 10, 10_000).astype(int), minlength=10
    )
    assert chi_squared(counts) < 34  # 9 degrees: 1e-4


def test_seeds_have_256_bits_and_are_used_whole() -> None:
    base = permutation.uniform(RING, seed(0), 1000)
    for bit in (0, 100, 255):
        assert not np.array_equal(base, permutation.uniform(RING, seed(1 << bit), 1000))
    for short in (b"", bytes(16), bytes(33)):
        with pytest.raises(UsageError, match="32 bytes"):
            permutation.uniform(RING, short, 4)
    first, second = Stream(RING, seed(1)).fresh_seed(0, 0), Stream(RING, seed(1)).fresh_seed(0, 1)
    assert len(first) == 32
    assert first != second


def test_an_order_and_its_inverse() -> None:
    order = permutation.uniform(RING, seed(9), 100)
    x = np.arange(100) * 7
    assert (permutation.unpermuted(x[order], order) == x).all()


@pytest.mark.parametrize("bits", [18, 34, 64])
def test_values_come_permuted_and_go_back_in_place(bits: int) -> None:
    rng = np.random.default_rng(bits)
    count, place = 300, (2, 5)
    limit = 1 << (bits - 1)
    x = rng.integers(-limit, limit, count, dtype=np.int64, endpoint=False)
    owners, users = Stream(RING, seed(1)), Stream(RING, seed(2))
    order = permutation.uniform(RING, owners.fresh_seed(2, 0), count)
    dealer = Dealer(Shape(1, 0), owners, users, {}, {})
    deal_reveal(dealer, place, order, bits)
    known = deal_restore(dealer, (2, 7), order, bits)
    sizes = [Size(count, bits)] * 2
    delta, back = split(RING, join(RING, dealer.to_owner), sizes)
    assert total(sizes) == 2 * ((count * bits + 7) // 8)

    x1 = rng.integers(0, 1 << 64, count, dtype=np.uint64)
    x0 = x.view(np.uint64) - x1
    (hidden,) = split(RING, join(RING, [(hide(users, place, x1), bits)]), sizes[:1])
    (message,) = split(RING, join(RING, [(permuted(x0, hidden, order, delta), bits)]), sizes[:1])
    clear = signed(revealed(users, place, message), bits)
    assert (clear == x[order]).all()

    y = 3 * clear + 1
    (sent,) = split(
        RING, join(RING, [(sent_back(users, (2, 7), y.view(np.uint64)), bits)]), sizes[:1]
    )
    share = restored(sent, order, back) + restored_share(users, (2, 7), count)
    assert (known == restored_share(users, (2, 7), count)).all()
    # Both hold modulo 2^bits only.
    assert (signed(share, bits) == signed((3 * x + 1).view(np.uint64), bits)).all()


def test_messages_of_permute_and_share_are_uniform_whatever_the_values() -> None:
    # All-zero shares and results: what travels is still uniform, byte by byte.
    count, place = 20_000, (0, 0)
    owners, users = Stream(RING, seed(1)), Stream(RING, seed(2))
    order = permutation.uniform(RING, owners.fresh_seed(0, 9), count)
    dealer = Dealer(Shape(1, 0), owners, users, {}, {})
    deal_reveal(dealer, place, order, 64)
    deal_restore(dealer, (0, 2), order, 64)
    zero = np.zeros(count, dtype=np.uint64)
    hidden = hide(users, place, zero)
    message = permuted(zero, hidden, order, dealer.to_owner[0][0])
    for array in (hidden, message, sent_back(users, (0, 2), zero), dealer.to_owner[1][0]):
        counts = np.bincount(array.view(np.uint8), minlength=256)
        assert abs(chi_squared(counts) - 255) < 5 * np.sqrt(510)
    assert not (revealed(users, place, message)).any()
