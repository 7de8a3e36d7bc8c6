"""Nonces that the server fixed before it knew a client's: told by digest, used once.

Who picks a seed picks among answers. A client that asks for a digest first, and gives a nonce of
its own with the request, knows that neither side could pick.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from veracity.codec import canonical_json
from veracity.errors import RequestError
from veracity.formats.drawing import ServerNonce

__all__ = ["NONCE_TYPE", "PERIOD", "Nonces"]

NONCE_TYPE = "application/vnd.veracity.server-nonce+json"
#: Seconds for which a nonce can be used, and how many of one key wait at a time.
PERIOD = 600
MOST = 64
#: Most that wait of all keys together.
MOST_OF_ALL = 1 << 14


@dataclass
class Nonces:
    """Nonces that were promised and not used yet; those of a server that ended are gone.

    Parameters
    ----------
    clock : callable
        Seconds since 1970; for tests.
    """

    clock: Callable[[], float] = time.time
    _waiting: dict[str, dict[str, tuple[float, ServerNonce]]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def promise(self, owner: str) -> tuple[str, int]:
        """A new nonce's digest, and until when it can be used.

        Raises
        ------
        RequestError
            Too many wait.
        """
        now, nonce = self.clock(), ServerNonce.new()
        with self._lock:
            for name in list(self._waiting):
                held = self._waiting[name]
                self._waiting[name] = {d: n for d, n in held.items() if n[0] >= now}
                if not self._waiting[name]:
                    del self._waiting[name]
            own = self._waiting.setdefault(owner, {})
            if len(own) >= MOST or sum(map(len, self._waiting.values())) >= MOST_OF_ALL:
                raise RequestError(
                    "too many nonces wait to be used", "rate_limit_exceeded", None, 429, 60
                )
            own[nonce.digest] = now + PERIOD, nonce
        return nonce.digest, int(now + PERIOD)

    def take(self, owner: str, digest: str) -> bytes:
        """The nonce, which is gone then.

        Raises
        ------
        RequestError
            No such nonce was promised to this key, or it was used, or its time is over.
        """
        with self._lock:
            found = self._waiting.get(owner, {}).pop(digest, None)
        if found is None or found[0] < self.clock():
            raise RequestError(
                "no such nonce waits; get one from /v1/nonce", "invalid_value", "veracity"
            )
        return found[1].nonce

    @staticmethod
    def payload(digest: str, until: int, commitment: str) -> bytes:
        """What the server signs of a promise.

        Parameters
        ----------
        digest : str
            Of the nonce.
        until : int
            Seconds since 1970.
        commitment : str
            Digest of the model.
        """
        return canonical_json(
            {"commitment": commitment, "digest": digest, "until": until, "version": 1}
        )
