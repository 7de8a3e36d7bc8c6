"""The circuit of one link of a chain: everything both sides know before the first message."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod

from veracity.engine.api import Integers, Ints
from veracity.errors import UsageError
from veracity.graph import Program, Trace
from veracity.graph.ops import Op
from veracity.graph.port import Port
from veracity.records import record
from veracity.zk.committed import ArrayId, ArrayShape, count_rows
from veracity.zk.keys import MAX_LOG_COLUMNS
from veracity.zk.mle import variables
from veracity.zk.projection import LIMBS, ROWS, Sides
from veracity.zkml.circuit.builder import Builder
from veracity.zkml.circuit.declared import Batch, Given, boundary_id, port_id, weight_id
from veracity.zkml.circuit.lookups import LookupPlan
from veracity.zkml.circuit.relations import Layout, gather_tensors, group_lookups
from veracity.zkml.circuit.tables import between, unsigned
from veracity.zkml.circuit.tensor import ArraySource, ProductSource, Tensor, UpdatedSource
from veracity.zkml.links import Link
from veracity.zkml.model import SHORT_ROWS
from veracity.zkml.ops import Context
from veracity.zkml.ops.pointwise import rotated_values
from veracity.zkml.ops.table import find_rule
from veracity.zkml.statement import Execution

__all__ = [
    "FEWEST_LONG_ROWS",
    "MANY_ROWS",
    "Circuit",
    "build_circuit",
    "finish_circuit",
    "run_rules",
]

#: Rows of a witness beyond which they are made longer: so many, and with padding so many for each
#: generator of the model's key or of 2^12, as a larger model's proof takes more time and bytes.
MANY_ROWS, ROW_SHARE = 1024, 3 / 32
#: How often an entry counts at most with its padding.
MOST_PADDING = 4
#: Most rows and columns of all matrices that a circuit's projection bounds. For each 128 bits are
#: drawn and kept in 128 bytes, though a file may have 32 bytes for 2^18 of them.
MOST_SIDES = 1 << 26
#: A witness whose rows are longer than the model's has at least so many.
FEWEST_LONG_ROWS = int(ROW_SHARE * (1 << SHORT_ROWS) / MOST_PADDING / 2)


@record
class Circuit:
    """Everything that both sides know about the execution of one link.

    Attributes
    ----------
    builder : Builder
        Arrays and relations (with values for the prover).
    layouts : dict
        Storage of all arrays that relations read: those given, then those of this circuit in the
        order in which they are committed.
    plan : LookupPlan
        Blocks of the lookup argument.
    projection : tuple of Tensor
        Limbs of the projection that bounds all quotients.
    row_bits : int or None
        Logarithm of the row length of its own arrays; None where that is its caller's to say.
    """

    builder: Builder
    layouts: dict[ArrayId, Layout]
    plan: LookupPlan
    projection: tuple[Tensor, ...]
    row_bits: int | None = None

    @property
    def own(self) -> dict[ArrayId, Layout]:
        """Layouts of the arrays that are committed to within the circuit's transcript."""
        batches = self.builder.batches
        return {n: x for n, x in self.layouts.items() if n in batches and batches[n].spec is None}

    @property
    def relations(self) -> list[list[Tensor]]:
        """The tensors in relations, by relations of equal form."""
        return gather_tensors(self.plan.groups, self.builder.zeros)

    def witness_shapes(self) -> list[ArrayShape]:
        """Arrays of the witness, then those that come later, as they are committed."""
        return [*[x.shape for x in self.own.values()], *self.plan.arrays()]

    def shapes(self) -> dict[ArrayId, ArrayShape]:
        """Shapes of all arrays that claims may be about."""
        found = {name: layout.shape for name, layout in self.layouts.items()}
        return found | {shape.id: shape for shape in self.plan.arrays()}

    def bounded(self) -> list[Sides]:
        """The arrays that the projection bounds, as matrices."""
        batches, given = self.builder.batches, self.builder.given
        return [
            x.sides
            for name, x in self.layouts.items()
            if (batches[name].bounded if name in batches else given[name].bounded)
        ]

    @property
    def sides(self) -> int:
        """Rows and columns of all those matrices: what drawing the projection takes."""
        return sum(sides.outer + sides.inner for sides in self.bounded())


