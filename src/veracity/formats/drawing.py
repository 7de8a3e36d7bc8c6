"""How an answer was drawn: temperature, and the nonces that its seed comes from.

Who picks a seed picks among answers. So it comes from the model, the prompt, the temperature and
two nonces, the user's and the server's. A server commits to its nonce (by its SHA-256)
before it knows the user's; then neither of them could choose.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import field
from decimal import Decimal, InvalidOperation
from pathlib import Path

from veracity.codec import ByteReader, ByteWriter, read_file, write_file
from veracity.codec.files import Source, name_of
from veracity.errors import UsageError
from veracity.graph.sampling import MAX_TEMPERATURE, THOUSANDTHS, Sampling
from veracity.records import record

__all__ = ["Drawing", "ServerNonce", "read_nonce", "read_temperature"]

MAX_NONCE = 64
NONCE_BYTES = 32
KIND = b"VNCE"
VERSION = 1


@record
class Drawing:
    """What the draw of an answer follows from, beside model and prompt.

    Parameters
    ----------
    temperature : int
        In thousandths.
    user_nonce, server_nonce : bytes
        At most 64 bytes each; empty where there is none.
    """

    temperature: int
    user_nonce: bytes = b""
    server_nonce: bytes = field(default=b"", repr=False)

    def sampling(self, commitment_digest: str, prompt: Sequence[int]) -> Sampling:
        """Seed and temperature.

        Parameters
        ----------
        commitment_digest : str
            The committed model, hexadecimal.
        prompt : sequence of int
            Token ids of the whole prompt.
        """
        parts = (
            b"sampling",
            bytes.fromhex(commitment_digest),
            b"".join(i.to_bytes(4, "little") for i in prompt),
            self.temperature.to_bytes(4, "little"),
            self.user_nonce,
            self.server_nonce,
        )
        framed = b"".join(len(p).to_bytes(8, "little") + p for p in parts)
        return Sampling(hashlib.sha256(framed).digest(), self.temperature)

    @property
    def server_digest(self) -> str:
        """What the server would have told of its nonce beforehand; empty where it has none."""
        return digest_of(self.server_nonce) if self.server_nonce else ""

    @property
    def shown_temperature(self) -> str:
        """The temperature, for people."""
        return f"{Decimal(self.temperature) / THOUSANDTHS:f}"

    def write(self, writer: ByteWriter) -> None:
        """Append it."""
        writer.u32(self.temperature)
        writer.blob(self.user_nonce)
        writer.blob(self.server_nonce)

    @classmethod
    def read(cls, reader: ByteReader) -> Drawing | None:
        """Inverse of :meth:`write`; None for temperature 0, the greedy choice."""
        temperature = reader.u32("temperature", MAX_TEMPERATURE)
        user, server = reader.blob("nonce", MAX_NONCE), reader.blob("nonce", MAX_NONCE)
        if temperature:
            return cls(temperature, user, server)
        if user or server:
            reader.fail("nonce", "a nonce of an answer that is not drawn")
        return None


@record
class ServerNonce:
    """A server's nonce, secret until it has answered with it; for one answer only."""

    nonce: bytes = field(repr=False)

    @classmethod
    def new(cls) -> ServerNonce:
        """32 bytes of the operating system's."""
        return cls(os.urandom(NONCE_BYTES))

    @property
    def digest(self) -> str:
        """What may be told beforehand, hexadecimal."""
        return digest_of(self.nonce)

    def save(self, path: str | Path) -> None:
        """Write it to a file of mode 0600."""
        writer = ByteWriter()
        writer.header(KIND, VERSION)
        writer.blob(self.nonce)
        write_file(path, writer.getvalue(), mode=0o600)

    @classmethod
    def load(cls, source: Source) -> ServerNonce:
        """Read a file that :meth:`save` wrote.

        Raises
        ------
        FormatError, UsageError
        """
        reader = ByteReader(read_file(source, 1024, "nonce"), name_of(source, "nonce"))
        reader.header(KIND, VERSION)
        nonce = reader.blob("nonce", NONCE_BYTES)
        reader.finish()
        if len(nonce) != NONCE_BYTES:
            reader.fail("nonce", f"it does not have {NONCE_BYTES} bytes")
        return cls(nonce)


def digest_of(nonce: bytes) -> str:
    """SHA-256 of a server's nonce, hexadecimal."""
    return hashlib.sha256(b"veracity server nonce v1\0" + nonce).hexdigest()


def read_temperature(given: float | str) -> int:
    """A temperature in thousandths.

    Raises
    ------
    UsageError
        It is no number of thousandths from 0.001 to 4.
    """
    try:
        found = Decimal(str(given)) * THOUSANDTHS
        whole = int(found) if found.is_finite() else 0
    except (InvalidOperation, ValueError):
        found, whole = Decimal(0), 0
    if whole != found or not 1 <= whole <= MAX_TEMPERATURE:
        raise UsageError(
            f"temperature {str(given)[:40]!r}: give one from 0.001 to 4 with at most three digits "
            "after the point; leave it out for the most likely answer"
        )
    return whole


def read_nonce(text: str, what: str = "nonce") -> bytes:
    """Bytes from hexadecimal digits; raises :class:`UsageError` where they are none."""
    if len(text) > 2 * MAX_NONCE or re.fullmatch("([0-9a-fA-F]{2})+", text) is None:
        raise UsageError(
            f"the {what} is not one: give at most {MAX_NONCE} bytes as hexadecimal digits"
        )
    return bytes.fromhex(text)
