"""The table of arguments: one entry per op class, a rule or the reason why there is none."""

from __future__ import annotations

from veracity.graph.ops import (
    Add,
    Attention,
    Clamp,
    Combine,
    Contract,
    Embed,
    Function,
    Gain,
    Head,
    Linear,
    MaxPool,
    Mul,
    Norm,
    Op,
    Positions,
    Rescale,
    Reshape,
    Rope,
    Top,
)
from veracity.graph.ops.base import Unsupported
from veracity.zkml.ops import Rule
from veracity.zkml.ops.attention import attention
from veracity.zkml.ops.contract import combine, contract, reshape
from veracity.zkml.ops.extrema import clamp, max_pool, top
from veracity.zkml.ops.head import head
from veracity.zkml.ops.linear import add, embed, linear, positions, rescale
from veracity.zkml.ops.norm import norm
from veracity.zkml.ops.pointwise import apply_function, gain, multiply, rope

__all__ = ["RULES"]

RULES: dict[type[Op], Rule | Unsupported] = {
    Embed: embed,
    Positions: positions,
    Linear: linear,
    Gain: gain,
    Contract: contract,
    Combine: combine,
    Reshape: reshape,
    MaxPool: max_pool,
    Clamp: clamp,
    Top: top,
    Add: add,
    Rescale: rescale,
    Mul: multiply,
    Function: apply_function,
    Norm: norm,
    Rope: rope,
    Attention: attention,
    Head: head,
}
