"""Certificates for the three parties: a small authority, one certificate for each role.

The authority exists while :func:`make_certificates` runs: its key is not written unless asked for,
so nobody can make a fourth party later. Each party's folder holds what it needs and nothing else:
``ca.pem`` (the pinned authority), ``certificate.pem`` and ``key.pem``. A certificate names its role
in place of a host, so a party is recognised by what it is, not by its address; its common name is
the person it was made for, and its serial number is what deny lists and logs have.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from veracity.codec import read_file
from veracity.codec.files import require_private
from veracity.errors import UsageError
from veracity.net.tls import AUTHORITY, CERTIFICATE, KEY, ROLES, role_name

__all__ = ["add_users", "make_certificates", "serial_of"]

#: Folder of the authority's key, where it is kept.
KEPT = "authority"
PEM = serialization.Encoding.PEM
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,47}")

#: A certificate holds a little before it is made, for clocks that are behind.
SKEW = dt.timedelta(minutes=10)
#: How each role takes part in a connection: the dealer is only called, the user only calls.
PURPOSES = {
    "owner": [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH],
    "user": [ExtendedKeyUsageOID.CLIENT_AUTH],
    "dealer": [ExtendedKeyUsageOID.SERVER_AUTH],
}


def make_certificates(
    folder: str | Path,
    *,
    days: int = 365,
    users: Sequence[str] = (),
    keep_authority: bool = False,
) -> dict[str, Path]:
    """Make a new authority and a certificate for each role, and for each user.

    Parameters
    ----------
    folder : path
        Where the folders ``owner``, ``user`` and ``dealer`` go; must not exist or be empty. It
        appears whole or not at all; only its owner can read it (files 0600, folders 0700).
    days : int
        How long the certificates hold.
    users : sequence of str
        Names of persons: each gets a folder ``users/NAME`` in place of the one ``user``.
    keep_authority : bool
        Write the authority's key, in the folder ``authority``, for :func:`add_users`.

    Returns
    -------
    dict of str to Path
        Each party's folder, to be given to that party and nobody else.

    Raises
    ------
    UsageError
        Where the folder is in use or cannot be written, for a time without meaning, or for names
        that cannot be used.
    """
    target = Path(folder)
    homes = _homes(users)
    _check_days(days)
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise UsageError(f"{target} is in use; name a folder that does not exist yet")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            authority = _Authority.new(dt.timedelta(days=days))
            for name, home in homes.items():
                authority.certify(part / home, name, name if name in ROLES else "user", days)
            if keep_authority:
                authority.keep(part / KEPT)
            part.rename(target)
        except BaseException:
            with contextlib.suppress(OSError):
                shutil.rmtree(part)
            raise
    except OSError as error:
        raise UsageError(f"{target} cannot be written: {error.strerror}") from error
    return {name: target / home for name, home in homes.items()}


def add_users(folder: str | Path, users: Sequence[str], *, days: int = 365) -> dict[str, Path]:
    """Make certificates for more persons, where the authority's key was kept.

    Parameters
    ----------
    folder : path
        From :func:`make_certificates` with ``keep_authority``.
    users : sequence of str
        Their names; each gets a folder ``users/NAME``.
    days : int
        How long the certificates hold; never longer than the authority's.

    Raises
    ------
    UsageError
        Where the key is not there, or a name is taken or cannot be used.
    """
    target = Path(folder)
    _check_days(days)
    homes = {name: home for name, home in _homes(users).items() if name not in ROLES}
    if not homes:
        raise UsageError("nobody is to be added; name users")
    taken = [name for name, home in homes.items() if (target / home).exists()]
    if taken:
        raise UsageError(f"there is a user {taken[0]} already; choose another name")
    authority = _Authority.kept(target / KEPT)
    for name, home in homes.items():
        part = target / home.parent / f".{name}.{os.urandom(6).hex()}"
        try:
            authority.certify(part, name, "user", days)
            part.rename(target / home)
        except OSError as error:
            raise UsageError(f"{target} cannot be written: {error.strerror}") from error
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return {name: target / home for name, home in homes.items()}


def serial_of(folder: str | Path) -> str:
    """The serial number of a party's certificate, as deny lists and logs have it.

    Raises
    ------
    UsageError
    """
    data = read_file(Path(folder) / CERTIFICATE, 1 << 16, "certificate")
    try:
        return f"{x509.load_pem_x509_certificate(data).serial_number:x}"
    except ValueError:
        raise UsageError(f"{folder} holds no certificate; make a new one") from None


def _check_days(days: int) -> None:
    if not 1 <= days <= 3650:
        raise UsageError(f"certificates for {days} days are not made; give 1 to 3650")


def _homes(users: Sequence[str]) -> dict[str, Path]:
    """Each party's folder by its name."""
    for name in users:
        if not _NAME.fullmatch(name) or name in ROLES:
            raise UsageError(
                f"{name!r} cannot be a user's name; take letters, digits and . _ @ -, at most 48"
            )
    if len(set(users)) != len(users):
        raise UsageError("two users have the same name; choose others")
    roles = {role: Path(role) for role in ROLES if not (users and role == "user")}
    return {**roles, **{name: Path("users") / name for name in users}}


