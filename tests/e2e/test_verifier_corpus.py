"""Every kind of file that `veracity verify` takes gets the command's verdict from the verifier."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.e2e.house import PROMPT, House, done, picture_files, said_alike, sealed_picture
from tests.e2e.house import veracity as run
from tests.support.serving import Running, verifying
from veracity.server.verifier import _OPTIONS, _PARTS

RECIPE = """
[network]
layers = ["dense 8", "relu", "dense 3"]
[train]
batch = 8
steps = 4
lr = 0.1
window = 2
"""
WORDS = {0: "ACCEPTED", 1: "REJECTED", 2: "UNDECIDED"}
Files = dict[str, bytes]

#: What is sent, by name: the exit code, the kind of files, and whose bytes are another's.
CASES: dict[str, tuple[int, str, dict[str, str]]] = {
    "answer": (0, "answer", {}),
    "answer in segments": (0, "segments", {}),
    "drawn answer": (0, "drawn", {}),
    "several answers": (0, "answers", {}),
    "answer of a network": (2, "answer", {"commitment": "picture"}),
    "picture": (0, "picture", {}),
    "picture, altered": (1, "picture", {"output.png": "altered"}),
    "picture without its input": (2, "picture", {"input.png": "nothing"}),
    "picture under seals": (0, "sealed", {}),
    "another seal": (1, "sealed", {"output.vseal": "other seal"}),
    "training": (0, "training", {}),
    "training on other data": (2, "training", {"data": "picture"}),
    "training without its data": (2, "training", {"data": "nothing"}),
    "answer of a trained model": (0, "trained", {}),
    "answer of a model trained otherwise": (2, "trained", {"training": "answer"}),
    "accuracy": (0, "accuracy", {}),
    "accuracy of a trained model": (0, "trained accuracy", {}),
    "accuracy on other examples": (1, "accuracy", {"samples": "other samples"}),
    "accuracy without examples": (2, "accuracy", {"samples": "nothing"}),
    "answer with a picture": (2, "answer", {"input.png": "picture"}),
    "a commitment as a proof": (2, "answer", {"proof": "commitment"}),
}


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with verifying() as found:
        yield found


@pytest.fixture(scope="module")
def corpus(house: House, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Files]:
    at = tmp_path_factory.mktemp("corpus")
    return {**answers(house, at), **pictures(at), **trained(at)}


def answers(house: House, at: Path) -> dict[str, Files]:
    (at / "prompts.jsonl").write_text(f'"{PROMPT}"\n"One day"\n')
    prove = ("prove", house.program, "--secret", house.secret, "--max-new-tokens", 4, "-q")
    for name, options in (
        ("segments", ("--prompt", PROMPT, "--memory", "140MiB")),
        ("drawn", ("--prompt", PROMPT, "--temperature", "1.0", "--nonce", "ab" * 16)),
        ("answers", ("--prompts", at / "prompts.jsonl")),
    ):
        done(*prove, *options, "--out", at / f"{name}.vproof")
    commitment = house.commitment.read_bytes()
    found = {
        name: {"proof": (at / f"{name}.vproof").read_bytes(), "commitment": commitment}
        for name in ("segments", "drawn", "answers")
    }
    return {**found, "answer": {"proof": house.proof.read_bytes(), "commitment": commitment}}


def pictures(at: Path) -> dict[str, Files]:
    shown = picture_files(at)
    seal = sealed_picture(at, "s")
    return {
        "picture": shown,
        "altered": {"output.png": shown["input.png"]},
        "sealed": {**{n: d for n, d in shown.items() if n != "output.png"}, **seal},
        "other seal": {"output.vseal": sealed_picture(at, "t")["output.vseal"]},
    }


def trained(at: Path) -> dict[str, Files]:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 40)
    x = np.clip(rng.integers(0, 256, (3, 12))[y] + rng.normal(0, 30, (40, 12)), 0, 255)
    np.savez(at / "toy.npz", x=x.astype(np.uint8), y=y)
    (at / "recipe.toml").write_text(RECIPE)
    data, secret = at / "toy.vdata", at / "toy.vdsec"
    done("data", "commit", at / "toy.npz", "--label", "toys", "-q")
    done(
        *("train", at / "recipe.toml", "--data", data, "--data-secret", secret),
        *("--out", at / "run", "-q"),
    )
    net = {suffix: at / f"trained.{suffix}" for suffix in ("vprog", "vcom", "vsec", "vtrain")}
    done(
        *("train", "finish", at / "run", "--model", net["vprog"], "--commitment", net["vcom"]),
        *("--secret", net["vsec"], "--proof", net["vtrain"], "-q"),
    )
    np.save(at / "x.npy", x[:2].astype(np.uint8) / 256)
    prove = ("prove", net["vprog"], "--secret", net["vsec"], "--input", at / "x.npy", "-q")
    shown = json.loads(done(*prove, "--out", at / "y.vproof", "--json").stdout)["outputs"]
    (output,) = shown.values()
    for name, labels in (("test.npz", y[:6]), ("other.npz", (y[:6] + 1) % 3)):
        np.savez(at / name, x=x[:6].astype(np.uint8) / 256, y=labels)
    done(
        *("evaluate", net["vprog"], "--secret", net["vsec"], "--samples", at / "test.npz"),
        *("--prove", "--out", at / "accuracy.vproof", "-q"),
    )
    run_files = {
        "commitment": net["vcom"].read_bytes(),
        "data": data.read_bytes(),
    }
    accuracy = {
        "commitment": net["vcom"].read_bytes(),
        "proof": (at / "accuracy.vproof").read_bytes(),
        "samples": (at / "test.npz").read_bytes(),
    }
    return {
        "training": {**run_files, "proof": net["vtrain"].read_bytes()},
        "trained": {
            **run_files,
            "proof": (at / "y.vproof").read_bytes(),
            "training": net["vtrain"].read_bytes(),
            "input.npy": (at / "x.npy").read_bytes(),
            "output.npy": Path(output).read_bytes(),
        },
        "accuracy": accuracy,
        "trained accuracy": {**run_files, **accuracy, "training": net["vtrain"].read_bytes()},
        "other samples": {"samples": (at / "other.npz").read_bytes()},
    }


def files_of(corpus: dict[str, Files], name: str) -> Files:
    _, kind, other = CASES[name]
    given = dict(corpus[kind])
    for part, source in other.items():
        if source == "nothing":
            del given[part]
        elif source in corpus:
            other_files = corpus[source]
            given[part] = other_files[part if part in other_files else "proof"]
        else:
            given[part] = given[source]
    return given


@pytest.mark.parametrize("name", CASES)
def test_it_says_what_the_command_says(
    server: Running, corpus: dict[str, Files], tmp_path: Path, name: str
) -> None:
    given = files_of(corpus, name)
    query = "&".join(f"{part}={len(data)}" for part, data in given.items())
    sent = {"content-type": "application/octet-stream"}
    found = server.ask(f"/v1/verify?{query}", b"".join(given.values()), "POST", sent).json
    for part, data in given.items():
        (tmp_path / _PARTS[part]).write_bytes(data)
    options = [word for p in given if p in _OPTIONS for word in (_OPTIONS[p], tmp_path / _PARTS[p])]
    said = run(
        *("verify", tmp_path / _PARTS["proof"], "--commitment", tmp_path / _PARTS["commitment"]),
        *("--report", tmp_path / "own.json", "-q", *options),
    )
    code = CASES[name][0]
    assert (said.exit_code, found["exit"], found["verdict"]) == (code, code, WORDS[code]), (
        said.output
    )
    said_alike(found, said, tmp_path / "own.json")


def test_one_input_and_one_output(server: Running) -> None:
    sent = {"content-type": "application/octet-stream"}
    query = "proof=1&commitment=1&input.png=1&input.npy=1"
    refused = server.ask(f"/v1/verify?{query}", b"abcd", "POST", sent)
    assert refused.status == 400
    assert "one input" in refused.json["error"]["message"]
