"""Every wrong input gives one line, one hint, the right exit code, and no half-written file."""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e.house import PROMPT, House, done, veracity
from veracity.formats.commitment import Commitment
from veracity.formats.proof import Proof

FALSE, USAGE = 1, 2


def expect(code: int, *arguments: object, says: str) -> str:
    result = veracity(*arguments)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    if code == FALSE:
        first, _, *rows = result.stdout.splitlines()
        assert first == "REJECTED"
        assert rows[0].startswith("reason")
        assert says in rows[0]
        assert rows[-1].startswith("next")
        assert "error" not in result.stderr  # a slow phase may be told
        return rows[0]
    assert result.stdout == ""
    slow = re.compile(r"\w+: [\d.]+ s")  # a phase that took long is told
    lines = [line for line in result.stderr.strip().splitlines() if not slow.fullmatch(line)]
    assert len(lines) == 2, lines
    assert lines[0].startswith("error: ")
    assert lines[1].startswith("hint: ")
    assert says in lines[0]
    return lines[0]


# ---- what is accepted -------------------------------------------------------------------------


def test_the_honest_proof_is_accepted(house: House) -> None:
    result = done("verify", house.proof, "--commitment", house.commitment, "--json")
    facts = json.loads(result.stdout)
    assert facts["accepted"] is True
    assert facts["prompt"].strip() == PROMPT
    assert facts["answer_tokens"] == 12
    assert facts["commitment"] == Commitment.load(house.commitment).digest


def test_expected_words_are_compared(house: House) -> None:
    pinned = ("--commitment", house.commitment)
    answer = json.loads(done("verify", house.proof, *pinned, "--json").stdout)["answer"]
    done("verify", house.proof, *pinned, "--prompt", PROMPT, "--answer", answer)


def test_two_proofs_of_one_statement_differ_and_both_hold(house: House, tmp_path: Path) -> None:
    again = tmp_path / "again.vproof"
    done(
        *("prove", house.program, "--secret", house.secret, "--prompt", PROMPT, "-q"),
        *("--max-new-tokens", 12, "--out", again),
    )
    done("verify", again, "--commitment", house.commitment)
    first, second = Proof.load(house.proof), Proof.load(again)
    assert first.tokens == second.tokens
    assert first.argument != second.argument


@pytest.mark.parametrize("kind", ["program", "commitment", "secret", "proof"])
def test_inspect_shows_every_kind(house: House, kind: str) -> None:
    path = getattr(house, kind)
    facts = json.loads(done("inspect", path, "--json").stdout)
    assert kind in facts["kind"]
    assert facts["bytes"] == path.stat().st_size


def test_the_secret_is_private_and_shows_nothing(house: House) -> None:
    assert house.secret.stat().st_mode & 0o077 == 0
    shown = done("inspect", house.secret).stdout
    opening = house.secret.read_bytes()[-100:-32]
    assert opening.hex() not in shown


def test_white_space_around_a_prompt_is_seen(house: House, tmp_path: Path) -> None:
    out = tmp_path / "white.vproof"
    asked = ("--prompt", "\nOnce \n")
    done(
        *("prove", house.program, "--secret", house.secret, *asked, "-q"),
        *("--max-new-tokens", 2, "--out", out),
    )
    pinned = ("verify", out, "--commitment", house.commitment)
    shown = done(*pinned, *asked).stdout
    assert r'"\nOnce \n"' in shown
    assert "token ids are the only ones" in shown
    expect(FALSE, *pinned, "--prompt", "Once", says="another prompt")


# ---- false proofs: exit code 1 ------------------------------------------------------------------


def altered(house: House, tmp_path: Path, proof: Proof) -> tuple[object, ...]:
    path = tmp_path / "altered.vproof"
    proof.save(path)
    return "verify", path, "--commitment", house.commitment


def test_another_answer_is_rejected(house: House, tmp_path: Path) -> None:
    proof = Proof.load(house.proof)
    for position in (proof.prompt_length, len(proof.tokens) - 1):
        tokens = list(proof.tokens)
        tokens[position] = tokens[position] ^ 1
        forged = replace(proof, tokens=tuple(tokens))
        expect(FALSE, *altered(house, tmp_path, forged), says="")


def test_another_prompt_is_rejected(house: House, tmp_path: Path) -> None:
    proof = Proof.load(house.proof)
    tokens = list(proof.tokens)
    tokens[proof.prompt_length - 1] ^= 1
    expect(FALSE, *altered(house, tmp_path, replace(proof, tokens=tuple(tokens))), says="")


