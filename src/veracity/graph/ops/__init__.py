"""The closed set of ops; their meaning is in :mod:`veracity.graph.evaluate`."""

from __future__ import annotations

from veracity.graph.ops.description import (
    OPS,
    Add,
    Attention,
    Embed,
    Function,
    Gain,
    Head,
    Linear,
    Mul,
    Norm,
    Op,
    Positions,
    Rescale,
    Rope,
)
from veracity.graph.ops.rotary import rope_tables

__all__ = [
    "OPS",
    "Add",
    "Attention",
    "Embed",
    "Function",
    "Gain",
    "Head",
    "Linear",
    "Mul",
    "Norm",
    "Op",
    "Positions",
    "Rescale",
    "Rope",
    "rope_tables",
]
