"""Signed envelopes: DSSE with Ed25519, for receipts, certificates of keys and heads of logs.

The signature is over the payload's bytes as they are sent, together with their type (DSSE's
pre-authentication encoding), so nothing is parsed before it is known who signed it. An envelope
here has exactly one signature. A key's name (``keyid``) is the SHA-256 of its 32 bytes.

References: DSSE v1.0 (secure-systems-lab), protocol.md; RFC 8032.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from veracity.codec import read_file
from veracity.codec.files import Source, name_of, require_private
from veracity.errors import FormatError, VerificationError

__all__ = [
    "Envelope",
    "key_name",
    "load_private_key",
    "load_public_key",
    "new_key_files",
    "public_key_of",
    "sign",
]

MAX_KEY_FILE = 1 << 14
MAX_PAYLOAD = 1 << 20
SIGNATURE_BYTES, KEY_BYTES = 64, 32


def _authenticated(kind: str, payload: bytes) -> bytes:
    """What is signed: both lengths, both strings."""
    name = kind.encode("utf-8")
    return b"DSSEv1 %d %b %d %b" % (len(name), name, len(payload), payload)


def key_name(key: Ed25519PublicKey) -> str:
    """The name of a public key: SHA-256 of its bytes, hexadecimal."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()


@dataclass(frozen=True)
class Envelope:
    """A payload of a stated type and one signature of both."""

    kind: str
    payload: bytes
    key_name: str
    signature: bytes

    def verify(self, key: Ed25519PublicKey, kind: str) -> bytes:
        """The payload, if ``key`` signed it as one of type ``kind``.

        Raises
        ------
        VerificationError
        """
        if self.kind != kind:
            raise VerificationError("the signature is of something of another kind", kind)
        if self.key_name != key_name(key):
            raise VerificationError("another key than the expected one has signed", kind)
        try:
            key.verify(self.signature, _authenticated(kind, self.payload))
        except InvalidSignature:
            raise VerificationError("the signature is false", kind) from None
        return self.payload

    def to_plain(self) -> dict[str, Any]:
        """Plain data for JSON, as DSSE names it."""
        return {
            "payload": base64.b64encode(self.payload).decode("ascii"),
            "payloadType": self.kind,
            "signatures": [
                {
                    "keyid": self.key_name,
                    "sig": base64.b64encode(self.signature).decode("ascii"),
                }
            ],
        }

    @classmethod
    def from_plain(cls, value: object, where: str) -> Envelope:
        """Inverse of :meth:`to_plain`; raises :class:`FormatError`."""
        outer = _exactly(value, {"payload", "payloadType", "signatures"}, where)
        signatures = outer["signatures"]
        if not isinstance(signatures, list) or len(signatures) != 1:
            raise FormatError(where, "an envelope here has exactly one signature")
        inner = _exactly(signatures[0], {"keyid", "sig"}, where)
        kind, name = outer["payloadType"], inner["keyid"]
        if not isinstance(kind, str) or not isinstance(name, str):
            raise FormatError(where, "a name in an envelope is no string")
        payload = _bytes(outer["payload"], where)
        signature = _bytes(inner["sig"], where)
        if len(payload) > MAX_PAYLOAD or len(signature) != SIGNATURE_BYTES:
            raise FormatError(where, "an envelope's payload or signature has a wrong size")
        return cls(kind, payload, name, signature)

    def to_bytes(self) -> bytes:
        """The content of a file that holds nothing else."""
        return json.dumps(self.to_plain(), sort_keys=True).encode("ascii") + b"\n"


def sign(key: Ed25519PrivateKey, kind: str, payload: bytes) -> Envelope:
    """Sign.

    Parameters
    ----------
    key : Ed25519PrivateKey
        The signer's.
    kind : str
        The payload's media type.
    payload : bytes
        What is signed, as it will be sent.
    """
    signature = key.sign(_authenticated(kind, payload))
    return Envelope(kind, payload, key_name(key.public_key()), signature)


def _exactly(value: object, names: set[str], where: str) -> dict[str, Any]:
    if not isinstance(value, dict) or value.keys() != names:
        raise FormatError(where, f"must have exactly the fields {', '.join(sorted(names))}")
    return value


def _bytes(value: object, where: str) -> bytes:
    try:
        if isinstance(value, str):
            data = base64.b64decode(value, validate=True)
            if base64.b64encode(data).decode("ascii") == value:  # one spelling of the same bytes
                return data
    except (binascii.Error, ValueError):
        pass
    raise FormatError(where, "a part of an envelope is no base64")


def new_key_files() -> tuple[bytes, bytes]:
    """A new key: what to keep, and what to publish; PEM."""
    key = Ed25519PrivateKey.generate()
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return secret, public


def load_private_key(source: Source) -> Ed25519PrivateKey:
    """Read a private key, PEM.

    Raises
    ------
    UsageError
        It cannot be read, or others can read it.
    FormatError
        It is no Ed25519 key without a password.
    """
    where = name_of(source, "key")
    require_private(source, "make a new one")
    data = read_file(source, MAX_KEY_FILE, "key")
    try:
        key = serialization.load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise FormatError(where, "no private key in PEM without a password") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise FormatError(where, "another kind of key than Ed25519")
    return key


def load_public_key(source: Source) -> Ed25519PublicKey:
    """Read a public key, PEM; raises :class:`UsageError` or :class:`FormatError`."""
    where = name_of(source, "key")
    data = read_file(source, MAX_KEY_FILE, "key")
    try:
        key = serialization.load_pem_public_key(data)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise FormatError(where, "no public key in PEM") from None
    if not isinstance(key, Ed25519PublicKey):
        raise FormatError(where, "another kind of key than Ed25519")
    return key


def public_key_of(data: bytes, where: str) -> Ed25519PublicKey:
    """A public key from its 32 bytes; raises :class:`FormatError`."""
    try:
        return Ed25519PublicKey.from_public_bytes(data)
    except ValueError:
        raise FormatError(where, f"a public key has {KEY_BYTES} bytes") from None
