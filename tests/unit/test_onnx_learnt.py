"""Models of ``ai.onnx.ml`` against onnxruntime: trees, vectors, lines, features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnxruntime as ort
from onnx import numpy_helper

from tests.support.onnx_check import WHOLE, check, check_case
from tests.support.onnx_models import model, node, save
from tests.unit.test_onnx_ops import FOREST, ROWS, ints, leaves
from veracity.frontends.onnx import import_onnx, open_onnx

RNG = np.random.default_rng(11)
#: Two trees in the form of version 5, with equalities, and one that is a leaf.
NEW_FOREST: dict[str, Any] = {
    "n_targets": 2, "aggregate_function": 1, "tree_roots": [0, 2],
    "nodes_featureids": [0, 1, 2], "nodes_truenodeids": [1, 0, 2], "nodes_trueleafs": [0, 1, 1],
    "nodes_falsenodeids": [1, 1, 3], "nodes_falseleafs": [1, 1, 1],
    "nodes_modes": numpy_helper.from_array(np.array([0, 3, 5], np.uint8)),
    "nodes_splits": numpy_helper.from_array(np.float32([0.5, 0.3, 0.7])),
    "leaf_targetids": [0, 1, 0, 1],
    "leaf_weights": numpy_helper.from_array(np.float32([1.5, -0.75, 0.25, 2.0])),
}  # fmt: skip
VECTORS = {
    "support_vectors": [round(float(v), 3) for v in RNG.standard_normal(15)],
    "kernel_params": [0.5, 0.3, 3.0],
}
WEIGHTS = [round(float(v), 3) for v in RNG.standard_normal(10)]


def learnt(op: str, writes: str = "y", **attributes: Any) -> Any:
    return node(op, "x", writes, domain="ai.onnx.ml", **attributes)


def shown(label: str, scores: str) -> list[Any]:
    """Label and scores of a classifier, summed."""
    return [node("Cast", label, "m", to=1), node("Unsqueeze", "m q", "n"),
            node("Add", f"n {scores}")]  # fmt: skip


Q = {"q": ints(1)}
CASES: dict[str, tuple[Any, ...]] = {
    f"support vectors, {kind}": (
        [
            learnt(
                "SVMRegressor",
                kernel_type=kind,
                n_supports=5,
                coefficients=WEIGHTS[:5],
                rho=[0.2],
                **VECTORS,
            )
        ],
        ROWS,
    )
    for kind in ("LINEAR", "POLY", "RBF", "SIGMOID")
} | {
    "support vectors, a line": (
        [
            learnt(
                "SVMRegressor",
                kernel_type="LINEAR",
                rho=[0.2],
                coefficients=WEIGHTS[:3],
                kernel_params=[0.0, 0.0, 0.0],
            )
        ],
        ROWS,
    ),
    "inside or outside": (
        [
            learnt(
                "SVMRegressor",
                kernel_type="RBF",
                n_supports=5,
                one_class=1,
                coefficients=[1.0] * 5,
                rho=[-2.6],
                **VECTORS,
            )
        ],
        ROWS,
    ),
    "two classes by vectors": (
        [
            learnt(
                "SVMClassifier",
                "l s",
                kernel_type="RBF",
                vectors_per_class=[2, 3],
                coefficients=WEIGHTS[:5],
                rho=[0.4],
                classlabels_ints=[4, 9],
                **VECTORS,
            ),
            *shown("l", "s"),
        ],
        ROWS,
        Q,
    ),
    "probabilities by vectors": (
        [
            learnt(
                "SVMClassifier",
                "l y",
                kernel_type="RBF",
                vectors_per_class=[2, 3],
                coefficients=WEIGHTS[:5],
                rho=[0.4],
                classlabels_ints=[0, 1],
                prob_a=[-1.2],
                prob_b=[0.1],
                **VECTORS,
            )
        ],
        ROWS,
        None,
        17,
        1e-2,
    ),
    "three classes by vectors": (
        [
            learnt(
                "SVMClassifier",
                "l s",
                kernel_type="POLY",
                vectors_per_class=[2, 1, 2],
                coefficients=WEIGHTS,
                rho=[0.1, -0.2, 0.05],
                classlabels_ints=[7, 3, 5],
                **VECTORS,
            ),
            *shown("l", "s"),
        ],
        ROWS,
        Q,
    ),
    "three classes by lines": (
        [
            learnt(
                "SVMClassifier",
                "l s",
                kernel_type="LINEAR",
                kernel_params=[0.0, 0.0, 0.0],
                rho=[0.1],
                coefficients=WEIGHTS[:9],
                classlabels_ints=[0, 1, 2],
            ),
            *shown("l", "s"),
        ],
        ROWS,
        Q,
    ),
    "one line, two classes": (
        [
            learnt(
                "LinearClassifier",
                "l s",
                coefficients=[0.5, -0.4, 0.2],
                intercepts=[-0.1],
                classlabels_ints=[3, 7],
            ),
            *shown("l", "s"),
        ],
        ROWS,
        Q,
    ),
    "one line, probabilities": (
        [
            learnt(
                "LinearClassifier",
                "l s",
                coefficients=[0.5, -0.4, 0.2],
                intercepts=[-0.1],
                post_transform="LOGISTIC",
                classlabels_strings=["no", "yes"],
            ),
            node("Identity", "s"),
        ],
        ROWS,
    ),
    "labels in any order": (
        [
            learnt(
                "TreeEnsembleClassifier",
                "l s",
                classlabels_int64s=[5, 2, 9],
                **FOREST,
                **leaves("class", 3),
            ),
            *shown("l", "s"),
        ],
        ROWS,
        Q,
    ),
    "largest of trees": (
        [
            learnt(
                "TreeEnsembleRegressor",
                n_targets=2,
                aggregate_function="MAX",
                **FOREST,
                **leaves("target", 2),
            )
        ],
        ROWS,
    ),
    "least of trees": (
        [
            learnt(
                "TreeEnsembleRegressor",
                n_targets=1,
                aggregate_function="MIN",
                **FOREST,
                **leaves("target", 1),
            )
        ],
        ROWS,
    ),
    "trees of version 5": ([learnt("TreeEnsemble", **NEW_FOREST)], ROWS, None, 17, 1e-4, 5),
    "features": (
        [
            learnt(
                "Imputer",
                "a",
                imputed_value_floats=[0.5, 0.25, 1.0],
                replaced_value_float=float("nan"),
            ),
            learnt("Binarizer", "b", threshold=0.4),
            node("Normalizer", "x", "c", domain="ai.onnx.ml", norm="MAX"),
            node("FeatureVectorizer", "a b c", "d", domain="ai.onnx.ml", inputdimensions=[3, 3, 3]),
            node("ArrayFeatureExtractor", "d k", "e", domain="ai.onnx.ml"),
            node("ZipMap", "e", "z", domain="ai.onnx.ml", classlabels_int64s=[0, 1, 2, 3]),
            node("SequenceConstruct", "e", "g"),
            node("ConcatFromSequence", "g", axis=0),
        ],
        ROWS,
        {"k": ints(0, 8, 4, 5)},
    ),
    "missing numbers": (
        [
            *WHOLE,
            node("Cast", "i", "g", to=1),
            node(
                "Imputer",
                "g",
                "b",
                domain="ai.onnx.ml",
                imputed_value_floats=[7.0],
                replaced_value_float=2.0,
            ),
            node("Identity", "b"),
        ],
        {"u": (4, 3)},
        {"f": np.float32([3.9])},
    ),
    "a table": (
        [
            *WHOLE,
            node(
                "LabelEncoder",
                "i",
                domain="ai.onnx.ml",
                keys_int64s=[0, 3, 1],
                values_floats=[0.5, -2.0, 1.25],
                default_float=9.0,
            ),
        ],
        {"u": (5,)},
        {"f": np.float32([3.9])},
    ),
    "a table of tensors": (
        [
            *WHOLE,
            node(
                "LabelEncoder",
                "i",
                domain="ai.onnx.ml",
                keys_tensor=numpy_helper.from_array(ints(2, 0)),
                values_tensor=numpy_helper.from_array(ints(8, 4)),
                default_tensor=numpy_helper.from_array(ints(1)),
            ),
        ],
        {"u": (5,)},
        {"f": np.float32([3.9])},
        17,
        1e-4,
        4,
        {"y": 7},
    ),
    "categories": (
        [*WHOLE, node("OneHotEncoder", "i", domain="ai.onnx.ml", zeros=1, cats_int64s=[0, 2, 3])],
        {"u": (5,)},
        {"f": np.float32([3.9])},
    ),
    "class by place": (
        [
            node("ArgMax", "x", "p", axis=1, keepdims=0),
            node("Cast", "p", "p2", to=7),
            node("ArrayFeatureExtractor", "c p2", domain="ai.onnx.ml"),
        ],
        ROWS,
        {"c": np.float32([[10, 20, 40]])},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_an_op_is_what_onnxruntime_computes(name: str, tmp_path: Path) -> None:
    check_case(CASES[name], tmp_path)


def test_labels_of_scores_that_rounding_separates(tmp_path: Path) -> None:
    """The label is that of the largest score, though maxima are found by differences of floats."""
    rng = np.random.default_rng(3)
    lines = learnt("LinearClassifier", "l s", coefficients=rng.standard_normal(15).tolist(),
                   intercepts=[0.1, 0.3, -0.2, 0.15, 0.05],
                   classlabels_ints=[10, 11, 12, 13, 14])  # fmt: skip
    path = save(model([lines, node("Cast", "l", to=1)], {"x": (64, 3)}), tmp_path)
    check(path, {"x": (64, 3)}, within=0.002)


WORDS = learnt("LinearClassifier", "l s", coefficients=[0.5, -0.4, 0.2, 0.1, 0.3, 0.7],
               intercepts=[0.3, 0.1], classlabels_strings=["no", "yes"])  # fmt: skip
SPOKEN: dict[str, tuple[list[Any], tuple[str, ...]]] = {
    "of a classifier": ([WORDS, node("Reshape", "l r")], ("no", "yes")),
    "of a place": ([node("ArgMax", "x", "i", axis=1),
                    node("ArrayFeatureExtractor", "t i", "w", domain="ai.onnx.ml"),
                    node("Cast", "w", "c", to=8), node("Reshape", "c r")], ("a", "b", "c")),
    "of a table": ([node("ArgMax", "x", "i", axis=1, keepdims=0),
                    node("LabelEncoder", "i", domain="ai.onnx.ml", keys_int64s=[0, 2],
                         values_strings=["low", "high"], default_string="mid")],
                   ("low", "high", "mid")),
    "of words": ([WORDS, node("LabelEncoder", "l", domain="ai.onnx.ml", keys_strings=["yes"],
                              values_strings=["ja"], default_string="nein")], ("nein", "ja")),
}  # fmt: skip


@pytest.mark.parametrize("name", SPOKEN)
def test_a_label_that_is_a_word_is_its_place_in_a_list(name: str, tmp_path: Path) -> None:
    nodes, words = SPOKEN[name]
    weights = {"r": ints(-1), "t": np.array([b"a", b"b", b"c"], dtype=object)}
    path = save(model(nodes, {"x": (6, 3)}, weights, types={"y": 8}), tmp_path)
    x = RNG.random((6, 3)).astype("f4")
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    expected = [words.index(w) for w in session.run(["y"], {"x": x})[0].reshape(-1)]
    assert len(set(expected)) > 1
    check(path, {"x": x}, np.array(expected, float))
    network = import_onnx(path, path.with_suffix(".vprog"))
    assert network.accuracy["y"]["labels"] == ", ".join(words)


def test_words_become_numbers_by_a_table_and_are_none_otherwise(tmp_path: Path) -> None:
    table = node("LabelEncoder", "l", domain="ai.onnx.ml", keys_strings=["no", "yes"],
                 values_floats=[0.5, 2.0])  # fmt: skip
    check_case(([WORDS, table], ROWS), tmp_path)
    made = model([WORDS, node("Cast", "l", "n", to=1), node("Neg", "n")], ROWS)
    (found,) = open_onnx(save(made, tmp_path)).trace().faults
    assert "words where numbers are read" in str(found)


def test_a_place_of_the_data_in_rows_of_the_data(tmp_path: Path) -> None:
    nodes = [*WHOLE, node("Reshape", "i r", "j"),
             node("ArrayFeatureExtractor", "x j", domain="ai.onnx.ml")]  # fmt: skip
    check_case((nodes, {"x": (4, 3), "u": (2,)}, {"f": np.float32([2.9]), "r": ints(1, 2)}),
               tmp_path)  # fmt: skip


def test_a_file_that_names_no_version_of_the_standard_ops(tmp_path: Path) -> None:
    made = model([learnt("Scaler", offset=[0.5], scale=[2.0])], ROWS)
    del made.opset_import[0]
    check(save(made, tmp_path), ROWS)


@pytest.mark.parametrize(
    ("op", "changed", "reason"),
    [
        ("SVMRegressor", {"n_supports": 5, "coefficients": [1.0]}, "do not fit the features"),
        ("SVMRegressor", {"n_supports": 5, "support_vectors": [1.0] * 4}, "do not fit"),
        ("SVMRegressor", {"n_supports": 5, "kernel_type": "COSINE"}, "the kernel COSINE"),
        ("SVMClassifier", {"vectors_per_class": [9, 9], "classlabels_ints": [0, 1]}, "do not fit"),
        ("SVMClassifier", {"classlabels_ints": [0]}, "two classes"),
        ("LinearClassifier", {"coefficients": [1.0] * 9, "classlabels_ints": [0, 1]},
         "another number of scores"),
        ("LabelEncoder", {"keys_strings": ["a"], "values_int64s": [1]}, "of words for numbers"),
        ("LabelEncoder", {"keys_int64s": [1, 1], "values_int64s": [1, 2]}, "a key twice"),
        ("LabelEncoder", {"keys_int64s": [1, 2], "values_int64s": [1]}, "another number of keys"),
        ("OneHotEncoder", {"cats_strings": ["a"]}, "categories that are words"),
        ("Normalizer", {"norm": "L7"}, "the norm L7"),
        ("CategoryMapper", {}, "text"),
        ("TreeEnsemble", {"tree_roots": [5]}, "trees that are none"),
        ("TreeEnsemble", {"tree_roots": [0, 0]}, "share nodes"),
        ("TreeEnsemble", {"nodes_trueleafs": [0, 0, 0], "nodes_truenodeids": [1, 0, 0]},
         "share nodes"),
        ("TreeEnsemble", {"leaf_targetids": [0, 1, 0, 7]}, "a leaf that is not there"),
        ("TreeEnsemble", {"aggregate_function": 9}, "not known"),
        ("TreeEnsemble", {"n_targets": 1 << 40}, "or no results"),
        ("TreeEnsemble", {"nodes_featureids": [0, 1]}, "an ensemble of other than"),
    ],
)  # fmt: skip
def test_hostile_attributes_are_refused(
    tmp_path: Path, op: str, changed: dict[str, Any], reason: str
) -> None:
    usual = NEW_FOREST if op == "TreeEnsemble" else {
        "coefficients": WEIGHTS[:5], "rho": [0.1], "kernel_type": "RBF", **VECTORS,
    } if op.startswith("SVM") else {}  # fmt: skip
    made = learnt(op, "y", **{**usual, **changed})
    (found,) = open_onnx(save(model([made], {"x": (2, 3)}, learnt=5), tmp_path)).trace().faults
    assert op in str(found)
    assert reason in str(found), found
