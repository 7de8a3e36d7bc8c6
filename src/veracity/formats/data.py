"""A data set under a commitment: ``.vdata`` for everybody, ``.vdsec`` for its owner.

``.vdata``: header; owner's label; inputs and classes; rows; proof of form, link after link. The
digest is of all but the proof (:class:`veracity.zkml.training.data.DataCommitment`).
``.vdsec``: header; digest of the ``.vdata``; seed of the blinds; the examples themselves; SHA-256.
Mode 0600.
``.vrow``: header; digest of the ``.vdata``; index; values; blind: opens one row to whoever has it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from veracity.codec import DIGEST_BYTES, ByteReader, ByteWriter, read_file, write_file
from veracity.codec.files import Source, name_of, require_private
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
MAX_SECRET = (1 << 32) - 1


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

    @property
    def content_digest(self) -> str:
        """SHA-256 of the whole file, proof and all: what a verdict is remembered under."""
        return hashlib.sha256(b"veracity form verdict v3" + self.to_bytes()).hexdigest()

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
    def load(cls, source: Source) -> DataFile:
        """Read a ``.vdata`` file; raises :class:`FormatError` or :class:`UsageError`."""
        return cls.from_bytes(
            read_file(source, MAX_FILE, "data commitment"), name_of(source, "data commitment")
        )


@dataclass(frozen=True, repr=False)
class DataSecret:
    """What opens the rows of a data set: examples and blinds. Keep it.

    Attributes
    ----------
    digest : bytes
        Digest of the data set it opens.
    seed : bytes
        32 bytes, from which all blinds come.
    inputs : array of uint8, (examples, inputs)
        The examples.
    labels : array of int, (examples,)
        Their classes.
    """

    digest: bytes
    seed: bytes
    inputs: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __repr__(self) -> str:
        return f"DataSecret({len(self.labels)} examples, opens {self.digest.hex()[:16]}...)"

    def examples(self, classes: int) -> NDArray[np.int16]:
        """Inputs with one-hot labels, (examples, inputs + classes)."""
        count, size = self.inputs.shape
        out = np.zeros((count, size + classes), dtype=np.int16)
        out[:, :size] = self.inputs
        out[np.arange(count), size + self.labels] = 1
        return out

    def to_bytes(self) -> bytes:
        """The content of a ``.vdsec`` file."""
        writer = ByteWriter()
        writer.header(SECRET_KIND, VERSION)
        writer.raw(self.digest)
        writer.raw(self.seed)
        writer.u32(self.inputs.shape[1])
        writer.blob(np.ascontiguousarray(self.inputs).tobytes())
        writer.blob(self.labels.astype("<u2").tobytes())
        body = writer.getvalue()
        return body + hashlib.sha256(body).digest()

    @classmethod
    def from_bytes(cls, data: bytes, where: str = "data secret") -> DataSecret:
        """Parse a ``.vdsec`` file; raises :class:`FormatError` on anything but an exact one."""
        reader = ByteReader(data, where)
        reader.header(SECRET_KIND, VERSION)
        reader.checksum()
        digest, seed = reader.raw(DIGEST_BYTES, "digest"), reader.raw(DIGEST_BYTES, "seed")
        size = reader.u32("inputs", MAX_EXAMPLE)
        inputs, labels = reader.blob("examples", MAX_SECRET), reader.blob("labels", MAX_ROWS)
        reader.finish()
        if not size or len(inputs) * 2 != len(labels) * size:
            reader.fail("examples", "another number of them than of labels")
        return cls(
            digest,
            seed,
            np.frombuffer(inputs, dtype=np.uint8).reshape(-1, size),
            np.frombuffer(labels, dtype="<u2").astype(np.int64),
        )

    @classmethod
    def load(cls, source: Source) -> DataSecret:
        """Read a ``.vdsec`` file; raises :class:`FormatError` or :class:`UsageError`."""
        secret = cls.from_bytes(
            read_file(source, MAX_SECRET, "data secret"), name_of(source, "data secret")
        )
        require_private(source, "commit to the data again")
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
    def load(cls, source: Source) -> RowOpening:
        """Read a ``.vrow`` file; raises :class:`FormatError` or :class:`UsageError`."""
        return cls.from_bytes(
            read_file(source, 1 << 18, "opened row"), name_of(source, "opened row")
        )

    def save(self, path: str | Path) -> None:
        """Write a ``.vrow`` file that only its owner may read."""
        write_file(path, self.to_bytes(), mode=0o600)
