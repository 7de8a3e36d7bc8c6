"""A proof that committed data sets do not hold an example: ``.vexcl``, for everybody.

Header; the input, a byte an entry; number of data sets; for each its digest and the proof.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from veracity.codec import DIGEST_BYTES, ByteReader, ByteWriter, read_file, write_file
from veracity.codec.files import Source, name_of
from veracity.formats.data import MAX_EXAMPLE

__all__ = ["EXCLUSION_KIND", "ExclusionProof"]

EXCLUSION_KIND = b"VEXC"
VERSION = 1
MAX_SETS = 1 << 12
MAX_PROOF = 1 << 20
MAX_FILE = 1 << 28


@dataclass(frozen=True)
class ExclusionProof:
    """What shows that no row of some data sets holds an input, under any label.

    Attributes
    ----------
    content : bytes
        The input; public.
    data : tuple of bytes
        Digests of the data sets.
    proofs : tuple of bytes
        The messages about each.
    """

    content: bytes
    data: tuple[bytes, ...]
    proofs: tuple[bytes, ...] = field(repr=False)

    def to_bytes(self) -> bytes:
        """The content of a ``.vexcl`` file."""
        writer = ByteWriter()
        writer.header(EXCLUSION_KIND, VERSION)
        writer.blob(self.content)
        writer.u32(len(self.data))
        for digest, proof in zip(self.data, self.proofs, strict=True):
            writer.raw(digest)
            writer.blob(proof)
        return writer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes, where: str = "proof of exclusion") -> ExclusionProof:
        """Parse a ``.vexcl`` file; raises :class:`FormatError` on anything but an exact one."""
        reader = ByteReader(data, where)
        reader.header(EXCLUSION_KIND, VERSION)
        content = reader.blob("input", MAX_EXAMPLE)
        digests, proofs = [], []
        for _ in range(reader.u32("data sets", MAX_SETS)):
            digests.append(reader.raw(DIGEST_BYTES, "digest"))
            proofs.append(reader.blob("proof", MAX_PROOF))
        reader.finish()
        if not digests or len(set(digests)) != len(digests):
            reader.fail("data sets", "none, or one of them twice")
        return cls(content, tuple(digests), tuple(proofs))

    @classmethod
    def load(cls, source: Source) -> ExclusionProof:
        """Read a ``.vexcl`` file; raises :class:`FormatError` or :class:`UsageError`."""
        return cls.from_bytes(
            read_file(source, MAX_FILE, "proof of exclusion"),
            name_of(source, "proof of exclusion"),
        )

    def save(self, path: str | Path) -> None:
        """Write a ``.vexcl`` file."""
        write_file(path, self.to_bytes())
