"""The verdict: its first line, its exit code, and what becomes of both where nobody can read it."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.house import PROMPT, House, done, veracity
from veracity.errors import MismatchError, UsageError, VerificationError
from veracity.formats.commitment import Commitment
from veracity.formats.proof import MAX_CONTEXT, Proof
from veracity.proving.verify import verify

PROVED, FALSE, UNDECIDED = 0, 1, 2
VERACITY = f"{sys.executable} -m veracity.cli"


@pytest.fixture(scope="module")
def false(house: House, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A proof of which one token was changed."""
    proof = Proof.load(house.proof)
    path = tmp_path_factory.mktemp("false") / "false.vproof"
    tokens = (*proof.tokens[:-1], proof.tokens[-1] ^ 1)
    replace(proof, tokens=tokens).save(path)
    return path


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that is no proof."""
    path = tmp_path_factory.mktemp("empty") / "empty.vproof"
    path.touch()
    return path


def shell(line: str) -> subprocess.CompletedProcess[str]:
    command = ["bash", "-c", line]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


# ---- the first line -----------------------------------------------------------------------------


def test_accepted_is_the_first_line(house: House) -> None:
    shown = done("verify", house.proof, "--commitment", house.commitment)
    assert shown.stdout.splitlines()[0] == "ACCEPTED"
    assert PROMPT in shown.stdout


def test_rejected_is_the_first_line_and_says_why_in_plain_words(house: House, false: Path) -> None:
    shown = veracity("verify", false, "--commitment", house.commitment)
    assert shown.exit_code == FALSE
    lines = shown.stdout.splitlines()
    assert lines[0] == "REJECTED"
    assert "does not show that the committed model gives this answer" in lines[2]
    assert lines[3].startswith("found by")
    assert "ACCEPTED" not in shown.output


def on_terminal(command: list[str], environment: Mapping[str, str]) -> bytes:
    """What a command writes to a terminal."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        command, stdout=theirs, stderr=subprocess.DEVNULL, env={**os.environ, **environment}
    ) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                part = os.read(ours, 1 << 16)
            except OSError:  # the other side has closed
                part = b""
            if not part:
                break
            shown += part
        process.wait(60)
    os.close(ours)
    return shown


@pytest.mark.parametrize("which", ["proof", "false"])
def test_colour_on_a_terminal_unless_it_is_refused(house: House, false: Path, which: str) -> None:
    proof = house.proof if which == "proof" else false
    word = b"ACCEPTED" if which == "proof" else b"REJECTED"
    command = [*VERACITY.split(), "verify", str(proof), "--commitment", str(house.commitment)]
    plain = {"TERM": "xterm", "NO_COLOR": ""}
    coloured = on_terminal(command, plain)
    assert coloured.startswith(b"\x1b[")
    assert word in coloured.splitlines()[0]
    for refused in ({"TERM": "xterm", "NO_COLOR": "1"}, {"TERM": "dumb", "NO_COLOR": ""}):
        shown = on_terminal(command, refused)
        assert shown.splitlines()[0] == word
        assert b"\x1b" not in shown


# ---- the exit code ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "output", ["| true", "> /dev/full", ">&-", "1</dev/null", ">&- 2>&-", "> /dev/full 2>&1"]
)
@pytest.mark.parametrize("form", ["", "--json"])
def test_the_exit_code_is_the_verdict_whatever_becomes_of_the_output(
    house: House, false: Path, empty: Path, output: str, form: str
) -> None:
    for proof, code in ((house.proof, PROVED), (false, FALSE), (empty, UNDECIDED)):
        line = f"{VERACITY} verify {proof} --commitment {house.commitment} {form} {output}"
        left = shell(f'{line}; exit "${{PIPESTATUS[0]}}"')
        assert left.returncode == code, (line, left.stderr)
        assert "Traceback" not in left.stderr


@pytest.mark.parametrize("command", ["inspect {proof}", "-h", "verify -h", "--version"])
def test_other_commands_say_that_output_is_lost(house: House, command: str) -> None:
    line = f"{VERACITY} {command.format(proof=house.proof)}"
    full = shell(f"{line} > /dev/full")
    assert full.returncode == UNDECIDED
    assert full.stderr.splitlines()[0].startswith(
        "error: cannot write to standard output: no space"
    )
    left = shell(f'{line} | true; exit "${{PIPESTATUS[0]}}"')
    assert left.returncode == PROVED
    assert left.stderr == ""


def test_an_output_in_another_encoding_is_no_fault(house: House, tmp_path: Path) -> None:
    proof = tmp_path / "bound.vproof"
    bound = ("--context", "naïve 東京", "--max-new-tokens", 2, "-q")
    done(
        *("prove", house.program, "--secret", house.secret, "--prompt", PROMPT),
        *("--out", proof, *bound),
    )
    line = f"PYTHONIOENCODING=ascii {VERACITY} verify {proof} --commitment {house.commitment}"
    shown = shell(line)
    assert shown.returncode == PROVED, shown.stderr
    assert r"na\xefve" in shown.stdout
    assert json.loads(shell(f"{line} --json").stdout)["context"] == "naïve 東京"


def test_faults_in_the_container_decide_nothing(house: House, tmp_path: Path) -> None:
    data = house.proof.read_bytes()
    path = tmp_path / "other.vproof"
    for altered in (b"", data[:9], data[:-1], data + b"\0", b"PK" + data, bytes(len(data))):
        path.write_bytes(altered)
        shown = veracity("verify", path, "--commitment", house.commitment)
        assert shown.exit_code == UNDECIDED, altered[:20]
        assert shown.stdout == ""


