"""Openings, linear layers and products on shares: exact, or rounded without bias."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from tests.support.secure_operations import RNG, checked, opens, results
from tests.support.secure_parties import masks_fit, opened, ring, together
from veracity.mpc.secure.linear import linear, linear_of_secret
from veracity.mpc.secure.opening import (
    Opening,
    open_ahead,
    open_values,
    plus,
    share_of,
    share_of_mask,
)
from veracity.mpc.secure.product import product
from veracity.mpc.secure.role import Masked, Role, Secret


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


def test_products_with_weights_are_opened_with_what_they_are_of() -> None:
    weights = {"a": RNG.integers(-30000, 30000, (4, 6)).astype(np.int16)}
    x = RNG.integers(-(1 << 24), 1 << 24, (3, 6))

    def op(ahead: bool) -> Any:
        async def run(role: Role, x: Secret) -> tuple[Masked, Masked, Masked]:
            def then(opened: Any) -> list[Opening]:
                return [
                    Opening(s) for s in linear(role, opened[0], [("a", "matrix")], {"a": (4, 6)})
                ]

            if ahead:
                (first,), (second,) = await open_ahead(role, [Opening(x)], then)
            else:
                (first,) = await open_values(role, [Opening(x)])
                (second,) = await open_values(role, then([first]))
            square = product(role, np.multiply, second, second, second.shape)
            (third,) = await open_values(role, [Opening(square)])
            return first, second, third

        return run

    exact = x @ weights["a"].T.astype(np.int64)
    for ahead in (True, False):
        done = checked(together(op(ahead), ring(x), weights=weights))
        for i, want in enumerate((x, exact, exact * exact)):
            assert np.array_equal(opened(results(done, i)), want)
        assert done.measured.exchanges == 3
        # The owner has the products as soon as it has x, and is ahead: two hops instead of three
        # to where the first of both has the squares.
        hops = sorted(role.channel.traffic.hops for role in done.roles[1:])  # type: ignore[union-attr]
        assert hops == ([2, 3] if ahead else [3, 3])


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
