"""The first weights of a run as whoever verifies computes them: rows, and never the weights.

They are drawn in the order in which they are committed, so rows are made from one block after
the other. Memory is that of some rows, however many weights there are; how many is known from
the rows of a proof that has been read.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from veracity.engine.api import POINT_BYTES, Engine
from veracity.graph.training import Recipe
from veracity.graph.training.start import BLOCK, START_BITS, start_blocks
from veracity.zk.committed import RowLayout
from veracity.zk.keys import CommitmentKey
from veracity.zk.mle import ones
from veracity.zkml.committed import CommittedTensor
from veracity.zkml.training.state import start_id, weight_specs

__all__ = ["start_rows"]


def start_rows(
    engine: Engine, key: CommitmentKey, recipe: Recipe, seed: bytes
) -> dict[str, CommittedTensor]:
    """Rows, without blinds, of the weights that a public seed gives.

    Parameters
    ----------
    engine, key : Engine, CommitmentKey
        Backend and generators.
    recipe : Recipe
        Shapes and scales.
    seed : bytes
        32 bytes.
    """
    specs, out = weight_specs(recipe), {}
    for layer in range(recipe.layers):
        name, bias = recipe.weight_name(layer), recipe.bias_name(layer)
        layout = specs[name].shape(start_id(name)).layout(key.log_columns)
        scale, parts = 1 << (recipe.weight_bits(layer) - START_BITS), []
        for rows in _matrices(layout, start_blocks(recipe, seed, layer)):
            # short integers at the scale of a start are committed to faster than long ones
            points = engine.commit_rows(rows, layout.index, key.columns)
            by = engine.scale(ones(engine, len(rows)), scale)
            parts.append(engine.compress(engine.scale_points(points, by)))
        out[name] = CommittedTensor(specs[name], b"".join(parts))
        out[bias] = CommittedTensor(specs[bias], bytes(specs[bias].rows * POINT_BYTES))
    return {name: out[name] for name in specs}


def _matrices(
    layout: RowLayout, blocks: Iterator[NDArray[np.int32]]
) -> Iterator[NDArray[np.int32]]:
    """The rows of an array that comes in blocks, some at a time: as ``layout.matrix`` has them."""
    *_, groups = layout.row_dims
    inner = layout.width // layout.block
    last = layout.dims[len(layout.row_dims) - 1] - (groups - 1) * layout.block
    some = max(1, BLOCK // layout.width)
    held, at = np.empty(0, dtype=np.int32), 0
    for first in range(0, layout.rows, some):
        count = min(some, layout.rows - first)
        out = np.zeros((count, layout.width), dtype=np.int32)
        for i in range(count):
            short = (first + i + 1) % groups == 0
            size = last * inner if short else layout.width
            while len(held) - at < size:
                held, at = np.concatenate([held[at:], next(blocks)]), 0
            out[i, :size] = held[at : at + size]
            at += size
        yield out
