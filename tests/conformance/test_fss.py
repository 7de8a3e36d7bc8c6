"""Function secret sharing: the shared functions, the bytes of the keys, what one key shows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conformance.functions import SEED, mask
from veracity.engine import load_engine
from veracity.engine.api_fss import SHARED_FROM
from veracity.engine.reference.fss import Kind

ALL_BITS = range(1, 65)


@pytest.fixture
def cases(draw):
    """Thresholds, edges among them, and points on and around them and at the ends."""

    def cases(count: int, bits: int) -> tuple[np.ndarray, np.ndarray]:
        alpha = draw(count)
        alpha[:3] = 0, mask(bits), 1
        points = draw(count, 9)
        points[:, 0] = alpha
        points[:, 1] = alpha - np.uint64(1)
        points[:, 2] = alpha + np.uint64(1)
        points[:, 3] = 0
        points[:, 4] = mask(bits)
        points[:, 5] = alpha ^ np.uint64(1 << (bits - 1))
        return alpha, points

    return cases


def below(points: np.ndarray, alpha: np.ndarray, bits: int) -> np.ndarray:
    return (points & mask(bits)) < (alpha & mask(bits))[:, None]


@pytest.mark.parametrize("bits", ALL_BITS)
def test_comparison_bits(fss, cases, bits):
    alpha, points = cases(40, bits)
    keys = fss.dcf_keys(SEED, bits, alpha, np.zeros((40, 0), dtype=np.uint64))
    shares = [fss.dcf_bits(party, bits, keys[party], points) for party in (0, 1)]
    np.testing.assert_array_equal(shares[0] ^ shares[1], below(points, alpha, bits))
    assert keys[0].shape == (40, 32 + 16 * max(bits - 7, 0)) == (40, fss.dcf_key_bytes(bits, 0))


@pytest.mark.parametrize("P", [1, 2, 3, 4])
@pytest.mark.parametrize("bits", ALL_BITS)
def test_comparison(fss, cases, draw, bits, P):
    alpha, points = cases(40, bits)
    payload = draw(40, P)
    keys = fss.dcf_keys(SEED, bits, alpha, payload)
    assert keys[0].shape[1] == fss.dcf_key_bytes(bits, P)
    if bits >= 2:
        assert keys[0].shape[1] == 16 + (16 + 8 * P) * (bits - 2) + 32 * P
    shares = [fss.dcf_evaluate(party, bits, keys[party], points, P) for party in (0, 1)]
    expected = below(points, alpha, bits)[:, :, None] * payload[:, None, :]
    np.testing.assert_array_equal(shares[0] + shares[1], expected)
    weights = draw(9, 3)
    sums = [fss.dcf_weighted(party, bits, keys[party], points, weights) for party in (0, 1)]
    np.testing.assert_array_equal(sums[0], np.einsum("nmp,mq->npq", shares[0], weights))
    np.testing.assert_array_equal(sums[1], np.einsum("nmp,mq->npq", shares[1], weights))


@pytest.mark.parametrize("P", [1, 2, 3, 4])
@pytest.mark.parametrize("bits", ALL_BITS)
def test_point(fss, cases, draw, bits, P):
    alpha, points = cases(40, bits)
    payload = draw(40, P)
    keys = fss.dpf_keys(SEED, bits, alpha, payload)
    assert keys[0].shape[1] == fss.dpf_key_bytes(bits, P)
    if bits >= 3:
        leaf = 16 * (bits - 3) + 64 if P == 1 else 16 * (bits - 1) + 16 * P
        assert keys[0].shape[1] == 16 + leaf
    shares = [fss.dpf_evaluate(party, bits, keys[party], points, P) for party in (0, 1)]
    equal = (points & mask(bits)) == (alpha & mask(bits))[:, None]
    np.testing.assert_array_equal(shares[0] + shares[1], equal[:, :, None] * payload[:, None, :])


@pytest.mark.parametrize("P", [1, 2, 3, 4])
@pytest.mark.parametrize("columns", [1, 3])
@pytest.mark.parametrize("bits", [1, 2, 3, 4, 5, 6, 8, 11, 12])
def test_table(fss, draw, bits, columns, P):
    alpha, shift, payload = draw(20), draw(20), draw(20, P)
    shift[:4] = alpha[:4]
    shift[4] = alpha[4] - np.uint64(1)
    entries = draw(1 << bits, columns)
    keys = fss.dpf_keys(SEED, bits, alpha, payload)
    shares = [fss.dpf_table(party, bits, keys[party], shift, entries, P) for party in (0, 1)]
    chosen = entries[((shift - alpha) & mask(bits)).astype(np.int64)]
    expected = payload[:, :, None] * chosen[:, None, :]
    np.testing.assert_array_equal(shares[0] + shares[1], expected)


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 5, 6, 8, 11, 12])
@pytest.mark.parametrize("part", [0.0, 0.3, 0.5, 1.0])
def test_histogram(fss, draw, bits, part):
    lengths, count = np.array([3, 0, 1, 20, 0], dtype=np.uint64), round(part * (1 << bits))
    alpha, payload = draw(24), np.concatenate([np.ones((12, 1), dtype=np.uint64), draw(12, 1)])
    shift = alpha + draw(24) % np.uint64(1 << bits)
    shift[:4] = alpha[:4]
    shift[4] = alpha[4] - np.uint64(1)
    keys = fss.dpf_keys(SEED, bits, alpha, payload)
    shares = [
        fss.dpf_histogram(party, bits, keys[party], shift, lengths, count) for party in (0, 1)
    ]
    values = ((shift - alpha) & mask(bits)).astype(np.int64)
    expected = np.zeros((5, 1 << bits), dtype=np.uint64)
    rows = np.repeat(np.arange(5), lengths.astype(np.int64))
    np.add.at(expected, (rows, values), payload[:, 0])
    np.testing.assert_array_equal(shares[0] + shares[1], expected[:, :count])


@pytest.mark.parametrize("bits", [1, 3, 5])
def test_the_reference_histogram(fss, reference, draw, bits):
    alpha, shift, payload = draw(4), draw(4), draw(4, 1)
    lengths = np.array([1, 0, 3], dtype=np.uint64)
    for party, keys in enumerate(fss.dpf_keys(SEED, bits, alpha, payload)):
        for count in (0, 1, 1 << bits):
            shares = fss.dpf_histogram(party, bits, keys, shift, lengths, count)
            expected = reference.fss.dpf_histogram(party, bits, keys, shift, lengths, count)
            np.testing.assert_array_equal(shares, expected)


@pytest.mark.parametrize("P", [1, 2, 3, 4])
@pytest.mark.parametrize("bits", [2, 5, 6, 9, 12])
def test_rows_of_zeros_in_a_table(fss, draw, bits, P):
    """Wherever the filled rows are, and wherever a mask moves them: at the end, round it."""
    size = 1 << bits
    alpha, payload = draw(size if bits < 9 else 64), draw(size if bits < 9 else 64, P)
    for first, count in ((0, 1), (size - 1, 1), (size - 1, 2), (size // 3, size // 4), (1, size)):
        filled = np.arange(first, first + count) % size
        entries = np.zeros((size, 2), dtype=np.uint64)
        entries[filled] = draw(count, 2)
        entries[filled[count // 2]] = 0  # a row of zeros among the others
        keys = fss.dpf_keys(SEED, bits, alpha, payload)
        for row in {0, first, first + count - 1, first + count, size - 1}:
            shift = alpha + np.uint64(row)
            shift[::2] = np.arange(len(shift[::2]))
            shares = [fss.dpf_table(i, bits, keys[i], shift, entries, P) for i in (0, 1)]
            chosen = entries[((shift - alpha) & mask(bits)).astype(np.int64)]
            expected = payload[:, :, None] * chosen[:, None, :]
            np.testing.assert_array_equal(shares[0] + shares[1], expected)
    shares = [fss.dpf_table(party, bits, keys[party], alpha, 0 * entries, P) for party in (0, 1)]
    assert not (shares[0] + shares[1]).any()


@pytest.mark.parametrize(("count", "each"), [(1, 1), (1, 700), (2, 64), (37, 3), (700, 1)])
@pytest.mark.parametrize("P", [0, 1, 2])
def test_many_points_and_many_keys(fss, draw, count, each, P):
    """Whatever is computed together, a share is that of its key and its point."""
    bits = 21
    alpha, payload = draw(count), draw(count, P)
    points = np.sort(draw(each) & mask(bits)) + alpha[:, None]  # knots under a mask
    points[:, each // 2] = alpha
    points[:, each // 3] = points[:, 0]
    for party, keys in enumerate(fss.dcf_keys(SEED, bits, alpha, payload)):
        for k, m in ((0, 0), (count - 1, each - 1), (count // 2, each // 2)):
            one = keys[k : k + 1], points[k : k + 1, m : m + 1]
            if P == 0:
                share = fss.dcf_bits(party, bits, keys, points)[k, m]
                assert share == fss.dcf_bits(party, bits, *one)
            else:
                share = fss.dcf_evaluate(party, bits, keys, points, P)[k, m]
                np.testing.assert_array_equal(share, fss.dcf_evaluate(party, bits, *one, P)[0, 0])
    first, second = fss.dcf_keys(SEED, bits, alpha, payload)
    if P == 0:
        got = fss.dcf_bits(0, bits, first, points) ^ fss.dcf_bits(1, bits, second, points)
        np.testing.assert_array_equal(got, below(points, alpha, bits))
    else:
        got = fss.dcf_evaluate(0, bits, first, points, P)
        got = got + fss.dcf_evaluate(1, bits, second, points, P)
        expected = below(points, alpha, bits)[:, :, None] * payload[:, None, :]
        np.testing.assert_array_equal(got, expected)


kinds = st.one_of(
    st.builds(Kind, st.just(True), st.integers(1, 20), st.integers(0, 4)),
    st.builds(Kind, st.just(False), st.integers(1, 20), st.integers(1, 4)),
)
word = st.integers(0, 2**64 - 1)


@settings(max_examples=40, deadline=None)
@given(kinds, st.binary(min_size=32, max_size=32), st.binary(min_size=16, max_size=16), st.data())
def test_the_reference_byte_for_byte(kind, seed, key, data):
    fast, slow = (load_engine(name).fss.keyed(key) for name in ("cpu", "reference"))
    count, bits = 2, kind.bits
    alpha = np.array([data.draw(word) for _ in range(count)], dtype=np.uint64)
    values = [data.draw(word) for _ in range(count * kind.words)]
    payload = np.array(values, dtype=np.uint64).reshape(count, kind.words)
    points = np.array([[data.draw(word), int(a)] for a in alpha], dtype=np.uint64)
    weights = np.array([[data.draw(word)] for _ in range(2)], dtype=np.uint64)

    def both(name, *arguments):
        """The result of an operation, which must be that of the reference."""
        found = getattr(fast, name)(*arguments)
        np.testing.assert_array_equal(found, getattr(slow, name)(*arguments))
        return found

    family = "dcf" if kind.comparison else "dpf"
    assert both(f"{family}_key_bytes", bits, kind.words) == kind.key_bytes
    for party, keys in enumerate(both(f"{family}_keys", seed, bits, alpha, payload)):
        if kind.words == 0:
            both("dcf_bits", party, bits, keys, points)
            continue
        both(f"{family}_evaluate", party, bits, keys, points, kind.words)
        if kind.comparison:
            both("dcf_weighted", party, bits, keys, points, weights)


@pytest.mark.parametrize("P", [1, 2, 3, 4])
@pytest.mark.parametrize("bits", [2, 3, 5])
@pytest.mark.parametrize("key", [None, bytes(range(16))])
def test_the_reference_table(engine, reference, draw, bits, P, key):
    fss, slow = engine.fss, reference.fss
    if key is not None:
        fss, slow = fss.keyed(key), slow.keyed(key)
    alpha, shift, payload, entries = draw(2), draw(2), draw(2, P), draw(1 << bits, 2)
    for party, keys in enumerate(fss.dpf_keys(SEED, bits, alpha, payload)):
        shares = fss.dpf_table(party, bits, keys, shift, entries, P)
        expected = slow.dpf_table(party, bits, keys, shift, entries, P)
        np.testing.assert_array_equal(shares, expected)


def test_trees_with_another_key_are_other_trees(each, draw):
    """From the same seeds: nothing below the roots is the same, and shares do not add up."""
    alpha, payload, points = draw(30), draw(30, 2), draw(30, 3)
    here, there = each.fss.keyed(bytes(16)), each.fss.keyed(bytes([1]) + bytes(15))
    for make, bits in ((here.dcf_keys, 9), (here.dpf_keys, 9)):
        ours = make(SEED, bits, alpha, payload)
        theirs = getattr(there, make.__name__)(SEED, bits, alpha, payload)
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(one[:, :SHARED_FROM], other[:, :SHARED_FROM])
            assert (one[:, SHARED_FROM:] == other[:, SHARED_FROM:]).mean() < 0.05
        evaluate = make.__name__.replace("keys", "evaluate")
        wrong = [getattr(there, evaluate)(i, bits, ours[i], points, 2) for i in (0, 1)]
        right = [getattr(here, evaluate)(i, bits, ours[i], points, 2) for i in (0, 1)]
        assert (wrong[0] + wrong[1] == right[0] + right[1]).mean() < 0.05
    for bad in (b"", bytes(15), bytes(17), bytes(32)):
        with pytest.raises(ValueError, match="16 bytes"):
            each.fss.keyed(bad)


#: Functions, with the payload's words, that one key must not tell apart.
SHAPES = [(True, 16, 0), (True, 7, 0), (True, 12, 1), (True, 9, 2), (False, 10, 1), (False, 8, 3)]


@pytest.mark.parametrize("party", [0, 1])
@pytest.mark.parametrize(("comparison", "bits", "P"), SHAPES)
def test_one_key_is_uniform(fss, comparison, bits, P, party):
    """Each bit of a key is as often one as zero, whatever is shared; so is each bit's sum with
    its neighbour. Bits that are always zero are the same for all alpha and payloads.
    """
    count = 4000
    make = fss.dcf_keys if comparison else fss.dpf_keys
    for k, (alpha, value) in enumerate(((0, 0), ((1 << bits) - 1, 1), (5, (1 << 64) - 1))):
        alphas = np.full(count, alpha, dtype=np.uint64)
        payload = np.full((count, P), value, dtype=np.uint64)
        keys = make(bytes([k]) * 32, bits, alphas, payload)[party]
        found = np.unpackbits(keys, axis=1, bitorder="little")
        fixed = np.zeros(found.shape[1], dtype=bool)
        fixed[:3] = True  # control bits of the root
        levels = bits - Kind(comparison=comparison, bits=bits, words=P).low
        level_bits = 8 * (16 + 8 * P * comparison)
        for level in range(levels):
            start = 128 + level * level_bits
            # The output bit belongs to comparisons without payload.
            fixed[start + 2] = P > 0
        assert not found[:, fixed].any()
        free = found[:, ~fixed].astype(np.int64)
        sigma = 0.5 / np.sqrt(count)
        for bit in (free, free[:, 1:] ^ free[:, :-1]):
            means = bit.mean(axis=0)
            assert np.abs(means - 0.5).max() < 6 * sigma
            assert abs(means.mean() - 0.5) < 6 * sigma / np.sqrt(bit.shape[1])


@pytest.mark.parametrize("party", [0, 1])
def test_one_share_is_uniform(fss, draw, party):
    """A party's outputs say nothing of the values they share."""
    count, bits = 4000, 9
    alpha, payload = np.full(count, 200, np.uint64), np.full((count, 2), 7, np.uint64)
    points = np.tile(np.array([0, 199, 200, 511], dtype=np.uint64), (count, 1))
    outputs = [
        fss.dcf_evaluate(party, bits, fss.dcf_keys(SEED, bits, alpha, payload)[party], points, 2),
        fss.dpf_evaluate(party, bits, fss.dpf_keys(SEED, bits, alpha, payload)[party], points, 2),
    ]
    for out in outputs:
        bits_of = np.unpackbits(np.ascontiguousarray(out).view(np.uint8), axis=-1)
        assert np.abs(bits_of.mean(axis=0) - 0.5).max() < 6 * 0.5 / np.sqrt(count)
    keys = fss.dcf_keys(SEED, bits, alpha, payload[:, :0])[party]
    shares = fss.dcf_bits(party, bits, keys, points)
    assert np.abs(shares.mean(axis=0) - 0.5).max() < 6 * 0.5 / np.sqrt(count)


