"""The group: every backend gives what the reference engine gives, byte for byte."""

from __future__ import annotations

import numpy as np
import pytest

from tests.conformance.values import DTYPES
from veracity.engine import BASE, ORDER

LABEL = "test"
IDENTITY = bytes(32)


@pytest.fixture(scope="module")
def encoded(reference) -> list[bytes]:
    """Encodings of 40 points; the identity, equal and opposite points are among them."""
    data = reference.compress(reference.generators(LABEL, 40))
    points = [data[i : i + 32] for i in range(0, len(data), 32)]
    points[3] = IDENTITY
    points[5] = points[4]
    points[6] = points[4][:31] + bytes([points[4][31] ^ 0x80])
    return points


@pytest.fixture
def both(engine, reference, encoded):
    """Runs an operation on points and scalars on both engines, and compares the encodings."""

    def run(operation, picks, *scalars):
        results = []
        for e in (engine, reference):
            points = [e.decompress(b"".join(encoded[i] for i in pick)) for pick in picks]
            results.append(e.compress(operation(e, *points, *map(e.from_ints, scalars))))
        assert results[0] == results[1]
        return results[0]

    return run


def test_generators(engine, reference):
    data = engine.compress(engine.generators(LABEL, 20))
    assert data == reference.compress(reference.generators(LABEL, 20))
    assert engine.compress(engine.generators(LABEL, 300))[: 32 * 20] == data
    assert len(engine.generators(LABEL, 0)) == 0
    assert engine.compress(engine.generators(LABEL + "'", 1)) != data[:32]
    with pytest.raises(ValueError, match=r"."):
        engine.generators(LABEL, -1)
    with pytest.raises(ValueError, match=r"."):
        engine.generators("x" * 300, 1)


