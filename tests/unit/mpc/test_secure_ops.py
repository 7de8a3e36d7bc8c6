"""Operations on shares, one by one: exact where they say so, bounded where they say that."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from typing import Any

import numpy as np
import pytest

from tests.support.secure_parties import Done, masks_fit, opened, ring, together
from veracity.errors import PeerError, UnsupportedModelError, UsageError
from veracity.graph.evaluate import _attention, _norm, _rope
from veracity.graph.ops import Attention, Function, Norm, Rope
from veracity.graph.tables import function_table
from veracity.mpc.party import Masked, Role, Secret
from veracity.mpc.secure.attention import attention, exp_pieces
from veracity.mpc.secure.functions import function
from veracity.mpc.secure.linear import linear, linear_of_secret
from veracity.mpc.secure.norm import norm
from veracity.mpc.secure.opening import Opening, open_values, plus, share_of, share_of_mask
from veracity.mpc.secure.piecewise import fit, piecewise, piecewise_wrapped
from veracity.mpc.secure.product import product
from veracity.mpc.secure.reciprocal import groups, openings, total
from veracity.mpc.secure.rotary import rotate
from veracity.mpc.secure.tables import look_up, tabulate
from veracity.mpc.secure.token_selection import choose, reveal
from veracity.mpc.secure.tournament import maximum

RNG = np.random.default_rng(11)


def results(done: Done, at: int | None = None) -> tuple[Any, Any, Any]:
    """The three roles' results, or one item of each."""
    found = done.dealer, done.owner, done.user
    return found if at is None else tuple(f[at] for f in found)  # type: ignore[return-value]


def checked(done: Done) -> Done:
    """What was declared is what was measured, offline and online."""
    assert done.measured == done.roles[0].cost
    return done


async def opens(role: Role, x: Secret, shift: int, bits: int) -> Masked:
    (found,) = await open_values(role, [Opening(x, shift, bits)])
    return found


# Openings.


def test_an_opening_without_truncation_is_exact() -> None:
    x = RNG.integers(0, 1 << 64, (5, 7), dtype=np.uint64)
    done = checked(together(partial(opens, shift=0, bits=64), x))
    assert np.array_equal(opened(results(done)), x.view(np.int64))
    assert (done.measured.exchanges, done.measured.bytes_to_user) == (1, 8 * 35)


def test_truncation_rounds_down_or_up_without_bias() -> None:
    x = RNG.integers(-(1 << 33), 1 << 33, 200_000)
    done = checked(together(partial(opens, shift=9, bits=35), ring(x)))
    assert not done.overflow
    error = opened(results(done)) - x / 512
    assert np.abs(error).max() < 1
    # Of 200 000 errors with variance 1/6 the mean is within 6 sigma.
    assert abs(error.mean()) < 6 * np.sqrt(1 / 6 / len(x))
    # Nor does the error depend on the value's fraction.
    low = x % 512 < 128
    assert abs(error[low].mean()) < 6 * np.sqrt(1 / 4 / low.sum())


def test_a_mask_that_wraps_is_noticed_by_both() -> None:
    x = RNG.integers(-(1 << 58), 1 << 58, 4000)
    done = together(partial(opens, shift=9, bits=60), ring(x))
    assert done.roles[1].overflow
    assert done.roles[2].overflow
    c = done.owner.value
    wrong = ~np.isin(opened(results(done)) - (x >> 9), (0, 1))
    # Every wrong value is among those that raise the alarm: c below 2^60, one in sixteen.
    alarmed = ((c + np.uint64(1 << 50)) << np.uint64(9)) < np.uint64(1 << 60)
    assert wrong.any()
    assert not (wrong & ~alarmed).any()
    assert 150 < alarmed.sum() < 350


def test_shares_of_a_mask_add_up_and_are_dealt_once() -> None:
    async def op(role: Role, x: Secret) -> tuple[Masked, Masked, Secret]:
        a = await opens(role, x, 3, 30)
        first = share_of_mask(role, a)
        assert share_of_mask(role, a) is first
        b = plus(role, a, -5).map(lambda v: v * np.uint64(3))
        return Masked(a.value, first), b, share_of(role, b)

    x = RNG.integers(-1000, 1000, 50)
    done = checked(together(op, ring(x)))
    assert masks_fit(results(done, 0))
    y = opened(results(done, 1))
    assert np.array_equal(opened(results(done, 2)), y)
    assert np.abs(y - 3 * (x / 8 - 5)).max() < 3
    assert done.measured.offline_bytes_user == 8 * 50


# Linear layers and products.


