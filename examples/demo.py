"""The whole flow on a real model: import, calibrate, commit, prove, verify, and three frauds.

Every step is the command line, each in a process of its own; the verifier's process gets a folder
with two files, the commitment and the proof. Run it with ``make demo``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from veracity.formats.proof import Proof

PROMPT = "What is a prime number?"


@dataclass
class Steps:
    """Runs commands and remembers what each took."""

    folder: Path
    rows: list[tuple[str, float, int]] = field(default_factory=list)

    def run(
        self, title: str, *arguments: object, cwd: Path | None = None, complain: bool = True
    ) -> tuple[int, Any]:
        """Run one command; returns its exit code and its JSON output."""
        command = [sys.executable, "-m", "veracity.cli", *map(str, arguments), "--json"]
        print(f"\n$ veracity {' '.join(map(quoted, arguments))}", flush=True)
        started = time.perf_counter()
        with (self.folder / "output.json").open("w+b") as output:
            process = subprocess.Popen(
                command, stdout=output, stderr=None if complain else subprocess.DEVNULL, cwd=cwd
            )
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            output.seek(0)
            text = output.read()
        took = time.perf_counter() - started
        self.rows.append((title, took, usage.ru_maxrss * 1024))
        return process.returncode, json.loads(text) if text.strip() else {}

    def must(self, title: str, *arguments: object, cwd: Path | None = None) -> Any:
        """Run one command that has to succeed."""
        code, facts = self.run(title, *arguments, cwd=cwd)
        if code != 0:
            told = facts.get("error", {}).get("message", "")
            raise SystemExit(f"demo: `veracity {arguments[0]}` failed ({code}): {told}")
        return facts


def quoted(argument: object) -> str:
    """An argument as one would type it."""
    text = os.path.relpath(argument) if isinstance(argument, Path) else str(argument)
    return f'"{text}"' if " " in text else text


def rejected(steps: Steps, title: str, folder: Path, proof: Proof, *arguments: object) -> None:
    """Check that a fraud is found; anything else ends the demo."""
    proof.save(folder / "fraud.vproof")
    code, facts = steps.run(title, "verify", "fraud.vproof", *arguments, cwd=folder, complain=False)
    if code != 1 or facts.get("accepted") is not False:
        raise SystemExit(f"demo: {title} was not rejected")
    print(f"  rejected, as it must be: {facts['error']['message']}")


def main() -> None:
    """Run the demo."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dir", type=Path, default=Path("build/demo"))
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--tokens", type=int, default=28, help="new tokens at most")
    parser.add_argument("--prompt", default=PROMPT)
    chosen = parser.parse_args()
    folder = chosen.dir.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    outside = folder / "verifier"
    outside.mkdir(parents=True)
    steps = Steps(folder)
    program, public = folder / "model.vprog", folder / "model.vcom"
    secret, answer = folder / "model.vsec", folder / "answer.vproof"

    print("== The owner: import, calibrate, commit, prove ==")
    imported = steps.must("import", "import", chosen.model, "--out", program)
    calibrated = steps.must("calibrate", "calibrate", program)
    committed = steps.must("commit", "commit", program, "--out", public, "--secret", secret)
    proved = steps.must(
        "prove",
        *("prove", program, "--secret", secret, "--prompt", chosen.prompt),
        *("--max-new-tokens", chosen.tokens, "--out", answer),
    )
    print(f"\nprompt: {chosen.prompt}\nanswer: {proved['answer']}")

    print("\n== Anybody: verify, with two files and nothing else ==")
    shutil.copy(public, outside / "model.vcom")
    shutil.copy(answer, outside / "answer.vproof")
    pinned = ("--commitment", "model.vcom")
    verdict = steps.must(
        "verify", "verify", "answer.vproof", *pinned, "--prompt", chosen.prompt, cwd=outside
    )
    print(f"accepted: {verdict['answer']}")

    print("\n== A cheat: another answer, another proof, another model ==")
    proof = Proof.load(answer)
    tokens = list(proof.tokens)
    tokens[-2] = (tokens[-2] + 1) % 256
    forged = Proof(
        proof.commitment_digest, proof.frame, tuple(tokens), proof.prompt_length, proof.argument
    )
    rejected(steps, "altered answer", outside, forged, *pinned)
    flipped = bytearray(proof.argument)
    flipped[len(flipped) // 2] ^= 1
    forged = Proof(
        proof.commitment_digest, proof.frame, proof.tokens, proof.prompt_length, bytes(flipped)
    )
    rejected(steps, "altered proof", outside, forged, *pinned)
    other = folder / "other.vprog"
    steps.must("import another model", "import", "stories260k", "--out", other)
    steps.must("calibrate it", "calibrate", other)
    foreign = steps.must(
        "commit to it",
        *("commit", other, "--out", outside / "other.vcom", "--secret", folder / "other.vsec"),
    )
    rejected(steps, "another model's commitment", outside, proof, "--commitment", "other.vcom")
    forged = replace(proof, commitment_digest=foreign["commitment"], frame="raw")
    rejected(steps, "the same, relabelled", outside, forged, "--commitment", "other.vcom")

    print("\n== In numbers ==")
    print(f"{'step':<28}{'seconds':>10}{'peak memory':>16}")
    for title, seconds, memory in steps.rows:
        print(f"{title:<28}{seconds:>10.1f}{memory / 2**20:>12.0f} MiB")
    print(f"{'all':<28}{sum(row[1] for row in steps.rows):>10.1f}")
    print(f"\n{'model':<28}{imported['model']}, {imported['parameters']:,} parameters")
    print(f"{'tokens':<28}{proved['prompt_tokens']} prompt, {proved['answer_tokens']} answer")
    print(f"{'commitment':<28}{committed['commitment_bytes']:,} bytes")
    print(f"{'proof':<28}{proved['proof_bytes']:,} bytes")
    print(f"{'check without start-up':<28}{verdict['verify_s']:.2f} s")
    for name, value in calibrated.get("accuracy", {}).items():
        print(f"{'accuracy: ' + name.replace('_', ' '):<40}{value}")


if __name__ == "__main__":
    main()
