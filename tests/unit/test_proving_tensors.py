"""Proofs about tensors by way of files: the API, the command line, what is refused."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import veracity
from tests.support.network_files import save_network
from tests.support.toy_vision import network
from veracity.cli import main
from veracity.errors import FormatError, MismatchError, UsageError, VerificationError
from veracity.formats.npy import array_bytes, load_array, read_array, save_array
from veracity.formats.tensor_proof import TensorProof, values_digest
from veracity.graph import Port
from veracity.proving.grid import arranged, samples_of


class Custody:
    """A committed network, an input, and a proof of its outputs."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.program = folder, save_network(folder)
        self.commitment, self.secret = veracity.commit(self.program)
        self.secret.save_pair(folder / "toy.vsec", folder / "toy.vcom")
        self.x = network().inputs["x"] / 256
        self.proved = veracity.prove_tensors(self.program, self.secret, self.x)


@pytest.fixture(scope="module")
def custody(tmp_path_factory: pytest.TempPathFactory) -> Custody:
    return Custody(tmp_path_factory.mktemp("network"))


def test_outputs_are_proved(custody: Custody) -> None:
    outputs = custody.proved.outputs
    true = network().trace.outputs
    assert np.array_equal(outputs["scores"] * 256, true["scores"])
    found = veracity.verify_tensors(custody.proved.proof, custody.commitment, custody.x, outputs)
    assert found.rounding == {"x": 0.0}
    assert set(found.digests) == {"x", "scores", "class"}
    again = veracity.Commitment.from_bytes(custody.commitment.to_bytes())
    assert again.digest == custody.commitment.digest


def test_inputs_between_grid_points_are_rounded_alike(custody: Custody) -> None:
    x = custody.x + 1 / 700
    proved = veracity.prove_tensors(custody.program, custody.secret, {"x": x})
    found = veracity.verify_tensors(proved.proof, custody.commitment, x, proved.outputs)
    assert found.rounding == proved.rounding
    assert 0 < found.rounding["x"] <= 1 / 512


def test_any_other_value_is_rejected(custody: Custody) -> None:
    proof, outputs = custody.proved.proof, custody.proved.outputs
    other = custody.x.copy()
    other[0, 0, 0] += 1 / 256
    lies = [
        (other, outputs),
        (custody.x, {**outputs, "scores": outputs["scores"] + 1 / 256}),
        (custody.x, {**outputs, "scores": outputs["scores"] + 1 / 1024}),
        (custody.x, {**outputs, "scores": outputs["scores"] * np.nan}),
        (custody.x, {**outputs, "class": outputs["class"] + 9}),
        (custody.x * 1e300, outputs),
        (custody.x[:, :5], outputs),
    ]
    for x, y in lies:
        with pytest.raises(VerificationError):
            veracity.verify_tensors(proof, custody.commitment, x, y)


def test_digests_of_other_values_do_not_help(custody: Custody) -> None:
    """The file's digests are only a hint: the argument is bound to the integers themselves."""
    outputs = {n: x.copy() for n, x in custody.proved.outputs.items()}
    outputs["class"] = (outputs["class"] + 1) % 5
    lie = replace(
        custody.proved.proof,
        outputs={
            **custody.proved.proof.outputs,
            "class": values_digest(outputs["class"].astype(np.int64)),
        },
    )
    with pytest.raises(VerificationError, match=r"opening|sumcheck|round|claim"):
        veracity.verify_tensors(lie, custody.commitment, custody.x, outputs)


@pytest.fixture(scope="module")
def several(custody: Custody) -> tuple[np.ndarray, veracity.ProvedTensors]:
    x = np.stack([custody.x, custody.x / 2, -custody.x])
    return x, veracity.prove_tensors(custody.program, custody.secret, x, context="case 7")


def test_several_samples_are_one_statement(
    custody: Custody, several: tuple[np.ndarray, veracity.ProvedTensors]
) -> None:
    x, proved = several
    for name, y in proved.outputs.items():
        alone = [veracity.prove_tensors(custody.program, custody.secret, one).outputs for one in x]
        assert np.array_equal(y, np.stack([one[name] for one in alone]).reshape(y.shape))
    found = veracity.verify_tensors(
        proved.proof, custody.commitment, x, proved.outputs, context="case 7"
    )
    assert (found.samples, found.context) == (3, "case 7")
    with pytest.raises(MismatchError, match="another context"):
        veracity.verify_tensors(
            proved.proof, custody.commitment, x, proved.outputs, context="case 8"
        )


