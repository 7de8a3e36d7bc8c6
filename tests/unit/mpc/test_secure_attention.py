"""Maxima, the choice of a token, and attention on shares."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.support.secure_operations import RNG, checked, opens, results
from tests.support.secure_parties import opened, ring, together
from veracity.errors import PeerError
from veracity.graph.ops import Attention
from veracity.graph.ops.attention import attend
from veracity.mpc.secure import ranks
from veracity.mpc.secure.attention import attention
from veracity.mpc.secure.head import choose, reveal
from veracity.mpc.secure.opening import Opening, open_values, share_of_mask
from veracity.mpc.secure.ranks import greatest
from veracity.mpc.secure.role import Masked, Role, Secret
from veracity.mpc.secure.tournament import maximum


def test_maxima_of_rows_of_all_lengths() -> None:
    lengths = np.array([1, 2, 3, 4, 5, 8, 13, 1, 31])
    x = RNG.integers(-(1 << 18), 1 << 18, int(lengths.sum()))
    x[3:5] = x[5]

    async def op(role: Role, x: Secret) -> Masked:
        return await maximum(role, await opens(role, x, 0, 64), lengths, 0, 20)

    done = checked(together(op, ring(x)))
    starts = np.cumsum(lengths) - lengths
    assert np.array_equal(opened(results(done)), np.maximum.reduceat(x, starts))
    assert done.measured.exchanges == 1 + 5


def test_coarse_maxima_lose_less_than_a_step_a_round() -> None:
    lengths = np.full(50, 20)
    x = RNG.integers(0, 1 << 9, 1000)

    async def op(role: Role, x: Secret) -> Masked:
        return await maximum(role, await opens(role, x, 0, 64), lengths, 5, 12)

    got = opened(results(checked(together(op, ring(x)))))
    below = x.reshape(50, 20).max(axis=1) - got
    assert ((below >= 0) & (below < 5 * 32)).all()
    assert below.any()
    assert np.isin(got, x).all()


@pytest.mark.parametrize("count", [2, 3, 8, 17, 64])
def test_the_greatest_of_a_few_takes_one_exchange(count: int) -> None:
    x = RNG.permutation(1 << 12)[:count] - (1 << 11)
    x[-1] = x.max() - 1 if x.max() - 1 not in x else x[-1]  # differences of one unit count

    async def op(role: Role, x: Secret) -> Secret:
        return await greatest(role, await opens(role, x, 0, 64), 14)

    done = checked(together(op, ring(x)))
    assert opened(results(done)).tolist() == [x.max()]
    assert done.measured.exchanges == 2
    assert done.measured.bytes_to_user == done.measured.bytes_to_owner == 16 * count


def test_ends_of_the_range_are_ranked() -> None:
    x = np.array([-(1 << 12), (1 << 12) - 1, 0, -1, 1])

    async def op(role: Role, x: Secret) -> Secret:
        return await greatest(role, await opens(role, x, 0, 64), 14)

    for _ in range(5):
        assert opened(results(checked(together(op, ring(x))))).tolist() == [(1 << 12) - 1]


@pytest.mark.parametrize("count", [1, 2, 3, 8, 37, 64, 65, 200])
def test_the_greatest_logit_the_lowest_index(count: int) -> None:
    z = RNG.integers(-3000, 3000, count)
    best = min(2, count - 1)
    z[best:] = z.max() + 1000  # equal from there on

    async def op(role: Role, x: Secret) -> int | None:
        return await reveal(role, await choose(role, x.map(lambda v: v[None]), 0))

    done = checked(together(op, ring(z)))
    assert results(done) == (None, None, best)
    opened_words, left, rounds = count, count, 0
    while left > ranks.MOST:
        opened_words, left, rounds = opened_words + left // 2, left - left // 2, rounds + 1
    opened_words += left if count > 1 else 0
    assert done.measured.bytes_to_user == 9 + 8 * opened_words
    assert done.measured.exchanges == 1 + rounds + (count > 1)


def test_a_pass_that_has_to_be_repeated_says_so_and_nothing_else() -> None:
    async def op(role: Role, x: Secret) -> int | None:
        if hasattr(role, "overflow") and role.index == 0:
            role.overflow = True
        return await reveal(role, x)

    done = together(op, ring([7]))
    assert results(done) == (None, None, None)
    assert done.roles[2].overflow
    assert done.seen[1] == [bytes([1]) + bytes(8)]


def test_something_else_instead_of_the_answer_is_refused() -> None:
    async def op(role: Role, x: Secret) -> int | None:
        if getattr(role, "index", None) == 0:
            await role.channel.send(role.next_tag(), bytes([2]) + bytes(8))  # type: ignore[attr-defined]
            return None
        return await reveal(role, x)

    with pytest.raises(PeerError, match="something else"):
        together(op, ring([7]))


def _exact(op: Attention, q: Any, k: Any, v: Any, start: int) -> Any:
    """Attention without any rounding."""
    heads, dim = op.kv_heads * op.group, op.head_dim
    out = np.empty((len(q), heads * dim))
    for t in range(len(q)):
        for h in range(heads):
            at = h // op.group * dim
            own = np.s_[h * dim : (h + 1) * dim]
            z = k[: start + t + 1, at : at + dim] @ q[t, own] / 2.0 ** (op.score_shift + op.exp_k)
            p = np.exp(z - z.max())
            out[t, own] = p @ v[: start + t + 1, at : at + dim] / p.sum()
    return out * 2.0 ** (15 - op.mix_shift)


@pytest.mark.parametrize(
    ("tokens", "start", "spread"),
    [(1, 0, 400), (5, 0, 400), (1, 17, 100), (1, 17, 400), (3, 9, 2000), (1, 70, 50)],
)
def test_attention_and_its_cache(tokens: int, start: int, spread: int) -> None:
    op = Attention(
        name="a",
        q="q",
        k="k",
        v="v",
        kv_heads=2,
        group=3,
        head_dim=8,
        score_shift=9,
        exp_k=6,
        mix_shift=15,
        bits=16,
    )
    q = RNG.integers(-spread, spread, (tokens, 48))
    k = RNG.integers(-spread, spread, (start + tokens, 16))
    v = RNG.integers(-4000, 4000, (start + tokens, 16))

    async def run(role: Role, q: Secret, k: Secret, v: Secret) -> tuple[Secret, Masked]:
        new = await open_values(role, [Opening(q), Opening(k), Opening(v)])
        for x in new:
            share_of_mask(role, x)
        rest = [x.map(lambda u: u[start:]) for x in new[1:]]
        old = [x.map(lambda u: u[:start]) for x in new[1:]]
        cache = (old[0], old[1]) if start else None
        result, grown = await attention(role, op, new[0], *rest, (0, 0), 16, start, cache)
        assert result[1:] == (21, 38)
        return result[0], grown[0]

    done = checked(together(run, ring(q), ring(k), ring(v)))
    assert not done.overflow
    assert np.array_equal(opened(results(done, 1)), k)
    got = opened(results(done, 0)) / 2.0**21
    # Scores have three bits more than the program's: a weight is off by 2^-9, one by one.
    error = got - _exact(op, q, k, v, start)
    assert np.abs(error).max() < 4000 * 2.0**-9
    assert np.sqrt((error**2).mean()) < 2
    # The program itself is off by 2^-7 in every weight: it is no nearer to the exact mix.
    program = attend(op, q, k, v, start)[0] - _exact(op, q, k, v, start)
    assert np.sqrt((error**2).mean()) < np.sqrt((program**2).mean()) + 0.5


def test_attention_of_scores_far_apart() -> None:
    # From 2^15 - 1 down to -2^15: 1024 nats; all weight is on the first two, which are equal.
    op = Attention(
        name="a",
        q="q",
        k="k",
        v="v",
        kv_heads=1,
        group=1,
        head_dim=8,
        score_shift=0,
        exp_k=6,
        mix_shift=15,
        bits=16,
    )
    q = np.full((1, 8), 1)
    k = np.array([4095, 4095, 3000, 2000, 0, -1, -4096, -4096])[:, None] * np.ones(8, np.int64)
    v = RNG.integers(-30000, 30000, (8, 8))

    async def run(role: Role, q: Secret, k: Secret, v: Secret) -> Secret:
        new = await open_values(role, [Opening(x.map(lambda u: u << np.uint64(3))) for x in (q,)])
        new += await open_values(role, [Opening(k), Opening(v)])
        old = [x.map(lambda u: u[:7]) for x in new[1:]]
        last = [x.map(lambda u: u[7:]) for x in new[1:]]
        for x in (*old, *last):
            share_of_mask(role, x)
        found, _ = await attention(role, op, new[0], *last, (3, 0), 16, 7, (old[0], old[1]))
        return found[0]

    done = checked(together(run, ring(q), ring(k), ring(v)))
    got = opened(results(done)) / 2.0**21
    want = attend(op, q, k, v, 7)[0]
    assert np.abs(got - want).max() < 4
    assert np.abs(want[0] - v[:2].mean(axis=0)).max() < 2
