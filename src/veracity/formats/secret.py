"""The owner's file, ``.vsec``: what opens a commitment. Mode 0600 from its first byte.

Layout: header; the public commitment file it belongs to; digest of the integer weights; opening
(blinds); SHA-256 of all of it. It embeds the public file so that proving needs one path less and
can never pair an opening with a foreign commitment.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from veracity.codec import (
    DIGEST_BYTES,
    ByteReader,
    ByteWriter,
    atomic_outputs,
    read_file,
    write_file,
)
from veracity.codec.files import Source, name_of, require_private
from veracity.formats.commitment import MAX_FILE, MAX_ROWS, Commitment
from veracity.zkml import ModelOpening

__all__ = ["Secret"]

KIND = b"VSEC"
VERSION = 1


@dataclass(frozen=True, repr=False)
class Secret:
    """The secret side of a commitment: keep it, do not publish it.

    Build one with :func:`veracity.commit`, read one with :meth:`load`. Its ``repr`` shows nothing
    but the public digest.
    """

    commitment: Commitment
    weights_digest: bytes
    opening: ModelOpening

    def __repr__(self) -> str:
        return f"Secret(opens {self.commitment.digest[:16]}...)"

    def to_bytes(self) -> bytes:
        """The content of a ``.vsec`` file."""
        writer = ByteWriter()
        writer.header(KIND, VERSION)
        writer.blob(self.commitment.to_bytes())
        writer.raw(self.weights_digest)
        writer.blob(self.opening.to_bytes())
        body = writer.getvalue()
        return body + hashlib.sha256(body).digest()

    @classmethod
    def from_bytes(cls, data: bytes, where: str = "secret") -> Secret:
        """Parse a ``.vsec`` file; raises :class:`FormatError` on anything but an exact one."""
        reader = ByteReader(data, where)
        reader.header(KIND, VERSION)
        reader.checksum()
        public = reader.blob("commitment", MAX_FILE)
        weights_digest = reader.raw(DIGEST_BYTES, "weights digest")
        opening = reader.blob("opening", MAX_ROWS)
        reader.finish()
        return cls(
            Commitment.from_bytes(public, where), weights_digest, ModelOpening.from_bytes(opening)
        )

    @classmethod
    def load(cls, source: Source, *, shared: bool = False) -> Secret:
        """Read a ``.vsec`` file.

        Parameters
        ----------
        source : path, bytes or binary file
            Where it is.
        shared : bool
            Read it although others than its owner can.

        Raises
        ------
        UsageError
            The path cannot be read, or others than its owner can read it.
        FormatError
            The file is damaged, of another kind or of another version.
        """
        data = read_file(source, MAX_FILE + MAX_ROWS, "secret opening")
        secret = cls.from_bytes(data, name_of(source, "secret opening"))
        if not shared:
            require_private(source, "commit again")
        return secret

    def save(self, path: str | Path) -> None:
        """Write a ``.vsec`` file that only its owner may read."""
        write_file(path, self.to_bytes(), mode=0o600)

    def save_pair(self, secret: str | Path, public: str | Path) -> None:
        """Write the ``.vsec`` file and the ``.vcom`` file it belongs to: both or none.

        Parameters
        ----------
        secret, public : str or path
            Where to.

        Raises
        ------
        UsageError
            One of them cannot be written.
        """
        with atomic_outputs((secret, 0o600), (public, 0o644)) as (private, published):
            private.write(self.to_bytes())
            published.write(self.commitment.to_bytes())
