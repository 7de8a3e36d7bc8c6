"""Tokens a second that the integer program answers with: what a server gives when nobody proves.

Run ``make bench-decoding``, or ``.venv/bin/python benches/decoding.py MODEL.vprog ...
[--contexts 64,512] [--tokens 64]``: a prompt that fills the context is fed in one pass, then tokens
one by one behind it, each with the key/value cache. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from veracity.benchmarks.proving import TEXT, checkout, cpu_name
from veracity.engine import load_engine
from veracity.lm.generate import tokens
from veracity.lm.text_decoder import context_of
from veracity.work.programs import integer_program, load_program


def measured(path: Path, context: int, count: int, threads: int | None) -> dict[str, Any]:
    """One model behind one context."""
    content = load_program(path)
    program = integer_program(content)
    engine = load_engine("cpu", threads=threads)
    unit = content.encode(TEXT)
    prompt = (unit * (context // len(unit) + 1))[:context]
    times = [time.perf_counter()]
    for _ in tokens(program, content.weights, prompt, count, (), engine.integers):
        times.append(time.perf_counter())
    each = [after - before for before, after in pairwise(times[1:])]
    return {
        "model": path.stem,
        "context": context,
        "tokens": len(each),
        "prompt_s": round(times[1] - times[0], 3),
        "tokens_per_s": round(len(each) / sum(each), 2),
        "median_token_s": round(statistics.median(each), 4),
        "slowest_token_s": round(max(each), 4),
    }


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("programs", type=Path, nargs="+", help="calibrated .vprog files")
    parser.add_argument("--contexts", default="64,512", help="fed before [default: 64,512]")
    parser.add_argument("--tokens", type=int, default=64, help="answered behind [default: 64]")
    parser.add_argument("--threads", type=int, help="[default: all cores]")
    given = parser.parse_args()
    runs = []
    for path in given.programs:
        longest = context_of(integer_program(load_program(path)))
        for context in map(int, given.contexts.split(",")):
            fits = min(context, longest - given.tokens)
            runs.append(measured(path, fits, given.tokens, given.threads))
    found = {"runs": runs, "threads": given.threads, "cpu": cpu_name(), "commit": checkout()}
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
