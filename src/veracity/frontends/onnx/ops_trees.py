"""Ops of ``ai.onnx.ml``: ensembles of trees, linear models, scaling of features.

A tree is computed whole: every condition is a step of a difference, every leaf compares the number
of conditions on its path that hold with the length of the path, so that one leaf has a 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.errors import UsageError
from veracity.frontends.onnx.floats import Sym
from veracity.frontends.onnx.lowering import Call, Result, handler
from veracity.frontends.onnx.ops_linear import plus, times
from veracity.frontends.onnx.ops_logic import first_of_largest
from veracity.frontends.onnx.ops_pointwise import softmax_along, sum_over
from veracity.graph.wires import MAX_NUMBERS, Step

__all__ = ["Forest", "read_forest"]

Array = NDArray[Any]
#: Most nodes and depth of an ensemble.
MAX_NODES, MAX_DEPTH = 1 << 14, 64
#: How a condition follows from ``a = [x > t]`` and ``b = [t > x]``.
MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT")


@dataclass(frozen=True)
class Forest:
    """Trees as matrices.

    Attributes
    ----------
    features : list of int
        What each condition reads.
    thresholds : array, (conditions,)
        What it compares with.
    modes : list of str
        Of :data:`MODES`.
    paths : array, (conditions, leaves)
        1 where the condition has to hold on the way to a leaf, -1 where it must not.
    leaves : list of (int, int)
        Tree and node of each leaf.
    """

    features: list[int]
    thresholds: Array
    modes: list[str]
    paths: Array
    leaves: list[tuple[int, int]]


def _texts(call: Call, name: str) -> list[str]:
    found = call.node.attributes.get(name, ())
    return [x.decode("utf-8", "replace") if isinstance(x, bytes) else str(x) for x in found]


def read_forest(call: Call) -> Forest:
    """The trees of an ensemble's attributes.

    Raises
    ------
    UsageError
        Where they are none, or too many.
    """
    trees, nodes = call.ints("nodes_treeids", ()), call.ints("nodes_nodeids", ())
    features, modes = call.ints("nodes_featureids", ()), _texts(call, "nodes_modes")
    values = [float(v) for v in call.node.attributes.get("nodes_values", ())]
    true, false = (call.ints(f"nodes_{way}nodeids", ()) for way in ("true", "false"))
    count = len(nodes)
    parts: tuple[Any, ...] = (trees, features, modes, values, true, false)
    if not 1 <= count <= MAX_NODES or any(len(part) != count for part in parts):
        raise UsageError(f"an ensemble of other than 1 to {MAX_NODES} nodes")
    at = {key: i for i, key in enumerate(zip(trees, nodes, strict=True))}
    if len(at) != count:
        raise UsageError("two nodes of one name")
    inner = [i for i in range(count) if modes[i] != "LEAF"]
    if not inner or not {modes[i] for i in inner} <= set(MODES):
        raise UsageError("conditions other than <=, <, >= and >")
    place = {i: n for n, i in enumerate(inner)}
    children = {i: (at[trees[i], true[i]], at[trees[i], false[i]]) for i in inner}
    below = {child for pair in children.values() for child in pair}
    columns: list[Array] = []
    leaves: list[tuple[int, int]] = []
    waiting: list[tuple[int, list[tuple[int, int]]]] = [
        (i, []) for i in range(count) if i not in below
    ]
    visited = 0
    while waiting:
        i, path = waiting.pop()
        visited += 1
        if visited > count or len(path) > MAX_DEPTH:
            raise UsageError("trees that are none, or deeper than 64")
        if i in children:
            waiting += [(children[i][0], [*path, (place[i], 1)])]
            waiting += [(children[i][1], [*path, (place[i], -1)])]
            continue
        column = np.zeros(len(inner))
        for condition, sign in path:
            column[condition] = sign
        columns.append(column)
        leaves.append((trees[i], nodes[i]))
    if visited != count:
        raise UsageError("trees with a cycle")
    return Forest(
        [features[i] for i in inner],
        np.array([values[i] for i in inner]),
        [modes[i] for i in inner],
        np.stack(columns, axis=1),
        leaves,
    )


def _reached(call: Call, x: Sym, forest: Forest) -> Sym:
    """1 for the leaf of each tree that every row of ``x`` comes to, (rows, leaves)."""
    net = call.net
    if len(x.dims) != 2 or not 0 <= min(forest.features) <= max(forest.features) < x.dims[1]:
        raise UsageError("conditions on features that are not there")
    if len(forest.features) > MAX_NUMBERS:
        raise UsageError("too many conditions")
    # <= and > follow from [x > t]; < and >= from [t > x]
    sign = np.where(np.isin(forest.modes, ("BRANCH_LEQ", "BRANCH_GT")), 1.0, -1.0)
    read = net.view(x, Step("pick", 1, tuple(forest.features)))
    gap = plus(call, times(call, read, sign), -sign * forest.thresholds)
    beyond = net.function("step", gap)
    # a condition is 1 - beyond for <= and >=, and beyond for < and >
    holds = np.where(np.isin(forest.modes, ("BRANCH_LEQ", "BRANCH_GTE")), -1.0, 1.0)
    offset = (holds < 0).astype(float)
    wanted = (forest.paths > 0).sum(0)
    matrix = forest.paths * holds[:, None]
    constant = offset @ forest.paths - wanted
    spec = "nc,cl->nl"
    dims = (x.dims[0], len(wanted))
    score = net.linear([(spec, net.ref(beyond), net.constant(matrix).terms[0])], (), dims)
    return net.function("zero", plus(call, score, np.broadcast_to(constant, dims)))


def _leaf_weights(call: Call, forest: Forest, kind: str, classes: int) -> Array:
    """What each leaf adds to each result, (leaves, results)."""
    out = np.zeros((len(forest.leaves), classes))
    at = {leaf: i for i, leaf in enumerate(forest.leaves)}
    keys = (call.ints(f"{kind}_{n}", ()) for n in ("treeids", "nodeids", "ids"))
    weights = call.node.attributes.get(f"{kind}_weights", ())
    for tree, node, result, weight in zip(*keys, weights, strict=True):
        if (tree, node) not in at or not 0 <= result < classes:
            raise UsageError("a weight of a leaf that is not there")
        out[at[tree, node], result] += float(weight)
    return out


def _ensemble(call: Call, kind: str, classes: int) -> Sym:
    forest = read_forest(call)
    leaf = _reached(call, call.value(0), forest)
    weights = _leaf_weights(call, forest, kind, classes)
    if call.text("aggregate_function", "SUM") == "AVERAGE":
        weights = weights / len({tree for tree, _ in forest.leaves})
    elif call.text("aggregate_function", "SUM") != "SUM":
        raise UsageError("trees that are combined by other than their sum")
    net, dims = call.net, (leaf.dims[0], classes)
    out = net.linear([("nl,lc->nc", net.ref(leaf), net.constant(weights).terms[0])], (), dims)
    base = np.asarray(call.node.attributes.get("base_values", ()), dtype=np.float64)
    return plus(call, out, np.broadcast_to(base, dims)) if base.size else out


@handler("TreeEnsembleRegressor")
def tree_regressor(call: Call) -> Result:
    """Sums or means of what the leaves say."""
    out = _ensemble(call, "target", call.int("n_targets", 1))
    return _transformed(call, out)


@handler("TreeEnsembleClassifier")
def tree_classifier(call: Call) -> Result:
    """The label, and a score for each class."""
    labels = call.node.attributes.get("classlabels_int64s", ())
    classes = max(2, len(labels) or len(_texts(call, "classlabels_strings")))
    ids = set(call.ints("class_ids", ()))
    if classes == 2 and len(ids) == 1:
        one = _ensemble(call, "class", max(ids) + 1)
        single = call.net.view(one, Step("slice", 1, (max(ids), max(ids) + 1, 1)))
        return _binary(call, single, labels)
    return _classified(call, _ensemble(call, "class", classes), labels)


def _binary(call: Call, score: Sym, labels: Any) -> list[Sym]:
    """Two classes from the score of one."""
    net, post = call.net, call.text("post_transform", "NONE")
    if post == "LOGISTIC":
        positive = net.settled(net.function("sigmoid", score))
        negative = plus(call, np.ones(positive.dims), net.scale(positive, -1.0))
        level = 0.5
    elif post == "NONE":
        positive = net.settled(score)
        weights = call.node.attributes.get("class_weights", (0.0,))
        level = 0.5 if min(float(w) for w in weights) >= 0 else 0.0
        negative = (
            plus(call, np.ones(positive.dims), net.scale(positive, -1.0))
            if level
            else net.scale(positive, -1.0)
        )
    else:
        raise UsageError(f"the transform {post} of two classes")
    both = net.sum(
        net.view(negative, Step("pad", 1, (0, 0, 1))), net.view(positive, Step("pad", 1, (0, 1, 0)))
    )
    over = net.function("step", plus(call, positive, np.full(positive.dims, -level)))
    return [_named(call, net.view(over, Step("sum", 1)), labels, 2), both]


def _named(call: Call, index: Sym, labels: Any, classes: int) -> Sym:
    """A label of whole numbers from its index, where labels are numbers that rise by one."""
    names = [int(n) for n in labels] or list(range(classes))
    if names != list(range(names[0], names[0] + classes)):
        raise UsageError("labels that are not whole numbers in order; read the scores instead")
    return plus(call, index, np.full(index.dims, float(names[0]))) if names[0] else index


def _classified(call: Call, scores: Sym, labels: Any) -> list[Sym]:
    """The label of the largest score, and the scores as they are shown."""
    net = call.net
    chosen = first_of_largest(call, net.settled(scores), 1)
    step = Step("taps", 1, (1, *range(scores.dims[1])))
    label = net.view(chosen, step, Step("sum", 1))
    return [_named(call, label, labels, scores.dims[1]), _transformed(call, scores)]


def _transformed(call: Call, scores: Sym) -> Sym:
    """Scores after the node's transform."""
    post = call.text("post_transform", "NONE")
    if post == "NONE":
        return scores
    if post == "LOGISTIC":
        return call.net.function("sigmoid", scores)
    if post == "SOFTMAX":
        return softmax_along(call, scores, (1,))
    raise UsageError(f"the transform {post}")