@dataclass(frozen=True)
class _Authority:
    """Who signs certificates."""

    key: ec.EllipticCurvePrivateKey = field(repr=False)
    certificate: x509.Certificate

    @classmethod
    def new(cls, validity: dt.timedelta) -> _Authority:
        key = ec.generate_private_key(ec.SECP256R1())
        serial = x509.random_serial_number()
        name = _name(f"veracity parties {serial:x}"[:48])
        usage = _key_usage(key_cert_sign=True, crl_sign=True)
        made = (
            _builder(name, name, key.public_key(), key.public_key(), serial, validity)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .sign(key, hashes.SHA256())
        )
        return cls(key, made)

    @classmethod
    def kept(cls, folder: Path) -> _Authority:
        if not (folder / KEY).exists():
            raise UsageError(
                f"{folder} holds no authority's key; make a new set, with --keep-authority"
            )
        require_private(folder / KEY, "make a new set")
        try:
            key = serialization.load_pem_private_key(
                read_file(folder / KEY, 1 << 16, "authority's key"), None
            )
            made = x509.load_pem_x509_certificate(
                read_file(folder / AUTHORITY, 1 << 16, "authority's certificate")
            )
        except ValueError:
            raise UsageError(f"the authority in {folder} is damaged; make a new set") from None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or made.public_key() != key.public_key():
            raise UsageError(f"the authority in {folder} is damaged; make a new set")
        return cls(key, made)

    def keep(self, folder: Path) -> None:
        folder.mkdir(mode=0o700)
        _write(folder / AUTHORITY, self.certificate.public_bytes(PEM))
        _write(folder / KEY, _secret(self.key))

    def certify(self, home: Path, name: str, role: str, days: int) -> None:
        """Write a party's files; its certificate ends with the authority's at the latest."""
        left = self.certificate.not_valid_after_utc - dt.datetime.now(dt.UTC)
        validity = min(dt.timedelta(days=days), left)
        if validity <= dt.timedelta(0):
            raise UsageError("the authority's certificate has ended; make a new set")
        own = ec.generate_private_key(ec.SECP256R1())
        number, issuer = x509.random_serial_number(), self.key.public_key()
        made = (
            _builder(
                self.certificate.subject, _name(name), own.public_key(), issuer, number, validity
            )
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage(PURPOSES[role]), critical=False)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(role_name(role))]), False)
            .sign(self.key, hashes.SHA256())
        )
        home.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        home.mkdir(mode=0o700)
        _write(home / AUTHORITY, self.certificate.public_bytes(PEM))
        _write(home / CERTIFICATE, made.public_bytes(PEM))
        _write(home / KEY, _secret(own))


def _secret(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


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
