"""Several answers with one proof against one proof for each, and for each by a prover kept open.

Run ``make bench-answers``, or ``.venv/bin/python benches/answers.py MODEL.vprog MODEL.vsec
[--tokens 8,32]``: eight prompts of the bundled text, answered in as many tokens as asked for,
proved alone from the files, by one prover, and together. A JSON line for each length; all sides
warm. Seconds of wall clock, and of processor time where the name says ``cpu``.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from veracity import Prover, prove, prove_answers, verify, verify_answers
from veracity.benchmarks.proving import checkout, cpu_name
from veracity.formats.secret import Secret
from veracity.threads import let_caller_compute
from veracity.work.programs import load_program

PROMPTS = (
    "Once upon a time", "One day, a dog", "The little girl", "In the forest there was",
    "A boy and his mom", "The sun was hot", "Lily liked to", "There was a big",
)  # fmt: skip


def main() -> None:
    """Measure."""
    let_caller_compute()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program", type=Path)
    parser.add_argument("secret", type=Path)
    parser.add_argument("--tokens", default="8,32", help="answers' lengths [default: 8,32]")
    given = parser.parse_args()
    program, secret = load_program(given.program), Secret.load(given.secret)
    commitment = secret.commitment
    prove(program, secret, PROMPTS[0], max_new_tokens=1)  # caches, memory
    prover = Prover(program, secret)
    for tokens in map(int, given.tokens.split(",")):
        alone_s = alone_verify_s = kept_s = alone_cpu_s = kept_cpu_s = 0.0
        alone_bytes = 0
        for prompt in PROMPTS:
            begun, cpu = time.perf_counter(), time.process_time()
            one = prove(given.program, given.secret, prompt, max_new_tokens=tokens).proof
            alone_s += time.perf_counter() - begun
            alone_cpu_s += time.process_time() - cpu
            begun, cpu = time.perf_counter(), time.process_time()
            prover.prove(prompt, max_new_tokens=tokens)
            kept_s += time.perf_counter() - begun
            kept_cpu_s += time.process_time() - cpu
            alone_bytes += len(one.to_bytes())
            begun = time.perf_counter()
            verify(one, commitment)
            alone_verify_s += time.perf_counter() - begun
        begun = time.perf_counter()
        several = prove_answers(program, secret, PROMPTS, max_new_tokens=tokens).proof
        together_s = time.perf_counter() - begun
        begun = time.perf_counter()
        verify_answers(several, commitment)
        line = {
            "model": given.program.stem,
            "answers": len(PROMPTS),
            "tokens": tokens,
            "alone_prove_s": round(alone_s, 3),
            "alone_prove_cpu_s": round(alone_cpu_s, 3),
            "kept_prove_s": round(kept_s, 3),
            "kept_prove_cpu_s": round(kept_cpu_s, 3),
            "together_prove_s": round(together_s, 3),
            "alone_verify_s": round(alone_verify_s, 3),
            "together_verify_s": round(time.perf_counter() - begun, 3),
            "alone_bytes": alone_bytes,
            "together_bytes": len(several.to_bytes()),
            "cpu": cpu_name(),
            "commit": checkout(),
        }
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
