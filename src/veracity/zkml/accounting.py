"""What a proof will cost, from public shapes alone: lookups, committed values, bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import prod

from veracity.engine.api import POINT_BYTES, SCALAR_BYTES
from veracity.graph import Program
from veracity.zk.mle import axis_bits, variables
from veracity.zkml.circuit import Circuit, build_circuit
from veracity.zkml.model import choose_log_columns, weight_shapes
from veracity.zkml.products import inner_dims
from veracity.zkml.relations import group_zeros
from veracity.zkml.tensor import ProductSource

__all__ = ["Costs", "count"]


@dataclass(frozen=True)
class Costs:
    """Counts of one statement.

    Attributes
    ----------
    parameters, lookups, committed_values, product_values : int
        Weights; lookups made; values of the witness; entries of all product tables.
    witness_rows, model_rows : int
        Row commitments in the proof and in the model's commitment.
    hidden_values : int
        Slots of hidden messages.
    proof_bytes, commitment_bytes : int
        Exact sizes of the proof and of the row commitments of the model.
    """

    parameters: int
    lookups: int
    committed_values: int
    product_values: int
    witness_rows: int
    model_rows: int
    hidden_values: int
    proof_bytes: int
    commitment_bytes: int

    def as_dict(self) -> dict[str, int]:
        """Plain dictionary."""
        return asdict(self)


def _product_dims(circuit: Circuit) -> list[tuple[int, ...]]:
    """Dims of the inner product of every product term."""
    groups = [[t for u in g for t in (u.value, u.image) if t] for g in circuit.plan.groups]
    out = []
    for tensors in [*groups, *group_zeros(circuit.builder)]:
        forms: dict[object, set[ProductSource]] = {}
        for source in (s for t in tensors for s, _ in t.terms):
            if isinstance(source, ProductSource):
                form = (source.spec, source.a.dims, source.b.dims)
                forms.setdefault(form, set()).add(source)
        out += [inner_dims(list(uses)) for uses in forms.values()]
    return out


def count(
    program: Program, tokens: Sequence[int], prompt_length: int, log_columns: int | None = None
) -> Costs:
    """Count the costs of proving one answer.

    Parameters
    ----------
    tokens : sequence of int
        Prompt and answer; only their number matters, so any valid ids will do.
    """
    log_columns = choose_log_columns(program) if log_columns is None else log_columns
    circuit = build_circuit(program, tokens, prompt_length)
    shapes = circuit.witness_shapes()
    weights = weight_shapes(program)
    rows = sum(s.layout(log_columns).rows for s in shapes)
    model_rows = sum(s.layout(log_columns).rows for s in weights)

    leaves = circuit.plan.placement().variables
    products = _product_dims(circuit)
    product_rounds = max(variables(d) for d in products)
    evaluation_rounds = max(s.variables for s in [*shapes, *weights])
    gates = 1 + 3 * leaves + len(products)
    lookup_rounds = leaves * (leaves - 1) // 2
    messages = 1 + lookup_rounds + leaves + product_rounds + 2 + evaluation_rounds + 1
    hidden = 2 + 3 * lookup_rounds + 4 * leaves + 1 + 3 * product_rounds + 2 * len(products)
    hidden += 3 * evaluation_rounds + 3 * gates
    opening = 3 * POINT_BYTES + (5 + 4 * axis_bits(gates) + 2 + 1) * SCALAR_BYTES
    opening += 2 * POINT_BYTES * axis_bits((1 << log_columns) + hidden)
    return Costs(
        parameters=sum(prod(s.dims) for s in weights),
        lookups=circuit.plan.count(),
        committed_values=sum(prod(s.dims) for s in shapes),
        product_values=sum(prod(d) for d in products),
        witness_rows=rows,
        model_rows=model_rows,
        hidden_values=hidden,
        proof_bytes=(rows + messages) * POINT_BYTES + opening,
        commitment_bytes=model_rows * POINT_BYTES,
    )
