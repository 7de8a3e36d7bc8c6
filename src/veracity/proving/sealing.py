"""Sealed ports on the owner's side: new seals, and those that other proofs made."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from veracity.engine.api import Engine
from veracity.errors import UsageError
from veracity.formats.seal import Seal, SealKey
from veracity.zk.keys import load_key
from veracity.zkml.boundary import Boundary, seal
from veracity.zkml.committed import TensorSpec

__all__ = ["open_seal", "seal_values"]

#: A seal's blinds come from a seed of its own, for this and nothing else.
_DOMAIN = b"veracity seal v1"


def seal_values(engine: Engine, spec: TensorSpec, values: NDArray[np.int64]) -> SealKey:
    """Seal integers afresh.

    Parameters
    ----------
    engine : Engine
        What computes.
    spec : TensorSpec
        Dims, exponent, range and layout.
    values : int64 array
        What is sealed.
    """
    seed = os.urandom(32)
    made = _boundary(engine, spec, values, seed)
    return SealKey(Seal(made.tensor), seed, values)


def open_seal(engine: Engine, key: SealKey) -> Boundary:
    """What a proof needs of a sealed port.

    Raises
    ------
    UsageError
        The key does not open its seal.
    """
    made = _boundary(engine, key.seal.tensor.spec, key.values, key.seed)
    if made.tensor != key.seal.tensor:
        raise UsageError("this key does not open its seal: its values are others")
    return made


def _boundary(engine: Engine, spec: TensorSpec, values: NDArray[np.int64], seed: bytes) -> Boundary:
    generators = load_key(engine, spec.row_bits)
    return seal(engine, generators, spec, values, seed, _DOMAIN)