def test_faults_in_the_proof_are_falsehood(house: House, tmp_path: Path) -> None:
    proof = Proof.load(house.proof)
    path = tmp_path / "other.vproof"
    for argument in (b"", b"\xff" * 100, proof.argument[:-1], proof.argument + b"\0"):
        replace(proof, argument=argument).save(path)
        with pytest.raises(VerificationError):
            verify(path, house.commitment)
        assert veracity("verify", path, "--commitment", house.commitment).exit_code == FALSE


# ---- a true proof of something else -------------------------------------------------------------


def test_a_true_proof_of_another_prompt_shows_both(house: House) -> None:
    pinned = ("verify", house.proof, "--commitment", house.commitment)
    other = "Once upon a tree\u202e"
    shown = veracity(*pinned, "--prompt", other)
    assert shown.exit_code == FALSE
    lines = shown.stdout.splitlines()
    assert lines[0] == "REJECTED"
    assert "the proof is true, but for another prompt" in lines[2]
    assert lines[3].split(maxsplit=1) == ["expected", r'"Once upon a tree\u202e"']
    assert lines[4].split(maxsplit=1) == ["proved", '"Once upon a time"']
    assert 'from character 14 on, after "Once upon a t"' in shown.stdout
    assert '>>> "ime"' in shown.stdout
    facts = json.loads(veracity(*pinned, "--prompt", other, "--json").stdout)
    assert facts["accepted"] is False
    assert facts["error"]["kind"] == "MismatchError"
    assert facts["error"]["exit"] == FALSE
    assert facts["mismatch"] == {
        "what": "prompt", "expected": other, "proved": PROMPT, "first_difference": 13,
    }  # fmt: skip


def test_a_mismatch_is_said_of_true_proofs_only(house: House, false: Path) -> None:
    with pytest.raises(VerificationError) as found:
        verify(false, house.commitment, prompt="Once upon a tree")
    assert not isinstance(found.value, MismatchError)
    with pytest.raises(MismatchError, match="another answer"):
        verify(house.proof, house.commitment, answer=", there was")


# ---- the announced commitment -------------------------------------------------------------------


def test_the_announced_digest_is_pinned(house: House) -> None:
    pinned = ("verify", house.proof, "--commitment", house.commitment, "--digest")
    digest = Commitment.load(house.commitment).digest
    done(*pinned, digest)
    done(*pinned, f" {digest.upper()}\n")
    for other in (digest[1:] + digest[0], "0" * 64):
        shown = veracity(*pinned, other)
        assert shown.exit_code == FALSE
        assert "not the one announced" in shown.stdout
    for none in ("", digest[:-1], digest + "0", "0x" + digest[2:], "g" * 64, "٠" * 64):
        assert veracity(*pinned, none).exit_code == UNDECIDED
        with pytest.raises(UsageError, match="64 hexadecimal digits"):
            verify(house.proof, house.commitment, digest=none)


# ---- what a proof is bound to -------------------------------------------------------------------


@pytest.fixture(scope="module")
def bound(house: House, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bound") / "bound.vproof"
    done(
        *("prove", house.program, "--secret", house.secret, "--prompt", PROMPT, "-q"),
        *("--max-new-tokens", 2, "--out", path, "--context", "case 7"),
    )
    return path


def test_a_proof_says_what_it_is_bound_to(house: House, bound: Path) -> None:
    pinned = ("verify", bound, "--commitment", house.commitment)
    assert "case 7" in done(*pinned).stdout
    assert json.loads(done(*pinned, "--context", "case 7", "--json").stdout)["context"] == "case 7"
    assert json.loads(done("inspect", bound, "--json").stdout)["context"] == "case 7"


@pytest.mark.parametrize("other", ["case 8", "case 7 ", "", "CASE 7"])
def test_a_proof_for_another_request_is_not_this_ones(
    house: House, bound: Path, other: str
) -> None:
    with pytest.raises(MismatchError, match="another context"):
        verify(bound, house.commitment, context=other)
    assert verify(house.proof, house.commitment, context="").context == ""
    with pytest.raises(MismatchError):
        verify(house.proof, house.commitment, context="case 7")


@pytest.mark.parametrize("other", ["case 8", "", "case 7\0", "case 77"])
def test_a_proof_cannot_be_bound_again(house: House, bound: Path, other: str) -> None:
    """The cheat: a proof of yesterday under today's nonce."""
    forged = replace(Proof.load(bound), context=other)
    with pytest.raises(VerificationError) as found:
        verify(forged, house.commitment, context=other)
    assert not isinstance(found.value, MismatchError)


def test_without_its_absorption_the_context_would_be_anything(
    house: House, bound: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same attack on a verifier that takes no notice of the context."""
    from veracity.proving import verify as module

    honest = module.statement_context

    def deaf(digest: str, frame: str, context: str, *more: Any) -> bytes:
        return honest(digest, frame, "case 7", *more)

    monkeypatch.setattr(module, "statement_context", deaf)
    forged = replace(Proof.load(bound), context="case 8")
    assert verify(forged, house.commitment, context="case 8").context == "case 8"


def test_a_context_is_text_of_bounded_length(house: House) -> None:
    long = "ä" * (MAX_CONTEXT // 2)
    prove = ("prove", house.program, "--secret", house.secret, "--prompt", PROMPT)
    shown = veracity(*prove, "--context", long + "x", "--out", house.folder / "never.vproof")
    assert shown.exit_code == UNDECIDED
    assert "at most 4096" in shown.stderr
    for wrong in (long + "x", "\ud800"):
        with pytest.raises(UsageError, match="the context"):
            verify(house.proof, house.commitment, context=wrong)
    assert (
        Proof.from_bytes(replace(Proof.load(house.proof), context=long).to_bytes()).context == long
    )
