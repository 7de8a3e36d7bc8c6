"""Exact integer products, counts and quotients against NumPy's."""

from __future__ import annotations

import ctypes
import mmap
import sys

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


def before_a_guard(x):
    """A copy that ends where a page begins that nobody may read."""
    page, length = mmap.PAGESIZE, -(-x.nbytes // mmap.PAGESIZE) * mmap.PAGESIZE
    memory = mmap.mmap(-1, length + page)
    whole = np.frombuffer(memory, dtype=np.uint8)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mprotect(ctypes.c_void_p(whole.ctypes.data + length), page, 0):
        pytest.skip("the system protects no pages of such memory")
    copy = whole[length - x.nbytes : length].view(x.dtype).reshape(x.shape)
    copy[...] = x
    return copy


@pytest.mark.skipif(sys.platform != "linux", reason="protects pages as Linux does")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [1, 5, 9, 16])
def test_nothing_is_read_behind_the_weights(engine, small, dtype, rows):
    """Else this process ends here: in tiles with few rows, and rows that fill no register."""
    for count, width in ((1, 1), (1, 100), (17, 31), (33, 64), (65, 7)):
        w = small(dtype, count, width)
        x = np.arange(rows * width, dtype=np.int64).reshape(rows, width)
        found = engine.integers.matmul_transposed(before_a_guard(x), before_a_guard(w))
        np.testing.assert_array_equal(found, x @ w.astype(np.int64).T)


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


SHIFTS = [0, 1, 7, 15, 16, 17, 31, 32, 62, 63]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shift", SHIFTS)
def test_division(engine, reference, rng, dtype, shift):
    """All that a type holds, its ends and what rounds up beside what rounds down."""
    limits, generator = np.iinfo(dtype), np.random.default_rng(rng.getrandbits(64))
    x = generator.integers(limits.min, limits.max, size=(3, 50), dtype=dtype, endpoint=True)
    half = (1 << shift) >> 1
    edges = [limits.min, limits.max, 0, half - 1, half, -half, -half - 1]
    fit = [n for n in edges if limits.min <= n <= limits.max]
    x[0, : len(fit)] = fit
    found, expected = engine.integers.divide(x, shift), reference.integers.divide(x, shift)
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.dtype == theirs.dtype
        np.testing.assert_array_equal(mine, theirs)
    quotients, rests = (part.astype(object) for part in expected)
    assert (rests >= 0).all()
    assert (rests < 1 << shift).all()
    assert ((quotients << shift) + rests - half == x.astype(object)).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shift", SHIFTS)
def test_rounding(engine, reference, rng, dtype, shift):
    """The quotients of a division alone, over several tasks, and the ends of their range."""
    limits, generator = np.iinfo(dtype), np.random.default_rng(rng.getrandbits(64))
    x = generator.integers(limits.min, limits.max, size=(7, 9500), dtype=dtype, endpoint=True)
    x[3, :2] = limits.min, limits.max
    found, low, high = engine.integers.rounded(x, shift)
    expected = engine.integers.divide(x, shift)[0].astype(np.int64)
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == np.int64
    assert (low, high) == (expected.min(), expected.max())
    part = x[3:4, :40]
    for mine, theirs in zip(
        engine.integers.rounded(part, shift), reference.integers.rounded(part, shift), strict=True
    ):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("entries", DTYPES)
def test_tables(engine, reference, rng, dtype, entries):
    generator = np.random.default_rng(rng.getrandbits(64))
    low, limits = 3 if dtype == "uint16" else -100, np.iinfo(entries)
    table = generator.integers(limits.min, limits.max, size=90, dtype=entries, endpoint=True)
    x = generator.integers(low, low + 90, size=(8, 9001)).astype(dtype)
    x[-1, -2:] = low, low + 89
    found = engine.integers.look_up(x, low, table)
    np.testing.assert_array_equal(found, table[x.astype(np.int64) - low])
    assert found.dtype == table.dtype
    part = x[-1:, -30:]
    mine, theirs = (e.integers.look_up(part, low, table) for e in (engine, reference))
    np.testing.assert_array_equal(mine, theirs)
    assert mine.dtype == theirs.dtype


