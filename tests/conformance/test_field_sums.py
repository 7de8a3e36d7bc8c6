"""Contractions and sumcheck rounds: every backend gives what the reference engine gives."""

from __future__ import annotations

import numpy as np
import pytest

from tests.conformance.values import DTYPES
from veracity.engine import ORDER
from veracity.engine.api import Leaves

# (rows, n): odd and even rows, rows shorter than a vector register, one row longer than a chunk.
ROWS = [(0, 0), (0, 5), (1, 1), (1, 2), (1, 3), (5, 1), (3, 2), (7, 3), (4, 9), (2, 16)]
ROWS += [(9, 17), (3, 64), (2, 129), (1, 4095), (1, 4100), (700, 7)]

SHAPES = [(0, 3, 2), (2, 0, 3), (2, 3, 0), (1, 1, 1), (1, 5, 1), (3, 1, 1), (1, 1, 9)]
SHAPES += [(4, 37, 1), (1, 37, 4), (3, 8, 5), (2, 130, 3), (1, 3, 700), (5, 9, 17), (2, 16, 32)]
SHAPES += [(1, 3000, 1), (33, 70, 1), (1, 70, 33), (40, 2, 40), (1, 24, 64), (600, 3, 1)]
SHAPES += [(2, 45, 300), (1, 257, 40), (5, 70, 4), (17, 2000, 1), (1, 33, 17)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_contract(engine, reference, scalars, small, dtype, shape):
    m, v = small(dtype, *shape), scalars(shape[1])
    found = engine.contract(m, engine.from_ints(v))
    expected = reference.contract(m, reference.from_ints(v))
    assert engine.to_ints(found) == reference.to_ints(expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 70000, 1), (1, 35000, 2), (16, 4000, 1), (1, 4000, 32)])
def test_contract_extremes(engine, dtype, shape):
    """The largest integers against the largest elements, long enough to overflow short sums."""
    info = np.iinfo(dtype)
    # The second one: all signed digits of 10 bits of its Montgomery form, but the top one, are
    # the smallest there are.
    montgomery = (8 << 250) - sum(512 << (10 * k) for k in range(25))
    for element in (ORDER - 1, montgomery * pow(2, -260, ORDER) % ORDER):
        v = engine.from_ints([element] * shape[1])
        for value in {int(info.min), int(info.max)}:
            m = np.full(shape, value, dtype=dtype)
            expected = element * value * shape[1] % ORDER
            found = engine.to_ints(engine.contract(m, v))
            assert found == [expected] * (shape[0] * shape[2])


@pytest.mark.parametrize("shape", [(1, 2, 300_000), (1, 300_000, 2), (3, 100_001, 2)])
def test_contract_on_all_threads(engine, small, shape):
    m = small("int16", *shape)
    powers = [pow(3, j, 1 << 20) for j in range(shape[1])]
    expected = np.einsum("ojk,j->ok", m.astype(np.int64), np.array(powers)).reshape(-1)
    found = engine.contract(m, engine.from_ints(powers))
    assert engine.to_ints(found) == [int(x) % ORDER for x in expected]


#: (outer, inner) of arrays that are contracted together, and a length of their middle axis.
TOGETHER = [
    ((1, 300), 31),
    ((1, 40), 130),
    ((40, 1), 64),
    ((131, 1), 33),
    ((17, 3), 70),
    ((2, 45), 5),
]
TOGETHER += [((70, 8), 40), ((5, 8), 130), ((1, 1), 300), ((3, 1), 9), ((0, 3), 4), ((2, 0), 4)]
TOGETHER += [((3, 700), 2), ((9, 64), 9), ((80, 2), 2000)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("sides", "n"), TOGETHER)
def test_contractions_of_several_arrays(engine, reference, scalars, small, dtype, sides, n):
    outer, inner = sides
    alike = [small(dtype, outer, n, inner) for _ in range(3)]
    v = scalars(n)
    found = engine.contract_each(alike, engine.from_ints(v))
    expected = reference.contract_each(alike, reference.from_ints(v))
    assert engine.to_ints(found) == reference.to_ints(expected)
    others = [small(dtype, outer, n + k, inner) for k in (0, 1, 3)]
    v = scalars(3 * n + 4)
    found = engine.contract_sum(others, engine.from_ints(v))
    expected = reference.contract_sum(others, reference.from_ints(v))
    assert engine.to_ints(found) == reference.to_ints(expected)


