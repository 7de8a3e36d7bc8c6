"""A simulator without a witness produces transcripts that the verifier accepts.

It programs the random oracle at one place, the opening's challenge ``e``; everything else in a
proof is a uniformly random point, a function of the uniform ``z``, or solved for. The argument is
in docs/protocols/hiding.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from tests.support import training_lies
from tests.support.pictures import executed_pictures, settled_recipe
from tests.support.programs import claim, small_model
from tests.support.toy import (
    DIMS,
    PLACE,
    SHAPES,
    TABLE,
    Toy,
    claims_of,
    make_toy,
    prove_toy,
    require,
)
from tests.support.training import KEY
from veracity.engine import load_engine
from veracity.engine.api import ORDER, Engine, Points
from veracity.errors import VerificationError
from veracity.lm.text_decoder import vocabulary_of
from veracity.zk import opening
from veracity.zk.committed import ArrayId, ArrayShape
from veracity.zk.hidden import HiddenVerifier
from veracity.zk.ipa import prove_inner_product
from veracity.zk.keys import CommitmentKey, load_key
from veracity.zk.lookup import verify_lookups
from veracity.zk.mle import inverse, powers
from veracity.zk.opening import verify_opening
from veracity.zk.reduction import reduce_verifier
from veracity.zk.transcript import ProverTranscript, VerifierTranscript
from veracity.zkml import argument, chain, commit_model, verify
from veracity.zkml.circuit.build import Circuit, build_circuit
from veracity.zkml.training import run

Shapes = Mapping[ArrayId, ArrayShape]
E = 0x1234567890ABCDEF1234567890ABCDEF


class Programmed(ProverTranscript):
    """An oracle that answers the opening's challenge with E."""

    def challenge(self, label: str) -> int:
        answer = super().challenge(label)
        return E if label == "opening e" else answer

    def read(self, label: str, size: int) -> bytes:
        """Lets the verifier's replay run while the proof is being invented: random points."""
        engine = make_toy().engine
        count = size // 32
        base = engine.generators("simulator", 1)
        data = engine.compress(engine.scale_points(base, engine.random(count)))
        self.write(label, data)
        return data


class ProgrammedReader(VerifierTranscript):
    """The same oracle for the verifier."""

    def challenge(self, label: str) -> int:
        answer = super().challenge(label)
        return E if label == "opening e" else answer


@dataclass
class Replay:
    """The verifier's replay up to the opening."""

    channel: HiddenVerifier
    points: dict[ArrayId, Any] = field(default_factory=dict)
    equation: Any = None


def replay(toy: Toy, transcript: Any) -> Replay:
    engine, key = toy.engine, toy.key
    out = Replay(HiddenVerifier(engine, key, transcript))
    for name, shape in SHAPES.items():
        rows = shape.layout(key.log_columns).rows
        out.points[name] = engine.decompress(transcript.read(str(name), 32 * rows))
    alpha = out.channel.challenge("alpha")
    leaf = verify_lookups(out.channel, PLACE.variables)
    out.equation = reduce_verifier(out.channel, SHAPES, claims_of(engine, leaf, alpha))
    return out


def combined_commitment(
    engine: Engine, key: CommitmentKey, state: Replay, shapes: Shapes, delta: int
) -> Points:
    """``P``: all rows and messages."""
    points, scalars = [state.channel.message_points()], []
    scalars.append(engine.from_ints(powers(delta, len(state.channel.messages) + 1)[1:]))
    for name, coefficient in state.equation.coefficients.items():
        layout = shapes[name].layout(key.log_columns)
        points.append(state.points[name])
        scalars.append(engine.scale(layout.row_weights(engine, state.equation.point), coefficient))
    return engine.msm(engine.concat_points(points), engine.concat(scalars))


