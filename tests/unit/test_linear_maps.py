"""Linear maps of a circuit: ``pull`` is the transpose of ``forward``, alone and in chains.

A map that is wired in one way for the prover's integers and in another for the verifier's claims
would prove something else than was computed, and every proof would still verify.
"""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from veracity.engine import load_engine
from veracity.engine.api import ORDER
from veracity.zk.mle import kron
from veracity.zk.reduction import Functional, _weighed, dense
from veracity.zkml.circuit import linear_maps
from veracity.zkml.circuit.linear_maps import (
    Blocks,
    Broadcast,
    Causal,
    Fold,
    Gather,
    LinearMap,
    Permute,
    Rotate,
    Slice,
    Split,
    Sum,
    pull_back,
)

ENGINE = load_engine("reference")
SIZES = st.integers(1, 4)
DIMS = st.lists(SIZES, min_size=1, max_size=4).map(tuple)
MOST = 1 << 20

Dims = tuple[int, ...]


@st.composite
def broadcasts(draw: st.DrawFn, dims: Dims) -> LinearMap:
    return Broadcast(draw(st.integers(0, len(dims))), draw(SIZES))


@st.composite
def sums(draw: st.DrawFn, dims: Dims) -> LinearMap:
    axis = draw(st.integers(0, len(dims) - 1))
    return Sum(axis, dims[axis])


@st.composite
def permutations(draw: st.DrawFn, dims: Dims) -> LinearMap:
    return Permute(tuple(draw(st.permutations(range(len(dims))))))


@st.composite
def splits(draw: st.DrawFn, dims: Dims) -> LinearMap:
    axis = draw(st.integers(0, len(dims) - 1))
    first = draw(st.sampled_from([n for n in range(1, dims[axis] + 1) if dims[axis] % n == 0]))
    return Split(axis, (first, dims[axis] // first))


@st.composite
def slices(draw: st.DrawFn, dims: Dims) -> LinearMap:
    axis = draw(st.integers(0, len(dims) - 1))
    start = draw(st.integers(0, dims[axis] - 1))
    return Slice(axis, start, draw(st.integers(start + 1, dims[axis])), dims[axis])


@st.composite
def gathers(draw: st.DrawFn, dims: Dims) -> LinearMap:
    axis = draw(st.integers(0, len(dims) - 1))
    indices = draw(st.lists(st.integers(0, dims[axis] - 1), min_size=1, max_size=6))
    return Gather(tuple(indices), dims[axis], axis)


@st.composite
def stretches(draw: st.DrawFn, dims: Dims) -> LinearMap:
    axis, side = draw(st.integers(0, len(dims) - 1)), draw(SIZES)
    last = -(-dims[axis] // side) - 1
    numbers = draw(st.lists(st.integers(0, last), min_size=1, max_size=4))
    return Blocks(axis, tuple(numbers), side, dims[axis])


@st.composite
def folds(draw: st.DrawFn, dims: Dims) -> LinearMap:
    axis, size = draw(st.integers(0, len(dims) - 1)), draw(SIZES)
    indices = draw(
        st.lists(st.integers(0, size - 1), min_size=dims[axis], max_size=dims[axis]).map(tuple)
    )
    return Fold(axis, indices, size)


#: Maps that keep axes apart: they can follow each other in any order.
WIRINGS = {
    Blocks: stretches,
    Broadcast: broadcasts,
    Fold: folds,
    Gather: gathers,
    Permute: permutations,
    Slice: slices,
    Split: splits,
    Sum: sums,
}


@st.composite
def chains(draw: st.DrawFn) -> tuple[Dims, list[LinearMap]]:
    """A chain of up to four maps with the dims of its source."""
    source = dims = draw(DIMS)
    maps: list[LinearMap] = []
    for kind in draw(st.lists(st.sampled_from(sorted(WIRINGS, key=str)), min_size=1, max_size=4)):
        if kind is Sum and len(dims) == 1:
            continue  # a claim needs an axis
        maps.append(draw(WIRINGS[kind](dims)))
        dims = maps[-1].shape(dims)
    return source, maps


def functional(dims: Dims, seed: int) -> Functional:
    """A random functional, one vector per axis."""
    rng = np.random.default_rng(seed)
    return tuple(
        (1, ENGINE.from_ints([int(v) for v in rng.integers(-MOST, MOST, d)])) for d in dims
    )


def applied(weights: Functional, x: NDArray[np.int64]) -> int:
    """``<w, x>``."""
    flat = ENGINE.from_small(np.ascontiguousarray(x, dtype=np.int64).reshape(-1))
    return ENGINE.dot(kron(ENGINE, [v for _, v in weights]), flat)


def check(dims: Dims, maps: list[LinearMap], seed: int) -> None:
    """``<w, f(x)> = factor <pull(w), x>``, dims as stated, magnitudes within the gain."""
    x = np.random.default_rng(seed).integers(-MOST, MOST, dims)
    y, gain = x, 1
    for linear_map in maps:
        expected = linear_map.shape(y.shape)
        y = linear_map.forward(y)
        assert y.shape == expected
        gain *= linear_map.gain()
    assert np.abs(y).max() <= gain * np.abs(x).max()
    w = functional(y.shape, seed + 1)
    factor, placed = pull_back(ENGINE, maps, w)
    pulled = dense(ENGINE, placed)
    for (_, short), (_, long) in zip(placed, pulled, strict=True):
        table = ENGINE.from_ints(range(3, 3 + len(long)))
        assert _weighed(ENGINE, short, table) == ENGINE.dot(long, table)
    assert sum(span for span, _ in pulled) == len(dims)
    assert applied(w, y) == factor * applied(pulled, x) % ORDER


@settings(deadline=None, max_examples=200)
@given(chains(), st.integers(0, 1 << 30))
def test_pull_is_the_transpose_of_forward(chain: tuple[Dims, list[LinearMap]], seed: int) -> None:
    check(*chain, seed)


@settings(deadline=None, max_examples=50)
@given(st.lists(SIZES, max_size=2).map(tuple), st.integers(1, 5), st.booleans(), st.integers(0, 99))
def test_masks_are_their_own_transpose(outer: Dims, size: int, visible: bool, seed: int) -> None:
    check((*outer, size, size), [Causal(size, visible)], seed)


@settings(deadline=None, max_examples=50)
@given(SIZES, SIZES, SIZES, st.booleans(), st.integers(0, 99))
def test_rotations_turn_back(
    tokens: int, heads: int, pairs: int, interleaved: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    cos, sin = rng.integers(-(1 << 14), 1 << 14, (2, tokens, pairs))
    rotation = Rotate(tokens, heads, pairs, interleaved, cos.tobytes(), sin.tobytes())
    check((tokens, 2 * heads * pairs), [rotation], seed)
    split = Split(1, (heads, 2 * pairs))
    check((tokens, 2 * heads * pairs), [rotation, split], seed)


def test_joined_axes_are_not_rewired() -> None:
    """Behind a mask two axes share a vector: a map that needs them apart says so."""
    joined = Causal(3, True).pull(ENGINE, functional((3, 3), 0))[1]
    with pytest.raises(ValueError, match="joined"):
        Permute((1, 0)).pull(ENGINE, joined)


def test_every_map_is_among_them() -> None:
    found = {
        kind
        for _, kind in inspect.getmembers(linear_maps, inspect.isclass)
        if kind.__module__ == linear_maps.__name__ and kind is not LinearMap
    }
    assert found == {*WIRINGS, Causal, Rotate}