@pytest.mark.parametrize(("shift", "rows"), [(0, 1), (0, 4), (11, 1), (11, 5)])
def test_linear_layers(shift: int, rows: int) -> None:
    weights = {
        "a": RNG.integers(-128, 128, (9, 6)).astype(np.int8),
        "b": RNG.integers(-30000, 30000, (4, 6)).astype(np.int16),
    }
    uses = [("a", "matrix"), ("b", "matrix")]
    shapes = {name: w.shape for name, w in weights.items()}
    x = RNG.integers(-(1 << 24), 1 << 24, (rows, 6))

    async def op(role: Role, x: Secret) -> list[Secret]:
        if not shift:
            return await linear_of_secret(role, x, uses, shapes)  # type: ignore[arg-type]
        return linear(role, await opens(role, x, shift, 26), uses, shapes)  # type: ignore[arg-type]

    done = checked(together(op, ring(x), weights=weights))
    for i, w in enumerate(weights.values()):
        got, exact = opened(results(done, i)), (x / 2**shift) @ w.T.astype(np.float64)
        # Every input is off by less than one.
        bound = np.abs(w.astype(np.int64)).sum(axis=1) if shift else np.zeros(len(w))
        assert (np.abs(got - exact) <= bound).all()
    assert (done.measured.one_way, done.measured.exchanges) == ((0, 1) if shift else (1, 0))
    assert done.measured.bytes_to_owner == 8 * x.size
    assert done.measured.bytes_to_user == (8 * x.size if shift else 0)


def test_gains() -> None:
    weights = {"g": RNG.integers(-30000, 30000, 6).astype(np.int16)}
    x = RNG.integers(-(1 << 24), 1 << 24, (3, 6))

    async def op(role: Role, x: Secret) -> list[Secret]:
        masked = await opens(role, x, 0, 64)
        share_of_mask(role, masked)  # other ops may have shares of the same mask
        return linear(role, masked, [("g", "gain")], {"g": (6,)})

    done = checked(together(op, ring(x), weights=weights))
    assert np.array_equal(opened(results(done, 0)), x * weights["g"])


def test_products_reuse_what_was_opened() -> None:
    async def op(role: Role, x: Secret, y: Secret) -> tuple[Secret, Secret, Secret]:
        a, b = await open_values(role, [Opening(x), Opening(y)])
        first = product(role, np.multiply, a, b, a.shape)
        square = product(role, np.multiply, a, a, a.shape)
        dot = product(role, lambda u, v: np.asarray((u * v).sum(axis=1)), a, b, (4,))
        return first, square, dot

    x, y = (RNG.integers(0, 1 << 64, (4, 6), dtype=np.uint64) for _ in range(2))
    done = checked(together(op, x, y))
    assert np.array_equal(opened(results(done, 0)), (x * y).view(np.int64))
    assert np.array_equal(opened(results(done, 1)), (x * x).view(np.int64))
    assert np.array_equal(opened(results(done, 2)), (x * y).sum(axis=1).view(np.int64))
    assert done.measured.exchanges == 1


# Pieces and tables.


def wave(x: int) -> Decimal:
    return Decimal(x * x % 1009) + Decimal(x) / 7


def root(x: int) -> Decimal:
    return Decimal(x).sqrt()


def test_pieces_are_exactly_the_polynomials() -> None:
    low, bits = -700, 12
    pieces = fit(wave, [-512, -30, 7, 8, 100, 900, 3000], low, bits, 20)
    x = np.concatenate([RNG.integers(low, low + (1 << bits), 500), pieces.knots])
    x = np.concatenate([x, np.array(pieces.knots) - 1])

    async def op(role: Role, x: Secret) -> Secret:
        return piecewise(role, await opens(role, x, 0, 64), pieces)

    done = checked(together(op, ring(x)))
    assert np.array_equal(opened(results(done)), pieces(x))
    assert not pieces(np.array([-513, 3000])).any()


def test_wrapped_pieces_need_the_value_modulo_their_domain_only() -> None:
    low, bits = 5, 12
    pieces = fit(root, [20, 64, 65, 700, 3000], low, bits, 20)
    x = np.concatenate([RNG.integers(low, low + (1 << bits), 500), pieces.knots])

    async def op(role: Role, x: Secret) -> Secret:
        masked = await opens(role, x, 0, 64)
        return piecewise_wrapped(role, masked, pieces)

    away = RNG.integers(-(1 << 50), 1 << 50, x.shape) << bits
    done = checked(together(op, ring(x - low + away)))
    assert np.array_equal(opened(results(done)), pieces(x))


@pytest.mark.parametrize("exp_k", [1, 4, 6, 10])
def test_the_exponential_is_good_to_two_units(exp_k: int) -> None:
    pieces = exp_pieces(exp_k)
    x = np.arange(pieces.knots[0], 20 << (exp_k + 3))
    exact = np.where(x < pieces.knots[-1], np.exp(-x / 2.0 ** (exp_k + 3)) * 2**15, 0)
    assert np.abs(pieces(x) / 2.0**pieces.scale - exact).max() < (40 if exp_k == 1 else 2.5)
    with pytest.raises(UsageError, match="knots"):
        fit(wave, [0, 20], 0, 4, 3)


