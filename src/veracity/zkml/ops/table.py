"""The table of arguments: one entry per op class, a rule or the reason why there is none."""

from __future__ import annotations

from veracity.errors import UnsupportedModelError
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

__all__ = ["RULES", "find_rule"]

_FAMILIES = (linear, contract, pointwise, extrema, norm, logarithm, softmax, attention, head)

RULES: dict[type[Op], Rule | Unsupported] = {
    op: rule for family in _FAMILIES for op, rule in family.RULES.items()
}


def find_rule(op: Op) -> Rule:
    """The argument of an op.

    Raises
    ------
    UnsupportedModelError
        Where there is none; with the reason of the table's entry.
    """
    found = RULES.get(type(op), Unsupported("write its argument in zkml/ops"))
    if isinstance(found, Unsupported):
        raise UnsupportedModelError(op.name, type(op).__name__, found.reason)
    return found
