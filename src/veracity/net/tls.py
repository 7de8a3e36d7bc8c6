"""Mutual TLS 1.3 between the parties, and connecting to one of them.

Both sides show a certificate of the one pinned authority; the certificate names the role. Which
roles may call is the server's choice, which role is called is the client's: an owner's certificate
does not make a dealer. Plain TCP is spoken only where ``insecure=True`` is said, for measurements
on one machine.
"""

from __future__ import annotations

import asyncio
import ssl
import stat
from dataclasses import dataclass
from pathlib import Path

from veracity.errors import PeerError, UsageError
from veracity.net.channel import TIMEOUT, Channel
from veracity.net.link import Link
from veracity.net.person import person_of

__all__ = [
    "AUTHORITY",
    "CERTIFICATE",
    "KEY",
    "ROLES",
    "Identity",
    "connect",
    "role_name",
    "role_of",
    "secured",
]

#: The parties.
ROLES = ("owner", "user", "dealer")
#: Files in a party's folder.
AUTHORITY, CERTIFICATE, KEY = "ca.pem", "certificate.pem", "key.pem"
#: A role as a certificate names it; no such host exists.
_DOMAIN = ".veracity.invalid"
#: Longest wait for the other side to agree to the end of a TLS connection (seconds).
PARTING = 5.0
#: Seconds between two attempts to reach a party that is not up yet.
RETRY = 0.1


def role_name(role: str) -> str:
    """What a certificate says in place of a host name."""
    return role + _DOMAIN


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a party is to the others.

    Parameters
    ----------
    folder : Path
        Holds ``ca.pem``, ``certificate.pem`` and ``key.pem``, as
        :func:`~veracity.private.certificates.make_certificates` leaves them for each role.
    """

    folder: Path

    def server_context(self) -> ssl.SSLContext:
        """TLS for those who call: they must show a certificate of the pinned authority.

        Raises
        ------
        UsageError
            Where a file is missing, does not parse, or the key can be read by others.
        """
        context = self._context(ssl.PROTOCOL_TLS_SERVER)
        context.verify_mode = ssl.CERT_REQUIRED
        # Nobody resumes a session here, and tickets would be bytes that no protocol asked for.
        context.num_tickets = 0
        return context

    def client_context(self) -> ssl.SSLContext:
        """TLS for calling: the other side's authority and role are checked.

        Raises
        ------
        UsageError
            As for :meth:`server_context`.
        """
        return self._context(ssl.PROTOCOL_TLS_CLIENT)

    def _context(self, side: int) -> ssl.SSLContext:
        context = ssl.SSLContext(side)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        key = self.folder / KEY
        advice = "make a set with `veracity private certificates`"
        try:
            if stat.S_IMODE(key.stat().st_mode) & 0o077:
                raise UsageError(f"{key} can be read by others; `chmod 600` it or make a new set")
            context.load_verify_locations(cafile=self.folder / AUTHORITY)
            # Without a password given, OpenSSL would ask for one on the terminal.
            context.load_cert_chain(self.folder / CERTIFICATE, key, password="")
        except FileNotFoundError:
            raise UsageError(f"{self.folder} is no party's folder; {advice}") from None
        except (ssl.SSLError, OSError) as error:
            what = getattr(error, "reason", None) or error.strerror
            raise UsageError(f"{self.folder} cannot be used ({what}); {advice}") from error
        return context


def role_of(link: Link) -> str:
    """The other side's role as its certificate says; empty without TLS."""
    certificate = link.info("peercert")
    names = certificate.get("subjectAltName", ()) if isinstance(certificate, dict) else ()
    for kind, name in names:
        if kind == "DNS" and name.endswith(_DOMAIN):
            return str(name.removesuffix(_DOMAIN))
    return ""


async def connect(
    host: str,
    port: int,
    *,
    peer: str,
    identity: Identity | None,
    insecure: bool = False,
    timeout: float = TIMEOUT,
    wait: float = 0.0,
) -> Channel:
    """Call another party.

    Parameters
    ----------
    host, port
        Where it listens.
    peer : str
        Its role, one of :data:`ROLES`; its certificate must name it.
    identity : Identity or None
        Who calls; None together with ``insecure`` only.
    insecure : bool
        Speak plain TCP: whoever is on the way reads and changes everything.
    timeout : float
        Of the channel, and for calling (seconds).
    wait : float
        Go on trying for so long where nobody listens yet (seconds).

    Returns
    -------
    Channel
        Open, greeted, with all counts at zero. Close it.

    Raises
    ------
    PeerError
        Where nobody answers, or not the one who was called, or it refuses.
    UsageError
        For an identity that cannot be used, or none without ``insecure``.
    """
    if peer not in ROLES:
        raise UsageError(f"no party is called {peer!r}; choose from {', '.join(ROLES)}")
    context = secured(identity, insecure, server=False)
    place = f"{host}:{port}"
    loop = asyncio.get_running_loop()
    latest = loop.time() + wait
    while True:
        try:
            async with asyncio.timeout(timeout):
                _, link = await loop.create_connection(
                    Link,
                    host,
                    port,
                    ssl=context,
                    server_hostname=role_name(peer) if context else None,
                    ssl_shutdown_timeout=PARTING if context else None,
                )
            break
        except ssl.SSLError as error:
            raise PeerError(f"{place} is not the {peer} of our authority ({_why(error)})") from None
        except TimeoutError:
            raise PeerError(f"{place} does not answer within {timeout:g} seconds") from None
        except OSError as error:
            if loop.time() >= latest:
                raise PeerError(f"nobody listens at {place} ({_why(error)})") from None
            await asyncio.sleep(RETRY)
    channel = Channel(link, timeout=timeout, peer=role_of(link), person=person_of(link))
    try:
        await channel.greet()
    except BaseException:
        channel.abort()
        raise
    return channel


def secured(identity: Identity | None, insecure: bool, *, server: bool) -> ssl.SSLContext | None:
    """The TLS context that a choice means; None for plain TCP.

    Parameters
    ----------
    identity : Identity or None
        The party's certificate and key.
    insecure : bool
        Whether plain TCP was asked for.
    server : bool
        Which end of the connection it is.

    Raises
    ------
    UsageError
        Where neither or both were chosen, or the identity cannot be used.
    """
    if insecure:
        if identity is not None:
            raise UsageError("certificates and `insecure` contradict each other; give one of them")
        return None
    if identity is None:
        raise UsageError(
            "the parties talk under TLS; name a folder of certificates "
            "(`veracity private certificates` makes them) or say `insecure`"
        )
    return identity.server_context() if server else identity.client_context()


def _why(error: OSError) -> str:
    text = getattr(error, "verify_message", None) or getattr(error, "reason", None)
    return str(text or error.strerror or type(error).__name__)
