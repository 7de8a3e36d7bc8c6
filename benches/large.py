"""A published shape of billions of parameters with random weights: `make bench-large`.

The weights are random 16-bit integers in a file, mapped; no copy of them is ever in floats. The
execution is a true one, proved under a cap of memory and verified by another process. It takes its
time (7 billion weights are committed to at a hundred nanoseconds each), and twice the parameters in
bytes of disk: more than twice that must be free.

    benches/large.py SHAPE [--tokens N] [--memory SIZE] [--work FOLDER] [--json FILE]

A shape is one that `veracity estimate --shape` knows, or a ``config.json``.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.benchmarks.proving import (
    TEXT,
    PhaseClock,
    checkout,
    cpu_name,
    timed,
    verify_elsewhere,
)
from veracity.cli.options import Bytes
from veracity.engine import load_engine
from veracity.formats.program import ProgramFile
from veracity.frontends.shapes import Shape, read_shape
from veracity.frontends.synthetic import numbered_words
from veracity.graph import Program
from veracity.lm.decoder import FloatModel
from veracity.proving.answering import answer_tokens
from veracity.proving.prove import prove_tokens
from veracity.threads import let_caller_compute
from veracity.work.commit import commit
from veracity.work.programs import page_weights

#: Root mean square of a weight, as GPT-2 begins with; of a gain's distance from 1, too.
SPREAD = 0.02
#: Free bytes that are asked for, for each byte of weights.
ROOM = 2.2
SEED, BLOCK = 124, 1 << 24


def sizes_of(program: Program) -> dict[str, int]:
    """Bytes of each weight."""
    return {n: np.dtype(w.dtype).itemsize * prod(w.shape) for n, w in program.weights.items()}


def require_room(folder: Path, size: int) -> None:
    """Refuse to begin where the disk might fill.

    Parameters
    ----------
    folder : Path
        Where the weights will lie.
    size : int
        Their bytes.
    """
    needed = int(ROOM * size)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise SystemExit(
            f"{folder}: {free / 1e9:.1f} GB are free, {needed / 1e9:.1f} GB are needed"
        )


def random_weights(program: Program, path: Path) -> dict[str, NDArray[Any]]:
    """Random integers for a program, in a file; written once, mapped.

    Parameters
    ----------
    program : Program
        Names, dims and exponents.
    path : Path
        The file; one of the right size is taken as it is.
    """
    sizes = sizes_of(program)
    if not path.exists() or path.stat().st_size != sum(sizes.values()):
        require_room(path.parent, sum(sizes.values()))
        rng = np.random.default_rng(SEED)
        with path.open("wb") as out:
            for name, spec in program.weights.items():
                unit = 2.0**spec.exponent
                gain = name.endswith(("gain", "post"))
                most = max(1, round(SPREAD * 3**0.5 * unit))
                for at in range(0, prod(spec.shape), BLOCK):
                    count = min(BLOCK, prod(spec.shape) - at)
                    block = rng.integers(-most, most + 1, count, dtype=spec.dtype)
                    out.write((block + np.asarray(round(unit) * gain, spec.dtype)).tobytes())
    found: dict[str, NDArray[Any]] = {}
    at = 0
    for name, spec in program.weights.items():
        found[name] = np.memmap(path, spec.dtype, "r", at, tuple(spec.shape))
        at += sizes[name]
    return found


def model_of(shape: Shape, weights: Mapping[str, NDArray[Any]], program: Program) -> ProgramFile:
    """A model of integers alone.

    Parameters
    ----------
    shape : Shape
        Its name and dimensions.
    weights : mapping
        The program's integers.
    program : Program
        What they belong to.
    """
    source = {
        "name": shape.name, "kind": "synthetic", "file": f"seed {SEED}", "sha256": "0" * 64,
        "parameters": sum(prod(dims) for dims in shape.tensors.values()),
    }  # fmt: skip
    words = numbered_words(shape.config.vocab)
    return ProgramFile(source, FloatModel(shape.config, {}), words, program, weights)


def peak_memory(reset: bool = False) -> int:
    """Most bytes that this process occupied since the peak was last reset.

    Parameters
    ----------
    reset : bool
        Whether to reset it.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    if reset:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return int(line.split()[1]) * 1024


def measure(shape: Shape, tokens: int, memory: int, work: Path) -> dict[str, Any]:
    """Generate, commit, answer, prove, verify; every measure.

    Parameters
    ----------
    shape : Shape
        The model's.
    tokens : int
        Prompt and answer; a quarter is the prompt.
    memory : int
        Cap in bytes.
    work : Path
        Folder of the files.
    """

    def told(phase: str, share: float) -> None:
        if share in (0.0, 1.0):
            print(f"{phase} {'begins' if share == 0 else 'done'}", flush=True)

    work.mkdir(parents=True, exist_ok=True)
    program = shape.program
    path = work / f"{shape.name}.weights"
    weights, generate_s = timed(lambda: random_weights(program, path))
    loaded = page_weights(model_of(shape, weights, program), memory)
    (commitment, secret), commit_s = timed(lambda: commit(loaded, progress=told))
    commitment.save(work / f"{shape.name}.vcom")
    frame = commitment.metadata.frames["raw"]
    prompt = [*frame.before, *loaded.encode(TEXT)][: tokens // 4]
    engine = load_engine("cpu")
    engine.keep_memory(0)
    answer, evaluate_s = timed(
        lambda: answer_tokens(loaded, prompt, tokens - len(prompt), told, engine.integers)
    )
    before = peak_memory(reset=True)
    clock = PhaseClock(told)
    proof, prove_s = timed(
        lambda: prove_tokens(loaded, secret, prompt, answer, "raw", memory=memory, progress=clock)
    )
    peak = peak_memory()
    proof.save(work / f"{shape.name}.vproof")
    seconds = verify_elsewhere(
        work / f"{shape.name}.vproof", work / f"{shape.name}.vcom", threads=None, backend="cpu"
    )
    return {
        "workload": shape.name,
        "parameters": loaded.parameters,
        "tokens": len(proof.tokens),
        "segments": len(proof.cuts) + 1,
        "memory": memory,
        "generate_s": round(generate_s, 3),
        "commit_s": round(commit_s, 3),
        "evaluate_s": round(evaluate_s, 3),
        "prove_s": round(prove_s, 3),
        "prove_phases": clock.stop(),
        **seconds,
        "proof_bytes": len(proof.to_bytes()),
        "commitment_bytes": len(commitment.to_bytes()),
        "peak_before_proving_bytes": before,
        "peak_memory_bytes": peak,
        "threads": engine.threads,
        "cpu": cpu_name(),
        "commit": checkout(),
    }


def main() -> None:
    """Measure and print."""
    let_caller_compute()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shape")
    parser.add_argument("--tokens", type=int, default=8)
    parser.add_argument("--memory", default="16GiB")
    parser.add_argument("--work", type=Path, default=Path("build") / "large")
    parser.add_argument("--json", type=Path, help="file to leave the measures in")
    given = parser.parse_args()
    memory = Bytes().convert(given.memory, None, None)
    found = measure(read_shape(given.shape), given.tokens, memory, given.work)
    text = json.dumps(found, indent=1) + "\n"
    print(text, end="")
    if given.json is not None:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
