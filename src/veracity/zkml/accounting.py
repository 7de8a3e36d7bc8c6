"""What a proof will cost, from public shapes alone: lookups, committed values, bytes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from math import prod

from veracity.engine.api import POINT_BYTES, SCALAR_BYTES
from veracity.graph import Program
from veracity.zk.mle import axis_bits, variables
from veracity.zkml.circuit import Circuit, Received, build_circuit, run_rules
from veracity.zkml.lookups import LookupPlan
from veracity.zkml.model import choose_log_columns, weight_shapes
from veracity.zkml.products import inner_dims
from veracity.zkml.relations import gather_tensors, group_lookups, weight_column
from veracity.zkml.segments import segments_of
from veracity.zkml.statement import Execution
from veracity.zkml.tensor import ProductSource, Tensor

__all__ = ["Costs", "OpCosts", "count", "count_ops", "count_segments", "model_rows"]


@dataclass(frozen=True)
class OpCosts:
    """Counts of one op: lookups, committed values, entries of its product tables."""

    name: str
    kind: str
    lookups: int
    values: int
    products: int


@dataclass(frozen=True)
class Costs:
    """Counts of one segment, or sums over several.

    Attributes
    ----------
    weights, lookups, committed_values, product_values : int
        Entries of the weights read; lookups made; values of the witness; entries of all product
        tables.
    witness_rows : int
        Row commitments in the proof.
    hidden_values : int
        Slots of hidden messages.
    proof_bytes : int
        Exact size.
    """

    weights: int
    lookups: int
    committed_values: int
    product_values: int
    witness_rows: int
    hidden_values: int
    proof_bytes: int

    @staticmethod
    def sum(parts: Iterable[Costs]) -> Costs:
        """Sums of all counts."""
        found = list(parts)
        return Costs(*[sum(getattr(c, f.name) for c in found) for f in fields(Costs)])


def count(execution: Execution, log_columns: int | None = None) -> Costs:
    """Count the costs of proving one answer.

    Only the number of tokens matters, so any valid ids will do.
    """
    return Costs.sum(count_segments(execution, log_columns))


def count_segments(execution: Execution, log_columns: int | None = None) -> list[Costs]:
    """The same, segment by segment."""
    log_columns = choose_log_columns(execution.program) if log_columns is None else log_columns
    out = []
    received: Received | None = None
    for segment in execution.segments:
        circuit = build_circuit(execution, segment, received)
        out.append(_count(execution.program, circuit, log_columns))
        received = circuit.handed
    return out


def _count(program: Program, circuit: Circuit, log_columns: int) -> Costs:
    shapes = circuit.witness_shapes()
    rows = sum(s.layout(log_columns).rows for s in shapes)
    leaves = circuit.plan.placement().variables
    products = _product_dims(circuit.relations)
    product_rounds = max((variables(d) for d in products), default=0)
    names = {weight_column(name) for name in circuit.weights}
    weights = [s for s in weight_shapes(program) if s.name in names]
    columns = [*[x.shape for x in circuit.layouts.values()], *circuit.plan.columns(), *weights]
    evaluation_rounds = max(s.variables for s in columns)
    gates = 1 + 3 * leaves + len(products)
    lookup_rounds = leaves * (leaves - 1) // 2
    messages = 1 + lookup_rounds + leaves + product_rounds + 2 + evaluation_rounds + 1
    hidden = 2 + 3 * lookup_rounds + 4 * leaves + 1 + 3 * product_rounds + 2 * len(products)
    hidden += 3 * evaluation_rounds + 3 * gates
    opening = 3 * POINT_BYTES + (5 + 4 * axis_bits(gates) + 2 + 1) * SCALAR_BYTES
    opening += 2 * POINT_BYTES * axis_bits((1 << log_columns) + hidden)
    return Costs(
        weights=sum(prod(s.dims) for s in weights),
        lookups=circuit.plan.count(),
        committed_values=sum(prod(s.dims) for s in shapes),
        product_values=sum(prod(d) for d in products),
        witness_rows=rows,
        hidden_values=hidden,
        proof_bytes=(rows + messages) * POINT_BYTES + opening,
    )


def count_ops(execution: Execution) -> list[OpCosts]:
    """What each op, on its own, adds to a proof in one segment."""
    out = []
    (segment,) = segments_of(execution.program, ())
    lookups = zeros = values = 0
    for op, context in run_rules(execution, segment):
        builder = context.builder
        plan = LookupPlan.of(group_lookups(builder.lookups[lookups:]))
        products = _product_dims(gather_tensors(plan.groups, builder.zeros[zeros:]))
        committed = sum(x.count * prod(x.dims) for x in builder.stacks.values())
        if op is not None:
            out.append(
                OpCosts(
                    op.name,
                    type(op).__name__,
                    plan.count(),
                    committed - values,
                    sum(prod(d) for d in products),
                )
            )
        lookups, zeros, values = len(builder.lookups), len(builder.zeros), committed
    return out


def _product_dims(relations: Sequence[Sequence[Tensor]]) -> list[tuple[int, ...]]:
    """Dims of the inner product of every product term."""
    out = []
    for tensors in relations:
        forms: dict[object, set[ProductSource]] = {}
        for source in (s for t in tensors for s, _ in t.terms):
            if isinstance(source, ProductSource):
                form = (source.spec, source.a.dims, source.b.dims)
                forms.setdefault(form, set()).add(source)
        out += [inner_dims(list(uses)) for uses in forms.values()]
    return out


def model_rows(program: Program, log_columns: int | None = None) -> int:
    """Row commitments of a model."""
    log_columns = choose_log_columns(program) if log_columns is None else log_columns
    return sum(s.layout(log_columns).rows for s in weight_shapes(program))
