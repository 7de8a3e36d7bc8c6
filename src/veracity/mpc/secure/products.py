"""Products of weights (small integers, masked, or masks) with ring elements, at every role."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from veracity.engine.api import Ring
from veracity.mpc.party import Array
from veracity.mpc.secure.role import Use
from veracity.mpc.weights import product

__all__ = ["apply", "products"]


def apply(ring: Ring, x: Array, weight: NDArray[np.integer], kind: str) -> Array:
    """``x W^T`` or ``x * w`` modulo 2^64 for the owner's or for masked weights.

    Parameters
    ----------
    ring : Ring
        What multiplies.
    x : uint64 array
        (rows, k).
    weight : array
        (n, k), or (k,) for a gain; uint64 where it is masked.
    kind : str
        "gain", or any other kind of weight.
    """
    if kind == "gain":
        return x * weight.astype(np.int64).view(np.uint64)
    if weight.dtype == np.uint64:
        return product(ring, x, cast(Array, weight))
    return ring.matmul(np.ascontiguousarray(x), weight)


def products(
    ring: Ring, mask: Array, uses: Sequence[Use], weights: Mapping[str, NDArray[np.integer]]
) -> list[Array]:
    """The user's part before any input exists: masked weights times the mask.

    Parameters
    ----------
    ring : Ring
        What multiplies.
    mask : uint64 array
        The user's mask of the input, (rows, k).
    uses : sequence of (name, kind)
        Weights.
    weights : mapping
        Masked weights by name.
    """
    return [apply(ring, mask, weights[name], kind) for name, kind in uses]
