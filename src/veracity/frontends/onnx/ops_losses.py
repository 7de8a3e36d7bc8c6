"""ONNX's losses: minus the logarithm of a probability, at labels that are constant or not."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.errors import UsageError
from veracity.frontends.onnx.calls import Call, Result, handler
from veracity.frontends.onnx.floats import Sym
from veracity.frontends.onnx.ops_choice import one_hot
from veracity.frontends.onnx.ops_linear import times
from veracity.frontends.onnx.ops_pointwise import softmax_along
from veracity.graph.wires import Step

Array = NDArray[Any]


@handler("SoftmaxCrossEntropyLoss")
def cross_entropy(call: Call) -> Result:
    """Of a softmax over the second axis; its logarithms are the second output."""
    logs = call.net.settled(softmax_along(call, call.value(0), (1,), True))
    return [_loss(call, logs), logs]


@handler("NegativeLogLikelihoodLoss")
def likelihood(call: Call) -> Result:
    """Of logarithms along the second axis."""
    return _loss(call, call.value(0))


def _loss(call: Call, logs: Sym) -> Sym:
    """Minus the logarithm at each label, or the sum or mean of them.

    Parameters
    ----------
    call : Call
        The node.
    logs : Sym
        Logarithms, (rows, classes, ..).
    """
    net, labels, classes = call.net, call.any(1), logs.dims[1]
    weights, reduction = call.optional_array(2), call.text("reduction", "mean")
    ignored = call.node.attributes.get("ignore_index")
    each = np.ones(classes) if weights is None else weights.astype(np.float64)
    places = np.zeros(0, dtype=np.int64)
    if isinstance(labels, Sym):
        if ignored is not None and 0 <= int(ignored) < classes:
            each = each * (np.arange(classes) != int(ignored))
        hit = one_hot(call, labels, classes)
        hit = net.sym(times(call, hit, each)) if np.any(each != 1) else hit
    else:
        places = labels if ignored is None else np.where(labels == int(ignored), -1, labels)
        if places.max(initial=-1) >= classes:
            raise UsageError("a label that is no class")
        hit = net.constant((places[..., None] == np.arange(classes)) * each)
    last = len(hit.dims) - 1
    hit = net.settled(net.view(hit, Step("permute", 0, (0, last, *range(1, last)))))
    chosen = net.sym(times(call, net.scale(logs, -1.0), hit))
    found = net.view(chosen, Step("sum", 1))
    if reduction == "none":
        return found
    total = net.view(found, *[Step("sum", 0)] * len(found.dims))
    if reduction == "sum":
        return total
    if reduction != "mean":
        raise UsageError(f"losses that are combined by {reduction}")
    if not isinstance(labels, Sym):
        count = float(np.sum(np.where(places >= 0, each[np.maximum(places, 0)], 0.0)))
        if not count:
            raise UsageError("a mean of no labels")
        return net.scale(total, 1 / count)
    if np.all(each == each[0]) and each[0]:
        return net.scale(total, 1 / (float(each[0]) * int(np.prod(found.dims))))
    parts = net.view(hit, *[Step("sum", 0)] * len(hit.dims))
    return net.sym(times(call, total, net.function("power(-1)", parts)))
