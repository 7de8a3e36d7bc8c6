"""The hash that grows the trees of keys has another public key in every pass."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from tests.support.programs import small_model
from tests.support.secure_parties import Parties, run_pass
from veracity.engine import load_engine
from veracity.engine.api_fss import TREE_KEY_BYTES
from veracity.mpc.material import Label

ENGINE = load_engine("cpu")


def test_every_pass_has_trees_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """All three roles take the hash's key from the label of the pass, which never comes twice."""
    label = Label(bytes(32), bytes(16), 1, 0, 2, 0)
    assert label.tree_key == replace(label, party=1).tree_key
    others = [
        replace(label, **change)
        for change in (
            {"model": bytes(31) + b"1"}, {"session": bytes(15) + b"1"}, {"number": 2},
            {"start": 1}, {"rows": 3},
        )
    ]  # fmt: skip
    assert len({one.tree_key for one in (label, *others)}) == 6
    assert len(label.tree_key) == TREE_KEY_BYTES
    used: list[bytes] = []
    honest = type(ENGINE.fss).keyed

    def noted(self: Any, key: bytes) -> Any:
        used.append(key)
        return honest(self, key)

    monkeypatch.setattr(type(ENGINE.fss), "keyed", noted)
    example = small_model("llama")

    async def act() -> list[bytes]:
        parties, keys = Parties(example.program, example.weights), []
        for start, tokens in ((0, [1, 2]), (2, [3])):
            dealt, made = parties.deal(start, len(tokens))
            await asyncio.gather(
                run_pass(parties.owner, dealt[0], made[0]),
                run_pass(parties.user, dealt[1], made[1], tokens),
            )
            keys += 3 * [dealt[0].label.tree_key]
        return keys

    assert used == asyncio.run(act())
    assert len(set(used)) == 2
