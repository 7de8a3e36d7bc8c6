"""Every message of a proof about tensors is bound: one bit changed anywhere, and it is refused.

The sweep runs over the messages that the transcript recorded: a network over samples, in two links,
with sealed ports, and one that shows choices only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tests.soundness.test_ports import ENGINE, KEY, LOG_COLUMNS
from tests.support.toy_pictures import sharpener
from tests.support.toy_programs import Toy
from tests.support.toy_vision import network
from veracity.errors import FormatError, VerificationError
from veracity.graph import execute
from veracity.graph.samples import choices_over, program_over
from veracity.zk.transcript import Span
from veracity.zkml import Statement, chain, commit_model, verify
from veracity.zkml.chain import prove_with_spans

Proved = tuple[Statement, bytes, list[Span]]


def proved(toy: Toy, choices: bool, seal: tuple[str, ...], cuts: tuple[int, ...]) -> Proved:
    """A statement about three samples, and its proof."""
    files = commit_model(ENGINE, toy.program, toy.weights, log_columns=LOG_COLUMNS, key=KEY)
    ((name, x),) = toy.inputs.items()
    run = choices_over(toy.program, 3, "scores")[0] if choices else program_over(toy.program, 3)
    inputs = {name: np.stack([x, x // 2, x[::-1]])}
    outputs = execute(run, toy.weights, inputs).outputs
    plain = Statement(
        run, inputs, outputs, cuts, commitment=files[0], committed=toy.program, context=b"sweep"
    )
    sealed = {
        n: chain.seal(ENGINE, KEY, plain.port_spec(n), v, bytes(32), n.encode())
        for n, v in {**inputs, **outputs}.items()
        if n in seal
    }
    tensors = {n: b.tensor for n, b in sealed.items()}
    statement = replace(
        plain,
        inputs={n: tensors.get(n, v) for n, v in inputs.items()},
        outputs={n: tensors.get(n, v) for n, v in outputs.items()},
    )
    return statement, *prove_with_spans(
        ENGINE, statement, toy.weights, files[1], key=KEY, sealed=sealed
    )


CASES: dict[str, Callable[[], Proved]] = {
    "samples in two links": lambda: proved(network(), False, (), (4,)),
    "choices": lambda: proved(network(), True, (), ()),
    "sealed pictures": lambda: proved(sharpener(), False, ("x", "y"), (1,)),
}

MARKS = dict.fromkeys(("samples in two links", "choices"), pytest.mark.slow)


@pytest.mark.parametrize("case", [pytest.param(c, marks=MARKS.get(c, ())) for c in CASES])
def test_every_message_is_bound(case: str) -> None:
    statement, proof, spans = CASES[case]()
    verify(ENGINE, statement, proof, key=KEY)
    assert spans[-1].stop == len(proof)
    seen: set[str] = set()
    for n, span in enumerate(spans):
        if span.label in seen and n % 29:  # each kind, and some of the long runs of rounds
            continue
        seen.add(span.label)
        broken = bytearray(proof)
        broken[span.start + (7 * n) % (span.stop - span.start)] ^= 1 << n % 8
        with pytest.raises((FormatError, VerificationError)):
            verify(ENGINE, statement, bytes(broken), key=KEY)


def test_a_proof_over_samples_is_of_that_program_and_no_other() -> None:
    """Of the committed program by itself, of another number of samples, of other choices."""
    toy = network()
    statement, proof, _ = CASES["choices"]()
    scores, _ = choices_over(toy.program, 3, "class")
    over = program_over(toy.program, 3)
    others = [
        replace(statement, program=scores),
        replace(
            statement,
            program=over,
            outputs=execute(over, toy.weights, statement.public_inputs()).outputs,
        ),
        replace(statement, committed=over),
        replace(statement, committed=None),
    ]
    for other in others:
        if other.program.digest == statement.program.digest and other.committed == toy.program:
            continue
        with pytest.raises((FormatError, VerificationError)):
            verify(ENGINE, other, proof, key=KEY)


def test_a_program_with_other_weights_does_not_follow_from_the_committed_one() -> None:
    statement, proof, _ = CASES["choices"]()
    other = replace(
        statement.program,
        weights={n: replace(w, bits=15) for n, w in statement.program.weights.items()},
    )
    with pytest.raises(VerificationError, match="same weights"):
        verify(ENGINE, replace(statement, program=other), proof, key=KEY)
