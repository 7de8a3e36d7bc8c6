"""Every ONNX op that is lowered, against onnxruntime, in floats and as an integer program."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")

from tests.support.onnx_models import model, node, save  # noqa: E402
from veracity.frontends.onnx import import_onnx, open_onnx  # noqa: E402
from veracity.frontends.onnx.importing import settle  # noqa: E402
from veracity.frontends.onnx.lowering import HANDLERS  # noqa: E402
from veracity.graph import execute  # noqa: E402

RNG = np.random.default_rng(5)


def real(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def ints(*numbers: int) -> np.ndarray:
    return np.array(numbers, dtype=np.int64)


PICTURE = {"x": (1, 4, 7, 6)}
POOL: dict[str, Any] = {"kernel_shape": [3, 2], "strides": [2, 2]}
W = {"w": real(6, 4, 3, 3), "b": real(6)}

#: Two trees over three features: conditions of every kind, leaves at several depths.
FOREST: dict[str, Any] = {
    "nodes_treeids": [0] * 5 + [1] * 7,
    "nodes_nodeids": [*range(5), *range(7)],
    "nodes_featureids": [0, 1, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0],
    "nodes_modes": ["BRANCH_LEQ", "BRANCH_LT", "LEAF", "LEAF", "LEAF",
                    "BRANCH_GT", "BRANCH_GTE", "LEAF", "LEAF", "BRANCH_LEQ", "LEAF", "LEAF"],
    "nodes_values": [0.51, 0.33, 0, 0, 0, 0.62, 0.27, 0, 0, 0.74, 0, 0],
    "nodes_truenodeids": [1, 3, 0, 0, 0, 1, 3, 0, 0, 5, 0, 0],
    "nodes_falsenodeids": [2, 4, 0, 0, 0, 2, 4, 0, 0, 6, 0, 0],
}  # fmt: skip
LEAVES = [(0, 2), (0, 3), (0, 4), (1, 2), (1, 3), (1, 5), (1, 6)]


def leaves(kind: str, results: int) -> dict[str, Any]:
    """What every leaf says of each result."""
    said = [(t, n, r) for t, n in LEAVES for r in range(results)]
    names = ("treeids", "nodeids", "ids")
    found: dict[str, Any] = {
        f"{kind}_{name}": list(column)
        for name, column in zip(names, zip(*said, strict=True), strict=True)
    }
    return found | {f"{kind}_weights": [round(float(v), 3) for v in RNG.random(len(said))]}


ROWS = {"x": (6, 3)}
LABELS = {"classlabels_int64s": [0, 1, 2]}
#: (op, reads, writes), attributes, nodes behind, inputs
LEARNT: dict[str, Any] = {
    "trees": (("TreeEnsembleRegressor", "x"), FOREST | leaves("target", 2) | {
        "n_targets": 2, "base_values": [0.5, -0.25]}, [], ROWS),
    "mean of trees": (("TreeEnsembleRegressor", "x"), FOREST | leaves("target", 1) | {
        "aggregate_function": "AVERAGE", "n_targets": 1}, [], ROWS),
    "classes by trees": (("TreeEnsembleClassifier", "x", "l y"), FOREST | leaves("class", 3)
                         | LABELS | {"post_transform": "SOFTMAX"}, [], ROWS),
    "labels by trees": (("TreeEnsembleClassifier", "x", "l s"), FOREST | leaves("class", 3)
                        | LABELS, [node("Cast", "l", to=1)], ROWS),
    "two classes by trees": (("TreeEnsembleClassifier", "x", "l y"), FOREST | leaves("class", 1)
                             | {"classlabels_int64s": [0, 1], "post_transform": "LOGISTIC"},
                             [], ROWS),
    "linear regression": (("LinearRegressor", "x"), {
        "coefficients": [0.5, -1.25, 2.0], "intercepts": [0.75]}, [], ROWS),
    "linear classes": (("LinearClassifier", "x", "l s"), {
        "coefficients": [round(float(v), 3) for v in RNG.standard_normal(9)],
        "intercepts": [0.1, 0.0, -0.2], "classlabels_ints": [3, 4, 5],
        "post_transform": "LOGISTIC"},
        [node("Cast", "l", "m", to=1), node("Unsqueeze", "m q", "u"), node("Add", "u s")], ROWS),
    "scaled features": (("Scaler", "x", "a"),
                        {"offset": [0.5, 0.0, -1.0], "scale": [2.0, 1.0, 0.5]},
                        [node("Normalizer", "a", domain="ai.onnx.ml", norm="L2")], ROWS),
}  # fmt: skip


#: (nodes, inputs, weights, opset)
CASES: dict[str, tuple[Any, ...]] = {
    "conv": ([node("Conv", "x w b", pads=[1, 0, 1, 2], strides=[2, 1])], PICTURE, W),
    "conv dilated": ([node("Conv", "x w", dilations=[2, 1])], PICTURE, W),
    "conv same": ([node("Conv", "x w", auto_pad="SAME_LOWER", strides=[2, 2])], PICTURE, W),
    "conv groups": ([node("Conv", "x w", group=2)], PICTURE, {"w": real(6, 2, 3, 3)}),
    "conv depthwise": ([node("Conv", "x w b", group=4)], PICTURE,
                       {"w": real(4, 1, 3, 2), "b": real(4)}),
    "conv 1-d": ([node("Conv", "x w")], {"x": (1, 3, 9)}, {"w": real(2, 3, 4)}),
    "conv 3-d": ([node("Conv", "x w")], {"x": (1, 2, 4, 5, 3)}, {"w": real(2, 2, 3, 2, 2)}),
    "transposed": ([node("ConvTranspose", "x w b", strides=[2, 3], pads=[1, 0, 0, 1],
                         output_padding=[1, 0])], PICTURE, {"w": real(4, 5, 3, 3), "b": real(5)}),
    "transposed groups": ([node("ConvTranspose", "x w", group=2)], PICTURE,
                          {"w": real(4, 3, 2, 2)}),
    "max pool": ([node("MaxPool", "x", pads=[1, 0, 1, 1], **POOL)], PICTURE),
    "max pool ceil": ([node("MaxPool", "x", ceil_mode=1, **POOL)], PICTURE),
    "max pool dilated": ([node("MaxPool", "x", dilations=[2, 3], kernel_shape=[2, 2])], PICTURE),
    "average pool": ([node("AveragePool", "x", pads=[1, 1, 1, 0], **POOL)], PICTURE),
    "average pool with pads": ([node("AveragePool", "x", pads=[1, 1, 1, 0], count_include_pad=1,
                                     **POOL)], PICTURE),
    "global pools": ([node("GlobalAveragePool", "x", "a"), node("GlobalMaxPool", "x", "b"),
                      node("Add", "a b")], PICTURE),
    "lp pool": ([node("LpPool", "x", p=1, **POOL)], PICTURE),
    "batch norm": ([node("BatchNormalization", "x s b m v")], PICTURE,
                   {"s": real(4), "b": real(4), "m": real(4), "v": np.abs(real(4)) + 1}),
    "instance norm": ([node("InstanceNormalization", "x s b")], PICTURE,
                      {"s": real(4), "b": real(4)}),
    "layer norm": ([node("LayerNormalization", "x s b")], PICTURE, {"s": real(6), "b": real(6)}),
    "flatten, gemm": ([node("Flatten", "x", "f"), node("Gemm", "f w b", transB=1, alpha=0.5)],
                      PICTURE, {"w": real(5, 168), "b": real(5)}),
    "reshape, matmul": ([node("Reshape", "x s", "f"), node("MatMul", "f w")], PICTURE,
                        {"s": ints(0, 14, -1), "w": real(12, 3)}),
    "matmul of values": ([node("Transpose", "x", "t", perm=[0, 1, 3, 2]), node("MatMul", "x t")],
                         PICTURE),
    "matmul broadcast": ([node("MatMul", "x w")], PICTURE, {"w": real(4, 6, 3)}),
    "gemm transposed": ([node("Gemm", "x w", transA=1, beta=2.0)], {"x": (4, 3)},
                        {"w": real(4, 5)}),
    "einsum": ([node("Einsum", "x w", equation="ncyx,co->noyx")], PICTURE, {"w": real(4, 2)}),
    "arithmetic": ([node("Mul", "x w", "a"), node("Sub", "a x", "b"), node("Div", "b v", "c"),
                    node("Neg", "c", "d"), node("Add", "d w")], PICTURE,
                   {"w": real(4, 1, 1), "v": np.float32([2.0])}),
    "mean, sum": ([node("Mean", "x w", "a"), node("Sum", "a x w")], PICTURE, {"w": real(6)}),
    "division of values": ([node("Abs", "x", "a"), node("Add", "a o", "b"), node("Div", "x b")],
                           PICTURE, {"o": np.float32([1.0])}),
    "min, max": ([node("Max", "x w", "a"), node("Min", "a v")], PICTURE,
                 {"w": real(6), "v": real(7, 1)}),
    "reduce": ([node("ReduceMean", "x", "a", axes=[1, -1]), node("ReduceMax", "a", axes=[2])],
               PICTURE),
    "reduce sum": ([node("ReduceSum", "x a", keepdims=0)], PICTURE, {"a": ints(1)}),
    "reduce min": ([node("ReduceMin", "x", axes=[1], keepdims=0)], PICTURE),
    "norms": ([node("ReduceL1", "x", "a", axes=[3]), node("ReduceL2", "x", "b", axes=[3]),
               node("Add", "a b")], PICTURE),
    "square, log sum": ([node("ReduceSumSquare", "x", "a", axes=[1]), node("Add", "a o", "b"),
                         node("ReduceLogSum", "b", axes=[2])], PICTURE, {"o": np.float32([1.0])}),
    "log sum exp": ([node("ReduceLogSumExp", "x", axes=[3])], PICTURE),
    "softmax": ([node("Softmax", "x", axis=1)], PICTURE),
    "softmax 11": ([node("Softmax", "x", axis=2)], PICTURE, None, 11),
    "log softmax": ([node("LogSoftmax", "x", axis=-1)], PICTURE),
    "views": ([node("Transpose", "x", "a", perm=[0, 2, 1, 3]), node("Slice", "a s e ax st", "b"),
               node("Squeeze", "b q", "c"), node("Unsqueeze", "c u")], PICTURE,
              {"s": ints(5, 1), "e": ints(0, 6), "ax": ints(1, 3), "st": ints(-2, 2),
               "q": ints(0), "u": ints(1)}),
    "slice 9": ([node("Slice", "x", starts=[1], ends=[3], axes=[1])], PICTURE, None, 9),
    "split, concat": ([node("Split", "x s", "a b", axis=2), node("Concat", "b a x", axis=2)],
                      PICTURE, {"s": ints(3, 4)}),
    "pads": ([node("Pad", "x p v", "a"), node("Pad", "a p", "b", mode="edge"),
              node("Pad", "b p", mode="reflect")], PICTURE,
             {"p": ints(0, 0, 1, 0, 0, 1, 0, 2), "v": np.float32(0.5)}),
    "expand, tile": ([node("Expand", "x s", "a"), node("Tile", "a r")], {"x": (1, 3, 1)},
                     {"s": ints(2, 3, 4), "r": ints(1, 2, 1)}),
    "gather": ([node("Gather", "x i", "a", axis=2), node("Gather", "a j", axis=1)], PICTURE,
               {"i": np.array([[0, -1], [2, 2]]), "j": np.array(1)}),
    "gather elements": ([node("GatherElements", "x i", axis=1)], {"x": (1, 5)},
                        {"i": np.array([[4, 0, 0]])}),
    "gather elements of rows": ([node("GatherElements", "x i", axis=0)], {"x": (3, 4)},
                                {"i": np.array([[2, 0, -1], [1, 1, 0]])}),
    "gather elements by values": ([node("Mul", "x f", "a"), node("Floor", "a", "b"),
                                   node("Cast", "b", "c", to=7),
                                   node("GatherElements", "x c", axis=1)], {"x": (2, 4, 3)},
                                  {"f": np.float32([3.9])}),
    "whole division": ([node("Mul", "x f", "a"), node("Floor", "a", "b"),
                        node("Cast", "b", "c", to=7), node("Div", "c m", "d"),
                        node("Cast", "d", to=1)], PICTURE,
                       {"f": np.float32([-37.0]), "m": ints(3)}),
    "floats by integers": ([node("Mul", "x f", "a"), node("Floor", "a", "b"),
                            node("Cast", "b", "c", to=7), node("Gather", "w c", "d"),
                            node("Div", "d v")], {"x": (1, 6)},
                           {"f": np.float32([3.9]), "w": real(4, 2), "v": np.float32([3.0])}),
    "depth to space": ([node("DepthToSpace", "x", blocksize=2)], PICTURE),
    "depth to space crd": ([node("DepthToSpace", "x", blocksize=2, mode="CRD")], PICTURE),
    "space to depth": ([node("SpaceToDepth", "x", blocksize=2)], {"x": (1, 3, 4, 6)}),
    "trilu": ([node("Trilu", "x", upper=0)], PICTURE),
    "nearest": ([node("Resize", "x _ s", mode="nearest", nearest_mode="floor",
                      coordinate_transformation_mode="asymmetric")], PICTURE,
                {"s": np.float32([1, 1, 2, 1.5])}),
    "bilinear": ([node("Resize", "x _ s", mode="linear")], PICTURE,
                 {"s": np.float32([1, 1, 2, 0.5])}),
    "bilinear corners": ([node("Resize", "x _ _ s", mode="linear",
                               coordinate_transformation_mode="align_corners")], PICTURE,
                         {"s": ints(1, 4, 9, 11)}),
    "upsample": ([node("Upsample", "x s", mode="nearest")], PICTURE,
                 {"s": np.float32([1, 1, 2, 2])}, 9),
    "functions": ([node("Sigmoid", "x", "a"), node("Tanh", "a", "b"), node("Exp", "b", "c"),
                   node("Log", "c", "d"), node("Sqrt", "d", "e"), node("Erf", "e", "f"),
                   node("Softplus", "f", "g"), node("Softsign", "g")], PICTURE),
    "more functions": ([node("Sin", "x", "a"), node("Cos", "a", "b"), node("Reciprocal", "b", "c"),
                        node("HardSwish", "c", "d"), node("Mish", "d")], PICTURE, None, 18),
    "rounding": ([node("Floor", "x", "a"), node("Ceil", "x", "b"), node("Round", "x", "c"),
                  node("Sign", "x", "d"), node("Sum", "a b c d")], PICTURE),
    "activations": ([node("LeakyRelu", "x", "a", alpha=0.3), node("Elu", "a", "b"),
                     node("Selu", "b", "c"), node("Celu", "c", "d", alpha=2.0),
                     node("HardSigmoid", "d")], PICTURE),
    "prelu": ([node("PRelu", "x w")], PICTURE, {"w": real(4, 1, 1)}),
    "prelu of one": ([node("PRelu", "x w")], PICTURE, {"w": np.float32([0.2])}),
    "clip": ([node("Clip", "x l h")], PICTURE, {"l": np.float32(-0.5), "h": np.float32(0.25)}),
    "clip 6": ([node("Clip", "x", min=-0.5, max=0.25)], PICTURE, None, 10),
    "powers": ([node("Pow", "x t", "a"), node("Pow", "a h")], PICTURE,
               {"t": np.float32(2), "h": np.float32(1.5)}),
    "power of a constant": ([node("Pow", "c x")], PICTURE, {"c": np.float32([2.5])}),
    "gelu": ([node("Gelu", "x", "a"), node("Gelu", "a", approximate="tanh")], PICTURE, None, 20),
    "where": ([node("Greater", "x z", "c"), node("Less", "x w", "d"), node("And", "c d", "e"),
               node("Not", "e", "f"), node("Where", "f x w")], PICTURE,
              {"z": np.float32([-0.5]), "w": np.float32([0.5])}),
    "comparisons": ([node("GreaterOrEqual", "x z", "c"), node("LessOrEqual", "x z", "d"),
                     node("Or", "c d", "e"), node("Xor", "c d", "f"), node("Cast", "e", "g", to=1),
                     node("Cast", "f", "h", to=1), node("Sub", "g h")], PICTURE,
                    {"z": np.float32([0.25])}),
    "equal": ([node("Round", "x", "a"), node("Equal", "a z", "c"), node("Cast", "c", to=1)],
              PICTURE, {"z": np.float32([1.0])}),
    "one hot": ([node("Relu", "x", "a"), node("Round", "a", "b"), node("Cast", "b", "c", to=7),
                 node("OneHot", "c n v")], {"x": (1, 5)},
                {"n": np.array(4), "v": np.float32([0, 2])}),
    "arg max": ([node("ArgMax", "x", "a", axis=-1), node("Cast", "a", to=1)], {"x": (1, 5)}),
    "identity, dropout": ([node("Identity", "x", "a"), node("Dropout", "a")], PICTURE),
    "conv, batch norm": ([node("Conv", "x w c", "a"), node("BatchNormalization", "a s b m v")],
                         PICTURE, {"w": real(3, 4, 2, 2), "c": real(3), "s": real(3), "b": real(3),
                                   "m": real(3), "v": np.abs(real(3)) + 1}),
    "a convolution with other readers": (
        [node("Conv", "x w", "a", pads=[1, 1, 1, 1]), node("Relu", "a", "r"),
         node("Add", "a x", "b"), node("Conv", "b w", "c", pads=[1, 1, 1, 1]),
         node("Add", "c b", "d"), node("Sub", "d r")],
        PICTURE, {"w": real(4, 4, 3, 3)}),
    "relu, pool": ([node("Relu", "x", "a"), node("MaxPool", "a", **POOL)], PICTURE),
    "lstm": ([node("LSTM", "x w r b", "y", hidden_size=3)], {"x": (4, 2, 5)},
             {"w": real(1, 12, 5), "r": real(1, 12, 3), "b": real(1, 24)}),
    "lstm both ways": ([node("LSTM", "x w r _ _ h c", "y", hidden_size=3,
                             direction="bidirectional")], {"x": (3, 1, 5)},
                       {"w": real(2, 12, 5), "r": real(2, 12, 3), "h": real(2, 1, 3),
                        "c": real(2, 1, 3)}),
    "gru": ([node("GRU", "x w r b", "_ y", hidden_size=3, direction="reverse")], {"x": (4, 2, 5)},
            {"w": real(1, 9, 5), "r": real(1, 9, 3), "b": real(1, 18)}),
    "gru linear": ([node("GRU", "x w r b", "y", hidden_size=3, linear_before_reset=1)],
                   {"x": (4, 2, 5)}, {"w": real(1, 9, 5), "r": real(1, 9, 3), "b": real(1, 18)}),
    "rnn": ([node("RNN", "x w r b", "y", hidden_size=3, activations=["Relu"])], {"x": (4, 2, 5)},
            {"w": real(1, 3, 5), "r": real(1, 3, 3), "b": real(1, 6)}),
    "trigonometry": ([node("Tan", "x", "a"), node("Atan", "a", "b"), node("Sinh", "b", "c"),
                      node("Asinh", "c", "d"), node("Tanh", "d", "e"), node("Atanh", "e", "f"),
                      node("Cosh", "f", "g"), node("Acosh", "g")], PICTURE),
    "inverse sines": ([node("Asin", "x", "a"), node("Acos", "x", "b"), node("Sub", "a b")],
                      PICTURE),
    "group norm": ([node("GroupNormalization", "x s b", num_groups=2)], PICTURE,
                   {"s": real(4), "b": real(4)}, 21),
    "group norm 18": ([node("GroupNormalization", "x s b", num_groups=2)], PICTURE,
                      {"s": real(2), "b": real(2)}, 18),
    "gather nd": ([node("GatherND", "x i")], PICTURE, {"i": np.array([[[0, 3], [0, 1]]])}),
    "scatter nd": ([node("Relu", "u", "v"), node("ScatterND", "x i v")],
                   {"x": (4, 3), "u": (2, 3)}, {"i": np.array([[3], [1]])}),
    "scatter elements": ([node("ScatterElements", "x i w", axis=1)], {"x": (2, 4)},
                         {"i": np.array([[3, 0], [-3, 2]]), "w": real(2, 2)}),
    "scatter 10": ([node("Scatter", "x i w", axis=0)], {"x": (3, 2)},
                   {"i": np.array([[2, 0]]), "w": real(1, 2)}, 10),
    "sums of all before": ([node("CumSum", "x a", "y0", exclusive=1),
                            node("CumSum", "y0 b", reverse=1)], PICTURE,
                           {"a": np.array(2), "b": np.array(-1)}),
    "hard max": ([node("Round", "x", "a"), node("Hardmax", "a", axis=-1)], PICTURE),
    "largest in order": ([node("TopK", "x k", "y _i", axis=2)], PICTURE, {"k": ints(3)}),
    "smallest in order": ([node("TopK", "x k", "y _i", axis=1, largest=0)], {"x": (3, 5)},
                          {"k": ints(5)}),
    "arg max of rows": ([node("ArgMax", "x", "a", axis=1), node("Cast", "a", to=1)],
                        {"x": (4, 5, 2)}),
    "arg max that others read": ([node("Round", "x", "r"), node("ArgMax", "r", "a", axis=1),
                                  node("Squeeze", "a q", "b"), node("Gather", "w b")],
                                 {"x": (3, 6)}, {"w": real(6, 2), "q": ints(1)}),
    "arg max without its axis": ([node("ArgMax", "x", "a", axis=0, keepdims=0),
                                  node("Cast", "a", "b", to=1), node("Add", "b x")],
                                 {"x": (4, 3)}),
    "arg min": ([node("ArgMin", "x", "a", axis=0, keepdims=0), node("Cast", "a", to=1)],
                {"x": (4, 3)}),
    "remainders": ([node("Mul", "x f", "a"), node("Mod", "a c", "b", fmod=1),
                    node("Mod", "b d", fmod=1)], PICTURE,
                   {"f": np.float32([-7.3]), "c": np.float32([2.25]), "d": np.float32([0.75])}),
    "whole remainders": ([node("Mul", "x f", "a"), node("Floor", "a", "b"),
                          node("Cast", "b", "c", to=7), node("Mod", "c m", "d"),
                          node("Cast", "d", to=1)], PICTURE,
                         {"f": np.float32([-17.0]), "m": ints(5)}),
    "steps and back": ([node("QuantizeLinear", "x s z", "a"),
                        node("DequantizeLinear", "a s z")], PICTURE,
                       {"s": np.float32(0.02), "z": np.uint8(7)}),
    "steps of channels": ([node("QuantizeLinear", "x s z", "a", axis=1),
                           node("DequantizeLinear", "a s z", axis=1)], PICTURE,
                          {"s": np.float32([0.01, 0.02, 0.005, 0.1]),
                           "z": np.int8([0, -3, 5, 0])}),
    "threshold, shrink": ([node("ThresholdedRelu", "x", "a", alpha=0.4),
                           node("Shrink", "x", "b", lambd=0.3, bias=0.1), node("Add", "a b")],
                          PICTURE),
    "length one": ([node("LpNormalization", "x", "a", axis=1, p=2),
                    node("LpNormalization", "a", axis=-1, p=1)], PICTURE),
    "mean and variance": ([node("MeanVarianceNormalization", "x")], PICTURE),
    "local response": ([node("LRN", "x", size=3, alpha=0.5, bias=1.5)], PICTURE),
    "products over axes": ([node("ReduceProd", "x", "a", axes=[1]),
                            node("ReduceProd", "a", axes=[2], keepdims=0)], {"x": (1, 2, 3)}),
    "constants": ([node("Xor", "t f", "a"), node("Cast", "a", "b", to=1), node("Sign", "w", "c"),
                   node("Tanh", "c", "d"), node("CumSum", "d i", "e"), node("Relu", "e", "g"),
                   node("ArgMax", "w", "h", axis=1, keepdims=0), node("Gather", "g h", "k"),
                   node("NonZero", "g", "m"), node("Transpose", "m", "n", perm=[1, 0]),
                   node("GatherND", "g n", "o"), node("ReduceSum", "o", "p", keepdims=0),
                   node("EyeLike", "z", "q"), node("ScatterND", "q n3 u", "r"),
                   node("ReduceL2", "r", "s", keepdims=0), node("Mean", "p s", "v"),
                   node("ReduceMax", "k", "k1", keepdims=0), node("Sum", "x v b k1")],
                  {"x": (1, 2)},
                  {"t": np.array([True, False]), "f": np.array([True, True]), "w": real(3, 3),
                   "i": np.array(0), "z": real(3, 3), "n3": np.array([[0, 1], [2, 0]]),
                   "u": np.float32([5, 7])}),
    "einsum of three": ([node("Einsum", "x w x", equation="ncyx,co,nmyx->omn")], PICTURE,
                        {"w": real(4, 2)}),
    "einsum of one": ([node("Einsum", "x", equation="ncyx->xc")], PICTURE),
    "numbers alone": ([node("Gather", "x i", "a"), node("Gather", "x j", "b"),
                       node("Sub", "a b", "c"), node("Add", "a b", "d"), node("Mul", "c d", "e"),
                       node("Add", "e x")], {"x": (4,)}, {"i": np.array(1), "j": np.array(3)}),
    "crop, wrap": ([node("Pad", "x p", "a"), node("Pad", "a q", mode="wrap")], PICTURE,
                   {"p": ints(0, 0, -1, 1, 0, 0, 1, -2), "q": ints(0, 0, 2, 0, 0, 0, 0, 3)}, 19),
    "bicubic": ([node("Resize", "x _ s", mode="cubic")], PICTURE,
                {"s": np.float32([1, 1, 2, 1.5])}),
    "arg max, the last": ([node("Round", "x", "r"),
                           node("ArgMax", "r", "a", axis=1, select_last_index=1),
                           node("Cast", "a", to=1)], {"x": (4, 5)}),
    "largest and where": ([node("TopK", "x k", "v i", axis=1), node("Cast", "i", "f", to=1),
                           node("Add", "v f")], {"x": (2, 6, 2)}, {"k": ints(3)}),
    "smallest and where": ([node("Round", "x", "r"), node("TopK", "r k", "v i", largest=0),
                            node("Cast", "i", "f", to=1), node("Sub", "v f")], {"x": (3, 5)},
                           {"k": ints(5)}),
    "gather nd by values": ([node("Mul", "x f", "a"), node("Floor", "a", "b"),
                             node("Cast", "b", "c", to=7), node("GatherND", "w c")],
                            {"x": (3, 2)}, {"f": np.float32([3.9]), "w": real(4, 4, 2)}),
    "gather nd in batches": ([node("Mul", "u f", "a"), node("Floor", "a", "b"),
                              node("Cast", "b", "c", to=7),
                              node("GatherND", "x c", batch_dims=1)],
                             {"x": (2, 4, 3), "u": (2, 5, 1)}, {"f": np.float32([3.9])}),
    "gather nd, constants in batches": ([node("GatherND", "x i", batch_dims=1)], {"x": (2, 3, 4)},
                                        {"i": np.array([[[2, 1]], [[0, 3]]])}),
    "gather values by values": ([node("Mul", "u f", "a"), node("Floor", "a", "b"),
                                 node("Cast", "b", "c", to=7), node("Gather", "x c")],
                                {"x": (4, 3), "u": (2, 2)}, {"f": np.float32([3.9])}),
    "scatter nd by values": ([node("TopK", "v k", "t i", axis=0), node("Unsqueeze", "i q", "j"),
                              node("ScatterND", "x j w")], {"x": (4, 3), "v": (4,)},
                             {"k": ints(2), "q": ints(1), "w": real(2, 3)}),
    "scatter elements by values": ([node("TopK", "v k", "t i", axis=1),
                                    node("ScatterElements", "x i t", axis=1)],
                                   {"x": (2, 5), "v": (2, 5)}, {"k": ints(2)}),
    "scatter what is added": ([node("ScatterElements", "x i w", axis=0, reduction="add")],
                              {"x": (3, 2)},
                              {"i": np.array([[2, 0], [2, 1]]), "w": real(2, 2)}, 18),
    "scatter values that are added": ([node("ScatterND", "x i u", reduction="add")],
                                      {"x": (4, 3), "u": (3, 3)},
                                      {"i": np.array([[3], [1], [3]])}, 18),
    "reverse sequence": ([node("ReverseSequence", "x n", batch_axis=1, time_axis=0)],
                         {"x": (4, 3, 2)}, {"n": ints(2, 4, 1)}),
    "compress": ([node("Compress", "x c", axis=2)], PICTURE,
                 {"c": np.array([True, False, True, True, False, False, True])}),
    "bits": ([node("Mul", "x f", "a"), node("Floor", "a", "b"), node("Cast", "b", "c", to=5),
              node("BitwiseAnd", "c m", "d"), node("BitwiseOr", "c n", "e"),
              node("BitwiseXor", "c m", "g"), node("BitwiseNot", "g", "h"),
              node("Cast", "d", "d2", to=1), node("Cast", "e", "e2", to=1),
              node("Cast", "h", "h2", to=1), node("Sum", "d2 e2 h2")], PICTURE,
             {"f": np.float32([60.0]), "m": np.array([13], dtype=np.int16),
              "n": np.array([2, 4, 1, 0, 8, 3], dtype=np.int16)}, 18),
    "shifts": ([node("Mul", "x f", "a"), node("Floor", "a", "b"), node("Cast", "b", "c", to=12),
                node("BitShift", "c s", "d", direction="RIGHT"),
                node("BitShift", "d s", "e", direction="LEFT"), node("Cast", "e", to=1)], PICTURE,
               {"f": np.float32([100.0]), "s": np.array([2], dtype=np.uint32)}),
    "never": ([node("IsNaN", "x", "a"), node("IsInf", "x", "b"), node("Or", "a b", "c"),
               node("Where", "c w x")], PICTURE, {"w": np.float32([9.0])}),
    "lengths of channels": ([node("GlobalLpPool", "x", "a", p=2),
                             node("GlobalLpPool", "x", "b", p=1), node("Add", "a b")], PICTURE),
    "quantised": ([node("QuantizeLinear", "x s z", "a"),
                   node("QLinearConv", "a s z w sw zw s2 z2 b", "c", pads=[1, 1, 1, 1]),
                   node("DequantizeLinear", "c s2 z2", "d"), node("Reshape", "d r", "e"),
                   node("QuantizeLinear", "e s z", "g"),
                   node("QLinearMatMul", "g s z m s1 z1 s2 z2", "h"),
                   node("DequantizeLinear", "h s2 z2")], PICTURE,
                  {"s": np.float32(0.01), "z": np.uint8(3), "sw": np.float32([0.02, 0.01, 0.03]),
                   "w": RNG.integers(-90, 90, (3, 4, 3, 3)).astype(np.int8),
                   "zw": np.int8([0, 0, 0]), "s2": np.float32(0.05), "z2": np.uint8(100),
                   "b": np.int32([400, -900, 30]), "r": ints(3, 42),
                   "m": RNG.integers(-90, 90, (42, 2)).astype(np.int8), "s1": np.float32(0.02),
                   "z1": np.int8(0)}),
    "products of integers": ([node("QuantizeLinear", "x s z", "a"),
                              node("ConvInteger", "a w z", "b"), node("Cast", "b", "c", to=1),
                              node("Reshape", "a r", "d"), node("MatMulInteger", "d m z", "e"),
                              node("Cast", "e", "g", to=1), node("ReduceSum", "g", "h"),
                              node("Squeeze", "h", "k"), node("Add", "c k")], PICTURE,
                             {"s": np.float32(0.02), "z": np.uint8(3), "r": ints(4, 42),
                              "w": RNG.integers(-20, 20, (2, 4, 2, 2)).astype(np.int8),
                              "m": RNG.integers(-20, 20, (42, 3)).astype(np.int8)}),
    "windows": ([node("HannWindow", "n", "a"), node("HammingWindow", "n", "b"),
                 node("BlackmanWindow", "n", "c", periodic=0), node("Sum", "a b c", "d"),
                 node("Clip", "d l", "e"), node("Softmax", "e", "f", axis=0),
                 node("Erf", "f", "g"), node("Pad", "g p v", "h"), node("Mul", "x h")],
                {"x": (2, 9)}, {"n": np.array(6), "l": np.float32(0.1), "p": ints(1, 2),
                                "v": np.float32(0.5)}),
    **{name: ([node(*given, domain="ai.onnx.ml", **settings), *more], inputs, {"q": ints(1)})
       for name, (given, settings, more, inputs) in LEARNT.items()},
    "shapes": ([node("Shape", "x", "s"), node("Gather", "s i", "d"), node("Cast", "d", "f", to=1),
                node("Div", "x f")], PICTURE, {"i": ints(2)}),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_an_op_is_what_onnxruntime_computes(name: str, tmp_path: Path) -> None:
    nodes, inputs, weights, opset = (*CASES[name], None, None)[:4]
    path = save(model(nodes, inputs, weights, opset=opset or 17), tmp_path)
    opened = open_onnx(path)
    traced = opened.trace()
    assert not traced.faults, traced.faults
    value = settle(traced, opened.outputs)["y"]
    rng = np.random.default_rng(1)
    x = {n: rng.random(d).astype(np.float32) for n, d in inputs.items()}
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (expected,) = session.run(["y"], x)
    found = traced.net.run(x)[value]
    assert found.size == expected.size
    assert np.allclose(found.reshape(-1), expected.reshape(-1), rtol=1e-4, atol=1e-4)
    network = import_onnx(path, tmp_path / "net.vprog")
    program = network.program
    integers = {
        n: np.floor(np.ldexp(v, program.inputs[n].exponent) + 0.5).astype(np.int64)
        for n, v in x.items()
    }
    got = execute(program, network.weights, integers).outputs["y"]
    reals = np.ldexp(got.astype(float), -program.outputs["y"].exponent).reshape(-1)
    signal = np.abs(expected).max() or 1.0
    assert np.abs(reals - expected.reshape(-1)).mean() < 0.02 * signal


def test_every_handler_is_tried() -> None:
    tried = {n.op_type for nodes, *_ in CASES.values() for n in nodes}
    assert set(HANDLERS) - tried <= {"CastLike", "RMSNormalization", "Swish"}
