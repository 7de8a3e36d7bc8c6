"""Words from seeds and packed arrays: what correlations are made of.

A party draws most of its randomness from a 32-byte seed of its own, one for each pass, and reads
the rest from explicit pieces. Each draw has a place ``(step, part)``, so the order in which draws
are made does not matter. The dealer knows both parties' seeds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from veracity.engine.api_words import Ring, packed_bytes
from veracity.errors import FormatError

__all__ = ["Array", "Size", "Stream", "join", "signed", "split", "total"]

Array = NDArray[np.uint64]
_PARTS = 1 << 8


@dataclass(frozen=True)
class Size:
    """An array on the wire: ``count`` elements of ``bits`` bits, whole bytes together."""

    count: int
    bits: int

    @property
    def bytes(self) -> int:
        """Bytes it takes."""
        return packed_bytes(self.count, self.bits)


@dataclass(frozen=True)
class Stream:
    """A party's randomness of one pass, expanded by ``ring``."""

    ring: Ring
    seed: bytes

    def words(self, step: int, part: int, count: int) -> Array:
        """Uniform ring elements, uint64 (count,).

        Parameters
        ----------
        step : int
            Number of the step.
        part : int
            Which of its arrays.
        count : int
            How many.
        """
        return self.ring.expand(self.seed, step * _PARTS + part, count)

    def fresh_seed(self, step: int, part: int) -> bytes:
        """A 256-bit seed for one permutation or one table of pads."""
        return self.words(step, part, 4).astype("<u8").tobytes()


def total(sizes: Iterable[Size]) -> int:
    """Bytes of all together."""
    return sum(size.bytes for size in sizes)


def join(ring: Ring, arrays: Iterable[tuple[Array, int]]) -> bytes:
    """Arrays with their bits, one behind the other."""
    return b"".join(ring.pack(array.reshape(-1), bits) for array, bits in arrays)


def split(ring: Ring, data: bytes | bytearray, sizes: Sequence[Size]) -> list[Array]:
    """The arrays of :func:`join`, each uint64 (count,).

    Parameters
    ----------
    ring : Ring
        What unpacks words.
    data : bytes
        From :func:`join`.
    sizes : sequence of Size
        Elements and bits of each array.

    Raises
    ------
    FormatError
        Where the bytes are not as many as the sizes say.
    """
    if len(data) != total(sizes):
        raise FormatError("material", f"{len(data)} bytes where {total(sizes)} are due")
    out, at = [], 0
    for size in sizes:
        out.append(ring.unpack(bytes(data[at : at + size.bytes]), size.bits, size.count))
        at += size.bytes
    return out


def signed(x: Array, bits: int) -> NDArray[np.int64]:
    """The integers in ``[-2^(bits-1), 2^(bits-1))`` that ``x`` stands for modulo ``2^bits``."""
    shift = np.uint64(64 - bits)
    return (x << shift).view(np.int64) >> np.int64(64 - bits)
