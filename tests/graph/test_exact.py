"""Products in float64 are those of integers, whatever blocks they are computed in."""

from __future__ import annotations

import numpy as np
import pytest

from veracity.graph import exact
from veracity.graph.exact import EXACT, matmul, transformed

SHAPES = [
    (1, 7, 9), (7, 9, 1), (40, 3, 50), (200, 70, 33), (3, 2000, 5), (9, 300_000, 2), (1500, 64, 40),
    (5, 0, 4), (0, 3, 2), (700, 500, 200),
]  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_products_are_exact(shape: tuple[int, int, int]) -> None:
    rows, k, columns = shape
    made = np.random.default_rng(rows + k + columns)
    most = int((EXACT // max(1, k)) ** 0.5) // 2
    a = made.integers(-most, most, (2, rows, k))
    b = made.integers(-most, most, (2, k, columns))
    told = matmul(a, b)
    assert told.shape == (2, rows, columns)
    some, others = (made.permutation(n)[:20] for n in (rows, columns))
    whole = a[:, some].astype(object) @ b[:, :, others].astype(object)
    assert (told[:, some][:, :, others] == whole).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_blocks_cover_a_product(shape: tuple[int, int, int]) -> None:
    high, wide = exact._block(*shape)
    for block, whole in ((high, shape[0]), (wide, shape[2])):
        assert 0 < block <= whole or whole == 0
    assert high * shape[1] * wide <= max(exact.SMALL, 64 * shape[1])


def test_a_public_matrix_times_an_axis() -> None:
    made = np.random.default_rng(5)
    matrix, x = made.integers(-99, 99, (6, 40)), made.integers(-(1 << 20), 1 << 20, (3, 40, 700))
    assert (transformed(matrix, x, 1) == np.einsum("ij,ajk->aik", matrix, x)).all()
    assert (
        transformed(matrix, x.swapaxes(1, 2), 2).swapaxes(1, 2) == transformed(matrix, x, 1)
    ).all()
