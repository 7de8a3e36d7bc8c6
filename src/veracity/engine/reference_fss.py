"""The definition of :mod:`veracity.engine.fss`, key by key and point by point, byte for byte.

A node of a tree is a seed ``s`` (low three bits zero) and a control bit ``t``; off the path to
``alpha`` both parties have the same node, on it their control bits differ. The corrections of a
level are chosen such that the node of the child off the path becomes the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from veracity.engine.reference_aes import encrypt
from veracity.engine.reference_ring import stream

__all__ = ["Kind", "evaluate", "evaluate_bit", "make", "table"]

_FIXED_KEY = b"Veracity FSS v01"
_WORD = 1 << 64
_CONTROL = 7
_Ring = NDArray[np.uint64]


@dataclass(frozen=True)
class Kind:
    """What a pair of keys shares.

    Parameters
    ----------
    comparison : bool
        ``payload [x < alpha]`` if so, else ``payload [x = alpha]``.
    bits : int
        Of the domain.
    words : int
        Of the payload.
    """

    comparison: bool
    bits: int
    words: int

    @property
    def low(self) -> int:
        """Bits of a point that choose its place in a leaf."""
        if self.comparison:
            return min(self.bits, 2 if self.words else 7)
        return min(self.bits, 3 if self.words == 1 else 2)

    @property
    def levels(self) -> int:
        """Levels above the leaves."""
        return self.bits - self.low

    @property
    def values(self) -> int:
        """Words that a level corrects."""
        return self.words if self.comparison else 0


def _hash(x: int) -> int:
    return int.from_bytes(encrypt(_FIXED_KEY, x.to_bytes(16, "little")), "little") ^ x


def _child(seed: int, side: int) -> tuple[int, int, int]:
    """Seed, control bit and output bit."""
    block = _hash(seed ^ side)
    return block & ~_CONTROL, block & 1, block >> 1 & 1


def _words(seed: int, tweaks: list[int], count: int) -> list[int]:
    blocks = [_hash(seed ^ tweak) for tweak in tweaks]
    return [blocks[p // 2] >> 64 * (p % 2) & (_WORD - 1) for p in range(count)]


def _values(kind: Kind, seed: int, side: int) -> list[int]:
    tweaks = [2 + 2 * k + side for k in range((kind.values + 1) // 2)]
    return _words(seed, tweaks, kind.values)


def _leaf(kind: Kind, seed: int) -> list[int]:
    count = kind.words << kind.low
    return _words(seed, list(range((count + 1) // 2)), count)


def _seed(words: list[int]) -> int:
    return (words[0] | words[1] << 64) & ~_CONTROL


def make(
    kind: Kind, seed: bytes, alpha: _Ring, payload: _Ring
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The keys of both parties, uint8 (N, L); see :func:`veracity.engine.fss.dcf_keys`."""
    label = (1 << 63) + (0 if kind.comparison else 1000) + 100 * kind.words + kind.bits
    roots = stream(seed, label, 4 * len(alpha))
    keys: tuple[list[bytes], list[bytes]] = ([], [])
    for k, (threshold, value) in enumerate(zip(alpha.tolist(), payload.tolist(), strict=True)):
        root = [_seed(roots[4 * k :]), _seed(roots[4 * k + 2 :])]
        shared = _corrections(kind, root, threshold % (1 << kind.bits), value)
        for out, start in zip(keys, root, strict=True):
            out.append(start.to_bytes(16, "little") + shared)
    first, second = (
        np.frombuffer(b"".join(out), dtype=np.uint8).reshape(len(alpha), -1) for out in keys
    )
    return first, second


