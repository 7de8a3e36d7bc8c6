"""Envelopes, keys and heads whose fields say what cannot be."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey

from veracity.errors import FormatError
from veracity.formats.dsse import (
    MAX_PAYLOAD,
    Envelope,
    load_private_key,
    load_public_key,
)
from veracity.formats.log import load_head, load_witness
from veracity.formats.receipt import ReceiptFile


def coded(size: int) -> str:
    return base64.b64encode(bytes(size)).decode()


def envelope(signatures: Any = None, keyid: Any = "k", sig: Any = None, **rest: Any) -> Any:
    one = {"keyid": keyid, "sig": coded(64) if sig is None else sig}
    body = {"payload": coded(3), "payloadType": "t", "signatures": signatures or [one]}
    return {**body, **rest}


ONE = envelope()["signatures"][0]


def test_such_envelopes_are_read() -> None:
    assert Envelope.from_plain(envelope(), "x") == Envelope("t", bytes(3), "k", bytes(64))
    large = Envelope.from_plain(envelope(payload=coded(MAX_PAYLOAD)), "x")
    assert len(large.payload) == MAX_PAYLOAD
    assert load_head(json.dumps({"head": envelope()}).encode()).kind == "t"


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ("exactly the fields", [envelope()]),
        ("exactly the fields", envelope(more=1)),
        ("exactly one signature", envelope({0: ONE})),
        ("exactly one signature", envelope([ONE, ONE])),
        ("exactly the fields keyid", envelope([{**ONE, "more": 1}])),
        ("a name in an envelope", envelope(payloadType=1)),
        ("a name in an envelope", envelope(keyid=["k"])),
        ("no base64", envelope(payload=7)),
        ("no base64", envelope(payload="AA")),
        ("no base64", envelope(payload="AB==")),
        ("a wrong size", envelope(payload=coded(MAX_PAYLOAD + 1))),
        ("a wrong size", envelope(sig=coded(63))),
        ("a wrong size", envelope(sig=coded(65))),
    ],
)
def test_envelopes_that_are_refused(words: str, value: Any) -> None:
    with pytest.raises(FormatError, match=words):
        Envelope.from_plain(value, "x")


def test_keys_of_another_kind() -> None:
    key = Ed448PrivateKey.generate()
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    public = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(FormatError, match="another kind of key"):
        load_private_key(secret)
    with pytest.raises(FormatError, match="another kind of key"):
        load_public_key(public)


@pytest.mark.parametrize("text", ["[]", "{}", "1", '"head"', '["head"]'])
def test_no_head(text: str) -> None:
    with pytest.raises(FormatError, match="no signed head"):
        load_head(text.encode())
    with pytest.raises(FormatError, match="no witness has signed"):
        load_witness(text.encode())


@pytest.mark.parametrize("text", ["[]", "1", "{}", '["certificate", "opening", "receipt"]'])
def test_no_receipt(text: str) -> None:
    with pytest.raises(FormatError, match="needs exactly 'certificate'"):
        ReceiptFile.load(text.encode())
