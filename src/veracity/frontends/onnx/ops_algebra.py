"""ONNX ops that multiply many entries: determinants, products of all before."""

from __future__ import annotations

import numpy as np

from veracity.errors import UsageError
from veracity.frontends.onnx.calls import Call, Result, handler
from veracity.frontends.onnx.floats import Sym
from veracity.frontends.onnx.ops_linear import minus, plus, times
from veracity.frontends.onnx.ops_masks import net_value
from veracity.frontends.onnx.ops_sequence import joined
from veracity.graph.wires import Step

#: Largest matrix whose determinant is expanded, and longest axis of products.
MAX_MATRIX, MAX_AXIS = 4, 256


def _entry(call: Call, x: Sym, row: int, column: int) -> Sym:
    """One entry of every matrix."""
    last = len(x.dims) - 1
    return call.net.view(
        x,
        Step("slice", last, (column, column + 1, 1)),
        Step("sum", last),
        Step("slice", last - 1, (row, row + 1, 1)),
        Step("sum", last - 1),
    )


@handler("Det")
def determinant(call: Call) -> Result:
    """Expanded along rows, minors of the last rows first."""
    x = call.value(0)
    n = x.dims[-1]
    if len(x.dims) < 2 or x.dims[-2] != n or n > MAX_MATRIX:
        raise UsageError(f"matrices of more than {MAX_MATRIX} rows, or not square")
    minors: dict[tuple[int, ...], Sym] = {(c,): _entry(call, x, n - 1, c) for c in range(n)}
    for row in reversed(range(n - 1)):
        found: dict[tuple[int, ...], Sym] = {}
        for columns in _subsets(n, n - row):
            total: Sym | None = None
            for i, c in enumerate(columns):
                rest = columns[:i] + columns[i + 1 :]
                term = call.net.sym(times(call, _entry(call, x, row, c), minors[rest]))
                if total is None:
                    total = term
                else:
                    total = minus(call, total, term) if i % 2 else plus(call, total, term)
            if total is not None:
                found[columns] = net_value(call, total) if total.dims else total
        minors = found
    return minors[tuple(range(n))]


def _subsets(n: int, size: int) -> list[tuple[int, ...]]:
    found: list[tuple[int, ...]] = [()]
    for _ in range(size):
        found = [(*s, c) for s in found for c in range(s[-1] + 1 if s else 0, n)]
    return found


@handler("CumProd")
def products(call: Call) -> Result:
    """Products of all before, in rounds of twice the reach."""
    x, net = net_value(call, call.value(0)), call.net
    axis = int(call.array(1).reshape(-1)[0]) % len(x.dims)
    n = x.dims[axis]
    if n > MAX_AXIS:
        raise UsageError(f"an axis of more than {MAX_AXIS} entries")
    backwards = bool(call.int("reverse", 0))
    if backwards:
        x = net.view(x, Step("flip", axis))
    one = np.ones([1 if i == axis else d for i, d in enumerate(x.dims)])
    if call.int("exclusive", 0):
        before = [net.view(x, Step("slice", axis, (0, n - 1, 1)))] if n > 1 else []
        x = net.sym(joined(call, [one, *before], axis))
    reach = 1
    while reach < n:
        near = net.view(x, Step("slice", axis, (0, n - reach, 1)))
        padded = joined(call, [np.repeat(one, reach, axis), near], axis)
        x = net_value(call, net.sym(times(call, net.settled(x), padded)))
        reach *= 2
    return net.view(x, Step("flip", axis)) if backwards else x
