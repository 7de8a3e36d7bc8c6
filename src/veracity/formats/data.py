"""A data set under a commitment: ``.vdata`` for everybody, ``.vdsec`` for its owner.

``.vdata``: header; owner's label; inputs and classes; rows; proof of form, link after link. The
digest is of all but the proof (:class:`veracity.zkml.training.data.DataCommitment`).
``.vdsec``: header; digest of the ``.vdata``; seed of the blinds; SHA-256. Mode 0600.
``.vrow``: header; digest of the ``.vdata``; index; values; blind: opens one row to whoever has it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from veracity.codec import DIGEST_BYTES, ByteReader, ByteWriter, read_file, write_file
from veracity.errors import FormatError
from veracity.zkml.training.data import DataCommitment

__all__ = ["DataFile", "DataSecret", "RowOpening"]

DATA_KIND, SECRET_KIND, ROW_KIND = b"VDAT", b"VDSC", b"VROW"
VERSION = 1
MAX_ROWS = 1 << 29
MAX_LABEL = 1 << 10
MAX_LINKS = 1 << 12
MAX_LINK = 1 << 20
MAX_EXAMPLE = 1 << 16
MAX_FILE = MAX_ROWS + (1 << 26)


@dataclass(frozen=True)
class DataFile:
    """The public side of a committed data set.

    Attributes
    ----------
    commitment : DataCommitment
        Its rows.
    form : tuple of bytes
        Proof that every row is an example: links.
    """

    commitment: DataCommitment
    form: tuple[bytes, ...] = field(repr=False)

    @property
    def digest(self) -> str:
        """SHA-256 of header and rows, hexadecimal: the name of this data set."""
        return self.commitment.digest.hex()

    def to_bytes(self) -> bytes:
        """The content of a ``.vdata`` file."""
        writer = ByteWriter()
        writer.header(DATA_KIND, VERSION)
        writer.blob(self.commitment.label.encode())
        writer.u32(self.commitment.inputs)
        writer.u32(self.commitment.classes)
        writer.blob(self.commitment.rows)
        writer.u32(len(self.form))
        for link in self.form:
            writer.blob(link)
        return writer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes, where: str = "data commitment") -> DataFile:
        """Parse a ``.vdata`` file; raises :class:`FormatError` on anything but an exact one."""
        reader = ByteReader(data, where)
        reader.header(DATA_KIND, VERSION)
        try:
            label = reader.blob("label", MAX_LABEL).decode("utf-8")
        except UnicodeDecodeError:
            reader.fail("label", "not UTF-8")
        inputs, classes = reader.u32("inputs"), reader.u32("classes")
        rows = reader.blob("rows", MAX_ROWS)
        links = reader.u32("links", MAX_LINKS)
        form = tuple(reader.blob("proof of form", MAX_LINK) for _ in range(links))
        reader.finish()
        commitment = DataCommitment(inputs, classes, rows, label)
        commitment.check()
        return cls(commitment, form)

    @classmethod
    def load(cls, path: str | Path) -> DataFile:
        """Read a ``.vdata`` file; raises :class:`FormatError` or :class:`UsageError`."""
        return cls.from_bytes(read_file(path, MAX_FILE, "data commitment"), Path(path).name)


@dataclass(frozen=True, repr=False)
class DataSecret:
    """What opens the rows of a data set: keep it.

    Attributes
    ----------
    digest : bytes
        Digest of the data set it opens.
    seed : bytes
        32 bytes, from which all blinds come.
    """

    digest: bytes
    seed: bytes

    def __repr__(self) -> str:
        return f"DataSecret(opens {self.digest.hex()[:16]}...)"

    def to_bytes(self) -> bytes:
        """The content of a ``.vdsec`` file."""
        writer = ByteWriter()
        writer.header(SECRET_KIND, VERSION)
        writer.raw(self.digest)
        writer.raw(self.seed)
        body = writer.getvalue()
        return body + hashlib.sha256(body).digest()

    @classmethod
    def from_bytes(cls, data: bytes, where: str = "data secret") -> DataSecret:
        """Parse a ``.vdsec`` file; raises :class:`FormatError` on anything but an exact one."""
        reader = ByteReader(data, where)
        reader.header(SECRET_KIND, VERSION)
        reader.checksum()
        digest, seed = reader.raw(DIGEST_BYTES, "digest"), reader.raw(DIGEST_BYTES, "seed")
        reader.finish()
        return cls(digest, seed)

    @classmethod
    def load(cls, path: str | Path) -> DataSecret:
        """Read a ``.vdsec`` file; raises :class:`FormatError` or :class:`UsageError`."""
        secret = cls.from_bytes(read_file(path, 1 << 12, "data secret"), Path(path).name)
        require_private(path)
        return secret


@dataclass(frozen=True, repr=False)
class RowOpening:
    """One example, and the blind that opens its row.

    Attributes
    ----------
    digest : bytes
        Digest of the data set.
    index : int
        Number of the row.
    values : tuple of int
        Bytes of the input, then the one-hot label.
    blind : bytes
        64 bytes, reduced to a field element.
    """

    digest: bytes
    index: int
    values: tuple[int, ...]
    blind: bytes

    def __repr__(self) -> str:
        return f"RowOpening(row {self.index} of {self.digest.hex()[:16]}...)"

    def to_bytes(self) -> bytes:
        """The content of a ``.vrow`` file."""
        writer = ByteWriter()
        writer.header(ROW_KIND, VERSION)
        writer.raw(self.digest)
        writer.u32(self.index)
        writer.blob(bytes(self.values))
        writer.raw(self.blind)
        return writer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes, where: str = "row") -> RowOpening:
        """Parse a ``.vrow`` file; raises :class:`FormatError` on anything but an exact one."""
        reader = ByteReader(data, where)
        reader.header(ROW_KIND, VERSION)
        digest, index = reader.raw(DIGEST_BYTES, "digest"), reader.u32("index")
        values = tuple(reader.blob("values", MAX_EXAMPLE))
        blind = reader.raw(64, "blind")
        reader.finish()
        return cls(digest, index, values, blind)

    @classmethod
    def load(cls, path: str | Path) -> RowOpening:
        """Read a ``.vrow`` file; raises :class:`FormatError` or :class:`UsageError`."""
        return cls.from_bytes(read_file(path, 1 << 18, "opened row"), Path(path).name)

    def save(self, path: str | Path) -> None:
        """Write a ``.vrow`` file that only its owner may read."""
        write_file(path, self.to_bytes(), mode=0o600)


def require_same(commitment: DataCommitment, secret: DataSecret) -> None:
    """Raise FormatError unless a secret opens this data set."""
    if secret.digest != commitment.digest:
        raise FormatError("data secret", "it belongs to another data set; pass the matching pair")
