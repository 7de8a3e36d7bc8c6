"""A proof about tensors, ``.vproof``: which commitment, which values, the argument.

Layout: header; digest of the commitment; how many samples; what it is bound to; names, kinds and
digests of all ports, inputs and outputs apart; cuts, 4 bytes each; proof. The values themselves are
not in it: whoever verifies has them, or learns from the digests that they have others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from veracity.codec import DIGEST_BYTES, ByteReader, ByteWriter, read_file, write_file
from veracity.codec.files import Source, name_of
from veracity.formats.proof import MAX_CONTEXT, MAX_CUTS, MAX_PROOF
from veracity.graph.samples import MAX_SAMPLES

__all__ = ["TensorProof", "tensor_context", "values_digest"]

KIND = b"VPRT"
VERSION = 2
MAX_PORTS, MAX_NAME = 64, 800
MAX_BYTES = MAX_PROOF + 4 * MAX_CUTS + 2 * MAX_PORTS * (MAX_NAME + 64) + MAX_CONTEXT + 1024


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
        Digests by port: of its integers, or of its seal.
    argument : bytes
        The proof proper.
    cuts : tuple of int
        Where the proof is cut into segments.
    samples : int
        How many samples all ports hold along a first axis of their own; 0 without such an axis.
    context : str
        What its maker bound the proof to, such as a nonce.
    sealed : frozenset of str
        The ports that are committed to instead of being public.
    """

    #: What a proof is about: tells kinds apart without loading what reads the others.
    kind: ClassVar[Literal["tensors"]] = "tensors"

    commitment_digest: str
    inputs: Mapping[str, bytes]
    outputs: Mapping[str, bytes]
    argument: bytes
    cuts: tuple[int, ...] = ()
    samples: int = 0
    context: str = ""
    sealed: frozenset[str] = frozenset()

    def to_bytes(self) -> bytes:
        """The content of a ``.vproof`` file."""
        writer = ByteWriter()
        writer.header(KIND, VERSION)
        writer.raw(bytes.fromhex(self.commitment_digest))
        writer.u32(self.samples)
        writer.blob(self.context.encode("utf-8"))
        for side in (self.inputs, self.outputs):
            writer.u32(len(side))
            for name in sorted(side):
                writer.blob(name.encode())
                writer.u32(int(name in self.sealed))
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
        samples = reader.u32("samples", MAX_SAMPLES)
        try:
            context = reader.blob("context", MAX_CONTEXT).decode("utf-8")
        except UnicodeDecodeError:
            reader.fail("context", "not UTF-8")
        sealed: set[str] = set()
        inputs, outputs = (_digests(reader, side, sealed) for side in ("inputs", "outputs"))
        if set(inputs) & set(outputs):
            reader.fail("port", "an input and an output have one name")
        packed = reader.blob("cuts", 4 * MAX_CUTS)
        if len(packed) % 4:
            reader.fail("cuts", "not a whole number of entries")
        cuts = tuple(int.from_bytes(packed[i : i + 4], "little") for i in range(0, len(packed), 4))
        argument = reader.blob("argument", MAX_PROOF)
        reader.finish()
        return cls(digest, inputs, outputs, argument, cuts, samples, context, frozenset(sealed))

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


def _digests(reader: ByteReader, what: str, sealed: set[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for _ in range(reader.u32(what, MAX_PORTS)):
        raw = reader.blob("port", MAX_NAME)
        try:
            name = raw.decode()
        except UnicodeDecodeError:
            reader.fail("port", "a name that is no text")
        if found and name <= max(found):
            reader.fail("port", "names are not in order")
        if reader.u32("kind of port", 1):
            sealed.add(name)
        found[name] = reader.raw(DIGEST_BYTES, "digest")
    return found


def tensor_context(commitment_digest: str, context: str = "") -> bytes:
    """What a proof is bound to beside program, commitment and ports."""
    label = b"veracity tensors, proof file version " + str(VERSION).encode() + b"\0"
    bound = bytes.fromhex(commitment_digest) + context.encode("utf-8")
    return hashlib.sha256(label + bound).digest()
