"""The log of receipts as its readers see it: signed heads, and proofs about them.

A leaf is the hash of a signed receipt, so that nobody learns from the log what was asked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from veracity.codec import canonical_json, parse_json, read_file
from veracity.codec.files import Source, name_of
from veracity.errors import FormatError
from veracity.formats.dsse import Envelope
from veracity.formats.fields import checked, hexadecimal, string, whole
from veracity.formats.receipt import json_of

__all__ = [
    "HEAD_TYPE",
    "WITNESS_TYPE",
    "LogHead",
    "LogProof",
    "SeenHead",
    "load_head",
    "load_witness",
]

HEAD_TYPE = "application/vnd.veracity.log-head+json"
WITNESS_TYPE = "application/vnd.veracity.log-witness+json"
VERSION = 1
MAX_SIZE = 1 << 48
MAX_PATH = 128
MAX_FILE = 1 << 16


@dataclass(frozen=True)
class LogHead:
    """A log at one time.

    Attributes
    ----------
    size : int
        Number of receipts.
    root : str
        Root of the Merkle tree over them, hexadecimal.
    time : int
        When it was signed (a claim); seconds since 1970.
    commitment, url : str
        Digest of the model, and the server's address.
    """

    size: int
    root: str
    time: int
    commitment: str
    url: str

    def to_bytes(self) -> bytes:
        """The payload that is signed."""
        return canonical_json({**asdict(self), "version": VERSION})

    @classmethod
    def from_bytes(cls, data: bytes, where: str = "head") -> LogHead:
        """Inverse of :meth:`to_bytes`; raises :class:`FormatError`."""
        value = checked(parse_json(data, where), _HEAD, where)
        del value["version"]
        return cls(**value)


_HEAD: dict[str, Callable[[object], bool]] = {
    "size": whole(0, MAX_SIZE),
    "root": hexadecimal(64),
    "time": whole(0, 1 << 53),
    "commitment": hexadecimal(64),
    "url": string(2048),
    "version": whole(VERSION, VERSION),
}


@dataclass(frozen=True)
class SeenHead:
    """What a witness signs: this head was shown, signed by its server, and the log had only grown.

    Attributes
    ----------
    head : LogHead
        The head.
    seen : int
        When it was shown (the witness's word); seconds since 1970.
    """

    head: LogHead
    seen: int

    def to_bytes(self) -> bytes:
        """The payload that is signed."""
        return canonical_json({**asdict(self.head), "seen": self.seen, "version": VERSION})

    @classmethod
    def from_bytes(cls, data: bytes, where: str = "witness") -> SeenHead:
        """Inverse of :meth:`to_bytes`; raises :class:`FormatError`."""
        rules = {**_HEAD, "seen": whole(0, 1 << 53)}
        value = checked(parse_json(data, where), rules, where)
        seen = value.pop("seen")
        del value["version"]
        return cls(LogHead(**value), seen)


@dataclass(frozen=True)
class LogProof:
    """Shows that a leaf, or an older log, is in the log under a head.

    Attributes
    ----------
    head : Envelope
        The signed head.
    place : int
        Index of the leaf, or size of the older log.
    path : tuple of bytes
        Hashes beside the way to the root.
    """

    head: Envelope
    place: int
    path: tuple[bytes, ...]

    def to_plain(self) -> dict[str, Any]:
        """Plain data for JSON."""
        path = [node.hex() for node in self.path]
        return {"head": self.head.to_plain(), "path": path, "place": self.place}

    @classmethod
    def load(cls, source: Source) -> LogProof:
        """Read a proof as a server sent it; raises :class:`FormatError` or :class:`UsageError`."""
        where = name_of(source, "proof")
        value = checked(json_of(read_file(source, MAX_FILE, "proof"), where), _PROOF, where)
        head = Envelope.from_plain(value["head"], where)
        return cls(head, value["place"], tuple(map(bytes.fromhex, value["path"])))


def _path(value: object) -> bool:
    accepts = hexadecimal(64)
    return isinstance(value, list) and len(value) <= MAX_PATH and all(map(accepts, value))


_PROOF: dict[str, Callable[[object], bool]] = {
    "head": lambda value: isinstance(value, dict),
    "path": _path,
    "place": whole(0, MAX_SIZE),
}


def load_head(source: Source) -> Envelope:
    """A signed head as the server sent it or a witness kept it, alone or in a proof."""
    return _part(source, "head", "no signed head")


def load_witness(source: Source) -> Envelope:
    """What a witness signed about the head in a file; raises as :func:`load_head`."""
    return _part(
        source, "witness", "no witness has signed this head; see `veracity log witness -h`"
    )


def _part(source: Source, name: str, missing: str) -> Envelope:
    where = name_of(source, name)
    value = json_of(read_file(source, MAX_FILE, name), where)
    if not isinstance(value, dict) or name not in value:
        raise FormatError(where, missing)
    return Envelope.from_plain(value[name], where)
