"""The prover's short cuts through a sumcheck send what the plain way sends."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest

from veracity.engine import ORDER, load_engine
from veracity.engine.api import Engine, Ints
from veracity.zk import reduction
from veracity.zk.array_sums import KnownSums, Side, sum_axes
from veracity.zk.committed import ArrayId, ArrayShape, CommittedArray
from veracity.zk.mle import kron
from veracity.zk.reduction import Placed, Term
from veracity.zk.sumcheck import Instance, Pair, _bind, _round
from veracity.zkml.circuit.integer_rounds import ROUNDS, IntegerPair, product_type

CPU = load_engine("cpu")
RNG = random.Random(7)


def scalars(n: int) -> list[int]:
    return [RNG.randrange(ORDER) for _ in range(n)]


def rounds_of(engine: Engine, instances: Sequence[Instance]) -> list[tuple[int, ...]]:
    """What all rounds send, under fixed challenges, and the values at the end."""
    draws, weights = random.Random(3), list(range(1, len(instances) + 1))
    sent: list[tuple[int, ...]] = []
    for _ in range(max(i.variables for i in instances)):
        sent.append(tuple(c % ORDER for c in _round(engine, instances, weights)))
        _bind(engine, instances, draws.randrange(ORDER))
    return [*sent, tuple(i.value() for i in instances)]


def integers(dims: tuple[int, ...], dtype: str) -> Ints:
    info = np.iinfo(dtype)
    draw = np.random.default_rng(5)
    return draw.integers(info.min, info.max, dims, endpoint=True, dtype=dtype)


# ---- products of integers ------------------------------------------------------------------------
@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("dtypes", [("int8", "int16"), ("uint16", "uint16"), ("int32", "int16")])
@pytest.mark.parametrize(
    "dims", [(1, 3), (2, 3, 4), (3, 5), (2, 1, 13), (4, 16), (1, 8), (2, 3, 2, 4)]
)
def test_rounds_over_integers(backend: str, dtypes: tuple[str, str], dims: tuple[int, ...]) -> None:
    engine = load_engine(backend)
    x, y = (integers(dims, d) for d in dtypes)
    weights = [engine.from_ints(scalars(d)) for d in dims]
    dtype = product_type(x, y)
    assert dtype is not None
    a = engine.mul(engine.from_small(x), kron(engine, weights))
    plain = Pair(engine, a, engine.from_small(y), dims)
    short = IntegerPair(engine, (x, y), dtype, weights, dims)
    assert short.variables == plain.variables
    assert short.value() == plain.value()
    assert rounds_of(engine, [short]) == rounds_of(engine, [plain])
    assert short.ends() == plain.ends()


def test_the_rounds_over_integers_hold_products_of_any_size() -> None:
    small, large = np.array([[1 << 15]]), np.array([[-(1 << 16)]])
    assert product_type(small, small) == np.int32
    assert product_type(small, large) == np.int64
    assert product_type(large << 15, -large << 15) == np.int64
    assert product_type(large << 16, large << 15) is None
    assert product_type(np.array([[-(1 << 63)]]), np.array([[1]])) is None
    assert product_type(small.astype(object), small) is None
    assert ROUNDS == 2, "tests above have axes around 2^ROUNDS"


# ---- terms that read one entry -------------------------------------------------------------------
def single(engine: Engine, dims: tuple[int, ...], place: tuple[int, ...], name: ArrayId) -> Term:
    """A claim's term about one entry, beside one on an axis of length 1 where there is one."""
    vectors = [
        Placed(engine.from_ints(scalars(1)), at, dim) if dim > 1 else engine.from_ints(scalars(1))
        for at, dim in zip(place, dims, strict=True)
    ]
    return Term(scalars(1)[0], name, tuple((1, v) for v in vectors))


