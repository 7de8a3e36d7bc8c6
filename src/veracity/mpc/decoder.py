"""What private inference knows of a program: it is a text decoder."""

from __future__ import annotations

from veracity.graph.ops import OPS, Op
from veracity.graph.ops.base import Unsupported
from veracity.graph.program import Program

__all__ = ["NO_RULES", "context_of", "vocabulary_of"]

#: What a mode says of an op that its table has no rule for.
NO_RULES: dict[type[Op], Unsupported] = {
    op: Unsupported(
        "private inference evaluates text decoders of ops that its modes have rules for"
    )
    for op in OPS.values()
}


def vocabulary_of(program: Program) -> int:
    """Number of tokens."""
    return program.inputs["tokens"].high + 1


def context_of(program: Program) -> int:
    """Most positions."""
    return program.limits["T"]
