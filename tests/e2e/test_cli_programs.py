"""The command line for programs: JSON of every fault, pipes, one key with one meaning."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import veracity as api
from tests.e2e.house import PROMPT, House, done, veracity
from veracity.cli import main
from veracity.formats.commitment import Commitment
from veracity.formats.proof import Proof

VERACITY = f"{sys.executable} -m veracity"
ERROR = {"kind", "message", "hint", "exit"}


def shell(line: str, **more: Any) -> subprocess.CompletedProcess[str]:
    command = ["bash", "-c", f"set -o pipefail; {line}"]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, **more)


# ---- faults as JSON -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "kind", "code"),
    [
        (["verify", "gone", "--commitment", "gone"], "UsageError", 2),
        (["inspect", "{secret_cut}"], "FormatError", 2),
        (["verify", "{commitment}", "--commitment", "{commitment}"], "FormatError", 2),
        (
            ["verify", "{proof}", "--commitment", "{commitment}", "--prompt", "x"],
            "MismatchError",
            1,
        ),
        (["verify", "{proof}", "--commitment", "{commitment}", "--digest", "x"], "UsageError", 2),
        (["estimate", "{program}", "--tokens", "999999"], "UsageError", 2),
        (["prove", "{program}"], "UsageError", 2),
        (["nonsense"], "UsageError", 2),
        (["commit", "{program}"], "UsageError", 2),
        (["bench", "gone.vprog"], "UsageError", 2),
        (["private", "certificates", "{folder}"], "UsageError", 2),
        (["verify", "{proof}", "--commitment", "{commitment}", "--backend", "x"], "UsageError", 2),
        (["import", "x.onnx", "--out", "{folder}/x.vprog"], "UsageError", 2),
    ],
)
def test_every_fault_is_an_object(
    house: House, tmp_path: Path, arguments: list[str], kind: str, code: int
) -> None:
    cut = tmp_path / "cut.vsec"
    cut.write_bytes(house.secret.read_bytes()[:400])
    names = {name: getattr(house, name) for name in ("program", "commitment", "proof", "folder")}
    filled = [argument.format(secret_cut=cut, **names) for argument in arguments]
    result = veracity(*filled, "--json")
    assert result.exit_code == code, result.output
    facts = json.loads(result.stdout)
    assert facts["error"].keys() == ERROR
    assert facts["error"]["kind"] == kind
    assert facts["error"]["exit"] == code
    assert "\n" not in facts["error"]["message"]
    assert result.stderr == ""
    assert veracity(*filled).exit_code == code


def test_faults_of_ours_and_interrupts_are_objects_too(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(error: BaseException) -> Any:
        def inspect_file(*_: object) -> None:
            raise error

        return inspect_file

    for error, kind, code in (
        (RuntimeError("private"), "InternalError", 3),
        (KeyboardInterrupt(), "Interrupted", 130),
        (MemoryError(), "UsageError", 2),
        (ModuleNotFoundError("x", name="gguf"), "UsageError", 2),
    ):
        monkeypatch.setattr("veracity.cli.inspect.inspect_file", fails(error))
        result = veracity("inspect", house.proof, "--json")
        facts = json.loads(result.stdout)["error"]
        assert (result.exit_code, facts["exit"], facts["kind"]) == (code, code, kind)
        assert "private" not in result.output
        assert veracity("inspect", house.proof).exit_code == code


def test_json_that_is_an_answer_to_nothing_asked(house: House) -> None:
    """`--json` behind `--` is a name."""
    result = veracity("inspect", "--", "--json")
    assert result.exit_code == 2
    assert result.stdout == ""


# ---- one key, one meaning -----------------------------------------------------------------------


def test_one_key_has_one_meaning(house: House, tmp_path: Path) -> None:
    digest = Commitment.load(house.commitment).digest
    out = tmp_path / "x.vproof"
    said = {
        "commit": done(
            *("commit", house.program, "--out", tmp_path / "a.vcom", "--json", "-q"),
            *("--secret", tmp_path / "a.vsec"),
        ),
        "prove": done(
            *("prove", house.program, "--secret", house.secret, "--prompt", PROMPT, "--json"),
            *("--max-new-tokens", 2, "--out", out, "-q", "--context", "c"),
        ),
        "verify": done("verify", house.proof, "--commitment", house.commitment, "--json"),
        "proof": done("inspect", house.proof, "--json"),
        "public": done("inspect", house.commitment, "--json"),
        "program": done("inspect", house.program, "--json"),
        "estimate": done("estimate", house.program, "--tokens", 8, "--json"),
    }
    facts = {name: json.loads(result.stdout) for name, result in said.items()}
    assert facts["commit"]["file"] == str(tmp_path / "a.vcom")
    assert facts["commit"]["commitment"] == Commitment.load(tmp_path / "a.vcom").digest
    for name in ("prove", "verify", "proof", "public"):
        assert facts[name]["commitment"] == digest, name
    assert facts["prove"]["context"] == "c"
    types: dict[str, set[type]] = {}
    for one in facts.values():
        for key, value in one.items():
            types.setdefault(key, set()).add(type(value))
    assert {key: found for key, found in types.items() if len(found) > 1} == {}


# ---- prompts from files, proofs through pipes ---------------------------------------------------


def test_a_prompt_from_a_file_is_every_character_of_it(house: House, tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_bytes(b"Once upon\n")
    out = tmp_path / "x.vproof"
    prove = ("prove", house.program, "--secret", house.secret, "--max-new-tokens", 2, "-q")
    done(*prove, "--out", out, "--prompt-file", words)
    pinned = ("verify", out, "--commitment", house.commitment)
    done(*pinned, "--prompt-file", words)
    done(*pinned, "--prompt", "Once upon\n")
    assert veracity(*pinned, "--prompt", "Once upon").exit_code == 1
    given = CliRunner().invoke(
        main, [str(a) for a in (*pinned, "--prompt-file", "-")], words.read_bytes()
    )
    assert given.exit_code == 0, given.output
    words.write_bytes(b"\xff")
    for file in (words, tmp_path / "gone", tmp_path):
        assert veracity(*pinned, "--prompt-file", file).exit_code == 2
    assert veracity(*pinned, "--prompt-file", words, "--prompt", "x").exit_code == 2


def test_proofs_go_through_pipes(house: House) -> None:
    prove = f"{VERACITY} prove {house.program} --secret {house.secret} --max-new-tokens 2"
    verify = f"{VERACITY} verify - --commitment {house.commitment}"
    done = shell(f"echo -n Once | {prove} --prompt-file - --out - | {verify} --prompt Once")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ACCEPTED")
    assert "proof of" in done.stderr
    assert shell(f"{prove} --prompt x --out - --json | cat").returncode == 2
    assert shell(f"{prove} --prompt x --out - > /dev/full").returncode == 2


def test_pipes_are_read_once(house: House) -> None:
    for kind, path in (
        ("commitment", house.commitment),
        ("proof", house.proof),
        ("secret", house.secret),
    ):
        for way in (f"inspect <(cat {path})", f"inspect - < {path}"):
            found = shell(f"{VERACITY} {way} --json")
            assert kind in json.loads(found.stdout)["kind"]
            assert json.loads(found.stdout)["bytes"] == path.stat().st_size
    proof, public = f"<(cat {house.proof})", f"<(cat {house.commitment})"
    assert shell(f"{VERACITY} verify {proof} --commitment {public}").returncode == 0
    none = shell(f"{VERACITY} inspect <(cat {house.program})")
    assert none.returncode == 2
    assert "from a path" in none.stderr
    assert shell(f"{VERACITY} inspect - <&-").returncode == 2


# ---- the same from Python -----------------------------------------------------------------------


def test_what_can_be_read_from(house: House) -> None:
    proof, public = house.proof.read_bytes(), house.commitment.read_bytes()
    digest = Commitment.load(house.commitment).digest
    for made in (
        (str(house.proof), str(house.commitment)),
        (proof, public),
        (bytearray(proof), memoryview(public)),
        (io.BytesIO(proof), io.BytesIO(public)),
        (Proof.load(proof), Commitment.load(io.BytesIO(public))),
    ):
        assert api.verify(*made).commitment_digest == digest
    with house.proof.open("rb") as first, house.commitment.open("rb") as second:
        assert api.verify(first, second).commitment_digest == digest
    assert api.load(public).digest == digest
    assert isinstance(api.load(io.BytesIO(proof)), Proof)
    assert isinstance(api.load(house.secret.read_bytes()), api.Secret)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("proof", 7), ("proof", None), ("proof", ["x"]), ("proof", io.StringIO("x")),
        ("commitment", 7), ("commitment", None), ("prompt", b"x"), ("prompt", 7),
        ("answer", ["x"]), ("raw", "yes"), ("raw", None), ("digest", b"x"), ("digest", 7),
        ("context", b"x"), ("threads", "2"), ("threads", 1.5), ("threads", True), ("threads", 0),
        ("backend", 7), ("backend", ["cpu"]), ("progress", 7), ("proof", "a\0b"),
        ("proof", "x" * 300),
    ],
)  # fmt: skip
def test_a_wrong_argument_of_verify_is_named(house: House, argument: str, value: object) -> None:
    right: dict[str, Any] = {"proof": house.proof, "commitment": house.commitment}
    with pytest.raises(api.UsageError, match=argument):
        api.verify(**{**right, argument: value})


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("program", 7), ("secret", 7), ("prompt", b"x"), ("prompt", None), ("max_new_tokens", 0),
        ("max_new_tokens", "3"), ("max_new_tokens", 2.0), ("raw", 1), ("context", None),
        ("memory", "1GB"), ("memory", -1), ("jobs", None), ("threads", -1), ("backend", None),
        ("progress", "bar"), ("program", "x" * 300), ("secret", "x" * 300), ("secret", "a\0b"),
    ],
)  # fmt: skip
def test_a_wrong_argument_of_prove_is_named(house: House, argument: str, value: object) -> None:
    right = {"program": house.program, "secret": house.secret, "prompt": "x"}
    with pytest.raises(api.UsageError, match=argument):
        api.prove(**{**right, argument: value})  # type: ignore[arg-type]


def test_wrong_arguments_of_the_others_are_named(house: House) -> None:
    program: Any = house.program
    for call in (
        lambda: api.commit(7),  # type: ignore[arg-type]
        lambda: api.estimate(program, "8"),  # type: ignore[arg-type]
        lambda: api.estimate(program, 8, threads="2"),  # type: ignore[arg-type]
        lambda: api.commit(program, progress=7),  # type: ignore[arg-type]
        lambda: api.calibrate(7),  # type: ignore[arg-type]
        lambda: api.import_model(7, "x"),  # type: ignore[arg-type]
        lambda: api.import_model("stories260k", 7),  # type: ignore[arg-type]
        lambda: api.load(7),  # type: ignore[arg-type]
        lambda: api.load(None),  # type: ignore[arg-type]
        lambda: api.load(""),
    ):
        with pytest.raises(api.UsageError):
            call()


def test_version_and_module() -> None:
    assert shell(f"{VERACITY} --version").stdout.split()[-1] == api.__version__
