"""Contractions, sums and copies through wires.

A contraction is one rescale of a sum of products and operands; a result of 48 bits is committed in
limbs. A sum is free; one that would have
too many terms or too long wires is committed instead, tied by a linear identity, so that no program
makes the verifier's work grow faster than its own length. A reshape is committed, too, where splits
of both sides do not lead to equal dims twice.
"""

from __future__ import annotations

from itertools import pairwise
from math import prod

from veracity.engine.api import Ints
from veracity.graph.ops import Combine, Contract, Op, Operand, Reshape
from veracity.graph.ops.contract import WIDE
from veracity.zkml.circuit.axis_maps import maps_of
from veracity.zkml.circuit.builder import Builder
from veracity.zkml.circuit.tensor import Tensor
from veracity.zkml.ops import Context, Rule

__all__ = ["RULES", "combine", "contract", "reshape", "settled"]

#: Terms of a tensor, and maps between it and an array, beyond which it is committed.
MOST_TERMS, MOST_MAPS = 48, 48


def settled(context: Context, tensor: Tensor) -> Tensor:
    """The tensor, or a committed copy of one that is made of too much."""
    longest = max((len(maps) for _, maps in tensor.terms), default=0)
    if len(tensor.terms) <= MOST_TERMS and longest <= MOST_MAPS:
        return tensor
    copy = context.builder.column("copy", tensor.dims, tensor.value, bounded=True)
    context.builder.zero(copy - tensor)
    return copy


def _operand(context: Context, operand: Operand, bare: bool = False) -> Tensor:
    """An operand; ``bare`` where nobody needs its integers."""
    if operand.of == "value":
        source = context.value(operand.x)
    else:
        source = context.builder.weight(operand.x)
    source = source.bare() if bare else source
    return source.view(*maps_of(operand.wire, source.dims))


def _sum(context: Context, addends: tuple[Operand, ...]) -> Tensor:
    total: Tensor | None = None
    for operand in addends:
        term = _operand(context, operand, bare=True) * operand.factor
        total = term if total is None else total + term
    if total is None:
        raise ValueError("a sum of nothing")
    return total


def combine(context: Context, op: Combine) -> Tensor:
    """Free: a sum of operands with public factors."""
    total = _sum(context, op.addends)
    return settled(context, Tensor(total.dims, total.terms, context.detail(op.name, "sum")))


def contract(context: Context, op: Contract) -> Tensor:
    """One rescale of products and addends; only the quotient is committed."""
    terms = [_operand(context, o, bare=True) * o.factor for o in op.addends]
    for p in op.products:
        a, b = _operand(context, p.a), _operand(context, p.b)
        terms.append(Tensor.product(p.spec, a, b) * (p.a.factor * p.b.factor))
    dims = max((t.dims for t in terms), key=len)
    acc = None
    for term in terms:
        full = term if len(term.dims) == len(dims) else term.broadcast(0, dims[0])
        acc = full if acc is None else acc + full
    if acc is None:
        raise ValueError("a contraction of nothing")
    value = context.detail(op.name, "acc")
    if op.bits == WIDE:
        return _wide(context.builder, op, acc, value)
    return context.builder.rescaled(op.name, "contract", acc, value, op.shift)


def _wide(b: Builder, op: Contract, acc: Tensor, value: Ints | None) -> Tensor:
    """A quotient of 48 bits, by limbs in range: it is too large for the projection's sums."""
    half, offset = (1 << op.shift) >> 1, 1 << (WIDE - 1)
    lifted = rest = None
    if value is not None:
        lifted = ((value + half) >> op.shift) + offset
        rest = (value + half) & ((1 << op.shift) - 1)
    y = b.limbs(op.name, "contract.wide", acc.dims, lifted, WIDE // 16) - offset
    r = acc.bare() - y.bare() * (1 << op.shift) + half
    if op.shift:
        b.remainder(op.name, "contract.r", r, rest, op.shift)
    else:
        b.zero(r)
    return y


def reshape(context: Context, op: Reshape) -> Tensor:
    """A split where that suffices, else a copy; both sides are compared on common dims."""
    x, target = context.value(op.x), _longer(op.dims)
    common = _common(_longer(x.dims), target)
    if common is None:  # neither divides the other: by way of one axis
        y = _copied(context, x, (prod(op.dims),)).split(0, *target)
    elif common == target:
        y = _refined(x, target)
    else:
        y = _copied(context, x, target)
    for axis, n in enumerate(op.dims):
        y = y.broadcast(axis, 1) if n == 1 and op.dims != target else y
    return settled(context, y)


def _copied(context: Context, x: Tensor, dims: tuple[int, ...]) -> Tensor:
    """A committed tensor with the entries of ``x``, equal to it on common dims."""
    common = _common(_longer(x.dims), dims)
    if common is None:
        raise ValueError("no common dims")
    value = None if x.value is None else x.value.reshape(dims)
    y = context.builder.column("reshape", dims, value, bounded=True)
    context.builder.zero(_refined(y, common) - _refined(x, common))
    return y


def _longer(dims: tuple[int, ...]) -> tuple[int, ...]:
    """The lengths that are not 1, or one axis of length 1."""
    return tuple(d for d in dims if d != 1) or (1,)


def _common(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...] | None:
    """Dims to which splits of both lead, row-major; None where there are none."""
    strides = {prod(dims[i + 1 :]) for dims in (a, b) for i in range(len(dims))}
    ends = [prod(a), *sorted(strides, reverse=True)]
    if any(n % m for n, m in pairwise(ends)):
        return None
    return tuple(n // m for n, m in pairwise(ends))


def _refined(x: Tensor, common: tuple[int, ...]) -> Tensor:
    """``x`` without axes of length 1, the others split into the common dims that lie in them."""
    if prod(x.dims) == 1:
        for _ in x.dims[1:]:
            x = x.sum(0)
        return x
    for axis in reversed(range(len(x.dims))):
        if x.dims[axis] == 1:
            x = x.sum(axis)
    axis = 0
    for n in x.dims:
        sizes: list[int] = []
        while prod(sizes) < n:
            sizes.append(common[axis + len(sizes)])
        x = x.split(axis, *sizes) if len(sizes) > 1 else x
        axis += len(sizes)
    return x


RULES: dict[type[Op], Rule] = {Contract: contract, Combine: combine, Reshape: reshape}
