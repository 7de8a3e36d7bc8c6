"""Desks that sign receipts under a publisher's key made for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from veracity.codec import make_folder, write_file
from veracity.formats.commitment import Commitment
from veracity.formats.dsse import load_private_key, new_key_files, sign
from veracity.formats.receipt import CERTIFICATE_TYPE, KeyCertificate
from veracity.server.desk import Desk, open_desk

PUBLISHER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
URL = "http://127.0.0.1"


def keys(folder: Path, commitment: Commitment) -> tuple[Path, Path]:
    """A server's key and the publisher's certificate of it; beside them publisher.pub."""
    make_folder(folder)
    secret, _ = new_key_files()
    write_file(folder / "server.key", secret, 0o600)
    public = PUBLISHER.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    (folder / "publisher.pub").write_bytes(public)
    own = load_private_key(folder / "server.key").public_key().public_bytes_raw().hex()
    certificate = KeyCertificate(own, commitment.digest, URL, 0, 1 << 40)
    signed = sign(PUBLISHER, CERTIFICATE_TYPE, certificate.to_bytes())
    (folder / "certificate.json").write_bytes(signed.to_bytes())
    return folder / "server.key", folder / "certificate.json"


def desk_in(folder: Path, commitment: Commitment, **options: Any) -> Desk:
    """A desk with keys of its own."""
    return open_desk(*keys(folder, commitment), folder / "state", commitment, 3600, **options)
