"""Certificates for the three parties: a small authority, one certificate for each role.

The authority exists while :func:`make_certificates` runs: its key is never written, so nobody can
make a fourth party later. Each role's folder holds what that party needs and nothing else:
``ca.pem`` (the pinned authority), ``certificate.pem`` and ``key.pem``. A certificate names its role
in place of a host, so a party is recognised by what it is, not by its address.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import shutil
import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from veracity.errors import UsageError
from veracity.net.tls import AUTHORITY, CERTIFICATE, KEY, ROLES, role_name

__all__ = ["make_certificates"]

#: A certificate holds a little before it is made, for clocks that are behind.
SKEW = dt.timedelta(minutes=10)
#: How each role takes part in a connection: the dealer is only called, the user only calls.
PURPOSES = {
    "owner": [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH],
    "user": [ExtendedKeyUsageOID.CLIENT_AUTH],
    "dealer": [ExtendedKeyUsageOID.SERVER_AUTH],
}


def make_certificates(folder: str | Path, *, days: int = 365) -> dict[str, Path]:
    """Make a new authority and a certificate for each role.

    Parameters
    ----------
    folder : path
        Where the folders ``owner``, ``user`` and ``dealer`` go; must not exist or be empty. It
        appears whole or not at all; only its owner can read it (files 0600, folders 0700).
    days : int
        How long the certificates hold.

    Returns
    -------
    dict of str to Path
        Each role's folder, to be given to that party and nobody else.

    Raises
    ------
    UsageError
        Where the folder is in use or cannot be written, or for a time without meaning.
    """
    target = Path(folder)
    if not 1 <= days <= 3650:
        raise UsageError(f"certificates for {days} days are not made; give 1 to 3650")
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise UsageError(f"{target} is in use; name a folder that does not exist yet")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            _fill(part, dt.timedelta(days=days))
            part.rename(target)
        except BaseException:
            with contextlib.suppress(OSError):
                shutil.rmtree(part)
            raise
    except OSError as error:
        raise UsageError(f"{target} cannot be written: {error.strerror}") from error
    return {role: target / role for role in ROLES}


def _fill(folder: Path, validity: dt.timedelta) -> None:
    """Write all roles' files."""
    key = ec.generate_private_key(ec.SECP256R1())
    serial = x509.random_serial_number()
    name = _name(f"veracity parties {serial:x}"[:48])
    usage = _key_usage(key_cert_sign=True, crl_sign=True)
    authority = (
        _builder(name, name, key.public_key(), key.public_key(), serial, validity)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    for role in ROLES:
        own = ec.generate_private_key(ec.SECP256R1())
        number = x509.random_serial_number()
        certificate = (
            _builder(name, _name(role), own.public_key(), key.public_key(), number, validity)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage(PURPOSES[role]), critical=False)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(role_name(role))]), False)
            .sign(key, hashes.SHA256())
        )
        secret = own.private_bytes(
            pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        home = folder / role
        home.mkdir(mode=0o700)
        _write(home / AUTHORITY, authority.public_bytes(pem))
        _write(home / CERTIFICATE, certificate.public_bytes(pem))
        _write(home / KEY, secret)


def _builder(
    issuer: x509.Name,
    subject: x509.Name,
    public: ec.EllipticCurvePublicKey,
    signer: ec.EllipticCurvePublicKey,
    serial: int,
    validity: dt.timedelta,
) -> x509.CertificateBuilder:
    """What all certificates have in common."""
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .issuer_name(issuer)
        .subject_name(subject)
        .public_key(public)
        .serial_number(serial)
        .not_valid_before(now - SKEW)
        .not_valid_after(now + validity)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer), critical=False)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _key_usage(
    *, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )


def _write(path: Path, data: bytes) -> None:
    """A file that only its owner can read, from the first byte on."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
