"""Frames: what travels between two parties, one header and one payload per message.

Header, 24 bytes, little-endian: magic ``VM``, version (1 byte), kind (1), tag (4), sequence (4),
hop (4), payload length (8). The tag says which step of the protocol a payload belongs to; the
sequence number counts the frames of one direction from zero, so a frame that is lost, repeated or
moved is noticed; the hop is the length of the longest chain of messages, each sent after the one
before it had arrived, that ends in this frame: half of its growth is a number of round trips.

A header is 24 bytes whatever follows, and no memory is taken for a payload before its header has
been checked, so a length that is announced costs nothing.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass

from veracity.errors import FormatError, UsageError

__all__ = [
    "HEADER_BYTES",
    "LARGEST",
    "REASON_BYTES",
    "TAGS",
    "VERSION",
    "Header",
    "Kind",
    "reason_text",
]

#: Version of the frame layout; another one is refused.
VERSION = 1
#: Longest payload that a header may announce (bytes).
LARGEST = 1 << 34
#: Longest reason that a refusal may give (bytes of UTF-8).
REASON_BYTES = 256

_MAGIC = b"VM"
_LAYOUT = struct.Struct("<2sBBIIIQ")
#: Size of every header (bytes).
HEADER_BYTES = _LAYOUT.size
#: Tags (and sequence numbers, and hops) are below this.
TAGS = 1 << 32


class Kind(enum.IntEnum):
    """What a frame is for."""

    DATA = 1
    #: The sender has nothing more to say; no payload.
    GOODBYE = 2
    #: The sender ends the session and says why, in UTF-8.
    REFUSAL = 3


@dataclass(frozen=True, slots=True)
class Header:
    """The fixed part of a frame.

    Parameters
    ----------
    kind : Kind
        What the frame is for.
    tag : int
        Step of the protocol, below 2^32; zero unless ``kind`` is DATA.
    sequence : int
        Number of frames sent before in this direction, below 2^32.
    hop : int
        Messages on the longest causal chain that ends here, from 1, below 2^32.
    length : int
        Bytes of payload that follow.
    """

    kind: Kind
    tag: int
    sequence: int
    hop: int
    length: int

    def encode(self) -> bytes:
        """The header's bytes.

        Raises
        ------
        UsageError
            For a tag or length that does not fit, or after 2^32 frames.
        """
        if not (0 <= self.tag < TAGS and 0 <= self.length <= LARGEST):
            raise UsageError(
                f"tag {self.tag} with {self.length} bytes does not fit a frame; "
                f"tags are below 2^32, payloads at most {LARGEST} bytes"
            )
        if max(self.sequence, self.hop) >= TAGS:
            raise UsageError("2^32 frames were sent over one connection; open another one")
        return _LAYOUT.pack(
            _MAGIC, VERSION, self.kind, self.tag, self.sequence, self.hop, self.length
        )

    @classmethod
    def decode(cls, data: bytes | bytearray | memoryview) -> Header:
        """The header in the first bytes of ``data``, checked as far as it stands alone.

        Raises
        ------
        FormatError
            For bytes that are no header of this version.
        """
        if len(data) < HEADER_BYTES:
            raise FormatError("frame", "shorter than a header")
        magic, version, kind, tag, sequence, hop, length = _LAYOUT.unpack_from(data)
        if magic != _MAGIC:
            raise FormatError("frame", "not a frame of this protocol")
        if version != VERSION:
            raise FormatError("frame", f"version {version} where {VERSION} is spoken")
        try:
            known = Kind(kind)
        except ValueError:
            raise FormatError("frame", f"unknown kind {kind}") from None
        limit = {Kind.DATA: LARGEST, Kind.GOODBYE: 0, Kind.REFUSAL: REASON_BYTES}[known]
        if length > limit:
            raise FormatError("frame", f"announces {length} bytes where {limit} are the most")
        if hop == 0 or (known is not Kind.DATA and tag != 0):
            raise FormatError("frame", "fields contradict each other")
        return cls(known, tag, sequence, hop, length)


def reason_text(payload: bytes | bytearray | memoryview) -> str:
    """A refusal's payload as one short printable line: it is text from a stranger."""
    text = bytes(payload[:REASON_BYTES]).decode("utf-8", errors="replace")
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line or "no reason given"
