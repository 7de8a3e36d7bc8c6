"""Scalars as 32 little-endian bytes: how backends that are compiled take and give them."""

from __future__ import annotations

from collections.abc import Iterable

from veracity.engine.api import ORDER, SCALAR_BYTES

__all__ = ["bytes_of", "ints_of", "join"]


def bytes_of(value: int) -> bytes:
    """One scalar, reduced."""
    return int(value % ORDER).to_bytes(SCALAR_BYTES, "little")


def join(values: Iterable[int]) -> bytes:
    """Scalars one after the other."""
    # No call for each: a proof is checked with tens of thousands of them.
    return b"".join([int(v % ORDER).to_bytes(SCALAR_BYTES, "little") for v in values])


def ints_of(data: bytes) -> list[int]:
    """The scalars of bytes."""
    starts = range(0, len(data), SCALAR_BYTES)
    return [int.from_bytes(data[i : i + SCALAR_BYTES], "little") for i in starts]
