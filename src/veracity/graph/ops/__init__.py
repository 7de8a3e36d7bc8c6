"""The closed set of ops: a family of them per file, one row per op in the registry."""

from __future__ import annotations

from typing import Any

from veracity.graph.ops import (
    attention,
    contract,
    embedding,
    extrema,
    head,
    linear,
    logarithm,
    norm,
    pointwise,
    rotary,
)
from veracity.graph.ops.attention import AdjustedAttention, Attention, Softmax
from veracity.graph.ops.base import Op, OpRule
from veracity.graph.ops.contract import Combine, Contract, Operand, Product, Reshape
from veracity.graph.ops.embedding import Embed, Positions
from veracity.graph.ops.extrema import Clamp, MaxPool, Top
from veracity.graph.ops.head import Head, HeadWithBias
from veracity.graph.ops.linear import Gain, Linear
from veracity.graph.ops.logarithm import Log2
from veracity.graph.ops.norm import HeadNorm, Norm, Rsqrt
from veracity.graph.ops.pointwise import Add, Function, Mul, Rescale
from veracity.graph.ops.rotary import Rope, Rotation, rope_tables

__all__ = [
    "OPS",
    "RULES",
    "Add",
    "AdjustedAttention",
    "Attention",
    "Clamp",
    "Combine",
    "Contract",
    "Embed",
    "Function",
    "Gain",
    "Head",
    "HeadNorm",
    "HeadWithBias",
    "Linear",
    "Log2",
    "MaxPool",
    "Mul",
    "Norm",
    "Op",
    "OpRule",
    "Operand",
    "Positions",
    "Product",
    "Rescale",
    "Reshape",
    "Rope",
    "Rotation",
    "Rsqrt",
    "Softmax",
    "Top",
    "rope_tables",
]

_FAMILIES = (
    embedding,
    linear,
    contract,
    pointwise,
    extrema,
    norm,
    logarithm,
    rotary,
    attention,
    head,
)

#: The registry: shape rule, magnitude rule and integer meaning of every op.
RULES: dict[type[Any], OpRule] = {
    op: rule for family in _FAMILIES for op, rule in family.RULES.items()
}

#: All ops by name.
OPS: dict[str, type[Op]] = {op.__name__: op for op in RULES}