def test_no_such_entry(engine, reference):
    table, wide = np.arange(5, dtype=np.int16), np.array([-(1 << 63), (1 << 63) - 1])
    for e in (engine, reference):
        assert e.integers.look_up(wide[:1], -(1 << 63), table).tolist() == [0]
        assert e.integers.look_up(wide[:0], 0, table[:0]).tolist() == []
        for x, low, where in (
            (np.array([4]), -1, table),
            (np.array([-2]), -1, table),
            (np.array([0]), 0, table[:0]),
            (wide, 0, table),
            (wide, (1 << 63) - 1, table),
            (np.array([0]), 1 << 63, table),
            (np.array([0.0]), 0, table),
            (np.array([0]), 0, table[::2]),
            (np.array([0]), 0, table[None]),
        ):
            with pytest.raises(ValueError):
                e.integers.look_up(x, low, where)
    x = np.zeros(100_000, dtype=np.int8)
    x[-1] = -1  # in the last of several tasks
    with pytest.raises(ValueError):
        engine.integers.look_up(x, 0, table)


STACKS = [
    (1, (), (0,)), (7, (), (0,)), (3, (5,), (0, 1)), (3, (5,), (1, 0)), (5, (3, 70), (2, 0, 1)),
    (2, (3, 70), (1, 2, 0)), (4, (5, 33), (0, 2, 1)), (4, (5, 33), (1, 0, 2)),
    (1, (6, 9), (2, 1, 0)), (3, (2, 5, 40), (3, 1, 0, 2)),
    (3, (2, 5, 40), (1, 0, 3, 2)), (2, (0, 4), (2, 0, 1)),
]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("count", "shape", "order"), STACKS)
def test_stacks(engine, reference, small, dtype, count, shape, order):
    """Arrays of several types, in every order; entries wrap."""
    arrays = [small(DTYPES[k % len(DTYPES)], *shape) for k in range(count)]
    found = engine.integers.stack(arrays, order, np.dtype(dtype))
    whole = np.stack([x.astype(np.int64) for x in arrays]).astype(dtype)
    np.testing.assert_array_equal(found, whole.transpose(order))
    assert found.dtype == dtype
    assert found.flags.c_contiguous
    same = reference.integers.stack(arrays, order, np.dtype(dtype))
    np.testing.assert_array_equal(found, same)
    assert same.dtype == dtype


def test_what_is_no_stack(engine, reference):
    x = np.zeros((2, 3), dtype=np.int16)
    for e in (engine, reference):
        for arrays, order, dtype in (
            ([], (0,), "int16"),
            ([x, x[:1]], (0, 1, 2), "int16"),
            ([x, np.zeros(6, dtype=np.int16)], (0, 1, 2), "int16"),
            ([x], (0, 1), "int16"),
            ([x], (0, 1, 1), "int16"),
            ([x], (0, 1, 3), "int16"),
            ([x], (0, 1, 2, 3), "int16"),
            ([x], (0, 1, -1), "int16"),
            ([x], (0, 1, 2), "float64"),
            ([x], (0, 1, 2), "uint8"),
            ([x.T], (0, 1, 2), "int16"),
            ([x.astype(np.float32)], (0, 1, 2), "int16"),
        ):
            with pytest.raises(ValueError):
                e.integers.stack(arrays, order, np.dtype(dtype))


@pytest.mark.parametrize(
    ("low", "high", "dtype"),
    [
        (-(1 << 15), (1 << 15) - 1, "int16"),
        (-(1 << 15) - 1, 0, "int32"),
        (0, 1 << 15, "int32"),
        (-(1 << 31), (1 << 31) - 1, "int32"),
        (-(1 << 31) - 1, 0, "int64"),
        (0, 1 << 31, "int64"),
    ],
)
def test_the_shortest_type_that_holds_all_quotients(engine, reference, low, high, dtype):
    x = np.array([low, high], dtype=np.int64) << 20
    for e in (engine, reference):
        quotients, rests = e.integers.divide(x, 20)
        assert quotients.tolist() == [low, high]
        assert rests.tolist() == [1 << 19] * 2
        assert (quotients.dtype, rests.dtype) == (np.dtype(dtype), np.int32)


