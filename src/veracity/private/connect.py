"""Where parties listen, how they are reached, and where they keep things."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from veracity.codec import read_file
from veracity.codec.arguments import require_number
from veracity.errors import UsageError
from veracity.net import Channel, Identity, connect
from veracity.net.tls import AUTHORITY
from veracity.private.parties.spool import private_folder

__all__ = ["TIMEOUT", "Address", "Caller", "cache_folder", "identity_of"]

#: Seconds without a sign of life: parties compute for long between two messages.
TIMEOUT = 120.0


@dataclass(frozen=True)
class Address:
    """``HOST:PORT``; an IPv6 host in brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @classmethod
    def parse(cls, text: str | Address) -> Address:
        """Read one.

        Raises
        ------
        UsageError
        """
        if isinstance(text, Address):
            return text
        host, colon, port = text.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        digits = port.isascii() and port.isdigit() and len(port) <= 5
        if not (colon and _name(host) and digits and int(port) < 1 << 16):
            raise UsageError(f"{text[:80]!r} is no address; give HOST:PORT")
        return cls(host, int(port))


def _name(host: str) -> bool:
    """Whether it can be looked up."""
    try:
        return bool(host.encode("idna"))
    except UnicodeError:  # a part of it is empty or too long
        return False


def identity_of(folder: str | Path | None) -> Identity | None:
    """A party's certificates, if a folder is named."""
    return None if folder is None else Identity(Path(folder))


@dataclass(frozen=True)
class Caller:
    """How a party calls others.

    Parameters
    ----------
    identity : Identity or None
        Its certificates; None with ``insecure`` only.
    insecure : bool
        Plain TCP.
    timeout : float
        Of each channel (seconds).
    wait : float
        How long to try where nobody listens yet (seconds).
    """

    identity: Identity | None
    insecure: bool = False
    timeout: float = TIMEOUT
    wait: float = 0.0

    def __post_init__(self) -> None:
        require_number("timeout", self.timeout)
        require_number("wait", self.wait)

    @property
    def authority(self) -> str:
        """A name for the set of certificates: parties of other sets are other parties.

        Raises
        ------
        UsageError
        """
        if self.identity is None:
            return "insecure"
        data = read_file(self.identity.folder / AUTHORITY, 1 << 16, "certificate")
        return hashlib.sha256(data).hexdigest()[:16]

    async def call(self, address: Address, peer: str) -> Channel:
        """Connect.

        Raises
        ------
        PeerError, UsageError
        """
        return await connect(
            address.host,
            address.port,
            peer=peer,
            identity=self.identity,
            insecure=self.insecure,
            timeout=self.timeout,
            wait=self.wait,
        )


def cache_folder(named: str | Path | None, party: str) -> Path:
    """Where a party keeps masked weights, registries and waiting material.

    Raises
    ------
    UsageError
    """
    base = Path(named) if named else platformdirs.user_cache_path("veracity") / "private"
    return private_folder(base / party)
