"""The owner is bound to the weights that it has named: with others an answer is noise, or none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.private_parties import run, three
from tests.support.private_services import ALL, MODES, SHAPE, greedy, model
from veracity.errors import PeerError
from veracity.mpc.secure.party import Owner
from veracity.mpc.secure.role import Secret
from veracity.mpc.token_selection import transfer
from veracity.mpc.token_selection.homomorphic import Holder
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
            # Noise may leave calibrated ranges; the passes go on, as the owner is not to see it.
            return (await parties.ask(PROMPT, COUNT)).tokens

    found = run(session())
    assert found != greedy(example, PROMPT, COUNT)
    assert found != greedy(theirs, PROMPT, COUNT)


@ALL
def test_an_owner_whose_tokens_do_not_exist_does_not_see_whether_they_are_missed(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a share or a table of its choice it could ask which token it was: the user goes on."""
    example = model()
    disclose, hold, encrypted = Owner.disclose, transfer.hold, Holder.hold

    async def beyond(owner: Owner, word: Secret, bits: int) -> None:
        token = np.uint64(SHAPE[-1])
        await disclose(owner, word.map(lambda share: share - token), bits)

    async def strange(*given: Any) -> None:
        await hold(*given[:-1], np.full(SHAPE[-1], 63))

    async def homomorphic(holder: Holder, channel: Any, tag: int, _: Any, n: int) -> None:
        await encrypted(holder, channel, tag, np.full(SHAPE[-1], SHAPE[-1]), n)

    monkeypatch.setattr(Owner, "disclose", beyond)
    monkeypatch.setattr(transfer, "hold", strange)
    monkeypatch.setattr(Holder, "hold", homomorphic)

    async def session() -> None:
        async with (
            three(example, mode, tmp_path) as parties,
            parties.session(len(PROMPT), COUNT) as (user, _),
        ):
            found = [await user.feed(PROMPT)]
            assert isinstance(user.fault, PeerError)
            while user.left:
                found.append(await user.feed(found[-1:]))
            assert all(0 <= token < SHAPE[-1] for token in found)
            monkeypatch.undo()
            await user.turn(len(PROMPT), 1, 1)
            assert user.fault is None
            await user.feed([4])
            assert user.fault is None

    run(session())


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
