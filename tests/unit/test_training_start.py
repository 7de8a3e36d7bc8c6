"""The first weights as whoever verifies makes them: rows from blocks, and no tensor in memory."""

from __future__ import annotations

import tracemalloc
from math import prod

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.support.training import ENGINE, unblinded
from veracity.graph.training import Recipe, start_weights
from veracity.graph.training import start as drawing
from veracity.graph.training.network import Network, dense
from veracity.zk.committed import RowLayout
from veracity.zk.keys import CommitmentKey, load_key
from veracity.zkml.training import start as starting
from veracity.zkml.training.start import start_rows
from veracity.zkml.training.state import weight_row_bits, weight_specs

LENET = Network(
    (28, 28, 1), ("conv 5 5x5", "relu", "avgpool 2", "conv 6 3x3", "relu", "flatten", "dense 10")
)


@pytest.fixture(scope="module")
def key() -> CommitmentKey:
    return load_key(ENGINE, 12)


@pytest.mark.parametrize("network", [dense(700, 9, 600, 3), dense(5000, 3, 2), LENET])
@pytest.mark.parametrize("block", [1000, drawing.BLOCK])
def test_rows_are_those_of_the_weights(
    network: Network, block: int, key: CommitmentKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In either order of axes, with rows that are not full, and blocks that end anywhere."""
    monkeypatch.setattr(drawing, "BLOCK", block)
    monkeypatch.setattr(starting, "BLOCK", 2 * block)
    recipe, seed = Recipe(network, 1, (1,)), b"s" * 32
    expected = unblinded(recipe, start_weights(recipe, seed), key)
    found = start_rows(ENGINE, key, recipe, seed)
    assert list(found) == list(expected)
    assert found == expected
    assert found != start_rows(ENGINE, key, recipe, b"t" * 32)


@given(st.lists(st.integers(1, 70), min_size=1, max_size=4), st.integers(0, 9), st.integers(1, 50))
@settings(deadline=None, max_examples=100)
def test_rows_lie_as_the_layout_says(dims: list[int], bits: int, block: int) -> None:
    assume(prod(dims) <= 1 << 14)
    values = np.arange(prod(dims), dtype=np.int32)
    layout = RowLayout(tuple(dims), bits, 9)
    blocks = (values[i : i + block] for i in range(0, len(values), block))
    rows = np.concatenate(list(starting._matrices(layout, blocks)))
    assert np.array_equal(rows, layout.matrix(values.reshape(dims)))


@given(st.lists(st.integers(1, 3000), min_size=1, max_size=4))
@settings(deadline=None)
def test_weights_are_drawn_as_they_are_committed(dims: list[int]) -> None:
    recipe = Recipe(dense(2, 2), 1, (1,))
    spec = next(iter(weight_specs(recipe).values()))
    assert type(spec)(tuple(dims), 0, 0, 1, 9).order == drawing.drawing_order(tuple(dims))


@pytest.mark.parametrize(("width", "bits"), [(100, 12), (1 << 12, 16), (1 << 13, 18)])
def test_rows_grow_with_the_network(width: int, bits: int) -> None:
    """So a cut of 67 million weights, the most with rows of 2^16, has 1,024 of them."""
    assert weight_row_bits(Recipe(dense(width, width, 2), 1, (1,))) == bits


def test_memory_is_that_of_some_rows(key: CommitmentKey, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two million weights, which would take 16 MB."""
    monkeypatch.setattr(drawing, "BLOCK", 1 << 12)
    monkeypatch.setattr(starting, "BLOCK", 1 << 12)
    recipe = Recipe(dense(1000, 2000, 2), 1, (1,))
    tracemalloc.start()
    start_rows(ENGINE, key, recipe, bytes(32))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20


def test_shorter_rows_have_the_first_generators(key: CommitmentKey) -> None:
    shorter, own = key.prefix(10), load_key(ENGINE, 10)
    assert shorter.log_columns == 10
    assert ENGINE.compress(shorter.columns) == ENGINE.compress(own.columns)
    with pytest.raises(ValueError, match="longer rows"):
        key.prefix(13)
