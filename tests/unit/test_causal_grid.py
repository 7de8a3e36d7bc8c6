"""Parts of a causal square hold every entry that a row sees, once; sums over them are whole."""

from __future__ import annotations

import numpy as np
import pytest

from veracity.zkml.circuit.tensor import Tensor
from veracity.zkml.ops.causal_grid import LONG, Grid

HEADS = 2
TOKENS = [1, 2, LONG, LONG + 1, 40, 63, 64, 65, 100]


def square(grid: Grid) -> np.ndarray:
    """An integer of its own for every entry that a row sees, zero elsewhere."""
    n = grid.padded
    numbers = np.arange(1, grid.heads * n * n + 1).reshape(grid.heads, n, n)
    return np.tril(numbers)


@pytest.mark.parametrize("tokens", TOKENS)
def test_every_visible_entry_stands_in_one_part(tokens: int) -> None:
    grid = Grid.of(HEADS, tokens)
    assert tokens <= grid.padded < tokens + grid.rows[-1]
    whole = square(grid)
    found: list[int] = []
    for part in grid.parts:
        values = part.cut(whole)
        assert values is not None
        assert values.shape == part.dims
        below = np.tril(np.ones(values.shape[-2:], dtype=bool))
        visible = np.broadcast_to(below if part.causal else True, values.shape)
        assert np.all((values != 0) == visible)
        found += values[visible].tolist()
    assert sorted(found) == whole[whole != 0].tolist()


@pytest.mark.parametrize("tokens", TOKENS)
def test_sums_over_parts_are_sums_of_rows(tokens: int) -> None:
    grid = Grid.of(HEADS, tokens)
    whole, total = square(grid), np.zeros(grid.rows, dtype=np.int64)
    for part in grid.parts:
        values = Tensor.public(part.cut(whole), proving=True)
        rows = part.to_rows(values.sum(len(part.dims) - 1))
        assert rows.dims == grid.rows
        assert rows.value is not None
        total += rows.value
    assert np.array_equal(total.reshape(HEADS, -1), whole.sum(axis=-1))


@pytest.mark.parametrize("tokens", TOKENS)
def test_tokens_and_values_of_rows_lie_where_the_square_has_them(tokens: int) -> None:
    grid = Grid.of(HEADS, tokens)
    x = Tensor.public(np.arange(1, tokens + 1), proving=True)
    padded = np.zeros(grid.padded, dtype=np.int64)
    padded[:tokens] = np.arange(1, tokens + 1)
    n = grid.padded
    of_rows = Tensor.public(np.stack([padded] * HEADS).reshape(grid.rows), proving=True)
    for part in grid.parts:
        targets, sources = (
            part.cut(np.broadcast_to(line, (HEADS, n, n)).copy())
            for line in (padded[:, None], padded[None, :])
        )
        queries, keys, gathered = part.queries(x, 0), part.keys(x, 0), part.of_rows(of_rows)
        assert np.array_equal(queries.value, targets[0, ..., 0])
        assert np.array_equal(keys.value, sources[0, ..., 0, :])
        assert np.array_equal(gathered.value, targets[..., 0])


@pytest.mark.parametrize("tokens", TOKENS)
@pytest.mark.parametrize("share", [0.01, 0.3])
def test_one_zero_is_chosen_in_every_row(tokens: int, share: float) -> None:
    grid = Grid.of(HEADS, tokens)
    n = grid.padded
    drawn = np.random.default_rng(tokens).random((HEADS, n, n)) < share
    drawn[:, np.arange(n), np.random.default_rng(1).integers(0, np.arange(n) + 1)] = True
    distances = np.where(drawn, 0, 7)
    chosen = np.zeros((HEADS, n), dtype=np.int64)
    ones = grid.first_zeros([part.cut(distances) for part in grid.parts])
    for part, one in zip(grid.parts, ones, strict=True):
        assert one is not None
        assert np.all(part.cut(distances)[one == 1] == 0)
        if part.causal:
            assert np.array_equal(one, np.tril(one))
        rows = Tensor.public(one.astype(np.int64), proving=True).sum(len(part.dims) - 1)
        chosen += part.to_rows(rows).value.reshape(HEADS, n)
    assert np.all(chosen == 1)


def test_a_row_without_a_zero_has_a_false_one() -> None:
    """The cheating prover's: the sum of its picks is one, and the product is not zero."""
    grid = Grid.of(HEADS, LONG + 1)
    ones = grid.first_zeros([np.ones(part.dims, dtype=np.int64) for part in grid.parts])
    assert sum(int(one.sum()) for one in ones) == HEADS * grid.padded


def test_whole_squares_stay_whole() -> None:
    assert Grid.of(HEADS, 500, whole=True).parts[0].dims == (HEADS, 500, 500)
    assert len(Grid.of(HEADS, LONG).parts) == 1
    assert len(Grid.of(HEADS, LONG + 1).parts) == 2


@pytest.mark.parametrize("tokens", TOKENS)
@pytest.mark.parametrize("window", [1, 3, 50, 1000])
def test_windows_hide_what_lies_before_them(tokens: int, window: int) -> None:
    grid = Grid.of(HEADS, tokens)
    at = np.arange(grid.padded)
    beyond = np.broadcast_to(at <= at[:, None] - window, (HEADS, grid.padded, grid.padded))
    for part in grid.parts:
        side = part.dims[-1]
        limits = np.asarray(part.beyond(window)).reshape(-1, side)
        bits = np.arange(side) < limits[..., None]
        assert np.array_equal(bits.reshape(part.dims[1:]), part.cut(beyond.copy())[0])