def test_samples_are_not_exchanged_nor_their_number_changed(
    custody: Custody, several: tuple[np.ndarray, veracity.ProvedTensors]
) -> None:
    """Neither digests nor numbers that fit the lie help: the argument is about the program."""
    x, proved = several
    y = proved.outputs
    lies = [
        (x[[1, 0, 2]], y, 3), (x, {n: v[[0, 2, 1]] for n, v in y.items()}, 3),
        (x[:2], {n: v[:2] for n, v in y.items()}, 2), (x[:2], y, 3), (x, y, 2),
        (x[0], {n: v[0] for n, v in y.items()}, 0),
        (np.concatenate([x, x[:1]]), {n: np.concatenate([v, v[:1]]) for n, v in y.items()}, 4),
    ]  # fmt: skip
    ports = {**network().program.inputs, **network().program.outputs}

    def fitting(values: dict[str, np.ndarray]) -> dict[str, bytes]:
        scaled = {n: np.ldexp(v, ports[n].exponent).astype(np.int64) for n, v in values.items()}
        return {n: values_digest(v) for n, v in scaled.items()}

    for inputs, outputs, samples in lies:
        lie = replace(
            proved.proof,
            inputs=fitting({"x": np.floor(inputs * 256 + 0.5) / 256}),
            outputs=fitting(outputs),
            samples=samples,
        )
        with pytest.raises(VerificationError):
            veracity.verify_tensors(lie, custody.commitment, inputs, outputs)
    for changed in ({"samples": 0}, {"samples": 4}, {"context": "case 8"}, {"context": ""}):
        with pytest.raises(VerificationError):
            veracity.verify_tensors(replace(proved.proof, **changed), custody.commitment, x, y)


def test_samples_in_links_and_processes(
    custody: Custody, several: tuple[np.ndarray, veracity.ProvedTensors]
) -> None:
    x, proved = several
    made = veracity.prove_tensors(custody.program, custody.secret, x, jobs=2)
    assert made.proof.cuts
    for name, y in made.outputs.items():
        assert np.array_equal(y, proved.outputs[name])
    veracity.verify_tensors(made.proof, custody.commitment, x, made.outputs)
    with pytest.raises(UsageError, match="raise --memory"):
        veracity.prove_tensors(custody.program, custody.secret, x, memory=1 << 20)


def test_arrays_of_samples() -> None:
    ports = {"a": Port((1, 4), 0, -9, 9), "b": Port((3,), 0, -9, 9)}
    for a, b, samples in (((1, 4), (3,), 0), ((5, 4), (5, 3), 5), ((5, 1, 4), (5, 3), 5)):
        arrays = {"a": np.zeros(a), "b": np.zeros(b)}
        assert samples_of(ports, arrays) == samples
        laid = arranged("a", ports["a"].dims, arrays["a"], samples)
        assert laid.shape == ((samples, 1, 4) if samples else (1, 4))
    for a, b in (((1, 4), (5, 3)), ((5, 4), (6, 3)), ((5, 5), (5, 3)), ((), (3,)), ((4,), (3,))):
        with pytest.raises(UsageError):
            samples_of(ports, {"a": np.zeros(a), "b": np.zeros(b)})


def test_names_that_are_not_those_of_ports(custody: Custody) -> None:
    proof, outputs = custody.proved.proof, custody.proved.outputs
    with pytest.raises(UsageError, match="inputs are x"):
        veracity.verify_tensors(proof, custody.commitment, {"y": custody.x}, outputs)
    with pytest.raises(UsageError, match="name each output"):
        veracity.verify_tensors(proof, custody.commitment, custody.x, custody.x)
    with pytest.raises(UsageError, match="inputs are x"):
        veracity.prove_tensors(custody.program, custody.secret, {})


def test_a_network_is_no_language_model(custody: Custody) -> None:
    with pytest.raises(UsageError, match="--input"):
        veracity.prove(custody.program, custody.secret, "words")
    with pytest.raises(FormatError, match="no text decoder"):
        veracity.verify(
            veracity.Proof(custody.commitment.digest, "raw", (1, 2), 1, b""), custody.commitment
        )


def test_proofs_read_back(custody: Custody) -> None:
    data = custody.proved.proof.to_bytes()
    assert TensorProof.from_bytes(data) == custody.proved.proof
    for at in range(200):
        for broken in (data[:at], data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]):
            try:
                found = TensorProof.from_bytes(broken)
            except FormatError:
                continue
            with pytest.raises((VerificationError, FormatError)):
                veracity.verify_tensors(
                    found, custody.commitment, custody.x, custody.proved.outputs
                )