def test_keys_of_a_pair_differ_in_their_roots_alone(fss, draw):
    for keys in (
        fss.dcf_keys(SEED, 20, draw(5), draw(5, 2)),
        fss.dpf_keys(SEED, 20, draw(5), draw(5, 1)),
    ):
        shared = SHARED_FROM
        np.testing.assert_array_equal(keys[0][:, shared:], keys[1][:, shared:])
        assert (keys[0][:, :shared] != keys[1][:, :shared]).any(axis=1).all()


def test_empty(each, draw):
    none = draw(0)
    first, second = each.fss.dcf_keys(SEED, 12, none, draw(0, 2))
    assert first.shape == second.shape == (0, each.fss.dcf_key_bytes(12, 2))
    assert each.fss.dcf_evaluate(0, 12, first, draw(0, 5), 2).shape == (0, 5, 2)
    keys, _ = each.fss.dcf_keys(SEED, 12, draw(3), draw(3, 2))
    assert each.fss.dcf_evaluate(0, 12, keys, draw(3, 0), 2).shape == (3, 0, 2)
    assert not each.fss.dcf_weighted(0, 12, keys, draw(3, 0), draw(0, 2)).any()
    bits, _ = each.fss.dcf_keys(SEED, 12, none, draw(0, 0))
    assert each.fss.dcf_bits(0, 12, bits, draw(0, 5)).shape == (0, 5)
    points, _ = each.fss.dpf_keys(SEED, 3, none, draw(0, 1))
    assert each.fss.dpf_table(0, 3, points, none, draw(8, 2)).shape == (0, 1, 2)
    assert each.fss.dpf_histogram(0, 3, points, none, none, 5).shape == (0, 5)


