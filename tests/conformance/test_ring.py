"""Ring kernels against Python integers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conformance.values import DTYPES
from veracity.engine import load_engine
from veracity.engine.api_words import packed_bytes
from veracity.engine.reference.aes import encrypt

SHAPES = [(1, 1, 1), (1, 7, 5), (1, 33, 76), (2, 9, 8), (3, 10, 31), (4, 8, 64), (7, 5, 17)]
SEED = bytes(range(32))


@pytest.fixture
def elements(rng):
    """Ring elements: uniform, with 0, 1, 2^63 and 2^64 - 1 in places."""
    generator = np.random.default_rng(rng.getrandbits(64))

    def draw(*shape: int) -> np.ndarray:
        out = generator.integers(0, 2**64, size=shape, dtype=np.uint64)
        kind = generator.integers(0, 8, size=shape)
        for k, edge in enumerate((0, 1, 1 << 63, (1 << 64) - 1)):
            out[kind == k] = edge
        return out

    return draw


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_matmul(engine, reference, small, elements, dtype, shape):
    rows, count, width = shape
    x, w = elements(rows, width), small(dtype, count, width)
    np.testing.assert_array_equal(engine.ring.matmul(x, w), reference.ring.matmul(x, w))


@pytest.mark.parametrize("batch", [None, 1, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_matmul_dense(engine, reference, elements, batch, shape):
    rows, count, width = shape
    lead = () if batch is None else (batch,)
    x, y = elements(*lead, rows, width), elements(*lead, count, width)
    np.testing.assert_array_equal(engine.ring.matmul_dense(x, y), reference.ring.matmul_dense(x, y))


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_products_of_many_tasks_and_long_rows(engine, small, elements, rows):
    """NumPy's integers wrap in the same way; rows longer than a tile are deep."""
    for count, width in ((300, 700), (19, 5001)):
        x, w, y = elements(rows, width), small("int16", count, width), elements(count, width)
        np.testing.assert_array_equal(engine.ring.matmul(x, w), x @ w.astype(np.uint64).T)
        np.testing.assert_array_equal(engine.ring.matmul_dense(x, y), x @ y.T)


def test_batches_of_many_tasks(engine, elements):
    x, y = elements(40, 9, 64), elements(40, 33, 64)
    np.testing.assert_array_equal(engine.ring.matmul_dense(x, y), x @ y.transpose(0, 2, 1))


def test_empty_and_bad_products(each, elements):
    x, w = elements(2, 3), np.zeros((4, 3), dtype=np.int16)
    assert each.ring.matmul(x[:0], w).shape == (0, 4)
    assert each.ring.matmul(x, w[:0]).shape == (2, 0)
    assert not each.ring.matmul(x[:, :0], w[:, :0].copy()).any()
    assert each.ring.matmul_dense(x, x[:0]).shape == (2, 0)
    assert each.ring.matmul_dense(elements(0, 2, 3), elements(0, 4, 3)).shape == (0, 2, 4)
    for bad in ((x[:, :2], w), (x[0], w), (x.astype(np.int64), w), (x, w.astype(np.float32))):
        with pytest.raises(ValueError):
            each.ring.matmul(*bad)
    for bad in ((x, x[:, :2]), (x, x[None]), (elements(2, 2, 3), elements(3, 2, 3)), (x, w)):
        with pytest.raises(ValueError):
            each.ring.matmul_dense(*bad)


def test_aes_of_the_standard():
    """FIPS 197, appendix C."""
    plain = bytes.fromhex("00112233445566778899aabbccddeeff")
    assert encrypt(SEED[:16], plain).hex() == "69c4e0d86a7b0430d8cdb78070b4c55a"
    assert encrypt(SEED, plain).hex() == "8ea2b7ca516745bfeafc49904b496089"


@pytest.mark.parametrize("label", [0, 1, 12345, (1 << 63) - 1])
@pytest.mark.parametrize("count", [0, 1, 2, 127, 300])
def test_expand(engine, reference, label, count):
    np.testing.assert_array_equal(
        engine.ring.expand(SEED, label, count), reference.ring.expand(SEED, label, count)
    )


def test_streams_are_prefixes_and_labels_differ(engine):
    long = engine.ring.expand(SEED, 3, 100_001)
    np.testing.assert_array_equal(long[:40_000], engine.ring.expand(SEED, 3, 40_000))
    streams = [
        long,
        engine.ring.expand(SEED, 4, 100_001),
        engine.ring.expand(SEED[::-1], 3, 100_001),
    ]
    assert len(np.unique(np.concatenate(streams))) == 3 * 100_001
    bits = np.unpackbits(long.view(np.uint8))
    assert abs(bits.mean() - 0.5) < 6 * 0.5 / np.sqrt(bits.size)


def test_bad_streams(each):
    for bad in ((SEED[:31], 0, 1), (SEED, -1, 1), (SEED, 1 << 63, 1), (SEED, 0, -1)):
        with pytest.raises(ValueError):
            each.ring.expand(*bad)


@pytest.mark.parametrize("bits", range(1, 65))
def test_pack(engine, reference, elements, bits):
    for count in (0, 1, 2, 7, 63, 64, 65, 200):
        x = elements(count)
        data = engine.ring.pack(x, bits)
        assert data == reference.ring.pack(x, bits)
        assert len(data) == packed_bytes(count, bits)
        np.testing.assert_array_equal(
            engine.ring.unpack(data, bits, count), reference.ring.unpack(data, bits, count)
        )
    x = elements(9, 1001)  # several tasks
    back = engine.ring.unpack(engine.ring.pack(x, bits), bits, x.size)
    np.testing.assert_array_equal(back, x.reshape(-1) & np.uint64((1 << bits) - 1))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 2**64 - 1), max_size=150), st.integers(1, 64))
def test_pack_is_the_reference(values, bits):
    engine, reference = load_engine("cpu"), load_engine("reference")
    x = np.array(values, dtype=np.uint64)
    data = engine.ring.pack(x, bits)
    assert data == reference.ring.pack(x, bits)
    assert engine.ring.unpack(data, bits, len(x)).tolist() == [v % (1 << bits) for v in values]


def test_bad_packs(each, elements):
    x = elements(4)
    for bits in (0, 65):
        with pytest.raises(ValueError):
            each.ring.pack(x, bits)
        with pytest.raises(ValueError):
            each.ring.unpack(bytes(4 * bits // 8), bits, 4)
    with pytest.raises(ValueError):
        each.ring.pack(x.astype(np.int64), 8)
    for data in (b"123", b"12345"):
        with pytest.raises(ValueError):
            each.ring.unpack(data, 8, 4)
