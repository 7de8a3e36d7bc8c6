"""Field vectors: every backend gives what the reference engine gives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conformance.values import DTYPES, EDGES
from veracity.engine import ORDER, load_engine

# Around the lanes of a vector register, and around the chunks that threads take.
SIZES = [0, 1, 2, 3, 7, 8, 9, 16, 31, 65, 300, 2047, 4099]


@pytest.mark.parametrize("n", SIZES)
def test_round_trip(engine, scalars, n):
    values = scalars(n)
    v = engine.from_ints(values)
    assert len(v) == n
    assert engine.to_ints(v) == values


def test_inputs_are_reduced(engine):
    values = [-1, ORDER, ORDER + 5, -ORDER - 7, 1 << 300, -(1 << 300)]
    assert engine.to_ints(engine.from_ints(values)) == [v % ORDER for v in values]
    a = engine.from_ints([3, 4])
    assert engine.to_ints(engine.scale(a, -1)) == [ORDER - 3, ORDER - 4]
    assert engine.to_ints(engine.eq([-1], 2)) == [2, ORDER - 1]
    assert engine.to_ints(engine.fold(a, 2, -1)) == [2]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(0,), (1,), (9,), (3, 5), (2, 0, 3), (5000,)])
def test_from_small(engine, small, dtype, shape):
    values = small(dtype, *shape)
    expected = [int(x) % ORDER for x in values.reshape(-1)]
    assert engine.to_ints(engine.from_small(values)) == expected


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("op", ["add", "sub", "mul"])
def test_elementwise(engine, reference, scalars, op, n):
    a, b = scalars(n), scalars(n)
    found = getattr(engine, op)(engine.from_ints(a), engine.from_ints(b))
    expected = getattr(reference, op)(reference.from_ints(a), reference.from_ints(b))
    assert engine.to_ints(found) == reference.to_ints(expected)


@pytest.mark.parametrize("op", ["add", "sub", "mul"])
def test_edges_meet(engine, op):
    a = [x for x in EDGES for _ in EDGES]
    b = EDGES * len(EDGES)
    python = {"add": int.__add__, "sub": int.__sub__, "mul": int.__mul__}[op]
    found = getattr(engine, op)(engine.from_ints(a), engine.from_ints(b))
    expected = [python(x, y) % ORDER for x, y in zip(a, b, strict=True)]
    assert engine.to_ints(found) == expected


@settings(deadline=None)
@given(
    st.lists(st.tuples(*[st.integers(0, ORDER - 1)] * 2), max_size=40),
    st.integers(0, ORDER - 1),
)
def test_ring_laws(pairs, s):
    engine = load_engine("cpu")
    a = engine.from_ints([x for x, _ in pairs])
    b = engine.from_ints([y for _, y in pairs])
    assert engine.to_ints(engine.mul(a, b)) == [x * y % ORDER for x, y in pairs]
    assert engine.to_ints(engine.sub(engine.add(a, b), b)) == engine.to_ints(a)
    assert engine.dot(a, b) == sum(x * y for x, y in pairs) % ORDER
    assert engine.to_ints(engine.scale(a, s)) == [x * s % ORDER for x, _ in pairs]


@pytest.mark.parametrize("n", SIZES)
def test_scale_cumsum_dot(engine, reference, scalars, n):
    a, b, s = scalars(n), scalars(n), scalars(1)[0]
    v, w = engine.from_ints(a), reference.from_ints(a)
    assert engine.to_ints(engine.scale(v, s)) == reference.to_ints(reference.scale(w, s))
    assert engine.to_ints(engine.cumsum(v)) == reference.to_ints(reference.cumsum(w))
    found, expected = engine.dot(v, engine.from_ints(b)), reference.dot(w, reference.from_ints(b))
    assert found == expected


def test_dot_of_the_largest(engine):
    n = 5000
    v = engine.from_ints([ORDER - 1] * n)
    assert engine.dot(v, v) == n


@pytest.mark.parametrize("lengths", [(), (0,), (5,), (3, 9, 1), (2100, 2048, 5)])
def test_lincomb(engine, reference, scalars, lengths):
    vectors = [scalars(n) for n in lengths]
    coefficients = scalars(len(lengths))
    expected = reference.lincomb([reference.from_ints(v) for v in vectors], coefficients)
    found = engine.lincomb([engine.from_ints(v) for v in vectors], coefficients)
    assert engine.to_ints(found) == reference.to_ints(expected)


@pytest.mark.parametrize(("n", "m"), [(0, 3), (3, 0), (1, 1), (3, 5), (17, 300), (300, 17)])
def test_outer(engine, reference, scalars, n, m):
    a, b = scalars(n), scalars(m)
    expected = reference.outer(reference.from_ints(a), reference.from_ints(b))
    found = engine.outer(engine.from_ints(a), engine.from_ints(b))
    assert engine.to_ints(found) == reference.to_ints(expected)


@pytest.mark.parametrize("before", [0, 1, 300])
@pytest.mark.parametrize("after", [0, 2, 70_000])
@pytest.mark.parametrize("n", [0, 1, 17])
def test_pad(engine, reference, scalars, before, after, n):
    a = scalars(n)
    for e in (engine, reference):
        v = e.pad(e.from_ints(a), before, after)
        assert e.to_ints(v) == [0] * before + a + [0] * after
        for wrong in ((-1, 0), (0, -1)):
            with pytest.raises(ValueError, match="negative"):
                e.pad(v, *wrong)


def test_concat_and_slices(engine, scalars):
    a, b = scalars(5), scalars(3)
    v = engine.concat([engine.from_ints(a), engine.from_ints([]), engine.from_ints(b)])
    assert engine.to_ints(v) == a + b
    assert engine.to_ints(v[2:7]) == (a + b)[2:7]
    assert len(engine.concat([])) == 0
    assert engine.to_ints(engine.add(v[0:3], v[5:8])) == [
        (x + y) % ORDER for x, y in zip(a, b, strict=False)
    ]


def test_gather(engine, scalars, rng):
    a = scalars(50)
    index = np.array([rng.randrange(50) for _ in range(5000)])
    found = engine.gather(engine.from_ints(a), index)
    assert engine.to_ints(found) == [a[i] for i in index]
    assert len(engine.gather(engine.from_ints([]), np.array([], dtype=np.int64))) == 0


@pytest.mark.parametrize("k", [0, 1, 2, 3, 5, 10, 11, 12, 13])
def test_eq(engine, scalars, rng, k):
    point = scalars(k)
    table = [1]
    for p in point:
        table = [x * (1 - p) % ORDER for x in table] + [x * p % ORDER for x in table]
    for n in {0, 1, 1 << k, (1 << k) - 1, rng.randrange(1 << k)}:
        assert engine.to_ints(engine.eq(point, n)) == table[:n]


def test_random(engine):
    v = engine.to_ints(engine.random(200))
    assert len(set(v)) == 200
    # The top bit of a uniform element is set half of the time: 14 standard deviations.
    assert 1 <= sum(x >> 253 for x in v) <= 199
    assert len(engine.random(0)) == 0


@pytest.mark.parametrize("n", [0, 1, 7, 300])
def test_wide_bytes(engine, reference, rng, n):
    data = rng.randbytes(64 * n)
    found = engine.to_ints(engine.from_wide_bytes(data))
    assert found == reference.to_ints(reference.from_wide_bytes(data))
    starts = range(0, len(data), 64)
    assert found == [int.from_bytes(data[i : i + 64], "little") % ORDER for i in starts]
    edges = [0, ORDER - 1, ORDER, ORDER + 1, (1 << 512) - 1, ORDER << 250]
    joined = b"".join(x.to_bytes(64, "little") for x in edges)
    assert engine.to_ints(engine.from_wide_bytes(joined)) == [x % ORDER for x in edges]
    for e in (engine, reference):
        for length in (1, 32, 63, 65):
            with pytest.raises(ValueError):
                e.from_wide_bytes(bytes(length))


def test_bad_shapes(each):
    a, b = each.from_ints([1, 2]), each.from_ints([1, 2, 3])
    for op in (each.add, each.sub, each.mul, each.dot):
        with pytest.raises(ValueError):
            op(a, b)
    with pytest.raises(ValueError):
        each.lincomb([a], [1, 2])
    with pytest.raises(ValueError):
        each.eq([1, 2], 5)
    with pytest.raises(ValueError):
        each.eq([1, 2], -1)
    for index in ([2], [-1]):
        with pytest.raises(ValueError):
            each.gather(a, np.array(index))
    with pytest.raises(ValueError):
        each.from_small(np.zeros(3))
    with pytest.raises(ValueError):
        each.from_small(np.zeros((4, 4), dtype=np.int16)[:, ::2])
