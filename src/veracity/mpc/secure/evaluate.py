"""A pass through a program, op by op: what the dealer, the owner and the user all run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from veracity.errors import UnsupportedModelError
from veracity.graph.ops import Op
from veracity.graph.ops.base import Unsupported
from veracity.graph.program import Program
from veracity.mpc.party import Array
from veracity.mpc.secure.head import reveal
from veracity.mpc.secure.ops import RULES, Rule
from veracity.mpc.secure.role import Role, Secret
from veracity.mpc.secure.values import NO_NOISE, Cache, Values

__all__ = ["Cache", "ForwardPass", "rows_of"]

_GUARDS = {
    op: rule.guard
    for op, rule in RULES.items()
    if isinstance(rule, Rule) and rule.guard is not None
}


class ForwardPass(Values):
    """One pass; parameters as of :class:`~veracity.mpc.secure.values.Values`."""

    def __init__(
        self,
        role: Role,
        program: Program,
        rows: int,
        start: int,
        cache: Cache,
        plain: Mapping[str, NDArray[np.integer]] | None = None,
        tokens: Sequence[int] = (),
        noise: NDArray[np.int64] = NO_NOISE,
    ) -> None:
        super().__init__(role, program, rows, start, cache, plain or {}, tokens, noise, _GUARDS)

    async def run(self) -> Secret:
        """All ops; returns shares of the packed answer (:mod:`.head`)."""
        for op in self.program.ops:
            if op.name not in self.values:
                answer = await rule_of(op).evaluate(self, op)
                if answer is not None:
                    return answer
        raise UnsupportedModelError("program", "no head", "import the model again")

    async def answer(self) -> int | None:
        """All ops, and the token at the user; None elsewhere, and where there is no result."""
        return await reveal(self.role, await self.run())


def rule_of(op: Op) -> Rule:
    """How the mode evaluates an op.

    Raises
    ------
    UnsupportedModelError
    """
    rule = RULES[type(op)]
    if isinstance(rule, Unsupported):
        raise UnsupportedModelError(op.name, type(op).__name__, rule.reason)
    return rule


def rows_of(cache: Cache, count: int) -> Cache:
    """The cache of the first ``count`` positions."""

    def cut(v: Array) -> Array:
        return v[:count]

    return {name: (k.map(cut), v.map(cut)) for name, (k, v) in cache.items()}
