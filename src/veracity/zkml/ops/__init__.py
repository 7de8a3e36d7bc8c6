"""One argument per graph op: what it commits to, and the relations that pin its result.

``rule(context, op)`` is registered per op class; prover and verifier call the same function, the
verifier with a context without values.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from veracity.engine.api import Ints
from veracity.errors import UnsupportedModelError
from veracity.zkml.circuit.builder import Builder
from veracity.zkml.circuit.tensor import Tensor

__all__ = ["Context", "Rule", "find_rule", "rule", "rules"]


@dataclass(frozen=True)
class Context:
    """What an op's argument may know.

    Attributes
    ----------
    builder : Builder
        Where columns and relations go.
    values : dict
        Tensors of all values computed so far, by name.
    tokens : tuple of int
        Input tokens, public, (T,).
    answer : tuple of int
        Answer tokens, public.
    prompt_length : int
        P; head rows are ``P-1 .. T-1``.
    rotated : frozenset of str
        Values that a rotary embedding reads: claims weigh their tokens and features together.
    details : dict or None
        The prover's intermediate integers by op name.
    """

    builder: Builder
    values: dict[str, Tensor]
    tokens: tuple[int, ...]
    answer: tuple[int, ...]
    prompt_length: int
    rotated: frozenset[str]
    details: dict[str, dict[str, Ints]] | None

    def detail(self, op: str, key: str) -> Ints | None:
        """An intermediate of the prover's execution; None for the verifier."""
        return None if self.details is None else self.details[op][key]


Rule = Callable[[Context, Any], Tensor]
_RULES: dict[type, Rule] = {}


def rule(op_class: type) -> Callable[[Rule], Rule]:
    """Register the argument of an op class."""

    def register(function: Rule) -> Rule:
        _RULES[op_class] = function
        return function

    return register


def rules() -> dict[type, Rule]:
    """All registered arguments, by op class."""
    from veracity.zkml.ops import attention, head, linear, norm, pointwise  # noqa: F401

    return dict(_RULES)


def find_rule(op: Any) -> Rule:
    """The argument of an op."""
    found = rules().get(type(op))
    if found is None:
        raise UnsupportedModelError(
            getattr(op, "name", "?"), type(op).__name__, "it has no argument in zkml/ops yet"
        )
    return found
