"""From a program to the steps of a pass."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from veracity.engine.api import Engine
from veracity.graph.program import Program
from veracity.mpc.cost import Cost
from veracity.mpc.mode import Same
from veracity.mpc.shuffled.attention import Attend
from veracity.mpc.shuffled.ops import RULES
from veracity.mpc.shuffled.role import TAGS_PER_STEP, Shape, Step
from veracity.mpc.shuffled.values import Values

__all__ = ["Plan", "compile_plan", "plan_of"]


@dataclass(frozen=True)
class Plan:
    """What both parties and the dealer run for every pass.

    Attributes
    ----------
    program : Program
        Where it comes from.
    steps : tuple of Step
        In order.
    """

    program: Program
    steps: tuple[Step, ...]

    @property
    def tags(self) -> int:
        """Tags that one pass may use."""
        return len(self.steps) * TAGS_PER_STEP

    def cost(self, shape: Shape) -> Cost:
        """What a pass declares."""
        total = Cost()
        for step in self.steps:
            total += step.cost(shape)
        return total

    def round_trips_per_layer(self, shape: Shape) -> float:
        """Most round trips between the norms of two attention layers.

        Parameters
        ----------
        shape : Shape
            Of the pass.
        """
        counts, messages = [], 0
        for step in self.steps:
            if isinstance(step, Attend):
                counts.append(messages)
                messages = 0
            messages += len(step.messages(shape))
        return max(counts[1:], default=0) / 2


def compile_plan(program: Program, *, homomorphic: bool = False) -> Plan:
    """The steps of a pass of ``program``.

    Parameters
    ----------
    homomorphic : bool
        Whether tokens are chosen by BFV instead of by the dealer's pads.

    Raises
    ------
    UnsupportedModelError
        Where an op stands where a decoder has none, or a value does not fit its ring.
    """
    return Plan(program, Values(program, RULES, homomorphic).compile())


def plan_of(engine: Engine, program: Program, homomorphic: bool) -> Plan:
    """As :func:`compile_plan`, remembered.

    Parameters
    ----------
    engine : Engine
        Of the session.
    program : Program
        Public part of the model.
    homomorphic : bool
        Whether tokens are chosen by BFV instead of by the dealer's pads.
    """
    return _remembered(Same(program, engine), homomorphic)


@lru_cache(maxsize=4)
def _remembered(same: Same, homomorphic: bool) -> Plan:
    return compile_plan(same.program, homomorphic=homomorphic)
