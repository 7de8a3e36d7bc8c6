"""Sealed ports and pictures by way of files: chains of custody, and what breaks them."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import veracity
from tests.support.toy_pictures import SIZE, sharpener, sharpener_file
from veracity.cli import main
from veracity.engine import load_engine
from veracity.errors import FormatError, UnsupportedModelError, UsageError, VerificationError
from veracity.formats.images import image_bytes, load_image, save_image
from veracity.formats.program import save_program_file
from veracity.formats.seal import Seal, SealKey
from veracity.graph import Port
from veracity.proving import verify_tensors as verifier
from veracity.proving.pictures import Picture, picture_of, port_values
from veracity.proving.sealing import seal_values

ENGINE = load_engine("cpu")


class Chain:
    """Two committed networks; the first one's output, sealed, is the second one's input."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.programs, self.secrets, self.commitments = [], [], []
        for i in (1, 2):
            path = folder / f"net{i}.vprog"
            save_program_file(path, sharpener_file(i))
            commitment, secret = veracity.commit(path)
            secret.save_pair(folder / f"net{i}.vsec", folder / f"net{i}.vcom")
            self.programs.append(path)
            self.secrets.append(secret)
            self.commitments.append(commitment)
        pixels = sharpener().inputs["x"].astype(np.uint8).transpose(1, 2, 0)
        self.picture = Picture(np.ascontiguousarray(pixels))
        self.first = self.prove(0, self.picture, seal=["x", "y"])
        self.second = self.prove(1, self.first.seals["y"])
        self.seal = self.first.seals["y"].seal

    def prove(self, i: int, x: Any, **rest: Any) -> veracity.ProvedTensors:
        return veracity.prove_tensors(self.programs[i], self.secrets[i], {"x": x}, **rest)

    def verify(self, i: int, proof: veracity.TensorProof, x: Any, y: Any) -> Any:
        return veracity.verify_tensors(proof, self.commitments[i], {"x": x}, {"y": y})


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    return Chain(tmp_path_factory.mktemp("chain"))


def other_seal(chain: Chain, change: int = 1) -> SealKey:
    """A fresh seal of nearly the same values."""
    key = chain.first.seals["y"]
    values = key.values.copy()
    values.reshape(-1)[0] ^= change
    return seal_values(ENGINE, key.seal.tensor.spec, values)


# ---- seals ---------------------------------------------------------------------------------------
def test_a_sealed_output_is_the_input_of_another_proof(chain: Chain) -> None:
    found = chain.verify(0, chain.first.proof, chain.first.seals["x"].seal, chain.seal)
    assert found.sealed == {"x", "y"}
    assert found.digests["y"] == chain.seal.digest
    assert "under a seal" in found.not_proved
    then = chain.verify(1, chain.second.proof, chain.seal, chain.second.outputs["y"])
    assert then.digests["x"] == chain.seal.digest
    assert then.sealed == {"x"}
    plain = chain.prove(0, chain.picture)
    assert np.array_equal(plain.outputs["y"], chain.first.seals["y"].values)


def test_other_seals_are_refused(chain: Chain) -> None:
    """Replaced, of another value, of the other port, or the same values sealed again."""
    x, y = chain.first.seals["x"].seal, chain.seal
    again, other = other_seal(chain, 0).seal, other_seal(chain).seal
    assert again.digest != y.digest
    for lie in (again, other, x):
        with pytest.raises(VerificationError, match="another output"):
            chain.verify(0, chain.first.proof, x, lie)
        with pytest.raises(VerificationError, match="another input"):
            chain.verify(1, chain.second.proof, lie, chain.second.outputs["y"])
        fitted = replace(chain.first.proof, outputs={"y": lie.tensor.digest})
        with pytest.raises(VerificationError, match="does not show"):
            chain.verify(0, fitted, x, lie)
        fitted = replace(chain.second.proof, inputs={"x": lie.tensor.digest})
        with pytest.raises(VerificationError, match="does not show"):
            chain.verify(1, fitted, lie, chain.second.outputs["y"])


