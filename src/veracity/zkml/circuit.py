"""The circuit of one execution: everything both sides know before the first message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from veracity.engine.api import Ints
from veracity.graph import Program, Trace
from veracity.graph.ops import Rope
from veracity.zk.columns import ColumnShape
from veracity.zk.projection import LIMBS, ROWS, Sides
from veracity.zkml.builder import Builder
from veracity.zkml.lookups import LookupPlan
from veracity.zkml.ops import Context, find_rule
from veracity.zkml.relations import Layout, group_lookups
from veracity.zkml.tables import unsigned
from veracity.zkml.tensor import Tensor

__all__ = ["Circuit", "build_circuit", "finish_circuit"]


@dataclass(frozen=True)
class Circuit:
    """Everything that both sides know about one execution.

    Attributes
    ----------
    builder : Builder
        Columns and relations (with values for the prover).
    layouts : dict
        Storage of the witness columns by name, in the order they are committed.
    plan : LookupPlan
        Blocks of the lookup argument.
    projection : tuple of Tensor
        Limbs of the projection that bounds all quotients.
    """

    builder: Builder
    layouts: dict[str, Layout]
    plan: LookupPlan
    projection: tuple[Tensor, ...]

    def witness_shapes(self) -> list[ColumnShape]:
        """Columns of the witness, then those that come later, as they are committed."""
        return [*[x.shape for x in self.layouts.values()], *self.plan.columns()]

    def bounded(self) -> list[Sides]:
        """The columns that the projection bounds, as matrices."""
        stacks = self.builder.stacks
        return [x.sides for name, x in self.layouts.items() if stacks[name].bounded]


def build_circuit(
    program: Program,
    tokens: Sequence[int],
    prompt_length: int,
    weights: Mapping[str, Ints] | None = None,
    trace: Trace | None = None,
) -> Circuit:
    """Run every op's argument through a builder.

    Parameters
    ----------
    tokens : sequence of int
        Prompt and answer; the last answer token is not an input.
    weights, trace : optional
        The prover's weights and execution; both or neither.
    """
    dims = {name: tuple(spec.shape) for name, spec in program.weights.items()}
    builder = Builder(dims, weights)
    context = Context(
        builder=builder,
        values={},
        tokens=tuple(tokens[:-1]),
        answer=tuple(tokens[prompt_length:]),
        prompt_length=prompt_length,
        rotated=frozenset(op.x for op in program.ops if isinstance(op, Rope)),
        details=None if trace is None else trace.details,
    )
    for op in program.ops:
        context.values[op.name] = find_rule(op)(context, op)
    return finish_circuit(builder)


def finish_circuit(builder: Builder) -> Circuit:
    """The circuit of what a builder has collected, and the projection that bounds its quotients."""
    projection = tuple(builder.later("projection", (ROWS, ROWS)) for _ in range(LIMBS))
    for limb in projection:
        builder.lookup("projection", unsigned(16), limb)
    layouts = {name: Layout.of(stack) for name, stack in builder.stacks.items()}
    return Circuit(builder, layouts, LookupPlan.of(group_lookups(builder)), projection)