def test_bad(each, draw):
    alpha, payload, points = draw(3), draw(3, 1), draw(3, 2)
    for bits in (0, 65):
        with pytest.raises(ValueError):
            each.fss.dcf_keys(SEED, bits, alpha, payload)
    for bad in (
        (SEED[:31], 8, alpha, payload),
        (SEED, 8, alpha[:2], payload),
        (SEED, 8, alpha, payload[:, 0]),
        (SEED, 8, alpha, draw(3, 5)),
        (SEED, 8, alpha.astype(np.int64), payload),
    ):
        with pytest.raises(ValueError):
            each.fss.dcf_keys(*bad)
    with pytest.raises(ValueError):
        each.fss.dpf_keys(SEED, 8, alpha, payload[:, :0])
    keys, _ = each.fss.dcf_keys(SEED, 8, alpha, payload)
    for bad in (
        (2, 8, keys, points, 1),
        (0, 9, keys, points, 1),
        (0, 8, keys, points, 2),
        (0, 8, keys, points, 0),
        (0, 8, keys[:2], points, 1),
        (0, 8, keys[:, 1:], points, 1),
        (0, 8, keys, points[0], 1),
        (0, 8, keys.astype(np.int8), points, 1),
    ):
        with pytest.raises(ValueError):
            each.fss.dcf_evaluate(*bad)
    with pytest.raises(ValueError):
        each.fss.dcf_bits(0, 8, keys, points)
    with pytest.raises(ValueError):
        each.fss.dcf_weighted(0, 8, keys, points, draw(3, 1))
    with pytest.raises(ValueError):
        each.fss.dcf_weighted(0, 8, keys[:, 1:], points, draw(2, 1))
    keys, _ = each.fss.dpf_keys(SEED, 8, alpha, payload)
    with pytest.raises(ValueError):
        each.fss.dpf_table(0, 8, keys, alpha, draw(255, 1))
    lengths = np.array([1, 2], dtype=np.uint64)
    for bad in (
        (2, 8, keys, alpha, lengths, 4),
        (0, 9, keys, alpha, lengths, 4),
        (0, 8, keys[:2], alpha, lengths, 4),
        (0, 8, keys, alpha, lengths, 257),
        (0, 8, keys, alpha, lengths[:1], 4),
        (0, 8, keys, alpha, lengths + np.uint64(1 << 63), 4),
        (0, 8, keys, alpha, lengths.astype(np.int64), 4),
    ):
        with pytest.raises(ValueError):
            each.fss.dpf_histogram(*bad)
    large, _ = each.fss.dpf_keys(SEED, 21, alpha, payload)
    with pytest.raises(ValueError):
        each.fss.dpf_histogram(0, 21, large, alpha, lengths, 4)
    with pytest.raises(ValueError):
        each.fss.dpf_evaluate(0, 8, keys, points, 3)