def test_division_of_many(engine):
    """So many that several threads divide; the greatest comes last."""
    x = np.arange(-100_000, 100_001, dtype=np.int64) << 3
    quotients, rests = engine.integers.divide(x, 5)
    np.testing.assert_array_equal(quotients, x + 16 >> 5)
    np.testing.assert_array_equal(rests, x + 16 & 31)
    assert (quotients.dtype, rests.dtype) == (np.int16, np.uint16)
    assert engine.integers.divide(x, 4)[0].dtype == np.int32


def test_division_of_nothing_and_of_what_is_none(engine, reference):
    x = np.zeros((0, 3), dtype=np.int64)
    for e in (engine, reference):
        quotients, rests = e.integers.divide(x, 40)
        assert quotients.shape == rests.shape == x.shape
        assert (quotients.dtype, rests.dtype) == (np.int16, np.int64)
        rounded, *ends = e.integers.rounded(x, 40)
        assert (rounded.shape, rounded.dtype, ends) == (x.shape, np.int64, [0, 0])
        for bad in (
            (x, -1),
            (x, 64),
            (x.astype(np.float64), 1),
            (x.astype(object), 1),
            (np.zeros((2, 3), dtype=np.int64).T, 1),
        ):
            with pytest.raises(ValueError):
                e.integers.divide(*bad)
            with pytest.raises(ValueError):
                e.integers.rounded(*bad)


@pytest.mark.parametrize("dtypes", [("int16", "int16"), ("int8", "uint16"), ("int64", "int32")])
@pytest.mark.parametrize("product", [np.int32, np.int64])
@pytest.mark.parametrize(
    ("rows", "blocks", "first", "last"), [(1, 1, 0, 1), (3, 9, 2, 9), (5, 40, 0, 8), (0, 3, 0, 3)]
)
def test_block_products(engine, reference, small, dtypes, product, rows, blocks, first, last):
    """Some wrap around, in the same way everywhere."""
    x, y = (small(dtype, rows, blocks, 4) for dtype in dtypes)
    found = engine.integers.block_products((x, y), first, last, np.dtype(product))
    expected = reference.integers.block_products((x, y), first, last, np.dtype(product))
    np.testing.assert_array_equal(found, expected)
    assert found.shape == expected.shape == (4, rows, 4, last - first)
    assert found.dtype == expected.dtype == product
    if product == np.int64 and "int64" not in dtypes:
        a, b = (v[:, first:last].astype(np.int64) for v in (x, y))
        np.testing.assert_array_equal(expected, np.einsum("oic,oid->codi", a, b))


def test_block_products_of_many(engine):
    """So many that several threads multiply."""
    x = np.arange(4 * 30_000, dtype=np.int32).reshape(2, -1, 4)
    y = np.arange(4 * 30_000, dtype=np.int16).reshape(2, -1, 4)
    found = engine.integers.block_products((x, y), 1, 15_000, np.dtype(np.int64))
    a, b = (v[:, 1:].astype(np.int64) for v in (x, y))
    np.testing.assert_array_equal(found, np.einsum("oic,oid->codi", a, b))


def test_block_products_that_do_not_fit(engine, reference):
    x, wide = np.zeros((2, 3, 4), dtype=np.int16), np.dtype(np.int64)
    for e in (engine, reference):
        for bad in (
            ((x, x[:1]), 0, 3, wide),
            ((x, x[:, :2]), 0, 1, wide),
            ((x.reshape(2, 4, 3), x.reshape(2, 4, 3)), 0, 1, wide),
            ((x, x.astype(np.float32)), 0, 3, wide),
            ((x, x.transpose(1, 0, 2)), 0, 1, wide),
            ((x, x), 0, 4, wide),
            ((x, x), -1, 2, wide),
            ((x, x), 2, 2, wide),
            ((x, x), 0, 3, np.dtype(np.int16)),
        ):
            with pytest.raises(ValueError):
                e.integers.block_products(*bad)
