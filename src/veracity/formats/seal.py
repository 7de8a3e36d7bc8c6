"""Sealed tensors: ``.vseal``, what everybody may see, and ``.vskey``, what opens it.

A seal is a tensor under a Pedersen commitment of its own: two proofs that name the same seal are
about the same values, which neither shows. Its digest is that of the commitment, never of the
values, which could be guessed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.codec import (
    DIGEST_BYTES,
    ByteReader,
    ByteWriter,
    atomic_outputs,
    canonical_json,
    parse_json,
    read_file,
    write_file,
)
from veracity.codec.files import Source, name_of, require_private
from veracity.engine.api import POINT_BYTES
from veracity.errors import FormatError
from veracity.graph.program import MAX_DIMS
from veracity.zk.keys import MAX_LOG_COLUMNS, MIN_LOG_COLUMNS
from veracity.zkml.committed import CommittedTensor, TensorSpec

__all__ = ["KEY_KIND", "SEAL_KIND", "Seal", "SealKey"]

SEAL_KIND, KEY_KIND, VERSION = b"VSEA", b"VSKY", 1
MAX_ENTRIES, MAX_SPEC = 1 << 28, 1 << 12
MAX_ROWS = MAX_ENTRIES // 4
#: Bound of a range's ends, and of an exponent.
_LARGEST, _LARGEST_EXPONENT = 1 << 62, 64


@dataclass(frozen=True)
class Seal:
    """A sealed tensor as everybody sees it.

    Attributes
    ----------
    tensor : CommittedTensor
        Dims, exponent, range, and row commitments.
    """

    tensor: CommittedTensor

    @property
    def digest(self) -> str:
        """SHA-256 of the commitment: the name of the sealed tensor; hex."""
        return self.tensor.digest.hex()

    def to_bytes(self) -> bytes:
        """The content of a ``.vseal`` file."""
        spec = self.tensor.spec
        facts = {
            "dims": list(spec.dims),
            "exponent": spec.exponent,
            "high": spec.high,
            "low": spec.low,
            "row_bits": spec.row_bits,
        }
        writer = ByteWriter()
        writer.header(SEAL_KIND, VERSION)
        writer.blob(canonical_json(facts))
        writer.blob(self.tensor.data)
        return writer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes, where: str = "seal") -> Seal:
        """Parse a ``.vseal`` file; raises :class:`FormatError` on anything but an exact one."""
        reader = ByteReader(data, where)
        reader.header(SEAL_KIND, VERSION)
        spec = _spec(parse_json(reader.blob("layout", MAX_SPEC), where), where)
        rows = reader.blob("rows", MAX_ROWS)
        reader.finish()
        if len(rows) != POINT_BYTES * spec.rows:
            reader.fail("rows", "not as many as the layout has")
        return cls(CommittedTensor(spec, rows))

    @classmethod
    def load(cls, source: Source) -> Seal:
        """Read a ``.vseal`` file; raises FormatError or UsageError."""
        most = MAX_ROWS + MAX_SPEC + 1024
        return cls.from_bytes(read_file(source, most, "seal"), name_of(source, "seal"))


@dataclass(frozen=True, eq=False)
class SealKey:
    """What opens a seal: values and the seed of the blinds. Keep it.

    Attributes
    ----------
    seal : Seal
        What it opens.
    seed : bytes
        32 bytes, from which the blinds of this seal alone come.
    values : int64 array
        The sealed integers.
    """

    seal: Seal
    seed: bytes = field(repr=False)
    values: NDArray[np.int64] = field(repr=False)

    def to_bytes(self) -> bytes:
        """The content of a ``.vskey`` file."""
        writer = ByteWriter()
        writer.header(KEY_KIND, VERSION)
        writer.blob(self.seal.to_bytes())
        writer.raw(self.seed)
        writer.blob(np.ascontiguousarray(self.values, dtype="<i8").tobytes())
        body = writer.getvalue()
        return body + hashlib.sha256(body).digest()

    @classmethod
    def from_bytes(cls, data: bytes, where: str = "seal key") -> SealKey:
        """Parse a ``.vskey`` file; raises :class:`FormatError` on anything but an exact one."""
        reader = ByteReader(data, where)
        reader.header(KEY_KIND, VERSION)
        reader.checksum()
        seal = Seal.from_bytes(reader.blob("seal", MAX_ROWS + MAX_SPEC + 1024), where)
        seed = reader.raw(DIGEST_BYTES, "seed")
        values = reader.blob("values", 8 * MAX_ENTRIES)
        reader.finish()
        spec = seal.tensor.spec
        if len(values) != 8 * prod(spec.dims):
            reader.fail("values", "not as many as the seal has")
        array = np.frombuffer(values, dtype="<i8").reshape(spec.dims).astype(np.int64)
        if int(array.min()) < spec.low or int(array.max()) > spec.high:
            reader.fail("values", "one is not in the seal's range")
        return cls(seal, seed, array)

    @classmethod
    def load(cls, source: Source, *, shared: bool = False) -> SealKey:
        """Read a ``.vskey`` file.

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
        """
        most = 8 * MAX_ENTRIES + MAX_ROWS + MAX_SPEC + 2048
        found = cls.from_bytes(read_file(source, most, "seal key"), name_of(source, "seal key"))
        if not shared:
            require_private(source, "seal the values again")
        return found

    def save_pair(self, key: str | Path, seal: str | Path) -> None:
        """Write the ``.vskey`` file, mode 0600, and its ``.vseal`` file: both or none.

        Parameters
        ----------
        key, seal : str or path
            Where to.

        Raises
        ------
        UsageError
            One of them cannot be written.
        """
        with atomic_outputs((key, 0o600), (seal, 0o644)) as (private, public):
            private.write(self.to_bytes())
            public.write(self.seal.to_bytes())

    def save(self, path: str | Path) -> None:
        """Write a ``.vskey`` file that only its owner may read."""
        write_file(path, self.to_bytes(), mode=0o600)


def _spec(facts: Any, where: str) -> TensorSpec:
    """A layout from JSON, within bounds."""
    names = {"dims", "exponent", "high", "low", "row_bits"}
    if not isinstance(facts, dict) or set(facts) != names or not isinstance(facts["dims"], list):
        raise FormatError(where, "not a layout")
    numbers = [*facts["dims"], *(facts[n] for n in names - {"dims"})]
    if any(not isinstance(n, int) or isinstance(n, bool) for n in numbers):
        raise FormatError(where, "a layout has whole numbers only")
    dims = tuple(facts["dims"])
    small = 1 <= len(dims) <= MAX_DIMS + 1 and all(1 <= d <= MAX_ENTRIES for d in dims)
    if not small or prod(dims) > MAX_ENTRIES:
        raise FormatError(where, "dims out of bounds")
    if not -_LARGEST < facts["low"] <= facts["high"] < _LARGEST:
        raise FormatError(where, "no such range")
    if abs(facts["exponent"]) > _LARGEST_EXPONENT:
        raise FormatError(where, "exponent out of bounds")
    if not MIN_LOG_COLUMNS <= facts["row_bits"] <= MAX_LOG_COLUMNS:
        raise FormatError(where, "row length out of bounds")
    return TensorSpec(dims, facts["exponent"], facts["low"], facts["high"], facts["row_bits"])
