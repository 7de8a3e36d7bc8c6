"""Files written field by field, so that one field can say what cannot be."""

from __future__ import annotations

import hashlib

from veracity.codec import ByteWriter

Field = int | bytes | list[bytes]


def written(*fields: Field, kind: bytes = b"", version: int = 1) -> bytes:
    """Numbers, bytes as they stand (in a list), and bytes with their length before them."""
    writer = ByteWriter()
    if kind:
        writer.header(kind, version)
    for one in fields:
        if isinstance(one, int):
            writer.u32(one)
        elif isinstance(one, list):
            writer.raw(b"".join(one))
        else:
            writer.blob(one)
    return writer.getvalue()


def sealed(body: bytes) -> bytes:
    """With the SHA-256 that ends it."""
    return body + hashlib.sha256(body).digest()
