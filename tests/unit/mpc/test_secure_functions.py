"""Functions on shares: exact where they say so, bounded where they say that."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from tests.support.secure_operations import RNG, checked, opens, results
from tests.support.secure_parties import opened, ring, together
from veracity.errors import UnsupportedModelError, UsageError
from veracity.graph.functions import find_function
from veracity.graph.ops import Function, Norm, Rope, rotary
from veracity.graph.ops.norm import normalise
from veracity.graph.tables import function_table
from veracity.mpc.secure.attention import exp_fit
from veracity.mpc.secure.functions import fit_function, fit_pieces, function
from veracity.mpc.secure.norm import norm
from veracity.mpc.secure.opening import open_values
from veracity.mpc.secure.piecewise import SeveralPieces, fit, piecewise, piecewise_wrapped
from veracity.mpc.secure.reciprocal import groups, openings, total
from veracity.mpc.secure.role import Masked, Role, Secret
from veracity.mpc.secure.rotary import rotate
from veracity.mpc.secure.tables import Table, look_up, tabulate


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
        (found,) = piecewise_wrapped(role, [masked], SeveralPieces((pieces,)))
        return found

    away = RNG.integers(-(1 << 50), 1 << 50, x.shape) << bits
    done = checked(together(op, ring(x - low + away)))
    assert np.array_equal(opened(results(done)), pieces(x))


@pytest.mark.parametrize("exp_k", [1, 3, 4, 6, 10])
def test_the_exponential_is_good_to_a_few_units(exp_k: int) -> None:
    found, unit = exp_fit(exp_k), 1 << (exp_k + 3)
    x = np.arange(30 * unit)
    exact = np.where(x < 22 * unit, np.exp(-x / unit) * 2**15, 0)
    assert isinstance(found, Table) == (exp_k >= 3)
    for y in found.values(x) if isinstance(found, Table) else (found(x),):
        error = np.abs(y / 2.0**found.scale - exact)
        limit = 40 if exp_k == 1 else 1.2 + exact * 2.0**-13.4
        assert (error < limit).all()
    # Up to 1024 nats and the bound's 10 apart, and nothing comes back round the end.
    far = np.arange(23 * unit, (1 << 19) + 10 * unit)
    for y in found.values(far) if isinstance(found, Table) else (found(far),):
        assert not y.any()


def test_pieces_have_their_knots_in_the_domain() -> None:
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


@pytest.mark.parametrize("power", [-0.5, -1.0])
def test_powers_over_forty_octaves(power: float) -> None:
    def f(x: Any) -> Any:
        return 2.0**40 * x**power

    def exactly(x: int) -> Decimal:
        return Decimal(1 << 40) / (Decimal(x).sqrt() if power == -0.5 else x)

    over = groups(exactly, 20, 60, 60)
    x = np.asarray(2.0 ** RNG.uniform(20.01, 59.99, 3000)).astype(np.int64)
    # Where one group ends and the next begins, which see x truncated differently.
    x = np.concatenate([x, *[(1 << g.low) + RNG.integers(-999, 999, 200) for g in over.each[1:]]])

    async def op(role: Role, x: Secret) -> Masked:
        masked = await opens(role, x, 0, 64)
        count = len(over.each)
        parts = openings(role, [masked] * count, over, [6] * count)
        return total(await open_values(role, parts))

    done = together(op, ring(x))
    got, exact = opened(results(done)) / 64.0, f(x.astype(np.float64))
    assert (np.abs(got - exact) <= exact * 2.0**-11 + len(over.each) / 64).all()
    large = (exact > 2**14)[:3000]
    relative = (got / exact - 1)[:3000][large]
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
    exact = normalise(op, x)[0]
    got = opened(results(done)) / 2.0**22
    # Relative 2^-12 of rho, and the program's own rounding.
    assert (np.abs(got - exact) <= np.abs(exact) * 2.0**-12 + 1.5).all()
    assert abs((got - exact).mean()) < 0.1
    with pytest.raises(UnsupportedModelError):
        together(lambda role, x: norm(role, op, Masked(x.share), 1), ring(x))
    huge = replace(op, eps=1 << 62)
    with pytest.raises(UnsupportedModelError, match="eps"):
        together(lambda role, x: norm(role, huge, Masked(x.share), 0), ring(x))


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


@pytest.mark.parametrize(("fn", "k_in", "k_out"), [("silu", 9, 11), ("relu", 5, 10)])
def test_functions_end_where_the_programs_do(fn: str, k_in: int, k_out: int) -> None:
    # Results beyond 16 bits are cut off there, in a corner.
    x = np.arange(-(1 << 15), 1 << 15, 5)
    error = in_shares(fn, k_in, k_out, x, 0) - function_table(fn, k_in, k_out)[x + (1 << 15)]
    assert np.abs(error).max() < 1.7


@pytest.mark.parametrize("guard", [0, 1])
def test_relu_is_exact(guard: int) -> None:
    x = np.concatenate([RNG.integers(-(1 << 15), 1 << 15, 2000), np.arange(-3, 4)])
    got = in_shares("relu", 11, 11, x, guard)
    assert np.array_equal(got, function_table("relu", 11, 11)[x + (1 << 15)])
    assert np.array_equal(got, np.maximum(x, 0))
    # Other exponents: what the program rounds to the nearest stays between two units.
    got = in_shares("relu", 11, 8, x, guard)
    assert np.abs(got - function_table("relu", 11, 8)[x + (1 << 15)]).max() <= 0.5


def in_shares(fn: str, k_in: int, k_out: int, x: np.ndarray, guard: int) -> np.ndarray:
    """The function of x by all three roles, before its rounding, in units of the program."""
    op = Function(name="f", x="x", fn=fn, k_in=k_in, k_out=k_out)

    async def run(role: Role, x: Secret) -> Secret:
        y, shift, _ = function(role, op, await opens(role, x, 0, 64), guard)
        return y.map(lambda v: v << np.uint64(47 - shift))

    return opened(results(checked(together(run, ring(x << guard))))) / 2.0**47


@pytest.mark.parametrize("fn", ["silu", "gelu", "relu", "tanh", "abs", "leaky(0.01)", "clip(0;6)"])
@pytest.mark.parametrize(("k_in", "k_out"), [(11, 11), (9, 9), (4, 4), (5, 10), (0, 16)])
def test_no_fit_is_off_by_more_than_a_unit(fn: str, k_in: int, k_out: int) -> None:
    """The measure that a fit passes, taken again with floats at every argument."""
    x = np.arange(-(1 << 15), 1 << 15)
    exact = find_function(fn)[0](x * 2.0**-k_in) * 2.0**k_out
    found = fit_function(fn, k_in, k_out, 1)
    either = found.values(2 * x) if isinstance(found, Table) else (found(2 * x),)
    for y in either:
        # A unit, and the half that the program's own integers may be off.
        assert np.abs(y / 2.0**found.scale - np.clip(exact, -(1 << 15), (1 << 15) - 1)).max() <= 2


@pytest.mark.parametrize(
    ("fn", "k", "rows"), [("gelu_tanh", 11, 164), ("silu", 9, 305), ("silu", 8, 284)]
)
def test_rows_that_no_value_needs_are_zero(fn: str, k: int, rows: int) -> None:
    """And one run of the table, as kernels leave out one."""
    found = fit_function(fn, k, k, 1)
    assert isinstance(found, Table)
    filled = found.coefficients.any(axis=1)
    assert filled.sum() == rows
    assert np.count_nonzero(filled != np.roll(filled, 1)) == 2


def test_a_table_without_its_rows_of_zeros_is_the_table() -> None:
    """For all arguments and a 32nd beyond, but for a quarter of a unit where values are less."""
    fn, guard = "silu", 1
    trimmed = fit_function(fn, 9, 9, guard)
    assert isinstance(trimmed, Table)
    exact = find_function(fn)[1]
    whole = tabulate(lambda x: exact(Decimal(x) / 1024) * 512, 18, trimmed.high)
    x = np.arange(-33 << 10, 33 << 10) << guard
    for got, want in zip(trimmed.values(x), whole.values(x), strict=True):
        small = np.abs(want) < 1 << (whole.scale - 2)
        assert np.array_equal(got[~small], want[~small])
        assert (np.abs(got - want)[small] < 1 << (whole.scale - 2)).all()
    either = [y[x == 60000] for y in trimmed.values(x)]
    assert all(abs(y / 2.0**trimmed.scale - 30000).max() < 1 for y in either)


def test_a_function_that_no_fit_serves_is_refused() -> None:
    # Smooth everywhere but at 0: tables alone would miss by up to 56 units, unnoticed.
    missed = [
        np.abs(y / 2.0**18 - np.maximum(np.arange(-(1 << 15), 1 << 15), 0)).max()
        for y in tabulate(lambda x: Decimal(max(x, 0)), 17, 8).values(
            np.arange(-(1 << 15), 1 << 15)
        )
    ]
    assert 55 < max(missed) < 57
    with pytest.raises(UnsupportedModelError, match="miss by more than 1 unit"):
        fit_function("floor", 6, 6, 0)  # a thousand steps
    steps = function_table("relu", 8, 8) + 40 * (np.arange(1 << 16) % 2)
    with pytest.raises(UnsupportedModelError, match="miss by more than 1 unit"):
        fit_pieces(lambda x: Decimal(max(x, 0)), steps, 0)
    with pytest.raises(UnsupportedModelError, match="miss by more than 1 unit"):
        fit_pieces(lambda x: Decimal(abs(x) % 999), np.abs(np.arange(-(1 << 15), 1 << 15)) % 999, 0)


@pytest.mark.parametrize("style", ["interleaved", "half"])
def test_rotations(style: Any) -> None:
    op = Rope(name="r", x="x", heads=3, head_dim=8, style=style, base="10000", frac=14, bits=16)
    x = RNG.integers(-30000, 30000, (7, 24))

    async def run(role: Role, x: Secret) -> Masked:
        masked = await opens(role, x, 12, 30)
        return masked.map(lambda v: rotate(op, v, 20), exact=False)

    # Two bits more than the program's, as passes have.
    done = checked(together(run, ring(x << 14)))
    error = opened(results(done)) / 4 - rotary.rotate(op, x, 20)
    assert np.abs(error).max() < 1.5
    assert abs(error.mean()) < 0.1
