"""A conversation with SmolLM2: a system prompt, two turns, both answers drawn, proved and verified.

For each turn the server fixes a nonce first and tells its digest; then the user tells a nonce of
its own. The seed of the draw comes from both, so neither side can choose among answers. The
verifier insists on messages and both nonces. Run it with ``make demo-chat``.
"""

from __future__ import annotations

import argparse
import secrets
import time
from dataclasses import replace
from pathlib import Path

import veracity
from veracity.formats.drawing import ServerNonce

SYSTEM = "You are a helpful assistant. Answer in one short sentence."
QUESTIONS = ("What is a prime number?", "Name one that is larger than ten.")


def main() -> None:
    """Run the conversation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dir", type=Path, default=Path("build/demo-chat"))
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--tokens", type=int, default=16, help="new tokens at most, of each answer")
    parser.add_argument("--temperature", default="0.7")
    chosen = parser.parse_args()
    folder = chosen.dir.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "model.vprog"
    if not program.exists():
        print("import and calibrate ...", flush=True)
        veracity.import_model(chosen.model, program)
        veracity.calibrate(program)
    commitment, secret = veracity.commit(program)
    talk = [("system", SYSTEM)]
    for turn, question in enumerate(QUESTIONS, 1):
        server = ServerNonce.new()
        told = server.digest  # the user has it before it tells its nonce
        nonce = secrets.token_hex(16)
        talk.append(("user", question))
        started = time.perf_counter()
        result = veracity.prove(
            program, secret, messages=talk, max_new_tokens=chosen.tokens,
            temperature=chosen.temperature, nonce=nonce, server_nonce=server,
        )  # fmt: skip
        proved = time.perf_counter()
        data = result.proof.to_bytes()
        expected = {"messages": talk, "temperature": chosen.temperature, "server_nonce": told}
        found = veracity.verify(data, commitment, nonce=nonce, **expected)
        checked = time.perf_counter()
        print(f"\nturn {turn}: {question}\n  {found.answer.strip()}")
        print(f"  proof of {len(data):,} bytes in {proved - started:.1f} s", end=", ")
        print(f"checked in {checked - proved:.2f} s")
        if found.draw is None:
            raise SystemExit("the answer was not drawn")
        print(f"  drawn at temperature {found.draw.temperature}; the seed: {found.draw.seed}")
        refuse(result.proof, commitment)
        talk.append(("assistant", result.answer.strip()))


def refuse(proof: veracity.Proof, commitment: veracity.Commitment) -> None:
    """The same answer under another nonce is refused."""
    if proof.drawing is None:
        raise SystemExit("the answer was not drawn")
    other = replace(proof, drawing=replace(proof.drawing, user_nonce=b"another"))
    try:
        veracity.verify(other, commitment)
    except veracity.VerificationError as error:
        print(f"  under another nonce it is refused: {error.reason}")
        return
    raise SystemExit("a nonce was exchanged unseen")


if __name__ == "__main__":
    main()
