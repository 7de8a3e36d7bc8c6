"""What parties that deviate from mode ``secure`` obtain, in numbers: SECURITY.md states them.

A user that adds to its share of a logit learns from the token which of two sums is greater. So each
pass is one comparison, and the difference of two logits takes as many as it has bits. An owner that
does the same changes the token, and sees nothing: its view is uniform whatever it sends.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.secure_parties import ring, together
from veracity.mpc.party import OWNER, USER
from veracity.mpc.secure.head import add_noise, choose, reveal
from veracity.mpc.secure.role import Secret

SHIFT = 12
VOCABULARY = 40
#: Differences of logits are below 2^BITS units.
BITS = 13


def answer(
    logits: NDArray[np.int64], added: NDArray[np.int64], who: int
) -> tuple[int, list[bytes]]:
    """The token of one pass in which a party adds to its share; what the owner saw of it."""

    async def op(role: Any, acc: Secret) -> int | None:
        if getattr(role, "index", None) == who:
            acc = acc.map(lambda share: share + ring(added[None] << SHIFT))
        return await reveal(role, await choose(role, acc, SHIFT))

    done = together(op, ring(logits[None] << SHIFT))
    assert done.user is not None
    return int(done.user), done.seen[OWNER]


@pytest.fixture(scope="module")
def logits() -> NDArray[np.int64]:
    found = np.random.default_rng(5).integers(-(1 << BITS - 1), 1 << BITS - 1, VOCABULARY)
    return found.astype(np.int64)


def test_a_user_reads_a_difference_of_logits_in_13_passes(logits: NDArray[np.int64]) -> None:
    top, other = int(np.argmax(logits)), int(np.argsort(logits)[3])
    nothing = np.zeros(VOCABULARY, dtype=np.int64)
    assert answer(logits, nothing, USER)[0] == top
    low, high, passes = 0, 1 << BITS, 0  # the difference is in low .. high - 1
    while high - low > 1:
        middle = (low + high) // 2
        added = nothing.copy()
        added[other] = middle
        passes += 1
        if answer(logits, added, USER)[0] == other:
            high = middle
        else:
            low = middle
    assert passes == BITS
    assert abs(low - (logits[top] - logits[other])) <= 1  # ties and rounding


def test_an_owner_chooses_the_token_and_sees_nothing_of_it(logits: NDArray[np.int64]) -> None:
    """It can make any token win; what it receives is uniform all the same."""
    forced = np.zeros(VOCABULARY, dtype=np.int64)
    forced[7] = 1 << 14
    token, seen = answer(logits, forced, OWNER)
    assert token == 7
    views = {
        who: [b"".join(answer(logits, add, OWNER)[1]) for _ in range(40)]
        for who, add in (("forced", forced), ("honest", np.zeros_like(forced)))
    }
    assert {len(v) for one in views.values() for v in one} == {sum(map(len, seen))}
    for one in views.values():
        data = np.frombuffer(b"".join(one), dtype=np.uint8)
        counts = np.bincount(data, minlength=256)
        expected = len(data) / 256
        # 255 degrees of freedom: one run in a million is above.
        assert ((counts - expected) ** 2 / expected).sum() < 380


def test_a_user_that_chooses_its_noise_obtains_no_more_than_one_that_deviates(
    logits: NDArray[np.int64],
) -> None:
    """Drawing asks the user for noise: what it adds so is what it could add to its share."""
    top, other = int(np.argmax(logits)), int(np.argsort(logits)[3])
    bits = 2
    for middle in (1, 700, int(logits[top] - logits[other]) + 2):
        added = np.zeros(VOCABULARY, dtype=np.int64)
        added[other] = middle

        async def op(role: Any, acc: Secret, noise: NDArray[np.int64] = added) -> int | None:
            noisy = add_noise(role, acc, SHIFT, bits, lambda: noise << bits)
            return await reveal(role, await choose(role, noisy, SHIFT))

        done = together(op, ring(logits[None] << SHIFT))
        assert done.user == answer(logits, added, USER)[0]
