"""Every op has a meaning, an argument, and a place in the tests."""

from __future__ import annotations

from tests.support.programs import small_model
from veracity.graph.ops import OPS
from veracity.zkml.ops import rules


def test_every_op_has_an_argument_and_nothing_else_has() -> None:
    assert set(rules()) == set(OPS.values())


def test_every_op_is_tried_by_the_malicious_prover() -> None:
    """The programs that the soundness tests cheat on hold every op there is."""
    tried = {type(op) for style in ("llama", "gpt2") for op in small_model(style).program.ops}
    assert tried == set(OPS.values())
