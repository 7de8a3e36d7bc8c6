"""Generators: frozen points, and a cache that cannot change them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from veracity.engine.generators import cache_file, cached_generators
from veracity.engine.reference.hash_to_curve import hash_to_curve
from veracity.errors import BackendUnavailable

VECTORS = Path(__file__).parents[1] / "vectors" / "generators.json"
LABEL = "cache test"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("VERACITY_CACHE", str(tmp_path / "cache"))
    return cache_file(LABEL)


@pytest.fixture
def expected(engine):
    return engine.compress(engine.generators(LABEL, 30))


def _labels():
    return json.loads(VECTORS.read_text())["labels"].items()


def test_frozen_reference(reference):
    for label, points in _labels():
        for i, encoding in points.items():
            point = hash_to_curve(label, int(i).to_bytes(8, "little"))
            assert reference.compress([point]).hex() == encoding


def test_frozen(engine):
    for label, points in _labels():
        data = engine.compress(engine.generators(label, 257))
        for i, encoding in points.items():
            if int(i) < 257:
                assert data[32 * int(i) :][:32].hex() == encoding


def test_second_use_reads_the_file(engine, cache, expected, monkeypatch):
    assert engine.compress(cached_generators(engine, LABEL, 30)) == expected
    assert cache.stat().st_mode & 0o777 == 0o644
    assert [p.name for p in cache.parent.iterdir()] == [cache.name]
    monkeypatch.setattr(type(engine), "generators", None)
    assert engine.compress(cached_generators(engine, LABEL, 30)) == expected
    assert engine.compress(cached_generators(engine, LABEL, 7)) == expected[: 32 * 7]
    assert len(cached_generators(engine, LABEL, 0)) == 0


def test_longer_request_extends_the_file(engine, cache, expected):
    cached_generators(engine, LABEL, 10)
    short = cache.stat().st_size
    assert engine.compress(cached_generators(engine, LABEL, 30)) == expected
    assert cache.stat().st_size == short + 64 * 20


def _resealed(data: bytes) -> bytes:
    """A forged file whose digest is right."""
    body = data[56:]
    name = LABEL.encode()
    sealed = len(name).to_bytes(8, "little") + name + body
    return (
        data[:16] + (len(body) // 64).to_bytes(8, "little") + hashlib.sha256(sealed).digest() + body
    )


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:40],
        lambda data: data[:-1],
        lambda data: data[:-64],
        lambda data: data + bytes(64),
        lambda data: b"\0" + data[1:],
        lambda data: data[:100] + bytes([data[100] ^ 1]) + data[101:],
        lambda data: _resealed(data[:-64]),
        lambda data: _resealed(data[:-32]),
        lambda data: _resealed(data[:56] + data[120:] + data[56:120]),
        lambda data: _resealed(data[:56] + bytes(len(data) - 56)),
        lambda data: _resealed(data[:56] + b"\xff" * (len(data) - 56)),
    ],
)
def test_damaged_file_is_rebuilt(engine, cache, expected, damage):
    cached_generators(engine, LABEL, 30)
    good = cache.read_bytes()
    cache.write_bytes(damage(good))
    assert engine.compress(cached_generators(engine, LABEL, 30)) == expected
    assert cache.read_bytes() == good


def test_one_replaced_point_is_found_where_the_digest_is_known(engine, cache, expected):
    digest = hashlib.sha256(expected).hexdigest()
    cached_generators(engine, LABEL, 30, digest)
    good = cache.read_bytes()
    cache.write_bytes(_resealed(good[:120] + good[56:120] + good[184:]))
    assert engine.compress(cached_generators(engine, LABEL, 30, digest)) == expected
    assert cache.read_bytes() == good


def test_a_point_off_the_curve_is_found_though_it_compresses_alike(engine, cache, expected):
    """Another ordinate of the same parity: only the curve's equation tells."""
    digest = hashlib.sha256(expected).hexdigest()
    cached_generators(engine, LABEL, 30, digest)
    good = cache.read_bytes()
    cache.write_bytes(good[:88] + bytes([good[88] ^ 2]) + good[89:])
    assert engine.compress(cached_generators(engine, LABEL, 30, digest)) == expected
    assert cache.read_bytes() == good


def test_an_engine_that_derives_other_points_is_refused(engine):
    with pytest.raises(BackendUnavailable):
        cached_generators(engine, LABEL, 30, "00" * 32)


def test_unwritable_cache(engine, expected, tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    monkeypatch.setenv("VERACITY_CACHE", str(blocked))
    assert engine.compress(cached_generators(engine, LABEL, 30)) == expected


def test_negative_count(engine):
    with pytest.raises(ValueError, match="negative"):
        cached_generators(engine, LABEL, -1)


def test_some_of_the_points_that_a_digest_is_of(engine, expected):
    """Without a cache and with one; the digest is that of all."""
    digest = hashlib.sha256(expected).hexdigest()
    for _ in range(2):
        found = cached_generators(engine, LABEL, 30, digest, 7)
        assert engine.compress(found) == expected[: 32 * 7]
