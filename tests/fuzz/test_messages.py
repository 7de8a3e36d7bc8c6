"""Bytes from another party: frames, messages, labels, material, keys, points."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.mutations import changed, fuzz, mutated, parsed
from veracity.engine import _cpu, load_engine
from veracity.errors import PeerError, UsageError
from veracity.mpc.material import Label, Material, ReplayRegistry
from veracity.net import Channel
from veracity.net.frames import HEADER_BYTES, REASON_BYTES, Header, Kind, reason_text
from veracity.private.connect import Address
from veracity.private.parties import wire

RING = load_engine("cpu").ring

HEADERS = [
    Header(Kind.DATA, 77, 3, 9, 1 << 20).encode(),
    Header(Kind.GOODBYE, 0, 4, 1, 0).encode(),
    Header(Kind.REFUSAL, 0, 0, 2, 100).encode(),
]
LABEL = Label(b"m" * 32, b"s" * 16, 5, 8, 3, 1).encode()


@given(mutated(HEADERS))
@fuzz
def test_frames(data: bytes) -> None:
    header = parsed(lambda: Header.decode(data))
    assert header is None or header.encode() == data[:HEADER_BYTES]


@given(st.binary(max_size=2 * REASON_BYTES))
@fuzz
def test_reasons_are_one_printable_line(data: bytes) -> None:
    text = reason_text(data)
    assert text
    assert text.isprintable()
    assert len(text) <= REASON_BYTES + len("no reason given")


@given(mutated([LABEL]))
@fuzz
def test_labels(data: bytes) -> None:
    label = parsed(lambda: Label.decode(data))
    assert label is None or label.encode() == data


@given(data=mutated([b"0" * 32, b"1" * 64]))
@fuzz
def test_records_of_used_material(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "ledger"
    path.write_bytes(data)
    parsed(lambda: ReplayRegistry(path))


@example([b"", b"\0"], 0, 0)  # an empty chunk hid what came after it
@given(st.lists(st.binary(max_size=40), max_size=6), st.integers(0, 9), st.integers(0, 9))
@fuzz
def test_material(chunks: list[bytes], words: int, keys: int) -> None:
    def read() -> bytes:
        material = Material(RING, bytes(32), iter(chunks))
        first, second = material.take(words), material.take_keys(keys, 3)
        material.finish()
        return first.tobytes() + second.tobytes()

    whole = b"".join(chunks)
    found = parsed(read, PeerError)
    assert found == (whole if len(whole) == 8 * words + 3 * keys else None)


FIELDS: dict[str, type] = {"name": str, "count": int, "flag": bool}
MESSAGE = {"name": "00" * 32, "count": 7, "flag": True}


def _receive(data: bytes) -> dict[str, Any]:
    async def receive_up_to(step: int, limit: int, timeout: float | None) -> bytes:
        assert len(data) <= limit
        return data

    channel = cast(Channel, SimpleNamespace(receive_up_to=receive_up_to))
    body = asyncio.run(wire.receive_object(channel, wire.MessageTag.ASK, FIELDS))
    wire.digest_of(body, "name")
    return body


def _encoded(body: object) -> bytes:
    return json.dumps(body, sort_keys=True, separators=(",", ":")).encode()


@given(mutated([_encoded(MESSAGE)]) | changed(MESSAGE).map(_encoded))
@fuzz
def test_messages(data: bytes) -> None:
    body = parsed(lambda: _receive(data[:4096]), PeerError)
    if body is not None:
        assert _encoded(body) == data
        assert {name: type(value) for name, value in body.items()} == FIELDS


@given(mutated([b"localhost:7001", b"[::1]:7", b"10.0.0.1:65535"]))
@fuzz
def test_addresses(data: bytes) -> None:
    text = data.decode("utf-8", errors="replace")
    address = parsed(lambda: Address.parse(text), UsageError)
    assert address is None or Address.parse(str(address)) == address


@given(st.data(), st.integers(1, 12), st.integers(0, 4), st.booleans())
@fuzz
def test_keys_of_function_secret_sharing(
    data: st.DataObject, bits: int, words: int, comparison: bool
) -> None:
    fss = load_engine("cpu").fss
    alpha = np.array([1, 2**63], dtype=np.uint64)
    payload = np.ones((2, words if comparison else max(1, words)), dtype=np.uint64)
    make = fss.dcf_keys if comparison else fss.dpf_keys
    keys, _ = make(bytes(range(32)), bits, alpha, payload)
    raw = data.draw(mutated([keys.tobytes()]))
    width = data.draw(st.sampled_from([keys.shape[1], max(1, len(raw) // 2)]))
    rows = len(raw) // width
    strange = np.frombuffer(raw[: rows * width], dtype=np.uint8).reshape(rows, width)
    points = np.arange(3 * rows, dtype=np.uint64).reshape(rows, 3)
    P = payload.shape[1]
    if comparison and not P:
        out = parsed(lambda: fss.dcf_bits(0, bits, strange, points), ValueError)
    elif comparison:
        out = parsed(lambda: fss.dcf_evaluate(1, bits, strange, points, P), ValueError)
        weights = np.ones((3, 2), dtype=np.uint64)
        parsed(lambda: fss.dcf_weighted(1, bits, strange, points, weights), ValueError)
    else:
        out = parsed(lambda: fss.dpf_evaluate(0, bits, strange, points, P), ValueError)
        table = np.ones((1 << bits, 1), dtype=np.uint64)
        parsed(lambda: fss.dpf_table(0, bits, strange, points[:, 0], table, P), ValueError)
        each = np.ones(rows, dtype=np.uint64)
        parsed(lambda: fss.dpf_histogram(0, bits, strange, points[:, 0], each, 2), ValueError)
    # Bytes of the right length are some key; others are refused.
    assert (out is not None) == (width == keys.shape[1])


POINTS = _cpu.points_compress(_cpu.points_generators("fuzz", 20))
SCALARS = _cpu.vec_to_bytes(_cpu.vec_from_small(np.arange(-3, 5, dtype=np.int64)))


@given(mutated([POINTS, POINTS[:32], bytes(32)]), mutated([SCALARS]))
@fuzz
def test_points_and_scalars_have_one_encoding(points: bytes, scalars: bytes) -> None:
    found = parsed(lambda: _cpu.points_decompress(points, False), ValueError)
    assert found is None or _cpu.points_compress(found) == points
    found = parsed(lambda: _cpu.vec_from_bytes(scalars), ValueError)
    assert found is None or _cpu.vec_to_bytes(found) == scalars


@pytest.mark.parametrize("bits", [1, 7, 64])
@given(data=mutated([bytes(range(64))]), count=st.integers(0, 1 << 40))
@fuzz
def test_packed_values(bits: int, data: bytes, count: int) -> None:
    parsed(lambda: _cpu.ring_unpack(data, bits, count), ValueError)
    whole = len(data) * 8 // bits
    parsed(lambda: _cpu.ring_unpack(data, bits, whole), ValueError)
