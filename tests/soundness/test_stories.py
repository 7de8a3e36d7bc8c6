"""A real model: stories260K proved, and its proof changed message by message."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from veracity.engine import load_engine
from veracity.errors import FormatError, VerificationError
from veracity.formats.program import load_program_file
from veracity.frontends import calibrate, import_model
from veracity.lm.generate import generate
from veracity.zk.keys import load_key
from veracity.zkml import Statement, commit_model, count, verify
from veracity.zkml.chain import prove_with_spans


def test_every_message_of_a_real_proof_is_bound(tmp_path: Path) -> None:
    path = tmp_path / "stories.vprog"
    import_model("stories260k", path)
    calibrate(path)
    content = load_program_file(path)
    program = content.program
    assert program is not None
    engine = load_engine("cpu")
    commitment, opening = commit_model(engine, program, content.weights)
    key = load_key(engine, commitment.log_columns)
    frame = content.frame(chat=False)
    assert frame is not None
    prompt = [*frame[0], *content.encode("Once upon a time"), *frame[1]]
    tokens = [*prompt, *generate(program, content.weights, prompt, 8)]
    statement = Statement(program, tuple(tokens), len(prompt), commitment=commitment)
    proof, spans = prove_with_spans(engine, statement, content.weights, opening, key=key)
    assert len(proof) == count(statement).proof_bytes

    def check(data: bytes, said: list[int] = tokens) -> None:
        verify(engine, replace(statement, tokens=tuple(said)), data, key=key)

    check(proof)
    for i in range(len(tokens)):
        with pytest.raises(VerificationError):
            check(proof, [t if j != i else (t + 1) % 512 for j, t in enumerate(tokens)])
    # every kind of message at least once, and every fifth of the long runs of rounds
    seen: set[str] = set()
    for n, span in enumerate(spans):
        if span.label in seen and n % 5:
            continue
        seen.add(span.label)
        broken = bytearray(proof)
        broken[span.start + (7 * n) % (span.stop - span.start)] ^= 1 << n % 8
        with pytest.raises((FormatError, VerificationError)):
            check(bytes(broken))
