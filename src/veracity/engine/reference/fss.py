"""Function secret sharing, the definition: key by key and point by point, byte for byte.

A node of a tree is a seed ``s`` (low three bits zero) and a control bit ``t``; off the path to
``alpha`` both parties have the same node, on it their control bits differ. The corrections of a
level are chosen such that the node of the child off the path becomes the same.
"""

# ruff: noqa: D102 (engine.api_fss documents the operations)
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from veracity.engine.api_fss import MAX_PAYLOAD, MAX_TABLE_BITS, TREE_KEY
from veracity.engine.checks import (
    check_function,
    check_keys,
    check_payloads,
    check_pieces,
    check_tree_key,
    check_words,
)
from veracity.engine.reference.aes import encrypt
from veracity.engine.reference.ring import stream

__all__ = ["Kind", "ReferenceFss"]

_WORD = 1 << 64
_CONTROL = 7
_Ring: TypeAlias = NDArray[np.uint64]
_Keys: TypeAlias = NDArray[np.uint8]


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
    key : bytes
        The public key of the hash that grows its trees.
    """

    comparison: bool
    bits: int
    words: int
    key: bytes = TREE_KEY

    @property
    def low(self) -> int:
        """Bits of a point that choose its place in a leaf."""
        if self.comparison:
            return min(self.bits, 2 if self.words else 7)
        return min(self.bits, 3 if self.words == 1 else 1)

    @property
    def levels(self) -> int:
        """Levels above the leaves."""
        return self.bits - self.low

    @property
    def values(self) -> int:
        """Words that a level corrects."""
        return self.words if self.comparison else 0

    @property
    def key_bytes(self) -> int:
        """Bytes of one key: the root's seed, the corrections of the levels, that of the leaf."""
        leaf = 8 * self.words << self.low if self.words else 16
        return 16 + self.levels * (16 + 8 * self.values) + leaf


def _hash(kind: Kind, x: int) -> int:
    return int.from_bytes(encrypt(kind.key, x.to_bytes(16, "little")), "little") ^ x


def _child(kind: Kind, seed: int, side: int) -> tuple[int, int, int]:
    """Seed, control bit and output bit."""
    block = _hash(kind, seed ^ side)
    return block & ~_CONTROL, block & 1, block >> 1 & 1


