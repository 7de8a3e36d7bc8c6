"""Statements that never were a file: a service may build them from whatever it received.

Wrong values are false proofs or malformed ones; wrong types may also be the caller's mistake. In no
case does anything else come out of the verifier.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import pytest

from tests.support.publisher import (
    LOG_COLUMNS,
    checked,
    claimed,
    decoder,
    garbage,
    published,
    setting,
)
from veracity import zkml
from veracity.errors import FormatError, UsageError, VerificationError
from veracity.formats.commitment import Commitment
from veracity.formats.proof import Proof, statement_context
from veracity.lm.text_decoder import answer_of, forward, ports_of
from veracity.proving.verify import verify
from veracity.text.table import PromptFrame, TokenTable

REFUSED = (FormatError, VerificationError)
WEIGHTS = {"t": np.array([[1, 2], [3, 4], [5, 6], [7, -8]], dtype=np.int16)}


@lru_cache(maxsize=1)
def honest() -> tuple[Commitment, Proof]:
    """A commitment to a small model, and a true proof."""
    engine, key = setting()
    program = checked(decoder(width=2))
    model, opening = zkml.commit_model(engine, program, WEIGHTS, log_columns=LOG_COLUMNS, key=key)
    annex = zkml.prove_well_formed(engine, program, WEIGHTS, (model, opening), key=key)
    commitment = published(program, model, well_formed=annex)
    tokens = [2, 1, *answer_of(forward(program, WEIGHTS, [2, 1], 2))]
    context = statement_context(commitment.digest, "raw")
    statement = zkml.Statement(program, *ports_of(tokens, 2), commitment=model, context=context)
    argument = zkml.prove(engine, statement, WEIGHTS, opening, key=key)
    return commitment, claimed(commitment, tokens, 2, argument)


def test_the_honest_pair_is_accepted() -> None:
    commitment, proof = honest()
    assert verify(proof, commitment).prompt == " 2 1"


VALUES: dict[str, dict[str, Any]] = {
    "a negative token": {"tokens": (-1, 1, 3)},
    "a negative token of the answer": {"tokens": (2, 1, -1)},
    "a token beyond the vocabulary": {"tokens": (2, 4, 3)},
    "a token beyond 32 bits": {"tokens": (2, 1 << 40, 3)},
    "no tokens": {"tokens": ()},
    "no answer": {"tokens": (2, 1)},
    "too many tokens": {"tokens": (2,) * 50},
    "no prompt": {"prompt_length": 0},
    "a negative prompt": {"prompt_length": -1},
    "a prompt beyond the tokens": {"prompt_length": 9},
    "a prompt beyond 64 bits": {"prompt_length": 1 << 70},
    "a frame that nobody knows": {"frame": "system"},
    "a frame that this model has not": {"frame": "chat"},
    "no digest": {"commitment_digest": ""},
    "another digest": {"commitment_digest": "00" * 32},
    "no argument": {"argument": b""},
    "an argument of garbage": {"argument": garbage},
    "an argument of zeros": {"argument": bytes(40_000)},
    "a cut before the first op": {"cuts": (0,)},
    "a negative cut": {"cuts": (-1,)},
    "a cut behind the last op": {"cuts": (2,)},
    "a cut beyond 32 bits": {"cuts": (1 << 33,)},
    "cuts that fall": {"cuts": (1, 1)},
    "a cut that was not proved": {"cuts": (1,)},
}


def made(value: object) -> object:
    """What needs kernels is made in the test, not when tests are collected."""
    return value() if callable(value) else value


@pytest.mark.parametrize("name", VALUES)
def test_values_in_a_proof(name: str) -> None:
    commitment, proof = honest()
    with pytest.raises(REFUSED):
        verify(replace(proof, **{k: made(v) for k, v in VALUES[name].items()}), commitment)


TYPES: dict[str, dict[str, Any]] = {
    "tokens of text": {"tokens": ("a", "b", "c")},
    "tokens that are fractions": {"tokens": (2.0, 1.5, 3.0)},
    "tokens that are lists": {"tokens": ([2], [1], [3])},
    "tokens that are nothing": {"tokens": None},
    "a text for tokens": {"tokens": "213"},
    "bytes for tokens": {"tokens": b"\2\1\3\0"},
    "a prompt length of text": {"prompt_length": "2"},
    "a prompt length that is a fraction": {"prompt_length": 1.5},
    "a prompt length that is nothing": {"prompt_length": None},
    "a frame that is nothing": {"frame": None},
    "a frame that is a list": {"frame": ["raw"]},
    "a digest of bytes": {"commitment_digest": bytes(32)},
    "an argument of text": {"argument": "proof"},
    "an argument that is nothing": {"argument": None},
    "an argument that is a list": {"argument": [1, 2, 3]},
    "cuts of text": {"cuts": ("1",)},
    "cuts that are nothing": {"cuts": None},
}


@pytest.mark.parametrize("name", TYPES)
def test_types_in_a_proof(name: str) -> None:
    commitment, proof = honest()
    with pytest.raises((*REFUSED, UsageError, TypeError)):
        verify(replace(proof, **TYPES[name]), commitment)


def other_table(count: int) -> TokenTable:
    return TokenTable(tuple(b" %d" % i for i in range(count)), frozenset(), None)


COMMITMENTS: dict[str, Callable[[Commitment], Commitment]] = {
    "too few tokens": lambda c: replace(c, table=other_table(2)),
    "too many tokens": lambda c: replace(c, table=other_table(9)),
    "no tokens": lambda c: replace(c, table=other_table(0)),
    "no frames": lambda c: replace(c, metadata=replace(c.metadata, frames={})),
    "a frame beyond the vocabulary": lambda c: replace(
        c, metadata=replace(c.metadata, frames={"raw": PromptFrame((99,), ())})
    ),
    "a frame longer than the prompt": lambda c: replace(
        c, metadata=replace(c.metadata, frames={"raw": PromptFrame((2,), (1, 3))})
    ),
    "an ending beyond the vocabulary": lambda c: replace(
        c, metadata=replace(c.metadata, stop_ids=(99, -1))
    ),
    "another program": lambda c: replace(c, program=replace(c.program, name="another")),
    "a program without ops": lambda c: replace(c, program=replace(c.program, ops=())),
    "a program without weights": lambda c: replace(c, program=replace(c.program, weights={})),
    "a program whose weight is nowhere": lambda c: replace(
        c, program=decoder(shapes={"u": (4, 2)})
    ),
    "no rows": lambda c: replace(c, model=replace(c.model, rows=b"")),
    "half a row": lambda c: replace(c, model=replace(c.model, rows=c.model.rows[:-5])),
    "rows that are no points": lambda c: replace(
        c, model=replace(c.model, rows=b"\xff" * len(c.model.rows))
    ),
    "rows of no length": lambda c: replace(c, model=replace(c.model, log_columns=0)),
    "rows of a negative length": lambda c: replace(c, model=replace(c.model, log_columns=-1)),
    "rows of a great length": lambda c: replace(c, model=replace(c.model, log_columns=40)),
    "rows of another program": lambda c: replace(
        c, model=replace(c.model, program_digest=bytes(32))
    ),
    "rows of no program": lambda c: replace(c, model=replace(c.model, program_digest=b"")),
}


@pytest.mark.parametrize("name", COMMITMENTS)
def test_values_in_a_commitment(name: str) -> None:
    commitment, proof = honest()
    try:
        hostile = COMMITMENTS[name](commitment)
        proof = replace(proof, commitment_digest=hostile.digest)
    except ValueError:  # it has no encoding, so that no proof can refer to it
        pass
    with pytest.raises(REFUSED):
        verify(proof, hostile)