def test_encoding_round_trip(engine, encoded):
    data = b"".join(encoded)
    points = engine.decompress(data)
    assert len(points) == len(encoded)
    assert engine.compress(points) == data
    assert engine.compress(points[3:7]) == data[96:224]
    assert engine.compress(engine.decompress(b"")) == b""
    for count in (1, 700 // len(encoded)):  # a task, or several
        assert engine.compress(engine.decompress(data * count, behind=True)) == data * count


@pytest.mark.parametrize(
    "bad",
    [
        bytes(31),
        bytes(33),
        bytes(31) + b"\x80",  # minus the identity
        (BASE).to_bytes(32, "little"),
        (BASE + 1).to_bytes(32, "little"),
        b"\xff" * 32,
        (2).to_bytes(32, "little"),  # 2^3 + 5 is not a square
    ],
)
@pytest.mark.parametrize("position", [0, 1, 2])
def test_bad_encodings(engine, reference, encoded, bad, position):
    parts = [encoded[0], encoded[1]]
    parts.insert(position, bad)
    for e in (engine, reference):
        with pytest.raises(ValueError, match=r"."):
            e.decompress(b"".join(parts))
        with pytest.raises(ValueError, match=r"."):
            e.decompress(b"".join(parts), behind=True)


def test_coordinates(engine, reference, encoded):
    points = reference.decompress(b"".join(encoded))
    data = reference.coordinates(points)
    found = engine.from_coordinates(data)
    assert engine.coordinates(found) == data
    assert engine.compress(found) == b"".join(encoded)
    assert engine.coordinates(engine.from_coordinates(b"")) == b""
    long = data * (700 // len(encoded))
    assert engine.coordinates(engine.from_coordinates(long)) == long


@pytest.mark.parametrize("at", [0, 1])
def test_coordinates_that_are_no_point(engine, reference, encoded, at):
    data = reference.coordinates(reference.decompress(encoded[7] + encoded[8]))
    one = data[64 * at : 64 * at + 64]
    x, y = one[:32], one[32:]
    moved = (int.from_bytes(x, "little") + BASE).to_bytes(33, "little")[:32]
    minus = (BASE - int.from_bytes(y, "little")).to_bytes(32, "little")
    bad = [bytes(32) + y, x + bytes(32), y + x, moved + y, x + b"\xff" * 32, one[:63]]
    for wrong in [*bad, bytes([x[0] ^ 1]) + x[1:] + y]:
        for e in (engine, reference):
            with pytest.raises(ValueError):
                e.from_coordinates(data[: 64 * at] + wrong)
    assert engine.compress(engine.from_coordinates(x + minus))[:31] == x[:31]


def test_random_bytes(engine, reference, rng):
    """Half of all abscissas are on the curve: the backends accept the same ones."""
    for _ in range(60):
        data = rng.randbytes(31) + bytes([rng.randrange(256) & 0xBF])
        results = []
        for e in (engine, reference):
            try:
                results.append(e.compress(e.decompress(data)))
            except ValueError:
                results.append(None)
        assert results[0] == results[1]
        assert results[0] in (None, data)


def test_add(both):
    pairs = [(i, j) for i in (0, 3, 4, 5, 6) for j in (0, 1, 3, 4, 5, 6)]
    both(lambda e, a, b: e.add_points(a, b), [[i for i, _ in pairs], [j for _, j in pairs]])
    both(lambda e, a, b: e.add_points(a, b), [[], []])


@pytest.mark.parametrize("n", [0, 1, 2, 3, 7, 20, 40])
def test_msm(both, scalars, n):
    both(lambda e, p, k: e.msm(p, k), [range(n)], scalars(n))


def test_msm_special(both):
    assert both(lambda e, p, k: e.msm(p, k), [[4, 5, 6]], [1, 2, 3]) == IDENTITY
    assert both(lambda e, p, k: e.msm(p, k), [[0] * 30], [ORDER - 1] * 30) != IDENTITY
    assert both(lambda e, p, k: e.msm(p, k), [[0, 1]], [0, 0]) == IDENTITY


@pytest.mark.parametrize("n", [0, 1, 2, 9])
def test_scale_points(both, scalars, n):
    both(lambda e, p, k: e.scale_points(p, k), [range(n)], scalars(n))


@pytest.mark.parametrize(("point", "n"), [(0, 0), (0, 2), (3, 3), (1, 150)])
def test_scale_one_point(both, scalars, point, n):
    both(lambda e, p, k: e.scale_points(p, k), [[point]], scalars(n))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("rows", "columns"), [(0, 3), (2, 0), (1, 1), (3, 5), (4, 40)])
def test_commit_rows(both, small, dtype, rows, columns):
    values = small(dtype, rows, columns)
    index = np.arange(columns, dtype=np.int64)
    both(lambda e, p: e.commit_rows(values, index, p), [range(40)])


def test_commit_rows_gathers(both, small):
    index = np.array([7, 7, 0, 39, 3, 4, 5, 6, 4], dtype=np.int64)
    values = small("int16", 6, len(index))
    both(lambda e, p: e.commit_rows(values, index, p), [range(40)])
    both(lambda e, p: e.commit_rows(values[:, :4].copy(), index[::2][:4], p), [range(40)])


@pytest.mark.parametrize("bits", [1, 4, 8, 12, 16, 31])
@pytest.mark.parametrize("columns", [30, 3000])
def test_long_rows(engine, rng, bits, columns):
    """Rows of every width against a multi-scalar multiplication."""
    points = engine.generators(LABEL, columns)
    generator = np.random.default_rng(rng.getrandbits(64))
    values = generator.integers(-(1 << bits), 1 << bits, size=(3, columns), dtype=np.int64)
    found = engine.commit_rows(values, np.arange(columns), points)
    expected = [engine.msm(points, engine.from_ints([int(x) for x in row])) for row in values]
    assert engine.compress(found) == engine.compress(engine.concat_points(expected))


def test_concat(engine, encoded):
    points = engine.decompress(b"".join(encoded))
    joined = engine.concat_points([points[:3], points[3:3], points[3:]])
    assert engine.compress(joined) == b"".join(encoded)
    assert len(engine.concat_points([])) == 0


@pytest.mark.parametrize("definition", [False, True])
def test_wrong_shapes(engine, reference, encoded, definition):
    e = reference if definition else engine
    p, k = e.decompress(b"".join(encoded[:4])), e.from_ints([1, 2, 3])
    ok = np.zeros((2, 3), dtype=np.int8)
    index = np.arange(3, dtype=np.int64)
    for wrong in (
        lambda: e.msm(p, k),
        lambda: e.scale_points(p, k),
        lambda: e.add_points(p, p[:1]),
        lambda: e.inner_product(p, p[:1], k, k),
        lambda: e.inner_product(p[:3], p[:1], k, k[:2]),
        lambda: e.inner_product(p[:3], p[:2], k, k),
        lambda: e.inner_product(p[:0], p[:1], k[:0], k[:0]),
        lambda: e.commit_rows(ok, index[:2], p),
        lambda: e.commit_rows(ok, index + 2, p),
        lambda: e.commit_rows(ok, index - 1, p),
        lambda: e.commit_rows(ok, index.astype(np.int32), p),
        lambda: e.commit_rows(ok.astype(np.float64), index, p),
        lambda: e.commit_rows(ok.reshape(-1), index, p),
        lambda: e.commit_rows(ok.T[:3], index[:2], p),
    ):
        with pytest.raises(ValueError, match=r"."):
            wrong()
