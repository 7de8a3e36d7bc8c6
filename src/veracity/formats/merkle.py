"""A Merkle tree that grows: its root, and short proofs that a leaf or an older tree is in it.

A leaf hashes to SHA-256(0 | leaf), two subtrees to SHA-256(1 | left | right); the left one of n
leaves has the largest power of two below n. What is proved: ``verify_inclusion``, that a leaf
stands at a place of the tree under a root; ``verify_consistency``, that one tree begins with
another. Both are binding as long as SHA-256 is collision-resistant.

Reference: RFC 6962, section 2; algorithms of verification as in RFC 9162, 2.1.3.2 and 2.1.4.2.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from veracity.errors import UsageError, VerificationError

__all__ = ["EMPTY", "MerkleTree", "leaf_hash", "verify_consistency", "verify_inclusion"]

#: Root of a tree without leaves.
EMPTY = hashlib.sha256(b"").digest()


def leaf_hash(leaf: bytes) -> bytes:
    """The hash of a leaf."""
    return hashlib.sha256(b"\0" + leaf).digest()


def _parent(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


class MerkleTree:
    """Hashes of leaves, and of all whole subtrees over them.

    Parameters
    ----------
    leaves : iterable of bytes
        Hashes of leaves.
    """

    def __init__(self, leaves: Iterable[bytes] = ()) -> None:
        #: ``_levels[k][i]`` is the root over the leaves ``i 2^k .. (i + 1) 2^k - 1``.
        self._levels: list[list[bytes]] = [[]]
        for leaf in leaves:
            self.append(leaf)

    def __len__(self) -> int:
        return len(self._levels[0])

    def append(self, leaf: bytes) -> None:
        """One leaf more, by its hash."""
        level, node = 0, leaf
        self._levels[0].append(node)
        while len(self._levels[level]) % 2 == 0:
            node = _parent(*self._levels[level][-2:])
            level += 1
            if level == len(self._levels):
                self._levels.append([])
            self._levels[level].append(node)

    def root(self, size: int) -> bytes:
        """The root over the first leaves."""
        self._require(0 <= size <= len(self))
        return self._over(0, size) if size else EMPTY

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """The proof that a leaf is in the tree of so many leaves."""
        self._require(0 <= index < size <= len(self))
        path, low, high = [], 0, size
        while high - low > 1:
            middle = low + _split(high - low)
            if index < middle:
                path.append(self._over(middle, high))
                high = middle
            else:
                path.append(self._over(low, middle))
                low = middle
        return path[::-1]

    def consistency(self, old: int, size: int) -> list[bytes]:
        """The proof that the tree of ``old`` leaves begins the one of ``size``."""
        self._require(0 <= old <= size <= len(self))
        if old in (0, size):
            return []
        path, low, high, whole = [], 0, size, True
        while old != high:
            middle = low + _split(high - low)
            if old <= middle:
                path.append(self._over(middle, high))
                high = middle
            else:
                path.append(self._over(low, middle))
                low, whole = middle, False
        if not whole:
            path.append(self._over(low, high))
        return path[::-1]

    def _require(self, there: bool) -> None:
        if not there:
            raise UsageError("no such leaf or tree")

    def _over(self, low: int, high: int) -> bytes:
        """The root over a stretch that is a subtree."""
        count = high - low
        if count & (count - 1) == 0:
            level = count.bit_length() - 1
            return self._levels[level][low >> level]
        middle = low + _split(count)
        return _parent(self._over(low, middle), self._over(middle, high))


def _split(count: int) -> int:
    """The largest power of two below ``count``."""
    return 1 << ((count - 1).bit_length() - 1)


def verify_inclusion(
    leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes
) -> None:
    """Check that a leaf is in a tree.

    Parameters
    ----------
    leaf : bytes
        Its hash.
    index : int
        Where it stands.
    size : int
        Leaves of the tree.
    path : sequence of bytes
        The proof.
    root : bytes
        The tree's root.

    Raises
    ------
    VerificationError
    """
    if not 0 <= index < size:
        raise VerificationError("a leaf outside the tree", "log")
    place, last, node = index, size - 1, leaf
    for other in path:
        if last == 0:
            raise VerificationError("the path is too long", "log")
        if place % 2 or place == last:
            node = _parent(other, node)
            while place % 2 == 0 and place:
                place, last = place >> 1, last >> 1
        else:
            node = _parent(node, other)
        place, last = place >> 1, last >> 1
    if last or node != root:
        raise VerificationError("the leaf is not in this tree", "log")


def verify_consistency(
    old: int, size: int, path: Sequence[bytes], old_root: bytes, root: bytes
) -> None:
    """Check that a tree begins with an older one.

    Parameters
    ----------
    old, size : int
        Leaves of the older tree and of the newer one.
    path : sequence of bytes
        The proof.
    old_root, root : bytes
        Their roots.

    Raises
    ------
    VerificationError
    """
    broken = VerificationError("the newer log does not begin with the older one", "log")
    if not 0 <= old <= size:
        raise broken
    if old in (0, size):
        if path or old_root != (EMPTY if old == 0 else root):
            raise broken
        return
    nodes = [old_root, *path] if old & (old - 1) == 0 else list(path)
    if not nodes:
        raise broken
    place, last = old - 1, size - 1
    while place % 2:
        place, last = place >> 1, last >> 1
    before = after = nodes[0]
    for other in nodes[1:]:
        if last == 0:
            raise broken
        if place % 2 or place == last:
            before, after = _parent(other, before), _parent(other, after)
            while place % 2 == 0 and place:
                place, last = place >> 1, last >> 1
        else:
            after = _parent(after, other)
        place, last = place >> 1, last >> 1
    if last or before != old_root or after != root:
        raise broken