def test_tables_are_exactly_their_polynomials() -> None:
    table = tabulate(wave, 14, 6)
    low = 8
    x = np.concatenate([RNG.integers(-(1 << 13), 1 << 13, 3000), [-(1 << 13), (1 << 13) - 1]])

    async def op(role: Role, x: Secret) -> tuple[Masked, Secret]:
        masked = await opens(role, x, 0, 64)
        return masked, look_up(role, masked, table)

    away = RNG.integers(-(1 << 40), 1 << 40, x.shape) << 14
    done = checked(together(op, ring(x + away)))
    # Which of two neighbours is used depends on the mask; d is less than an interval.
    c, r = done.owner[0].value, done.dealer[0].value
    c = c + np.uint64(1 << 13)
    d = (c % np.uint64(256)).astype(np.int64) - (r % np.uint64(256)).astype(np.int64)
    j = ((c >> np.uint64(low)) - (r >> np.uint64(low))).astype(np.int64) % 64
    assert np.array_equal((j * 256 + d - (1 << 13) - x) % (1 << 14), 0 * x)
    a = table.coefficients.view(np.int64)[j]
    assert np.array_equal(opened(results(done, 1)), a[:, 0] + a[:, 1] * d + a[:, 2] * d * d)
    for bits, high in ((5, 3), (30, 5)):
        with pytest.raises(UsageError, match="table"):
            tabulate(wave, bits, high)


# Roots, norms, functions.


@pytest.mark.parametrize("power", [-0.5, -1.0])
def test_powers_over_forty_octaves(power: float) -> None:
    def f(x: Any) -> Any:
        return 2.0**40 * x**power

    def exactly(x: int) -> Decimal:
        return Decimal(1 << 40) / (Decimal(x).sqrt() if power == -0.5 else x)

    over = groups(exactly, 20, 60, 60)
    x = np.asarray(2.0 ** RNG.uniform(20.01, 59.99, 3000)).astype(np.int64)

    async def op(role: Role, x: Secret) -> Masked:
        masked = await opens(role, x, 0, 64)
        return total(await open_values(role, openings(role, masked, over, 6)))

    done = together(op, ring(x))
    got, exact = opened(results(done)) / 64.0, f(x.astype(np.float64))
    assert (np.abs(got - exact) <= exact * 2.0**-12 + len(over) / 64).all()
    large = exact > 2**14
    relative = (got / exact - 1)[large]
    assert np.sqrt((relative**2).mean()) < 2.0**-14
    assert abs(relative.mean()) < 2.0**-16


@pytest.mark.parametrize("kind", ["rms", "layer"])
def test_norms(kind: Any) -> None:
    d = 24
    op = Norm(name="n", x="x", kind=kind, constant=d << 60, eps=7, shift=20, bits=16, x_bits=18)
    scale = 2.0 ** RNG.uniform(6, 15, (40, 1))
    x = np.rint(RNG.normal(size=(40, d)) * scale + (kind == "layer") * 900).astype(np.int64)

    async def run(role: Role, x: Secret) -> Secret:
        y, shift, bits = await norm(role, op, await opens(role, x, 0, 64), 0)
        assert (shift, bits) == (22, 39)
        return y

    done = checked(together(run, ring(x)))
    exact = _norm(op, x)[0]
    got = opened(results(done)) / 2.0**22
    # Relative 2^-12 of rho, and the program's own rounding.
    assert (np.abs(got - exact) <= np.abs(exact) * 2.0**-12 + 1.5).all()
    assert abs((got - exact).mean()) < 0.1
    with pytest.raises(UnsupportedModelError):
        together(lambda role, x: norm(role, op, Masked(x.share), 1), ring(x))


@pytest.mark.parametrize("fn", ["silu", "gelu_tanh", "gelu"])
@pytest.mark.parametrize(("k_in", "k_out", "guard"), [(11, 11, 0), (11, 11, 1), (9, 9, 1)])
def test_functions(fn: str, k_in: int, k_out: int, guard: int) -> None:
    op = Function(name="f", x="x", fn=fn, k_in=k_in, k_out=k_out)
    x = np.concatenate([RNG.integers(-(1 << 15), 1 << 15, 2000), [-(1 << 15), (1 << 15) - 1, 0]])

    async def run(role: Role, x: Secret) -> Secret:
        y, shift, bits = function(role, op, await opens(role, x, 0, 64), guard)
        assert bits == 17 + shift
        return y.map(lambda v: v << np.uint64(64 - 17 - shift))

    done = checked(together(run, ring(x << guard)))
    scale = 2.0**47
    got = opened(results(done)) / scale
    exact = function_table(op.fn, op.k_in, op.k_out)[x + (1 << 15)]
    assert np.abs(got - exact).max() < 1.7
    assert np.sqrt(((got - exact) ** 2).mean()) < 0.4