@pytest.mark.parametrize("checked", [True, False], ids=["refused", "accepted without"])
def test_a_file_that_calls_a_public_port_sealed(
    chain: Chain, checked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = chain.prove(0, chain.picture)
    y = plain.outputs["y"]
    lie = replace(plain.proof, sealed=frozenset({"y"}))
    if not checked:
        monkeypatch.setattr(verifier, "require_claimed", lambda *_: None)
        chain.verify(0, lie, chain.picture, y)
        return
    with pytest.raises(VerificationError, match="is sealed"):
        chain.verify(0, lie, chain.picture, y)
    with pytest.raises(VerificationError, match="not sealed"):
        chain.verify(0, plain.proof, chain.picture, chain.seal)


def test_proofs_do_not_answer_for_each_other(chain: Chain) -> None:
    """The same seals, another network; both ports exchanged."""
    x, y = chain.first.seals["x"].seal, chain.seal
    lie = replace(chain.first.proof, commitment_digest=chain.commitments[1].digest)
    with pytest.raises(VerificationError, match="does not show"):
        chain.verify(1, lie, x, y)
    turned = replace(
        chain.first.proof, inputs={"x": y.tensor.digest}, outputs={"y": x.tensor.digest}
    )
    with pytest.raises(VerificationError, match="does not show"):
        chain.verify(0, turned, y, x)


def test_keys_open_their_own_seals_only(chain: Chain) -> None:
    key = chain.first.seals["y"]
    wrong = [replace(key, seed=os.urandom(32)), replace(other_seal(chain), seal=key.seal)]
    for lie in wrong:
        with pytest.raises(UsageError, match="does not open"):
            chain.prove(1, lie)
    with pytest.raises(UsageError, match="sealed already"):
        chain.prove(1, key, seal=["x"])
    with pytest.raises(UsageError, match="no port"):
        chain.prove(1, key, seal=["z"])
    spec = replace(key.seal.tensor.spec, high=256)
    with pytest.raises(UsageError, match="another range"):
        chain.prove(1, seal_values(ENGINE, spec, key.values))


def test_seals_and_keys_read_back(chain: Chain, tmp_path: Path) -> None:
    key = chain.first.seals["y"]
    key.save_pair(tmp_path / "y.vskey", tmp_path / "y.vseal")
    assert Seal.load(tmp_path / "y.vseal") == key.seal
    again = SealKey.load(tmp_path / "y.vskey")
    assert again.to_bytes() == key.to_bytes()
    assert repr(key.seed) not in repr(key)
    (tmp_path / "y.vskey").chmod(0o644)
    with pytest.raises(UsageError, match="others than you"):
        SealKey.load(tmp_path / "y.vskey")
    data = key.seal.to_bytes()

    def changed(old: bytes, new: bytes) -> bytes:
        assert old in data
        grown = data.replace(old, new)
        at = grown.index(b"{")
        size = grown.index(b"}") + 1 - at
        return grown[: at - 4] + size.to_bytes(4, "little") + grown[at:]

    for old, new in ((b'"high":255', b'"high":"x"'), (b'"low":0', b'"low":256'),
                     (b"[3,5,6]", b"[]"), (b"[3,5,6]", b"[300,5,7]"), (b"[3,5,6]", b"[90]x"),
                     (b'"row_bits":12', b'"row_bits":99'), (b'"low"', b'"lot"')):  # fmt: skip
        with pytest.raises(FormatError):
            Seal.from_bytes(changed(old, new))
    others = [changed(b'"low":0', b'"low":-9'), changed(b"[3,5,6]", b"[3,6,5]")]
    assert len({Seal.from_bytes(d).digest for d in (data, *others)}) == 3


@pytest.mark.slow
def test_sealed_ports_in_links_and_processes(chain: Chain) -> None:
    key = chain.first.seals["y"]
    made = chain.prove(1, key, seal=["y"], jobs=2)
    assert made.proof.cuts
    assert np.array_equal(made.seals["y"].values, chain.second.outputs["y"])
    chain.verify(1, made.proof, key.seal, made.seals["y"].seal)
    two = np.stack([key.values, key.values[::-1]])
    both = chain.prove(1, two, seal=["x", "y"], context="two")
    assert both.seals["y"].seal.tensor.spec.dims == (2, *SIZE)
    chain.verify(1, both.proof, both.seals["x"].seal, both.seals["y"].seal)


def test_an_arg_max_cannot_be_sealed(tmp_path: Path) -> None:
    from tests.support.network_files import save_network
    from tests.support.toy_vision import network

    program = save_network(tmp_path)
    _, secret = veracity.commit(program)
    x = network().inputs["x"] / 256
    with pytest.raises(UnsupportedModelError, match="in clear"):
        veracity.prove_tensors(program, secret, x, seal=["class"])


# ---- pictures ------------------------------------------------------------------------------------
def test_pixels_are_what_is_proved(chain: Chain) -> None:
    made = chain.prove(0, chain.picture)
    enhanced = made.pictures["y"]
    found = chain.verify(0, made.proof, chain.picture, enhanced)
    assert found.pictures["x"].digest == chain.picture.digest
    assert "authentic" in found.to_plain()["not_proved"]
    assert found.to_plain()["pixels"] == {"x": chain.picture.digest, "y": enhanced.digest}
    for place in ((0, 0, 0), (4, 5, 2)):
        for picture, side in ((chain.picture, 0), (enhanced, 1)):
            pixels = picture.pixels.copy()
            pixels[place] ^= 1
            shown = [chain.picture, enhanced]
            shown[side] = Picture(pixels)
            with pytest.raises(VerificationError):
                chain.verify(0, made.proof, *shown)
    swapped = Picture(chain.picture.pixels[..., ::-1].copy())
    turned = Picture(chain.picture.pixels[::-1].copy())
    tall = Picture(chain.picture.pixels.transpose(1, 0, 2).copy())
    grey = Picture(chain.picture.pixels[..., :1].copy())
    for other in (swapped, turned, tall, grey):
        with pytest.raises(VerificationError):
            chain.verify(0, made.proof, other, enhanced)


@pytest.mark.parametrize(
    ("dims", "shape"),
    [((3, 5, 6), (5, 6, 3)), ((1, 3, 5, 6), (5, 6, 3)), ((5, 6, 3), (5, 6, 3)),
     ((5, 6), (5, 6, 1)), ((1, 1, 5, 6), (5, 6, 1)), ((1, 5, 6), (5, 6, 1))],
)  # fmt: skip
def test_where_pixels_stand(dims: tuple[int, ...], shape: tuple[int, ...]) -> None:
    picture = Picture(np.arange(np.prod(shape), dtype=np.uint8).reshape(shape))
    port = Port(dims, 0, 0, 255)
    values = port_values("x", port, picture)
    assert values.shape == dims
    again = picture_of(port, values)
    assert again is not None
    assert again.digest == picture.digest
    channel = dims.index(3) if 3 in dims else None
    if channel is not None:
        at = [0] * len(dims)
        at[channel] = 2
        assert values[tuple(at)] == picture.pixels[0, 0, 2]
    assert picture_of(port, values + 256) is None
    for other in (Port(dims, 8, 0, 255), Port(dims, 0, 1, 255), Port(dims, 0, 0, 254),
                  Port((*dims, 7), 0, 0, 255), Port((2, 2, 5, 6), 0, 0, 255)):  # fmt: skip
        with pytest.raises(UsageError):
            port_values("x", other, picture)


def test_the_command_line(chain: Chain) -> None:
    folder, run = chain.folder, CliRunner()
    save_image(folder / "a.png", chain.picture.pixels)

    def call(*arguments: object, code: int = 0) -> str:
        done = run.invoke(main, [str(a) for a in arguments])
        assert done.exit_code == code, done.output
        return done.output

    proof = folder / "b.vproof"
    call("prove", folder / "net1.vprog", "--input", folder / "a.png", "--out", proof, "-q")
    check = ("verify", proof, "--commitment", folder / "net1.vcom", "-q")
    told = call(*check, "--input", folder / "a.png", "--output", folder / "b.png")
    for word in ("ACCEPTED", "pixels with SHA-256", chain.picture.digest[:20], "authentic"):
        assert word in told
    net = b"P6\n6 5\n255\n" + chain.picture.pixels.tobytes()
    (folder / "a.ppm").write_bytes(net)
    call(*check, "--input", folder / "a.ppm", "--output", folder / "b.png")
    altered = load_image(folder / "b.png")
    altered[0, 0, 0] ^= 1
    (folder / "c.png").write_bytes(image_bytes(altered))
    refused = call(*check, "--input", folder / "a.png", "--output", folder / "c.png", code=1)
    assert "REJECTED" in refused

    sealed = folder / "s.vproof"
    facts = json.loads(
        call("prove", folder / "net1.vprog", "--input", folder / "a.png", "--out", sealed,
             "--seal", "y", "-q", "--json")
    )  # fmt: skip
    assert facts["outputs"] == {}
    seal, key = facts["seals"]["y"]["seal"], facts["seals"]["y"]["key"]
    assert Path(key).stat().st_mode & 0o777 == 0o600
    told = call("verify", sealed, "--commitment", folder / "net1.vcom", "-q",
                "--input", folder / "a.png", "--output", seal)  # fmt: skip
    assert "sealed, commitment with SHA-256" in told
    last = folder / "t.vproof"
    call("prove", folder / "net2.vprog", "--input", key, "--out", last, "-q")
    call("verify", last, "--commitment", folder / "net2.vcom", "-q", "--input", seal,
         "--output", folder / "t.npy")  # fmt: skip
    call("verify", last, "--commitment", folder / "net2.vcom", "-q", "--input", folder / "b.png",
         "--output", folder / "t.npy", code=1)  # fmt: skip
    for file in (seal, key):
        assert json.loads(call("inspect", file, "--json"))["dims"] == list(SIZE)
