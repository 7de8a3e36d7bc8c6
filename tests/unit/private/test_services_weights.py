"""The owner is bound to the weights that it has named: with others an answer is noise, or none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.support.private_parties import run, three
from tests.support.private_services import MODES, greedy, model
from veracity.errors import PeerError, RangeError
from veracity.mpc.weights import owner_weights

PROMPT = [1, 2, 3]
COUNT = 6


@MODES
def test_an_owner_that_computes_with_other_weights(mode: str, tmp_path: Path) -> None:
    """It sends ``W - U`` as named and multiplies with W': no answer of W, and none of W'."""
    example = model()
    others = {
        name: np.clip(array + (array % 7 == 0), -127, 127).astype(array.dtype)
        for name, array in example.weights.items()
    }
    theirs = replace(example, weights=others)

    async def session() -> list[int]:
        async with three(example, mode, tmp_path) as parties:
            parties.owner._layers = owner_weights(example.program, others)
            try:
                return (await parties.ask(PROMPT, COUNT)).tokens
            except (PeerError, RangeError):  # noise leaves every calibrated range
                return []

    found = run(session())
    assert found != greedy(example, PROMPT, COUNT)
    assert found != greedy(theirs, PROMPT, COUNT)


@MODES
def test_an_owner_that_sends_other_weights_than_it_names(mode: str, tmp_path: Path) -> None:
    example = model()

    async def session() -> None:
        async with three(example, mode, tmp_path) as parties:
            parties.owner.masked = bytes(32)
            with pytest.raises(PeerError, match="other weights"):
                await parties.ask(PROMPT, 1)
            assert not list((tmp_path / "user").glob("*.masked"))

    run(session())
