"""Receipts, certificates, envelopes: what is signed is read in one way, hostile bytes in none."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given

from tests.support.mutations import changed, fuzz, mutated, parsed
from veracity.codec import encoding
from veracity.errors import FormatError, UsageError, VerificationError
from veracity.formats.dsse import (
    Envelope,
    load_private_key,
    load_public_key,
    new_key_files,
    sign,
)
from veracity.formats.receipt import (
    CERTIFICATE_TYPE,
    RECEIPT_TYPE,
    KeyCertificate,
    Opening,
    Receipt,
    ReceiptFile,
    json_of,
)
from veracity.text.chat import Message

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
RECEIPT = Receipt(
    "0" * 32, "answer", "1" * 64, "2" * 64, "3" * 64, "messages", "drawn", 900, "ab",
    "c" * 64, 5, ("a", "é"), "4" * 64, "5" * 64, "6" * 64, "stop", None, 10, 20, 0, True, "http://x",
)  # fmt: skip
CERTIFICATE = KeyCertificate("7" * 64, "1" * 64, "http://x", 0, 30)
FILE = ReceiptFile(
    sign(KEY, RECEIPT_TYPE, RECEIPT.to_bytes()),
    sign(KEY, CERTIFICATE_TYPE, CERTIFICATE.to_bytes()),
    Opening((1, 2), (3,), "0" * 32, "1" * 32, "2" * 32, (Message("user", "hé"),), "3" * 64),
)


def test_a_servers_reply_has_no_more_values_than_memory_is_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Half a million empty lists a megabyte, and a reply may have 32."""
    monkeypatch.setattr(encoding, "MAX_VALUES", 5)
    assert json_of(b"[[], []  ]", "reply") == [[], []]
    with pytest.raises(FormatError, match="more than 5 values"):
        json_of(b"[[], [], []]", "reply")


def test_they_are_read_as_they_were_written() -> None:
    assert Receipt.from_bytes(RECEIPT.to_bytes()) == RECEIPT
    assert KeyCertificate.from_bytes(CERTIFICATE.to_bytes()) == CERTIFICATE
    assert ReceiptFile.load(FILE.to_bytes()) == FILE


def test_the_envelope_is_dsse() -> None:
    """The protocol's own example of what is signed."""
    public = KEY.public_key()
    signed = sign(KEY, "http://example.com/HelloWorld", b"hello world")
    public.verify(signed.signature, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world")
    assert signed.verify(public, "http://example.com/HelloWorld") == b"hello world"
    with pytest.raises(VerificationError, match="another kind"):
        signed.verify(public, "http://example.com/hello")
    other = Ed25519PrivateKey.generate().public_key()
    with pytest.raises(VerificationError, match="another key"):
        signed.verify(other, signed.kind)
    renamed = Envelope(signed.kind, signed.payload + b"!", signed.key_name, signed.signature)
    with pytest.raises(VerificationError, match="false"):
        renamed.verify(public, signed.kind)


@given(mutated([RECEIPT.to_bytes(), CERTIFICATE.to_bytes()]))
@fuzz
def test_hostile_payloads(data: bytes) -> None:
    for kind in (Receipt, KeyCertificate):
        read = parsed(lambda kind=kind: kind.from_bytes(data))
        assert read is None or read.to_bytes() == data


@given(changed(asdict(RECEIPT) | {"stops": ["a"], "version": 2}))
@fuzz
def test_hostile_fields(value: Any) -> None:
    data = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    read = parsed(lambda: Receipt.from_bytes(data.encode("utf-8", "surrogatepass")))
    assert read is None or isinstance(read.max_tokens, int)


@given(mutated([FILE.to_bytes()]))
@fuzz
def test_hostile_files(data: bytes) -> None:
    parsed(lambda: ReceiptFile.load(data))


@given(changed(FILE.to_plain()))
@fuzz
def test_hostile_objects(value: Any) -> None:
    parsed(lambda: ReceiptFile.from_plain(value))


def test_names_given_twice_are_refused() -> None:
    for text in (b'{"a": 1, "a": 1}', b"[" * 10**5, b"\xff", b'{"a": ' + b"9" * 5000 + b"}"):
        with pytest.raises(FormatError):
            json_of(text, "file")


def test_keys_are_private_and_of_one_kind(tmp_path: Path) -> None:
    secret, public = new_key_files()
    path = tmp_path / "key"
    path.write_bytes(secret)
    path.chmod(0o600)
    key = load_private_key(path)
    assert key.public_key() == load_public_key(public)
    path.chmod(0o644)
    with pytest.raises(UsageError, match="chmod"):
        load_private_key(path)
    for data in (b"", b"x", public, secret[:-40]):
        with pytest.raises(FormatError):
            load_private_key(data)
    for data in (b"", secret):
        with pytest.raises(FormatError):
            load_public_key(data)
