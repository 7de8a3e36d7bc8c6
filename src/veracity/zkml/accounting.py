"""What a proof will cost, from public shapes alone: lookups, committed values, bytes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from math import prod
from typing import cast

from veracity.engine.api import POINT_BYTES, Engine
from veracity.graph import Program
from veracity.records import record
from veracity.zk.counting import CountingTranscript, Shape, ShapeEngine, shape_key
from veracity.zkml.argument import verify_circuit
from veracity.zkml.circuit.build import Circuit, build_circuit, run_rules
from veracity.zkml.circuit.declared import Given, weight_id
from veracity.zkml.circuit.lookups import LookupPlan
from veracity.zkml.circuit.products import inner_dims
from veracity.zkml.circuit.relations import gather_tensors, group_lookups
from veracity.zkml.circuit.tensor import ProductSource, Tensor
from veracity.zkml.links import Link, links_of
from veracity.zkml.model import choose_log_columns, weight_specs
from veracity.zkml.statement import Execution

__all__ = ["Costs", "OpCosts", "count", "count_circuit", "count_links", "count_ops", "model_rows"]


@record
class OpCosts:
    """Counts of one op: lookups, committed values, entries of its product tables."""

    name: str
    kind: str
    lookups: int
    values: int
    products: int


@record
class Costs:
    """Counts of one link, or sums over several.

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
    received_values : int
        Values of the tensors that links before hand over to this one.
    generators : int
        Entries of the longest row.
    table_entries : int
        Entries of all tables that are looked up in, leaves of the argument beside the lookups.
    """

    weights: int
    lookups: int
    committed_values: int
    product_values: int
    witness_rows: int
    hidden_values: int
    proof_bytes: int
    received_values: int = 0
    generators: int = 0
    table_entries: int = 0

    @staticmethod
    def sum(parts: Iterable[Costs]) -> Costs:
        """Sums of all counts."""
        found = list(parts)
        return Costs(*[sum(getattr(c, f.name) for c in found) for f in fields(Costs)])


def count(execution: Execution) -> Costs:
    """Count the costs of proving one answer.

    Only sizes matter, so any valid values will do.
    """
    return Costs.sum(count_links(execution))


def count_links(execution: Execution) -> list[Costs]:
    """The same, link by link."""
    return [_count(execution, build_circuit(execution, link), link) for link in execution.links]


def _count(execution: Execution, circuit: Circuit, link: Link) -> Costs:
    sent = [name for name in link.hands if name not in execution.committed_outputs]
    rows = sum(execution.boundary_spec(name).rows for name in sent)
    values = sum(prod(execution.boundary_spec(name).dims) for name in link.hands)
    weights = [x.shape for name, x in circuit.layouts.items() if name.kind == "weight"]
    read = sum(prod(s.dims) for s in weights)
    bits = circuit.row_bits or execution.log_columns
    costs = count_circuit(circuit, bits, read, (values, rows))
    received = sum(prod(execution.boundary_spec(name).dims) for name in link.receives)
    return replace(costs, received_values=received)


def count_circuit(
    circuit: Circuit, log_columns: int, weights: int, handed: tuple[int, int]
) -> Costs:
    """Counts of one circuit.

    Parameters
    ----------
    circuit : Circuit
        Public shapes.
    log_columns : int
        Logarithm of the length of its longest rows.
    weights : int
        Entries of the weights that it reads.
    handed : tuple of int
        Values that it hands over, and rows of these that are part of the proof.
    """
    key, transcript = shape_key(log_columns), CountingTranscript()
    earlier = {
        name: Shape(layout.shape.layout(key.log_columns).rows)
        for name, layout in circuit.layouts.items()
        if name not in circuit.own
    }
    engine = cast(Engine, ShapeEngine())
    equations = verify_circuit(engine, key, circuit, earlier, transcript)
    shapes = circuit.witness_shapes()
    return Costs(
        weights=weights,
        lookups=circuit.plan.count(),
        committed_values=sum(prod(s.dims) for s in shapes) + handed[0],
        product_values=sum(prod(d) for d in _product_dims(circuit.relations)),
        witness_rows=sum(s.layout(key.log_columns).rows for s in shapes) + handed[1],
        hidden_values=max(len(e.slots) for e in equations),
        proof_bytes=transcript.position + POINT_BYTES * handed[1],
        generators=key.row_length,
        table_entries=sum(table.size for table in circuit.plan.tables),
    )


def count_ops(execution: Execution) -> list[OpCosts]:
    """What each op, on its own, adds to a proof in one link."""
    out = []
    (link,) = links_of(execution.program, ())
    given = {weight_id(n): Given(execution.weight_spec(n)) for n in execution.program.weights}
    lookups = zeros = values = 0
    for op, context in run_rules(execution, link, given):
        builder = context.builder
        plan = LookupPlan.of(group_lookups(builder.lookups[lookups:]))
        products = _product_dims(gather_tensors(plan.groups, builder.zeros[zeros:]))
        committed = sum(x.count * prod(x.dims) for x in builder.batches.values())
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
        for source, maps in (term for t in tensors for term in t.terms):
            if isinstance(source, ProductSource):
                form = (source.spec, source.a.dims, source.b.dims, maps)
                forms.setdefault(form, set()).add(source)
        out += [inner_dims(list(uses)) for uses in forms.values()]
    return out


def model_rows(program: Program, log_columns: int | None = None) -> int:
    """Row commitments of a model."""
    log_columns = choose_log_columns(program) if log_columns is None else log_columns
    return sum(spec.rows for spec in weight_specs(program, log_columns).values())