def _linear(call: Call, weights: str, offsets: str, targets: int) -> Sym:
    x, net = call.value(0), call.net
    matrix = np.asarray(call.node.attributes.get(weights, ()), dtype=np.float64)
    if len(x.dims) != 2 or matrix.size != targets * x.dims[1]:
        raise UsageError("coefficients that do not fit the features")
    kernel = net.constant(matrix.reshape(targets, -1).T)
    dims = (x.dims[0], targets)
    out = net.linear([("nf,fc->nc", net.ref(x), kernel.terms[0])], (), dims)
    base = np.asarray(call.node.attributes.get(offsets, ()), dtype=np.float64)
    return plus(call, out, np.broadcast_to(base, dims)) if base.size else out


@handler("LinearRegressor")
def linear_regressor(call: Call) -> Result:
    """A dense layer."""
    return _transformed(call, _linear(call, "coefficients", "intercepts", call.int("targets", 1)))


@handler("LinearClassifier")
def linear_classifier(call: Call) -> Result:
    """A dense layer, the label of the largest score, and the scores."""
    labels = call.node.attributes.get("classlabels_ints", ())
    classes = len(labels) or len(_texts(call, "classlabels_strings"))
    rows = len(call.node.attributes.get("coefficients", ())) // max(1, call.value(0).dims[-1])
    if rows < 2 or rows != classes:
        raise UsageError("a linear classifier with one score for two classes")
    return _classified(call, _linear(call, "coefficients", "intercepts", rows), labels)


@handler("Scaler")
def scaler(call: Call) -> Result:
    """``(x - offset) scale`` for each feature."""
    x = call.value(0)
    offset, scale = (np.asarray(call.node.attributes.get(n, (d,)), dtype=np.float64)
                     for n, d in (("offset", 0.0), ("scale", 1.0)))  # fmt: skip
    moved = plus(call, x, np.broadcast_to(-offset, x.dims)) if np.any(offset) else x
    return times(call, moved, np.broadcast_to(scale, (1, x.dims[-1])))


@handler("Normalizer")
def normalizer(call: Call) -> Result:
    """Rows divided by their largest entry, their sum or their length."""
    x, net, norm = call.value(0), call.net, call.text("norm", "MAX")
    if norm not in ("L1", "L2"):
        raise UsageError(f"the norm {norm}")
    terms = net.function("abs", x) if norm == "L1" else net.sym(times(call, x, x))
    total = sum_over(call, terms, (len(x.dims) - 1,), True)
    return times(call, x, net.function("power(-1)" if norm == "L1" else "power(-0.5)", total))