def _words(kind: Kind, seed: int, tweaks: list[int], count: int) -> list[int]:
    blocks = [_hash(kind, seed ^ tweak) for tweak in tweaks]
    return [blocks[p // 2] >> 64 * (p % 2) & (_WORD - 1) for p in range(count)]


def _values(kind: Kind, seed: int, side: int) -> list[int]:
    tweaks = [2 + 2 * k + side for k in range((kind.values + 1) // 2)]
    return _words(kind, seed, tweaks, kind.values)


def _leaf(kind: Kind, seed: int) -> list[int]:
    count = kind.words << kind.low
    return _words(kind, seed, list(range((count + 1) // 2)), count)


def _seed(words: list[int]) -> int:
    return (words[0] | words[1] << 64) & ~_CONTROL


def _make(
    kind: Kind, seed: bytes, alpha: _Ring, payload: _Ring
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The keys of both parties, uint8 (N, L); see :meth:`engine.api_fss.Fss.dcf_keys`."""
    label = (1 << 63) + (0 if kind.comparison else 1000) + 100 * kind.words + kind.bits
    roots = stream(seed, label, 4 * len(alpha))
    keys: tuple[list[bytes], list[bytes]] = ([], [])
    for k, (threshold, value) in enumerate(zip(alpha.tolist(), payload.tolist(), strict=True)):
        root = [_seed(roots[4 * k :]), _seed(roots[4 * k + 2 :])]
        shared = _corrections(kind, root, threshold % (1 << kind.bits), value)
        for out, start in zip(keys, root, strict=True):
            out.append(start.to_bytes(16, "little") + shared)
    first, second = (
        np.frombuffer(b"".join(out), dtype=np.uint8).reshape(len(alpha), kind.key_bytes)
        for out in keys
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
        zero, one = ([_child(kind, seed, side) for side in (0, 1)] for seed in (seed0, seed1))
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
        return out + (_hash(kind, seed0) ^ _hash(kind, seed1) ^ fill ^ pattern).to_bytes(
            16, "little"
        )
    zero_leaf, one_leaf = _leaf(kind, seed0), _leaf(kind, seed1)
    for k, (a, b) in enumerate(zip(zero_leaf, one_leaf, strict=True)):
        j, p = divmod(k, kind.words)
        inside = j < low if kind.comparison else j == low
        out += _signed(inside * payload[p] - sums[p] - a + b, t1)
    return out


def _signed(value: int, minus: int) -> bytes:
    return ((-value if minus else value) % _WORD).to_bytes(8, "little")


def _descend(
    kind: Kind, party: int, key: bytes, point: int
) -> tuple[int, int, int, list[int], bytes]:
    """Seed, control bit, output bits and words at a leaf, and what is left of the key."""
    seed, t, parity = int.from_bytes(key[:16], "little"), party, 0
    sums, rest = [0] * kind.words, key[16:]
    for level in range(kind.levels):
        side = point >> (kind.bits - 1 - level) & 1
        change, rest = int.from_bytes(rest[:16], "little"), rest[16:]
        for p, value in enumerate(_values(kind, seed, side)):
            sums[p] += value + t * int.from_bytes(rest[8 * p : 8 * p + 8], "little")
        rest = rest[8 * kind.values :]
        seed, control, output = _child(kind, seed, side)
        parity ^= output ^ (t * change >> 2 & 1)
        seed ^= t * (change & ~_CONTROL)
        t = control ^ (t * change >> side & 1)
    return seed, t, parity, sums, rest


def _evaluate_bit(kind: Kind, party: int, key: bytes, point: int) -> int:
    """A party's share of the bit ``[point < alpha]``."""
    point %= 1 << kind.bits
    seed, t, parity, _, rest = _descend(kind, party, key, point)
    leaf = _hash(kind, seed) ^ t * int.from_bytes(rest, "little")
    return leaf >> (point % (1 << kind.low)) & 1 ^ parity


def _evaluate(kind: Kind, party: int, key: bytes, point: int) -> list[int]:
    """A party's shares of the words of the value at a point."""
    point %= 1 << kind.bits
    seed, t, _, sums, rest = _descend(kind, party, key, point)
    leaf, place = _leaf(kind, seed), point % (1 << kind.low) * kind.words
    shares = []
    for p, total in enumerate(sums):
        change = int.from_bytes(rest[8 * (place + p) :][:8], "little")
        share = total + leaf[place + p] + t * change
        shares.append((-share if party else share) % _WORD)
    return shares


def _table(kind: Kind, party: int, key: bytes, shift: int, entries: _Ring) -> list[list[int]]:
    """A party's shares of ``payload[p] entries[(shift - alpha) mod 2^bits, q]``."""
    size = 1 << kind.bits
    shares = [_evaluate(kind, party, key, j) for j in range(size)]
    turned = [entries[(shift - j) % size].tolist() for j in range(size)]
    return [
        [
            sum(share[p] * row[q] for share, row in zip(shares, turned, strict=True)) % _WORD
            for q in range(entries.shape[1])
        ]
        for p in range(kind.words)
    ]


def _kind(comparison: bool, bits: int, words: int) -> Kind:
    check_function(comparison, bits, words)
    return Kind(comparison, bits, words)


def _party(party: int) -> None:
    if party not in (0, 1):
        raise ValueError(f"there is no party {party}")


def _rows(keys: _Keys, points: _Ring) -> list[tuple[bytes, list[int]]]:
    return [(key.tobytes(), row) for key, row in zip(keys, points.tolist(), strict=True)]


class ReferenceFss:
    """Function secret sharing; see :class:`engine.api_fss.Fss`."""

    def __init__(self, key: bytes = TREE_KEY) -> None:
        self._key = check_tree_key(key)

    def keyed(self, key: bytes) -> ReferenceFss:
        return ReferenceFss(key)

    def _kind(self, comparison: bool, bits: int, words: int) -> Kind:
        return replace(_kind(comparison, bits, words), key=self._key)

    def dcf_key_bytes(self, bits: int, P: int) -> int:
        return self._kind(True, bits, P).key_bytes

    def dpf_key_bytes(self, bits: int, P: int = 1) -> int:
        return self._kind(False, bits, P).key_bytes

    def dcf_keys(self, seed: bytes, bits: int, alpha: _Ring, payload: _Ring) -> tuple[_Keys, _Keys]:
        alpha, payload = check_payloads(seed, alpha, payload)
        return _make(self._kind(True, bits, payload.shape[1]), seed, alpha, payload)

    def dpf_keys(self, seed: bytes, bits: int, alpha: _Ring, payload: _Ring) -> tuple[_Keys, _Keys]:
        alpha, payload = check_payloads(seed, alpha, payload)
        return _make(self._kind(False, bits, payload.shape[1]), seed, alpha, payload)

    def dcf_bits(self, party: int, bits: int, keys: _Keys, points: _Ring) -> _Keys:
        _party(party)
        points, kind = check_words(points, 2), self._kind(True, bits, 0)
        keys = check_keys(keys, len(points), kind.key_bytes)
        shares = [
            [_evaluate_bit(kind, party, key, point) for point in row]
            for key, row in _rows(keys, points)
        ]
        return np.array(shares, dtype=np.uint8).reshape(points.shape)

    def dcf_evaluate(self, party: int, bits: int, keys: _Keys, points: _Ring, P: int) -> _Ring:
        if P == 0:
            raise ValueError("keys without payload share bits")
        return self._values(self._kind(True, bits, P), party, keys, points)

    def dcf_weighted(
        self, party: int, bits: int, keys: _Keys, points: _Ring, weights: _Ring
    ) -> _Ring:
        points, weights = check_words(points, 2), check_words(weights, 2)
        if keys.ndim != 2:
            raise ValueError("keys are a matrix of bytes")
        kinds = [self._kind(True, bits, words) for words in range(1, MAX_PAYLOAD + 1)]
        kind = next((k for k in kinds if keys.shape[1] == k.key_bytes), None)
        if kind is None or len(weights) != points.shape[1]:
            raise ValueError("keys with a payload and a row of weights for every point are due")
        shares = self._values(kind, party, keys, points)  # (N, M, P)
        # The arithmetic of uint64 wraps as the ring's does.
        sums: _Ring = np.einsum("nmp,mq->npq", shares, weights)
        return sums

    def dcf_pieces(
        self,
        party: int,
        bits: Sequence[int],
        keys: _Keys,
        values: _Ring,
        payloads: _Ring,
        lengths: Sequence[int],
        knots: _Ring,
        weights: _Ring,
    ) -> _Ring:
        keys, values, payloads, knots, weights = check_pieces(
            bits, keys, values, payloads, lengths, knots, weights, self.dcf_key_bytes
        )
        sizes = [values.shape[1] * self.dcf_key_bytes(n, 3) for n in bits]
        starts, ends = np.cumsum([0, *sizes]), np.cumsum([0, *lengths])
        shares = np.zeros(values.shape, dtype=np.uint64)
        for g, n in enumerate(bits):
            key = keys[starts[g] : starts[g + 1]].reshape(values.shape[1], -1)
            own = slice(ends[g], ends[g + 1])
            shares[g] = self._pieces(
                party, n, key, values[g], payloads[g], knots[own], weights[own]
            )
        return shares

    def _pieces(
        self,
        party: int,
        bits: int,
        keys: _Keys,
        values: _Ring,
        payloads: _Ring,
        knots: _Ring,
        weights: _Ring,
    ) -> _Ring:
        """One function.

        ``[u < k] = [c - k < alpha] - [c < alpha] + [c < k]`` for the value c, and the middle term
        cancels over all knots. Where ``c < k`` the point ``c - k`` tells the values above alpha
        that went round, ``u = c + 2^bits - alpha``, from all others.
        """
        size = np.uint64(1 << bits)
        c = values & (size - np.uint64(1))
        found = self.dcf_evaluate(party, bits, keys, c[:, None] - knots[None, :], 3)
        beyond = (c[:, None] < knots[None, :]).astype(np.uint64)[:, :, None]
        straight = (np.uint64(1) - beyond) * found + beyond * payloads[:, None, :]
        total: _Ring = np.zeros(len(c), dtype=np.uint64)
        for at, part in ((c, straight), (c + size, beyond * found)):
            s = np.einsum("nmp,mq->npq", part, weights)
            total += s[:, 0, 0] - s[:, 1, 1] + s[:, 2, 2]
            total += at * (s[:, 0, 1] - np.uint64(2) * s[:, 1, 2]) + at * at * s[:, 0, 2]
        return total

    def dpf_evaluate(self, party: int, bits: int, keys: _Keys, points: _Ring, P: int = 1) -> _Ring:
        return self._values(self._kind(False, bits, P), party, keys, points)

    def dpf_table(
        self, party: int, bits: int, keys: _Keys, shift: _Ring, table: _Ring, P: int = 1
    ) -> _Ring:
        _party(party)
        shift, table = check_words(shift, 1), check_words(table, 2)
        kind = self._kind(False, bits, P)
        keys = check_keys(keys, len(shift), kind.key_bytes)
        if bits > MAX_TABLE_BITS or len(table) != 1 << bits:
            raise ValueError(f"a table of {len(table)} entries for {bits} bits")
        shares = [
            _table(kind, party, key.tobytes(), turn, table)
            for key, turn in zip(keys, shift.tolist(), strict=True)
        ]
        return np.array(shares, dtype=np.uint64).reshape(len(shift), P, table.shape[1])

    def dpf_histogram(
        self, party: int, bits: int, keys: _Keys, shift: _Ring, lengths: _Ring, count: int
    ) -> _Ring:
        shift, lengths = check_words(shift, 1), check_words(lengths, 1)
        if bits > MAX_TABLE_BITS or not 0 <= count <= 1 << bits:
            raise ValueError(f"{count} of the values of {bits} bits")
        if sum(lengths.tolist()) != len(shift):
            raise ValueError("rows of other lengths")
        points = np.subtract.outer(shift, np.arange(count, dtype=np.uint64))
        shares = self._values(self._kind(False, bits, 1), party, keys, points)[:, :, 0]
        ends = np.cumsum(lengths.astype(np.int64))[:-1]
        sums = [row.sum(axis=0, dtype=np.uint64) for row in np.split(shares, ends)]
        return np.array(sums[: len(lengths)], dtype=np.uint64).reshape(len(lengths), count)

    def _values(self, kind: Kind, party: int, keys: _Keys, points: _Ring) -> _Ring:
        _party(party)
        points = check_words(points, 2)
        keys = check_keys(keys, len(points), kind.key_bytes)
        shares = [
            [_evaluate(kind, party, key, point) for point in row]
            for key, row in _rows(keys, points)
        ]
        return np.array(shares, dtype=np.uint64).reshape(*points.shape, kind.words)