def test_contractions_of_arrays_of_different_types(engine, reference, scalars, small):
    arrays = [small(dtype, 3, 40, 7) for dtype in (*DTYPES, "int16")]
    v = scalars(40 * len(arrays))
    for name, weights in (("contract_each", v[:40]), ("contract_sum", v)):
        found = getattr(engine, name)(arrays, engine.from_ints(weights))
        expected = getattr(reference, name)(arrays, reference.from_ints(weights))
        assert engine.to_ints(found) == reference.to_ints(expected)


@pytest.mark.parametrize("shape", [(2, 300, 64), (70, 300, 1), (70, 300, 8), (2, 300, 5)])
def test_long_sums_of_contractions(engine, shape):
    """The largest integers in many arrays: sums that are emptied across them."""
    outer, n, inner = shape
    m = np.full(shape, -(1 << 15), dtype=np.int16)
    v = engine.from_ints([ORDER - 1] * (20 * n))
    found = engine.to_ints(engine.contract_sum([m] * 20, v))
    assert found == [20 * n << 15] * (outer * inner)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("rows", "blocks"), [(0, 3), (3, 0), (1, 1), (3, 5), (7, 8), (40, 33), (2, 1100)]
)
def test_weigh_blocks(engine, reference, scalars, small, dtype, rows, blocks):
    x, by_row, by_entry = small(dtype, rows, blocks, 4), scalars(rows), scalars(4 * blocks)

    def run(e, x, with_rows):
        each_row = e.from_ints(by_row) if with_rows else None
        return e.to_ints(e.weigh_blocks(x, each_row, e.from_ints(by_entry)))

    for values in (x, x >> 14 if dtype == "int64" else x // 2):
        assert run(engine, values, True) == run(reference, values, True)
        assert run(engine, values, False) == run(reference, values, False)


@pytest.mark.parametrize("limit", [1 << 49, (1 << 49) + 1, 1 << 62])
def test_weigh_blocks_at_the_limit_of_its_sums(engine, limit):
    for value in (limit, -limit):
        x = np.full((3, 9, 4), value, dtype=np.int64)
        weights = engine.from_ints([ORDER - 1] * 36)
        assert engine.to_ints(engine.weigh_blocks(x, None, weights)) == [-4 * value % ORDER] * 27


@pytest.mark.parametrize(("rows", "n"), ROWS)
def test_fold(engine, reference, scalars, rows, n):
    a, r = scalars(rows * n), scalars(1)[0]
    found = engine.fold(engine.from_ints(a), n, r)
    expected = reference.fold(reference.from_ints(a), n, r)
    assert engine.to_ints(found) == reference.to_ints(expected)


@pytest.mark.parametrize(("rows", "n"), ROWS)
def test_product_round(engine, reference, scalars, rows, n):
    a, b = scalars(rows * n), scalars(rows * n)
    found = engine.product_round(engine.from_ints(a), engine.from_ints(b), n)
    expected = reference.product_round(reference.from_ints(a), reference.from_ints(b), n)
    assert found == expected


@pytest.mark.parametrize("count", [0, 1, 4])
def test_rounds_of_several_pairs(engine, reference, scalars, count):
    rows = [(1, 1), (3, 7), (1, 4100), (2, 129)][:count]
    values = [(scalars(r * n), scalars(r * n)) for r, n in rows]
    factors, r = scalars(count), scalars(1)[0]

    def run(e):
        pairs = [
            (e.from_ints(a), e.from_ints(b), n) for (a, b), (_, n) in zip(values, rows, strict=True)
        ]
        halves = [e.to_ints(half) for half in e.fold_each([(a, n) for a, _, n in pairs], r)]
        return e.product_rounds(pairs, factors), halves

    assert run(engine) == run(reference)


def test_sumcheck_of_an_inner_product(engine, scalars):
    """Rounds and folds together reduce an inner product of odd length to one product."""
    n = 1000
    a, b = engine.from_ints(scalars(n)), engine.from_ints(scalars(n))
    claim = engine.dot(a, b)
    while n > 1:
        c0, c1, c2 = engine.product_round(a, b, n)
        assert claim == (c0 + c0 + c1 + c2) % ORDER
        r = scalars(1)[0]
        claim = (c0 + r * (c1 + r * c2)) % ORDER
        a, b, n = engine.fold(a, n, r), engine.fold(b, n, r), (n + 1) // 2
    assert claim == engine.to_ints(a)[0] * engine.to_ints(b)[0] % ORDER


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("images", [None, *DTYPES])
@pytest.mark.parametrize(("rows", "n"), [(0, 4), (3, 0), (1, 1), (3, 5), (2, 1030)])
def test_logup_denominators(engine, reference, scalars, small, dtype, images, rows, n):
    values = small(dtype, rows, n)
    image = None if images is None else small(images, rows, n)
    constants, beta = scalars(rows), scalars(1)[0]

    def run(e):
        return e.to_ints(e.logup_denominators(Leaves(values, image, e.from_ints(constants), beta)))

    assert run(engine) == run(reference)


@pytest.mark.parametrize(
    ("kinds", "most"),
    [
        ((np.int8, np.int16), 127),
        ((np.int8, np.uint16), 127),
        ((np.uint16, np.int32), 65_535),
        ((np.uint16, np.int16, np.int64), 65_536),
        ((np.int64, np.int8), 1 << 31),
        ((np.int32, np.int64), (1 << 62) - 1),
    ],
)
@pytest.mark.parametrize("least", [0, -1])
def test_rows_of_several_types(engine, reference, scalars, kinds, most, least):
    rows = [
        np.arange(7, dtype=kind).reshape(7, 1) + least
        for kind in kinds
        if least >= 0 or kind != np.uint16
    ]
    rows[-1][3] = min(most, np.iinfo(rows[-1].dtype).max)
    constants, beta = scalars(len(rows)), scalars(1)[0]

    def run(e):
        leaves = Leaves(rows, rows[::-1], e.from_ints(constants), beta)
        return e.to_ints(e.logup_denominators(leaves))

    assert run(engine) == run(reference)


def test_bad_shapes(each):
    a = each.from_ints(range(6))
    three = each.from_ints([1, 2, 3])
    for n in (-1, 0, 4, 5, 7):
        with pytest.raises(ValueError):
            each.fold(a, n, 3)
        with pytest.raises(ValueError):
            each.product_round(a, a, n)
    with pytest.raises(ValueError):
        each.product_round(a, a[:4], 2)
    m = np.zeros((2, 3, 4), dtype=np.int16)
    with pytest.raises(ValueError):
        each.contract(m, a)
    with pytest.raises(ValueError):
        each.contract(m.astype(np.float64), three)
    with pytest.raises(ValueError):
        each.contract(m.swapaxes(0, 2), three)
    with pytest.raises(ValueError):
        each.logup_denominators(Leaves(m[0], m[0, :2], three, 1))
    with pytest.raises(ValueError):
        each.logup_denominators(Leaves(m[0], None, a, 1))
    short, whole = m[0, 0, :2], m[0, 0]
    for values, images in [
        ([whole, whole, short], None),
        ([whole] * 3, [short] * 3),
        ([whole] * 2, [whole] * 4),
        ([whole[::2]] * 3, None),
        ([whole.astype(np.float64)] * 3, None),
    ]:
        with pytest.raises(ValueError):
            each.logup_denominators(Leaves(values, images, three, 1))


def test_bad_shapes_of_several_arrays(each):
    three, six = each.from_ints([1, 2, 3]), each.from_ints(range(6))
    m = np.zeros((2, 3, 4), dtype=np.int16)
    for arrays, v in [([], three), ([m, m[:1]], six), ([m, m[:, :, :2].copy()], six)]:
        with pytest.raises(ValueError):
            each.contract_each(arrays, v)
        with pytest.raises(ValueError):
            each.contract_sum(arrays, v)
    with pytest.raises(ValueError):
        each.contract_each([m, m], six)
    with pytest.raises(ValueError):
        each.contract_sum([m, m], three)
    with pytest.raises(ValueError):
        each.contract_sum([m, m.swapaxes(0, 1).copy().swapaxes(0, 1)], six)
    blocks = np.zeros((2, 3, 4), dtype=np.int16)
    twelve = each.from_ints(range(12))
    for x, rows, entries in [
        (blocks, three, twelve),
        (blocks, None, six),
        (m[:, :, :3], None, six),
    ]:
        with pytest.raises(ValueError):
            each.weigh_blocks(x, rows, entries)
    for n in (-1, 0, 2):
        with pytest.raises(ValueError):
            each.fold_each([(three, 3), (three, n)], 5)
        with pytest.raises(ValueError):
            each.product_rounds([(three, three, n)], [1])
    with pytest.raises(ValueError):
        each.product_rounds([(three, six, 3)], [1])
    with pytest.raises(ValueError):
        each.product_rounds([(three, three, 3)], [1, 2])
