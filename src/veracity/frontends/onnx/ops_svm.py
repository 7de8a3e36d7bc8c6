"""Support vector machines of ``ai.onnx.ml``: a kernel against every vector, then sums and votes."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.errors import UsageError
from veracity.frontends.onnx.calls import Call, Result, Value, handler
from veracity.frontends.onnx.floats import Sym
from veracity.frontends.onnx.ops_linear import minus, plus, times
from veracity.frontends.onnx.ops_logic import first_of_largest
from veracity.frontends.onnx.ops_pointwise import decimal
from veracity.frontends.onnx.ops_scores import (
    Labels,
    both_sides,
    classified,
    label_of,
    labels_of,
    transformed,
)
from veracity.graph.wires import Step

Array = NDArray[Any]
#: Most entries of the differences between all rows and all vectors.
MAX_ENTRIES = 1 << 22


def _kernel(call: Call, x: Sym, vectors: Array) -> Sym:
    """The kernel of every row with every vector, (rows, vectors).

    Parameters
    ----------
    call : Call
        The node.
    x : Sym
        (rows, features).
    vectors : array
        (vectors, features).
    """
    net, kind = call.net, call.text("kernel_type", "LINEAR")
    gamma, shift, degree = (*call.floats("kernel_params").tolist(), 0.0, 0.0, 0.0)[:3]
    rows, count = x.dims[0], len(vectors)
    if kind == "RBF":
        if prod((rows, *vectors.shape)) > MAX_ENTRIES:
            raise UsageError(f"more than {MAX_ENTRIES} differences to support vectors")
        spread = net.view(x, Step("repeat", 1, (count,)))
        gap = net.settled(minus(call, spread, np.broadcast_to(vectors, spread.dims)))
        far = net.view(net.sym(times(call, gap, gap)), Step("sum", 2))
        return net.function("exp", net.scale(far, -gamma))
    product = [("nf,sf->ns", net.ref(x), net.constant(vectors).terms[0])]
    inner = net.linear(product, (), (rows, count))
    if kind == "LINEAR":
        return inner
    moved = net.scale(inner, gamma)
    moved = plus(call, moved, np.full(inner.dims, shift)) if shift else moved
    if kind == "SIGMOID":
        return net.function("tanh", moved)
    if kind == "POLY":
        return net.function(f"power({decimal(degree)})", moved)
    raise UsageError(f"the kernel {kind}")


def _vectors(call: Call, features: int) -> Array:
    found = call.floats("support_vectors")
    if features < 1 or found.size % features:
        raise UsageError("support vectors that do not fit the features")
    return found.reshape(-1, features)


def _dense(call: Call, x: Sym, matrix: Array, offsets: Array) -> Sym:
    """``x matrix^T + offsets``."""
    net, dims = call.net, (x.dims[0], len(matrix))
    out = net.linear([("ns,cs->nc", net.ref(x), net.constant(matrix).terms[0])], (), dims)
    return plus(call, out, np.broadcast_to(offsets, dims)) if np.any(offsets) else out


@handler("SVMRegressor")
def regressor(call: Call) -> Result:
    """A sum of kernels, or the side of it that a row lies on."""
    x, net = call.value(0), call.net
    weights, rho = call.floats("coefficients"), call.floats("rho")
    if len(x.dims) != 2 or rho.size < 1:
        raise UsageError("other than rows of features and an offset")
    if call.int("n_supports", 0):
        x = _kernel(call, x, _vectors(call, x.dims[1]))
    if weights.size != x.dims[1]:
        raise UsageError("coefficients that do not fit the features")
    out = _dense(call, x, weights.reshape(1, -1), rho[:1])
    if call.int("one_class", 0):
        side = net.function("step", out)
        return plus(call, net.scale(side, 2.0), np.full(side.dims, -1.0))
    return transformed(call, out)


@handler("SVMClassifier")
def classifier(call: Call) -> Result:
    """A line for each class; or votes of all pairs of classes, each by a sum of kernels."""
    x, labels = call.value(0), labels_of(call)
    classes = len(labels)
    sizes, rho, weights = call.ints("vectors_per_class", ()), call.floats("rho"), (
        call.floats("coefficients"))  # fmt: skip
    if len(x.dims) != 2 or classes < 2 or rho.size < 1:
        raise UsageError("other than rows of features, two classes and an offset")
    if not sizes:
        if weights.size != classes * x.dims[1]:
            raise UsageError("coefficients that do not fit the features")
        lines = _dense(call, x, weights.reshape(classes, -1), np.full(classes, rho[0]))
        return classified(call, lines, labels)
    vectors = _vectors(call, x.dims[1])
    pairs = [(i, j) for i in range(classes) for j in range(i + 1, classes)]
    if (len(sizes), sum(sizes), weights.size, rho.size) != (
        classes, len(vectors), (classes - 1) * len(vectors), len(pairs)
    ):  # fmt: skip
        raise UsageError("coefficients that do not fit the support vectors")
    start = np.cumsum([0, *sizes])
    table, matrix = weights.reshape(classes - 1, -1), np.zeros((len(pairs), len(vectors)))
    for row, (i, j) in enumerate(pairs):
        own, other = (slice(start[c], start[c + 1]) for c in (i, j))
        matrix[row, own], matrix[row, other] = table[j - 1, own], table[i, other]
    gaps = call.net.settled(_dense(call, _kernel(call, x, vectors), matrix, rho))
    return _voted(call, gaps, pairs, labels, classes)


def _voted(
    call: Call,
    gaps: Sym,
    pairs: list[tuple[int, int]],
    labels: Labels,
    classes: int,
) -> list[Value]:
    """The label that most pairs are for, and what they say.

    Parameters
    ----------
    call : Call
        The node.
    gaps : Sym
        Above zero where a pair is for its first class.
    pairs : list of (int, int)
        Classes.
    labels : tuple of int or str
        All of them.
    classes : int
        How many.
    """
    net = call.net
    first = net.settled(net.function("step", gaps))
    if classes == 2:
        chosen = both_sides(call, first, plus(call, np.ones(first.dims), net.scale(first, -1.0)))
        return [label_of(call, chosen, labels), _of_two(call, gaps)]
    if call.floats("prob_a").size:
        raise UsageError("probabilities of more than two classes, which are found by iteration; "
                         "convert the model without them")  # fmt: skip
    votes, base = np.zeros((classes, len(pairs))), np.zeros(classes)
    for row, (i, j) in enumerate(pairs):
        votes[i, row], votes[j, row] = 1, -1
        base[j] += 1
    chosen = first_of_largest(call, net.settled(_dense(call, first, votes, base)), 1)
    return [label_of(call, chosen, labels), transformed(call, gaps)]


def _of_two(call: Call, gap: Sym) -> Sym:
    """Scores of two classes: probabilities, or the gap with both signs."""
    net = call.net
    a, b = call.floats("prob_a"), call.floats("prob_b")
    if a.size and b.size:
        scaled = net.scale(gap, -float(a[0])) if a[0] else times(call, gap, np.zeros(()))
        moved = plus(call, scaled, np.full(gap.dims, -float(b[0])))
        positive = net.settled(net.function("sigmoid", moved))
        return both_sides(call, positive, plus(call, np.ones(gap.dims), net.scale(positive, -1.0)))
    if call.text("post_transform", "NONE") not in ("NONE", "LOGISTIC"):
        raise UsageError(f"the transform {call.text('post_transform', '')} of two classes")
    return transformed(call, both_sides(call, net.scale(gap, -1.0), gap))