def test_another_split_of_prompt_and_answer_is_rejected(house: House, tmp_path: Path) -> None:
    proof = Proof.load(house.proof)
    forged = replace(proof, prompt_length=proof.prompt_length + 1)
    expect(FALSE, *altered(house, tmp_path, forged), says="")


@pytest.mark.parametrize("place", [0.0, 0.3, 0.6, 0.9, 0.9999])
def test_a_flipped_bit_is_rejected(house: House, tmp_path: Path, place: float) -> None:
    proof = Proof.load(house.proof)
    argument = bytearray(proof.argument)
    argument[int(place * len(argument))] ^= 1
    expect(FALSE, *altered(house, tmp_path, replace(proof, argument=bytes(argument))), says="")


@pytest.mark.parametrize("cut", [1, 32, 1000])
def test_a_shortened_argument_is_rejected(house: House, tmp_path: Path, cut: int) -> None:
    proof = Proof.load(house.proof)
    expect(
        FALSE, *altered(house, tmp_path, replace(proof, argument=proof.argument[:-cut])), says=""
    )


def test_a_lengthened_argument_is_rejected(house: House, tmp_path: Path) -> None:
    proof = Proof.load(house.proof)
    forged = replace(proof, argument=proof.argument + bytes(32))
    expect(FALSE, *altered(house, tmp_path, forged), says="")


def test_another_commitment_to_the_same_model_is_rejected(house: House, tmp_path: Path) -> None:
    public = tmp_path / "other.vcom"
    done("commit", house.program, "--out", public, "--secret", tmp_path / "other.vsec", "-q")
    expect(FALSE, "verify", house.proof, "--commitment", public, says="another commitment")
    # Nor does it help to relabel the proof.
    forged = replace(Proof.load(house.proof), commitment_digest=Commitment.load(public).digest)
    path = tmp_path / "relabelled.vproof"
    forged.save(path)
    expect(FALSE, "verify", path, "--commitment", public, says="")


def test_unexpected_words_are_rejected(house: House) -> None:
    pinned = ("verify", house.proof, "--commitment", house.commitment)
    expect(FALSE, *pinned, "--prompt", "Once upon a tree", says="another prompt")
    expect(FALSE, *pinned, "--answer", "No.", says="another answer")
    result = veracity(*pinned, "--answer", "No.", "--json")
    assert json.loads(result.stdout)["accepted"] is False


# ---- wrong use: exit code 2 ----------------------------------------------------------------------


