"""What a dishonest enhancer tries: another picture's filter or kernels, other pixels, other tiles.

The first two run twice: against the argument, where the verifier must refuse, and against one that
owes everything but the one relation in their way, where it must accept.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest

from tests.support import cheating
from tests.support.forging import Forger, without_lookup
from veracity.engine import load_engine
from veracity.errors import UsageError, VerificationError
from veracity.formats.program import NetworkFile
from veracity.frontends.lce import network_for
from veracity.graph import Trace, execute
from veracity.zk.keys import key_for, load_key
from veracity.zk.transcript import ProverTranscript
from veracity.zkml import Statement, argument, chain, commit_model, prove, verify
from veracity.zkml.circuit import build
from veracity.zkml.model import ModelCommitment, ModelOpening, weight_arrays

ENGINE = load_engine("cpu")
KEY = load_key(ENGINE, 10)
SIDE = 18


def scene(seed: int, smooth: bool) -> np.ndarray:
    """A picture, blurred or not."""
    x = np.random.default_rng(seed).integers(0, 256, (3, SIDE, 40)).astype(float)
    for axis in (1, 2) if smooth else ():
        x = (np.roll(x, 1, axis) + 2 * x + np.roll(x, -1, axis)) / 4
    return x.astype(np.int64)


@lru_cache(maxsize=1)
def made() -> tuple[NetworkFile, ModelCommitment, ModelOpening, Statement, bytes]:
    """Two tiles, proved honestly."""
    network = network_for(SIDE, 40, 32)
    files = commit_model(ENGINE, network.program, network.weights, log_columns=10, key=KEY)
    inputs = {"picture": scene(1, smooth=True)}
    outputs = execute(network.program, network.weights, inputs).outputs
    statement = Statement(network.program, inputs, outputs, commitment=files[0])
    proof = prove(ENGINE, statement, network.weights, files[1], key=KEY)
    return network, *files, statement, proof


def with_results_of(network: NetworkFile, op: str) -> Trace:
    """An execution that goes on with the result which an op has for another picture."""
    program, weights = network.program, network.weights
    inputs, others = {"picture": scene(1, smooth=True)}, {"picture": scene(2, smooth=False)}
    at = next(i for i, o in enumerate(program.ops) if o.name == op) + 1
    honest = execute(program, weights, inputs, span=(0, at))
    other = execute(program, weights, others, span=(0, at))
    given = {**honest.values, op: other.values[op]}
    rest = execute(program, weights, inputs, span=(at, len(program.ops)), given=given)
    details = {**honest.details, op: other.details[op], **rest.details}
    return Trace({**given, **rest.values}, details, rest.outputs)


SHARES = "contract.y AxisIndex"
LIES = {
    "filter": (SHARES, "corrector.basis", "contract.y", "1"),
    "blocks.1.ffn2.kernel": (
        *(f"{SHARES} AxisIndex", "blocks.1.ffn2.terms Split"),
        *("blocks.1.ffn2.weight", "contract.y", "1"),
    ),
}


@pytest.mark.parametrize("present", [True, False], ids=["refused", "accepted without"])
@pytest.mark.parametrize("op", LIES)
def test_what_belongs_to_another_picture(
    monkeypatch: pytest.MonkeyPatch, op: str, present: bool
) -> None:
    network, commitment, opening, honest, _ = made()
    trace = with_results_of(network, op)
    assert not np.array_equal(trace.outputs["enlarged"], honest.outputs["enlarged"])
    statement = replace(honest, outputs=trace.outputs)
    (link,) = statement.links
    monkeypatch.setattr(cheating, "CheatingBuilder", Forger)
    dropped = [] if present else without_lookup(monkeypatch, *LIES[op])
    with cheating.cheating(monkeypatch, lambda *_: None):
        circuit = build.build_circuit(statement, link, network.weights, trace)
        transcript = ProverTranscript(chain.PROTOCOL, chain.link_statement(statement, link, {}))
        model = weight_arrays(ENGINE, network.program, network.weights, (commitment, opening))
        key = key_for(ENGINE, circuit.row_bits, KEY)
        argument.prove_circuit(ENGINE, key, circuit, model, transcript)
    assert present or dropped
    with pytest.raises(VerificationError) if present else nullcontext():
        verify(ENGINE, statement, transcript.finish(), key=KEY)


def test_other_pixels_than_those_that_were_proved() -> None:
    *_, statement, proof = made()
    verify(ENGINE, statement, proof, key=KEY)
    true = statement.outputs["enlarged"]
    lies = [true.copy() for _ in range(3)]
    lies[0][0, 0, 0] ^= 1  # a corner
    lies[1][:, :, 38:42] = true[:, :, 42:38:-1]  # where tiles meet
    lies[2] = np.concatenate([true[:, :, 40:], true[:, :, :40]], axis=2)  # tiles exchanged
    for lie in lies:
        assert not np.array_equal(lie, true)
        with pytest.raises(VerificationError):
            verify(ENGINE, replace(statement, outputs={"enlarged": lie}), proof, key=KEY)
    other = {"picture": scene(3, smooth=True)}
    with pytest.raises(VerificationError):
        verify(ENGINE, replace(statement, inputs=other), proof, key=KEY)


@pytest.mark.parametrize("byte", [-1, 256])
def test_no_byte_is_beyond_a_byte(byte: int) -> None:
    *_, statement, proof = made()
    lie = statement.outputs["enlarged"].copy()
    lie[0, 0, 0] = byte
    with pytest.raises((VerificationError, UsageError)):
        verify(ENGINE, replace(statement, outputs={"enlarged": lie}), proof, key=KEY)


def test_other_sizes_and_other_tiles_are_other_programs() -> None:
    programs = [network_for(*s).program.digest for s in ((18, 40, 32), (40, 18, 32), (18, 40, 48))]
    assert len(set(programs)) == 3
