"""Hedged randomness of a prover: drawn where it is used, kept nowhere.

Every blind and mask is SHAKE256 of 32 bytes from the operating system, a secret of the caller and
the transcript so far. The bytes from the system make two attempts at one statement differ, also in
processes that were forked from one; the transcript makes two statements differ even where the
system's source is broken and repeats itself, as long as the secret is unknown. Reusing one mask
under two challenges would open the combined row of the weights, so no seed is stored, sent or
inherited.

Reference: hedged nonces as in RFC 6979, section 3.6, and "deterministic + noise" signatures.
"""

from __future__ import annotations

import hashlib
import os

from veracity.engine.api import SCALAR_BYTES, Engine, Vec
from veracity.zk.transcript import framed

__all__ = ["hedged_scalars"]

#: Bytes from the operating system per draw.
_ENTROPY_BYTES = 32


def hedged_scalars(engine: Engine, secret: bytes, state: bytes, n: int) -> Vec:
    """``n`` uniform field elements for one use.

    Parameters
    ----------
    engine : Engine
        Backend.
    secret : bytes
        Something only the prover knows (the seed of a model's blinds); may be empty.
    state : bytes
        Digest of the transcript so far.
    n : int
        How many elements; 512 bits are reduced for each (bias below 2^-256).
    """
    parts = framed(os.urandom(_ENTROPY_BYTES), secret, state)
    seed = hashlib.shake_256(b"veracity hedged scalars" + parts)
    return engine.from_wide_bytes(seed.digest(2 * SCALAR_BYTES * n))
