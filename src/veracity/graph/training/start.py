"""Weights from a public seed: nobody needs to be trusted with the start of a run.

Weights are drawn in blocks, in the order in which they are committed, so whoever checks a start
never holds more of it than a block.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from math import isqrt, prod

import numpy as np
from numpy.typing import NDArray

from veracity.graph.training.recipe import Recipe
from veracity.graph.training.step import Weights

__all__ = ["BLOCK", "START_BITS", "drawing_order", "start_blocks", "start_weights"]

#: Weights start as integers at 2^-14.
START_BITS = 14
#: Weights that are drawn together.
BLOCK = 1 << 18


def drawing_order(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Axes, slowest first: by rising fill ``d / 2^ceil(log2 d)``, as tensors are committed."""
    fill = [d / (1 << (d - 1).bit_length()) for d in shape]
    return tuple(sorted(range(len(shape)), key=lambda axis: (fill[axis], axis)))


def start_blocks(recipe: Recipe, seed: bytes, layer: int) -> Iterator[NDArray[np.int32]]:
    """The first weights of a layer at ``2^-14``, block by block in drawing order.

    Parameters
    ----------
    recipe : Recipe
        Shapes.
    seed : bytes
        32 bytes.
    layer : int
        Which layer with weights.
    """
    count = prod(recipe.shapes()[recipe.weight_name(layer)])
    limit = isqrt(6 * 4**START_BITS // recipe.stages[layer].rule.fan_in)
    for block, first in enumerate(range(0, count, BLOCK)):
        numbers = layer.to_bytes(8, "little") + block.to_bytes(8, "little")
        yield _uniform(seed + numbers, min(BLOCK, count - first), limit)


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
        drawn, at = np.empty(prod(shape), dtype=np.int64), 0
        for block in start_blocks(recipe, seed, layer):
            drawn[at : at + len(block)] = block
            at += len(block)
        drawn <<= recipe.weight_bits(layer) - START_BITS
        order = drawing_order(shape)
        stored = drawn.reshape([shape[axis] for axis in order])
        out[name] = np.ascontiguousarray(stored.transpose(np.argsort(order)))
        out[recipe.bias_name(layer)] = np.zeros(shape[0], dtype=np.int64)
    return out


def _uniform(head: bytes, count: int, limit: int) -> NDArray[np.int32]:
    """The first ``count`` words of a stream that are below a multiple of the range's size."""
    size = 2 * limit + 1
    accept = (1 << 32) // size * size
    words, drawn = np.empty(0, dtype=np.uint32), count
    while len(words) < count:
        drawn += drawn // 64 + 64
        sponge = hashlib.shake_128(b"veracity start v3" + head)
        words = np.frombuffer(sponge.digest(4 * drawn), dtype="<u4").astype(np.uint32, copy=False)
        kept = words <= np.uint32(accept - 1)
        words = words if kept.all() else words[kept]
    return (words[:count] % np.uint32(size)).astype(np.int32) - np.int32(limit)