def run_rules(
    execution: Execution,
    link: Link,
    given: Mapping[ArrayId, Given],
    trace: Trace | None = None,
    integers: Integers | None = None,
) -> Iterator[tuple[Op | None, Context]]:
    """Run the argument of one op after the other through a builder; yields after each.

    The last step, without an op, are the values that the link hands over.

    Parameters
    ----------
    execution : Execution
        Program and public ports.
    link : Link
        Which ops, what they receive and hand over.
    given : mapping
        Weights and received tensors.
    trace : Trace, optional
        The prover's execution of the link.
    integers : Integers, optional
        The prover's engine for integers; NumPy computes where not given.
    """
    program = execution.program
    builder = Builder(given, trace is not None, integers)
    context = Context(
        builder=builder,
        values={},
        inputs=execution.public_inputs(),
        outputs=execution.public_outputs(),
        sizes=execution.sizes,
        rotated=rotated_values(program.ops),
        details=None if trace is None else trace.details,
        sampling=execution.sampling,
        exponents=program.exponents,
    )
    for name in execution.inputs:
        if name not in context.inputs and port_id(name) in builder.given:
            context.values[name] = builder.array(port_id(name))
            if link.start <= _first_reader(program, name) < link.stop:
                show_range(builder, f"input {name}", context.values[name], program.inputs[name])
    for name in link.receives:
        context.values[name] = builder.array(boundary_id(name))
    sealed = {o.value: n for n, o in program.outputs.items() if o.value not in context.outputs}
    for op in program.ops[link.start : link.stop]:
        context.values[op.name] = find_rule(op)(context, op)
        if op.name in context.outputs and op.name not in context.settled:
            public = Tensor.public(context.outputs[op.name], builder.proving)
            builder.zero(context.values[op.name] - public)
        if op.name in sealed:
            name = sealed[op.name]
            show_range(builder, f"output {name}", context.values[op.name], program.outputs[name])
        yield op, context
    for name in link.hands:
        builder.hand_over(boundary_id(name), execution.boundary_spec(name), context.values[name])
    yield None, context


def _first_reader(program: Program, name: str) -> int:
    """The index of the first op that reads an input; -1 where none does."""
    return next((i for i, op in enumerate(program.ops) if name in op.inputs()), -1)