def simulate_opening(
    engine: Engine, key: CommitmentKey, transcript: Programmed, state: Replay, shapes: Shapes
) -> None:
    """Write an opening of whatever is owed, from public data alone."""
    channel = state.channel
    gates = channel.close()
    system, delta = opening._system(channel, engine, state.equation, key.log_columns, gates)
    m = len(channel.constraints.message_of)
    z_row = engine.random(key.row_length)
    z, (z_blind, product_blind, t1) = (
        engine.to_ints(engine.random(m)),
        engine.to_ints(engine.random(3)),
    )
    square = opening._gate_value(system, z, z) * inverse(2) % ORDER
    linear = opening._gate_linear(system, z)
    bases = engine.concat_points([key.columns, key.slots(0, m)])
    whole = engine.concat([z_row, engine.from_ints(z)])
    p = combined_commitment(engine, key, state, shapes, delta)
    mask = engine.msm(
        engine.concat_points([bases, key.blinder, p]),
        engine.scale(engine.concat([whole, engine.from_ints([z_blind, -1])]), inverse(E)),
    )
    value = engine.dot(system.u_row, z_row)
    value += sum(u * v for u, v in zip(system.u_slots, z, strict=True))
    beta = (value - system.constant) * inverse(E) % ORDER
    first = engine.scale_points(key.blinder, engine.from_ints([t1]))
    product = (system.square * square - system.single * linear) % ORDER
    second = engine.msm(
        engine.concat_points([key.product, key.blinder, first]),
        engine.scale(engine.from_ints([product, product_blind, -E]), inverse(E * E)),
    )
    transcript.write("opening mask", engine.compress(engine.concat_points([mask, first, second])))
    transcript.write_scalar("opening beta", beta)
    transcript.challenge("opening e")
    for label, scalar in (
        ("square", square), ("linear", linear), ("blind", z_blind),
        ("product blind", product_blind),
    ):  # fmt: skip
        transcript.write_scalar(f"opening {label}", scalar)
    point = opening._prove_square(transcript, system, z)
    nus = transcript.challenges("opening join", 3)
    slots = opening._statements_about_z(system, point, nus, m)
    xi = engine.from_ints([transcript.challenge("opening inner")])
    prove_inner_product(
        engine, transcript, bases, engine.scale_points(key.inner, xi), whole,
        engine.concat([system.u_row, engine.from_ints(slots)]),
    )  # fmt: skip


def simulate(toy: Toy) -> bytes:
    """A proof of the toy statement from public data alone."""
    transcript = Programmed("toy", toy.statement)
    simulate_opening(toy.engine, toy.key, transcript, replay(toy, transcript), SHAPES)
    return transcript.finish()


@pytest.fixture(scope="module")
def toy() -> Toy:
    return make_toy()


def test_simulated_proof_is_accepted_under_the_programmed_oracle(toy: Toy) -> None:
    proof = simulate(toy)
    reader = ProgrammedReader("toy", toy.statement, proof)
    state = replay(toy, reader)
    remaining = verify_opening(state.channel, SHAPES, state.points, state.equation)
    require(toy.engine, toy.key, remaining)


def simulate_circuit(
    transcript: Programmed,
    circuit: Circuit,
    key: CommitmentKey,
    points: Mapping[ArrayId, Points],
    patch: pytest.MonkeyPatch,
) -> bytes:
    """A proof of a whole circuit: the verifier's own replay up to the opening, then a forgery."""
    engine = make_toy().engine

    def finish(channel: HiddenVerifier, shapes: Shapes, found: Any, equation: Any) -> None:
        state = Replay(channel, dict(found), equation)
        simulate_opening(engine, key, transcript, state, shapes)

    with patch.context() as inner:
        inner.setattr(argument, "verify_opening", finish)
        argument.verify_circuit(engine, key, circuit, points, transcript)  # type: ignore[arg-type]
    return transcript.finish()


