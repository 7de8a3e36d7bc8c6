"""The circuit of an execution: everything both sides know before the first message."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from veracity.engine.api import Ints
from veracity.errors import UnsupportedModelError
from veracity.graph import Trace
from veracity.graph.ops import Op, Rope
from veracity.zk.columns import ColumnShape
from veracity.zk.projection import LIMBS, ROWS, Sides
from veracity.zkml.builder import Builder
from veracity.zkml.lookups import LookupPlan
from veracity.zkml.ops import Context, find_rule
from veracity.zkml.relations import Layout, gather_tensors, group_lookups
from veracity.zkml.segments import Segment
from veracity.zkml.statement import Execution
from veracity.zkml.tables import unsigned
from veracity.zkml.tensor import ProductSource, Tensor, WeightSource

__all__ = ["Circuit", "Received", "build_circuit", "finish_circuit", "run_rules"]


@dataclass(frozen=True)
class Received:
    """Shape of a value that crosses a cut, and a bound of its magnitude."""

    dims: tuple[int, ...]
    bound: int


@dataclass(frozen=True)
class Circuit:
    """Everything that both sides know about the execution of one segment.

    Attributes
    ----------
    builder : Builder
        Columns and relations (with values for the prover).
    layouts : dict
        Storage of the columns by name, in the order they are committed.
    plan : LookupPlan
        Blocks of the lookup argument.
    projection : tuple of Tensor
        Limbs of the projection that bounds all quotients.
    handed : Received or None
        What the next segment receives.
    crossing : str or None
        Name of the column that carries it.
    """

    builder: Builder
    layouts: dict[str, Layout]
    plan: LookupPlan
    projection: tuple[Tensor, ...]
    handed: Received | None = None
    crossing: str | None = None

    @property
    def own(self) -> dict[str, Layout]:
        """Layouts of the columns that this segment commits to."""
        stacks = self.builder.stacks
        return {n: x for n, x in self.layouts.items() if stacks[n].received is None}

    @property
    def relations(self) -> list[list[Tensor]]:
        """The tensors in relations, by relations of equal form."""
        return gather_tensors(self.plan.groups, self.builder.zeros)

    @property
    def weights(self) -> frozenset[str]:
        """Names of the weights that the relations read."""
        found: set[str] = set()
        waiting = [t for tensors in self.relations for t in tensors]
        while waiting:
            for source, _ in waiting.pop().terms:
                if isinstance(source, WeightSource):
                    found.add(source.name)
                elif isinstance(source, ProductSource):
                    waiting += [source.a, source.b]
        return frozenset(found)

    def witness_shapes(self) -> list[ColumnShape]:
        """Columns of the witness, then those that come later, as they are committed."""
        return [*[x.shape for x in self.own.values()], *self.plan.columns()]

    def bounded(self) -> list[Sides]:
        """The columns that the projection bounds, as matrices."""
        stacks = self.builder.stacks
        return [x.sides for name, x in self.layouts.items() if stacks[name].bounded]


def run_rules(
    execution: Execution,
    segment: Segment,
    received: Received | None = None,
    weights: Mapping[str, Ints] | None = None,
    trace: Trace | None = None,
) -> Iterator[tuple[Op | None, Context]]:
    """Run the argument of one op after the other through a builder; yields after each.

    The last step, without an op, is the value that the segment hands over.
    """
    program, tokens, p = execution.program, execution.tokens, execution.prompt_length
    dims = {name: tuple(spec.shape) for name, spec in program.weights.items()}
    builder = Builder(dims, weights)
    context = Context(
        builder=builder,
        values={},
        tokens=tuple(tokens[:-1]),
        answer=tuple(tokens[p:]),
        prompt_length=p,
        rotated=frozenset(op.x for op in program.ops if isinstance(op, Rope)),
        details=None if trace is None else trace.details,
    )
    if segment.reads is not None and received is not None:
        value = None if trace is None else trace.values[segment.reads]
        context.values[segment.reads] = builder.receive(
            segment.reads, received.dims, received.bound, value
        )
    for op in program.ops[segment.start : segment.stop]:
        context.values[op.name] = find_rule(op)(context, op)
        yield op, context
    if segment.writes is not None:
        builder.hand_over(segment.writes, context.values[segment.writes])
    yield None, context


def build_circuit(
    execution: Execution,
    segment: Segment,
    received: Received | None = None,
    weights: Mapping[str, Ints] | None = None,
    trace: Trace | None = None,
) -> Circuit:
    """The circuit of one segment.

    Parameters
    ----------
    received : Received, optional
        What it receives, where it receives something.
    weights, trace : optional
        The prover's weights and execution of the segment; both or neither.

    Raises
    ------
    UnsupportedModelError
        Where an op has no argument, or a value that crosses a cut has no bound.
    """
    *_, (_, context) = run_rules(execution, segment, received, weights, trace)
    circuit = finish_circuit(context.builder)
    if segment.writes is None:
        return circuit
    value = context.values[segment.writes]
    bound = context.builder.bound(value)
    if bound is None:
        raise UnsupportedModelError(segment.writes, "a cut", "cut at a sum of results")
    crossing = context.builder.crossing(segment.writes, value.dims)
    return replace(circuit, handed=Received(value.dims, bound), crossing=crossing)


def finish_circuit(builder: Builder) -> Circuit:
    """The circuit of what a builder has collected, and the projection that bounds its quotients."""
    projection = tuple(builder.later("projection", (ROWS, ROWS)) for _ in range(LIMBS))
    for limb in projection:
        builder.lookup("projection", unsigned(16), limb)
    layouts = {name: Layout.of(stack) for name, stack in builder.stacks.items()}
    return Circuit(builder, layouts, LookupPlan.of(group_lookups(builder.lookups)), projection)
