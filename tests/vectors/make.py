"""Remake the frozen proofs: a small lookup, a whole answer, a network's output, a run of training.

Each remake is a line of CHANGELOG.

Run as ``python -m tests.vectors.make`` (``make vectors``) when the protocol's label changes.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from tests.support.programs import claim, small_model
from tests.support.toy import DIMS, TABLE, make_toy, prove_toy
from tests.support.toy_vision import network
from tests.support.training import Trained, small_recipe, train_and_prove
from veracity.engine import load_engine
from veracity.graph import execute
from veracity.graph.samples import program_over
from veracity.zk.keys import load_key
from veracity.zk.transcript import framed
from veracity.zkml import ModelCommitment, Statement, commit_model, cut_places, prove
from veracity.zkml.boundary import seal
from veracity.zkml.committed import CommittedTensor, TensorSpec
from veracity.zkml.training.data import DataCommitment, prove_form
from veracity.zkml.training.run import Run, RunProof

HERE = Path(__file__).parent
TOY = HERE / "toy_v5.hex"
COMMITMENT, ANSWER, CHAIN = (HERE / f"{name}_v5.hex" for name in ("model", "answer", "chain"))
#: Rows of the data, its proof of form, the published model, the two windows with their cuts, the
#: rounding.
RUN = HERE / "run_v5.hex"
#: A network's commitment, its sealed input, and a proof about two samples in two links.
TENSORS = HERE / "tensors_v5.hex"
#: Row length of the frozen model.
LOG_COLUMNS = 12


def read(path: Path) -> bytes:
    """A frozen file."""
    return bytes.fromhex(path.read_text(encoding="ascii").replace("\n", ""))


def write(path: Path, data: bytes) -> None:
    """In lines of 96 digits."""
    text = data.hex()
    lines = [text[i : i + 96] for i in range(0, len(text), 96)]
    path.write_text("\n".join(lines) + "\n", encoding="ascii")


def statements(commitment: ModelCommitment) -> dict[Path, Statement]:
    """What the frozen proofs claim: the answer of a small LLaMA, whole and in two links."""
    e = small_model("llama", layers=1)
    whole = claim(e, commitment=commitment)
    cut = cut_places(e.program)[0]
    parts = replace(whole, cuts=(cut,))
    return {ANSWER: whole, CHAIN: parts}


def run_parts(trained: Trained) -> list[bytes]:
    """What is frozen of a run, in order."""
    if trained.files is None or trained.proof is None:
        raise ValueError("the run is not proved")
    (data,) = trained.run.data
    engine, key = load_engine("cpu"), load_key(load_engine("cpu"), trained.run.log_columns)
    (form,) = prove_form(engine, key, data, trained.examples, trained.seed)
    proof = trained.proof
    head = [data.rows, form, trained.files[0].to_bytes()]
    return [*head, *proof.cuts, *proof.windows, *proof.roundings]


def parts_of(path: Path) -> list[bytes]:
    """What a file of several parts holds, in order."""
    found, data, at = [], read(path), 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 8], "little")
        found.append(data[at + 8 : at + 8 + size])
        at += 8 + size
    return found


def tensor_statement(commitment: ModelCommitment, sealed: bytes) -> Statement:
    """A network over two samples: sealed pictures, public scores and classes."""
    toy = network()
    over = program_over(toy.program, 2)
    x = np.stack([toy.inputs["x"], -toy.inputs["x"]])
    outputs = execute(over, toy.weights, {"x": x}).outputs
    plain = Statement(
        over, {"x": x}, outputs, (5,), commitment=commitment, context=b"frozen",
        committed=toy.program,
    )  # fmt: skip
    tensor = CommittedTensor(plain.port_spec("x"), sealed)
    return replace(plain, inputs={"x": tensor})


def tensor_parts() -> list[bytes]:
    """What is frozen of a proof about tensors, in order."""
    engine, toy = load_engine("cpu"), network()
    key = load_key(engine, LOG_COLUMNS)
    commitment, opening = commit_model(
        engine, toy.program, toy.weights, log_columns=LOG_COLUMNS, key=key
    )
    x = np.stack([toy.inputs["x"], -toy.inputs["x"]])
    spec = TensorSpec((2, 2, 6, 7), 8, -(1 << 15), (1 << 15) - 1, LOG_COLUMNS)
    made = seal(engine, key, spec, x, bytes(range(32)), b"frozen")
    statement = tensor_statement(commitment, made.tensor.data)
    proof = prove(engine, statement, toy.weights, opening, key=key, sealed={"x": made})
    return [commitment.to_bytes(), made.tensor.data, proof]


def frozen_run() -> tuple[Run, list[bytes], ModelCommitment, RunProof]:
    """The run with its proof of form, its model, and its proof."""
    rows, form, model, *proof = parts_of(RUN)
    run = Run(small_recipe(steps=3), (DataCommitment(8, 3, rows),), 2, LOG_COLUMNS)
    cuts, windows, roundings = proof[:2], proof[2:4], proof[4:]
    return run, [form], ModelCommitment.from_bytes(model), RunProof(cuts, windows, roundings)


def main() -> None:
    """Write all of them."""
    values = np.arange(DIMS[0] * DIMS[1], dtype=np.int64).reshape(DIMS) % len(TABLE)
    counts = np.bincount(values.reshape(-1), minlength=len(TABLE))
    write(TOY, prove_toy(make_toy(), values, counts)[0])
    engine, e = load_engine("cpu"), small_model("llama", layers=1)
    key = load_key(engine, LOG_COLUMNS)
    commitment, opening = commit_model(
        engine, e.program, e.weights, log_columns=LOG_COLUMNS, key=key
    )
    write(COMMITMENT, commitment.to_bytes())
    for path, statement in statements(commitment).items():
        write(path, prove(engine, statement, e.weights, opening, key=key))
    write(TENSORS, framed(*tensor_parts()))
    write(RUN, framed(*run_parts(train_and_prove(small_recipe(steps=3)))))


if __name__ == "__main__":
    main()
