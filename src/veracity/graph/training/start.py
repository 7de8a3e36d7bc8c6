"""Weights from a public seed: nobody needs to be trusted with the start of a run."""

from __future__ import annotations

import hashlib
from math import isqrt, prod

import numpy as np
from numpy.typing import NDArray

from veracity.graph.training.recipe import Recipe
from veracity.graph.training.step import Weights

__all__ = ["START_BITS", "start_weights"]

#: Weights start as integers at 2^-14.
START_BITS = 14


def start_weights(recipe: Recipe, seed: bytes) -> Weights:
    """Uniform integers in ``[-L, L]``, ``L = isqrt(6 4^14 / fan_in)``, by rejection; zero biases.

    Parameters
    ----------
    recipe : Recipe
        Shapes and scales.
    seed : bytes
        32 bytes.

    Notes
    -----
    The bound is He's for ReLU (arXiv 1502.01852), in integers.
    """
    out: Weights = {}
    for layer in range(recipe.layers):
        name = recipe.weight_name(layer)
        shape = recipe.shapes()[name]
        limit = isqrt(6 * 4**START_BITS // recipe.stages[layer].rule.fan_in)
        drawn = _uniform(seed, layer, prod(shape), limit).reshape(shape)
        out[name] = drawn << (recipe.weight_bits(layer) - START_BITS)
        out[recipe.bias_name(layer)] = np.zeros(shape[0], dtype=np.int64)
    return out


def _uniform(seed: bytes, layer: int, count: int, limit: int) -> NDArray[np.int64]:
    """The first ``count`` words of the stream that are below a multiple of the range's size."""
    size = 2 * limit + 1
    accept = (1 << 32) // size * size
    words, drawn = np.empty(0, dtype=np.uint64), count
    while True:
        drawn += drawn // 64 + 64
        sponge = hashlib.shake_128(b"veracity start v3" + seed + layer.to_bytes(8, "little"))
        words = np.frombuffer(sponge.digest(4 * drawn), dtype="<u4").astype(np.uint64)
        words = words[words < accept]
        if len(words) >= count:
            return (words[:count] % np.uint64(size)).astype(np.int64) - limit
