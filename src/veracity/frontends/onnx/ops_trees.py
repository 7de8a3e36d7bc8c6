"""Ensembles of trees of ``ai.onnx.ml``.

A tree is computed whole: every condition is a step of a difference, every leaf compares the number
of conditions on its path that hold with the length of the path, so that one leaf has a 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.errors import UsageError
from veracity.frontends.onnx.calls import Call, Result, Value, handler
from veracity.frontends.onnx.floats import Sym
from veracity.frontends.onnx.ops_linear import plus, times
from veracity.frontends.onnx.ops_pointwise import maximum
from veracity.frontends.onnx.ops_scores import (
    Labels,
    both_sides,
    classified,
    label_of,
    labels_of,
    transformed,
)
from veracity.graph.wires import MAX_NUMBERS, Step

__all__ = ["Forest", "read_forest"]

Array = NDArray[Any]
#: Most nodes and depth of an ensemble.
MAX_NODES, MAX_DEPTH = 1 << 14, 64
#: Conditions on a feature ``x`` and a threshold ``t``, as newer versions number them.
MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ")
#: Ways to combine trees and to show scores, as newer versions number them.
COMBINED = ("AVERAGE", "SUM", "MIN", "MAX")
SHOWN = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")


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


def read_forest(call: Call) -> Forest:
    """The trees of an ensemble's attributes.

    Raises
    ------
    UsageError
        Where they are none, or too many.
    """
    trees, nodes = call.ints("nodes_treeids", ()), call.ints("nodes_nodeids", ())
    features, modes = call.ints("nodes_featureids", ()), call.texts("nodes_modes")
    values = call.floats("nodes_values").tolist()
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
        raise UsageError("conditions other than comparisons with a threshold")
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
    # <= and > follow from [x > t]; < and >= from [t > x]; the others from [x = t]
    sign = np.where(np.isin(forest.modes, ("BRANCH_LT", "BRANCH_GTE")), -1.0, 1.0)
    read = net.view(x, Step("pick", 1, tuple(forest.features)))
    gap = net.settled(plus(call, times(call, read, sign), -sign * forest.thresholds))
    # a condition is 1 - found for <=, >= and !=, and found for the others
    negated = np.isin(forest.modes, ("BRANCH_LEQ", "BRANCH_GTE", "BRANCH_NEQ"))
    matrix = forest.paths * np.where(negated, -1.0, 1.0)[:, None]
    constant = negated.astype(float) @ forest.paths - (forest.paths > 0).sum(0)
    equal = np.isin(forest.modes, ("BRANCH_EQ", "BRANCH_NEQ"))
    products = []
    for fn, rows in (("step", ~equal), ("zero", equal)):
        if np.any(rows):
            found = net.function(fn, gap)
            kernel = net.constant(matrix * rows[:, None])
            products.append(("nc,cl->nl", net.ref(found), kernel.terms[0]))
    dims = (x.dims[0], len(constant))
    score = net.linear(products, (), dims)
    return net.function("zero", plus(call, score, np.broadcast_to(constant, dims)))


def _leaf_weights(call: Call, forest: Forest, kind: str, classes: int) -> Array:
    """What each leaf adds to each result, (leaves, results)."""
    out = np.zeros((len(forest.leaves), classes))
    at = {leaf: i for i, leaf in enumerate(forest.leaves)}
    keys = (call.ints(f"{kind}_{n}", ()) for n in ("treeids", "nodeids", "ids"))
    weights = call.floats(f"{kind}_weights").tolist()
    for tree, node, result, weight in zip(*keys, weights, strict=True):
        if (tree, node) not in at or not 0 <= result < classes:
            raise UsageError("a weight of a leaf that is not there")
        out[at[tree, node], result] += float(weight)
    return out


def _combined(call: Call, leaf: Sym, forest: Forest, weights: Array, how: str) -> Sym:
    """What the leaves that are reached say together, (rows, results).

    Parameters
    ----------
    call : Call
        The node.
    leaf : Sym
        1 where a leaf is reached.
    forest : Forest
        The trees.
    weights : array
        (leaves, results).
    how : str
        ``SUM``, ``AVERAGE``, ``MIN`` or ``MAX``.
    """
    net, (rows, results) = call.net, (leaf.dims[0], weights.shape[1])
    trees = sorted({tree for tree, _ in forest.leaves})
    if how in ("SUM", "AVERAGE"):
        total = weights / len(trees) if how == "AVERAGE" else weights
        product = ("nl,lc->nc", net.ref(leaf), net.constant(total).terms[0])
        return net.linear([product], (), (rows, results))
    if how not in ("MIN", "MAX"):
        raise UsageError(f"trees that are combined by {how}")
    sign = 1.0 if how == "MAX" else -1.0
    of_tree = np.array([[tree == t for t in trees] for tree, _ in forest.leaves], dtype=float)
    apart = sign * of_tree[:, :, None] * weights[:, None, :]
    product = ("nl,ltc->ntc", net.ref(leaf), net.constant(apart).terms[0])
    said = net.linear([product], (), (rows, len(trees), results))
    return net.view(net.scale(maximum(call, said, 1), sign), Step("sum", 1))


def read_ensemble(call: Call) -> tuple[Forest, Array]:
    """The trees of an ensemble as newer versions have them, and what each leaf adds.

    Raises
    ------
    UsageError
        Where they are none, or too many.
    """
    values = call.floats("nodes_splits")
    count = values.size
    features = call.ints("nodes_featureids", ())
    modes = np.asarray(call.node.attributes.get("nodes_modes", ())).reshape(-1).tolist()
    ways = [(call.ints(f"nodes_{w}nodeids", ()), call.ints(f"nodes_{w}leafs", ()))
            for w in ("true", "false")]  # fmt: skip
    parts: list[Any] = [features, modes, *ways[0], *ways[1]]
    if not 1 <= count <= MAX_NODES or any(len(part) != count for part in parts):
        raise UsageError(f"an ensemble of other than 1 to {MAX_NODES} nodes")
    if not all(0 <= int(m) < len(MODES) for m in modes):
        raise UsageError("conditions other than comparisons with a threshold")
    targets, said = call.ints("leaf_targetids", ()), call.floats("leaf_weights")
    results = call.int("n_targets", 0)
    columns: list[Array] = []
    weights: list[Array] = []
    leaves: list[tuple[int, int]] = []
    if len(targets) != said.size or not 1 <= results <= MAX_NODES:
        raise UsageError("leaves without a weight, or no results")
    seen: set[int] = set()
    waiting: list[tuple[int, int, bool, list[tuple[int, int]]]] = [
        (tree, root, False, []) for tree, root in enumerate(call.ints("tree_roots", ()))
    ]
    while waiting:
        tree, i, ends, path = waiting.pop()
        if ends:
            if not 0 <= i < said.size or not 0 <= targets[i] < results or len(columns) > count * 2:
                raise UsageError("a leaf that is not there")
            column, row = np.zeros(count), np.zeros(results)
            for condition, sign in path:
                column[condition] = sign
            row[targets[i]] = said[i]
            columns.append(column)
            weights.append(row)
            leaves.append((tree, len(leaves)))
            continue
        if not 0 <= i < count or i in seen or len(path) > MAX_DEPTH:
            raise UsageError("trees that are none, share nodes, or are deeper than 64")
        seen.add(i)
        waiting += [(tree, way[0][i], bool(way[1][i]), [*path, (i, sign)])
                    for way, sign in zip(ways, (1, -1), strict=True)]  # fmt: skip
    if not columns:
        raise UsageError("an ensemble without trees")
    names = [MODES[int(m)] for m in modes]
    return Forest(list(features), values, names, np.stack(columns, 1), leaves), np.stack(weights)


@handler("TreeEnsemble")
def tree_ensemble(call: Call) -> Result:
    """Sums, means or extremes of what the leaves say, in the form of version 5."""
    forest, weights = read_ensemble(call)
    leaf = _reached(call, call.value(0), forest)
    how, post = call.int("aggregate_function", 1), call.int("post_transform", 0)
    if not 0 <= how < len(COMBINED) or not 0 <= post < len(SHOWN):
        raise UsageError("a way to combine trees that is not known")
    return transformed(call, _combined(call, leaf, forest, weights, COMBINED[how]), SHOWN[post])


def _ensemble(call: Call, kind: str, classes: int) -> Sym:
    forest = read_forest(call)
    leaf = _reached(call, call.value(0), forest)
    weights = _leaf_weights(call, forest, kind, classes)
    out = _combined(call, leaf, forest, weights, call.text("aggregate_function", "SUM"))
    base = call.floats("base_values")
    return plus(call, out, np.broadcast_to(base, out.dims)) if base.size else out


@handler("TreeEnsembleRegressor")
def tree_regressor(call: Call) -> Result:
    """Sums, means or extremes of what the leaves say."""
    out = _ensemble(call, "target", call.int("n_targets", 1))
    return transformed(call, out)


@handler("TreeEnsembleClassifier")
def tree_classifier(call: Call) -> Result:
    """The label, and a score for each class."""
    labels = labels_of(call)
    classes = max(2, len(labels))
    ids = set(call.ints("class_ids", ()))
    if classes == 2 and len(ids) == 1:
        one = _ensemble(call, "class", max(ids) + 1)
        single = call.net.view(one, Step("slice", 1, (max(ids), max(ids) + 1, 1)))
        return _binary(call, single, labels)
    return classified(call, _ensemble(call, "class", classes), labels)


def _binary(call: Call, score: Sym, labels: Labels) -> list[Value]:
    """Two classes from the score of one."""
    net, post = call.net, call.text("post_transform", "NONE")
    level = 0.5
    if post == "LOGISTIC":
        positive = net.settled(net.function("sigmoid", score))
        negative = plus(call, np.ones(positive.dims), net.scale(positive, -1.0))
    elif post == "NONE":
        positive = net.settled(score)
        weights = call.floats("class_weights")
        level = 0.5 if weights.min(initial=0.0) >= 0 else 0.0
        negative = (
            plus(call, np.ones(positive.dims), net.scale(positive, -1.0))
            if level
            else net.scale(positive, -1.0)
        )
    else:
        raise UsageError(f"the transform {post} of two classes")
    over = net.settled(net.function("step", plus(call, positive, np.full(score.dims, -level))))
    chosen = both_sides(call, plus(call, np.ones(over.dims), net.scale(over, -1.0)), over)
    return [label_of(call, chosen, labels), both_sides(call, negative, positive)]
