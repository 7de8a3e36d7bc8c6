"""What private inference knows of a program: it is a text decoder."""

from __future__ import annotations

from veracity.graph.program import Program

__all__ = ["context_of", "vocabulary_of"]


def vocabulary_of(program: Program) -> int:
    """Number of tokens."""
    return program.inputs["tokens"].high + 1


def context_of(program: Program) -> int:
    """Most positions."""
    return program.limits["T"]
