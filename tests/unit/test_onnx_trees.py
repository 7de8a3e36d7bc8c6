"""Ensembles of trees whose attributes are hostile: each is refused by name, nothing hangs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("onnx")

from tests.support.onnx_models import model, node, save
from veracity.frontends.onnx import open_onnx

TREE: dict[str, Any] = {
    "nodes_treeids": [0, 0, 0],
    "nodes_nodeids": [0, 1, 2],
    "nodes_featureids": [1, 0, 0],
    "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"],
    "nodes_values": [0.5, 0.0, 0.0],
    "nodes_truenodeids": [1, 0, 0],
    "nodes_falsenodeids": [2, 0, 0],
    "target_treeids": [0, 0],
    "target_nodeids": [1, 2],
    "target_ids": [0, 0],
    "target_weights": [1.0, 2.0],
    "n_targets": 1,
}


def faults(folder: Path, **changed: Any) -> list[str]:
    learnt = node("TreeEnsembleRegressor", "x", domain="ai.onnx.ml", **{**TREE, **changed})
    return [str(f) for f in open_onnx(save(model([learnt], {"x": (2, 2)}), folder)).trace().faults]


def test_the_tree_itself_is_fine(tmp_path: Path) -> None:
    assert faults(tmp_path) == []


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"nodes_truenodeids": [0, 0, 0]}, "a cycle|trees that are none"),
        ({"nodes_truenodeids": [2, 0, 0]}, "trees that are none|a cycle"),
        ({"nodes_falsenodeids": [7, 0, 0]}, "not understood"),
        ({"nodes_nodeids": [0, 1, 1]}, "two nodes of one name"),
        ({"nodes_featureids": [2, 0, 0]}, "features that are not there"),
        ({"nodes_featureids": [-1, 0, 0]}, "features that are not there"),
        ({"nodes_modes": ["BRANCH_MEMBER", "LEAF", "LEAF"]}, "conditions other than"),
        ({"nodes_modes": ["LEAF", "LEAF", "LEAF"]}, "conditions other than"),
        ({"nodes_values": [float("nan"), 0.0, 0.0]}, "not finite"),
        ({"nodes_values": [0.5]}, "an ensemble of other than"),
        ({"target_nodeids": [1, 0]}, "a leaf that is not there"),
        ({"target_ids": [0, 1]}, "a leaf that is not there"),
        ({"target_weights": [1.0]}, "not understood"),
        ({"aggregate_function": "MEDIAN"}, "combined by MEDIAN"),
        ({"post_transform": "PROBIT"}, "the transform PROBIT"),
    ],
)
def test_what_is_no_tree_is_refused(tmp_path: Path, changed: dict[str, Any], reason: str) -> None:
    (found,) = faults(tmp_path, **changed)
    assert "TreeEnsembleRegressor" in found
    assert any(part in found for part in reason.split("|")), found
