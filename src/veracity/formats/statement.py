"""A publisher's signed statement that a commitment is theirs: in-toto, in a DSSE envelope.

The subject's digests are the commitment's own, which names the model, and the SHA-256 of the bytes
that tools of supply chains compare.

Reference: in-toto Attestation Framework, Statement v1.
"""

from __future__ import annotations

import hashlib
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from veracity.codec import canonical_json, parse_json, read_file
from veracity.codec.files import Source, name_of
from veracity.errors import FormatError, VerificationError
from veracity.formats.commitment import Commitment
from veracity.formats.dsse import Envelope, sign
from veracity.formats.receipt import json_of

__all__ = ["STATEMENT_TYPE", "check_statement", "load_statement", "sign_statement"]

STATEMENT_TYPE = "application/vnd.in-toto+json"
_TYPE = "https://in-toto.io/Statement/v1"
_PREDICATE = "urn:veracity:commitment:1"
MAX_FILE = 1 << 16


def _statement(commitment: Commitment, name: str) -> dict[str, Any]:
    digests = {
        "sha256": hashlib.sha256(commitment.to_bytes()).hexdigest(),
        "veracity-commitment": commitment.digest,
    }
    metadata = commitment.metadata
    return {
        "_type": _TYPE,
        "predicate": {"parameters": metadata.parameters, "program": metadata.program_digest},
        "predicateType": _PREDICATE,
        "subject": [{"digest": digests, "name": name}],
    }


def sign_statement(key: Ed25519PrivateKey, commitment: Commitment, name: str) -> Envelope:
    """Sign that a commitment is the key owner's.

    Parameters
    ----------
    key : Ed25519PrivateKey
        The publisher's.
    commitment : Commitment
        The model.
    name : str
        As the publisher calls it.
    """
    return sign(key, STATEMENT_TYPE, canonical_json(_statement(commitment, name)))


def load_statement(source: Source) -> Envelope:
    """Read a signed statement; raises :class:`FormatError` or :class:`UsageError`."""
    where = name_of(source, "signature")
    return Envelope.from_plain(json_of(read_file(source, MAX_FILE, "signature"), where), where)


def check_statement(envelope: Envelope, key: Ed25519PublicKey, commitment: Commitment) -> str:
    """The name under which a key signed a commitment.

    Parameters
    ----------
    envelope : Envelope
        What was signed.
    key : Ed25519PublicKey
        The publisher's.
    commitment : Commitment
        The model.

    Raises
    ------
    VerificationError
        Another key signed, or another model.
    FormatError
        It is no such statement.
    """
    found = parse_json(envelope.verify(key, STATEMENT_TYPE), "signature")
    try:
        name = found["subject"][0]["name"]
    except (KeyError, TypeError, IndexError):
        raise FormatError("signature", "no statement about a commitment") from None
    if not isinstance(name, str) or len(name) > 1024:
        raise FormatError("signature", "no statement about a commitment")
    if found != _statement(commitment, name):
        raise VerificationError("the publisher signed another commitment than this one", "signer")
    return name
