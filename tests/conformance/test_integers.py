"""Exact integer products against NumPy's."""

from __future__ import annotations

import numpy as np
import pytest

from tests.conformance.values import DTYPES
from veracity.engine.integers import matmul_transposed

SHAPES = [(1, 1, 1), (1, 7, 5), (1, 33, 576), (2, 9, 2000), (3, 100, 31), (7, 5, 64), (40, 65, 100)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bits", [1, 8, 16, 25, 63])
@pytest.mark.parametrize("shape", SHAPES)
def test_products(small, rng, dtype, bits, shape):
    rows, count, width = shape
    w = small(dtype, count, width)
    generator = np.random.default_rng(rng.getrandbits(64))
    high = 1 << (bits - 1)
    x = generator.integers(-high, high, size=(rows, width), dtype=np.int64)
    x[generator.integers(0, 5, size=x.shape) == 0] = -high
    # NumPy's integers wrap in the same way.
    expected = (x[:, None, :] * w.astype(np.int64)[None, :, :]).sum(axis=2)
    np.testing.assert_array_equal(matmul_transposed(x, w), expected)


def test_extremes():
    """The largest digits, long enough to overflow sums of 32 bits."""
    w = np.full((3, 9000), -(1 << 15), dtype=np.int16)
    x = np.full((2, 9000), -(1 << 7), dtype=np.int64)
    assert (matmul_transposed(x, w) == 9000 << 22).all()


def test_empty_and_bad():
    x, w = np.zeros((2, 3), dtype=np.int64), np.zeros((4, 3), dtype=np.int16)
    assert matmul_transposed(x[:0], w).shape == (0, 4)
    assert matmul_transposed(x, w[:0]).shape == (2, 0)
    for bad in ((x[:, :2], w), (x[0], w), (x.astype(np.int32), w), (x, w.astype(np.float32))):
        with pytest.raises(ValueError):
            matmul_transposed(*bad)
    with pytest.raises(ValueError):
        matmul_transposed(x, np.zeros((3, 4), dtype=np.int16).T)
