"""The table of arguments: one entry per op class, a rule or the reason why there is none."""

from __future__ import annotations

from veracity.graph.ops import Op
from veracity.graph.ops.base import Unsupported
from veracity.zkml.ops import (
    Rule,
    attention,
    contract,
    extrema,
    head,
    linear,
    logarithm,
    norm,
    pointwise,
    softmax,
)

__all__ = ["RULES"]

_FAMILIES = (linear, contract, pointwise, extrema, norm, logarithm, softmax, attention, head)

RULES: dict[type[Op], Rule | Unsupported] = {
    op: rule for family in _FAMILIES for op, rule in family.RULES.items()
}