def show_range(builder: Builder, what: str, x: Tensor, port: Port) -> None:
    """To be shown: every entry of a committed port lies in the port's range, exactly.

    A public port is compared by who verifies; of a committed one nobody sees the entries, and what
    a proof hands over another takes as given.

    Parameters
    ----------
    builder : Builder
        Where the relations go.
    what : str
        The port, for errors.
    x : Tensor
        Its values.
    port : Port
        Its range.
    """
    size = port.high - port.low + 1
    if size == 1:
        builder.zero(x - port.low)
        return
    if size == 1 << 16:
        builder.lookup(what, unsigned(16), x - port.low)
        return
    if size < 1 << 16:
        builder.lookup(what, between(port.low, port.high), x)
        return
    limbs = -(-(size - 1).bit_length() // 16)
    for side, gap in (("above", x - port.low), ("below", x * -1 + port.high)):
        parts = builder.limbs(what, f"port.{side}", x.dims, gap.value, limbs)
        builder.zero(parts - gap)


def build_circuit(
    execution: Execution,
    link: Link,
    weights: Mapping[str, Ints] | None = None,
    trace: Trace | None = None,
    integers: Integers | None = None,
) -> Circuit:
    """The circuit of one link.

    Parameters
    ----------
    execution : Execution
        Program and public ports.
    link : Link
        Which part of it.
    weights, trace : optional
        The prover's weights and execution of the link; both or neither.
    integers : Integers, optional
        The prover's engine for integers; NumPy computes where not given.

    Raises
    ------
    UnsupportedModelError
        Where an op has no argument.
    """
    known = {} if trace is None else trace.values
    given = {
        boundary_id(name): Given(execution.boundary_spec(name), known.get(name))
        for name in link.receives
    }
    read = {n for op in execution.program.ops[link.start : link.stop] for n in op.inputs()}
    sealed = set(execution.inputs) & read - set(execution.public_inputs())
    for name in sorted(sealed):  # the order decides how the projection is drawn
        spec = execution.port_spec(name)
        given[port_id(name)] = Given(spec, known.get(name), bounded=True)
    for name in execution.program.weights:
        value = None if weights is None else weights[name]
        given[weight_id(name)] = Given(execution.weight_spec(name), value)
    *_, (_, context) = run_rules(execution, link, given, trace, integers)
    return finish_circuit(context.builder, execution.log_columns)


def finish_circuit(builder: Builder, least: int | None = None) -> Circuit:
    """The circuit of what a builder has collected, and the projection that bounds its quotients.

    Parameters
    ----------
    builder : Builder
        Arrays and relations.
    least : int, optional
        Logarithm of the row length of what was committed before, where that of the witness is to
        be chosen.
    """
    projection = tuple(builder.later("projection", (ROWS, ROWS)) for _ in range(LIMBS))
    for limb in projection:
        builder.lookup("projection", unsigned(16), limb)
    plan = LookupPlan.of(group_lookups(builder.lookups))
    read = _arrays_of(gather_tensors(plan.groups, builder.zeros))
    given = {n: g for n, g in builder.given.items() if n in read or g.bounded}
    layouts = {n: Layout.alone(n, g.spec, g.stacked) for n, g in given.items()}
    own, bits = [b for b in builder.batches.values() if b.spec is None], None
    if least is not None:
        bits = _row_bits(own, plan, least)
    layouts |= {name: Layout.of(batch, bits) for name, batch in builder.batches.items()}
    circuit = Circuit(builder, layouts, plan, projection, bits)
    if circuit.sides > MOST_SIDES:
        raise UsageError("arrays are too long, however they are laid out; prove less at a time")
    return circuit


def _row_bits(own: Sequence[Batch], plan: LookupPlan, least: int) -> int:
    """Logarithm of the row length of a witness: long enough that it has not many rows.

    A row is 32 bytes of a proof and a point that its verifier decompresses; a generator is one
    that both sides fold at the end, once, whatever the number of rows. With their padding entries
    double where a length passes a power of two, and lookups send more there, too: if rows become
    longer there rather than between, no token makes a proof much longer.
    """
    values = sum(b.count * prod(b.dims) for b in own)
    padded = min(sum(b.count << variables(b.dims) for b in own), MOST_PADDING * values)
    bits, most = least, ROW_SHARE * (1 << max(least, SHORT_ROWS))

    def rows() -> int:
        shapes = [*[Layout.of(b, bits).shape for b in own], *plan.arrays()]
        return sum(count_rows(shape.dims, bits) for shape in shapes)

    while bits < MAX_LOG_COLUMNS and (
        padded > most * (1 << bits) or values > MANY_ROWS << bits or rows() > MANY_ROWS
    ):
        bits += 1
    return bits


def _arrays_of(relations: list[list[Tensor]]) -> frozenset[ArrayId]:
    """Names of the arrays that relations read, but for those of a witness."""
    found: set[ArrayId] = set()
    seen: set[int] = set()  # by identity: relations share their operands
    followed: dict[int, int] = {}  # updates of a tensor, of which later uses have all earlier ones
    waiting = [t for tensors in relations for t in tensors]
    while waiting:
        tensor = waiting.pop()
        if id(tensor) in seen:
            continue
        seen.add(id(tensor))
        for source, _ in tensor.terms:
            if type(source) is ArraySource:  # nearly all are, and of a witness
                if source.id.kind != "witness":
                    found.add(source.id)
            elif isinstance(source, ProductSource):
                waiting += (source.a, source.b)
            elif isinstance(source, UpdatedSource):
                updates, before = source.updates, followed.get(id(source.updates), 0)
                waiting += [updates.base, *updates.steps[before : source.count]]
                followed[id(updates)] = max(before, source.count)
    return frozenset(found)
