"""Which examples make which batch: a public rule that nobody can steer once the data are fixed.

Epoch ``e`` takes all examples in the order of 64-bit keys from ``SHAKE128(seed | e)``, ties by
index; batches are its consecutive stretches, and an incomplete last one is dropped. The seed hangs
on the recipe, on the commitments of the data and of the start, and on a beacon.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from veracity.errors import UsageError

__all__ = ["batch_rows", "epoch_order", "order_seed"]


def order_seed(premise: bytes, beacon: bytes) -> bytes:
    """The seed of the order: 32 bytes.

    Parameters
    ----------
    premise : bytes
        Digest of recipe, data and start.
    beacon : bytes
        Public randomness from after these were fixed; may be empty.
    """
    size = len(premise).to_bytes(8, "little")
    return hashlib.sha256(b"veracity order v3" + size + premise + beacon).digest()


def epoch_order(seed: bytes, epoch: int, examples: int) -> NDArray[np.int64]:
    """A permutation of the examples.

    Parameters
    ----------
    seed : bytes
        From :func:`order_seed`.
    epoch : int
        Its number.
    examples : int
        How many there are.
    """
    sponge = hashlib.shake_128(b"veracity epoch v3" + seed + epoch.to_bytes(8, "little"))
    keys = np.frombuffer(sponge.digest(8 * examples), dtype="<u8")
    return np.argsort(keys, kind="stable").astype(np.int64)


def batch_rows(seed: bytes, examples: int, batch: int, first: int, last: int) -> NDArray[np.int64]:
    """Indices of the examples of steps ``first .. last-1``, (last - first, batch).

    Parameters
    ----------
    seed : bytes
        From :func:`order_seed`.
    examples : int
        How many there are.
    batch : int
        Examples per step.
    first, last : int
        Range of steps.

    Raises
    ------
    UsageError
        If there are fewer examples than a batch has.
    """
    per_epoch = examples // batch
    if per_epoch == 0:
        raise UsageError(f"a batch of {batch} needs as many examples; there are {examples}")
    parts = []
    for epoch in range(first // per_epoch, -(-last // per_epoch)):
        order = epoch_order(seed, epoch, examples)[: per_epoch * batch].reshape(per_epoch, batch)
        start = epoch * per_epoch
        parts.append(order[max(0, first - start) : last - start])
    return np.concatenate(parts)
