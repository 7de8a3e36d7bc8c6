"""Function tables, gains, Hadamard products and rotary embeddings.

A function lookup of ``(x, y)`` is the range check of both. RoPE is a public linear map, so only its
rescale is proved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np

from veracity.errors import UnsupportedModelError
from veracity.graph.ops import Function, Gain, Mul, Op, Rope, Rotation, rope_tables
from veracity.zkml.circuit.integers import looked_up
from veracity.zkml.circuit.linear_maps import Rotate
from veracity.zkml.circuit.tables import function
from veracity.zkml.circuit.tensor import Tensor
from veracity.zkml.ops import Context, Rule, along_last, letters


def apply_function(context: Context, op: Function) -> Tensor:
    """``(x, y)`` stands in the table of the function."""
    b, x = context.builder, context.value(op.x)
    table = function(*op.tables()[0])
    value = None
    if x.value is not None:
        images = np.asarray(table.images())
        value = looked_up(op.name, x.value, table.low, images, b.integers)
    y = b.column("function.y", x.dims, value)
    b.lookup(op.name, table, x, y)
    return y


def multiply(context: Context, op: Mul) -> Tensor:
    """The rescaled product, entry by entry."""
    left, right = context.value(op.a), context.value(op.b)
    value = None
    if left.value is not None and right.value is not None:
        value = np.multiply(left.value, right.value, dtype=np.int64, casting="unsafe")
    axes = letters(left)
    acc = Tensor.product(f"{axes},{axes}->{axes}", left, right)
    return context.builder.rescaled(op.name, "mul", acc, value, op.shift)


def gain(context: Context, op: Gain) -> Tensor:
    """``x(.., c) w(c) + bias(c)``, rescaled."""
    b, x, w = context.builder, context.value(op.x), context.builder.weight(op.weight)
    axes = letters(x)
    acc = Tensor.product(f"{axes},{axes[-1]}->{axes}", x, w)
    if op.bias is not None:
        acc = acc + along_last(b.weight(op.bias), x.dims)
    joint = op.name in context.rotated
    role, value = ("rotary.gain" if joint else "gain"), context.detail(op.name, "acc")
    return b.rescaled(op.name, role, acc, value, op.shift, joint)


def rotated_values(ops: Sequence[Op]) -> frozenset[str]:
    """What rotary embeddings read."""
    return frozenset(op.x for op in ops if isinstance(op, Rope | Rotation))


def rope(context: Context, op: Rope | Rotation) -> Tensor:
    """Rotation with public integer tables, then a rescale."""
    b, x = context.builder, context.value(op.x)
    if not b.is_joint(x):
        raise UnsupportedModelError(
            op.name,
            "a rotary embedding of a computed value",
            "rotate the result of a linear map or a gain",
        )
    cos, sin = _tables(replace(op, name="", x=""), x.dims[0])
    rotated = x.view(
        Rotate(
            x.dims[0],
            op.heads,
            op.head_dim // 2,
            op.style == "interleaved",
            cos,
            sin,
        )
    )
    return b.rescaled(op.name, "rope", rotated, rotated.value, op.frac)


@lru_cache(maxsize=8)
def _tables(op: Rope | Rotation, tokens: int) -> tuple[bytes, bytes]:
    """The tables of all ops that differ in name only: made, kept and hashed once."""
    cos, sin = rope_tables(op, tokens)
    return cos.tobytes(), sin.tobytes()


RULES: dict[type[Op], Rule] = {
    Function: apply_function,
    Mul: multiply,
    Gain: gain,
    Rope: rope,
    Rotation: rope,
}