def _corrections(kind: Kind, root: list[int], alpha: int, payload: list[int]) -> bytes:
    nodes = [(root[0], 0), (root[1], 1)]
    out = b""
    # What the shares add up to at alpha so far: the output bits, and the words.
    parity, sums = 0, [0] * kind.words
    for level in range(kind.levels):
        keep = alpha >> (kind.bits - 1 - level) & 1
        lose = 1 - keep
        (seed0, _), (seed1, t1) = nodes
        zero, one = ([_child(seed, side) for side in (0, 1)] for seed in (seed0, seed1))
        change = zero[lose][0] ^ one[lose][0]
        control = [zero[side][1] ^ one[side][1] ^ (side == keep) for side in (0, 1)]
        output = 0
        if kind.comparison and not kind.words:
            output = zero[lose][2] ^ one[lose][2] ^ parity ^ keep
            parity ^= zero[keep][2] ^ one[keep][2] ^ output
        out += (change | control[0] | control[1] << 1 | output << 2).to_bytes(16, "little")
        if kind.values:
            lost, kept = (
                [
                    a - b
                    for a, b in zip(
                        _values(kind, seed0, side), _values(kind, seed1, side), strict=True
                    )
                ]
                for side in (lose, keep)
            )
            for p in range(kind.words):
                missing = keep * payload[p] - sums[p] - lost[p]
                out += _signed(missing, t1)
                sums[p] += kept[p] + missing
        nodes = [
            (child[keep][0] ^ t * change, child[keep][1] ^ t * control[keep])
            for child, (_, t) in zip((zero, one), nodes, strict=True)
        ]
    (seed0, _), (seed1, t1) = nodes
    low = alpha % (1 << kind.low)
    if not kind.words:
        pattern = (1 << low) - 1
        fill = (1 << 128) - 1 if parity else 0
        return out + (_hash(seed0) ^ _hash(seed1) ^ fill ^ pattern).to_bytes(16, "little")
    zero_leaf, one_leaf = _leaf(kind, seed0), _leaf(kind, seed1)
    for k, (a, b) in enumerate(zip(zero_leaf, one_leaf, strict=True)):
        j, p = divmod(k, kind.words)
        inside = j < low if kind.comparison else j == low
        out += _signed(inside * payload[p] - sums[p] - a + b, t1)
    return out


def _signed(value: int, minus: int) -> bytes:
    return ((-value if minus else value) % _WORD).to_bytes(8, "little")


def _walk(kind: Kind, party: int, key: bytes, point: int) -> tuple[int, int, int, list[int], bytes]:
    """Seed, control bit, output bits and words at a leaf, and what is left of the key."""
    seed, t, parity = int.from_bytes(key[:16], "little"), party, 0
    sums, rest = [0] * kind.words, key[16:]
    for level in range(kind.levels):
        side = point >> (kind.bits - 1 - level) & 1
        change, rest = int.from_bytes(rest[:16], "little"), rest[16:]
        for p, value in enumerate(_values(kind, seed, side)):
            sums[p] += value + t * int.from_bytes(rest[8 * p : 8 * p + 8], "little")
        rest = rest[8 * kind.values :]
        seed, control, output = _child(seed, side)
        parity ^= output ^ (t * change >> 2 & 1)
        seed ^= t * (change & ~_CONTROL)
        t = control ^ (t * change >> side & 1)
    return seed, t, parity, sums, rest


def evaluate_bit(kind: Kind, party: int, key: bytes, point: int) -> int:
    """A party's share of the bit ``[point < alpha]``."""
    point %= 1 << kind.bits
    seed, t, parity, _, rest = _walk(kind, party, key, point)
    leaf = _hash(seed) ^ t * int.from_bytes(rest, "little")
    return leaf >> (point % (1 << kind.low)) & 1 ^ parity


def evaluate(kind: Kind, party: int, key: bytes, point: int) -> list[int]:
    """A party's shares of the words of the value at a point."""
    point %= 1 << kind.bits
    seed, t, _, sums, rest = _walk(kind, party, key, point)
    leaf, place = _leaf(kind, seed), point % (1 << kind.low) * kind.words
    shares = []
    for p, total in enumerate(sums):
        change = int.from_bytes(rest[8 * (place + p) :][:8], "little")
        share = total + leaf[place + p] + t * change
        shares.append((-share if party else share) % _WORD)
    return shares


def table(kind: Kind, party: int, key: bytes, shift: int, entries: _Ring) -> list[list[int]]:
    """A party's shares of ``payload[p] entries[(shift - alpha) mod 2^bits, q]``."""
    size = 1 << kind.bits
    shares = [evaluate(kind, party, key, j) for j in range(size)]
    turned = [entries[(shift - j) % size].tolist() for j in range(size)]
    return [
        [
            sum(share[p] * row[q] for share, row in zip(shares, turned, strict=True)) % _WORD
            for q in range(entries.shape[1])
        ]
        for p in range(kind.words)
    ]