def test_functions_end_where_the_programs_do() -> None:
    # Results beyond 16 bits are cut off there, and rounded off a little.
    op = Function(name="f", x="x", fn="silu", k_in=9, k_out=11)
    x = np.arange(-(1 << 15), 1 << 15, 5)

    async def run(role: Role, x: Secret) -> Secret:
        y, shift, _ = function(role, op, await opens(role, x, 0, 64), 0)
        return y.map(lambda v: v << np.uint64(47 - shift))

    table = function_table("silu", 9, 11)
    got = opened(results(together(run, ring(x)))) / 2.0**47
    error = np.abs(got - table[x + (1 << 15)])
    assert error.max() < 64
    assert (error > 1).mean() < 0.01


@pytest.mark.parametrize("style", ["interleaved", "half"])
def test_rotations(style: Any) -> None:
    op = Rope(name="r", x="x", heads=3, head_dim=8, style=style, base="10000", frac=14, bits=16)
    x = RNG.integers(-30000, 30000, (7, 24))

    async def run(role: Role, x: Secret) -> Masked:
        masked = await opens(role, x, 12, 30)
        return masked.map(lambda v: rotate(op, v, 20), exact=False)

    # Two bits more than the program's, as passes have.
    done = checked(together(run, ring(x << 14)))
    error = opened(results(done)) / 4 - _rope(op, x, 20)
    assert np.abs(error).max() < 1.5
    assert abs(error.mean()) < 0.1


# Maxima.


def test_maxima_of_rows_of_all_lengths() -> None:
    lengths = np.array([1, 2, 3, 4, 5, 8, 13, 1, 31])
    x = RNG.integers(-(1 << 18), 1 << 18, int(lengths.sum()))
    x[3:5] = x[5]

    async def op(role: Role, x: Secret) -> Masked | Secret:
        return await maximum(role, await opens(role, x, 0, 64), lengths, 0, 20)

    done = checked(together(op, ring(x)))
    starts = np.cumsum(lengths) - lengths
    assert np.array_equal(opened(results(done)), np.maximum.reduceat(x, starts))
    assert done.measured.exchanges == 1 + 5


def test_coarse_maxima_lose_less_than_a_step_a_round() -> None:
    lengths = np.full(50, 20)
    x = RNG.integers(0, 1 << 9, 1000)

    async def op(role: Role, x: Secret) -> Masked | Secret:
        return await maximum(role, await opens(role, x, 0, 64), lengths, 5, 12)

    got = opened(results(checked(together(op, ring(x)))))
    below = x.reshape(50, 20).max(axis=1) - got
    assert ((below >= 0) & (below < 5 * 32)).all()
    assert below.any()
    assert np.isin(got, x).all()


@pytest.mark.parametrize("count", [1, 2, 3, 8, 37])
def test_the_greatest_logit_the_lowest_index(count: int) -> None:
    z = RNG.integers(-3000, 3000, count)
    best = min(2, count - 1)
    z[best:] = z.max() + 1000  # equal from there on

    async def op(role: Role, x: Secret) -> int | None:
        return await reveal(role, await choose(role, x.map(lambda v: v[None]), 0))

    done = checked(together(op, ring(z)))
    assert results(done) == (None, None, best)
    assert done.measured.bytes_to_user == 9 + 8 * (2 * count - 1 - (count > 1))


def test_a_pass_that_has_to_be_repeated_says_so_and_nothing_else() -> None:
    async def op(role: Role, x: Secret) -> int | None:
        if hasattr(role, "overflow") and role.index == 0:
            role.overflow = True
        return await reveal(role, x)

    done = together(op, ring([7]))
    assert results(done) == (None, None, None)
    assert done.roles[2].overflow
    assert done.seen[1] == [bytes([1]) + bytes(8)]


def test_nonsense_instead_of_the_answer_is_refused() -> None:
    async def op(role: Role, x: Secret) -> int | None:
        if getattr(role, "index", None) == 0:
            await role.channel.send(role.next_tag(), bytes([2]) + bytes(8))  # type: ignore[attr-defined]
            return None
        return await reveal(role, x)

    with pytest.raises(PeerError, match="nonsense"):
        together(op, ring([7]))


# Attention.


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
    program = _attention(op, q, k, v, start)[0] - _exact(op, q, k, v, start)
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
    want = _attention(op, q, k, v, 7)[0]
    assert np.abs(got - want).max() < 4
    assert np.abs(want[0] - v[:2].mean(axis=0)).max() < 2