@pytest.mark.parametrize("style", ["llama", "gpt2"])
@pytest.mark.parametrize("true", [True, False], ids=["true answer", "false answer"])
def test_the_whole_protocol_is_simulated(
    style: str, true: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of true statements and, as the oracle is programmed, of false ones: no weights are needed."""
    engine, e = load_engine("cpu"), small_model(style, layers=1)
    key = load_key(engine, 9)
    commitment, _ = commit_model(engine, e.program, e.weights, log_columns=9, key=key)
    last = e.tokens[-1] if true else (e.tokens[-1] + 1) % vocabulary_of(e.program)
    tokens = (*e.tokens[:-1], last)
    statement = claim(e, tokens, commitment=commitment)
    points = commitment.points(engine, e.program)
    (link,) = statement.links
    transcript = Programmed(chain.PROTOCOL, chain.link_statement(statement, link, {}))
    circuit = build_circuit(statement, link)
    proof = simulate_circuit(transcript, circuit, key, points, monkeypatch)
    with pytest.raises(VerificationError):
        verify(engine, statement, proof, key)
    monkeypatch.setattr(chain, "VerifierTranscript", ProgrammedReader)
    verify(engine, statement, proof, key)


@pytest.mark.parametrize(
    ("loss", "true"),
    [
        ("cross_entropy", False),
        pytest.param("cross_entropy", True, marks=pytest.mark.slow),
        pytest.param("square", False, marks=pytest.mark.slow),
    ],
    ids=["false step", "true step", "square loss"],
)
def test_a_window_of_training_is_simulated(
    loss: str, true: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From rows alone: examples, weights and everything in between stay with the prover."""
    lie = training_lies.Lie() if true else training_lies.Lie(head=lambda _t, g, _y: g + 1)
    trained = training_lies.executed(lie, loss)
    statement, circuit, points = training_lies.window_of(trained, 0)
    transcript = Programmed(run.PROTOCOL, statement)
    proof = simulate_circuit(transcript, circuit, KEY, points, monkeypatch)
    with pytest.raises(VerificationError):
        training_lies.verify_window(trained, 0, proof)
    training_lies.verify_window(trained, 0, proof, ProgrammedReader)


@pytest.mark.slow
def test_a_window_on_pictures_is_simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels, what momentum has gathered, and what decays stay with the prover, too."""
    trained = executed_pictures(settled_recipe())
    statement, circuit, points = training_lies.window_of(trained, 0)
    transcript = Programmed(run.PROTOCOL, statement)
    proof = simulate_circuit(transcript, circuit, KEY, points, monkeypatch)
    with pytest.raises(VerificationError):
        training_lies.verify_window(trained, 0, proof)
    training_lies.verify_window(trained, 0, proof, ProgrammedReader)


def test_it_needs_the_programmed_oracle(toy: Toy) -> None:
    reader = VerifierTranscript("toy", toy.statement, simulate(toy))
    state = replay(toy, reader)
    remaining = verify_opening(state.channel, SHAPES, state.points, state.equation)
    with pytest.raises(VerificationError):
        require(toy.engine, toy.key, remaining)


def _scalars(toy: Toy, values: np.ndarray, count: int) -> list[int]:
    """All scalars in clear of several proofs of one witness."""
    counts = np.bincount(values.reshape(-1), minlength=len(TABLE))
    out: list[int] = []
    for _ in range(count):
        proof, spans = prove_toy(toy, values, counts)
        clear: Sequence[bytes] = [
            proof[s.start : s.stop]
            for s in spans
            if s.stop - s.start == 32 and s.label.startswith(("opening", "inner product end"))
        ]
        out += [int.from_bytes(c, "little") for c in clear]
    return out


def test_scalars_in_clear_are_uniform_for_different_witnesses(toy: Toy) -> None:
    """Top bits of everything in clear: chi-squared against uniform, for two unlike witnesses."""
    for values in (np.zeros(DIMS, dtype=np.int64), np.full(DIMS, 4, dtype=np.int64)):
        scalars = _scalars(toy, values, 12)
        bins = np.bincount([s * 16 // ORDER for s in scalars], minlength=16)
        expected = len(scalars) / 16
        # 15 degrees of freedom: 60 is beyond the 10^-6 quantile
        assert ((bins - expected) ** 2 / expected).sum() < 60
        assert len(set(scalars)) == len(scalars)
