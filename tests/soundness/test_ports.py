"""Statements over ports: any rank, public or committed; one proof's output is another's weight."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.cheating import cheating
from tests.support.programs import small_model
from tests.support.toy_programs import S16, Toy, contraction, convolution, mlp, statistics
from tests.support.toy_vision import network
from veracity.engine import load_engine
from veracity.errors import FormatError, UsageError, VerificationError
from veracity.graph import Output, Port, Program, WeightSpec, execute
from veracity.graph.ops import Add, Function, Gain, Linear, Mul, Norm, Rescale
from veracity.zk.keys import key_for, load_key
from veracity.zk.transcript import ProverTranscript
from veracity.zkml import (
    ModelCommitment,
    Statement,
    argument,
    chain,
    commit_model,
    count,
    prove,
    verify,
)
from veracity.zkml.circuit import build
from veracity.zkml.committed import CommittedTensor, TensorSpec
from veracity.zkml.model import weight_arrays

LOG_COLUMNS = 6
ROOT = Path(__file__).resolve().parents[2]
ENGINE = load_engine("cpu")
KEY = load_key(ENGINE, LOG_COLUMNS)
REJECTED = (FormatError, VerificationError)


class Made:
    """A toy with its commitment and the true statement about it, all ports public."""

    def __init__(self, toy: Toy) -> None:
        self.toy = toy
        self.files = commit_model(
            ENGINE, toy.program, toy.weights, log_columns=LOG_COLUMNS, key=KEY
        )
        self.statement = Statement(
            toy.program, toy.inputs, toy.trace.outputs, commitment=self.files[0]
        )

    def prove(self, statement: Statement | None = None, **rest: Any) -> bytes:
        claimed = self.statement if statement is None else statement
        return prove(ENGINE, claimed, self.toy.weights, self.files[1], key=KEY, **rest)


@pytest.fixture(scope="module", params=[mlp, convolution, statistics, network])
def made(request: pytest.FixtureRequest) -> Made:
    return Made(request.param())


def test_any_program_is_proved(made: Made) -> None:
    proof = made.prove()
    assert len(proof) == count(made.statement).proof_bytes
    verify(ENGINE, made.statement, proof, key=KEY)
    cut = replace(made.statement, cuts=(1, 2))
    verify(ENGINE, cut, made.prove(cut), key=KEY)


def test_ops_of_any_rank_are_proved() -> None:
    """Entry by entry, by features and over rows: of three dims, and a shift wider than a value."""
    parts = {"w": (3, 4), "g": (3,), "h": (3,)}
    ops = (
        Linear(name="l", x="x", weight="w", bias="h", shift=0, bits=16),
        Norm(name="n", x="l", kind="layer", constant=3 << 28, eps=1, shift=4, bits=16, x_bits=16),
        Gain(name="k", x="n", weight="g", bias="h", shift=6, bits=16),
        Mul(name="m", a="k", b="l", shift=10, bits=24),
        Rescale(name="y", x="l", shift=32, bits=16),
        Add(name="z", a="m", b="y", shift_a=0, shift_b=3),
    )
    program = Program(
        name="ranks",
        arch={},
        inputs={"x": Port(("N", 2, 4), 8, -99, 99)},
        outputs={"z": Output(("N", 2, 3), 8, -(1 << 40), 1 << 40, "z")},
        limits={"N": 8},
        ops=ops,
        weights={n: WeightSpec(s, "int16", 8, 16) for n, s in parts.items()},
        exponents={},
    )
    program.validate()
    rng = np.random.default_rng(4)
    weights = {n: rng.integers(-9, 10, s).astype(np.int16) for n, s in parts.items()}
    ranks = Made(Toy(program, weights, {"x": rng.integers(-99, 100, (3, 2, 4))}))
    verify(ENGINE, ranks.statement, ranks.prove(), key=KEY)


def test_every_public_entry_is_bound(made: Made) -> None:
    proof = made.prove()
    for side in ("inputs", "outputs"):
        for name, values in getattr(made.statement, side).items():
            for at in (0, values.size // 2, values.size - 1):
                other = values.copy()
                other.reshape(-1)[at] += 1
                ports = {**getattr(made.statement, side), name: other}
                lie = replace(made.statement, **{side: ports})
                with pytest.raises(REJECTED):
                    verify(ENGINE, lie, proof, key=KEY)
                if side == "outputs":
                    with pytest.raises(UsageError, match="another answer"):
                        made.prove(lie)


def test_one_wrong_value_in_any_array_is_rejected(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy = made.toy
    (link,) = made.statement.links
    roles = [b.name for b in build.build_circuit(made.statement, link).builder.batches]
    for target in roles:

        def change(name: str, instance: int, values: np.ndarray) -> np.ndarray | None:
            if name.split("[")[0] != target or instance:  # noqa: B023
                return None
            out = values.astype(np.int64)
            out.reshape(-1)[0] += 1 if out.reshape(-1)[0] <= 0 else -1
            return out

        with cheating(monkeypatch, change):
            lie = build.build_circuit(made.statement, link, toy.weights, toy.trace)
            absorbed = chain.link_statement(made.statement, link, {})
            transcript = ProverTranscript(chain.PROTOCOL, absorbed)
            model = weight_arrays(ENGINE, toy.program, toy.weights, made.files)
            key = key_for(ENGINE, lie.row_bits, KEY)
            argument.prove_circuit(ENGINE, key, lie, model, transcript)
        with pytest.raises(VerificationError):
            verify(ENGINE, made.statement, transcript.finish(), key=KEY)


def test_other_weights_than_committed(made: Made) -> None:
    for name, values in made.toy.weights.items():
        other = values.copy()
        other.reshape(-1)[0] += 1
        forged = Made(replace(made.toy, weights={**made.toy.weights, name: other}))
        lie = replace(forged.statement, commitment=made.files[0])
        proof = prove(ENGINE, lie, forged.toy.weights, made.files[1], key=KEY)
        with pytest.raises(VerificationError):
            verify(ENGINE, lie, proof, key=KEY)


def test_ports_that_do_not_fit_are_refused(made: Made) -> None:
    name, values = next(iter(made.statement.inputs.items()))
    output = next(iter(made.statement.outputs))
    bad: list[dict[str, Any]] = [
        {"inputs": {}},
        {"inputs": {"other": values}},
        {"inputs": {name: values[:0]}},
        {"inputs": {name: values[..., :1]}},
        {"inputs": {name: values + (1 << 20)}},
        {"inputs": {name: np.concatenate([values] * 100)}},
        {"outputs": {}},
        {"outputs": {output: made.statement.outputs[output][:-1]}},
    ]
    for changes in bad:
        lie = replace(made.statement, **changes)
        with pytest.raises(VerificationError):
            verify(ENGINE, lie, b"", key=KEY)
        with pytest.raises(UsageError):
            made.prove(lie)


# ---- committed ports -------------------------------------------------------------------------
def doubled() -> Toy:
    """Makes a matrix: w = 2 x + relu(x), (3, 8)."""
    ops = (
        Function(name="r", x="x", fn="relu", k_in=4, k_out=4),
        Add(name="w", a="x", b="r", shift_a=1, shift_b=0),
    )
    program = Program(
        name="doubled",
        arch={},
        inputs={"x": Port((3, 8), 8, -99, 99)},
        outputs={"w": Output((3, 8), 8, -(1 << 15), (1 << 15) - 1, "w")},
        limits={},
        ops=ops,
        weights={},
        exponents={},
    )
    program.validate()
    return Toy(program, {}, {"x": np.random.default_rng(4).integers(-99, 100, (3, 8))})


def reader() -> Program:
    """Uses that matrix as its weight."""
    program = Program(
        name="reader",
        arch={},
        inputs={"x": Port(("N", 8), 8, -99, 99)},
        outputs={"y": Output(("N", 3), 8, -(1 << 15), (1 << 15) - 1, "y")},
        limits={"N": 16},
        ops=(Linear(name="y", x="x", weight="w", bias=None, shift=4, bits=16),),
        weights={"w": WeightSpec((3, 8), "int16", 8, 16)},
        exponents={},
    )
    program.validate()
    return program


class Custody:
    """A sealed input, a committed output, and a model that consists of that output."""

    def __init__(self) -> None:
        self.toy, seed = doubled(), os.urandom(32)
        self.files = commit_model(ENGINE, self.toy.program, {}, log_columns=LOG_COLUMNS, key=KEY)
        sizes = Statement(
            self.toy.program, self.toy.inputs, self.toy.trace.outputs, commitment=self.files[0]
        )
        self.sealed = {
            name: chain.seal(
                ENGINE, KEY, sizes.port_spec(name), values, seed, b"test " + name.encode()
            )
            for name, values in {**self.toy.inputs, **self.toy.trace.outputs}.items()
        }
        self.statement = replace(
            sizes,
            inputs={"x": self.sealed["x"].tensor},
            outputs={"w": self.sealed["w"].tensor},
        )
        self.made = self.sealed["w"]

    def prove(self, **changes: Any) -> bytes:
        sealed = {**self.sealed, **changes}
        return prove(ENGINE, self.statement, {}, self.files[1], key=KEY, sealed=sealed)


@pytest.fixture(scope="module")
def custody() -> Custody:
    return Custody()


def test_sealed_ports_are_proved_whole_and_cut(custody: Custody) -> None:
    verify(ENGINE, custody.statement, custody.prove(), key=KEY)
    cut = replace(custody.statement, cuts=(1,))
    proof = prove(ENGINE, cut, {}, custody.files[1], key=KEY, sealed=custody.sealed)
    verify(ENGINE, cut, proof, key=KEY)
    assert len(proof) == count(cut).proof_bytes


def test_the_output_of_one_proof_is_the_weight_of_another_byte_for_byte(
    custody: Custody,
) -> None:
    program = reader()
    commitment = ModelCommitment.of_tensors(program, {"w": custody.made.tensor})
    assert commitment.rows == custody.made.tensor.data
    weights = {"w": custody.made.values.astype(np.int16)}
    x = {"x": np.random.default_rng(5).integers(-99, 100, (4, 8))}
    outputs = execute(program, weights, x).outputs
    statement = Statement(program, x, outputs, commitment=commitment)
    (link,) = statement.links
    circuit = build.build_circuit(statement, link, weights, execute(program, weights, x))
    transcript = ProverTranscript(chain.PROTOCOL, chain.link_statement(statement, link, {}))
    (name,) = [n for n in circuit.layouts if n.kind == "weight"]
    arrays = {name: custody.made.named(name)}
    key = key_for(ENGINE, circuit.row_bits, KEY)
    argument.prove_circuit(ENGINE, key, circuit, arrays, transcript)
    verify(ENGINE, statement, transcript.finish(), key=KEY)


@pytest.mark.parametrize("entry", [0, 11, 23])
def test_one_entry_changed_between_the_two_proofs_is_rejected(custody: Custody, entry: int) -> None:
    """The second proof is made with other weights than those that the first handed over."""
    program = reader()
    commitment = ModelCommitment.of_tensors(program, {"w": custody.made.tensor})
    weights = {"w": custody.made.values.astype(np.int16)}
    weights["w"].reshape(-1)[entry] += 1
    x = {"x": np.random.default_rng(5).integers(-99, 100, (4, 8))}
    trace = execute(program, weights, x)
    statement = Statement(program, x, trace.outputs, commitment=commitment)
    (link,) = statement.links
    circuit = build.build_circuit(statement, link, weights, trace)
    transcript = ProverTranscript(chain.PROTOCOL, chain.link_statement(statement, link, {}))
    (name,) = [n for n in circuit.layouts if n.kind == "weight"]
    honest = custody.made.named(name)
    lie = replace(honest, values=weights["w"].transpose(custody.made.tensor.spec.order))
    key = key_for(ENGINE, circuit.row_bits, KEY)
    argument.prove_circuit(ENGINE, key, circuit, {name: lie}, transcript)
    with pytest.raises(VerificationError):
        verify(ENGINE, statement, transcript.finish(), key=KEY)


@pytest.mark.parametrize("port", ["x", "w"])
def test_another_tensor_than_sealed_is_rejected(custody: Custody, port: str) -> None:
    spec, values = custody.sealed[port].tensor.spec, custody.sealed[port].values.copy()
    values[0, 0] += 1
    other = chain.seal(ENGINE, KEY, spec, values, os.urandom(32), b"test other")
    proof = custody.prove()
    side = {"x": "inputs", "w": "outputs"}[port]
    lie = replace(custody.statement, **{side: {port: other.tensor}})
    with pytest.raises(VerificationError):
        verify(ENGINE, lie, proof, key=KEY)


def test_a_commitment_has_exactly_the_programs_weights(custody: Custody) -> None:
    w = custody.made.tensor
    for tensors in ({"v": w}, {"w": w, "v": w}):
        with pytest.raises(UsageError, match="exactly the program's weights"):
            ModelCommitment.of_tensors(reader(), tensors)


def test_a_tensor_of_another_layout_is_refused(custody: Custody) -> None:
    spec = custody.made.tensor.spec
    for changes in ({"exponent": 9}, {"high": 7}, {"row_bits": 5}, {"dims": (8, 3)}):
        wrong = replace(custody.made.tensor, spec=replace(spec, **changes))
        if "row_bits" not in changes:  # a model may have rows of any one length
            with pytest.raises(UsageError, match="committed with other"):
                ModelCommitment.of_tensors(reader(), {"w": wrong})
        lie = replace(custody.statement, outputs={"w": wrong})
        with pytest.raises(REJECTED):
            verify(ENGINE, lie, b"", key=KEY)
        assert wrong.digest != custody.made.tensor.digest


def test_several_sealed_inputs_are_bound_in_one_order_in_every_process() -> None:
    """Names hash differently in every process; the projection may not depend on that."""
    code = (
        "from tests.soundness.test_ports import many_sealed\n"
        "from veracity.zkml.circuit.build import build_circuit\n"
        "statement = many_sealed()\n"
        "circuit = build_circuit(statement, statement.links[0])\n"
        "print([str(s.id) for s in circuit.bounded()])\n"
    )
    found = set()
    for seed in range(4):
        environment = {**os.environ, "PYTHONHASHSEED": str(seed)}
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env=environment, check=True,
            capture_output=True, text=True,
        )  # fmt: skip
        found.add(done.stdout)
    assert len(found) == 1


def many_sealed() -> Statement:
    """The sum of eight sealed inputs."""
    names = [f"input {i}" for i in range(8)]
    ops: list[Any] = [Add(name="s1", a=names[0], b=names[1], shift_a=0, shift_b=0)]
    for i in range(2, 8):
        ops.append(Add(name=f"s{i}", a=f"s{i - 1}", b=names[i], shift_a=0, shift_b=0))
    program = Program(
        name="sum",
        arch={},
        inputs={n: Port((3,), 0, -9, 9) for n in names},
        outputs={"s": Output((3,), 0, -99, 99, "s7")},
        limits={},
        ops=tuple(ops),
        weights={},
        exponents={},
    )
    program.validate()
    spec = TensorSpec((3,), 0, -9, 9, LOG_COLUMNS)
    inputs = {n: CommittedTensor(spec, bytes(32 * spec.rows)) for n in names}
    commitment = ModelCommitment(LOG_COLUMNS, bytes.fromhex(program.digest), b"")
    return Statement(program, inputs, {"s": np.zeros(3, dtype=np.int64)}, commitment=commitment)


# ---- outputs that nothing would tie ------------------------------------------------------------
def untied(kind: str) -> tuple[Toy, dict[str, np.ndarray]]:
    """A program with an output that no relation is about, and a false claim about it."""
    toy = mlp()
    scores = toy.program.outputs["scores"]
    true = toy.trace.outputs["scores"]
    if kind == "an output that is an input":
        copy = Output(("N", 8), 8, -S16, S16 - 1, "x")
        outputs = {"scores": scores, "copy": copy}
        claim = {"scores": true, "copy": toy.inputs["x"] + 1}
    else:
        outputs = {"first": scores, "second": scores}
        claim = {"first": true + 1, "second": true}
    return replace(toy, program=replace(toy.program, outputs=outputs)), claim


UNTIED = ["an output that is an input", "two outputs of one value"]


@pytest.mark.parametrize("kind", UNTIED)
def test_outputs_that_nothing_would_tie_are_refused(kind: str) -> None:
    """By who writes the program, and by who reads it from a file."""
    toy, _ = untied(kind)
    with pytest.raises(UsageError, match="output"):
        toy.program.validate()
    with pytest.raises(FormatError, match="output"):
        Program.from_json(toy.program.to_json())


@pytest.mark.parametrize("kind", UNTIED)
def test_a_statement_about_such_a_program_is_refused(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Also one that was never in a file; without the check the false claim is accepted."""
    toy, claim = untied(kind)
    files = commit_model(ENGINE, toy.program, toy.weights, log_columns=LOG_COLUMNS, key=KEY)
    lie = Statement(toy.program, toy.inputs, claim, commitment=files[0])
    with pytest.raises(VerificationError, match="output"):
        verify(ENGINE, lie, b"", key=KEY)
    with monkeypatch.context() as patch:
        patch.setattr(Program, "validate", lambda _: None)
        patch.setattr(chain.Job, "check_outputs", lambda *_: None)
        proof = prove(ENGINE, lie, toy.weights, files[1], key=KEY)
        verify(ENGINE, lie, proof, key=KEY)
    with pytest.raises(VerificationError, match="output"):
        verify(ENGINE, lie, proof, key=KEY)


