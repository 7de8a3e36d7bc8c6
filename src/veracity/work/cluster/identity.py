"""Who may take part: whoever has a certificate of the cluster's authority.

The certificates are those with which Ray itself speaks TLS; there is no second set to hand out.
Whoever holds one is trusted with the weights, so a cluster that is open to others is refused.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from veracity.errors import UsageError

__all__ = ["ClusterIdentity"]

_CERTIFICATE, _KEY, _AUTHORITY = "RAY_TLS_SERVER_CERT", "RAY_TLS_SERVER_KEY", "RAY_TLS_CA_CERT"


@dataclass(frozen=True)
class ClusterIdentity:
    """Paths of this machine's certificate, its key, and the certificate of the authority (PEM)."""

    certificate: Path
    key: Path
    authority: Path

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> ClusterIdentity:
        """What Ray is told on this machine.

        Parameters
        ----------
        environment : mapping, optional
            Variables; those of this process where not given.

        Raises
        ------
        UsageError
            The cluster would let in whoever reaches it, or a certificate is missing.
        """
        given = os.environ if environment is None else environment
        if given.get("RAY_AUTH_MODE") != "token":
            raise UsageError(
                "whoever reaches a Ray cluster without authentication runs code beside the "
                "weights; set RAY_AUTH_MODE=token on every machine (Ray 2.52 or newer)"
            )
        if given.get("RAY_USE_TLS") != "1":
            raise UsageError(
                "a Ray cluster without TLS sends its token in clear; set RAY_USE_TLS=1 and the "
                "certificates on every machine"
            )
        if missing := [n for n in (_CERTIFICATE, _KEY, _AUTHORITY) if not given.get(n)]:
            raise UsageError(f"{missing[0]} is not set; it names a file of the cluster's TLS")
        return cls(*(Path(given[name]) for name in (_CERTIFICATE, _KEY, _AUTHORITY)))

    def server_context(self) -> ssl.SSLContext:
        """TLS 1.3 for those who call: they show a certificate of the authority.

        Raises
        ------
        UsageError
        """
        context = self._context(ssl.PROTOCOL_TLS_SERVER)
        context.num_tickets = 0  # nobody resumes a session here
        return context

    def client_context(self) -> ssl.SSLContext:
        """TLS 1.3 for calling. Machines of a cluster trust each other, whatever their names.

        Raises
        ------
        UsageError
        """
        context = self._context(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        return context

    def _context(self, protocol: int) -> ssl.SSLContext:
        context = ssl.SSLContext(protocol)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_verify_locations(self.authority)
            context.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError) as error:
            raise UsageError(
                f"the cluster's certificates cannot be used ({type(error).__name__}); look at the "
                f"files that {_CERTIFICATE}, {_KEY} and {_AUTHORITY} name"
            ) from None
        return context
