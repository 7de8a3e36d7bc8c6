"""The private modes as objects: names, what they show, what they refuse."""

from __future__ import annotations

import pytest

from tests.support.programs import small_model
from veracity.cli.private_options import MODE
from veracity.engine import load_engine
from veracity.errors import UsageError
from veracity.graph.ops import OPS
from veracity.mpc.material import ReplayRegistry
from veracity.mpc.modes import MODES, find_mode
from veracity.mpc.party import USER
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


def test_only_modes_that_show_logits_let_the_user_choose() -> None:
    example = small_model("llama")

    def party(name: str) -> object:
        registry = ReplayRegistry()
        return MODES[name].party(
            ENGINE, USER, example.program, pair()[1], {}, {}, registry, bytes(16), lambda z: z[:1]
        )

    assert MODES["shuffled"].samples
    assert party("shuffled")
    assert not MODES["secure"].samples
    with pytest.raises(UsageError, match="greedy"):
        party("secure")