def test_a_port_is_an_input_or_an_output() -> None:
    program = mlp().program
    with pytest.raises(UsageError, match="an input and an output"):
        replace(program, outputs={"x": program.outputs["scores"]}).validate()


def test_more_answers_than_positions_are_refused() -> None:
    e = small_model("llama", layers=1)
    files = commit_model(ENGINE, e.program, e.weights, log_columns=LOG_COLUMNS, key=KEY)
    inputs, outputs = {"tokens": np.arange(1, 3)}, {"answer": np.arange(1, 6)}
    statement = Statement(e.program, inputs, outputs, commitment=files[0])
    with pytest.raises(VerificationError, match="more answers"):
        verify(ENGINE, statement, bytes(1 << 16), key=KEY)
    with pytest.raises(UsageError, match="more answers"):
        prove(ENGINE, statement, e.weights, files[1], key=KEY)


# ---- programs that are refused ---------------------------------------------------------------
@pytest.mark.parametrize(
    "spec", ["", "ij", "ij,jk", "ii,ij->j", "ij,jk->kk", "Ij,jk->Ik", "ij,jk->i"]
)
def test_contractions_that_are_none(spec: str) -> None:
    toy = mlp()
    ops = (contraction("out", spec, "x", "w1"),)
    program = replace(
        toy.program, ops=ops, weights={"w1": WeightSpec((8, 6), "int16", 8, 16)},
        outputs={"y": Output(("N", 6), 8, -9, 9, "out")},
    )  # fmt: skip
    with pytest.raises(UsageError, match="out:"):
        program.validate()
