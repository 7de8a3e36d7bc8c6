"""ONNX ops that are made of others, against onnxruntime: masks, pictures, algebra."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from tests.support.onnx_check import WHOLE, check, check_case
from tests.support.onnx_models import model, node, save
from tests.unit import test_onnx_bodies, test_onnx_fused, test_onnx_learnt, test_onnx_ops
from tests.unit.test_onnx_ops import PICTURE, ints, real
from veracity.frontends.onnx.calls import HANDLERS

RNG = np.random.default_rng(11)
HEADS = {"x": (1, 2, 5, 4)}
CAUSAL = np.tril(np.ones((5, 5), bool))
LOW = float(np.finfo(np.float32).min)
QUERIES = [node("MatMul", "x w", "q1"), node("MatMul", "x v", "k1"),
           node("MatMul", "x u", "v1")]  # fmt: skip
SIXTEEN = {"w": real(8, 8), "v": real(8, 4), "u": real(8, 4)}
ANGLES = {"cos": np.cos(np.arange(20).reshape(10, 2) * 0.3).astype(np.float32),
          "sin": np.sin(np.arange(20).reshape(10, 2) * 0.3).astype(np.float32)}  # fmt: skip
ATTENTION: dict[str, tuple[Any, ...]] = {
    "a mask by choice": ([node("Where", "m x l", "a"), node("Softmax", "a")], HEADS,
                         {"m": CAUSAL[:, :4], "l": np.float32([LOW])}),
    "a mask by minus infinity": ([node("Where", "m l x", "a"), node("Softmax", "a")], HEADS,
                                 {"m": ~CAUSAL[:, :4] & (np.arange(4) > 0),
                                  "l": np.float32(float("-inf"))}),
    "a mask by a sum": ([node("Mul", "x t", "b"), node("Add", "b m", "a"), node("Softmax", "a")],
                        HEADS, {"m": np.where(CAUSAL[:, :4], 0.5, -1e9).astype(np.float32),
                                "t": np.float32([30.0])}),
    "two masks": ([node("Where", "m x l", "a"), node("Sub", "one p", "r"),
                   node("Mul", "r l", "s"), node("Add", "a s", "b"), node("Softmax", "b")],
                  HEADS, {"m": CAUSAL[:, :4], "l": np.float32([LOW]), "one": np.float32([1]),
                          "p": np.float32([1, 1, 0, 1])}),
    "a mask by the data": ([node("Greater", "u k", "c"), node("Cast", "c", "d", to=1),
                            node("Sub", "one d", "r"), node("Mul", "r l", "s"),
                            node("Add", "x s", "b"), node("Where", "m b l", "e"),
                            node("Softmax", "e", axis=1)],
                           {"x": (3, 4), "u": (1, 4)},
                           {"k": np.float32([0.5]), "one": np.float32([1]),
                            "l": np.float32([-10000]),
                            "m": np.array([[True, True, False, True]])}),
    "a mask of two constants": (
        [node("Greater", "u k", "c"), node("Where", "c z l", "d"), node("Add", "x d", "a"),
         node("Softmax", "a")], {"x": (3, 4), "u": (1, 4)},
        {"k": np.float32([0.5]), "l": np.float32([LOW]), "z": np.float32([0])}),
    "a mask of a bias": (
        [node("Greater", "u k", "c"), node("Where", "c z l", "d"), node("Add", "d x", "a"),
         node("Softmax", "a")], {"x": (3, 4), "u": (1, 4)},
        {"k": np.float32([0.5]), "l": np.float32([LOW]), "z": real(3, 4)}),
    "a bias and a mask in one sum": (
        [node("Greater", "u k", "c"), node("Where", "c l z", "d"), node("Add", "b d", "e"),
         node("Add", "x e", "a"), node("Softmax", "a")], {"x": (3, 4), "u": (1, 4)},
        {"k": np.float32([0.5]), "l": np.float32([LOW]), "z": np.float32([0]), "b": real(3, 4)}),
    "a mask of two constants as numbers": (
        [node("Greater", "u k", "c"), node("Where", "c z l", "d"), node("Mul", "d h")],
        {"u": (1, 4)}, {"k": np.float32([0.5]), "l": np.float32([-10000]), "z": real(3, 4),
         "h": np.float32([0.001])}),
    "a mask that leaves nothing": (
        [node("Greater", "u k", "c"), node("Where", "c x l", "a"), node("Softmax", "a")],
        {"x": (3, 4), "u": (3, 1)},
        {"k": np.float32([0.5]), "l": np.float32([LOW])}),
    "a constant mask that leaves nothing": (
        [node("Where", "m x l", "a"), node("Softmax", "a")], {"x": (2, 4)},
        {"m": np.array([[False], [True]]), "l": np.float32([LOW])}),
    "a choice of something low": ([node("Mul", "x t", "b"), node("Where", "m b l", "a"),
                                   node("Relu", "a")], HEADS,
                                  {"m": CAUSAL[:, :4], "l": np.float32([-20000]),
                                   "t": np.float32([20000])}),
    "a sum with something low": ([node("Add", "x l", "a"), node("Reshape", "a s", "b"),
                                  node("Mul", "b h")], HEADS,
                                 {"l": np.float32([-10000, 0, 0, 0]), "s": ints(5, 8),
                                  "h": np.float32([0.5])}),
    "attention": ([*QUERIES, node("Attention", "q1 k1 v1", is_causal=1, q_num_heads=4,
                                  kv_num_heads=2)], {"x": (2, 5, 8)}, SIXTEEN, 23),
    "attention with a mask": ([*QUERIES, node("Attention", "q1 k1 v1 m", q_num_heads=2,
                                              kv_num_heads=1, scale=0.3)], {"x": (2, 5, 8)},
                              {**SIXTEEN, "m": CAUSAL}, 23),
    "attention with a sum": ([node("Attention", "x x x m")], HEADS,
                             {"m": np.where(CAUSAL, 0.25, LOW).astype(np.float32)}, 23),
    "attention with what was before": (
        [node("Attention", "x x x _ k k", "y0 p r", is_causal=0),
         node("ReduceSum", "p", "p1"), node("Add", "y0 p1")], HEADS, {"k": real(1, 2, 3, 4)}, 23),
    "attention that bends": ([node("Attention", "x x x", softcap=2.0)], HEADS, None, 23),
    "turned pairs": ([node("RotaryEmbedding", "x cos sin p")], HEADS,
                     {**ANGLES, "p": np.array([[0, 1, 4, 3, 9]])}, 23),
    "turned neighbours": ([node("RotaryEmbedding", "x cos sin p", interleaved=1, num_heads=3,
                                rotary_embedding_dim=4)], {"x": (1, 5, 18)},
                          {**ANGLES, "p": np.array([[0, 1, 4, 3, 9]])}, 23),
    "turned by the data": ([*WHOLE, node("RotaryEmbedding", "x cos sin i")],
                           {**HEADS, "u": (1, 5)}, {**ANGLES, "f": np.float32([9.5])}, 23),
    "square mean": ([node("RMSNormalization", "x s")], HEADS, {"s": real(4)}, 23),
    "swish": ([node("Sigmoid", "x", "a"), node("CastLike", "a x", "b"),
               node("Mul", "b x")], HEADS, None, 23),
}  # fmt: skip

GRID = (RNG.random((1, 3, 5, 2)) * 2.6 - 1.3).astype(np.float32)
PLACES: dict[str, tuple[Any, ...]] = {
    f"a grid, {mode}, {outside}, {corners}": (
        [node("GridSample", "x g", mode=mode, padding_mode=outside, align_corners=corners)],
        PICTURE, {"g": GRID}, 20)
    for mode, outside, corners in (("linear", "zeros", 0), ("linear", "border", 1),
                                   ("linear", "reflection", 0), ("nearest", "zeros", 1),
                                   ("cubic", "zeros", 0), ("cubic", "border", 1),
                                   ("cubic", "reflection", 1))
} | {
    "a grid by the data": ([node("Mul", "u two", "a"), node("Sub", "a one", "g"),
                            node("GridSample", "x g", mode="linear")],
                           {**PICTURE, "u": (1, 3, 5, 2)},
                           {"two": np.float32([2.4]), "one": np.float32([1.2])}, 20),
    "a grid by the data, the nearest": (
        [node("Mul", "u two", "a"), node("Sub", "a one", "g"),
         node("GridSample", "x g", mode="nearest", padding_mode="border", align_corners=1)],
        {**PICTURE, "u": (1, 3, 5, 2)}, {"two": np.float32([2.4]), "one": np.float32([1.2])}, 20),
    "moved by matrices": ([node("AffineGrid", "u s", "g"), node("GridSample", "x g")],
                          {**PICTURE, "u": (1, 2, 3)}, {"s": ints(1, 4, 3, 5)}, 20),
    "volumes": ([node("GridSample", "x g")], {"x": (1, 2, 3, 4, 5)},
                {"g": (RNG.random((1, 2, 2, 3, 3)) * 2 - 1).astype(np.float32)}, 20),
    "regions": ([node("RoiAlign", "x r b", output_height=3, output_width=2, sampling_ratio=2)],
                PICTURE, {"r": np.float32([[0.5, 1, 4, 5], [1, 0, 3, 6.5]]), "b": ints(0, 0)}, 16),
    "regions of old": ([node("RoiAlign", "x r b", output_height=2, output_width=2,
                             spatial_scale=0.5)], PICTURE,
                       {"r": np.float32([[1, 1, 9, 11]]), "b": ints(0)}, 10),
    "the middle": ([node("CenterCropPad", "x s", axes=[2, 3])], PICTURE, {"s": ints(4, 9)}, 18),
    "columns": ([node("Col2Im", "x i b", strides=[2, 1], pads=[1, 0, 0, 1], dilations=[1, 2])],
                {"x": (1, 12, 3)}, {"i": ints(6, 4), "b": ints(2, 3)}, 18),
    "places of maxima": ([node("MaxPool", "x", "m i", kernel_shape=[2, 3], strides=[2, 3]),
                          node("Cast", "i", "j", to=1), node("Mul", "j h", "k"),
                          node("Add", "m k")], PICTURE, {"h": np.float32([0.01])}),
    "put back": ([node("MaxPool", "x", "m i", kernel_shape=[2, 2], strides=[2, 2]),
                  node("MaxUnpool", "m i", kernel_shape=[2, 2], strides=[2, 2])],
                 {"x": (1, 2, 4, 6)}),
    "kernels of the data": ([node("Conv", "x u b", pads=[1, 1, 1, 1])],
                            {**PICTURE, "u": (2, 4, 3, 3), "b": (2,)}),
    "kernels of the data, each": ([node("Conv", "x u", group=4)],
                                  {**PICTURE, "u": (4, 1, 3, 3)}),
    "transposed, cropped": ([node("ConvTranspose", "x w", strides=[2, 2], pads=[2, 1, 1, 2])],
                            PICTURE, {"w": real(4, 2, 2, 2)}),
    "transposed to a shape": ([node("ConvTranspose", "x w", strides=[2, 2],
                                    output_shape=[13, 12])], PICTURE, {"w": real(4, 2, 3, 3)}),
    "transposed, the same": ([node("ConvTranspose", "x w", strides=[2, 3],
                                   auto_pad="SAME_UPPER")], PICTURE, {"w": real(4, 2, 3, 4)}),
}  # fmt: skip

ALGEBRA: dict[str, tuple[Any, ...]] = {
    "determinants": ([node("Det", "x")], {"x": (2, 3, 3)}),
    "four rows": ([node("Det", "x", "d"), node("Mul", "d o")], {"x": (4, 4)},
                  {"o": np.float32([1.0])}),
    "einsum with dots": ([node("Einsum", "x w", equation="...i,ij->...j")], PICTURE,
                         {"w": real(6, 3)}),
    "a transform": ([node("Unsqueeze", "x u", "a"), node("DFT", "a", axis=1, onesided=1)],
                    {"x": (2, 6)}, {"u": ints(2)}),
    "a transform back": ([node("DFT", "x n a", inverse=1)], {"x": (2, 5, 2)},
                         {"n": np.array(7), "a": np.array(1)}, 20),
    "short transforms": ([node("STFT", "x s w")], {"x": (1, 20, 1)},
                         {"s": np.array(4), "w": real(8)}),
    "entropy": ([node("SoftmaxCrossEntropyLoss", "x l w", "e g", ignore_index=0),
                 node("Add", "g e")], {"x": (3, 4)}, {"l": ints(2, 0, 3), "w": np.abs(real(4))}),
    "entropy by labels of the data": ([*WHOLE, node("SoftmaxCrossEntropyLoss", "x i")],
                                      {"x": (3, 4), "u": (3,)}, {"f": np.float32([3.9])}),
    "likelihood": ([node("NegativeLogLikelihoodLoss", "x l", reduction="sum")],
                   {"x": (2, 4, 3)}, {"l": np.array([[0, 1, 3], [2, 2, 0]])}),
    "each likelihood": ([node("NegativeLogLikelihoodLoss", "x l", reduction="none")],
                        {"x": (2, 4)}, {"l": ints(3, 1)}),
    "a value by itself": ([node("Div", "x x", "a"), node("Sub", "x x", "b"), node("Sum", "a b x")],
                          PICTURE),
    "infinite constants": ([node("Log", "z", "l"), node("Cast", "l", "i", to=7),
                            node("Min", "i t", "j"), node("Where", "c j o", "k"),
                            node("Cast", "k", "m", to=1), node("Add", "x m")], {"x": (2, 3)},
                           {"z": np.float32([0, 1, 8]), "t": ints(1), "o": ints(1, 2, 0),
                            "c": np.array([False, True, True])}),
    "roots of what is large": ([node("Mul", "x t", "a"), node("Add", "a o", "b"),
                                node("Sqrt", "b", "c"), node("Reciprocal", "b", "d"),
                                node("Mul", "d t", "e"), node("Mul", "c h", "f"),
                                node("Add", "e f")], PICTURE,
                               {"t": np.float32([3e6]), "o": np.float32([1e6]),
                                "h": np.float32([1e-3])}),
    "roots of what is small": ([node("Mul", "x t", "a"), node("Add", "a o", "b"),
                                node("Sqrt", "b", "c"), node("Reciprocal", "b", "d"),
                                node("Mul", "d t", "e"), node("Mul", "c h", "f"),
                                node("Add", "e f")], PICTURE,
                               {"t": np.float32([3e-6]), "o": np.float32([1e-6]),
                                "h": np.float32([1e3])}),
    "factors on both sides": ([node("Mul", "x s", "a"), node("Transpose", "x", "b", perm=[0, 2, 1]),
                               node("Mul", "b s", "c"), node("MatMul", "a c")], {"x": (2, 3, 4)},
                              {"s": np.float32([0.0123])}),
    "a bound beyond all values": ([node("Min", "x b", "c"), node("Max", "c d")], PICTURE,
                                  {"b": np.float32([1e12]), "d": np.float32([-1e12])}),
    "a cut that nothing small comes to": (
        [node("Sub", "x h", "a"), node("Mul", "a t", "b"), node("Clip", "b o m", "c"),
         node("Mul", "c r")], PICTURE,
        {"h": np.float32([0.5]), "t": np.float32([1e-6]), "r": np.float32([1e6]),
         "o": np.float32(0), "m": np.float32(6)}),
    "many parts": ([*[node("ReduceSum", f"x a{i}", f"p{i}", keepdims=1) for i in range(2)],
                    node("Concat", " ".join(["x", "p0", "x", "p0"] * 12), axis=1)],
                   {"x": (2, 3, 4)}, {"a0": ints(1), "a1": ints(0)}),
    "no axes": ([node("ReduceSum", "x e", noop_with_empty_axes=1)], PICTURE,
                {"e": np.zeros(0, np.int64)}),
    "slopes of the data": ([node("Sub", "x h", "a"), node("PRelu", "a x")], PICTURE,
                           {"h": np.float32([0.5])}),
    "bounds of the data": ([node("ReduceMin", "u", "l", keepdims=0),
                            node("ReduceMax", "u", "h", keepdims=0), node("Clip", "x l h")],
                           {"x": (4, 4), "u": (3,)}, None, 13),
    "powers of the data": ([node("Add", "x h", "a"), node("Pow", "a x")], PICTURE,
                           {"h": np.float32([0.5])}),
    "powers of each": ([node("Pow", "x p")], PICTURE,
                       {"p": np.float32([0.5, 1, 2, 3, 1.5, 0.25])}),
    "bounds that are none": ([node("Max", "x l", "a"), node("Min", "a h")], PICTURE,
                             {"l": np.float32([LOW]), "h": np.float32([-LOW])}),
    "remainders of the data": ([node("Mul", "x t", "a"), node("Add", "u h", "b"),
                                node("Floor", "b", "b1"), node("Div", "a b", "c"),
                                node("Floor", "c", "d"), node("Mul", "d b")],
                               {"x": (3, 2), "u": (3, 2)},
                               {"t": np.float32([7.0]), "h": np.float32([1.0])}),
    "bits of the data": ([*WHOLE, node("Mul", "x f", "c0"), node("Floor", "c0", "c1"),
                          node("Cast", "c1", "j", to=7), node("BitwiseAnd", "i j", "p"),
                          node("BitwiseOr", "i j", "q"), node("BitwiseXor", "i j", "r"),
                          node("Sub", "q p", "s"), node("Add", "s r", "t"),
                          node("Cast", "t", to=1)], {"u": (3, 2), "x": (3, 2)},
                         {"f": np.float32([500.0])}, 18),
    "shifts of the data": ([*WHOLE, node("Mul", "x g", "c0"), node("Floor", "c0", "c1"),
                            node("Cast", "c1", "j", to=13), node("Cast", "i", "k", to=13),
                            node("BitShift", "j k", "l", direction="LEFT"),
                            node("BitShift", "j k", "r", direction="RIGHT"),
                            node("Sub", "l r", "s"), node("Cast", "s", to=1)],
                           {"u": (3, 2), "x": (3, 2)},
                           {"f": np.float32([4.9]), "g": np.float32([60.0])}, 18),
    "steps of the data": ([node("DynamicQuantizeLinear", "x", "a s z"),
                           node("MatMulInteger", "a w z", "b"), node("Cast", "b", "c", to=1),
                           node("Mul", "c s", "d"), node("Mul", "d k")], {"x": (3, 5)},
                          {"w": RNG.integers(-90, 90, (5, 2)).astype(np.int8),
                           "k": np.float32([0.01])}),
    "a long axis": ([node("CumSum", "x a", "b"), node("Mul", "b h")], {"x": (1, 300)},
                    {"a": np.array(1), "h": np.float32([0.1])}),
    "the largest of many": ([node("TopK", "x k", "y i", axis=1)], {"x": (1, 300)},
                            {"k": ints(1)}),
    "many in order": ([node("TopK", "x k", "y i", axis=1)], {"x": (1, 90)}, {"k": ints(4)}),
    "the place of the largest of many": ([node("ArgMax", "x", "a", axis=1),
                                          node("Cast", "a", "b", to=1), node("Mul", "b h")],
                                         {"x": (1, 300)}, {"h": np.float32([0.5])}),
    "gathered along any axis": ([*WHOLE, node("Gather", "x i", axis=2)],
                                {"x": (1, 2, 4, 3), "u": (2, 2)}, {"f": np.float32([3.9])}),
    "gathered in part": ([*WHOLE, node("GatherElements", "x i", axis=1)],
                         {"x": (2, 4, 3), "u": (2, 2, 2)}, {"f": np.float32([3.9])}),
    "scattered in part, some twice": ([*WHOLE, node("ScatterElements", "x i v", axis=1)],
                                      {"x": (2, 4, 3), "u": (2, 3, 2), "v": (2, 3, 2)},
                                      {"f": np.float32([1.9])}, 16),
    "scattered, some twice": ([*WHOLE, node("ScatterND", "x i v")],
                              {"x": (3, 2), "u": (4, 1), "v": (4, 2)}, {"f": np.float32([2.9])}),
    "layers of other layouts": ([node("LSTM", "x w r b _ _ _ p", "a h", hidden_size=3,
                                      clip=0.4), node("ReduceSum", "h", "h1"),
                                 node("Add", "a h1")], {"x": (4, 2, 5)},
                                {"w": real(1, 12, 5), "r": real(1, 12, 3), "b": real(1, 24),
                                 "p": real(1, 9)}),
    "other activations": ([node("GRU", "x w r", "y", hidden_size=3,
                                activations=["HardSigmoid", "Softsign"])], {"x": (4, 2, 5)},
                          {"w": real(1, 9, 5), "r": real(1, 9, 3)}),
    "constants of any op": ([node("LayerNormalization", "w s", "a"), node("LeakyRelu", "a", "b"),
                             node("Split", "b", "c d", axis=0, num_outputs=2),
                             node("TopK", "c k", "e i", axis=1), node("Gather", "d i", "g", axis=1),
                             node("Einsum", "g", "h", equation="aij->"), node("Add", "x h")],
                            {"x": (1, 3)}, {"w": real(4, 3), "s": real(3), "k": ints(2)}, 18),
}  # fmt: skip
CASES = {**ATTENTION, **PLACES, **ALGEBRA}


@pytest.mark.parametrize("name", CASES)
def test_an_op_is_what_onnxruntime_computes(name: str, tmp_path: Path) -> None:
    check_case(CASES[name], tmp_path)


def test_a_diagonal_and_a_result_that_is_implied(tmp_path: Path) -> None:
    x, w = RNG.random((2, 3, 3)).astype("f4"), real(2, 4)
    made = model([node("Einsum", "x w", equation="bii,bI")], {"x": (2, 3, 3)}, {"w": w})
    check(save(made, tmp_path), {"x": x}, np.einsum("bii,bI->I", x, w))


@pytest.mark.parametrize(("exclusive", "reverse"), [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_products_of_all_before(tmp_path: Path, exclusive: int, reverse: int) -> None:
    x = RNG.random((2, 5)).astype("f4") + np.float32(0.5)
    shown = x[:, ::-1] if reverse else x
    if exclusive:
        shown = np.concatenate([np.ones((2, 1)), shown[:, :-1]], axis=1)
    expected = np.cumprod(shown, axis=1)
    made = model(
        [node("Add", "u h", "x"), node("CumProd", "x a", exclusive=exclusive, reverse=reverse)],
        {"u": (2, 5)}, {"a": np.array(1), "h": np.float32([0.5])}, opset=26,
    )  # fmt: skip
    check(save(made, tmp_path), {"u": x - np.float32(0.5)},
          expected[:, ::-1] if reverse else expected)  # fmt: skip


def test_every_handler_is_tried() -> None:
    every = [test_onnx_ops.CASES, test_onnx_learnt.CASES, test_onnx_bodies.CASES, CASES,
             test_onnx_fused.CASES]  # fmt: skip
    nodes = [n for cases in every for found, *_ in cases.values() for n in found]
    tried = {n.op_type for n in nodes} | {f"{n.domain}.{n.op_type}" for n in nodes}
    tried |= {n.op_type for graph in test_onnx_bodies.GRAPHS for n in graph.node}
    unknown = {"CumProd", "Swish", "com.microsoft.TransposeMatMul"}  # to onnxruntime
    assert set(HANDLERS) - tried <= unknown
