"""What arguments refuse to be about: values that may exceed the field, ports that nothing ties."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.unit.test_shape_rules import HEAD, LOG, NORM, ROOT, ROPE
from veracity.engine.api import ORDER
from veracity.errors import UnsupportedModelError, UsageError
from veracity.graph.sampling import Sampling
from veracity.zk.committed import ArrayId
from veracity.zkml.circuit.builder import Builder
from veracity.zkml.circuit.tables import unsigned
from veracity.zkml.circuit.tensor import Tensor
from veracity.zkml.committed import TensorSpec
from veracity.zkml.ops import Context
from veracity.zkml.ops.head import _chosen
from veracity.zkml.ops.logarithm import log2
from veracity.zkml.ops.norm import _check_size, norm, root
from veracity.zkml.ops.pointwise import rope

LARGE = ORDER // 4
DIMS = (2, 4)


def constant(c: int) -> Tensor:
    return Tensor.constant(c, DIMS, proving=False)


def test_relations_hold_over_the_integers() -> None:
    """A quarter of the field's order is too much for an identity, a lookup and a boundary."""
    spec, name = TensorSpec(DIMS, 0, -9, 9, 6), ArrayId("boundary", "x")
    b = Builder({}, False)
    b.zero(constant(LARGE - 1))
    b.lookup("op", unsigned(16), constant(LARGE - 1))
    for relation in (
        lambda: b.zero(constant(LARGE)),
        lambda: b.lookup("op", unsigned(16), constant(LARGE)),
        lambda: b.lookup("op", unsigned(16), constant(1), constant(LARGE)),
        lambda: Builder({}, False).hand_over(name, spec, constant(LARGE), bounded=False),
    ):
        with pytest.raises(UnsupportedModelError, match="may exceed the field"):
            relation()


class Stub:
    """A builder that knows one bound of everything, and nothing else."""

    proving = False

    def __init__(self, bound: int | None, joint: bool = True) -> None:
        self._bound, self._joint = bound, joint

    def bound(self, _tensor: Tensor) -> int | None:
        return self._bound

    def is_joint(self, _tensor: Tensor) -> bool:
        return self._joint


def context(bound: int | None, joint: bool = True, **rest: Any) -> Context:
    found = Context(Stub(bound, joint), {}, {}, {}, {}, frozenset(), None, **rest)  # type: ignore[arg-type]
    found.values["x"] = constant(1)
    return found


@pytest.mark.parametrize("bound", [None, ORDER // 4 >> 20])
def test_logarithms_need_bounds(bound: int | None) -> None:
    with pytest.raises(UnsupportedModelError, match="a logarithm of values without"):
        log2(context(bound), LOG)


@pytest.mark.parametrize("bound", [None, 1 << 130])
def test_norms_need_bounds(bound: int | None) -> None:
    for rule, op in ((norm, NORM), (root, ROOT)):
        large = None if bound is None else bound << (60 if rule is root else 0)
        with pytest.raises(UnsupportedModelError, match="a norm of values without"):
            rule(context(large), op)  # type: ignore[operator]


def test_the_bound_of_norms() -> None:
    most = -(-(ORDER // 4) >> 64)
    _check_size(NORM, most - 1)
    for wrong in (most, None):
        with pytest.raises(UnsupportedModelError, match="a norm of values without"):
            _check_size(NORM, wrong)


def test_rotations_need_joint_claims() -> None:
    with pytest.raises(UnsupportedModelError, match="a rotary embedding of a computed value"):
        rope(context(1, joint=False), ROPE)


def test_ports_that_must_be_public() -> None:
    with pytest.raises(UnsupportedModelError, match="a committed input of this op"):
        context(1).public(HEAD, "tokens")
    with pytest.raises(UnsupportedModelError, match="a committed output of this op"):
        context(1).answered(HEAD, 6)
    shown = replace(context(1), outputs={"o": np.array([0, 5])})
    assert shown.answered(HEAD, 6).tolist() == [0, 5]
    for wrong in ([0, 6], [-1, 0]):
        with pytest.raises(UsageError, match="an index that nothing has"):
            replace(shown, outputs={"o": np.array(wrong)}).answered(HEAD, 6)


def test_scores_need_a_scale_to_be_drawn_from() -> None:
    drawn = context(1, sampling=Sampling(bytes(32), 1000))
    with pytest.raises(UsageError, match="scores of this scale cannot be sampled"):
        _chosen(drawn, HEAD, np.array([0]), 0, 6)