@pytest.mark.parametrize(("tenth", "says"), [(5, ", digest: "), (8, ", annex checksum: ")])
def test_a_damaged_commitment_is_not_a_false_proof(
    house: House, tmp_path: Path, tenth: int, says: str
) -> None:
    """Neither in what the model's digest is of nor in the annex."""
    data = bytearray(house.commitment.read_bytes())
    data[len(data) * tenth // 10] ^= 1
    path = tmp_path / "damaged.vcom"
    path.write_bytes(data)
    expect(USAGE, "verify", house.proof, "--commitment", path, says=says)


@pytest.mark.parametrize("size", [0, 5, 40, 300, -1])
def test_a_truncated_file_decides_nothing(house: House, tmp_path: Path, size: int) -> None:
    path = tmp_path / "short.vproof"
    path.write_bytes(house.proof.read_bytes()[:size])
    expect(USAGE, "verify", path, "--commitment", house.commitment, says="short.vproof")


def test_another_version_is_named(house: House, tmp_path: Path) -> None:
    data = bytearray(house.proof.read_bytes())
    data[14] = 99
    path = tmp_path / "future.vproof"
    path.write_bytes(data)
    expect(USAGE, "verify", path, "--commitment", house.commitment, says="version 99")


def test_files_of_the_wrong_kind_say_what_they_are(house: House) -> None:
    expect(USAGE, "verify", house.proof, "--commitment", house.secret, says="a secret opening file")
    expect(USAGE, "verify", house.commitment, "--commitment", house.commitment, says="a commitment")
    prove = ("prove", house.program, "--prompt", "x", "--out", house.folder / "never.vproof")
    expect(USAGE, *prove, "--secret", house.commitment, says="a commitment file")
    expect(USAGE, "commit", house.proof, says="")


def test_missing_files(house: House, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    expect(USAGE, "verify", gone, "--commitment", house.commitment, says="'gone'")
    expect(USAGE, "verify", house.proof, "--commitment", gone, says="'gone'")
    expect(USAGE, "inspect", gone, says="'gone'")
    expect(USAGE, "calibrate", gone, says="gone")
    expect(USAGE, "commit", gone, says="gone")
    expect(USAGE, "import", gone, "--out", tmp_path / "x.vprog", says="gone")
    prove = ("prove", house.program, "--prompt", "x", "--out", tmp_path / "x.vproof")
    expect(USAGE, *prove, "--secret", gone, says="run `veracity commit` first")
    assert list(tmp_path.iterdir()) == []


def test_a_model_without_scales_cannot_be_committed(tmp_path: Path) -> None:
    program = tmp_path / "fresh.vprog"
    done("import", "stories260k", "--out", program, "-q")
    expect(USAGE, "commit", program, says="veracity calibrate")
    assert list(tmp_path.iterdir()) == [program]


def test_an_existing_secret_is_not_replaced_by_accident(house: House, tmp_path: Path) -> None:
    before = house.secret.read_bytes()
    out = tmp_path / "x.vcom"
    expect(USAGE, "commit", house.program, "--out", out, "--secret", house.secret, says="--force")
    assert house.secret.read_bytes() == before
    assert not out.exists()


def test_the_secret_of_another_program_is_refused(house: House, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("The dog ran to the big tree. " * 100, encoding="utf-8")
    program = tmp_path / "again.vprog"
    shutil.copy(house.program, program)
    done("calibrate", program, "--text", text, "-q")
    expect(
        USAGE,
        *("prove", program, "--secret", house.secret, "--prompt", "x"),
        *("--out", tmp_path / "x.vproof"),
        says="another program",
    )


def test_a_prompt_that_does_not_fit_is_refused(house: House, tmp_path: Path) -> None:
    out = tmp_path / "x.vproof"
    prove = ("prove", house.program, "--secret", house.secret, "--out", out)
    expect(USAGE, *prove, "--prompt", "word " * 2000, says="shorten the prompt")
    assert not out.exists()


def test_outputs_are_checked_before_the_work(house: House, tmp_path: Path) -> None:
    nowhere = tmp_path / "no" / "where"
    prove = ("prove", house.program, "--secret", house.secret, "--prompt", "x", "--out")
    expect(USAGE, *prove, nowhere, says="no folder")
    os.mkfifo(tmp_path / "pipe")  # not a device: a command that forgot to ask would replace it
    expect(USAGE, *prove, tmp_path / "pipe", says="not an ordinary file")
    expect(USAGE, "import", "stories260k", "--out", nowhere, says="no folder")


@pytest.mark.parametrize(
    "arguments",
    [
        ["verify"],
        ["verify", "x"],
        ["nonsense"],
        ["prove", "x", "--prompt", "y", "--max-new-tokens", "0"],
        ["bench", "stories260k", "--tokens", "1"],
        ["prove", "x", "--prompt", "y", "--memory", "much"],
        ["prove", "x"],
        ["prove", "x", "--prompt", "y", "--prompt-file", "z"],
        ["verify", "x", "--commitment", "x", "--sure"],
        ["verify", "-", "--commitment", "-"],
        ["import", "stories260k", "--out", "-"],
        ["private", "nonsense"],
        ["private", "ask", "x", "--server", "h:1", "--dealer", "h:2", "--timeout", "nan"],
        ["private", "ask", "x", "--server", "h:1", "--dealer", "h:2", "--wait", "inf"],
        ["private", "ask", "x", "--server", "h:1", "--dealer", "h:2", "--temperature", "nan"],
        ["private", "serve", "x", "--listen", "h:1", "--dealer", "h:2", "--timeout", "nan"],
        ["private", "bench", "stories260k", "--rtt-ms", "nan"],
        ["private", "bench", "stories260k", "--mbps", "inf"],
    ],
    ids=" ".join,
)
def test_wrong_use_looks_like_every_other_fault(arguments: list[str]) -> None:
    line = expect(USAGE, *arguments, says="error: ")
    assert not line.endswith(".")
    command = " ".join(arguments[: 2 if arguments[0] == "private" else 1]).replace("nonsense", "")
    hinted = veracity(*arguments).stderr.splitlines()[1]
    assert f"`veracity {command.strip()} -h`".replace("  ", " ") in hinted
    facts = json.loads(veracity(*arguments, "--json").stdout)["error"]
    assert facts["exit"] == USAGE
    assert facts["kind"] == "UsageError"
    assert facts["message"]
    assert "-h`" in facts["hint"]


def test_every_command_has_help() -> None:
    for command in (
        "import",
        "calibrate",
        "commit",
        "estimate",
        "prove",
        "verify",
        "inspect",
        "bench",
    ):
        assert "Usage:" in done(command, "-h").stdout
        assert command in done("-h").stdout
