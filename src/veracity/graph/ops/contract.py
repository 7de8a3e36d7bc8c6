"""Contractions, sums and copies of tensors of any rank, read through wires.

``Contract`` is what convolutions, dense layers, products of activations and means have in common:
a rescaled sum of einsum products and of single operands. ``Combine`` is a sum that needs no
rescale: residuals, concatenations, upsampling. ``Reshape`` lays a value out anew where no wire can.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.graph.exact import EXACT, matmul, multiply
from veracity.graph.ops.base import Array, Facts, Op, OpRule, Run, require, rescaled, rounded
from veracity.graph.port import Dim, Dims
from veracity.graph.wires import (
    MAX_WORK,
    Step,
    Wire,
    apply_wire,
    wire_dims,
    wire_gain,
    wire_over,
    wire_work,
)
from veracity.records import record

__all__ = [
    "RULES",
    "WIDE",
    "Combine",
    "Contract",
    "Operand",
    "Product",
    "Reshape",
    "matrix_weights",
]

#: Most products or addends of an op; largest public factor.
MAX_TERMS, MAX_FACTOR = 64, 1 << 40
#: The widest result of a contraction, in bits.
WIDE = 48


@record(kw_only=True)
class Operand:
    """``factor * wire(x)``.

    Attributes
    ----------
    x : str
        Name of a value, or of a weight.
    of : str
        ``value`` or ``weight``.
    wire : tuple of Step
        How it is read.
    factor : int
        Public, not zero.
    """

    x: str
    of: str = "value"
    wire: Wire = ()
    factor: int = 1


@record(kw_only=True)
class Product:
    """``einsum(spec, a, b)``: a letter in one operand only stands in the result.

    A letter in both and not in the result is summed over.
    """

    spec: str
    a: Operand
    b: Operand


def _values(operands: Sequence[Operand]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(o.x for o in operands if o.of == "value"))


def _weights(operands: Sequence[Operand]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(o.x for o in operands if o.of != "value"))


@record(kw_only=True)
class Contract(Op):
    """``rhu(sum of products + sum of addends, shift)``.

    Results of 48 bits are for sums that a logarithm or a root reads.
    A weight among the addends may lack the first axis: it is then the same all along it (a bias
    beside any number of examples).
    """

    products: tuple[Product, ...]
    addends: tuple[Operand, ...]
    shift: int
    bits: int

    @classmethod
    def widths(cls) -> tuple[int, ...]:
        """See :class:`Op`."""
        return (16, 24, WIDE)

    def operands(self) -> tuple[Operand, ...]:
        """All of them, in order."""
        return (*[o for p in self.products for o in (p.a, p.b)], *self.addends)

    def inputs(self) -> tuple[str, ...]:
        """See :class:`Op`."""
        return _values(self.operands())

    def weight_names(self) -> tuple[str, ...]:
        """See :class:`Op`."""
        return _weights(self.operands())


@record(kw_only=True)
class Combine(Op):
    """The sum of addends, exact."""

    addends: tuple[Operand, ...]

    def inputs(self) -> tuple[str, ...]:
        """See :class:`Op`."""
        return _values(self.addends)

    def weight_names(self) -> tuple[str, ...]:
        """See :class:`Op`."""
        return _weights(self.addends)


@record(kw_only=True)
class Reshape(Op):
    """The same entries in row-major order under other dims."""

    x: str
    dims: tuple[int, ...]


def matrix_weights(ops: Sequence[Op]) -> frozenset[str]:
    """Weights of products with one result for each example and output: elsewhere, matrices."""
    return frozenset(
        p.b.x
        for op in ops
        if isinstance(op, Contract)
        for p in op.products
        if p.b.of == "weight" and len(p.spec.partition("->")[2]) == 2
    )


# ---- shapes and magnitudes -----------------------------------------------------------------------
def _dims_of(op: Op, facts: Facts, operand: Operand, read: dict[str, Dims]) -> Dims:
    require(operand.of in ("value", "weight"), op, "an operand is a value or a weight")
    require(0 < abs(operand.factor) <= MAX_FACTOR, op, "a factor out of bounds")
    source = read[operand.x] if operand.of == "value" else facts.weights[operand.x].shape
    return wire_dims(operand.wire, source)


def _wiring(op: Contract | Combine, facts: Facts, dims: Sequence[Dims]) -> int:
    read = dict(zip(op.inputs(), dims, strict=True))
    products = op.products if isinstance(op, Contract) else ()
    total = 0
    for o in (*op.addends, *(o for p in products for o in (p.a, p.b))):
        total += wire_work(o.wire, read[o.x] if o.of == "value" else facts.weights[o.x].shape)
        require(total <= MAX_WORK, op, "wires read or make axes of more than 2^26 entries")
    return total


def _bound_of(
    facts: Facts, operand: Operand, bounds: dict[str, int], read: dict[str, Dims]
) -> tuple[int, int]:
    """Bound of an operand, and of what its wire holds on the way (at most that)."""
    if operand.of == "value":
        bound, dims = bounds[operand.x], read[operand.x]
    else:
        spec = facts.weights[operand.x]
        bound, dims = spec.bound, spec.shape
    grown = bound * wire_gain(operand.wire, dims)
    return grown * abs(operand.factor), grown


def letters(op: Op, spec: str) -> tuple[str, str, str]:
    """Letters of both operands and of the result of a spec.

    Raises
    ------
    UsageError
        Where it is none.
    """
    inputs, arrow, out = spec.partition("->")
    left, comma, right = inputs.partition(",")
    every = left + right + out
    require(bool(arrow and comma), op, "the spec is no contraction of two operands")
    fine = every.isascii() and every.isalpha() and every.islower() and len(every) <= 36
    require(fine and bool(out), op, "letters of the spec must be a to z")
    for part in (left, right, out):
        require(len(set(part)) == len(part), op, "a letter stands twice in one operand")
    alone = set(left) ^ set(right)
    fits = alone <= set(out) and set(out) <= set(left) | set(right)
    require(fits, op, "a letter that one operand lacks must stand in the result")
    return left, right, out


def _sizes(op: Op, spec: str, a: Dims, b: Dims) -> tuple[dict[str, Dim], Dims]:
    left, right, out = letters(op, spec)
    require(len(left) == len(a) and len(right) == len(b), op, "the spec does not fit its operands")
    size = dict(zip(left, a, strict=True))
    for letter, n in zip(right, b, strict=True):
        require(size.setdefault(letter, n) == n, op, "operands of a product do not fit")
    return size, tuple(size[c] for c in out)


def _shape(op: Contract | Combine, facts: Facts, dims: Sequence[Dims]) -> Dims:
    read = dict(zip(op.inputs(), dims, strict=True))
    found = [_dims_of(op, facts, o, read) for o in op.addends]
    products = op.products if isinstance(op, Contract) else ()
    require(1 <= len(found) + len(products) <= MAX_TERMS, op, "1 to 64 terms")
    require(bool(op.inputs()), op, "reads no value")
    for p in products:
        a, b = (_dims_of(op, facts, o, read) for o in (p.a, p.b))
        found.append(_sizes(op, p.spec, a, b)[1])
    out = max(found, key=len)
    for o, known in zip(op.addends, found, strict=False):  # products come after all addends
        shared = isinstance(op, Contract) and o.of == "weight" and known == out[1:]
        require(known == out or shared, op, "terms of different dims")
    require(set(found[len(op.addends) :]) <= {out}, op, "terms of different dims")
    require(bool(out), op, "a result without axes")
    return out


def _magnitude(
    op: Contract | Combine, facts: Facts, bounds: Sequence[int], dims: Sequence[Dims]
) -> tuple[int, int]:
    read = dict(zip(op.inputs(), dims, strict=True))
    known = dict(zip(op.inputs(), bounds, strict=True))
    total, held = 0, 0
    for o in op.addends:
        bound, way = _bound_of(facts, o, known, read)
        total, held = total + bound, max(held, way)
    if isinstance(op, Combine):
        return total, max(total, held)
    for p in op.products:
        size, _ = _sizes(op, p.spec, *(_dims_of(op, facts, o, read) for o in (p.a, p.b)))
        count = 1
        for letter, n in size.items():
            if letter not in p.spec.partition("->")[2]:
                count *= facts.limits[n] if isinstance(n, str) else n
        (a, _), (b, _) = (_bound_of(facts, o, known, read) for o in (p.a, p.b))
        factor = abs(p.a.factor * p.b.factor)  # a number of its own where operands are zero
        total, held = total + count * a * b, max(held, a, b, factor)
    return 1 << (op.bits - 1), max(held, rounded(total, op.shift))


def _reshape_shape(op: Reshape, _facts: Facts, dims: Sequence[Dims]) -> Dims:
    known = [d for d in dims[0] if isinstance(d, int)]
    require(len(known) == len(dims[0]), op, "a reshape of an axis whose length is not known")
    fits = all(d >= 1 for d in op.dims) and 1 <= len(op.dims) <= 8 and prod(op.dims) == prod(known)
    require(fits, op, "a reshape to another number of entries")
    return op.dims


# ---- meaning -------------------------------------------------------------------------------------
def read_operand(op: Op, run: Run, operand: Operand, values: dict[str, Array]) -> Array:
    """The integers of ``wire(x)``, without the factor.

    Parameters
    ----------
    op : Op
        Named in errors.
    run : Run
        Weights, where the operand is one.
    operand : Operand
        What is read, and how.
    values : dict
        Values by name, where it is one of these.

    Raises
    ------
    RangeError
        Where a weight leaves the width that the program states.
    """
    source = values[operand.x] if operand.of == "value" else run.weight(op, operand.x)
    return apply_wire(operand.wire, np.asarray(source))


def einsum(spec: str, a: Array, b: Array) -> Array:
    """Exact ``einsum(spec, a, b)`` of integers, as a stack of matrix products.

    Parameters
    ----------
    spec : str
        ``"tk,nk->tn"`` and the like: a letter of one operand only stands in the result.
    a, b : integer array
        Operands, one axis per letter.

    Returns
    -------
    int64 array
        One axis per letter of the result.

    Raises
    ------
    UsageError
        If a result might exceed 62 bits.
    """
    inputs, out = spec.split("->")
    left, right = inputs.split(",")
    size = dict(zip(left + right, a.shape + b.shape, strict=True))
    batch = [c for c in left if c in right and c in out]
    summed = [c for c in left if c in right and c not in out]
    if prod(size[c] for c in summed) == 1:
        return multiply(_among(a, left, out, size), _among(b, right, out, size))
    rows = [c for c in left if c not in right]
    columns = [c for c in right if c not in left]
    sides = (a, left, batch, rows, summed), (b, right, batch, columns, summed)
    if out[-1] in rows:  # so that the result need not be turned
        sides, rows, columns = sides[::-1], columns, rows
    x, y = (_matrices(*side) for side in sides)
    found = matmul(x, y.swapaxes(-1, -2))
    order = [*batch, *rows, *columns]
    found = found.reshape([size[c] for c in order]).transpose([order.index(c) for c in out])
    return np.ascontiguousarray(found, dtype=np.int64)


def _among(x: Array, axes: str, out: str, size: dict[str, int]) -> Array:
    """An operand with the axes of the result, of length 1 where it has none of them."""
    last = [c for c in axes if c not in out]  # of length 1
    turned = x.transpose([axes.index(c) for c in [*[c for c in out if c in axes], *last]])
    return turned.reshape([size[c] if c in axes else 1 for c in out])


def _matrices(
    x: Array, axes: str, batch: list[str], kept: list[str], summed: list[str]
) -> NDArray[Any]:
    """An operand as matrices (batch, kept, summed), copied once, along its longest runs.

    Of floats, unless these would not hold its integers.
    """
    steps = {c: (abs(s) or 1 << 62, -n) for c, s, n in zip(axes, x.strides, x.shape, strict=True)}
    turned = min([*kept, *summed], key=steps.__getitem__) in kept
    order = [*batch, *summed, *kept] if turned else [*batch, *kept, *summed]
    source = x.transpose([axes.index(c) for c in order])
    copy = np.empty(source.shape, dtype=np.float64)
    copy[...] = source
    if copy.size and max(-copy.min(), copy.max()) >= EXACT:
        copy = np.ascontiguousarray(source, dtype=np.int64)
    n, k, s = (prod(x.shape[axes.index(c)] for c in group) for group in (batch, kept, summed))
    return copy.reshape(n, s, k).swapaxes(1, 2) if turned else copy.reshape(n, k, s)


def _sum(op: Op, run: Run, addends: Sequence[Operand], values: dict[str, Array]) -> Array | int:
    total: Array | int = 0
    for o in addends:
        term = read_operand(op, run, o, values).astype(np.int64, copy=False)
        total = total + (term if o.factor == 1 else term * o.factor)
    return total


def _contract(op: Contract, run: Run, operands: Sequence[Array]) -> tuple[Array, dict[str, Array]]:
    values = dict(zip(op.inputs(), operands, strict=True))
    acc = _sum(op, run, op.addends, values)
    for p in op.products:
        a, b = (read_operand(op, run, o, values) for o in (p.a, p.b))
        term, factor = einsum(p.spec, a, b), p.a.factor * p.b.factor
        acc = acc + (term if factor == 1 else term * factor)
    acc = np.asarray(acc)
    return rescaled(op, acc, run.integers), {"acc": acc}


def _combine(op: Combine, run: Run, operands: Sequence[Array]) -> tuple[Array, dict[str, Array]]:
    values = dict(zip(op.inputs(), operands, strict=True))
    total = np.asarray(_sum(op, run, op.addends, values))
    return total, {"sum": total}


def _same_magnitude(
    _op: Op, _facts: Facts, bounds: Sequence[int], _dims: Sequence[Dims]
) -> tuple[int, int]:
    return bounds[0], bounds[0]


def _reshape(op: Reshape, _run: Run, operands: Sequence[Array]) -> tuple[Array, dict[str, Array]]:
    return operands[0].reshape(op.dims), {}


# ---- several samples -----------------------------------------------------------------------------
def _repeated(operand: Operand, samples: int) -> Operand:
    """A term under one more axis: values have it, weights repeat along it."""
    if operand.of == "value":
        return replace(operand, wire=wire_over(operand.wire))
    return replace(operand, wire=(*operand.wire, Step("repeat", 0, (samples,))))


def _product_over(op: Op, p: Product, samples: int) -> Product:
    """A product under one more axis: a letter more for the operands that are values."""
    left, right, out = letters(op, p.spec)
    # A spec has at most 36 letters, and every one of them twice: some of the 26 are free.
    free = next(c for c in "zyxwvutsrqponmlkjihgfedcba" if c not in left + right)
    alike = p.a.of == p.b.of  # two weights: one of them repeats
    a = _repeated(p.a, samples) if p.a.of == "value" or alike else p.a
    b = _repeated(p.b, samples) if p.b.of == "value" else p.b
    left = free + left if a is not p.a else left
    right = free + right if b is not p.b else right
    return Product(spec=f"{left},{right}->{free}{out}", a=a, b=b)


def _contract_over(op: Contract, samples: int) -> Op:
    products = tuple(_product_over(op, p, samples) for p in op.products)
    addends = tuple(_repeated(o, samples) for o in op.addends)
    return replace(op, products=products, addends=addends)


def _combine_over(op: Combine, samples: int) -> Op:
    return replace(op, addends=tuple(_repeated(o, samples) for o in op.addends))


def _reshape_over(op: Reshape, samples: int) -> Op:
    return replace(op, dims=(samples, *op.dims))


RULES: dict[type[Op], OpRule] = {
    Contract: OpRule(_shape, _magnitude, _contract, over=_contract_over, wiring=_wiring),
    Combine: OpRule(_shape, _magnitude, _combine, over=_combine_over, wiring=_wiring),
    Reshape: OpRule(_reshape_shape, _same_magnitude, _reshape, over=_reshape_over),
}
