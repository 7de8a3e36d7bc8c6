"""What points from a commitment to a proof of its accuracy: a file name and a digest, no proof.

Layout, behind everything else of a ``.vcom`` file: name; SHA-256 of the proof file; SHA-256 of
``veracity proved accuracy v1``, the commitment's digest and both fields. It lies outside of the
digest, so that it may follow when the proof is made: the publisher's word until that is checked.
"""

from __future__ import annotations

import hashlib
import re

from veracity.codec import DIGEST_BYTES, ByteReader, ByteWriter
from veracity.errors import UsageError
from veracity.records import record

__all__ = ["MAX_POINTER", "ProofPointer"]

DOMAIN = b"veracity proved accuracy v1"
MAX_NAME = 100
MAX_POINTER = MAX_NAME + 4 + 2 * DIGEST_BYTES
#: Names that any folder and any terminal can have.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")


@record
class ProofPointer:
    """A proof about accuracy that a publisher names.

    Attributes
    ----------
    file : str
        Its file's name: letters, digits, ``.``, ``_`` and ``-``, at most 100.
    sha256 : str
        Of its bytes, hexadecimal.
    """

    file: str
    sha256: str

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.file):
            raise UsageError(
                "the file of a proof that a commitment names needs a plain name: at most 100 "
                "letters, digits, dots, underscores and hyphens"
            )

    def to_bytes(self, digest: str) -> bytes:
        """As it stands in the ``.vcom`` file with this digest."""
        writer = ByteWriter()
        writer.blob(self.file.encode("ascii"))
        writer.raw(bytes.fromhex(self.sha256))
        body = writer.getvalue()
        return body + _checksum(digest, body)

    @classmethod
    def read(cls, reader: ByteReader, digest: str) -> ProofPointer:
        """What stands next in a ``.vcom`` file with this digest.

        Raises
        ------
        FormatError
            Where it is damaged, of another commitment, or names a file that could harm.
        """
        start = reader.position
        name = reader.blob("name of the proof about accuracy", MAX_NAME)
        found = reader.raw(DIGEST_BYTES, "digest of the proof about accuracy")
        body = reader.data[start : reader.position]
        if reader.raw(DIGEST_BYTES, "its checksum") != _checksum(digest, body):
            reader.fail("pointer to a proof about accuracy", "damaged, or of another commitment")
        text = name.decode("ascii", "replace")
        if not _NAME.fullmatch(text):
            reader.fail("pointer to a proof about accuracy", "the file's name is no plain name")
        return cls(text, found.hex())

    def names(self, proof: bytes) -> bool:
        """Whether these are the bytes of the proof."""
        return hashlib.sha256(proof).hexdigest() == self.sha256

    def to_plain(self) -> dict[str, str]:
        """Plain data for JSON."""
        return {"file": self.file, "sha256": self.sha256}


def _checksum(digest: str, body: bytes) -> bytes:
    return hashlib.sha256(DOMAIN + bytes.fromhex(digest) + body).digest()
