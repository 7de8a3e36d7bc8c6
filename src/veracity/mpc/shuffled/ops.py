"""The ops of the shuffled mode: one row for each, a rule or the reason why there is none.

Linear layers, tables, gains and attention become steps of their own; every run of other ops between
two of them becomes one group, which the user evaluates (:mod:`.functions`).
"""

from __future__ import annotations

from veracity.graph.ops import (
    Add,
    Attention,
    Embed,
    Function,
    Gain,
    Head,
    Linear,
    Mul,
    Norm,
    Op,
    Positions,
    Rescale,
    Rope,
    Rotation,
)
from veracity.graph.ops.base import Unsupported
from veracity.mpc.decoder import NO_RULES, vocabulary_of
from veracity.mpc.shuffled.attention import Attend
from veracity.mpc.shuffled.head import Choose
from veracity.mpc.shuffled.linear import Embedding, Matrix, Scale, Table
from veracity.mpc.shuffled.values import Rule, Values, unsupported

__all__ = ["RULES"]

#: Bits of queries and keys that a ring too small for the scores may cost, of 16.
_DROPPED = 4


# Bits.


def _table_bits(at: Values, op: Embed | Positions) -> int:
    return at.program.weights[op.table].bits


def _sum_bits(at: Values, op: Add) -> int:
    return max(at.value_bits(op.a) + op.shift_a, at.value_bits(op.b) + op.shift_b) + 1


def _function_bits(_at: Values, _op: Function) -> int:
    return 16


def _as_layer(at: Values, op: Linear | Head, _name: str) -> int:
    return at.layer_ring(op)


def _as_value(at: Values, _op: Op, name: str) -> int:
    return at.value_bits(name)


def _all_bits(_at: Values, _op: Op, _name: str) -> int:
    return 64


def _norm_limit(op: Norm) -> int:
    return op.x_bits + 1


# Steps.


def _embed(at: Values, op: Embed) -> None:
    vocab, width = at.program.weights[op.table].shape
    bits = at.value_bits(op.name)
    at.steps.append(Embedding(len(at.steps), op.name, op.table, vocab, width, bits))
    at.widths[op.name], at.rings[op.name] = width, bits


def _positions(at: Values, op: Positions) -> None:
    width = at.program.weights[op.table].shape[1]
    at.steps.append(Table(len(at.steps), op.name, op.table, width))
    at.widths[op.name], at.rings[op.name] = width, 64


def _linear(at: Values, op: Linear) -> None:
    ring, used = at.input_ring(op, op.x), at.layer_ring(op)
    if used > ring:
        raise unsupported(op, f"that needs {used} bits in a ring of {ring}")
    count = at.program.weights[op.weight].shape[0]
    at.steps.append(
        Matrix(len(at.steps), op.name, op.x, op.weight, op.bias, count, used, tail=False)
    )
    at.widths[op.name], at.rings[op.name] = count, used


def _rope(at: Values, op: Rope | Rotation) -> None:
    """Part of the attention that reads it."""
    if not at.rule(at.made[op.x]).accumulates:
        raise unsupported(op, "of anything but a linear layer")
    at.widths[op.name] = at.widths[op.x]


def _attention(at: Values, op: Attention) -> None:
    layers: list[Linear] = []
    ropes: list[Rope | Rotation | None] = []
    for name in (op.q, op.k, op.v):
        source = at.made[name]
        rope = source if isinstance(source, Rope | Rotation) else None
        layer = at.made[rope.x] if rope else source
        if not isinstance(layer, Linear) or at.rings[layer.name] < 64:
            raise unsupported(op, f"of {name}, which no linear layer makes,")
        layers.append(layer)
        ropes.append(rope)
    if ropes[2] is not None:
        raise unsupported(op, "with rotated values")
    q, k = (a.shift + (r.frac if r else 0) for a, r in zip(layers[:2], ropes[:2], strict=True))
    # A row's scores span less than 2^16 and its greatest has 16 bits: 18 bits after rescaling.
    bits, ring = op.score_shift + 18, 64 - max(q, k)
    dropped = max(0, bits - ring)
    if dropped > _DROPPED or 2 * dropped > op.score_shift:
        raise unsupported(op, f"with scores of {bits} bits in a ring of {ring}")
    shift = layers[2].shift + op.mix_shift
    at.steps.append(
        Attend(
            index=len(at.steps),
            op=op,
            sources=(layers[0].name, layers[1].name, layers[2].name),
            ropes=(ropes[0], ropes[1]),
            shifts=(q + dropped, k + dropped, shift),
            score_bits=bits - 2 * dropped,
            dropped=dropped,
        )
    )
    at.widths[op.name], at.rings[op.name] = at.widths[op.q], 64 - shift


def _gain(at: Values, op: Gain) -> None:
    at.input_ring(op, op.x)
    before_head = all(type(r) is Head for r in at.readers.get(op.name, ()))
    if op.x not in at.last_row or not before_head:
        raise unsupported(op, "anywhere but before the head")
    width = at.widths[op.x]
    at.steps.append(Scale(len(at.steps), op.name, op.x, op.weight, op.bias, width, op.shift))
    at.widths[op.name], at.rings[op.name] = width, 64 - op.shift
    at.last_row.add(op.name)


def _head(at: Values, op: Head) -> None:
    ring, bits = at.input_ring(op, op.x), at.needed(op)
    if bits > ring:
        raise unsupported(op, f"that needs {bits} bits in a ring of {ring}")
    vocab, acc = vocabulary_of(at.program), f"{op.name}.acc"
    at.steps.append(Matrix(len(at.steps), acc, op.x, op.weight, None, vocab, bits, tail=True))
    at.steps.append(Choose(len(at.steps), op, acc, vocab, bits, at.homomorphic))


RULES: dict[type[Op], Rule | Unsupported] = {
    **NO_RULES,
    Embed: Rule(_embed, bits=_table_bits),
    Positions: Rule(_positions, bits=_table_bits),
    Linear: Rule(_linear, reads=_as_layer, accumulates=True),
    Gain: Rule(_gain, reads=_all_bits, masked=True, last_row=True),
    Add: Rule(bits=_sum_bits, reads=_as_value, masked=True),
    Rescale: Rule(reads=_as_value, masked=True),
    Mul: Rule(reads=_as_value, masked=True),
    Function: Rule(bits=_function_bits, reads=_as_value, masked=True),
    Norm: Rule(reads=_as_value, limit=_norm_limit, masked=True, by_rows=True),
    Rope: Rule(_rope, whole_ring=True),
    Rotation: Rule(_rope, whole_ring=True),
    Attention: Rule(_attention, masked=True, whole_ring=True),
    Head: Rule(_head, reads=_as_layer, last_row=True),
}
