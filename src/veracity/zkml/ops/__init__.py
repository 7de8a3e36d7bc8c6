"""One argument per graph op: what it commits to, and the relations that pin its result.

:data:`veracity.zkml.ops.table.RULES` has an entry per op class, ``rule(context, op)``; prover and
verifier call the same function, the verifier with a context without values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any

import numpy as np

from veracity.engine.api import Ints
from veracity.errors import UnsupportedModelError, UsageError
from veracity.graph.ops import Op
from veracity.graph.sampling import Sampling
from veracity.records import record
from veracity.zkml.circuit.builder import Builder
from veracity.zkml.circuit.tensor import Tensor

__all__ = ["Context", "Rule", "along_last", "letters"]


@record
class Context:
    """What an op's argument may know.

    Attributes
    ----------
    builder : Builder
        Where columns and relations go.
    values : dict
        Tensors of all values computed so far, by name.
    inputs : dict
        Integers of public inputs by port.
    outputs : dict
        Integers of public outputs by value.
    sizes : dict
        What the symbols of dims stand for.
    rotated : frozenset of str
        Values that a rotary embedding reads: claims weigh their tokens and features together.
    details : dict or None
        The prover's intermediate integers by op name.
    settled : set
        Values whose public outputs an argument has tied itself.
    sampling : Sampling or None
        How tokens are drawn; None for the greedy choice.
    exponents : mapping
        Exponents of values by op.
    """

    builder: Builder
    values: dict[str, Tensor]
    inputs: Mapping[str, Ints]
    outputs: Mapping[str, Ints]
    sizes: Mapping[str, int]
    rotated: frozenset[str]
    details: dict[str, dict[str, Ints]] | None
    settled: set[str] = field(default_factory=set)
    sampling: Sampling | None = None
    exponents: Mapping[str, int] = field(default_factory=dict)

    def value(self, name: str) -> Tensor:
        """A value computed so far, or an input."""
        if name not in self.values:
            self.values[name] = Tensor.public(self.inputs[name], self.builder.proving)
        return self.values[name]

    def public(self, op: Op, name: str) -> Ints:
        """The integers of an input that must be public.

        Raises
        ------
        UnsupportedModelError
        """
        if name not in self.inputs:
            raise UnsupportedModelError(
                op.name, "a committed input of this op", "state that input in clear"
            )
        return self.inputs[name]

    def answered(self, op: Op, choices: int) -> Ints:
        """The integers of the public output that shows an op; its argument ties them.

        Raises
        ------
        UnsupportedModelError
            Where that output is committed.
        UsageError
            Where one is none of ``choices`` indices.
        """
        if op.name not in self.outputs:
            raise UnsupportedModelError(
                op.name, "a committed output of this op", "state that output in clear"
            )
        found = np.asarray(self.outputs[op.name], dtype=np.int64)
        if found.size and (int(found.min()) < 0 or int(found.max()) >= choices):
            raise UsageError(f"{op.name}: an index that nothing has")
        self.settled.add(op.name)
        return found

    def detail(self, op: str, key: str) -> Ints | None:
        """An intermediate of the prover's execution; None for the verifier."""
        return None if self.details is None else self.details[op][key]


Rule = Callable[[Context, Any], Tensor]


def letters(x: Tensor) -> str:
    """One letter for each axis, for specs of products."""
    return "abcdefgh"[: len(x.dims)]


def along_last(x: Tensor, dims: Sequence[int]) -> Tensor:
    """A vector over the last axis, repeated along all others."""
    for size in reversed(dims[:-1]):
        x = x.broadcast(0, size)
    return x