def dense_term(engine: Engine, dims: tuple[int, ...], name: ArrayId) -> Term:
    vectors = [engine.from_ints(scalars(d)) for d in dims]
    return Term(scalars(1)[0], name, tuple((1, v) for v in vectors))


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("many", [0, 2])
@pytest.mark.parametrize("dims", [(5, 11), (3, 7, 1), (1, 6), (13,), (2, 3, 5)])
def test_single_entries(
    backend: str, many: int, dims: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, name = load_engine(backend), ArrayId("witness", "x")
    values = integers(dims, "int16")
    layout = ArrayShape(name, dims).layout(3)
    places = [tuple(RNG.randrange(d) for d in dims) for _ in range(3)]
    places += [places[0], tuple(d - 1 for d in dims)]
    terms = [single(engine, dims, place, name) for place in places]
    terms += [dense_term(engine, dims, name) for _ in range(many)]
    RNG.shuffle(terms)
    parts = [reduction._Part(values, 1)]

    def run() -> list[tuple[int, ...]]:
        return rounds_of(engine, [reduction._Array(engine, layout, parts, terms, KnownSums())])

    short = run()
    monkeypatch.setattr(reduction, "_single_entries", lambda _e, _p, _s, terms: (None, terms))
    assert run() == short


def test_single_entries_of_a_transposed_array() -> None:
    name, values = ArrayId("witness", "x"), integers((6, 9), "int16").T
    terms = [single(CPU, (9, 6), place, name) for place in ((8, 5), (0, 3), (4, 4))]
    layout = ArrayShape(name, (9, 6)).layout(2)
    found = [
        rounds_of(CPU, [reduction._Array(CPU, layout, [reduction._Part(v, 1)], terms, KnownSums())])
        for v in (values, np.ascontiguousarray(values))
    ]
    assert found[0] == found[1]


# ---- arrays under one functional -----------------------------------------------------------------
def test_arrays_under_one_functional_are_one_instance() -> None:
    dims, names = (6, 10), [ArrayId("weight", f"w{k}") for k in range(4)]
    vectors = [CPU.from_ints(scalars(d)) for d in dims]
    shared = tuple((1, v) for v in vectors)
    arrays = {
        n: CommittedArray(ArrayShape(n, dims), integers(dims, "int16") + k, CPU.from_ints([0]))
        for k, n in enumerate(names)
    }
    terms = {n: [Term(scalars(1)[0], n, shared)] for n in names[:3]}
    terms[names[3]] = [dense_term(CPU, dims, names[3])]
    together = reduction._instances(CPU, 3, arrays, terms, KnownSums())
    assert len(together) == 2
    apart = [
        reduction._Array(
            CPU, a.shape.layout(3), [reduction._Part(a.values, 1)], terms[n], KnownSums()
        )
        for n, a in arrays.items()
    ]
    draws = random.Random(1)
    for _ in range(apart[0].variables):
        assert _same(_round(CPU, together, [1] * 2), _round(CPU, apart, [1] * 4))
        r = draws.randrange(ORDER)
        _bind(CPU, together, r)
        _bind(CPU, apart, r)
    assert sum(i.value() for i in together) % ORDER == sum(i.value() for i in apart) % ORDER


def _same(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return [x % ORDER for x in a] == [x % ORDER for x in b]


# ---- sums that were made before ------------------------------------------------------------------
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("counts", [(1,), (3, 5)])
def test_sums_that_are_known_are_not_made_again(
    counts: tuple[int, ...], turned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, dims = ArrayId("weight", "w"), (6, 10)
    arrays = [integers(dims, "int16") + np.int16(k) for k in range(len(counts))]
    arrays = [v.T.copy().T for v in arrays] if turned else arrays
    terms = [dense_term(CPU, dims, name)]
    parts = [reduction._Part(v, k) for v, k in zip(arrays, counts, strict=True)]
    layout = ArrayShape(name, dims).layout(3)
    vector = terms[0].functional[0][1]
    known, sides = KnownSums(), []
    for values in arrays:
        known.keep(values, vector, sum_axes(CPU, [values], 1, vector, Side.OUTER))

    def noted(
        engine: Engine, values: list[Ints], split: int, weights: object, side: Side
    ) -> object:
        sides.append(side)
        return sum_axes(engine, values, split, weights, side)

    monkeypatch.setattr(reduction, "sum_axes", noted)
    runs = [
        rounds_of(CPU, [reduction._Array(CPU, layout, parts, terms, found)])
        for found in (KnownSums(), known)
    ]
    assert runs[0] == runs[1]
    assert sides == [Side.OUTER, Side.INNER, Side.INNER]


def test_sums_of_another_array_or_vector_are_not_known() -> None:
    known, values, vector = KnownSums(), integers((6, 6), "int16"), CPU.from_ints(scalars(6))
    found = sum_axes(CPU, [values], 1, vector, Side.OUTER)
    known.keep(values, vector, found)
    assert known.find(values[:], vector) is found
    for other in (values.T, values[:3], values.copy(), values.view(np.uint16)):
        assert known.find(other, vector) is None
    assert known.find(values, CPU.scale(vector, 1)) is None
