"""The private modes as objects: names, what they show, what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.support.programs import small_model
from veracity.cli.private_options import MODE
from veracity.engine import load_engine
from veracity.errors import UsageError
from veracity.graph.ops import OPS
from veracity.mpc.material import ReplayRegistry
from veracity.mpc.modes import MODES, find_mode
from veracity.mpc.party import USER
from veracity.mpc.token_selection.pick import Chooser
from veracity.net import pair

ENGINE = load_engine("cpu")


def test_every_mode_has_its_name_and_says_what_it_shows() -> None:
    assert tuple(MODE.choices) == tuple(MODES)
    for name, mode in MODES.items():
        assert mode.name == name
        assert mode.reveals
        assert set(mode.rules) == set(OPS.values())
    with pytest.raises(UsageError, match="choose from secure, shuffled, shuffled-bfv"):
        find_mode("open")


@pytest.mark.parametrize("name", ["secure", "shuffled"])
def test_plans_are_remembered_and_declare_what_a_pass_costs(name: str) -> None:
    mode, program = MODES[name], small_model("llama").program
    first = mode.plan(ENGINE, program, 1, 3)
    assert first.cost == mode.plan(ENGINE, program, 1, 3).cost
    assert (first.rows, first.start) == (1, 3)
    assert first.cost.online_bytes < mode.plan(ENGINE, program, 2, 3).cost.online_bytes
    assert 0 <= first.repeat < 1e-3
    assert (first.repeat > 0) == (name == "secure")


def test_a_user_chooses_among_logits_that_it_sees_or_by_noise() -> None:
    example, chooser = small_model("llama"), Chooser(lambda z: z[:1], lambda *_: np.zeros(1))

    def party(name: str) -> Any:
        registry = ReplayRegistry()
        return MODES[name].party(
            ENGINE, USER, example.program, pair()[1], {}, {}, registry, bytes(16), chooser
        )

    assert MODES["shuffled"].noise_bits == 0
    assert party("shuffled").pick is chooser.pick
    assert MODES["secure"].noise_bits == 15
    assert party("secure").noise is chooser.noise
