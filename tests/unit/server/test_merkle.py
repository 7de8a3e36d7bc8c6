"""The growing Merkle tree against its definition, and against proofs that lie."""

from __future__ import annotations

import hashlib

import pytest

from veracity.errors import UsageError, VerificationError
from veracity.formats.merkle import (
    EMPTY,
    MerkleTree,
    leaf_hash,
    verify_consistency,
    verify_inclusion,
)

MOST = 20
LEAVES = [leaf_hash(bytes([i])) for i in range(MOST)]
TREE = MerkleTree(LEAVES)


def defined(leaves: list[bytes]) -> bytes:
    """The definition, as it stands in RFC 6962."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = max(2**i for i in range(8) if 2**i < len(leaves))
    return hashlib.sha256(b"\1" + defined(leaves[:k]) + defined(leaves[k:])).digest()


def test_the_definitions_own_examples() -> None:
    """Roots that other implementations publish for these leaves (Certificate Transparency)."""
    inputs = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657"]
    tree = MerkleTree(leaf_hash(bytes.fromhex(text)) for text in inputs)
    assert EMPTY.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert tree.root(1).hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert tree.root(2).hex() == "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"


def test_roots_are_as_defined() -> None:
    for size in range(MOST + 1):
        assert TREE.root(size) == defined(LEAVES[:size])


def test_every_leaf_is_in_every_tree_at_its_place_only() -> None:
    for size in range(1, MOST + 1):
        root = TREE.root(size)
        for index in range(size):
            path = TREE.inclusion(index, size)
            verify_inclusion(LEAVES[index], index, size, path, root)
            lies = [
                (LEAVES[index - 1] if size > 1 else EMPTY, index, size, path, root),
                (LEAVES[index], index + 1, size, path, root),
                (LEAVES[index], index, size, [*path, EMPTY], root),
                (LEAVES[index], index, size, path, EMPTY),
                *(
                    (LEAVES[index], index, size, path[:i] + path[i + 1 :], root)
                    for i in range(len(path))
                ),
            ]
            for lie in lies:
                with pytest.raises(VerificationError):
                    verify_inclusion(*lie)


def test_every_tree_begins_with_the_older_ones() -> None:
    other = MerkleTree([LEAVES[1], *LEAVES[1:]])
    for size in range(1, MOST + 1):
        for old in range(size + 1):
            path = TREE.consistency(old, size)
            roots = TREE.root(old), TREE.root(size)
            verify_consistency(old, size, path, *roots)
            lies = [
                (old, size, [*path, EMPTY], *roots),
                (old, size, path, EMPTY if old else LEAVES[0], roots[1]),
                *((old, size, path[:i] + path[i + 1 :], *roots) for i in range(len(path))),
            ]
            if old:
                lies.append((old, size, path, other.root(old), roots[1]))
                lies.append((old, size, other.consistency(old, size), roots[0], other.root(size)))
            for lie in lies:
                with pytest.raises(VerificationError):
                    verify_consistency(*lie)


def test_what_is_not_there() -> None:
    for call in (
        lambda: TREE.root(MOST + 1),
        lambda: TREE.inclusion(5, 5),
        lambda: TREE.inclusion(-1, 5),
        lambda: TREE.consistency(6, 5),
        lambda: TREE.consistency(-1, 5),
        lambda: TREE.root(-1),
    ):
        with pytest.raises(UsageError):
            call()


def test_a_subtree_is_not_the_tree() -> None:
    """Heads whose size is not that of their root, and leaves before the first."""
    pair = TREE.root(2)
    for leaf, index, size, path, word in (
        (LEAVES[1], 0, 1, [LEAVES[0]], "too long"),
        (LEAVES[0], 0, 4, [LEAVES[1]], "not in this tree"),
        (LEAVES[0], -1, 2, [LEAVES[1]], "outside"),
        (LEAVES[0], 2, 2, [LEAVES[1]], "outside"),
    ):
        with pytest.raises(VerificationError, match=word):
            verify_inclusion(leaf, index, size, path, pair)