def test_the_command_line(custody: Custody) -> None:
    folder, run = custody.folder, CliRunner()
    save_array(folder / "x.npy", custody.x)
    proof = folder / "y.vproof"
    made = run.invoke(
        main,
        ["prove", str(custody.program), "--input", str(folder / "x.npy"), "--out", str(proof),
         "-q", "--json"],
    )  # fmt: skip
    assert made.exit_code == 0, made.output
    files = json.loads(made.output)["outputs"]
    check = ["verify", str(proof), "--commitment", str(folder / "toy.vcom"), "-q",
             "--input", f"x={folder / 'x.npy'}"]  # fmt: skip
    check += [part for n, f in files.items() for part in ("--output", f"{n}={f}")]
    done = run.invoke(main, check)
    assert done.exit_code == 0, done.output
    assert "ACCEPTED" in done.output
    scores = load_array(files["scores"]).copy()
    scores[0, 0] += 1 / 256
    save_array(files["scores"], scores)
    refused = run.invoke(main, check)
    assert refused.exit_code == 1
    assert "REJECTED" in refused.output
    told = run.invoke(main, ["inspect", str(proof), "--json"])
    assert json.loads(told.output)["outputs"].keys() == files.keys()
    for file in (custody.program, folder / "toy.vcom", folder / "toy.vsec"):
        assert run.invoke(main, ["inspect", str(file)]).exit_code == 0
    neither = run.invoke(main, ["prove", str(custody.program)])
    assert neither.exit_code == 2


# ---- arrays --------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", ["?", "i1", "u1", "i2", "i4", "i8", "f4", "f8"])
def test_arrays_read_back_and_are_numpys(tmp_path: Path, dtype: str) -> None:
    for shape in ((), (3,), (2, 3), (1, 2, 3, 4)):
        array = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
        save_array(tmp_path / "a.npy", array)
        assert np.array_equal(np.load(tmp_path / "a.npy"), array)
        np.save(tmp_path / "b.npy", array)
        found = load_array(tmp_path / "b.npy")
        assert np.array_equal(found, array)
        assert found.dtype == array.dtype


def test_arrays_that_are_refused(tmp_path: Path) -> None:
    good = array_bytes(np.arange(6.0).reshape(2, 3))
    head = good.index(b"\n")
    bad = [
        b"", good[:-1], good + b"\0", good[:40], b"x" + good[1:],
        good.replace(b"(2, 3)", b"(3, 3)"), good.replace(b"(2, 3)", b"(-2,3)"),
        good.replace(b"<f8", b"|O8"), good.replace(b"<f8", b">f8"),
        good.replace(b"False", b"True "), good.replace(b"'shape'", b"'shade'"),
        good[: head + 1] + np.full(6, np.nan).tobytes(),
        array_bytes(np.array([True]))[:-1] + b"\2",
        array_bytes(np.zeros((0, 3))),
    ]  # fmt: skip
    for data in bad:
        with pytest.raises(FormatError):
            read_array(data, "x")
    np.save(tmp_path / "o.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(FormatError):
        load_array(tmp_path / "o.npy")


def test_broken_arrays_raise_format_errors_only() -> None:
    good = array_bytes(np.arange(4, dtype=np.int16))
    rng = np.random.default_rng(1)
    for _ in range(2000):
        data = bytearray(good)
        for _ in range(rng.integers(1, 4)):
            data[rng.integers(len(data))] = rng.integers(256)
        data = data[: rng.integers(len(data) + 1)] if rng.integers(2) else data
        with contextlib.suppress(FormatError):
            assert read_array(bytes(data), "x").size


# ---- what it would cost --------------------------------------------------------------------------
def test_costs_are_told_before(
    custody: Custody, several: tuple[np.ndarray, veracity.ProvedTensors]
) -> None:
    for proof, samples in ((custody.proved.proof, 0), (several[1].proof, 3)):
        told = veracity.estimate(custody.program, samples=samples)
        assert told.proof_bytes == len(proof.argument)
        assert (told.tokens, told.samples, told.segments) == (0, samples, 1)
    run = CliRunner()
    said = run.invoke(main, ["estimate", str(custody.program), "--samples", "3", "--ops"])
    assert said.exit_code == 0, said.output
    assert "MaxPool" in said.output
    assert run.invoke(main, ["estimate", str(custody.program), "--tokens", "3"]).exit_code == 2
