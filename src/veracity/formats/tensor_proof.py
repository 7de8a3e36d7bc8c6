"""A proof about tensors, ``.vproof``: which commitment, which values, the argument.

Layout: header; digest of the commitment; names and digests of all public ports, inputs and outputs
apart; cuts, 4 bytes each; proof. The values themselves are not in it: whoever verifies has them, or
learns from the digests that they have others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from veracity.codec import DIGEST_BYTES, ByteReader, ByteWriter, read_file, write_file
from veracity.codec.files import Source, name_of
from veracity.formats.proof import MAX_CUTS, MAX_PROOF

__all__ = ["TensorProof", "tensor_context", "values_digest"]

KIND = b"VPRT"
VERSION = 1
MAX_PORTS, MAX_NAME = 64, 800
MAX_BYTES = MAX_PROOF + 4 * MAX_CUTS + 2 * MAX_PORTS * (MAX_NAME + 64) + 1024


def values_digest(values: NDArray[np.integer]) -> bytes:
    """SHA-256 of a port's dims and integers."""
    dims = np.asarray(np.shape(values), dtype="<u8").tobytes()
    body = np.ascontiguousarray(values, dtype="<i8").tobytes()
    head = b"veracity port v1" + len(dims).to_bytes(4, "little")
    return hashlib.sha256(head + dims + body).digest()


@dataclass(frozen=True)
class TensorProof:
    """What the committed program computes, proved.

    Attributes
    ----------
    commitment_digest : str
        The commitment that the prover used; the verifier compares it with its own.
    inputs, outputs : mapping
        Digests of the public ports' integers, by port.
    argument : bytes
        The proof proper.
    cuts : tuple of int
        Where the proof is cut into segments.
    """

    commitment_digest: str
    inputs: Mapping[str, bytes]
    outputs: Mapping[str, bytes]
    argument: bytes
    cuts: tuple[int, ...] = ()

    def to_bytes(self) -> bytes:
        """The content of a ``.vproof`` file."""
        writer = ByteWriter()
        writer.header(KIND, VERSION)
        writer.raw(bytes.fromhex(self.commitment_digest))
        for side in (self.inputs, self.outputs):
            writer.u32(len(side))
            for name in sorted(side):
                writer.blob(name.encode())
                writer.raw(side[name])
        writer.blob(b"".join(i.to_bytes(4, "little") for i in self.cuts))
        writer.blob(self.argument)
        return writer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes, where: str = "proof") -> TensorProof:
        """Parse a ``.vproof`` file; raises :class:`FormatError` on anything but an exact one."""
        reader = ByteReader(data, where)
        reader.header(KIND, VERSION)
        digest = reader.raw(DIGEST_BYTES, "commitment digest").hex()
        inputs, outputs = _digests(reader, "inputs"), _digests(reader, "outputs")
        packed = reader.blob("cuts", 4 * MAX_CUTS)
        if len(packed) % 4:
            reader.fail("cuts", "not a whole number of entries")
        cuts = tuple(int.from_bytes(packed[i : i + 4], "little") for i in range(0, len(packed), 4))
        argument = reader.blob("argument", MAX_PROOF)
        reader.finish()
        return cls(digest, inputs, outputs, argument, cuts)

    @classmethod
    def load(cls, source: Source) -> TensorProof:
        """Read a ``.vproof`` file: a path, bytes, or a file that is open.

        Raises
        ------
        FormatError, UsageError
        """
        return cls.from_bytes(read_file(source, MAX_BYTES, "proof"), name_of(source, "proof"))

    def save(self, path: str | Path) -> None:
        """Write a ``.vproof`` file, complete or not at all."""
        write_file(path, self.to_bytes())


def _digests(reader: ByteReader, what: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for _ in range(reader.u32(what, MAX_PORTS)):
        raw = reader.blob("port", MAX_NAME)
        try:
            name = raw.decode()
        except UnicodeDecodeError:
            reader.fail("port", "a name that is no text")
        if found and name <= max(found):
            reader.fail("port", "names are not in order")
        found[name] = reader.raw(DIGEST_BYTES, "digest")
    return found


def tensor_context(commitment_digest: str) -> bytes:
    """What a proof is bound to beside program, commitment and ports."""
    label = b"veracity tensors, proof file version " + str(VERSION).encode()
    return hashlib.sha256(label + b"\0" + bytes.fromhex(commitment_digest)).digest()
