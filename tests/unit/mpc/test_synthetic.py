"""The random decoders of the private benches: in range, and the same in shares."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tests.support.shuffled_parties import Parties, expected, told
from veracity.lm.text_decoder import forward
from veracity.mpc.shuffled.attention import Attend
from veracity.mpc.shuffled.plan import compile_plan
from veracity.mpc.shuffled.role import Shape

BENCHES = Path(__file__).parents[3] / "benches"


@pytest.fixture(scope="module", name="synthetic")
def _synthetic() -> ModuleType:
    spec = importlib.util.spec_from_file_location("synthetic", BENCHES / "synthetic.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["synthetic"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("positions", ["rope", "table"])
def test_values_have_a_models_sizes_and_tokens_are_the_programs(
    synthetic: ModuleType, positions: str
) -> None:
    size = synthetic.Dimensions(width=128, heads=4, layers=2, positions=positions)
    program, weights = synthetic.decoder(size, seed=3)
    trace = forward(program, weights, list(range(1, 20)), 19)
    spreads = {name: float(np.std(v)) for name, v in trace.values.items() if ".attn." in name}
    assert len(spreads) >= 8
    assert all(1 << 8 < spread < 1 << 13 for spread in spreads.values())
    plan = compile_plan(program)
    assert plan.round_trips_per_layer(Shape(1, 64)) == 5
    assert plan.round_trips_per_layer(Shape(64, 0)) == 6
    assert all(s.dropped <= 1 for s in plan.steps if isinstance(s, Attend))
    want = expected(program, weights, [5, 6, 7], 3)
    assert told(Parties(program, weights), [5, 6, 7], want[:-1])[0] == want
