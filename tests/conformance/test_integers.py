"""Exact integer products against NumPy's."""

from __future__ import annotations

import numpy as np
import pytest

from tests.conformance.values import DTYPES

SHAPES = [
    (1, 1, 1), (1, 7, 5), (1, 33, 576), (2, 9, 2000), (3, 100, 31), (7, 5, 64), (40, 65, 100),
    (14, 1, 1), (20, 31, 7), (16, 33, 1100),
]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bits", [1, 8, 16, 25, 63])
@pytest.mark.parametrize("shape", SHAPES)
def test_products(engine, reference, small, rng, dtype, bits, shape):
    rows, count, width = shape
    w = small(dtype, count, width)
    generator = np.random.default_rng(rng.getrandbits(64))
    high = 1 << (bits - 1)
    x = generator.integers(-high, high, size=(rows, width), dtype=np.int64)
    x[generator.integers(0, 5, size=x.shape) == 0] = -high
    # NumPy's integers wrap in the same way.
    expected = (x[:, None, :] * w.astype(np.int64)[None, :, :]).sum(axis=2)
    np.testing.assert_array_equal(engine.integers.matmul_transposed(x, w), expected)
    if w.size <= 1 << 11:
        found = reference.integers.matmul_transposed(x, w)
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == np.int64


def test_extremes(engine):
    """The largest digits, long enough to overflow sums of 32 bits."""
    w = np.full((3, 9000), -(1 << 15), dtype=np.int16)
    for rows in (2, 20):
        x = np.full((rows, 9000), -(1 << 7), dtype=np.int64)
        assert (engine.integers.matmul_transposed(x, w) == 9000 << 22).all()


def test_empty_and_bad(engine, reference):
    x, w = np.zeros((2, 3), dtype=np.int64), np.zeros((4, 3), dtype=np.int16)
    for e in (engine, reference):
        assert e.integers.matmul_transposed(x[:0], w).shape == (0, 4)
        assert e.integers.matmul_transposed(x, w[:0]).shape == (2, 0)
        for bad in (
            (x[:, :2], w),
            (x[0], w),
            (x.astype(np.int32), w),
            (x, w.astype(np.float32)),
            (x, np.zeros((3, 4), dtype=np.int16).T),
        ):
            with pytest.raises(ValueError):
                e.integers.matmul_transposed(*bad)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [0, 1, 1000, 100_000])
def test_counts(engine, reference, rng, dtype, n):
    """Long enough for several threads to count; a table that begins below zero, and one above."""
    generator = np.random.default_rng(rng.getrandbits(64))
    for low, size in ((0, 100), (-70, 90) if np.dtype(dtype).kind == "i" else (20, 40)):
        values = generator.integers(low, low + size, size=n).astype(dtype)
        more = generator.integers(low, low + size, size=(3, 5))
        expected = reference.integers.count([values, more, values[: n // 2]], low, size)
        found = engine.integers.count([values, more, values[: n // 2]], low, size)
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == expected.dtype == np.int64
        assert found.sum() == n + 15 + n // 2


def test_counts_of_what_is_not_there(engine, reference):
    x = np.arange(-2, 3, dtype=np.int16)
    wide = np.array([-(1 << 63), (1 << 63) - 1])
    for e in (engine, reference):
        assert e.integers.count([x], -2, 5).tolist() == [1] * 5
        assert e.integers.count([wide[:1]], -(1 << 63), 1).tolist() == [1]
        assert e.integers.count([x[:0]], 0, 0).tolist() == []
        assert e.integers.count([], 3, 2).tolist() == [0, 0]
        for bad in (
            ([x], -1, 5),
            ([x], -2, 4),
            ([x], 0, 0),
            ([x], -2, -1),
            ([wide], 0, 1),
            ([x], 1 << 63, 1),
            ([x[::2]], -2, 5),
            ([x, x.astype(np.float64)], -2, 5),
        ):
            with pytest.raises(ValueError):
                e.integers.count(*bad)
