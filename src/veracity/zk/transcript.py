"""The Fiat-Shamir transcript: the proof is the byte string written through it.

A transcript is born with the statement. Every message is absorbed with its label and length
before any challenge that may depend on it; a challenge is 512 bits of SHAKE128 output over the
whole history, reduced modulo the group order (bias below 2^-256). Reference: FIPS 202 for the
sponge; the labelled framing follows the idea of STROBE/Merlin.
"""

from __future__ import annotations

import hashlib

from veracity.engine.api import ORDER
from veracity.errors import FormatError
from veracity.records import record

__all__ = ["ProverTranscript", "Span", "VerifierTranscript", "framed"]

_CHALLENGE_BYTES = 64


def framed(*parts: bytes) -> bytes:
    """Parts with their lengths before them: no two lists of parts give the same bytes."""
    return b"".join(len(p).to_bytes(8, "little") + p for p in parts)


@record
class Span:
    """Where a message lies in the proof: ``proof[start:stop]``."""

    label: str
    start: int
    stop: int


class _Sponge:
    def __init__(self, protocol: str, statement: bytes) -> None:
        self._hash = hashlib.shake_128()
        self.absorb("protocol", protocol.encode())
        self.absorb("statement", statement)

    def absorb(self, label: str, data: bytes) -> None:
        """Absorb public data under a label."""
        name = label.encode()
        self._hash.update(b"m" + len(name).to_bytes(2, "little") + name)
        self._hash.update(len(data).to_bytes(8, "little") + data)

    def challenge_bytes(self, label: str, size: int) -> bytes:
        """Uniform bytes that depend on everything absorbed so far."""
        name = label.encode()
        self._hash.update(b"c" + len(name).to_bytes(2, "little") + name)
        return self._hash.copy().digest(size)

    def challenge(self, label: str) -> int:
        """A uniform field element that depends on everything absorbed so far."""
        return int.from_bytes(self.challenge_bytes(label, _CHALLENGE_BYTES), "little") % ORDER

    def challenges(self, label: str, n: int) -> list[int]:
        """``n`` independent challenges."""
        return [self.challenge(label) for _ in range(n)]

    def state(self) -> bytes:
        """Digest of everything absorbed so far, 32 bytes; changes nothing."""
        sponge = self._hash.copy()
        sponge.update(b"s")
        return sponge.digest(32)


class ProverTranscript(_Sponge):
    """Writes the proof.

    Parameters
    ----------
    protocol : str
        Name and version of the protocol.
    statement : bytes
        Canonical encoding of everything that is claimed.
    """

    def __init__(self, protocol: str, statement: bytes) -> None:
        super().__init__(protocol, statement)
        self._proof = bytearray()
        self.spans: list[Span] = []

    def write(self, label: str, data: bytes) -> None:
        """Send a message: absorb it and append it to the proof."""
        self.absorb(label, data)
        start = len(self._proof)
        self._proof += data
        self.spans.append(Span(label, start, len(self._proof)))

    def write_scalar(self, label: str, value: int) -> None:
        """Send a field element (32 bytes, little-endian, canonical)."""
        self.write(label, (value % ORDER).to_bytes(32, "little"))

    def finish(self) -> bytes:
        """The proof."""
        return bytes(self._proof)


class VerifierTranscript(_Sponge):
    """Reads a proof in order; lengths come from the statement, never from the proof.

    Parameters
    ----------
    protocol : str
        Name and version of the protocol.
    statement : bytes
        Canonical encoding of everything that is claimed.
    proof : bytes
        All messages.
    position : int
        Where this transcript's messages begin in it.
    """

    def __init__(self, protocol: str, statement: bytes, proof: bytes, position: int = 0) -> None:
        super().__init__(protocol, statement)
        self._proof = proof
        self._at = position

    @property
    def position(self) -> int:
        """Where the next message begins."""
        return self._at

    def read(self, label: str, size: int) -> bytes:
        """Receive a message of exactly ``size`` bytes.

        Raises
        ------
        FormatError
            If the proof is too short.
        """
        data = self._proof[self._at : self._at + size]
        if len(data) != size:
            raise FormatError(f"proof, message {label!r}", "the proof is truncated")
        self._at += size
        self.absorb(label, data)
        return data

    def read_scalar(self, label: str) -> int:
        """Receive a canonical field element."""
        value = int.from_bytes(self.read(label, 32), "little")
        if value >= ORDER:
            raise FormatError(f"proof, message {label!r}", "a scalar is not canonical")
        return value

    def finish(self) -> None:
        """Check that the proof was read to its end."""
        if self._at != len(self._proof):
            raise FormatError("proof", "bytes are left over at the end")
