"""Ops of com.microsoft, which onnxruntime's optimiser and quantiser emit, against onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from tests.support.onnx_check import check_case
from tests.support.onnx_models import model, node, save
from tests.unit.test_onnx_ops import PICTURE, W, ints, real
from veracity.frontends.onnx import open_onnx

RNG = np.random.default_rng(17)
TOKENS = {"x": (2, 5, 8)}


def fused(op: str, reads: str, writes: str = "y", **attributes: Any) -> Any:
    return node(op, reads, writes, domain="com.microsoft", **attributes)


def steps(name: str, low: int = 0, high: int = 200) -> Any:
    return RNG.integers(low, high, {"b": (3, 4), "w": (4, 3), "c": (3,)}[name])


NORM = {"g": real(8), "b": real(8), "h": real(8), "s": real(1, 5, 8)}
HEADS = {"w": real(8, 24), "b": real(24)}
IDS = [node("Mul", "u f", "a0"), node("Floor", "a0", "a1"), node("Cast", "a1", "i", to=6)]
SEEN = np.int32([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
CASES: dict[str, tuple[Any, ...]] = {
    "a convolution and a function": (
        [fused("FusedConv", "x w b", pads=[1, 1, 1, 1], activation="LeakyRelu",
               activation_params=[0.2])], PICTURE, W),
    "a convolution, a sum and a function": (
        [fused("FusedConv", "x w b", "z", activation="Relu"),
         fused("FusedConv", "x w b z", activation="Relu")], PICTURE, W),
    "a function with bounds": ([fused("FusedConv", "x w", activation="Clip",
                                      activation_params=[-0.5, 0.75])], PICTURE, W),
    "a convolution alone": ([fused("FusedConv", "x w", activation="HardSigmoid",
                                   activation_params=[0.3, 0.4])], PICTURE, W),
    "a dense layer and a function": (
        [fused("FusedGemm", "x w b", transB=1, activation="LeakyRelu", activation_alpha=0.3)],
        {"x": (3, 4)}, {"w": real(5, 4), "b": real(5)}),
    "turned products": ([fused("FusedMatMul", "x x", "z", transB=1, alpha=0.5),
                         fused("FusedMatMul", "z w", transA=1, transB=1)], TOKENS,
                        {"w": real(3, 5)}),
    "products with turned leading axes": (
        [fused("FusedMatMul", "x x", "z", transB=1, transBatchA=1, transBatchB=1),
         fused("FusedMatMul", "z v", transA=1)], {"x": (5, 2, 3, 4)}, {"v": real(5, 6)}),
    "gelu": ([fused("Gelu", "x", "a"), fused("BiasGelu", "a b", "c"), fused("FastGelu", "c", "d"),
              fused("FastGelu", "d b", "e"), fused("QuickGelu", "e", alpha=1.5)], TOKENS,
             {"b": real(8)}),
    "a norm of a sum": ([fused("SkipLayerNormalization", "x s g b h", "a _ _ t"),
                         node("Add", "a t")], {"x": (1, 5, 8)}, NORM),
    "a root mean square of a sum": (
        [fused("SkipSimplifiedLayerNormalization", "x s g h", "a _ _ t"), node("Add", "a t")],
        {"x": (1, 5, 8)}, NORM),
    "a norm by its older name": ([node("SimplifiedLayerNormalization", "x g", axis=-1,
                                       epsilon=1e-5)], TOKENS, NORM),
    "embeddings": ([*IDS, fused("EmbedLayerNormalization", "i i w p s g b", "y _")], {"u": (2, 5)},
                   {"f": np.float32([6.5]), "w": real(7, 8), "p": real(9, 8), "s": real(7, 8),
                    "g": real(8), "b": real(8)}),
    "projected attention": ([fused("Attention", "x w b", num_heads=2, unidirectional=1)], TOKENS,
                            HEADS),
    "projected attention with a mask": ([fused("Attention", "x w b m", num_heads=2)], TOKENS,
                                        {**HEADS, "m": SEEN}),
    "attention of rows": ([fused("MultiHeadAttention", "x x x b", num_heads=4)], TOKENS, HEADS),
    "attention of rows with a mask": (
        [fused("MultiHeadAttention", "x x x _ m", num_heads=2, scale=0.4)], TOKENS, {"m": SEEN}),
    "integers that meet": (
        [fused("QuantizeLinear", "x s z", "a"),
         fused("QLinearAdd", "a s z b s2 z s2 z", "c"),
         fused("QLinearMul", "c s2 z b s2 z s z", "d"),
         fused("QLinearSigmoid", "d s z s z", "e"), fused("QLinearLeakyRelu", "d s z s2 z", "f"),
         fused("QLinearConcat", "s2 z e s z f s2 z d s z", "g", axis=1),
         fused("QLinearSoftmax", "g s2 z s z", "h", axis=-1, opset=13),
         fused("QLinearConcat", "s2 z g s2 z h s z", "k", axis=0),
         fused("DequantizeLinear", "k s2 z")], {"x": (3, 4)},
        {"s": np.float32(0.01), "z": np.uint8(3), "s2": np.float32(0.0237),
         "b": steps("b").astype(np.uint8)}),
    "integers of pictures": (
        [node("QuantizeLinear", "x s z", "a"),
         fused("QLinearAveragePool", "a s z s2 z", "b", kernel_shape=[2, 2], strides=[2, 2]),
         fused("QLinearGlobalAveragePool", "b s2 z s3 z", "c"),
         node("DequantizeLinear", "c s3 z")],
        PICTURE, {"s": np.float32(0.005), "z": np.uint8(3), "s2": np.float32(0.0053),
                  "s3": np.float32(0.0037)}),
    "dense layers of integers": (
        [node("QuantizeLinear", "x s z", "a"), fused("QGemm", "a s z w sw zw c s z", "b"),
         node("DequantizeLinear", "b s z", "d"), fused("QGemm", "a s z w sw zw c", "e"),
         fused("MatMulIntegerToFloat", "a w s sw z zw f", "g"), node("Sum", "d e g")],
        {"x": (3, 4)}, {"s": np.float32(0.01), "z": np.uint8(3), "sw": np.float32(0.02),
                        "w": steps("w", -90, 90).astype(np.int8), "zw": np.int8(5),
                        "c": steps("c", -500, 500).astype(np.int32), "f": real(3)}),
    "steps of the data": ([fused("DynamicQuantizeMatMul", "x w sw zw f")], {"x": (3, 4)},
                          {"sw": np.float32([0.02]), "w": steps("w", -90, 90).astype(np.int8),
                           "zw": np.int8([0]), "f": real(3)}),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_fused_op_is_what_onnxruntime_computes(name: str, tmp_path: Path) -> None:
    check_case(CASES[name], tmp_path)


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (fused("FusedConv", "x w", activation="Swish"), "the activation Swish"),
        (fused("Attention", "x v", num_heads=3), "heads that do not come out even"),
        (fused("Attention", "x v _ _ x", num_heads=2), "computed before"),
        (fused("MultiHeadAttention", "x", num_heads=2), "packed"),
        (fused("SkipLayerNormalization", "x x g", "a y"), "its mean"),
        (fused("QLinearAveragePool", "x s z s z", channels_last=1), "channels on the last axis"),
        (fused("nchwc.Conv", "x w"), "a file for one machine"),
        (fused("NhwcMaxPool", "x"), "no argument for this op"),
    ],
)
def test_what_is_not_covered_is_refused_by_name(tmp_path: Path, made: Any, reason: str) -> None:
    weights = {"w": real(3, 4, 3, 3), "v": real(6, 24), "g": real(6), "s": np.float32(0.1),
               "z": np.uint8(0), "n": ints(1)}  # fmt: skip
    dims = (1, 4, 7, 6) if "onv" in made.op_type or "Pool" in made.op_type else (2, 5, 6)
    path = save(model([made], {"x": dims}, weights), tmp_path)
    (found,) = open_onnx(path).trace().faults
    assert made.name in str(found)
    assert reason in str(found)
