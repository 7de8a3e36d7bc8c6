"""The engines under test and the data they are tested on.

``engine`` runs over every backend that this machine has; ``reference`` is the definition.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest

from tests.conformance.values import EDGES
from veracity.engine import ORDER, load_engine


@pytest.fixture(scope="session")
def reference():
    return load_engine("reference")


@pytest.fixture(scope="session", params=["cpu"])
def engine(request):
    return load_engine(request.param)


@pytest.fixture(scope="session", params=["cpu", "reference"])
def each(request):
    """Every backend in turn, the definition too."""
    return load_engine(request.param)


@pytest.fixture
def rng(request) -> random.Random:
    """Deterministic randomness, another one for each test."""
    return random.Random(request.node.nodeid)


@pytest.fixture
def fss(engine):
    """Function secret sharing of every fast backend."""
    return engine.fss


@pytest.fixture
def draw(rng) -> Callable[..., np.ndarray]:
    """Uniform words of a shape."""
    generator = np.random.default_rng(rng.getrandbits(64))
    return lambda *shape: generator.integers(0, 2**64, size=shape, dtype=np.uint64)


@pytest.fixture
def scalars(rng) -> Callable[[int], list[int]]:
    """``n`` scalars: uniform ones, small ones and the edges of the range."""

    def draw(n: int) -> list[int]:
        kinds = (
            lambda: rng.randrange(ORDER),
            lambda: rng.randrange(ORDER),
            lambda: rng.choice(EDGES),
            lambda: rng.randrange(1 << 16),
        )
        return [rng.choice(kinds)() for _ in range(n)]

    return draw


@pytest.fixture
def small(rng) -> Callable[..., np.ndarray]:
    """A small-integer array: random, zeros in places, the extremes of the dtype in places."""

    def draw(dtype: str, *shape: int) -> np.ndarray:
        info = np.iinfo(dtype)
        generator = np.random.default_rng(rng.getrandbits(64))
        out = generator.integers(info.min, info.max, size=shape, dtype=dtype, endpoint=True)
        kind = generator.integers(0, 6, size=shape)
        out[kind == 0] = 0
        out[kind == 1] = info.min
        out[kind == 2] = info.max
        return out

    return draw
