"""Labels and scores of ``ai.onnx.ml``: what classifiers and regressors have in common; lines."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.errors import UsageError
from veracity.frontends.onnx.calls import Call, Result, Value, Words, handler
from veracity.frontends.onnx.floats import Sym
from veracity.frontends.onnx.ops_linear import plus
from veracity.frontends.onnx.ops_logic import first_of_largest
from veracity.frontends.onnx.ops_pointwise import softmax_along
from veracity.graph.wires import Step

__all__ = ["Labels", "both_sides", "classified", "label_of", "labels_of", "transformed"]

Array = NDArray[Any]
Labels = tuple[int, ...] | tuple[str, ...]


def labels_of(call: Call) -> Labels:
    """Labels: whole numbers or words."""
    for name in ("classlabels_int64s", "classlabels_ints"):
        if found := call.ints(name, ()):
            return found
    return call.texts("classlabels_strings")


def label_of(call: Call, chosen: Sym, labels: Labels) -> Sym | Words:
    """The label at the place that has a 1.

    Parameters
    ----------
    call : Call
        The node.
    chosen : Sym
        Rows with one 1, (rows, classes).
    labels : tuple of int or str
        All of them.
    """
    if len(labels) != chosen.dims[1]:
        raise UsageError("another number of labels than of classes")
    numbers = [x if isinstance(x, int) else i for i, x in enumerate(labels)]
    found = call.net.view(chosen, Step("taps", 1, (1, *numbers)), Step("sum", 1))
    words = tuple(x for x in labels if isinstance(x, str))
    return Words(found, words) if words else found


def classified(call: Call, scores: Sym, labels: Labels) -> list[Value]:
    """The label of the largest score, and the scores as they are shown.

    Parameters
    ----------
    call : Call
        The node.
    scores : Sym
        (rows, classes).
    labels : tuple of int or str
        All of them.
    """
    scores = call.net.settled(scores)
    chosen = first_of_largest(call, scores, 1)
    return [label_of(call, chosen, labels), transformed(call, scores)]


def transformed(call: Call, scores: Sym, how: str = "") -> Sym:
    """Scores after the node's transform, or a given one.

    Parameters
    ----------
    call : Call
        The node.
    scores : Sym
        (rows, classes).
    how : str, optional
        The transform.
    """
    post = how or call.text("post_transform", "NONE")
    if post == "NONE":
        return scores
    if post == "LOGISTIC":
        return call.net.function("sigmoid", scores)
    if post == "SOFTMAX":
        return softmax_along(call, scores, (1,))
    raise UsageError(f"the transform {post}")


def both_sides(call: Call, first: Sym, second: Sym) -> Sym:
    """Two columns, side by side.

    Parameters
    ----------
    call : Call
        The node.
    first, second : Sym
        (rows, 1).
    """
    net = call.net
    return net.sum(
        net.view(first, Step("pad", 1, (0, 0, 1))), net.view(second, Step("pad", 1, (0, 1, 0)))
    )


def _linear(call: Call, weights: str, offsets: str, targets: int) -> Sym:
    x, net, matrix = call.value(0), call.net, call.floats(weights)
    if len(x.dims) == 1:
        x = net.view(x, Step("repeat", 0, (1,)))
    if len(x.dims) != 2 or matrix.size != targets * x.dims[1]:
        raise UsageError("coefficients that do not fit the features")
    kernel = net.constant(matrix.reshape(targets, -1).T)
    dims = (x.dims[0], targets)
    out = net.linear([("nf,fc->nc", net.ref(x), kernel.terms[0])], (), dims)
    base = call.floats(offsets)
    return plus(call, out, np.broadcast_to(base, dims)) if base.size else out


@handler("LinearRegressor")
def linear_regressor(call: Call) -> Result:
    """A dense layer."""
    return transformed(call, _linear(call, "coefficients", "intercepts", call.int("targets", 1)))


@handler("LinearClassifier")
def linear_classifier(call: Call) -> Result:
    """A dense layer, the label of the largest score, and the scores."""
    labels, net = labels_of(call), call.net
    classes = len(labels)
    rows = call.floats("coefficients").size // max(1, call.value(0).dims[-1])
    if rows > 1:
        if rows != classes:
            raise UsageError("another number of scores than of classes")
        return classified(call, _linear(call, "coefficients", "intercepts", rows), labels)
    if classes != 2:
        raise UsageError("one score for other than two classes")
    score = net.settled(_linear(call, "coefficients", "intercepts", 1))
    over = net.settled(net.function("step", score))
    chosen = both_sides(call, plus(call, np.ones(over.dims), net.scale(over, -1.0)), over)
    if call.text("post_transform", "NONE") == "LOGISTIC":
        score = net.settled(net.function("sigmoid", score))
    other = plus(call, np.ones(score.dims), net.scale(score, -1.0))
    return [label_of(call, chosen, labels), both_sides(call, other, score)]
